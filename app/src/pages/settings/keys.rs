//! API keys: made, shown once, revoked.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, KeyId};
use people::{KeyDraft, PeopleError, commands, grants, queries};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, sentence};
use super::super::session::NoFields;
use super::{Tab, frame, tabs};
use crate::installation::Parts;

struct Line {
    id: String,
    name: String,
    scopes: Vec<String>,
    created_at: When,
    used_at: Option<When>,
    expires_at: Option<When>,
}

#[derive(Template)]
#[template(path = "settings_keys.html")]
struct KeysPage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    keys: Vec<Line>,
    can_write: bool,
    once: String,
    secret: String,
    typed_name: String,
    name_error: String,
    scopes: Vec<(&'static str, bool)>,
    scopes_error: String,
}

async fn compose(parts: &Parts, owner: &Owner) -> Result<KeysPage, Problem> {
    let workspace = owner.may(grants::KEYS_READ)?;
    let keys = queries::keys(&mut parts.store.read(), workspace, "", 200).await?;
    let line = |key: people::Key| Line {
        id: key.id.to_string(),
        name: key.name,
        scopes: key.scopes,
        created_at: When(key.created_at),
        used_at: key.used_at.map(When),
        expires_at: key.expires_at.map(When),
    };
    Ok(KeysPage {
        frame: frame(owner, "API keys"),
        tabs: tabs(owner),
        here: "keys",
        keys: keys.into_iter().map(line).collect(),
        can_write: owner.can(grants::KEYS_WRITE),
        once: owner.once(parts),
        secret: String::new(),
        typed_name: String::new(),
        name_error: String::new(),
        // Nobody hands out a right that they lack.
        scopes: parts.roles.scopes.iter().filter(|scope| owner.can(**scope)).map(|scope| (scope.0, false)).collect(),
        scopes_error: String::new(),
    })
}

/// `GET /settings/keys`
pub(super) async fn show(State(parts): State<Parts>, owner: Owner, Query(done): Query<Done>) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct KeyForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    scopes: Vec<String>,
    once: Option<String>,
}

/// `POST /settings/keys`: answers with the key, this once; a repetition makes no second one.
pub(super) async fn create(State(parts): State<Parts>, owner: Owner, Form(form): Form<KeyForm>) -> Result<Response, Problem> {
    owner.may(grants::KEYS_WRITE)?;
    let parsed = || {
        let scopes = parts.roles.parse_scopes(&form.scopes)?;
        KeyDraft::parse(&form.name, scopes, None, parts.store.clock().now())
    };
    let made = match parsed() {
        Err(error) => Err(Problem::from(error)),
        Ok(draft) => {
            let call = owner.once_by(form.once.as_deref());
            let made = gateway::effect_secret(&parts.store, &call, draft, |tx, draft| {
                Box::pin(async move { Ok::<_, Problem>(commands::create_key(tx, draft).await?.text) })
            });
            made.await
        }
    };
    match made {
        Ok(answer) => {
            let mut page = compose(&parts, &owner).await?;
            page.secret = answer.into_value()?;
            page_with(&page, StatusCode::CREATED)
        }
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(&parts, &owner).await?;
            page.frame.alert = refusal.sentence();
            page.name_error = Some(refusal.of("name")).filter(|text| !text.is_empty()).map(|text| sentence(&text)).unwrap_or_default();
            let is_about_scopes = refusal.fields().iter().any(|fault| fault.field.starts_with("scopes"));
            page.scopes_error = if is_about_scopes { "Choose at least one.".to_owned() } else { String::new() };
            for (scope, is_on) in &mut page.scopes {
                *is_on = form.scopes.iter().any(|chosen| chosen == scope);
            }
            page.typed_name = form.name;
            page_with(&page, refusal.status())
        }
    }
}

/// `POST /settings/keys/{id}/revoke`
pub(super) async fn revoke(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = KeyId::parse(&id).map_err(|_| PeopleError::NotFound { what: "key" })?;
    gateway::effect_done(&parts.store, &owner.call, id, |tx, id| Box::pin(async move { Ok(commands::revoke_key(tx, id).await?) })).await?;
    Ok(see_other("/settings/keys?done=revoked"))
}
