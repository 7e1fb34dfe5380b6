//! The noun: what a card is, what may stand on it, and how it may change. No I/O.

use std::fmt;

use kernel::{FieldFault, MemberId, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::colour::Colour;
use crate::contact::{Address, AddressDraft, Email, Labelled, LabelledDraft, Link, LinkDraft, Phone};
use crate::language::Language;
use crate::photo::PhotoHash;
use crate::text;

kernel::id!(
    /// A digital business card.
    pub struct CardId = "card"
);

/// The most entries that a card has of each of emails, phones, links and addresses.
pub const ENTRIES_MAX: usize = 10;

/// The most cards that one member owns; a bound on what a page or a job loads at once.
pub const CARDS_PER_OWNER_MAX: i64 = 50;

/// A digital business card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// Its identifier, stable for ever: vCards carry it as their UID.
    pub id: CardId,
    /// The workspace that it belongs to.
    pub workspace: WorkspaceId,
    /// Whose card it is; none for a card of the organisation, or once the owner's data was erased.
    pub owner: Option<MemberId>,
    /// What stands on it.
    pub profile: Profile,
    /// The photo, by the hash of its content.
    pub photo: Option<PhotoHash>,
    /// Whether it is shown.
    pub state: CardState,
    /// Counts the changes, for compare-and-set and for caches.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// Whether a card is shown to those who scan it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    /// A scan opens it.
    Live,
    /// Its owner left or gave it up: a scan gets a notice, unless the code was handed on.
    Retired {
        /// Since when.
        at: Timestamp,
    },
}

/// Why a card cannot change as wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Somebody changed it in between.
    #[error("the card was changed in between: it is at version {current}")]
    Changed {
        /// The version that it has now.
        current: i64,
    },
    /// A retired card does not change.
    #[error("the card is retired")]
    Retired,
}

impl Card {
    /// A new card, live, at version 1.
    pub fn new(id: CardId, workspace: WorkspaceId, owner: Option<MemberId>, profile: Profile, now: Timestamp) -> Self {
        Self { id, workspace, owner, profile, photo: None, state: CardState::Live, version: 1, created_at: now, updated_at: now }
    }

    /// Whether a scan opens it.
    pub fn is_live(&self) -> bool {
        matches!(self.state, CardState::Live)
    }

    /// Puts another profile on it; `expected` is the version that the editor saw, none to overwrite whatever is there.
    pub fn edit(self, profile: Profile, expected: Option<i64>, now: Timestamp) -> Result<Self, Refused> {
        let mut card = self.changeable(expected, now)?;
        card.profile = profile;
        Ok(card)
    }

    /// Gives it another photo, or none.
    pub fn picture(self, photo: Option<PhotoHash>, now: Timestamp) -> Result<Self, Refused> {
        let mut card = self.changeable(None, now)?;
        card.photo = photo;
        Ok(card)
    }

    /// Hands it to another member, or to the organisation.
    pub fn hand_to(self, owner: Option<MemberId>, now: Timestamp) -> Result<Self, Refused> {
        let mut card = self.changeable(None, now)?;
        card.owner = owner;
        Ok(card)
    }

    /// Takes it out of use.
    pub fn retire(self, now: Timestamp) -> Result<Self, Refused> {
        let mut card = self.changeable(None, now)?;
        card.state = CardState::Retired { at: now };
        Ok(card)
    }

    fn changeable(mut self, expected: Option<i64>, now: Timestamp) -> Result<Self, Refused> {
        match (self.state, expected) {
            (CardState::Retired { .. }, _) => Err(Refused::Retired),
            (CardState::Live, Some(expected)) if expected != self.version => Err(Refused::Changed { current: self.version }),
            (CardState::Live, _) => {
                self.version += 1;
                self.updated_at = now;
                Ok(self)
            }
        }
    }
}

/// The names of a person. `display` is always there; the parts are for address books that sort by them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Name {
    /// The whole name as the person writes it.
    pub display: String,
    /// The given name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// The family name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// How the given name is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phonetic_given: Option<String>,
    /// How the family name is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phonetic_family: Option<String>,
}

impl Name {
    /// One or two letters to show in the place of a photo.
    pub fn monogram(&self) -> String {
        let mut words = self.display.split_whitespace();
        let (first, last) = match (&self.given, &self.family) {
            (Some(given), Some(family)) => (Some(given.as_str()), Some(family.as_str())),
            _ => (words.next(), words.next_back()),
        };
        let letter = |word: Option<&str>| word.and_then(|word| word.chars().find(|c| c.is_alphanumeric()));
        let (first, last) = (letter(first), letter(last));
        match (first, last) {
            // The Arabic and Hebrew letters of two words must not join into one.
            (Some(first @ '\u{590}'..='\u{8ff}'), Some(last)) => format!("{first}\u{200c}{last}"),
            (first, last) => first.into_iter().chain(last).flat_map(char::to_uppercase).collect(),
        }
    }
}

