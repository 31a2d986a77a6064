//! Opaque secrets and CSRF tokens: one text for each value, and no other text for it.

use hallpass_core::crypto::{MacKey, Random};
use hallpass_core::csrf;
use hallpass_core::id::SessionId;
use hallpass_core::secret::{DeviceMark, FlowSecret, Kind, Secret, SecretKey, SessionSecret};

use crate::{Target, kind, text};

pub const TARGET: Target = Target {
    name: "secret",
    run,
    seeds,
    words: &["hp_ss_", "hp_sk_", "hp_fl_", "hp_dm_", "A", "_", "-", "=", "\u{0}", "\u{e9}"],
};

struct Sevens;

impl Random for Sevens {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

fn run(input: &[u8]) -> u64 {
    fn reads<K: Kind>(text: &str) -> bool {
        let read = Secret::<K>::parse(text);
        assert!(read.as_ref().is_none_or(|secret| *secret.expose() == text), "another text for the same secret");
        read.is_some()
    }
    let text = text(input);
    let kinds = [
        reads::<SessionSecret>(&text),
        reads::<SecretKey>(&text),
        reads::<FlowSecret>(&text),
        reads::<DeviceMark>(&text),
    ];
    assert!(kinds.iter().filter(|reads| **reads).count() <= 1, "a secret of two kinds");
    let (key, session, app) = (MacKey::new(&[7; 32]), SessionId::from_bytes([7; 16]), "pos".parse().expect("a key"));
    let genuine = csrf::issue(&key, session, &app, &mut Sevens);
    let checked = csrf::check(&key, session, &app, &text);
    assert_eq!(checked, *text == *genuine, "a token that nobody issued");
    assert!(!csrf::check_for_form(&key, "form", session.as_bytes(), &text), "a token of an app on a page of ours");
    kind(&(kinds, checked, text.len().min(80) / 8))
}

fn seeds() -> Vec<Vec<u8>> {
    let (key, session, app) = (MacKey::new(&[7; 32]), SessionId::from_bytes([7; 16]), "pos".parse().expect("a key"));
    vec![
        Secret::<SessionSecret>::mint(&mut Sevens).expose().as_bytes().to_vec(),
        Secret::<SecretKey>::mint(&mut Sevens).expose().as_bytes().to_vec(),
        csrf::issue(&key, session, &app, &mut Sevens).into_bytes(),
    ]
}
