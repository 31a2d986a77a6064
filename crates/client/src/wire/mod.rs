//! What is said on the wire: introspection requests and answers (protocol §4, RFC 7662). An active answer that
//! lacks something or is meant for somebody else is the engine's fault and never becomes a caller.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

mod handoff;
mod sign_out;

pub(crate) use handoff::{Redemption, is_invalid_grant, redemption};
pub(crate) use sign_out::{continue_at, ended_session};

use crate::caller::Facts;
use crate::cookies::Pass;

/// One call of `POST /introspect`.
#[derive(Debug)]
pub(crate) struct Question {
    /// One or several passes.
    pub(crate) passes: Vec<Pass>,
    /// A token of this request to be checked.
    pub(crate) csrf: Option<CsrfCheck>,
    /// The version we hold, for a single pass.
    pub(crate) if_version: Option<String>,
}

/// A CSRF token as presented, and the method it is to cover.
#[derive(Debug, Clone)]
pub(crate) struct CsrfCheck {
    pub(crate) token: String,
    pub(crate) method: String,
}

#[derive(Serialize)]
struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<&'a str>>,
    host: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_version: Option<&'a str>,
}

impl Question {
    /// The request body.
    pub(crate) fn to_json(&self, host: &str) -> Vec<u8> {
        let mut tokens: Vec<&str> = self.passes.iter().map(Pass::as_str).collect();
        let single = if tokens.len() == 1 { tokens.pop() } else { None };
        let request = Request {
            token: single,
            tokens: (!tokens.is_empty()).then_some(tokens),
            host,
            csrf_token: self.csrf.as_ref().map(|check| check.token.as_str()),
            method: self.csrf.as_ref().map(|check| check.method.as_str()),
            if_version: single.and(self.if_version.as_deref()),
        };
        serde_json::to_vec(&request).expect("plain text members")
    }
}

/// Who must have answered whom.
#[derive(Debug, Clone)]
pub(crate) struct Parties {
    pub(crate) issuer: String,
    pub(crate) app_key: String,
}

/// What the engine says about one pass.
pub(crate) enum Answer {
    /// Not signed in, or not here.
    Inactive,
    /// Signed in.
    Active {
        /// `None`: as in the version we named.
        facts: Option<Arc<Facts>>,
        extras: Extras,
    },
}

/// What belongs to this answer and not to the person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    pub(crate) cache_for: Duration,
    pub(crate) set_cookie: Option<String>,
    pub(crate) csrf_failed: bool,
}

#[derive(Deserialize)]
struct Batch {
    results: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    active: bool,
    #[serde(default)]
    unchanged: bool,
    token_type: Option<String>,
    iss: Option<String>,
    client_id: Option<String>,
    sub: Option<String>,
    sid: Option<String>,
    username: Option<String>,
    name: Option<String>,
    auth_time: Option<u64>,
    acr: Option<String>,
    amr: Option<Vec<String>>,
    iat: Option<u64>,
    exp: Option<u64>,
    roles: Option<Vec<String>>,
    permissions: Option<Vec<String>>,
    attributes: Option<Map<String, Value>>,
    version: Option<String>,
    cache_for: Option<u64>,
    csrf_token: Option<String>,
    csrf: Option<String>,
    set_cookie: Option<String>,
}

/// Reads the answer to `question`, one entry per pass. The error says what is wrong with it.
pub(crate) fn answers(body: &[u8], question: &Question, parties: &Parties) -> Result<Vec<Answer>, String> {
    let raw = if question.passes.len() == 1 {
        vec![serde_json::from_slice(body).map_err(|error| error.to_string())?]
    } else {
        serde_json::from_slice::<Batch>(body).map_err(|error| error.to_string())?.results
    };
    if raw.len() != question.passes.len() {
        return Err(format!("{} answers to {} passes", raw.len(), question.passes.len()));
    }
    raw.into_iter().map(|raw| raw.read(parties, question.if_version.is_some())).collect()
}

