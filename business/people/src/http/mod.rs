//! The addresses of people: bodies in, views out.

mod audit;
mod invitations;
mod keys;
mod members;
mod sessions;

use std::sync::Arc;

use gateway::{Call, Problem};
use http::StatusCode;
use kernel::{Grant, Id, WorkspaceId};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::sign_in::Links;
use crate::{Passwords, PeopleError, Roles};

/// What the addresses of people need.
#[derive(Clone)]
pub struct Deps {
    /// The store.
    pub store: Store,
    /// What each role and key may do.
    pub roles: Arc<Roles>,
    /// Where passwords are checked.
    pub passwords: Passwords,
    /// Where the links of mails lead.
    pub links: Links,
}

/// All addresses of people.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(sessions::sign_in, sessions::show, sessions::change, sessions::sign_out))
        .routes(routes!(sessions::request_link))
        .routes(routes!(sessions::redeem_link))
        .routes(routes!(sessions::change_password))
        .routes(routes!(sessions::list, sessions::end_others))
        .routes(routes!(sessions::end))
        .routes(routes!(members::show_workspace, members::change_workspace))
        .routes(routes!(members::list))
        .routes(routes!(members::show, members::change, members::remove))
        .routes(routes!(invitations::list, invitations::invite))
        .routes(routes!(invitations::withdraw))
        .routes(routes!(invitations::accept))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(audit::list))
        .with_state(deps)
}

/// The cursor of a list by ids: the id of the last item of the page before, or nothing.
fn cursor<I: Id>(after: Option<&str>) -> Result<String, Problem> {
    match after {
        None => Ok(String::new()),
        Some(text) => {
            let id = I::parse(text).map_err(|_| Problem::invalid_field("after", "must be the `next` of the page before"))?;
            Ok(id.to_string())
        }
    }
}

/// The workspace of a caller who holds `grant`, for what is only read; verbs check for themselves.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(PeopleError::from)?)
}

/// A refused sign-in is 401; everything else is as its kind says.
fn sign_in_problem(error: PeopleError) -> Problem {
    match error {
        PeopleError::SignInRefused => Problem::new(StatusCode::UNAUTHORIZED, "sign_in_refused").with_detail(error.to_string()),
        other => Problem::from(other),
    }
}
