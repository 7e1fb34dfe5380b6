//! The document as a page that people read: everything on one page, no script, nothing loaded from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::page::escape;

const METHODS: &[&str] = &["get", "post", "put", "patch", "delete", "head", "options", "trace"];
/// How deep a schema is written out before it is cut.
const DEPTH_MAX: usize = 8;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c1e21;--paper:#fbfbfa;--quiet:#5d646d;--line:#e0e2e5;--tile:#fff;--code:#f1f2f4;--accent:#2b50c8;
--get:#1a7f4b;--post:#2b50c8;--put:#9a5b00;--patch:#9a5b00;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6e7ea;--paper:#131518;--quiet:#9aa1ab;--line:#2b2f36;--tile:#1a1d21;--code:#22262c;--accent:#8ea8ff;
--get:#58c98c;--post:#8ea8ff;--put:#e0a84e;--patch:#e0a84e;--delete:#ff8a80}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1rem}
body{margin:0;font:16px/1.55 system-ui,sans-serif;color:var(--ink);background:var(--paper);display:grid;grid-template-columns:17rem minmax(0,1fr)}
nav{position:sticky;top:0;height:100vh;overflow:auto;padding:1.5rem 1rem;border-right:1px solid var(--line);font-size:.87rem}
nav b{display:block;margin:1.1rem 0 .3rem;text-transform:capitalize}
nav a{display:block;padding:.15rem .4rem;border-radius:.3rem;color:var(--quiet);text-decoration:none;overflow-wrap:anywhere}
nav a:hover,nav a:focus-visible{background:var(--code);color:var(--ink)}
main{padding:2rem clamp(1rem,4vw,3rem) 6rem;max-width:62rem}
h1{font-size:1.9rem;margin:0 0 .3rem}h2{margin:3rem 0 .5rem;text-transform:capitalize;border-bottom:1px solid var(--line);padding-bottom:.3rem}
h3{font-size:1.02rem;margin:0;font-weight:600}h4{margin:1.1rem 0 .35rem;font-size:.78rem;letter-spacing:.04em;text-transform:uppercase;color:var(--quiet)}
p{margin:.4rem 0}a{color:var(--accent)}
article,details.schema{background:var(--tile);border:1px solid var(--line);border-radius:.6rem;padding:1rem 1.2rem;margin:1rem 0}
.address{display:flex;gap:.7rem;align-items:baseline;flex-wrap:wrap;margin-bottom:.3rem}
.address code{font-size:.95rem;overflow-wrap:anywhere;background:none;padding:0}
.method{font:700 .74rem/1 ui-monospace,monospace;padding:.3rem .5rem;border:1px solid currentColor;border-radius:.3rem}
.get{color:var(--get)}.post{color:var(--post)}.put{color:var(--put)}.patch{color:var(--patch)}.delete{color:var(--delete)}
table{border-collapse:collapse;width:100%;font-size:.9rem}td,th{text-align:left;vertical-align:top;padding:.35rem .8rem .35rem 0;border-top:1px solid var(--line)}
tr:first-child>td,tr:first-child>th{border-top:0}th{font-weight:500;white-space:nowrap;width:13rem}h4 code{text-transform:none;letter-spacing:0}td p:first-child{margin-top:0}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.85em;background:var(--code);border-radius:.3rem}
code{padding:.1em .3em}pre{padding:.8rem 1rem;overflow:auto;line-height:1.45}pre code{padding:0;background:none}
.quiet{color:var(--quiet)}.must{color:var(--delete);font-size:.8em}
summary{cursor:pointer;font-weight:500}details details{margin:.3rem 0}
@media(max-width:55rem){body{display:block}th{width:auto;white-space:normal}nav{position:static;height:auto;border-right:0;border-bottom:1px solid var(--line)}}
";