/// Everything that stands on a card, checked: made by [`Profile::parse`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What the owner calls this card among their several, never shown to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The person's names.
    pub name: Name,
    /// How the person wants to be spoken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pronouns: Option<String>,
    /// What they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_title: Option<String>,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organisation: Option<String>,
    /// In which part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    /// Mail addresses, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<Labelled<Email>>,
    /// Telephone numbers, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<Labelled<Phone>>,
    /// Web addresses, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// Postal addresses, the preferred one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Address>,
    /// Some lines about the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The language of the card, which also decides its direction.
    pub language: Language,
    /// The colour of the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<Colour>,
}

/// What somebody wants on a card, unchecked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileDraft {
    /// See [`Profile::label`].
    pub label: Option<String>,
    /// The whole name; made of the given and the family name when it is missing.
    pub display_name: Option<String>,
    /// See [`Name::given`].
    pub given_name: Option<String>,
    /// See [`Name::family`].
    pub family_name: Option<String>,
    /// See [`Name::phonetic_given`].
    pub phonetic_given_name: Option<String>,
    /// See [`Name::phonetic_family`].
    pub phonetic_family_name: Option<String>,
    /// See [`Profile::pronouns`].
    pub pronouns: Option<String>,
    /// See [`Profile::job_title`].
    pub job_title: Option<String>,
    /// See [`Profile::organisation`].
    pub organisation: Option<String>,
    /// See [`Profile::department`].
    pub department: Option<String>,
    /// See [`Profile::emails`].
    pub emails: Vec<LabelledDraft>,
    /// See [`Profile::phones`].
    pub phones: Vec<LabelledDraft>,
    /// See [`Profile::links`].
    pub links: Vec<LinkDraft>,
    /// See [`Profile::addresses`].
    pub addresses: Vec<AddressDraft>,
    /// See [`Profile::note`].
    pub note: Option<String>,
    /// A language tag such as `de` or `ar-EG`; English when it is missing.
    pub language: Option<String>,
    /// A colour such as `#0a7d5c`.
    pub colour: Option<String>,
}

