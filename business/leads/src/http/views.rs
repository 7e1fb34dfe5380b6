//! What goes in and out of the routes.

use kernel::{FieldFault, Id, MemberId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::LeadError;
use crate::commands::Captured;
use crate::contact::{Email, Phone};
use crate::lead::{ConsentText, Lead, LeadId, NoteId, Source};
use crate::queries::{Assignee, Filter, LeadFile};

/// Which leads are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LeadQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only those of this status: new, contacted, qualified, won or lost.
    status: Option<String>,
    /// Only those that this member looks after; `none` for those that nobody does.
    assigned_to: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those with this text in name, email, phone, company or message.
    q: Option<String>,
    /// Only those from this kind of source, for example `card`.
    source_kind: Option<String>,
    /// Only those from this source.
    source_id: Option<String>,
    /// Those that look like the work of a program, in place of all others.
    suspected_spam: Option<bool>,
}

impl LeadQuery {
    /// The filter, and after which lead to begin.
    pub(super) fn filter(self) -> Result<(Filter, Option<LeadId>), LeadError> {
        let mut fields = Vec::new();
        let mut refuse = |field: &str, message: String| fields.push(FieldFault::new(field, message));
        let after =
            self.after.as_deref().map(LeadId::parse).transpose().map_err(|_| refuse("after", "must be the next of a page".to_owned())).ok();
        let status =
            self.status.as_deref().map(str::parse).transpose().map_err(|e: crate::StatusError| refuse("status", e.to_string())).ok();
        let assigned_to = match self.assigned_to.as_deref() {
            None => None,
            Some("none") => Some(Assignee::Nobody),
            Some(text) => MemberId::parse(text).map_err(|e| refuse("assigned_to", e.to_string())).ok().map(Assignee::Member),
        };
        for (field, text) in [("tag", &self.tag), ("q", &self.q), ("source_kind", &self.source_kind), ("source_id", &self.source_id)] {
            if text.as_ref().is_some_and(|text| text.chars().count() > 100) {
                refuse(field, "must have at most 100 characters".to_owned());
            }
        }
        if !fields.is_empty() {
            return Err(LeadError::Invalid { fields });
        }
        let filter = Filter {
            status: status.flatten(),
            assigned_to,
            tag: self.tag,
            source_kind: self.source_kind,
            source_id: self.source_id,
            search: self.q,
            suspected_spam: self.suspected_spam.unwrap_or_default(),
        };
        Ok((filter, after.flatten()))
    }
}

/// Where a lead came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceView {
    /// What sort of thing, for example `card`.
    #[schema(example = "card")]
    pub kind: String,
    /// Which one.
    pub id: String,
    /// The printed code that led there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

impl From<&Source> for SourceView {
    fn from(source: &Source) -> Self {
        Self { kind: source.kind.clone(), id: source.id.clone(), code: source.code.clone() }
    }
}

/// A consent that was given elsewhere.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenBody {
    /// Which of the workspace's consent texts; 0 is the built-in one.
    pub(super) version: i64,
    /// When; now if absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(super) at: Option<Timestamp>,
}

/// A lead to enter.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    /// The person's name.
    #[schema(max_length = 200)]
    pub(super) name: String,
    /// Their email; this or the phone must be given.
    pub(super) email: Option<String>,
    /// Their telephone number.
    pub(super) phone: Option<String>,
    /// Whom they work for.
    #[schema(max_length = 200)]
    pub(super) company: Option<String>,
    /// What they want.
    #[schema(max_length = 2000)]
    pub(super) message: Option<String>,
    /// Where they were met; `api` and the key if absent.
    pub(super) source: Option<SourceView>,
    /// Who looks after the lead.
    #[schema(value_type = Option<String>)]
    pub(super) assigned_to: Option<MemberId>,
    /// What they agreed to.
    pub(super) consent: Option<GivenBody>,
}

/// What is to change of a lead; what is absent stays.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LeadPatchBody)]
pub(super) struct PatchBody {
    /// The version that the change was made on.
    pub(super) version: i64,
    /// new, contacted, qualified, won or lost.
    pub(super) status: Option<String>,
    /// Who looks after it; null for nobody.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    pub(super) assigned_to: Option<Option<MemberId>>,
    /// All its tags.
    #[schema(max_items = 20)]
    pub(super) tags: Option<Vec<String>>,
    /// Whether it is the work of a program.
    pub(super) suspected_spam: Option<bool>,
}

/// Tells an absent field from one that is null.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A note to write.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoteBody {
    /// The text.
    #[schema(min_length = 1, max_length = 4000)]
    pub(super) body: String,
}

/// A person by their addresses; at least one must be given.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonBody {
    /// Their email.
    pub(super) email: Option<String>,
    /// Their telephone number.
    pub(super) phone: Option<String>,
}

/// A consent text to put in force.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConsentBody {
    /// The text that visitors agree to.
    #[schema(min_length = 1, max_length = 2000)]
    pub(super) text: String,
}

/// What a person agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentView {
    /// Which of the workspace's texts.
    pub version: i64,
    /// The text as it was shown.
    pub text: String,
    /// When they agreed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// A lead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeadView {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: LeadId,
    /// Counts the changes; a change names the version that it saw.
    pub version: i64,
    /// new, contacted, qualified, won or lost.
    #[schema(example = "new")]
    pub status: String,
    /// The person's name; empty once erased.
    pub name: String,
    /// Their email.
    pub email: Option<String>,
    /// Their telephone number.
    pub phone: Option<String>,
    /// Whom they work for.
    pub company: Option<String>,
    /// What they wanted first.
    pub message: Option<String>,
    /// Where they came from first.
    pub source: SourceView,
    /// What they agreed to first.
    pub consent: Option<ConsentView>,
    /// Who looks after the lead.
    #[schema(value_type = Option<String>)]
    pub assigned_to: Option<MemberId>,
    /// Its tags, sorted.
    pub tags: Vec<String>,
    /// Looks like the work of a program.
    pub suspected_spam: bool,
    /// How often details were left.
    pub submissions: i64,
    /// How many notes were written.
    pub notes: i64,
    /// When it was captured.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When the person was erased.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub erased_at: Option<Timestamp>,
}

