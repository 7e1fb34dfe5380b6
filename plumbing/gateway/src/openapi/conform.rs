//! Conformity: whether an answer is what the document declares, for tests that watch a running server.

use std::collections::HashSet;

use serde_json::Value;

/// How deep a schema is followed before it is taken for endless.
const DEPTH_MAX: usize = 64;

/// Checks one answer against the document: the address and method exist (`path` may be a template or a real path), the
/// status is declared, so is the media type, and a JSON body matches its schema. The error says where it does not.
pub fn check(document: &Value, method: &str, path: &str, status: u16, content_type: Option<&str>, body: &[u8]) -> Result<(), String> {
    let path = path.split('?').next().unwrap_or(path);
    let (template, item) = find_path(document, path).ok_or_else(|| format!("{path} is not in the document"))?;
    let method = method.to_ascii_lowercase();
    let operation = item.get(&method).ok_or_else(|| format!("{method} {template} is not in the document"))?;
    let place = format!("{method} {template} -> {status}");
    let responses = operation.get("responses").and_then(Value::as_object).ok_or_else(|| format!("{place}: no answers are declared"))?;
    let response = responses
        .get(&status.to_string())
        .or_else(|| responses.get(&format!("{}XX", status / 100)))
        .or_else(|| responses.get("default"))
        .ok_or_else(|| format!("{place}: this status is not declared"))?;
    let response = resolve(document, response)?;
    let content = response.get("content").and_then(Value::as_object).filter(|content| !content.is_empty());
    let Some(content) = content else {
        return if body.is_empty() { Ok(()) } else { Err(format!("{place}: a body of {} bytes, but none is declared", body.len())) };
    };
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let family = kind.split('/').next().map(|family| format!("{family}/*")).unwrap_or_default();
    let declared = content
        .get(&kind)
        .or_else(|| content.get(&family))
        .or_else(|| content.get("*/*"))
        .ok_or_else(|| format!("{place}: the media type {kind:?} is not declared"))?;
    let is_json = kind == "application/json" || kind.ends_with("+json");
    let Some(schema) = declared.get("schema").filter(|_| is_json) else { return Ok(()) };
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("{place}: the body is not JSON: {error}"))?;
    let whole = Place { at: "$", depth: 0, is_strict: true };
    Matcher(document).matches(schema, &value, whole).map_err(|error| format!("{place}: {error}"))
}

/// The path item of a template, or of the template that fits a real path; a template without parameters goes before one with.
fn find_path<'d>(document: &'d Value, path: &str) -> Option<(&'d str, &'d Value)> {
    let paths = document.get("paths")?.as_object()?;
    if let Some((template, item)) = paths.get_key_value(path) {
        return Some((template, item));
    }
    let fits = |template: &str| {
        let (mut wanted, mut given) = (template.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some(wanted), Some(given)) if fits_segment(wanted, given) => {}
                _ => return false,
            }
        }
    };
    let fitting = paths.iter().filter(|(template, _)| fits(template));
    fitting.min_by_key(|(template, _)| template.matches('{').count()).map(|(template, item)| (template.as_str(), item))
}

/// Whether a segment such as `{id}` or `{code}.svg` fits a part of a real path.
fn fits_segment(template: &str, given: &str) -> bool {
    match (template.find('{'), template.rfind('}')) {
        (Some(open), Some(close)) if open < close => {
            let (before, after) = (&template[..open], &template[close + 1..]);
            given.len() > before.len() + after.len() && given.starts_with(before) && given.ends_with(after)
        }
        _ => template == given,
    }
}

fn resolve<'d>(document: &'d Value, node: &'d Value) -> Result<&'d Value, String> {
    let mut node = node;
    for _ in 0..DEPTH_MAX {
        let Some(reference) = node.get("$ref").and_then(Value::as_str) else { return Ok(node) };
        let pointer = reference.strip_prefix('#').ok_or_else(|| format!("{reference} leads out of the document"))?;
        node = document.pointer(pointer).ok_or_else(|| format!("{reference} leads nowhere"))?;
    }
    Err("references go in a circle".to_owned())
}

/// A document whose schemas are being matched.
struct Matcher<'d>(&'d Value);

/// Where the match stands.
#[derive(Clone, Copy)]
struct Place<'p> {
    /// The path inside the body, such as `$.items[0].name`.
    at: &'p str,
    depth: usize,
    /// Whether fields that are declared nowhere are refused here: a document that keeps silent about a field is as untrue as
    /// one that invents one. The parts of `allOf` do not know each other's fields, so the whole looks after them.
    is_strict: bool,
}

