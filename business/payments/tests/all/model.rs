//! What an intent must be, told by the set of what was heard of it, whatever order it came in; written apart from the product.

use std::collections::BTreeMap;

use kernel::{Currency, Money};
use payments::{AttemptId, CaptureId, IntentState, Observation, RefundId, Seen, Step};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Open,
    Done,
    Failed,
}

#[derive(Debug, Clone, Default)]
pub struct Heard {
    is_page: bool,
    is_pending: bool,
    is_over: bool,
    pub charged: Option<Money>,
    pub authorized: Option<Money>,
    is_voided: bool,
    void: Option<Part>,
    pub is_surplus: bool,
    pub captures: BTreeMap<CaptureId, (i64, bool, Part)>,
}

impl Heard {
    pub fn taken_minor(&self) -> i64 {
        let captured: i64 = self.captures.values().filter(|(_, _, is)| *is == Part::Done).map(|(amount, ..)| *amount).sum();
        self.charged.map_or(captured, |charged| charged.amount_minor)
    }

    fn is_spoken_for(&self) -> bool {
        self.captures.values().any(|(.., is)| *is != Part::Failed)
    }

    fn left_minor(&self) -> i64 {
        let is_closed = self.void.is_some_and(|is| is != Part::Failed)
            || self.captures.values().any(|(_, is_last, is)| *is_last && *is != Part::Failed)
            || self.is_voided
            || self.charged.is_some();
        let spoken: i64 = self.captures.values().filter(|(.., is)| *is != Part::Failed).map(|(amount, ..)| *amount).sum();
        if is_closed { 0 } else { self.authorized.map_or(0, |held| held.amount_minor) - spoken }
    }
}

pub struct Model {
    pub asked: Money,
    pub attempts: Vec<(AttemptId, Heard)>,
    pub refunds: BTreeMap<RefundId, (AttemptId, Money, Part)>,
    pub kept: Option<AttemptId>,
    pub is_canceled: bool,
    pub is_expired: bool,
}

impl Model {
    pub fn new(asked: Money) -> Self {
        Self { asked, attempts: Vec::new(), refunds: BTreeMap::new(), kept: None, is_canceled: false, is_expired: false }
    }

    pub fn heard(&mut self, id: AttemptId) -> &mut Heard {
        &mut self.attempts.iter_mut().find(|(known, _)| *known == id).expect("an attempt that was started").1
    }

    fn of(&self, id: AttemptId) -> &Heard {
        &self.attempts.iter().find(|(known, _)| *known == id).expect("an attempt that was started").1
    }

    pub fn page_opened(&mut self, id: AttemptId) {
        let heard = self.heard(id);
        heard.is_page = heard.is_page || !(heard.is_pending || heard.is_over || heard.authorized.is_some() || heard.charged.is_some());
    }

    pub fn ended(&mut self, id: AttemptId) {
        self.heard(id).is_over = true;
    }

    /// The other page brought the money, or nobody waits for it.
    fn is_too_much(&self, id: AttemptId) -> bool {
        match self.kept {
            Some(kept) => kept != id,
            None => self.is_canceled || self.is_expired,
        }
    }

    /// What an answer or a webhook says.
    pub fn hear(&mut self, step: Step, said: &Observation) {
        match step {
            Step::Attempt(id) | Step::Close(id) => self.hear_attempt(id, &said.seen),
            Step::Void(id) => match &said.seen {
                _ if self.of(id).void != Some(Part::Open) => {}
                Seen::Voided | Seen::Expired => self.released(id),
                Seen::Declined { .. } => self.heard(id).void = Some(Part::Failed),
                Seen::Succeeded { .. } if !self.of(id).is_spoken_for() => {
                    self.heard(id).void = Some(Part::Failed);
                    self.hear_attempt(id, &said.seen);
                }
                _ => {}
            },
            Step::Capture(id, capture) => {
                if let Some((amount, _, is)) = self.heard(id).captures.get_mut(&capture) {
                    let amount = *amount;
                    *is = ends(*is, &said.seen, amount);
                }
            }
            Step::Refund(refund) => {
                if let Some((_, amount, is)) = self.refunds.get_mut(&refund) {
                    *is = ends(*is, &said.seen, amount.amount_minor);
                }
            }
        }
    }

    fn released(&mut self, id: AttemptId) {
        let heard = self.heard(id);
        heard.void = Some(Part::Done);
        heard.is_voided = heard.taken_minor() == 0;
    }

