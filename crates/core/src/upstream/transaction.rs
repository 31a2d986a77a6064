//! What a browser keeps while its person signs in at an upstream: where they wanted to go, and a name that the way back must show. It binds the
//! way back to this browser: the same address opened in another one finds no transaction there and does nothing (no login CSRF).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::UpstreamRefused;
use crate::crypto::{self, Random, Sealer};
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
    /// They have been sent back for a second factor: not twice.
    pub stepped_up: bool,
}

impl Transaction {
    /// A new one.
    pub fn begin(app: Option<String>, return_to: Option<String>, now: Timestamp, random: &mut dyn Random) -> Self {
        let mut state = [0; 32];
        random.fill(&mut state);
        Self { state, started_at: now.as_millis(), app, return_to, pending: None, anew: false, stepped_up: false }
    }

    /// When it began.
    pub fn started_at(&self) -> Timestamp {
        Timestamp::from_millis(self.started_at)
    }

    /// What the way back must show: 43 characters of base64url.
    pub fn state(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.state)
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
}
