//! Tokens against forged requests (protocol §4 `csrf_token`, §7): one for an app's own forms, one for our pages.
//!
//! `nonce ‖ HMAC(key, frame)`, 64 characters of base64url. Nothing is stored; the token is good as long as the session or flow
//! that it is bound to. The nonce is new each time, so that a compressed page never repeats a secret (BREACH).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::{self, MacKey, Random};
use crate::id::{AppKey, SessionId};

/// The length of every token, in characters.
pub const LENGTH: usize = 64;

/// The purpose of the key: `master_key.mac(csrf::MAC)`.
pub const MAC: &str = "csrf";

/// A token for the forms of `app`, for the person of this session.
pub fn issue(key: &MacKey, session_id: SessionId, app: &AppKey, random: &mut dyn Random) -> String {
    write(random, |nonce| app_tag(key, nonce, session_id, app))
}

/// Whether `token` was issued for this session and this app.
pub fn check(key: &MacKey, session_id: SessionId, app: &AppKey, token: &str) -> bool {
    read(token, |nonce| app_tag(key, nonce, session_id, app))
}

/// A synchronizer token for a form of ours. `purpose` names the form's action (`sign-in`), `bound_to` is the digest of the flow's secret
/// or the session's id.
pub fn issue_for_form(key: &MacKey, purpose: &str, bound_to: &[u8], random: &mut dyn Random) -> String {
    write(random, |nonce| form_tag(key, nonce, purpose, bound_to))
}

/// Whether `token` was issued for this form and this flow or session.
pub fn check_for_form(key: &MacKey, purpose: &str, bound_to: &[u8], token: &str) -> bool {
    read(token, |nonce| form_tag(key, nonce, purpose, bound_to))
}

type Nonce = [u8; 16];

/// Everything but the last part has a fixed length, and the first byte says which frame it is: no two meanings share a text.
fn app_tag(key: &MacKey, nonce: &Nonce, session_id: SessionId, app: &AppKey) -> [u8; 32] {
    key.tag(&[b"A", nonce, session_id.as_bytes(), app.as_str().as_bytes()])
}

fn form_tag(key: &MacKey, nonce: &Nonce, purpose: &str, bound_to: &[u8]) -> [u8; 32] {
    let length = u64::try_from(purpose.len()).expect("a length fits into 64 bits").to_be_bytes();
    key.tag(&[b"F", nonce, &length, purpose.as_bytes(), bound_to])
}

fn write(random: &mut dyn Random, tag: impl FnOnce(&Nonce) -> [u8; 32]) -> String {
    let mut token = [0; 48];
    let mut nonce = Nonce::default();
    random.fill(&mut nonce);
    token[..16].copy_from_slice(&nonce);
    token[16..].copy_from_slice(&tag(&nonce));
    URL_SAFE_NO_PAD.encode(token)
}

fn read(token: &str, tag: impl FnOnce(&Nonce) -> [u8; 32]) -> bool {
    let mut bytes = [0; 48];
    if token.len() != LENGTH || URL_SAFE_NO_PAD.decode_slice(token, &mut bytes) != Ok(48) {
        return false;
    }
    let Some((nonce, presented)) = bytes.split_first_chunk() else { return false };
    crypto::equal(&tag(nonce), presented)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::MasterKey;
    use crate::crypto::tests::Seeded;

    fn session(number: u64) -> SessionId {
        SessionId::mint(&mut Seeded(number))
    }

    fn app(text: &str) -> AppKey {
        text.parse().expect("valid")
    }

    #[test]
    fn a_token_is_good_for_its_own_session_app_and_key_only() {
        let key = MasterKey::new([1; 32]).mac(MAC);
        let mut random = Seeded(100);
        let token = issue(&key, session(1), &app("pos"), &mut random);
        assert_eq!(token.len(), LENGTH);
        assert!(check(&key, session(1), &app("pos"), &token));
        assert!(!check(&key, session(2), &app("pos"), &token));
        assert!(!check(&key, session(1), &app("pos2"), &token));
        assert!(!check(&MasterKey::new([2; 32]).mac(MAC), session(1), &app("pos"), &token));
        assert_ne!(token, issue(&key, session(1), &app("pos"), &mut random), "a fresh nonce each time");
    }

    #[test]
    fn frames_do_not_run_into_each_other() {
        let key = MasterKey::new([1; 32]).mac(MAC);
        let mut random = Seeded(100);
        let form = issue_for_form(&key, "sign-in", b"flow", &mut random);
        assert!(check_for_form(&key, "sign-in", b"flow", &form));
        for (purpose, bound_to) in
            [("sign-i", b"nflow".as_slice()), ("sign-inf", b"low"), ("sign-out", b"flow"), ("", b"sign-inflow")]
        {
            assert!(!check_for_form(&key, purpose, bound_to, &form), "{purpose}");
        }
        // An app's token is no form's, even if the form is bound to the same session and named like the app.
        let token = issue(&key, session(1), &app("pos"), &mut random);
        assert!(!check_for_form(&key, "pos", session(1).as_bytes(), &token));
        assert!(!check(
            &key,
            session(1),
            &app("pos"),
            &issue_for_form(&key, "pos", session(1).as_bytes(), &mut random)
        ));
    }

    /// T22.
    #[test]
    fn every_truncated_extended_or_altered_token_is_refused() {
        let key = MasterKey::new([1; 32]).mac(MAC);
        let token = issue(&key, session(1), &app("pos"), &mut Seeded(7));
        let good = |token: &str| check(&key, session(1), &app("pos"), token);
        for cut in 0..LENGTH {
            assert!(!good(&token[..cut]));
            assert!(cut == 0 || !good(&token[cut..]));
        }
        for bit in 0..LENGTH * 8 {
            let mut altered = token.clone().into_bytes();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(!good(&String::from_utf8_lossy(&altered)), "bit {bit}");
        }
        assert!(!good(&format!("{token}A")) && !good(&format!("{token}=")) && !good(&format!(" {token}")));
    }

    proptest! {
        #[test]
        fn no_other_text_is_ever_good(token in ".{0,80}", shaped in "[A-Za-z0-9_-]{64}") {
            let key = MasterKey::new([1; 32]).mac(MAC);
            prop_assert!(!check(&key, session(1), &app("pos"), &token));
            prop_assert!(!check(&key, session(1), &app("pos"), &shaped));
            prop_assert!(!check_for_form(&key, "sign-in", b"flow", &shaped));
        }
    }
}
