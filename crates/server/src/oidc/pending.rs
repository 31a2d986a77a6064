//! An authorization request whose person has to do something first: sign in, choose, allow. It travels sealed in the addresses of the pages that ask,
//! as part of their [`Journey`]: nothing is written down, nothing has to be cleaned up, and nobody can say that a sign-in was asked for earlier than it was.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::{self, Random, Sealer};
use hallpass_core::id::{AppKey, SessionId, UserId};
use hallpass_core::keyring::Keyring;
use hallpass_core::oidc::{
    AuthorizationRefused, AuthorizationRequest, PENDING_LIFETIME, Parameters, Prompt, verify_hint,
};
use hallpass_core::secret::{Digest, PushedRequest};
use hallpass_core::session::Acr;
use hallpass_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::pass::Journey;
use crate::web::guard::LiveSession;

/// The purpose of the key that requests are sealed with.
pub const SEALER: &str = "authorization request";

/// What requests of clients are bound to that are not in the registry. No key of an app has spaces.
const STRANGER: &str = "a client that describes itself";

/// The request as it came, and when.
#[derive(Serialize, Deserialize)]
pub struct Pending {
    /// What it said. Judged again when it goes on: the registry may have changed.
    pub parameters: Parameters,
    /// When, in milliseconds.
    asked_at: i64,
    /// Whom the client's hint names, as the client knows them: the answer is about them or about nobody.
    hinted: Option<String>,
    /// What that, and what `claims` says of it, meant for whoever was here last.
    #[serde(default)]
    about: About,
    /// The session whose person has said that it is they who want to go on.
    pub chosen: Option<SessionId>,
    /// The session whose person has allowed it.
    pub allowed: Option<SessionId>,
    /// What the client pushed it under, if it did: the digest, which is good for one code.
    pushed: Option<String>,
}

/// Whom the answer may be about.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
enum About {
    /// Whoever comes.
    #[default]
    Anybody,
    /// This person alone.
    One(UserId),
    /// Somebody else than this person. Who, only the client knows, until they come.
    NotOne(UserId),
}

impl Pending {
    /// From this moment.
    pub fn new(parameters: Parameters, now: Timestamp) -> Self {
        Self {
            parameters,
            asked_at: now.as_millis(),
            hinted: None,
            about: About::default(),
            chosen: None,
            allowed: None,
            pushed: None,
        }
    }

    /// One that the client pushes.
    pub fn pushed(parameters: Parameters, request: Digest<PushedRequest>, now: Timestamp) -> Self {
        Self { pushed: Some(URL_SAFE_NO_PAD.encode(request.as_bytes())), ..Self::new(parameters, now) }
    }

    /// Whether the client pushed it.
    pub fn is_pushed(&self) -> bool {
        self.pushed_request().is_some()
    }

    /// What a code for it uses up.
    pub fn pushed_request(&self) -> Option<Digest<PushedRequest>> {
        let mut digest = [0; 32];
        let written = URL_SAFE_NO_PAD.decode_slice(self.pushed.as_ref()?, &mut digest);
        (written == Ok(digest.len())).then(|| Digest::from_bytes(digest))
    }

    /// As it is kept until a browser comes with its name. Not as it travels in addresses: neither opens in the other's place.
    pub fn sealed(&self, app: &AppKey, sealer: &Sealer, random: &mut dyn Random) -> Vec<u8> {
        sealer.seal(&self.plain(), &kept_for(app), random)
    }

    /// A browser comes with its name: it begins now.
    pub fn unsealed(sealed: &[u8], app: &AppKey, sealer: &Sealer, now: Timestamp) -> Option<Self> {
        let pending: Self = serde_json::from_slice(&sealer.open(sealed, &kept_for(app))?).ok()?;
        Some(Self { asked_at: now.as_millis(), ..pending })
    }

