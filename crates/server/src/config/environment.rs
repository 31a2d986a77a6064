//! Settings from the environment, on top of the file: `HALLPASS_` and the key, after the table that it is in, as in `HALLPASS_LISTEN` or
//! `HALLPASS_SESSION_ABSOLUTE`. What keys there are is asked of serde, so that no list of them has to be kept.

use std::cell::Cell;

use serde::de::value::{Error, MapDeserializer};
use serde::de::{Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer};
use toml::{Table, Value};

use super::{Config, ConfigError};

const PREFIX: &str = "HALLPASS_";
/// Read elsewhere.
const OTHERS: [&str; 2] = ["HALLPASS_CONFIG", "HALLPASS_LOG"];

/// A setting that was found in the environment.
pub(super) struct Setting {
    name: String,
    path: Vec<&'static str>,
    value: Value,
}

/// Those of these variables that are settings. Empty ones are as if they were not there.
pub(super) fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Vec<Setting>, ConfigError> {
    let keys = keys();
    let mut settings = Vec::new();
    for (name, text) in variables {
        let Some(key) = keys.iter().find(|key| key.variable == name && !text.is_empty()) else { continue };
        let value = key.kind.value(&text).map_err(|wrong| ConfigError::Value(format!("{name}: {wrong}")))?;
        settings.push(Setting { name, path: key.path.clone(), value });
    }
    Ok(settings)
}

/// What the file says, with `settings` on top.
pub(super) fn apply(file: &Table, settings: &[Setting]) -> Result<Config, ConfigError> {
    let with = |settings: &mut dyn Iterator<Item = &Setting>| {
        let mut table = file.clone();
        settings.for_each(|setting| set(&mut table, &setting.path, setting.value.clone()));
        table.try_into::<Config>()
    };
    with(&mut settings.iter()).map_err(|error| {
        // The one without which the others can be read.
        let wrong = settings
            .iter()
            .find(|wrong| with(&mut settings.iter().filter(|setting| setting.name != wrong.name)).is_ok());
        let name = wrong.map_or("environment", |wrong| &wrong.name);
        ConfigError::Value(format!("{name}: {}", error.message()))
    })
}

/// Which of these variables look like settings and are none: a slip of the pen, whose setting then has its default. Not an error, because Kubernetes
/// sets variables of its own that begin with the name of a service (`HALLPASS_PORT`).
pub fn unknown(config: &Config, names: impl IntoIterator<Item = String>) -> Vec<String> {
    let keys = keys();
    let known = |name: &str| {
        OTHERS.contains(&name)
            || keys.iter().any(|key| key.variable == name)
            || config.secrets().any(|source| source.env.as_deref() == Some(name))
    };
    let mut unknown: Vec<String> = names.into_iter().filter(|name| name.starts_with(PREFIX) && !known(name)).collect();
    unknown.sort();
    unknown
}

fn set(table: &mut Table, path: &[&str], value: Value) {
    match path {
        [] => {}
        [key] => drop(table.insert((*key).to_owned(), value)),
        [key, rest @ ..] => {
            let inner = table.entry(*key).or_insert_with(|| Table::new().into());
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// Something that can be set by one variable.
struct Key {
    /// `["session", "absolute"]`
    path: Vec<&'static str>,
    /// `HALLPASS_SESSION_ABSOLUTE`
    variable: String,
    kind: Kind,
}

fn keys() -> Vec<Key> {
    fn gather(path: &[&'static str], keys: &mut Vec<Key>) {
        match Kind::at(path) {
            Kind::Table(fields) => fields.iter().for_each(|field| gather(&[path, &[*field]].concat(), keys)),
            kind => {
                let variable = format!("{PREFIX}{}", path.join("_").to_uppercase());
                keys.push(Key { path: path.to_vec(), variable, kind });
            }
        }
    }
    let mut keys = Vec::new();
    gather(&[], &mut keys);
    keys
}

/// What is written for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Truth,
    /// Commas between its items, or as in TOML.
    List,
    Table(&'static [&'static str]),
    /// As in TOML.
    Other,
}

impl Kind {
    fn at(path: &[&'static str]) -> Self {
        let found = Cell::new(Self::Other);
        // It always fails, having nothing to give; what it was asked for is what we want to know.
        let _ = Config::deserialize(Probe { path, found: &found });
        found.get()
    }

    fn value(self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Self::Text => Ok(Value::String(text.to_owned())),
            Self::Number => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a whole number")),
            Self::Truth => text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is not true or false")),
            Self::List if !text.starts_with('[') => {
                Ok(text.split(',').map(|item| Value::String(item.trim().to_owned())).collect::<Vec<_>>().into())
            }
            Self::List => text.parse().map_err(|error: toml::de::Error| error.message().to_owned()),
            Self::Table(_) | Self::Other => Ok(text.parse().unwrap_or_else(|_| Value::String(text.to_owned()))),
        }
    }
}

/// A deserializer with nothing in it: it goes down `path`, and notes what is asked of it there.
#[derive(Clone, Copy)]
struct Probe<'p> {
    path: &'p [&'static str],
    found: &'p Cell<Kind>,
}

impl Probe<'_> {
    fn asked<T>(self, kind: Kind) -> Result<T, Error> {
        self.found.set(kind);
        Err(Error::custom("nothing here"))
    }
}

