//! Proof Key for Code Exchange, `S256` only (RFC 7636). The challenge is the handoff's type; verifiers of other people's clients may be of any
//! length that the standard allows.

use crate::crypto;
use crate::handoff::CodeChallenge;

/// Whether `verifier` is what the challenge was made from (§4.1, §4.6).
pub fn is_answered_by(challenge: &CodeChallenge, verifier: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(unreserved)
        && crypto::equal(&crypto::sha256(verifier.as_bytes()), challenge.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    #[test]
    fn the_example_of_the_standard_and_nothing_near_it() {
        let challenge: CodeChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".parse().expect("a challenge");
        assert!(is_answered_by(&challenge, VERIFIER));
        let plain = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        for bad in ["", &VERIFIER[..42], plain, &format!("{VERIFIER}="), &format!("{VERIFIER} ")] {
            assert!(!is_answered_by(&challenge, bad), "{bad}");
        }
    }

    #[test]
    fn lengths_are_the_standards() {
        for (length, allowed) in [(42, false), (43, true), (128, true), (129, false)] {
            let verifier = "a".repeat(length);
            let challenge = CodeChallenge::from_bytes(crypto::sha256(verifier.as_bytes()));
            assert_eq!(is_answered_by(&challenge, &verifier), allowed, "{length}");
        }
    }
}