/// The whole page for a document.
pub fn page(document: &Value) -> String {
    let writer = Writer { document };
    let info = &document["info"];
    let title = text(info, "title").unwrap_or("API");
    let groups = writer.groups();
    let mut html = String::with_capacity(64 * 1024);
    let _ = write!(
        html,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}: reference</title><style>{STYLE}</style></head><body><nav aria-label=\"Contents\"><a href=\"#top\">{title}</a>",
        title = escape(title)
    );
    for (tag, operations) in &groups {
        let _ = write!(html, "<b>{}</b>", escape(tag));
        for operation in operations {
            let name = text(operation.node, "summary")
                .map_or_else(|| format!("{} {}", operation.method.to_uppercase(), operation.path), str::to_owned);
            let _ = write!(html, "<a href=\"#{}\">{}</a>", operation.anchor(), inline(name.trim_end_matches('.')));
        }
    }
    let _ = write!(
        html,
        "<b>More</b><a href=\"#who-asks\">Who asks</a><a href=\"#schemas\">Schemas</a></nav><main id=\"top\"><h1>{}</h1>",
        escape(title)
    );
    let _ = write!(
        html,
        "<p class=\"quiet\">Version {} · <a href=\"/openapi.json\">openapi.json</a></p>",
        escape(text(info, "version").unwrap_or("-"))
    );
    writer.prose(&mut html, info);
    for (tag, operations) in &groups {
        let _ = write!(html, "<h2>{}</h2>", escape(tag));
        let about = document["tags"].as_array().into_iter().flatten().find(|known| text(known, "name") == Some(tag));
        about.inspect(|about| writer.prose(&mut html, about));
        for operation in operations {
            writer.operation(&mut html, operation);
        }
    }
    writer.security(&mut html);
    writer.schemas(&mut html);
    html.push_str("</main></body></html>");
    html
}

struct Operation<'d> {
    method: &'static str,
    path: &'d str,
    shared: &'d Value,
    node: &'d Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        let path: String = self.path.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        format!("{}{path}", self.method)
    }
}

struct Writer<'d> {
    document: &'d Value,
}

fn text<'v>(node: &'v Value, name: &str) -> Option<&'v str> {
    node.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

impl<'d> Writer<'d> {
    fn groups(&self) -> BTreeMap<&'d str, Vec<Operation<'d>>> {
        let mut groups: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
        for (path, item) in self.document["paths"].as_object().into_iter().flatten() {
            for method in METHODS {
                let Some(node) = item.get(*method) else { continue };
                let tag = node["tags"][0].as_str().unwrap_or("other");
                groups.entry(tag).or_default().push(Operation { method, path, shared: item, node });
            }
        }
        groups
    }

