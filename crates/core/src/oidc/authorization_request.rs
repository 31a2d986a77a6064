//! What an authorization request asks for (OIDC Core 1.0 §3.1.2.1; RFC 6749 §4.1.1, RFC 7636 §4.3; OAuth 2.0 Form Post Response Mode;
//! Initiating User Registration 1.0). Client and redirect URI have been checked before: what is wrong with the rest is told to the client.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{AuthorizationRefused, ClaimsParameter, Resources, Scope};
use crate::handoff::CodeChallenge;
use crate::jwk::Thumbprint;
use crate::time::Timestamp;

/// The longest `state` and `nonce` (protocol §14).
const MAXIMUM_LENGTH: usize = 512;
/// The longest `login_hint` that is shown, in characters: that of names (protocol §14).
const MAXIMUM_HINT: usize = 128;

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
    pub login_hint: Option<String>,
    pub id_token_hint: Option<String>,
    pub claims: Option<String>,
    pub dpop_jkt: Option<String>,
    pub request: Option<String>,
    pub request_uri: Option<String>,
    pub registration: Option<String>,
    /// RFC 8707; several with spaces in between.
    pub resource: Option<String>,
}

/// How the answer gets to the client. `fragment` is refused: it is for tokens in addresses, which there are none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseMode {
    /// In the query of a redirect.
    Query,
    /// In a form that a page of ours posts.
    FormPost,
}

/// What a request wants to be asked, whether or not it is necessary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Who the person is, by a new proof.
    Login,
    /// Whether the client may know.
    Consent,
    /// Which of their accounts they want to use.
    SelectAccount,
    /// To sign up. There is no self-registration, so this comes to the sign-in page, which says so.
    Create,
}

impl Prompt {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Login, "login"),
        (Self::Consent, "consent"),
        (Self::SelectAccount, "select_account"),
        (Self::Create, "create"),
    ];
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
    /// The key whose holder alone may redeem it, if the client says so already (RFC 9449 §10).
    pub key: Option<Thumbprint>,
    /// Nobody may be asked anything.
    pub silent: bool,
    /// What must be asked.
    pub prompts: Vec<Prompt>,
    /// The longest that the last proof of who the person is may be ago.
    pub max_age: Option<Duration>,
    /// Single claims, and what the answer must be.
    pub claims: ClaimsParameter,
    /// The user name that the client expects. It fills in a field and does nothing else.
    pub login_hint: Option<String>,
    /// The services that its access tokens are to be for.
    pub resources: Resources,
}

