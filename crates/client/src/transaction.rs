//! One handoff under way, as this browser's cookie keeps it (protocol §8 number 1; RFC 7636). It is put there before there
//! is a code: a code that is opened in another browser finds none and does nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::cookies;
use crate::crypto::{self, Sealer};
use crate::set_cookie::{self, LONGEST_PAIR, MOST_EXPIRY_LINES};

/// How long a browser may take from start to callback.
const LIFETIME_SECONDS: u64 = 120;
/// That many under way are not one person's any more, but left behind.
const MOST_AT_ONCE: usize = 12;
const NAME_PREFIX: &str = "__Host-Http-hallpass-tx-";
const PURPOSE: &str = "handoff";

/// A handoff that this browser began.
#[derive(Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// Comes back with the code.
    pub(crate) state: String,
    /// Redeems the code; the engine has seen its hash only.
    pub(crate) verifier: String,
    /// Where it is to end.
    pub(crate) way: Way,
    /// Nobody asked for it: it looks whether somebody is signed in, and never leads to a sign-in page.
    pub(crate) silent: bool,
    started_at: u64,
}

/// What a handoff is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// To come back to a path of ours.
    Path(String),
    /// To go on in the engine's chain over several zones.
    Chain(String),
    /// To go to an app of this zone. Not judged here: the engine knows what is registered.
    Journey {
        /// The app's key.
        app: String,
        /// An absolute URL at that app.
        return_to: String,
    },
}

impl Transaction {
    /// A new one, and its cookie.
    pub(crate) fn begin(way: Way, silent: bool, now: u64, sealer: &Sealer) -> Option<(Self, HeaderValue)> {
        let state = crypto::random_secret();
        let transaction = Self {
            state: URL_SAFE_NO_PAD.encode(state),
            verifier: URL_SAFE_NO_PAD.encode(crypto::random_secret()),
            way,
            silent,
            started_at: now,
        };
        let name = name_of(&state);
        let value = sealer.seal(&serde_json::to_vec(&transaction).ok()?, PURPOSE);
        // Browsers would drop it without a word, and the callback would then refuse what was begun in good faith.
        if name.len() + value.len() > LONGEST_PAIR {
            return None;
        }
        Some((transaction, set_cookie::host_only(&name, &value, LIFETIME_SECONDS)?))
    }

    /// What the engine is told of the verifier (`S256`, RFC 7636 §4.2).
    pub(crate) fn challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(crypto::sha256(self.verifier.as_bytes()))
    }
}

/// What a request brought for one `state`.
pub(crate) struct Presented {
    /// The transaction, if there is exactly one that we sealed for this state, not too long ago.
    pub(crate) transaction: Option<Transaction>,
    /// To be sent with every answer: whatever came of it, a transaction is over.
    pub(crate) expiry: Vec<HeaderValue>,
}

/// Looks for the transaction of `state`.
pub(crate) fn presented(headers: &HeaderMap, state: &str, now: u64, sealer: &Sealer) -> Presented {
    let Some(name) = parsed(state).map(|state| name_of(&state)) else {
        return Presented { transaction: None, expiry: Vec::new() };
    };
    let values = cookies::values(headers, &name);
    let transaction = match values.as_slice() {
        [value] => sealer
            .open(value, PURPOSE)
            .and_then(|opened| serde_json::from_slice::<Transaction>(&opened.plaintext).ok())
            // In both directions: another of our servers, whose clock runs ahead, may have begun it.
            .filter(|found| found.state == state && now.abs_diff(found.started_at) <= LIFETIME_SECONDS),
        _ => None,
    };
    let expiry = if values.is_empty() { Vec::new() } else { set_cookie::expiry(&name, "/", &[]) };
    Presented { transaction, expiry }
}

/// Removes the handoffs that were given up half way, once there are so many that they would fill the request line.
pub(crate) fn expire_abandoned(headers: &HeaderMap) -> Vec<HeaderValue> {
    let names = cookies::names(headers, NAME_PREFIX);
    if names.len() < MOST_AT_ONCE {
        return Vec::new();
    }
    names.into_iter().take(MOST_EXPIRY_LINES).flat_map(|name| set_cookie::expiry(name, "/", &[])).collect()
}

/// Tells one handoff's cookie from another's in the same browser, and says nothing about the state.
fn name_of(state: &[u8; 32]) -> String {
    let suffix = URL_SAFE_NO_PAD.encode(&crypto::sha256(state)[..6]);
    format!("{NAME_PREFIX}{suffix}")
}

fn parsed(state: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(state).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretKey;
    use http::header::COOKIE;

    fn sealer() -> Sealer {
        Sealer::new("pos", [SecretKey::from("secret")].iter())
    }

    fn brought(lines: &[&HeaderValue]) -> HeaderMap {
        let pairs: Vec<&str> =
            lines.iter().map(|line| line.to_str().expect("ASCII").split(';').next().expect("a pair")).collect();
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&pairs.join("; ")).expect("a header value"))])
    }

    fn begin(way: Way) -> (Transaction, HeaderValue) {
        Transaction::begin(way, false, 1000, &sealer()).expect("fits")
    }

    fn found(headers: &HeaderMap, state: &str, now: u64) -> bool {
        presented(headers, state, now, &sealer()).transaction.is_some()
    }

    #[test]
    fn the_challenge_is_the_standard_s() {
        let (mut transaction, _) = begin(Way::Path("/".into()));
        assert_eq!((transaction.state.len(), transaction.verifier.len()), (43, 43));
        // RFC 7636 appendix B.
        transaction.verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into();
        assert_eq!(transaction.challenge(), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_transaction_is_found_by_its_own_state_once_and_for_two_minutes() {
        let (one, line) = begin(Way::Chain("c".into()));
        let (other, other_line) = begin(Way::Path("/".into()));
        let headers = brought(&[&line, &other_line]);
        assert!(found(&headers, &one.state, 1000) && found(&headers, &other.state, 1000));
        assert!(found(&headers, &one.state, 1120) && !found(&headers, &one.state, 1121));
        assert!(found(&headers, &one.state, 880) && !found(&headers, &one.state, 879));
        assert!(!found(&brought(&[&other_line]), &one.state, 1000));
        assert!(!found(&brought(&[&line, &line]), &one.state, 1000));
        assert_eq!(presented(&headers, &one.state, 9999, &sealer()).expiry.len(), 1);
        assert!(presented(&HeaderMap::new(), &one.state, 1000, &sealer()).expiry.is_empty());
        for state in ["", "x", &one.state[1..], &format!("{}A", one.state), &one.state.replace(&one.state[..1], "!")] {
            assert!(!found(&headers, state, 1000), "{state}");
        }
    }

    #[test]
    fn a_value_does_not_open_under_another_state_s_name() {
        let (one, line) = begin(Way::Path("/".into()));
        let (other, _) = begin(Way::Path("/".into()));
        let name = name_of(&parsed(&other.state).expect("ours"));
        let moved = line.to_str().expect("ASCII").replace(&name_of(&parsed(&one.state).expect("ours")), &name);
        let headers = brought(&[&HeaderValue::from_str(&moved).expect("a header value")]);
        assert!(!found(&headers, &other.state, 1000));
    }

    #[test]
    fn what_no_browser_would_keep_is_not_begun() {
        assert!(Transaction::begin(Way::Chain("c".repeat(2000)), false, 0, &sealer()).is_some());
        let journey = Way::Journey { app: "pos".into(), return_to: "\"".repeat(2000) };
        assert!(Transaction::begin(journey, false, 0, &sealer()).is_none());
    }
}
