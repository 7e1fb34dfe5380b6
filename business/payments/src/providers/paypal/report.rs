//! PayPal's reports: the transaction search as JSON, and the activity that a person downloads as CSV.
//! <https://developer.paypal.com/docs/transaction-search/transaction-event-codes/>

use kernel::{Money, Timestamp};
use serde_json::Value;

use super::objects;
use crate::provider::{LineKind, ReportLine, WebhookError};
use crate::providers::answers::{owned, text};
use crate::providers::table;
use crate::units;

/// Event codes by what they begin with, the longest first. `None` moves money between our own accounts.
const CODES: &[(&str, Option<LineKind>)] = &[
    ("T0001", Some(LineKind::Payout)),
    ("T1114", Some(LineKind::Payout)),
    ("T00", Some(LineKind::Payment)),
    ("T01", Some(LineKind::Fee)),
    ("T02", None),
    ("T03", None),
    ("T04", None),
    ("T11", Some(LineKind::Refund)),
    ("T15", None),
];

/// Words of the column `Type` of a downloaded activity.
const TYPES: &[(&str, Option<LineKind>)] = &[
    ("Account Hold for Open Authorization", None),
    ("Express Checkout Payment", Some(LineKind::Payment)),
    ("General Currency Conversion", None),
    ("General Payment", Some(LineKind::Payment)),
    ("General Withdrawal", None),
    ("Mass Pay Payment", Some(LineKind::Payout)),
    ("Mass Payment", Some(LineKind::Payout)),
    ("Mobile Payment", Some(LineKind::Payment)),
    ("Payment Fee", Some(LineKind::Fee)),
    ("Payment Refund", Some(LineKind::Refund)),
    ("Reversal of General Account Hold", None),
    ("User Initiated Withdrawal", None),
    ("Website Payment", Some(LineKind::Payment)),
];

fn unreadable(line: usize, what: &str) -> WebhookError {
    WebhookError::Unreadable(format!("line {line}: {what}"))
}

/// An unknown word must not swallow money: it is told by its sign, and a person looks at it.
fn by_sign(gross: Money) -> LineKind {
    if gross.amount_minor < 0 { LineKind::Refund } else { LineKind::Payment }
}

/// Fee and net of a line. PayPal's fee is below zero where it keeps something.
fn split(line: usize, gross: Money, fee: Option<Money>) -> Result<(i64, i64), WebhookError> {
    let fee = fee.unwrap_or(Money::new(0, gross.currency));
    let net = gross.plus(fee).map_err(|_| unreadable(line, "the fee is in another currency, or too large"))?;
    let kept = fee.amount_minor.checked_neg().ok_or_else(|| unreadable(line, "the fee is too large"))?;
    Ok((kept, net.amount_minor))
}

/// Reads a report of either form.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'[' | b'{') => json(bytes),
        _ => csv(bytes),
    }
}

fn json(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    let lines = units::elements(bytes, "transaction_details");
    let lines = lines.ok_or_else(|| WebhookError::Unreadable("the report is not a list of transactions".to_owned()))?;
    let mut read = Vec::with_capacity(lines.len());
    for (at, line) in (1..).zip(lines) {
        let line = units::exact(line.get().as_bytes()).ok_or_else(|| unreadable(at, "it is not JSON"))?;
        read.extend(json_line(at, line.get("transaction_info").unwrap_or(&line))?);
    }
    Ok(read)
}

fn json_line(at: usize, line: &Value) -> Result<Option<ReportLine>, WebhookError> {
    // What is pending or was denied moved nothing.
    if matches!(text(line, "/transaction_status"), Some("P" | "D")) {
        return Ok(None);
    }
    let gross = objects::money(&line["transaction_amount"]).ok_or_else(|| unreadable(at, "no transaction_amount"))?;
    let fee = match line.get("fee_amount").filter(|fee| !fee.is_null()) {
        Some(fee) => Some(objects::money(fee).ok_or_else(|| unreadable(at, "a fee_amount that is no amount"))?),
        None => None,
    };
    let code = text(line, "/transaction_event_code").ok_or_else(|| unreadable(at, "no transaction_event_code"))?;
    let kind = match CODES.iter().find(|(begin, _)| code.starts_with(begin)) {
        Some((_, kind)) => *kind,
        None => Some(by_sign(gross)),
    };
    let (fee_minor, net_minor) = split(at, gross, fee)?;
    Ok(kind.map(|kind| ReportLine {
        kind,
        reference: owned(line, "/invoice_id").or_else(|| owned(line, "/custom_field")),
        provider_ref: owned(line, "/transaction_id"),
        batch: None,
        gross,
        fee_minor,
        net_minor,
        at: text(line, "/transaction_initiation_date").and_then(instant),
    }))
}

