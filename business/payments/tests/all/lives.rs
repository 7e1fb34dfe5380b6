//! Random lives of payments through the real thing: verbs, jobs and webhooks on a database, at simulated providers that lose, delay
//! and repeat what they are asked and what they say. In the end states, amounts, books, expectations and reports are what the
//! simulators really moved says that they must be.
//!
//! `TESSERA_TEST_OPERATIONS` says how many operations, `TESSERA_TEST_SEED` where to begin. A failure prints the seed of its case;
//! what the simulator's webhooks meet on their way is up to the network, so that a rare one may need more than one run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kernel::{Caller, Currency, Entropy, Grants, Id as _, MemberId, Money, RawId};
use payments::commands::settlement::NewSettlement;
use payments::commands::{self, NewPayment};
use payments::settlement::{COLUMNS, Format, digest};
use payments::{Attempt, AttemptState, CaptureMethod, Intent, IntentId, IntentState, StepState, queries};
use serde_json::json;
use sim::bank::{Movement, MovementKind};
use sim::faults::{Fault, Rule};
use sim::{Dialect, pages::PageState};
use store::{Reads as _, params};

use crate::till::Till;

store::statements! {
    EXPECTED = "select subject, currency, amount_minor from payments_expected where workspace = $1";
}

/// Operations of one case.
const CASE: u64 = 60;
/// Payments that live at once.
const LIVES: usize = 6;
const WAYS: [(Dialect, &str); 3] = [(Dialect::Stripe, "EUR"), (Dialect::Paypal, "USD"), (Dialect::Monnify, "NGN")];

/// What is known of a payment without asking the product: what was asked of it and accepted.
struct Life {
    id: IntentId,
    dialect: Dialect,
    is_manual: bool,
    /// It was called off while nothing had been paid, as far as anybody here knew.
    is_called_off: bool,
    /// A payer gave up, or was declined, on one of its pages.
    is_touched: bool,
    /// Attempts that a payer sent money to once more.
    again: BTreeSet<String>,
}

/// What the simulators moved under each name, in minor units.
#[derive(Default)]
struct Truth {
    authorized: BTreeSet<String>,
    voided: BTreeSet<String>,
    taken: BTreeMap<String, Money>,
    given: BTreeMap<String, Money>,
    /// What each provider holds of each currency.
    held: BTreeMap<(Dialect, String), i128>,
    lines: BTreeMap<Dialect, Vec<String>>,
}

