//! Stripe's reports: balance transactions as JSON, and the payout reconciliation report that a person downloads as CSV.
//! <https://docs.stripe.com/reports/balance-transaction-types>, <https://docs.stripe.com/reports/report-types/payout-reconciliation>

use kernel::{Money, Timestamp};
use serde_json::Value;

use super::objects;
use crate::provider::{LineKind, ReportLine, WebhookError};
use crate::providers::answers::{owned, text};
use crate::providers::table;
use crate::units;

/// Types of balance transactions and reporting categories. `None` is money on its way to our own bank: what a batch sums up to.
const KINDS: &[(&str, Option<LineKind>)] = &[
    ("charge", Some(LineKind::Payment)),
    ("fee", Some(LineKind::Fee)),
    ("network_cost", Some(LineKind::Fee)),
    ("partial_capture_reversal", Some(LineKind::Refund)),
    ("payment", Some(LineKind::Payment)),
    ("payment_refund", Some(LineKind::Refund)),
    ("payout", None),
    ("payout_cancel", None),
    ("payout_failure", None),
    ("payout_reversal", None),
    ("refund", Some(LineKind::Refund)),
    ("refund_failure", Some(LineKind::Refund)),
    ("stripe_fee", Some(LineKind::Fee)),
    ("stripe_fx_fee", Some(LineKind::Fee)),
    ("tax", Some(LineKind::Fee)),
    ("tax_fee", Some(LineKind::Fee)),
];

/// What a line is about; an unknown word must not swallow money, so that it is told by its sign and a person looks at it.
fn kind_of(word: &str, gross: Money, reference: Option<&str>) -> Option<LineKind> {
    match KINDS.iter().find(|(known, _)| *known == word) {
        // A payout that we asked for is money of its own.
        Some((_, None)) => reference.map(|_| LineKind::Payout),
        Some((_, kind)) => *kind,
        None if gross.amount_minor < 0 => Some(LineKind::Refund),
        None => Some(LineKind::Payment),
    }
}

fn unreadable(line: usize, what: &str) -> WebhookError {
    WebhookError::Unreadable(format!("line {line}: {what}"))
}

/// Checks that nothing is lost between gross, fee and net.
fn summed(line: usize, gross: Money, fee: i64, net: i64) -> Result<(i64, i64), WebhookError> {
    let is_whole = fee.checked_add(net) == Some(gross.amount_minor);
    if is_whole { Ok((fee, net)) } else { Err(unreadable(line, "gross is not fee and net")) }
}

/// Reads a report of either form.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[' | b'{') => json(bytes),
        _ => csv(bytes),
    }
}

fn json(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    let lines = units::elements(bytes, "data");
    let lines = lines.ok_or_else(|| WebhookError::Unreadable("the report is not a list of balance transactions".to_owned()))?;
    let mut read = Vec::with_capacity(lines.len());
    for (at, line) in (1..).zip(lines) {
        let line = units::exact(line.get().as_bytes()).ok_or_else(|| unreadable(at, "it is not JSON"))?;
        read.extend(json_line(at, &line)?);
    }
    Ok(read)
}

fn json_line(at: usize, line: &Value) -> Result<Option<ReportLine>, WebhookError> {
    let amount = |field: &str| objects::money(&line[field], &line["currency"]).ok_or_else(|| unreadable(at, &format!("no {field}")));
    let gross = amount("amount")?;
    let (fee_minor, net_minor) = summed(at, gross, amount("fee")?.amount_minor, amount("net")?.amount_minor)?;
    let reference = owned(line, "/source/metadata/reference");
    let word = text(line, "/type").ok_or_else(|| unreadable(at, "no type"))?;
    Ok(kind_of(word, gross, reference.as_deref()).map(|kind| ReportLine {
        kind,
        reference,
        // A charge is known to us by its payment intent.
        provider_ref: match text(line, "/source/object") {
            Some("charge") => objects::id_at(&line["source"], "payment_intent").or_else(|| objects::id_at(line, "source")),
            _ => objects::id_at(line, "source"),
        },
        batch: objects::id_at(line, "payout").or_else(|| objects::id_at(line, "automatic_payout")),
        gross,
        fee_minor,
        net_minor,
        at: units::minor_of(&line["created"], 0).map(Timestamp::from_seconds),
    }))
}

