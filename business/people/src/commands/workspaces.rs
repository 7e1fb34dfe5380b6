//! Making and changing a workspace.

use serde_json::json;
use store::{Tx, params};

use crate::events::{WorkspaceChanged, WorkspaceCreated};
use crate::{Email, Locale, Member, PeopleError, PersonName, Role, Workspace, WorkspaceName, Zone, commands, grants, queries, sql};

/// Makes a workspace and its first owner; a person who is known by this address already is that person. For the command
/// line and the first start: no door faces it.
pub async fn create_workspace(
    tx: &mut Tx,
    name: &WorkspaceName,
    locale: &Locale,
    zone: &Zone,
    owner_email: &Email,
    owner_name: &PersonName,
) -> Result<(Workspace, Member), PeopleError> {
    let workspace =
        Workspace { id: tx.new_id(), name: name.as_str().to_owned(), locale: locale.clone(), zone: zone.clone(), created_at: tx.now() };
    let id = workspace.id;
    tx.execute(&sql::INSERT_WORKSPACE, params![id, workspace.name, locale.as_str(), zone.as_str(), workspace.created_at]).await?;
    outbox::audit(tx, id, "people.workspace_created", &id.to_string(), &json!({})).await?;
    outbox::publish(tx, id, &WorkspaceCreated { workspace: id }).await?;
    let owner = commands::add_member(tx, id, owner_email, owner_name, Role::Owner).await?;
    Ok((workspace, owner))
}

/// What shall be different about a workspace; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceChange {
    /// What it is called.
    pub name: Option<WorkspaceName>,
    /// The language of new members.
    pub locale: Option<Locale>,
    /// The time zone of new members and of its days.
    pub zone: Option<Zone>,
}

/// Renames the caller's workspace or changes its language or time zone.
pub async fn change_workspace(tx: &mut Tx, change: WorkspaceChange) -> Result<Workspace, PeopleError> {
    let id = tx.caller().may(grants::WRITE)?;
    // The whole row is written: two changes of different fields wait for each other.
    tx.lock("people.workspace", &id.to_string()).await?;
    let before = queries::workspace(tx, id).await?.ok_or(PeopleError::NotFound { what: "workspace" })?;
    let after = Workspace {
        name: change.name.map_or(before.name.clone(), |name| name.as_str().to_owned()),
        locale: change.locale.unwrap_or(before.locale.clone()),
        zone: change.zone.unwrap_or(before.zone.clone()),
        ..before.clone()
    };
    let changed = [("name", after.name != before.name), ("locale", after.locale != before.locale), ("zone", after.zone != before.zone)];
    let fields: Vec<&str> = changed.iter().filter(|(_, is_changed)| *is_changed).map(|(field, _)| *field).collect();
    if fields.is_empty() {
        return Ok(before);
    }
    tx.execute(&sql::UPDATE_WORKSPACE, params![id, after.name, after.locale.as_str(), after.zone.as_str()]).await?;
    outbox::audit(tx, id, "people.workspace_changed", &id.to_string(), &json!({ "fields": fields })).await?;
    outbox::publish(tx, id, &WorkspaceChanged { workspace: id }).await?;
    Ok(after)
}