impl From<&Lead> for LeadView {
    fn from(lead: &Lead) -> Self {
        Self {
            id: lead.id,
            version: lead.version,
            status: lead.status.to_string(),
            name: lead.name.clone(),
            email: lead.email.as_ref().map(Email::to_string),
            phone: lead.phone.as_ref().map(Phone::to_string),
            company: lead.company.clone(),
            message: lead.message.clone(),
            source: SourceView::from(&lead.source),
            consent: lead.consent.as_ref().map(|c| ConsentView { version: c.version, text: c.text.clone(), at: c.at }),
            assigned_to: lead.assigned_to,
            tags: lead.tags.clone(),
            suspected_spam: lead.suspected_spam,
            submissions: lead.submissions,
            notes: lead.notes,
            created_at: lead.created_at,
            updated_at: lead.updated_at,
            erased_at: lead.erased_at,
        }
    }
}

/// One time that details were left, as they were left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubmissionView {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: crate::lead::SubmissionId,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Where.
    pub source: SourceView,
    /// The name given then.
    pub name: Option<String>,
    /// The email given then.
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
}

/// What a member wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteView {
    /// Its identifier.
    #[schema(value_type = String)]
    pub id: NoteId,
    /// Who wrote it.
    pub author: String,
    /// The text.
    pub body: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Who.
    pub actor: String,
    /// What happened.
    #[schema(example = "status")]
    pub what: String,
    /// What it was before.
    pub from: Option<String>,
    /// What it became.
    pub to: Option<String>,
}

/// A lead with all that belongs to it, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeadFileView {
    /// The lead.
    pub lead: LeadView,
    /// What was left.
    pub submissions: Vec<SubmissionView>,
    /// What was written about it.
    pub notes: Vec<NoteView>,
    /// What happened to it.
    pub history: Vec<HistoryView>,
}

impl From<&LeadFile> for LeadFileView {
    fn from(file: &LeadFile) -> Self {
        let submissions = file.submissions.iter().map(|s| SubmissionView {
            id: s.id,
            at: s.at,
            source: SourceView::from(&s.source),
            name: s.name.clone(),
            email: s.email.clone(),
            phone: s.phone.clone(),
            company: s.company.clone(),
            message: s.message.clone(),
            consent_version: s.consent_version,
            suspected_spam: s.suspected_spam,
        });
        let notes = file.notes.iter().map(|n| NoteView { id: n.id, author: n.author.clone(), body: n.body.clone(), at: n.at });
        let history = file.history.iter().map(|h| HistoryView {
            at: h.at,
            actor: h.actor.clone(),
            what: h.what.clone(),
            from: h.from.clone(),
            to: h.to.clone(),
        });
        Self { lead: LeadView::from(&file.lead), submissions: submissions.collect(), notes: notes.collect(), history: history.collect() }
    }
}

/// Everything that is kept about a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonFileView {
    /// Their leads.
    pub leads: Vec<LeadFileView>,
}

/// A lead that was entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedView {
    /// The lead.
    #[schema(value_type = String)]
    pub id: LeadId,
    /// Its version.
    pub version: i64,
    /// Whether the person was known and their lead was added to.
    pub again: bool,
    /// Looks like the work of a program.
    pub suspected_spam: bool,
}

impl From<Captured> for CreatedView {
    fn from(captured: Captured) -> Self {
        Self { id: captured.lead, version: captured.version, again: captured.again, suspected_spam: captured.suspected_spam }
    }
}

/// A lead that was changed: what can be changed of it, and nothing about the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangedView {
    /// The lead.
    #[schema(value_type = String)]
    pub id: LeadId,
    /// Its version now.
    pub version: i64,
    /// Its status now.
    #[schema(example = "contacted")]
    pub status: String,
    /// Who looks after it now.
    #[schema(value_type = Option<String>)]
    pub assigned_to: Option<MemberId>,
    /// Its tags now.
    pub tags: Vec<String>,
    /// Looks like the work of a program.
    pub suspected_spam: bool,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl From<&Lead> for ChangedView {
    fn from(lead: &Lead) -> Self {
        Self {
            id: lead.id,
            version: lead.version,
            status: lead.status.to_string(),
            assigned_to: lead.assigned_to,
            tags: lead.tags.clone(),
            suspected_spam: lead.suspected_spam,
            updated_at: lead.updated_at,
        }
    }
}

/// A note that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteAddedView {
    /// The note.
    #[schema(value_type = String)]
    pub id: NoteId,
    /// The lead.
    #[schema(value_type = String)]
    pub lead: LeadId,
    /// The lead's version now.
    pub lead_version: i64,
}

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErasedView {
    /// The leads that remain as counters without a person.
    #[schema(value_type = Vec<String>)]
    pub leads: Vec<LeadId>,
}

/// A consent text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsentTextView {
    /// Its version; 0 is the built-in one.
    pub version: i64,
    /// The text.
    pub text: String,
    /// When it was put; absent for the built-in one.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub created_at: Option<Timestamp>,
}

impl From<ConsentText> for ConsentTextView {
    fn from(text: ConsentText) -> Self {
        Self { version: text.version, text: text.text, created_at: text.created_at }
    }
}
