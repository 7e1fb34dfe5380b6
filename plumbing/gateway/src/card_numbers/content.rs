//! Bodies: what each kind of body means, field by field, to be looked through or to be redacted.

use std::borrow::Cow;

use super::encoded::{holds, may_hold, percent_decoded, percent_encoded, unescaped};
use super::issuers::is_card;
use super::json::{Kind, Token, Tokens, whole_digits};
use super::{REMOVED, redact, redact_bytes};

/// What a body is, by what it says of itself and how it begins.
enum Content<'a> {
    /// A picture that says so and is one; it is decoded and written anew before anybody sees it.
    Picture,
    /// JSON, and whether it said so.
    Json(bool),
    Form,
    Parts(Cow<'a, str>),
    Text,
}

fn content<'a>(content_type: &'a str, body: &[u8]) -> Content<'a> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let is_picture = body.starts_with(b"\xFF\xD8\xFF")
        || body.starts_with(b"\x89PNG\r\n\x1A\n")
        || body.starts_with(b"RIFF") && body.get(8..12) == Some(b"WEBP");
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    match (kind.as_str(), boundary) {
        (image, _) if image.starts_with("image/") && is_picture => Content::Picture,
        ("application/x-www-form-urlencoded", _) => Content::Form,
        ("multipart/form-data" | "multipart/mixed", Some(boundary)) if !boundary.is_empty() => Content::Parts(Cow::Borrowed(boundary)),
        (json, _) if json == "application/json" || json.ends_with("+json") => Content::Json(true),
        _ if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) => Content::Json(false),
        _ => Content::Text,
    }
}

/// Calls `on` with the name of every field that holds a card number and with its value, until it answers false.
pub(super) fn each_hit(content_type: &str, body: &[u8], on: &mut dyn FnMut(String, &[u8]) -> bool) {
    if !may_hold(body) {
        return;
    }
    match content(content_type, body) {
        Content::Picture => {}
        Content::Json(is_said) => {
            // What is JSON only by the looks may be anything.
            if json_hits(body, on) && !is_said {
                text_hits("body", body, on);
            }
        }
        Content::Form => {
            pair_hits(body, on);
        }
        Content::Parts(boundary) => {
            part_hits(body, &boundary, on);
        }
        Content::Text => {
            text_hits("body", &as_utf8(body), on);
        }
    }
}

fn json_hits(body: &[u8], on: &mut dyn FnMut(String, &[u8]) -> bool) -> bool {
    let mut tokens = Tokens::of(body);
    while let Some(token) = tokens.next() {
        let raw = &body[token.at.clone()];
        let is_hit = is_card_token(body, &token);
        if is_hit && !on(tokens.path(token.kind), &unescaped(raw).map_or(Cow::Borrowed(raw), Cow::Owned)) {
            return false;
        }
    }
    true
}

fn is_card_token(body: &[u8], token: &Token) -> bool {
    let raw = &body[token.at.clone()];
    match token.kind {
        Kind::Number => raw.len() >= super::issuers::DIGITS_MIN && is_card(&whole_digits(raw)),
        Kind::Name | Kind::Text => holds(raw),
    }
}

/// The pairs of a form or a query.
pub(super) fn pair_hits(pairs: &[u8], on: &mut dyn FnMut(String, &[u8]) -> bool) -> bool {
    for pair in pairs.split(|byte| *byte == b'&') {
        if !may_hold(pair) {
            continue;
        }
        let (name, value) = pair_parts(pair);
        let is_name = holds(&name);
        let field = if is_name { REMOVED.to_owned() } else { redact(&String::from_utf8_lossy(&name)).into_owned() };
        if (is_name || holds(&value)) && !on(field, if is_name { &name } else { &value }) {
            return false;
        }
    }
    true
}

fn pair_parts(pair: &[u8]) -> (Cow<'_, [u8]>, Cow<'_, [u8]>) {
    let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &[][..]),
    };
    let decoded = |text| percent_decoded(text, true).map_or(Cow::Borrowed(text), Cow::Owned);
    (decoded(name), decoded(value))
}

/// The parts of a form with files (RFC 7578). A picture among them is passed over, as a body of its own would be.
fn part_hits(body: &[u8], boundary: &str, on: &mut dyn FnMut(String, &[u8]) -> bool) -> bool {
    let limit = format!("--{boundary}");
    let mut rest = body;
    while !rest.is_empty() {
        let end = position(rest, limit.as_bytes()).unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after.get(limit.len()..).unwrap_or_default();
        let (head, text) = match position(part, b"\r\n\r\n") {
            Some(at) => (&part[..at], &part[at + 4..]),
            None => (part, &[][..]),
        };
        let head_text = String::from_utf8_lossy(head).into_owned();
        let line = |name: &str| {
            head_text
                .lines()
                .find_map(|line| line.split_once(':').filter(|(key, _)| key.trim().eq_ignore_ascii_case(name)))
                .map(|(_, value)| value)
        };
        let name = line("content-disposition")
            .and_then(|value| value.split(';').find_map(|parameter| parameter.trim().strip_prefix("name=")))
            .unwrap_or("body")
            .trim_matches('"');
        let kind = line("content-type").unwrap_or_default();
        if holds(head) && !on(if holds(name.as_bytes()) { REMOVED.to_owned() } else { redact(name).into_owned() }, head) {
            return false;
        }
        if !matches!(content(kind, text), Content::Picture) && !text_hits(name, text, on) {
            return false;
        }
    }
    true
}