impl Truth {
    fn of(movements: &[Movement]) -> Self {
        let mut truth = Self::default();
        for movement in movements {
            let (currency, reference) = (movement.currency.clone(), movement.reference.clone());
            let amount = Money::new(movement.amount_minor, Currency::parse(&currency).unwrap());
            let place = (movement.dialect, currency.to_lowercase());
            match movement.kind {
                MovementKind::Authorized => drop(truth.authorized.insert(reference)),
                MovementKind::Voided => drop(truth.voided.insert(reference)),
                MovementKind::Charged => {
                    // Of several captures Stripe tells by the name of the payment.
                    let taken = truth.taken.entry(reference.clone()).or_insert(Money::new(0, amount.currency));
                    assert_eq!(taken.currency, amount.currency, "{reference}");
                    taken.amount_minor += amount.amount_minor;
                    *truth.held.entry(place).or_default() += i128::from(amount.amount_minor);
                    truth.line(movement.dialect, "payment", &reference, &currency, amount.amount_minor);
                }
                MovementKind::Refunded => {
                    // PayPal tells a refund by the payment's name; ours is the key that it was asked for under.
                    let names = [Some(reference), movement.idempotency_key.clone()];
                    let name = names.into_iter().flatten().find(|name| name.starts_with("prf_")).unwrap();
                    assert_eq!(truth.given.insert(name.clone(), amount), None, "{name} was given back twice");
                    *truth.held.entry(place).or_default() -= i128::from(amount.amount_minor);
                    truth.line(movement.dialect, "refund", &name, &currency, -amount.amount_minor);
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
        truth
    }

    fn line(&mut self, dialect: Dialect, kind: &str, name: &str, currency: &str, gross: i64) {
        self.lines.entry(dialect).or_default().push(format!("{kind},{name},,batch,{currency},{gross},0,{gross},\n"));
    }

    /// What was really taken of an attempt, under its own name and those of its captures.
    fn taken_of(&self, attempt: &Attempt) -> Option<Money> {
        let captures = attempt.captures.iter().map(|capture| capture.id.to_string());
        let parts = std::iter::once(attempt.id.to_string()).chain(captures).filter_map(|name| self.taken.get(&name));
        parts.copied().reduce(|sum, part| {
            assert_eq!(sum.currency, part.currency);
            Money::new(sum.amount_minor + part.amount_minor, sum.currency)
        })
    }
}

struct World {
    till: Till,
    entropy: Entropy,
    bookkeeper: Caller,
    lives: Vec<Life>,
    accepted: BTreeMap<&'static str, u64>,
}

impl World {
    async fn new(seed: u64) -> Self {
        let entropy = Entropy::seeded(seed);
        let till = Till::new(&WAYS.map(|(dialect, _)| dialect)).await;
        let rules: Vec<_> = WAYS
            .iter()
            .map(|(dialect, _)| {
                let chain = [till.providers[dialect].to_string()];
                json!({ "name": dialect.word(), "priority": 1, "when": { "methods": [dialect.word()] }, "then": { "chain": chain } })
            })
            .collect();
        let rules = json!(rules);
        till.write(rules, |tx, rules| Box::pin(async move { commands::set_routes(tx, 0, &rules).await })).await.unwrap();
        let member = MemberId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
        let grants = Grants::of([payments::grants::READ, payments::grants::SETTLE]);
        let bookkeeper = Caller::Person { workspace: till.workspace, member, grants };
        let world = Self { till, entropy, bookkeeper, lives: Vec::new(), accepted: BTreeMap::new() };
        world.misbehave();
        world
    }

    /// Which things go wrong differs from case to case, so that in some of them nearly all goes well.
    fn misbehave(&self) {
        let moves_money = ["create", "confirm", "capture", "void", "refund", "expire"];
        let lost = [Fault::Error500, Fault::Error500After, Fault::Cut, Fault::TimeoutBefore, Fault::TimeoutAfter];
        let told = [
            Fault::DuplicateWebhook,
            Fault::NoWebhook,
            Fault::ForgedWebhook,
            Fault::LateWebhook(Duration::from_millis(15)),
            Fault::ReorderedWebhook,
            Fault::WrongAmountWebhook,
        ];
        let rule = |operation: &str, fault: Fault, rate: u64| {
            let rate_percent = self.entropy.below(rate) as u8;
            let operation = Some(operation.to_owned());
            let rule = Rule { dialect: None, operation, contains: None, fault, rate_percent, times: None };
            self.till.sim.add_fault(rule).unwrap();
        };
        for operation in moves_money {
            lost.iter().for_each(|fault| rule(operation, fault.clone(), 6));
        }
        for operation in ["pay", "capture", "refund", "void"] {
            told.iter().for_each(|fault| rule(operation, fault.clone(), if *fault == Fault::ReorderedWebhook { 3 } else { 12 }));
        }
        rule("query", Fault::NotFound, 12);
        rule("query", Fault::Error500, 12);
        rule("pay", Fault::WrongAmount, 5);
    }

    fn below(&self, bound: usize) -> usize {
        self.entropy.below(bound as u64) as usize
    }

    fn count(&mut self, what: &'static str) {
        *self.accepted.entry(what).or_default() += 1;
    }

    async fn begin(&mut self) {
        let (dialect, currency) = WAYS[self.below(WAYS.len())];
        // Monnify has no later capture.
        let is_manual = dialect != Dialect::Monnify && self.below(2) == 0;
        let amount = Money::new(200 + self.entropy.below(5_000) as i64, Currency::parse(currency).unwrap());
        let mut new = NewPayment::of(amount);
        new.capture_method = if is_manual { CaptureMethod::Manual } else { CaptureMethod::Automatic };
        new.method = Some(dialect.word().to_owned());
        new.payer_name = Some("Ada Obi".to_owned());
        new.payer_email = Some("ada@example.org".to_owned());
        let made = self.till.write(new, |tx, new| Box::pin(async move { commands::create(tx, new).await })).await.unwrap();
        self.lives.push(Life { id: made.id, dialect, is_manual, is_called_off: false, is_touched: false, again: BTreeSet::new() });
        if self.till.start(made.id).await.is_ok() {
            self.count("begun");
        }
    }

    /// Somebody at one of the pages that were ever shown for the payment.
    async fn visit(&mut self, at: usize) {
        let intent = self.till.intent(self.lives[at].id).await;
        if intent.attempts.is_empty() {
            return;
        }
        let attempt = &intent.attempts[self.below(intent.attempts.len())];
        let reference = attempt.id.to_string();
        // Whoever has the number of the account may send money there again: as a transfer of its own, or on top of the first.
        if self.lives[at].dialect == Dialect::Monnify && attempt.state == AttemptState::Charged {
            let amount_minor = 100 + self.entropy.below(2_000) as i64;
            if self.lives[at].again.insert(reference.clone()) {
                self.till.sim.pay_more(&reference, amount_minor, self.below(2) == 0).unwrap();
                self.count("sent again");
            }
            return;
        }
        let what = match self.below(8) {
            0 => self.till.sim.decline(&reference, "").map(|_| "declined"),
            1 => self.till.sim.abandon(&reference).map(|_| "abandoned"),
            _ => self.till.sim.pay(&reference).map(|_| "paid"),
        };
        if let Ok(what) = what {
            self.lives[at].is_touched |= what != "paid";
            self.count(what);
        }
    }

    async fn capture(&mut self, at: usize) {
        let (id, amount) = (self.lives[at].id, (self.below(3) > 0).then(|| 1 + self.entropy.below(3_000) as i64));
        let input = (id, amount, self.below(3) == 0);
        let asked =
            self.till.write(input, |tx, (id, amount, is_last)| Box::pin(async move { commands::capture(tx, id, amount, is_last).await }));
        if asked.await.is_ok() {
            self.count("captures");
        }
    }

    async fn refund(&mut self, at: usize) {
        let (id, amount) = (self.lives[at].id, (self.below(4) > 0).then(|| 1 + self.entropy.below(2_500) as i64));
        let asked =
            self.till.write((id, amount), |tx, (id, amount)| Box::pin(async move { commands::refund(tx, id, None, amount, None).await }));
        if asked.await.is_ok() {
            self.count("refunds");
        }
    }

    async fn cancel(&mut self, at: usize) {
        let id = self.lives[at].id;
        let asked = self.till.write(id, |tx, id| Box::pin(async move { commands::cancel(tx, id).await }));
        if let Ok(intent) = asked.await {
            self.lives[at].is_called_off |= intent.kept.is_none();
            self.count("called off");
        }
    }

    async fn step(&mut self) {
        if self.lives.is_empty() || self.lives.len() < LIVES && self.below(6) == 0 {
            self.begin().await;
        } else {
            let at = self.below(self.lives.len());
            match self.below(20) {
                0..2 => {
                    if self.till.start(self.lives[at].id).await.is_ok() {
                        self.count("begun");
                    }
                }
                2..8 => self.visit(at).await,
                8..13 if self.lives[at].is_manual => self.capture(at).await,
                8..13 => self.visit(at).await,
                13..17 => self.refund(at).await,
                17 if self.below(2) == 0 => self.cancel(at).await,
                _ => {
                    let time = Duration::from_secs(1 + self.entropy.below(150));
                    self.till.store.clock().advance(time);
                    self.till.sim.advance(time);
                }
            }
        }
        // Not everything is over before the next thing begins.
        if self.below(3) > 0 {
            self.till.settle().await;
        }
    }

    /// Nothing fails any more, and whatever is to be learned is learned.
    async fn calm(&self) {
        self.till.sim.clear_faults();
        for pause_s in [60, 60, 130, 300, 300, 600, 1_200, 1_800, 3_600] {
            self.till.pass(Duration::from_secs(pause_s)).await;
        }
    }

    /// What must be so of one payment.
    fn judge(&self, life: &Life, intent: &Intent, truth: &Truth, books: &mut BTreeMap<String, i128>) {
        let mut enter = |place: &str, amount: Money| {
            let code = format!("payments.{place}.{}", amount.currency.to_string().to_lowercase());
            *books.entry(code).or_default() -= i128::from(amount.amount_minor);
        };
        let keeps_no_keys = life.dialect == Dialect::Monnify;
        for attempt in &intent.attempts {
            let (there, currency) = (truth.taken_of(attempt), intent.amount.currency);
            let quarantined = if let AttemptState::Quarantined { paid } = attempt.state { Some(paid) } else { None };
            let more: i64 = attempt.more.iter().map(|more| more.amount.amount_minor).sum();
            let here = quarantined.or((attempt.captured_minor > 0).then(|| Money::new(attempt.captured_minor + more, currency)));
            assert_eq!(here, there, "what {} took: {intent:#?}", attempt.id);
            assert!(attempt.state != AttemptState::Unknown || keeps_no_keys, "{intent:#?}");
            assert!(attempt.captures.iter().all(|capture| capture.state.is_final()), "{intent:#?}");
            let is_kept = intent.kept == Some(attempt.id);
            let place = match quarantined {
                Some(_) => "quarantine",
                None if is_kept => "received",
                None => "surplus",
            };
            let own = there.map(|taken| Money::new(taken.amount_minor - more, taken.currency));
            own.into_iter().for_each(|amount| enter(place, amount));
            enter("surplus", Money::new(more, currency));
            let of_attempt: Vec<_> = intent.refunds.iter().filter(|refund| refund.attempt == attempt.id).collect();
            let mut back = 0;
            for refund in &of_attempt {
                let given = truth.given.get(&refund.id.to_string()).copied();
                let here = (refund.state == StepState::Succeeded).then(|| Money::new(refund.amount_minor, refund.currency));
                assert_eq!(here, given, "what {} gave back: {intent:#?}", refund.id);
                assert!(refund.state.is_final() || refund.state == StepState::Unknown && keeps_no_keys, "{intent:#?}");
                if let Some(given) = given {
                    back += given.amount_minor;
                    let place = if refund.more.is_some() { "surplus" } else { place };
                    enter(place, Money::new(-given.amount_minor, given.currency));
                }
            }
            assert!(back <= there.map_or(0, |taken| taken.amount_minor), "refunded is at most what was captured: {intent:#?}");
            if let (Some(taken), false, None) = (own, is_kept, quarantined) {
                // The second success, or one that nobody waited for: given back once, and in full.
                let refunds: Vec<_> = of_attempt.iter().filter(|refund| refund.id.raw() == attempt.id.raw()).collect();
                assert_eq!((refunds.len(), refunds[0].amount_minor), (1, taken.amount_minor), "{intent:#?}");
                assert!(back == taken.amount_minor || keeps_no_keys, "a surplus was kept: {intent:#?}");
            }
            for (place, more) in attempt.more.iter().enumerate() {
                let refunds: Vec<_> = of_attempt.iter().filter(|refund| refund.more == Some(place)).collect();
                assert_eq!((refunds.len(), refunds[0].amount_minor), (1, more.amount.amount_minor), "{intent:#?}");
            }
            if own == Some(intent.amount) && intent.capture_method == CaptureMethod::Automatic && !life.is_called_off {
                assert!(intent.kept.is_some(), "what was paid counts: {intent:#?}");
            }
        }
        let state = intent.state();
        match intent.kept() {
            Some(kept) => {
                assert!(!life.is_called_off, "what was called off is not kept: {intent:#?}");
                let more: i64 = kept.more.iter().map(|more| more.amount.amount_minor).sum();
                let taken = truth.taken_of(kept).map_or(0, |taken| taken.amount_minor - more);
                let is_last = |capture: &payments::Capture| capture.is_last && capture.state == StepState::Succeeded;
                let is_closed = truth.voided.contains(&kept.id.to_string()) || kept.captures.iter().any(is_last);
                assert!(taken <= intent.amount.amount_minor, "captured is at most what was authorized: {intent:#?}");
                let expected = match taken {
                    0 if is_closed || kept.state == AttemptState::Voided => IntentState::Canceled,
                    0 => IntentState::RequiresCapture,
                    taken if taken < intent.amount.amount_minor && !is_closed => IntentState::PartiallyCaptured,
                    _ => IntentState::Succeeded,
                };
                assert_eq!(state, expected, "{intent:#?}");
            }
            None if life.is_called_off => assert_eq!(state, IntentState::Canceled, "{intent:#?}"),
            None => {
                let is_open = intent
                    .attempts
                    .last()
                    .is_some_and(|attempt| self.till.sim.pages(&attempt.id.to_string()).iter().any(|page| page.state == PageState::Open));
                let waits = [IntentState::RequiresAction, IntentState::RequiresPaymentMethod, IntentState::Processing];
                assert!(waits.contains(&state), "{intent:#?}");
                if is_open && !life.is_touched && !keeps_no_keys {
                    assert_eq!(state, IntentState::RequiresAction, "{intent:#?}");
                }
            }
        }
    }

    async fn prove(&self) {
        let truth = Truth::of(&self.till.sim.movements());
        let (mut books, mut expected) = (BTreeMap::new(), BTreeMap::new());
        for life in &self.lives {
            let intent = self.till.intent(life.id).await;
            self.judge(life, &intent, &truth, &mut books);
            // What was taken in parts is told part by part, whatever name the provider has for it.
            for attempt in intent.attempts.iter().filter(|attempt| truth.taken_of(attempt).is_some()) {
                let parts = attempt.captures.iter().filter(|capture| capture.state == StepState::Succeeded);
                let parts: Vec<_> = parts.map(|part| (part.id.to_string(), part.amount_minor)).collect();
                let taken = truth.taken_of(attempt).unwrap();
                let more: i64 = attempt.more.iter().map(|more| more.amount.amount_minor).sum();
                let mut whole = vec![(attempt.id.to_string(), taken.amount_minor - more)];
                whole.extend((1..).zip(&attempt.more).map(|(n, more)| (format!("{}.more.{n}", attempt.id), more.amount.amount_minor)));
                let subjects = if parts.is_empty() { whole } else { parts };
                expected.extend(subjects.into_iter().map(|(name, amount)| (name, (taken.currency.to_string(), amount))));
            }
            let mut reads = self.till.store.read();
            let history = queries::history(&mut reads, self.till.workspace, life.id, 0, 1_000).await.unwrap();
            let mut again = Intent::begin(&history[0].event, history[0].at).unwrap();
            for recorded in &history[1..] {
                again = again.after(&recorded.event, recorded.at);
            }
            assert_eq!(again, intent, "the history makes the payment what it is");
        }
        for (name, amount) in &truth.given {
            expected.insert(name.clone(), (amount.currency.to_string(), -amount.amount_minor));
        }
        for ((dialect, currency), held) in &truth.held {
            books.insert(format!("payments.clearing.{}.{currency}", dialect.word()), *held);
        }
        for (code, balance) in &books {
            assert_eq!(self.till.balance(code).await, *balance, "{code}");
        }
        let rows = self
            .till
            .store
            .read()
            .rows(&EXPECTED, params![&self.till.workspace], |row| {
                Ok((row.get::<String>("subject")?, (row.get::<String>("currency")?, row.get::<i64>("amount_minor")?)))
            })
            .await
            .unwrap();
        assert_eq!(rows.into_iter().collect::<BTreeMap<_, _>>(), expected, "what reports are to say");
        self.settle(&truth).await;
    }

    /// Reports of what was moved, in parts and in any order, one line twice: clearing is empty then, and that line is all that is
    /// left to work off.
    async fn settle(&self, truth: &Truth) {
        let store = &self.till.store;
        for (dialect, lines) in &truth.lines {
            let mut parts: Vec<Vec<&String>> = vec![Vec::new(); 1 + self.below(3)];
            for line in lines {
                let part = self.below(parts.len());
                parts[part].push(line);
            }
            parts.retain(|part| !part.is_empty());
            let twice = self.below(2);
            if twice == 1 {
                let again = &lines[self.below(lines.len())];
                parts.last_mut().unwrap().push(again);
            }
            let (count, mut exceptions) = (parts.len(), 0);
            for (place, part) in parts.into_iter().enumerate() {
                let text = part.into_iter().fold(format!("{COLUMNS}\n"), |text, line| text + line);
                let new = NewSettlement {
                    provider: self.till.providers[dialect],
                    digest: digest(text.as_bytes()),
                    name: format!("{}.csv", dialect.word()),
                    format: Format::Neutral,
                    covers_until: (place + 1 == count).then(|| store.clock().now().plus(Duration::from_secs(1))),
                    bytes: text.len() as i64,
                    lines: text.lines().count() as i64 - 1,
                };
                let taken = store.write(&self.bookkeeper, (new, text), |tx, (new, text)| {
                    Box::pin(async move { commands::settlement::take(tx, new, text.as_bytes()).await })
                });
                let id = taken.await.unwrap().id;
                self.till.settle().await;
                let booked = queries::settlement::get(&mut store.read(), self.till.workspace, id).await.unwrap();
                assert_eq!(booked.state, "done", "{booked:?}");
                exceptions += booked.exceptions;
            }
            assert_eq!(exceptions, twice as i64, "{}: {lines:?}", dialect.word());
        }
        for (dialect, currency) in truth.held.keys() {
            let code = format!("payments.clearing.{}.{currency}", dialect.word());
            assert_eq!(self.till.balance(&code).await, 0, "{code} after its reports");
        }
    }
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(otherwise)
}

async fn live(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut world = World::new(seed).await;
    for _ in 0..CASE {
        world.step().await;
    }
    world.calm().await;
    world.prove().await;
    world.till.close().await;
    world.accepted
}

#[tokio::test]
async fn whatever_happens_to_payments_ends_in_what_the_providers_really_moved() {
    let operations = from_environment("TESSERA_TEST_OPERATIONS", 4 * CASE);
    let first_seed = from_environment("TESSERA_TEST_SEED", 1);
    let began = Instant::now();
    let (mut done, mut seed, mut accepted) = (0, first_seed, BTreeMap::<&str, u64>::new());
    while done < operations {
        let lived = tokio::spawn(live(seed)).await;
        let lived = lived.unwrap_or_else(|_| panic!("seed {seed}: TESSERA_TEST_SEED={seed} TESSERA_TEST_OPERATIONS=1 shows it again"));
        for (what, times) in lived {
            *accepted.entry(what).or_default() += times;
        }
        done += CASE;
        seed += 1;
    }
    let wanted = ["begun", "paid", "declined", "captures", "refunds", "called off"];
    let never: Vec<_> = wanted.iter().filter(|what| !accepted.contains_key(*what)).collect();
    assert!(never.is_empty() || done < 200, "what was asked for is too tame to show {never:?}");
    println!("{done} operations in {:.1} s, seeds {first_seed} to {}: {accepted:?}", began.elapsed().as_secs_f64(), seed - 1);
}
