//! The ways to reach a person that stand on a card: mail, telephone, web, post. No I/O.

use kernel::FieldFault;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::text;

/// What an address or a number is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// At work.
    Work,
    /// At home.
    Home,
    /// A telephone that is carried along.
    Mobile,
    /// A fax machine.
    Fax,
    /// None of these.
    Other,
}

impl Label {
    /// Reads its word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Work, Self::Home, Self::Mobile, Self::Fax, Self::Other].into_iter().find(|label| label.as_str().eq_ignore_ascii_case(text))
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Home => "home",
            Self::Mobile => "mobile",
            Self::Fax => "fax",
            Self::Other => "other",
        }
    }

    fn of(text: Option<&str>, field: &str, faults: &mut Vec<FieldFault>) -> Option<Self> {
        match text.map(str::trim).filter(|text| !text.is_empty()) {
            None => Some(Self::Work),
            Some(text) => Self::parse(text).or_else(|| {
                faults.push(FieldFault::new(format!("{field}.label"), "must be work, home, mobile, fax or other"));
                None
            }),
        }
    }
}

/// A value and what it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labelled<T> {
    /// What it is for.
    pub label: Label,
    /// The value.
    pub value: T,
}

/// A value and its label, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelledDraft {
    /// One of the words of [`Label`]; `work` when it is missing.
    pub label: Option<String>,
    /// The value.
    pub value: String,
}

impl LabelledDraft {
    /// A value and its label.
    pub fn new(label: &str, value: &str) -> Self {
        Self { label: Some(label.to_owned()), value: value.to_owned() }
    }
}

/// A mail address, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Email(String);

impl Email {
    /// Checks the shape only: whether mail arrives is known by sending some.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (local, domain) = text.rsplit_once('@')?;
        let fits = !local.is_empty()
            && text.len() <= 254
            && domain.contains('.')
            && domain.split('.').all(|part| !part.is_empty())
            && !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"' | ',' | ';' | '\\' | '(' | ')'))
            && !local.contains('@');
        fits.then(|| Self(text.to_owned()))
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A telephone number, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phone(String);

impl Phone {
    /// Digits with the usual marks between them, an optional `+` before and an optional `x12` for an extension after.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let (number, extension) = split_extension(&text);
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        let fits = text.len() <= 40
            && (3..=20).contains(&digits)
            && number
                .strip_prefix('+')
                .unwrap_or(number)
                .chars()
                .all(|c| c.is_ascii_digit() || matches!(c, ' ' | '-' | '.' | '(' | ')' | '/'))
            && extension.is_none_or(|extension| (1..=8).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_digit()));
        fits.then_some(Self(text))
    }

    /// As it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number alone, without an extension.
    pub fn dialled(&self) -> &str {
        split_extension(&self.0).0
    }

    /// As a `tel:` address (RFC 3966).
    pub fn uri(&self) -> String {
        let (number, extension) = split_extension(&self.0);
        // The zero in +49 (0)30 is dialled only without the country's number.
        let number = if number.starts_with('+') { number.replace("(0)", "") } else { number.to_owned() };
        let mut uri = String::from("tel:");
        uri.extend(number.chars().filter(|c| c.is_ascii_digit() || *c == '+'));
        if let Some(extension) = extension {
            uri.push_str(";ext=");
            uri.push_str(extension);
        }
        uri
    }
}

fn split_extension(text: &str) -> (&str, Option<&str>) {
    match text.split_once(['x', 'X']) {
        Some((number, extension)) => (number.trim_end(), Some(extension.trim())),
        None => (text, None),
    }
}

impl Labelled<Email> {
    pub(crate) fn parse(draft: LabelledDraft, field: &str, faults: &mut Vec<FieldFault>) -> Option<Self> {
        let label = Label::of(draft.label.as_deref(), field, faults);
        let value = Email::parse(&draft.value);
        if value.is_none() {
            faults.push(FieldFault::new(format!("{field}.value"), "must be a mail address such as ada@example.org"));
        }
        Some(Self { label: label?, value: value? })
    }
}

impl Labelled<Phone> {
    pub(crate) fn parse(draft: LabelledDraft, field: &str, faults: &mut Vec<FieldFault>) -> Option<Self> {
        let label = Label::of(draft.label.as_deref(), field, faults);
        let value = Phone::parse(&draft.value);
        if value.is_none() {
            faults
                .push(FieldFault::new(format!("{field}.value"), "must be a telephone number such as +44 20 7946 0000 or +49 30 1234 x56"));
        }
        Some(Self { label: label?, value: value? })
    }
}

/// An http or https address without credentials in it, in its canonical form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebAddress(String);

impl WebAddress {
    /// Reads an address; `https://` is put before one without a scheme.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || text.len() > 2_048 {
            return None;
        }
        let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
            scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-')) && !rest.starts_with(|c: char| c.is_ascii_digit())
        });
        let url = if has_scheme { Url::parse(text) } else { Url::parse(&format!("https://{text}")) }.ok()?;
        let fits = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.host_str().is_some_and(|host| host.contains('.') || host.contains(':') || host == "localhost");
        fits.then(|| Self(url.into()))
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A web address with an optional title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What it is, for example `LinkedIn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The address, http or https.
    pub url: WebAddress,
}

/// A link, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkDraft {
    /// See [`Link::title`].
    pub title: Option<String>,
    /// The address; `https://` is put before one without a scheme.
    pub url: String,
}

