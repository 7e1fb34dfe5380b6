//! Monnify's payouts from a wallet ("disbursements"): asynchronous, sometimes behind an OTP, sometimes returned.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::wire::{DateForm, amount as written, date};
use super::{OTP, OTP_WALLET, POOR_WALLET, Refusal, amount, text};
use crate::MONNIFY_SOURCE_ACCOUNT;
use crate::bank::{Books, Moved, MovementKind, Outgoing};
use crate::call::{Call, Twist};
use crate::money::exponent;

/// What a payout costs, in kobo.
const FEE_MINOR: i64 = 2_000;
/// How long a payout is under way that was asked to be.
const UNDER_WAY_MS: i64 = 60_000;
/// How long an OTP is waited for.
const OTP_MS: i64 = 30 * 60_000;
/// What a wallet holds before anything was paid out of it, in kobo.
const RICH_MINOR: i64 = 100_000_000_000;
const POOR_MINOR: i64 = 100_000;
/// Banks, by code.
const BANKS: [(&str, &str); 8] = [
    ("033", "United Bank For Africa"),
    ("035", "Wema bank"),
    ("044", "Access bank"),
    ("057", "Zenith bank"),
    ("058", "GTBank"),
    ("232", "Sterling bank"),
    ("011", "First bank of Nigeria"),
    ("50515", "Moniepoint Microfinance Bank"),
];
/// Whose accounts are, by the last digit of their number.
const NAMES: [&str; 10] = [
    "ADAEZE OKAFOR",
    "BOLA ADEYEMI",
    "CHIDI NWOSU",
    "DAMILOLA BELLO",
    "EMEKA OBI",
    "FATIMA YUSUF",
    "GRACE EFFIONG",
    "HASSAN MUSA",
    "IFEOMA EZE",
    "JIDE BALOGUN",
];

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Payout {
    number: u64,
    reference: String,
    id: String,
    amount_minor: i64,
    /// What the receiver gets, which a fault may change.
    moved_minor: i64,
    currency: String,
    narration: String,
    bank_code: String,
    account_number: String,
    account_name: String,
    source: String,
    status: String,
    created_ms: i64,
    done_ms: Option<i64>,
    /// Set while it waits: when something happens by itself.
    due_ms: Option<i64>,
}

impl Payout {
    fn view(&self, seen: u64) -> Value {
        let form = DateForm::of(self.number + seen);
        let bank = BANKS.iter().find(|(code, _)| *code == self.bank_code).map_or("", |(_, name)| name);
        json!({
            "amount": written(self.moved_minor, exponent(&self.currency), self.number + seen),
            "reference": self.reference,
            "transactionReference": self.id,
            "narration": self.narration,
            "currency": self.currency,
            "fee": written(FEE_MINOR, 2, self.number + seen + 1),
            "totalFee": written(FEE_MINOR, 2, self.number + seen + 1),
            "twoFaEnabled": self.source == OTP_WALLET,
            "status": self.status,
            "transactionDescription": match self.status.as_str() {
                "SUCCESS" | "COMPLETED" => "Approved or completed successfully",
                "FAILED" => "Transaction failed",
                _ => "",
            },
            "createdOn": date(self.created_ms, form),
            "dateCreated": date(self.created_ms, form),
            "completedOn": self.done_ms.map(|at_ms| date(at_ms, form)),
            "sourceAccountNumber": self.source,
            "destinationAccountNumber": self.account_number,
            "destinationAccountName": self.account_name,
            "destinationBankCode": self.bank_code,
            "destinationBankName": bank,
        })
    }

    fn moved(&self, books: &mut Books, kind: MovementKind) {
        books.moved(Moved {
            kind,
            reference: &self.reference,
            provider_id: &self.id,
            amount_minor: self.moved_minor,
            currency: &self.currency,
            idempotency_key: None,
        });
    }

    fn tell(&self, books: &mut Books, event: &str) {
        let mut data = self.view(2);
        data["sessionId"] = json!(format!("0000152111171{:017}", self.number));
        books.notify(Outgoing {
            id: format!("{event}:{}", self.reference),
            event: event.to_owned(),
            body: json!({"eventType": event, "eventData": data}),
        });
    }

