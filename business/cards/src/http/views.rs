//! What comes out of the routes.

use codes::PublicCode;
use kernel::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::card::{Card, Profile};
use crate::contact::Address;

/// A card as it is shown to its owners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CardView {
    /// Its identifier.
    pub id: String,
    /// Whose it is; absent for the organisation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// `live` or `retired`.
    pub state: String,
    /// Counts the changes.
    pub version: i64,
    /// What stands on it.
    pub profile: ProfileView,
    /// The path of its photo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub photo: Option<String>,
    /// The path of its vCard.
    pub vcard: String,
    /// The codes that lead to it, when one card is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codes: Option<Vec<CodeView>>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// What stands on a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProfileView {
    /// What the owner calls this card among their several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The whole name.
    pub display_name: String,
    /// The given name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given_name: Option<String>,
    /// The family name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family_name: Option<String>,
    /// How the given name is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phonetic_given_name: Option<String>,
    /// How the family name is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phonetic_family_name: Option<String>,
    /// How the person wants to be spoken of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pronouns: Option<String>,
    /// What they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
    /// For whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// In which part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Mail addresses.
    pub emails: Vec<ContactView>,
    /// Telephone numbers.
    pub phones: Vec<ContactView>,
    /// Web addresses.
    pub links: Vec<LinkView>,
    /// Postal addresses.
    pub addresses: Vec<AddressView>,
    /// Some lines about the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The language of the card.
    pub language: String,
    /// The colour of the brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub colour: Option<String>,
}

/// A mail address or a telephone number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ContactView {
    /// `work`, `home`, `mobile`, `fax` or `other`.
    pub label: String,
    /// The address or the number.
    pub value: String,
}

/// A web address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CardLinkView)]
pub struct LinkView {
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The address.
    pub url: String,
}

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AddressView {
    /// `work`, `home` or `other`.
    pub label: String,
    /// Street and number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub street: Option<String>,
    /// Town.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// State, province or county.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// Country.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

impl From<&Card> for CardView {
    fn from(card: &Card) -> Self {
        Self {
            id: card.id.to_string(),
            owner: card.owner.map(|owner| owner.to_string()),
            state: card.state.to_string(),
            version: card.version,
            profile: ProfileView::from(&card.profile),
            photo: card.photo.map(|hash| format!("/photos/{hash}.jpg")),
            vcard: format!("/c/{}.vcf", card.id),
            codes: None,
            created_at: card.created_at,
            updated_at: card.updated_at,
        }
    }
}

impl From<&Profile> for ProfileView {
    fn from(profile: &Profile) -> Self {
        let Profile {
            label,
            name,
            pronouns,
            job_title,
            organisation,
            department,
            emails,
            phones,
            links,
            addresses,
            note,
            language,
            colour,
        } = profile.clone();
        let contact = |label: crate::contact::Label, value: &str| ContactView { label: label.as_str().to_owned(), value: value.to_owned() };
        Self {
            label,
            display_name: name.display,
            given_name: name.given,
            family_name: name.family,
            phonetic_given_name: name.phonetic_given,
            phonetic_family_name: name.phonetic_family,
            pronouns,
            job_title,
            organisation,
            department,
            emails: emails.iter().map(|email| contact(email.label, email.value.as_str())).collect(),
            phones: phones.iter().map(|phone| contact(phone.label, phone.value.as_str())).collect(),
            links: links.into_iter().map(|link| LinkView { title: link.title, url: link.url.as_str().to_owned() }).collect(),
            addresses: addresses.into_iter().map(AddressView::from).collect(),
            note,
            language: language.to_string(),
            colour: colour.map(|colour| colour.to_string()),
        }
    }
}

impl From<Address> for AddressView {
    fn from(address: Address) -> Self {
        let Address { label, street, city, region, postal_code, country } = address;
        Self { label: label.as_str().to_owned(), street, city, region, postal_code, country }
    }
}

/// A printed code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CardCodeView)]
pub struct CodeView {
    /// What is printed.
    pub code: String,
    /// The address that a scan opens.
    pub url: String,
}

impl CodeView {
    pub(super) fn of(code: PublicCode, public_url: &str) -> Self {
        Self { code: code.to_string(), url: format!("{public_url}/{code}") }
    }
}

/// What retiring a card came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RetiredView {
    /// The card.
    pub card: CardView,
    /// The codes that lead elsewhere now.
    pub moved: Vec<String>,
}

/// Cards were exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ExchangedView {
    /// The card that was scanned.
    pub card: String,
    /// The caller's own card that was left with its owner.
    pub own_card: String,
}
