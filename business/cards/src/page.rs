//! The page that a scan opens: a card, the form to leave one's details, and the small notices. Pure: from what is known to
//! a page of HTML that needs no script and loads nothing but the photo.

mod notice;

use askama::Template;
use kernel::{FieldFault, Id};
use url::Url;

pub use self::notice::{Notice, NoticeKind, render_notice};
use crate::card::Card;
use crate::colour::{Colour, Shades};
use crate::contact::Label;
use crate::symbol::OfflineSymbol;
use crate::words::{Words, with_name};

/// Stands where the token goes in a page that is kept ready; no text on a card can hold a control character.
const TOKEN_PLACE: &str = "\u{1}token\u{1}";

/// Everything that a card's page shows.
#[derive(Debug, Clone)]
pub struct CardPage {
    /// The card.
    pub card: Card,
    /// The full public address of the page, for sharing it.
    pub page_url: String,
    /// The form to leave one's details, unless the owner wants none.
    pub exchange: Option<ExchangeForm>,
    /// The button of a visitor who is signed in and has a card of their own.
    pub one_tap: Option<OneTap>,
}

/// The form to leave one's details. Its fields are `name email phone company message consent subject_line form_token`.
#[derive(Debug, Clone)]
pub struct ExchangeForm {
    /// Where it is sent to, by POST.
    pub action: String,
    /// The signed token that comes back with it.
    pub token: String,
    /// What the visitor agrees to, as it will be stored.
    pub consent_text: String,
    /// Which version of that text it is.
    pub consent_version: i64,
    /// How far along the visitor is.
    pub state: FormState,
}

/// How far along a visitor is with the form.
#[derive(Debug, Clone, Default)]
pub enum FormState {
    /// Nothing is filled in yet.
    #[default]
    Fresh,
    /// It came back with faults and is shown again.
    Invalid {
        /// What was typed.
        values: FormValues,
        /// What is wrong with it.
        errors: Vec<FieldFault>,
    },
    /// It arrived.
    Sent {
        /// The visitor's name, to thank them by it.
        name: Option<String>,
    },
}

/// What a visitor typed, unchecked, to be shown again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormValues {
    /// Their name.
    pub name: String,
    /// Their mail address.
    pub email: String,
    /// Their telephone number.
    pub phone: String,
    /// Their company.
    pub company: String,
    /// What they have to say.
    pub message: String,
    /// Whether they agreed.
    pub has_agreed: bool,
}

impl FormValues {
    /// From the fields of a form, in any order; others are left alone.
    pub fn of<K: AsRef<str>, V: Into<String>>(fields: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut values = Self::default();
        for (name, value) in fields {
            let value = value.into();
            match name.as_ref() {
                "name" => values.name = value,
                "email" => values.email = value,
                "phone" => values.phone = value,
                "company" => values.company = value,
                "message" => values.message = value,
                "consent" => values.has_agreed = !value.is_empty(),
                _ => {}
            }
        }
        values
    }
}

/// The button with which a visitor who is signed in leaves their own card.
#[derive(Debug, Clone)]
pub struct OneTap {
    /// Where it is sent to, by POST.
    pub action: String,
    /// The name on the visitor's own card.
    pub own_name: String,
    /// Hidden fields that go along, for example the one against forged requests.
    pub fields: Vec<(String, String)>,
}

impl CardPage {
    /// The page of a card, without a form.
    pub fn new(card: Card, page_url: impl Into<String>) -> Self {
        Self { card, page_url: page_url.into(), exchange: None, one_tap: None }
    }
}

/// A page that is kept ready, for the many visitors who get the same but for the token of their form.
#[derive(Debug, Clone)]
pub struct PreparedPage {
    before: String,
    after: Option<String>,
}

impl PreparedPage {
    /// Renders the page once; the token of its form is left open.
    pub fn new(mut page: CardPage) -> Self {
        if let Some(exchange) = &mut page.exchange {
            exchange.token = TOKEN_PLACE.to_owned();
        }
        let html = render(&page);
        match html.split_once(TOKEN_PLACE) {
            Some((before, after)) => Self { before: before.to_owned(), after: Some(after.to_owned()) },
            None => Self { before: html, after: None },
        }
    }

    /// The page for one visitor.
    pub fn with_token(&self, token: &str) -> String {
        match &self.after {
            Some(after) => [&self.before, token, after].concat(),
            None => self.before.clone(),
        }
    }

    /// How many bytes it takes, for a cache that is bounded in bytes.
    pub fn bytes(&self) -> usize {
        self.before.len() + self.after.as_ref().map_or(0, String::len)
    }
}