impl Profile {
    /// Checks a draft; every field that is refused is named, with its fix.
    pub fn parse(draft: ProfileDraft) -> Result<Self, Vec<FieldFault>> {
        let mut faults = Vec::new();
        let mut line = |field: &str, value: Option<String>, chars_max: usize| text::line(value, field, chars_max, &mut faults);
        let label = line("label", draft.label, 60);
        let given = line("given_name", draft.given_name, 100);
        let family = line("family_name", draft.family_name, 100);
        let phonetic_given = line("phonetic_given_name", draft.phonetic_given_name, 100);
        let phonetic_family = line("phonetic_family_name", draft.phonetic_family_name, 100);
        let display = line("display_name", draft.display_name, 200);
        let pronouns = line("pronouns", draft.pronouns, 40);
        let job_title = line("job_title", draft.job_title, 150);
        let organisation = line("organisation", draft.organisation, 150);
        let department = line("department", draft.department, 150);
        let note = text::lines(draft.note, "note", 1_000, &mut faults);

        let display = display.or_else(|| match (&given, &family) {
            (None, None) => None,
            (given, family) => Some([given.as_deref(), family.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ")),
        });
        if display.is_none() && !faults.iter().any(|fault| fault.field.ends_with("_name")) {
            faults.push(FieldFault::new("display_name", "must be given, unless there is a given or a family name"));
        }
        let emails = entries("emails", draft.emails, &mut faults, |field, entry, faults| Labelled::<Email>::parse(entry, field, faults));
        let phones = entries("phones", draft.phones, &mut faults, |field, entry, faults| Labelled::<Phone>::parse(entry, field, faults));
        let links = entries("links", draft.links, &mut faults, |field, entry, faults| Link::parse(entry, field, faults));
        let addresses = entries("addresses", draft.addresses, &mut faults, |field, entry, faults| Address::parse(entry, field, faults));
        let language = Language::parse(draft.language.as_deref().unwrap_or("en")).unwrap_or_else(|| {
            faults.push(FieldFault::new("language", "must be a language tag such as de, pt-BR or ar"));
            Language::english()
        });
        let colour = match draft.colour.as_deref().map(str::trim).filter(|colour| !colour.is_empty()).map(Colour::parse) {
            Some(None) => {
                faults.push(FieldFault::new("colour", "must be a colour of the form #rrggbb"));
                None
            }
            Some(colour) => colour,
            None => None,
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let name = Name { display: display.unwrap_or_default(), given, family, phonetic_given, phonetic_family };
        Ok(Self { label, name, pronouns, job_title, organisation, department, emails, phones, links, addresses, note, language, colour })
    }

    /// The job title, the department and the organisation that are there, in this order.
    pub fn role_lines(&self) -> Vec<&str> {
        [&self.job_title, &self.department, &self.organisation].into_iter().filter_map(|line| line.as_deref()).collect()
    }
}

fn entries<D, T>(
    field: &str,
    drafts: Vec<D>,
    faults: &mut Vec<FieldFault>,
    parse: fn(&str, D, &mut Vec<FieldFault>) -> Option<T>,
) -> Vec<T> {
    if drafts.len() > ENTRIES_MAX {
        faults.push(FieldFault::new(field, format!("must have at most {ENTRIES_MAX} entries")));
        return Vec::new();
    }
    drafts.into_iter().enumerate().filter_map(|(at, draft)| parse(&format!("{field}[{at}]"), draft, faults)).collect()
}

impl fmt::Display for CardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Retired { .. } => "retired",
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use kernel::{Id, RawId};

    use super::*;

    pub(crate) fn draft(name: &str) -> ProfileDraft {
        ProfileDraft { display_name: Some(name.to_owned()), ..ProfileDraft::default() }
    }

    fn card() -> Card {
        let profile = Profile::parse(draft("Ada Lovelace")).unwrap();
        Card::new(
            CardId::from_raw(RawId::from_bits(1)),
            WorkspaceId::from_raw(RawId::from_bits(2)),
            None,
            profile,
            Timestamp::from_seconds(10),
        )
    }

    #[test]
    fn a_name_is_made_of_its_parts_when_it_is_missing_and_must_be_there_otherwise() {
        let parts = ProfileDraft { given_name: Some(" Ada ".into()), family_name: Some("Lovelace".into()), ..ProfileDraft::default() };
        assert_eq!(Profile::parse(parts).unwrap().name.display, "Ada Lovelace");
        let faults = Profile::parse(ProfileDraft { display_name: Some(" \n".into()), ..ProfileDraft::default() }).unwrap_err();
        assert_eq!(faults[0].field, "display_name");
    }

    #[test]
    fn every_refused_field_is_named_by_its_path() {
        let bad = ProfileDraft {
            emails: vec![LabelledDraft::new("work", "ada@example.org"), LabelledDraft::new("work", "not an address")],
            phones: vec![LabelledDraft::new("lunar", "+44 20 7946 0000")],
            links: vec![LinkDraft { title: None, url: "javascript:alert(1)".into() }],
            language: Some("klingon!".into()),
            colour: Some("reddish".into()),
            ..draft("Ada")
        };
        let fields: Vec<_> = Profile::parse(bad).unwrap_err().into_iter().map(|fault| fault.field).collect();
        assert_eq!(fields, ["emails[1].value", "phones[0].label", "links[0].url", "language", "colour"]);
        let crowd = ProfileDraft { emails: vec![LabelledDraft::new("work", "a@b.example"); 11], ..draft("Ada") };
        assert_eq!(Profile::parse(crowd).unwrap_err()[0].field, "emails");
    }

    #[test]
    fn a_change_on_an_old_version_is_refused_and_a_retired_card_stays_as_it_is() {
        let profile = Profile::parse(draft("Ada King")).unwrap();
        let edited = card().edit(profile.clone(), Some(1), Timestamp::from_seconds(11)).unwrap();
        assert_eq!((edited.version, edited.updated_at), (2, Timestamp::from_seconds(11)));
        assert_eq!(edited.clone().edit(profile.clone(), Some(1), Timestamp::from_seconds(12)), Err(Refused::Changed { current: 2 }));
        let retired = edited.retire(Timestamp::from_seconds(13)).unwrap();
        assert!(!retired.is_live());
        assert_eq!(retired.clone().edit(profile, None, Timestamp::from_seconds(14)), Err(Refused::Retired));
        assert_eq!(retired.retire(Timestamp::from_seconds(14)), Err(Refused::Retired));
    }

    #[test]
    fn a_monogram_takes_the_first_letters_of_the_first_and_the_last_name() {
        let of = |name: &str| Profile::parse(draft(name)).unwrap().name.monogram();
        assert_eq!(of("ada lovelace"), "AL");
        assert_eq!(of("Maria del Carmen García"), "MG");
        assert_eq!(of("Prince"), "P");
        assert_eq!(of("ليلى حداد"), "ل\u{200c}ح");
        assert_eq!(of("山田"), "山");
    }

    #[test]
    fn a_profile_is_read_back_from_what_is_stored() {
        let full = ProfileDraft {
            emails: vec![LabelledDraft::new("work", "ada@example.org")],
            addresses: vec![AddressDraft { label: None, city: Some("London".into()), ..AddressDraft::default() }],
            colour: Some("#0A7D5C".into()),
            language: Some("en-GB".into()),
            ..draft("Ada")
        };
        let profile = Profile::parse(full).unwrap();
        assert_eq!(serde_json::from_str::<Profile>(&serde_json::to_string(&profile).unwrap()).unwrap(), profile);
    }
}
