//! A provider as it really is, for random tests: what was paid, taken and given back there, and how its answers get lost.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kernel::{Entropy, Id as _, Money, Timestamp};
use payments::{
    Abilities, AttemptId, CaptureId, CaptureMethod, Dialect, Done, ErrorClass, Failure, Observation, Order, RefundId, Seen, Step,
};

/// One of something at the bank: a capture or a refund.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Really {
    Pending,
    Done,
    Failed,
}

/// What really became of an attempt.
#[derive(Debug, Clone)]
pub struct Page {
    asked: Money,
    method: CaptureMethod,
    is_open: bool,
    is_approved: bool,
    is_declined: bool,
    is_voided: bool,
    is_closed: bool,
    pub authorized: Option<Money>,
    pub charged: Option<Money>,
    pub captures: BTreeMap<CaptureId, (i64, Really)>,
    pub refunds: BTreeMap<RefundId, (Money, Really)>,
    opened_at: Timestamp,
}

impl Page {
    /// What was taken, less what was given back, in minor units of what was paid.
    pub fn holds_minor(&self) -> i64 {
        self.taken_minor() - self.refunds.values().filter(|(_, is)| *is == Really::Done).map(|(amount, _)| amount.amount_minor).sum::<i64>()
    }

    pub fn taken_minor(&self) -> i64 {
        let captured: i64 = self.captures.values().filter(|(_, is)| *is == Really::Done).map(|(amount, _)| *amount).sum();
        self.charged.map_or(captured, |charged| charged.amount_minor)
    }

    pub fn currency(&self) -> kernel::Currency {
        self.charged.unwrap_or(self.asked).currency
    }

    fn seen(&self) -> Seen {
        if let Some(amount) = self.charged {
            return Seen::Succeeded { amount: Some(amount), crypto_amount: None };
        }
        match self.authorized {
            _ if self.is_voided => Seen::Voided,
            Some(amount) => Seen::Authorized { amount },
            None if self.is_approved => Seen::Approved,
            None if !self.is_open => Seen::Expired,
            None if self.is_declined => Seen::Declined { class: ErrorClass::PayerAction, code: "no_money".to_owned() },
            None => Seen::WaitsForPerson,
        }
    }
}

/// What a bank says by itself.
#[derive(Debug, Clone)]
pub struct Word {
    pub step: Step,
    pub seen: Observation,
}

/// What goes wrong with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mishap {
    None,
    AnswerLost,
    OrderLost,
    Late,
    NotSent,
    Passing,
}

/// How one kind of provider behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Keys, signed words, closes pages.
    Thorough,
    /// What the payer approved is completed by us.
    Approving,
    /// No keys, pages that cannot be closed, words that are hints.
    Plain,
}

impl Kind {
    pub fn abilities(self) -> Abilities {
        let mut abilities = Dialect::Stripe.provider().abilities();
        if self == Self::Plain {
            abilities.keeps_keys_for = None;
            abilities.closes_pages = false;
        }
        abilities
    }
}

pub struct Bank {
    pub kind: Kind,
    pub pages: BTreeMap<AttemptId, Page>,
    pub words: VecDeque<Word>,
    late: VecDeque<Order>,
    entropy: Entropy,
}

/// A day, as long as keys are kept.
pub const KEYS_KEPT: Duration = Duration::from_secs(86_400);

fn refused(code: &str) -> Failure {
    Failure::Refused { class: ErrorClass::InvalidRequest, code: code.to_owned() }
}

fn named(attempt: AttemptId, seen: Seen) -> Observation {
    Observation { seen, provider_ref: Some(format!("ref-{attempt}")), charge_ref: Some(format!("charge-{attempt}")) }
}

fn observed(seen: Seen) -> Result<Done, Failure> {
    Ok(Done::Observed(Observation::of(seen)))
}

fn part(is: Really, amount: Money) -> Seen {
    match is {
        Really::Pending => Seen::Pending,
        Really::Done => Seen::Succeeded { amount: Some(amount), crypto_amount: None },
        Really::Failed => Seen::Declined { class: ErrorClass::DeclinedHard, code: "failed".to_owned() },
    }
}

fn attempt_of(provider_ref: &str) -> Option<AttemptId> {
    AttemptId::parse(provider_ref.strip_prefix("ref-")?).ok()
}

impl Bank {
    pub fn new(kind: Kind, entropy: Entropy) -> Self {
        Self { kind, pages: BTreeMap::new(), words: VecDeque::new(), late: VecDeque::new(), entropy }
    }

