//! One provider: what it says about itself, its keys, and the two questions that we put to it. OIDC Discovery 1.0 §4, RFC 6749 §4.1.3, RFC 7517;
//! protocol §10, §13.
//!
//! Nothing is asked before somebody wants to sign in. What is asked is remembered for a while, one answer of each kind: memory does not grow with
//! whatever a provider says, and no number of people asks it more often.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hallpass_core::id::UpstreamName;
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamRefused;
use hallpass_core::upstream::oidc::id_token::{self, IdTokenRefused};
use hallpass_core::upstream::oidc::logout_token::{self, LogoutTokenRefused};
use hallpass_core::upstream::oidc::{ClientAuthentication, Identity, Issuer, KeySet, Metadata, SignOut};
use hallpass_core::upstream::transaction::Transaction;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use crate::config::{BaseUrl, OidcConfig};
use crate::context::StartError;
use crate::master_key;
use crate::outgoing::{Answer, Outgoing, OutgoingError};
use crate::upstream::kratos::Away;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// What it says about itself and its keys is believed for so long: a key that it has taken back is good here for no longer.
const BELIEVED: Duration = Duration::from_mins(15);
/// After a failure, so long: whoever comes meanwhile neither waits nor adds to its troubles.
const DISBELIEVED: Duration = Duration::from_secs(2);
/// Keys are asked for because of a name that nobody knows at most so often; anybody can make up names.
const KEYS_AGAIN: Duration = Duration::from_mins(1);
/// Bytes of a key set; protocol §13.
const KEYS_LENGTH: usize = 128 * 1024;

/// A provider that is configured.
pub struct Provider {
    /// As configured.
    pub config: OidcConfig,
    /// Whose word its ID tokens are.
    pub issuer: Issuer,
    secret: Zeroizing<String>,
    client: Outgoing,
    /// Held while it is asked: of many who come at once one asks.
    known: Mutex<Known>,
}

/// What it has said.
#[derive(Default)]
struct Known {
    metadata: Option<(Arc<Metadata>, Timestamp)>,
    keys: Option<(Arc<KeySet>, Timestamp)>,
    failed_at: Option<Timestamp>,
}

/// What the token endpoint gives for a code. No `Debug`: the access token is as good as a password there.
#[derive(Deserialize)]
pub struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

impl Tokens {
    /// The ID token as it came.
    pub fn id_token(&self) -> &str {
        &self.id_token
    }
}

