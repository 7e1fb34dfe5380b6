//! The history of an intent: what each event, applied in order, makes of it.

use kernel::{Money, Timestamp};

use super::{Attempt, AttemptId, AttemptState, Capture, CaptureId, Dispute, Event, Intent, More, Refund, RefundId, StepState};

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
                more: Vec::new(),
                disputes: Vec::new(),
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
                    said: None,
                    done_said_by: None,
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
            Event::RefundRequested { refund, attempt, amount, reason } => {
                self.refunds.push(asked_back(*refund, *attempt, None, *amount, reason.clone(), at));
            }
            Event::MoreRefundRequested { refund, attempt, more, amount, reason } => {
                self.refunds.push(asked_back(*refund, *attempt, Some(*more), *amount, reason.clone(), at));
            }
            Event::RefundMoved { refund, to, provider_ref } => self.change_refund(*refund, |refund| {
                refund.state = to.clone();
                refund.was_given |= *to == StepState::Succeeded;
                learn(&mut refund.provider_ref, provider_ref.as_ref());
            }),
            Event::RefundDiffers { refund, said } => self.change_refund(*refund, |refund| {
                refund.state = StepState::Unknown;
                refund.said = Some(*said);
            }),
            Event::RefundTook { refund, took } => self.change_refund(*refund, |refund| {
                (refund.amount_minor, refund.currency) = (took.amount_minor, took.currency);
                (refund.state, refund.was_given) = (StepState::Succeeded, true);
            }),
            Event::PaidMore { attempt, amount, charge_ref, is_surplus } => self.change(*attempt, at, |a| {
                a.more.push(More { amount: *amount, charge_ref: charge_ref.clone(), is_surplus: *is_surplus });
                if let AttemptState::Quarantined { paid } = &mut a.state
                    && !*is_surplus
                {
                    paid.amount_minor = paid.amount_minor.saturating_add(amount.amount_minor);
                }
            }),
            Event::Accepted { attempt, amount_minor, is_surplus } => {
                self.change(*attempt, at, |a| {
                    a.state = AttemptState::Charged;
                    (a.captured_minor, a.authorized_minor, a.is_surplus) = (*amount_minor, *amount_minor, *is_surplus);
                });
                self.kept = self.kept.or(Some(*attempt).filter(|_| !*is_surplus));
            }
            Event::CaptureDiffers { attempt, capture, said } => self.change_capture(*attempt, *capture, at, |_, capture| {
                capture.state = StepState::Unknown;
                capture.said = Some(*said);
            }),
            Event::CaptureTook { attempt, capture, took } => {
                let is_same = took.currency == self.amount.currency;
                self.change_capture(*attempt, *capture, at, |a, capture| {
                    if !is_same {
                        // It is kept apart under the capture's own number.
                        capture.said = Some(*took);
                        capture.state = StepState::Failed { code: "other_currency".to_owned() };
                        return;
                    }
                    (capture.amount_minor, capture.state) = (took.amount_minor, StepState::Succeeded);
                    a.captured_minor = a.captured_minor.saturating_add(took.amount_minor);
                    a.authorized_minor = a.authorized_minor.max(a.captured_minor);
                    a.state = AttemptState::Charged;
                });
            }
            Event::DoneProposed { subject, by } => self.propose(subject, by),
            Event::DisputeMoved { attempt, case, amount, to } => self.change(*attempt, at, |a| {
                let dispute = Dispute { case: case.clone(), amount: *amount, state: *to };
                match a.disputes.iter_mut().find(|known| known.case == *case) {
                    Some(known) => *known = dispute,
                    None => a.disputes.push(dispute),
                }
            }),
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

impl Intent {
    fn change_capture(&mut self, attempt: AttemptId, id: CaptureId, at: Timestamp, change: impl FnOnce(&mut Attempt, &mut Capture)) {
        self.change(attempt, at, |attempt| {
            let Some(place) = attempt.captures.iter().position(|known| known.id == id) else { return };
            let mut capture = attempt.captures[place].clone();
            change(attempt, &mut capture);
            attempt.captures[place] = capture;
        });
    }

    fn change_refund(&mut self, id: RefundId, change: impl FnOnce(&mut Refund)) {
        if let Some(refund) = self.refunds.iter_mut().find(|known| known.id == id) {
            change(refund);
        }
    }

    fn propose(&mut self, subject: &str, by: &str) {
        let captures = self.attempts.iter_mut().flat_map(|attempt| attempt.captures.iter_mut());
        for capture in captures.filter(|capture| capture.id.to_string() == subject) {
            capture.done_said_by = Some(by.to_owned());
        }
        for refund in self.refunds.iter_mut().filter(|refund| refund.id.to_string() == subject) {
            refund.done_said_by = Some(by.to_owned());
        }
    }
}

fn asked_back(id: RefundId, attempt: AttemptId, more: Option<usize>, amount: Money, reason: Option<String>, at: Timestamp) -> Refund {
    Refund {
        id,
        attempt,
        amount_minor: amount.amount_minor,
        currency: amount.currency,
        reason,
        state: StepState::Requested,
        was_given: false,
        more,
        said: None,
        done_said_by: None,
        provider_ref: None,
        requested_at: at,
    }
}

/// Keeps what is new and never forgets what was known.
fn learn(known: &mut Option<String>, new: Option<&String>) {
    if let Some(new) = new {
        *known = Some(new.clone());
    }
}
