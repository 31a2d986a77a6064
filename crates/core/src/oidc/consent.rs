//! Whether a person has to be asked before an app learns who they are (OIDC Core 1.0 §3.1.2.4, protocol §11).

use super::{AuthorizationRequest, Prompt, Scope};
use crate::time::Timestamp;

/// What a person has allowed an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// What it may learn.
    pub scope: Scope,
    /// When it was allowed last.
    pub given_at: Timestamp,
}

/// Whether this request, made at `asked_at`, needs a question. The company's own apps need none; `prompt=consent` asks in any case, once: a request
/// that has `waited` is content with an answer since it was made.
pub fn must_ask(
    third_party: bool,
    request: &AuthorizationRequest,
    given: Option<Consent>,
    asked_at: Timestamp,
    waited: bool,
) -> bool {
    let enough = given.filter(|given| request.learns().is_within(given.scope));
    if request.asks_for(Prompt::Consent) {
        return !enough.is_some_and(|given| waited && given.given_at >= asked_at);
    }
    third_party && enough.is_none()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Parameters;
    use super::*;

    fn request(scope: &str, prompt: Option<&str>) -> AuthorizationRequest {
        let some = |text: &str| Some(text.to_owned());
        let parameters = Parameters {
            response_type: some("code"),
            scope: some(scope),
            code_challenge: some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            code_challenge_method: some("S256"),
            prompt: prompt.map(str::to_owned),
            ..Parameters::default()
        };
        AuthorizationRequest::read(&parameters).expect("good")
    }

    #[test]
    fn the_companys_own_apps_never_ask_and_others_ask_once_for_each_scope() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let given = |scope: &str| Some(Consent { scope: scope.parse().expect("a scope"), given_at: now });
        let ask = |third, scope, given| must_ask(third, &request(scope, None), given, now, false);
        assert!(!ask(false, "openid email", None) && ask(true, "openid", None));
        assert!(!ask(true, "openid email", given("openid email")) && !ask(true, "openid", given("openid profile")));
        assert!(ask(true, "openid email", given("openid profile")), "more than was allowed");
    }

    #[test]
    fn a_single_claim_is_asked_about_like_its_scope() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut request = request("openid", None);
        let given = |scope: &str| Some(Consent { scope: scope.parse().expect("a scope"), given_at: now });
        request.claims.requested.id_token.email = true;
        assert!(must_ask(true, &request, given("openid profile"), now, false));
        assert!(!must_ask(true, &request, given("openid email"), now, false));
    }

    #[test]
    fn prompt_consent_is_content_with_an_answer_that_comes_after_it() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let request = request("openid", Some("consent"));
        let given = |at| Some(Consent { scope: request.scope, given_at: at });
        for third in [false, true] {
            let ask = |given, waited| must_ask(third, &request, given, now, waited);
            assert!(ask(None, true) && ask(given(now), false) && ask(given(now - Duration::from_secs(1)), true));
            assert!(!ask(given(now), true));
        }
    }
}
