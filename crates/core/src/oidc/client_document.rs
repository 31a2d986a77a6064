//! What a client says of itself in the document at its `client_id` (draft-ietf-oauth-client-id-metadata-document §4), and what becomes of it: an app of
//! somebody else that can sign people in, and nothing more. Judged like a registration ([`super::registration`]); advisories T4, T5, T82.
//!
//! A document is written once for every server there is. What it names that cannot be had here is left out where that only makes less of it: addresses that
//! no code is sent to, grants that nobody is given.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::registration::looks_different;
use super::{AuthMethod, ClientIdUrl, ClientKeys, ClientKind, ClientMetadata, RedirectUri, RegistrationRefused};
use crate::app::{Access, App, Origin};
use crate::id::ZoneName;

/// The longest document that is read (draft §6.6).
pub const LONGEST_DOCUMENT: usize = 5 * 1024;
/// How long a document counts at least, and where it does not say how long: a sign-in comes by several times.
pub const SHORTEST_LIFETIME: Duration = Duration::from_mins(5);
/// How long at most, whatever it says: after this an address that it has taken out gets no codes.
pub const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// How long what a client was given is good for when its document cannot be read any more.
pub const DOCUMENT_GRACE: Duration = Duration::from_hours(7 * 24);

/// Why a document makes no client, for whoever wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentRefused(pub &'static str);

