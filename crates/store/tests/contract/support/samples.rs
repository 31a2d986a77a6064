//! Values that look real and differ from one another.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hallpass_core::app::{Access, App, AppSecret, FirstContact};
use hallpass_core::crypto::{Random, sha256};
use hallpass_core::id::{AppKey, AuditId, GroupId, RoleId, SecretId, SessionId, UserId};
use hallpass_core::secret::{Digest, Kind};
use hallpass_core::session::{Acr, Amr, Session};
use hallpass_core::time::Timestamp;
use hallpass_core::user::User;
use hallpass_core::zone::Zone;
use hallpass_store::groups::Group;
use hallpass_store::roles::Role;
use hallpass_store::sessions::NewSession;
use hallpass_store::{Write, apps, audit, users, zones};
use serde_json::json;

/// When the tests take place.
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// So much later.
pub fn later(seconds: u64) -> Timestamp {
    NOW + Duration::from_secs(seconds)
}

/// Never the same twice in one run.
pub struct Different;

impl Random for Different {
    fn fill(&mut self, bytes: &mut [u8]) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        for chunk in bytes.chunks_mut(32) {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&sha256(&number.to_be_bytes())[..chunk.len()]);
        }
    }
}

pub fn digest<K: Kind>() -> Digest<K> {
    let mut bytes = [0; 32];
    Different.fill(&mut bytes);
    Digest::from_bytes(bytes)
}

pub fn key(text: &str) -> AppKey {
    text.parse().expect("valid")
}

pub fn entry(event: &str, at: Timestamp) -> audit::Entry {
    audit::Entry {
        id: AuditId::mint(at, &mut Different),
        at,
        event: event.into(),
        actor: "cli:root".into(),
        user_id: None,
        app: None,
        session_id: None,
        ip: None,
        outcome: "success".into(),
        reason: None,
        details: json!({}),
    }
}

pub fn user(name: &str) -> User {
    User {
        id: UserId::mint(&mut Different),
        username: name.parse().expect("valid"),
        display_name: format!("{name} (shown)").parse().expect("valid"),
        email: Some(format!("{name}@company.com")),
        attributes: [("store".to_owned(), 12.into()), ("line".to_owned(), "a\"b\u{fc}".into())].into(),
        disabled_at: None,
        must_change_password: false,
        created_at: NOW,
    }
}

pub fn zone(name: &str, home: bool) -> Zone {
    Zone {
        name: name.parse().expect("valid"),
        cookie_domain: format!("{name}.company.com").parse().expect("valid"),
        cookie_name: "__Secure-hallpass-pass".parse().expect("valid"),
        home,
        alias: None,
        bound: false,
        at_sign_in: false,
    }
}

/// RFC 8037 appendix A.2.
pub const JWKS: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"one"}]}"#;

pub fn app(text: &str, zone: &str) -> App {
    App {
        origins: vec![
            format!("https://{text}.company.com").parse().expect("valid"),
            format!("https://a-{text}.company.com").parse().expect("valid"),
        ],
        access: Access::Everyone,
        first_contact: FirstContact::Confirm,
        sensitive: true,
        relayed_sign_in: true,
        client_credentials: true,
        device: true,
        agent: true,
        assertion: hallpass_core::app::Assertion::Query,
        client: hallpass_core::oidc::ClientSettings {
            kind: hallpass_core::oidc::ClientKind::Native,
            refresh_cookie: false,
            offline_access: true,
            require_pushed: true,
            subject_type: hallpass_core::oidc::SubjectType::Pairwise,
            sector_identifier: Some("company.com".parse().expect("valid")),
            require_dpop: true,
            claims_in_id_token: true,
        },
        audiences: vec!["billing".parse().expect("valid"), "stock".parse().expect("valid")],
        open_to_third_parties: vec![
            format!("https://{text}.company.com/mcp").parse().expect("valid"),
            format!("https://a-{text}.company.com/").parse().expect("valid"),
        ],
        logout_urls: vec!["https://backend.company.com/logout".parse().expect("valid")],
        redirect_uris: ["b", "a"]
            .map(|name| format!("https://{text}.company.com/{name}").parse().expect("valid"))
            .into(),
        post_logout_redirect_uris: vec![format!("https://{text}.company.com/bye").parse().expect("valid")],
        id_token_alg: hallpass_core::oidc::IdTokenAlgorithm::EdDsa,
        third_party: true,
        forward_auth: true,
        registered: true,
        client_id: Some(format!("https://{text}.company.com/client.json").parse().expect("valid")),
        initiate_login_uri: Some(format!("https://{text}.company.com/begin").parse().expect("valid")),
        jwks: Some(JWKS.parse().expect("valid")),
        ..App::new(key(text), format!("The {text}"), zone.parse().expect("valid"))
    }
}

pub fn app_secret(app: &str) -> AppSecret {
    AppSecret {
        id: SecretId::mint(&mut Different),
        app: key(app),
        digest: digest(),
        created_at: NOW,
        expires_at: None,
        last_used_at: None,
    }
}

pub fn role(app: &str, name: &str, permissions: &[&str]) -> Role {
    Role {
        id: RoleId::mint(&mut Different),
        app: key(app),
        name: name.parse().expect("valid"),
        permissions: permissions.iter().map(|text| text.parse().expect("valid")).collect(),
    }
}

pub fn group(name: &str) -> Group {
    Group { id: GroupId::mint(&mut Different), name: name.parse().expect("valid"), created_at: NOW }
}

pub fn session(user: &User) -> NewSession {
    NewSession {
        session: Session {
            id: SessionId::mint(&mut Different),
            user_id: user.id,
            acr: Acr::Aal2,
            amr: vec![Amr::Pwd, Amr::Otp],
            authenticated_at: NOW,
            created_at: NOW,
            last_seen_at: NOW,
            expires_at: later(86_400),
            inactivity: Duration::from_hours(1),
            persistent: false,
            ended: None,
            user_agent: "Firefox \u{2014} \"test\"".into(),
            ip: "2001:db8::7".into(),
        },
        secret: digest(),
        device: Some(Digest::from_bytes([7; 32])),
    }
}

/// A user that is there.
pub async fn added_user(write: &mut Write, name: &str) -> User {
    let user = user(name);
    users::add(write, &user).await.expect("adds");
    user
}

/// A zone `home` with these apps.
pub async fn added_apps(write: &mut Write, keys: &[&str]) {
    zones::upsert(write, &zone("home", true), NOW).await.expect("adds");
    for key in keys {
        apps::upsert(write, &app(key, "home"), NOW).await.expect("adds");
    }
}