    fn hear_attempt(&mut self, id: AttemptId, seen: &Seen) {
        let (asked, is_too_much) = (self.asked, self.is_too_much(id));
        let heard = self.heard(id);
        if heard.charged.is_some() || heard.is_voided || heard.taken_minor() > 0 {
            return;
        }
        match seen {
            Seen::Succeeded { amount: Some(paid), .. } if !heard.is_spoken_for() => {
                heard.charged = Some(*paid);
                if *paid == asked {
                    heard.is_surplus = is_too_much;
                    if is_too_much {
                        self.refunds.insert(RefundId::from_raw_of(id), (id, *paid, Part::Open));
                    } else {
                        self.kept = Some(id);
                    }
                }
            }
            Seen::Authorized { amount } if heard.authorized.is_none() => {
                heard.authorized = Some(*amount);
                heard.is_surplus = is_too_much || *amount != asked;
                if heard.is_surplus {
                    heard.void = Some(Part::Open);
                } else {
                    self.kept = Some(id);
                }
            }
            Seen::Voided if heard.authorized.is_some() => self.released(id),
            Seen::Expired if heard.authorized.is_some() && heard.captures.is_empty() => self.released(id),
            _ if heard.authorized.is_some() || heard.is_over => {}
            Seen::Approved | Seen::Pending => heard.is_pending = true,
            Seen::Declined { .. } | Seen::Expired | Seen::Voided => heard.is_over = true,
            _ => {}
        }
    }

    pub fn cancel(&mut self) {
        match self.kept {
            Some(kept) => {
                let heard = self.heard(kept);
                if heard.void.is_none_or(|is| is == Part::Failed) {
                    heard.void = Some(Part::Open);
                }
            }
            None => self.is_canceled = true,
        }
    }

    pub fn state(&self) -> IntentState {
        if let Some(kept) = self.kept {
            let heard = self.of(kept);
            return match heard.taken_minor() {
                _ if heard.captures.values().any(|(.., is)| *is == Part::Open) => IntentState::Processing,
                _ if heard.charged.is_some_and(|paid| paid != self.asked) => IntentState::Canceled,
                0 if heard.is_voided => IntentState::Canceled,
                0 => IntentState::RequiresCapture,
                _ if heard.left_minor() > 0 => IntentState::PartiallyCaptured,
                _ => IntentState::Succeeded,
            };
        }
        if self.is_canceled {
            return IntentState::Canceled;
        }
        let open = self
            .attempts
            .iter()
            .rev()
            .map(|(_, heard)| heard)
            .find(|heard| heard.charged.is_none() && !heard.is_voided && (heard.authorized.is_some() || !heard.is_over));
        match open {
            Some(heard) if heard.is_page && !heard.is_pending && heard.authorized.is_none() => IntentState::RequiresAction,
            Some(_) => IntentState::Processing,
            None if self.is_expired => IntentState::Expired,
            None if self.attempts.len() >= 20 => IntentState::Failed,
            None => IntentState::RequiresPaymentMethod,
        }
    }

    /// The balances that the books must show, debits less credits: by the name of the place and the currency.
    pub fn balances(&self, clearing: impl Fn(AttemptId) -> String) -> BTreeMap<(String, Currency), i128> {
        let mut all = BTreeMap::new();
        let mut put = |debit: String, credit: &str, amount: i64, currency: Currency| {
            *all.entry((debit, currency)).or_default() += i128::from(amount);
            *all.entry((credit.to_owned(), currency)).or_default() -= i128::from(amount);
        };
        for (id, heard) in &self.attempts {
            let currency = heard.charged.unwrap_or(self.asked).currency;
            let place = match heard.charged {
                Some(paid) if paid != self.asked => "quarantine",
                _ if heard.is_surplus => "surplus",
                _ => "credit",
            };
            put(clearing(*id), place, heard.taken_minor(), currency);
            let back = self.refunds.values().filter(|(of, _, is)| of == id && *is == Part::Done);
            for (_, amount, _) in back {
                put(clearing(*id), place, -amount.amount_minor, amount.currency);
            }
        }
        all.retain(|_, balance| *balance != 0);
        all
    }
}

fn ends(is: Part, seen: &Seen, asked_minor: i64) -> Part {
    match seen {
        _ if is != Part::Open => is,
        Seen::Succeeded { amount, .. } if amount.is_none_or(|amount| amount.amount_minor == asked_minor) => Part::Done,
        Seen::Declined { .. } | Seen::Expired | Seen::Voided | Seen::Reversed => Part::Failed,
        _ => is,
    }
}

/// The one refund of what an attempt brought too much has the attempt's own number.
trait OfAttempt {
    fn from_raw_of(attempt: AttemptId) -> Self;
}

impl OfAttempt for RefundId {
    fn from_raw_of(attempt: AttemptId) -> Self {
        use kernel::Id as _;
        Self::from_raw(attempt.raw())
    }
}
