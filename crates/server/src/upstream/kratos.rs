//! Ory Kratos: the questions that we put to it, and what its answers say. Protocol §10; Kratos' API, `toSession`, `disableSession`, `isReady`.
//!
//! The address is pinned by configuration, no redirect is followed, and nothing that came from a browser is passed on but Kratos' own credential.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hallpass_core::session::{Acr, Amr};
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::{UpstreamId, UpstreamSession};
use http::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;
use serde::Deserialize;

use super::credential::Credential;
use crate::config::KratosConfig;
use crate::outgoing::{Outgoing, OutgoingError};

/// What it is called in the database and in the audit log.
pub const NAME: &str = "kratos";
/// How long an answer about a person may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long the end of a session may take.
const PATIENCE_FOR_ENDS: Duration = Duration::from_secs(5);
/// That it is ready is believed for so long.
const BELIEVED: Duration = Duration::from_secs(5);
/// That it is not, for so long: whoever comes meanwhile neither waits nor adds to its troubles.
const DISBELIEVED: Duration = Duration::from_secs(2);

/// The Kratos that is configured.
pub struct Kratos {
    /// As configured.
    pub config: KratosConfig,
    public: Outgoing,
    admin: Option<Outgoing>,
    /// When it last answered, and when it last did not; milliseconds since the epoch.
    answered_at: AtomicI64,
    failed_at: AtomicI64,
    /// Since when it does not.
    away_since: Mutex<Option<Timestamp>>,
}

/// It cannot be asked, or what it says is no answer. The words are for the log, and hold nothing secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away(pub String);

/// What it says of a credential.
#[derive(Debug)]
pub enum Whoami {
    /// A session, in whatever state.
    Session(Box<UpstreamSession>),
    /// Nobody is signed in there by it.
    Nobody,
    /// Somebody is, and has a second factor that was not asked for yet.
    SecondFactor,
}

impl Kratos {
    /// The clients for it.
    pub fn new(config: &KratosConfig) -> Result<Self, OutgoingError> {
        let public = Outgoing::pinned(config.public_url.url(), &config.allow_internal, PATIENCE)?;
        let admin = config.admin_url.as_ref();
        let admin = admin.map(|url| Outgoing::pinned(url.url(), &config.allow_internal, PATIENCE_FOR_ENDS));
        Ok(Self {
            config: config.clone(),
            public,
            admin: admin.transpose()?,
            answered_at: AtomicI64::new(i64::MIN),
            failed_at: AtomicI64::new(i64::MIN),
            away_since: Mutex::default(),
        })
    }

    /// Whose session this is.
    pub async fn whoami(&self, credential: &Credential, now: Timestamp) -> Result<Whoami, Away> {
        let mut headers = HeaderMap::new();
        let (name, mut value) = credential.header(&self.config.session_cookie);
        value.set_sensitive(true);
        headers.insert(name, value);
        let url = self.config.public_url.at("/sessions/whoami");
        let answer = self.public.send(Method::GET, &url, headers).await.map_err(|error| Away(error.to_string()));
        let said = answer.and_then(|answer| match answer.status {
            StatusCode::OK if answer.complete => read(&answer.body),
            StatusCode::UNAUTHORIZED => Ok(Whoami::Nobody),
            StatusCode::FORBIDDEN if asks_for_second_factor(&answer.body) => Ok(Whoami::SecondFactor),
            status => Err(Away(format!("it answered {} to whoami", status.as_u16()))),
        });
        self.heard(said.as_ref().err(), now);
        said
    }