    /// Ends it: SUCCESS and COMPLETED pay, REVERSED pays and comes back, the rest pays nothing.
    fn finish(&mut self, books: &mut Books, status: &str) {
        self.due_ms = None;
        self.done_ms = Some(books.now_ms());
        match status {
            "SUCCESS" | "COMPLETED" => {
                self.status = status.to_owned();
                self.moved(books, MovementKind::PaidOut);
                self.tell(books, "SUCCESSFUL_DISBURSEMENT");
            }
            "REVERSED" => {
                self.status = "SUCCESS".to_owned();
                self.moved(books, MovementKind::PaidOut);
                self.tell(books, "SUCCESSFUL_DISBURSEMENT");
                self.status = "REVERSED".to_owned();
                self.moved(books, MovementKind::Returned);
                spend(books, &self.source, -self.amount_minor - FEE_MINOR);
                self.tell(books, "REVERSED_DISBURSEMENT");
            }
            _ => {
                self.status = status.to_owned();
                spend(books, &self.source, -self.amount_minor - FEE_MINOR);
                self.tell(books, "FAILED_DISBURSEMENT");
            }
        }
    }

    /// Lets it go on as it was asked to: at once, later, or with a decline's status.
    fn go(&mut self, books: &mut Books, wanted: Option<&str>) {
        match wanted {
            None => self.finish(books, if self.number.is_multiple_of(2) { "SUCCESS" } else { "COMPLETED" }),
            Some(word @ ("PENDING" | "AWAITING_PROCESSING" | "IN_PROGRESS")) => {
                self.status = word.to_owned();
                self.due_ms = Some(books.now_ms() + UNDER_WAY_MS);
            }
            Some("PENDING_AUTHORIZATION") => {
                self.status = "PENDING_AUTHORIZATION".to_owned();
                self.due_ms = Some(books.now_ms() + OTP_MS);
            }
            Some(word @ ("SUCCESS" | "COMPLETED" | "EXPIRED" | "REVERSED")) => self.finish(books, word),
            Some(_) => self.finish(books, "FAILED"),
        }
    }

    fn keep(&self, books: &mut Books) {
        books.keep("payout", &self.reference, self);
    }
}

/// A payout as it stands now: what was due since has happened.
fn caught_up(books: &mut Books, reference: &str) -> Option<Payout> {
    let mut payout: Payout = books.find("payout", reference)?;
    if payout.due_ms.is_some_and(|due_ms| due_ms <= books.now_ms()) {
        let status = if payout.status == "PENDING_AUTHORIZATION" { "EXPIRED" } else { "SUCCESS" };
        payout.finish(books, status);
        payout.keep(books);
    }
    Some(payout)
}

/// Ends what has become due.
pub(super) fn wake(books: &mut Books) {
    let waiting = books.all("payout").filter(|(_, payout)| !payout["due_ms"].is_null());
    let references: Vec<String> = waiting.map(|(reference, _)| reference.to_owned()).collect();
    for reference in references {
        caught_up(books, &reference);
    }
}

fn unknown() -> Refusal {
    ("99", "Could not find disbursement with the supplied reference".to_owned())
}

fn left_minor(books: &Books, source: &str) -> i64 {
    let full = if source == POOR_WALLET { POOR_MINOR } else { RICH_MINOR };
    full - books.get("spent", source).and_then(Value::as_i64).unwrap_or(0)
}

fn spend(books: &mut Books, source: &str, amount_minor: i64) {
    let spent = books.get("spent", source).and_then(Value::as_i64).unwrap_or(0);
    books.put("spent", source, json!(spent + amount_minor));
}

fn is_wallet(source: &str) -> bool {
    [MONNIFY_SOURCE_ACCOUNT, OTP_WALLET, POOR_WALLET].contains(&source)
}

/// Whose an account is: by its last digit, and nobody's where all digits are zeros.
fn owner(bank_code: &str, account_number: &str) -> Result<&'static str, Refusal> {
    if !BANKS.iter().any(|(code, _)| *code == bank_code) {
        return Err(("99", "Bank code is unknown".to_owned()));
    }
    if account_number.len() != 10 || !account_number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(("99", "Account number must have ten digits".to_owned()));
    }
    let last = account_number.bytes().last().map_or(0, |byte| usize::from(byte - b'0'));
    if account_number == "0000000000" { Err(("99", "Could not verify account".to_owned())) } else { Ok(NAMES[last]) }
}

/// Name enquiry.
pub(super) fn name_of(call: &Call) -> Result<Value, Refusal> {
    let (number, bank) = (call.query("accountNumber").unwrap_or_default(), call.query("bankCode").unwrap_or_default());
    let name = owner(bank, number)?;
    Ok(json!({"accountNumber": number, "accountName": name, "bankCode": bank, "currencyCode": "NGN"}))
}

