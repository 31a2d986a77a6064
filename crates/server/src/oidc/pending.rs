//! An authorization request whose person has to sign in first. It travels sealed in the addresses of the sign-in pages, as part of their
//! [`Journey`]: nothing is written down, nothing has to be cleaned up, and nobody can say that a sign-in was asked for earlier than it was.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{Random, Sealer};
use hallpass_core::oidc::{AuthorizationRequest, PENDING_LIFETIME, Parameters};
use hallpass_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::pass::Journey;
use crate::web::guard::LiveSession;

/// The purpose of the key that requests are sealed with.
pub const SEALER: &str = "authorization request";

/// The request as it came, and when.
#[derive(Serialize, Deserialize)]
pub struct Pending {
    /// What it said. Judged again when it goes on: the registry may have changed.
    pub parameters: Parameters,
    /// When, in milliseconds.
    asked_at: i64,
}

impl Pending {
    /// From this moment.
    pub fn new(parameters: Parameters, now: Timestamp) -> Self {
        Self { parameters, asked_at: now.as_millis() }
    }

    /// With nothing in it but what was understood: what is ignored must not make an address too long.
    #[must_use]
    pub fn understood(mut self, request: &AuthorizationRequest) -> Self {
        self.parameters.scope = Some(request.scope.to_string());
        self.parameters.prompt = request.login.then(|| "login".to_owned());
        self
    }

    /// When it came.
    pub fn asked_at(&self) -> Timestamp {
        Timestamp::from_millis(self.asked_at)
    }

    /// The journey to the sign-in page and back. It is bound to the app whose name the page shows.
    pub fn journey(&self, app: &str, sealer: &Sealer, random: &mut dyn Random) -> Journey {
        let plain = serde_json::to_vec(self).expect("texts and a number");
        let pending = URL_SAFE_NO_PAD.encode(sealer.seal(&plain, app.as_bytes(), random));
        Journey { app: Some(app.to_owned()), return_to: None, pending: Some(pending) }
    }

    /// What a journey carries, if it is ours, for this app, and not too old.
    pub fn of(journey: &Journey, sealer: &Sealer, now: Timestamp) -> Option<Self> {
        let (app, pending) = (journey.app.as_ref()?, journey.pending.as_ref()?);
        let sealed = URL_SAFE_NO_PAD.decode(pending).ok()?;
        let pending: Self = serde_json::from_slice(&sealer.open(&sealed, app.as_bytes())?).ok()?;
        (now.since(pending.asked_at()) < PENDING_LIFETIME).then_some(pending)
    }
}

/// Whether the sign-in page must show its form although somebody is signed in: the request asks for a new proof.
pub fn wants_sign_in(context: &Context, journey: &Journey, live: &LiveSession, now: Timestamp) -> bool {
    Pending::of(journey, &context.keys.pending, now).is_some_and(|pending| {
        let request = AuthorizationRequest::read(&pending.parameters);
        request.is_ok_and(|request| request.wants_sign_in(live.session.authenticated_at, pending.asked_at(), true))
    })
}

/// Whether an upstream must ask for a new proof, too, though it may know the person.
pub fn wants_login(context: &Context, journey: &Journey, now: Timestamp) -> bool {
    Pending::of(journey, &context.keys.pending, now)
        .and_then(|pending| AuthorizationRequest::read(&pending.parameters).ok())
        .is_some_and(|request| request.login || request.max_age.is_some_and(|age| age.is_zero()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hallpass_core::crypto::{MasterKey, SystemRandom};

    use super::*;

    #[test]
    fn it_opens_for_its_app_and_for_half_an_hour() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let sealer = MasterKey::new([7; 32]).sealer(SEALER);
        let parameters = Parameters { state: Some("x".to_owned()), ..Parameters::default() };
        let journey = Pending::new(parameters, now).journey("wiki", &sealer, &mut SystemRandom);
        let late = now + PENDING_LIFETIME;
        let opened = Pending::of(&journey, &sealer, late - Duration::from_millis(1)).expect("opens");
        assert_eq!((opened.asked_at(), opened.parameters.state()), (now, Some("x")));
        assert!(Pending::of(&journey, &sealer, late).is_none());
        let other = Journey { app: Some("pos".to_owned()), ..journey.clone() };
        assert!(Pending::of(&other, &sealer, now).is_none());
        let altered = Journey { pending: journey.pending.map(|text| text.replace('A', "B") + "A"), ..other };
        assert!(Pending::of(&altered, &sealer, now).is_none());
    }
}
