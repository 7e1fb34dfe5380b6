//! Somebody leaves their details.

use kernel::{Caller, MemberId, Timestamp, WorkspaceId};
use serde_json::json;
use store::{Reads, StoreError, Tx, params};

use super::{history, hold};
use crate::contact::{Email, Phone};
use crate::events::LeadCaptured;
use crate::form::{FormError, FormProof, fingerprint, suspect};
use crate::lead::{Consent, Lead, LeadId, NewLead, Source, SubmissionId};
use crate::{LeadError, grants, queries, sql};

/// What a capture came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// The lead that holds the details.
    pub lead: LeadId,
    /// Its version after it; 0 when the form had been sent before.
    pub version: i64,
    /// Whether the person had left details before.
    pub again: bool,
    /// Whether this very form had been sent before: nothing was changed, and the visitor is thanked as then.
    pub replayed: bool,
    /// Looks like the work of a program; the visitor is thanked all the same.
    pub suspected_spam: bool,
}

/// A consent that was given elsewhere: which of the workspace's texts, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// Which of the workspace's texts.
    pub version: i64,
    /// When; `None` for now.
    pub at: Option<Timestamp>,
}

/// Takes a form that a visitor filled. What it needs in place of a right is the proof that the form was issued for this
/// workspace and source. The same form sent twice makes one lead and answers alike; a person who is known by email, else by
/// phone, keeps their lead.
pub async fn capture(
    tx: &mut Tx,
    workspace: WorkspaceId,
    source: Source,
    owner: Option<MemberId>,
    new: NewLead,
    proof: FormProof,
) -> Result<Captured, LeadError> {
    let is_elsewhere = matches!(tx.caller(), Caller::Visitor { workspace: visited } if *visited != workspace);
    if is_elsewhere || proof.workspace != workspace || (&proof.source.kind, &proof.source.id) != (&source.kind, &source.id) {
        return Err(FormError::Forged.into());
    }
    let given = Given { version: proof.consent_version, at: None };
    keep(tx, Arrival { workspace, source, owner, new, consent: Some(given), nonce: Some(proof.nonce) }).await
}

/// Takes details that a module above vouches for: cards exchanged by two people who are signed in. The caller has checked
/// who asks.
pub async fn record(
    tx: &mut Tx,
    workspace: WorkspaceId,
    source: Source,
    owner: Option<MemberId>,
    new: NewLead,
    consent: Option<Given>,
) -> Result<Captured, LeadError> {
    keep(tx, Arrival { workspace, source, owner, new, consent, nonce: None }).await
}

/// Enters a lead by a member or a program.
pub async fn create(
    tx: &mut Tx,
    source: Source,
    owner: Option<MemberId>,
    new: NewLead,
    consent: Option<Given>,
) -> Result<Captured, LeadError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    if let Some(owner) = owner {
        super::change::check_member(tx, workspace, owner).await?;
    }
    keep(tx, Arrival { workspace, source, owner, new, consent, nonce: None }).await
}

struct Arrival {
    workspace: WorkspaceId,
    source: Source,
    owner: Option<MemberId>,
    new: NewLead,
    consent: Option<Given>,
    nonce: Option<String>,
}

async fn keep(tx: &mut Tx, arrival: Arrival) -> Result<Captured, LeadError> {
    arrival.source.check()?;
    let Arrival { workspace, new, .. } = &arrival;
    let workspace = *workspace;
    // Two forms of one person, and one form sent twice, wait for each other here; in the order of their keys, so that none
    // waits in a circle.
    let mut keys: Vec<String> = addresses(new).map(|(kind, address)| format!("{workspace}:{kind}:{address}")).collect();
    keys.extend(arrival.nonce.iter().map(|nonce| format!("{workspace}:nonce:{nonce}")));
    keys.sort_unstable();
    for key in &keys {
        tx.lock("leads", key).await?;
    }
    let print = arrival.nonce.as_ref().map(|_| fingerprint(new));
    if let Some(nonce) = &arrival.nonce
        && let Some(sent) = tx.row(&sql::FIND_SUBMISSION_BY_NONCE, params![workspace, nonce], sql::sent).await?
    {
        // Once the person was erased nothing is left to compare with, and the form stays sent.
        if sent.fingerprint.is_some() && sent.fingerprint != print {
            return Err(FormError::SentAlready.into());
        }
        return Ok(Captured { lead: sent.lead, version: 0, again: false, replayed: true, suspected_spam: sent.suspected_spam });
    }
    let consent = match arrival.consent {
        None => None,
        Some(given) => {
            let text = queries::consent(tx, workspace, given.version).await?;
            let text = text.ok_or_else(|| LeadError::field("consent.version", "must be a version of this workspace's consent text"))?;
            let now = Reads::now(tx);
            if given.at.is_some_and(|at| at > now) {
                return Err(LeadError::field("consent.at", "must not be in the future"));
            }
            Some(Consent { version: text.version, text: text.text, at: given.at.unwrap_or(now) })
        }
    };
    let suspicion = suspect(new);
    let suspected_spam = suspicion.is_some();
    let known = known_lead(tx, workspace, new).await?;
    let again = known.is_some();
    let (lead, version) = match known {
        None => insert(tx, &arrival, consent.as_ref(), suspected_spam).await?,
        Some(lead) => merge(tx, &arrival, lead, suspected_spam).await?,
    };
    // A suspect adds no address to somebody who is known: it could claim another's.
    if !(again && suspected_spam) {
        for (kind, address) in addresses(&arrival.new) {
            let added = tx.execute(&sql::INSERT_ADDRESS, params![workspace, kind, address, lead]).await?;
            // A new lead's addresses were nobody's a moment ago and are locked, so only a defect could make this happen; the
            // form is answered 503 and may be sent again.
            if added == 0 && !again {
                return Err(StoreError::Busy.into());
            }
        }
    }
    let submission = tx.new_id::<SubmissionId>();
    submit(tx, &arrival, submission, lead, print.as_deref(), consent.as_ref(), suspected_spam).await?;
    let submission_text = submission.to_string();
    history(tx, workspace, lead, if again { "submitted_again" } else { "captured" }, None, Some(&submission_text)).await?;
    if let Some(suspicion) = suspicion {
        history(tx, workspace, lead, "suspected", None, Some(suspicion.word())).await?;
    }
    let subject = lead.to_string();
    let what = if again { "lead.submitted_again" } else { "lead.captured" };
    outbox::audit(tx, workspace, what, &subject, &json!({ "submission": submission, "source": arrival.source.kind })).await?;
    let fact = LeadCaptured { lead, submission, source: arrival.source, owner: arrival.owner, version, again, suspected_spam };
    outbox::publish(tx, workspace, &fact).await?;
    Ok(Captured { lead, version, again, replayed: false, suspected_spam })
}

