//! What a client knows a person as: `sub` (OIDC Core 1.0 §2, §8). The same for every client, or, for those whose settings say so, one of its own, by which
//! two clients cannot find out that they have a person in common (§8.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::app::{App, Origin};
use crate::crypto::MacKey;
use crate::id::UserId;

/// The purpose of the key that pairwise subjects are made with. It must never change: people would be strangers everywhere.
pub const PAIRWISE: &str = "pairwise subject";

/// What a pairwise subject begins with: never like a user's own id.
const PREFIX: &str = "pw_";

/// Which of the two a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectType {
    /// The user's own id.
    #[default]
    Public,
    /// One for this client and those of its sector.
    Pairwise,
}

/// A text that names neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be public or pairwise")]
pub struct InvalidSubjectType;

impl SubjectType {
    /// Both, the default first.
    pub const ALL: [Self; 2] = [Self::Public, Self::Pairwise];

    /// The standard's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Pairwise => "pairwise",
        }
    }
}

impl FromStr for SubjectType {
    type Err = InvalidSubjectType;

    fn from_str(text: &str) -> Result<Self, InvalidSubjectType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(InvalidSubjectType)
    }
}

impl fmt::Display for SubjectType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The host whose clients know a person by one name. Declared, never fetched: whoever writes the declaration knows which apps belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SectorIdentifier(String);

/// A text that is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a host such as apps.company.com, in lower case, without scheme and port")]
pub struct InvalidSectorIdentifier;

impl SectorIdentifier {
    /// The host.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SectorIdentifier {
    type Err = InvalidSectorIdentifier;

    fn from_str(text: &str) -> Result<Self, InvalidSectorIdentifier> {
        let origin = format!("https://{text}").parse::<Origin>().map_err(|_| InvalidSectorIdentifier)?;
        if origin.host() == text { Ok(Self(text.to_owned())) } else { Err(InvalidSectorIdentifier) }
    }
}

impl fmt::Display for SectorIdentifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SectorIdentifier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why an app cannot have subjects of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitForPairwise {
    /// It would not be known which one counts, and one more would make everybody a stranger.
    #[error("has redirect URIs at several hosts: say which one its people belong to with sector_identifier")]
    SeveralHosts,
    /// What a service is given names people as every service knows them.
    #[error(
        "cannot have audiences with subject_type = \"pairwise\": tokens for services name people as everybody else knows them"
    )]
    Audiences,
    /// Passes and what comes with them do, too.
    #[error(
        "cannot be an agent, relay passwords or stand behind a gateway with subject_type = \"pairwise\": passes name people as everybody else knows them"
    )]
    Passes,
    /// It would have no effect.
    #[error("has a sector_identifier, which says nothing without subject_type = \"pairwise\"")]
    SectorOfPublic,
}

/// Whether an app may be set up as it is said to be.
pub fn check_subjects(app: &App) -> Result<(), UnfitForPairwise> {
    if app.client.subject_type == SubjectType::Public {
        return if app.client.sector_identifier.is_some() { Err(UnfitForPairwise::SectorOfPublic) } else { Ok(()) };
    }
    if !app.audiences.is_empty() {
        return Err(UnfitForPairwise::Audiences);
    }
    if app.agent || app.relayed_sign_in || app.forward_auth {
        return Err(UnfitForPairwise::Passes);
    }
    let mut hosts = hosts(app);
    let first = hosts.next();
    if app.client.sector_identifier.is_none() && hosts.any(|host| Some(host) != first) {
        return Err(UnfitForPairwise::SeveralHosts);
    }
    Ok(())
}

/// The hosts that an app's codes go to. This computer and a program's own scheme are none: they are everybody's.
fn hosts(app: &App) -> impl Iterator<Item = &str> {
    app.redirect_uris.iter().filter(|uri| uri.loopback().is_none()).filter_map(|uri| uri.origin()).map(Origin::host)
}

/// `sub`, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The user's own id.
    Public(UserId),
    /// Of one sector.
    Pairwise([u8; 32]),
}

impl Subject {
    /// What this client knows this person as. `key` is for [`PAIRWISE`].
    pub fn of(app: &App, user: UserId, key: &MacKey) -> Self {
        if app.client.subject_type == SubjectType::Public {
            return Self::Public(user);
        }
        let mut hosts = hosts(app);
        let host = hosts.next().filter(|first| hosts.all(|host| host == *first));
        // Where there is no one host (a program's own scheme; more were added past the check) the client is a sector by itself.
        let (kind, sector) = match (&app.client.sector_identifier, host) {
            (Some(declared), _) => (&b"host\0"[..], declared.as_str()),
            (None, Some(host)) => (&b"host\0"[..], host),
            (None, None) => (&b"client\0"[..], app.key.as_str()),
        };
        // Neither hosts nor keys nor ids hold a NUL.
        Self::Pairwise(key.tag(&[kind, sector.as_bytes(), b"\0", user.to_string().as_bytes()]))
    }
}

/// A text that is no subject of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no subject")]
pub struct InvalidSubject;

impl FromStr for Subject {
    type Err = InvalidSubject;

