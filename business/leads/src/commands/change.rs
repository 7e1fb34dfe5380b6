//! Members work on a lead.

use kernel::{FieldFault, MemberId, WorkspaceId};
use serde_json::json;
use store::{Reads, Tx, params};

use super::{history, hold};
use crate::events::LeadChanged;
use crate::lead::{Lead, LeadId, NOTE_CHARS_MAX, NOTES_MAX, NoteId, Status, TAGS_MAX, parse_tag};
use crate::{LeadError, grants, sql, text};

/// What is to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// The status that it is to have.
    pub status: Option<Status>,
    /// Who is to look after it; `Some(None)` for nobody.
    pub assigned_to: Option<Option<MemberId>>,
    /// All the tags that it is to carry.
    pub tags: Option<Vec<String>>,
    /// Whether it is the work of a program.
    pub suspected_spam: Option<bool>,
}

/// A note that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoteAdded {
    /// The note.
    pub note: NoteId,
    /// The lead's version after it.
    pub version: i64,
}

/// Changes a lead that the caller saw at `version`. A change that changes nothing is none: no version, no history.
pub async fn change(tx: &mut Tx, id: LeadId, version: i64, change: Change) -> Result<Lead, LeadError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let lead = hold(tx, workspace, id).await?;
    if lead.version != version {
        return Err(LeadError::Stale { actual: lead.version });
    }
    apply(tx, lead, change).await
}

/// Moves a lead to another status.
pub async fn change_status(tx: &mut Tx, id: LeadId, version: i64, status: Status) -> Result<Lead, LeadError> {
    change(tx, id, version, Change { status: Some(status), ..Change::default() }).await
}

/// Gives a lead to a member, or to nobody.
pub async fn assign(tx: &mut Tx, id: LeadId, version: i64, member: Option<MemberId>) -> Result<Lead, LeadError> {
    change(tx, id, version, Change { assigned_to: Some(member), ..Change::default() }).await
}

/// Adds a tag to a lead, whatever its version: two that add different tags do not disturb each other.
pub async fn add_tag(tx: &mut Tx, id: LeadId, tag: &str) -> Result<Lead, LeadError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let lead = hold(tx, workspace, id).await?;
    let tags = lead.tags.iter().cloned().chain([tag.to_owned()]).collect();
    apply(tx, lead, Change { tags: Some(tags), ..Change::default() }).await
}

/// Takes a tag off a lead, whatever its version.
pub async fn remove_tag(tx: &mut Tx, id: LeadId, tag: &str) -> Result<Lead, LeadError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let lead = hold(tx, workspace, id).await?;
    let gone = tag.trim().to_lowercase();
    let tags = lead.tags.iter().filter(|tag| **tag != gone).cloned().collect();
    apply(tx, lead, Change { tags: Some(tags), ..Change::default() }).await
}

/// Writes a note about a lead.
pub async fn add_note(tx: &mut Tx, id: LeadId, body: &str) -> Result<NoteAdded, LeadError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let body = text::paragraphs(body, 1, NOTE_CHARS_MAX).map_err(|message| LeadError::field("body", message))?;
    let lead = hold(tx, workspace, id).await?;
    if lead.notes >= NOTES_MAX {
        return Err(LeadError::field("body", format!("a lead has at most {NOTES_MAX} notes")));
    }
    let (note, author, now) = (tx.new_id::<NoteId>(), tx.caller().actor(), Reads::now(tx));
    tx.execute(&sql::INSERT_NOTE, params![workspace, note, id, author, body, now]).await?;
    let changed = tx.execute(&sql::COUNT_NOTE, params![workspace, id, lead.version, now]).await?;
    if changed == 0 {
        return Err(LeadError::Stale { actual: lead.version });
    }
    let note_text = note.to_string();
    history(tx, workspace, id, "noted", None, Some(&note_text)).await?;
    let version = lead.version + 1;
    tell(tx, &Lead { version, ..lead }, vec!["noted".to_owned()]).await?;
    Ok(NoteAdded { note, version })
}

