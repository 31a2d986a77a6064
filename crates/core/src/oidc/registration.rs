//! What a client says of itself when it registers (RFC 7591 §2, OIDC Dynamic Client Registration 1.0 §2), and what becomes of it: an app of somebody else
//! that can sign people in, and nothing more. Advisories T4, T5, T82, T90.
//!
//! The list of what is read is closed. What an app may do here besides is not said in these words at all, so nobody can slip it in; and nothing that is
//! an address for *us* to fetch is kept.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{ClientKind, ClientSettings, IdTokenAlgorithm, RedirectUri, check_redirect_uri};
use crate::app::{Access, App};
use crate::crypto::Random;
use crate::id::{AppKey, SecretId, ZoneName};
use crate::user::DisplayName;

/// What the keys of such clients begin with. Nobody else gets such a key, so that a log says at once what it is about.
pub const REGISTERED_KEY_PREFIX: &str = "dyn-";

/// How many addresses of each kind are kept.
const MOST_URIS: usize = 10;

/// Members that say what a client wants of us and does not get. Ignored, it would take itself for safer than it is, or not work and not know why.
const UNSUPPORTED: &[&str] = &[
    "backchannel_logout_uri",
    "default_acr_values",
    "default_max_age",
    "dpop_bound_access_tokens",
    "frontchannel_logout_uri",
    "id_token_encrypted_response_alg",
    "initiate_login_uri",
    "introspection_signed_response_alg",
    "jwks",
    "jwks_uri",
    "request_object_encryption_alg",
    "request_object_signing_alg",
    "request_uris",
    "require_pushed_authorization_requests",
    "require_signed_request_object",
    "sector_identifier_uri",
    "software_statement",
    "tls_client_certificate_bound_access_tokens",
    "token_endpoint_auth_signing_alg",
    "userinfo_encrypted_response_alg",
    "userinfo_signed_response_alg",
];

/// Members that an update must not bring (RFC 7592 §2.2): they are ours to say.
const OURS: &[&str] =
    &["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];

/// The members that are read. Whatever else there is, and means nothing for what a client may do, is ignored, as RFC 7591 §2 demands.
#[derive(Debug, Default, Deserialize)]
pub struct ClientMetadata {
    /// In an update: which client it is about.
    pub client_id: Option<String>,
    /// In an update: the secret that it has; nobody can choose one.
    pub client_secret: Option<String>,
    pub(super) redirect_uris: Option<Vec<String>>,
    pub(super) post_logout_redirect_uris: Option<Vec<String>>,
    pub(super) token_endpoint_auth_method: Option<AuthMethod>,
    pub(super) grant_types: Option<Vec<String>>,
    pub(super) response_types: Option<Vec<String>>,
    pub(super) client_name: Option<String>,
    application_type: Option<String>,
    subject_type: Option<String>,
    id_token_signed_response_alg: Option<IdTokenAlgorithm>,
    #[serde(flatten)]
    rest: BTreeMap<String, Value>,
}

/// How the client shows who it is at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMethod {
    /// Its secret, by HTTP Basic.
    #[default]
    ClientSecretBasic,
    /// Its secret, in the form.
    ClientSecretPost,
    /// It has no secret.
    None,
}

/// Why a client is not registered, or not changed (RFC 7591 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegistrationRefused {
    /// `invalid_redirect_uri`
    RedirectUri(&'static str),
    /// `invalid_client_metadata`
    Metadata(&'static str),
}

/// A client as it may be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registrable {
    /// How it shows who it is.
    pub method: AuthMethod,
    /// A program, or a server; a page with scripts would need addresses in a zone, which an administrator gives.
    pub kind: ClientKind,
    name: String,
    redirect_uris: Vec<RedirectUri>,
    post_logout_redirect_uris: Vec<RedirectUri>,
    id_token_alg: IdTokenAlgorithm,
}

