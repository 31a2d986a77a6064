//! What a browser keeps while its person signs in at an upstream: where they wanted to go, and a name that the way back must show. It binds the
//! way back to this browser: the same address opened in another one finds no transaction there and does nothing (no login CSRF).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::UpstreamRefused;
use crate::crypto::{self, Random, Sealer};
use crate::id::SessionId;
use crate::time::Timestamp;

/// How long somebody may take to sign in (protocol §15, "flow").
pub const LIFETIME: Duration = Duration::from_mins(30);
/// The purpose of the key that transactions are sealed with: `master_key.sealer(transaction::SEALER)`.
pub const SEALER: &str = "upstream transaction";

/// One sign-in under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    state: [u8; 32],
    /// What nonce and code verifier are made of. Unlike the state it is in no address.
    #[serde(default)]
    secret: [u8; 32],
    started_at: i64,
    /// The app that the person wants to reach.
    pub app: Option<String>,
    /// Where in it. Checked when it begins, and again before anybody is sent there.
    pub return_to: Option<String>,
    /// An authorization request that waits for this sign-in, sealed.
    #[serde(default)]
    pub pending: Option<String>,
    /// The person is to prove anew who they are.
    pub anew: bool,
    /// The longest that their last proof may be ago, in seconds.
    #[serde(default)]
    pub max_age: Option<u64>,
    /// It is to be by two factors.
    #[serde(default)]
    pub strong: bool,
    /// They have been sent back for a second factor: not twice.
    pub stepped_up: bool,
    /// Whoever comes back is to be tied to the person of this session, who asked for it there; nobody is to be signed in.
    #[serde(default)]
    pub links: Option<SessionId>,
}

impl Transaction {
    /// A new one.
    pub fn begin(app: Option<String>, return_to: Option<String>, now: Timestamp, random: &mut dyn Random) -> Self {
        let (mut state, mut secret) = ([0; 32], [0; 32]);
        random.fill(&mut state);
        random.fill(&mut secret);
        let started_at = now.as_millis();
        Self {
            state,
            secret,
            started_at,
            app,
            return_to,
            pending: None,
            anew: false,
            max_age: None,
            strong: false,
            stepped_up: false,
            links: None,
        }
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_millis(self.started_at)
    }

    /// The longest that their last proof may be ago: no time at all, if it is to be a new one.
    pub fn oldest_proof(&self) -> Option<Duration> {
        if self.anew { Some(Duration::ZERO) } else { self.max_age.map(Duration::from_secs) }
    }

    /// What the way back must show: 43 characters of base64url.
    pub fn state(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.state)
    }

    /// What an ID token must repeat (OIDC Core 1.0 §3.1.2.1): one that was issued for another sign-in is none for this one.
    pub fn nonce(&self) -> String {
        self.derived(b"nonce")
    }

    /// What shows that whoever redeems the code began the sign-in (RFC 7636 §4.1).
    pub fn code_verifier(&self) -> String {
        self.derived(b"code verifier")
    }

    /// Its `S256` challenge (§4.2).
    pub fn code_challenge(&self) -> String {
        URL_SAFE_NO_PAD.encode(crypto::sha256(self.code_verifier().as_bytes()))
    }

    /// What is written down when the answer has come: it comes once. Says nothing about the state.
    pub fn answered(&self) -> [u8; 32] {
        crypto::sha256(&[b"answered", &self.state[..]].concat())
    }

    fn derived(&self, what: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(crypto::sha256(&[what, &self.secret].concat()))
    }

    /// The cookie's value, which opens for this upstream only.
    pub fn seal(&self, upstream: &str, sealer: &Sealer, random: &mut dyn Random) -> String {
        let plain = serde_json::to_vec(self).expect("bytes, texts, a number and flags");
        URL_SAFE_NO_PAD.encode(sealer.seal(&plain, upstream.as_bytes(), random))
    }

    /// Reads the cookie that belongs to the `state` of a way back.
    pub fn open(
        value: &str,
        state: &str,
        upstream: &str,
        sealer: &Sealer,
        now: Timestamp,
    ) -> Result<Self, UpstreamRefused> {
        let plain = URL_SAFE_NO_PAD.decode(value).ok();
        let plain = plain.and_then(|sealed| sealer.open(&sealed, upstream.as_bytes()));
        let found: Option<Self> = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
        let Some(found) = found.filter(|found| crypto::equal(found.state().as_bytes(), state.as_bytes())) else {
            return Err(UpstreamRefused::NoTransaction);
        };
        if now >= found.started_at() + LIFETIME {
            return Err(UpstreamRefused::TransactionExpired);
        }
        Ok(found)
    }
}

