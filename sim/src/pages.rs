//! Hosted pages: what a provider's checkout address points to. No card field anywhere.

use askama::Template;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::bank::{Books, Movement};
use crate::call::{Call, Reply};
use crate::control::refusal;
use crate::door::see_other;
use crate::house::House;
use crate::{Dialect, money};

/// Rows of each list on the desk.
const ROWS: usize = 25;

/// What is encoded in a path: all but letters, digits and the marks that RFC 3986 calls unreserved.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// How a hosted page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    /// It can be paid.
    Open,
    /// It was paid.
    Paid,
    /// The payer's bank said no, and the provider takes no other try on this page.
    Declined,
    /// The payer went away.
    Abandoned,
    /// Its time is over, or the merchant ended it.
    Expired,
}

/// What a person does on a hosted page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Pays it.
    Pay,
    /// The bank declines, with a code of the provider.
    Decline {
        /// The code.
        code: String,
    },
    /// Goes away.
    Abandon,
}

/// One hosted page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page's id, unique in its dialect: the provider's id of the checkout or session.
    pub id: String,
    /// Whose page it is.
    pub dialect: Dialect,
    /// The merchant's reference, by which [`crate::Simulator::pay`] finds it.
    pub reference: String,
    /// What is bought, in the merchant's words.
    pub description: String,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217 in capitals.
    pub currency: String,
    /// How it stands.
    pub state: PageState,
    /// Milliseconds since 1970 after which it cannot be paid.
    pub expires_at_ms: Option<i64>,
}

impl Page {
    /// Where it is shown: `{url}/pay/{dialect}/{id}`.
    pub fn url(&self, url: &str) -> String {
        format!("{url}/pay/{}/{}", self.dialect.word(), utf8_percent_encode(&self.id, PATH))
    }
}

impl PageState {
    /// `open`, `paid`, `declined`, `abandoned`, `expired`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::Abandoned => "abandoned",
            Self::Expired => "expired",
        }
    }
}

#[derive(Template)]
#[template(path = "pay.html")]
struct PayPage {
    name: &'static str,
    page: Page,
    amount: String,
    codes: &'static [&'static str],
    is_open: bool,
    said: Option<String>,
}

/// The amount as people read it: groups of three digits, the places of the currency.
fn shown(amount_minor: i64, currency: &str) -> String {
    let text = money::decimal(amount_minor, money::exponent(currency));
    let (whole, part) = text.split_once('.').map_or((text.as_str(), None), |(whole, part)| (whole, Some(part)));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) && !grouped.ends_with('-') {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    part.map_or(grouped.clone(), |part| format!("{grouped}.{part}"))
}

fn html(status: u16, rendered: askama::Result<String>) -> Reply {
    match rendered {
        // Neither scripts nor other sites; the form may lead to the merchant's return address, so it is not restricted.
        Ok(text) => Reply::text(status, "text/html; charset=utf-8", text)
            .with("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
            .with("cache-control", "no-store"),
        Err(error) => refusal(500, &error.to_string()),
    }
}

fn view(house: &House, page: Page, status: u16, said: Option<String>) -> Reply {
    let view = PayPage {
        name: page.dialect.name(),
        amount: shown(page.amount_minor, &page.currency),
        codes: house.providers[&page.dialect].decline_codes(),
        is_open: page.state == PageState::Open,
        said,
        page,
    };
    html(status, view.render())
}

/// `GET|POST /pay/{dialect}/{id}`
pub(crate) fn answer(house: &House, call: &Call) -> Reply {
    let parts = call.parts();
    let [_, word, id] = parts.as_slice() else { return refusal(404, "a hosted page is /pay/{dialect}/{id}") };
    let find = |dialect: Dialect| house.books(dialect).page(id);
    let Some((dialect, page)) = Dialect::from_word(word).and_then(|dialect| Some((dialect, find(dialect)?))) else {
        return refusal(404, "there is no such hosted page; a simulator without --data forgets them when it ends");
    };
    if call.method != Method::POST {
        return view(house, page, 200, None);
    }
    let form = call.form();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap_or_default();
    let decision = match field("decision") {
        "pay" => Decision::Pay,
        "decline" => Decision::Decline { code: field("code").to_owned() },
        "abandon" => Decision::Abandon,
        _ => return refusal(422, "decision is pay, decline or abandon"),
    };
    match house.decide(dialect, id, &decision) {
        Ok(decided) => match decided.redirect {
            Some(url) => see_other(&url),
            None => {
                let said = match (&decision, decided.page.state) {
                    (Decision::Pay, PageState::Paid) => "Paid. You can close this page.",
                    (Decision::Decline { .. }, _) => "The bank declined. Nothing was taken.",
                    (Decision::Abandon, _) => "Left without paying.",
                    (Decision::Pay, _) => "The payment did not go through.",
                };
                view(house, decided.page, 200, Some(said.to_owned()))
            }
        },
        Err(error) => view(house, find(dialect).unwrap_or(page), 409, Some(error)),
    }
}

struct PageRow {
    link: String,
    reference: String,
    amount: String,
    dialect: &'static str,
    state: &'static str,
}

struct MovementRow {
    sequence: u64,
    kind: String,
    amount: String,
    dialect: &'static str,
    reference: String,
}

struct RuleRow {
    id: u64,
    fault: String,
    place: String,
    rate: String,
    matched: u64,
    hit: u64,
}

struct WebhookRow {
    event: String,
    dialect: &'static str,
    attempt: usize,
    answer: String,
}

struct BoothRow {
    word: &'static str,
    name: &'static str,
    url: String,
    target: String,
}

#[derive(Template)]
#[template(path = "desk.html")]
struct Desk {
    movements_all: usize,
    waiting: usize,
    pages: Vec<PageRow>,
    movements: Vec<MovementRow>,
    rules: Vec<RuleRow>,
    hangs: Vec<String>,
    webhooks: Vec<WebhookRow>,
    booths: Vec<BoothRow>,
    operations: &'static [&'static str],
    faults: &'static [&'static str],
}