impl Link {
    pub(crate) fn parse(draft: LinkDraft, field: &str, faults: &mut Vec<FieldFault>) -> Option<Self> {
        let title = text::line(draft.title, &format!("{field}.title"), 60, faults);
        let url = WebAddress::parse(&draft.url);
        if url.is_none() {
            faults.push(FieldFault::new(format!("{field}.url"), "must be a web address such as https://example.org"));
        }
        Some(Self { title, url: url? })
    }

    /// The address as people write it: without the scheme, `www.` and a lone slash.
    pub fn shown(&self) -> String {
        let full = self.url.as_str();
        let bare = full.split_once("://").map_or(full, |(_, rest)| rest);
        let bare = bare.strip_prefix("www.").unwrap_or(bare);
        bare.strip_suffix('/').unwrap_or(bare).to_owned()
    }
}

/// A postal address. Which parts there are differs from country to country, so none is required but one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// What is there.
    pub label: Label,
    /// Street and number; several lines are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// Town.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State, province or county.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Country, by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// A postal address, unchecked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressDraft {
    /// One of the words of [`Label`]; `work` when it is missing.
    pub label: Option<String>,
    /// See [`Address::street`].
    pub street: Option<String>,
    /// See [`Address::city`].
    pub city: Option<String>,
    /// See [`Address::region`].
    pub region: Option<String>,
    /// See [`Address::postal_code`].
    pub postal_code: Option<String>,
    /// See [`Address::country`].
    pub country: Option<String>,
}

impl Address {
    pub(crate) fn parse(draft: AddressDraft, field: &str, faults: &mut Vec<FieldFault>) -> Option<Self> {
        let label = Label::of(draft.label.as_deref(), field, faults);
        let before = faults.len();
        let street = text::lines(draft.street, &format!("{field}.street"), 200, faults);
        let mut line = |part: &str, value: Option<String>| text::line(value, &format!("{field}.{part}"), 100, faults);
        let (city, region) = (line("city", draft.city), line("region", draft.region));
        let (postal_code, country) = (line("postal_code", draft.postal_code), line("country", draft.country));
        let address = Self { label: label?, street, city, region, postal_code, country };
        if faults.len() == before && address.parts().is_empty() {
            faults.push(FieldFault::new(field, "must have a street, a city, a region, a postal code or a country"));
        }
        (faults.len() == before).then_some(address)
    }

    /// The parts that are there, in the order in which they are written here.
    fn parts(&self) -> Vec<&str> {
        [&self.street, &self.postal_code, &self.city, &self.region, &self.country].into_iter().filter_map(|part| part.as_deref()).collect()
    }

    /// In one line, for a map to look up.
    pub fn one_line(&self) -> String {
        self.lines().join(", ")
    }

    /// In the lines of a letter. Where the postal code stands before the town is the more common way in the world; it is
    /// put behind the region where there is a region.
    pub fn lines(&self) -> Vec<String> {
        let joined = |parts: &[&Option<String>]| {
            let parts: Vec<&str> = parts.iter().filter_map(|part| part.as_deref()).collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        };
        let town = match &self.region {
            Some(_) => joined(&[&self.city, &self.region, &self.postal_code]),
            None => joined(&[&self.postal_code, &self.city]),
        };
        let street = self.street.iter().flat_map(|street| street.lines()).map(str::to_owned);
        street.chain(town).chain(self.country.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_address_has_one_at_and_a_domain() {
        for good in ["ada@example.org", "a+b@sub.example.co.uk", "jürgen@müller.example"] {
            assert!(Email::parse(good).is_some(), "{good}");
        }
        for bad in ["", "ada", "@example.org", "ada@", "ada@host", "a@b@example.org", "a b@example.org", "<a@b.example>", "a@b..example"] {
            assert!(Email::parse(bad).is_none(), "{bad}");
        }
        assert!(Email::parse("a@b\n.example").is_none());
    }

    #[test]
    fn a_number_is_dialled_as_it_is_meant() {
        let uri = |text: &str| Phone::parse(text).map(|phone| phone.uri());
        assert_eq!(uri("+49 (0)30 1234-56 x7").as_deref(), Some("tel:+4930123456;ext=7"));
        assert_eq!(uri("020 7946 0000").as_deref(), Some("tel:02079460000"));
        for bad in ["", "12", "call me", "+1+2 345", "1234567890123456789012", "+44 20 x", "tel:12345"] {
            assert_eq!(uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_link_is_http_without_credentials() {
        assert_eq!(WebAddress::parse("example.org/a").unwrap().as_str(), "https://example.org/a");
        assert_eq!(WebAddress::parse("example.org:8080").unwrap().as_str(), "https://example.org:8080/");
        for bad in
            ["", "javascript:alert(1)", "data:text/html,x", "https://user:pw@example.org", "ftp://example.org", "https://", "nonsense"]
        {
            assert_eq!(WebAddress::parse(bad), None, "{bad}");
        }
        let link = Link { title: None, url: WebAddress::parse("https://www.example.org/").unwrap() };
        assert_eq!(link.shown(), "example.org");
    }

    #[test]
    fn an_address_is_written_in_lines() {
        let draft = AddressDraft {
            street: Some("1 Main St\nSuite 2".into()),
            city: Some("Springfield".into()),
            region: Some("IL".into()),
            postal_code: Some("62701".into()),
            country: Some("USA".into()),
            ..AddressDraft::default()
        };
        let address = Address::parse(draft, "addresses[0]", &mut Vec::new()).unwrap();
        assert_eq!(address.lines(), ["1 Main St", "Suite 2", "Springfield IL 62701", "USA"]);
        let mut faults = Vec::new();
        assert!(Address::parse(AddressDraft::default(), "addresses[0]", &mut faults).is_none());
        assert_eq!(faults[0].field, "addresses[0]");
    }
}
