//! Which service a token for another service is for (RFC 8707 §2, RFC 8693 §2.1): one that the app's declaration names, and never the app itself
//! or us.
//!
//! A service that is an app may be named by its key or by one of its origins, each compared as it is written; the token says what the declaration
//! says, so that a service has to know one name of its own.

use std::fmt;
use std::str::FromStr;

use super::SubjectType;
use crate::app::App;
use crate::id::Audience;

/// How many services one authorization request may name, and with how many letters: whoever has to sign in first carries them along.
const MAXIMUM_RESOURCES: usize = 8;
const MAXIMUM_LENGTH: usize = 1024;

/// The services that a person has let a client call, by their declared names (RFC 8707 §2.1). None: its tokens are for our own endpoints.
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
        let mut names: Vec<Audience> = Vec::new();
        for name in text.split(' ').filter(|name| !name.is_empty()) {
            let name = name.parse().map_err(|_| InvalidResources)?;
            if !names.contains(&name) {
                names.push(name);
            }
        }
        if names.len() > MAXIMUM_RESOURCES || text.len() > MAXIMUM_LENGTH {
            Err(InvalidResources)
        } else {
            Ok(Self(names))
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(Audience::as_str).collect();
        formatter.write_str(&names.join(" "))
    }
}

impl Resources {
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
        if app.third_party && !self.is_empty() {
            return Err(TargetRefused::ThirdParty);
        }
        let mut names = Vec::new();
        for asked in &self.0 {
            let name = target(app, Some(asked.as_str()), registry.clone(), issuer)?;
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(Self(names))
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
        if app.third_party {
            return Err(TargetRefused::ThirdParty);
        }
        if self.0.contains(name) { Ok(Some(name)) } else { Err(TargetRefused::NotGranted) }
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
    /// The client is somebody else's: people are not asked yet whether it may call a service in their name.
    ThirdParty,
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
            Self::ThirdParty => "target_for_a_third_party",
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

/// Whether a service of this name is this app: by its key or one of its origins, exactly.
pub fn is_named(app: &App, name: &str) -> bool {
    app.key.as_str() == name || app.origins.iter().any(|origin| origin.as_str() == name)
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
        assert_eq!("a b c d e f g h i".parse::<Resources>(), Err(InvalidResources));
        assert_eq!("a\"b".parse::<Resources>(), Err(InvalidResources));
        let mut others = registry(&declared);
        others[0].third_party = true;
        let one: Resources = "stock".parse().expect("a name");
        assert_eq!(one.declared(&others[0], &others.iter(), ISSUER), Err(TargetRefused::ThirdParty));
        assert_eq!(one.choose(None, &others[0], others.iter(), ISSUER), Err(TargetRefused::ThirdParty));
        others[0].third_party = false;
        others[0].client.subject_type = SubjectType::Pairwise;
        assert_eq!(one.choose(None, &others[0], others.iter(), ISSUER), Err(TargetRefused::Pairwise));
        assert_eq!(target(&others[0], Some("stock"), others.iter(), ISSUER), Err(TargetRefused::Pairwise));
        assert_eq!(Resources::default().choose(None, &others[0], others.iter(), ISSUER), Ok(None));
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