/// `POST …/single`.
pub(super) fn start(books: &mut Books, body: &Value, twist: &Twist) -> Result<Value, Refusal> {
    let reference = text(body, "reference")?;
    let amount_minor = amount(body, "amount")?;
    let narration = text(body, "narration")?;
    if narration.chars().count() > 100 {
        return Err(("99", "narration must not be longer than 100 characters".to_owned()));
    }
    let (bank, number) = (text(body, "destinationBankCode")?, text(body, "destinationAccountNumber")?);
    let name = owner(bank, number)?;
    if text(body, "currency")? != "NGN" {
        return Err(("99", "currency must be NGN".to_owned()));
    }
    let source = text(body, "sourceAccountNumber")?;
    if !is_wallet(source) {
        return Err(("D01", "sourceAccountNumber is not a wallet of this merchant".to_owned()));
    }
    if books.get("payout", reference).is_some() {
        return Err(("D02", "A disbursement with this reference exists already".to_owned()));
    }
    if amount_minor.saturating_add(FEE_MINOR) > left_minor(books, source) {
        return Err(("D04", "The wallet does not hold enough for this disbursement".to_owned()));
    }
    let (moved_minor, currency) = twist.moved(amount_minor, "NGN");
    let number_of = books.count("payout") as u64;
    let mut payout = Payout {
        number: number_of,
        reference: reference.to_owned(),
        id: format!("MFDS|{}", books.new_id("", 20)),
        amount_minor,
        moved_minor,
        currency,
        narration: narration.to_owned(),
        bank_code: bank.to_owned(),
        account_number: number.to_owned(),
        account_name: name.to_owned(),
        source: source.to_owned(),
        status: "PENDING".to_owned(),
        created_ms: books.now_ms(),
        done_ms: None,
        due_ms: None,
    };
    spend(books, source, amount_minor + FEE_MINOR);
    let told = payout.view(0);
    let wanted = twist.decline.as_deref().or((source == OTP_WALLET).then_some("PENDING_AUTHORIZATION"));
    payout.go(books, wanted);
    payout.keep(books);
    // An asynchronous one is told before anything happened to it, unless it waits for the OTP.
    let is_async = body["async"].as_bool().unwrap_or(false) && payout.status != "PENDING_AUTHORIZATION";
    Ok(if is_async { told } else { payout.view(0) })
}

/// `validate-otp`.
pub(super) fn authorize(books: &mut Books, body: &Value) -> Result<Value, Refusal> {
    let reference = text(body, "reference")?;
    let code = text(body, "authorizationCode")?;
    let mut payout = caught_up(books, reference).ok_or_else(unknown)?;
    if payout.status != "PENDING_AUTHORIZATION" {
        return Err(("D03", format!("The disbursement is {} and waits for no authorization", payout.status)));
    }
    if code != OTP {
        return Err(("D05", "The authorization code is not right".to_owned()));
    }
    payout.go(books, None);
    payout.keep(books);
    Ok(payout.view(0))
}

/// `resend-otp`.
pub(super) fn resend(books: &mut Books, body: &Value) -> Result<Value, Refusal> {
    let payout = caught_up(books, text(body, "reference")?).ok_or_else(unknown)?;
    if payout.status != "PENDING_AUTHORIZATION" {
        return Err(("D03", format!("The disbursement is {} and waits for no authorization", payout.status)));
    }
    Ok(json!({"message": "Authorization code will be processed and sent to predefined email addresses(es)"}))
}

/// How a payout stands.
pub(super) fn summary(books: &mut Books, call: &Call) -> Result<Value, Refusal> {
    let reference = call.query("reference").ok_or_else(|| ("99", "reference is required".to_owned()))?;
    caught_up(books, reference).map(|payout| payout.view(1)).ok_or_else(unknown)
}

/// What a wallet holds.
pub(super) fn balance(books: &Books, call: &Call) -> Result<Value, Refusal> {
    let source = call.query("accountNumber").unwrap_or(MONNIFY_SOURCE_ACCOUNT);
    if !is_wallet(source) {
        return Err(("D01", "accountNumber is not a wallet of this merchant".to_owned()));
    }
    let left = left_minor(books, source);
    Ok(
        json!({"availableBalance": written(left, 2, books.count("payout") as u64), "ledgerBalance": written(left, 2, books.count("payout") as u64 + 1)}),
    )
}