impl Provider {
    /// The client for it, and its secret.
    pub async fn new(config: &OidcConfig) -> Result<Self, StartError> {
        let what = format!("upstream: {}: client_secret", config.name);
        let secret = master_key::read(&config.client_secret, &what).await?;
        let secret = secret.filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| StartError::Other(format!("{what} is empty")))?;
        let issuer = config.issuer();
        let wrong = |why: &dyn std::fmt::Display| StartError::Other(format!("upstream: {}: {why}", config.name));
        let base: BaseUrl = issuer.discovery_base().parse().map_err(|why: String| wrong(&why))?;
        let client = Outgoing::pinned(base.url(), &config.allow_internal, PATIENCE).map_err(|error| wrong(&error))?;
        Ok(Self { config: config.clone(), issuer, secret, client, known: Mutex::default() })
    }

    /// What it is called.
    pub fn name(&self) -> &UpstreamName {
        &self.config.name
    }

    /// What it says about itself.
    pub async fn metadata(&self, now: Timestamp) -> Result<Arc<Metadata>, Away> {
        let mut known = self.known.lock().await;
        if let Some((metadata, at)) = &known.metadata
            && is_lately(*at, BELIEVED, now)
        {
            return Ok(metadata.clone());
        }
        let metadata = known.asked(&self.config.name, now, self.discover()).await?;
        known.metadata = Some((metadata.clone(), now));
        Ok(metadata)
    }

    /// Redeems a code. The inner error is the provider's own "no".
    pub async fn redeem(
        &self,
        code: &str,
        transaction: &Transaction,
        redirect_uri: &str,
        now: Timestamp,
    ) -> Result<Result<Tokens, UpstreamRefused>, Away> {
        let metadata = self.metadata(now).await?;
        let verifier = transaction.code_verifier();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &verifier),
        ];
        let mut headers = HeaderMap::new();
        match self.config.client_authentication.or_else(|| metadata.authentication.first().copied()) {
            Some(ClientAuthentication::Basic) => {
                headers.insert(header::AUTHORIZATION, self.basic());
            }
            Some(ClientAuthentication::Post) => {
                fields.extend([("client_id", &*self.config.client_id), ("client_secret", &self.secret)]);
            }
            None => return Err(Away("it takes client secrets neither by HTTP Basic nor in the form".to_owned())),
        }
        let answer = self.client.post_form_with(&metadata.token_endpoint, headers, &fields).await;
        let answer = answer.map_err(|error| Away(error.to_string()))?;
        match answer.status {
            StatusCode::OK if answer.complete => {
                let tokens = serde_json::from_slice(&answer.body);
                tokens.map(Ok).map_err(|_| Away("its token endpoint gave something that holds no ID token".to_owned()))
            }
            StatusCode::BAD_REQUEST if error_code(&answer) == "invalid_grant" => Ok(Err(UpstreamRefused::CodeRefused)),
            status => Err(Away(format!("its token endpoint answered {} {}", status.as_u16(), error_code(&answer)))),
        }
    }

    /// Who the ID token says it is.
    pub async fn identify(
        &self,
        tokens: &Tokens,
        transaction: &Transaction,
        now: Timestamp,
    ) -> Result<Result<Identity, UpstreamRefused>, Away> {
        let metadata = self.metadata(now).await?;
        let nonce = transaction.nonce();
        let expected = id_token::Expected {
            issuer: &self.issuer,
            client_id: &self.config.client_id,
            nonce: &nonce,
            algorithms: &metadata.algorithms,
            begun_at: transaction.started_at(),
            max_age: transaction.oldest_proof(),
            second_factor: &self.config.second_factor,
        };
        let check = |keys: &KeySet| id_token::verify(&tokens.id_token, keys, &expected, now);
        let identity = match self.checked(&metadata, IdTokenRefused::UnknownKey, check, now).await? {
            Ok(identity) => identity,
            Err(refused) => return Ok(Err(UpstreamRefused::IdToken(refused))),
        };
        match (&metadata.userinfo_endpoint, &tokens.access_token) {
            (Some(endpoint), Some(token)) if self.config.userinfo => {
                let said = self.userinfo(endpoint, token).await?;
                Ok(identity.with_userinfo(said).ok_or(UpstreamRefused::UserinfoOfAnother))
            }
            _ => Ok(Ok(identity)),
        }
    }

    /// What it says to have ended.
    pub async fn sign_out(&self, token: &str, now: Timestamp) -> Result<Result<SignOut, LogoutTokenRefused>, Away> {
        let metadata = self.metadata(now).await?;
        let expected = logout_token::Expected {
            issuer: &self.issuer,
            client_id: &self.config.client_id,
            algorithms: &metadata.algorithms,
        };
        let check = |keys: &KeySet| logout_token::verify(token, keys, &expected, now);
        self.checked(&metadata, LogoutTokenRefused::Token(IdTokenRefused::UnknownKey), check, now).await
    }

    /// Checks something with its keys, and once more if it finds no key of that name: they may have changed since we asked.
    async fn checked<T, R: PartialEq>(
        &self,
        metadata: &Metadata,
        unknown_key: R,
        check: impl Fn(&KeySet) -> Result<T, R>,
        now: Timestamp,
    ) -> Result<Result<T, R>, Away> {
        let checked = check(&*self.keys(metadata, BELIEVED, now).await?);
        if checked.as_ref().is_err_and(|refused| *refused == unknown_key) {
            return Ok(check(&*self.keys(metadata, KEYS_AGAIN, now).await?));
        }
        Ok(checked)
    }

    /// Its keys, asked for no longer ago than `age`.
    async fn keys(&self, metadata: &Metadata, age: Duration, now: Timestamp) -> Result<Arc<KeySet>, Away> {
        let mut known = self.known.lock().await;
        if let Some((keys, at)) = &known.keys
            && is_lately(*at, age, now)
        {
            return Ok(keys.clone());
        }
        let asked = async {
            let answer = self.client.get_up_to(&metadata.jwks_uri, KEYS_LENGTH).await;
            KeySet::read(&body(answer)?).map(Arc::new).ok_or_else(|| Away("its key set is none".to_owned()))
        };
        let keys = known.asked(&self.config.name, now, asked).await?;
        known.keys = Some((keys.clone(), now));
        Ok(keys)
    }

    async fn discover(&self) -> Result<Arc<Metadata>, Away> {
        let base = self.issuer.discovery_base();
        let address = format!("{}/.well-known/openid-configuration", base.trim_end_matches('/'));
        let address: Url = address.parse().map_err(|_| Away("its issuer is no address".to_owned()))?;
        let document = body(self.client.get(&address).await)?;
        let metadata = Metadata::read(&document, &self.issuer).map_err(|why| Away(why.to_owned()))?;
        // People are sent there: in the clear only where nothing leaves this machine.
        if !is_for_browsers(&metadata.authorization_endpoint) {
            return Err(Away("its authorization endpoint is not https".to_owned()));
        }
        Ok(Arc::new(metadata))
    }

    async fn userinfo(&self, endpoint: &Url, token: &str) -> Result<serde_json::Value, Away> {
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| Away("its access token is none".to_owned()))?;
        bearer.set_sensitive(true);
        let headers = [(header::AUTHORIZATION, bearer)].into_iter().collect();
        let body = body(self.client.send(Method::GET, endpoint, headers).await)?;
        serde_json::from_slice(&body).map_err(|_| Away("its userinfo is no JSON".to_owned()))
    }

    /// Name and secret, each encoded before they are joined (RFC 6749 §2.3.1).
    fn basic(&self) -> HeaderValue {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!("{}:{}", encoded(&self.config.client_id), encoded(&self.secret)));
        let line = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&line).expect("base64");
        value.set_sensitive(true);
        value
    }
}

