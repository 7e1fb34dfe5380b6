//! The form that a visitor fills: its fields, its signed token and the guard against programs. Pure, and without a third
//! party: a field that people do not see, a token that costs a moment to fill and works once, and a look at the links.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use kernel::{Entropy, FieldFault, Id, Timestamp, WorkspaceId};
use sha2::{Digest, Sha256};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::contact::{Email, Phone};
use crate::lead::{NewLead, Source};
use crate::text;

/// The field with the token.
pub const TOKEN_FIELD: &str = "form_token";
/// The field that people do not see. Its name is none that a browser fills by itself.
pub const TRAP_FIELD: &str = "subject_line";
/// The box that gives consent.
pub const CONSENT_FIELD: &str = "consent";
/// A person needs at least this long to fill the form.
pub const FILL_TIME_MIN: Duration = Duration::from_millis(1_500);
/// A form that lies open for longer is shown anew.
pub const FORM_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest name and company, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// Longest message, in characters.
pub const MESSAGE_CHARS_MAX: usize = 2_000;

const TOKEN_BYTES: usize = 45;
const SIGNED_BYTES: usize = 29;
const FORMAT: u8 = 1;

/// The key that signs form tokens.
#[derive(Clone)]
pub struct FormKey([u8; 32]);

impl FormKey {
    /// Derived from the installation's secret, so that no other use of that secret can make a token.
    pub fn derived_from(secret: &[u8]) -> Self {
        Self(keyed(secret).chain_update(b"tessera leads form token").finalize().into_bytes().into())
    }

    /// A token for one rendering of the form of `source`, whose page shows the consent text `consent_version`: 60
    /// characters of base64url. It holds the format, the time in milliseconds, the version and a nonce, and is bound to the
    /// workspace and the source.
    pub fn issue(&self, workspace: WorkspaceId, source: &Source, consent_version: i64, now: Timestamp, entropy: &Entropy) -> String {
        let mut token = [0_u8; TOKEN_BYTES];
        token[0] = FORMAT;
        token[1..9].copy_from_slice(&now.as_millis().to_be_bytes());
        token[9..13].copy_from_slice(&u32::try_from(consent_version).unwrap_or(0).to_be_bytes());
        entropy.fill(&mut token[13..SIGNED_BYTES]);
        let mac = self.mac(workspace, source, &token[..SIGNED_BYTES]).finalize().into_bytes();
        token[SIGNED_BYTES..].copy_from_slice(&mac[..TOKEN_BYTES - SIGNED_BYTES]);
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Proves that `token` was issued here for this workspace and source, long enough and not too long ago. That it is
    /// used once is seen to by `capture`.
    pub fn check(&self, workspace: WorkspaceId, source: &Source, token: &str, now: Timestamp) -> Result<FormProof, FormError> {
        let bytes = URL_SAFE_NO_PAD.decode(token.trim()).map_err(|_| FormError::Forged)?;
        let (signed, mac) = bytes.split_at_checked(SIGNED_BYTES).ok_or(FormError::Forged)?;
        if bytes.len() != TOKEN_BYTES || signed[0] != FORMAT {
            return Err(FormError::Forged);
        }
        // Compares in constant time.
        self.mac(workspace, source, signed).verify_truncated_left(mac).map_err(|_| FormError::Forged)?;
        let number = |range: std::ops::Range<usize>| signed[range].iter().fold(0_i64, |n, byte| (n << 8) | i64::from(*byte));
        let issued_at = Timestamp::from_millis(number(1..9));
        match now.since(issued_at) {
            age if age > FORM_AGE_MAX => Err(FormError::Expired),
            age if age < FILL_TIME_MIN => Err(FormError::TooFast),
            _ => Ok(FormProof {
                workspace,
                source: source.clone(),
                consent_version: number(9..13),
                nonce: signed[13..SIGNED_BYTES].iter().map(|b| format!("{b:02x}")).collect(),
                issued_at,
            }),
        }
    }

    fn mac(&self, workspace: WorkspaceId, source: &Source, signed: &[u8]) -> Hmac<Sha256> {
        // The kind's length keeps `ab` + `c` and `a` + `bc` apart; the code is left out, because the same page is opened with and without.
        let kind_length = u32::try_from(source.kind.len()).unwrap_or(u32::MAX);
        keyed(&self.0)
            .chain_update(workspace.raw().bits().to_be_bytes())
            .chain_update(kind_length.to_be_bytes())
            .chain_update(source.kind.as_bytes())
            .chain_update(signed)
            .chain_update(source.id.as_bytes())
    }
}

fn keyed(secret: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104)")]
    Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length")
}

