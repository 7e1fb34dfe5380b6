//! Monnify's payments: opened by the merchant, decided by the payer on the hosted page, read back in two ways.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wire::{DateForm, amount as written, date};
use super::{Refusal, amount, text};
use crate::MONNIFY_CONTRACT;
use crate::bank::{Books, Moved, MovementKind, Outgoing};
use crate::call::{Call, Twist};
use crate::money::{exponent, fee_half_up};
use crate::pages::{Decision, Page, PageState};

/// How long a checkout page can be paid.
const PAGE_MS: i64 = 40 * 60_000;

/// A payment as the provider knows it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Payment {
    /// Which one of all: it decides in which forms it is written.
    pub(super) number: u64,
    pub(super) transaction_reference: String,
    pub(super) payment_reference: String,
    pub(super) payable_minor: i64,
    pub(super) paid_minor: i64,
    pub(super) fee_minor: i64,
    pub(super) refunded_minor: i64,
    pub(super) currency: String,
    pub(super) status: String,
    pub(super) customer_name: String,
    pub(super) customer_email: String,
    pub(super) description: String,
    pub(super) metadata: Value,
    pub(super) redirect_url: Option<String>,
    pub(super) opened_ms: i64,
    pub(super) paid_ms: Option<i64>,
    pub(super) settlement: Option<String>,
}

impl Payment {
    /// A payment by the provider's reference.
    pub(super) fn find(books: &Books, transaction_reference: &str) -> Option<Self> {
        books.find("transaction", transaction_reference)
    }

    /// Writes it down.
    pub(super) fn keep(&self, books: &mut Books) {
        books.keep("transaction", &self.transaction_reference, self);
    }

    fn method(&self) -> &'static str {
        ["ACCOUNT_TRANSFER", "CASH", "USSD"][(self.number % 3) as usize]
    }

    /// Its status now: a page whose time is over has expired, whoever looks.
    fn status(&self, books: &Books) -> String {
        if self.status == "PENDING" && books.now_ms() >= self.opened_ms + PAGE_MS { "EXPIRED".to_owned() } else { self.status.clone() }
    }

    /// What is common to an answer and a webhook; `seen` is 0, 1 and 2 for the two queries and the webhook, and turns the forms.
    pub(super) fn view(&self, books: &Books, seen: u64) -> Value {
        let places = exponent(&self.currency);
        let amount = |minor: i64, field: u64| written(minor, places, self.number + seen + field);
        let form = DateForm::of(self.number + seen);
        let metadata = if (self.number + seen).is_multiple_of(2) { self.metadata.clone() } else { json!(self.metadata.to_string()) };
        json!({
            "transactionReference": self.transaction_reference,
            "paymentReference": self.payment_reference,
            "amountPaid": amount(self.paid_minor, 0),
            "totalPayable": amount(self.payable_minor, 1),
            "settlementAmount": amount(self.paid_minor - self.fee_minor, 1),
            "paidOn": self.paid_ms.map(|at_ms| date(at_ms, form)),
            "createdOn": date(self.opened_ms, form),
            "paymentStatus": self.status(books),
            "paymentDescription": self.description,
            "currency": self.currency,
            "paymentMethod": self.method(),
            "product": {"type": "WEB_SDK", "reference": self.payment_reference},
            "customer": {"email": self.customer_email, "name": self.customer_name},
            "metaData": metadata,
        })
    }

    /// What a webhook says of it.
    fn event(&self, books: &Books) -> Value {
        let mut data = self.view(books, 2);
        let source = json!({"bankCode": "058", "amountPaid": written(self.paid_minor, exponent(&self.currency), self.number),
            "accountName": self.customer_name, "sessionId": format!("0000152111171{:017}", self.number), "accountNumber": "******2190"});
        // An empty object where somebody paid cash, a list for transfers, one object for the rest.
        data["paymentSourceInformation"] = match self.number % 3 {
            0 => json!([source]),
            1 => json!({}),
            _ => source,
        };
        data["destinationAccountInformation"] = if self.number.is_multiple_of(3) {
            json!({"bankCode": "035", "bankName": "Wema bank", "accountNumber": "3000101903"})
        } else {
            json!({})
        };
        data
    }
}

