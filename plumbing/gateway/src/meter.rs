//! Metrics of the door: how many answers, how long they took, by route.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::Method;
use metrics::{Counter, Histogram};

/// Handles by route, kept so that recording costs two look-ups. The routes are those of the router, so there are few; a
/// recorder must be installed before the first request.
#[derive(Default)]
pub(crate) struct Meter {
    routes: RwLock<HashMap<String, Arc<Route>>>,
}

struct Route {
    name: String,
    duration: Histogram,
    answers: RwLock<HashMap<(Method, u16), Counter>>,
}

impl Meter {
    pub(crate) fn record(&self, route: &str, method: &Method, status: u16, took: Duration) {
        let route = self.route(if route.is_empty() { "unknown" } else { route });
        route.duration.record(took.as_secs_f64());
        // A method that somebody invented must not become a label of its own.
        let method = if matches!(
            *method,
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS
        ) {
            method.clone()
        } else {
            Method::TRACE
        };
        let key = (method, status);
        if let Some(counter) = route.answers.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            counter.increment(1);
            return;
        }
        let method = if key.0 == Method::TRACE { "other".to_owned() } else { key.0.to_string() };
        let counter =
            metrics::counter!("http_requests_total", "route" => route.name.clone(), "method" => method, "status" => status.to_string());
        counter.increment(1);
        route.answers.write().unwrap_or_else(PoisonError::into_inner).insert(key, counter);
    }

    fn route(&self, name: &str) -> Arc<Route> {
        if let Some(route) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(route);
        }
        let duration = metrics::histogram!("http_request_duration_seconds", "route" => name.to_owned());
        let route = Arc::new(Route { name: name.to_owned(), duration, answers: RwLock::default() });
        Arc::clone(self.routes.write().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_insert(route))
    }
}
