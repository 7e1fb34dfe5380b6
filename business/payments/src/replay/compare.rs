//! Rows beside what their events make of them, column by column. Pure.

use serde_json::Value;
use store::P;

/// The columns of an intent behind the workspace.
pub(crate) const INTENT: &[&str] =
    &["id", "version", "state", "amount_minor", "currency", "customer", "link", "created_at", "changed_at", "body"];
/// The columns of a payout behind the workspace.
pub(crate) const PAYOUT: &[&str] =
    &["id", "version", "state", "provider", "beneficiary", "amount_minor", "currency", "created_at", "changed_at", "body"];
/// The columns of a reference behind the workspace.
pub(crate) const REFERENCE: &[&str] = &["provider", "reference", "owner", "subject"];
/// The columns of an expectation behind the workspace that follow from events.
pub(crate) const EXPECTED: &[&str] = &["subject", "attempt", "owner", "provider", "kind", "currency", "amount_minor", "expected_at"];

/// What is different, one text a column; `made` has the workspace in front.
pub(crate) fn differences(columns: &[&'static str], there: &[P<'_>], made: &[P<'_>]) -> Vec<String> {
    let made = made.get(1..).unwrap_or_default();
    let pairs = columns.iter().zip(there.iter().zip(made));
    pairs.filter(|(_, (there, made))| there != made).map(|(column, (there, made))| difference(column, there, made)).collect()
}

fn difference(column: &str, there: &P<'_>, made: &P<'_>) -> String {
    if column == "body"
        && let (P::Text(there), P::Text(made)) = (there, made)
    {
        // The whole of it would be long, and hold what people wrote.
        return format!("body differs {}", place(there, made));
    }
    format!("{column} is {}, its events make {}", shown(there), shown(made))
}

fn shown(value: &P<'_>) -> String {
    match value {
        P::Text(text) => format!("{text:?}"),
        P::Int(number) => number.to_string(),
        P::Bool(is) => is.to_string(),
        _ => "null".to_owned(),
    }
}

/// Where two bodies differ first.
fn place(there: &str, made: &str) -> String {
    let (Ok(there), Ok(made)) = (serde_json::from_str::<Value>(there), serde_json::from_str::<Value>(made)) else {
        return "and cannot be read".to_owned();
    };
    match first(&there, &made) {
        Some(path) => format!("at {path}"),
        None => "in how it is written".to_owned(),
    }
}

fn first(there: &Value, made: &Value) -> Option<String> {
    match (there, made) {
        (Value::Object(there), Value::Object(made)) => {
            let names = there.keys().chain(made.keys().filter(|name| !there.contains_key(*name)));
            names.into_iter().find_map(|name| match (there.get(name), made.get(name)) {
                (Some(there), Some(made)) => first(there, made).map(|rest| format!("/{name}{rest}")),
                _ => Some(format!("/{name}")),
            })
        }
        (Value::Array(there), Value::Array(made)) if there.len() == made.len() => {
            let pairs = there.iter().zip(made).enumerate();
            pairs.into_iter().find_map(|(index, (there, made))| first(there, made).map(|rest| format!("/{index}{rest}")))
        }
        _ => (there != made).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_by_its_column_and_the_place_in_the_body() {
        let row = |version: i64, body: &str| vec![P::Text("pay_1".into()), P::Int(version), P::Text(body.to_owned().into())];
        let made = |version: i64, body: &str| [vec![P::Text("ws_1".into())], row(version, body)].concat();
        let columns = &["id", "version", "body"];
        let body = r#"{"attempts":[{"state":{"is":"charged"}}],"kept":null}"#;
        assert!(differences(columns, &row(3, body), &made(3, body)).is_empty());
        let other = body.replace("charged", "pending");
        assert_eq!(
            differences(columns, &row(4, &other), &made(3, body)),
            ["version is 4, its events make 3", "body differs at /attempts/0/state/is"]
        );
        assert_eq!(differences(columns, &row(3, &format!("{body} ")), &made(3, body)), ["body differs in how it is written"]);
        assert_eq!(differences(columns, &row(3, r#"{"attempts":[],"kept":null}"#), &made(3, body)), ["body differs at /attempts"]);
    }
}
