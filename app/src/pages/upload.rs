//! A form with a file in it (RFC 7578): the file to the byte, as the API takes it, with the fields beside it. Works without a script.
//! The door has looked through the body for card numbers and for where it comes from before it is read here.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use gateway::card_numbers::redact_body;
use gateway::{Problem, RawBody};
use http::{StatusCode, header};

/// The most parts of one form.
const PARTS_MAX: usize = 20;
/// The longest name of a file that is kept, in characters.
const NAME_CHARS_MAX: usize = 100;

/// A file that was sent with a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// What it was called where it came from, on one line.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// What a form sent.
#[derive(Debug, Default)]
pub struct Upload {
    fields: BTreeMap<String, String>,
    /// The file, where one was chosen.
    pub file: Option<File>,
}

impl Upload {
    /// What was typed into a field; nothing where the form has none of this name.
    pub fn take(&mut self, name: &str) -> String {
        self.fields.remove(name).unwrap_or_default()
    }

    fn put(&mut self, name: String, value: &[u8]) -> Result<(), Problem> {
        let text = std::str::from_utf8(value).map_err(|_| Problem::invalid_field(name.as_str(), "must be UTF-8"))?;
        if text.contains('\0') {
            return Err(Problem::invalid_field(name, "must not contain the NUL character"));
        }
        match self.fields.insert(name.clone(), text.to_owned()) {
            Some(_) => Err(Problem::invalid_field(name, "was given more than once")),
            None => Ok(()),
        }
    }
}

impl<S: Send + Sync> FromRequest<S> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let RawBody(body) = RawBody::from_request(request, state).await?;
        read(&kind, &body)
    }
}

/// Reads a form. One without a file may also come as browsers send those.
fn read(kind: &str, body: &[u8]) -> Result<Upload, Problem> {
    let (media, parameters) = kind.split_once(';').unwrap_or((kind, ""));
    let mut upload = Upload::default();
    match (media.trim().to_ascii_lowercase().as_str(), boundary(parameters)) {
        ("application/x-www-form-urlencoded", _) => {
            for (name, value) in form_urlencoded::parse(body) {
                upload.put(name.into_owned(), value.as_bytes())?;
            }
        }
        ("multipart/form-data", Some(boundary)) => {
            for part in parts(body, boundary).ok_or_else(broken)? {
                let name = parameter(part.head, "name").ok_or_else(broken)?;
                match parameter(part.head, "filename") {
                    None => upload.put(name, part.body)?,
                    // What a browser sends where no file was chosen.
                    Some(file) if file.is_empty() && part.body.is_empty() => {}
                    Some(_) if upload.file.is_some() => return Err(Problem::invalid_field(name, "was given more than once")),
                    Some(file) => upload.file = Some(checked(&name, &file, part.body)?),
                }
            }
        }
        _ => {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")
                .with_detail("send the form as multipart/form-data"));
        }
    }
    Ok(upload)
}

/// A file without card numbers, whatever it says of itself: the door passes over what says that it is a picture.
fn checked(field: &str, name: &str, bytes: &[u8]) -> Result<File, Problem> {
    if *redact_body("text/plain", bytes) != *bytes {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "card_number")
            .with_detail("the file holds a card number, which Tessera never takes: leave it out")
            .with_field(field, "must not hold a card number"));
    }
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let name = name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect::<String>();
    Ok(File { name: name.trim().to_owned(), bytes: bytes.to_vec() })
}

fn broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "form_broken").with_detail("the form is not complete: send it again")
}

/// What separates the parts, as the header names it.
fn boundary(parameters: &str) -> Option<&str> {
    let named = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    });
    named.filter(|boundary| (1..=70).contains(&boundary.len()))
}

struct Part<'a> {
    head: &'a str,
    body: &'a [u8],
}

