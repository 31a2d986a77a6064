//! The `claims` parameter (OIDC Core 1.0 §5.5): single claims, and where the client wants to read them; how strong the sign-in must have been; and whom
//! the answer must be about. What we do not know is passed by, as the standard says.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::{AuthorizationRefused, ClientSettings, Scope};
use crate::session::Acr;

/// The longest text that is read, in bytes, and how deep it may nest: what we understand needs four.
const MAXIMUM_LENGTH: usize = 4096;
const MAXIMUM_DEPTH: usize = 8;

/// What one request says of claims.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimsParameter {
    /// What the client wants to read, besides what its scope brings.
    pub requested: RequestedClaims,
    /// Without a sign-in that strong no answer is wanted (§5.5.1.1).
    pub essential_acr: Option<Acr>,
    /// Whom the answer must be about, by the name that this client knows them by (§5.5.1).
    pub subject: Option<String>,
}

/// Which claims go where: what is remembered of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestedClaims {
    /// In the ID token.
    pub id_token: ProfileClaims,
    /// From the userinfo endpoint.
    pub userinfo: ProfileClaims,
}

/// The claims about a person that there are (§5.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's names")]
pub struct ProfileClaims {
    pub name: bool,
    pub preferred_username: bool,
    pub email: bool,
}

impl ProfileClaims {
    /// What a scope stands for (§5.4).
    pub const fn of(scope: Scope) -> Self {
        Self { name: scope.profile, preferred_username: scope.profile, email: scope.email }
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self {
            name: self.name || other.name,
            preferred_username: self.preferred_username || other.preferred_username,
            email: self.email || other.email,
        }
    }

    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read(member: &Value) -> Self {
        // Asked for with `null`, or with an object that says how much (§5.5.1).
        let asks = |name: &str| member.get(name).is_some_and(|how| how.is_null() || how.is_object());
        Self { name: asks("name"), preferred_username: asks("preferred_username"), email: asks("email") }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        let all = [(self.name, "name"), (self.preferred_username, "preferred_username"), (self.email, "email")];
        all.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| name)
    }
}

impl RequestedClaims {
    /// What the ID token is to say to a client with these settings that was granted this scope: what it asked for by name, and with
    /// `claims_in_id_token` what the scope brings, as at the userinfo endpoint.
    pub fn in_id_token(&self, settings: &ClientSettings, scope: Scope) -> ProfileClaims {
        if settings.claims_in_id_token { self.id_token.with(ProfileClaims::of(scope)) } else { self.id_token }
    }

    /// The scopes that would have brought as much: what a person is asked about, however a client asks for it.
    pub fn as_scope(&self) -> Scope {
        let all = self.id_token.with(self.userinfo);
        Scope { profile: all.name || all.preferred_username, email: all.email, offline_access: false }
    }
}

/// For a row: `id_token.email userinfo.name`.
impl fmt::Display for RequestedClaims {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id_token = self.id_token.names().map(|name| format!("id_token.{name}"));
        let userinfo = self.userinfo.names().map(|name| format!("userinfo.{name}"));
        formatter.write_str(&id_token.chain(userinfo).collect::<Vec<_>>().join(" "))
    }
}

/// A word that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no claims")]
pub struct InvalidClaims;

impl FromStr for RequestedClaims {
    type Err = InvalidClaims;

    fn from_str(text: &str) -> Result<Self, InvalidClaims> {
        let mut claims = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let there = match word.split_once('.') {
                Some(("id_token", name)) => (&mut claims.id_token, name),
                Some(("userinfo", name)) => (&mut claims.userinfo, name),
                _ => return Err(InvalidClaims),
            };
            match there {
                (there, "name") => there.name = true,
                (there, "preferred_username") => there.preferred_username = true,
                (there, "email") => there.email = true,
                _ => return Err(InvalidClaims),
            }
        }
        Ok(claims)
    }
}

