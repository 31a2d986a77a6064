//! Whether a person has to be asked before an app learns who they are (OIDC Core 1.0 §3.1.2.4, RFC 8252 §8.6, protocol §11).

use super::{AuthorizationRequest, ClientKind, Prompt, RedirectUri, Resources, Scope};
use crate::app::App;
use crate::time::Timestamp;

/// What a person has allowed an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consent {
    /// What it may learn.
    pub scope: Scope,
    /// What it may call in their name. Leave for one service is none for another.
    pub resources: Resources,
    /// When it was allowed last.
    pub given_at: Timestamp,
}

impl Consent {
    /// Whether it is enough for this.
    pub fn covers(&self, scope: Scope, resources: &Resources) -> bool {
        scope.is_within(self.scope) && resources.is_within(&self.resources)
    }
}

/// How often people are asked about an app that sends them to this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// It is the company's own.
    Never,
    /// It is somebody else's: until more is wanted than was allowed.
    Once,
    /// Nobody knows which program it is: whoever was allowed yesterday says nothing about who asks today (advisory T3).
    EachTime,
}

impl Asks {
    /// By what the app is and where its codes go.
    pub fn of(app: &App, redirect_uri: &RedirectUri) -> Self {
        match (app.client.kind, app.third_party) {
            // Whoever answers there needs no secret to redeem the code, and can say that it is the client's page.
            (ClientKind::Native | ClientKind::Browser, _) if redirect_uri.is_for_any_program() => Self::EachTime,
            (_, true) => Self::Once,
            (_, false) => Self::Never,
        }
    }
}

/// Where a request stands.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// When it was made.
    pub asked_at: Timestamp,
    /// It has been somewhere since: at the sign-in page, at a question.
    pub waited: bool,
    /// Whoever is here has allowed this very request.
    pub allowed: bool,
}

