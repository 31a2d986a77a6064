//! Every kind of credential against every attribute that it is bound to, one of them changed at a time; and every kind at every other kind's door.
//! Protocol §8, §11, §16; T12–T16, T20, T22, T29.
//!
//! The tables below are the claim; each cell of them is tried in an installation of its own. What is held there is made in `held.rs`, how each is
//! presented is in `doors.rs`.

mod doors;
mod held;

use tokio::task::JoinSet;

use self::held::Held;

/// What somebody may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Credential {
    AppSecret,
    Session,
    PageToken,
    Pass,
    HandoffCode,
    AuthorizationCode,
    RefreshToken,
    AccessToken,
    IdTokenHint,
    PendingRequest,
    PushedRequest,
    DeviceCode,
    /// The token of the form that allows an app of somebody else.
    ConsentForm,
    RefreshCookie,
    ClientAssertion,
    BoundRefreshToken,
    BoundAccessToken,
    PossessionProof,
    /// What a client that has registered itself manages that with.
    RegistrationToken,
    /// An app's own token for a service (client credentials).
    ServiceToken,
    /// What an app gets for a pass, to call a service in the person's name.
    DownstreamToken,
    /// What a browser brings back from another provider: the state, and behind it an ID token.
    UpstreamAnswer,
}

/// What it may be bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attribute {
    /// Nothing is changed: it must be good, or the rest of its row says nothing.
    Nothing,
    /// One character of it.
    Text,
    /// Another client, with its own good secret.
    Client,
    /// The secret that the client presents.
    Secret,
    /// The redirect URI: another one of the same client. Of a form: another request. Of a cookie: the page that sends it along. Of an answer from
    /// elsewhere: the way back of another provider.
    Address,
    /// What only the beginner has: a verifier, the browser's cookie, a script of the right page.
    Proof,
    /// The key that its holder signs with, or must prove to hold: another one.
    Key,
    /// Who says so: another provider.
    Issuer,
    /// The sign-in that it was made for: another one.
    Nonce,
    /// The grant that the app has: taken back.
    Grant,
    /// The services that the app may call: none any more.
    Services,
    /// The first moment at which it is over.
    Time,
    /// The session that it came of.
    Session,
    /// The person: disabled.
    Person,
    /// The person's access to the app.
    Access,
    /// The app: disabled.
    App,
    /// A second use.
    Once,
}

use Attribute as A;
use Credential as C;

