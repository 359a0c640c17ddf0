//! The JSON Schema of `pipeline.toml`, for editors, made from the same table of keys that drives the reader.

use serde_json::{Map, Value, json};

use super::schema::{FILE, STEP, Shape, Table};

/// Returns the schema (JSON Schema, draft 7).
pub fn json_schema() -> Value {
    let mut schema = table(&FILE);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("pipeline.toml");
    schema["description"] = json!("A pipeline of shipway");
    schema
}

fn table(schema: &Table) -> Value {
    let properties: Map<String, Value> = schema
        .keys
        .iter()
        .map(|key| {
            let mut property = shape(key.shape);
            property["description"] = json!(key.about);
            (key.name.to_owned(), property)
        })
        .collect();
    let required: Vec<&str> = schema.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut object = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// The rule of names.
const NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";

/// Returns a step in its three forms.
fn step(command: &Value) -> Value {
    let mut forms = command["anyOf"].as_array().cloned().unwrap_or_default();
    forms.push(table(&STEP));
    json!({ "anyOf": forms })
}

fn shape(shape: Shape) -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let some_texts = json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 });
    let command = json!({ "anyOf": [{ "type": "string", "minLength": 1, "pattern": "^\\s*[^-\\s]" }, some_texts] });
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Name => json!({ "type": "string", "pattern": NAME }),
        Shape::Flag => json!({ "type": "boolean" }),
        Shape::Count => json!({ "type": "integer", "minimum": 0 }),
        Shape::Duration => json!({ "type": "string", "pattern": "^[0-9]+(ms|s|m|h|d|w)$" }),
        Shape::Size => json!({ "type": "string", "pattern": "^[0-9]+(B|[KMGT]iB|[kMGT]B)$" }),
        Shape::Number => json!({ "type": "number" }),
        Shape::Choice(texts) => json!({ "enum": texts }),
        Shape::Texts => texts,
        Shape::SomeTexts => some_texts,
        Shape::Variables => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        Shape::Command => command,
        Shape::Commands => json!({ "type": "array", "items": command }),
        Shape::Steps => json!({ "type": "array", "items": step(&command), "minItems": 1 }),
        Shape::AnySteps => json!({ "type": "array", "items": step(&command) }),
        Shape::Step => step(&command),
        Shape::Counts => json!({ "type": "array", "items": { "type": "integer", "minimum": 0 } }),
        Shape::List(schema) => json!({ "type": "array", "items": table(schema) }),
        Shape::Axes => {
            json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": { "type": "array", "items": scalar, "minItems": 1 }, "minProperties": 1 })
        }
        Shape::Combinations => {
            json!({ "type": "array", "items": { "type": "object", "additionalProperties": scalar } })
        }
        Shape::Sizes => {
            json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": { "type": "integer", "minimum": 1 } })
        }
        Shape::Named => {
            let scalars = json!({ "type": "object", "additionalProperties": scalar });
            json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": scalars })
        }
        Shape::Port => json!({ "type": "integer", "minimum": 1, "maximum": u16::MAX }),
        Shape::PortText => json!({ "anyOf": [{ "type": "integer", "minimum": 1, "maximum": u16::MAX }, { "type": "string" }] }),
        Shape::OneOf(schema) => {
            let mut object = table(schema);
            let beside = schema.keys.iter().filter(|key| key.is_beside()).count();
            (object["minProperties"], object["maxProperties"]) = (json!(1), json!(1 + beside));
            object
        }
        Shape::Table(schema) => table(schema),
        Shape::Tables(schema) => {
            json!({ "type": "object", "propertyNames": { "pattern": NAME }, "additionalProperties": table(schema) })
        }
    }
}