    fn say(&mut self, attempt: AttemptId) {
        if let Some(page) = self.pages.get(&attempt) {
            self.words.push_back(Word { step: Step::Attempt(attempt), seen: named(attempt, page.seen()) });
        }
    }

    /// Does what it is asked for, or not, and says so, or not.
    pub fn perform(&mut self, order: &Order, mishap: Mishap, now: Timestamp) -> Result<Done, Failure> {
        match mishap {
            Mishap::None => self.work(order, now),
            Mishap::AnswerLost => {
                let _ = self.work(order, now);
                Err(Failure::unknown("lost"))
            }
            Mishap::OrderLost => Err(Failure::unknown("lost")),
            Mishap::Late => {
                self.late.push_back(order.clone());
                Err(Failure::unknown("late"))
            }
            Mishap::NotSent => Err(Failure::NotSent { reason: "no connection".to_owned() }),
            Mishap::Passing => Err(Failure::Refused { class: ErrorClass::RateLimited, code: "429".to_owned() }),
        }
    }

    /// Does an order that arrived late, within the time that keys are kept.
    pub fn catch_up(&mut self, now: Timestamp) {
        if let Some(order) = self.late.pop_front() {
            let _ = self.work(&order, now);
        }
    }

    fn pends(&self) -> Really {
        if self.entropy.below(5) == 0 { Really::Pending } else { Really::Done }
    }

    fn work(&mut self, order: &Order, now: Timestamp) -> Result<Done, Failure> {
        match order {
            Order::OpenPage { reference, amount, capture_method, .. } => {
                let id = AttemptId::parse(reference).map_err(|_| refused("reference"))?;
                let fresh = Page {
                    asked: *amount,
                    method: *capture_method,
                    is_open: true,
                    is_approved: false,
                    is_declined: false,
                    is_voided: false,
                    is_closed: false,
                    authorized: None,
                    charged: None,
                    captures: BTreeMap::new(),
                    refunds: BTreeMap::new(),
                    opened_at: now,
                };
                let page = self.pages.entry(id).or_insert(fresh);
                assert!(now.since(page.opened_at) < KEYS_KEPT, "a page was asked for again after its key was forgotten");
                if !page.is_open || page.authorized.is_some() || page.charged.is_some() {
                    return Ok(Done::Observed(named(id, page.seen())));
                }
                Ok(Done::Page { provider_ref: Some(format!("ref-{id}")), url: format!("https://bank.example/{id}"), expires_at: None })
            }
            Order::ClosePage { provider_ref } => {
                let id = attempt_of(provider_ref).ok_or_else(|| refused("unknown"))?;
                let page = self.pages.get_mut(&id).ok_or_else(|| refused("unknown"))?;
                page.is_open = page.is_open && (page.is_approved || page.authorized.is_some() || page.charged.is_some());
                let seen = page.seen();
                self.say(id);
                Ok(Done::Observed(named(id, seen)))
            }
            Order::Complete { reference, .. } => {
                let id = AttemptId::parse(reference).map_err(|_| refused("reference"))?;
                let page = self.pages.get_mut(&id).ok_or_else(|| refused("unknown"))?;
                if page.is_approved && page.charged.is_none() && page.authorized.is_none() {
                    page.take(page.asked);
                }
                let seen = page.seen();
                self.say(id);
                Ok(Done::Observed(named(id, seen)))
            }
            Order::Capture { reference, provider_ref, amount, is_last } => {
                let (id, capture) = (attempt_of(provider_ref).ok_or_else(|| refused("unknown"))?, CaptureId::parse(reference));
                let (capture, pends) = (capture.map_err(|_| refused("reference"))?, self.pends());
                let page = self.pages.get_mut(&id).ok_or_else(|| refused("unknown"))?;
                if let Some((taken, is)) = page.captures.get(&capture) {
                    return observed(part(*is, Money::new(*taken, amount.currency)));
                }
                let so_far: i64 = page.captures.values().filter(|(_, is)| *is != Really::Failed).map(|(amount, _)| *amount).sum();
                let authorized = page.authorized.filter(|_| !page.is_voided && !page.is_closed).map_or(0, |held| held.amount_minor);
                if so_far + amount.amount_minor > authorized {
                    return Err(refused("too_much"));
                }
                page.captures.insert(capture, (amount.amount_minor, pends));
                page.is_closed = *is_last;
                let seen = part(pends, *amount);
                self.words.push_back(Word { step: Step::Capture(id, capture), seen: Observation::of(seen.clone()) });
                observed(seen)
            }
            Order::Void { provider_ref, .. } => {
                let id = attempt_of(provider_ref).ok_or_else(|| refused("unknown"))?;
                let page = self.pages.get_mut(&id).ok_or_else(|| refused("unknown"))?;
                if page.authorized.is_none() || !page.captures.is_empty() {
                    return Err(refused("nothing_to_void"));
                }
                page.is_voided = true;
                self.say(id);
                observed(Seen::Voided)
            }
            Order::Refund { reference, attempt, amount, .. } => {
                let (id, pends) = (AttemptId::parse(attempt).map_err(|_| refused("reference"))?, self.pends());
                let refund = RefundId::parse(reference).map_err(|_| refused("reference"))?;
                let page = self.pages.get_mut(&id).ok_or_else(|| refused("unknown"))?;
                if let Some((amount, is)) = page.refunds.get(&refund) {
                    return observed(part(*is, *amount));
                }
                let back: i64 = page.refunds.values().filter(|(_, is)| *is != Really::Failed).map(|(amount, _)| amount.amount_minor).sum();
                if amount.currency != page.currency() || back + amount.amount_minor > page.taken_minor() {
                    return Err(refused("too_much"));
                }
                page.refunds.insert(refund, (*amount, pends));
                let seen = part(pends, *amount);
                self.words.push_back(Word { step: Step::Refund(refund), seen: Observation::of(seen.clone()) });
                observed(seen)
            }
            Order::Payout { .. } | Order::ConfirmPayout { .. } => Err(refused("no_payouts")),
        }
    }