/// Renders a card's page: under 30 kB without the photo.
pub fn render(page: &CardPage) -> String {
    let card = &page.card;
    let profile = &card.profile;
    let words = Words::of(&profile.language);
    let name = profile.name.display.as_str();
    let brand = profile.colour.unwrap_or(Colour::DEFAULT);
    let origin = Url::parse(&page.page_url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let (form, errors, sent) = match page.exchange.as_ref().map(|exchange| &exchange.state) {
        Some(FormState::Invalid { values, errors }) => (values.clone(), errors.as_slice(), None),
        Some(FormState::Sent { name }) => (FormValues::default(), &[][..], Some(thanks(words, name.as_deref()))),
        _ => (FormValues::default(), &[][..], None),
    };
    let rows = rows(card, words);
    let quick = [("call", words.call), ("mail", words.mail), ("map", words.map), ("web", words.web)]
        .into_iter()
        .filter_map(|(icon, label)| rows.iter().find(|row| row.icon == icon).map(|row| Quick { icon, label, href: row.href.clone() }))
        .collect();
    let error = |field: &str| errors.iter().find(|fault| fault.field == field).map(|fault| fault.message.as_str()).unwrap_or_default();
    let first =
        ["name", "email", "phone", "company", "message", "consent"].into_iter().find(|field| !error(field).is_empty()).unwrap_or_default();
    let field =
        |id: &'static str, label: &'static str, kind: &'static str, autocomplete: &'static str, value: &str, chars_max: u32| Field {
            id,
            label,
            kind,
            autocomplete,
            value: value.to_owned(),
            error: error(id).to_owned(),
            is_required: id == "name",
            is_first: id == first,
            chars_max,
        };
    let fields = vec![
        field("name", words.name, "text", "name", &form.name, 200),
        field("email", words.email, "email", "email", &form.email, 254),
        field("phone", words.phone, "tel", "tel", &form.phone, 40),
        field("company", words.company, "text", "organization", &form.company, 200),
    ];
    let share_text = with_name(words.share_text, name);
    let symbol = OfflineSymbol::of(profile, Some(&page.page_url));
    let template = CardTemplate {
        words,
        title: [Some(name), profile.organisation.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" · "),
        description: profile.role_lines().join(" · "),
        language: profile.language.as_str(),
        direction: profile.language.direction().as_str(),
        light: brand.on_light(),
        dark: brand.on_dark(),
        mosaic: mosaic(card.id.raw().bits()),
        name,
        is_name_long: name.chars().count() > 24,
        monogram: profile.name.monogram(),
        photo: card.photo.map(|hash| format!("/photos/{hash}.jpg")),
        photo_alt: with_name(words.photo_of, name),
        pronouns: profile.pronouns.as_deref().unwrap_or_default(),
        job_title: profile.job_title.as_deref().unwrap_or_default(),
        organisation: [profile.organisation.as_deref(), profile.department.as_deref()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · "),
        vcard: vcard_path(card, &page.page_url),
        quick,
        rows,
        note: profile.note.as_deref().unwrap_or_default(),
        share_details_hint: with_name(words.share_details_hint, name),
        thanks_hint: with_name(words.thanks_hint, name),
        sent,
        exchange: page.exchange.as_ref().filter(|exchange| !matches!(exchange.state, FormState::Sent { .. })),
        // Faults of what is not a field of its own (the token, the whole) stand over the form.
        form_errors: errors.iter().filter(|fault| !FIELDS.contains(&fault.field.as_str())).map(|fault| fault.message.as_str()).collect(),
        has_errors: !errors.is_empty(),
        fields,
        message: form.message,
        message_error: error("message"),
        is_message_first: first == "message",
        has_agreed: form.has_agreed,
        consent_error: error("consent"),
        is_consent_first: first == "consent",
        one_tap: page.one_tap.as_ref(),
        one_tap_label: with_name(words.one_tap, name),
        one_tap_hint: page.one_tap.as_ref().map(|tap| with_name(words.one_tap_hint, &tap.own_name)).unwrap_or_default(),
        symbol: symbol.as_ref().map(|symbol| Drawing { side: symbol.side(), path: symbol.path() }),
        symbol_alt: with_name(words.offline_code_alt, name),
        page_url: &page.page_url,
        photo_url: card.photo.map(|hash| format!("{origin}/photos/{hash}.jpg")),
        share_mail: format!("mailto:?subject={}&body={}", percent(&share_text), percent(&format!("{share_text}\n{}", page.page_url))),
        share_message: format!("sms:?&body={}", percent(&format!("{share_text} {}", page.page_url))),
        share_whatsapp: format!("https://wa.me/?text={}", percent(&format!("{share_text} {}", page.page_url))),
    };
    // The template's values cannot fail to be written into a String.
    template.render().unwrap_or_default()
}

const FIELDS: [&str; 6] = ["name", "email", "phone", "company", "message", "consent"];

fn thanks(words: &Words, name: Option<&str>) -> String {
    match name.map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) => with_name(words.thanks, name),
        None => words.thanks.replace(", {name}", "").replace("، {name}", ""),
    }
}

