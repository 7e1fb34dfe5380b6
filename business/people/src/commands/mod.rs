//! The verbs, by what they are about. Verbs that a door faces check the caller's right first; the others trust their caller
//! and name the workspace.

mod invitations;
mod keys;
mod letters;
mod members;
mod persons;
mod sessions;
mod workspaces;

pub use invitations::{accept_invitation, invite, withdraw_invitation};
pub(crate) use keys::touch_key;
pub use keys::{create_key, issue_key, revoke_key};
pub use members::{add_member, change_role, remove_member};
pub use persons::{Profile, change_profile, erase, sweep_everywhere};
pub use sessions::{
    end_other_sessions, end_session, issue_sign_in_link_everywhere, redeem_sign_in_link, request_sign_in_link, switch_workspace,
};
pub(crate) use sessions::{open_session, set_password, touch_session};
pub use workspaces::{WorkspaceChange, change_workspace, create_workspace};

use kernel::{Caller, WorkspaceId};
use store::{StoreError, Tx};

use crate::{PeopleError, PersonId, Role, queries};

/// The role with which the caller acts on the people of the workspace: a member's own as it is now, and an admin's for a
/// program, which therefore never touches owners. Tessera itself acts as an owner.
async fn acting_role(tx: &mut Tx, workspace: WorkspaceId) -> Result<Role, PeopleError> {
    match tx.caller().clone() {
        Caller::Person { member, .. } => {
            let member = queries::member(tx, workspace, member).await?.ok_or(PeopleError::NotFound { what: "member" })?;
            Ok(member.role)
        }
        Caller::Key { .. } => Ok(Role::Admin),
        Caller::Visitor { .. } => Err(PeopleError::PersonNeeded),
        Caller::System { .. } => Ok(Role::Owner),
    }
}

/// Units that open sessions, and units that change the password or the profile or erase the person, run one after the other:
/// else a session that the old password opened could slip in behind the sweep of a change.
pub(crate) async fn lock_person(tx: &mut Tx, person: PersonId) -> Result<(), StoreError> {
    tx.lock("people.person", &person.to_string()).await
}

/// Units that change who is in a workspace run one after the other, because they count its owners.
async fn lock_members(tx: &mut Tx, workspace: WorkspaceId) -> Result<(), StoreError> {
    tx.lock("people.members", &workspace.to_string()).await
}
