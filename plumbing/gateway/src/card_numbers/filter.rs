//! The filter at the door: requests with a card number are refused before anything of them is kept.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, Uri};

use super::content::{each_hit, pair_hits};
use super::encoded::{holds, may_hold, percent_decoded};
use super::{Declared, REMOVED, redact};
use crate::Problem;
use crate::call::Entry;

/// Headers that are not looked at. Secrets, kept at most as hashes; and what proxies and browsers add by themselves, often as
/// long decimal numbers, of which nothing is stored or logged. A request id with a card number is not taken over.
const PASSED_OVER: [&str; 10] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "content-type",
    "x-request-id",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
];

/// Which routes redact instead of refusing, and which fields hold declared numbers. Modules name theirs, `app` puts them
/// together, so that all exceptions stand in one place.
#[derive(Debug, Clone, Default)]
pub struct CardNumberRules(Arc<Rules>);

#[derive(Debug, Clone, Default)]
struct Rules {
    redacting: Vec<&'static str>,
    declared: Vec<(&'static str, &'static str, Declared)>,
}

impl CardNumberRules {
    /// Never refuses a request to this route, such as `/v1/payments/webhooks/{token}`: its handler stores nothing of a body
    /// but what [`super::redact_body`] leaves of it, and nothing of the headers but what it checked.
    #[must_use]
    pub fn redacting(mut self, route: &'static str) -> Self {
        Arc::make_mut(&mut self.0).redacting.push(route);
        self
    }

    /// Takes numbers of a declared form in one field of a route: a field of the body (`lines[].gtin`), a name of the query or
    /// a parameter of the path.
    #[must_use]
    pub fn declaring(mut self, route: &'static str, field: &'static str, form: Declared) -> Self {
        Arc::make_mut(&mut self.0).declared.push((route, field, form));
        self
    }

    pub(crate) fn is_redacting(&self, route: &str) -> bool {
        self.0.redacting.contains(&route)
    }

    fn is_declared(&self, route: &str, field: &str, value: &[u8]) -> bool {
        self.0.declared.iter().any(|(at, name, form)| *at == route && is_same_field(name, field) && form.is_proved_by(value))
    }
}

/// Whether `lines[].gtin` means `lines[3].gtin`.
fn is_same_field(declared: &str, field: &str) -> bool {
    let mut is_index = false;
    let folded = field.chars().filter(|letter| {
        let is_kept = !(is_index && letter.is_ascii_digit());
        is_index = *letter == '[' || is_index && letter.is_ascii_digit();
        is_kept
    });
    folded.eq(declared.chars())
}

/// Refuses an address or a header that holds a card number.
pub(crate) fn refuse_head(rules: &CardNumberRules, route: &str, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut found = None;
    if may_hold(uri.path().as_bytes()) {
        let mut names = route.split('/');
        for segment in uri.path().split('/') {
            let name = names.next().and_then(|name| name.strip_prefix('{')?.strip_suffix('}')).unwrap_or("path").trim_start_matches('*');
            if holds(segment.as_bytes()) {
                let value = percent_decoded(segment.as_bytes(), false).unwrap_or_else(|| segment.as_bytes().to_vec());
                if !rules.is_declared(route, name, &value) {
                    found = Some(name.to_owned());
                }
            }
        }
    }
    if let Some(query) = uri.query().filter(|query| may_hold(query.as_bytes())) {
        pair_hits(query.as_bytes(), &mut |name, value| {
            let is_fine = rules.is_declared(route, &name, value);
            found = found.take().or((!is_fine).then_some(name));
            is_fine
        });
    }
    for (name, value) in headers {
        let is_name = holds(name.as_str().as_bytes());
        if is_name || holds(value.as_bytes()) && !PASSED_OVER.contains(&name.as_str()) {
            found = found.or_else(|| Some(if is_name { REMOVED.to_owned() } else { name.as_str().to_owned() }));
        }
    }
    match found {
        Some(field) if !rules.is_redacting(route) => Err(refused(&field)),
        _ => Ok(()),
    }
}

/// Refuses a body in which a field holds a card number that is not declared there.
pub(crate) fn refuse_body(entry: Option<&Entry>, content_type: &str, body: &[u8]) -> Result<(), Problem> {
    let (rules, route) = entry.map_or((None, ""), |entry| (Some(&entry.card_numbers), entry.route()));
    if rules.is_some_and(|rules| rules.is_redacting(route)) {
        return Ok(());
    }
    let mut found = None;
    each_hit(content_type, body, &mut |field, value| {
        let is_fine = rules.is_some_and(|rules| rules.is_declared(route, &field, value));
        if !is_fine {
            found = Some(field);
        }
        is_fine
    });
    found.map_or(Ok(()), |field| Err(refused(&field)))
}

/// 422: it names the field and never the value.
fn refused(field: &str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "card_number")
        .with_detail(
            "a card number was sent, which Tessera never takes: leave it out; cards are entered on the payment provider's own page",
        )
        .with_field(redact(field), "must not hold a card number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_list_means_each_of_its_entries() {
        assert!(is_same_field("lines[].gtin", "lines[12].gtin") && is_same_field("gtin", "gtin"));
        assert!(!is_same_field("lines[].gtin", "lines.gtin") && !is_same_field("gtin", "lines[0].gtin"));
    }
}
