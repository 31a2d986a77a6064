//! What an authorization request asks for (OIDC Core 1.0 §3.1.2.1; RFC 6749 §4.1.1, RFC 7636 §4.3). Client and redirect URI have been
//! checked before: what is wrong with the rest is told to the client.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AuthorizationRefused, Scope};
use crate::handoff::CodeChallenge;
use crate::time::Timestamp;

/// The longest `state` and `nonce` (protocol §14).
const MAXIMUM_LENGTH: usize = 512;

/// The parameters as they came. Others are ignored (RFC 6749 §3.1).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the standard's names")]
pub struct Parameters {
    pub client_id: Option<String>,
    pub redirect_uri: Option<String>,
    pub response_type: Option<String>,
    pub response_mode: Option<String>,
    pub scope: Option<String>,
    pub state: Option<String>,
    pub nonce: Option<String>,
    pub code_challenge: Option<String>,
    pub code_challenge_method: Option<String>,
    pub prompt: Option<String>,
    pub max_age: Option<String>,
    pub request: Option<String>,
    pub request_uri: Option<String>,
    pub registration: Option<String>,
}

/// A request that has been understood.
#[derive(Debug, Clone)]
pub struct AuthorizationRequest {
    /// What the client may learn.
    pub scope: Scope,
    /// Comes back in the ID token.
    pub nonce: Option<String>,
    /// What the code must be redeemed with.
    pub challenge: CodeChallenge,
    /// Nobody may be asked anything.
    pub silent: bool,
    /// The person must prove who they are, even if somebody is signed in.
    pub login: bool,
    /// The longest that this may be ago.
    pub max_age: Option<Duration>,
}

impl Parameters {
    /// What comes back to the client with every answer, errors included; none if it is too long to be carried along.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref().filter(|state| is_short(state))
    }
}