impl Parameters {
    /// What comes back to the client with every answer, errors included; none if it is too long to be carried along.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref().filter(|state| is_short(state))
    }

    /// Without those that say nothing: they count as left out (RFC 6749 §3.1).
    #[must_use]
    pub fn said(mut self) -> Self {
        let optional = [
            &mut self.response_mode,
            &mut self.scope,
            &mut self.state,
            &mut self.nonce,
            &mut self.prompt,
            &mut self.max_age,
            &mut self.login_hint,
            &mut self.id_token_hint,
            &mut self.claims,
            &mut self.resource,
        ];
        for one in optional {
            one.take_if(|text| text.is_empty());
        }
        self
    }

    /// How even a refusal gets to the client.
    pub fn response_mode(&self) -> ResponseMode {
        match self.response_mode.as_deref() {
            Some("form_post") => ResponseMode::FormPost,
            _ => ResponseMode::Query,
        }
    }

    /// With nothing in it but what was understood: what is ignored must not make an address too long.
    #[must_use]
    pub fn understood(mut self, request: &AuthorizationRequest) -> Self {
        let prompts = Prompt::ALL.iter().filter(|(prompt, _)| request.asks_for(*prompt)).map(|(_, text)| *text);
        let prompts = prompts.collect::<Vec<_>>().join(" ");
        self.scope = Some(request.scope.to_string());
        self.prompt = Some(prompts).filter(|prompts| !prompts.is_empty());
        self.login_hint.clone_from(&request.login_hint);
        self.max_age = request.max_age.map(|age| age.as_secs().to_string());
        // Whom it names was looked up; it need not travel on.
        self.id_token_hint = None;
        self.resource = Some(request.resources.to_string()).filter(|names| !names.is_empty());
        self.claims = request.claims.understood();
        self
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
        if parameters.response_mode.as_deref().is_some_and(|mode| !matches!(mode, "query" | "form_post")) {
            return Err(wrong("a response_mode other than query and form_post"));
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
        // An empty one, too, is a mistake and no leave to do without.
        let key = parameters.dpop_jkt.as_deref().map(str::parse).transpose();
        let key = key.map_err(|_| wrong("dpop_jkt is no thumbprint"))?;
        if silent && prompts().count() > 1 {
            return Err(wrong("prompt none beside another"));
        }
        let max_age = match parameters.max_age.as_deref().map(str::parse::<u32>) {
            None => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds.into())),
            Some(Err(_)) => return Err(wrong("max_age is no number of seconds")),
        };
        // A value that nobody knows is passed by, and the others still count.
        let known = |text| Prompt::ALL.into_iter().find(|(_, known)| *known == text).map(|(prompt, _)| prompt);
        let prompts = prompts().filter_map(known).collect();
        let claims = ClaimsParameter::read(parameters.claims.as_deref())?;
        let hint = parameters.login_hint.as_deref().map(str::trim).filter(|hint| {
            !hint.is_empty() && hint.chars().count() <= MAXIMUM_HINT && !hint.chars().any(char::is_control)
        });
        let resources = Resources::asked(parameters.resource.as_deref().unwrap_or_default());
        let resources =
            resources.map_err(|_| AuthorizationRefused { code: "invalid_target", because: "no names of services" })?;
        let (nonce, login_hint) = (parameters.nonce.clone(), hint.map(str::to_owned));
        Ok(Self { scope, nonce, challenge, key, silent, prompts, max_age, claims, login_hint, resources })
    }

    /// What the client would learn, by scopes and by single claims: what people are asked about (advisory T25).
    pub fn learns(&self) -> Scope {
        self.scope.with(self.claims.requested.as_scope())
    }

    /// Whether it asks for this.
    pub fn asks_for(&self, prompt: Prompt) -> bool {
        self.prompts.contains(&prompt)
    }

    /// Whether somebody who proved who they are at `authenticated_at` has to do it again for this request, made at `asked_at`. One that has
    /// `waited` for a sign-in is content with any since it was made, however long the rest took.
    pub fn wants_sign_in(&self, authenticated_at: Timestamp, asked_at: Timestamp, waited: bool) -> bool {
        if waited && authenticated_at >= asked_at {
            return false;
        }
        // No time at all is what `login` says, too.
        let too_old = |age: Duration| age.is_zero() || asked_at.since(authenticated_at) > age;
        self.asks_for(Prompt::Login) || self.asks_for(Prompt::Create) || self.max_age.is_some_and(too_old)
    }

    /// Whether somebody who is signed in is to say that it is they who want to go on. Whoever has signed in for this very request has said so.
    pub fn wants_choice(&self, authenticated_at: Timestamp, asked_at: Timestamp, waited: bool) -> bool {
        self.asks_for(Prompt::SelectAccount) && !(waited && authenticated_at >= asked_at)
    }
}

