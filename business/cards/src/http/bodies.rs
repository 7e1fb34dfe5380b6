//! What goes into the routes.

use codes::{PublicCode, TargetUrl};
use gateway::{Call, Problem};
use kernel::{FieldFault, Id, MemberId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::card::{CardId, ProfileDraft};
use crate::commands::Successor;
use crate::contact::{AddressDraft, LabelledDraft, LinkDraft};
use crate::error::CardError;
use crate::queries::Filter;

/// Which cards are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CardQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only those of this member; `me` for one's own.
    owner: Option<String>,
    /// Only those with this text in label, name, title, organisation or mail address.
    q: Option<String>,
    /// Only those that are `live`, or only those that are `retired`.
    state: Option<String>,
}

impl CardQuery {
    /// The filter, and after which card to begin.
    pub(super) fn filter(self, me: Option<MemberId>) -> Result<(Filter, Option<CardId>), CardError> {
        let mut fields = Vec::new();
        let after = self
            .after
            .as_deref()
            .and_then(|after| CardId::parse(after).map_err(|_| fields.push(FieldFault::new("after", "must be the next of a page"))).ok());
        let is_live = match self.state.as_deref() {
            None => None,
            Some("live") => Some(true),
            Some("retired") => Some(false),
            Some(_) => {
                fields.push(FieldFault::new("state", "must be live or retired"));
                None
            }
        };
        if self.q.as_ref().is_some_and(|q| q.chars().count() > 100) {
            fields.push(FieldFault::new("q", "must have at most 100 characters"));
        }
        let owner = match self.owner.as_deref() {
            None => None,
            Some("none") => {
                fields.push(FieldFault::new("owner", "must be a member or me"));
                None
            }
            Some(text) => {
                owner(Some(&text.to_owned()), me).map_err(|_| fields.push(FieldFault::new("owner", "must be a member or me"))).ok()
            }
        };
        if !fields.is_empty() {
            return Err(CardError::Invalid { fields });
        }
        Ok((Filter { owner: owner.flatten(), search: self.q, is_live }, after))
    }
}

/// Whom a body means by its owner: `me` or nothing is the caller, `none` nobody.
pub(super) fn owner(text: Option<&String>, me: Option<MemberId>) -> Result<Option<MemberId>, CardError> {
    match text.map(String::as_str) {
        None => Ok(me),
        Some("none") => Ok(None),
        Some("me") => me.map(Some).ok_or_else(|| CardError::field("owner", "must be a member: a key has no cards of its own")),
        Some(text) => MemberId::parse(text).map(Some).map_err(|_| CardError::field("owner", "must be a member, me or none")),
    }
}

/// `new`, or a printed code.
pub(super) fn wanted_code(text: &str) -> Result<Option<PublicCode>, CardError> {
    match text {
        "new" => Ok(None),
        text => PublicCode::parse(text.as_bytes()).map(Some).map_err(|_| CardError::field("code", "must be new or a printed code")),
    }
}

/// A card as it is written.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CardBody {
    /// On creation: the member whose card it is; the caller when absent, `none` for a card of the organisation.
    #[serde(default)]
    pub(super) owner: Option<String>,
    /// On creation: `new` to mint a code for it, or a printed code that is to lead to it.
    #[serde(default)]
    pub(super) code: Option<String>,
    /// On a change: the version that the editor saw; refused with 409 when it is another one by now.
    #[serde(default)]
    pub(super) version: Option<i64>,
    /// What stands on it.
    pub(super) profile: ProfileBody,
}

/// What stands on a card, as it is written. At most ten of each kind of entry, the preferred one first.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProfileBody {
    /// What the owner calls this card among their several; never shown to others.
    label: Option<String>,
    /// The whole name; made of the given and the family name when absent.
    display_name: Option<String>,
    /// The given name.
    given_name: Option<String>,
    /// The family name.
    family_name: Option<String>,
    /// How the given name is said.
    phonetic_given_name: Option<String>,
    /// How the family name is said.
    phonetic_family_name: Option<String>,
    /// How the person wants to be spoken of.
    pronouns: Option<String>,
    /// What they do.
    job_title: Option<String>,
    /// For whom.
    organisation: Option<String>,
    /// In which part of it.
    department: Option<String>,
    /// Mail addresses.
    #[serde(default)]
    emails: Vec<ContactBody>,
    /// Telephone numbers; `x12` at the end is an extension.
    #[serde(default)]
    phones: Vec<ContactBody>,
    /// Web addresses.
    #[serde(default)]
    links: Vec<LinkBody>,
    /// Postal addresses.
    #[serde(default)]
    addresses: Vec<AddressBody>,
    /// Some lines about the person, up to 1,000 characters.
    note: Option<String>,
    /// The language of the card such as `de` or `ar`, which also decides its direction; `en` when absent.
    language: Option<String>,
    /// The colour of the brand, `#rrggbb`.
    colour: Option<String>,
}

/// A mail address or a telephone number.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ContactBody {
    /// `work` (when absent), `home`, `mobile`, `fax` or `other`.
    #[serde(default)]
    label: Option<String>,
    /// The address or the number.
    value: String,
}