impl Matcher<'_> {
    /// Whether `value` matches `schema` (the part of JSON Schema 2020-12 that OpenAPI documents of this house use).
    fn matches(&self, schema: &Value, value: &Value, place: Place<'_>) -> Result<(), String> {
        let at = place.at;
        if place.depth > DEPTH_MAX {
            return Err(format!("{at}: the schema is nested too deeply"));
        }
        match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{at}: nothing is allowed here")),
            _ => {}
        }
        let parts = |word: &str| schema.get(word).and_then(Value::as_array).map(Vec::as_slice);
        let is_alone = schema.get("properties").is_none() && schema.get("allOf").is_none();
        let part = Place { depth: place.depth + 1, is_strict: place.is_strict && is_alone, ..place };
        if schema.get("$ref").is_some() {
            self.matches(resolve(self.0, schema)?, value, part)?;
        }
        if let Some(wanted) = schema.get("const")
            && wanted != value
        {
            return Err(format!("{at}: {value} is not {wanted}"));
        }
        if let Some(words) = parts("enum")
            && !words.contains(value)
        {
            return Err(format!("{at}: {value} is none of the declared words"));
        }
        check_type(schema, value, at)?;
        for schema in parts("allOf").unwrap_or_default() {
            self.matches(schema, value, Place { is_strict: false, ..part })?;
        }
        for (word, is_exact) in [("oneOf", true), ("anyOf", false)] {
            let Some(parts) = parts(word) else { continue };
            let outcomes: Vec<_> = parts.iter().map(|schema| self.matches(schema, value, part)).collect();
            let fitting = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            if fitting == 0 {
                let reasons: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
                return Err(format!("{at}: fits none of {word}: {}", reasons.join("; ")));
            }
            if is_exact && fitting > 1 {
                return Err(format!("{at}: fits {fitting} of oneOf"));
            }
        }
        match value {
            Value::Object(fields) => self.check_object(schema, fields, place),
            Value::Array(items) => self.check_array(schema, items, place),
            Value::String(text) => check_text(schema, text, at),
            Value::Number(number) => check_number(schema, number.as_f64().unwrap_or_default(), at),
            _ => Ok(()),
        }
    }

    fn check_object(&self, schema: &Value, fields: &serde_json::Map<String, Value>, place: Place<'_>) -> Result<(), String> {
        let at = place.at;
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                return Err(format!("{at}.{name}: is required and missing"));
            }
        }
        let properties = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        let mut declared = HashSet::new();
        let lists_fields =
            place.is_strict && (properties.is_some() || schema.get("allOf").is_some()) && self.names(schema, &mut declared, 0);
        for (name, value) in fields {
            let inner = format!("{at}.{name}");
            let below = Place { at: &inner, depth: place.depth + 1, is_strict: true };
            match (properties.and_then(|known| known.get(name)), others) {
                (Some(known), _) => self.matches(known, value, below)?,
                (None, Some(Value::Bool(false))) => return Err(format!("{inner}: is not declared")),
                (None, Some(open)) => self.matches(open, value, below)?,
                (None, None) if lists_fields && !declared.contains(name.as_str()) => return Err(format!("{inner}: is not declared")),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Collects the names of all fields that a schema and its parts declare; false when some part is open to any field.
    fn names<'s>(&'s self, schema: &'s Value, names: &mut HashSet<&'s str>, depth: usize) -> bool {
        if depth > DEPTH_MAX || schema.get("additionalProperties").is_some_and(|open| *open != Value::Bool(false)) {
            return false;
        }
        names.extend(schema.get("properties").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str()));
        if schema.get("$ref").is_some() && !resolve(self.0, schema).is_ok_and(|schema| self.names(schema, names, depth + 1)) {
            return false;
        }
        let mut parts = ["allOf", "oneOf", "anyOf"].iter().filter_map(|word| schema.get(*word)?.as_array()).flatten();
        parts.all(|part| self.names(part, names, depth + 1))
    }

    fn check_array(&self, schema: &Value, items: &[Value], place: Place<'_>) -> Result<(), String> {
        let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
        let count = items.len() as u64;
        if bound("minItems").is_some_and(|least| count < least) || bound("maxItems").is_some_and(|most| count > most) {
            return Err(format!("{}: {count} items are too few or too many", place.at));
        }
        let first = schema.get("prefixItems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (index, item) in items.iter().enumerate() {
            let inner = format!("{}[{index}]", place.at);
            if let Some(schema) = first.get(index).or_else(|| schema.get("items")) {
                self.matches(schema, item, Place { at: &inner, depth: place.depth + 1, is_strict: true })?;
            }
        }
        Ok(())
    }
}

