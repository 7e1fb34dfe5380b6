//! The form of a card: what was typed, as it was typed, and what is wrong with it at which field.

use cards::{AddressDraft, Colour, ENTRIES_MAX, LabelledDraft, LinkDraft, Profile, ProfileDraft};
use serde::Deserialize;

use crate::pages::frame::{Refusal, sentence};

/// What was typed. Entries of several come as one list for each of their parts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct CardForm {
    pub version: Option<String>,
    pub once: Option<String>,
    pub label: String,
    pub given_name: String,
    pub family_name: String,
    pub display_name: String,
    pub phonetic_given_name: String,
    pub phonetic_family_name: String,
    pub pronouns: String,
    pub job_title: String,
    pub organisation: String,
    pub department: String,
    pub note: String,
    pub language: String,
    pub colour: String,
    pub email_label: Vec<String>,
    pub email: Vec<String>,
    pub phone_label: Vec<String>,
    pub phone: Vec<String>,
    pub link_title: Vec<String>,
    pub link_url: Vec<String>,
    pub address_label: Vec<String>,
    pub address_street: Vec<String>,
    pub address_city: Vec<String>,
    pub address_region: Vec<String>,
    pub address_postal_code: Vec<String>,
    pub address_country: Vec<String>,
}

/// One line of several: an address, a number, a link.
pub struct Entry {
    pub label: String,
    pub value: String,
    pub error: String,
}

/// A postal address.
pub struct PostalEntry {
    pub label: String,
    pub street: String,
    pub city: String,
    pub region: String,
    pub postal_code: String,
    pub country: String,
    pub error: String,
}

/// What is wrong, by field.
#[derive(Debug, Clone, Default)]
pub struct Errors(Vec<(String, String)>);

/// Fields that stand behind "More fields".
const MORE: [&str; 6] = ["display_name", "pronouns", "department", "label", "phonetic_", "addresses"];

impl Errors {
    /// Those of a refusal.
    pub fn of(refusal: &Refusal) -> Self {
        Self(refusal.fields().iter().map(|fault| (fault.field.clone(), sentence(&fault.message))).collect())
    }

    /// What is wrong with a field; empty if nothing is.
    pub fn of_field(&self, field: &str) -> &str {
        self.0.iter().find(|(known, _)| known == field).map_or("", |(_, message)| message)
    }

    /// What is wrong with an entry or any of its parts.
    fn of_entry(&self, list: &str, at: usize) -> String {
        let (whole, part) = (format!("{list}[{at}]"), format!("{list}[{at}]."));
        let found: Vec<&str> =
            self.0.iter().filter(|(field, _)| *field == whole || field.starts_with(&part)).map(|(_, message)| message.as_str()).collect();
        if found.is_empty() && at == 0 { self.of_field(list).to_owned() } else { found.join(" ") }
    }

    /// Whether one of them is behind "More fields".
    pub fn are_in_more(&self) -> bool {
        self.0.iter().any(|(field, _)| MORE.iter().any(|more| field.starts_with(more)))
    }
}

fn at(list: &[String], index: usize) -> String {
    list.get(index).cloned().unwrap_or_default()
}

fn some(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.to_owned())
}

/// How many lines are offered: those that are filled and one more, two at least.
fn offered(filled: usize) -> usize {
    (filled + 1).clamp(2, ENTRIES_MAX.max(filled))
}