const BINDINGS: [(Credential, &[Attribute]); 22] = [
    (C::AppSecret, &[A::Text, A::Client, A::App]),
    (C::Session, &[A::Text, A::Time, A::Session, A::Person]),
    (C::PageToken, &[A::Text, A::Proof, A::Session, A::Person]),
    (C::Pass, &[A::Text, A::Client, A::Secret, A::Time, A::Session, A::Person, A::Access, A::App]),
    (
        C::HandoffCode,
        &[
            A::Text,
            A::Client,
            A::Secret,
            A::Address,
            A::Proof,
            A::Time,
            A::Session,
            A::Person,
            A::Access,
            A::App,
            A::Once,
        ],
    ),
    (
        C::AuthorizationCode,
        &[
            A::Text,
            A::Client,
            A::Secret,
            A::Address,
            A::Proof,
            A::Time,
            A::Session,
            A::Person,
            A::Access,
            A::App,
            A::Once,
        ],
    ),
    (C::RefreshToken, &[A::Text, A::Client, A::Secret, A::Time, A::Session, A::Person, A::Access, A::App, A::Once]),
    (C::AccessToken, &[A::Text, A::Time, A::Session, A::Person, A::Access, A::App]),
    (C::IdTokenHint, &[A::Text, A::Client, A::Session]),
    (C::PendingRequest, &[A::Text, A::Client, A::Time]),
    (C::PushedRequest, &[A::Text, A::Client, A::Time, A::Access, A::App, A::Once]),
    (C::DeviceCode, &[A::Text, A::Client, A::Secret, A::Time, A::Session, A::Person, A::Access, A::App, A::Once]),
    (C::ConsentForm, &[A::Text, A::Client, A::Address, A::Proof, A::Time, A::Session, A::Person, A::App]),
    (
        C::RefreshCookie,
        &[A::Text, A::Client, A::Address, A::Proof, A::Time, A::Session, A::Person, A::Access, A::App, A::Once],
    ),
    (C::ClientAssertion, &[A::Text, A::Client, A::Key, A::Time, A::App, A::Once]),
    (
        C::BoundRefreshToken,
        &[A::Text, A::Client, A::Key, A::Proof, A::Time, A::Session, A::Person, A::Access, A::App, A::Once],
    ),
    (C::BoundAccessToken, &[A::Text, A::Key, A::Proof, A::Time, A::Session, A::Person, A::Access, A::App]),
    (C::PossessionProof, &[A::Text, A::Address, A::Key, A::Time, A::Once]),
    (C::RegistrationToken, &[A::Text, A::Client, A::App]),
    (C::ServiceToken, &[A::Text, A::Client, A::Time, A::Grant, A::Services, A::App]),
    (C::DownstreamToken, &[A::Text, A::Client, A::Time, A::Session, A::Person, A::Access, A::Services, A::App]),
    (C::UpstreamAnswer, &[A::Text, A::Client, A::Address, A::Proof, A::Key, A::Issuer, A::Nonce, A::Time, A::Once]),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_bound_is_refused_when_one_thing_is_changed() {
    let rows: JoinSet<_> = BINDINGS.into_iter().map(|(credential, attributes)| row(credential, attributes)).collect();
    let taken = rows.join_all().await.concat();
    assert_eq!(taken, Vec::<String>::new(), "taken although changed, or refused although nothing was");
}

/// The cells of one row that are not as they should be.
async fn row(credential: Credential, attributes: &'static [Attribute]) -> Vec<String> {
    let mut taken = Vec::new();
    for attribute in [A::Nothing].iter().chain(attributes) {
        let held = Box::pin(Held::new()).await;
        held.change(credential, *attribute).await;
        let text = held.text(credential);
        if *attribute == A::Once {
            assert!(held.is_taken(credential, text, A::Nothing).await, "{credential:?} once");
            // Identical retries within ten seconds are answered identically: a lost answer, not a second use.
            held.site.wait(11);
        }
        let altered = altered(text);
        let text = if *attribute == A::Text { &altered } else { text };
        if held.is_taken(credential, text, *attribute).await != (*attribute == A::Nothing) {
            taken.push(format!("{credential:?} with {attribute:?} changed"));
        }
    }
    taken
}

/// One character in the middle is another one.
fn altered(text: &str) -> String {
    let middle = text.len() / 2;
    let other = if text.as_bytes()[middle] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &text[..middle], &text[middle + 1..])
}

#[tokio::test]
async fn no_kind_is_taken_for_another() {
    let held = Box::pin(Held::new()).await;
    for (door, _) in BINDINGS {
        for (kind, text) in &held.texts {
            if door != *kind {
                assert!(!held.is_taken(door, text, A::Nothing).await, "{kind:?} at the door of {door:?}");
            }
        }
    }
    // Nobody has used anything up meanwhile; the ones that end others come last.
    for (door, _) in BINDINGS {
        if !matches!(door, C::PageToken | C::IdTokenHint) {
            assert!(held.is_taken(door, held.text(door), A::Nothing).await, "{door:?} at its own");
        }
    }
}

/// T22: what is cut off, has something behind it, or is written in another way, is nothing at all.
#[tokio::test]
async fn only_the_whole_text_is_one() {
    let held = Box::pin(Held::new()).await;
    for (kind, text) in &held.texts {
        let cuts = (0..text.len()).step_by(7).map(|cut| text[..cut].to_owned());
        let behind = ["A", "=", "%00", " ", "."].map(|more| format!("{text}{more}"));
        let before = ["A", " ", "Bearer "].map(|more| format!("{more}{text}"));
        for bad in cuts.chain(behind).chain(before).chain([text.to_uppercase()]) {
            // Spaces around a header's value are not part of it (RFC 9110 section 5.5).
            let is_whole = matches!(kind, C::Session | C::RefreshCookie) && bad.trim() == text;
            assert!(is_whole || !held.is_taken(*kind, &bad, A::Nothing).await, "{kind:?}: {bad:?}");
        }
    }
}
