//! The handoff: how another root domain learns who is signed in at home (protocol §8). An authorization-code exchange with PKCE (RFC 7636)
//! whose transaction is put into the browser by the *target*, before there is a code. A code that is opened in another browser finds no
//! transaction there and does nothing.

mod assertion;
pub mod chain;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::crypto::{self, Random, Sealer};
use crate::id::ZoneName;
use crate::time::Timestamp;

pub use assertion::{Assertion, Expected, VerifiedAssertion, nonce_of, verify};

/// How long a code is good for (protocol §15).
pub const CODE_LIFETIME: Duration = Duration::from_secs(30);
/// How long a browser may take from start to callback.
pub const TRANSACTION_LIFETIME: Duration = Duration::from_mins(2);
/// Codes of one session for one agent that may be open at a time: the tabs of a restored window ask for theirs nearly at once.
pub const MAXIMUM_CODES: u32 = 12;
/// The purpose of the key that transactions are sealed with: `master_key.sealer(handoff::SEALER)`.
pub const SEALER: &str = "handoff transaction";

/// Names one handoff in the browser that began it: 256 random bits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct State([u8; 32]);

impl State {
    /// Eight characters that tell this handoff's cookie from that of another one in the same browser, and say nothing about it.
    pub fn cookie_suffix(&self) -> String {
        let digest = crypto::sha256(&self.0);
        URL_SAFE_NO_PAD.encode(&digest[..6])
    }
}

/// 43 characters of base64url.
impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

/// Without the text itself, which is worth something for two minutes.
impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("State(…)")
    }
}

impl FromStr for State {
    type Err = NotBase64;

    fn from_str(text: &str) -> Result<Self, NotBase64> {
        thirty_two(text).map(Self)
    }
}

/// What the code will be redeemed with, known to the target alone (RFC 7636 §4.1).
#[derive(Clone, PartialEq, Eq)]
pub struct CodeVerifier([u8; 32]);

impl CodeVerifier {
    /// What the engine is told before (`S256`, RFC 7636 §4.2).
    pub fn challenge(&self) -> CodeChallenge {
        CodeChallenge(crypto::sha256(URL_SAFE_NO_PAD.encode(self.0).as_bytes()))
    }
}

impl FromStr for CodeVerifier {
    type Err = NotBase64;

    /// 43 characters: RFC 7636 §4.1 allows others, our agents send no others.
    fn from_str(text: &str) -> Result<Self, NotBase64> {
        thirty_two(text).map(Self)
    }
}

impl fmt::Debug for CodeVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CodeVerifier(…)")
    }
}

/// The SHA-256 of a [`CodeVerifier`]'s text.
#[derive(Debug, Clone, Copy)]
pub struct CodeChallenge([u8; 32]);

impl CodeChallenge {
    /// As stored.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As read from the database.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Whether `verifier` is the one.
    pub fn is_answered_by(&self, verifier: &CodeVerifier) -> bool {
        crypto::equal(&self.0, &verifier.challenge().0)
    }
}

impl fmt::Display for CodeChallenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl FromStr for CodeChallenge {
    type Err = NotBase64;

    fn from_str(text: &str) -> Result<Self, NotBase64> {
        thirty_two(text).map(Self)
    }
}

/// Not 32 bytes in canonical base64url.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 43 characters of base64url")]
pub struct NotBase64;

/// One handoff under way, as the target's cookie keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Returned by the engine with the code.
    pub state: State,
    /// Redeems the code.
    pub verifier: CodeVerifier,
    /// The app that the person wants to reach.
    pub app: String,
    /// Where in it. Checked when the handoff begins, and again before anybody is sent there.
    pub return_to: Option<String>,
    /// The chain that this handoff is a step of, sealed by the engine: the browser goes on with it afterwards.
    pub chain: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
}

impl Transaction {
    /// A new one.
    pub fn begin(app: String, return_to: Option<String>, now: Timestamp, random: &mut dyn Random) -> Self {
        Self::with(app, return_to, None, now, random)
    }

    /// A new one that is a step of a chain.
    pub fn begin_step(chain: String, now: Timestamp, random: &mut dyn Random) -> Self {
        Self::with(String::new(), None, Some(chain), now, random)
    }

    fn with(
        app: String,
        return_to: Option<String>,
        chain: Option<String>,
        now: Timestamp,
        random: &mut dyn Random,
    ) -> Self {
        let (mut state, mut verifier) = ([0; 32], [0; 32]);
        random.fill(&mut state);
        random.fill(&mut verifier);
        Self { state: State(state), verifier: CodeVerifier(verifier), app, return_to, chain, started_at: now }
    }

    /// The cookie's value, which opens in this zone only.
    pub fn seal(&self, zone: &ZoneName, sealer: &Sealer, random: &mut dyn Random) -> String {
        let sealed = Sealed {
            state: self.state.0,
            verifier: self.verifier.0,
            app: self.app.clone(),
            return_to: self.return_to.clone(),
            chain: self.chain.clone(),
            started_at: self.started_at.as_millis(),
        };
        let plain = serde_json::to_vec(&sealed).expect("bytes, texts and a number");
        URL_SAFE_NO_PAD.encode(sealer.seal(&plain, zone.as_str().as_bytes(), random))
    }