    /// Finds out whom `id_token_hint` names. One whose time is over is as good; one that we did not make for this client is a forgery.
    pub fn look_up(
        &mut self,
        client_id: &str,
        keyring: &Keyring,
        issuer: &str,
        now: Timestamp,
    ) -> Result<(), AuthorizationRefused> {
        let Some(hint) = self.parameters.id_token_hint.take() else { return Ok(()) };
        let hint = verify_hint(&hint, keyring, issuer, now).ok().filter(|hint| hint.client_id == client_id);
        let hint = hint.ok_or(AuthorizationRefused::invalid_request("no id_token_hint of this client's"))?;
        self.hinted = Some(hint.subject.to_string());
        Ok(())
    }

    /// Finds out whether the answer may be about whoever is here, whom this client knows as `known_as`.
    pub fn compare(&mut self, request: &AuthorizationRequest, here: Option<(UserId, &str)>) {
        let mut named = self.hinted.iter().chain(&request.claims.subject).peekable();
        self.about = match here {
            Some((user, known_as)) if named.peek().is_some() => {
                if named.all(|named| named == known_as) {
                    About::One(user)
                } else {
                    About::NotOne(user)
                }
            }
            _ => About::Anybody,
        };
    }

    /// With nothing in it but what was understood.
    #[must_use]
    pub fn understood(mut self, request: &AuthorizationRequest) -> Self {
        self.parameters = self.parameters.understood(request);
        self
    }

    /// Whether whoever is here has to prove anew who they are, or somebody else has to.
    pub fn wants_sign_in(&self, request: &AuthorizationRequest, live: &LiveSession, waited: bool) -> bool {
        let at = live.session.authenticated_at;
        let wrong = self.is_about_somebody_else(live) && !(waited && at >= self.asked_at());
        wrong || request.wants_sign_in(at, self.asked_at(), waited)
    }

    /// Whether the client means another person than the one who is here.
    pub fn is_about_somebody_else(&self, live: &LiveSession) -> bool {
        match self.about {
            About::Anybody => false,
            About::One(user) => user != live.user.id,
            About::NotOne(user) => user == live.user.id,
        }
    }

    /// When it came.
    pub fn asked_at(&self) -> Timestamp {
        Timestamp::from_millis(self.asked_at)
    }

    /// The journey to the sign-in page and back. It is bound to the app whose name the page shows; none of a client that is not in the registry: what a
    /// stranger is called is not said where people type passwords.
    pub fn journey(&self, app: Option<&str>, sealer: &Sealer, random: &mut dyn Random) -> Journey {
        let sealed = sealer.seal(&self.plain(), app.unwrap_or(STRANGER).as_bytes(), random);
        Journey { app: app.map(str::to_owned), return_to: None, pending: Some(URL_SAFE_NO_PAD.encode(sealed)) }
    }

    /// What a journey carries, if it is ours, for this app, and not too old.
    pub fn of(journey: &Journey, sealer: &Sealer, now: Timestamp) -> Option<Self> {
        let (app, pending) = (journey.app.as_deref().unwrap_or(STRANGER), journey.pending.as_ref()?);
        let sealed = URL_SAFE_NO_PAD.decode(pending).ok()?;
        let pending: Self = serde_json::from_slice(&sealer.open(&sealed, app.as_bytes())?).ok()?;
        (now.since(pending.asked_at()) < PENDING_LIFETIME).then_some(pending)
    }

    fn plain(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and a number")
    }
}

fn kept_for(app: &AppKey) -> Vec<u8> {
    format!("pushed {app}").into_bytes()
}

/// What the tokens of a form are bound to that asks about a waiting request: what it asks, whom, and about which request. Somebody who was shown one
/// cannot be made to answer another.
pub fn form_binding(asks: &str, session: &SessionId, journey: &Journey) -> [u8; 32] {
    crypto::sha256(format!("{asks} {session} {}", journey.query()).as_bytes())
}

/// Whether the sign-in page must show its form although somebody is signed in: the request asks for a new proof.
pub fn wants_sign_in(context: &Context, journey: &Journey, live: &LiveSession, now: Timestamp) -> bool {
    open(context, journey, now).is_some_and(|(pending, request)| {
        pending.wants_sign_in(&request, live, true) || wants_more(context, &pending, &request, live)
    })
}