impl ClaimsParameter {
    /// Reads it.
    pub fn read(text: Option<&str>) -> Result<Self, AuthorizationRefused> {
        let Some(text) = text else { return Ok(Self::default()) };
        let wrong = AuthorizationRefused::invalid_request;
        if text.len() > MAXIMUM_LENGTH {
            return Err(wrong("claims is too long"));
        }
        let claims: Value = serde_json::from_str(text).map_err(|_| wrong("claims is no JSON"))?;
        if is_deeper(&claims, MAXIMUM_DEPTH) {
            return Err(wrong("claims is nested too deep"));
        }
        Ok(Self {
            requested: RequestedClaims {
                id_token: ProfileClaims::read(&claims["id_token"]),
                userinfo: ProfileClaims::read(&claims["userinfo"]),
            },
            essential_acr: essential_acr(&claims["id_token"]["acr"])?,
            subject: subject(&claims)?,
        })
    }

    /// With nothing in it but what was understood; none if that is nothing.
    pub fn understood(&self) -> Option<String> {
        let mut claims = json!({});
        for (member, asked) in [("id_token", self.requested.id_token), ("userinfo", self.requested.userinfo)] {
            asked.names().for_each(|name| claims[member][name] = Value::Null);
        }
        if let Some(acr) = self.essential_acr {
            claims["id_token"]["acr"] = json!({ "essential": true, "value": acr.as_str() });
        }
        if let Some(subject) = &self.subject {
            claims["id_token"]["sub"] = json!({ "value": subject });
        }
        (*self != Self::default()).then(|| claims.to_string())
    }
}

fn is_deeper(value: &Value, than: usize) -> bool {
    match value {
        Value::Array(inner) => than == 0 || inner.iter().any(|inner| is_deeper(inner, than - 1)),
        Value::Object(inner) => than == 0 || inner.values().any(|inner| is_deeper(inner, than - 1)),
        _ => false,
    }
}

/// How strong a sign-in must be at least, if that is essential (§5.5.1.1): whoever will not have less must not get less.
fn essential_acr(acr: &Value) -> Result<Option<Acr>, AuthorizationRefused> {
    if acr["essential"] != true {
        return Ok(None);
    }
    let values = acr["values"].as_array().into_iter().flatten().chain([&acr["value"]]);
    let values: Vec<_> = values.filter_map(Value::as_str).collect();
    if values.is_empty() {
        // That there is one at all, and there always is.
        return Ok(None);
    }
    let weakest = values.into_iter().filter_map(Acr::parse).min();
    let code = "unmet_authentication_requirements";
    weakest.map(Some).ok_or(AuthorizationRefused { code, because: "an acr that there is not" })
}

