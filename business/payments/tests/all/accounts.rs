//! Accounts with providers that change while something is under way there: money and questions go on to where they began.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::{Caller, Currency, Grants, Id as _, MemberId, Money, RawId};
use payments::commands::{self, PayoutWanted, ProviderEdit};
use payments::{
    BeneficiaryId, CaptureMethod, Destination, Intent, IntentState, PaymentError, Payout, PayoutId, PayoutRefusal, PayoutSettings,
    PayoutState, ProviderId, queries,
};
use serde_json::{Value, json};
use sim::Dialect;

use crate::till::Till;

fn reference(intent: &Intent) -> String {
    intent.attempts.last().unwrap().id.to_string()
}

async fn edit(till: &Till, dialect: Dialect, edit: ProviderEdit) -> Result<(), PaymentError> {
    let id = till.providers[&dialect];
    let version = queries::provider(&mut till.store.read(), till.workspace, id).await.unwrap().version;
    let input = (id, version, edit);
    till.write(input, |tx, (id, version, edit)| Box::pin(commands::edit_provider(tx, id, version, edit))).await.map(|_| ())
}

fn sealed(till: &Till, id: ProviderId, secrets: &Value) -> ProviderEdit {
    ProviderEdit { sealed: Some(commands::seal(till.store.vault(), id, secrets).unwrap()), ..ProviderEdit::default() }
}

fn stripe_secrets(webhook_secret: &str) -> Value {
    json!({ "api_key": sim::STRIPE_KEY, "webhook_secret": webhook_secret })
}

/// The fields that may not change any more.
fn tied(answered: Result<(), PaymentError>) -> Vec<String> {
    match answered {
        Err(PaymentError::ProviderTied { moved, .. }) => moved,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_provider_stays_with_its_account_from_the_first_payment_on_that_is_begun_there() {
    let till = Till::new(&[Dialect::Stripe, Dialect::Monnify]).await;
    let id = till.providers[&Dialect::Stripe];
    let moved = |till: &Till| ProviderEdit {
        base_url: Some("https://api.stripe.example".to_owned()),
        ..sealed(till, id, &stripe_secrets(sim::STRIPE_WEBHOOK_SECRET))
    };
    let settings = |settings: Value| ProviderEdit { settings: Some(settings), ..ProviderEdit::default() };
    edit(&till, Dialect::Stripe, settings(json!({ "account": "acct_1" }))).await.unwrap();
    let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    for is_paid in [false, true] {
        if is_paid {
            till.sim.pay(&reference(&intent)).unwrap();
            till.settle().await;
        }
        assert_eq!(tied(edit(&till, Dialect::Stripe, moved(&till)).await), ["base_url"]);
        let other = settings(json!({ "account": "acct_2", "new": 1 }));
        assert_eq!(tied(edit(&till, Dialect::Stripe, other).await), ["settings.account", "settings.new"]);
        let free = settings(json!({ "account": "acct_1", "currencies": ["EUR", "USD"] }));
        edit(&till, Dialect::Stripe, free).await.unwrap();
    }
    let refused = edit(&till, Dialect::Stripe, moved(&till)).await.unwrap_err().to_string();
    assert!(refused.contains("base_url") && refused.contains("Add another provider"), "{refused}");
    // Nothing was begun at the other one.
    let other = ProviderEdit {
        base_url: Some("https://api.monnify.example".to_owned()),
        settings: Some(json!({})),
        ..sealed(&till, till.providers[&Dialect::Monnify], &json!({}))
    };
    edit(&till, Dialect::Monnify, other).await.unwrap();
    till.close().await;
}

#[tokio::test]
async fn a_provider_that_is_switched_off_finishes_what_was_begun_there() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let off = ProviderEdit { is_enabled: Some(false), ..ProviderEdit::default() };
    let waits = till.begin(1_000, "EUR", CaptureMethod::Manual).await;
    edit(&till, Dialect::Stripe, off).await.unwrap();
    till.sim.pay(&reference(&waits)).unwrap();
    till.settle().await;
    assert_eq!(till.intent(waits.id).await.state(), IntentState::RequiresCapture, "webhooks and questions go on");
    let captured = till.capture(waits.id, Some(600), true).await.unwrap();
    assert_eq!((captured.state(), till.truth()), (IntentState::Succeeded, 600), "{captured:?}");
    let refunded = till.refund(waits.id, Some(250)).await.unwrap();
    assert_eq!((refunded.refunded_minor(), till.truth()), (250, 350));
    // Only nothing new is begun.
    let new = payments::commands::NewPayment::of(Money::new(1_000, Currency::parse("EUR").unwrap()));
    let new = till.write(new, |tx, new| Box::pin(async move { commands::create(tx, new).await })).await.unwrap();
    assert!(matches!(till.start(new.id).await, Err(PaymentError::NoProvider(_))));
    till.close().await;
}

#[tokio::test]
async fn webhooks_may_be_signed_with_the_former_secret_for_a_day_and_no_longer() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let id = till.providers[&Dialect::Stripe];
    let kept = async || queries::webhooks(&mut till.store.read(), till.workspace, "", None, 100).await.unwrap().len();
    // The simulator goes on signing with the secret that it knows.
    edit(&till, Dialect::Stripe, sealed(&till, id, &stripe_secrets("whsec_second"))).await.unwrap();
    let first = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    till.sim.pay(&reference(&first)).unwrap();
    till.settle().await;
    let under_way = kept().await;
    assert!(under_way > 0, "what is under way still comes in");
    assert_eq!(till.intent(first.id).await.state(), IntentState::Succeeded);
    till.pass(Duration::from_secs(24 * 3_600)).await;
    let before = kept().await;
    let second = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    till.sim.pay(&reference(&second)).unwrap();
    till.settle().await;
    assert_eq!(kept().await, before, "a day later it is forged");
    till.close().await;
}

