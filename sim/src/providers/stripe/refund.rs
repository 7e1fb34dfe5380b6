//! Refunds.

use serde_json::{Value, json};

use super::{Ask, Fail, balance_line, check_amount, event, intent, iso_minor, now_s, reference, text, units};
use crate::bank::{Books, Moved, MovementKind};

pub(super) fn create(books: &mut Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    ask.only(&["payment_intent", "charge", "amount", "reason", "metadata"])?;
    let charge_id = match (ask.get("charge"), ask.get("payment_intent")) {
        (Some(charge), _) => charge.to_owned(),
        (None, Some(id)) => {
            let intent = books.get("intent", id).ok_or_else(|| Fail::missing("payment_intent", id))?;
            let charge = text(intent, "latest_charge");
            if charge.is_empty() {
                let message = format!("This PaymentIntent ({id}) does not have a successful charge to refund.");
                return Err(Fail::invalid("resource_missing", "payment_intent", message));
            }
            charge.to_owned()
        }
        (None, None) => {
            return Err(Fail::invalid(
                "parameter_missing",
                "payment_intent",
                "One of the following params should be provided for this request: payment_intent or charge.",
            ));
        }
    };
    let mut charge = books.get("charge", &charge_id).cloned().ok_or_else(|| Fail::missing("charge", &charge_id))?;
    if let Some(reason) = ask.get("reason")
        && !["duplicate", "fraudulent", "requested_by_customer"].contains(&reason)
    {
        return Err(Fail::invalid("parameter_invalid", "reason", format!("Invalid reason: {reason}")));
    }
    let currency = text(&charge, "currency").to_owned();
    let (taken, refunded) = (units(&charge, "amount_captured"), units(&charge, "amount_refunded"));
    if taken == 0 {
        return Err(Fail::invalid(
            "charge_not_refundable",
            "",
            format!("Charge {charge_id} has not been captured; cancel its PaymentIntent instead."),
        ));
    }
    if refunded >= taken {
        return Err(Fail::invalid("charge_already_refunded", "", format!("Charge {charge_id} has already been refunded.")));
    }
    let amount = match ask.integer("amount")? {
        Some(amount) => {
            check_amount(amount, "amount", &currency)?;
            amount
        }
        None => taken - refunded,
    };
    if amount > taken - refunded {
        let message = format!("Refund amount ({amount}) is greater than unrefunded amount on charge ({}).", taken - refunded);
        return Err(Fail::invalid("", "amount", message));
    }
    let metadata = ask.metadata("metadata")?;
    let id = books.new_id("re_3", 23);
    let intent_id = text(&charge, "payment_intent").to_owned();
    let mut refund = json!({"id": id, "object": "refund", "amount": amount, "balance_transaction": null, "charge": charge_id,
        "created": now_s(books), "currency": currency, "metadata": metadata, "payment_intent": intent_id,
        "reason": ask.get("reason"), "receipt_number": null, "status": "succeeded"});
    books.link("refund_by_intent", &intent_id, &id);
    books.link("refund_by_charge", &charge_id, &id);
    if let Some(code) = &ask.twist.decline {
        refund["status"] = json!("failed");
        refund["failure_reason"] = json!(if code.is_empty() { "unknown" } else { code.as_str() });
        books.put("refund", &id, refund.clone());
        event(books, Some(ask), "refund.created", &refund);
        event(books, Some(ask), "refund.failed", &refund);
        return Ok(refund);
    }
    let (moved_amount, moved_currency) = ask.twist.moved(amount, &currency);
    refund["amount"] = json!(moved_amount);
    refund["currency"] = json!(moved_currency.to_ascii_lowercase());
    let line = balance_line(books, "refund", &id, -moved_amount, 0, &moved_currency.to_ascii_lowercase());
    refund["balance_transaction"] = json!(line);
    books.put("refund", &id, refund.clone());
    charge["amount_refunded"] = json!(refunded + moved_amount);
    charge["refunded"] = json!(refunded + moved_amount >= taken);
    books.put("charge", &charge_id, charge.clone());
    let own = reference(&metadata);
    let merchant =
        if own.is_empty() { books.get("intent", &intent_id).map(|found| intent::merchant(books, found)).unwrap_or_default() } else { own };
    books.moved(Moved {
        kind: MovementKind::Refunded,
        reference: &merchant,
        provider_id: &id,
        amount_minor: iso_minor(moved_amount, &moved_currency),
        currency: &moved_currency,
        idempotency_key: ask.key,
    });
    event(books, Some(ask), "refund.created", &refund);
    event(books, Some(ask), "charge.refunded", &charge);
    Ok(refund)
}

/// The payer's bank did not take a refund: the money is with the merchant again.
pub(super) fn come_back(books: &mut Books, wanted: &str) -> Result<(), String> {
    let is_it = |refund: &&Value| reference(&refund["metadata"]) == wanted && text(refund, "status") == "succeeded";
    let mut refund = books.all("refund").map(|(_, refund)| refund).find(is_it).cloned().ok_or("there is no such refund")?;
    let (id, amount, currency) = (text(&refund, "id").to_owned(), units(&refund, "amount"), text(&refund, "currency").to_owned());
    let line = balance_line(books, "refund_failure", &id, amount, 0, &currency);
    refund["status"] = json!("failed");
    refund["failure_reason"] = json!("lost_or_stolen_card");
    refund["failure_balance_transaction"] = json!(line);
    books.put("refund", &id, refund.clone());
    books.moved(Moved {
        kind: MovementKind::Charged,
        reference: wanted,
        provider_id: &id,
        amount_minor: iso_minor(amount, &currency),
        currency: &currency,
        idempotency_key: None,
    });
    event(books, None, "refund.failed", &refund);
    Ok(())
}

pub(super) fn list(books: &Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    let ids = match (ask.get("payment_intent"), ask.get("charge")) {
        (Some(intent), _) => books.linked("refund_by_intent", intent),
        (None, Some(charge)) => books.linked("refund_by_charge", charge),
        (None, None) => return ask.page("/v1/refunds", books.all("refund").rev().map(|(_, refund)| refund.clone())),
    };
    ask.page("/v1/refunds", ids.iter().rev().filter_map(|id| books.get("refund", id).cloned()))
}