/// That a form was issued here and filled by hand: made only by [`FormKey::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormProof {
    pub(crate) workspace: WorkspaceId,
    pub(crate) source: Source,
    pub(crate) consent_version: i64,
    pub(crate) nonce: String,
    pub(crate) issued_at: Timestamp,
}

impl FormProof {
    /// Which consent text the form showed.
    pub fn consent_version(&self) -> i64 {
        self.consent_version
    }

    /// When the form was rendered.
    pub fn issued_at(&self) -> Timestamp {
        self.issued_at
    }
}

/// Why a form is not taken. The page shows it again with what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Not a token of ours, or one of another page.
    #[error("the form is not one of ours: open the page again and send it from there")]
    Forged,
    /// Older than a day.
    #[error("the form was open for too long: send it once more")]
    Expired,
    /// Filled faster than a person can.
    #[error("the form came back too fast: wait a second and send it once more")]
    TooFast,
    /// Sent already, with other words.
    #[error("this form was sent already: open the page again to send something else")]
    SentAlready,
}

/// A form as it came in: the details and the token to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// The details.
    pub details: NewLead,
    /// The token, not yet checked.
    pub token: String,
}

/// Reads the fields of a form (`name email phone company message consent subject_line form_token`), as they come from a
/// page without script. Fields that it does not know are a browser's business and are left alone; one given twice is not.
pub fn parse_form<K: AsRef<str>, V: AsRef<str>>(fields: impl IntoIterator<Item = (K, V)>) -> Result<Form, Vec<FieldFault>> {
    let mut faults = Vec::new();
    let mut seen: Vec<(String, String)> = Vec::new();
    for (name, value) in fields {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !KNOWN.contains(&name) {
            continue;
        }
        if seen.iter().any(|(known, _)| known == name) {
            faults.push(FieldFault::new(name, "must be given once"));
            continue;
        }
        seen.push((name.to_owned(), value.to_owned()));
    }
    let field = |name: &str| seen.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str());
    if !matches!(field(CONSENT_FIELD), "on" | "true" | "1" | "yes") {
        faults.push(FieldFault::new(CONSENT_FIELD, "must be ticked, because the details may not be kept without it"));
    }
    let trapped = !field(TRAP_FIELD).trim().is_empty();
    let details = parse_details(field("name"), field("email"), field("phone"), field("company"), field("message"), &mut faults);
    let token = field(TOKEN_FIELD).to_owned();
    if token.is_empty() {
        faults.push(FieldFault::new(TOKEN_FIELD, "must be the token of the form: open the page again"));
    }
    match details {
        Some(details) if faults.is_empty() => Ok(Form { details: NewLead { trapped, ..details }, token }),
        _ => Err(faults),
    }
}

/// Reads the same fields from a JSON object of texts (`consent` may be a boolean), as a page with script sends them.
pub fn parse_form_json(body: &[u8]) -> Result<Form, Vec<FieldFault>> {
    let fields = serde_json::from_slice::<JsonFields>(body)
        .map_err(|error| vec![FieldFault::new("", format!("must be a JSON object of texts: {error}"))])?;
    if let Some((unknown, _)) = fields.0.iter().find(|(name, _)| !KNOWN.contains(&name.as_str())) {
        return Err(vec![FieldFault::new(unknown.chars().take(100).collect::<String>(), "is not a field of this form")]);
    }
    parse_form(fields.0)
}

