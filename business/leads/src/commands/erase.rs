//! A person is forgotten, or is given all that is kept about them.

use std::collections::BTreeSet;

use kernel::WorkspaceId;
use serde_json::json;
use store::{Reads, Tx, params};

use super::history;
use crate::contact::{Email, Person, Phone};
use crate::events::LeadErased;
use crate::lead::LeadId;
use crate::{LeadError, grants, queries, sql};

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erased {
    /// The leads that remain as counters without a person.
    pub leads: Vec<LeadId>,
}

/// Erases a person by their email or phone.
pub async fn erase_person(tx: &mut Tx, person: &Person) -> Result<Erased, LeadError> {
    let workspace = tx.caller().may(grants::ERASE)?;
    erase(tx, workspace, person).await
}

/// Removes what is personal from every lead that holds one of the person's addresses, with its notes, tags, history and
/// submissions, and from the mail, deliveries and recorded answers that mention it. What remains says that there was a lead,
/// from where, how far it came and how often it was heard of. A form that was sent stays sent.
pub async fn erase(tx: &mut Tx, workspace: WorkspaceId, person: &Person) -> Result<Erased, LeadError> {
    let emails = person.email.iter().map(|email| format!("{workspace}:email:{email}"));
    let mut keys: Vec<String> = emails.chain(person.phone.iter().map(|phone| format!("{workspace}:phone:{phone}"))).collect();
    keys.sort_unstable();
    for key in &keys {
        tx.lock("leads", key).await?;
    }
    let mut leads = Vec::new();
    let mut mentioned: BTreeSet<String> =
        person.email.iter().map(Email::to_string).chain(person.phone.iter().map(Phone::to_string)).collect();
    for id in queries::leads_of_person(tx, workspace, person).await? {
        tx.lock("leads", &format!("{workspace}:{id}")).await?;
        let now = Reads::now(tx);
        if tx.execute(&sql::ERASE_LEAD, params![workspace, id, now]).await? == 0 {
            continue;
        }
        mentioned.extend(tx.rows(&sql::LIST_ADDRESSES, params![workspace, id], |row| row.get::<String>(0)).await?);
        tx.execute(&sql::ERASE_SUBMISSIONS, params![workspace, id]).await?;
        tx.execute(&sql::DELETE_ADDRESSES, params![workspace, id]).await?;
        tx.execute(&sql::DELETE_TAGS, params![workspace, id]).await?;
        tx.execute(&sql::DELETE_NOTES, params![workspace, id]).await?;
        tx.execute(&sql::ERASE_HISTORY, params![workspace, id]).await?;
        history(tx, workspace, id, "erased", None, None).await?;
        let version = queries::get(tx, workspace, id).await?.version;
        outbox::audit(tx, workspace, "lead.erased", &id.to_string(), &json!({ "version": version })).await?;
        outbox::publish(tx, workspace, &LeadErased { lead: id, version }).await?;
        leads.push(id);
    }
    for address in &mentioned {
        notifications::erase(tx, workspace, address).await?;
        gateway::erase_answers(tx, workspace, address).await?;
    }
    for id in &leads {
        gateway::erase_answers(tx, workspace, &id.to_string()).await?;
    }
    Ok(Erased { leads })
}

/// Writes down that somebody took personal data out: `what` is `lead.table_exported` or `lead.person_exported`.
pub async fn note_export(tx: &mut Tx, what: &'static str) -> Result<(), LeadError> {
    let workspace = tx.caller().may(grants::READ)?;
    outbox::audit(tx, workspace, what, &workspace.to_string(), &json!({})).await?;
    Ok(())
}