#[tokio::test]
async fn a_secret_that_was_changed_twice_is_of_no_use_at_once() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let id = till.providers[&Dialect::Stripe];
    for secret in ["whsec_second", "whsec_third"] {
        edit(&till, Dialect::Stripe, sealed(&till, id, &stripe_secrets(secret))).await.unwrap();
    }
    let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    let kept = queries::webhooks(&mut till.store.read(), till.workspace, "", None, 100).await.unwrap();
    assert!(kept.is_empty(), "{kept:?}");
    till.close().await;
}

/// A person of the workspace who may ask for payouts, change accounts and decide.
fn person(till: &Till) -> Caller {
    let member = MemberId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
    let grants = Grants::of([payments::grants::APPROVE, payments::grants::PAY_OUT, payments::grants::MANAGE, risk::grants::MANAGE]);
    Caller::Person { workspace: till.workspace, member, grants }
}

async fn account_by(till: &Till, caller: &Caller, known: Option<(BeneficiaryId, i64)>) -> (BeneficiaryId, i64) {
    let id = known.map_or_else(|| BeneficiaryId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy())), |(id, _)| id);
    let number = format!("01234567{}", 10 + known.map_or(0, |(_, version)| version));
    let destination = Destination { bank_code: "058".to_owned(), account_number: number, account_name: "Jide Balogun".to_owned() };
    let sealed = commands::seal_beneficiary(till.store.vault(), id, &destination, Some("NG".to_owned())).unwrap();
    let kept = match known {
        None => till.store.write(caller, sealed, |tx, sealed| Box::pin(commands::add_beneficiary(tx, sealed))).await,
        Some((_, version)) => {
            let input = (version, sealed);
            till.store.write(caller, input, |tx, (version, sealed)| Box::pin(commands::change_beneficiary(tx, version, sealed))).await
        }
    };
    kept.map(|kept| (kept.id, kept.version)).unwrap()
}

async fn ask(till: &Till, beneficiary: BeneficiaryId, amount_minor: i64) -> Payout {
    let amount = Money::new(amount_minor, Currency::parse("NGN").unwrap());
    let wanted = PayoutWanted { beneficiary, amount, provider: None, narration: None };
    let asked = till.write(wanted, |tx, wanted| Box::pin(commands::request_payout(tx, wanted))).await.unwrap();
    till.settle().await;
    queries::payout(&mut till.store.read(), till.workspace, asked.id).await.unwrap()
}

async fn approve(till: &Till, caller: &Caller, id: PayoutId) -> Result<Payout, PaymentError> {
    till.store.write(caller, id, |tx, id| Box::pin(commands::approve_payout(tx, id))).await
}

/// Payouts up to a thousand go by themselves, and every account cools off for two hours.
async fn with_rules(till: &Till) {
    let limits = BTreeMap::from([("NGN".to_owned(), 100_000)]);
    let settings = PayoutSettings { version: 0, limits, runs_on_weekends: true, utc_offset_min: 0 };
    till.write(settings, |tx, settings| Box::pin(commands::set_payout_settings(tx, settings))).await.unwrap();
    let rule = risk::NewRule {
        name: "Cool-off".to_owned(),
        applies_to: risk::AppliesTo::Payout,
        condition: risk::Condition::CoolOff { hours: 2 },
        outcome: risk::Outcome::Hold,
        priority: 0,
        is_enabled: true,
    };
    till.write(rule, |tx, rule| Box::pin(async move { Ok(risk::commands::add(tx, rule).await?) })).await.unwrap();
}

#[tokio::test]
async fn who_changed_an_account_does_not_let_money_go_there_alone_while_it_cools_off() {
    let till = Till::new(&[Dialect::Monnify]).await;
    with_rules(&till).await;
    let (bola, ada) = (person(&till), person(&till));
    for is_changed in [false, true] {
        let mut account = account_by(&till, if is_changed { &till.caller } else { &bola }, None).await;
        if is_changed {
            account = account_by(&till, &bola, Some(account)).await;
        }
        let held = ask(&till, account.0, 1_000).await;
        assert_eq!((held.state, held.approvals_needed()), (PayoutState::RiskReview, 1), "{held:?}");
        let alone = approve(&till, &bola, held.id).await;
        assert!(matches!(alone, Err(PaymentError::Payout(PayoutRefusal::OwnAccount))), "{alone:?}");
        assert!(!commands::may_decide(&bola, &held) && commands::may_decide(&ada, &held));
        assert_eq!(approve(&till, &ada, held.id).await.unwrap().state, PayoutState::Approved);
        // Above the limit they may be one of two.
        let large = ask(&till, account.0, 100_001).await;
        assert_eq!(approve(&till, &bola, large.id).await.unwrap().state, PayoutState::RiskReview);
        assert_eq!(approve(&till, &ada, large.id).await.unwrap().state, PayoutState::Approved);
        // When the account has cooled off, its payout is like any other.
        till.pass(Duration::from_secs(2 * 3_600)).await;
        let later = ask(&till, account.0, 100_001).await;
        assert_eq!((later.account_by, later.approvals_needed()), (None, 2));
        assert_eq!(approve(&till, &bola, later.id).await.unwrap().approvals.len(), 1);
    }
    till.close().await;
}