const KNOWN: [&str; 8] = ["name", "email", "phone", "company", "message", CONSENT_FIELD, TRAP_FIELD, TOKEN_FIELD];

/// Checks the details themselves; `None` when a fault was added.
pub fn parse_details(name: &str, email: &str, phone: &str, company: &str, message: &str, faults: &mut Vec<FieldFault>) -> Option<NewLead> {
    let before = faults.len();
    let mut keep = |field: &str, result: Result<String, String>| {
        result.map_err(|fault| faults.push(FieldFault::new(field, fault))).unwrap_or_default()
    };
    let name = keep("name", text::line(name, 1, NAME_CHARS_MAX));
    let company = keep("company", text::line(company, 0, NAME_CHARS_MAX));
    let message = keep("message", text::paragraphs(message, 0, MESSAGE_CHARS_MAX));
    let email = given(email).map(Email::parse).transpose().map_err(|fault| faults.push(FieldFault::new("email", fault.to_string())));
    let phone = given(phone).map(Phone::parse).transpose().map_err(|fault| faults.push(FieldFault::new("phone", fault.to_string())));
    if let (Ok(None), Ok(None)) = (&email, &phone) {
        faults.push(FieldFault::new("email", "must be given, or a telephone number, so that somebody can answer"));
    }
    let (Ok(email), Ok(phone)) = (email, phone) else { return None };
    let some = |text: String| (!text.is_empty()).then_some(text);
    (faults.len() == before).then_some(NewLead { name, email, phone, company: some(company), message: some(message), trapped: false })
}

fn given(text: &str) -> Option<&str> {
    let text = text.trim();
    (!text.is_empty()).then_some(text)
}

/// The pairs of a JSON object in their order, so that a field given twice is seen.
struct JsonFields(Vec<(String, String)>);

impl<'de> serde::Deserialize<'de> for JsonFields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = JsonFields;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<JsonFields, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, JsonText>()? {
                    if pairs.len() == 32 {
                        return Err(serde::de::Error::custom("too many fields"));
                    }
                    pairs.push((name, value.0));
                }
                Ok(JsonFields(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

struct JsonText(String);

impl<'de> serde::Deserialize<'de> for JsonText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(untagged)]
        enum Either {
            Text(String),
            Bool(bool),
            Null(()),
        }
        Ok(Self(match Either::deserialize(deserializer).map_err(|_| serde::de::Error::custom("each field must be a text"))? {
            Either::Text(text) => text,
            Either::Bool(bool) => bool.to_string(),
            Either::Null(()) => String::new(),
        }))
    }
}

/// What makes a submission look like the work of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// The hidden field was filled.
    Trapped,
    /// The name or the company holds a link.
    LinkInName,
    /// The message holds more links than a person writes.
    ManyLinks,
    /// The message holds the markup of a forum or a page.
    Markup,
}

impl Suspicion {
    /// Its word in a lead's history.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trapped => "trapped",
            Self::LinkInName => "link_in_name",
            Self::ManyLinks => "many_links",
            Self::Markup => "markup",
        }
    }
}

/// Looks at a submission for signs of a program. A suspect is kept and flagged, never dropped, because a person may look like one.
pub fn suspect(new: &NewLead) -> Option<Suspicion> {
    let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
    let (message, company) = (lower(&new.message), lower(&new.company));
    if new.trapped {
        Some(Suspicion::Trapped)
    } else if links(&new.name.to_lowercase()) > 0 || links(&company) > 1 {
        // One link in the company is how many write their web address.
        Some(Suspicion::LinkInName)
    } else if ["[url=", "[/url]", "<a href", "[link="].iter().any(|markup| message.contains(markup)) {
        Some(Suspicion::Markup)
    } else if links(&message) > 2 {
        Some(Suspicion::ManyLinks)
    } else {
        None
    }
}