#[derive(Deserialize)]
struct Document {
    client_id: String,
    client_secret: Option<Value>,
    client_secret_expires_at: Option<Value>,
    token_endpoint_auth_method: Option<String>,
    jwks: Option<Value>,
    dpop_bound_access_tokens: Option<bool>,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

/// The app that the document at `url` makes.
pub fn read(url: &ClientIdUrl, body: &[u8], zone: ZoneName) -> Result<App, DocumentRefused> {
    let refused = |why| Err(DocumentRefused(why));
    if body.len() > LONGEST_DOCUMENT {
        return refused("It is longer than 5 KB.");
    }
    let Ok(document) = serde_json::from_slice::<Document>(body) else {
        return refused("It is no JSON object that says client_id and redirect_uris as it should.");
    };
    // Whoever can put a file at some address of a host must not be able to speak for another one there.
    if document.client_id != url.as_str() {
        return refused("Its client_id is not the very address that it is at.");
    }
    if document.client_secret.is_some() || document.client_secret_expires_at.is_some() {
        return refused("It has a client_secret, which everybody can read.");
    }
    let keys = match (document.token_endpoint_auth_method.as_deref(), document.jwks) {
        (None | Some("none"), None) => None,
        (Some("private_key_jwt"), Some(jwks)) => match jwks.to_string().parse::<ClientKeys>() {
            Ok(keys) => Some(keys),
            Err(_) => {
                return refused("Its jwks is no set of public keys for EdDSA, ES256, PS256 or RS256, each with a kid.");
            }
        },
        _ => return refused("token_endpoint_auth_method can be none, or private_key_jwt with jwks in the document."),
    };
    let kind = if keys.is_some() { ClientKind::Confidential } else { ClientKind::Native };
    let mut metadata = document.metadata;
    metadata.token_endpoint_auth_method =
        Some(if keys.is_some() { AuthMethod::ClientSecretBasic } else { AuthMethod::None });
    metadata.client_name.get_or_insert_with(|| url.origin().host().to_owned());
    for list in [&mut metadata.redirect_uris, &mut metadata.post_logout_redirect_uris].into_iter().flatten() {
        list.retain(|text| text.parse().is_ok_and(|uri| is_its_own(url.origin(), kind, &uri)));
    }
    if metadata.redirect_uris.as_ref().is_none_or(Vec::is_empty) {
        return refused(
            "None of its redirect_uris is an https address at the origin of the client_id, or, of a program, http://127.0.0.1/…, http://[::1]/… or of a scheme that is its domain turned round.",
        );
    }
    let ours = ["authorization_code", "refresh_token"];
    for (list, ours) in [(&mut metadata.grant_types, &ours[..]), (&mut metadata.response_types, &["code"])] {
        if let Some(list) = list {
            list.retain(|name| ours.contains(&name.as_str()));
        }
    }
    let registrable = metadata.registrable().map_err(|refused| match refused {
        RegistrationRefused::RedirectUri(why) | RegistrationRefused::Metadata(why) => DocumentRefused(why),
    })?;
    let mut app = registrable.app(url.key(), zone, Access::Everyone);
    app.client.require_dpop = document.dpop_bound_access_tokens.unwrap_or_default();
    Ok(App { client_id: Some(url.clone()), jwks: keys, ..app })
}

/// Whether the client may have codes sent there. At its own origin, so that there is one host that people have to know; or, of a program, at the computer of
/// whoever uses it: at a loopback address, or a scheme that is the name of its own site turned round (RFC 8252 §7.1).
fn is_its_own(origin: &Origin, kind: ClientKind, uri: &RedirectUri) -> bool {
    match uri.origin() {
        Some(there) if there == origin => uri.as_str().starts_with("https://") || uri.loopback().is_some(),
        Some(_) => kind == ClientKind::Native && uri.loopback().is_some(),
        None => {
            let turned: Vec<_> = uri.place().rsplit('.').collect();
            let theirs = format!("https://{}", turned.join(".")).parse::<Origin>();
            kind == ClientKind::Native && theirs.is_ok_and(|theirs| theirs.is_same_site(origin))
        }
    }
}

/// The app that `known` becomes when its document says `said`. What others have decided about it, an administrator above all, stays.
pub fn update(known: &App, said: &App) -> App {
    let mut after = App {
        name: said.name.clone(),
        redirect_uris: said.redirect_uris.clone(),
        post_logout_redirect_uris: said.post_logout_redirect_uris.clone(),
        id_token_alg: said.id_token_alg,
        jwks: said.jwks.clone(),
        ..known.clone()
    };
    (after.client.kind, after.client.require_dpop) = (said.client.kind, said.client.require_dpop);
    after
}

/// Whether people who have allowed `before` have to be asked about `after`: it calls itself something else, its codes go elsewhere, or it shows in another
/// way who it is. Other keys of the same client are none of that: keys are changed.
pub fn is_another(before: &App, after: &App) -> bool {
    looks_different(before, after) || before.client.kind != after.client.kind
}

/// For how long a document counts, by its `Cache-Control` (RFC 9111 §5.2.2), within our bounds.
pub fn lifetime(cache_control: Option<&str>) -> Duration {
    let said = cache_control.unwrap_or_default().to_ascii_lowercase();
    let directives = || said.split(',').map(str::trim);
    if directives().any(|directive| matches!(directive, "no-store" | "no-cache")) {
        return SHORTEST_LIFETIME;
    }
    let age = directives().find_map(|directive| directive.strip_prefix("max-age="));
    let seconds = age.and_then(|age| age.trim_matches('"').parse().ok()).unwrap_or_default();
    Duration::from_secs(seconds).clamp(SHORTEST_LIFETIME, LONGEST_LIFETIME)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: &str = "https://planner.example/oauth/client.json";
    const CALLBACK: &str = "https://planner.example/cb";

    fn judged_at(at: &str, changes: &Value) -> Result<App, DocumentRefused> {
        let mut document = json!({ "client_id": at, "client_name": "Planner", "redirect_uris": [CALLBACK] });
        for (name, value) in changes.as_object().expect("members") {
            match value {
                Value::String(gone) if gone == "-" => drop(document.as_object_mut().expect("an object").remove(name)),
                value => document[name] = value.clone(),
            }
        }
        read(&at.parse().expect("an address"), document.to_string().as_bytes(), "home".parse().expect("a name"))
    }

    fn judged(changes: &Value) -> Result<App, DocumentRefused> {
        judged_at(AT, changes)
    }

    fn addresses(app: &App) -> Vec<&str> {
        app.redirect_uris.iter().map(RedirectUri::as_str).collect()
    }

    #[test]
    fn a_document_makes_an_app_of_somebody_else_that_can_sign_people_in_and_nothing_more() {
        let app = judged(&json!({})).expect("a client");
        assert_eq!((app.client_id(), app.key.as_str().len()), (AT, 56));
        assert!(app.third_party && app.registered && app.client.kind == ClientKind::Native && app.jwks.is_none());
        let plain = App {
            client_id: app.client_id.clone(),
            redirect_uris: app.redirect_uris.clone(),
            client: app.client.clone(),
            access: Access::Everyone,
            third_party: true,
            registered: true,
            ..App::new(app.key.clone(), "Planner", "home".parse().expect("a name"))
        };
        assert_eq!(app, plain);
        let slipped_in = json!({
            "access": "assigned", "third_party": false, "registered": false, "origins": ["https://pos.company.com"], "audiences": ["billing"],
            "client_credentials": true, "device": true, "forward_auth": true, "zone": "elsewhere", "key": "pos", "disabled_at": null,
            "logo_uri": "http://169.254.169.254/", "offline_access": true,
        });
        assert_eq!(judged(&slipped_in), Ok(app));
        assert_eq!(judged(&json!({ "client_name": "-" })).expect("a client").name, "planner.example");
        assert!(judged(&json!({ "dpop_bound_access_tokens": true })).expect("a client").client.require_dpop);
    }

    /// T4, T5: nobody speaks for another address, and nobody else's address gets codes.
    #[test]
    fn a_document_speaks_for_its_own_address_and_has_codes_sent_to_its_own_origin() {
        for other in [
            AT.to_uppercase(),
            format!("{AT}/"),
            AT.replace("https", "http"),
            AT.replace("planner", "other"),
            "pos".to_owned(),
        ] {
            assert!(judged(&json!({ "client_id": other })).is_err(), "{other}");
        }
        assert!(judged(&json!({ "client_id": "-" })).is_err() && judged(&json!({ "client_id": null })).is_err());
        for (uri, taken) in [
            (CALLBACK, true),
            ("http://127.0.0.1/cb", true),
            ("http://[::1]:7000/cb", true),
            ("example.planner:/cb", true),
            ("example.planner.app:/cb", true),
            ("https://planner.example:8443/cb", false),
            ("https://other.planner.example/cb", false),
            ("https://planner.example.evil.example/cb", false),
            ("https://evil.example/cb", false),
            ("http://planner.example/cb", false),
            ("http://localhost/cb", false),
            ("http://127.0.0.1.evil.example/cb", false),
            ("com.bank:/cb", false),
            ("javascript:alert(1)", false),
            ("https://planner.example/*", false),
            ("https://planner.example/a/../cb", false),
            ("https://planner.example/cb#x", false),
        ] {
            let judged_alone = judged(&json!({ "redirect_uris": [uri] }));
            assert_eq!(judged_alone.is_ok(), taken, "{uri}: {judged_alone:?}");
            let beside = judged(&json!({ "redirect_uris": [CALLBACK, uri], "post_logout_redirect_uris": [uri] }));
            let beside = beside.expect("what cannot be had is left out");
            assert_eq!(addresses(&beside).contains(&uri), taken, "{uri}");
            assert_eq!(beside.post_logout_redirect_uris.len(), usize::from(taken), "{uri}");
        }
        for uris in [json!([]), json!("-"), json!(null), json!(CALLBACK), json!([7])] {
            assert!(judged(&json!({ "redirect_uris": uris })).is_err(), "{uris}");
        }
        // Of a server, whatever answers at somebody's own computer is not it.
        let server = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": keys(), "redirect_uris": ["http://127.0.0.1/cb"] });
        assert!(judged(&server).is_err());
    }

    fn keys() -> Value {
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "one" }] })
    }

    /// T82: what it cannot have, and what everybody could read.
    #[test]
    fn it_has_no_secret_and_asks_for_nothing_that_it_would_not_get() {
        let signs = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": keys() });
        let app = judged(&signs).expect("a client");
        assert!(app.jwks.is_some() && app.client.kind == ClientKind::Confidential);
        for changes in [
            json!({ "client_secret": "x" }),
            json!({ "client_secret": "" }),
            json!({ "client_secret_expires_at": 0 }),
            json!({ "token_endpoint_auth_method": "client_secret_basic" }),
            json!({ "token_endpoint_auth_method": "client_secret_post" }),
            json!({ "token_endpoint_auth_method": "client_secret_jwt" }),
            json!({ "token_endpoint_auth_method": "tls_client_auth" }),
            json!({ "token_endpoint_auth_method": "NONE" }),
            json!({ "token_endpoint_auth_method": "private_key_jwt" }),
            json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://planner.example/keys" }),
            json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [] } }),
            json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [{ "kty": "oct", "k": "AAAA", "kid": "one" }] } }),
            json!({ "token_endpoint_auth_method": "none", "jwks": keys() }),
            json!({ "jwks": keys() }),
            json!({ "jwks_uri": "http://10.0.0.1/keys" }),
            json!({ "software_statement": "x.y.z" }),
            json!({ "request_uris": ["http://10.0.0.1/x"] }),
            json!({ "backchannel_logout_uri": "http://10.0.0.1/x" }),
            json!({ "require_pushed_authorization_requests": true }),
            json!({ "grant_types": ["client_credentials"] }),
            json!({ "grant_types": [] }),
            json!({ "response_types": ["token"] }),
            json!({ "subject_type": "pairwise" }),
            json!({ "client_name": "Plan\u{202e}ner" }),
            json!({ "client_name": "" }),
            json!({ "client_name": 7 }),
        ] {
            assert!(judged(&changes).is_err(), "{changes}");
        }
        // Others are told this, too; here it gets less.
        let all = json!({ "grant_types": ["authorization_code", "refresh_token", "implicit"], "response_types": ["code", "id_token"] });
        assert_eq!(judged(&all), judged(&json!({})));
        let url: ClientIdUrl = AT.parse().expect("an address");
        let at_home = || "home".parse().expect("a name");
        for body in [&b"[]"[..], b"", b"null", b"<html>", b"{\"client_id\":", b"\xff"] {
            assert!(read(&url, body, at_home()).is_err());
        }
        let long = json!({ "client_id": AT, "redirect_uris": [CALLBACK], "x": "x".repeat(LONGEST_DOCUMENT) });
        assert!(read(&url, long.to_string().as_bytes(), at_home()).is_err());
        let twice = format!("{{\"client_id\":\"x\",\"client_id\":\"{AT}\",\"redirect_uris\":[\"{CALLBACK}\"]}}");
        assert!(read(&url, twice.as_bytes(), at_home()).is_err(), "two readers could take one each");
        let twice = format!("{{\"client_id\":\"{AT}\",\"redirect_uris\":[\"x\"],\"redirect_uris\":[\"{CALLBACK}\"]}}");
        assert!(read(&url, twice.as_bytes(), at_home()).is_err());
    }

    #[test]
    fn a_changed_document_changes_what_it_says_and_nothing_else() {
        let said = judged(&json!({})).expect("a client");
        let known = App { disabled_at: Some(crate::time::Timestamp::from_seconds(1)), sensitive: true, ..said.clone() };
        assert_eq!(update(&known, &said), known);
        let signs = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": keys() });
        for (changes, another) in [
            (json!({ "client_name": "Other" }), true),
            (json!({ "redirect_uris": ["https://planner.example/other"] }), true),
            (json!({ "redirect_uris": [CALLBACK, "http://127.0.0.1/cb"] }), true),
            (signs, true),
            (json!({ "post_logout_redirect_uris": ["https://planner.example/bye"] }), false),
            (json!({ "dpop_bound_access_tokens": true }), false),
            (json!({ "id_token_signed_response_alg": "EdDSA" }), false),
        ] {
            let after = update(&known, &judged(&changes).expect("a client"));
            assert!(after != known && after.sensitive && after.disabled_at == known.disabled_at, "{changes}");
            assert_eq!(is_another(&known, &after), another, "{changes}");
        }
    }

    #[test]
    fn a_document_counts_as_long_as_it_says_within_bounds() {
        let hour = Duration::from_hours(1);
        for (said, counts) in [
            (None, SHORTEST_LIFETIME),
            (Some(""), SHORTEST_LIFETIME),
            (Some("max-age=3600"), hour),
            (Some("public, Max-Age=\"3600\""), hour),
            (Some("max-age=0"), SHORTEST_LIFETIME),
            (Some("max-age=-1"), SHORTEST_LIFETIME),
            (Some("max-age=x"), SHORTEST_LIFETIME),
            (Some("max-age=99999999999999999999"), SHORTEST_LIFETIME),
            (Some("max-age=31536000"), LONGEST_LIFETIME),
            (Some("no-store, max-age=3600"), SHORTEST_LIFETIME),
            (Some("max-age=3600,no-cache"), SHORTEST_LIFETIME),
            (Some("x-max-age=3600"), SHORTEST_LIFETIME),
        ] {
            assert_eq!(lifetime(said), counts, "{said:?}");
        }
    }
}
