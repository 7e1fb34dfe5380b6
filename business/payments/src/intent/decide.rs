//! What may be done with an intent: each decision reads it and says which events follow, or why none do.

use kernel::{FieldFault, Money, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ATTEMPTS_MAX, Attempt, AttemptId, AttemptState, CAPTURES_MAX, CaptureId, CaptureMethod, Event, Intent, IntentId, IntentState, LinkId,
    More, REFUNDS_MAX, RefundId, StepState,
};
use crate::provider::{Dialect, ErrorClass, Failure, ProviderId};

/// The largest amount of one intent, in minor units: what every JSON reader keeps exactly (RFC 8259, section 6).
pub const AMOUNT_MAX_MINOR: i64 = (1 << 53) - 1;

/// What somebody is to pay, as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewIntent {
    /// Its identifier.
    pub id: IntentId,
    /// How much: more than nothing.
    pub amount: Money,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Who pays, by an identifier that the module above understands.
    pub customer: Option<String>,
    /// What for, as the payer reads it; at most 200 bytes.
    pub description: Option<String>,
    /// Where the payer is (ISO 3166-1 alpha-2).
    pub country: Option<String>,
    /// How they want to pay.
    pub method: Option<String>,
    /// The link that it came from.
    pub link: Option<LinkId>,
    /// The ledger account that the money is for.
    pub credit_account: String,
    /// Where the payer goes afterwards.
    pub return_url: Option<String>,
    /// The caller's own words: a JSON object of at most 2 KiB.
    pub metadata: Option<Value>,
    /// When it can no longer be begun to pay.
    pub expires_at: Option<Timestamp>,
}

/// Why a decision was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The intent is not in a state for it.
    #[error("a payment that is {} cannot {wanted}", .is.as_str())]
    State {
        /// What it is.
        is: IntentState,
        /// What was wanted, such as `be captured`.
        wanted: &'static str,
    },
    /// There is no such attempt, capture or refund.
    #[error("the payment has no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// A field cannot be right.
    #[error("{}", .0.message)]
    Field(FieldFault),
    /// More is wanted than there is.
    #[error("{wanted_minor} was asked for and {left_minor} is left, in minor units")]
    TooMuch {
        /// Which field.
        field: &'static str,
        /// What was asked for.
        wanted_minor: i64,
        /// What there is.
        left_minor: i64,
    },
    /// There are too many already.
    #[error("the payment has {max} {what} already")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
}

impl Refusal {
    fn field(field: &str, message: &str) -> Self {
        Self::Field(FieldFault::new(field, message))
    }
}

impl NewIntent {
    /// Checks what was asked for, and says which event follows.
    pub fn decide(self, now: Timestamp) -> Result<Event, Refusal> {
        if !(1..=AMOUNT_MAX_MINOR).contains(&self.amount.amount_minor) {
            return Err(Refusal::field("amount_minor", "must be a whole number of minor units, from 1 to 9007199254740991"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::field("expires_at", "must be in the future"));
        }
        Ok(Event::Created(Box::new(self)))
    }
}

impl Intent {
    fn refuse(&self, wanted: &'static str) -> Refusal {
        Refusal::State { is: self.state(), wanted }
    }

    fn known(&self, id: AttemptId) -> Result<&Attempt, Refusal> {
        self.attempt(id).ok_or(Refusal::NotFound { what: "attempt" })
    }