impl IntoDeserializer<'_> for Probe<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Each says what it is asked for.
macro_rules! asked {
    ($($method:ident => $kind:ident),+ $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            self.asked(Kind::$kind)
        })+
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    asked! {
        deserialize_any => Other, deserialize_bool => Truth, deserialize_char => Text, deserialize_str => Text, deserialize_string => Text,
        deserialize_identifier => Text, deserialize_i8 => Number, deserialize_i16 => Number, deserialize_i32 => Number, deserialize_i64 => Number,
        deserialize_u8 => Number, deserialize_u16 => Number, deserialize_u32 => Number, deserialize_u64 => Number, deserialize_seq => List,
    }

    serde::forward_to_deserialize_any! { i128 u128 f32 f64 bytes byte_buf unit unit_struct tuple tuple_struct map ignored_any }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        self.asked(Kind::Text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.path {
            [] => self.asked(Kind::Table(fields)),
            [key, rest @ ..] => {
                visitor.visit_map(MapDeserializer::new(std::iter::once((*key, Self { path: rest, ..self }))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load<const COUNT: usize>(variables: [(&str, &str); COUNT]) -> Result<Config, String> {
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(None, variables).map_err(|error| error.to_string())
    }

    #[test]
    fn every_key_has_one_variable_and_every_kind_can_be_set() {
        let mut names: Vec<String> = keys().into_iter().map(|key| key.variable).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "two keys would share a variable");
        for known in ["HALLPASS_PUBLIC_URL", "HALLPASS_SESSION_ABSOLUTE", "HALLPASS_KRATOS_TRAITS_USERNAME"] {
            assert!(names.iter().any(|name| name == known), "{known}: {names:?}");
        }

        let config = load([
            ("HALLPASS_PUBLIC_URL", "https://auth.company.com"),
            ("HALLPASS_INTERNAL_LISTEN", "127.0.0.1:9"),
            ("HALLPASS_DATA_DIR", "/data"),
            ("HALLPASS_TRUSTED_PROXIES", "127.0.0.1, ::1"),
            ("HALLPASS_SIGN_OUT_ALLOW_INTERNAL", "[\"10.0.0.0/8\"]"),
            ("HALLPASS_MASTER_KEY_COMMAND", "[\"vault\", \"kv\", \"get\"]"),
            ("HALLPASS_SESSION_ABSOLUTE", "13h"),
            ("HALLPASS_PASS_ALGORITHM", "ES256"),
            ("HALLPASS_PASSWORD_THREADS", "3"),
            ("HALLPASS_BRAND", "2026"),
            ("HALLPASS_KRATOS_ADMIN_URL", "https://login.company.com/admin"),
            ("HALLPASS_KRATOS_PUBLIC_URL", "https://login.company.com"),
            ("HALLPASS_KRATOS_PRIMARY", "true"),
            ("HALLPASS_KRATOS_TRAITS_USERNAME", "login"),
            ("HALLPASS_CLIENT_METADATA_DOCUMENTS_HOSTS", "client.example"),
            ("HALLPASS_COOKIE_DOMAIN", ""),
        ])
        .expect("valid");
        assert_eq!(config.public_url.map(|url| url.to_string()).as_deref(), Some("https://auth.company.com"));
        assert_eq!(config.internal_listen.map(|address| address.port()), Some(9));
        assert_eq!(config.data_dir, std::path::Path::new("/data"));
        assert_eq!((config.trusted_proxies.len(), config.sign_out.allow_internal.len()), (2, 1));
        assert_eq!(config.master_key.command.as_deref(), Some(&["vault", "kv", "get"].map(str::to_owned)[..]));
        assert_eq!(config.session.absolute, std::time::Duration::from_hours(13));
        assert_eq!(
            (config.pass.algorithm, config.password.threads),
            (hallpass_core::crypto::Algorithm::Es256, Some(3))
        );
        assert_eq!((config.brand.as_str(), config.cookie_domain), ("2026", None));
        let kratos = config.kratos.expect("there");
        assert!(kratos.primary && kratos.admin_url.is_some());
        assert_eq!(config.client_metadata_documents.hosts.map(|hosts| hosts.len()), Some(1));
    }

    #[test]
    fn every_key_is_documented() {
        let page = include_str!("../../../../docs/configuration.md");
        for key in keys() {
            let path = key.path.join(".");
            assert!(page.contains(&format!("`{path}`")), "docs/configuration.md does not have {path}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (name, value, said) in [
            ("HALLPASS_LISTEN", "nowhere", "socket address"),
            ("HALLPASS_PASSWORD_THREADS", "many", "whole number"),
            ("HALLPASS_PASSWORD_THREADS", "-1", "HALLPASS_PASSWORD_THREADS"),
            ("HALLPASS_KRATOS_PRIMARY", "yes", "true or false"),
            ("HALLPASS_KRATOS_ADMIN_URL", "https://login.company.com", "public_url"),
            ("HALLPASS_TRUSTED_PROXIES", "10.0.0.0/33", "10.0.0.0/33"),
            ("HALLPASS_TRUSTED_PROXIES", "[\"10.0.0.0/8\"", "HALLPASS_TRUSTED_PROXIES"),
            ("HALLPASS_SESSION_ABSOLUTE", "soon", "HALLPASS_SESSION_ABSOLUTE"),
        ] {
            let refused = load([("HALLPASS_BRAND", "B"), (name, value)]).expect_err(name);
            assert!(refused.starts_with(&format!("{name}: ")) && refused.contains(said), "{refused}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_found() {
        let mut config = Config::default();
        config.master_key.env = Some("HALLPASS_MASTER_KEY".to_owned());
        let names = ["HALLPASS_TRUSTED_PROXY", "PATH", "HALLPASS_LOG", "HALLPASS_MASTER_KEY", "HALLPASS_BRAND"];
        assert_eq!(unknown(&config, names.map(str::to_owned)), ["HALLPASS_TRUSTED_PROXY"]);
    }
}
