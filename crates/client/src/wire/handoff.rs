//! What the engine answers to a handoff's code (protocol §8 number 4; RFC 6749 §5).

use std::sync::Arc;

use serde::Deserialize;
use url::Url;

use super::{Answer, Parties, Raw};
use crate::caller::Facts;

/// Who has just shown at home to be using this browser.
pub(crate) struct Redemption {
    /// The person and their session; `None` for somebody who has no business in this app and goes on to another one of its zone.
    pub(crate) facts: Option<Arc<Facts>>,
    /// The pass, as a line to relay.
    pub(crate) set_cookie: String,
    /// Where they wanted to go, if the engine was told; it has checked that.
    pub(crate) return_to: Option<Url>,
}

/// Without the assertion: that is for sites which cannot call the engine. This answer came over our own connection.
#[derive(Deserialize)]
struct Redeemed {
    set_cookie: String,
    envelope: Raw,
    return_to: Option<String>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Reads the answer to a code. The envelope must satisfy what an introspection must; the error says what is wrong.
pub(crate) fn redemption(body: &[u8], parties: &Parties) -> Result<Redemption, String> {
    let redeemed: Redeemed = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let facts = match redeemed.envelope.read(parties, false)? {
        Answer::Active { facts: Some(facts), .. } => Some(facts),
        Answer::Inactive if redeemed.return_to.is_some() => None,
        _ => return Err("a code was redeemed for a session that is not active".to_owned()),
    };
    let return_to = redeemed.return_to.and_then(|text| {
        let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "https" | "http"));
        if url.is_none() {
            tracing::error!("the engine sends people to an address that is none; they stay here instead");
        }
        url
    });
    Ok(Redemption { facts, set_cookie: redeemed.set_cookie, return_to })
}

/// Whether a refusal is about the code, not about us.
pub(crate) fn is_invalid_grant(body: &[u8]) -> bool {
    serde_json::from_slice::<Refused>(body).is_ok_and(|refused| refused.error == "invalid_grant")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{active, parties};
    use super::*;
    use serde_json::{Value, json};

    fn redeemed(more: &Value) -> Value {
        let mut body = json!({"assertion":"a.b.c","set_cookie":"p=1; Path=/","envelope":active(),"return_to":null});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    }

    fn read(body: &Value) -> Result<Redemption, String> {
        redemption(body.to_string().as_bytes(), &parties())
    }

    #[test]
    fn a_complete_answer_is_read() {
        let redemption = read(&redeemed(&json!({"return_to":"https://pos.company2.com/a?b=c"}))).expect("complete");
        assert_eq!(
            (redemption.facts.map(|facts| facts.user_id.clone()).as_deref(), redemption.set_cookie.as_str()),
            (Some("u_1"), "p=1; Path=/")
        );
        assert_eq!(redemption.return_to.map(String::from).as_deref(), Some("https://pos.company2.com/a?b=c"));
    }

    #[test]
    fn somebody_who_only_passes_through_need_not_be_anybody_here() {
        let through = json!({"envelope":{"active":false},"return_to":"https://other.company2.com/"});
        assert!(read(&redeemed(&through)).expect("complete").facts.is_none());
    }

    #[test]
    fn nobody_is_sent_to_what_is_no_web_address() {
        for odd in ["javascript:alert(1)", "data:text/html,x", "/path", "", "https://"] {
            let redemption = read(&redeemed(&json!({"return_to":odd}))).expect("complete otherwise");
            assert!(redemption.return_to.is_none(), "{odd}");
        }
    }

    #[test]
    fn whatever_is_missing_inactive_or_for_somebody_else_is_a_fault() {
        let with = |member: &str, value: Value| {
            let mut envelope = active();
            envelope[member] = value;
            json!({"envelope":envelope})
        };
        for more in [
            json!({"set_cookie":null}),
            json!({"set_cookie":["p=1"]}),
            json!({"envelope":null}),
            json!({"envelope":{"active":false}}),
            json!({"return_to":7}),
            with("iss", json!("https://evil.com")),
            with("client_id", json!("cashier")),
            with("token_type", json!("access_token")),
            with("sid", json!(null)),
            with("unchanged", json!(true)),
        ] {
            assert!(read(&redeemed(&more)).is_err(), "{more}");
        }
        assert!(read(&active()).is_err(), "an introspection answer is none");
        assert!(redemption(b"", &parties()).is_err());
    }

    #[test]
    fn only_the_standard_s_word_is_about_the_code() {
        assert!(is_invalid_grant(br#"{"error":"invalid_grant"}"#));
        for other in [r#"{"error":"invalid_request"}"#, r#"{"error":["invalid_grant"]}"#, "{}", "invalid_grant", ""] {
            assert!(!is_invalid_grant(other.as_bytes()), "{other}");
        }
    }
}
