//! Purchases and sales of crypto: opened by the widget, decided by the person in front of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::refused;
use crate::RAMP_NETWORK_KEY;
use crate::bank::{Books, Moved, MovementKind, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::money::{decimal, exponent, fee_half_up, is_currency, minor, number};
use crate::pages::{Decision, Page, PageState};

/// How long the widget can be paid.
const WIDGET_MS: i64 = 3_600_000;

/// An asset: chain, symbol, name, decimals, and its price in hundred-millionths of any fiat currency's major unit.
struct Asset(&'static str, &'static str, &'static str, u32, i128);

const ASSETS: [Asset; 6] = [
    Asset("ETH", "ETH", "Ethereum", 18, 200_000_000_000),
    Asset("BTC", "BTC", "Bitcoin", 8, 5_000_000_000_000),
    Asset("ETH", "USDC", "USD Coin", 6, 100_000_000),
    Asset("ETH", "DAI", "Dai", 18, 100_000_000),
    Asset("MATIC", "USDC", "USD Coin on Polygon", 6, 100_000_000),
    Asset("ETH", "SHIB", "Shiba Inu", 18, 1_000),
];

impl Asset {
    /// `ETH_USDC`, or `USDC` for the first chain that has it.
    fn find(name: &str) -> Option<&'static Self> {
        ASSETS.iter().find(|asset| format!("{}_{}", asset.0, asset.1) == name || asset.1 == name)
    }

    /// How many of its smallest units an amount buys, rounded down; nothing where that is beyond all counting.
    fn units(&self, fiat_minor: i64, fiat_exponent: u32) -> Option<i128> {
        let scaled = i128::from(fiat_minor).checked_mul(10_i128.checked_pow(self.3)?)?.checked_mul(100_000_000)?;
        Some(scaled / 10_i128.checked_pow(fiat_exponent)? / self.4)
    }

    fn view(&self) -> Value {
        let is_native = self.0 == self.1;
        json!({"symbol": self.1, "chain": self.0, "name": self.2, "decimals": self.3, "type": if is_native { "NATIVE" } else { "ERC20" },
            "address": if is_native { Value::Null } else { json!("0x00000000000000000000000000000000000051f7") }, "enabled": true, "hidden": false})
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ramp {
    id: String,
    is_sale: bool,
    token: String,
    reference: String,
    asset: String,
    fiat_minor: i64,
    currency: String,
    fee_minor: i64,
    units: String,
    address: String,
    status: String,
    method: String,
    transaction_hash: Option<String>,
    final_url: Option<String>,
    webhook_url: Option<String>,
    opened_ms: i64,
    changed_ms: i64,
}

fn iso(at_ms: i64) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(form).unwrap_or_default()
}

impl Ramp {
    fn kind(&self) -> &'static str {
        if self.is_sale { "sale" } else { "purchase" }
    }

    /// Its status now: a widget whose time is over has expired, whoever looks.
    fn status(&self, now_ms: i64) -> &str {
        if self.status == "INITIALIZED" && now_ms >= self.opened_ms + WIDGET_MS { "EXPIRED" } else { &self.status }
    }

    fn view(&self, now_ms: i64) -> Value {
        let places = exponent(&self.currency);
        let Some(asset) = Asset::find(&self.asset) else { return Value::Null };
        let price = decimal(i64::try_from(asset.4).unwrap_or(i64::MAX), 8);
        let rate: Value = serde_json::from_str(&price).unwrap_or_default();
        let status = self.status(now_ms);
        if self.is_sale {
            let is_over = status == "RELEASED";
            return json!({
                "id": self.id,
                "saleViewToken": self.token,
                "reference": self.reference,
                "createdAt": iso(self.opened_ms),
                "updatedAt": iso(self.changed_ms),
                "exchangeRate": price,
                "fees": {"amount": decimal(self.fee_minor, places), "currencySymbol": self.currency},
                "crypto": {"amount": self.units, "assetInfo": asset.view(), "status": if is_over { "received" } else { "not-started" }},
                "fiat": {"amount": decimal(self.fiat_minor - self.fee_minor, places), "currencySymbol": self.currency,
                    "status": if is_over { "completed" } else { "not-started" }, "payoutMethod": "SEPA"},
                "status": status,
            });
        }
        json!({
            "id": self.id,
            "purchaseViewToken": self.token,
            "reference": self.reference,
            "asset": asset.view(),
            "cryptoAmount": self.units,
            "fiatCurrency": self.currency,
            "fiatValue": number(self.fiat_minor, places),
            "assetExchangeRate": rate,
            "assetExchangeRateEur": rate,
            "baseRampFee": number(self.fee_minor, places),
            "networkFee": 0,
            "appliedFee": number(self.fee_minor, places),
            "receiverAddress": self.address,
            "paymentMethodType": self.method,
            "createdAt": iso(self.opened_ms),
            "updatedAt": iso(self.changed_ms),
            "endTime": iso(self.opened_ms + WIDGET_MS),
            "finalTxHash": self.transaction_hash,
            "status": status,
        })
    }

    fn keep(&self, books: &mut Books) {
        books.keep(self.kind(), &self.id, self);
    }

    fn tell(&self, books: &mut Books, word: &str) {
        let view = self.view(books.now_ms());
        let event = if self.is_sale {
            json!({"id": books.new_uuid(), "type": word, "mode": "OFFRAMP", "payload": view})
        } else {
            json!({"type": word, "purchase": view})
        };
        let body = json!({"to": self.webhook_url, "event": event});
        books.notify(Outgoing { id: format!("{}:{word}", self.id), event: word.to_owned(), body });
    }

    fn moved(&self, books: &mut Books, kind: MovementKind, amount_minor: i64) {
        books.moved(Moved {
            kind,
            reference: &self.reference,
            provider_id: &self.id,
            amount_minor,
            currency: &self.currency,
            idempotency_key: None,
        });
    }
}

/// The reference that a merchant put into the query of an address.
fn reference_in(url: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "reference").map(|(_, value)| value.into_owned())
}