fn position(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn text_hits(field: &str, text: &[u8], on: &mut dyn FnMut(String, &[u8]) -> bool) -> bool {
    let has_lines = text.trim_ascii_end().contains(&b'\n');
    for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let named = || if has_lines { format!("{field}, line {}", index + 1) } else { field.to_owned() };
        if holds(line) && !on(redact(&named()).into_owned(), line) {
            return false;
        }
    }
    true
}

/// Spreadsheets write tables in UTF-16, with a mark in front.
fn as_utf8(body: &[u8]) -> Cow<'_, [u8]> {
    let read: fn([u8; 2]) -> u16 = match body {
        [0xFF, 0xFE, ..] => u16::from_le_bytes,
        [0xFE, 0xFF, ..] => u16::from_be_bytes,
        _ => return Cow::Borrowed(body),
    };
    let letters = body.chunks_exact(2).map(|pair| read([pair[0], pair[1]]));
    Cow::Owned(char::decode_utf16(letters).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes())
}

/// A body with [`REMOVED`] in place of every card number, escapes undone where they hid one, for what must be stored and may
/// not be refused: webhooks, provider reports. Of JSON and forms the other fields keep their meaning. A body without one
/// comes back as it is, to the byte. Check signatures over the bytes as they came.
pub fn redact_body<'a>(content_type: &str, body: &'a [u8]) -> Cow<'a, [u8]> {
    if !may_hold(body) {
        return Cow::Borrowed(body);
    }
    match content(content_type, body) {
        Content::Picture => Cow::Borrowed(body),
        Content::Json(_) if serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() => redact_json(body),
        Content::Form => redact_pairs(body),
        // What is none of both is text, whatever it says of itself.
        Content::Json(_) | Content::Parts(_) | Content::Text => match as_utf8(body) {
            Cow::Borrowed(body) => redact_lines(body),
            Cow::Owned(text) => match redact_lines(&text) {
                Cow::Borrowed(_) => Cow::Borrowed(body),
                Cow::Owned(redacted) => Cow::Owned(redacted),
            },
        },
    }
}

/// The text without card numbers; where an escape hides one, nothing of the text.
fn redact_value(text: &[u8]) -> Vec<u8> {
    let redacted = redact_bytes(text);
    if holds(&redacted) { REMOVED.as_bytes().to_vec() } else { redacted.into_owned() }
}

fn redact_json(body: &[u8]) -> Cow<'_, [u8]> {
    let (mut out, mut done) = (Vec::new(), 0);
    for token in Tokens::of(body).filter(|token| is_card_token(body, token)) {
        let raw = &body[token.at.clone()];
        out.extend_from_slice(&body[done..token.at.start]);
        done = token.at.end;
        if token.kind == Kind::Number {
            // A sign before it belongs to the number.
            if out.last() == Some(&b'-') {
                out.pop();
            }
            out.extend_from_slice(format!("\"{REMOVED}\"").as_bytes());
        } else {
            let redacted = redact_value(&unescaped(raw).unwrap_or_else(|| raw.to_vec()));
            let quoted = serde_json::to_string(&String::from_utf8_lossy(&redacted)).unwrap_or_default();
            out.extend_from_slice(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or(REMOVED).as_bytes());
        }
    }
    if done == 0 {
        return Cow::Borrowed(body);
    }
    out.extend_from_slice(&body[done..]);
    Cow::Owned(out)
}

fn redact_pairs(body: &[u8]) -> Cow<'_, [u8]> {
    let mut is_changed = false;
    let pairs: Vec<Vec<u8>> = body
        .split(|byte| *byte == b'&')
        .map(|pair| {
            let (name, value) = pair_parts(pair);
            if !holds(&name) && !holds(&value) {
                return pair.to_vec();
            }
            is_changed = true;
            [percent_encoded(&redact_value(&name)), percent_encoded(&redact_value(&value))].join(&b'=')
        })
        .collect();
    if is_changed { Cow::Owned(pairs.join(&b'&')) } else { Cow::Borrowed(body) }
}

fn redact_lines(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.split(|byte| *byte == b'\n').any(holds) {
        return Cow::Borrowed(text);
    }
    let lines: Vec<Vec<u8>> =
        text.split(|byte| *byte == b'\n').map(|line| if holds(line) { redact_value(line) } else { line.to_vec() }).collect();
    Cow::Owned(lines.join(&b'\n'))
}
