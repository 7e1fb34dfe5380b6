//! Monnify's settlements as one report: a JSON array with each page of each settlement's lines, as it came.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::objects;
use crate::provider::{LineKind, ReportLine, WebhookError};
use crate::providers::answers::{owned, text};
use crate::units;

/// One page of one settlement.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    settlement_reference: String,
    #[serde(borrow)]
    answer: &'a RawValue,
}

/// A report in the making.
#[derive(Default)]
pub(super) struct Report {
    bytes: Vec<u8>,
}

impl Report {
    /// Adds a page. What is not JSON was refused before.
    pub(super) fn add(&mut self, settlement: &str, answer: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<&RawValue>(answer) else { return };
        let page = Page { settlement_reference: settlement.to_owned(), answer };
        if let Ok(page) = serde_json::to_vec(&page) {
            self.bytes.extend_from_slice(if self.bytes.is_empty() { b"[" } else { b",\n" });
            self.bytes.extend_from_slice(&page);
        }
    }

    /// How many bytes it has so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The report as it is kept.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(if self.bytes.is_empty() { b"[]" } else { b"]" });
        self.bytes
    }
}

/// The members of a page of a list: `content`, or the list itself.
pub(super) fn contents(body: &Value) -> &[Value] {
    let list = if body.is_array() { Some(body) } else { body.get("content") };
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether no page follows. A list that does not say so is whole.
pub(super) fn is_last(body: &Value) -> bool {
    body["last"] != Value::Bool(false) || contents(body).is_empty()
}

fn unreadable(line: usize, what: &str) -> WebhookError {
    WebhookError::Unreadable(format!("line {line}: {what}"))
}

fn read_line(at: usize, batch: Option<&str>, line: &Value) -> Result<ReportLine, WebhookError> {
    let amount = |names: [&str; 2]| names.into_iter().find_map(|name| objects::money(line, name));
    let gross = amount(["amount", "amountPaid"]).ok_or_else(|| unreadable(at, "no amount"))?;
    let net = amount(["netAmount", "settlementAmount"]).ok_or_else(|| unreadable(at, "no netAmount"))?;
    let fee_minor = match &line["fee"] {
        Value::Null => gross.amount_minor.checked_sub(net.amount_minor),
        _ => objects::money(line, "fee").map(|fee| fee.amount_minor),
    };
    let fee_minor = fee_minor.ok_or_else(|| unreadable(at, "the fee is no amount"))?;
    if fee_minor.checked_add(net.amount_minor) != Some(gross.amount_minor) {
        return Err(unreadable(at, "amount is not fee and netAmount"));
    }
    let date = ["/paidOn", "/completedOn", "/createdOn"].into_iter().find_map(|name| text(line, name));
    Ok(ReportLine {
        kind: LineKind::Payment,
        reference: objects::reference(line),
        provider_ref: owned(line, "/transactionReference"),
        batch: owned(line, "/settlementReference").or_else(|| batch.map(str::to_owned)),
        gross,
        fee_minor,
        net_minor: net.amount_minor,
        at: date.and_then(objects::date),
    })
}

/// Reads a report as [`Report`] puts it together.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    let pages: Vec<Page> =
        serde_json::from_slice(bytes).map_err(|_| WebhookError::Unreadable("it is not a report of Monnify's settlements".to_owned()))?;
    let mut lines = Vec::new();
    for page in pages {
        let answer = units::exact(page.answer.get().as_bytes()).filter(|answer| answer["requestSuccessful"] == Value::Bool(true));
        let answer = answer.ok_or_else(|| WebhookError::Unreadable("a page of the report is no answer of Monnify".to_owned()))?;
        for line in contents(&answer["responseBody"]) {
            lines.push(read_line(lines.len() + 1, Some(&page.settlement_reference), line)?);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(pages: &[&str]) -> Vec<u8> {
        let mut report = Report::default();
        for lines in pages {
            report.add(
                "SETT1",
                format!("{{\"requestSuccessful\":true, \"responseBody\":{{\"content\":[{lines}],\"last\":true}}}}").as_bytes(),
            );
        }
        report.end()
    }

    #[test]
    fn pages_are_put_together_as_they_came_and_read_to_the_last_digit() {
        let both = report(&[
            r#"{"paymentReference":"pat_1","transactionReference":"MNFY|1","amount":90071992547409.93,"fee":"0.93","netAmount":90071992547409,
                "paidOn":"17/11/2021 3:48:10 PM"}"#,
            r#"{"metaData":"{\"reference\":\"pat_2\"}","amountPaid":"10.00","settlementAmount":9.85,"settlementReference":"S2"}"#,
        ]);
        let lines = read(&both).unwrap();
        assert_eq!(
            (lines[0].gross.amount_minor, lines[0].fee_minor, lines[0].net_minor),
            (9_007_199_254_740_993, 93, 9_007_199_254_740_900)
        );
        assert_eq!((lines[0].reference.as_deref(), lines[0].batch.as_deref()), (Some("pat_1"), Some("SETT1")));
        assert_eq!(lines[0].at.map(|at| at.to_string()).as_deref(), Some("2021-11-17T15:48:10Z"));
        assert_eq!((lines[1].gross.amount_minor, lines[1].fee_minor, lines[1].net_minor), (1_000, 15, 985));
        assert_eq!((lines[1].reference.as_deref(), lines[1].batch.as_deref()), (Some("pat_2"), Some("S2")));
        assert_eq!(read(&report(&[])), Ok(Vec::new()));
    }

    #[test]
    fn a_line_that_does_not_add_up_is_refused_with_its_place() {
        let wrong = report(&[r#"{"amount":"10","fee":"1","netAmount":"9"},{"amount":"10","fee":"1","netAmount":"8"}"#]);
        assert_eq!(read(&wrong), Err(WebhookError::Unreadable("line 2: amount is not fee and netAmount".to_owned())));
        assert!(read(&report(&[r#"{"amount":"1.005","fee":"0","netAmount":"1.005"}"#])).is_err());
        for bytes in [&b"{}"[..], b"", b"x", b"[{}]", b"[{\"settlementReference\":\"S\",\"answer\":{\"requestSuccessful\":false}}]"] {
            assert!(read(bytes).is_err());
        }
    }
}