    /// Paragraphs, with code between backticks.
    fn prose(&self, html: &mut String, node: &Value) {
        for paragraph in text(node, "description").unwrap_or_default().split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let _ = write!(html, "<p>{}</p>", inline(paragraph.trim()));
        }
    }

    fn operation(&self, html: &mut String, operation: &Operation<'_>) {
        let Operation { method, path, shared, node } = operation;
        let _ = write!(html, "<article id=\"{}\">", operation.anchor());
        let _ = write!(
            html,
            "<div class=\"address\"><span class=\"method {method}\">{}</span><code>{}</code></div>",
            method.to_uppercase(),
            escape(path)
        );
        if let Some(summary) = text(node, "summary") {
            let _ = write!(html, "<h3>{}</h3>", inline(summary));
        }
        self.prose(html, node);
        let parameters: Vec<&Value> =
            [&shared["parameters"], &node["parameters"]].into_iter().filter_map(Value::as_array).flatten().collect();
        if !parameters.is_empty() {
            html.push_str("<h4>Parameters</h4><table>");
            for parameter in parameters {
                self.parameter(html, self.resolve(parameter));
            }
            html.push_str("</table>");
        }
        let body = self.resolve(&node["requestBody"]);
        for (kind, content) in body["content"].as_object().into_iter().flatten() {
            let _ = write!(html, "<h4>Body <code>{}</code></h4>", escape(kind));
            self.prose(html, body);
            self.content(html, content);
        }
        self.answers(html, node);
        html.push_str("</article>");
    }

    fn parameter(&self, html: &mut String, parameter: &Value) {
        let name = text(parameter, "name").unwrap_or_default();
        let _ = write!(html, "<tr><th><code>{}</code>", escape(name));
        if parameter["required"] == true {
            html.push_str(" <span class=\"must\">required</span>");
        }
        let _ = write!(html, "<br><span class=\"quiet\">{}</span></th><td>", escape(text(parameter, "in").unwrap_or_default()));
        self.prose(html, parameter);
        let _ = write!(html, "<span class=\"quiet\">{}</span></td></tr>", self.kind(&parameter["schema"]));
    }

    fn answers(&self, html: &mut String, node: &Value) {
        let Some(answers) = node["responses"].as_object() else { return };
        let (good, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(status, _)| !status.starts_with(['4', '5']));
        for (status, answer) in good {
            let answer = self.resolve(answer);
            let _ = write!(html, "<h4>Answer {}</h4>", escape(status));
            self.prose(html, answer);
            for (kind, content) in answer["content"].as_object().into_iter().flatten() {
                let _ = write!(html, "<p><code>{}</code></p>", escape(kind));
                self.content(html, content);
            }
        }
        if refused.is_empty() {
            return;
        }
        html.push_str("<h4>Refusals</h4><details><summary>");
        let statuses: Vec<String> = refused.iter().map(|(status, _)| escape(status)).collect();
        let _ = write!(html, "{}</summary><table>", statuses.join(" · "));
        for (status, answer) in refused {
            let words = text(self.resolve(answer), "description").unwrap_or_default();
            let _ = write!(html, "<tr><th>{}</th><td>{}</td></tr>", escape(status), inline(words));
        }
        html.push_str("</table><p class=\"quiet\">Each is a <a href=\"#schema-Problem\">Problem</a>.</p></details>");
    }

    fn content(&self, html: &mut String, content: &Value) {
        let schema = &content["schema"];
        self.fields(html, schema);
        let example = content.get("example").cloned().or_else(|| content["examples"].as_object()?.values().next()?.get("value").cloned());
        let example = example.unwrap_or_else(|| self.example(schema, 0));
        if !example.is_null() {
            let _ = write!(html, "<details><summary>Example</summary><pre><code>{}</code></pre></details>", escape(&pretty(&example)));
        }
    }

    /// The fields of an object as a table, or the kind of anything else.
    fn fields(&self, html: &mut String, schema: &Value) {
        self.fields_at(html, schema, 0);
    }

    fn fields_at(&self, html: &mut String, schema: &Value, depth: usize) {
        let mut fields = Map::new();
        let mut required = Vec::new();
        self.gather(schema, &mut fields, &mut required, 0);
        if fields.is_empty() {
            let _ = write!(html, "<p>{}</p>", self.kind(schema));
            return;
        }
        html.push_str("<table>");
        for (name, field) in &fields {
            let _ = write!(html, "<tr><th><code>{}</code>", escape(name));
            if required.contains(name) {
                html.push_str(" <span class=\"must\">required</span>");
            }
            html.push_str("</th><td>");
            self.prose(html, field);
            let _ = write!(html, "<span class=\"quiet\">{}</span>", self.kind(field));
            // An object that has no name of its own is described where it stands.
            let inner = if field["type"] == "array" { &field["items"] } else { field };
            if inner.get("properties").is_some() && depth < DEPTH_MAX {
                html.push_str("<details><summary>Its fields</summary>");
                self.fields_at(html, inner, depth + 1);
                html.push_str("</details>");
            }
            html.push_str("</td></tr>");
        }
        html.push_str("</table>");
    }

    fn gather(&self, schema: &Value, fields: &mut Map<String, Value>, required: &mut Vec<String>, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let schema = self.resolve(schema);
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.gather(part, fields, required, depth + 1);
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            fields.insert(name.clone(), field.clone());
        }
        required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
    }

    /// A kind in words: `string, date-time`, `list of Card`, `one of live, paused`.
    fn kind(&self, schema: &Value) -> String {
        if let Some(name) = text(schema, "$ref").and_then(|reference| reference.rsplit('/').next()) {
            return format!("<a href=\"#schema-{0}\">{0}</a>", escape(name));
        }
        for word in ["oneOf", "anyOf", "allOf"] {
            if let Some(parts) = schema[word].as_array() {
                let between = if word == "allOf" { " and " } else { " or " };
                return parts.iter().map(|part| self.kind(part)).collect::<Vec<_>>().join(between);
            }
        }
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<String> =
                words.iter().map(|word| format!("<code>{}</code>", escape(word.as_str().unwrap_or(&word.to_string())))).collect();
            return format!("one of {}", words.join(", "));
        }
        let name = match &schema["type"] {
            Value::String(name) => name.clone(),
            Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
            _ => "anything".to_owned(),
        };
        let mut words = if name.starts_with("array") { format!("list of {}", self.kind(&schema["items"])) } else { escape(&name) };
        if let Some(format) = text(schema, "format") {
            let _ = write!(words, ", {}", escape(format));
        }
        for (word, said) in [
            ("minimum", "at least"),
            ("maximum", "at most"),
            ("minLength", "at least letters:"),
            ("maxLength", "at most letters:"),
            ("maxItems", "at most items:"),
        ] {
            if let Some(bound) = schema.get(word) {
                let _ = write!(words, ", {said} {bound}");
            }
        }
        if let Some(default) = schema.get("default") {
            let _ = write!(words, ", <code>{}</code> when absent", escape(&default.to_string()));
        }
        words
    }

    /// An example made of the schema's own examples and of plain values where it has none.
    fn example(&self, schema: &Value, depth: usize) -> Value {
        let schema = self.resolve(schema);
        let given = schema.get("example").or_else(|| schema.get("const")).or_else(|| schema.get("default"));
        let given = given.or_else(|| schema["examples"].get(0)).or_else(|| schema["enum"].get(0));
        if let Some(given) = given {
            return given.clone();
        }
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        for word in ["oneOf", "anyOf"] {
            if let Some(part) = schema[word].as_array().and_then(|parts| parts.iter().find(|part| part["type"] != "null")) {
                return self.example(part, depth + 1);
            }
        }
        let kind = match &schema["type"] {
            Value::Array(names) => names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("null"),
            name => name.as_str().unwrap_or_default(),
        };
        match kind {
            "string" => match text(schema, "format") {
                Some("date-time") => json!("2026-01-31T09:30:00Z"),
                Some("uri") => json!("https://example.com"),
                Some("email") => json!("ada@example.com"),
                _ => json!("text"),
            },
            "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "boolean" => json!(true),
            "array" => json!([self.example(&schema["items"], depth + 1)]),
            "null" => Value::Null,
            _ => {
                let (mut fields, mut required) = (Map::new(), Vec::new());
                self.gather(schema, &mut fields, &mut required, depth);
                let known = schema["type"] == "object" || !fields.is_empty();
                let filled = fields.iter().map(|(name, field)| (name.clone(), self.example(field, depth + 1)));
                if known { Value::Object(filled.collect()) } else { Value::Null }
            }
        }
    }

    fn security(&self, html: &mut String) {
        html.push_str("<h2 id=\"who-asks\">Who asks</h2><table>");
        for (name, scheme) in self.document["components"]["securitySchemes"].as_object().into_iter().flatten() {
            let _ = write!(html, "<tr><th><code>{}</code></th><td>", escape(name));
            self.prose(html, scheme);
            let how = match (text(scheme, "type"), text(scheme, "in"), text(scheme, "name"), text(scheme, "scheme")) {
                (Some("apiKey"), Some(place), Some(name), _) => format!("{place} {name}"),
                (Some("http"), _, _, Some(scheme)) => format!("Authorization: {scheme}"),
                (kind, ..) => kind.unwrap_or_default().to_owned(),
            };
            let _ = write!(html, "<code>{}</code></td></tr>", escape(&how));
        }
        html.push_str("</table>");
    }

    fn schemas(&self, html: &mut String) {
        html.push_str("<h2 id=\"schemas\">Schemas</h2>");
        for (name, schema) in self.document["components"]["schemas"].as_object().into_iter().flatten() {
            let _ = write!(html, "<details class=\"schema\" id=\"schema-{0}\" open><summary>{0}</summary>", escape(name));
            self.prose(html, schema);
            self.fields(html, schema);
            html.push_str("</details>");
        }
    }

    fn resolve<'v>(&'v self, node: &'v Value) -> &'v Value {
        let mut node = node;
        for _ in 0..DEPTH_MAX {
            let pointer = text(node, "$ref").and_then(|reference| reference.strip_prefix('#'));
            match pointer.and_then(|pointer| self.document.pointer(pointer)) {
                Some(target) => node = target,
                None => break,
            }
        }
        node
    }
}

