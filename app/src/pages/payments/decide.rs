//! What of a payment waits for a person: outcomes that nobody else tells, and money that is not what was asked for. Each is decided
//! with a reason, which stays on record.

use axum::extract::State;
use axum::response::Response;
use gateway::{Form, Path, Problem};
use kernel::{Id, Money, RawId};
use payments::commands::{self, Unknown};
use payments::{Attempt, AttemptId, AttemptState, CaptureId, Intent, PaymentError, RefundId, grants};
use serde::Deserialize;

use super::super::frame::Owner;
use super::file::{ended, has_ended};
use super::{amount, intent_id};
use crate::installation::Parts;

/// Something that can be said of a matter: its word in the form, and its label.
type Way = (&'static str, &'static str);

const DONE: [Way; 2] = [("done", "It was done"), ("not_done", "It was not done")];
const RELEASED: [Way; 2] = [("released", "It was released"), ("not_released", "It was not released")];
const NOT_PAID: [Way; 1] = [("not_paid", "It was not paid")];
const ACCEPT: Way = ("accept", "Take it as paid");
const RETURN: Way = ("return", "Give it back");

/// What waits for a person.
pub(super) struct Matter {
    /// The attempt, capture or refund that it is about.
    pub subject: String,
    /// What it is.
    pub what: String,
    /// More about it; may be empty.
    pub more: &'static str,
    /// What can be said of it.
    pub ways: Vec<Way>,
    /// The reason that was typed with what was refused.
    pub reason: String,
}

fn matter(subject: impl ToString, what: String, more: &'static str, ways: &[Way]) -> Matter {
    Matter { subject: subject.to_string(), what, more, ways: ways.to_vec(), reason: String::new() }
}

const CHECK: &str = "Check in the provider's dashboard first: what you say goes into the books.";
const SECOND: &str = "One person has said that it was done: it takes a second one who says the same.";

const fn note(said_by: Option<&String>) -> &'static str {
    if said_by.is_some() { SECOND } else { CHECK }
}

/// What of a payment waits for this member, decided as the verbs would.
pub(super) fn matters(intent: &Intent, owner: &Owner) -> Vec<Matter> {
    let mut all = Vec::new();
    let told = |minor| amount::told(Money::new(minor, intent.amount.currency));
    if owner.can(grants::APPROVE) {
        for attempt in &intent.attempts {
            if intent.resolve_void(attempt.id, true).is_ok() {
                all.push(matter(attempt.id, "Whether what was set aside was released is not known".to_owned(), CHECK, &RELEASED));
            } else if intent.resolve_attempt(attempt.id).is_ok() {
                all.push(matter(attempt.id, "Whether this attempt was paid is not known".to_owned(), CHECK, &NOT_PAID));
            }
            for capture in attempt.captures.iter().filter(|capture| intent.resolve_capture(capture.id, true).is_ok()) {
                let what = format!("Whether {} were captured is not known", told(capture.amount_minor));
                all.push(matter(capture.id, what, note(capture.done_said_by.as_ref()), &DONE));
            }
        }
        for refund in intent.refunds.iter().filter(|refund| intent.resolve_refund(refund.id, true).is_ok()) {
            let money = amount::told(Money::new(refund.amount_minor, refund.currency));
            let what = format!("Whether {money} were given back is not known");
            all.push(matter(refund.id, what, note(refund.done_said_by.as_ref()), &DONE));
        }
    }
    all.extend(intent.attempts.iter().filter_map(|attempt| kept_apart(intent, attempt, owner)));
    all
}

/// Money of an attempt that nobody counts: taken as paid, or given back.
fn kept_apart(intent: &Intent, attempt: &Attempt, owner: &Owner) -> Option<Matter> {
    let nobodys = RefundId::from_raw(RawId::from_bits(0));
    let mut ways = Vec::new();
    if owner.can(grants::APPROVE) && intent.accept(attempt.id).is_ok() {
        ways.push(ACCEPT);
    }
    let gives_back = attempt.dialect.provider().abilities().refunds && intent.give_back(nobodys, attempt.id, "").is_ok();
    if owner.can(grants::REFUND) && gives_back {
        ways.push(RETURN);
    }
    let (what, more) = match &attempt.state {
        AttemptState::Quarantined { paid } => (
            format!("{} were paid, and {} were asked for", amount::told(*paid), amount::told(intent.amount)),
            "The money is kept apart until somebody decides.",
        ),
        _ => ("More was paid than was asked for".to_owned(), "The money is kept apart until somebody decides."),
    };
    (!ways.is_empty()).then(|| matter(attempt.id, what, more, &ways))
}

/// What is said of a matter.
#[derive(Deserialize)]
pub(super) struct DecideForm {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    way: String,
    #[serde(default)]
    reason: String,
}

/// What a form means.
#[derive(Debug, Clone, Copy)]
enum Said {
    Resolved(Unknown),
    Accepted(AttemptId),
    Returned(AttemptId),
}

impl DecideForm {
    fn parsed(&self) -> Result<Said, Problem> {
        let attempt = || AttemptId::parse(&self.subject).map_err(|_| Problem::not_found());
        let is_done = self.way == "done";
        Ok(match self.way.as_str() {
            "accept" => Said::Accepted(attempt()?),
            "return" => Said::Returned(attempt()?),
            "not_paid" | "not_released" => Said::Resolved(Unknown::Attempt(attempt()?)),
            "released" => Said::Resolved(Unknown::Release(attempt()?)),
            "done" | "not_done" => match (CaptureId::parse(&self.subject), RefundId::parse(&self.subject)) {
                (Ok(capture), _) => Said::Resolved(Unknown::Capture(capture, is_done)),
                (_, Ok(refund)) => Said::Resolved(Unknown::Refund(refund, is_done)),
                _ => return Err(Problem::not_found()),
            },
            _ => return Err(PaymentError::field("way", "must be chosen").into()),
        })
    }
}

/// `POST /payments/{id}/decide`: a person says how something ended, or what becomes of money that is kept apart.
pub(super) async fn decide(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<DecideForm>,
) -> Result<Response, Problem> {
    let workspace = owner.may(if form.way == "return" { grants::REFUND } else { grants::APPROVE })?;
    let id = intent_id(&id)?;
    payments::queries::get(&mut parts.store.read(), workspace, id).await?;
    let done = match form.parsed() {
        Err(problem) => Err(problem),
        Ok(said) => {
            let reason = form.reason.trim().to_owned();
            let done = gateway::effect_done(&parts.store, &owner.call, (id, said, reason), |tx, (id, said, reason)| {
                Box::pin(async move {
                    match said {
                        Said::Resolved(unknown) => drop(commands::resolve(tx, id, unknown, &reason).await?),
                        Said::Accepted(attempt) => drop(commands::accept(tx, id, attempt, &reason).await?),
                        Said::Returned(attempt) => drop(commands::give_back(tx, id, attempt, &reason).await?),
                    }
                    Ok(())
                })
            });
            done.await
        }
    };
    match done {
        Ok(_) => has_ended(&parts, &owner, id, "decided").await,
        Err(problem) => ended(&parts, &owner, id, problem, Some((&form.subject, &form.reason))).await,
    }
}