impl CardForm {
    /// The form of a card as it is.
    pub fn of(profile: &Profile) -> Self {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let name = &profile.name;
        let made = [name.given.as_deref(), name.family.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let address = |part: fn(&cards::Address) -> Option<String>| profile.addresses.iter().map(|a| part(a).unwrap_or_default()).collect();
        Self {
            version: None,
            once: None,
            label: text(&profile.label),
            given_name: text(&name.given),
            family_name: text(&name.family),
            // A name that follows from its parts is left to follow when they change.
            display_name: if name.display == made { String::new() } else { name.display.clone() },
            phonetic_given_name: text(&name.phonetic_given),
            phonetic_family_name: text(&name.phonetic_family),
            pronouns: text(&profile.pronouns),
            job_title: text(&profile.job_title),
            organisation: text(&profile.organisation),
            department: text(&profile.department),
            note: text(&profile.note),
            language: profile.language.as_str().to_owned(),
            colour: profile.colour.unwrap_or(Colour::DEFAULT).to_string(),
            email_label: profile.emails.iter().map(|one| one.label.as_str().to_owned()).collect(),
            email: profile.emails.iter().map(|one| one.value.as_str().to_owned()).collect(),
            phone_label: profile.phones.iter().map(|one| one.label.as_str().to_owned()).collect(),
            phone: profile.phones.iter().map(|one| one.value.as_str().to_owned()).collect(),
            link_title: profile.links.iter().map(|one| text(&one.title)).collect(),
            link_url: profile.links.iter().map(|one| one.url.as_str().to_owned()).collect(),
            address_label: profile.addresses.iter().map(|one| one.label.as_str().to_owned()).collect(),
            address_street: address(|a| a.street.clone()),
            address_city: address(|a| a.city.clone()),
            address_region: address(|a| a.region.clone()),
            address_postal_code: address(|a| a.postal_code.clone()),
            address_country: address(|a| a.country.clone()),
        }
    }

    /// The same without the lines that were left empty, so that what is wrong with the third stands at the third.
    pub fn tidy(mut self) -> Self {
        fn keep(lists: &mut [&mut Vec<String>], decisive: &[usize]) {
            let length = lists.iter().map(|list| list.len()).max().unwrap_or(0);
            let wanted: Vec<usize> =
                (0..length).filter(|row| decisive.iter().any(|list| !at(lists[*list], *row).trim().is_empty())).collect();
            for list in lists.iter_mut() {
                **list = wanted.iter().map(|row| at(list, *row)).collect();
            }
        }
        keep(&mut [&mut self.email_label, &mut self.email], &[1]);
        keep(&mut [&mut self.phone_label, &mut self.phone], &[1]);
        keep(&mut [&mut self.link_title, &mut self.link_url], &[0, 1]);
        let parts = &mut [
            &mut self.address_label,
            &mut self.address_street,
            &mut self.address_city,
            &mut self.address_region,
            &mut self.address_postal_code,
            &mut self.address_country,
        ];
        keep(parts, &[1, 2, 3, 4, 5]);
        self
    }

    /// What the card is to say.
    pub fn draft(&self) -> ProfileDraft {
        let labelled = |labels: &[String], values: &[String]| {
            values.iter().enumerate().map(|(row, value)| LabelledDraft { label: some(&at(labels, row)), value: value.clone() }).collect()
        };
        ProfileDraft {
            label: some(&self.label),
            display_name: some(&self.display_name),
            given_name: some(&self.given_name),
            family_name: some(&self.family_name),
            phonetic_given_name: some(&self.phonetic_given_name),
            phonetic_family_name: some(&self.phonetic_family_name),
            pronouns: some(&self.pronouns),
            job_title: some(&self.job_title),
            organisation: some(&self.organisation),
            department: some(&self.department),
            emails: labelled(&self.email_label, &self.email),
            phones: labelled(&self.phone_label, &self.phone),
            links: self
                .link_url
                .iter()
                .enumerate()
                .map(|(row, url)| LinkDraft { title: some(&at(&self.link_title, row)), url: url.clone() })
                .collect(),
            addresses: (0..self.address_street.len())
                .map(|row| AddressDraft {
                    label: some(&at(&self.address_label, row)),
                    street: some(&at(&self.address_street, row)),
                    city: some(&at(&self.address_city, row)),
                    region: some(&at(&self.address_region, row)),
                    postal_code: some(&at(&self.address_postal_code, row)),
                    country: some(&at(&self.address_country, row)),
                })
                .collect(),
            note: some(&self.note),
            language: some(&self.language),
            colour: some(&self.colour),
        }
    }

    fn lines(list: &str, labels: &[String], values: &[String], errors: &Errors) -> Vec<Entry> {
        let line = |row| Entry { label: at(labels, row), value: at(values, row), error: errors.of_entry(list, row) };
        (0..offered(values.len())).map(line).collect()
    }

    /// The lines for addresses of mail.
    pub fn emails(&self, errors: &Errors) -> Vec<Entry> {
        Self::lines("emails", &self.email_label, &self.email, errors)
    }

    /// The lines for telephones.
    pub fn phones(&self, errors: &Errors) -> Vec<Entry> {
        Self::lines("phones", &self.phone_label, &self.phone, errors)
    }

    /// The lines for the web.
    pub fn links(&self, errors: &Errors) -> Vec<Entry> {
        Self::lines("links", &self.link_title, &self.link_url, errors)
    }

    /// The lines for postal addresses, and one more.
    pub fn addresses(&self, errors: &Errors) -> Vec<PostalEntry> {
        let filled = self.address_street.len();
        (0..(filled + 1).min(ENTRIES_MAX.max(filled)))
            .map(|row| PostalEntry {
                label: at(&self.address_label, row),
                street: at(&self.address_street, row),
                city: at(&self.address_city, row),
                region: at(&self.address_region, row),
                postal_code: at(&self.address_postal_code, row),
                country: at(&self.address_country, row),
                error: errors.of_entry("addresses", row),
            })
            .collect()
    }

    /// Whether anything stands behind "More fields".
    pub fn has_more(&self) -> bool {
        let texts =
            [&self.display_name, &self.pronouns, &self.department, &self.label, &self.phonetic_given_name, &self.phonetic_family_name];
        texts.into_iter().any(|text| !text.is_empty()) || !self.address_street.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_card_comes_back_from_its_form_as_it_was() {
        let draft = ProfileDraft {
            given_name: Some("Ada".into()),
            family_name: Some("Lovelace".into()),
            phonetic_family_name: Some("Lavlis".into()),
            emails: vec![LabelledDraft::new("home", "ada@example.com")],
            phones: vec![LabelledDraft::new("mobile", "+44 20 7946 0018")],
            links: vec![LinkDraft { title: None, url: "https://example.com/".into() }],
            addresses: vec![AddressDraft { city: Some("London".into()), ..AddressDraft::default() }],
            note: Some("Two\nlines".into()),
            language: Some("pt-BR".into()),
            colour: Some("#2f5d8a".into()),
            ..ProfileDraft::default()
        };
        let profile = Profile::parse(draft).unwrap();
        assert_eq!(Profile::parse(CardForm::of(&profile).tidy().draft()).unwrap(), profile);
    }

    #[test]
    fn empty_lines_are_no_entries_and_faults_stay_at_their_line() {
        let form = CardForm {
            given_name: "Ada".into(),
            email_label: list(&["work", "home", "other"]),
            email: list(&["", "ada@", " "]),
            ..CardForm::default()
        };
        let form = form.tidy();
        assert_eq!((form.email_label.clone(), form.email.clone()), (list(&["home"]), list(&["ada@"])));
        let faults = Profile::parse(form.draft()).unwrap_err();
        let errors = Errors(faults.into_iter().map(|fault| (fault.field, fault.message)).collect());
        let lines = form.emails(&errors);
        assert!(!lines[0].error.is_empty() && lines[1].error.is_empty());
        assert_eq!(lines.len(), 2);
    }
}
