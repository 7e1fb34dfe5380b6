//! Settings: the member's own, and what owners and admins look after. The portal will replace these plain pages.

mod keys;
mod people;
mod profile;
mod providers;
mod webhooks;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use gateway::page::see_other;
use gateway::{Form, Problem, Query};
use http::StatusCode;
use kernel::Id;
use outbox::AuditId;
use serde::Deserialize;

use super::frame::{Done, Frame, Owner, When, mendable, page, page_with, sentence};
use crate::installation::Parts;

pub(super) use providers::dialect_name;

/// Lines of the audit trail on one page.
const LINES_SHOWN: usize = 100;

/// The addresses of settings.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/settings", get(profile::show))
        .route("/settings/profile", post(profile::change))
        .route("/settings/password", post(profile::set_password))
        .route("/settings/workspace", post(profile::switch))
        .route("/settings/sessions/end", post(profile::end_session))
        .route("/settings/sessions/end-others", post(profile::end_others))
        .route("/settings/people", get(people::show))
        .route("/settings/people/invite", post(people::invite))
        .route("/settings/people/withdraw", post(people::withdraw))
        .route("/settings/people/{id}/role", post(people::change_role))
        .route("/settings/people/{id}/remove", post(people::remove))
        .route("/settings/keys", get(keys::show).post(keys::create))
        .route("/settings/keys/{id}/revoke", post(keys::revoke))
        .route("/settings/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/settings/webhooks/{id}", get(webhooks::show))
        .route("/settings/webhooks/{id}/test", post(webhooks::test))
        .route("/settings/webhooks/{id}/enable", post(webhooks::enable))
        .route("/settings/webhooks/{id}/rotate", post(webhooks::rotate))
        .route("/settings/webhooks/{id}/delete", post(webhooks::delete))
        .route("/settings/providers", get(providers::list).post(providers::add))
        .route("/settings/providers/{id}", get(providers::edit::show).post(providers::edit::change))
        .route("/settings/providers/{id}/enable", post(providers::enable))
        .route("/settings/consent", get(consent).post(put_consent))
        .route("/settings/audit", get(audit))
}

/// A part of the settings: its word in the address, and its label.
type Tab = (&'static str, &'static str);

/// The parts that this member may see.
fn tabs(owner: &Owner) -> Vec<Tab> {
    let all: [(&str, &str, bool); 7] = [
        ("", "You", true),
        ("people", "People", owner.can(::people::grants::READ)),
        ("keys", "API keys", owner.can(::people::grants::KEYS_READ)),
        ("webhooks", "Webhooks", owner.can(notifications::grants::READ)),
        ("providers", "Payment providers", owner.can(payments::grants::MANAGE)),
        ("consent", "Consent", owner.can(leads::grants::READ)),
        ("audit", "Audit", owner.can(::people::grants::AUDIT_READ)),
    ];
    all.into_iter().filter(|(_, _, may)| *may).map(|(word, label, _)| (word, label)).collect()
}

fn frame(owner: &Owner, title: &str) -> Frame {
    owner.frame("settings", title).shaped("")
}

#[derive(Template)]
#[template(path = "settings_consent.html")]
struct ConsentPage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    version: i64,
    at: Option<When>,
    text: String,
    error: String,
    can_write: bool,
}

async fn consent_page(parts: &Parts, owner: &Owner) -> Result<ConsentPage, Problem> {
    let workspace = owner.may(leads::grants::READ)?;
    let current = leads::queries::current_consent(&mut parts.store.read(), workspace).await?;
    Ok(ConsentPage {
        frame: frame(owner, "Consent"),
        tabs: tabs(owner),
        here: "consent",
        version: current.version,
        at: current.created_at.map(When),
        text: current.text,
        error: String::new(),
        can_write: owner.can(leads::grants::WRITE),
    })
}

/// `GET /settings/consent`
async fn consent(State(parts): State<Parts>, owner: Owner, Query(done): Query<Done>) -> Result<Response, Problem> {
    let consent = consent_page(&parts, &owner).await?;
    page(&ConsentPage { frame: frame(&owner, "Consent").after(&done), ..consent })
}

#[derive(Deserialize)]
struct ConsentForm {
    #[serde(default)]
    text: String,
}

/// `POST /settings/consent`
async fn put_consent(State(parts): State<Parts>, owner: Owner, Form(form): Form<ConsentForm>) -> Result<Response, Problem> {
    let done = gateway::effect_done(&parts.store, &owner.call, form.text.clone(), |tx, text| {
        Box::pin(async move {
            leads::commands::put_consent(tx, &text).await?;
            Ok(())
        })
    });
    match done.await {
        Ok(_) => {
            parts.scan_pages.forget_all();
            Ok(see_other("/settings/consent?done=consent"))
        }
        Err(problem) => {
            let refusal = mendable(problem)?;
            let (frame, error) =
                (frame(&owner, "Consent").refused(refusal.sentence()), sentence(&format!("the text {}", refusal.of("text"))));
            page_with(&ConsentPage { frame, error, text: form.text, ..consent_page(&parts, &owner).await? }, refusal.status())
        }
    }
}

struct Line {
    at: When,
    actor: String,
    action: String,
    subject: String,
    details: String,
}

#[derive(Template)]
#[template(path = "settings_audit.html")]
struct AuditPage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    lines: Vec<Line>,
    is_first: bool,
    next_href: String,
}

#[derive(Deserialize)]
struct AuditQuery {
    after: Option<String>,
}

/// `GET /settings/audit`: who did what, the newest first.
async fn audit(State(parts): State<Parts>, owner: Owner, Query(asked): Query<AuditQuery>) -> Result<Response, Problem> {
    let workspace = owner.may(::people::grants::AUDIT_READ)?;
    let before = asked.after.as_deref().and_then(|text| AuditId::parse(text).ok());
    let mut lines = outbox::audit_list(&mut parts.store.read(), workspace, before, LINES_SHOWN as u32 + 1).await?;
    let has_more = lines.len() > LINES_SHOWN;
    lines.truncate(LINES_SHOWN);
    let names = owner.names(&parts).await?;
    let next_href = lines.last().filter(|_| has_more).map(|last| format!("/settings/audit?after={}", last.id)).unwrap_or_default();
    let line = |line: outbox::Audited| Line {
        at: When(line.at),
        actor: names.actor(&line.actor),
        action: line.action,
        subject: line.subject,
        details: if line.details.as_object().is_some_and(|details| !details.is_empty()) { line.details.to_string() } else { String::new() },
    };
    let lines = lines.into_iter().map(line).collect();
    page_with(
        &AuditPage { frame: frame(&owner, "Audit"), tabs: tabs(&owner), here: "audit", lines, is_first: before.is_none(), next_href },
        StatusCode::OK,
    )
}
