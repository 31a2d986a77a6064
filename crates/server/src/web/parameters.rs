//! URL-encoded parameters, of a query or a form (WHATWG URL, "application/x-www-form-urlencoded parsing"), into a type of ours.
//!
//! Each parameter once, but for `resource`: a repeated one is refused rather than silently overruled by its twin, because two parsers in a row that disagree
//! about which of them counts are an attack (RFC 6749 §3.1: "MUST NOT be included more than once").

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::value::{CowStrDeserializer, Error as Refused, MapDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};

use crate::web::error::Error;

/// Parameters in one query or form; protocol §14.
const LIMIT: usize = 64;

/// The one that may come several times (RFC 8707 §2): what it names has no spaces, so its values are read as one text with spaces in between.
const REPEATABLE: &str = "resource";

/// The members of `T`: 400 if one is missing, repeated, of a wrong type or unknown to `T`, or if there are too many.
pub fn parameters<'de, T: Deserialize<'de>>(encoded: &'de [u8]) -> Result<T, Error> {
    let mut all: Vec<(Text<'de>, Text<'de>)> = Vec::with_capacity(8);
    for piece in pieces(encoded).filter(|piece| !piece.is_empty()) {
        let (name, value) = pair(piece);
        if let Some((_, known)) = all.iter_mut().find(|(known, _)| known.0 == name) {
            if name == REPEATABLE {
                known.0 = Cow::Owned(format!("{} {value}", known.0));
                continue;
            }
            return Err(Error::invalid_request("A parameter is repeated.").because("repeated parameter"));
        }
        if all.len() == LIMIT {
            return Err(Error::invalid_request("There are too many parameters.").because("too many parameters"));
        }
        all.push((Text(name), Text(value)));
    }
    T::deserialize(MapDeserializer::new(all.into_iter())).map_err(|error: Refused| {
        // Missing ones have names of ours; what else serde says may repeat what was sent.
        let missing = Some(error.to_string()).filter(|text| text.starts_with("missing field"));
        let because = missing.unwrap_or_else(|| "a parameter is unknown or has a wrong value".to_owned());
        Error::invalid_request("A parameter is missing or not understood.").because(because)
    })
}

/// What stands between ampersands. A token is long: looking at it byte by byte takes as long as finding its session.
fn pieces(encoded: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(encoded);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = memchr::memchr(b'&', all);
        rest = end.map(|end| &all[end + 1..]);
        Some(&all[..end.unwrap_or(all.len())])
    })
}

/// One `name=value`. What needs no decoding, such as every token of ours, is not copied.
fn pair(piece: &[u8]) -> (Cow<'_, str>, Cow<'_, str>) {
    let encoded = memchr::memchr2(b'%', b'+', piece).is_some();
    match std::str::from_utf8(piece) {
        Ok(plain) if !encoded => {
            let (name, value) = plain.split_once('=').unwrap_or((plain, ""));
            (Cow::Borrowed(name), Cow::Borrowed(value))
        }
        _ => form_urlencoded::parse(piece).next().unwrap_or_default(),
    }
}

/// A name or a value, for members that are texts, numbers, either of them optional, or types of ours that read texts.
struct Text<'de>(Cow<'de, str>);

impl<'de> IntoDeserializer<'de, Refused> for Text<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Text<'de> {
    type Error = Refused;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        match self.0 {
            Cow::Borrowed(text) => visitor.visit_borrowed_str(text),
            Cow::Owned(text) => visitor.visit_string(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_i64(self.0.parse().map_err(|_| de::Error::custom("not a number"))?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        CowStrDeserializer::new(self.0).deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
        i8 i16 i32 i128 u8 u16 u32 u64 u128 f32 f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Two {
        a: String,
        b: Option<String>,
    }

    #[test]
    fn numbers_are_read_as_such() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Number {
            since: Option<i64>,
        }
        assert_eq!(parameters::<Number>(b"since=-12").expect("fine"), Number { since: Some(-12) });
        assert_eq!(parameters::<Number>(b"").expect("fine"), Number { since: None });
        for bad in [&b"since="[..], b"since=1.5", b"since=9223372036854775808", b"since=0x1"] {
            assert_eq!(parameters::<Number>(bad).expect_err("refused").code, "invalid_request");
        }
    }

    #[test]
    fn several_services_are_one_text() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct Services {
            resource: Option<String>,
        }
        for (encoded, read) in
            [("", None), ("resource=a", Some("a")), ("resource=a&x=1&resource=b&%72esource=c", Some("a b c"))]
        {
            let expected = Services { resource: read.map(str::to_owned) };
            assert_eq!(parameters::<Services>(encoded.as_bytes()).expect("fine"), expected);
        }
        assert!(parameters::<Services>(b"resource=a&x=1&resource=b&x=1").is_err());
    }

    #[test]
    fn parameters_are_taken_once_and_by_name() {
        assert_eq!(parameters::<Two>(b"a=1&b=%20").expect("fine"), Two { a: "1".into(), b: Some(" ".into()) });
        assert_eq!(parameters::<Two>(b"&&%61=x+y&").expect("fine"), Two { a: "x y".into(), b: None });
        assert_eq!(parameters::<Two>(b"a==&b").expect("fine"), Two { a: "=".into(), b: Some(String::new()) });
        for bad in [&b"a=1&a=2"[..], b"a=1&%61=2", b"", b"b=1", b"a=1&c=2", b"a=1&=2"] {
            assert_eq!(parameters::<Two>(bad).expect_err("refused").code, "invalid_request");
        }
        let many = (0..65).map(|number| format!("p{number}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(parameters::<Two>(many.as_bytes()).expect_err("refused").because, "too many parameters");
    }

    proptest! {
        /// What is not copied reads like what is decoded.
        #[test]
        fn pairs_are_those_of_the_url_standard(piece in "[a-c=%+ü0-9]{1,12}", raw in prop::collection::vec(any::<u8>(), 1..12)) {
            for piece in [piece.as_bytes(), &raw] {
                if !piece.contains(&b'&') {
                    let standard = form_urlencoded::parse(piece).next().unwrap_or_default();
                    prop_assert_eq!(pair(piece), standard);
                }
            }
        }
    }
}
