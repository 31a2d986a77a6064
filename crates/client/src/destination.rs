//! Where people come back to: a path on our own origin, whatever the request asked for (protocol §12).

use url::Url;

use crate::agent::AGENT_PATHS;
use crate::visit::OWN_PATHS;

/// Beyond this, a destination is shortened to its path, then to `/`: the engine's request line holds 8 KB.
const LONGEST_DESTINATION: usize = 2000;

/// A path and query that stays on our own origin, or `/`. Read by the parser that browsers use, because what
/// counts is what they make of it (`/\evil.com`, `/%0d%0a`, tabs inside).
pub(crate) fn local(asked: &str) -> String {
    let plain = |text: &str| {
        text.len() <= LONGEST_DESTINATION
            && text.starts_with('/')
            && !text[1..].starts_with(['/', '\\'])
            // Nobody wants to be at an endpoint; one that led to itself would lead there again and again.
            && ![OWN_PATHS, AGENT_PATHS].iter().any(|own| text.starts_with(own))
            && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
            && !encodes_control(text)
            && stays(text)
    };
    let path = asked.split(['?', '#']).next().unwrap_or_default();
    [asked, path].into_iter().find(|text| plain(text)).unwrap_or("/").to_owned()
}

fn stays(text: &str) -> bool {
    let base = Url::parse("https://own.invalid/").expect("a constant URL");
    base.join(text).is_ok_and(|url| url.origin() == base.origin() && !url.path().starts_with("//"))
}

fn encodes_control(text: &str) -> bool {
    text.match_indices('%').any(|(at, _)| match text.as_bytes().get(at + 1..at + 3) {
        Some([b'0' | b'1', _]) => true,
        Some([b'7', low]) => low.eq_ignore_ascii_case(&b'f'),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_destination_never_leaves_the_origin() {
        for bad in [
            "//evil.com",
            "/\\evil.com",
            "https://evil.com",
            "",
            "evil",
            "/a\\b",
            "/\t/evil.com",
            "/%0d%0aX",
            "/./\u{e9}",
            "/..//evil.com",
            "/.hallpass/sign-out",
            "/.sso/start?r=/",
        ] {
            assert_eq!(local(bad), "/", "{bad:?}");
        }
        assert_eq!(local("/a/b?x=%20y"), "/a/b?x=%20y");
    }

    /// Two thousand ways to begin, to hide a host and to go on.
    #[test]
    fn no_combination_of_tricks_leaves_the_origin() {
        let beginnings = [
            "",
            "/",
            "//",
            "///",
            "////",
            "/\\",
            "\\/",
            "\\\\",
            "/./",
            "/../",
            "/.//",
            "/..//",
            "/;/",
            "/%2f",
            "/%2F/",
            "/%5c",
            "/%09/",
            "/\t/",
            "/\n/",
            "/\r/",
            "\t//",
            " //",
            "http:",
            "https:",
            "https:/",
            "https://",
            "https:///",
            "HTTPS://",
            "//https://",
            "/https://",
            "javascript:",
            "data:text/html,",
            "blob:https://",
            "//user@",
            "//pos.company.com@",
            "/@",
            "?//",
            "#//",
            "/?//",
            "/%00//",
            "/\u{ff0f}",
            "/\u{2215}/",
            "\u{feff}//",
            "\0//",
            "/%0d%0aLocation:https://",
            "/%0a//",
        ];
        let hosts = [
            "evil.example",
            "evil.example:443",
            "EVIL.example",
            "evil\u{3002}example",
            "pos.company.com.evil.example",
            "evil.example\\",
            "[::1]",
            "2130706433",
            "evil.example%2f",
            "evil.example/..",
            "pos.company.com@evil.example",
            "xn--evl-zza.example",
        ];
        let ends = ["", "/", "/%2e%2e//x", "?x=https://pos.company.com/", "#https://pos.company.com"];
        let base = Url::parse("https://pos.company.com/").expect("valid");
        let mut tried = 0;
        let hosts: Vec<String> =
            ends.iter().flat_map(|end| hosts.iter().map(move |host| format!("{host}{end}"))).collect();
        for (beginning, rest) in beginnings.iter().flat_map(|beginning| hosts.iter().map(move |rest| (beginning, rest)))
        {
            let trick = format!("{beginning}{rest}");
            let path = local(&trick);
            let url = base.join(&path).expect("a URL");
            assert_eq!(url.origin(), base.origin(), "{trick:?}");
            assert!(path.starts_with('/') && !path[1..].starts_with(['/', '\\']), "{trick:?} became {path:?}");
            tried += 1;
        }
        assert!(tried >= 2000, "{tried}");
    }

    #[test]
    fn known_redirect_tricks_never_leave_the_origin() {
        let Some(tricks) = crate::test_data("open-redirects.txt") else { return };
        let base = Url::parse("https://pos.company.com/").expect("valid");
        let mut read = 0;
        for trick in String::from_utf8_lossy(&tricks).lines() {
            let url = base.join(&local(trick)).expect("a URL");
            assert_eq!(url.origin(), base.origin(), "{trick}");
            read += 1;
        }
        assert!(read > 20, "the list was read");
    }

    proptest! {
        #[test]
        fn no_text_leads_away(text in "\\PC{0,80}") {
            let base = Url::parse("https://pos.company.com/").expect("valid");
            let url = base.join(&local(&text)).expect("a URL");
            prop_assert_eq!(url.origin(), base.origin());
        }
    }
}
