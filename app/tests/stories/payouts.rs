//! Payouts as people live them: a beneficiary is added, money is asked for, decided about by others, and goes.

use http::StatusCode;
use serde_json::json;

use crate::payments::{Till, once};

#[tokio::test(flavor = "multi_thread")]
async fn a_payout_is_shown_with_its_gates_and_decided_by_somebody_else() {
    let mut till = Till::open(sim::Dialect::Monnify).await;
    let mut ada = till.ada.clone();
    assert!(ada.page("/payments/payouts").await.expect(200).text().contains("No payouts yet"));
    let payee = json!({ "account_name": "Mary Somerville", "account_number": "0123456789", "bank_code": "058", "country": "NG" });
    let payee = ada.post("/v1/beneficiaries", payee).await.expect(201).at("/id");
    let wanted = json!({ "beneficiary": payee, "amount_minor": 50_000, "currency": "NGN", "narration": "For the orrery" });
    let id = ada.post("/v1/payouts", wanted).await.expect(201).at("/id");
    till.settle().await;
    let path = format!("/payments/payouts/{id}");
    let list = ada.page("/payments/payouts?state=risk_review").await.expect(200).text();
    assert!(list.contains("Mary Somerville") && list.contains("500.00") && list.contains("To decide"), "{list}");
    let own = ada.page(&path).await.expect(200).text();
    assert!(own.contains("two have to agree") && own.contains("somebody else has to approve it"), "{own}");
    assert!(!own.contains("/approve\"") && !own.contains("0123456789"), "neither a button that is refused nor the whole number: {own}");
    let refused = till.form(&ada, &format!("{path}/approve"), &[]).await.expect(409).text();
    assert!(refused.contains("Who asked for a payout"), "{refused}");

    let grace = till.world.join(&mut till.ada, "grace@engines.example", "admin").await;
    assert!(grace.clone().page(&path).await.expect(200).text().contains("/approve\""));
    till.form(&grace, &format!("{path}/approve"), &[]).await.expect(303);
    let again = till.form(&grace, &format!("{path}/approve"), &[]).await.expect(409).text();
    assert!(again.contains("You have approved this payout already"), "{again}");
    assert_eq!(ada.get(&format!("/v1/payouts/{id}")).await.expect(200).at("/state"), "risk_review", "one of two has agreed");
    till.form(&grace, &format!("{path}/refuse"), &[("reason", "The orrery never came")]).await.expect(303);
    let told = ada.page(&path).await.expect(200).text();
    for word in ["Refused", "The orrery never came", "It was approved", "agreed"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    till.form(&ada, &format!("{path}/cancel"), &[]).await.expect(409);
}

/// A till at Monnify with a float, where one person decides about less than 1,000.00 NGN.
async fn with_float() -> (Till, String) {
    let mut till = Till::open(sim::Dialect::Monnify).await;
    let owner = till.ada.clone();
    let provider = till.ada.get("/v1/payment-providers").await.expect(200).at("/items/0/id");
    let limits = [("version", "0"), ("currency", "NGN"), ("limit", "1000"), ("currency", ""), ("limit", ""), ("weekends", "on")];
    till.form(&owner, "/payments/float/settings", &limits).await.expect(303);
    let money = [("provider", provider.as_str()), ("amount", "5000"), ("currency", "ngn"), ("once", "money")];
    till.form(&owner, "/payments/float/top-up", &money).await.expect(303);
    till.form(&owner, "/payments/float/top-up", &money).await.expect(303);
    (till, provider)
}

/// Whose the account is, as the simulator of the bank has it: the last digit says it.
const JIDE: [(&str, &str); 4] = [("name", "Jide Balogun"), ("bank", "058"), ("number", "0123 456 789"), ("country", "ng")];

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_added_paid_and_forgotten_in_the_browser() {
    let (till, provider) = with_float().await;
    let (owner, mut ada) = (till.ada.clone(), till.ada.clone());
    let float = ada.page("/payments/float").await.expect(200).text();
    assert!(float.contains("5000.00") && float.contains("value=\"1000.00\""), "entered once: {float}");
    assert!(ada.page("/payments/payouts").await.expect(200).text().contains("Nobody is known yet"));
    let wrong = [("name", " "), ("bank", "0 5"), ("number", "4242424242424242"), ("country", "Nigeria")];
    let refused = till.form(&owner, "/payments/beneficiaries", &wrong).await.expect(422);
    assert!(!refused.text().contains("4242424242424242"), "a number is not sent back: {}", refused.text());
    let wrong = [("name", " "), ("bank", "0-5"), ("number", ""), ("country", "Nigeria")];
    let refused = till.form(&owner, "/payments/beneficiaries", &wrong).await.expect(422).text();
    for error in ["account-name-error", "account-bank-error", "account-number-error", "account-country-error", "value=\"0-5\""] {
        assert!(refused.contains(error), "{error} is not in {refused}");
    }
    let page = ada.page("/payments/beneficiaries").await.expect(200).text();
    let word = once(&page);
    let mut fields = JIDE.to_vec();
    fields.push(("once", &word));
    let added = till.form(&owner, "/payments/beneficiaries", &fields).await.expect(303);
    let again = till.form(&owner, "/payments/beneficiaries", &fields).await.expect(303);
    assert_eq!(added.header("location"), again.header("location"), "pressed twice it is added once");
    let path = added.header("location").split('?').next().unwrap().to_owned();
    let payee = path.rsplit('/').next().unwrap().to_owned();
    let shown = ada.page(&path).await.expect(200).text();
    assert!(shown.contains("058 · …6789 · NG") && shown.contains("Bank not asked yet") && !shown.contains("0123456789"), "{shown}");

    // What cannot be right is named, and typed anew is only what was wrong.
    let payouts = "/payments/payouts";
    let form = ada.page(&format!("{payouts}?to={payee}")).await.expect(200).text();
    assert!(form.contains(&format!("value=\"{payee}\" dir=\"auto\" selected")), "{form}");
    let long = "x".repeat(101);
    for (field, value, told) in [
        ("beneficiary", "", "to-error"),
        ("beneficiary", "pbn_00000000000000000000000000000000", "to-error"),
        ("amount", "-5", "amount-error"),
        ("amount", "1.234", "amount-error"),
        ("currency", "euros", "currency-error"),
        ("provider", "prv_00000000000000000000000000000000", "through-error"),
        ("narration", &long, "narration-error"),
    ] {
        let mut fields = vec![("beneficiary", payee.as_str()), ("amount", "250"), ("currency", "NGN"), ("narration", "For the orrery")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        let refused = till.form(&owner, payouts, &fields).await.expect(422).text();
        assert!(refused.contains(&format!("id=\"{told}\"")), "{field} {value}: {refused}");
        assert!(field == "amount" || refused.contains("value=\"250\""), "{field}: what was typed is still there");
    }
    assert!(ada.get("/v1/payouts").await.expect(200).json()["items"].as_array().unwrap().is_empty());

    // Below the limit, the bank has the name, and there is money: it goes.
    let word = once(&form);
    let fields = [
        ("beneficiary", payee.as_str()),
        ("amount", "250"),
        ("currency", "ngn"),
        ("provider", &provider),
        ("narration", "For the orrery"),
        ("once", &word),
    ];
    let asked = till.form(&owner, payouts, &fields).await.expect(303);
    till.form(&owner, payouts, &fields).await.expect(303);
    till.settle().await;
    let told = ada.page(asked.header("location")).await.expect(200).text();
    for word in [">Paid<", "250.00 NGN", "The bank says that the name is right", "For the orrery"] {
        assert!(told.contains(word), "{word} is not in {told}");
    }
    assert!(!told.contains("/retry\"") && !told.contains("/resolve\""), "there is nothing left to do: {told}");
    assert_eq!(ada.get("/v1/payouts").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    let shown = ada.page(&path).await.expect(200).text();
    assert!(shown.contains("Name is right") && shown.contains("250.00 NGN"), "{shown}");
    let asking = till.form(&owner, "/payments/float/ask", &[("provider", &provider), ("currency", "NGN")]).await.expect(303);
    till.settle().await;
    let float = ada.page(asking.header("location")).await.expect(200).text();
    assert!(float.contains("4750.00") && float.contains("monnify said: "), "{float}");

    till.form(&owner, &format!("{path}/remove"), &[]).await.expect(303);
    let gone = ada.page(&path).await.expect(200).text();
    assert!(gone.contains("Somebody who was erased") && !gone.contains("Balogun") && !gone.contains("/remove\""), "{gone}");
    till.form(&owner, &format!("{path}/remove"), &[]).await.expect(404);
    till.assert_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_account_ends_what_was_asked_for_and_begins_a_cool_off() {
    let (till, _) = with_float().await;
    let (owner, mut ada) = (till.ada.clone(), till.ada.clone());
    let payee = till.form(&owner, "/payments/beneficiaries", &JIDE).await.expect(303);
    let path = payee.header("location").split('?').next().unwrap().to_owned();
    let id = path.rsplit('/').next().unwrap().to_owned();
    // More than is there: it waits, and can be tried by hand.
    let much = [("beneficiary", id.as_str()), ("amount", "900"), ("currency", "NGN")];
    for _ in 0..6 {
        till.form(&owner, "/payments/payouts", &much).await.expect(303);
        till.settle().await;
    }
    let waits = ada.get("/v1/payouts").await.expect(200).at("/items/0/id");
    let waiting = ada.page(&format!("/payments/payouts/{waits}")).await.expect(200).text();
    assert!(waiting.contains("Waits for funds") && waiting.contains("Try it now"), "{waiting}");
    till.form(&owner, &format!("/payments/payouts/{waits}/retry"), &[]).await.expect(303);
    assert!(ada.page(&format!("/payments/payouts/{waits}")).await.expect(200).text().contains("Waits for funds"));

    let settings = [("version", "1"), ("currency", "NGN"), ("limit", "1000"), ("weekends", "on"), ("hours", "24"), ("offset", "+01:00")];
    for (field, value, told) in [("hours", "1000", "hours-error"), ("offset", "noon", "offset-error"), ("limit", "much", "limits-error")] {
        let mut wrong = settings.to_vec();
        wrong.retain(|(name, _)| *name != field);
        wrong.push((field, value));
        let refused = till.form(&owner, "/payments/float/settings", &wrong).await.expect(422).text();
        assert!(refused.contains(&format!("id=\"{told}\"")), "{field}: {refused}");
    }
    till.form(&owner, "/payments/float/settings", &settings).await.expect(303);
    let stale = till.form(&owner, "/payments/float/settings", &settings).await.expect(409).text();
    assert!(stale.contains("Somebody changed this"), "{stale}");
    let rules = ada.get("/v1/risk/rules").await.expect(200).json();
    assert_eq!(rules["items"][0]["condition"], json!({ "kind": "cool_off", "hours": 24 }), "{rules}");
    assert_eq!(ada.get("/v1/payout-settings").await.expect(200).json()["utc_offset_min"], 60);

    let other = [("version", "1"), ("name", "Jide Balogun"), ("bank", "044"), ("number", "1111111119"), ("country", "NG")];
    let changed = till.form(&owner, &path, &other).await.expect(303);
    let shown = ada.page(changed.header("location")).await.expect(200).text();
    assert!(shown.contains("044 · …1119 · NG") && shown.contains("changed less than 24 hours ago"), "{shown}");
    let late = till.form(&owner, &path, &other).await.expect(409).text();
    assert!(late.contains("Somebody changed this"), "{late}");
    till.form(&owner, &format!("/payments/payouts/{waits}/retry"), &[]).await;
    till.settle().await;
    let ended = ada.page(&format!("/payments/payouts/{waits}")).await.expect(200).text();
    assert!(ended.contains("Refused") && ended.contains("beneficiary_changed"), "{ended}");
    let fresh = [("beneficiary", id.as_str()), ("amount", "1"), ("currency", "NGN")];
    let held = till.form(&owner, "/payments/payouts", &fresh).await.expect(303);
    let held = ada.page(held.header("location")).await.expect(200).text();
    assert!(held.contains("To decide") && held.contains("Monitoring holds it"), "{held}");
    // Without hours the rule is out of force, and stays there for the next time.
    let without = [("version", "2"), ("currency", "NGN"), ("limit", "1000"), ("weekends", "on"), ("hours", "")];
    till.form(&owner, "/payments/float/settings", &without).await.expect(303);
    assert_eq!(ada.get("/v1/risk/rules").await.expect(200).json()["items"][0]["is_enabled"], false);
    assert!(!ada.page(&path).await.expect(200).text().contains("cool-off"));
    till.assert_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_time_password_is_passed_on_and_what_is_unknown_is_resolved_by_another_person() {
    let (till, provider) = with_float().await;
    let (owner, mut ada) = (till.ada.clone(), till.ada.clone());
    let known = ada.get("/v1/payment-providers").await.expect(200).json()["items"][0].clone();
    let mut settings = known["settings"].clone();
    settings["source_account"] = json!("8000000002");
    let edit = json!({ "version": known["version"], "settings": settings });
    let mended = ada.patch(&format!("/v1/payment-providers/{provider}"), edit).await;
    // A provider with money under way may refuse another account; then its settings stand as they were.
    if mended.status != StatusCode::OK {
        assert_eq!(mended.status, StatusCode::CONFLICT, "{}", mended.text());
        return;
    }
    let payee = till.form(&owner, "/payments/beneficiaries", &JIDE).await.expect(303);
    let id = payee.header("location").split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    let asked = till.form(&owner, "/payments/payouts", &[("beneficiary", &id), ("amount", "300"), ("currency", "NGN")]).await.expect(303);
    till.settle().await;
    let path = asked.header("location").split('?').next().unwrap().to_owned();
    let waits = ada.page(&path).await.expect(200).text();
    assert!(waits.contains("Needs a one-time password") && waits.contains("autocomplete=\"one-time-code\""), "{waits}");
    for wrong in ["", "12 34 56 78", "<script>alert(1)</script>", &"9".repeat(21)] {
        let refused = till.form(&owner, &format!("{path}/confirm"), &[("otp", wrong)]).await.expect(422).text();
        assert!(refused.contains("id=\"otp-error\"") && !refused.contains("alert(1)"), "{refused}");
    }
    let viewer = till.world.join(&mut ada, "viewer@engines.example", "viewer").await;
    till.form(&viewer, &format!("{path}/confirm"), &[("otp", "123456")]).await.expect(403);
    assert!(!viewer.clone().page(&path).await.expect(200).text().contains("name=\"otp\""));
    // A wrong one leaves it waiting, the right one lets it go; neither is shown anywhere.
    till.form(&owner, &format!("{path}/confirm"), &[("otp", "000000")]).await.expect(303);
    till.settle().await;
    let still = ada.page(&path).await.expect(200).text();
    assert!(still.contains("Needs a one-time password") && !still.contains("000000\""), "{still}");
    till.form(&owner, &format!("{path}/confirm"), &[("otp", "123456")]).await.expect(303);
    till.settle().await;
    assert!(ada.page(&path).await.expect(200).text().contains(">Paid<"));
    till.form(&owner, &format!("{path}/confirm"), &[("otp", "123456")]).await.expect(409);
    till.form(&owner, &format!("{path}/resolve"), &[("paid", "true"), ("reason", "The bank told me")]).await.expect(409);
    till.form(&owner, &format!("{path}/resolve"), &[("paid", "perhaps"), ("reason", "x")]).await.expect(422);
    till.assert_books().await;
}
