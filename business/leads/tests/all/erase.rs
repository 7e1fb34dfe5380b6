//! A person is given what is kept about them, and is forgotten.

use kernel::Fault;
use leads::commands::{self, Change};
use leads::{Email, LeadError, Person, Phone, Status, queries};

use crate::world::{ADA, Filled, World};

const GHOST: Filled = Filled {
    name: "Xanthippe Quill",
    email: "xq@ghost.example",
    phone: "+49 30 5550199",
    company: "Ghostworks",
    message: "zebra crossing",
    trap: "",
};

fn person(email: &str, phone: &str) -> Person {
    Person { email: Email::parse(email).ok(), phone: Phone::parse(phone).ok() }
}

async fn erase(world: &World, person: Person) -> Vec<leads::LeadId> {
    let erased =
        world.store.write(&world.member(), person, |tx, person| Box::pin(async move { commands::erase_person(tx, &person).await })).await;
    erased.unwrap().leads
}

/// Everything that the tables of leads hold, as text.
async fn everything(world: &World) -> String {
    store::statements! {
        LEADS = "select coalesce(name, '') as a, coalesce(email, '') as b, coalesce(phone, '') as c, coalesce(company, '') as d,
            coalesce(message, '') as e, search_text as f, coalesce(source_code, '') as g from leads";
        SUBMISSIONS = "select coalesce(name, '') as a, coalesce(email, '') as b, coalesce(phone, '') as c, coalesce(company, '') as d,
            coalesce(message, '') as e, coalesce(fingerprint, '') as f, coalesce(source_code, '') as g from leads_submissions";
        ADDRESSES = "select kind as a, address as b, '' as c, '' as d, '' as e, '' as f, '' as g from leads_addresses";
        TAGS = "select tag as a, '' as b, '' as c, '' as d, '' as e, '' as f, '' as g from leads_tags";
        NOTES = "select body as a, '' as b, '' as c, '' as d, '' as e, '' as f, '' as g from leads_notes";
        HISTORY = "select coalesce(from_value, '') as a, coalesce(to_value, '') as b, what as c, actor as d, '' as e, '' as f, '' as g from leads_history";
    }
    let mut all = String::new();
    for statement in STATEMENTS.iter().copied() {
        let mut read = world.store.read();
        let rows = store::Reads::rows(&mut read, statement, store::params![], |row| {
            ["a", "b", "c", "d", "e", "f", "g"].into_iter().map(|column| row.get::<String>(column)).collect::<Result<Vec<_>, _>>()
        });
        all.push_str(&rows.await.unwrap().concat().join("\n"));
        all.push('\n');
    }
    all.to_lowercase()
}

const TRACES: [&str; 12] = [
    "xanthippe",
    "quill",
    "xq@ghost",
    "ghost.example",
    "5550199",
    "ghostworks",
    "zebra",
    "second thought",
    "gilded",
    "whispered",
    "other@ghost",
    "7k3p9",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_leaves_counters_and_no_trace() {
    let world = World::new().await;
    let form = world.form(GHOST);
    let id = world.send(form.clone()).await.unwrap().lead;
    world.leave(Filled { email: "other@ghost.example", message: "second thought", ..GHOST }).await;
    world
        .store
        .write(&world.member(), id, |tx, id| {
            Box::pin(async move {
                commands::add_tag(tx, id, "gilded").await?;
                commands::remove_tag(tx, id, "gilded").await?;
                commands::add_tag(tx, id, "gilded two").await?;
                commands::add_note(tx, id, "they whispered").await?;
                commands::change(tx, id, 6, Change { status: Some(Status::Qualified), ..Change::default() }).await
            })
        })
        .await
        .unwrap();
    let before = everything(&world).await;
    for trace in TRACES {
        assert!(before.contains(trace), "{trace} was there");
    }
    assert_eq!(erase(&world, person("xq@ghost.example", "")).await, [id]);
    let after = everything(&world).await;
    for trace in TRACES {
        assert!(!after.contains(trace), "{trace} is still there");
    }
    let stub = world.lead(id).await;
    assert_eq!((stub.status, stub.submissions, stub.notes, stub.version), (Status::Qualified, 2, 1, 8));
    assert_eq!(stub.erased_at, Some(world.store.clock().now()));
    assert!(stub.consent.is_none() && stub.tags.is_empty());
    assert!(world.all().await.is_empty(), "the list leaves it out");
    assert!(erase(&world, person("xq@ghost.example", "+49305550199")).await.is_empty(), "there is nothing left to erase");

    // A form that was sent stays sent: a browser that sends it again brings nobody back.
    let again = world.send(form).await.unwrap();
    assert!(again.replayed && again.lead == id);
    assert!(everything(&world).await == after);
    // Nothing can be written about somebody who was erased; they may come back of their own will.
    let noted = world.store.write(&world.member(), id, |tx, id| Box::pin(async move { commands::add_note(tx, id, "Quill").await })).await;
    assert_eq!(noted.unwrap_err().code(), "lead_erased");
    let back = world.leave(GHOST).await;
    assert!(!back.again && back.lead != id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_by_an_address_of_a_later_form_too() {
    let world = World::new().await;
    let id = world.leave(GHOST).await.lead;
    world.leave(Filled { email: "other@ghost.example", ..GHOST }).await;
    let bystander = world.leave(ADA).await.lead;
    let file = queries::export_person(&mut world.store.read(), world.workspace, &person("other@ghost.example", "")).await.unwrap();
    assert_eq!((file.len(), file[0].lead.id, file[0].submissions.len()), (1, id, 2));
    assert_eq!(erase(&world, person("other@ghost.example", "")).await, [id]);
    assert!(queries::export_person(&mut world.store.read(), world.workspace, &person("", "+49305550199")).await.unwrap().is_empty());
    assert_eq!(world.lead(bystander).await.name, "Ada Lovelace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_and_an_erasure_at_once_leave_all_or_nothing() {
    let world = World::new().await;
    for _ in 0..5 {
        world.leave(GHOST).await;
        let (captured, _) = tokio::join!(world.send(world.form(GHOST)), erase(&world, person("xq@ghost.example", "")));
        let lead = world.lead(captured.unwrap().lead).await;
        assert_eq!(lead.erased_at.is_some(), lead.name.is_empty());
        erase(&world, person("xq@ghost.example", "")).await;
        let left = everything(&world).await;
        assert!(TRACES.iter().all(|trace| !left.contains(trace)), "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_needs_its_own_right() {
    let world = World::new().await;
    world.leave(GHOST).await;
    let reader = world.reader();
    let refused = world
        .store
        .write(&reader, person("xq@ghost.example", ""), |tx, person| Box::pin(async move { commands::erase_person(tx, &person).await }));
    assert!(matches!(refused.await, Err(LeadError::NotAllowed(_))));
}