impl ClientMetadata {
    /// Judges it, in a registration and in each update alike.
    pub fn registrable(&self) -> Result<Registrable, RegistrationRefused> {
        use RegistrationRefused::{Metadata, RedirectUri as Uri};
        if UNSUPPORTED.iter().any(|name| self.rest.get(*name).is_some_and(is_said)) {
            return Err(Metadata("It asks for something that is not supported: see the discovery document."));
        }
        let all_in = |list: &Option<Vec<String>>, known: &[&str]| {
            list.iter().flatten().all(|text| known.contains(&text.as_str()))
        };
        let names = |list: &Option<Vec<String>>, name: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|text| text == name))
        };
        if !all_in(&self.response_types, &["code"]) || !names(&self.response_types, "code") {
            return Err(Metadata("response_types can be [\"code\"] only."));
        }
        let grants = ["authorization_code", "refresh_token"];
        if !all_in(&self.grant_types, &grants) || !names(&self.grant_types, "authorization_code") {
            return Err(Metadata("grant_types can be authorization_code and refresh_token only."));
        }
        if self.subject_type.as_deref().is_some_and(|text| text != "public") {
            return Err(Metadata("subject_type can be public only."));
        }
        let name = match self.client_name.as_deref().map(str::parse::<DisplayName>) {
            Some(Ok(name)) => name.to_string(),
            Some(Err(_)) => return Err(Metadata("client_name is no name that people could be shown.")),
            None => return Err(Metadata("client_name is missing: people are asked about it by that name.")),
        };
        let method = self.token_endpoint_auth_method.unwrap_or_default();
        let web = match self.application_type.as_deref() {
            None | Some("native") => false,
            Some("web") => true,
            Some(_) => return Err(Metadata("application_type can be web or native.")),
        };
        let redirect_uris =
            uris(self.redirect_uris.as_deref()).ok_or(Uri("A redirect URI is no address that can be registered."))?;
        let post_logout_redirect_uris = uris(self.post_logout_redirect_uris.as_deref())
            .ok_or(Metadata("One of post_logout_redirect_uris is no address that can be registered."))?;
        if redirect_uris.is_empty() {
            return Err(Uri("redirect_uris is missing."));
        }
        let kind = if method == AuthMethod::None { ClientKind::Native } else { ClientKind::Confidential };
        let https = |uri: &RedirectUri| uri.as_str().starts_with("https://");
        if web && !redirect_uris.iter().all(https) {
            return Err(Uri("A redirect URI of a web client must be an https address."));
        }
        if kind == ClientKind::Confidential && post_logout_redirect_uris.iter().any(|uri| uri.origin().is_none()) {
            return Err(Metadata(
                "One of post_logout_redirect_uris has a scheme of its own, which is for native clients.",
            ));
        }
        let id_token_alg = self.id_token_signed_response_alg.unwrap_or_default();
        let registrable = Registrable { method, kind, name, redirect_uris, post_logout_redirect_uris, id_token_alg };
        // The same rule as for an administrator's apps.
        let app = registrable.app("dyn-x".parse().expect("a key"), "home".parse().expect("a name"), Access::Assigned);
        if app.redirect_uris.iter().any(|uri| check_redirect_uri(&app, uri).is_err()) {
            return Err(Uri("A redirect URI is none that this kind of client can have."));
        }
        Ok(registrable)
    }

    /// Whether it brings what only we can say.
    pub fn says_what_is_ours(&self) -> bool {
        OURS.iter().any(|name| self.rest.contains_key(*name))
    }
}

/// Asked for, and not merely mentioned.
fn is_said(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false))
}

fn uris(list: Option<&[String]>) -> Option<Vec<RedirectUri>> {
    let list = list.unwrap_or_default();
    if list.len() > MOST_URIS {
        return None;
    }
    list.iter().map(|text| text.parse().ok()).collect()
}

impl Registrable {
    /// The app that it is. What is not in the metadata is what an app of somebody else has: next to nothing.
    pub fn app(&self, key: AppKey, zone: ZoneName, access: Access) -> App {
        App {
            // No origins: no pass reaches it, and no sign-in leads to it but by its own requests.
            access,
            client: ClientSettings { kind: self.kind, ..ClientSettings::default() },
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            id_token_alg: self.id_token_alg,
            third_party: true,
            registered: true,
            ..App::new(key, self.name.clone(), zone)
        }
    }