/// The parts of a body; nothing where it does not end as it should.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let limit = format!("\r\n--{boundary}").into_bytes();
    let mut rest = body.strip_prefix(&limit[2..])?;
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        rest = rest.strip_prefix(b"\r\n")?;
        let (part, after) = cut(rest, &limit)?;
        let (head, body) = cut(part, b"\r\n\r\n")?;
        parts.push(Part { head: std::str::from_utf8(head).ok()?, body });
        rest = after;
        if parts.len() > PARTS_MAX {
            return None;
        }
    }
    Some(parts)
}

/// What stands before and after the first `mark`.
fn cut<'a>(text: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(mark.len()).position(|window| window == mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// A parameter of a part's `Content-Disposition`. Browsers write a quote in it as `%22`.
fn parameter(head: &str, name: &str) -> Option<String> {
    let line = head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case("content-disposition").then_some(value)
    })?;
    let (_, rest) = line.split_once(&format!("; {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("%22", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/form-data; boundary=----x";

    fn part(head: &str, body: &str) -> String {
        format!("------x\r\nContent-Disposition: form-data; {head}\r\n\r\n{body}\r\n")
    }

    #[test]
    fn a_file_comes_to_the_byte_with_the_fields_beside_it() {
        let file = part("name=\"file\"; filename=\"C:\\a\\January%22.csv\"\r\nContent-Type: text/csv", "a,b\r\n\r\n--1,2\r\n");
        let body = format!("{}{file}------x--\r\n", part("name=\"provider\"", "prv_1"));
        let mut upload = read(KIND, body.as_bytes()).unwrap();
        assert_eq!(upload.take("provider"), "prv_1");
        assert_eq!(upload.take("nothing"), "");
        let wanted = File { name: "January\".csv".to_owned(), bytes: b"a,b\r\n\r\n--1,2\r\n".to_vec() };
        assert_eq!(upload.file, Some(wanted));
        let mut plain = read("application/x-www-form-urlencoded", b"provider=prv_1&report=a%2Cb").unwrap();
        assert_eq!((plain.take("provider"), plain.take("report"), plain.file), ("prv_1".into(), "a,b".into(), None));
    }

    #[test]
    fn where_no_file_was_chosen_there_is_none() {
        let body = format!("{}------x--", part("name=\"file\"; filename=\"\"\r\nContent-Type: application/octet-stream", ""));
        assert_eq!(read(KIND, body.as_bytes()).unwrap().file, None);
    }

    #[test]
    fn what_cannot_be_a_form_is_refused() {
        let whole = format!("{}------x--", part("name=\"a\"", "1"));
        for (kind, body, status) in [
            (KIND, "", 400),
            (KIND, &whole[..whole.len() - 4], 400),
            (KIND, "------x\r\n\r\n1\r\n------x--", 400),
            (KIND, &format!("{}------x--", part("filename=\"a\"", "1")), 400),
            ("multipart/form-data", &whole, 415),
            ("text/plain", &whole, 415),
            (KIND, &format!("{}{whole}", part("name=\"a\"", "1")), 422),
            (KIND, &format!("{}------x--", part("name=\"a\"", "1\0")), 422),
        ] {
            assert_eq!(read(kind, body.as_bytes()).unwrap_err().status().as_u16(), status, "{kind} {body:?}");
        }
        let many: String = (0..30).map(|n| part(&format!("name=\"f{n}\""), "1")).collect();
        assert_eq!(read(KIND, format!("{many}------x--").as_bytes()).unwrap_err().status(), 400);
    }

    #[test]
    fn a_file_that_says_it_is_a_picture_holds_no_card_number_either() {
        let body = part("name=\"file\"; filename=\"a.webp\"\r\nContent-Type: image/webp", "RIFF1234WEBP 4242 4242 4242 4242");
        let refused = read(KIND, format!("{body}------x--").as_bytes()).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (422, "card_number"));
        let wide: Vec<u8> = "\u{feff}4242424242424242".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(checked("file", "a.csv", &wide).is_err());
        assert!(checked("file", "a.csv", b"pat_0198,1250").is_ok());
    }
}