fn csv(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    let mut table = table::read(bytes).map_err(WebhookError::Unreadable)?;
    for name in ["currency", "gross", "fee", "net", "reporting_category"] {
        if !table.has(name) {
            return Err(WebhookError::Unreadable(format!("the report has no column {name}")));
        }
    }
    let mut read = Vec::new();
    for row in table.rows() {
        let (at, row) = row.map_err(WebhookError::Unreadable)?;
        let currency = Value::from(row.get("currency").unwrap_or_default());
        let amount = |field: &str| {
            // The file tells major units, where the interface tells Stripe's own.
            let money = units::money(&Value::from(row.get(field).unwrap_or_default()), &currency);
            money.ok_or_else(|| unreadable(at, &format!("the column {field} holds no amount")))
        };
        let gross = amount("gross")?;
        let (fee_minor, net_minor) = summed(at, gross, amount("fee")?.amount_minor, amount("net")?.amount_minor)?;
        let names = ["payment_metadata[reference]", "refund_metadata[reference]", "metadata[reference]", "reference"];
        let reference = names.iter().find_map(|name| row.get(name)).map(str::to_owned);
        let created = ["created_utc", "created"].iter().find_map(|name| row.get(name));
        read.extend(kind_of(row.get("reporting_category").unwrap_or_default(), gross, reference.as_deref()).map(|kind| ReportLine {
            kind,
            reference,
            provider_ref: ["payment_intent_id", "source_id"].iter().find_map(|name| row.get(name)).map(str::to_owned),
            batch: row.get("automatic_payout_id").map(str::to_owned),
            gross,
            fee_minor,
            net_minor,
            at: created.and_then(|text| Timestamp::parse(&format!("{}Z", text.trim_end_matches('Z').replacen(' ', "T", 1))).ok()),
        }));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_person_downloads_is_read_like_the_list() {
        let file = "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,automatic_payout_id,payment_metadata[reference]\r\n\
            txn_1,2026-01-31 09:30:00,usd,20.00,0.88,19.12,charge,ch_1,po_1,pat_1\r\n\
            txn_2,2026-01-31 09:31:00,usd,-5.00,0.00,-5.00,refund,re_1,po_1,\r\n\
            txn_3,2026-01-31 09:32:00,usd,-14.12,0.00,-14.12,payout,po_1,po_1,\r\n\
            txn_4,2026-01-31 09:33:00,usd,-15.00,15.00,-30.00,dispute,dp_1,,\r\n";
        let lines = read(file.as_bytes()).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.kind, line.gross.amount_minor, line.fee_minor, line.net_minor)).collect();
        assert_eq!(
            told,
            [(LineKind::Payment, 2_000, 88, 1_912), (LineKind::Refund, -500, 0, -500), (LineKind::Refund, -1_500, 1_500, -3_000)]
        );
        assert_eq!(lines[0].reference.as_deref(), Some("pat_1"));
        assert_eq!(lines[0].batch.as_deref(), Some("po_1"));
        assert_eq!(lines[0].at, Timestamp::parse("2026-01-31T09:30:00Z").ok());
    }

    #[test]
    fn a_line_that_does_not_add_up_is_refused_with_its_place() {
        let list = r#"[{"type":"charge","amount":2000,"fee":88,"net":1913,"currency":"usd","source":"ch_1"}]"#;
        assert_eq!(read(list.as_bytes()), Err(WebhookError::Unreadable("line 1: gross is not fee and net".to_owned())));
        let list = r#"{"object":"list","data":[{"type":"charge","amount":500,"fee":100,"net":400,"currency":"isk","source":"ch_1","created":1700000000}]}"#;
        let line = &read(list.as_bytes()).unwrap()[0];
        assert_eq!((line.gross.amount_minor, line.fee_minor, line.net_minor), (5, 1, 4));
    }
}