fn check_type(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    let fits = match schema.get("type") {
        None => true,
        Some(Value::String(name)) => is(name) || (value.is_null() && schema.get("nullable") == Some(&Value::Bool(true))),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).any(is),
        Some(_) => false,
    };
    if fits { Ok(()) } else { Err(format!("{at}: {} where {} is declared", kind(value), schema["type"])) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn check_text(schema: &Value, text: &str, at: &str) -> Result<(), String> {
    let length = text.chars().count() as u64;
    let bound = |word: &str| schema.get(word).and_then(Value::as_u64);
    if bound("minLength").is_some_and(|least| length < least) || bound("maxLength").is_some_and(|most| length > most) {
        return Err(format!("{at}: a text of {length} letters is too short or too long"));
    }
    match schema.get("format").and_then(Value::as_str) {
        Some("date-time") if kernel::Timestamp::parse(text).is_err() => Err(format!("{at}: {text:?} is no date-time")),
        _ => Ok(()),
    }
}

fn check_number(schema: &Value, number: f64, at: &str) -> Result<(), String> {
    let bound = |word: &str| schema.get(word).and_then(Value::as_f64);
    if bound("minimum").is_some_and(|least| number < least) || bound("maximum").is_some_and(|most| number > most) {
        return Err(format!("{at}: {number} is out of bounds"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "paths": {
                "/v1/cards/{id}": { "get": { "responses": {
                    "200": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Card" } } } },
                    "404": { "$ref": "#/components/responses/Missing" }
                } } },
                "/v1/cards/recent": { "get": { "responses": { "204": { "description": "none" } } } },
                "/{code}.svg": { "get": { "responses": { "200": { "content": { "image/svg+xml": {} } } } } }
            },
            "components": {
                "responses": { "Missing": { "content": { "application/problem+json": { "schema": { "type": "object" } } } } },
                "schemas": {
                    "Card": {
                        "allOf": [
                            { "$ref": "#/components/schemas/Named" },
                            { "type": "object", "required": ["state"], "properties": { "state": { "type": "string", "enum": ["live", "paused"] } } }
                        ]
                    },
                    "Named": {
                        "type": "object",
                        "required": ["name", "tags"],
                        "properties": {
                            "name": { "type": "string", "minLength": 1 },
                            "tags": { "type": "array", "items": { "type": "string" } },
                            "owner": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/Owner" }] },
                            "size": { "type": ["integer", "null"], "minimum": 1 },
                            "extra": { "type": "object", "additionalProperties": { "type": "integer" } }
                        }
                    },
                    "Owner": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string" } } }
                }
            }
        })
    }

    fn card(body: Value) -> Result<(), String> {
        check(&document(), "GET", "/v1/cards/card_1", 200, Some("application/json"), body.to_string().as_bytes())
    }

    #[test]
    fn an_answer_that_is_declared_passes() {
        card(json!({"name": "a", "tags": ["x"], "state": "live", "owner": null, "size": 3, "extra": {"n": 1}})).unwrap();
        card(json!({"name": "a", "tags": [], "state": "paused", "owner": {"id": "b"}, "size": null})).unwrap();
        check(&document(), "GET", "/v1/cards/recent", 204, None, b"").unwrap();
        check(&document(), "GET", "/ABC.svg", 200, Some("image/svg+xml; charset=utf-8"), b"<svg/>").unwrap();
        check(&document(), "GET", "/v1/cards/x?y=1", 404, Some("application/problem+json"), b"{}").unwrap();
    }

    #[test]
    fn an_answer_that_is_not_declared_is_named_with_its_place() {
        let good = json!({"name": "a", "tags": ["x"], "state": "live"});
        for (field, wrong) in [
            ("name", json!(5)),
            ("name", json!("")),
            ("tags", json!(["a", 1])),
            ("state", json!("gone")),
            ("owner", json!({})),
            ("owner", json!({"id": "a", "secret": 1})),
            ("size", json!(0)),
            ("size", json!(1.5)),
            ("extra", json!({"n": "one"})),
            ("invented", json!(1)),
        ] {
            let mut body = good.clone();
            body[field] = wrong.clone();
            let error = card(body).expect_err(&format!("{field} = {wrong}"));
            assert!(error.contains(&format!("$.{field}")), "{error}");
        }
        assert!(card(json!({"name": "a", "state": "live"})).unwrap_err().contains("$.tags"));
        let at = |method, path, status, kind, body: &[u8]| check(&document(), method, path, status, kind, body);
        assert!(at("POST", "/v1/cards/x", 200, None, b"").is_err());
        assert!(at("GET", "/v1/nothing", 200, None, b"").is_err());
        assert!(at("GET", "/v1/cards/x", 500, None, b"").is_err());
        assert!(at("GET", "/v1/cards/x", 200, Some("text/html"), b"").is_err());
        assert!(at("GET", "/v1/cards/x", 200, Some("application/json"), b"{").is_err());
        assert!(at("GET", "/v1/cards/recent", 204, None, b"more").is_err());
    }
}
