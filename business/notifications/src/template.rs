//! The noun: a template, the variables that it is given, and what it may do. No I/O.
//!
//! A workspace may reword a template, so a template is a stranger's program: it may test, loop and print, and nothing that
//! grows (no assignments, no joining, no repetition); its steps and its output are bounded.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde_json::{Map, json};

use crate::error::NotificationError;

/// One variable of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Whether a template makes no sense without it: the caller must give it and both parts must print it.
    pub is_required: bool,
    /// What a preview shows.
    pub sample: &'static str,
}

const fn required(name: &'static str, sample: &'static str) -> Variable {
    Variable { name, is_required: true, sample }
}

const fn optional(name: &'static str, sample: &'static str) -> Variable {
    Variable { name, is_required: false, sample }
}

/// What a person can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TemplateKey {
    /// The link that signs somebody in.
    SignInLink,
    /// An invitation to join a workspace.
    Invitation,
    /// Somebody left their details.
    LeadCaptured,
    /// The card that a visitor asked for, mailed to them.
    CardForYou,
    /// A code was scanned.
    ScanAlert,
    /// Somebody paid, and is told so.
    PaymentReceipt,
}

impl TemplateKey {
    /// Every key.
    pub const ALL: [Self; 6] =
        [Self::SignInLink, Self::Invitation, Self::LeadCaptured, Self::CardForYou, Self::ScanAlert, Self::PaymentReceipt];

    /// Its name in addresses and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SignInLink => "sign_in_link",
            Self::Invitation => "invitation",
            Self::LeadCaptured => "lead_captured",
            Self::CardForYou => "card_for_you",
            Self::ScanAlert => "scan_alert",
            Self::PaymentReceipt => "payment_receipt",
        }
    }

    /// From its name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == text)
    }

    /// Whether it holds a link that signs its reader in. Whoever could word it could have the link sent to themselves.
    pub const fn carries_a_token(self) -> bool {
        matches!(self, Self::SignInLink | Self::Invitation)
    }

    /// What it is given. Optional ones that a caller leaves out are empty texts, so that `{% if name %}` works.
    pub const fn variables(self) -> &'static [Variable] {
        const LINK: Variable = required("link", "https://tessera.example/x/3fk9");
        match self {
            Self::SignInLink => {
                const { &[LINK, optional("minutes", "15"), optional("name", "Ada"), optional("workspace_name", "Analytical Engines")] }
            }
            Self::Invitation => {
                const {
                    &[
                        LINK,
                        required("workspace_name", "Analytical Engines"),
                        optional("inviter_name", "Ada Lovelace"),
                        optional("role", "member"),
                    ]
                }
            }
            Self::LeadCaptured => {
                const {
                    &[
                        LINK,
                        required("lead_name", "Grace Hopper"),
                        optional("lead_email", "grace@example.org"),
                        optional("lead_phone", "+1 202 555 0142"),
                        optional("lead_company", "Compilers & Co."),
                        optional("lead_message", "Let us talk about the new engine."),
                        optional("card_name", "Ada Lovelace"),
                        optional("workspace_name", "Analytical Engines"),
                    ]
                }
            }
            Self::CardForYou => {
                const {
                    &[
                        LINK,
                        required("card_name", "Ada Lovelace"),
                        optional("card_title", "Analyst"),
                        optional("card_company", "Analytical Engines"),
                        optional("visitor_name", "Grace"),
                        optional("message", "It was a pleasure to meet you."),
                    ]
                }
            }
            Self::ScanAlert => {
                const {
                    &[
                        LINK,
                        required("code_name", "Stand 12, north hall"),
                        optional("scans", "3"),
                        optional("place", "Berlin"),
                        optional("device", "iPhone"),
                        optional("at", "09:30"),
                    ]
                }
            }
            Self::PaymentReceipt => {
                const {
                    &[
                        LINK,
                        required("amount", "12.50 EUR"),
                        optional("description", "A table by the window"),
                        optional("merchant", "Analytical Engines"),
                        optional("at", "3 Feb 2026, 14:05 UTC"),
                        optional("reference", "pay_019c2f4e6d7a7b1c8d3e5f60718293a4"),
                    ]
                }
            }
        }
    }

    /// Refuses variables that the template does not know, and the lack of a required one.
    pub(crate) fn check_variables(self, variables: &serde_json::Value) -> Result<(), NotificationError> {
        let given = variables.as_object().ok_or_else(|| NotificationError::field("variables", "must be a JSON object"))?;
        if variables.to_string().len() > crate::message::VARIABLES_BYTES_MAX {
            return Err(NotificationError::field("variables", "must be at most 32 KB as JSON"));
        }
        if let Some(name) = given.keys().find(|name| !self.variables().iter().any(|v| v.name == name.as_str())) {
            return Err(NotificationError::field(format!("variables.{name}"), format!("is not a variable of {self}")));
        }
        for variable in self.variables().iter().filter(|v| v.is_required) {
            if given.get(variable.name).is_none_or(|value| value.is_null() || value == "") {
                return Err(NotificationError::field(format!("variables.{}", variable.name), format!("is required by {self}")));
            }
        }
        Ok(())
    }

    /// The variables of a preview.
    pub fn sample(self) -> serde_json::Value {
        self.variables().iter().map(|v| (v.name.to_owned(), json!(v.sample))).collect::<Map<_, _>>().into()
    }

    /// The built-in wording in the nearest language that there is, and which that is.
    pub fn built_in(self, locale: &str) -> (&'static str, TemplateSource) {
        let language = language_of(locale);
        let file = |text: &'static str| TemplateSource::of_file(text);
        match (self, language) {
            (Self::SignInLink, "de") => ("de", file(include_str!("../templates/de/sign_in_link.j2"))),
            (Self::Invitation, "de") => ("de", file(include_str!("../templates/de/invitation.j2"))),
            (Self::LeadCaptured, "de") => ("de", file(include_str!("../templates/de/lead_captured.j2"))),
            (Self::CardForYou, "de") => ("de", file(include_str!("../templates/de/card_for_you.j2"))),
            (Self::ScanAlert, "de") => ("de", file(include_str!("../templates/de/scan_alert.j2"))),
            (Self::PaymentReceipt, "de") => ("de", file(include_str!("../templates/de/payment_receipt.j2"))),
            (Self::SignInLink, _) => ("en", file(include_str!("../templates/en/sign_in_link.j2"))),
            (Self::Invitation, _) => ("en", file(include_str!("../templates/en/invitation.j2"))),
            (Self::LeadCaptured, _) => ("en", file(include_str!("../templates/en/lead_captured.j2"))),
            (Self::CardForYou, _) => ("en", file(include_str!("../templates/en/card_for_you.j2"))),
            (Self::ScanAlert, _) => ("en", file(include_str!("../templates/en/scan_alert.j2"))),
            (Self::PaymentReceipt, _) => ("en", file(include_str!("../templates/en/payment_receipt.j2"))),
        }
    }
}

