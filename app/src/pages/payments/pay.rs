//! What a payer sees of us: the page of a link or of one payment with its button, and where they come back to. Amount, description
//! and state, and nothing else of the workspace; who pays where is the provider's page.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway::page::{POLICY, Page, see_other};
use gateway::{Call, Class, Form, Path, Problem, Query};
use http::{HeaderValue, StatusCode, header};
use kernel::{Id, Money, WorkspaceId};
use payments::commands::NewPayment;
use payments::{Attempt, AttemptState, ErrorClass, Intent, IntentId, IntentState, Link, LinkId, PaymentError};
use serde::Deserialize;
use store::Reads;
use url::{Host, Url};

use super::super::frame::{Frame, sentence};
use super::amount;
use crate::greeting::simulators_command;
use crate::installation::Parts;

/// How long a payer who pressed the button waits for the provider's page before they see how it stands.
const PAGE_WAIT: Duration = Duration::from_secs(10);
/// How long a payer who comes back waits for the outcome before they see how it stands.
const BACK_WAIT: Duration = Duration::from_secs(4);
/// How often the page of a payment that is not settled loads itself again, and after how many times it rests.
const LOOKS_OFTEN: u32 = 10;
const LOOKS_MAX: u32 = 40;

/// Attempts that are looked through for why nothing came of them.
const TRIED_SHOWN: usize = 4;

/// Where a payer goes now, if a provider's page waits for them. Only addresses of the web: what a provider says is not ours.
pub(super) fn page_of(intent: &Intent) -> Option<String> {
    match intent.open_attempt().map(|attempt| &attempt.state) {
        Some(AttemptState::RequiresAction { url, .. }) if url.starts_with("https://") || url.starts_with("http://") => Some(url.clone()),
        _ => None,
    }
}

/// A page of these: the browser may follow its form to the provider, wherever that is.
fn page(template: &impl Template, status: StatusCode) -> Result<Response, Problem> {
    let policy = POLICY.replace("form-action 'self'", "form-action 'self' https: http:");
    Ok(Page::new(template.render().map_err(Problem::internal)?).with_status(status).with_policy(policy).into_response())
}

#[derive(Template)]
#[template(path = "pay.html")]
struct PayPage {
    frame: Frame,
    action: String,
    what: String,
    amount: String,
    currency: String,
    is_open_amount: bool,
    asks_email: bool,
    button: String,
    once: String,
    typed: PayForm,
    amount_error: String,
    email_error: String,
}

/// How a payment stands, or why there is none.
#[derive(Template)]
#[template(path = "pay_state.html")]
struct StatePage {
    frame: Frame,
    mood: &'static str,
    icon: &'static str,
    heading: &'static str,
    told: String,
    amount: String,
    what: String,
    go_on: String,
    again: String,
    again_label: String,
    once: String,
    start_simulator: String,
    look: String,
    return_url: String,
}

impl StatePage {
    fn of(mood: &'static str, icon: &'static str, heading: &'static str, told: impl Into<String>) -> Self {
        Self {
            frame: Frame::alone(heading),
            mood,
            icon,
            heading,
            told: told.into(),
            amount: String::new(),
            what: String::new(),
            go_on: String::new(),
            again: String::new(),
            again_label: String::new(),
            once: String::new(),
            start_simulator: String::new(),
            look: String::new(),
            return_url: String::new(),
        }
    }

    fn unknown() -> Self {
        Self::of(
            "muted",
            "warn",
            "This link leads nowhere",
            "It is mistyped, or what it led to is gone. Ask whoever gave it to you for a new one.",
        )
    }

    fn closed(link: &Link) -> Self {
        let told = "It was closed by whoever made it, so nothing can be paid here. Nothing was taken.";
        Self { what: link.description.clone(), ..Self::of("muted", "warn", "This link is closed", told) }
    }
}

fn word(parts: &Parts) -> String {
    format!("pay-{:016x}", u64::from_le_bytes(parts.store.entropy().bytes()))
}

fn pay_label(amount: Option<Money>) -> String {
    amount.map_or_else(|| "Pay".to_owned(), |money| format!("Pay {}", amount::told(money)))
}

