//! The pages that Tessera serves itself: what a scan opens, and the few plain ones of an owner.

mod assets;
mod cards;
mod chart;
mod codes;
mod frame;
mod leads;
mod ledger;
mod payments;
pub mod scan;
mod session;
mod settings;
mod upload;

use askama::Template;
use axum::Router;
use gateway::Problem;
use http::StatusCode;

use crate::installation::Parts;
use frame::{Frame, sentence};

pub use ledger::paper::routes as paper_routes;

/// Every page that the router serves.
pub fn routes(parts: Parts) -> Router {
    let owner = Router::new()
        .merge(session::routes())
        .merge(leads::routes())
        .merge(cards::routes())
        .merge(codes::routes())
        .merge(ledger::routes())
        .merge(payments::routes())
        .merge(settings::routes());
    scan::routes(parts.clone()).merge(owner.with_state(parts)).merge(assets::routes())
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    frame: Frame,
    status: u16,
    heading: &'static str,
    advice: String,
    fields: Vec<String>,
    request_id: &'a str,
}

/// A refusal as a page, for browsers.
pub fn problem_page(problem: &Problem, request_id: &str) -> Option<String> {
    let (heading, advice) = match problem.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => ("That did not work", "What was sent cannot be right."),
        StatusCode::UNAUTHORIZED => ("Please sign in", "This page is for members of the workspace."),
        StatusCode::FORBIDDEN => ("Not allowed", "Your role does not allow this."),
        StatusCode::NOT_FOUND => ("There is nothing here", "The address is mistyped, or what was here is gone."),
        StatusCode::METHOD_NOT_ALLOWED => ("There is nothing here", "This address is part of a form; begin at its page."),
        StatusCode::CONFLICT | StatusCode::GONE => ("That is not possible any more", "Things have changed in the meantime."),
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG => ("That is too much", "What was sent is larger than this page takes."),
        StatusCode::TOO_MANY_REQUESTS => ("A little too fast", "Too many requests came from here. Wait a minute and try again."),
        StatusCode::INTERNAL_SERVER_ERROR => ("Something went wrong", "It was on our side and has been noted. Try again."),
        status if status.is_server_error() => ("Not just now", "Tessera is busy for a moment. Reload the page in a few seconds."),
        _ => ("That did not work", "The request was not understood."),
    };
    let told = problem.detail().filter(|_| !problem.status().is_server_error() && problem.status() != StatusCode::NOT_FOUND).map(sentence);
    let line = |fault: &kernel::FieldFault| sentence(&format!("{} {}", fault.field, fault.message));
    let page = ProblemPage {
        frame: Frame::alone(heading),
        status: problem.status().as_u16(),
        heading,
        advice: told.unwrap_or_else(|| advice.to_owned()),
        fields: problem.fields().iter().map(line).collect(),
        request_id,
    };
    page.render().ok()
}