    /// Whether it is there. Only what says that it is not counts against it: a gateway may keep this address to itself.
    pub async fn ready(&self, now: Timestamp) -> bool {
        let lately = |at: &AtomicI64, patience| {
            let at = Timestamp::from_millis(at.load(Ordering::Relaxed));
            now >= at && now.since(at) < patience
        };
        if lately(&self.answered_at, BELIEVED) {
            return true;
        }
        if lately(&self.failed_at, DISBELIEVED) {
            return false;
        }
        let url = self.config.public_url.at("/health/ready");
        let away = match self.public.send(Method::GET, &url, HeaderMap::new()).await {
            Ok(answer) if answer.status.is_server_error() => {
                Some(Away(format!("it answered {} when asked whether it is ready", answer.status.as_u16())))
            }
            Ok(_) => None,
            Err(error) => Some(Away(error.to_string())),
        };
        self.heard(away.as_ref(), now);
        away.is_none()
    }

    /// Ends a session there; why it could not, in words without anything secret. One that is not there has ended.
    pub async fn end(&self, session: &UpstreamId) -> Result<(), String> {
        let (Some(url), Some(admin)) = (&self.config.admin_url, &self.admin) else {
            return Err("there is no admin_url".to_owned());
        };
        let answer = admin.send(Method::DELETE, &url.at(&format!("/admin/sessions/{session}")), HeaderMap::new()).await;
        match answer.map_err(|error| error.to_string())?.status.as_u16() {
            200 | 204 | 404 | 410 => Ok(()),
            status => Err(format!("it answered {status}")),
        }
    }

    /// Whether sessions there can be ended from here.
    pub fn can_end(&self) -> bool {
        self.admin.is_some()
    }

    /// Says once that it has gone, and once that it is back.
    fn heard(&self, away: Option<&Away>, now: Timestamp) {
        let mut away_since = self.away_since.lock();
        match (away, *away_since) {
            (None, Some(since)) => {
                let seconds = now.since(since).as_secs();
                tracing::info!(seconds, "Kratos answers again");
                *away_since = None;
            }
            (Some(Away(why)), None) => {
                tracing::error!(%why, "Kratos cannot be asked: nobody can sign in by way of it, and sessions that stand on it live on for the grace only");
                *away_since = Some(now);
            }
            _ => {}
        }
        let (answered_at, failed_at) =
            if away.is_none() { (now.as_millis(), i64::MIN) } else { (i64::MIN, now.as_millis()) };
        self.answered_at.store(answered_at, Ordering::Relaxed);
        self.failed_at.store(failed_at, Ordering::Relaxed);
    }
}

/// The members of a session that we read; Kratos may say more.
#[derive(Deserialize)]
struct Session {
    id: String,
    active: bool,
    expires_at: jiff::Timestamp,
    authenticated_at: jiff::Timestamp,
    authenticator_assurance_level: String,
    authentication_methods: Option<Vec<AuthenticationMethod>>,
    identity: Identity,
}

#[derive(Deserialize)]
struct AuthenticationMethod {
    method: Option<String>,
}

#[derive(Deserialize)]
struct Identity {
    id: String,
    state: Option<String>,
    #[serde(default)]
    traits: serde_json::Value,
}

fn read(body: &[u8]) -> Result<Whoami, Away> {
    let strange = || Away("it answered whoami with something that is no session".to_owned());
    let session: Session = serde_json::from_slice(body).map_err(|_| strange())?;
    let instant = |at: jiff::Timestamp| Timestamp::from_millis(at.as_millisecond());
    let mut amr = Vec::new();
    for method in session.authentication_methods.unwrap_or_default() {
        amr.extend(method.method.as_deref().and_then(reference).filter(|known| !amr.contains(known)));
    }
    Ok(Whoami::Session(Box::new(UpstreamSession {
        id: session.id.parse().map_err(|_| strange())?,
        active: session.active,
        expires_at: instant(session.expires_at),
        authenticated_at: instant(session.authenticated_at),
        acr: match session.authenticator_assurance_level.as_str() {
            "aal1" => Some(Acr::Aal1),
            "aal2" | "aal3" => Some(Acr::Aal2),
            _ => None,
        },
        amr,
        identity: session.identity.id.parse().map_err(|_| strange())?,
        identity_active: session.identity.state.as_deref() == Some("active"),
        traits: session.identity.traits,
    })))
}