fn link_page(parts: &Parts, link: &Link) -> PayPage {
    PayPage {
        frame: Frame::alone("Pay"),
        action: format!("/pay/{}", link.id),
        what: link.description.clone(),
        amount: link.amount.map(amount::told).unwrap_or_default(),
        currency: link.currency.to_string(),
        is_open_amount: link.amount.is_none(),
        asks_email: true,
        button: pay_label(link.amount),
        once: word(parts),
        typed: PayForm::default(),
        amount_error: String::new(),
        email_error: String::new(),
    }
}

/// What is paid here.
enum Payable {
    Link(Link),
    Intent(WorkspaceId, Box<Intent>),
}

async fn find(reads: &mut impl Reads, text: &str) -> Result<Option<Payable>, Problem> {
    if let Ok(id) = LinkId::parse(text) {
        return Ok(payments::queries::link_everywhere(reads, id).await?.map(Payable::Link));
    }
    let Ok(id) = IntentId::parse(text) else { return Ok(None) };
    let found = payments::queries::intent_everywhere(reads, id).await?;
    Ok(found.map(|(workspace, intent)| Payable::Intent(workspace, Box::new(intent))))
}

/// `GET /pay/{id}`: the page of a link or of a payment.
pub(super) async fn show(State(parts): State<Parts>, Path(id): Path<String>) -> Result<Response, Problem> {
    let found = find(&mut parts.store.read(), &id).await?;
    match found {
        None => page(&StatePage::unknown(), StatusCode::NOT_FOUND),
        Some(Payable::Link(link)) if !link.is_active => page(&StatePage::closed(&link), StatusCode::GONE),
        Some(Payable::Link(link)) => page(&link_page(&parts, &link), StatusCode::OK),
        Some(Payable::Intent(_, intent)) if intent.state() == IntentState::RequiresPaymentMethod && intent.attempts.is_empty() => {
            let fresh = PayPage {
                frame: Frame::alone("Pay"),
                action: format!("/pay/{}", intent.id),
                what: intent.description.clone().unwrap_or_default(),
                amount: amount::told(intent.amount),
                currency: String::new(),
                is_open_amount: false,
                asks_email: false,
                button: pay_label(Some(intent.amount)),
                once: word(&parts),
                typed: PayForm::default(),
                amount_error: String::new(),
                email_error: String::new(),
            };
            page(&fresh, StatusCode::OK)
        }
        Some(Payable::Intent(..)) => Ok(see_other(&format!("/pay/{id}/back"))),
    }
}

/// What a payer sends. There is no place for a card in it.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PayForm {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    email: String,
    #[serde(default)]
    once: String,
}

impl PayForm {
    /// The key under which the form counts once. Another amount is another payment, also on a page that the browser kept.
    fn key(&self) -> Option<String> {
        let is_word = (1..=60).contains(&self.once.len()) && self.once.bytes().all(|byte| byte.is_ascii_graphic());
        let mut hash = DefaultHasher::new();
        (&self.amount, &self.email).hash(&mut hash);
        is_word.then(|| format!("{}-{:016x}", self.once, hash.finish()))
    }
}