/// A person's addresses, the one that counts first before the other.
fn addresses(new: &NewLead) -> impl Iterator<Item = (&'static str, &str)> {
    let email = new.email.as_ref().map(|email| ("email", email.as_str()));
    let phone = new.phone.as_ref().map(|phone| ("phone", phone.as_str()));
    email.into_iter().chain(phone)
}

/// The lead of the same person: by email, else by phone.
async fn known_lead(tx: &mut Tx, workspace: WorkspaceId, new: &NewLead) -> Result<Option<Lead>, LeadError> {
    for (kind, address) in addresses(new) {
        if let Some(id) = tx.row(&sql::FIND_ADDRESS, params![workspace, kind, address], sql::lead_id).await? {
            return match hold(tx, workspace, id).await {
                Ok(lead) => Ok(Some(lead)),
                // Erased between the look-up and the lock, which took its addresses with it.
                Err(LeadError::Erased) => continue,
                Err(other) => Err(other),
            };
        }
    }
    Ok(None)
}

async fn insert(tx: &mut Tx, arrival: &Arrival, consent: Option<&Consent>, suspected_spam: bool) -> Result<(LeadId, i64), LeadError> {
    let (id, now, new) = (tx.new_id::<LeadId>(), Reads::now(tx), arrival.new.clone());
    let lead = Lead {
        id,
        workspace: arrival.workspace,
        version: 1,
        source: arrival.source.clone(),
        status: crate::lead::Status::New,
        name: new.name,
        email: new.email,
        phone: new.phone,
        company: new.company,
        message: new.message,
        consent: consent.cloned(),
        assigned_to: arrival.owner,
        tags: Vec::new(),
        suspected_spam,
        submissions: 1,
        notes: 0,
        created_at: now,
        updated_at: now,
        erased_at: None,
    };
    let (version, text, at) = (consent.map(|c| c.version), consent.map(|c| c.text.as_str()), consent.map(|c| c.at));
    let Source { kind, id: source_id, code } = &lead.source;
    let (email, phone) = (lead.email.as_ref().map(Email::as_str), lead.phone.as_ref().map(Phone::as_str));
    let (company, message, search) = (&lead.company, &lead.message, lead.search_text());
    tx.execute(
        &sql::INSERT_LEAD,
        params![
            lead.workspace,
            id,
            kind,
            source_id,
            code,
            lead.name,
            email,
            phone,
            company,
            message,
            search,
            version,
            text,
            at,
            lead.assigned_to,
            suspected_spam,
            now
        ],
    )
    .await?;
    Ok((id, 1))
}

/// Adds to a lead what it lacks. A suspect adds nothing but its submission; a person takes the suspicion off.
async fn merge(tx: &mut Tx, arrival: &Arrival, lead: Lead, suspected_spam: bool) -> Result<(LeadId, i64), LeadError> {
    let (id, version, was_suspected, now) = (lead.id, lead.version, lead.suspected_spam, Reads::now(tx));
    let mut lead = if suspected_spam { lead } else { lead.filled_from(&arrival.new) };
    lead.suspected_spam = was_suspected && suspected_spam;
    if !suspected_spam {
        lead.assigned_to = lead.assigned_to.or(arrival.owner);
    }
    let (email, phone) = (lead.email.as_ref().map(Email::as_str), lead.phone.as_ref().map(Phone::as_str));
    let changed = tx
        .execute(
            &sql::FILL_LEAD,
            params![
                arrival.workspace,
                id,
                version,
                email,
                phone,
                lead.company,
                lead.message,
                lead.search_text(),
                lead.assigned_to,
                lead.suspected_spam,
                now
            ],
        )
        .await?;
    // The lead is held, so this too would be a defect.
    if changed == 0 {
        return Err(StoreError::Busy.into());
    }
    Ok((id, version + 1))
}

async fn submit(
    tx: &mut Tx,
    arrival: &Arrival,
    id: SubmissionId,
    lead: LeadId,
    fingerprint: Option<&str>,
    consent: Option<&Consent>,
    suspected_spam: bool,
) -> Result<(), StoreError> {
    let Arrival { workspace, source, new, nonce, .. } = arrival;
    let (email, phone) = (new.email.as_ref().map(Email::as_str), new.phone.as_ref().map(Phone::as_str));
    let (version, now) = (consent.map(|consent| consent.version), Reads::now(tx));
    tx.execute(
        &sql::INSERT_SUBMISSION,
        params![
            workspace,
            id,
            lead,
            nonce,
            fingerprint,
            source.kind,
            source.id,
            source.code,
            new.name,
            email,
            phone,
            new.company,
            new.message,
            version,
            suspected_spam,
            now
        ],
    )
    .await?;
    Ok(())
}