impl fmt::Display for TemplateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The languages that we have wordings for; a workspace rewords one of these.
pub(crate) const LANGUAGES: [&str; 2] = ["en", "de"];

/// The language of a locale among those that we have: `de-AT` is `de`, what we lack is `en`.
pub(crate) fn language_of(locale: &str) -> &'static str {
    let language = locale.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
    LANGUAGES.into_iter().find(|known| *known == language).unwrap_or("en")
}

/// The three parts of a wording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSource {
    /// One line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The inside of the HTML part; the frame around it is ours.
    pub html: String,
}

/// Bytes of each part of a wording.
const SOURCE_BYTES_MAX: usize = 32 * 1024;
/// Bytes that a part may come to.
const OUTPUT_BYTES_MAX: usize = 128 * 1024;
/// Steps that a part may take.
const FUEL: u64 = 20_000;

/// What a template came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// One line.
    pub subject: String,
    /// The plain text part.
    pub text: String,
    /// The whole HTML part.
    pub html: String,
}

const LAYOUT: &str = include_str!("../templates/layout.html");

static STRICT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|name| if name == "html" { AutoEscape::Html } else { AutoEscape::None });
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(40);
    environment.add_filter("upper", minijinja::filters::upper);
    environment.add_filter("lower", minijinja::filters::lower);
    environment.add_filter("title", minijinja::filters::title);
    environment.add_filter("trim", minijinja::filters::trim);
    environment.add_filter("length", minijinja::filters::length);
    environment
});