/// Whether an upstream must ask for a new proof, too, though it may know the person.
pub fn wants_login(context: &Context, journey: &Journey, now: Timestamp) -> bool {
    open(context, journey, now).is_some_and(|(_, request)| {
        let asks = |prompt| request.asks_for(prompt);
        asks(Prompt::Login) || asks(Prompt::Create) || request.max_age.is_some_and(|age| age.is_zero())
    })
}

/// What a request that waits asks of whoever signs in, as far as an upstream may be asked for it, too.
#[derive(Default)]
pub struct Demands {
    /// They are to say which account they want to use.
    pub choice: bool,
    /// The longest that their last proof may be ago.
    pub max_age: Option<Duration>,
    /// No less strong than this.
    pub acr: Option<Acr>,
}

/// Says so.
pub fn demands(context: &Context, journey: &Journey, now: Timestamp) -> Demands {
    let Some((_, request)) = open(context, journey, now) else { return Demands::default() };
    let choice = request.asks_for(Prompt::SelectAccount);
    Demands { choice, max_age: request.max_age, acr: request.claims.essential_acr }
}

/// Whether somebody has to sign in again because the request takes more than they have shown, and a provider can tell that they did.
pub fn wants_more(context: &Context, pending: &Pending, request: &AuthorizationRequest, live: &LiveSession) -> bool {
    let lacking = request.claims.essential_acr.is_some_and(|acr| live.session.acr < acr);
    let tells = || context.providers.iter().any(|provider| provider.config.tells_two_factors());
    // Whoever has signed in for this very request has shown what they can.
    lacking && live.session.authenticated_at < pending.asked_at() && tells()
}

/// Whether somebody who signs in now does it for a request.
pub fn waits(context: &Context, journey: &Journey, now: Timestamp) -> bool {
    open(context, journey, now).is_some()
}

/// What the sign-in page makes of the request that waits for it.
#[derive(Default)]
pub struct Hints {
    /// The client expects this user name.
    pub username: Option<String>,
    /// The client thinks that people sign up here.
    pub sign_up: bool,
    /// Whoever is here is the right person, but has to prove it anew.
    pub again: bool,
}

/// Says so.
pub fn hints(context: &Context, journey: &Journey, live: Option<&LiveSession>, now: Timestamp) -> Hints {
    let Some((pending, request)) = open(context, journey, now) else { return Hints::default() };
    let sign_up = request.asks_for(Prompt::Create);
    let again = |live| {
        let asked = pending.wants_sign_in(&request, live, true) || wants_more(context, &pending, &request, live);
        asked && !pending.is_about_somebody_else(live)
    };
    Hints { again: !sign_up && live.is_some_and(again), username: request.login_hint, sign_up }
}

fn open(context: &Context, journey: &Journey, now: Timestamp) -> Option<(Pending, AuthorizationRequest)> {
    let pending = Pending::of(journey, &context.keys.pending, now)?;
    let request = AuthorizationRequest::read(&pending.parameters).ok()?;
    Some((pending, request))
}

#[cfg(test)]
mod tests {
    use hallpass_core::crypto::{MasterKey, SystemRandom};

    use super::*;

    #[test]
    fn it_opens_for_its_app_and_for_half_an_hour() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let sealer = MasterKey::new([7; 32]).sealer(SEALER);
        let parameters = Parameters { state: Some("x".to_owned()), ..Parameters::default() };
        let journey = Pending::new(parameters, now).journey(Some("wiki"), &sealer, &mut SystemRandom);
        let late = now + PENDING_LIFETIME;
        let opened = Pending::of(&journey, &sealer, late - Duration::from_millis(1)).expect("opens");
        assert_eq!((opened.asked_at(), opened.parameters.state()), (now, Some("x")));
        assert!(Pending::of(&journey, &sealer, late).is_none());
        let other = Journey { app: Some("pos".to_owned()), ..journey.clone() };
        assert!(Pending::of(&other, &sealer, now).is_none());
        let stranger = Journey { app: None, ..journey.clone() };
        assert!(Pending::of(&stranger, &sealer, now).is_none());
        let altered = Journey { pending: journey.pending.map(|text| text.replace('A', "B") + "A"), ..other };
        assert!(Pending::of(&altered, &sealer, now).is_none());
    }
}
