//! Webhook endpoints: added, tried, switched off, and how the last deliveries went.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, RawId};
use notifications::{AttemptOutcome, Endpoint, EndpointChange, EndpointId, EndpointState, NewEndpoint, NotificationError, Secret, grants};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, sentence};
use super::super::session::NoFields;
use super::{Tab, frame, tabs};
use crate::installation::Parts;

/// Attempts that are shown with an endpoint.
const ATTEMPTS_SHOWN: i64 = 30;
/// For how long the old secret signs beside the new one.
const OVERLAP: Duration = Duration::from_secs(24 * 3600);

struct Line {
    id: String,
    url: String,
    description: String,
    events: String,
    state: &'static str,
    state_label: String,
    is_enabled: bool,
}

impl Line {
    fn of(endpoint: Endpoint) -> Self {
        let (state, state_label) = match &endpoint.state {
            EndpointState::Enabled { failing_since: None } => ("on", "On".to_owned()),
            EndpointState::Enabled { failing_since: Some(_) } => ("retried", "Failing".to_owned()),
            EndpointState::Disabled { reason } if reason == "by_hand" => ("off", "Off".to_owned()),
            EndpointState::Disabled { reason } => ("off", format!("Off: {}", reason.replace('_', " "))),
        };
        let names = endpoint.event_types.names();
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url,
            description: endpoint.description,
            events: if names.is_empty() { "Told of everything".to_owned() } else { format!("Told of {}", names.join(", ")) },
            state,
            state_label,
            is_enabled: matches!(endpoint.state, EndpointState::Enabled { .. }),
        }
    }
}

#[derive(Template)]
#[template(path = "settings_webhooks.html")]
struct ListPage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    endpoints: Vec<Line>,
    can_write: bool,
    once: String,
    typed_url: String,
    typed_description: String,
    url_error: String,
}

async fn compose_list(parts: &Parts, owner: &Owner) -> Result<ListPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let endpoints = notifications::endpoints(&mut parts.store.read(), workspace, None, 200).await?;
    Ok(ListPage {
        frame: frame(owner, "Webhooks"),
        tabs: tabs(owner),
        here: "webhooks",
        endpoints: endpoints.into_iter().map(Line::of).collect(),
        can_write: owner.can(grants::WRITE),
        once: owner.once(parts),
        typed_url: String::new(),
        typed_description: String::new(),
        url_error: String::new(),
    })
}

/// `GET /settings/webhooks`
pub(super) async fn list(State(parts): State<Parts>, owner: Owner, Query(done): Query<Done>) -> Result<Response, Problem> {
    let mut page = compose_list(&parts, &owner).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

struct Try {
    event: String,
    at: When,
    took_ms: i64,
    status: Option<i64>,
    answer: String,
    outcome: &'static str,
    label: &'static str,
}

#[derive(Template)]
#[template(path = "settings_webhook.html")]
struct EndpointPage {
    frame: Frame,
    endpoint: Line,
    secret: String,
    once: String,
    attempts: Vec<Try>,
    can_write: bool,
}

async fn compose(parts: &Parts, owner: &Owner, id: EndpointId) -> Result<EndpointPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let mut reads = parts.store.read();
    let endpoint = notifications::endpoint(&mut reads, workspace, id).await?;
    let attempts = notifications::attempts(&mut reads, workspace, id, None, ATTEMPTS_SHOWN).await?;
    let attempt = |one: notifications::Attempt| {
        let (outcome, label) = match one.outcome {
            AttemptOutcome::Delivered => ("delivered", "Delivered"),
            AttemptOutcome::Retried => ("retried", "Tried again"),
            AttemptOutcome::GivenUp => ("given_up", "Given up"),
        };
        Try { event: one.event, at: When(one.attempted_at), took_ms: one.took_ms, status: one.status, answer: one.answer, outcome, label }
    };
    Ok(EndpointPage {
        frame: frame(owner, "A webhook endpoint"),
        endpoint: Line::of(endpoint),
        secret: String::new(),
        once: owner.once(parts),
        attempts: attempts.into_iter().map(attempt).collect(),
        can_write: owner.can(grants::WRITE),
    })
}

fn endpoint_id(text: &str) -> Result<EndpointId, Problem> {
    EndpointId::parse(text).map_err(|_| NotificationError::NotFound { what: "webhook endpoint" }.into())
}