/// Stops a render whose output grows too long.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        if self.0.len() + part.len() > OUTPUT_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TemplateSource {
    /// Reads a built-in file: `=== text` and `=== html` divide subject, text and HTML.
    fn of_file(file: &str) -> Self {
        let (subject, rest) = file.split_once("\n=== text\n").unwrap_or((file, ""));
        let (text, html) = rest.split_once("\n=== html\n").unwrap_or((rest, ""));
        Self { subject: subject.trim().to_owned(), text: text.to_owned(), html: html.to_owned() }
    }

    fn parts(&self) -> [(&'static str, &str); 3] {
        [("subject", &self.subject), ("text", &self.text), ("html", &self.html)]
    }

    /// Refuses a wording that would fail, or say nothing, when somebody waits for the mail.
    pub fn check(&self, key: TemplateKey) -> Result<(), NotificationError> {
        for (part, source) in self.parts() {
            if source.trim().is_empty() || source.len() > SOURCE_BYTES_MAX {
                return Err(NotificationError::field(part, "must be 1 to 32768 bytes"));
            }
            check_tags(source).map_err(|message| NotificationError::field(part, message))?;
            let template = STRICT.template_from_named_str(part, source).map_err(|e| refused(part, &e))?;
            let used: BTreeSet<String> = template.undeclared_variables(false).into_iter().collect();
            if let Some(unknown) = used.iter().find(|name| !key.variables().iter().any(|v| v.name == name.as_str())) {
                let known: Vec<_> = key.variables().iter().map(|v| v.name).collect();
                return Err(NotificationError::field(part, format!("uses the unknown variable {unknown}; there are {}", known.join(", "))));
            }
            let missing = key.variables().iter().find(|v| v.is_required && !used.contains(v.name));
            if let (Some(missing), true) = (missing, part != "subject") {
                return Err(NotificationError::field(part, format!("lacks the required variable {}", missing.name)));
            }
        }
        if self.subject.contains(['\r', '\n']) {
            return Err(NotificationError::field("subject", "must be one line"));
        }
        let bare: Map<String, serde_json::Value> =
            key.variables().iter().filter(|v| v.is_required).map(|v| (v.name.to_owned(), json!(v.sample))).collect();
        for variables in [key.sample(), bare.into()] {
            let rendered = self.render(key, "en", &variables)?;
            for variable in key.variables().iter().filter(|v| v.is_required) {
                // A required variable inside a test that is false is as good as none.
                if !rendered.text.contains(variable.sample) {
                    return Err(NotificationError::field("text", format!("does not print the required variable {}", variable.name)));
                }
            }
        }
        Ok(())
    }

    /// The wording with its variables.
    pub fn render(&self, key: TemplateKey, locale: &str, variables: &serde_json::Value) -> Result<Rendered, NotificationError> {
        let mut context = Map::new();
        for variable in key.variables() {
            let given = variables.get(variable.name).filter(|value| !value.is_null());
            context.insert(variable.name.to_owned(), given.cloned().unwrap_or_else(|| json!("")));
        }
        let context = Value::from(Serde(&context));
        let part = |name: &'static str, source: &str| -> Result<String, NotificationError> {
            let template = STRICT.template_from_named_str(name, source).map_err(|e| refused(name, &e))?;
            let mut out = Bounded(Vec::new());
            template.render_captured_to(context.clone(), &mut out).map_err(|e| refused(name, &e))?;
            String::from_utf8(out.0).map_err(|_| NotificationError::field(name, "is not text"))
        };
        let subject = one_line(&part("subject", &self.subject)?);
        let text = part("text", &self.text)?;
        let content = part("html", &self.html)?;
        let frame = minijinja::context! {
            language => language_of(locale), title => subject.as_str(), content => Value::from_safe_string(content),
        };
        let html = STRICT.render_named_str("html", LAYOUT, frame).map_err(|e| refused("html", &e))?;
        Ok(Rendered { subject, text, html })
    }
}

fn refused(part: &'static str, error: &minijinja::Error) -> NotificationError {
    let place = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    NotificationError::field(part, format!("cannot be rendered{place}: {}{detail}", error.kind()))
}

/// A subject is one line, whatever its variables hold, and short enough to read.
fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(|c| !c.is_control());
    line.chars().take(200).collect()
}