/// Opens the widget: where the browser goes on, or a status and a sentence.
pub(super) fn open(books: &mut Books, call: &Call) -> Result<String, (u16, String)> {
    let bad = |message: &str| (400, message.to_owned());
    let wanted = |name: &'static str| {
        call.query(name).map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| (400, format!("{name} is required")))
    };
    if wanted("hostApiKey")? != RAMP_NETWORK_KEY {
        return Err((403, "hostApiKey is unknown".to_owned()));
    }
    let is_sale = call.query("defaultFlow").is_some_and(|flow| flow == "OFFRAMP");
    let name = wanted(if is_sale { "offrampAsset" } else { "swapAsset" })?;
    // A list of assets offers them all; the first is taken.
    let name = name.split(',').next().unwrap_or(name);
    let asset = Asset::find(name).ok_or_else(|| (400, format!("the asset {name} is unknown")))?;
    let currency = wanted("fiatCurrency")?.to_ascii_uppercase();
    if !is_currency(&currency) {
        return Err(bad("fiatCurrency must be three letters"));
    }
    let fiat = minor(wanted("fiatValue")?, exponent(&currency)).filter(|fiat| *fiat > 0);
    let fiat_minor = fiat.ok_or_else(|| bad("fiatValue must be above zero, in major units"))?;
    let address = wanted("userAddress")?.to_owned();
    let url_of = |name: &str| call.query(name).filter(|url| !url.is_empty()).map(str::to_owned);
    let webhook_url = url_of(if is_sale { "offrampWebhookV3Url" } else { "webhookStatusUrl" });
    let reference = url_of("reference").or_else(|| webhook_url.as_deref().and_then(reference_in)).unwrap_or_default();
    let fee_minor = fee_half_up(fiat_minor, 249, 0);
    let units = asset.units(fiat_minor - fee_minor, exponent(&currency)).ok_or_else(|| bad("fiatValue is too large"))?;
    let opened_ms = books.now_ms();
    let ramp = Ramp {
        id: books.new_uuid(),
        is_sale,
        token: books.new_id("", 26).to_ascii_lowercase(),
        reference,
        asset: name.to_owned(),
        fiat_minor,
        currency,
        fee_minor,
        units: units.to_string(),
        address,
        status: "INITIALIZED".to_owned(),
        method: "CARD_PAYMENT".to_owned(),
        transaction_hash: None,
        final_url: url_of("finalUrl"),
        webhook_url,
        opened_ms,
        changed_ms: opened_ms,
    };
    let verb = if is_sale { "Sell" } else { "Buy" };
    let url = books.open_page(&Page {
        id: ramp.id.clone(),
        dialect: books.dialect(),
        reference: ramp.reference.clone(),
        description: format!("{verb} {} for {} {}", asset.2, decimal(fiat_minor, exponent(&ramp.currency)), ramp.currency),
        amount_minor: fiat_minor,
        currency: ramp.currency.clone(),
        state: PageState::Open,
        expires_at_ms: Some(opened_ms + WIDGET_MS),
    });
    ramp.keep(books);
    ramp.tell(books, "CREATED");
    Ok(url)
}

