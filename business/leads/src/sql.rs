//! Every statement of leads, and how its rows are read.
//!
//! Tables: `leads`, `leads_addresses`, `leads_submissions`, `leads_tags`, `leads_notes`, `leads_history`, `leads_consents`.

use std::str::FromStr;

use store::{Row, StoreError};

use crate::contact::{Email, Phone};
use crate::lead::{Consent, ConsentText, HistoryEntry, Lead, LeadId, Note, Source, Submission};

store::statements! {
    INSERT_LEAD = "insert into leads (workspace, id, version, status, source_kind, source_id, source_code, name, email, phone, company, message,
        search_text, consent_version, consent_text, consent_at, assigned_to, suspected_spam, submission_count, note_count, created_at, updated_at)
        values ($1, $2, 1, 'new', $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, 1, 0, $17, $17)";
    FIND_LEAD = "select l.id, l.workspace, l.version, l.status, l.source_kind, l.source_id, l.source_code, l.name, l.email, l.phone, l.company, l.message,
        l.consent_version, l.consent_text, l.consent_at, l.assigned_to, l.suspected_spam, l.submission_count, l.note_count, l.created_at,
        l.updated_at, l.erased_at, (select string_agg(t.tag, ',' order by t.tag) from leads_tags t where t.workspace = l.workspace and t.lead = l.id) as tags
        from leads l where l.workspace = $1 and l.id = $2";
    LIST_LEADS = "select l.id, l.workspace, l.version, l.status, l.source_kind, l.source_id, l.source_code, l.name, l.email, l.phone, l.company, l.message,
        l.consent_version, l.consent_text, l.consent_at, l.assigned_to, l.suspected_spam, l.submission_count, l.note_count, l.created_at,
        l.updated_at, l.erased_at, (select string_agg(t.tag, ',' order by t.tag) from leads_tags t where t.workspace = l.workspace and t.lead = l.id) as tags
        from leads l where l.workspace = $1 and l.id < $2 and l.erased_at is null
        and ($3 = '' or l.status = $3)
        and ($4 = '' or ($4 = 'none' and l.assigned_to is null) or l.assigned_to = $4)
        and ($5 = '' or l.source_kind = $5) and ($6 = '' or l.source_id = $6)
        and ($7 = '' or l.search_text like $7 escape '\\')
        and l.suspected_spam = $8
        order by l.id desc limit $9";
    LIST_TAGGED_LEADS = "select l.id, l.workspace, l.version, l.status, l.source_kind, l.source_id, l.source_code, l.name, l.email, l.phone, l.company, l.message,
        l.consent_version, l.consent_text, l.consent_at, l.assigned_to, l.suspected_spam, l.submission_count, l.note_count, l.created_at,
        l.updated_at, l.erased_at, (select string_agg(t.tag, ',' order by t.tag) from leads_tags t where t.workspace = l.workspace and t.lead = l.id) as tags
        from leads_tags g join leads l on l.workspace = g.workspace and l.id = g.lead
        where g.workspace = $1 and g.tag = $10 and g.lead < $2 and l.erased_at is null
        and ($3 = '' or l.status = $3)
        and ($4 = '' or ($4 = 'none' and l.assigned_to is null) or l.assigned_to = $4)
        and ($5 = '' or l.source_kind = $5) and ($6 = '' or l.source_id = $6)
        and ($7 = '' or l.search_text like $7 escape '\\')
        and l.suspected_spam = $8
        order by g.lead desc limit $9";
    COUNT_LEADS = "select status, count(*) from leads where workspace = $1 and erased_at is null and suspected_spam = false group by status order by status";
    FILL_LEAD = "update leads set email = $4, phone = $5, company = $6, message = $7, search_text = $8, assigned_to = $9, suspected_spam = $10,
        submission_count = submission_count + 1, version = version + 1, updated_at = $11 where workspace = $1 and id = $2 and version = $3";
    UPDATE_LEAD = "update leads set status = $4, assigned_to = $5, suspected_spam = $6, version = version + 1, updated_at = $7
        where workspace = $1 and id = $2 and version = $3";
    COUNT_NOTE = "update leads set note_count = note_count + 1, version = version + 1, updated_at = $4
        where workspace = $1 and id = $2 and version = $3";
    ERASE_LEAD = "update leads set name = '', email = null, phone = null, company = null, message = null, search_text = '', consent_text = null,
        source_code = null, version = version + 1, updated_at = $3, erased_at = $3 where workspace = $1 and id = $2 and erased_at is null";

    FIND_ADDRESS = "select lead from leads_addresses where workspace = $1 and kind = $2 and address = $3";
    INSERT_ADDRESS = "insert into leads_addresses (workspace, kind, address, lead) values ($1, $2, $3, $4) on conflict (workspace, kind, address) do nothing";
    DELETE_ADDRESSES = "delete from leads_addresses where workspace = $1 and lead = $2";

    INSERT_SUBMISSION = "insert into leads_submissions (workspace, id, lead, nonce, fingerprint, source_kind, source_id, source_code, name, email,
        phone, company, message, consent_version, suspected_spam, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
    FIND_SUBMISSION_BY_NONCE = "select lead, fingerprint, suspected_spam from leads_submissions where workspace = $1 and nonce = $2";
    FIND_SUBMISSION = "select id, lead, source_kind, source_id, source_code, name, email, phone, company, message, consent_version, suspected_spam, created_at
        from leads_submissions where workspace = $1 and id = $2";
    LIST_SUBMISSIONS = "select id, lead, source_kind, source_id, source_code, name, email, phone, company, message, consent_version, suspected_spam, created_at
        from leads_submissions where workspace = $1 and lead = $2 order by id desc limit $3";
    FIND_LEADS_OF_EMAIL = "select distinct lead from leads_submissions where workspace = $1 and email = $2 order by lead limit 1000";
    FIND_LEADS_OF_PHONE = "select distinct lead from leads_submissions where workspace = $1 and phone = $2 order by lead limit 1000";
    LIST_ADDRESSES = "select email from leads_submissions where workspace = $1 and lead = $2 and email is not null
        union select phone from leads_submissions where workspace = $1 and lead = $2 and phone is not null order by 1 limit 1000";
    ERASE_SUBMISSIONS = "update leads_submissions set fingerprint = null, source_code = null, name = null, email = null, phone = null,
        company = null, message = null where workspace = $1 and lead = $2";

    INSERT_TAG = "insert into leads_tags (workspace, tag, lead) values ($1, $2, $3) on conflict (workspace, tag, lead) do nothing";
    DELETE_TAG = "delete from leads_tags where workspace = $1 and tag = $2 and lead = $3";
    DELETE_TAGS = "delete from leads_tags where workspace = $1 and lead = $2";

    INSERT_NOTE = "insert into leads_notes (workspace, id, lead, author, body, created_at) values ($1, $2, $3, $4, $5, $6)";
    LIST_NOTES = "select id, author, body, created_at from leads_notes where workspace = $1 and lead = $2 order by id desc limit $3";
    DELETE_NOTES = "delete from leads_notes where workspace = $1 and lead = $2";

    INSERT_HISTORY = "insert into leads_history (workspace, id, lead, actor, what, from_value, to_value, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST_HISTORY = "select actor, what, from_value, to_value, created_at from leads_history where workspace = $1 and lead = $2 order by id desc limit $3";
    ERASE_HISTORY = "update leads_history set from_value = null, to_value = null where workspace = $1 and lead = $2
        and what in ('tag_added', 'tag_removed')";

    INSERT_CONSENT = "insert into leads_consents (workspace, version, wording, created_by, created_at) values ($1, $2, $3, $4, $5)";
    FIND_CONSENT = "select version, wording, created_at from leads_consents where workspace = $1 and version = $2";
    LATEST_CONSENT = "select version, wording, created_at from leads_consents where workspace = $1 order by version desc limit 1";
}