fn inline(words: &str) -> String {
    let parts = words.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) }).collect()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_shows_every_address_and_lets_nothing_out_of_its_place() {
        let document = json!({
            "info": { "title": "Cards <script>", "version": "1", "description": "Use `POST`.\n\nTwice." },
            "paths": { "/v1/cards/{id}": { "post": {
                "tags": ["cards"], "summary": "Makes a card",
                "parameters": [{ "name": "id", "in": "path", "required": true, "schema": { "type": "string" }, "description": "Which <b>" }],
                "requestBody": { "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Card" } } } },
                "responses": {
                    "201": { "description": "Made", "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Card" } } } },
                    "422": { "description": "Wrong" }
                }
            } } },
            "components": { "schemas": { "Card": {
                "type": "object", "required": ["name"],
                "properties": {
                    "name": { "type": "string", "example": "Ada" },
                    "next": { "$ref": "#/components/schemas/Card" },
                    "state": { "type": "string", "enum": ["live", "paused"] }
                }
            } }, "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } } }
        });
        let html = page(&document);
        for wanted in [
            "/v1/cards/{id}",
            "Makes a card",
            "id=\"schema-Card\"",
            "&quot;Ada&quot;",
            "<code>live</code>",
            "<code>POST</code>",
            "Authorization: bearer",
        ] {
            assert!(html.contains(wanted), "{wanted} is missing");
        }
        for escaped in ["<script", "Which <b>", "http://", "https://", "src="] {
            assert!(!html.contains(escaped), "{escaped} is in the page");
        }
    }
}