/// Whoever the answer must be about, whichever member says it, essential or not. More than one is nobody.
fn subject(claims: &Value) -> Result<Option<String>, AuthorizationRefused> {
    let wrong = || AuthorizationRefused::invalid_request("claims names no one person by sub");
    let mut found: Option<&str> = None;
    for member in ["id_token", "userinfo"] {
        let sub = &claims[member]["sub"];
        let one = match (sub.get("value"), sub.get("values")) {
            (None, None) => continue,
            (Some(value), None) => value,
            (None, Some(values)) if values.as_array().is_some_and(|values| values.len() == 1) => &values[0],
            _ => return Err(wrong()),
        };
        // At most what a `sub` may be (§2).
        let one = one.as_str().filter(|one| !one.is_empty() && one.len() <= 255).ok_or_else(wrong)?;
        if found.is_some_and(|found| found != one) {
            return Err(wrong());
        }
        found = Some(one);
    }
    Ok(found.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(claims: &Value) -> Result<ClaimsParameter, AuthorizationRefused> {
        ClaimsParameter::read(Some(&claims.to_string()))
    }

    #[test]
    fn what_is_known_is_read_where_it_was_asked_for_and_read_again() {
        let asked = json!({
            "id_token": { "email": null, "auth_time": { "essential": true }, "picture": null, "name": "no", "sub": null },
            "userinfo": { "name": { "essential": true }, "preferred_username": { "value": "ana" }, "birthdate": null },
            "verified_claims": {}, "access_token": { "email": null },
        });
        let read_once = read(&asked).expect("good");
        assert_eq!(read_once.requested.to_string(), "id_token.email userinfo.name userinfo.preferred_username");
        assert_eq!((read_once.essential_acr, read_once.subject.as_deref()), (None, None));
        let again = ClaimsParameter::read(read_once.understood().as_deref()).expect("good");
        assert_eq!(again, read_once);
        let full = ClaimsParameter { essential_acr: Some(Acr::Aal2), subject: Some("u_\"x".to_owned()), ..read_once };
        assert_eq!(ClaimsParameter::read(full.understood().as_deref()), Ok(full.clone()));
        assert_eq!(full.requested.to_string().parse(), Ok(full.requested));
        for nothing in ["{}", "[]", "null", "1", r#"{"id_token":null}"#, r#"{"id_token":[],"userinfo":"name"}"#] {
            assert_eq!(ClaimsParameter::read(Some(nothing)), Ok(ClaimsParameter::default()), "{nothing}");
        }
        assert_eq!(ClaimsParameter::default().understood(), None);
        for bad in ["name", "id_token.groups", "userinfo.", "access_token.name", "id_token"] {
            assert_eq!(bad.parse::<RequestedClaims>(), Err(InvalidClaims), "{bad}");
        }
    }

    /// T25: a claim is as much as its scope.
    #[test]
    fn claims_are_asked_about_as_scopes_are() {
        let scope = |text: &str| text.parse::<RequestedClaims>().expect("claims").as_scope().to_string();
        assert_eq!(scope(""), "openid");
        assert_eq!(scope("id_token.email"), "openid email");
        assert_eq!(scope("userinfo.preferred_username"), "openid profile");
        assert_eq!(scope("id_token.name userinfo.email"), "openid profile email");
    }

    #[test]
    fn an_id_token_says_more_only_where_the_setting_is_and_only_what_was_granted() {
        let mut settings = ClientSettings::default();
        let claims: RequestedClaims = "id_token.email userinfo.name".parse().expect("claims");
        let said = |settings: &ClientSettings, scope: &str| {
            claims.in_id_token(settings, scope.parse().expect("a scope")).names().collect::<Vec<_>>()
        };
        assert_eq!(said(&settings, "openid profile email"), ["email"]);
        settings.claims_in_id_token = true;
        assert_eq!(said(&settings, "openid"), ["email"], "what is for the userinfo endpoint stays there");
        assert_eq!(said(&settings, "openid profile"), ["name", "preferred_username", "email"]);
    }

    #[test]
    fn one_person_is_named_or_nobody() {
        let named = |claims| read(&claims).map(|read| read.subject);
        let ana = || Ok(Some("u_a".to_owned()));
        assert_eq!(named(json!({ "id_token": { "sub": { "value": "u_a" } } })), ana());
        assert_eq!(named(json!({ "userinfo": { "sub": { "values": ["u_a"], "essential": true } } })), ana());
        let both = json!({ "id_token": { "sub": { "value": "u_a" } }, "userinfo": { "sub": { "value": "u_a" } } });
        assert_eq!(named(both), ana());
        for bad in [
            json!({ "id_token": { "sub": { "value": 7 } } }),
            json!({ "id_token": { "sub": { "value": "" } } }),
            json!({ "id_token": { "sub": { "value": null } } }),
            json!({ "id_token": { "sub": { "value": "x".repeat(256) } } }),
            json!({ "id_token": { "sub": { "values": ["u_a", "u_b"] } } }),
            json!({ "id_token": { "sub": { "values": "u_a" } } }),
            json!({ "id_token": { "sub": { "value": "u_a", "values": ["u_b"] } } }),
            json!({ "id_token": { "sub": { "value": "u_a" } }, "userinfo": { "sub": { "value": "u_b" } } }),
        ] {
            assert_eq!(read(&bad).expect_err("refused").code, "invalid_request", "{bad}");
        }
    }

    #[test]
    fn it_has_a_length_and_a_depth() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(ClaimsParameter::read(Some(&nested(8))).is_ok() && ClaimsParameter::read(Some(&nested(9))).is_err());
        for bad in [nested(2000), format!("{{}}{}", " ".repeat(4095)), "{".to_owned()] {
            assert_eq!(ClaimsParameter::read(Some(&bad)).expect_err("refused").code, "invalid_request");
        }
        assert!(ClaimsParameter::read(Some(&format!("{{}}{}", " ".repeat(4094)))).is_ok());
    }
}
