//! Every answer that a test gets is held against the description that we give to others, `/openapi.json`.

use std::sync::LazyLock;

use hallpass_server::openapi::DESCRIPTION;
use http::Method;
use serde_json::{Map, Value};

use super::Answer;

static READ: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(DESCRIPTION).expect("JSON"));

/// The description.
pub fn description() -> &'static Value {
    &READ
}

/// The operations of a path.
pub fn operations(item: &Value) -> impl Iterator<Item = (Method, &Value)> {
    let members = item.as_object().expect("an object").iter().filter(|(name, _)| *name != "servers");
    members.map(|(name, operation)| (name.to_uppercase().parse().expect("a method"), operation))
}

/// What `$ref` leads to.
pub fn resolved(value: &'static Value) -> &'static Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    let found = description().pointer(reference.trim_start_matches('#'));
    found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// Panics if this answer is of a described operation and not as described.
pub fn check(host: &str, method: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    if (host == "auth.company.com") == (path == "/.well-known/sso-agent") {
        return;
    }
    let of_method = if method == Method::HEAD { "get".to_owned() } else { method.as_str().to_lowercase() };
    let operation = &item(path)[of_method];
    if operation.is_null() {
        return;
    }
    let name = format!("{method} {path}");
    let said = resolved(&operation["responses"][answer.status.to_string()]);
    assert!(!said.is_null(), "{name}: its status is not described: {answer:?}");
    if method == Method::HEAD {
        return;
    }
    let Some(bodies) = said["content"].as_object() else {
        assert_eq!(answer.body, "", "{name}: no body is described");
        return;
    };
    let kind = answer.header("content-type").and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let body = bodies.get(kind).unwrap_or_else(|| panic!("{name}: {kind:?} is not described: {answer:?}"));
    if kind.ends_with("json")
        && let Err(wrong) = fits(&body["schema"], &answer.json())
    {
        panic!("{name}: {wrong} in {answer:?}");
    }
}

/// What is described of a path, or of the one whose last part is a parameter.
fn item(path: &str) -> &'static Value {
    let paths = &description()["paths"];
    if !paths[path].is_null() {
        return &paths[path];
    }
    let Some((parent, last)) = path.rsplit_once('/') else { return &Value::Null };
    let templates = paths.as_object().expect("an object").iter();
    let found = templates.filter_map(|(template, item)| Some((template.split_once("/{")?.0, item)));
    found.filter(|_| !last.is_empty()).find(|(prefix, _)| *prefix == parent).map_or(&Value::Null, |(_, item)| item)
}

/// As much JSON Schema (2020-12) as the description uses. Patterns and formats are left to the tool that asks the real engine (`./test --only openapi`).
fn fits(schema: &'static Value, value: &Value) -> Result<(), String> {
    let schema = resolved(schema);
    for (keyword, rule) in schema.as_object().expect("a schema is an object") {
        let wrong = |why: &str| Err(format!("{value} is not {why} {rule}"));
        match (keyword.as_str(), value) {
            ("type", _) if !is_of(rule, value) => return wrong("of type"),
            ("const", _) if value != rule => return wrong("exactly"),
            ("enum", _) if !rule.as_array().expect("a list").contains(value) => return wrong("one of"),
            ("minimum", Value::Number(number)) if number.as_i64() < rule.as_i64() => return wrong("at least"),
            ("maximum", Value::Number(number)) if number.as_i64() > rule.as_i64() => return wrong("at most"),
            ("minItems", Value::Array(items)) if items.len() < length(rule) => return wrong("as long as"),
            ("maxItems", Value::Array(items)) if items.len() > length(rule) => return wrong("as short as"),
            ("required", Value::Object(members)) => {
                let names = rule.as_array().expect("a list").iter().filter_map(Value::as_str);
                if let Some(missing) = names.into_iter().find(|name| !members.contains_key(*name)) {
                    return Err(format!("{missing} is missing"));
                }
            }
            ("properties", Value::Object(members)) => of_members(rule, schema, members)?,
            ("items", Value::Array(items)) => items.iter().try_for_each(|item| fits(rule, item))?,
            ("anyOf", _) => {
                let tried: Vec<_> = rule.as_array().expect("a list").iter().map(|one| fits(one, value)).collect();
                if tried.iter().all(Result::is_err) {
                    return Err(format!("none of these fits: {tried:?}"));
                }
            }
            (
                "type"
                | "const"
                | "enum"
                | "minimum"
                | "maximum"
                | "minItems"
                | "maxItems"
                | "required"
                | "properties"
                | "items"
                | "additionalProperties"
                | "description"
                | "format"
                | "pattern",
                _,
            ) => {}
            (other, _) => panic!("{other} is not understood here: read it, or leave it out of answers"),
        }
    }
    Ok(())
}

fn is_of(rule: &Value, value: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    match rule {
        Value::Array(several) => several.iter().filter_map(Value::as_str).any(is),
        one => is(one.as_str().expect("a name")),
    }
}

fn of_members(rule: &'static Value, schema: &Value, members: &Map<String, Value>) -> Result<(), String> {
    for (name, member) in members {
        match rule.get(name) {
            Some(known) => fits(known, member).map_err(|wrong| format!("{name}: {wrong}"))?,
            None if schema["additionalProperties"] == false => return Err(format!("{name} is not described")),
            None => {}
        }
    }
    Ok(())
}

fn length(rule: &Value) -> usize {
    rule.as_u64().and_then(|length| usize::try_from(length).ok()).expect("a length")
}