/// `POST /pay/{id}`: makes the payment of a link and begins to have it paid, or begins anew to have a payment paid.
pub(super) async fn begin(
    State(parts): State<Parts>,
    call: Call,
    Path(id): Path<String>,
    Form(form): Form<PayForm>,
) -> Result<Response, Problem> {
    call.limit(Class::PublicForm)?;
    let found = find(&mut parts.store.read(), &id).await?;
    let (workspace, begun) = match found {
        None => return page(&StatePage::unknown(), StatusCode::NOT_FOUND),
        Some(Payable::Link(link)) if !link.is_active => return page(&StatePage::closed(&link), StatusCode::GONE),
        Some(Payable::Link(link)) => {
            let begun = match asked(&link, &form) {
                Ok(new) => pay_link(&parts, &call, &link, new, form.key()).await,
                Err(error) => Err(error.into()),
            };
            match begun {
                Err(problem) if problem.status() == StatusCode::UNPROCESSABLE_ENTITY && !problem.fields().is_empty() => {
                    return page(&refused(&parts, &link, form, &problem), StatusCode::UNPROCESSABLE_ENTITY);
                }
                begun => (link.workspace, begun),
            }
        }
        // A second press while the page is there leads to the page, and not to a second one.
        Some(Payable::Intent(workspace, intent)) => match page_of(&intent) {
            Some(url) => return Ok(see_other(&url)),
            None if intent.state() != IntentState::RequiresPaymentMethod => return Ok(see_other(&format!("/pay/{id}/back"))),
            None => (workspace, pay_again(&parts, &call, workspace, intent.id, form.key()).await),
        },
    };
    let intent = match begun {
        Ok(text) => IntentId::parse(&text).map_err(Problem::internal)?,
        Err(problem) if problem.code() == "no_provider" => return page(&nobody(), StatusCode::CONFLICT),
        // Somebody else began at the same moment, or it was paid meanwhile: its own page says how it stands.
        Err(problem) if problem.status() == StatusCode::CONFLICT && IntentId::parse(&id).is_ok() => {
            return Ok(see_other(&format!("/pay/{id}/back")));
        }
        Err(problem) => return Err(problem),
    };
    let intent = payments::wait(&parts.store, workspace, intent, PAGE_WAIT, |intent| !is_moving(intent)).await?;
    match page_of(&intent) {
        Some(url) => Ok(see_other(&url)),
        None => Ok(see_other(&format!("/pay/{}/back", intent.id))),
    }
}

/// Whether a provider is at it; one that is held back waits for a person.
fn is_moving(intent: &Intent) -> bool {
    let is_held = matches!(intent.open_attempt().map(|attempt| &attempt.state), Some(AttemptState::Held { .. }));
    intent.state() == IntentState::Processing && !is_held
}

fn asked(link: &Link, form: &PayForm) -> Result<NewPayment, PaymentError> {
    let amount = match link.amount {
        Some(amount) => amount,
        None => {
            let minor = amount::parse(&form.amount, link.currency).map_err(|message| PaymentError::field("amount", message))?;
            Money::new(minor, link.currency)
        }
    };
    Ok(NewPayment {
        description: Some(link.description.clone()),
        link: Some(link.id),
        credit_account: Some(link.credit_account.clone()),
        payer_email: Some(form.email.trim().to_owned()).filter(|email| !email.is_empty()),
        ..NewPayment::of(amount)
    })
}

async fn pay_link(parts: &Parts, call: &Call, link: &Link, new: NewPayment, key: Option<String>) -> Result<String, Problem> {
    let call = visiting(call, link.workspace, key);
    let made = gateway::effect_created(&parts.store, &call, (link.id, new, parts.payments_health.clone()), |tx, (link, new, health)| {
        Box::pin(async move {
            // It may have been closed since it was looked at.
            let link = payments::queries::link_everywhere(tx, link).await?.filter(|link| link.is_active).ok_or_else(Problem::not_found)?;
            let intent = payments::commands::create_in(tx, link.workspace, new).await?;
            Ok(payments::commands::start(tx, link.workspace, intent.id, &health).await?.id.to_string())
        })
    });
    made.await?.into_value()
}

async fn pay_again(parts: &Parts, call: &Call, workspace: WorkspaceId, id: IntentId, key: Option<String>) -> Result<String, Problem> {
    let call = visiting(call, workspace, key);
    let begun =
        gateway::effect_created(&parts.store, &call, (workspace, id, parts.payments_health.clone()), |tx, (workspace, id, health)| {
            Box::pin(async move { Ok(payments::commands::start(tx, workspace, id, &health).await?.id.to_string()) })
        });
    begun.await?.into_value()
}

fn visiting(call: &Call, workspace: WorkspaceId, key: Option<String>) -> Call {
    let call = call.visiting(workspace);
    key.map_or_else(|| call.clone(), |key| call.idempotent_as(&key))
}

fn refused(parts: &Parts, link: &Link, form: PayForm, problem: &Problem) -> PayPage {
    let message = |names: [&str; 2], what: &str| {
        let fault = problem.fields().iter().find(|fault| names.contains(&fault.field.as_str()));
        fault.map(|fault| sentence(&format!("{what} {}", fault.message))).unwrap_or_default()
    };
    let (amount_error, email_error) = (message(["amount", "amount_minor"], "the amount"), message(["payer_email", "email"], "the address"));
    let mut page = link_page(parts, link);
    if amount_error.is_empty() && email_error.is_empty() {
        page.frame.alert = problem.detail().map(sentence).unwrap_or_else(|| "That cannot be paid.".to_owned());
    }
    PayPage { amount_error, email_error, typed: form, ..page }
}