/// The authentication method reference (RFC 8176) for what Kratos calls a method. What somebody else checked, and a link in a mail, has none.
fn reference(method: &str) -> Option<Amr> {
    match method {
        "password" => Some(Amr::Pwd),
        "totp" | "code" | "lookup_secret" | "code_recovery" => Some(Amr::Otp),
        "webauthn" | "passkey" | "deviceauthn" => Some(Amr::Pop),
        _ => None,
    }
}

/// A 403 of its own. Any other is that of something in between, and says nothing about the person.
fn asks_for_second_factor(body: &[u8]) -> bool {
    let said: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    said.is_some_and(|said| said["error"]["id"] == "session_aal2_required")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn session() -> Value {
        json!({
            "id": "0b9f5d8e-2f1a-4c55-9c43-0d3b0a7c1f11", "active": true, "expires_at": "2027-01-16T08:00:00.123456789Z",
            "authenticated_at": "2027-01-15T09:00:00+01:00", "authenticator_assurance_level": "aal2", "issued_at": "whenever",
            "authentication_methods": [
                { "method": "password", "aal": "aal1", "completed_at": "2027-01-15T08:00:00Z" },
                { "method": "totp" }, { "method": "lookup_secret" }, { "method": "oidc" }, { "method": "passkey" }, {}
            ],
            "identity": { "id": "1d7c", "state": "active", "traits": { "email": "ana@company.com" }, "schema_id": "x" },
            "devices": []
        })
    }

    fn said(value: &Value) -> Option<UpstreamSession> {
        match read(value.to_string().as_bytes()) {
            Ok(Whoami::Session(session)) => Some(*session),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    #[test]
    fn a_session_is_read_as_kratos_writes_it() {
        let read = said(&session()).expect("a session");
        assert_eq!((read.active, read.identity_active, read.acr), (true, true, Some(Acr::Aal2)));
        assert_eq!(read.amr, [Amr::Pwd, Amr::Otp, Amr::Pop], "each once, in order of use");
        assert_eq!(read.expires_at.as_millis(), 1_800_086_400_123);
        assert_eq!(read.authenticated_at, Timestamp::from_seconds(1_800_000_000));
        assert_eq!((read.identity.as_str(), &read.traits["email"]), ("1d7c", &json!("ana@company.com")));
    }

    #[test]
    fn what_is_missing_is_never_taken_for_granted() {
        for member in ["id", "active", "expires_at", "authenticated_at", "authenticator_assurance_level", "identity"] {
            let mut without = session();
            without.as_object_mut().expect("an object").remove(member);
            assert!(said(&without).is_none(), "{member}");
        }
        for (member, value) in [("id", json!("../x")), ("active", json!("true")), ("expires_at", json!(1))] {
            let mut strange = session();
            strange[member] = value;
            assert!(said(&strange).is_none(), "{member}");
        }
        for (level, acr) in [("aal1", Some(Acr::Aal1)), ("aal3", Some(Acr::Aal2)), ("aal0", None), ("", None)] {
            let mut other = session();
            other["authenticator_assurance_level"] = json!(level);
            assert_eq!(said(&other).expect("a session").acr, acr, "{level}");
        }
        let mut stateless = session();
        stateless["identity"].as_object_mut().expect("an object").remove("state");
        assert!(!said(&stateless).expect("a session").identity_active);
        assert!(read(b"<html>").is_err() && read(b"{}").is_err() && read(b"").is_err());
    }

    #[test]
    fn only_kratos_own_refusal_asks_for_a_second_factor() {
        assert!(asks_for_second_factor(br#"{"error":{"id":"session_aal2_required","code":403}}"#));
        for other in [&br#"{"error":{"id":"x"}}"#[..], b"<html>", b"", br#"{"error":"session_aal2_required"}"#] {
            assert!(!asks_for_second_factor(other));
        }
    }
}
