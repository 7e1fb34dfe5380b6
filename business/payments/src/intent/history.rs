//! The history of an intent: what happened, in order, kept for ever; and what each event makes of the intent.

use kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptId, AttemptState, Capture, CaptureId, Intent, NewIntent, Refund, RefundId, StepState};
use crate::provider::{Dialect, ErrorClass, ProviderId};

/// Something that happened to an intent. Carries identifiers and amounts, never personal data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Somebody is to pay.
    Created(Box<NewIntent>),
    /// A provider was chosen.
    AttemptStarted {
        /// The attempt.
        attempt: AttemptId,
        /// At this provider.
        provider: ProviderId,
        /// That speaks so.
        dialect: Dialect,
    },
    /// Monitoring holds it back until a person decides.
    AttemptHeld {
        /// The attempt.
        attempt: AttemptId,
        /// The rule's words.
        reason: String,
    },
    /// A person let it go on.
    AttemptReleased {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The provider is about to be asked.
    AttemptSending {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The provider's page is there.
    PageOpened {
        /// The attempt.
        attempt: AttemptId,
        /// The provider's name for it.
        provider_ref: Option<String>,
        /// Where the payer goes.
        url: String,
        /// When it closes by itself.
        expires_at: Option<Timestamp>,
    },
    /// The payer agreed, the provider is not done.
    AttemptPending {
        /// The attempt.
        attempt: AttemptId,
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// It was sent, and how that ended is not known.
    AttemptUnknown {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The provider surely did not take money.
    AttemptDeclined {
        /// The attempt.
        attempt: AttemptId,
        /// What sort of refusal.
        class: ErrorClass,
        /// The provider's word for it.
        code: String,
    },
    /// The page was closed before anybody paid.
    AttemptExpired {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The money is set aside for us.
    Authorized {
        /// The attempt.
        attempt: AttemptId,
        /// How much, in minor units.
        amount_minor: i64,
        /// The provider's name for the authorization.
        provider_ref: Option<String>,
        /// Another attempt brings the money, or nobody was to: it is released.
        is_surplus: bool,
    },
    /// The money was taken, all at once.
    Charged {
        /// The attempt.
        attempt: AttemptId,
        /// How much, in minor units.
        amount_minor: i64,
        /// The provider's name for the charge.
        charge_ref: Option<String>,
        /// Another attempt brought the money, or nobody was to: it is given back.
        is_surplus: bool,
        /// The exact crypto amount in its smallest unit.
        crypto_amount: Option<String>,
    },
    /// Another amount or currency was paid than was asked for.
    Quarantined {
        /// The attempt.
        attempt: AttemptId,
        /// What was paid.
        paid: Money,
        /// The provider's name for the charge.
        charge_ref: Option<String>,
    },
    /// A part of what was authorized is to be taken.
    CaptureRequested {
        /// Of this attempt.
        attempt: AttemptId,
        /// The capture.
        capture: CaptureId,
        /// How much, in minor units.
        amount_minor: i64,
        /// The rest is released with it.
        is_last: bool,
    },
    /// A capture went on.
    CaptureMoved {
        /// Of this attempt.
        attempt: AttemptId,
        /// The capture.
        capture: CaptureId,
        /// To this.
        to: StepState,
        /// The provider's name for the charge, once it is there.
        charge_ref: Option<String>,
    },
    /// The release of what was authorized went on.
    VoidMoved {
        /// Of this attempt.
        attempt: AttemptId,
        /// To this.
        to: StepState,
    },
    /// Money is to be given back.
    RefundRequested {
        /// The refund.
        refund: RefundId,
        /// Whose money.
        attempt: AttemptId,
        /// How much.
        amount: Money,
        /// Why, in the merchant's words.
        reason: Option<String>,
    },
    /// A refund went on.
    RefundMoved {
        /// The refund.
        refund: RefundId,
        /// To this.
        to: StepState,
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// The merchant called it off.
    Canceled,
    /// Its time was over.
    Expired,
}

impl Event {
    /// Its word in the database.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptHeld { .. } => "attempt_held",
            Self::AttemptReleased { .. } => "attempt_released",
            Self::AttemptSending { .. } => "attempt_sending",
            Self::PageOpened { .. } => "page_opened",
            Self::AttemptPending { .. } => "attempt_pending",
            Self::AttemptUnknown { .. } => "attempt_unknown",
            Self::AttemptDeclined { .. } => "attempt_declined",
            Self::AttemptExpired { .. } => "attempt_expired",
            Self::Authorized { .. } => "authorized",
            Self::Charged { .. } => "charged",
            Self::Quarantined { .. } => "quarantined",
            Self::CaptureRequested { .. } => "capture_requested",
            Self::CaptureMoved { .. } => "capture_moved",
            Self::VoidMoved { .. } => "void_moved",
            Self::RefundRequested { .. } => "refund_requested",
            Self::RefundMoved { .. } => "refund_moved",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

impl Intent {
    /// The intent that a first event makes; none where the history does not begin with one.
    pub fn begin(event: &Event, at: Timestamp) -> Option<Self> {
        let Event::Created(new) = event else { return None };
        let new = (**new).clone();
        Some(Self {
            id: new.id,
            version: 1,
            amount: new.amount,
            capture_method: new.capture_method,
            customer: new.customer,
            description: new.description,
            country: new.country,
            method: new.method,
            link: new.link,
            credit_account: new.credit_account,
            return_url: new.return_url,
            metadata: new.metadata,
            expires_at: new.expires_at,
            created_at: at,
            changed_at: at,
            canceled_at: None,
            expired_at: None,
            kept: None,
            attempts: Vec::new(),
            refunds: Vec::new(),
        })
    }

    /// What an event makes of it. Events are true: they were decided before, so that nothing is refused here.
    #[must_use]
    pub fn after(mut self, event: &Event, at: Timestamp) -> Self {
        self.version += 1;
        self.changed_at = at;
        match event {
            Event::Created(_) => {}
            Event::AttemptStarted { attempt, provider, dialect } => self.attempts.push(Attempt {
                id: *attempt,
                provider: *provider,
                dialect: *dialect,
                state: AttemptState::Created,
                provider_ref: None,
                charge_ref: None,
                authorized_minor: 0,
                captured_minor: 0,
                is_surplus: false,
                captures: Vec::new(),
                void: None,
                crypto_amount: None,
                started_at: at,
                changed_at: at,
            }),
            Event::AttemptHeld { attempt, reason } => {
                self.change(*attempt, at, |a| a.state = AttemptState::Held { reason: reason.clone() });
            }
            Event::AttemptReleased { attempt } => self.change(*attempt, at, |a| a.state = AttemptState::Created),
            Event::AttemptSending { attempt } => self.change(*attempt, at, |a| a.state = AttemptState::Sending),
            Event::PageOpened { attempt, provider_ref, url, expires_at } => self.change(*attempt, at, |a| {
                a.state = AttemptState::RequiresAction { url: url.clone(), expires_at: *expires_at };
                learn(&mut a.provider_ref, provider_ref.as_ref());
            }),
            Event::AttemptPending { attempt, provider_ref } => self.change(*attempt, at, |a| {
                a.state = AttemptState::Pending;
                learn(&mut a.provider_ref, provider_ref.as_ref());
            }),
            Event::AttemptUnknown { attempt } => self.change(*attempt, at, |a| a.state = AttemptState::Unknown),
            Event::AttemptDeclined { attempt, class, code } => {
                self.change(*attempt, at, |a| a.state = AttemptState::Declined { class: *class, code: code.clone() });
            }
            Event::AttemptExpired { attempt } => self.change(*attempt, at, |a| a.state = AttemptState::Expired),
            Event::Authorized { attempt, amount_minor, provider_ref, is_surplus } => {
                self.change(*attempt, at, |a| {
                    a.state = AttemptState::Authorized;
                    a.authorized_minor = *amount_minor;
                    a.is_surplus = *is_surplus;
                    learn(&mut a.provider_ref, provider_ref.as_ref());
                });
                self.kept = self.kept.or(Some(*attempt).filter(|_| !*is_surplus));
            }
            Event::Charged { attempt, amount_minor, charge_ref, is_surplus, crypto_amount } => {
                self.change(*attempt, at, |a| {
                    a.state = AttemptState::Charged;
                    a.captured_minor = *amount_minor;
                    a.authorized_minor = a.authorized_minor.max(*amount_minor);
                    a.is_surplus = *is_surplus;
                    learn(&mut a.charge_ref, charge_ref.as_ref());
                    learn(&mut a.crypto_amount, crypto_amount.as_ref());
                });
                self.kept = self.kept.or(Some(*attempt).filter(|_| !*is_surplus));
            }
            Event::Quarantined { attempt, paid, charge_ref } => self.change(*attempt, at, |a| {
                a.state = AttemptState::Quarantined { paid: *paid };
                learn(&mut a.charge_ref, charge_ref.as_ref());
            }),
            Event::CaptureRequested { attempt, capture, amount_minor, is_last } => self.change(*attempt, at, |a| {
                a.captures.push(Capture {
                    id: *capture,
                    amount_minor: *amount_minor,
                    is_last: *is_last,
                    state: StepState::Requested,
                    sent_at: None,
                });
            }),
            Event::CaptureMoved { attempt, capture, to, charge_ref } => self.change(*attempt, at, |a| {
                let Some(capture) = a.captures.iter_mut().find(|known| known.id == *capture) else { return };
                capture.state = to.clone();
                if *to == StepState::Sending {
                    capture.sent_at = capture.sent_at.or(Some(at));
                }
                if *to == StepState::Succeeded {
                    a.captured_minor += capture.amount_minor;
                    a.state = AttemptState::Charged;
                }
                learn(&mut a.charge_ref, charge_ref.as_ref());
            }),
            Event::VoidMoved { attempt, to } => self.change(*attempt, at, |a| {
                a.void = Some(to.clone());
                if *to == StepState::Succeeded && a.captured_minor == 0 {
                    a.state = AttemptState::Voided;
                }
            }),
            Event::RefundRequested { refund, attempt, amount, reason } => self.refunds.push(Refund {
                id: *refund,
                attempt: *attempt,
                amount_minor: amount.amount_minor,
                currency: amount.currency,
                reason: reason.clone(),
                state: StepState::Requested,
                was_given: false,
                provider_ref: None,
                requested_at: at,
            }),
            Event::RefundMoved { refund, to, provider_ref } => {
                if let Some(refund) = self.refunds.iter_mut().find(|known| known.id == *refund) {
                    refund.state = to.clone();
                    refund.was_given |= *to == StepState::Succeeded;
                    learn(&mut refund.provider_ref, provider_ref.as_ref());
                }
            }
            Event::Canceled => self.canceled_at = Some(at),
            Event::Expired => self.expired_at = Some(at),
        }
        self
    }

    fn change(&mut self, id: AttemptId, at: Timestamp, change: impl FnOnce(&mut Attempt)) {
        if let Some(attempt) = self.attempts.iter_mut().find(|attempt| attempt.id == id) {
            change(attempt);
            attempt.changed_at = at;
        }
    }
}

/// Keeps what is new and never forgets what was known.
fn learn(known: &mut Option<String>, new: Option<&String>) {
    if let Some(new) = new {
        *known = Some(new.clone());
    }
}