fn nobody() -> StatePage {
    let told = "Whoever asks for this payment has no payment provider that takes it yet. Nothing was taken. Please tell them.";
    StatePage::of("bad", "warn", "This cannot be paid just now", told)
}

/// How often the payer's page looked before.
#[derive(Default, Deserialize)]
pub(super) struct Looked {
    look: Option<u32>,
}

/// `GET /pay/{id}/back`: where a provider sends the payer back to.
pub(super) async fn back(State(parts): State<Parts>, Path(id): Path<String>, Query(looked): Query<Looked>) -> Result<Response, Problem> {
    let found = match IntentId::parse(&id) {
        Ok(id) => payments::queries::intent_everywhere(&mut parts.store.read(), id).await?,
        Err(_) => None,
    };
    let Some((workspace, mut intent)) = found else { return page(&StatePage::unknown(), StatusCode::NOT_FOUND) };
    let is_open = |intent: &Intent| is_moving(intent) || intent.state() == IntentState::RequiresAction;
    if looked.look.is_none() && is_open(&intent) {
        intent = payments::wait(&parts.store, workspace, intent.id, BACK_WAIT, |intent| !is_open(intent)).await?;
    }
    let mut shown = standing(&parts, workspace, &intent).await?;
    let look = looked.look.unwrap_or_default();
    let refresh = (is_open(&intent) && look < LOOKS_MAX).then(|| {
        let pause_s = if look < LOOKS_OFTEN { 3 } else { 10 };
        format!("{pause_s}; url=/pay/{id}/back?look={}", look.saturating_add(1))
    });
    if is_open(&intent) {
        shown.look = format!("/pay/{id}/back");
    }
    let mut response = page(&shown, StatusCode::OK)?;
    if let Some(refresh) = refresh.and_then(|text| HeaderValue::from_str(&text).ok()) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    Ok(response)
}

async fn standing(parts: &Parts, workspace: WorkspaceId, intent: &Intent) -> Result<StatePage, Problem> {
    let again = format!("/pay/{}", intent.id);
    let mut shown = match intent.state() {
        IntentState::Succeeded | IntentState::PartiallyCaptured => paid(intent),
        IntentState::RequiresCapture => {
            StatePage::of("good", "check", "Thank you", "You agreed to the payment. The amount is set aside and is taken when it is due.")
        }
        IntentState::Processing if !is_moving(intent) => StatePage::of(
            "muted",
            "clock",
            "This payment is being looked at",
            "Somebody checks it before anything is sent. Nothing was taken so far.",
        ),
        IntentState::Processing => {
            let told = "The provider has not told us the outcome yet. This page looks again by itself. Please do not pay a second time.";
            StatePage::of("muted", "clock", "Still being confirmed", told)
        }
        IntentState::RequiresAction => {
            let (heading, told) = match was_declined(intent) {
                true => (
                    "The last try was declined",
                    "Nothing was taken for it, and another page is open for you. If you have paid there since, it is confirmed within \
                     moments and this page shows it by itself; if not, go on to pay: another card or account may work.",
                ),
                false => (
                    "Not confirmed yet",
                    "We have not heard of your payment yet. If you have paid, it is confirmed within moments and this page shows it by \
                     itself.",
                ),
            };
            StatePage { go_on: page_of(intent).unwrap_or_default(), ..StatePage::of("muted", "clock", heading, told) }
        }
        IntentState::RequiresPaymentMethod => match intent.attempts.last() {
            None => StatePage { again, ..StatePage::of("muted", "clock", "Not paid yet", "Nothing was taken so far.") },
            Some(attempt) => declined(parts, workspace, intent, attempt, again).await?,
        },
        IntentState::Canceled => {
            StatePage::of("muted", "warn", "This payment was called off", "Nothing can be paid any more. What was set aside is released.")
        }
        IntentState::Failed => {
            StatePage::of("bad", "warn", "This cannot be paid any more", "It was tried too often. Ask for a new payment.")
        }
        IntentState::Expired => StatePage::of("muted", "clock", "The time to pay is over", "Nothing was taken. Ask for a new payment."),
    };
    if !shown.again.is_empty() {
        shown.once = word(parts);
        let is_first = intent.attempts.is_empty();
        shown.again_label = if is_first { pay_label(Some(intent.amount)) } else { "Try again".to_owned() };
    }
    shown.amount = amount::told(intent.amount);
    shown.what = intent.description.clone().unwrap_or_default();
    shown.return_url = intent.return_url.clone().filter(|url| url.starts_with("https://")).unwrap_or_default();
    Ok(shown)
}