/// An instant whose offset may be written without a colon, as `+0000`.
fn instant(text: &str) -> Option<Timestamp> {
    let end = text.len().checked_sub(5).filter(|at| text.is_char_boundary(*at));
    let zone =
        end.and_then(|at| text.get(at..)).filter(|zone| zone.starts_with(['+', '-']) && zone[1..].bytes().all(|b| b.is_ascii_digit()));
    match zone {
        Some(zone) => Timestamp::parse(&format!("{}{}:{}", &text[..text.len() - 5], &zone[..3], &zone[3..])).ok(),
        None => Timestamp::parse(text).ok(),
    }
}

fn csv(bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
    let mut table = table::read(bytes).map_err(WebhookError::Unreadable)?;
    for name in ["Type", "Status", "Currency", "Gross", "Fee", "Net", "Transaction ID"] {
        if !table.has(name) {
            return Err(WebhookError::Unreadable(format!("the report has no column {name}")));
        }
    }
    let mut read = Vec::new();
    for row in table.rows() {
        let (at, row) = row.map_err(WebhookError::Unreadable)?;
        if row.get("Status").is_some_and(|status| matches!(status, "Pending" | "Denied" | "Canceled")) {
            continue;
        }
        let amount = |name: &str| {
            // Thousands are set apart with commas.
            let text = row.get(name).unwrap_or("0").replace(',', "");
            let money = units::money(&Value::from(text), &Value::from(row.get("Currency").unwrap_or_default()));
            money.ok_or_else(|| unreadable(at, &format!("the column {name} holds no amount")))
        };
        let gross = amount("Gross")?;
        let (fee_minor, net_minor) = split(at, gross, Some(amount("Fee")?))?;
        if amount("Net")?.amount_minor != net_minor {
            return Err(unreadable(at, "gross is not fee and net"));
        }
        let word = row.get("Type").unwrap_or_default();
        let kind = match TYPES.iter().find(|(known, _)| *known == word) {
            Some((_, kind)) => *kind,
            None => Some(by_sign(gross)),
        };
        read.extend(kind.map(|kind| ReportLine {
            kind,
            reference: row.get("Invoice Number").or_else(|| row.get("Custom Number")).map(str::to_owned),
            provider_ref: row.get("Transaction ID").map(str::to_owned),
            batch: None,
            gross,
            fee_minor,
            net_minor,
            // Day, month and year stand in the order of the reader's country.
            at: None,
        }));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_paypal_keeps_is_a_fee_and_what_is_ours_stays_ours() {
        let list = r#"[{"transaction_info":{"transaction_id":"T1","transaction_event_code":"T0006","transaction_initiation_date":"2026-01-31T09:30:00+0000",
            "transaction_amount":{"currency_code":"USD","value":"20.00"},"fee_amount":{"currency_code":"USD","value":"-0.88"},"transaction_status":"S","invoice_id":"pat_1"}},
            {"transaction_info":{"transaction_id":"T2","transaction_event_code":"T0400","transaction_amount":{"currency_code":"USD","value":"-19.12"},"transaction_status":"S"}},
            {"transaction_info":{"transaction_id":"T3","transaction_event_code":"T1107","transaction_amount":{"currency_code":"USD","value":"-5.00"},"transaction_status":"S"}},
            {"transaction_info":{"transaction_id":"T4","transaction_event_code":"T0006","transaction_amount":{"currency_code":"USD","value":"7.00"},"transaction_status":"P"}}]"#;
        let lines = read(list.as_bytes()).unwrap();
        let told: Vec<_> = lines.iter().map(|line| (line.kind, line.gross.amount_minor, line.fee_minor, line.net_minor)).collect();
        assert_eq!(told, [(LineKind::Payment, 2_000, 88, 1_912), (LineKind::Refund, -500, 0, -500)]);
        assert_eq!(lines[0].at, Timestamp::parse("2026-01-31T09:30:00Z").ok());
    }

    #[test]
    fn the_activity_that_a_person_downloads_is_read_like_the_list() {
        let file = "\u{feff}\"Date\",\"Type\",\"Status\",\"Currency\",\"Gross\",\"Fee\",\"Net\",\"Transaction ID\",\"Invoice Number\"\r\n\
            \"31/01/2026\",\"Express Checkout Payment\",\"Completed\",\"USD\",\"1,020.00\",\"-30.88\",\"989.12\",\"T1\",\"pat_1\"\r\n\
            \"31/01/2026\",\"General Withdrawal\",\"Completed\",\"USD\",\"-989.12\",\"0.00\",\"-989.12\",\"T2\",\"\"\r\n";
        let lines = read(file.as_bytes()).unwrap();
        assert_eq!(lines.len(), 1);
        assert_eq!((lines[0].gross.amount_minor, lines[0].fee_minor, lines[0].net_minor), (102_000, 3_088, 98_912));
        let wrong = file.replace("\"989.12\",\"T1\"", "\"989.13\",\"T1\"");
        assert_eq!(read(wrong.as_bytes()), Err(WebhookError::Unreadable("line 2: gross is not fee and net".to_owned())));
    }
}