/// Whether this request needs a question. The company's own apps need none; `prompt=consent` asks in any case, once: a request that has `waited` is
/// content with an answer since it was made. Where it is asked each time only the answer to this very request counts: a program could have made
/// one of its own beforehand, and wait until the person allows another.
pub fn must_ask(asks: Asks, request: &AuthorizationRequest, given: Option<Consent>, waiting: Waiting) -> bool {
    let enough = given.filter(|given| given.covers(request.learns(), &request.resources));
    if asks == Asks::EachTime {
        return !(waiting.allowed && enough.is_some());
    }
    if request.asks_for(Prompt::Consent) {
        return !enough.is_some_and(|given| waiting.waited && given.given_at >= waiting.asked_at);
    }
    asks == Asks::Once && enough.is_none()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Parameters;
    use super::super::client::tests::app;
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

    fn allowed(scope: &str, resources: &str, given_at: Timestamp) -> Consent {
        let (scope, resources) = (scope.parse().expect("a scope"), resources.parse().expect("names"));
        Consent { scope, resources, given_at }
    }

    #[test]
    fn the_companys_own_apps_never_ask_and_others_ask_once_for_each_scope() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let given = |scope: &str| Some(allowed(scope, "", now));
        let waiting = Waiting { asked_at: now, waited: false, allowed: false };
        let ask = |asks, scope, given| must_ask(asks, &request(scope, None), given, waiting);
        let (own, others) = (Asks::Never, Asks::Once);
        assert!(!ask(own, "openid email", None) && ask(others, "openid", None));
        assert!(!ask(others, "openid email", given("openid email")) && !ask(others, "openid", given("openid profile")));
        assert!(ask(others, "openid email", given("openid profile")), "more than was allowed");
    }

    /// T3: what was allowed before, or in answer to another request, is no answer to this one.
    #[test]
    fn a_program_that_could_be_any_is_asked_about_each_time() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let given = |scope: &str| Some(allowed(scope, "", now));
        for prompt in [None, Some("consent")] {
            let ask = |given, waited, allowed| {
                let waiting = Waiting { asked_at: now, waited, allowed };
                must_ask(Asks::EachTime, &request("openid email", prompt), given, waiting)
            };
            assert!(!ask(given("openid email"), true, true));
            assert!(ask(given("openid email"), false, false) && ask(given("openid email"), true, false));
            assert!(ask(given("openid"), true, true) && ask(None, true, true), "taken back since, or less");
        }
    }

    #[test]
    fn whose_program_it_is_decides_how_often_people_are_asked() {
        use ClientKind::{Browser, Confidential, Native};
        for (kind, third_party, uri, asks) in [
            (Native, false, "http://127.0.0.1/cb", Asks::EachTime),
            (Native, true, "http://[::1]:7000/cb", Asks::EachTime),
            (Native, false, "com.company.tool:/cb", Asks::EachTime),
            (Native, false, "https://tool.company.com/cb", Asks::Never),
            (Native, true, "https://tool.company.com/cb", Asks::Once),
            (Confidential, false, "http://127.0.0.1/cb", Asks::Never),
            (Confidential, true, "https://tool.company.com/cb", Asks::Once),
            (Browser, false, "https://tool.company.com/cb", Asks::Never),
            (Browser, false, "http://localhost:5173/cb", Asks::EachTime),
            (Browser, false, "http://tool.company.localhost:5173/cb", Asks::EachTime),
            (Browser, true, "http://127.0.0.1:5173/cb", Asks::EachTime),
            (Browser, true, "https://localhost/cb", Asks::EachTime),
            (Native, false, "https://localhost/cb", Asks::EachTime),
            (Browser, true, "https://localhost.company.com/cb", Asks::Once),
        ] {
            let mut app = app(kind, &[uri]);
            app.third_party = third_party;
            assert_eq!(Asks::of(&app, &app.redirect_uris[0]), asks, "{kind:?} {third_party} {uri}");
        }
    }

    #[test]
    fn a_single_claim_is_asked_about_like_its_scope() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let mut request = request("openid", None);
        let given = |scope: &str| Some(allowed(scope, "", now));
        request.claims.requested.id_token.email = true;
        let waiting = Waiting { asked_at: now, waited: false, allowed: false };
        assert!(must_ask(Asks::Once, &request, given("openid profile"), waiting));
        assert!(!must_ask(Asks::Once, &request, given("openid email"), waiting));
    }

    /// Leave for one service is none for another, however often people are asked about the app.
    #[test]
    fn each_service_is_asked_about() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let ask = |asks, asked: &str, given, allowed| {
            let request = AuthorizationRequest { resources: asked.parse().expect("names"), ..request("openid", None) };
            must_ask(asks, &request, given, Waiting { asked_at: now, waited: allowed, allowed })
        };
        let given = |resources| Some(allowed("openid", resources, now));
        for (asked, before, enough) in [
            ("", "", true),
            ("", "a", true),
            ("a", "a b", true),
            ("b a", "a b", true),
            ("a", "", false),
            ("b", "a", false),
            ("a b", "a", false),
        ] {
            assert_eq!(ask(Asks::Once, asked, given(before), false), !enough, "{asked:?} of {before:?}");
            assert_eq!(ask(Asks::EachTime, asked, given(before), true), !enough, "{asked:?} of {before:?}");
        }
        assert!(ask(Asks::Once, "a", None, false) && !ask(Asks::Never, "a", None, false));
    }

    #[test]
    fn prompt_consent_is_content_with_an_answer_that_comes_after_it() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let request = request("openid", Some("consent"));
        let given = |at| Some(allowed("openid", "", at));
        for asks in [Asks::Never, Asks::Once] {
            let ask =
                |given, waited| must_ask(asks, &request, given, Waiting { asked_at: now, waited, allowed: false });
            assert!(ask(None, true) && ask(given(now), false) && ask(given(now - Duration::from_secs(1)), true));
            assert!(!ask(given(now), true));
        }
    }
}