/// A web address.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CardLinkBody)]
pub(super) struct LinkBody {
    /// What it is, for example `LinkedIn`.
    #[serde(default)]
    title: Option<String>,
    /// The address, http or https.
    url: String,
}

/// A postal address; one part is enough.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AddressBody {
    /// `work` (when absent), `home` or `other`.
    label: Option<String>,
    /// Street and number, in several lines if need be.
    street: Option<String>,
    /// Town.
    city: Option<String>,
    /// State, province or county.
    region: Option<String>,
    /// Postal code.
    postal_code: Option<String>,
    /// Country, by name.
    country: Option<String>,
}

impl From<ProfileBody> for ProfileDraft {
    fn from(body: ProfileBody) -> Self {
        let contact = |contact: ContactBody| LabelledDraft { label: contact.label, value: contact.value };
        Self {
            label: body.label,
            display_name: body.display_name,
            given_name: body.given_name,
            family_name: body.family_name,
            phonetic_given_name: body.phonetic_given_name,
            phonetic_family_name: body.phonetic_family_name,
            pronouns: body.pronouns,
            job_title: body.job_title,
            organisation: body.organisation,
            department: body.department,
            emails: body.emails.into_iter().map(contact).collect(),
            phones: body.phones.into_iter().map(contact).collect(),
            links: body.links.into_iter().map(|link| LinkDraft { title: link.title, url: link.url }).collect(),
            addresses: body.addresses.into_iter().map(AddressDraft::from).collect(),
            note: body.note,
            language: body.language,
            colour: body.colour,
        }
    }
}

impl From<AddressBody> for AddressDraft {
    fn from(body: AddressBody) -> Self {
        let AddressBody { label, street, city, region, postal_code, country } = body;
        Self { label, street, city, region, postal_code, country }
    }
}

/// Whose card it shall be.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerBody {
    /// A member, `me`, or `none` for the organisation.
    pub(super) owner: String,
}

/// Where the printed codes of a retired card lead from now on; neither leaves them with a notice.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetireBody {
    /// Another card of the workspace.
    successor: Option<String>,
    /// An address on the web.
    redirect_url: Option<String>,
}

impl RetireBody {
    pub(super) fn successor(self, public_url: &str) -> Result<Successor, CardError> {
        match (self.successor, self.redirect_url) {
            (None, None) => Ok(Successor::Nobody),
            (Some(card), None) => {
                CardId::parse(&card).map(Successor::Card).map_err(|error| CardError::field("successor", error.to_string()))
            }
            (None, Some(url)) => {
                TargetUrl::parse(&url, public_url).map(Successor::Url).map_err(|error| CardError::field("redirect_url", error.to_string()))
            }
            (Some(_), Some(_)) => Err(CardError::field("redirect_url", "must be left out where a successor is named")),
        }
    }
}

/// Which of the caller's cards is given.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeBody {
    /// The caller's card; the oldest that is in use when absent.
    own_card: Option<String>,
    /// The printed code that led to the other card.
    code: Option<String>,
    /// From a page's form: the path to go back to.
    back: Option<String>,
    /// From a page's form: makes a repetition harmless, as the header `Idempotency-Key` does.
    pub(super) once: Option<String>,
}

impl ExchangeBody {
    /// Reads JSON or a page's form; nothing at all is fine too.
    pub(super) fn read(call: &Call, body: &[u8]) -> Result<Self, Problem> {
        if call.is_form() {
            let mut read = Self::default();
            for (name, value) in url::form_urlencoded::parse(body) {
                let value = Some(value.into_owned()).filter(|value| !value.is_empty() && !value.contains('\0'));
                match name.as_ref() {
                    "own_card" => read.own_card = value,
                    "code" => read.code = value,
                    "back" => read.back = value,
                    "once" => read.once = value,
                    _ => {}
                }
            }
            return Ok(read);
        }
        if body.is_empty() { Ok(Self::default()) } else { gateway::from_json(body) }
    }

    /// The caller's card and the code, checked.
    pub(super) fn parsed(&self) -> Result<(Option<CardId>, Option<String>), CardError> {
        let own =
            self.own_card.as_deref().map(CardId::parse).transpose().map_err(|error| CardError::field("own_card", error.to_string()))?;
        let code = match self.code.as_deref().map(|code| PublicCode::parse(code.as_bytes())) {
            None => None,
            Some(Ok(code)) => Some(code.to_string()),
            Some(Err(_)) => return Err(CardError::field("code", "must be a printed code")),
        };
        if self.once.as_ref().is_some_and(|once| once.len() > 100 || !once.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(CardError::field("once", "must be at most 100 visible characters"));
        }
        Ok((own, code))
    }

    /// Only to a path of our own.
    pub(super) fn way_back(&self) -> Option<&str> {
        self.back.as_deref().filter(|back| {
            back.starts_with('/')
                && !back.starts_with("//")
                && !back.contains('\\')
                && back.len() <= 200
                && back.bytes().all(|b| b.is_ascii_graphic())
        })
    }
}
