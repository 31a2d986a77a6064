//! Where a browser may be sent (protocol §12): an absolute URL at one of an app's registered origins, or a path on the host that asks.
//!
//! Read once, by the parser that follows browsers (WHATWG URL). What is used is what the parser writes, never what somebody sent,
//! so that nobody downstream can read it differently. No prefixes are compared and there is no regular expression.

use std::fmt;

use url::{Position, Url};

use crate::app::Origin;

/// The longest `return_to`, in bytes, before and after it is read.
pub const MAXIMUM_RETURN_TO: usize = 2048;

/// The longest path, in bytes, before and after it is read.
pub const MAXIMUM_PATH: usize = 1024;

/// An absolute URL at a registered origin: safe to send a browser to, and no credential is ever added to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Destination {
    text: Box<str>,
    origin: Origin,
}

/// Why a `return_to` is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotADestination {
    /// More than [`MAXIMUM_RETURN_TO`] bytes.
    #[error("is too long")]
    TooLong,
    /// Not an absolute `https` (for loopback: `http`) URL, or it holds user information, a backslash, white space or control characters.
    #[error("is not a plain absolute URL")]
    NotAbsolute,
    /// Its origin is not registered for this app.
    #[error("is not at an address of this app")]
    ForeignOrigin,
}

impl Destination {
    /// Reads a `return_to` for an app with these origins.
    pub fn return_to(text: &str, origins: &[Origin]) -> Result<Self, NotADestination> {
        if text.len() > MAXIMUM_RETURN_TO {
            return Err(NotADestination::TooLong);
        }
        // The parser would drop tabs, line ends and spaces at the ends, and turn backslashes; other readers do not.
        let plain = !text.chars().any(|one| one.is_control() || one.is_whitespace() || one == '\\');
        // `blob:https://…` has the origin of what it wraps, and `https:host` no authority: only these two beginnings.
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let authority = rest.and_then(|rest| rest.split(['/', '?', '#']).next()).unwrap_or_default();
        if !plain || authority.is_empty() || authority.contains('@') {
            return Err(NotADestination::NotAbsolute);
        }
        let url = Url::parse(text).map_err(|_| NotADestination::NotAbsolute)?;
        let origin = Origin::of(&url).map_err(|_| NotADestination::ForeignOrigin)?;
        if !origins.contains(&origin) {
            return Err(NotADestination::ForeignOrigin);
        }
        if url.as_str().len() > MAXIMUM_RETURN_TO {
            return Err(NotADestination::TooLong);
        }
        Ok(Self { text: url.as_str().into(), origin })
    }

    /// The front page of an origin: where to go when nobody said where.
    pub fn front_door(origin: &Origin) -> Self {
        Self { text: format!("{origin}/").into(), origin: origin.clone() }
    }

    /// The URL, for a `Location` header: ASCII, without white space.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it leads.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A path on this very host, with query and fragment, for a `Location` header; `/` for everything that is not plainly one.
pub fn local_path(text: &str) -> String {
    read_path(text).unwrap_or_else(|| "/".to_owned())
}

fn read_path(text: &str) -> Option<String> {
    let plain = text.len() <= MAXIMUM_PATH && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if !plain || !begins_one_path(text) || has_encoded_control(text) {
        return None;
    }
    let base = Url::parse("https://agent.invalid/").expect("a constant");
    let url = base.join(text).ok()?;
    let path = &url[Position::BeforePath..];
    // Once more, because dot segments can leave two slashes in front: `/.//host`.
    (url.origin() == base.origin() && begins_one_path(path) && path.len() <= MAXIMUM_PATH).then(|| path.to_owned())
}

/// `/`, and after it no second slash or backslash, which would begin a host; nor an encoded one, which becomes a real one in
/// whatever decodes the path once too often.
fn begins_one_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        let encoded = rest.get(..3).unwrap_or_default();
        !rest.starts_with(['/', '\\']) && !encoded.eq_ignore_ascii_case("%2f") && !encoded.eq_ignore_ascii_case("%5c")
    })
}