pub(crate) fn lead(row: &Row<'_>) -> Result<Lead, StoreError> {
    let consent =
        match (row.get::<Option<i64>>("consent_version")?, row.get::<Option<String>>("consent_text")?, row.opt_time("consent_at")?) {
            (Some(version), Some(text), Some(at)) => Some(Consent { version, text, at }),
            _ => None,
        };
    let tags = row.get::<Option<String>>("tags")?.unwrap_or_default();
    Ok(Lead {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        version: row.get("version")?,
        source: source(row)?,
        status: row.parsed("status")?,
        name: row.get("name")?,
        email: optional::<Email>(row, "email")?,
        phone: optional::<Phone>(row, "phone")?,
        company: row.get("company")?,
        message: row.get("message")?,
        consent,
        assigned_to: row.opt_id("assigned_to")?,
        tags: tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        suspected_spam: row.get("suspected_spam")?,
        submissions: row.get("submission_count")?,
        notes: row.get("note_count")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
        erased_at: row.opt_time("erased_at")?,
    })
}

fn source(row: &Row<'_>) -> Result<Source, StoreError> {
    Ok(Source { kind: row.get("source_kind")?, id: row.get("source_id")?, code: row.get("source_code")? })
}

fn optional<T: FromStr>(row: &Row<'_>, column: &'static str) -> Result<Option<T>, StoreError>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    row.get::<Option<String>>(column)?.map(|text| text.parse().map_err(StoreError::decode)).transpose()
}

pub(crate) fn lead_id(row: &Row<'_>) -> Result<LeadId, StoreError> {
    row.id("lead")
}

/// The lead that a token made, and what was sent with it (nothing once the person was erased).
pub(crate) struct Sent {
    pub(crate) lead: LeadId,
    pub(crate) fingerprint: Option<String>,
    pub(crate) suspected_spam: bool,
}

pub(crate) fn sent(row: &Row<'_>) -> Result<Sent, StoreError> {
    Ok(Sent { lead: row.id("lead")?, fingerprint: row.get("fingerprint")?, suspected_spam: row.get("suspected_spam")? })
}

pub(crate) fn submission(row: &Row<'_>) -> Result<Submission, StoreError> {
    Ok(Submission {
        id: row.id("id")?,
        lead: row.id("lead")?,
        source: source(row)?,
        name: row.get("name")?,
        email: row.get("email")?,
        phone: row.get("phone")?,
        company: row.get("company")?,
        message: row.get("message")?,
        consent_version: row.get("consent_version")?,
        suspected_spam: row.get("suspected_spam")?,
        at: row.time("created_at")?,
    })
}

pub(crate) fn note(row: &Row<'_>) -> Result<Note, StoreError> {
    Ok(Note { id: row.id("id")?, author: row.get("author")?, body: row.get("body")?, at: row.time("created_at")? })
}

pub(crate) fn history(row: &Row<'_>) -> Result<HistoryEntry, StoreError> {
    Ok(HistoryEntry {
        at: row.time("created_at")?,
        actor: row.get("actor")?,
        what: row.get("what")?,
        from: row.get("from_value")?,
        to: row.get("to_value")?,
    })
}

pub(crate) fn consent(row: &Row<'_>) -> Result<ConsentText, StoreError> {
    Ok(ConsentText { version: row.get("version")?, text: row.get("wording")?, created_at: row.opt_time("created_at")? })
}

pub(crate) fn status_count(row: &Row<'_>) -> Result<(String, i64), StoreError> {
    Ok((row.get(0)?, row.get(1)?))
}
