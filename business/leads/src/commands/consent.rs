//! A workspace words its consent.

use serde_json::json;
use store::{Reads, Tx, params};

use crate::lead::ConsentText;
use crate::{LeadError, grants, queries, sql, text};

/// Longest consent text, in characters.
const CONSENT_CHARS_MAX: usize = 2_000;

/// Puts a new consent text in force. Forms that lie open keep the text that they show; the same text again is no new version.
pub async fn put_consent(tx: &mut Tx, wording: &str) -> Result<ConsentText, LeadError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let wording = text::paragraphs(wording, 1, CONSENT_CHARS_MAX).map_err(|message| LeadError::field("text", message))?;
    tx.lock("leads", &format!("{workspace}:consent")).await?;
    let current = queries::current_consent(tx, workspace).await?;
    if current.text == wording {
        return Ok(current);
    }
    let (version, actor, now) = (current.version + 1, tx.caller().actor(), Reads::now(tx));
    tx.execute(&sql::INSERT_CONSENT, params![workspace, version, wording, actor, now]).await?;
    outbox::audit(tx, workspace, "lead.consent_put", &workspace.to_string(), &json!({ "version": version })).await?;
    Ok(ConsentText { version, text: wording, created_at: Some(now) })
}
