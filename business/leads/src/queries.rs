//! Reading leads, inside a unit of work and outside of one alike.

use kernel::{MemberId, WorkspaceId};
use serde::Serialize;
use store::{Reads, StoreError, params};

use crate::LeadError;
use crate::contact::Person;
use crate::lead::{ConsentText, HistoryEntry, Lead, LeadId, Note, Status, Submission, SubmissionId};
use crate::sql;

/// Most lines of history and most submissions that are shown with a lead, the newest first.
const SHOWN_MAX: i64 = 200;
/// The same in the export of a person, which is to be complete.
const EXPORTED_MAX: i64 = 100_000;
/// Sorts after every identifier of a lead.
const AFTER_ALL: &str = "lead_~";

/// Whom a list of leads is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignee {
    /// Looked after by this member.
    Member(MemberId),
    /// Looked after by nobody.
    Nobody,
}

/// Which leads are wanted; everything that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In this status.
    pub status: Option<Status>,
    /// Looked after by this member, or by nobody.
    pub assigned_to: Option<Assignee>,
    /// Carrying this tag.
    pub tag: Option<String>,
    /// From this kind of source.
    pub source_kind: Option<String>,
    /// From this source.
    pub source_id: Option<String>,
    /// With these words in name, addresses, company or message.
    pub search: Option<String>,
    /// Those that look like the work of a program, in place of all others.
    pub suspected_spam: bool,
}

/// A lead with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeadFile {
    /// The lead.
    pub lead: Lead,
    /// What was left, the newest first.
    pub submissions: Vec<Submission>,
    /// What was written about it, the newest first.
    pub notes: Vec<Note>,
    /// What happened to it, the newest first.
    pub history: Vec<HistoryEntry>,
}

/// How many leads stand at each status, spam and erased ones left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Of each status, in the order of [`Status::ALL`].
    pub by_status: [i64; 5],
}

impl Counts {
    /// How many stand at `status`.
    pub fn of(&self, status: Status) -> i64 {
        Status::ALL.iter().position(|s| *s == status).map_or(0, |at| self.by_status[at])
    }
}

/// One lead of a workspace, erased ones included.
pub async fn find(reads: &mut impl Reads, workspace: WorkspaceId, id: LeadId) -> Result<Option<Lead>, StoreError> {
    reads.row(&sql::FIND_LEAD, params![workspace, id], sql::lead).await
}

/// The same, or that there is none.
pub async fn get(reads: &mut impl Reads, workspace: WorkspaceId, id: LeadId) -> Result<Lead, LeadError> {
    find(reads, workspace, id).await?.ok_or(LeadError::NotFound { id })
}

/// A lead with its submissions, notes and history, at most 200 of each but the notes.
pub async fn file(reads: &mut impl Reads, workspace: WorkspaceId, id: LeadId) -> Result<LeadFile, LeadError> {
    file_of(reads, workspace, id, SHOWN_MAX).await
}

async fn file_of(reads: &mut impl Reads, workspace: WorkspaceId, id: LeadId, max: i64) -> Result<LeadFile, LeadError> {
    let lead = get(reads, workspace, id).await?;
    let submissions = reads.rows(&sql::LIST_SUBMISSIONS, params![workspace, id, max], sql::submission).await?;
    let notes = reads.rows(&sql::LIST_NOTES, params![workspace, id, crate::lead::NOTES_MAX], sql::note).await?;
    let history = reads.rows(&sql::LIST_HISTORY, params![workspace, id, max], sql::history).await?;
    Ok(LeadFile { lead, submissions, notes, history })
}

/// One time that details were left.
pub async fn submission(reads: &mut impl Reads, workspace: WorkspaceId, id: SubmissionId) -> Result<Option<Submission>, StoreError> {
    reads.row(&sql::FIND_SUBMISSION, params![workspace, id], sql::submission).await
}

