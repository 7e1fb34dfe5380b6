//! Making and revoking API keys.

use kernel::{KeyId, WorkspaceId};
use serde_json::json;
use store::{Tx, params};

use crate::events::{KeyCreated, KeyRevoked};
use crate::key::KEYS_MAX;
use crate::{Key, KeyDraft, NewKey, PeopleError, door, grants, queries, sql, token};

/// Makes a key in the caller's workspace. Its scopes are among the caller's own rights: nobody hands out what they lack.
pub async fn create_key(tx: &mut Tx, draft: KeyDraft) -> Result<NewKey, PeopleError> {
    let workspace = tx.caller().may(grants::KEYS_WRITE)?;
    for scope in &draft.scopes {
        tx.caller().may(*scope)?;
    }
    issue_key(tx, workspace, draft).await
}

/// Makes a key in a workspace, for the command line and the demonstration: no door faces it.
pub async fn issue_key(tx: &mut Tx, workspace: WorkspaceId, draft: KeyDraft) -> Result<NewKey, PeopleError> {
    tx.lock("people.keys", &workspace.to_string()).await?;
    if queries::count_keys(tx, workspace).await? >= KEYS_MAX {
        return Err(PeopleError::TooMany { what: "keys", max: KEYS_MAX });
    }
    let secret = token::key_secret(tx.entropy());
    let scopes: Vec<String> = draft.scopes.iter().map(|grant| grant.0.to_owned()).collect();
    let id = tx.new_id::<KeyId>();
    // A key that was made with a key has the same person behind it, also when that other key is revoked.
    let caller = tx.caller().clone();
    let maker = queries::member_behind(tx, &caller).await?;
    let created_by = maker.map_or_else(|| caller.actor(), |member| member.to_string());
    let (name, created_at, expires_at) = (draft.name, tx.now(), draft.expires_at);
    let key = Key { id, workspace, name, scopes, maker, created_at, expires_at, used_at: None };
    let scopes = json!(key.scopes).to_string();
    tx.execute(
        &sql::INSERT_KEY,
        params![id, workspace, key.name, token::hash(&secret), scopes, created_by, key.created_at, key.expires_at],
    )
    .await?;
    outbox::audit(tx, workspace, "people.key_created", &id.to_string(), &json!({ "scopes": key.scopes })).await?;
    outbox::publish(tx, workspace, &KeyCreated { key: id }).await?;
    Ok(NewKey { text: token::key_text(id, &secret), key })
}

/// Revokes a key: it opens nothing from the commit on.
pub async fn revoke_key(tx: &mut Tx, id: KeyId) -> Result<(), PeopleError> {
    let workspace = tx.caller().may(grants::KEYS_WRITE)?;
    if tx.execute(&sql::DELETE_KEY, params![workspace, id]).await? == 0 {
        return Err(PeopleError::NotFound { what: "key" });
    }
    outbox::audit(tx, workspace, "people.key_revoked", &id.to_string(), &json!({})).await?;
    outbox::publish(tx, workspace, &KeyRevoked { key: id }).await?;
    door::forget(tx);
    Ok(())
}

/// Writes down that a key is used.
pub(crate) async fn touch_key(tx: &mut Tx, workspace: WorkspaceId, id: KeyId) -> Result<(), PeopleError> {
    let now = tx.now();
    tx.execute(&sql::TOUCH_KEY, params![workspace, id, now]).await?;
    Ok(())
}