/// `%00` to `%1f` and `%7f`.
fn has_encoded_control(text: &str) -> bool {
    text.as_bytes().windows(3).any(|window| match window {
        [b'%', b'0' | b'1', low] => low.is_ascii_hexdigit(),
        [b'%', b'7', b'f' | b'F'] => true,
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::test_data;

    fn origins() -> Vec<Origin> {
        ["https://pos.company.com", "http://pos.company.localhost:7070"].map(|one| one.parse().expect("valid")).into()
    }

    /// Whatever comes out leads to a registered origin, for the strictest reader and for one who decodes nothing.
    fn assert_leads_home(text: &str) {
        if let Ok(destination) = Destination::return_to(text, &origins()) {
            let url = Url::parse(destination.as_str()).expect("an absolute URL");
            assert_eq!(url.origin().ascii_serialization(), destination.origin().as_str(), "{text:?}");
            assert!(origins().contains(destination.origin()), "{text:?}");
            let home = format!("{}/", destination.origin());
            assert!(destination.as_str().starts_with(&home), "{text:?}");
            assert!(destination.as_str().bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
            assert_eq!(Destination::return_to(destination.as_str(), &origins()), Ok(destination), "{text:?}");
        }
    }

    fn assert_stays_here(text: &str) {
        let path = local_path(text);
        let here = Url::parse("https://pos.company.com/deep/page?x").expect("valid");
        let there = here.join(&path).expect("a path");
        assert_eq!(there.origin(), here.origin(), "{text:?}");
        assert!(path.starts_with('/') && !path.starts_with("//") && path.len() <= MAXIMUM_PATH, "{text:?}");
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{text:?}");
        assert_eq!(local_path(&path), path, "{text:?}: reading it again changes nothing");
    }

    #[test]
    fn a_url_at_a_registered_origin_is_taken_in_the_parsers_words() {
        for (text, expected) in [
            ("https://pos.company.com", "https://pos.company.com/"),
            ("https://pos.company.com:443/a?b=c#d", "https://pos.company.com/a?b=c#d"),
            ("https://POS.company.com/a/../b", "https://pos.company.com/b"),
            ("https://pos.company.com/\u{e9}", "https://pos.company.com/%C3%A9"),
            ("https://pos.company.com/?next=https://evil.com/", "https://pos.company.com/?next=https://evil.com/"),
            ("http://pos.company.localhost:7070/a", "http://pos.company.localhost:7070/a"),
        ] {
            assert_eq!(Destination::return_to(text, &origins()).expect(text).as_str(), expected);
        }
        assert_eq!(Destination::front_door(&origins()[0]).as_str(), "https://pos.company.com/");
    }

    #[test]
    fn says_why_a_return_to_is_not_followed() {
        use NotADestination::{ForeignOrigin, NotAbsolute, TooLong};
        for (text, why) in [
            ("", NotAbsolute),
            ("/", NotAbsolute),
            ("//pos.company.com/", NotAbsolute),
            ("https:pos.company.com/", NotAbsolute),
            ("https:///pos.company.com/", NotAbsolute),
            ("blob:https://pos.company.com/", NotAbsolute),
            ("javascript://pos.company.com/%0aalert(1)", NotAbsolute),
            ("https://user@pos.company.com/", NotAbsolute),
            ("https://@pos.company.com/", NotAbsolute),
            ("https://evil.com\\@pos.company.com/", NotAbsolute),
            ("https://pos.company.com\\.evil.com/", NotAbsolute),
            ("https://pos.company.com/\t", NotAbsolute),
            (" https://pos.company.com/", NotAbsolute),
            ("https://pos.company.com/a b", NotAbsolute),
            ("https://pos.company.com/\u{85}", NotAbsolute),
            ("https://[::1", NotAbsolute),
            ("https://evil.com/", ForeignOrigin),
            ("https://pos.company.com.evil.com/", ForeignOrigin),
            ("https://evilpos.company.com/", ForeignOrigin),
            ("https://pos.company.com:8443/", ForeignOrigin),
            ("https://pos.company.com./", ForeignOrigin),
            ("http://pos.company.com/", ForeignOrigin),
            ("https://pos.company.localhost:7070/", ForeignOrigin),
            ("https://evil.com/?https://pos.company.com/", ForeignOrigin),
            ("https://evil.com/#@pos.company.com/", ForeignOrigin),
        ] {
            assert_eq!(Destination::return_to(text, &origins()), Err(why), "{text:?}");
        }
        let long = format!("https://pos.company.com/{}", "a".repeat(MAXIMUM_RETURN_TO));
        assert_eq!(Destination::return_to(&long[..=MAXIMUM_RETURN_TO], &origins()), Err(TooLong));
        assert!(Destination::return_to(&long[..MAXIMUM_RETURN_TO], &origins()).is_ok());
        let grows = format!("https://pos.company.com/{}", "\u{e9}".repeat(1000));
        assert_eq!(Destination::return_to(&grows, &origins()), Err(TooLong));
        assert_eq!(Destination::return_to("https://pos.company.com/", &[]), Err(ForeignOrigin));
    }

    #[test]
    fn a_path_stays_on_its_host() {
        for good in ["/", "/a/b?c=d&e=%20f#g", "/a//b", "/%C3%A9", "/a%2fb", "/?next=//evil.com"] {
            assert_eq!(local_path(good), good);
        }
        assert_eq!(local_path("/a/../b"), "/b");
        for bad in [
            "",
            "a",
            "//evil.com",
            "/\\evil.com",
            "/a\\b",
            "/%2fevil.com",
            "/%5Cevil.com",
            "/.//evil.com",
            "/a/..//evil.com",
            "/%2e//evil.com",
            "/\tevil",
            "/a b",
            "/a%00",
            "/a%0d%0aSet-Cookie:x=y",
            "/a%1F",
            "/a%7f",
            "/\u{e9}",
            "https://evil.com",
            "javascript:alert(1)",
            &format!("/{}", "a".repeat(MAXIMUM_PATH)),
        ] {
            assert_eq!(local_path(bad), "/", "{bad:?}");
        }
    }

    /// Strings that have fooled redirect checks elsewhere, as they are and glued to an address that is registered.
    #[test]
    fn nothing_that_fooled_others_leads_away() {
        let Some(list) = test_data::read("open-redirects.txt") else { return };
        let mut count = 0;
        for line in list.lines().filter(|line| !line.is_empty()) {
            for text in [
                line.to_owned(),
                line.replace("www.whitelisteddomain.tld", "pos.company.com"),
                format!("/{line}"),
                format!("https://{line}"),
                format!("https:{line}"),
                format!("https://pos.company.com{line}"),
                format!("https://pos.company.com/{line}"),
                format!("https://pos.company.com@{line}"),
            ] {
                assert_leads_home(&text);
                assert_stays_here(&text);
                count += 1;
            }
        }
        assert!(count > 100, "the list was read");
    }

    proptest! {
        #[test]
        fn no_text_leads_away(
            anything in "\\PC{0,60}",
            tail in "[/\\\\.:@?#%a-z0-9\t\r\n \u{3002}\u{ff0f}\u{2024}]{0,40}",
        ) {
            for text in [
                anything.clone(),
                format!("https://pos.company.com{anything}"),
                format!("https://pos.company.com{tail}"),
                format!("https:{tail}pos.company.com{tail}"),
                format!("http{tail}"),
                format!("/{anything}"),
                format!("/{tail}"),
                tail.clone(),
            ] {
                assert_leads_home(&text);
                assert_stays_here(&text);
            }
        }
    }
}