/// `init-transaction`.
pub(super) fn open(books: &mut Books, body: &Value) -> Result<Value, Refusal> {
    let reference = text(body, "paymentReference")?;
    let payable_minor = amount(body, "amount")?;
    let customer_name = text(body, "customerName")?;
    let customer_email = text(body, "customerEmail")?;
    if !customer_email.contains('@') {
        return Err(("99", "customerEmail is not an email address".to_owned()));
    }
    if text(body, "contractCode")? != MONNIFY_CONTRACT {
        return Err(("99", "Could not find specified contract".to_owned()));
    }
    let currency = text(body, "currencyCode")?;
    if currency != "NGN" {
        return Err(("99", "currencyCode must be NGN".to_owned()));
    }
    if !books.linked("payment", reference).is_empty() {
        return Err(("D05", "Duplicate payment reference".to_owned()));
    }
    let opened_ms = books.now_ms();
    let number = books.count("transaction") as u64;
    let day = date(opened_ms, DateForm::Plain).replace(['-', ':', ' '], "");
    let payment = Payment {
        number,
        transaction_reference: format!("MNFY|{:02}|{}|{:06}", number % 90 + 10, &day[..day.len().min(14)], number),
        payment_reference: reference.to_owned(),
        payable_minor,
        paid_minor: 0,
        fee_minor: 0,
        refunded_minor: 0,
        currency: currency.to_owned(),
        status: "PENDING".to_owned(),
        customer_name: customer_name.to_owned(),
        customer_email: customer_email.to_owned(),
        description: body["paymentDescription"].as_str().unwrap_or(reference).to_owned(),
        metadata: body.get("metaData").filter(|data| data.is_object()).cloned().unwrap_or_else(|| json!({})),
        redirect_url: body["redirectUrl"].as_str().filter(|url| !url.is_empty()).map(str::to_owned),
        opened_ms,
        paid_ms: None,
        settlement: None,
    };
    let url = books.open_page(&Page {
        id: payment.transaction_reference.clone(),
        dialect: books.dialect(),
        reference: payment.payment_reference.clone(),
        description: payment.description.clone(),
        amount_minor: payable_minor,
        currency: payment.currency.clone(),
        state: PageState::Open,
        expires_at_ms: Some(opened_ms + PAGE_MS),
    });
    books.link("payment", reference, &payment.transaction_reference);
    payment.keep(books);
    Ok(json!({
        "transactionReference": payment.transaction_reference,
        "paymentReference": payment.payment_reference,
        "merchantName": "Demonstration",
        "apiKey": crate::MONNIFY_KEY,
        "redirectUrl": payment.redirect_url,
        "enabledPaymentMethod": body.get("paymentMethods").cloned().unwrap_or_else(|| json!(["ACCOUNT_TRANSFER"])),
        "checkoutUrl": url,
    }))
}

fn unknown() -> Refusal {
    ("99", "There is no transaction matching the supplied reference".to_owned())
}

/// The query by the provider's reference.
pub(super) fn by_provider(books: &Books, reference: &str) -> Result<Value, Refusal> {
    Payment::find(books, reference).map(|payment| payment.view(books, 0)).ok_or_else(unknown)
}

/// The query by either reference, as a field.
pub(super) fn by_merchant(books: &Books, call: &Call) -> Result<Value, Refusal> {
    let id = match (call.query("paymentReference"), call.query("transactionReference")) {
        (Some(reference), _) => books.linked("payment", reference).first().cloned(),
        (None, Some(reference)) => Some(reference.to_owned()),
        (None, None) => return Err(("99", "paymentReference or transactionReference is required".to_owned())),
    };
    id.and_then(|id| Payment::find(books, &id)).map(|payment| payment.view(books, 1)).ok_or_else(unknown)
}

