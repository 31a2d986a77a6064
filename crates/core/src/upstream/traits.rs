//! What an upstream knows of a person, in our words: user name, shown name, mail address. Protocol §10 ("traits mapped by configuration").

use serde::Deserialize;
use serde_json::Value;

use crate::user::{DisplayName, Username};

/// Where in the traits each of ours is found: dotted paths, the first that leads to something counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TraitPaths {
    /// The user name, looked at once: when the person comes for the first time.
    pub username: Paths,
    /// A text, or an object with `first` and `last`.
    pub display_name: Paths,
    /// The mail address.
    pub email: Paths,
}

impl Default for TraitPaths {
    fn default() -> Self {
        let paths = |paths: &[&str]| Paths(paths.iter().map(|&path| path.to_owned()).collect());
        Self { username: paths(&["username", "email"]), display_name: paths(&["name"]), email: paths(&["email"]) }
    }
}

impl TraitPaths {
    /// Where the standard claims of another provider have them (OIDC Core 1.0 §5.1).
    pub fn of_claims() -> Self {
        let paths = |paths: &[&str]| Paths(paths.iter().map(|&path| path.to_owned()).collect());
        Self {
            username: paths(&["preferred_username", "email"]),
            display_name: paths(&["name", "preferred_username"]),
            email: paths(&["email"]),
        }
    }
}

/// One path, or several to be tried in order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "OneOrSeveral")]
pub struct Paths(Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

impl TryFrom<OneOrSeveral> for Paths {
    type Error = &'static str;

    fn try_from(written: OneOrSeveral) -> Result<Self, Self::Error> {
        let paths = match written {
            OneOrSeveral::One(path) => vec![path],
            OneOrSeveral::Several(paths) => paths,
        };
        let whole = |path: &String| path.split('.').all(|name| !name.is_empty());
        if paths.iter().all(whole) { Ok(Self(paths)) } else { Err("a path of traits reads like name or name.first") }
    }
}

impl TraitPaths {
    /// The name to be known by here; `None` if there is none, or none that could be one.
    pub fn username(&self, traits: &Value) -> Option<Username> {
        self.username.texts(traits).next()?.parse().ok()
    }

    /// The name to be shown.
    pub fn display_name(&self, traits: &Value) -> Option<DisplayName> {
        self.display_name.texts(traits).next()?.parse().ok()
    }

    /// The mail address, if it looks like one.
    pub fn email(&self, traits: &Value) -> Option<String> {
        let text = self.email.texts(traits).next()?;
        let plain = |character: char| !character.is_control() && !character.is_whitespace();
        let looks_like_one = text.len() <= 254
            && text.chars().all(plain)
            && text.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        looks_like_one.then_some(text)
    }
}

impl Paths {
    fn texts<'a>(&'a self, traits: &'a Value) -> impl Iterator<Item = String> + 'a {
        let at = move |path: &String| path.split('.').try_fold(traits, |value, name| value.get(name));
        self.0.iter().filter_map(at).filter_map(text).filter(|text| !text.is_empty())
    }
}

fn text(value: &Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.trim().to_owned());
    }
    let part = |name: &str| value.get(name).and_then(Value::as_str).map(str::trim).filter(|part| !part.is_empty());
    let parts: Vec<&str> = ["first", "last"].into_iter().filter_map(part).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn by_default_the_usual_schemas_are_understood() {
        let paths = TraitPaths::default();
        let of = |traits: Value| {
            (
                paths.username(&traits).map(|name| name.to_string()),
                paths.display_name(&traits).map(|name| name.to_string()),
                paths.email(&traits),
            )
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(json!({ "email": "ana@company.com", "name": { "first": "Ana", "last": "Costa" } })),
            (some("ana@company.com"), some("Ana Costa"), some("ana@company.com"))
        );
        assert_eq!(
            of(json!({ "username": "ana", "email": "ana@company.com", "name": " Ana " })),
            (some("ana"), some("Ana"), some("ana@company.com"))
        );
        assert_eq!(
            of(json!({ "username": "", "email": "x", "name": { "last": "Costa" } })),
            (some("x"), some("Costa"), None)
        );
        assert_eq!(of(json!({ "username": 7, "name": [], "email": null })), (None, None, None));
        assert_eq!(of(json!({ "username": "ana\u{202e}x", "name": "a\u{2066}" })), (None, None, None));
        assert_eq!(of(json!(null)), (None, None, None));
    }

    #[test]
    fn paths_are_dotted_and_tried_in_order() {
        let read = |text: &str| serde_json::from_str::<TraitPaths>(text);
        let paths = read(r#"{"username":"account.login","display_name":["nick","person.name"]}"#).expect("valid");
        let traits = json!({ "account": { "login": "ac" }, "person": { "name": { "first": "Ana" } } });
        assert_eq!(paths.username(&traits).expect("a name").as_str(), "ac");
        assert_eq!(paths.display_name(&traits).expect("a name").as_str(), "Ana");
        for bad in [r#"{"username":""}"#, r#"{"username":"a..b"}"#, r#"{"email":7}"#, r#"{"mail":"x"}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