    /// A new attempt at `provider`. One that may still take money stands in its way, but for a page that waits for a payer:
    /// that one is closed where the provider can, and if it is paid nevertheless, the second payment is a surplus.
    pub fn start_attempt(&self, id: AttemptId, provider: ProviderId, dialect: Dialect, now: Timestamp) -> Result<Vec<Event>, Refusal> {
        if !matches!(self.state(), IntentState::RequiresPaymentMethod | IntentState::RequiresAction) {
            return Err(self.refuse("be tried"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::State { is: IntentState::Expired, wanted: "be tried" });
        }
        if self.attempts.len() >= ATTEMPTS_MAX {
            return Err(Refusal::TooMany { what: "attempts", max: ATTEMPTS_MAX });
        }
        Ok(vec![Event::AttemptStarted { attempt: id, provider, dialect }])
    }

    /// A person decides about an attempt that monitoring held back.
    pub fn review(&self, id: AttemptId, is_released: bool) -> Result<Vec<Event>, Refusal> {
        match self.known(id)?.state {
            AttemptState::Held { .. } if is_released => Ok(vec![Event::AttemptReleased { attempt: id }]),
            AttemptState::Held { .. } => {
                Ok(vec![Event::AttemptDeclined { attempt: id, class: ErrorClass::Fraud, code: "refused_after_review".to_owned() }])
            }
            _ => Err(self.refuse("be reviewed")),
        }
    }

    /// A person found out elsewhere how something ended that stays unknown here. An attempt can only be found not paid: that it
    /// was paid, and how much, is for the provider to say.
    pub fn resolve_attempt(&self, id: AttemptId) -> Result<Vec<Event>, Refusal> {
        match self.known(id)?.state {
            AttemptState::Unknown => {
                Ok(vec![Event::AttemptDeclined { attempt: id, class: ErrorClass::ProviderDown, code: "resolved_by_person".to_owned() }])
            }
            _ => Err(self.refuse("be resolved: the attempt is not unknown")),
        }
    }

    /// The same for a refund: it was given back, as much as the provider says where that is something else, or it was not.
    pub fn resolve_refund(&self, id: RefundId, is_done: bool) -> Result<Vec<Event>, Refusal> {
        let refund = self.refund(id).ok_or(Refusal::NotFound { what: "refund" })?;
        if refund.state != StepState::Unknown {
            return Err(self.refuse("be resolved: the refund is not unknown"));
        }
        Ok(vec![match refund.said {
            Some(took) if is_done => Event::RefundTook { refund: id, took },
            _ => Event::RefundMoved { refund: id, to: found(is_done), provider_ref: None },
        }])
    }

    /// The same for a capture.
    pub fn resolve_capture(&self, id: CaptureId, is_done: bool) -> Result<Vec<Event>, Refusal> {
        let (attempt, capture) = self.capture(id).ok_or(Refusal::NotFound { what: "capture" })?;
        if capture.state != StepState::Unknown {
            return Err(self.refuse("be resolved: the capture is not unknown"));
        }
        Ok(vec![match capture.said {
            Some(took) if is_done => Event::CaptureTook { attempt: attempt.id, capture: id, took },
            _ => Event::CaptureMoved { attempt: attempt.id, capture: id, to: found(is_done), charge_ref: None },
        }])
    }

    /// The same for the release of what was authorized.
    pub fn resolve_void(&self, id: AttemptId, is_done: bool) -> Result<Vec<Event>, Refusal> {
        match self.known(id)?.void {
            Some(StepState::Unknown) => Ok(vec![Event::VoidMoved { attempt: id, to: found(is_done) }]),
            _ => Err(self.refuse("be resolved: the release is not unknown")),
        }
    }

    /// A person takes what was kept apart as paid: all of it, whatever was asked for.
    pub fn accept(&self, id: AttemptId) -> Result<Vec<Event>, Refusal> {
        let AttemptState::Quarantined { paid } = self.known(id)?.state else {
            return Err(self.refuse("be accepted: nothing of the attempt is kept apart"));
        };
        if paid.currency != self.amount.currency {
            return Err(Refusal::field("attempt", "was paid in another currency than was asked for: give it back"));
        }
        if self.kept.is_some() {
            return Err(self.refuse("be accepted: another attempt brought the money; give this one back"));
        }
        if self.refunding_minor(id) > 0 {
            return Err(self.refuse("be accepted: a part of it is given back"));
        }
        Ok(vec![Event::Accepted { attempt: id, amount_minor: paid.amount_minor, is_surplus: false }])
    }

    /// Gives back what `attempt` brought and nobody counts: what is kept apart, or what came beyond its first payment.
    pub fn give_back(&self, id: RefundId, attempt: AttemptId, reason: &str) -> Result<Vec<Event>, Refusal> {
        let known = self.known(attempt)?;
        let is_left = |(place, more): &(usize, &More)| more.is_surplus && self.refunding_more_minor(attempt, *place) == 0;
        let reason = Some(reason.to_owned());
        if let Some((place, more)) = known.more.iter().enumerate().find(is_left) {
            if self.refunds.len() >= REFUNDS_MAX {
                return Err(Refusal::TooMany { what: "refunds", max: REFUNDS_MAX });
            }
            return Ok(vec![Event::MoreRefundRequested { refund: id, attempt, more: place, amount: more.amount, reason }]);
        }
        if known.is_surplus || matches!(known.state, AttemptState::Quarantined { .. }) {
            return self.request_refund(id, Some(attempt), None, reason);
        }
        Err(self.refuse("be given back: all that the attempt brought counts; refund it instead"))
    }

    /// The first byte is about to leave. None where it left before: how that ended is to be found out, not to be done again.
    pub fn begin_sending(&self, id: AttemptId) -> Result<Option<Event>, Refusal> {
        let is_created = self.known(id)?.state == AttemptState::Created;
        // Another page was paid, or it was called off, before anybody was asked: nobody is.
        let event = if self.is_wanted() { Event::AttemptSending { attempt: id } } else { Event::AttemptExpired { attempt: id } };
        Ok(is_created.then_some(event))
    }

    /// What follows from an attempt that was sent and did not end well.
    pub fn attempt_failed(&self, id: AttemptId, failure: &Failure) -> Vec<Event> {
        let Some(attempt) = self.attempt(id) else { return Vec::new() };
        // Something was heard of it meanwhile, and that counts more.
        if !matches!(attempt.state, AttemptState::Created | AttemptState::Sending | AttemptState::Unknown | AttemptState::Pending) {
            // The payer agreed on the page that waited for them, and the money could not be taken: nothing else is ordered then.
            return match (&attempt.state, failure) {
                (AttemptState::RequiresAction { .. }, Failure::Refused { class, code }) if !class.is_passing() => {
                    vec![Event::AttemptDeclined { attempt: id, class: *class, code: code.clone() }]
                }
                _ => Vec::new(),
            };
        }
        match failure {
            // What this try did not do an earlier one may have done.
            Failure::Refused { class, .. }
                if class.is_passing() && matches!(attempt.state, AttemptState::Unknown | AttemptState::Pending) =>
            {
                Vec::new()
            }
            Failure::Refused { class, code } => vec![Event::AttemptDeclined { attempt: id, class: *class, code: code.clone() }],
            // What an earlier try has sent may still take effect.
            Failure::NotSent { .. } if attempt.state == AttemptState::Sending => {
                vec![Event::AttemptDeclined { attempt: id, class: ErrorClass::ProviderDown, code: "not_sent".to_owned() }]
            }
            Failure::NotSent { .. } | Failure::Unknown { .. } => match attempt.state {
                AttemptState::Unknown | AttemptState::Pending => Vec::new(),
                _ => vec![Event::AttemptUnknown { attempt: id }],
            },
        }
    }

    /// The provider's page is there; nothing where more is known of the attempt already.
    pub fn page_opened(&self, id: AttemptId, provider_ref: Option<String>, url: String, expires_at: Option<Timestamp>) -> Vec<Event> {
        match self.attempt(id).map(|attempt| &attempt.state) {
            Some(AttemptState::Created | AttemptState::Sending | AttemptState::Unknown) => {
                vec![Event::PageOpened { attempt: id, provider_ref, url, expires_at }]
            }
            _ => Vec::new(),
        }
    }

    /// Takes what was authorized: `amount_minor` of it, or all that is left.
    pub fn request_capture(&self, id: CaptureId, amount_minor: Option<i64>, is_last: bool) -> Result<Vec<Event>, Refusal> {
        let attempt = self.kept().filter(|attempt| attempt.authorized_minor > 0 && self.capture_method == CaptureMethod::Manual);
        let attempt = attempt.ok_or_else(|| self.refuse("be captured"))?;
        let left = attempt.capturable_minor();
        if left == 0 {
            return Err(self.refuse("be captured"));
        }
        let amount_minor = amount_minor.unwrap_or(left);
        if amount_minor <= 0 {
            return Err(Refusal::field("amount_minor", "must be at least 1"));
        }
        if amount_minor > left {
            return Err(Refusal::TooMuch { field: "amount_minor", wanted_minor: amount_minor, left_minor: left });
        }
        if attempt.captures.len() >= CAPTURES_MAX {
            return Err(Refusal::TooMany { what: "captures", max: CAPTURES_MAX });
        }
        let is_last = is_last || amount_minor == left;
        Ok(vec![Event::CaptureRequested { attempt: attempt.id, capture: id, amount_minor, is_last }])
    }

    /// Calls the payment off: nothing is taken any more, what was authorized is released. What was captured is refunded instead.
    pub fn cancel(&self) -> Result<Vec<Event>, Refusal> {
        match self.state() {
            IntentState::Canceled => Ok(Vec::new()),
            IntentState::RequiresPaymentMethod | IntentState::RequiresAction | IntentState::Failed => Ok(vec![Event::Canceled]),
            IntentState::RequiresCapture => match self.kept() {
                Some(kept) if kept.void.as_ref().is_some_and(StepState::may_count) => Ok(Vec::new()),
                Some(kept) => Ok(vec![Event::VoidMoved { attempt: kept.id, to: StepState::Requested }]),
                None => Err(self.refuse("be canceled")),
            },
            _ => Err(self.refuse("be canceled")),
        }
    }

    /// Its time is over: nothing begins any more. Nothing where somebody is at it, or it is paid.
    pub fn expire(&self, now: Timestamp) -> Vec<Event> {
        let is_over = self.expires_at.is_some_and(|end| end <= now);
        let waits = matches!(self.state(), IntentState::RequiresPaymentMethod | IntentState::RequiresAction | IntentState::Failed);
        if is_over && waits && self.expired_at.is_none() { vec![Event::Expired] } else { Vec::new() }
    }

    /// Gives money of `attempt` back: `amount_minor` of it, or all that is left. Without an attempt it is the one that counts.
    pub fn request_refund(
        &self,
        id: RefundId,
        attempt: Option<AttemptId>,
        amount_minor: Option<i64>,
        reason: Option<String>,
    ) -> Result<Vec<Event>, Refusal> {
        let attempt = match attempt {
            Some(id) => self.known(id)?,
            None => self.kept().ok_or_else(|| self.refuse("be refunded"))?,
        };
        let paid = match &attempt.state {
            AttemptState::Charged => Money::new(attempt.captured_minor, self.amount.currency),
            AttemptState::Quarantined { paid } => *paid,
            _ => return Err(self.refuse("be refunded")),
        };
        // What was charged back is gone already.
        let left = (paid.amount_minor - self.refunding_minor(attempt.id) - attempt.withdrawn_minor(paid.currency)).max(0);
        let amount_minor = amount_minor.unwrap_or(left);
        if left == 0 {
            return Err(Refusal::TooMuch { field: "amount_minor", wanted_minor: amount_minor, left_minor: 0 });
        }
        if amount_minor <= 0 {
            return Err(Refusal::field("amount_minor", "must be at least 1"));
        }
        if amount_minor > left {
            return Err(Refusal::TooMuch { field: "amount_minor", wanted_minor: amount_minor, left_minor: left });
        }
        if self.refunds.len() >= REFUNDS_MAX {
            return Err(Refusal::TooMany { what: "refunds", max: REFUNDS_MAX });
        }
        let amount = Money::new(amount_minor, paid.currency);
        Ok(vec![Event::RefundRequested { refund: id, attempt: attempt.id, amount, reason }])
    }
}

/// What a person found that became of a step.
fn found(is_done: bool) -> StepState {
    if is_done { StepState::Succeeded } else { StepState::Failed { code: "resolved_by_person".to_owned() } }
}

/// What becomes of a step that was sent and did not end well; nothing where its outcome stays unknown.
pub(crate) fn step_failed(state: &StepState, failure: &Failure) -> Option<StepState> {
    match (state, failure) {
        (StepState::Succeeded | StepState::Failed { .. }, _) => None,
        // What could not be tried for want of room or set-up is tried again, with the same key; but what an earlier try has sent
        // is asked for first.
        (StepState::Unknown | StepState::Pending, Failure::Refused { class, .. }) if class.is_passing() => None,
        (_, Failure::Refused { class, .. }) if class.is_passing() => Some(StepState::Requested),
        (_, Failure::Refused { code, .. }) => Some(StepState::Failed { code: code.clone() }),
        (StepState::Sending, Failure::NotSent { .. }) => Some(StepState::Requested),
        (StepState::Unknown | StepState::Pending, _) => None,
        (_, Failure::NotSent { .. } | Failure::Unknown { .. }) => Some(StepState::Unknown),
    }
}