async fn apply(tx: &mut Tx, lead: Lead, change: Change) -> Result<Lead, LeadError> {
    let workspace = lead.workspace;
    let mut next = lead.clone();
    let mut steps: Vec<(&'static str, Option<String>, Option<String>)> = Vec::new();
    if let Some(status) = change.status {
        next.status = lead.status.move_to(status)?;
        if next.status != lead.status {
            steps.push(("status", Some(lead.status.to_string()), Some(status.to_string())));
        }
    }
    if let Some(member) = change.assigned_to
        && member != lead.assigned_to
    {
        if let Some(member) = member {
            check_member(tx, workspace, member).await?;
        }
        next.assigned_to = member;
        steps.push(("assigned", lead.assigned_to.map(|m| m.to_string()), member.map(|m| m.to_string())));
    }
    if let Some(suspected) = change.suspected_spam
        && suspected != lead.suspected_spam
    {
        next.suspected_spam = suspected;
        steps.push((if suspected { "marked_as_spam" } else { "cleared_of_spam" }, None, None));
    }
    if let Some(tags) = change.tags {
        next.tags = parse_tags(&tags)?;
        for tag in next.tags.iter().filter(|tag| !lead.tags.contains(tag)) {
            tx.execute(&sql::INSERT_TAG, params![workspace, tag, lead.id]).await?;
            steps.push(("tag_added", None, Some(tag.clone())));
        }
        for tag in lead.tags.iter().filter(|tag| !next.tags.contains(tag)) {
            tx.execute(&sql::DELETE_TAG, params![workspace, tag, lead.id]).await?;
            steps.push(("tag_removed", Some(tag.clone()), None));
        }
    }
    if steps.is_empty() {
        return Ok(lead);
    }
    next.updated_at = Reads::now(tx);
    let word = next.status.word();
    let params = params![workspace, lead.id, lead.version, word, next.assigned_to, next.suspected_spam, next.updated_at];
    if tx.execute(&sql::UPDATE_LEAD, params).await? == 0 {
        return Err(LeadError::Stale { actual: lead.version });
    }
    next.version = lead.version + 1;
    for (what, from, to) in &steps {
        history(tx, workspace, lead.id, what, from.as_deref(), to.as_deref()).await?;
    }
    let mut what: Vec<String> = steps.into_iter().map(|(what, ..)| what.to_owned()).collect();
    what.dedup();
    tell(tx, &next, what).await?;
    Ok(next)
}

/// The audit trail and the fact, which name what changed and never to what words.
async fn tell(tx: &mut Tx, lead: &Lead, what: Vec<String>) -> Result<(), LeadError> {
    let subject = lead.id.to_string();
    outbox::audit(tx, lead.workspace, "lead.changed", &subject, &json!({ "what": what, "version": lead.version })).await?;
    let fact = LeadChanged { lead: lead.id, version: lead.version, what, status: lead.status, assigned_to: lead.assigned_to };
    outbox::publish(tx, lead.workspace, &fact).await?;
    Ok(())
}

/// Refuses somebody who is not a member of the workspace.
pub(super) async fn check_member(tx: &mut Tx, workspace: WorkspaceId, member: MemberId) -> Result<(), LeadError> {
    if people::queries::member(tx, workspace, member).await?.is_none() {
        return Err(LeadError::field("assigned_to", "must be a member of this workspace"));
    }
    Ok(())
}

fn parse_tags(tags: &[String]) -> Result<Vec<String>, LeadError> {
    let (mut kept, mut faults) = (Vec::new(), Vec::new());
    for (at, tag) in tags.iter().enumerate().take(TAGS_MAX * 10) {
        match parse_tag(tag) {
            Ok(tag) => kept.push(tag),
            Err(message) => faults.push(FieldFault::new(format!("tags[{at}]"), message)),
        }
    }
    kept.sort_unstable();
    kept.dedup();
    if kept.len() > TAGS_MAX || tags.len() > TAGS_MAX * 10 {
        faults.push(FieldFault::new("tags", format!("must be at most {TAGS_MAX}")));
    }
    if faults.is_empty() { Ok(kept) } else { Err(LeadError::Invalid { fields: faults }) }
}