/// How many links a text holds: `scheme://`, or `www.` without a scheme before it.
fn links(text: &str) -> usize {
    let bare = text.match_indices("www.").filter(|(at, _)| !text[..*at].ends_with("://")).count();
    text.matches("http://").count() + text.matches("https://").count() + bare
}

/// What tells a repetition from another submission with the same token.
pub(crate) fn fingerprint(new: &NewLead) -> String {
    let mut digest = Sha256::new();
    let parts = [
        Some(new.name.as_str()),
        new.email.as_ref().map(Email::as_str),
        new.phone.as_ref().map(Phone::as_str),
        new.company.as_deref(),
        new.message.as_deref(),
        Some(if new.trapped { "trapped" } else { "" }),
    ];
    for part in parts {
        let part = part.unwrap_or_default();
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::RawId;

    fn workspace(number: u128) -> WorkspaceId {
        WorkspaceId::from_raw(RawId::from_bits(number))
    }

    fn good() -> Vec<(&'static str, &'static str)> {
        vec![
            ("name", " Ada  Lovelace "),
            ("email", "Ada@Example.com"),
            ("phone", "+44 20 7946 0000"),
            ("company", ""),
            ("message", "Hello\r\nthere"),
            ("consent", "on"),
            ("form_token", "t"),
            ("send", "Send"),
        ]
    }

    fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
        let mut fields = good();
        fields.retain(|(known, _)| *known != name);
        fields.push((name, value));
        fields
    }

    fn refused(fields: Vec<(&str, &str)>) -> Vec<String> {
        parse_form(fields).unwrap_err().into_iter().map(|fault| fault.field).collect()
    }

    #[test]
    fn a_form_is_read_and_normalised() {
        let form = parse_form(good()).unwrap();
        assert_eq!(form.details.name, "Ada Lovelace");
        assert_eq!(form.details.email.unwrap().as_str(), "ada@example.com");
        assert_eq!(form.details.phone.unwrap().as_str(), "+442079460000");
        assert_eq!(form.details.company, None);
        assert_eq!(form.details.message.as_deref(), Some("Hello\nthere"));
        assert!(!form.details.trapped);
        assert!(parse_form(with("subject_line", "buy")).unwrap().details.trapped);
    }

    #[test]
    fn each_fault_names_its_field() {
        assert_eq!(refused(with("name", " ")), ["name"]);
        assert_eq!(refused(with("email", "ada")), ["email"]);
        assert_eq!(refused(with("phone", "call me")), ["phone"]);
        assert_eq!(refused(with("message", "a\u{0}")), ["message"]);
        assert_eq!(refused(with("consent", "")), ["consent"]);
        assert_eq!(refused(with("form_token", "")), ["form_token"]);
        assert_eq!(refused([good(), vec![("email", "b@c.de")]].concat()), ["email"]);
        assert_eq!(refused(vec![("name", "Ada"), ("consent", "on"), ("form_token", "t")]), ["email"]);
        assert_eq!(refused(vec![]), ["consent", "name", "email", "form_token"]);
    }

    #[test]
    fn json_is_read_like_a_form_but_knows_its_fields() {
        let body = br#"{"name":"Ada Lovelace","email":"ada@example.com","phone":"+442079460000","company":null,"message":"Hello\nthere","consent":true,"form_token":"t"}"#;
        assert_eq!(parse_form_json(body).unwrap(), parse_form(good()).unwrap());
        let field = |body: &str| parse_form_json(body.as_bytes()).unwrap_err()[0].field.clone();
        assert_eq!(field(r#"{"name":"Ada","nickname":"A"}"#), "nickname");
        assert_eq!(field(r#"{"name":"Ada","name":"Bob"}"#), "name");
        for broken in ["", "[]", "1", "{", r#"{"name":1}"#, r#"{"name":{"a":1}}"#, "{\"name\":\"\u{1}\"}"] {
            assert_eq!(field(broken), "", "{broken}");
        }
    }

    #[test]
    fn a_token_works_for_its_page_within_its_time() {
        let key = FormKey::derived_from(b"secret");
        let (source, issued) = (Source::new("card", "card_1"), Timestamp::from_seconds(1_000_000));
        let entropy = Entropy::seeded(1);
        let token = key.issue(workspace(1), &source, 3, issued, &entropy);
        assert_eq!(token.len(), 60);
        let check = |millis: u64| key.check(workspace(1), &source, &token, issued.plus(Duration::from_millis(millis)));
        assert_eq!(check(0), Err(FormError::TooFast));
        assert_eq!(check(1_499), Err(FormError::TooFast));
        let proof = check(1_500).unwrap();
        assert_eq!((proof.consent_version(), proof.issued_at()), (3, issued));
        assert!(check(86_400_000).is_ok());
        assert_eq!(check(86_400_001), Err(FormError::Expired));
        let now = issued.plus(Duration::from_secs(5));
        let by_code = source.clone().by_code("ABC");
        assert!(key.check(workspace(1), &by_code, &token, now).is_ok(), "the same page opened by its code");
        assert_eq!(key.check(workspace(2), &source, &token, now), Err(FormError::Forged));
        assert_eq!(key.check(workspace(1), &Source::new("card", "card_2"), &token, now), Err(FormError::Forged));
        assert_eq!(FormKey::derived_from(b"other").check(workspace(1), &source, &token, now), Err(FormError::Forged));
        assert_ne!(key.issue(workspace(1), &source, 3, issued, &entropy), token, "each rendering has its own");
    }

    #[test]
    fn a_token_with_any_character_changed_is_forged() {
        let key = FormKey::derived_from(b"secret");
        let (source, issued) = (Source::new("card", "card_1"), Timestamp::from_seconds(1_000_000));
        let token = key.issue(workspace(1), &source, 0, issued, &Entropy::seeded(1));
        let now = issued.plus(Duration::from_secs(5));
        for at in 0..token.len() {
            let other = if &token[at..=at] == "A" { "B" } else { "A" };
            let forged = format!("{}{other}{}", &token[..at], &token[at + 1..]);
            assert_eq!(key.check(workspace(1), &source, &forged, now), Err(FormError::Forged), "{at}");
        }
        for forged in ["", "A", &token[..59], &format!("{token}AAAA"), "ü", &"A".repeat(100_000)] {
            assert_eq!(key.check(workspace(1), &source, forged, now), Err(FormError::Forged));
        }
    }

    #[test]
    fn programs_are_suspected_and_people_are_not() {
        let plain = parse_form(good()).unwrap().details;
        let says = |message: &str| suspect(&NewLead { message: Some(message.to_owned()), ..plain.clone() });
        assert_eq!(suspect(&plain), None);
        assert_eq!(says("see https://www.example.com and www.example.org"), None);
        assert_eq!(says("http://a.example http://b.example HTTPS://c.example"), Some(Suspicion::ManyLinks));
        assert_eq!(says("[url=http://a.example]cheap[/url]"), Some(Suspicion::Markup));
        assert_eq!(says("<A HREF='x'>"), Some(Suspicion::Markup));
        assert_eq!(suspect(&NewLead { name: "Win http://a.example".to_owned(), ..plain.clone() }), Some(Suspicion::LinkInName));
        assert_eq!(suspect(&NewLead { company: Some("www.example.com".to_owned()), ..plain.clone() }), None);
        assert_eq!(suspect(&NewLead { trapped: true, ..plain }), Some(Suspicion::Trapped));
    }

    #[test]
    fn a_fingerprint_tells_other_words_apart() {
        let one = parse_form(good()).unwrap().details;
        assert_eq!(fingerprint(&one), fingerprint(&one.clone()));
        let other = NewLead { company: one.message.clone(), message: None, ..one.clone() };
        assert_ne!(fingerprint(&one), fingerprint(&other));
    }
}