/// What the payer did.
pub(super) fn decide(books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
    let mut payment = Payment::find(books, &page.id).ok_or("this page belongs to no payment")?;
    let status = match decision {
        Decision::Pay => "PAID",
        Decision::Abandon => "ABANDONED",
        Decision::Decline { code } => match code.as_str() {
            known @ ("CANCELLED" | "EXPIRED" | "ABANDONED" | "PARTIALLY_PAID" | "OVERPAID" | "REVERSED") => known,
            _ => "FAILED",
        },
    };
    let asked_minor = match status {
        "PARTIALLY_PAID" => (payment.payable_minor / 2).max(1),
        "OVERPAID" => payment.payable_minor.saturating_add(100),
        _ => payment.payable_minor,
    };
    let state = match status {
        "PAID" | "PARTIALLY_PAID" | "OVERPAID" | "REVERSED" => PageState::Paid,
        "ABANDONED" => PageState::Abandoned,
        "EXPIRED" => PageState::Expired,
        _ => PageState::Declined,
    };
    payment.status = status.to_owned();
    let mut event = None;
    if state == PageState::Paid {
        let (paid_minor, currency) = twist.moved(asked_minor, &payment.currency);
        payment.paid_minor = paid_minor;
        payment.currency = currency;
        payment.paid_ms = Some(books.now_ms());
        payment.fee_minor = fee_half_up(paid_minor, 150, 0).min(200_000);
        if status != "REVERSED" {
            let order = payment.paid_minor.cmp(&payment.payable_minor);
            payment.status = ["PARTIALLY_PAID", "PAID", "OVERPAID"][(order as i8 + 1) as usize].to_owned();
        }
        moved(books, &payment, MovementKind::Charged, paid_minor);
        if status == "REVERSED" {
            moved(books, &payment, MovementKind::Refunded, paid_minor);
            payment.refunded_minor = paid_minor;
        } else {
            event = Some("SUCCESSFUL_TRANSACTION");
        }
    } else if payment.status == "FAILED" {
        event = Some("REJECTED_PAYMENT");
    }
    books.set_page(&page.id, state);
    payment.keep(books);
    if let Some(event) = event {
        let mut data = payment.event(books);
        if event == "REJECTED_PAYMENT" {
            data["paymentRejectionInformation"] = json!({"bankCode": "035", "rejectionReason": "UNDER_PAYMENT",
                "expectedAmount": written(payment.payable_minor, 2, payment.number)});
        }
        books.notify(Outgoing {
            id: format!("{event}:{}", payment.payment_reference),
            event: event.to_owned(),
            body: json!({"eventType": event, "eventData": data}),
        });
    }
    Ok(payment.redirect_url.map(|url| {
        let mark = if url.contains('?') { '&' } else { '?' };
        let reference: String = form_urlencoded::byte_serialize(payment.payment_reference.as_bytes()).collect();
        format!("{url}{mark}paymentReference={reference}")
    }))
}

/// The payer sends money again: it joins the transaction, or is one of its own under the same payment reference.
pub(super) fn pay_more(books: &mut Books, page: &Page, amount_minor: i64, is_apart: bool) -> Result<(), String> {
    let mut payment = Payment::find(books, &page.id).ok_or("this page belongs to no payment")?;
    if is_apart {
        payment.number = books.count("transaction") as u64;
        payment.transaction_reference = format!("{}|{:06}", payment.transaction_reference, payment.number);
        (payment.paid_minor, payment.refunded_minor, payment.settlement) = (0, 0, None);
        books.link("payment", &payment.payment_reference, &payment.transaction_reference);
    }
    payment.paid_minor = payment.paid_minor.checked_add(amount_minor).filter(|_| amount_minor > 0).ok_or("the amount is not above zero")?;
    payment.paid_ms = Some(books.now_ms());
    payment.fee_minor = fee_half_up(payment.paid_minor, 150, 0).min(200_000);
    let order = payment.paid_minor.cmp(&payment.payable_minor);
    payment.status = ["PARTIALLY_PAID", "PAID", "OVERPAID"][(order as i8 + 1) as usize].to_owned();
    moved(books, &payment, MovementKind::Charged, amount_minor);
    payment.keep(books);
    let data = payment.event(books);
    books.notify(Outgoing {
        id: format!("SUCCESSFUL_TRANSACTION:{}:{}", payment.transaction_reference, payment.paid_minor),
        event: "SUCCESSFUL_TRANSACTION".to_owned(),
        body: json!({"eventType": "SUCCESSFUL_TRANSACTION", "eventData": data}),
    });
    Ok(())
}

fn moved(books: &mut Books, payment: &Payment, kind: MovementKind, amount_minor: i64) {
    books.moved(Moved {
        kind,
        reference: &payment.payment_reference,
        provider_id: &payment.transaction_reference,
        amount_minor,
        currency: &payment.currency,
        idempotency_key: None,
    });
}
