//! What is kept about a person, and what is left of them.

use kernel::Caller;
use people::{PeopleError, Role, commands, queries};
use store::{Reads, Sql, params};

use crate::world::{SYSTEM, World, agent, email, found, name};

static PERSONAL: Sql = Sql::new("select count(*) from people_persons where email like $1 or name like $1");
static INVITED: Sql = Sql::new("select count(*) from people_invitations where email like $1");
static FACTS: Sql = Sql::new("select count(*) from outbox_log where payload like $1");
static AUDITED: Sql = Sql::new("select count(*) from audit_log where details like $1");

static GHOSTS: Sql = Sql::new(
    "select count(*) from people_persons p where p.erased_at is not null
     and (exists (select 1 from people_members m where m.person = p.id and m.left_at is null)
     or exists (select 1 from people_sessions s where s.person = p.id))",
);

async fn mentions(world: &World, sql: &'static Sql, text: &str) -> i64 {
    let pattern = format!("%{text}%");
    world.store.read().row(sql, params![pattern], |row| row.get(0)).await.unwrap().unwrap()
}

async fn erase(world: &World, person: people::PersonId) -> Result<(), PeopleError> {
    world.as_caller(&SYSTEM, person, |tx, person| Box::pin(async move { commands::erase(tx, person).await })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_what_is_kept_about_them_and_no_secret() {
    let world = World::new().await;
    let signed_in = world.sign_in(&world.owner).await;
    let kept = queries::export(&mut world.store.read(), world.owner.person).await.unwrap();
    assert_eq!(kept["person"]["email"], "ada@example.com");
    assert_eq!(kept["memberships"][0]["role"], "owner");
    assert_eq!(kept["sessions"][0]["id"], signed_in.session.to_string());
    assert!(!kept.to_string().contains("hash") && !kept.to_string().contains(&signed_in.token));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_erased_person_only_a_number_is_left() {
    let world = World::new().await;
    let grace = world.add("grace@example.com", Role::Member).await;
    let (_, eve) = found(&world.store, "Second", "eve@example.com").await;
    let input = (world.links.clone(), email("grace@example.com"));
    let eve = world.caller(&eve);
    let invited = world
        .as_caller(&eve, input, |tx, (links, email)| Box::pin(async move { commands::invite(tx, &links, &email, Role::Viewer).await }));
    invited.await.unwrap();
    world.sign_in(&grace).await;
    erase(&world, grace.person).await.unwrap();
    assert_eq!(mentions(&world, &PERSONAL, "grace").await, 0);
    assert_eq!(mentions(&world, &INVITED, "grace").await, 0);
    assert!(queries::person_by_email_everywhere(&mut world.store.read(), &email("grace@example.com")).await.unwrap().is_none());
    assert!(queries::sessions_everywhere(&mut world.store.read(), grace.person).await.unwrap().is_empty());
    assert!(matches!(erase(&world, grace.person).await, Err(PeopleError::NotFound { .. })));
    let again = world.add("grace@example.com", Role::Member).await;
    assert!(again.person != grace.person, "the address is free for somebody new");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_erased_while_joining_another_workspace_is_a_member_of_none() {
    let world = World::new().await;
    let (_, eve) = found(&world.store, "Second", "eve@example.com").await;
    let eve = world.caller(&eve);
    for round in 0..15 {
        let address = format!("grace{round}@example.com");
        let grace = world.add(&address, Role::Member).await;
        let input = (world.links.clone(), email(&address));
        let invited = world
            .as_caller(&eve, input, |tx, (links, email)| Box::pin(async move { commands::invite(tx, &links, &email, Role::Viewer).await }));
        invited.await.unwrap();
        let token = world.mailed_tokens(&address).await.remove(0);
        let accepted = people::accept_invitation(&world.store, &world.passwords, &token, name("Grace"), None, agent());
        let (erased, _) = tokio::join!(erase(&world, grace.person), accepted);
        erased.unwrap();
        assert_eq!(world.count(&GHOSTS).await, 0, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_is_not_erased() {
    let world = World::new().await;
    assert!(matches!(erase(&world, world.owner.person).await, Err(PeopleError::LastOwner)));
    assert_eq!(mentions(&world, &PERSONAL, "ada").await, 1, "nothing was done by halves");
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_and_the_audit_trail_name_nobody() {
    let world = World::new().await;
    let grace = world.add("grace@example.com", Role::Member).await;
    world.sign_in(&grace).await;
    let profile = commands::Profile { name: Some(people::PersonName::parse("Grace Hopper").unwrap()), ..Default::default() };
    let caller: Caller = world.caller(&grace);
    world.as_caller(&caller, profile, |tx, profile| Box::pin(async move { commands::change_profile(tx, profile).await })).await.unwrap();
    assert!(mentions(&world, &AUDITED, "").await >= 4);
    for word in ["grace", "Grace", "Hopper", "example.com", "Ada"] {
        assert_eq!(mentions(&world, &FACTS, word).await + mentions(&world, &AUDITED, word).await, 0, "{word}");
    }
}