/// `GET /settings/webhooks/{id}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, endpoint_id(&id)?).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// A new secret: to show once, and as it is kept.
fn new_secret(parts: &Parts, id: EndpointId) -> (String, Vec<u8>) {
    let secret = Secret::generate(parts.store.entropy());
    let sealed = parts.store.vault().seal(secret.as_bytes(), &id.to_string());
    (secret.reveal(), sealed)
}

#[derive(Deserialize)]
pub(super) struct EndpointForm {
    #[serde(default)]
    url: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    events: Vec<String>,
    once: Option<String>,
}

/// `POST /settings/webhooks`: answers with the secret, this once.
pub(super) async fn create(State(parts): State<Parts>, owner: Owner, Form(form): Form<EndpointForm>) -> Result<Response, Problem> {
    owner.may(grants::WRITE)?;
    let id = EndpointId::from_raw(RawId::generate(parts.store.clock().now(), parts.store.entropy()));
    let (secret, sealed_secret) = new_secret(&parts, id);
    let new = NewEndpoint { id, url: form.url.clone(), description: form.description.clone(), event_types: form.events, sealed_secret };
    let call = owner.once_by(form.once.as_deref());
    let made = gateway::effect_secret(&parts.store, &call, (parts.allowed.clone(), new), |tx, (networks, new)| {
        Box::pin(async move {
            notifications::create_endpoint(tx, &networks, new).await?;
            Ok::<_, Problem>(())
        })
    });
    match made.await {
        Ok(_) => page_with(&EndpointPage { secret, ..compose(&parts, &owner, id).await? }, StatusCode::CREATED),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose_list(&parts, &owner).await?;
            page.frame.alert = refusal.all();
            page.url_error = Some(refusal.of("url"))
                .filter(|text| !text.is_empty())
                .map(|text| sentence(&format!("the address {text}")))
                .unwrap_or_default();
            (page.typed_url, page.typed_description) = (form.url, form.description);
            page_with(&page, refusal.status())
        }
    }
}

/// On to the endpoint, or its page again with what was refused.
async fn ended<T>(parts: &Parts, owner: &Owner, id: EndpointId, done: Result<T, Problem>, word: &str) -> Result<Response, Problem> {
    match done {
        Ok(_) => Ok(see_other(&format!("/settings/webhooks/{id}?done={word}"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(parts, owner, id).await?;
            page.frame.alert = refusal.all();
            page_with(&page, refusal.status())
        }
    }
}

/// `POST /settings/webhooks/{id}/test`
pub(super) async fn test(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = endpoint_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            notifications::send_test_event(tx, id).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, id, done.await, "tested").await
}

#[derive(Deserialize)]
pub(super) struct EnableForm {
    enabled: bool,
}

/// `POST /settings/webhooks/{id}/enable`
pub(super) async fn enable(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<EnableForm>,
) -> Result<Response, Problem> {
    let id = endpoint_id(&id)?;
    let change = EndpointChange { is_enabled: Some(form.enabled), ..EndpointChange::default() };
    let done = gateway::effect_done(&parts.store, &owner.call, (parts.allowed.clone(), id, change), |tx, (networks, id, change)| {
        Box::pin(async move {
            notifications::update_endpoint(tx, &networks, id, change).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, id, done.await, "saved").await
}

#[derive(Deserialize)]
pub(super) struct RotateForm {
    once: Option<String>,
}

/// `POST /settings/webhooks/{id}/rotate`: answers with the new secret, this once.
pub(super) async fn rotate(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<RotateForm>,
) -> Result<Response, Problem> {
    let id = endpoint_id(&id)?;
    owner.may(grants::WRITE)?;
    let (secret, sealed) = new_secret(&parts, id);
    let call = owner.once_by(form.once.as_deref());
    let done = gateway::effect_secret(&parts.store, &call, (id, sealed), |tx, (id, sealed)| {
        Box::pin(async move {
            notifications::rotate_secret(tx, id, sealed, OVERLAP).await?;
            Ok::<_, Problem>(())
        })
    });
    match done.await {
        Ok(_) => page_with(&EndpointPage { secret, ..compose(&parts, &owner, id).await? }, StatusCode::CREATED),
        Err(problem) => ended(&parts, &owner, id, Err::<(), _>(problem), "").await,
    }
}

/// `POST /settings/webhooks/{id}/delete`
pub(super) async fn delete(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = endpoint_id(&id)?;
    gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move { Ok(notifications::delete_endpoint(tx, id).await?) })
    })
    .await?;
    Ok(see_other("/settings/webhooks?done=deleted"))
}