/// How a purchase or a sale stands, for whoever has its token.
pub(super) fn poll(books: &Books, call: &Call, kind: &str, id: &str) -> Reply {
    let Some(secret) = call.query("secret") else { return refused(400, "secret is required") };
    match books.find::<Ramp>(kind, id) {
        Some(ramp) if ramp.token == secret => Reply::json(200, &ramp.view(books.now_ms())),
        // A wrong token and an unknown id look alike.
        _ => refused(404, "not found"),
    }
}

/// What the person in front of the widget did.
pub(super) fn decide(books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
    let ramp: Option<Ramp> = books.find("purchase", &page.id).or_else(|| books.find("sale", &page.id));
    let mut ramp = ramp.ok_or("this page belongs to no purchase")?;
    let word = match decision {
        Decision::Pay => "RELEASED",
        Decision::Abandon => "CANCELLED",
        Decision::Decline { code } => match code.as_str() {
            "RETURNED" if !ramp.is_sale => "RETURNED",
            known @ ("CANCELLED" | "EXPIRED" | "REVIEW_REJECTED") => known,
            _ => "PAYMENT_FAILED",
        },
    };
    ramp.changed_ms = books.now_ms();
    ramp.status = word.to_owned();
    let is_paid = matches!(word, "RELEASED" | "RETURNED");
    if is_paid {
        let (fiat_minor, currency) = twist.moved(ramp.fiat_minor, &ramp.currency);
        (ramp.fiat_minor, ramp.currency) = (fiat_minor, currency);
        ramp.fee_minor = fee_half_up(fiat_minor, 249, 0);
        let units = Asset::find(&ramp.asset).and_then(|asset| asset.units(fiat_minor - ramp.fee_minor, exponent(&ramp.currency)));
        ramp.units = units.unwrap_or(0).to_string();
        if ramp.is_sale {
            ramp.moved(books, MovementKind::PaidOut, fiat_minor - ramp.fee_minor);
        } else {
            ramp.moved(books, MovementKind::Charged, fiat_minor);
        }
        if word == "RETURNED" {
            ramp.moved(books, MovementKind::Refunded, fiat_minor);
        } else {
            ramp.transaction_hash = Some(format!("0x{}", [books.new_uuid(), books.new_uuid()].concat().replace('-', "")));
        }
    }
    let state = match word {
        "RELEASED" | "RETURNED" => PageState::Paid,
        "EXPIRED" => PageState::Expired,
        "CANCELLED" => PageState::Abandoned,
        _ => PageState::Declined,
    };
    books.set_page(&page.id, state);
    ramp.keep(books);
    match (is_paid, ramp.is_sale) {
        (true, _) => ramp.tell(books, word),
        // A sale that comes to nothing is told as expired; a purchase is told to nobody.
        (false, true) => ramp.tell(books, "EXPIRED"),
        (false, false) => {}
    }
    Ok(ramp.final_url)
}