    fn from_str(text: &str) -> Result<Self, InvalidSubject> {
        let Some(encoded) = text.strip_prefix(PREFIX) else {
            return text.parse().map(Self::Public).map_err(|_| InvalidSubject);
        };
        let mut bytes = [0; 32];
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes) {
            Ok(32) => Ok(Self::Pairwise(bytes)),
            _ => Err(InvalidSubject),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public(user) => user.fmt(formatter),
            Self::Pairwise(bytes) => write!(formatter, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes)),
        }
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::crypto::tests::Seeded;
    use crate::oidc::{ClientKind, ClientSettings};

    fn app(key: &str, uris: &[&str], sector: Option<&str>) -> App {
        let mut app = crate::oidc::client::tests::app(ClientKind::Native, uris);
        app.key = key.parse().expect("a key");
        let sector_identifier = sector.map(|sector| sector.parse().expect("a host"));
        app.client = ClientSettings { subject_type: SubjectType::Pairwise, sector_identifier, ..app.client };
        app
    }

    #[test]
    fn a_sector_has_one_name_for_a_person_and_another_sector_another() {
        let key = MasterKey::new([7; 32]).mac(PAIRWISE);
        let (ana, ben) = (UserId::mint(&mut Seeded(1)), UserId::mint(&mut Seeded(2)));
        let of = |app: &App, user| Subject::of(app, user, &key);
        let wiki = app("wiki", &["https://wiki.company.com/cb", "https://wiki.company.com:8443/other"], None);
        let same = app("wiki-2", &["https://wiki.company.com/2"], None);
        let declared = app("crm", &["https://a.com/cb", "https://b.com/cb"], Some("wiki.company.com"));
        assert_eq!(of(&wiki, ana), of(&same, ana));
        assert_eq!(of(&wiki, ana), of(&declared, ana));
        let others = [
            app("wiki", &["https://wiki.company.org/cb"], None),
            app("wiki", &["https://wiki.company.com/cb"], Some("company.com")),
            // Each a sector of its own: no host, or none that is theirs alone.
            app("one", &["http://127.0.0.1/cb"], None),
            app("two", &["http://127.0.0.1/cb"], None),
            app("three", &["com.company.tool:/cb"], None),
            app("four", &["https://a.com/cb", "https://b.com/cb"], None),
            app("wiki.company.com".split('.').next().expect("a word"), &[], None),
        ];
        let mut all: Vec<_> = others.iter().chain([&wiki]).map(|app| of(app, ana).to_string()).collect();
        all.push(of(&wiki, ben).to_string());
        all.push(Subject::of(&wiki, ana, &MasterKey::new([8; 32]).mac(PAIRWISE)).to_string());
        for subject in &all {
            assert!(subject.starts_with("pw_") && !subject.contains(&ana.to_string()) && subject.len() <= 255);
            assert_eq!(subject.parse::<Subject>().map(|read| read.to_string()).as_ref(), Ok(subject));
        }
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "each is another");
        let mut public = wiki.clone();
        public.client.subject_type = SubjectType::Public;
        assert_eq!(of(&public, ana), Subject::Public(ana));
        assert_eq!(of(&public, ana).to_string(), ana.to_string());
        for bad in ["", "pw_", "pw_x", "u_", "x", &all[0][..all[0].len() - 1], &format!("{}A", all[0])] {
            assert_eq!(bad.parse::<Subject>(), Err(InvalidSubject), "{bad}");
        }
    }

    /// It must never change: a new version that makes another one would make everybody a stranger.
    #[test]
    fn it_is_what_it_always_was() {
        let key = MasterKey::new([7; 32]).mac(PAIRWISE);
        let user: UserId = UserId::mint(&mut Seeded(1));
        let wiki = app("wiki", &["https://wiki.company.com/cb"], None);
        assert_eq!(Subject::of(&wiki, user, &key).to_string(), "pw_AQ7dEyZgwaEoAUdg0KEuhetIjXhwJzw04jjLmqnjAJM");
    }

    #[test]
    fn what_would_give_the_public_name_away_or_change_the_other_is_refused() {
        type Change = fn(&mut App);
        let one = || app("wiki", &["https://wiki.company.com/cb"], None);
        let cases: [(Option<UnfitForPairwise>, Change); 9] = [
            (None, |_| ()),
            (None, |app| app.redirect_uris.push("http://127.0.0.1/cb".parse().expect("a URI"))),
            (Some(UnfitForPairwise::SeveralHosts), |app| {
                app.redirect_uris.push("https://b.com/cb".parse().expect("a URI"));
            }),
            (None, |app| {
                app.redirect_uris.push("https://b.com/cb".parse().expect("a URI"));
                app.client.sector_identifier = Some("b.com".parse().expect("a host"));
            }),
            (Some(UnfitForPairwise::Audiences), |app| app.audiences.push("stock".parse().expect("an audience"))),
            (Some(UnfitForPairwise::Passes), |app| app.agent = true),
            (Some(UnfitForPairwise::Passes), |app| app.relayed_sign_in = true),
            (Some(UnfitForPairwise::Passes), |app| app.forward_auth = true),
            (Some(UnfitForPairwise::SectorOfPublic), |app| {
                app.client.subject_type = SubjectType::Public;
                app.client.sector_identifier = Some("b.com".parse().expect("a host"));
            }),
        ];
        for (number, (refused, change)) in cases.into_iter().enumerate() {
            let mut app = one();
            change(&mut app);
            assert_eq!(check_subjects(&app).err(), refused, "{number}");
        }
        for bad in ["", "https://a.com", "a.com/", "a.com:443", "A.com", "a.com:8443", "*.a.com ", "a b"] {
            assert!(bad.parse::<SectorIdentifier>().is_err(), "{bad}");
        }
    }
}