const OPERATIONS: &[&str] = &[
    "token",
    "create",
    "query",
    "confirm",
    "authorize",
    "capture",
    "void",
    "expire",
    "refund",
    "payout",
    "payout_query",
    "enquiry",
    "report",
];
const FAULTS: &[&str] = &[
    "timeout_before",
    "timeout_after",
    "error_500",
    "error_500_after",
    "slow:2000",
    "cut",
    "duplicate_webhook",
    "reordered_webhook",
    "late_webhook:5000",
    "no_webhook",
    "forged_webhook",
    "wrong_amount",
    "wrong_currency",
    "wrong_amount_webhook",
    "wrong_currency_webhook",
    "not_found",
    "decline:",
    "hang:60",
];

fn newest_pages(books: &Books, url: &str) -> Vec<PageRow> {
    let pages = books.all("page").rev().take(ROWS).filter_map(|(id, _)| books.page(id));
    let row = |page: Page| PageRow {
        link: page.url(url),
        amount: format!("{} {}", shown(page.amount_minor, &page.currency), page.currency),
        dialect: page.dialect.word(),
        state: page.state.word(),
        reference: page.reference,
    };
    pages.map(row).collect()
}

fn movement_row(movement: &Movement) -> MovementRow {
    MovementRow {
        sequence: movement.sequence,
        kind: format!("{:?}", movement.kind).to_ascii_lowercase(),
        amount: format!("{} {}", shown(movement.amount_minor, &movement.currency), movement.currency),
        dialect: movement.dialect.word(),
        reference: movement.reference.clone(),
    }
}

/// `GET /`
pub(crate) fn desk(house: &House) -> Reply {
    let (mut pages, mut movements, mut movements_all) = (Vec::new(), Vec::new(), 0);
    for dialect in Dialect::ALL {
        let books = house.books(dialect);
        // Relative links, so that the desk works under any name of the machine.
        pages.extend(newest_pages(&books, ""));
        movements.extend(books.movements().iter().rev().take(ROWS).cloned());
        movements_all += books.movements().len();
    }
    movements.sort_by_key(|movement| std::cmp::Reverse(movement.sequence));
    movements.truncate(ROWS);
    let active = house.rules().list().to_vec();
    let rules = active.iter().map(|active| RuleRow {
        id: active.id,
        fault: String::from(active.rule.fault.clone()),
        place: format!("{} {}", active.rule.dialect.map_or("all", Dialect::word), active.rule.operation.as_deref().unwrap_or("all")),
        rate: match active.rule.times {
            Some(times) => format!("{} %, {times} times", active.rule.rate_percent),
            None => format!("{} %", active.rule.rate_percent),
        },
        matched: active.matched,
        hit: active.hit,
    });
    let hangs = Dialect::ALL.into_iter().map(|dialect| (dialect, house.hangs_ms(dialect))).filter(|(_, ms)| *ms > 0);
    let webhooks = house.courier.log().into_iter().rev().take(ROWS).map(|delivery| WebhookRow {
        event: delivery.event,
        dialect: delivery.dialect.word(),
        attempt: delivery.attempt,
        answer: delivery.status.map_or(delivery.error.unwrap_or_default(), |status| status.to_string()),
    });
    let booths = Dialect::ALL.into_iter().map(|dialect| BoothRow {
        word: dialect.word(),
        name: dialect.name(),
        url: format!("{}/{}", house.url, dialect.word()),
        target: house
            .courier
            .target(dialect)
            .map(|target| target.url)
            .filter(|url| !url.is_empty())
            .unwrap_or_else(|| "nowhere".to_owned()),
    });
    let desk = Desk {
        movements_all,
        waiting: house.courier.waiting().0,
        pages,
        movements: movements.iter().map(movement_row).collect(),
        rules: rules.collect(),
        hangs: hangs.map(|(dialect, ms)| format!("{} hangs for {} s.", dialect.name(), ms.div_ceil(1_000))).collect(),
        webhooks: webhooks.collect(),
        booths: booths.collect(),
        operations: OPERATIONS,
        faults: FAULTS,
    };
    html(200, desk.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_shown_in_groups_with_the_places_of_its_currency() {
        assert_eq!(shown(123_456_789, "NGN"), "1,234,567.89");
        assert_eq!(shown(5_000, "JPY"), "5,000");
        assert_eq!(shown(5, "KWD"), "0.005");
        assert_eq!(shown(12_345, "USD"), "123.45");
    }
}