impl Known {
    /// Asks, unless that has just failed.
    async fn asked<T>(
        &mut self,
        name: &UpstreamName,
        now: Timestamp,
        question: impl Future<Output = Result<T, Away>>,
    ) -> Result<T, Away> {
        if self.failed_at.is_some_and(|at| is_lately(at, DISBELIEVED, now)) {
            return Err(Away("it could not be asked a moment ago".to_owned()));
        }
        let answer = question.await;
        match &answer {
            Ok(_) => self.failed_at = None,
            Err(Away(why)) => {
                tracing::error!(upstream = %name, %why, "a provider cannot be asked: nobody can sign in by way of it");
                self.failed_at = Some(now);
            }
        }
        answer
    }
}

/// Whether browsers may be sent there.
pub(super) fn is_for_browsers(url: &Url) -> bool {
    let origin = url.origin().ascii_serialization().parse::<BaseUrl>();
    url.scheme() == "https" || origin.is_ok_and(|origin| origin.is_loopback())
}

/// The whole of a good answer.
fn body(answer: Result<Answer, OutgoingError>) -> Result<Vec<u8>, Away> {
    match answer.map_err(|error| Away(error.to_string()))? {
        Answer { status: StatusCode::OK, body, complete: true } => Ok(body),
        Answer { status: StatusCode::OK, .. } => Err(Away("it answered more than we read".to_owned())),
        Answer { status, .. } => Err(Away(format!("it answered {}", status.as_u16()))),
    }
}

/// The standard's word for what went wrong (RFC 6749 §5.2), if it reads like one: it goes into our log.
fn error_code(answer: &Answer) -> String {
    #[derive(Deserialize)]
    struct Said {
        error: String,
    }
    let said = serde_json::from_slice(&answer.body).map(|Said { error }| error).unwrap_or_default();
    let word = said.len() <= 40 && said.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if word { said } else { String::new() }
}

fn is_lately(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    now >= at && now.since(at) < age
}