fn rows(card: &Card, words: &Words) -> Vec<Row> {
    let profile = &card.profile;
    let label = |label: Label| match label {
        Label::Work => words.work,
        Label::Home => words.home,
        Label::Mobile => words.mobile,
        Label::Fax => words.fax,
        Label::Other => words.other,
    };
    let phones = profile.phones.iter().map(|phone| Row {
        // A fax is not called, so it takes no place among the quick buttons.
        icon: if phone.label == Label::Fax { "fax" } else { "call" },
        href: phone.value.uri(),
        lines: vec![phone.value.as_str().to_owned()],
        label: label(phone.label).to_owned(),
        is_ltr: true,
    });
    let emails = profile.emails.iter().map(|email| Row {
        icon: "mail",
        href: format!("mailto:{}", percent(email.value.as_str()).replace("%40", "@")),
        lines: vec![email.value.as_str().to_owned()],
        label: label(email.label).to_owned(),
        is_ltr: true,
    });
    let links = profile.links.iter().map(|link| Row {
        icon: "web",
        href: link.url.as_str().to_owned(),
        lines: vec![link.shown()],
        label: link.title.clone().unwrap_or_else(|| words.website.to_owned()),
        is_ltr: true,
    });
    let addresses = profile.addresses.iter().map(|address| Row {
        icon: "map",
        href: format!("https://www.google.com/maps/search/?api=1&query={}", percent(&address.one_line())),
        lines: address.lines(),
        label: label(address.label).to_owned(),
        is_ltr: false,
    });
    phones.chain(emails).chain(links).chain(addresses).collect()
}

/// The card's vCard; it names the page as its source where a code opened the page.
fn vcard_path(card: &Card, page_url: &str) -> String {
    match page_url.rsplit('/').next().filter(|code| !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric())) {
        Some(code) => format!("/c/{}.vcf?code={code}", card.id),
        None => format!("/c/{}.vcf", card.id),
    }
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 2.3).
pub(crate) fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The tiles of the band, three layers of them: drawn from the identifier, so that every card has its own and keeps it.
fn mosaic(bits: u128) -> [String; 3] {
    use std::fmt::Write as _;
    let mut layers = [String::new(), String::new(), String::new()];
    let mut state = (bits >> 64) as u64 ^ bits as u64;
    for row in 0..6_u64 {
        for column in 0..22_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Denser towards the end of the line, where neither photo nor name stands.
            let chance = (state >> 33) % 40;
            let layer = match chance {
                _ if chance > 8 + column => continue,
                chance => (chance % 3) as usize,
            };
            let _ = write!(layers[layer], "M{} {}h18v18h-18z", column * 22 + 2, row * 22 + 2);
        }
    }
    layers
}

struct Row {
    icon: &'static str,
    href: String,
    lines: Vec<String>,
    label: String,
    is_ltr: bool,
}

struct Quick {
    icon: &'static str,
    label: &'static str,
    href: String,
}

struct Field {
    id: &'static str,
    label: &'static str,
    kind: &'static str,
    autocomplete: &'static str,
    value: String,
    error: String,
    is_required: bool,
    is_first: bool,
    chars_max: u32,
}

struct Drawing {
    side: i32,
    path: String,
}

#[derive(Template)]
#[template(path = "card.html")]
struct CardTemplate<'a> {
    words: &'a Words,
    title: String,
    description: String,
    language: &'a str,
    direction: &'a str,
    light: Shades,
    dark: Shades,
    mosaic: [String; 3],
    name: &'a str,
    is_name_long: bool,
    monogram: String,
    photo: Option<String>,
    photo_alt: String,
    pronouns: &'a str,
    job_title: &'a str,
    organisation: String,
    vcard: String,
    quick: Vec<Quick>,
    rows: Vec<Row>,
    note: &'a str,
    share_details_hint: String,
    thanks_hint: String,
    sent: Option<String>,
    exchange: Option<&'a ExchangeForm>,
    form_errors: Vec<&'a str>,
    has_errors: bool,
    fields: Vec<Field>,
    message: String,
    message_error: &'a str,
    is_message_first: bool,
    has_agreed: bool,
    consent_error: &'a str,
    is_consent_first: bool,
    one_tap: Option<&'a OneTap>,
    one_tap_label: String,
    one_tap_hint: String,
    symbol: Option<Drawing>,
    symbol_alt: String,
    page_url: &'a str,
    photo_url: Option<String>,
    share_mail: String,
    share_message: String,
    share_whatsapp: String,
}

#[cfg(test)]
mod tests;
