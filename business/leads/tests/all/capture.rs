//! Forms that come in: once, in order, again and at once.

use std::time::Duration;

use kernel::{Caller, Fault};
use leads::queries;
use leads::{DEFAULT_CONSENT, FormError, LeadError, Source, Status};

use crate::world::{ADA, Filled, World, workspace};

#[tokio::test(flavor = "multi_thread")]
async fn a_form_becomes_a_lead_with_what_was_agreed_to() {
    let world = World::new().await;
    let captured = world.leave(Filled { phone: "+44 20 7946 0000", company: "Engines", ..ADA }).await;
    assert!(!captured.again && !captured.replayed && !captured.suspected_spam);
    let lead = world.lead(captured.lead).await;
    assert_eq!((lead.version, lead.status, lead.submissions), (1, Status::New, 1));
    assert_eq!(lead.name, "Ada Lovelace");
    assert_eq!(lead.email.unwrap().as_str(), "ada@example.com");
    assert_eq!(lead.phone.unwrap().as_str(), "+442079460000");
    assert_eq!((lead.company.as_deref(), lead.message.as_deref()), (Some("Engines"), Some("Call me")));
    assert_eq!(lead.source, Source::new("card", "card_1").by_code("7K3P9"));
    assert_eq!(lead.assigned_to, Some(world.owner));
    let consent = lead.consent.unwrap();
    assert_eq!((consent.version, consent.text.as_str(), consent.at), (0, DEFAULT_CONSENT, world.store.clock().now()));
    let file = queries::file(&mut world.store.read(), world.workspace, captured.lead).await.unwrap();
    assert_eq!((file.submissions.len(), file.history.len()), (1, 1));
    assert_eq!((file.history[0].what.as_str(), file.history[0].actor.as_str()), ("captured", "visitor"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_sent_twice_makes_one_lead_and_answers_alike() {
    let world = World::new().await;
    let form = world.form(ADA);
    let first = world.send(form.clone()).await.unwrap();
    let second = world.send(form.clone()).await.unwrap();
    assert_eq!(first.lead, second.lead);
    assert!(second.replayed && !second.again);
    assert_eq!(world.lead(first.lead).await.submissions, 1);
    let mut other = form;
    other.details.message = Some("Something else".to_owned());
    let refused = world.send(other).await.unwrap_err();
    assert!(matches!(refused, LeadError::Form(FormError::SentAlready)));
    assert_eq!(refused.code(), "form_already_sent");
    assert_eq!(world.all().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_sent_many_times_at_once_makes_one_lead() {
    let world = World::new().await;
    let form = world.form(ADA);
    let sends = (0..8).map(|_| world.send(form.clone()));
    let captured: Vec<_> = futures_util::future::join_all(sends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(captured.iter().filter(|c| !c.replayed).count(), 1);
    assert!(captured.iter().all(|c| c.lead == captured[0].lead));
    assert_eq!(world.lead(captured[0].lead).await.submissions, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_captures_of_one_person_at_once_one_makes_the_lead_and_the_other_adds_to_it() {
    let world = World::new().await;
    for round in 0..10_u8 {
        let email: &'static str = Box::leak(format!("racer{round}@example.com").into_boxed_str());
        let phone: &'static str = Box::leak(format!("+4930123450{round}").into_boxed_str());
        let forms = [
            world.form(Filled { email, phone: "", ..ADA }),
            world.form(Filled { email, phone, ..ADA }),
            world.form(Filled { email, phone: "", company: "Engines", ..ADA }),
            world.form(Filled { email, phone, message: "Again", ..ADA }),
        ];
        let captured: Vec<_> =
            futures_util::future::join_all(forms.map(|form| world.send(form))).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(captured.iter().filter(|c| !c.again).count(), 1, "one made it");
        assert!(captured.iter().all(|c| c.lead == captured[0].lead));
        let lead = world.lead(captured[0].lead).await;
        assert_eq!((lead.submissions, lead.version), (4, 4));
        assert_eq!(lead.phone.unwrap().as_str(), phone);
        assert_eq!(lead.company.as_deref(), Some("Engines"));
    }
    assert_eq!(world.all().await.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn captures_whose_addresses_cross_do_not_wait_in_a_circle() {
    let world = World::new().await;
    let (a, b, p, q) = ("a@example.com", "b@example.com", "+493011111", "+493022222");
    let crossed = [(a, p), (b, q), (a, q), (b, p), (a, p), (b, p)];
    let forms = crossed.map(|(email, phone)| world.form(Filled { email, phone, ..ADA }));
    let captured: Vec<_> =
        futures_util::future::join_all(forms.map(|form| world.send(form))).await.into_iter().map(Result::unwrap).collect();
    let total: i64 = world.all().await.iter().map(|lead| lead.submissions).sum();
    assert_eq!(total, captured.len() as i64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_form_fills_gaps_and_overwrites_nothing() {
    let world = World::new().await;
    let first = world.leave(Filled { company: "Engines", ..ADA }).await;
    let again = world
        .leave(Filled { name: "A. King", email: "ADA@example.com", phone: "030 123456", company: "Other", message: "Second", ..ADA })
        .await;
    assert_eq!(again.lead, first.lead);
    assert!(again.again && !again.replayed);
    assert_eq!(again.version, 2);
    let lead = world.lead(first.lead).await;
    assert_eq!((lead.name.as_str(), lead.company.as_deref(), lead.message.as_deref()), ("Ada Lovelace", Some("Engines"), Some("Call me")));
    assert_eq!(lead.phone.unwrap().as_str(), "030123456");
    assert_eq!(lead.submissions, 2);
    let file = queries::file(&mut world.store.read(), world.workspace, first.lead).await.unwrap();
    let messages: Vec<_> = file.submissions.iter().filter_map(|s| s.message.as_deref()).collect();
    assert!(messages.contains(&"Second") && messages.contains(&"Call me"), "what was left is kept as it was left");
    assert!(file.history.iter().any(|h| h.what == "submitted_again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_known_by_email_first_and_by_phone_else() {
    let world = World::new().await;
    let by_email = world.leave(Filled { email: "a@example.com", phone: "+493011111", ..ADA }).await;
    let by_phone = world.leave(Filled { email: "", phone: "+493022222", ..ADA }).await;
    assert_ne!(by_email.lead, by_phone.lead);
    for (email, phone, known) in [
        ("a@example.com", "+493022222", Some(by_email.lead)),
        ("a@example.com", "", Some(by_email.lead)),
        ("", "0049 30 11111", Some(by_email.lead)),
        ("b@example.com", "+493022222", Some(by_phone.lead)),
        // The address that came with the number is known from now on.
        ("b@example.com", "", Some(by_phone.lead)),
        ("c@example.com", "+493033333", None),
    ] {
        let captured = world.leave(Filled { email, phone, ..ADA }).await;
        assert_eq!(captured.again.then_some(captured.lead), known, "{email} {phone}");
    }
    assert_eq!(world.all().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_is_kept_and_flagged_and_takes_nothing_over() {
    let world = World::new().await;
    let trapped = world.leave(Filled { trap: "x", email: "bot@example.com", ..ADA }).await;
    assert!(trapped.suspected_spam);
    assert!(world.all().await.is_empty(), "the list of leads leaves it out");
    assert!(world.lead(trapped.lead).await.suspected_spam);
    let file = queries::file(&mut world.store.read(), world.workspace, trapped.lead).await.unwrap();
    assert!(file.history.iter().any(|h| h.what == "suspected" && h.to.as_deref() == Some("trapped")), "it says why");
    // A person who looked like a program once is told of when they write like a person.
    let cleared = world.leave(Filled { email: "bot@example.com", ..ADA }).await;
    assert!(cleared.again && !cleared.suspected_spam);
    assert!(!world.lead(trapped.lead).await.suspected_spam);

    let known = world.leave(ADA).await;
    let claim = world.leave(Filled { phone: "+493099999", trap: "x", company: "Bots", ..ADA }).await;
    assert_eq!((claim.lead, claim.suspected_spam), (known.lead, true));
    let lead = world.lead(known.lead).await;
    assert_eq!((lead.phone, lead.company, lead.suspected_spam, lead.submissions), (None, None, false, 2));
    let other = world.leave(Filled { email: "", phone: "+493099999", ..ADA }).await;
    assert!(!other.again, "the number that a suspect claimed is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_page_or_time_is_refused() {
    let world = World::new().await;
    let form = world.form(ADA);
    let now = world.store.clock().now();
    let proof = world.key.check(world.workspace, &world.source, &form.token, now).unwrap();
    for (place, source, visited) in [
        (workspace(2), world.source.clone(), workspace(2)),
        (world.workspace, Source::new("card", "card_2"), world.workspace),
        (world.workspace, world.source.clone(), workspace(2)),
    ] {
        let input = (place, source, form.details.clone(), proof.clone());
        let visitor = Caller::Visitor { workspace: visited };
        let sent = world.store.write(&visitor, input, |tx, (place, source, new, proof)| {
            Box::pin(async move { leads::commands::capture(tx, place, source, None, new, proof).await })
        });
        assert!(matches!(sent.await, Err(LeadError::Form(FormError::Forged))));
    }
    world.store.clock().advance(Duration::from_secs(24 * 3600));
    assert!(matches!(world.send(form).await, Err(LeadError::Form(FormError::Expired))));
    assert!(world.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_person_is_another_lead_in_another_workspace() {
    let mut world = World::new().await;
    let here = world.leave(ADA).await;
    world.workspace = workspace(2);
    let there = world.leave(ADA).await;
    assert!(!there.again);
    assert_ne!(here.lead, there.lead);
    let read = queries::get(&mut world.store.read(), world.workspace, here.lead).await;
    assert!(matches!(read, Err(LeadError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_keeps_the_consent_that_was_shown_when_the_text_changes() {
    let world = World::new().await;
    let before = world.form(ADA);
    let put = |text: &'static str| {
        let member = world.member();
        let store = &world.store;
        async move { store.write(&member, text, |tx, text| Box::pin(async move { leads::commands::put_consent(tx, text).await })).await }
    };
    let new = put("Call me about engines.").await.unwrap();
    assert_eq!(new.version, 1);
    assert_eq!(put("Call me about engines.\n").await.unwrap().version, 1, "the same text is no new version");
    assert_eq!(put("Write to me.").await.unwrap().version, 2);
    assert!(put(" ").await.is_err());
    let old = world.send(before).await.unwrap();
    let consent = world.lead(old.lead).await.consent.unwrap();
    assert_eq!((consent.version, consent.text.as_str()), (0, DEFAULT_CONSENT));
    let current = queries::current_consent(&mut world.store.read(), world.workspace).await.unwrap();
    assert_eq!((current.version, current.text.as_str()), (2, "Write to me."));
    let reader = world.reader();
    let refused = world.store.write(&reader, (), |tx, ()| Box::pin(async move { leads::commands::put_consent(tx, "x").await })).await;
    assert!(matches!(refused, Err(LeadError::NotAllowed(_))));
}