    /// What it says when it is asked; nothing where it knows nothing of it.
    pub fn told(&self, step: Step, attempt: AttemptId) -> Option<Observation> {
        let page = self.pages.get(&attempt)?;
        match step {
            Step::Attempt(id) | Step::Void(id) | Step::Close(id) => Some(named(id, page.seen())),
            Step::Capture(_, id) => {
                let (amount, is) = page.captures.get(&id)?;
                Some(Observation::of(part(*is, Money::new(*amount, page.asked.currency))))
            }
            Step::Refund(id) => page.refunds.get(&id).map(|(amount, is)| Observation::of(part(*is, *amount))),
        }
    }

    /// Somebody pays, or tries to.
    pub fn visit(&mut self, id: AttemptId, paid: Option<Money>) {
        let Some(page) = self.pages.get_mut(&id).filter(|page| page.is_open && page.authorized.is_none() && page.charged.is_none()) else {
            return;
        };
        match paid {
            None => page.is_declined = true,
            Some(paid) if self.kind == Kind::Approving && paid == page.asked => page.is_approved = true,
            Some(paid) => page.take(paid),
        }
        self.say(id);
    }

    /// What happens there by itself: pages close, authorizations run out, what pended ends. With `all` everything that waits.
    pub fn live(&mut self, all: bool) {
        let ids: Vec<AttemptId> = self.pages.keys().copied().collect();
        for id in ids {
            let fails = self.entropy.below(10) == 0;
            let (leaves, runs_out) = (all || self.entropy.below(40) == 0, self.entropy.below(400) == 0);
            let ends = all || self.entropy.below(4) == 0;
            let Some(page) = self.pages.get_mut(&id) else { continue };
            let mut words = Vec::new();
            if page.is_open && leaves && !page.is_approved && page.authorized.is_none() && page.charged.is_none() {
                page.is_open = false;
                words.push(Word { step: Step::Attempt(id), seen: named(id, page.seen()) });
            }
            if runs_out && page.authorized.is_some() && page.captures.is_empty() && !page.is_voided {
                page.is_voided = true;
                words.push(Word { step: Step::Attempt(id), seen: named(id, page.seen()) });
            }
            let currency = page.currency();
            let ended = if fails { Really::Failed } else { Really::Done };
            for (capture, (amount, is)) in page.captures.iter_mut().filter(|(_, (_, is))| ends && *is == Really::Pending) {
                *is = ended;
                words.push(Word { step: Step::Capture(id, *capture), seen: Observation::of(part(ended, Money::new(*amount, currency))) });
            }
            for (refund, (amount, is)) in page.refunds.iter_mut().filter(|(_, (_, is))| ends && *is == Really::Pending) {
                *is = ended;
                words.push(Word { step: Step::Refund(*refund), seen: Observation::of(part(ended, *amount)) });
            }
            self.words.extend(words);
        }
    }

    pub fn forget_late(&mut self) {
        self.late.clear();
    }
}

impl Page {
    fn take(&mut self, paid: Money) {
        match self.method {
            CaptureMethod::Automatic => self.charged = Some(paid),
            CaptureMethod::Manual => self.authorized = Some(paid),
        }
    }
}
