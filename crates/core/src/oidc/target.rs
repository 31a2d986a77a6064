//! Which service a token for another service is for (RFC 8707 §2, RFC 8693 §2.1): one that the app's declaration names, and never the app itself
//! or us. Nobody declares anything for an app that registers or describes itself: there it is one that its own declaration opens to such apps.
//!
//! A service that is an app may be named by its key, by one of its origins, or by a name that it is open to third parties by, each compared as it is
//! written; the token says what the declaration says, so that a service has to know one name of its own.

use std::fmt;
use std::str::FromStr;

use super::SubjectType;
use crate::app::{App, Origin};
use crate::id::Audience;

/// How many services one authorization request may name, and with how many letters: whoever has to sign in first carries them along.
const MAXIMUM_RESOURCES: usize = 8;
const MAXIMUM_LENGTH: usize = 1024;

/// The services that a client may call in a person's name, by their declared names (RFC 8707 §2.1). None: its tokens are for our own endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources(Vec<Audience>);

/// A name that is none, or too many of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no names of services")]
pub struct InvalidResources;

/// With spaces in between, which no name has.
impl FromStr for Resources {
    type Err = InvalidResources;

    fn from_str(text: &str) -> Result<Self, InvalidResources> {
        let names = text.split(' ').filter(|name| !name.is_empty());
        names.map(|name| name.parse().map_err(|_| InvalidResources)).collect()
    }
}

impl FromIterator<Audience> for Resources {
    fn from_iter<I: IntoIterator<Item = Audience>>(names: I) -> Self {
        let mut all = Self::default();
        names.into_iter().for_each(|name| all.add(name));
        all
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(Audience::as_str).collect();
        formatter.write_str(&names.join(" "))
    }
}

impl Resources {
    /// As a request may name them.
    pub fn asked(text: &str) -> Result<Self, InvalidResources> {
        let asked = text.parse::<Self>()?;
        let few = asked.0.len() <= MAXIMUM_RESOURCES && text.len() <= MAXIMUM_LENGTH;
        few.then_some(asked).ok_or(InvalidResources)
    }

    /// Each of them, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &Audience> {
        self.0.iter()
    }

    /// Whether this very name is among them.
    pub fn contains(&self, name: &Audience) -> bool {
        self.0.contains(name)
    }

    /// Whether all of them are among the others.
    pub fn is_within(&self, others: &Self) -> bool {
        self.0.iter().all(|name| others.contains(name))
    }

    /// These and the others.
    #[must_use]
    pub fn with(&self, others: &Self) -> Self {
        self.iter().chain(others.iter()).cloned().collect()
    }

    fn add(&mut self, name: Audience) {
        if !self.contains(&name) {
            self.0.push(name);
        }
    }

    /// There is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each as the declaration of `app` names it, if it may be asked for.
    pub fn declared<'a>(
        &self,
        app: &'a App,
        registry: &(impl Iterator<Item = &'a App> + Clone),
        issuer: &str,
    ) -> Result<Self, TargetRefused> {
        self.iter().map(|asked| target(app, Some(asked.as_str()), registry.clone(), issuer).cloned()).collect()
    }

    /// The one service that a token is to be for, of these; `None` for one for our own endpoints. What was granted before is held against the
    /// declaration again: it may have changed.
    pub fn choose<'a>(
        &self,
        asked: Option<&str>,
        app: &'a App,
        registry: impl Iterator<Item = &'a App> + Clone,
        issuer: &str,
    ) -> Result<Option<&'a Audience>, TargetRefused> {
        let asked = match (asked, &self.0[..]) {
            (None, []) => return Ok(None),
            (None, [only]) => only.as_str(),
            // A token for one of two would be a guess, and one for both could be played by one service to the other.
            (None, _) => return Err(TargetRefused::Missing),
            (Some(asked), _) => asked,
        };
        let name = target(app, Some(asked), registry, issuer)?;
        if self.contains(name) { Ok(Some(name)) } else { Err(TargetRefused::NotGranted) }
    }
}