/// Whether a bank said no to the try before the one whose page is open now, so that the payer may be waiting for that answer.
fn was_declined(intent: &Intent) -> bool {
    let before = intent.attempts.iter().rev().nth(1).map(|attempt| &attempt.state);
    matches!(before, Some(AttemptState::Declined { class: ErrorClass::DeclinedHard | ErrorClass::DeclinedSoft, .. }))
}

fn paid(intent: &Intent) -> StatePage {
    let refunded = intent.refunded_minor();
    let told = match refunded {
        0 => "The payment has arrived. You can close this page.".to_owned(),
        minor => format!("The payment has arrived. {} of it were given back.", amount::told(Money::new(minor, intent.amount.currency))),
    };
    StatePage::of("good", "check", "Paid", told)
}

async fn declined(parts: &Parts, workspace: WorkspaceId, intent: &Intent, attempt: &Attempt, again: String) -> Result<StatePage, Problem> {
    let of = |heading, told: &str| StatePage::of("bad", "warn", heading, told);
    let class = match &attempt.state {
        AttemptState::Declined { class, .. } => *class,
        AttemptState::Quarantined { .. } => {
            let told =
                "Another amount arrived than was asked for. It is kept apart until somebody has looked at it; please do not pay again.";
            return Ok(of("Something does not match", told));
        }
        _ => {
            return Ok(StatePage {
                again,
                ..of("The payment page was closed", "Its time was over before anything was paid. Nothing was taken.")
            });
        }
    };
    Ok(match class {
        ErrorClass::DeclinedHard | ErrorClass::DeclinedSoft => StatePage {
            again,
            ..of("Declined", "Your bank did not agree to this payment, and nothing was taken. Another card or account may work.")
        },
        ErrorClass::PayerAction => StatePage { again, ..of("Not paid", "The payment was not finished, and nothing was taken.") },
        ErrorClass::Fraud => {
            of("This payment is not possible", "It could not be accepted, and nothing was taken. Please ask whoever sent you here.")
        }
        _ if is_simulated(parts, workspace, intent).await? => {
            let told = "This is a demonstration, and the simulator that plays the payment provider is not running. Nothing was taken.";
            let start_simulator = simulators_command(&parts.public_url);
            StatePage { again, start_simulator, ..of("The simulator is not running", told) }
        }
        ErrorClass::ProviderDown | ErrorClass::RateLimited => {
            let told = "The payment provider cannot be reached just now. Nothing was taken. Try again in a minute.";
            StatePage { again, ..of("Not just now", told) }
        }
        ErrorClass::NotSupported | ErrorClass::InvalidRequest | ErrorClass::SetUp => {
            let told = "The provider did not take this payment as it was asked for. Nothing was taken. Please tell whoever asks for it.";
            StatePage { again, ..of("This cannot be paid just now", told) }
        }
    })
}

/// Whether the newest attempts found nobody at an address of this very machine; several providers are tried for one press.
async fn is_simulated(parts: &Parts, workspace: WorkspaceId, intent: &Intent) -> Result<bool, Problem> {
    let is_down = |attempt: &&Attempt| matches!(attempt.state, AttemptState::Declined { class: ErrorClass::ProviderDown, .. });
    let Some(attempt) = intent.attempts.iter().rev().take(TRIED_SHOWN).find(is_down) else { return Ok(false) };
    let provider = payments::queries::find_provider(&mut parts.store.read(), workspace, attempt.provider).await?;
    Ok(provider.is_some_and(|provider| is_here(&provider.base_url)))
}

/// Whether an address is of this very machine, where only a simulator listens.
fn is_here(base_url: &str) -> bool {
    match Url::parse(base_url).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