/// Refuses every tag but tests and loops, and every operator by which a text could grow: `~`, `*` and `+`. Whatever is left
/// prints at most (steps x longest variable), which the bound on the output cuts.
fn check_tags(source: &str) -> Result<(), String> {
    let bytes = source.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        let close: &[u8] = match &bytes[at..at + 2] {
            b"{{" => b"}}",
            b"{%" => b"%}",
            b"{#" => {
                let end = source[at..].find("#}").ok_or("has a comment without an end")?;
                at += end + 2;
                continue;
            }
            _ => {
                at += 1;
                continue;
            }
        };
        let start = at + 2;
        let mut end = start;
        let mut quote = None;
        loop {
            let byte = *bytes.get(end).ok_or("has a tag without an end")?;
            match (quote, byte) {
                (Some(_), b'\\') => end += 1,
                (Some(open), _) if byte == open => quote = None,
                (Some(_), _) => {}
                (None, b'"' | b'\'') => quote = Some(byte),
                (None, _) if bytes[end..].starts_with(close) => break,
                (None, b'~' | b'*') => return Err(format!("must not use {}", char::from(byte))),
                (None, b'+') if end > start => return Err("must not use +".to_owned()),
                (None, _) => {}
            }
            end += 1;
        }
        if close == b"%}" {
            let inside = source[start..end].trim_matches(|c: char| c.is_whitespace() || c == '-' || c == '+');
            let word = inside.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            if !matches!(word, "if" | "elif" | "else" | "endif" | "for" | "endfor") || inside.contains("recursive") {
                return Err(format!("must use only if and for, not {word}"));
            }
        }
        at = end + 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(subject: &str, text: &str, html: &str) -> TemplateSource {
        TemplateSource { subject: subject.into(), text: text.into(), html: html.into() }
    }

    #[test]
    fn every_built_in_wording_passes_the_check_in_every_language() {
        for key in TemplateKey::ALL {
            for language in LANGUAGES {
                let (found, wording) = key.built_in(language);
                assert_eq!(found, language);
                wording.check(key).unwrap_or_else(|e| panic!("{key} in {language}: {e}"));
                let rendered = wording.render(key, language, &key.sample()).unwrap();
                assert!(rendered.html.contains(&format!("<html lang=\"{language}\"")) && rendered.html.contains("color-scheme"));
                assert!(rendered.html.len() < 20_000 && !rendered.html.contains("{{"));
            }
        }
        assert_eq!(TemplateKey::SignInLink.built_in("de-AT").0, "de");
        assert_eq!(TemplateKey::SignInLink.built_in("fr").0, "en");
    }

    #[test]
    fn a_wording_with_an_unknown_variable_or_without_a_required_one_is_refused() {
        let key = TemplateKey::SignInLink;
        let refusal = |s: TemplateSource| s.check(key).unwrap_err().to_string();
        assert!(source("Hi {{ name }}", "{{ link }}", "<a href='{{ link }}'>go</a>").check(key).is_ok());
        assert!(refusal(source("Hi {{ nmae }}", "{{ link }}", "{{ link }}")).contains("unknown variable nmae"));
        assert!(refusal(source("Hi", "no way in", "{{ link }}")).contains("lacks the required variable link"));
        assert!(refusal(source("Hi", "{{ link }}", "no way in")).contains("lacks the required variable link"));
        assert!(refusal(source("Hi", "{% if name %}{{ link }}{% endif %}", "{{ link }}")).contains("does not print"));
        assert!(refusal(source("Hi", "{{ link", "{{ link }}")).contains("text"));
        assert!(refusal(source("Hi", "{{ link | nonsense }}", "{{ link }}")).contains("text"));
        assert!(refusal(source("two\nlines", "{{ link }}", "{{ link }}")).contains("one line"));
    }

    #[test]
    fn a_wording_cannot_grow_loop_for_ever_or_load_others() {
        let key = TemplateKey::SignInLink;
        for bad in [
            "{{ link }}{% set x = link ~ link %}",
            "{{ link }}{% set x %}{{ link }}{% endset %}",
            "{{ link }}{{ link * 1000000 }}",
            "{{ link }}{{ \"}}\" ~ link }}",
            "{{ link }}{{ link + link }}",
            "{{ link }}{%- with x = link %}{% endwith %}",
            "{{ link }}{% include 'x' %}",
            "{{ link }}{% raw %}{% endraw %}",
            "{{ link }}{% macro m() %}{% endmacro %}",
            "{{ link }}{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "{{ link|safe }}",
            "{{ link }}{{ range(9) }}",
        ] {
            assert!(source("Hi", bad, "{{ link }}").check(key).is_err(), "{bad}");
            assert!(source("Hi", "{{ link }}", bad).check(key).is_err(), "{bad}");
        }
        let ten = "{% for a in [1,2,3,4,5,6,7,8,9,0] %}";
        let bomb = format!("{{{{ link }}}}{}x{}", ten.repeat(9), "{% endfor %}".repeat(9));
        assert!(source("Hi", &bomb, "{{ link }}").check(key).is_err());
        assert!(source("{{ name|upper }} + more * ~", "{{ link }}", "{# + #}{{ link }}").check(key).is_ok());
    }

    #[test]
    fn html_is_escaped_text_is_not_and_a_subject_stays_one_line() {
        let key = TemplateKey::LeadCaptured;
        let variables = json!({"lead_name": "<b>Bobby</b>\r\nBcc: x@y.z", "link": "https://example.org/?a=1&b=2"});
        let rendered = key.built_in("en").1.render(key, "en", &variables).unwrap();
        assert!(!rendered.html.contains("<b>Bobby") && rendered.html.contains("&lt;b&gt;Bobby"));
        assert!(rendered.text.contains("<b>Bobby") && rendered.text.contains("?a=1&b=2"));
        assert!(!rendered.subject.contains(['\r', '\n']));
    }

    #[test]
    fn a_caller_gives_what_is_required_and_nothing_unknown() {
        let key = TemplateKey::Invitation;
        assert!(key.check_variables(&json!({"link": "l", "workspace_name": "w"})).is_ok());
        assert!(key.check_variables(&json!({"link": "l"})).is_err());
        assert!(key.check_variables(&json!({"link": "", "workspace_name": "w"})).is_err());
        assert!(key.check_variables(&json!({"link": "l", "workspace_name": "w", "lnik": "x"})).is_err());
        assert!(key.check_variables(&json!("text")).is_err());
    }
}
