//! Who is told of a lead, once.

use std::sync::{Arc, Mutex};

use kernel::{Caller, MemberId};
use leads::commands::{self, Change};
use leads::events::{LeadCaptured, LeadChanged};
use leads::{Email, Person, TellChanged, TellDeps, TellOwner};
use notifications::{DeliverWebhook, SendEmail};
use outbox::{Entry, NewJob, Outbox};

use crate::world::{ADA, Filled, World};

/// What was handed to the senders.
type Told = Arc<Mutex<Vec<String>>>;

fn reactions(entry: &Entry) -> Vec<NewJob> {
    let captured = entry.decode::<LeadCaptured>().and_then(|fact| TellOwner::after(&fact)).map(|job| NewJob::of(entry.workspace, &job));
    let changed = entry.decode::<LeadChanged>().map(|fact| NewJob::of(entry.workspace, &TellChanged::after(&fact)));
    captured.into_iter().chain(changed).collect()
}

async fn outbox(world: &World, told: &Told) -> Outbox {
    let deps = TellDeps { lead_page_url: "https://tessera.example/leads/".into() };
    let (mails, events) = (told.clone(), told.clone());
    Outbox::builder(world.store.clone())
        .lane("leads", 4)
        .lane(<SendEmail as outbox::Job>::LANE, 4)
        .lane(<DeliverWebhook as outbox::Job>::LANE, 4)
        .job::<TellOwner, _>(move |job, context| Box::pin(leads::tell_owner(deps.clone(), job, context)))
        .job::<TellChanged, _>(|job, context| Box::pin(leads::tell_changed(job, context)))
        .job::<SendEmail, _>(move |job, _| {
            mails.lock().unwrap().push(format!("mail {}", job.message));
            Box::pin(async { Ok(()) })
        })
        .job::<DeliverWebhook, _>(move |job, _| {
            events.lock().unwrap().push(format!("event {}", job.event));
            Box::pin(async { Ok(()) })
        })
        .reactions(reactions)
        .by_hand()
        .start()
        .await
        .unwrap()
}

/// Runs what is due and says how many mails and events went out since the last time.
async fn heard(outbox: &Outbox, told: &Told) -> (usize, usize) {
    outbox::testing::drain(outbox).await.unwrap();
    let said = std::mem::take(&mut *told.lock().unwrap());
    let mails = said.iter().filter(|line| line.starts_with("mail ")).count();
    (mails, said.len() - mails)
}

async fn recipients(world: &World) -> Vec<String> {
    let messages = notifications::messages(&mut world.store.read(), world.workspace, None, 100).await.unwrap();
    assert!(messages.iter().all(|message| message.template == "lead_captured"));
    let mut recipients: Vec<_> = messages.into_iter().map(|message| message.recipient).collect();
    recipients.sort();
    recipients
}

async fn listen(world: &World) {
    let grants = kernel::Grants::of([notifications::grants::WRITE]);
    let caller = Caller::Person { workspace: world.workspace, member: world.owner, grants };
    let sealed = world.store.vault().seal(&[7; 32], "test");
    world
        .store
        .write(&caller, sealed, |tx, sealed_secret| {
            Box::pin(async move {
                let (id, url) = (tx.new_id(), "https://hooks.example.com/leads".to_owned());
                let event_types = vec!["lead.captured".to_owned(), "lead.changed".to_owned()];
                let new = notifications::NewEndpoint { id, url, description: String::new(), event_types, sealed_secret };
                notifications::create_endpoint(tx, &gateway::AllowedNetworks::default(), new).await
            })
        })
        .await
        .unwrap();
}

async fn leave_for(world: &World, filled: Filled, owner: Option<MemberId>) -> leads::commands::Captured {
    world.send_for(world.form(filled), owner).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_and_the_webhooks_hear_of_each_form_once() {
    let world = World::new().await;
    let told = Told::default();
    let outbox = outbox(&world, &told).await;
    listen(&world).await;
    let form = world.form(ADA);
    world.send(form.clone()).await.unwrap();
    world.send(form).await.unwrap();
    assert_eq!(heard(&outbox, &told).await, (1, 1), "a form that was sent twice is told once");
    assert_eq!(recipients(&world).await, [world.owner.to_string()]);
    // Through a colleague's card: the colleague hears of it, though the lead stays with whom it is.
    let colleague = world.colleague().await;
    let again = leave_for(&world, Filled { message: "Me again", ..ADA }, Some(colleague)).await;
    assert!(again.again);
    assert_eq!(heard(&outbox, &told).await, (1, 1));
    assert!(recipients(&world).await.contains(&colleague.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_a_suspect_until_a_person_writes() {
    let world = World::new().await;
    let told = Told::default();
    let outbox = outbox(&world, &told).await;
    listen(&world).await;
    world.leave(Filled { trap: "x", ..ADA }).await;
    assert_eq!(heard(&outbox, &told).await, (0, 0));
    world.leave(ADA).await;
    assert_eq!(heard(&outbox, &told).await, (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_of_somebody_who_left_the_owners_hear() {
    let world = World::new().await;
    let told = Told::default();
    let outbox = outbox(&world, &told).await;
    leave_for(&world, ADA, Some(crate::world::stranger())).await;
    assert_eq!(heard(&outbox, &told).await, (1, 0));
    assert_eq!(recipients(&world).await, [world.owner.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_told_to_webhooks_only() {
    let world = World::new().await;
    let told = Told::default();
    let outbox = outbox(&world, &told).await;
    listen(&world).await;
    let id = leave_for(&world, ADA, None).await.lead;
    assert_eq!(heard(&outbox, &told).await, (0, 1), "a lead without an owner is told to programs");
    let change = Change { status: Some(leads::Status::Contacted), tags: Some(vec!["fair".to_owned()]), ..Change::default() };
    let (store, member) = (&world.store, world.member());
    store
        .write(&member, (id, change), |tx, (id, change)| Box::pin(async move { commands::change(tx, id, 1, change).await }))
        .await
        .unwrap();
    assert_eq!(heard(&outbox, &told).await, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_person_nobody_hears_and_waiting_mail_is_blanked() {
    let world = World::new().await;
    let told = Told::default();
    let outbox = outbox(&world, &told).await;
    let erase = || async {
        let person = Person { email: Email::parse("ada@example.com").ok(), phone: None };
        let (store, member) = (&world.store, world.member());
        let erased = store.write(&member, person, |tx, person| Box::pin(async move { commands::erase_person(tx, &person).await }));
        assert_eq!(erased.await.unwrap().leads.len(), 1);
    };
    world.leave(ADA).await;
    erase().await;
    assert_eq!(heard(&outbox, &told).await, (0, 0));
    world.leave(ADA).await;
    assert_eq!(heard(&outbox, &told).await, (1, 0));
    erase().await;
    let messages = notifications::messages(&mut world.store.read(), world.workspace, None, 10).await.unwrap();
    assert!(messages.iter().all(|message| message.state == notifications::MessageState::Failed), "what waits about them is not sent");
}
