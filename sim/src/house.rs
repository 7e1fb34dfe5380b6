//! The running simulator behind the door: the booths of the dialects, the rules of faults, the courier.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::Dialect;
use crate::bank::{Books, Movement, Shared};
use crate::call::Twist;
use crate::faults::{Fault, Plan, Rule, Rules, WebhookPlan};
use crate::pages::{Decision, Page, PageState};
use crate::providers::{Plant, Provider};
use crate::webhooks::Courier;

pub(crate) struct Booth {
    pub(crate) books: Mutex<Books>,
    /// Until when the dialect hangs.
    pub(crate) hung: watch::Sender<Option<Instant>>,
}

pub(crate) struct House {
    pub(crate) booths: BTreeMap<Dialect, Booth>,
    pub(crate) providers: Arc<BTreeMap<Dialect, Box<dyn Provider>>>,
    pub(crate) rules: Mutex<Rules>,
    pub(crate) courier: Arc<Courier>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) url: String,
    /// How long a request hangs that gets no answer.
    pub(crate) hang: Duration,
}

/// How a payer's decision went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// The page afterwards.
    pub page: Page,
    /// Where the payer is sent.
    pub redirect: Option<String>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl House {
    pub(crate) fn books(&self, dialect: Dialect) -> MutexGuard<'_, Books> {
        // There is a booth for every dialect: `start` makes one for each of `Dialect::ALL`.
        locked(&self.booths[&dialect].books)
    }

    pub(crate) fn rules(&self) -> MutexGuard<'_, Rules> {
        locked(&self.rules)
    }

    /// Does something with the books of a dialect, writes them down, and lets the webhooks go that came of it.
    pub(crate) fn act<T>(&self, dialect: Dialect, plan: &WebhookPlan, act: impl FnOnce(&dyn Provider, &mut Books) -> T) -> T {
        let mut books = self.books(dialect);
        let result = act(self.providers[&dialect].as_ref(), &mut books);
        books.flush();
        let outgoing = std::mem::take(&mut books.outgoing);
        // Posted under the lock, so that webhooks of one dialect leave in the order of their effects.
        self.courier.post(dialect, outgoing, plan);
        result
    }

    /// Adds a rule, or starts to hang at once.
    pub(crate) fn add_fault(&self, rule: Rule) -> Result<u64, String> {
        if let Fault::Hang(time) = rule.fault {
            for dialect in Dialect::ALL.into_iter().filter(|dialect| rule.dialect.is_none_or(|wanted| wanted == *dialect)) {
                self.hang(dialect, time);
            }
            return Ok(0);
        }
        self.rules().add(rule)
    }

    pub(crate) fn clear_faults(&self) {
        self.rules().clear();
        for booth in self.booths.values() {
            booth.hung.send_replace(None);
        }
    }

    pub(crate) fn hang(&self, dialect: Dialect, time: Duration) {
        self.booths[&dialect].hung.send_replace(Some(Instant::now() + time));
    }

    /// Milliseconds that the dialect will hang for still.
    pub(crate) fn hangs_ms(&self, dialect: Dialect) -> u128 {
        self.booths[&dialect].hung.borrow().map_or(0, |until| until.saturating_duration_since(Instant::now()).as_millis())
    }

    pub(crate) fn movements(&self) -> Vec<Movement> {
        let mut all: Vec<_> = Dialect::ALL.into_iter().flat_map(|dialect| self.books(dialect).movements().to_vec()).collect();
        all.sort_by_key(|movement| movement.sequence);
        all
    }

    /// The newest open page with a reference, else the newest at all.
    pub(crate) fn page_of(&self, dialect: Option<Dialect>, reference: &str) -> Option<Page> {
        let mut found = None;
        for dialect in Dialect::ALL.into_iter().filter(|own| dialect.is_none_or(|wanted| wanted == *own)) {
            let books = self.books(dialect);
            for page in books.linked("page_by_reference", reference).iter().filter_map(|id| books.page(id)) {
                if page.state == PageState::Open || found.as_ref().is_none_or(|found: &Page| found.state != PageState::Open) {
                    found = Some(page);
                }
            }
        }
        found
    }

    /// Does what a payer decided on a page.
    pub(crate) fn decide(&self, dialect: Dialect, id: &str, decision: &Decision) -> Result<Decided, String> {
        let page = self.books(dialect).page(id).ok_or_else(|| format!("there is no page {id} at {}", dialect.word()))?;
        let plan = Plan::of(self.rules().bite(dialect, "pay", |text| page.reference.contains(text)));
        let decision = match (&plan.twist.decline, decision) {
            (Some(code), Decision::Pay) => Decision::Decline { code: code.clone() },
            _ => decision.clone(),
        };
        let decision = match decision {
            Decision::Decline { code } if code.is_empty() => {
                Decision::Decline { code: self.providers[&dialect].decline_codes().first().copied().unwrap_or("declined").to_owned() }
            }
            other => other,
        };
        self.act(dialect, &plan.webhook, |provider, books| {
            // Read again under the lock that decides: the page may have ended since.
            let page = books.page(id).unwrap_or(page);
            if page.state != PageState::Open {
                return Err(format!("this page is {} already", page.state.word()));
            }
            let twist = Twist { decline: None, ..plan.twist.clone() };
            let redirect = provider.decide(books, &page, &decision, &twist)?;
            Ok(Decided { page: books.page(id).unwrap_or(page), redirect })
        })
    }

    /// The payer of a page sends money again.
    pub(crate) fn pay_more(&self, page: &Page, amount_minor: i64, is_apart: bool) -> Result<(), String> {
        self.act(page.dialect, &WebhookPlan::default(), |provider, books| provider.pay_more(books, page, amount_minor, is_apart))
    }

    /// A refund comes back.
    pub(crate) fn return_refund(&self, dialect: Dialect, reference: &str) -> Result<(), String> {
        self.act(dialect, &WebhookPlan::default(), |provider, books| provider.return_refund(books, reference))
    }

    pub(crate) fn settle(&self, dialect: Dialect, plant: Plant) -> Result<Vec<String>, String> {
        let plan = Plan::of(self.rules().bite(dialect, "settle", |_| false));
        self.act(dialect, &plan.webhook, |provider, books| provider.settle(books, plant))
    }
}