/// Why there is no token for that service. `invalid_target` to the client in every case (RFC 8707 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetRefused {
    /// None was named, and the declaration has not exactly one.
    Missing,
    /// The declaration does not have it.
    NotDeclared,
    /// The app itself: what it may do at home it needs no token for, and one for its own door could be played back to it.
    Itself,
    /// Us: what is meant for our own endpoints comes from the authorization code, revocable.
    Issuer,
    /// The app of that name is disabled.
    Disabled,
    /// Not among those that the authorization request named.
    NotGranted,
    /// No service is open to apps of others by this name.
    NotOpen,
    /// The person has not allowed the client, which is somebody else's, to call it in their name.
    NotAllowed,
    /// The person may not enter the service, and the client is somebody else's.
    NoAccess,
    /// The client knows people by names of its own: a token for a service would tell it the other one.
    Pairwise,
}

impl TargetRefused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "no_target",
            Self::NotDeclared => "target_not_declared",
            Self::Itself => "target_is_the_client",
            Self::Issuer => "target_is_the_issuer",
            Self::Disabled => "target_disabled",
            Self::NotGranted => "target_not_granted",
            Self::NotOpen => "target_not_open_to_third_parties",
            Self::NotAllowed => "target_without_consent",
            Self::NoAccess => "target_without_access",
            Self::Pairwise => "target_for_pairwise_subjects",
        }
    }
}

/// The declared name of what `app` asks a token for. `registry` is every app that there is.
pub fn target<'a>(
    app: &'a App,
    asked: Option<&str>,
    registry: impl Iterator<Item = &'a App> + Clone,
    issuer: &str,
) -> Result<&'a Audience, TargetRefused> {
    if app.client.subject_type == SubjectType::Pairwise {
        return Err(TargetRefused::Pairwise);
    }
    let declared = match asked {
        None => match &app.audiences[..] {
            [only] => only,
            _ => return Err(TargetRefused::Missing),
        },
        // Whoever registers or describes itself is declared by nobody: the service says by its own declaration that such apps may ask for it.
        Some(asked) if app.registered => {
            let mut open = registry.clone().filter(|named| named.disabled_at.is_none());
            let found = open.find_map(|named| named.open_to_third_parties.iter().find(|name| name.as_str() == asked));
            found.ok_or(TargetRefused::NotOpen)?
        }
        Some(asked) => {
            let same = app.audiences.iter().find(|audience| audience.as_str() == asked);
            // By another name of the same app. It does not widen anything: the token is for the name that was declared.
            let other = || {
                let mut named = registry.clone().filter(|named| is_named(named, asked));
                named.find_map(|named| app.audiences.iter().find(|audience| is_named(named, audience.as_str())))
            };
            same.or_else(other).ok_or(TargetRefused::NotDeclared)?
        }
    };
    if declared.as_str() == issuer {
        return Err(TargetRefused::Issuer);
    }
    if is_named(app, declared.as_str()) {
        return Err(TargetRefused::Itself);
    }
    let mut named = registry.filter(|named| is_named(named, declared.as_str())).peekable();
    // A service need not be an app of ours.
    if named.peek().is_some() && named.all(|named| named.disabled_at.is_some()) {
        return Err(TargetRefused::Disabled);
    }
    Ok(declared)
}

/// Whether a service of this name is this app, exactly.
pub fn is_named(app: &App, name: &str) -> bool {
    names_of(app).any(|own| own == name)
}

/// What an app is called as a service: its key, its origins, and what it is open to third parties by.
pub fn names_of(app: &App) -> impl Iterator<Item = &str> {
    let origins = app.origins.iter().map(Origin::as_str);
    [app.key.as_str()].into_iter().chain(origins).chain(app.open_to_third_parties.iter().map(Audience::as_str))
}

