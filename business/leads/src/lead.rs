//! The noun: what a lead is, where it came from and how far along it may move. Pure.

use std::fmt;
use std::str::FromStr;

use kernel::{FieldFault, MemberId, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::LeadError;
use crate::contact::{Email, Phone};
use crate::text;

kernel::id!(
    /// A lead: somebody who left their details.
    pub struct LeadId = "lead"
);
kernel::id!(
    /// One time that details were left; several may belong to one lead.
    pub struct SubmissionId = "sub"
);
kernel::id!(
    /// A note that a member wrote about a lead.
    pub struct NoteId = "note"
);

kernel::id!(
    /// One line of a lead's history.
    pub struct HistoryId = "hist"
);

/// Most tags that one lead carries.
pub const TAGS_MAX: usize = 20;
/// Longest tag, in characters.
pub const TAG_CHARS_MAX: usize = 40;
/// Longest note, in characters.
pub const NOTE_CHARS_MAX: usize = 4_000;
/// Most notes that one lead carries.
pub const NOTES_MAX: i64 = 500;

/// Where a lead came from. Opaque here: the module that captured it knows what the kind and the id mean.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// What sort of thing, for example `card`.
    pub kind: String,
    /// Which one.
    pub id: String,
    /// The printed code that led there, when there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl Source {
    /// The thing `id` of the sort `kind`.
    pub fn new(kind: impl Into<String>, id: impl fmt::Display) -> Self {
        Self { kind: kind.into(), id: id.to_string(), code: None }
    }

    /// The same, reached by a printed code.
    #[must_use]
    pub fn by_code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Refuses what a stranger could make too long: the kind is up to 40 letters of `a-z_`, the rest up to 100 characters.
    pub fn check(&self) -> Result<(), LeadError> {
        let mut faults = Vec::new();
        if self.kind.is_empty() || self.kind.len() > 40 || !self.kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            faults.push(FieldFault::new("source.kind", "must be 1 to 40 small letters or underscores"));
        }
        if let Err(message) = text::line(&self.id, 1, 100) {
            faults.push(FieldFault::new("source.id", message));
        }
        if let Some(Err(message)) = self.code.as_deref().map(|code| text::line(code, 1, 100)) {
            faults.push(FieldFault::new("source.code", message));
        }
        if faults.is_empty() { Ok(()) } else { Err(LeadError::Invalid { fields: faults }) }
    }
}

/// What the visitor agreed to, as it was shown to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Consent {
    /// Which of the workspace's texts.
    pub version: i64,
    /// The text itself.
    pub text: String,
    /// When they agreed.
    pub at: Timestamp,
}

/// One of a workspace's consent texts. Texts are never edited: a change is a new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentText {
    /// 0 is the built-in text, the workspace's own start at 1.
    pub version: i64,
    /// The text.
    pub text: String,
    /// When it was put; `None` for the built-in one.
    pub created_at: Option<Timestamp>,
}

/// The text of version 0. It is on record with every lead that agreed to it, so it must never change: a better wording
/// is a new version of the workspace.
pub const DEFAULT_CONSENT: &str =
    "I agree that my details are stored and used to contact me about my request. I can have them deleted at any time.";

impl ConsentText {
    /// The built-in text, in force until the workspace puts its own.
    pub fn built_in() -> Self {
        Self { version: 0, text: DEFAULT_CONSENT.to_owned(), created_at: None }
    }
}

/// How far along a lead is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nobody has answered yet.
    New,
    /// Somebody has answered.
    Contacted,
    /// It may become business.
    Qualified,
    /// It became business.
    Won,
    /// It did not.
    Lost,
}

/// A word that is not a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be new, contacted, qualified, won or lost")]
pub struct StatusError;

impl Status {
    /// All of them, in the order of a lead's life.
    pub const ALL: [Self; 5] = [Self::New, Self::Contacted, Self::Qualified, Self::Won, Self::Lost];

    /// Its word in rows, facts and answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Contacted => "contacted",
            Self::Qualified => "qualified",
            Self::Won => "won",
            Self::Lost => "lost",
        }
    }

    /// Where a lead may go from here. It never becomes new again; a closed one is reopened before it closes otherwise.
    pub const fn next(self) -> &'static [Self] {
        match self {
            Self::New => &[Self::Contacted, Self::Qualified, Self::Won, Self::Lost],
            Self::Contacted => &[Self::Qualified, Self::Won, Self::Lost],
            Self::Qualified => &[Self::Contacted, Self::Won, Self::Lost],
            Self::Won => &[Self::Qualified],
            Self::Lost => &[Self::Contacted, Self::Qualified],
        }
    }

    /// Moves to `to`; staying where it is is no move and is allowed.
    pub fn move_to(self, to: Self) -> Result<Self, LeadError> {
        if self == to || self.next().contains(&to) { Ok(to) } else { Err(LeadError::Transition { from: self, to }) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Status {
    type Err = StatusError;
    fn from_str(word: &str) -> Result<Self, StatusError> {
        Self::ALL.into_iter().find(|status| status.word() == word).ok_or(StatusError)
    }
}

/// What a person left about themselves, checked. At least one of email and phone is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLead {
    /// Their name.
    pub name: String,
    /// Where to write to.
    pub email: Option<Email>,
    /// Where to ring.
    pub phone: Option<Phone>,
    /// Whom they work for.
    pub company: Option<String>,
    /// What they want, up to 2,000 characters.
    pub message: Option<String>,
    /// Whether the field that people do not see was filled, as programs do.
    pub trapped: bool,
}

/// A lead as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// Its identifier.
    pub id: LeadId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Counts the changes; a change names the version that it saw.
    pub version: i64,
    /// Where it came from first.
    pub source: Source,
    /// How far along it is.
    pub status: Status,
    /// The person's name; empty once erased.
    pub name: String,
    /// Where to write to.
    pub email: Option<Email>,
    /// Where to ring.
    pub phone: Option<Phone>,
    /// Whom they work for.
    pub company: Option<String>,
    /// What they wanted first; what they wrote later stands in the submissions.
    pub message: Option<String>,
    /// What they agreed to first; a program may enter a lead without.
    pub consent: Option<Consent>,
    /// Who looks after it.
    pub assigned_to: Option<MemberId>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Looks like the work of a program; kept, but nobody was told.
    pub suspected_spam: bool,
    /// How often details were left.
    pub submissions: i64,
    /// How many notes were written.
    pub notes: i64,
    /// When it was captured.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the person was erased, after which only counters and the status are left.
    pub erased_at: Option<Timestamp>,
}

