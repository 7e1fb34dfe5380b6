//! Answers: what a handler gives back when it went well, and how lists are paged.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};

use crate::Problem;

/// Tells a caller that the effect happened earlier and this is the recorded answer.
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A JSON answer with its status: fresh from a unit of work, or replayed from the record of an earlier one.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    status: StatusCode,
    value: Option<T>,
    text: Option<String>,
    replayed: bool,
}

impl<T> Answer<T> {
    /// 200 with `value`.
    pub fn ok(value: T) -> Self {
        Self { status: StatusCode::OK, value: Some(value), text: None, replayed: false }
    }

    /// 201 with `value`.
    pub fn created(value: T) -> Self {
        Self { status: StatusCode::CREATED, ..Self::ok(value) }
    }

    /// 202 with `value`: a job will do it.
    pub fn accepted(value: T) -> Self {
        Self { status: StatusCode::ACCEPTED, ..Self::ok(value) }
    }

    /// 200 with `value` that was put together from recorded answers alone.
    pub fn replayed(value: T) -> Self {
        Self { replayed: true, ..Self::ok(value) }
    }

    pub(crate) fn fresh(status: StatusCode, value: T, text: Option<String>) -> Self {
        Self { status, value: Some(value), text, replayed: false }
    }

    pub(crate) fn recorded(status: StatusCode, text: String) -> Self {
        Self { status, value: None, text: Some(text), replayed: true }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it was recorded by an earlier request with the same key.
    pub fn is_replayed(&self) -> bool {
        self.replayed
    }

    /// What the unit of work gave; nothing when the answer is replayed.
    pub fn value(&self) -> Option<&T> {
        self.value.as_ref()
    }
}

impl<T: for<'de> Deserialize<'de>> Answer<T> {
    /// The value, fresh or read back from the record.
    pub fn into_value(self) -> Result<T, Problem> {
        match (self.value, self.text) {
            (Some(value), _) => Ok(value),
            (None, text) => serde_json::from_str(text.as_deref().unwrap_or("null")).map_err(Problem::internal),
        }
    }
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        let mut response = if self.status == StatusCode::NO_CONTENT {
            Response::new(Body::empty())
        } else {
            let body = match (self.text, &self.value) {
                (Some(text), _) => text,
                (None, value) => match serde_json::to_string(value) {
                    Ok(text) => text,
                    Err(error) => return Problem::internal(error).into_response(),
                },
            };
            let mut response = Response::new(Body::from(body));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        };
        *response.status_mut() = self.status;
        if self.replayed {
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct List<T> {
    /// The items of this page, in the list's order.
    pub items: Vec<T>,
    /// Where the next page begins: hand it back as `after`. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<String>,
}

impl<T> List<T> {
    /// A page of at most `limit` items made from a query for one item more: the surplus item only shows that another page
    /// follows, and `cursor` names the last item that is handed out.
    pub fn page(mut items: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }

    /// The same page with every item turned into something else, for example its view.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> List<U> {
        List { items: self.items.into_iter().map(turn).collect(), next: self.next }
    }
}

impl<T: Serialize> IntoResponse for List<T> {
    fn into_response(self) -> Response {
        Answer::ok(self).into_response()
    }
}

/// Which page of a list is wanted.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The `next` of the page before; absent for the first page.
    pub after: Option<String>,
    /// How many items at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

impl PageQuery {
    /// The most items of one page.
    pub const LIMIT_MAX: u32 = 200;

    /// How many items are wanted; refuses what is not from 1 to 200.
    pub fn limit(&self) -> Result<u32, Problem> {
        match self.limit {
            None => Ok(50),
            Some(limit @ 1..=Self::LIMIT_MAX) => Ok(limit),
            Some(_) => Err(Problem::invalid_field("limit", "must be from 1 to 200")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_where_the_next_begins_only_when_there_is_one() {
        let page = List::page(vec![1, 2, 3], 2, ToString::to_string);
        assert_eq!(page, List { items: vec![1, 2], next: Some("2".to_owned()) });
        let last = List::page(vec![1, 2], 2, ToString::to_string);
        assert_eq!(last, List { items: vec![1, 2], next: None });
    }

    #[test]
    fn a_page_has_from_1_to_200_items() {
        let limit = |limit| PageQuery { after: None, limit }.limit();
        assert_eq!(limit(None).unwrap(), 50);
        assert_eq!(limit(Some(200)).unwrap(), 200);
        assert!(limit(Some(0)).is_err() && limit(Some(201)).is_err());
    }
}
