//! The pages that Tessera serves itself: what a scan opens, and the few plain ones of an owner.

pub mod scan;

use axum::Router;
use cards::Language;
use cards::page::{Notice, NoticeKind, render_notice};
use gateway::Problem;
use http::StatusCode;

use crate::installation::Parts;

/// Every page that the router serves.
pub fn routes(parts: Parts) -> Router {
    scan::routes(parts)
}

/// A refusal as a page, for browsers.
pub fn problem_page(problem: &Problem, _request_id: &str) -> Option<String> {
    let kind = match problem.status() {
        StatusCode::NOT_FOUND => NoticeKind::NotFound,
        StatusCode::TOO_MANY_REQUESTS => NoticeKind::TooMany,
        status if status.is_server_error() => NoticeKind::Unavailable,
        _ => return None,
    };
    Some(render_notice(&Notice::new(kind, Language::english())))
}