/// At most `limit` leads that `filter` lets through, the newest first, beginning after `after`.
pub async fn list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &Filter,
    after: Option<LeadId>,
    limit: i64,
) -> Result<Vec<Lead>, StoreError> {
    let after = after.map_or_else(|| AFTER_ALL.to_owned(), |id| id.to_string());
    let assigned = match filter.assigned_to {
        None => String::new(),
        Some(Assignee::Nobody) => "none".to_owned(),
        Some(Assignee::Member(member)) => member.to_string(),
    };
    let status = filter.status.map_or("", Status::word);
    let (kind, id) = (filter.source_kind.as_deref().unwrap_or_default(), filter.source_id.as_deref().unwrap_or_default());
    let search = filter.search.as_deref().map(pattern).unwrap_or_default();
    let spam = filter.suspected_spam;
    match &filter.tag {
        None => {
            let params = params![workspace, after, status, assigned, kind, id, search, spam, limit];
            reads.rows(&sql::LIST_LEADS, params, sql::lead).await
        }
        Some(tag) => {
            let tag = tag.trim().to_lowercase();
            let params = params![workspace, after, status, assigned, kind, id, search, spam, limit, tag];
            reads.rows(&sql::LIST_TAGGED_LEADS, params, sql::lead).await
        }
    }
}

/// What finds a text anywhere in another, with the signs of the pattern language taken as they are.
fn pattern(search: &str) -> String {
    let search = search.trim().to_lowercase();
    if search.is_empty() {
        return String::new();
    }
    let plain = search.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{plain}%")
}

/// How many leads stand at each status.
pub async fn count(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Counts, StoreError> {
    let mut counts = Counts::default();
    for (word, number) in reads.rows(&sql::COUNT_LEADS, params![workspace], sql::status_count).await? {
        if let Some(at) = Status::ALL.iter().position(|status| status.word() == word) {
            counts.by_status[at] = number;
        }
    }
    Ok(counts)
}

/// The consent text in force: the workspace's latest, or the built-in one. Its version goes into the form's token.
pub async fn current_consent(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<ConsentText, StoreError> {
    Ok(reads.row(&sql::LATEST_CONSENT, params![workspace], sql::consent).await?.unwrap_or_else(ConsentText::built_in))
}

/// The consent text of one version.
pub async fn consent(reads: &mut impl Reads, workspace: WorkspaceId, version: i64) -> Result<Option<ConsentText>, StoreError> {
    if version == 0 {
        return Ok(Some(ConsentText::built_in()));
    }
    reads.row(&sql::FIND_CONSENT, params![workspace, version], sql::consent).await
}

/// The leads that hold anything under one of a person's addresses, by identifier; at most 2,000.
pub async fn leads_of_person(reads: &mut impl Reads, workspace: WorkspaceId, person: &Person) -> Result<Vec<LeadId>, StoreError> {
    let mut leads = Vec::new();
    if let Some(email) = &person.email {
        leads.extend(reads.rows(&sql::FIND_LEADS_OF_EMAIL, params![workspace, email.as_str()], sql::lead_id).await?);
    }
    if let Some(phone) = &person.phone {
        leads.extend(reads.rows(&sql::FIND_LEADS_OF_PHONE, params![workspace, phone.as_str()], sql::lead_id).await?);
    }
    leads.sort_unstable();
    leads.dedup();
    Ok(leads)
}

/// Everything that is kept about a person, for them to have.
pub async fn export_person(reads: &mut impl Reads, workspace: WorkspaceId, person: &Person) -> Result<Vec<LeadFile>, LeadError> {
    let mut files = Vec::new();
    for id in leads_of_person(reads, workspace, person).await? {
        files.push(file_of(reads, workspace, id, EXPORTED_MAX).await?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_the_signs_of_patterns_as_they_are() {
        assert_eq!(pattern(" 50%_\\ Off "), "%50\\%\\_\\\\ off%");
        assert_eq!(pattern("  "), "");
    }
}