impl Lead {
    /// The lead with what was missing taken from a later submission; what is there stays.
    #[must_use]
    pub fn filled_from(mut self, new: &NewLead) -> Self {
        self.email = self.email.or_else(|| new.email.clone());
        self.phone = self.phone.or_else(|| new.phone.clone());
        self.company = self.company.or_else(|| new.company.clone());
        self.message = self.message.or_else(|| new.message.clone());
        self
    }

    /// What a search looks through, in lower case (the two engines fold case differently, so it is done here).
    pub fn search_text(&self) -> String {
        let parts = [
            Some(self.name.as_str()),
            self.email.as_ref().map(Email::as_str),
            self.phone.as_ref().map(Phone::as_str),
            self.company.as_deref(),
            self.message.as_deref(),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n").to_lowercase()
    }
}

/// One time that details were left, as they were left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submission {
    /// Its identifier.
    pub id: SubmissionId,
    /// The lead that it belongs to.
    pub lead: LeadId,
    /// Where it was left.
    pub source: Source,
    /// The name given then; `None` once erased.
    pub name: Option<String>,
    /// The address given then.
    pub email: Option<String>,
    /// The number given then.
    pub phone: Option<String>,
    /// The company given then.
    pub company: Option<String>,
    /// The message left then.
    pub message: Option<String>,
    /// Which consent text was agreed to.
    pub consent_version: Option<i64>,
    /// Looks like the work of a program.
    pub suspected_spam: bool,
    /// When.
    pub at: Timestamp,
}

/// One line of a lead's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// Who: a member, a key, a visitor or the system; an identifier, never a name.
    pub actor: String,
    /// What happened: `captured`, `submitted_again`, `suspected`, `status`, `assigned`, `tag_added`, `tag_removed`, `noted`,
    /// `cleared_of_spam`, `marked_as_spam` or `erased`.
    pub what: String,
    /// What it was before, where that means something.
    pub from: Option<String>,
    /// What it became.
    pub to: Option<String>,
}

/// What a member wrote about a lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its identifier.
    pub id: NoteId,
    /// Who wrote it.
    pub author: String,
    /// The text.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

/// Reads a tag: 1 to 40 characters without commas (which separate tags in tables), in lower case.
pub fn parse_tag(input: &str) -> Result<String, String> {
    let tag = text::line(input, 1, TAG_CHARS_MAX)?.to_lowercase();
    if tag.contains(',') { Err("must not contain a comma".to_owned()) } else { Ok(tag) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lead_moves_only_along_the_allowed_ways() {
        use Status::{Contacted, Lost, New, Qualified, Won};
        let allowed = [
            (New, vec![New, Contacted, Qualified, Won, Lost]),
            (Contacted, vec![Contacted, Qualified, Won, Lost]),
            (Qualified, vec![Contacted, Qualified, Won, Lost]),
            (Won, vec![Qualified, Won]),
            (Lost, vec![Contacted, Qualified, Lost]),
        ];
        for (from, to_allowed) in allowed {
            for to in Status::ALL {
                assert_eq!(from.move_to(to).is_ok(), to_allowed.contains(&to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn a_status_is_read_back_from_its_word() {
        for status in Status::ALL {
            assert_eq!(status.word().parse(), Ok(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
        assert_eq!("NEW".parse::<Status>(), Err(StatusError));
    }

    #[test]
    fn the_built_in_consent_is_the_one_that_leads_have_on_record() {
        use sha2::{Digest, Sha256};
        let hash: String = Sha256::digest(DEFAULT_CONSENT).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, "cf2ba9ab6aa0d90128e7a99fe243ea4fecb974fe9c58af71f5b9f8b916d4da7f");
    }

    #[test]
    fn a_tag_is_short_and_in_lower_case() {
        assert_eq!(parse_tag("  Trade   Fair "), Ok("trade fair".to_owned()));
        for bad in ["", "  ", "a,b", "a\u{0}b", &"x".repeat(41)] {
            assert!(parse_tag(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_source_is_bounded() {
        assert!(Source::new("card", "card_1").by_code("ABC").check().is_ok());
        for bad in
            [Source::new("", "x"), Source::new("Card", "x"), Source::new("card", ""), Source::new("card", "x").by_code("x".repeat(101))]
        {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