fn is_short(text: &str) -> bool {
    text.len() <= MAXIMUM_LENGTH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Acr;

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
        let cases: [(&str, Change); 22] = [
            ("invalid_target", |all| all.resource = Some("a\"b".into())),
            ("invalid_target", |all| all.resource = Some("a b c d e f g h i".into())),
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
            ("invalid_request", |all| all.prompt = Some("nothing none".into())),
            ("invalid_request", |all| all.claims = Some("{".into())),
            ("unmet_authentication_requirements", |all| {
                all.claims = Some(r#"{"id_token":{"acr":{"essential":true,"values":["gold"]}}}"#.into());
            }),
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
    }

    #[test]
    fn what_was_understood_is_understood_again_and_the_rest_is_left_behind() {
        let some = |text: &str| Some(text.to_owned());
        let mut all = good();
        all.prompt = some("consent something  select_account consent");
        all.scope = some("groups openid");
        all.login_hint = some(" ana ");
        all.max_age = some("00000060");
        all.id_token_hint = some("e30.e30.e30");
        all.claims = some(
            r#"{"userinfo":{"email":null,"picture":null},"id_token":{"acr":{"essential":true,"values":["gold","aal2","aal1"]}}}"#,
        );
        let request = AuthorizationRequest::read(&all).expect("good");
        assert!(!request.silent && request.asks_for(Prompt::SelectAccount) && request.asks_for(Prompt::Consent));
        assert!(!request.asks_for(Prompt::Login) && !request.asks_for(Prompt::Create));
        assert_eq!((request.login_hint.as_deref(), request.claims.essential_acr), (Some("ana"), Some(Acr::Aal1)));
        let left = all.understood(&request);
        assert_eq!((left.prompt.as_deref(), left.scope.as_deref()), (Some("consent select_account"), Some("openid")));
        assert!(left.id_token_hint.is_none() && left.claims.as_ref().is_some_and(|claims| !claims.contains("picture")));
        let again = AuthorizationRequest::read(&left).expect("good");
        assert_eq!((left.max_age.as_deref(), again.max_age), (Some("60"), request.max_age));
        assert_eq!(
            (again.claims.essential_acr, again.login_hint, again.scope),
            (Some(Acr::Aal1), request.login_hint, request.scope)
        );
    }

    #[test]
    fn an_acr_is_essential_only_if_it_is_said_to_be() {
        let read = |claims: &str| {
            AuthorizationRequest::read(&Parameters { claims: Some(claims.to_owned()), ..good() }).expect("good")
        };
        assert_eq!(
            read(r#"{"id_token":{"acr":{"essential":true,"value":"aal2"}}}"#).claims.essential_acr,
            Some(Acr::Aal2)
        );
        for voluntary in [
            "{}",
            "[]",
            r#"{"id_token":{"acr":null}}"#,
            r#"{"id_token":{"acr":{"essential":true}}}"#,
            r#"{"id_token":{"acr":{"essential":"true","value":"gold"}}}"#,
            r#"{"id_token":{"acr":{"value":"gold"}}}"#,
            r#"{"userinfo":{"acr":{"essential":true,"value":"gold"}}}"#,
        ] {
            assert_eq!(read(voluntary).claims.essential_acr, None, "{voluntary}");
        }
    }

    #[test]
    fn a_hint_that_is_no_name_is_no_hint() {
        let read = |hint: &str| {
            AuthorizationRequest::read(&Parameters { login_hint: Some(hint.to_owned()), ..good() })
                .expect("good")
                .login_hint
        };
        assert_eq!(read("ana@company.com").as_deref(), Some("ana@company.com"));
        assert_eq!(read(&"\u{e9}".repeat(128)).map(|hint| hint.chars().count()), Some(128));
        for none in ["", "  ", "a\nb", "a\0", &"a".repeat(129)] {
            assert_eq!(read(none), None, "{none:?}");
        }
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
        let choice = request(|all| all.prompt = Some("select_account".into()));
        assert!(choice.wants_choice(asked, asked, false) && choice.wants_choice(before, asked, true));
        assert!(!choice.wants_choice(asked, asked, true) && !login.wants_choice(before, asked, false));
        let create = request(|all| all.prompt = Some("create".into()));
        assert!(create.wants_sign_in(before, asked, true) && !create.wants_sign_in(asked, asked, true));
        let none = request(|all| all.max_age = Some("0".into()));
        assert!(none.wants_sign_in(asked, asked, false) && !none.wants_sign_in(asked, asked, true));
    }
}