impl AuthorizationRequest {
    /// Reads it.
    pub fn read(parameters: &Parameters) -> Result<Self, AuthorizationRefused> {
        let wrong = AuthorizationRefused::invalid_request;
        let unsupported = |code, because| Err(AuthorizationRefused { code, because });
        // Ignoring these would answer another question than the one that was asked (OIDC Core 1.0 §6).
        if parameters.request.is_some() {
            return unsupported("request_not_supported", "a request object");
        }
        if parameters.request_uri.is_some() {
            return unsupported("request_uri_not_supported", "a request object by reference");
        }
        if parameters.registration.is_some() {
            return unsupported("registration_not_supported", "a registration");
        }
        match parameters.response_type.as_deref() {
            Some("code") => {}
            None => return Err(wrong("no response_type")),
            Some(_) => return unsupported("unsupported_response_type", "a response_type other than code"),
        }
        if parameters.response_mode.as_deref().is_some_and(|mode| mode != "query") {
            return Err(wrong("a response_mode other than query"));
        }
        if !parameters.state.as_deref().is_none_or(is_short) || !parameters.nonce.as_deref().is_none_or(is_short) {
            return Err(wrong("state or nonce is too long"));
        }
        let scope = parameters.scope.as_deref().unwrap_or_default().parse();
        let scope = scope.map_err(|_| AuthorizationRefused { code: "invalid_scope", because: "no openid in scope" })?;
        // `plain`, and the default when there is no method, is no proof of anything (RFC 9700 §2.1.1).
        let challenge = match (&parameters.code_challenge, parameters.code_challenge_method.as_deref()) {
            (Some(text), Some("S256")) => text.parse().map_err(|_| wrong("the code challenge is no SHA-256"))?,
            _ => return Err(wrong("no code challenge by S256")),
        };
        let prompts = || parameters.prompt.as_deref().unwrap_or_default().split(' ').filter(|one| !one.is_empty());
        let silent = prompts().any(|prompt| prompt == "none");
        if silent && prompts().count() > 1 {
            return Err(wrong("prompt none beside another"));
        }
        let max_age = match parameters.max_age.as_deref().map(str::parse::<u32>) {
            None => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds.into())),
            Some(Err(_)) => return Err(wrong("max_age is no number of seconds")),
        };
        let login = prompts().any(|prompt| prompt == "login");
        Ok(Self { scope, nonce: parameters.nonce.clone(), challenge, silent, login, max_age })
    }

    /// Whether somebody who proved who they are at `authenticated_at` has to do it again for this request, made at `asked_at`. One that has
    /// `waited` for a sign-in is content with any since it was made, however long the rest took.
    pub fn wants_sign_in(&self, authenticated_at: Timestamp, asked_at: Timestamp, waited: bool) -> bool {
        if waited && authenticated_at >= asked_at {
            return false;
        }
        // No time at all is what `login` says, too.
        let too_old = |age: Duration| age.is_zero() || asked_at.since(authenticated_at) > age;
        self.login || self.max_age.is_some_and(too_old)
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= MAXIMUM_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Parameters {
        let some = |text: &str| Some(text.to_owned());
        Parameters {
            response_type: some("code"),
            scope: some("openid profile"),
            code_challenge: some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            code_challenge_method: some("S256"),
            ..Parameters::default()
        }
    }

    #[test]
    fn one_thing_wrong_is_one_code() {
        type Change = fn(&mut Parameters);
        assert!(AuthorizationRequest::read(&good()).is_ok());
        let cases: [(&str, Change); 17] = [
            ("invalid_request", |all| all.response_type = None),
            ("unsupported_response_type", |all| all.response_type = Some("token".into())),
            ("unsupported_response_type", |all| all.response_type = Some("code id_token".into())),
            ("invalid_request", |all| all.response_mode = Some("fragment".into())),
            ("invalid_scope", |all| all.scope = None),
            ("invalid_scope", |all| all.scope = Some("profile".into())),
            ("invalid_request", |all| all.state = Some("a".repeat(513))),
            ("invalid_request", |all| all.nonce = Some("a".repeat(513))),
            ("invalid_request", |all| all.code_challenge = None),
            ("invalid_request", |all| all.code_challenge = Some("short".into())),
            ("invalid_request", |all| all.code_challenge_method = None),
            ("invalid_request", |all| all.code_challenge_method = Some("plain".into())),
            ("invalid_request", |all| all.prompt = Some("none login".into())),
            ("invalid_request", |all| all.max_age = Some("-1".into())),
            ("request_not_supported", |all| all.request = Some("x".into())),
            ("request_uri_not_supported", |all| all.request_uri = Some("x".into())),
            ("registration_not_supported", |all| all.registration = Some("x".into())),
        ];
        for (number, (code, change)) in cases.into_iter().enumerate() {
            let mut parameters = good();
            change(&mut parameters);
            let refused = AuthorizationRequest::read(&parameters).expect_err("refused");
            assert_eq!(refused.code, code, "{number}: {}", refused.because);
        }
        let mut unknown = good();
        unknown.prompt = Some("select_account something".into());
        assert!(AuthorizationRequest::read(&unknown).is_ok_and(|request| !request.silent && !request.login));
    }

    #[test]
    fn a_sign_in_counts_once_it_comes_after_the_request() {
        let asked = Timestamp::from_seconds(1_800_000_000);
        let (before, second) = (asked - Duration::from_mins(1), Duration::from_secs(1));
        let request = |change: fn(&mut Parameters)| {
            let mut parameters = good();
            change(&mut parameters);
            AuthorizationRequest::read(&parameters).expect("good")
        };
        assert!(!request(|_| ()).wants_sign_in(before, asked, false));
        let login = request(|all| all.prompt = Some("login".into()));
        assert!(login.wants_sign_in(asked, asked, false) && login.wants_sign_in(asked - second, asked, true));
        assert!(!login.wants_sign_in(asked, asked, true));
        let minute = request(|all| all.max_age = Some("60".into()));
        for waited in [false, true] {
            assert!(
                !minute.wants_sign_in(before, asked, waited) && minute.wants_sign_in(before - second, asked, waited)
            );
        }
        let none = request(|all| all.max_age = Some("0".into()));
        assert!(none.wants_sign_in(asked, asked, false) && !none.wants_sign_in(asked, asked, true));
    }
}