/// Whether an app can be open to third parties by this name: one of its origins, or an address there. It is what people are shown, and what another
/// app's name would mislead them by; a fragment names nothing (RFC 8707 §2), and with a query there would be any number of names.
pub fn may_be_open_as(app: &App, name: &Audience) -> bool {
    let name = name.as_str();
    let at = |origin: &Origin| {
        name.strip_prefix(origin.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    app.origins.iter().any(at) && !name.contains(['?', '#'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Access;
    use crate::time::Timestamp;

    const ISSUER: &str = "https://auth.company.com";

    fn app(key: &str, audiences: &[&str]) -> App {
        App {
            origins: ["", "-2"].map(|end| format!("https://{key}{end}.company.com").parse().expect("an origin")).into(),
            access: Access::Everyone,
            audiences: audiences.iter().map(|audience| audience.parse().expect("an audience")).collect(),
            client_credentials: true,
            ..App::new(key.parse().expect("a key"), key, "home".parse().expect("a name"))
        }
    }

    fn outcome(declared: &[&str], asked: Option<&str>, stock_disabled: bool) -> Result<String, TargetRefused> {
        let mut registry = [app("pos", declared), app("stock", &[]), app("crm", &[])];
        registry[1].disabled_at = stock_disabled.then_some(Timestamp::from_seconds(1));
        target(&registry[0], asked, registry.iter(), ISSUER).map(ToString::to_string)
    }

    #[test]
    fn a_service_is_found_by_each_of_its_names_and_named_as_declared() {
        let declared = ["stock", "https://crm-2.company.com", "billing"];
        for (asked, found) in [
            ("stock", "stock"),
            ("https://stock.company.com", "stock"),
            ("https://stock-2.company.com", "stock"),
            ("crm", "https://crm-2.company.com"),
            ("https://crm.company.com", "https://crm-2.company.com"),
            ("billing", "billing"),
        ] {
            assert_eq!(outcome(&declared, Some(asked), false).as_deref(), Ok(found), "{asked}");
        }
        assert_eq!(outcome(&["billing"], None, false).as_deref(), Ok("billing"), "there is but one");
        assert_eq!(outcome(&declared, None, false), Err(TargetRefused::Missing));
        assert_eq!(outcome(&[], None, false), Err(TargetRefused::Missing));
    }

    #[test]
    fn nothing_but_the_very_name_is_the_service() {
        for near in [
            "",
            "stoc",
            "Stock",
            "stock ",
            "crm",
            "https://stock.company.com/",
            "https://stock.company.com:443",
            "https://stock.company.com/api",
            "http://stock.company.com",
            "https://stock.company.com.evil.com",
        ] {
            assert_eq!(outcome(&["stock"], Some(near), false), Err(TargetRefused::NotDeclared), "{near}");
        }
    }

    #[test]
    fn what_was_granted_is_a_bound_and_the_declaration_another() {
        let declared = ["stock", "https://crm-2.company.com", "billing"];
        let registry = |declared: &[&str]| [app("pos", declared), app("stock", &[]), app("crm", &[])];
        let granted = |text: &str| {
            let registry = registry(&declared);
            let asked: Resources = text.parse().expect("names");
            asked.declared(&registry[0], &registry.iter(), ISSUER).map(|granted| granted.to_string())
        };
        let all = "stock https://crm-2.company.com";
        assert_eq!(granted("https://stock.company.com crm  stock").as_deref(), Ok(all));
        assert_eq!(granted("").as_deref(), Ok(""));
        for (bad, refused) in [
            ("stock payroll", TargetRefused::NotDeclared),
            ("pos", TargetRefused::NotDeclared),
            (ISSUER, TargetRefused::NotDeclared),
        ] {
            assert_eq!(granted(bad), Err(refused), "{bad}");
        }
        let choose = |granted: &str, asked: Option<&str>, declared: &[&str]| {
            let registry = registry(declared);
            let granted: Resources = granted.parse().expect("names");
            granted.choose(asked, &registry[0], registry.iter(), ISSUER).map(|name| name.map(ToString::to_string))
        };
        let some = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(choose("", None, &declared), Ok(None));
        assert_eq!(choose("stock", None, &declared), some("stock"));
        assert_eq!(choose(all, Some("https://crm.company.com"), &declared), some("https://crm-2.company.com"));
        assert_eq!(choose(all, None, &declared), Err(TargetRefused::Missing));
        assert_eq!(choose(all, Some("billing"), &declared), Err(TargetRefused::NotGranted));
        assert_eq!(choose("", Some("billing"), &declared), Err(TargetRefused::NotGranted));
        assert_eq!(choose("stock", None, &["billing"]), Err(TargetRefused::NotDeclared), "taken back since");
        assert_eq!(choose(all, Some("stock billing"), &declared), Err(TargetRefused::NotDeclared));
        assert_eq!(Resources::asked("a b c d e f g h i"), Err(InvalidResources));
        assert_eq!(Resources::asked(&["a"; 600].join(" ")), Err(InvalidResources));
        assert_eq!(
            "a b c d e f g h i".parse::<Resources>().map(|all| all.to_string()).as_deref(),
            Ok("a b c d e f g h i")
        );
        assert_eq!("a\"b".parse::<Resources>(), Err(InvalidResources));
        let mut others = registry(&declared);
        let one: Resources = "stock".parse().expect("a name");
        others[0].client.subject_type = SubjectType::Pairwise;
        assert_eq!(one.choose(None, &others[0], others.iter(), ISSUER), Err(TargetRefused::Pairwise));
        assert_eq!(target(&others[0], Some("stock"), others.iter(), ISSUER), Err(TargetRefused::Pairwise));
        assert_eq!(Resources::default().choose(None, &others[0], others.iter(), ISSUER), Ok(None));
    }

    /// An app that nobody here has declared calls what is open to such apps, by the very names by which it is, and nothing else.
    #[test]
    fn an_app_that_describes_itself_may_ask_for_what_is_open_to_such_apps() {
        const OPEN: &str = "https://stock.company.com/mcp";
        let mut registry = [app("dyn-x", &[]), app("stock", &[]), app("crm", &[]), app("pos", &["stock"])];
        (registry[0].registered, registry[0].third_party) = (true, true);
        let outcome = |registry: &[App; 4], client: usize, asked: Option<&str>| {
            target(&registry[client], asked, registry.iter(), ISSUER).map(ToString::to_string)
        };
        assert_eq!(outcome(&registry, 0, Some(OPEN)), Err(TargetRefused::NotOpen));
        registry[1].open_to_third_parties = vec![OPEN.parse().expect("a name")];
        assert_eq!(outcome(&registry, 0, Some(OPEN)).as_deref(), Ok(OPEN));
        for other in [
            "stock",
            "https://stock.company.com",
            "https://stock.company.com/",
            "https://stock.company.com/mcp/",
            "crm",
            ISSUER,
            "",
        ] {
            assert_eq!(outcome(&registry, 0, Some(other)), Err(TargetRefused::NotOpen), "{other}");
        }
        assert_eq!(outcome(&registry, 0, None), Err(TargetRefused::Missing), "it has none of its own");
        assert_eq!(
            outcome(&registry, 3, Some(OPEN)).as_deref(),
            Ok("stock"),
            "to the company's own apps it is one more name"
        );
        assert_eq!(outcome(&registry, 2, Some(OPEN)), Err(TargetRefused::NotDeclared), "and no more than that");
        registry[0].audiences = vec!["crm".parse().expect("a name")];
        assert_eq!(outcome(&registry, 0, Some("crm")), Err(TargetRefused::NotOpen), "its own word counts for nothing");
        registry[1].disabled_at = Some(Timestamp::from_seconds(1));
        assert_eq!(outcome(&registry, 0, Some(OPEN)), Err(TargetRefused::NotOpen));
        registry[1].disabled_at = None;
        registry[1].open_to_third_parties = vec![ISSUER.parse().expect("a name")];
        assert_eq!(outcome(&registry, 0, Some(ISSUER)), Err(TargetRefused::Issuer));
    }

    #[test]
    fn an_app_is_open_by_addresses_of_its_own() {
        let stock = app("stock", &[]);
        let may = |name: &str| may_be_open_as(&stock, &name.parse().expect("an audience"));
        for own in ["", "/", "/mcp", "/a/b"] {
            assert!(
                may(&format!("https://stock.company.com{own}")) && may(&format!("https://stock-2.company.com{own}")),
                "{own}"
            );
        }
        for other in [
            "stock",
            "https://crm.company.com/mcp",
            "https://stock.company.com.evil.com/mcp",
            "https://stock.company.com:8443/mcp",
            "https://stock.company.com@evil.com/",
            "http://stock.company.com/mcp",
            "https://stock.company.com?x",
            "https://stock.company.com/mcp?tenant=1",
            "https://stock.company.com/mcp#tools",
        ] {
            assert!(!may(other), "{other}");
        }
    }

    #[test]
    fn neither_the_app_itself_nor_we_nor_a_disabled_app_can_be_meant() {
        for own in ["pos", "https://pos.company.com", "https://pos-2.company.com"] {
            assert_eq!(outcome(&[own], Some("pos"), false), Err(TargetRefused::Itself), "{own}");
            assert_eq!(outcome(&[own], None, false), Err(TargetRefused::Itself), "{own}");
        }
        assert_eq!(outcome(&[ISSUER], Some(ISSUER), false), Err(TargetRefused::Issuer));
        assert_eq!(outcome(&["stock"], Some("stock"), true), Err(TargetRefused::Disabled));
        assert_eq!(outcome(&["stock"], Some("https://stock.company.com"), true), Err(TargetRefused::Disabled));
    }
}