    /// Reads the cookie that belongs to the `state` of a callback.
    pub fn open(
        value: &str,
        state: State,
        zone: &ZoneName,
        sealer: &Sealer,
        now: Timestamp,
    ) -> Result<Self, HandoffRefused> {
        let plain = URL_SAFE_NO_PAD.decode(value).ok();
        let plain = plain.and_then(|sealed| sealer.open(&sealed, zone.as_str().as_bytes()));
        let sealed: Option<Sealed> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let Some(sealed) = sealed.filter(|sealed| crypto::equal(&sealed.state, &state.0)) else {
            return Err(HandoffRefused::NoTransaction);
        };
        let started_at = Timestamp::from_millis(sealed.started_at);
        if now >= started_at + TRANSACTION_LIFETIME {
            return Err(HandoffRefused::TransactionExpired);
        }
        let Sealed { verifier, app, return_to, chain, .. } = sealed;
        Ok(Self { state, verifier: CodeVerifier(verifier), app, return_to, chain, started_at })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    state: [u8; 32],
    verifier: [u8; 32],
    app: String,
    return_to: Option<String>,
    #[serde(default)]
    chain: Option<String>,
    started_at: i64,
}

/// Why a handoff does not end with a pass. For the audit log; the browser shows one page for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.as_str())]
pub enum HandoffRefused {
    /// This browser did not begin it: somebody else's link, or cookies are blocked.
    NoTransaction,
    /// It was begun more than two minutes ago.
    TransactionExpired,
    /// The answer names another engine (RFC 9207).
    WrongIssuer,
    /// The answer has no code, or nothing that could be one.
    NoCode,
    /// There is no such code.
    UnknownCode,
    /// Its 30 seconds are over.
    CodeExpired,
    /// It has been redeemed before.
    CodeReused,
    /// It was made for another zone.
    WrongZone,
    /// Whoever redeems it did not begin it.
    WrongVerifier,
    /// The session is over, or its person may not sign in any more.
    SessionOver,
    /// The app or its address is not registered (any more), or not in this zone.
    NoDestination,
    /// It was made for another app.
    WrongApp,
    /// It was sent to another address of the app.
    WrongRedirectUri,
    /// The person has no access to the app (any more).
    NoAccess,
}

impl HandoffRefused {
    /// The reason code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoTransaction => "no_transaction",
            Self::TransactionExpired => "transaction_expired",
            Self::WrongIssuer => "wrong_issuer",
            Self::NoCode => "no_code",
            Self::UnknownCode => "unknown_code",
            Self::CodeExpired => "code_expired",
            Self::CodeReused => "code_reused",
            Self::WrongZone => "wrong_zone",
            Self::WrongVerifier => "wrong_verifier",
            Self::SessionOver => "session_over",
            Self::NoDestination => "no_destination",
            Self::WrongApp => "wrong_app",
            Self::WrongRedirectUri => "wrong_redirect_uri",
            Self::NoAccess => "no_access",
        }
    }
}

fn thirty_two(text: &str) -> Result<[u8; 32], NotBase64> {
    let mut bytes = [0; 32];
    match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
        Ok(32) if text.len() == 43 => Ok(bytes),
        _ => Err(NotBase64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::crypto::tests::Seeded;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn sealer() -> Sealer {
        MasterKey::new([1; 32]).sealer(SEALER)
    }

    fn zone(name: &str) -> ZoneName {
        name.parse().expect("a name")
    }

    fn begun() -> Transaction {
        Transaction::begin("shop".to_owned(), Some("https://shop.company2.com/a?b=c".to_owned()), NOW, &mut Seeded(1))
    }

    #[test]
    fn a_transaction_opens_for_its_own_state_zone_and_time() {
        let transaction = begun();
        let value = transaction.seal(&zone("two"), &sealer(), &mut Seeded(9));
        let open = |state, name, now| Transaction::open(&value, state, &zone(name), &sealer(), now);
        assert_eq!(open(transaction.state, "two", NOW), Ok(transaction.clone()));
        let last = NOW + TRANSACTION_LIFETIME - Duration::from_millis(1);
        assert!(open(transaction.state, "two", last).is_ok());
        let over = open(transaction.state, "two", NOW + TRANSACTION_LIFETIME);
        assert_eq!(over, Err(HandoffRefused::TransactionExpired));
        assert_eq!(open(State([7; 32]), "two", NOW), Err(HandoffRefused::NoTransaction));
        assert_eq!(open(transaction.state, "three", NOW), Err(HandoffRefused::NoTransaction));
        let other = MasterKey::new([2; 32]).sealer(SEALER);
        let forged = Transaction::open(&value, transaction.state, &zone("two"), &other, NOW);
        assert_eq!(forged, Err(HandoffRefused::NoTransaction));
        for cut in 0..value.len() {
            assert!(Transaction::open(&value[..cut], transaction.state, &zone("two"), &sealer(), NOW).is_err());
        }
    }

    /// RFC 7636 appendix B.
    #[test]
    fn the_challenge_is_s256() {
        let verifier = CodeVerifier(thirty_two("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").expect("32 bytes"));
        assert_eq!(verifier.challenge().to_string(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        assert!(verifier.challenge().is_answered_by(&verifier));
        assert!(!verifier.challenge().is_answered_by(&begun().verifier));
    }

    #[test]
    fn only_the_text_that_was_written_is_read() {
        let text = begun().state.to_string();
        assert_eq!(text.parse::<State>().map(|state| state.to_string()), Ok(text.clone()));
        for bad in ["", "x", &text[1..], &format!("{text}A"), &format!("{text}="), &text.replace(&text[42..], "B")] {
            // The last character carries four bits: only every fourth is canonical.
            assert!(bad.parse::<State>().is_err(), "{bad}");
        }
        assert_eq!(begun().state.cookie_suffix().len(), 8);
        assert!(!format!("{:?}", begun()).contains(&text));
    }
}