impl Raw {
    fn read(self, parties: &Parties, version_named: bool) -> Result<Answer, String> {
        if !self.active {
            return Ok(Answer::Inactive);
        }
        let extras = Extras {
            cache_for: Duration::from_secs(self.cache_for.unwrap_or(0)),
            set_cookie: self.set_cookie,
            csrf_failed: self.csrf.is_some_and(|verdict| verdict != "ok"),
        };
        if self.unchanged {
            if version_named {
                return Ok(Answer::Active { facts: None, extras });
            }
            return Err("unchanged, without a version to compare with".to_owned());
        }
        let missing = |member: &str| format!("an active answer without {member}");
        if self.iss.as_deref() != Some(&parties.issuer) {
            return Err(format!("issuer is {:?}, expected {}", self.iss, parties.issuer));
        }
        if self.client_id.as_deref() != Some(&parties.app_key) {
            return Err(format!("answered for app {:?}, asked as {}", self.client_id, parties.app_key));
        }
        // An access token that somebody put into the pass's cookie: active, but no sign-in in this browser.
        if self.token_type.ok_or_else(|| missing("token_type"))? != "pass" {
            return Ok(Answer::Inactive);
        }
        let text = |value: Option<String>, member| value.filter(|text| !text.is_empty()).ok_or_else(|| missing(member));
        let mut permissions = self.permissions.ok_or_else(|| missing("permissions"))?;
        permissions.sort_unstable();
        permissions.dedup();
        let facts = Facts {
            user_id: text(self.sub, "sub")?,
            name: self.name.filter(|name| !name.is_empty()),
            username: text(self.username, "username")?,
            session_id: text(self.sid, "sid")?,
            roles: self.roles.unwrap_or_default(),
            permissions,
            acr: text(self.acr, "acr")?,
            amr: self.amr.unwrap_or_default(),
            authenticated_at: self.auth_time.ok_or_else(|| missing("auth_time"))?,
            attributes: self.attributes.unwrap_or_default(),
            csrf_token: self.csrf_token,
            issued_at: self.iat.ok_or_else(|| missing("iat"))?,
            expires_at: self.exp.ok_or_else(|| missing("exp"))?,
            version: self.version,
        };
        Ok(Answer::Active { facts: Some(Arc::new(facts)), extras })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn pass(text: &str) -> Pass {
        let line = format!("p={text}").parse().expect("a header value");
        let headers = http::HeaderMap::from_iter([(http::header::COOKIE, line)]);
        crate::cookies::presented(&headers, "p").passes.remove(0)
    }

    fn question(passes: &[&str]) -> Question {
        Question { passes: passes.iter().map(|text| pass(text)).collect(), csrf: None, if_version: None }
    }

    pub(super) fn parties() -> Parties {
        Parties { issuer: "https://auth.company.com".into(), app_key: "pos".into() }
    }

    pub(super) fn active() -> Value {
        json!({"active":true,"token_type":"pass","iss":"https://auth.company.com","client_id":"pos","sub":"u_1","sid":"s_1",
            "username":"ana","auth_time":1,"acr":"aal1","amr":["pwd"],"iat":1,"exp":901,"roles":["cashier"],
            "permissions":["canRefund","canCreateOrder"],"scope":"canCreateOrder canRefund","attributes":{},"version":"7",
            "cache_for":10,"csrf_token":"t","set_cookie":null,"request_token":null})
    }

    fn read(body: &Value) -> Result<Answer, String> {
        answers(body.to_string().as_bytes(), &question(&["a"]), &parties()).map(|mut all| all.remove(0))
    }

    #[test]
    fn a_request_names_one_token_or_several_and_nothing_that_is_not_there() {
        let json = |question: &Question| String::from_utf8(question.to_json("pos.company.com")).expect("UTF-8");
        assert_eq!(json(&question(&["a"])), r#"{"token":"a","host":"pos.company.com"}"#);
        assert_eq!(json(&question(&["a", "b"])), r#"{"tokens":["a","b"],"host":"pos.company.com"}"#);
        let mut checked = question(&["a"]);
        checked.csrf = Some(CsrfCheck { token: "t".into(), method: "POST".into() });
        checked.if_version = Some("7".into());
        assert_eq!(
            json(&checked),
            r#"{"token":"a","host":"pos.company.com","csrf_token":"t","method":"POST","if_version":"7"}"#
        );
    }

    #[test]
    fn a_complete_answer_is_read() {
        let Ok(Answer::Active { facts: Some(facts), extras }) = read(&active()) else { panic!("active") };
        assert_eq!(facts.permissions, ["canCreateOrder", "canRefund"]);
        assert_eq!(extras, Extras { cache_for: Duration::from_secs(10), ..Extras::default() });
    }

    #[test]
    fn an_answer_that_lacks_something_or_is_for_somebody_else_is_a_fault() {
        for member in [
            "iss",
            "client_id",
            "token_type",
            "sub",
            "sid",
            "username",
            "auth_time",
            "acr",
            "iat",
            "exp",
            "permissions",
        ] {
            let mut body = active();
            body.as_object_mut().expect("an object").remove(member);
            assert!(read(&body).is_err(), "without {member}");
            body[member] = json!(null);
            assert!(read(&body).is_err(), "null {member}");
            body[member] = json!({});
            assert!(read(&body).is_err(), "wrong type of {member}");
        }
        for (member, value) in [("iss", "https://evil.com"), ("client_id", "cashier"), ("sub", ""), ("sid", "")] {
            let mut body = active();
            body[member] = json!(value);
            assert!(read(&body).is_err(), "{member} = {value}");
        }
        for body in [
            json!({}),
            json!({"active":"true"}),
            json!({"active":1}),
            json!([]),
            json!({"active":true,"unchanged":true}),
        ] {
            assert!(read(&body).is_err(), "{body}");
        }
    }

    #[test]
    fn another_kind_of_token_is_nobody() {
        let mut body = active();
        body["token_type"] = json!("access_token");
        assert!(matches!(read(&body), Ok(Answer::Inactive)));
    }

    #[test]
    fn a_batch_answers_every_pass() {
        let two = question(&["a", "b"]);
        let body = json!({"results":[{"active":false}, active()]}).to_string();
        assert_eq!(answers(body.as_bytes(), &two, &parties()).map(|all| all.len()), Ok(2));
        let body = json!({"results":[active()]}).to_string();
        assert!(answers(body.as_bytes(), &two, &parties()).is_err());
        assert!(answers(active().to_string().as_bytes(), &two, &parties()).is_err());
    }

    impl std::fmt::Debug for Answer {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str(if matches!(self, Self::Inactive) { "Inactive" } else { "Active" })
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_a_caller_by_accident(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let answer = answers(&bytes, &question(&["a"]), &parties());
            let active = matches!(answer.as_deref(), Ok([Answer::Active { .. }]));
            prop_assert!(!active);
        }
    }
}