    /// The app that `known` becomes by an update. What others have decided about it, an administrator above all, stays (advisory T90); so does what kind of
    /// client it is: a client with a secret that became one without would go on under a name that means more than it does.
    pub fn update(&self, known: &App) -> Result<App, RegistrationRefused> {
        if self.kind != known.client.kind {
            return Err(RegistrationRefused::Metadata("A client cannot be given a secret, or lose it, by an update."));
        }
        Ok(App {
            name: self.name.clone(),
            redirect_uris: self.redirect_uris.clone(),
            post_logout_redirect_uris: self.post_logout_redirect_uris.clone(),
            id_token_alg: self.id_token_alg,
            ..known.clone()
        })
    }
}

/// Whether people who have allowed `before` have to be asked about `after`: the page showed them its name and where their answer goes.
pub fn looks_different(before: &App, after: &App) -> bool {
    (&before.name, &before.redirect_uris) != (&after.name, &after.redirect_uris)
}

/// A key for a client that registers.
pub fn registered_key(random: &mut dyn Random) -> AppKey {
    let text = SecretId::mint(random).to_string();
    format!("{REGISTERED_KEY_PREFIX}{}", &text[SecretId::PREFIX.len()..]).parse().expect("base32 is lower case")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn judged(changes: &Value) -> Result<Registrable, RegistrationRefused> {
        let mut metadata = json!({ "redirect_uris": ["https://planner.example/cb"], "client_name": "Planner" });
        for (name, value) in changes.as_object().expect("members") {
            metadata[name] = value.clone();
        }
        serde_json::from_value::<ClientMetadata>(metadata).expect("readable").registrable()
    }

    #[test]
    fn what_is_not_said_is_the_standards_default() {
        let plain = judged(&json!({})).expect("registrable");
        assert_eq!((plain.method, plain.kind), (AuthMethod::ClientSecretBasic, ClientKind::Confidential));
        let app = plain.app(
            registered_key(&mut crate::crypto::tests::Seeded(1)),
            "home".parse().expect("a name"),
            Access::Assigned,
        );
        assert!(app.key.as_str().starts_with("dyn-") && app.key.as_str().len() == 30);
        assert!(app.third_party && app.registered && app.origins.is_empty() && app.audiences.is_empty());
        assert!(!(app.forward_auth || app.relayed_sign_in || app.device || app.client_credentials || app.agent));
        let none = judged(&json!({ "token_endpoint_auth_method": "none" })).expect("registrable");
        assert_eq!(none.kind, ClientKind::Native);
    }

    /// T4, T5.
    #[test]
    fn redirect_uris_are_under_the_rules_of_every_app() {
        for uris in [
            json!(null),
            json!([]),
            json!(["javascript:alert(1)"]),
            json!(["JaVaScRiPt:alert(1)"]),
            json!(["data:text/html,x"]),
            json!(["http://planner.example/cb"]),
            json!(["https://*.example/cb"]),
            json!(["https://planner.example/cb#x"]),
            json!(["https://planner.example/a/../cb"]),
            json!(["https://planner.example/cb", "https://ana@planner.example/cb"]),
            json!(["com.company.planner:/cb"]),
            json!(vec!["https://planner.example/cb"; 11]),
        ] {
            let refused = judged(&json!({ "redirect_uris": uris })).expect_err("refused");
            assert!(matches!(refused, RegistrationRefused::RedirectUri(_)), "{uris}: {refused:?}");
        }
        let native = |uri: &str, kind: &str| {
            judged(&json!({ "redirect_uris": [uri], "token_endpoint_auth_method": "none", "application_type": kind }))
                .is_ok()
        };
        assert!(native("com.company.planner:/cb", "native") && native("http://127.0.0.1/cb", "native"));
        assert!(!native("http://localhost:8080/cb", "native") && !native("http://planner.example/cb", "native"));
        assert!(!native("com.company.planner:/cb", "web") && !native("http://127.0.0.1/cb", "web"));
    }

    /// T82, T90.
    #[test]
    fn what_cannot_be_had_is_refused_and_what_means_nothing_is_ignored() {
        for member in UNSUPPORTED {
            assert!(judged(&json!({ *member: "https://10.0.0.1/x" })).is_err(), "{member}");
            assert!(judged(&json!({ *member: null })).is_ok() && judged(&json!({ *member: false })).is_ok());
        }
        for (name, value) in [
            ("grant_types", json!(["client_credentials"])),
            ("grant_types", json!(["authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange"])),
            ("grant_types", json!(["refresh_token"])),
            ("grant_types", json!([])),
            ("response_types", json!(["code", "token"])),
            ("response_types", json!(["id_token"])),
            ("response_types", json!([])),
            ("subject_type", json!("pairwise")),
            ("application_type", json!("service")),
            ("client_name", json!("")),
            ("client_name", json!("Plan\u{202e}ner")),
            ("client_name", json!("x".repeat(129))),
            ("client_name", json!(null)),
            ("post_logout_redirect_uris", json!(["javascript:alert(1)"])),
            ("post_logout_redirect_uris", json!(["com.company.planner:/bye"])),
        ] {
            let refused = judged(&json!({ name: value })).expect_err("refused");
            assert!(matches!(refused, RegistrationRefused::Metadata(_)), "{name} {value}: {refused:?}");
        }
        for (name, value) in [
            ("token_endpoint_auth_method", json!("private_key_jwt")),
            ("id_token_signed_response_alg", json!("none")),
            ("id_token_signed_response_alg", json!("HS256")),
            ("redirect_uris", json!("https://planner.example/cb")),
        ] {
            let metadata = json!({ "redirect_uris": ["https://planner.example/cb"], "client_name": "x" });
            let mut metadata = metadata;
            metadata[name] = value;
            assert!(serde_json::from_value::<ClientMetadata>(metadata.clone()).is_err(), "{metadata}");
        }
        let slipped_in = json!({
            "access": "everyone", "third_party": false, "registered": false, "origins": ["https://pos.company.com"], "audiences": ["billing"],
            "client_credentials": true, "device": true, "relayed_sign_in": true, "forward_auth": true, "agent": true, "zone": "elsewhere",
            "key": "pos", "client_id": "pos", "client_secret": "hp_sk_x", "disabled_at": null, "logo_uri": "http://169.254.169.254/", "x": 1,
        });
        assert_eq!(judged(&slipped_in), judged(&json!({})));
        let twice = "{\"redirect_uris\":[\"https://a.example/\"],\"redirect_uris\":[\"https://b.example/\"],\"client_name\":\"x\"}";
        assert!(serde_json::from_str::<ClientMetadata>(twice).is_err(), "two readers could take one each");
    }

    #[test]
    fn an_update_changes_what_the_client_says_and_nothing_else() {
        let registrable = judged(&json!({})).expect("registrable");
        let known = App {
            access: Access::Everyone,
            disabled_at: Some(crate::time::Timestamp::from_seconds(1)),
            sensitive: true,
            ..registrable.app("dyn-x".parse().expect("a key"), "home".parse().expect("a name"), Access::Assigned)
        };
        let change = json!({ "client_name": "Other", "redirect_uris": ["https://other.example/cb"] });
        let after = judged(&change).expect("registrable").update(&known).expect("an update");
        assert!(looks_different(&known, &after));
        assert_eq!(App { name: known.name.clone(), redirect_uris: known.redirect_uris.clone(), ..after }, known);
        let same = registrable.update(&known).expect("an update");
        assert!(!looks_different(&known, &same) && same == known);
        let swapped = judged(&json!({ "token_endpoint_auth_method": "none" })).expect("registrable").update(&known);
        assert!(matches!(swapped, Err(RegistrationRefused::Metadata(_))));
    }
}
