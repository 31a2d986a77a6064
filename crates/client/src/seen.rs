//! The subject-switch rule (protocol §2): each browser carries, sealed and host-only, who this app last accepted. A
//! sibling can overwrite the pass but cannot forge this cookie, so another person is never accepted in silence.

use http::HeaderValue;
use http::header::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::caller::Facts;
use crate::cookies;
use crate::crypto::Sealer;
use crate::set_cookie;

/// The cookie's name.
pub(crate) const COOKIE: &str = "__Host-Http-hallpass-seen";

/// Browsers keep no cookie longer than 400 days.
const MAX_AGE_SECONDS: u64 = 400 * 24 * 3600;
const SEEN: &str = "seen";
const SWITCH: &str = "switch";
/// How long a page that asks may stay open before its answer no longer counts.
const SWITCH_SECONDS: u64 = 600;

/// Who was last accepted in this browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    sid: String,
    /// The user's identifier.
    pub(crate) sub: String,
    /// What the page calls them.
    pub(crate) username: String,
}

/// What the cookie says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LastSeen {
    /// There is none, or none that we sealed.
    Nobody {
        /// What came under its name is to be expired.
        clean_up: bool,
    },
    /// This person.
    Somebody {
        /// Who.
        seen: Seen,
        /// Sealed under a previous secret.
        by_previous: bool,
    },
}

impl Seen {
    /// What will be sealed for `facts`.
    pub(crate) fn of(facts: &Facts) -> Self {
        Self { sid: facts.session_id.clone(), sub: facts.user_id.clone(), username: facts.username.clone() }
    }

    /// The cookie to set.
    pub(crate) fn cookie(&self, sealer: &Sealer) -> Option<HeaderValue> {
        let plaintext = serde_json::to_vec(self).ok()?;
        set_cookie::host_only(COOKIE, &sealer.seal(&plaintext, SEEN), MAX_AGE_SECONDS)
    }
}

/// Reads the cookie. Two of them (a browser that lets siblings set `__Host-` cookies) count as none.
pub(crate) fn read(headers: &HeaderMap, sealer: &Sealer) -> LastSeen {
    let values = cookies::values(headers, COOKIE);
    let [value] = values.as_slice() else { return LastSeen::Nobody { clean_up: !values.is_empty() } };
    let opened = sealer.open(value, SEEN);
    let read = opened.and_then(|opened| Some((serde_json::from_slice(&opened.plaintext).ok()?, opened.by_previous)));
    match read {
        Some((seen, by_previous)) => LastSeen::Somebody { seen, by_previous },
        None => LastSeen::Nobody { clean_up: true },
    }
}

/// Removes the cookie, also where only a misbehaving browser could have put it.
pub(crate) fn expiry(domains: &[&str]) -> Vec<HeaderValue> {
    set_cookie::expiry(COOKIE, "/", domains)
}

#[derive(Serialize, Deserialize)]
struct Question {
    sub: String,
    asked_at: u64,
}

/// What the page that asks sends back with the click: the person it named, and when. Sealed, so that the click
/// accepts that person only, even if the pass was exchanged while the page was open.
pub(crate) fn question(facts: &Facts, now: u64, sealer: &Sealer) -> String {
    let question = Question { sub: facts.user_id.clone(), asked_at: now };
    sealer.seal(&serde_json::to_vec(&question).expect("two plain members"), SWITCH)
}

/// Whether `answer` is the click of a page that named the person of `facts`.
pub(crate) fn confirms(answer: &str, facts: &Facts, now: u64, sealer: &Sealer) -> bool {
    sealer
        .open(answer.as_bytes(), SWITCH)
        .and_then(|opened| serde_json::from_slice::<Question>(&opened.plaintext).ok())
        .is_some_and(|question| {
            question.sub == facts.user_id && now.checked_sub(question.asked_at).is_some_and(|age| age < SWITCH_SECONDS)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretKey;
    use http::header;

    fn sealer() -> Sealer {
        Sealer::new("pos", [SecretKey::from("secret")].iter())
    }

    fn ana() -> Facts {
        Facts { user_id: "u_ana".into(), username: "ana".into(), session_id: "s_1".into(), ..Facts::default() }
    }

    fn request(values: &[&str]) -> HeaderMap {
        let line = values.iter().map(|value| format!("{COOKIE}={value}")).collect::<Vec<_>>().join("; ");
        HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_str(&line).expect("a header value"))])
    }

    fn value_of(line: &HeaderValue) -> String {
        let line = line.to_str().expect("ASCII");
        assert!(line.ends_with("; Path=/; Max-Age=34560000; Secure; HttpOnly; SameSite=Lax"), "{line}");
        line.split(['=', ';']).nth(1).expect("a value").to_owned()
    }

    #[test]
    fn what_was_sealed_is_seen_and_anything_else_is_nobody() {
        let value = value_of(&Seen::of(&ana()).cookie(&sealer()).expect("a cookie"));
        let LastSeen::Somebody { seen, by_previous } = read(&request(&[&value]), &sealer()) else {
            panic!("the cookie opens")
        };
        assert_eq!((seen.sub.as_str(), seen.username.as_str(), by_previous), ("u_ana", "ana", false));
        assert_eq!(read(&HeaderMap::new(), &sealer()), LastSeen::Nobody { clean_up: false });
        let spoiled = [vec!["x"], vec![&value, &value], vec![&value[1..]], vec![""]];
        for values in spoiled {
            assert_eq!(read(&request(&values), &sealer()), LastSeen::Nobody { clean_up: true }, "{values:?}");
        }
        let asked = question(&ana(), 100, &sealer());
        assert_eq!(read(&request(&[&asked]), &sealer()), LastSeen::Nobody { clean_up: true }, "another purpose");
    }

    #[test]
    fn a_click_accepts_the_person_named_for_ten_minutes() {
        let asked = question(&ana(), 100, &sealer());
        let bob = Facts { user_id: "u_bob".into(), ..ana() };
        assert!(confirms(&asked, &ana(), 699, &sealer()));
        assert!(!confirms(&asked, &ana(), 700, &sealer()));
        assert!(!confirms(&asked, &ana(), 99, &sealer()));
        assert!(!confirms(&asked, &bob, 100, &sealer()));
        assert!(!confirms("", &ana(), 100, &sealer()));
    }
}