/// Eight characters that tell one sign-in's cookie from that of another in the same browser, and say nothing about it. `None` for what cannot be
/// a state.
pub fn cookie_suffix(state: &str) -> Option<String> {
    let bytes: [u8; 32] = URL_SAFE_NO_PAD.decode(state).ok()?.try_into().ok()?;
    Some(URL_SAFE_NO_PAD.encode(&crypto::sha256(&bytes)[..6]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::MasterKey;
    use crate::crypto::tests::Seeded;

    #[test]
    fn opens_for_its_own_state_and_upstream_for_half_an_hour() {
        let sealer = MasterKey::new([1; 32]).sealer(SEALER);
        let now = Timestamp::from_seconds(1_000_000);
        let mut begun = Transaction::begin(Some("pos".into()), Some("https://pos/".into()), now, &mut Seeded(1));
        begun.anew = true;
        let other = Transaction::begin(None, None, now, &mut Seeded(2));
        let (value, state) = (begun.seal("kratos", &sealer, &mut Seeded(3)), begun.state());
        let open =
            |value: &str, state: &str, upstream: &str, now| Transaction::open(value, state, upstream, &sealer, now);
        assert_eq!(open(&value, &state, "kratos", now + LIFETIME - Duration::from_millis(1)), Ok(begun.clone()));
        assert_eq!(open(&value, &state, "kratos", now + LIFETIME), Err(UpstreamRefused::TransactionExpired));
        for (value, state, upstream) in [
            (&*value, &*other.state(), "kratos"),
            (&value, "", "kratos"),
            (&value, &state, "other"),
            ("", &state, "kratos"),
            (&value[1..], &state, "kratos"),
            (&other.seal("kratos", &sealer, &mut Seeded(4)), &state, "kratos"),
        ] {
            assert_eq!(open(value, state, upstream, now), Err(UpstreamRefused::NoTransaction));
        }
        assert_ne!(cookie_suffix(&state), cookie_suffix(&other.state()));
        assert_eq!(cookie_suffix(&state).map(|suffix| suffix.len()), Some(8));
        assert_eq!(cookie_suffix("x"), None);
    }

    #[test]
    fn what_it_proves_with_is_its_own_and_in_no_address() {
        let now = Timestamp::from_seconds(1_000_000);
        let one = Transaction::begin(None, None, now, &mut Seeded(1));
        let other = Transaction::begin(None, None, now, &mut Seeded(9));
        let all = |of: &Transaction| [of.state(), of.nonce(), of.code_verifier(), of.code_challenge()];
        let mut texts: Vec<String> = all(&one).into_iter().chain(all(&other)).collect();
        assert!(texts.iter().all(|text| text.len() == 43));
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 8);
        let challenge = one.code_challenge().parse().expect("a challenge");
        assert!(crate::oidc::pkce::is_answered_by(&challenge, &one.code_verifier()));
        // With the state, which is in addresses, and nothing else one gets none of the rest.
        let known = Transaction { secret: [0; 32], ..one.clone() };
        assert_eq!(known.state(), one.state());
        assert!(known.nonce() != one.nonce() && known.code_verifier() != one.code_verifier());
        assert_ne!(one.answered(), other.answered());
    }
}
