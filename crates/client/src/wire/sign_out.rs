//! What the engine answers to a sign-out (protocol §9), and what it says about sessions that ended elsewhere (OIDC
//! Back-Channel Logout 1.0 §2.4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;

use super::Parties;
use crate::origin::Origin;

const LONGEST_LOGOUT_TOKEN: usize = 8 * 1024;

#[derive(Deserialize)]
struct SignedOut {
    continue_at: Option<String>,
}

/// Where the person goes on to: an address of the engine, which an older one does not give. Its word is not taken for
/// any other address.
pub(crate) fn continue_at(body: &[u8], engine: &Origin) -> Option<String> {
    let address = serde_json::from_slice::<SignedOut>(body).ok()?.continue_at?;
    let parsed = Url::parse(&address).ok();
    let at_engine = parsed.is_some_and(|url| url.origin().ascii_serialization() == engine.as_str())
        && address.strip_prefix(engine.as_str()).is_some_and(|path| path.starts_with('/'))
        && address.bytes().all(|byte| byte.is_ascii_graphic());
    if !at_engine {
        tracing::error!("after a sign-out, the engine sends people to an address that is not its own; they stay here");
    }
    at_engine.then_some(address)
}

#[derive(Deserialize)]
struct LogoutToken {
    iss: String,
    aud: Audience,
    sid: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// The session that a logout token is about, if it comes from this engine's hand to this app, by what it says.
///
/// Its signature is not checked, because it is a hint and no credential: whoever forges one makes this app forget what it
/// remembers of a session, and so reaches one more question to the engine. The engine's answer decides.
pub(crate) fn ended_session(token: &str, parties: &Parties) -> Option<String> {
    if token.len() > LONGEST_LOGOUT_TOKEN {
        return None;
    }
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let token: LogoutToken = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let to_us = match &token.aud {
        Audience::One(audience) => *audience == parties.app_key,
        Audience::Several(audiences) => audiences.contains(&parties.app_key),
    };
    (token.iss == parties.issuer && to_us).then_some(token.sid)
}

#[cfg(test)]
mod tests {
    use super::super::tests::parties;
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn continued(address: &str) -> Option<String> {
        let engine = Origin::parse("https://auth.company.com").expect("valid");
        continue_at(json!({"signed_out":true,"continue_at":address}).to_string().as_bytes(), &engine)
    }

    #[test]
    fn people_go_on_at_the_engine_only() {
        let receipt = "https://auth.company.com/sign-out/receipt?id=1";
        assert_eq!(continued(receipt).as_deref(), Some(receipt));
        for elsewhere in [
            "https://auth.company.com",
            "https://auth.company.com.evil.com/",
            "https://auth.company.com@evil.com/",
            "https://auth.company.com:8443/",
            "https://evil.com/https://auth.company.com/",
            "http://auth.company.com/",
            "//auth.company.com/",
            "/sign-out/receipt",
            "https://auth.company.com/\r\nSet-Cookie: a=b",
            "https://auth.company.com/\u{e9}",
            "",
        ] {
            assert_eq!(continued(elsewhere), None, "{elsewhere}");
        }
        let engine = Origin::parse("https://auth.company.com").expect("valid");
        for older in [b"".as_slice(), b"{}", b"[]", b"{\"continue_at\":null}", b"{\"continue_at\":7}"] {
            assert_eq!(continue_at(older, &engine), None);
        }
    }

    fn token(claims: &Value) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    #[test]
    fn a_logout_token_names_a_session_to_its_own_audience() {
        let ended = |claims: &Value| ended_session(&token(claims), &parties());
        let good = json!({"iss":"https://auth.company.com","aud":"pos","sid":"s_1","events":{}});
        assert_eq!(ended(&good).as_deref(), Some("s_1"));
        let with = |member: &str, value: Value| {
            let mut claims = good.clone();
            claims[member] = value;
            claims
        };
        assert_eq!(ended(&with("aud", json!(["cashier", "pos"]))).as_deref(), Some("s_1"));
        for bad in [
            with("iss", json!("https://evil.com")),
            with("iss", json!(null)),
            with("aud", json!("cashier")),
            with("aud", json!(["cashier"])),
            with("aud", json!({})),
            with("sid", json!(7)),
            with("sid", json!(null)),
            json!([]),
        ] {
            assert_eq!(ended(&bad), None, "{bad}");
        }
        let text = token(&good);
        for malformed in
            [format!("{text}.x"), "e30.e30".into(), text.replace("e30.", "e30.!"), "..".into(), String::new()]
        {
            assert_eq!(ended_session(&malformed, &parties()), None, "{malformed}");
        }
        assert_eq!(ended_session(&token(&with("padding", json!("x".repeat(8192)))), &parties()), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-zA-Z0-9_.-]{0,80}") {
            prop_assert_eq!(ended_session(&text, &parties()), None);
        }
    }
}
