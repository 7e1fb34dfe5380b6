//! Payment links: made, copied, closed.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Currency, Id};
use payments::commands::NewLink;
use payments::{Link, LinkId, PaymentError, grants};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, query, sentence};
use super::{SHOWN, TABS, amount};
use crate::installation::Parts;

/// A link in the list.
struct Line {
    id: String,
    url: String,
    what: String,
    amount: String,
    is_active: bool,
    at: When,
}

impl Line {
    fn new(link: &Link, public_url: &str) -> Self {
        Self {
            id: link.id.to_string(),
            url: format!("{public_url}/pay/{}", link.id),
            what: link.description.clone(),
            amount: link.amount.map_or_else(|| format!("any amount of {}", link.currency), amount::told),
            is_active: link.is_active,
            at: When(link.created_at),
        }
    }
}

/// What was typed into the form of a new link.
#[derive(Default, Deserialize)]
pub(super) struct LinkForm {
    #[serde(default)]
    description: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    currency: String,
    #[serde(default)]
    credit_account: String,
    once: Option<String>,
}

#[derive(Default)]
struct LinkErrors {
    description: String,
    amount: String,
    currency: String,
    credit_account: String,
}

#[derive(Template)]
#[template(path = "payments_links.html")]
struct LinksPage {
    frame: Frame,
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    lines: Vec<Line>,
    is_first: bool,
    next_href: String,
    can_write: bool,
    once: String,
    typed: LinkForm,
    errors: LinkErrors,
}

#[derive(Default, Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

async fn compose(parts: &Parts, owner: &Owner, asked: After) -> Result<LinksPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let before = asked.after.as_deref().and_then(|text| LinkId::parse(text).ok());
    let mut found = payments::queries::links(&mut parts.store.read(), workspace, before, SHOWN as i64 + 1).await?;
    let has_more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| has_more).map(|last| last.id.to_string()).unwrap_or_default();
    // Identifiers of links are random, so that nobody guesses the next one: they say nothing of when it was made.
    found.sort_by_key(|link| std::cmp::Reverse(link.created_at));
    Ok(LinksPage {
        frame: owner.frame("payments", "Payment links").shaped(""),
        tabs: TABS,
        here: "/links",
        lines: found.iter().map(|link| Line::new(link, &parts.public_url)).collect(),
        is_first: before.is_none(),
        next_href: if next.is_empty() { next } else { format!("/payments/links?{}", query(&[("after", &next)])) },
        can_write: owner.can(grants::WRITE),
        once: owner.once(parts),
        typed: LinkForm::default(),
        errors: LinkErrors::default(),
    })
}

/// `GET /payments/links`
pub(super) async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<After>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, asked).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

impl LinkForm {
    fn parsed(&self) -> Result<NewLink, PaymentError> {
        let currency = Currency::parse(&self.currency.trim().to_ascii_uppercase());
        let currency = currency.map_err(|_| PaymentError::field("currency", "must be three letters, such as EUR"))?;
        let amount_minor = match self.amount.trim() {
            "" => None,
            text => Some(amount::parse(text, currency).map_err(|message| PaymentError::field("amount", message))?),
        };
        let credit_account = Some(self.credit_account.trim().to_owned()).filter(|code| !code.is_empty());
        if self.description.trim().is_empty() {
            return Err(PaymentError::field("description", "must say what is paid for"));
        }
        Ok(NewLink { amount_minor, currency, description: self.description.trim().to_owned(), credit_account })
    }
}

/// `POST /payments/links`
pub(super) async fn make(State(parts): State<Parts>, owner: Owner, Form(form): Form<LinkForm>) -> Result<Response, Problem> {
    owner.may(grants::WRITE)?;
    let made = match form.parsed() {
        Err(error) => Err(error.into()),
        Ok(new) => {
            let call = owner.once_by(form.once.as_deref());
            let made = gateway::effect_created(&parts.store, &call, new, |tx, new| {
                Box::pin(async move { Ok(payments::commands::make_link(tx, new).await?.id.to_string()) })
            });
            made.await.map(|_| ())
        }
    };
    match made {
        Ok(()) => Ok(see_other("/payments/links?done=link")),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(&parts, &owner, After::default()).await?;
            let message = |field: &str, what: &str| match refusal.of(field) {
                empty if empty.is_empty() => empty,
                message => sentence(&format!("{what} {message}")),
            };
            page.frame.alert = refusal.sentence();
            page.errors = LinkErrors {
                description: message("description", "it"),
                amount: match message("amount_minor", "it") {
                    empty if empty.is_empty() => message("amount", "it"),
                    message => message,
                },
                currency: message("currency", "it"),
                credit_account: message("credit_account", "it"),
            };
            page.typed = form;
            page_with(&page, refusal.status())
        }
    }
}

#[derive(Deserialize)]
pub(super) struct SwitchForm {
    active: bool,
}

/// `POST /payments/links/{id}/switch`: closes a link, or opens it again.
pub(super) async fn switch(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<SwitchForm>,
) -> Result<Response, Problem> {
    let id = LinkId::parse(&id).map_err(|_| Problem::not_found())?;
    let done = gateway::effect_done(&parts.store, &owner.call, (id, form.active), |tx, (id, is_active)| {
        Box::pin(async move {
            payments::commands::switch_link(tx, id, is_active).await?;
            Ok(())
        })
    });
    done.await?;
    Ok(see_other(if form.active { "/payments/links?done=link_opened" } else { "/payments/links?done=link_closed" }))
}
