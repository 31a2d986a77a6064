//! What a client is called on the wire: the key of its app, or the address of the document in which it describes itself
//! (draft-ietf-oauth-client-id-metadata-document §3).
//!
//! The two cannot meet: a key has neither `:` nor `/`, an address has both. So nobody can publish a document under the name of an app of the company's own.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use serde::Serialize;
use url::{Host, Url};

use crate::app::Origin;
use crate::crypto;
use crate::id::AppKey;

/// What the keys of clients begin with that describe themselves. Nobody else gets such a key.
pub const DESCRIBED_KEY_PREFIX: &str = "doc-";

/// The longest address: it is in every token, and people are shown its host.
const MAXIMUM_LENGTH: usize = 512;

/// The address of a client's document, which is its `client_id`.
///
/// `https` at a name, with a path: written as browsers write it, without query, fragment, user name and dot segments. `http` at a loopback address is an
/// address, too; whether anything is fetched from there is for the configuration to say.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientIdUrl {
    text: Box<str>,
    origin: Origin,
}

/// Why a text is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be an https address with a path, such as https://client.example/oauth.json, written as browsers write it: without user name, query, fragment and dot segments"
)]
pub struct InvalidClientIdUrl;

impl ClientIdUrl {
    /// The text, to which nothing but itself is equal.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where it is.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The key of the app that such a client becomes: always the same, so that there is one app for one address.
    pub fn key(&self) -> AppKey {
        let name = BASE32.encode(&crypto::sha256(self.text.as_bytes()));
        format!("{DESCRIBED_KEY_PREFIX}{name}").parse().expect("base32 is lower case, and short enough")
    }
}

impl FromStr for ClientIdUrl {
    type Err = InvalidClientIdUrl;

    fn from_str(text: &str) -> Result<Self, InvalidClientIdUrl> {
        if text.len() > MAXIMUM_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidClientIdUrl);
        }
        let lower = text.to_ascii_lowercase();
        // What one reader resolves and another one does not; and a query, with which one page would be any number of clients.
        if ["?", "#", "@", "\\", ";", "*", "..", "%2e", "%2f", "%5c", "%00"].iter().any(|bad| lower.contains(bad)) {
            return Err(InvalidClientIdUrl);
        }
        let url = Url::parse(text).map_err(|_| InvalidClientIdUrl)?;
        let somewhere = match (url.scheme(), url.host()) {
            ("https", Some(Host::Domain(_))) => true,
            ("http", Some(Host::Ipv4(address))) => address.is_loopback(),
            ("http", Some(Host::Ipv6(address))) => address.is_loopback(),
            _ => false,
        };
        // The parser would have changed it: two readers would see two addresses.
        if !somewhere || url.as_str() != text || url.path().len() < 2 {
            return Err(InvalidClientIdUrl);
        }
        let origin = Origin::of(&url).map_err(|_| InvalidClientIdUrl)?;
        Ok(Self { text: text.into(), origin })
    }
}

impl fmt::Display for ClientIdUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for ClientIdUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Serialize for ClientIdUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.encoding().expect("a valid alphabet")
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_with_a_path_that_everybody_reads_alike_is_a_client_id() {
        for good in [
            "https://client.example/oauth.json",
            "https://client.example:8443/a/b/",
            "https://client.example/a%20b",
            "http://127.0.0.1:7000/client.json",
            "http://[::1]:7000/client.json",
        ] {
            assert_eq!(good.parse::<ClientIdUrl>().expect(good).as_str(), good);
        }
        for bad in [
            "",
            "client.example/x",
            "https://client.example",
            "https://client.example/",
            "http://client.example/x",
            "http://localhost:7000/x",
            "http://10.0.0.1/x",
            "https://10.0.0.1/x",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://2130706433/x",
            "https://127.1/x",
            "https://client.example/./x",
            "https://client.example/../x",
            "https://client.example/a/..",
            "https://client.example/%2e%2e/x",
            "https://client.example/%2E/x",
            "https://client.example/a%2fb",
            "https://client.example/a\\b",
            "https://client.example\\@evil.example/x",
            "https://client.example/x#",
            "https://client.example/x#y",
            "https://client.example/x?",
            "https://client.example/x?y=1",
            "https://ana@client.example/x",
            "https://ana:x@client.example/x",
            "https://@client.example/x",
            "HTTPS://client.example/x",
            "https://Client.example/x",
            "https://client.example:443/x",
            "https:client.example/x",
            "https://k\u{f6}ln.de/x",
            "https://client.example/x y",
            " https://client.example/x",
            "https://client.example/x\n",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "gopher://client.example/x",
            "data:application/json,{}",
        ] {
            assert!(bad.parse::<ClientIdUrl>().is_err(), "{bad}");
        }
        assert!(format!("https://client.example/{}", "a".repeat(512)).parse::<ClientIdUrl>().is_err());
    }

    /// Or somebody could publish a document that makes him an app of the company's own.
    #[test]
    fn no_address_is_the_key_of_an_app_and_no_key_an_address() {
        for address in ["https://client.example/x", "http://127.0.0.1:7000/x"] {
            let url: ClientIdUrl = address.parse().expect("an address");
            assert!(address.parse::<AppKey>().is_err(), "{address}");
            assert!(url.key().as_str().parse::<ClientIdUrl>().is_err());
            assert!(url.key().as_str().starts_with(DESCRIBED_KEY_PREFIX) && url.key().as_str().len() == 56);
        }
        let key = |text: &str| text.parse::<ClientIdUrl>().expect("an address").key();
        assert_eq!(key("https://client.example/x"), key("https://client.example/x"));
        assert_ne!(key("https://client.example/x"), key("https://client.example/X"));
        for byte in b":/.?#@%" {
            let text = format!("a{}b", char::from(*byte));
            assert!(text.parse::<AppKey>().is_err(), "{text}");
        }
    }
}
