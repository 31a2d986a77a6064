//! Signing in at another OIDC provider (OIDC Core 1.0, protocol §10): what its documents and its ID tokens are worth.
//!
//! [`Identity`] is what a session of ours may begin with, and only [`id_token::verify`] makes one.

pub mod email;
pub mod id_token;
pub mod issuer;
pub mod key_set;
pub mod logout_token;
pub mod metadata;
mod signed;

use serde::Deserialize;
use serde_json::Value;

use crate::id::Subject;
use crate::session::{Acr, Amr};
use crate::time::Timestamp;

pub use self::email::MailAddress;
pub use self::id_token::{Expected, IdTokenRefused};
pub use self::issuer::{Issuer, Tenant};
pub use self::key_set::KeySet;
pub use self::logout_token::{Ended, LogoutTokenRefused, SignOut};
pub use self::metadata::{ClientAuthentication, Metadata};

/// What a provider's word on the strength of a sign-in counts for here. Nothing, unless the operator says so: the values are the provider's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecondFactor {
    /// Values of `acr` that mean two factors.
    pub acr: Vec<String>,
    /// Values of `amr`, each of which means two factors.
    pub amr: Vec<String>,
}

/// Who somebody is at a provider: issuer and subject, never the mail address.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    issuer: Box<str>,
    subject: Subject,
    acr: Acr,
    amr: Vec<Amr>,
    authenticated_at: Timestamp,
    there: There,
    claims: Value,
}

/// What a session of ours came of, in the provider's words: how a logout token names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct There {
    /// `sub` of the ID token, also where people are known by another claim.
    pub subject: String,
    /// `sid`, which of their sessions it is, if the provider says (OIDC Back-Channel Logout 1.0 §2.1).
    pub sid: Option<String>,
    /// `iat`.
    pub issued_at: Timestamp,
}

impl There {
    fn of(subject: &str, sid: Option<&Value>, issued_at: Timestamp) -> Self {
        let sid = sid.and_then(Value::as_str).filter(|sid| logout_token::is_name(sid)).map(str::to_owned);
        Self { subject: subject.to_owned(), sid, issued_at }
    }
}

impl Identity {
    /// `iss`, exactly. Of a provider with many tenants, the tenant's.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`; at Entra ID `oid`, which is the same for every client.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// How strong the sign-in there was.
    pub fn acr(&self) -> Acr {
        self.acr
    }

    /// By what, as far as we know the words.
    pub fn amr(&self) -> &[Amr] {
        &self.amr
    }

    /// When the person proved there who they are; where the provider does not say, when it told us.
    pub fn authenticated_at(&self) -> Timestamp {
        self.authenticated_at
    }

    /// What the session that begins with it came of.
    pub fn there(&self) -> &There {
        &self.there
    }

    /// Everything that is known of them there.
    pub fn claims(&self) -> &Value {
        &self.claims
    }

    /// With what the userinfo endpoint says besides (OIDC Core 1.0 §5.3.2). What is signed stays as it is; `None` if it is about somebody else.
    #[must_use]
    pub fn with_userinfo(mut self, userinfo: Value) -> Option<Self> {
        let (Value::Object(claims), Value::Object(mut more)) = (&mut self.claims, userinfo) else { return None };
        if more.get("sub").is_none_or(|sub| Some(sub) != claims.get("sub")) {
            return None;
        }
        // An address and the word on it belong together: one person's, verified, must not vouch for another that is not (advisory T54).
        if claims.contains_key("email") && claims.get("email") != more.get("email") {
            more.remove("email_verified");
        } else if !claims.contains_key("email") {
            claims.remove("email_verified");
        }
        for (name, value) in more {
            claims.entry(name).or_insert(value);
        }
        Some(self)
    }

    /// The mail address, and whether the provider says that it is the person's. `email_verified` is the JSON boolean `true` or it is not (advisory
    /// T56): `"true"` and `1` come from programs that say it of everybody.
    pub fn email(&self) -> Option<(MailAddress, bool)> {
        let address = self.claims.get("email")?.as_str()?.parse().ok()?;
        Some((address, self.claims.get("email_verified") == Some(&Value::Bool(true))))
    }

    /// The texts under a claim, by a dotted path: one, or a list of them. What is no text is left out.
    pub fn texts(&self, path: &str) -> Vec<&str> {
        // A claim may have dots in its own name, as those that are addresses do.
        let found = self.claims.get(path);
        let found = found.or_else(|| path.split('.').try_fold(&self.claims, |value, name| value.get(name)));
        match found {
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(claims: Value) -> Identity {
        Identity {
            issuer: "https://accounts.example".into(),
            subject: "7".parse().expect("a subject"),
            acr: Acr::Aal1,
            amr: Vec::new(),
            authenticated_at: Timestamp::from_seconds(1),
            there: There::of("7", None, Timestamp::from_seconds(1)),
            claims,
        }
    }

    /// T56
    #[test]
    fn an_address_is_verified_by_the_boolean_true_and_nothing_else() {
        let verified = |claim: Value| {
            let claims = json!({ "sub": "7", "email": "Ana@Company.com", "email_verified": claim });
            identity(claims).email().expect("an address").1
        };
        assert!(verified(json!(true)));
        for claim in
            [json!("true"), json!(1), json!("1"), json!([true]), json!({ "a": true }), json!(null), json!(false)]
        {
            assert!(!verified(claim.clone()), "{claim}");
        }
        let silent = identity(json!({ "sub": "7", "email": "ana@company.com" }));
        assert!(!silent.email().expect("an address").1);
    }

    #[test]
    fn userinfo_adds_and_never_changes_and_is_about_the_same_person() {
        let signed = || identity(json!({ "sub": "7", "email": "ana@company.com" }));
        let more = json!({ "sub": "7", "email": "ben@company.com", "name": "Ana" });
        let both = signed().with_userinfo(more).expect("about the same person");
        assert_eq!(both.claims(), &json!({ "sub": "7", "email": "ana@company.com", "name": "Ana" }));
        let own = json!({ "sub": "7", "email": "evil@example.com", "email_verified": true });
        let mixed = signed().with_userinfo(own).expect("about the same person");
        assert!(!mixed.email().expect("an address").1, "of the other address");
        let bare = identity(json!({ "sub": "7", "email_verified": true }));
        let mixed =
            bare.with_userinfo(json!({ "sub": "7", "email": "ana@company.com" })).expect("about the same person");
        assert!(!mixed.email().expect("an address").1, "of an address that was not named");
        let same = json!({ "sub": "7", "email": "ana@company.com", "email_verified": true });
        assert!(signed().with_userinfo(same).expect("about the same person").email().expect("an address").1);
        for other in [json!({ "sub": "8" }), json!({ "name": "Ana" }), json!([]), json!({ "sub": 7 })] {
            assert_eq!(signed().with_userinfo(other), None);
        }
    }

    #[test]
    fn claims_are_found_by_name_or_by_path() {
        let identity = identity(json!({
            "sub": "7", "groups": ["a", 1, "b"], "realm_access": { "roles": ["c"] }, "https://company.com/roles": "d",
        }));
        assert_eq!(identity.texts("groups"), ["a", "b"]);
        assert_eq!(identity.texts("realm_access.roles"), ["c"]);
        assert_eq!(identity.texts("https://company.com/roles"), ["d"]);
        assert!(identity.texts("realm_access").is_empty() && identity.texts("no.such").is_empty());
    }
}
