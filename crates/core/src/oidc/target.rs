//! Which service a token for another service is for (RFC 8707 §2, RFC 8693 §2.1): one that the app's declaration names, and never the app itself
//! or us.
//!
//! A service that is an app may be named by its key or by one of its origins, each compared as it is written; the token says what the declaration
//! says, so that a service has to know one name of its own.

use crate::app::App;
use crate::id::Audience;

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

fn is_named(app: &App, name: &str) -> bool {
    app.key.as_str() == name || app.origins.iter().any(|origin| origin.as_str() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Access, Assertion, FirstContact};
    use crate::time::Timestamp;

    const ISSUER: &str = "https://auth.company.com";

    fn app(key: &str, audiences: &[&str]) -> App {
        App {
            key: key.parse().expect("a key"),
            name: key.to_owned(),
            zone: "home".parse().expect("a name"),
            origins: ["", "-2"].map(|end| format!("https://{key}{end}.company.com").parse().expect("an origin")).into(),
            access: Access::Everyone,
            first_contact: FirstContact::Trust,
            sensitive: false,
            relayed_sign_in: false,
            audiences: audiences.iter().map(|audience| audience.parse().expect("an audience")).collect(),
            logout_urls: Vec::new(),
            redirect_uris: Vec::new(),
            post_logout_redirect_uris: Vec::new(),
            id_token_alg: crate::oidc::IdTokenAlgorithm::default(),
            client_credentials: true,
            device: false,
            third_party: false,
            client: crate::oidc::ClientSettings::default(),
            agent: false,
            assertion: Assertion::None,
            initiate_login_uri: None,
            forward_auth: false,
            registered: false,
            disabled_at: None,
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
