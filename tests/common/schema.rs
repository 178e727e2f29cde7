//! A strict validator for the part of JSON Schema (draft 2020-12) that `docs/schema`
//! uses. A keyword it does not know is a failure, so that no condition goes unchecked.

use serde_json::Value;

/// What is wrong with `value`, each with its place; empty if it is valid.
pub fn validate(schema: &Value, value: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    check(schema, schema, value, "$", &mut wrong);
    wrong
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let schema = schema.as_object().unwrap_or_else(|| panic!("{at}: a schema must be an object"));
    let mut fail = |text: String| wrong.push(format!("{at}: {text}"));
    for (keyword, want) in schema {
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => {}
            "const" if value != want => fail(format!("{value} is not {want}")),
            "enum" if !want.as_array().unwrap().contains(value) => {
                fail(format!("{value} is none of the listed"));
            }
            "type" if !has_type(value, want) => fail(format!("{value} is not of type {want}")),
            "minimum" if value.is_number() && number(value) < number(want) => {
                fail(format!("{value} is less than {want}"));
            }
            "maximum" if value.is_number() && number(value) > number(want) => {
                fail(format!("{value} is more than {want}"));
            }
            "minLength"
                if value.as_str().is_some_and(|s| number(want) > s.chars().count() as f64) =>
            {
                fail(format!("{value} is too short"));
            }
            "required" => {
                for key in want.as_array().unwrap().iter().map(|k| k.as_str().unwrap()) {
                    if value.is_object() && value.get(key).is_none() {
                        fail(format!("{key} is missing"));
                    }
                }
            }
            "const" | "enum" | "type" | "minimum" | "maximum" | "minLength" => {}
            "additionalProperties" => {
                assert_eq!(want, false, "only false is known");
                let known = schema["properties"].as_object().unwrap();
                for key in value.as_object().into_iter().flat_map(|o| o.keys()) {
                    if !known.contains_key(key) {
                        fail(format!("{key} is not in the schema"));
                    }
                }
            }
            "properties" | "items" | "$ref" => {}
            other => panic!("{at}: unknown keyword {other}"),
        }
    }
    descend(root, schema, value, at, wrong);
}

fn descend(
    root: &Value,
    schema: &serde_json::Map<String, Value>,
    value: &Value,
    at: &str,
    wrong: &mut Vec<String>,
) {
    if let Some(reference) = schema.get("$ref") {
        let pointer = reference.as_str().unwrap().strip_prefix('#').unwrap();
        let target = root.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"));
        check(root, target, value, at, wrong);
    }
    if let (Some(properties), Some(object)) = (schema.get("properties"), value.as_object()) {
        for (key, inner) in object {
            if let Some(schema) = properties.get(key) {
                check(root, schema, inner, &format!("{at}.{key}"), wrong);
            }
        }
    }
    if let (Some(items), Some(array)) = (schema.get("items"), value.as_array()) {
        for (i, inner) in array.iter().enumerate() {
            check(root, items, inner, &format!("{at}[{i}]"), wrong);
        }
    }
}

fn has_type(value: &Value, want: &Value) -> bool {
    match want {
        Value::Array(any) => any.iter().any(|t| has_type(value, t)),
        _ => match want.as_str().unwrap() {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            other => panic!("unknown type {other}"),
        },
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
