//! Signing in, and what opens no door.

use std::time::Duration;

use gateway::Doorkeeper as _;
use people::{PeopleError, queries};
use store::Sql;

use crate::world::{SYSTEM, World, agent, email, found};

static SESSIONS: Sql = Sql::new("select count(*) from people_sessions");
static LINKS: Sql = Sql::new("select count(*) from people_links");

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The owner sets this password with a session fresh from a link.
async fn set_password(world: &World, password: &str) -> people::SignedIn {
    let signed_in = world.sign_in(&world.owner).await;
    change(world, &signed_in, None, password).await.unwrap();
    signed_in
}

async fn change(world: &World, signed_in: &people::SignedIn, current: Option<&str>, new: &str) -> Result<(), PeopleError> {
    let session = queries::session_by_token_everywhere(&mut world.store.read(), &signed_in.token).await.unwrap().unwrap();
    people::change_password(&world.store, &world.passwords, &world.owner(), session, current, new).await
}

async fn with_password(world: &World, address: &str, password: &str) -> Result<people::SignedIn, PeopleError> {
    people::sign_in_with_password(&world.store, &world.passwords, address, password, agent()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_use_one_link_at_once_one_gets_a_session() {
    let world = World::new().await;
    let token = world.link_for(&world.owner).await;
    let redeem = || people::redeem_sign_in_link(&world.store, &token, agent());
    let (a, b, c) = tokio::join!(redeem(), redeem(), redeem());
    let outcomes = [a, b, c];
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
    assert!(outcomes.iter().all(|o| matches!(o, Ok(_) | Err(PeopleError::LinkSpent))), "{outcomes:?}");
    assert_eq!(world.count(&SESSIONS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_old_or_made_up_opens_nothing() {
    let world = World::new().await;
    let token = world.link_for(&world.owner).await;
    world.store.clock().advance(15 * MINUTE);
    for token in [token.as_str(), "", "x", &"A".repeat(43), &"A".repeat(100_000)] {
        assert!(matches!(people::redeem_sign_in_link(&world.store, token, agent()).await, Err(PeopleError::LinkSpent)));
    }
    assert_eq!(world.count(&SESSIONS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_for_a_link_tells_nothing_about_the_address() {
    let world = World::new().await;
    for address in ["ada@example.com", "nobody@example.com"] {
        people::request_sign_in_link(&world.store, &world.links, &email(address)).await.unwrap();
    }
    assert_eq!(world.count(&LINKS).await, 2, "both write a row, so that both take as long");
    let tokens = world.mailed_tokens("ada@example.com").await;
    assert_eq!(tokens.len(), 1);
    assert!(world.mailed_tokens("nobody@example.com").await.is_empty());
    let signed_in = people::redeem_sign_in_link(&world.store, &tokens[0], agent()).await.unwrap();
    assert_eq!(signed_in.member, world.owner.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_mailbox_is_flooded_with_links() {
    let world = World::new().await;
    for _ in 0..8 {
        people::request_sign_in_link(&world.store, &world.links, &email("ada@example.com")).await.unwrap();
    }
    assert_eq!(world.mailed_tokens("ada@example.com").await.len(), 5);
    world.store.clock().advance(61 * MINUTE);
    people::request_sign_in_link(&world.store, &world.links, &email("ada@example.com")).await.unwrap();
    assert_eq!(world.mailed_tokens("ada@example.com").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_signs_in_and_every_refusal_is_the_same() {
    let world = World::new().await;
    assert!(matches!(with_password(&world, "ada@example.com", "").await, Err(PeopleError::SignInRefused)), "no password is set");
    set_password(&world, "correct horse").await;
    let signed_in = with_password(&world, " Ada@Example.com", "correct horse").await.unwrap();
    assert_eq!((signed_in.member, signed_in.workspace), (world.owner.id, world.workspace));
    let mut words = Vec::new();
    for (address, password) in [
        ("ada@example.com", "correct horsf"),
        ("ada@example.com", ""),
        ("nobody@example.com", "correct horse"),
        ("not an address", "correct horse"),
        ("ada@example.com\0", "correct horse"),
    ] {
        let refused = with_password(&world, address, password).await.unwrap_err();
        assert!(matches!(refused, PeopleError::SignInRefused), "{address}: {refused:?}");
        words.push(refused.to_string());
    }
    words.dedup();
    assert_eq!(words.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn changing_the_password_needs_the_old_one_and_ends_all_other_sessions() {
    let world = World::new().await;
    let first = set_password(&world, "correct horse").await;
    let elsewhere = with_password(&world, "ada@example.com", "correct horse").await.unwrap();
    let link = world.link_for(&world.owner).await;
    assert!(matches!(change(&world, &elsewhere, Some("wrong horse"), "battery staple").await, Err(PeopleError::ProofNeeded)));
    assert!(matches!(change(&world, &elsewhere, None, "battery staple").await, Err(PeopleError::ProofNeeded)));
    world.store.clock().advance(16 * MINUTE);
    assert!(matches!(change(&world, &first, None, "battery staple").await, Err(PeopleError::ProofNeeded)), "the link is long ago");
    assert!(matches!(change(&world, &elsewhere, Some("correct horse"), "short").await, Err(PeopleError::Field(_))));
    assert!(matches!(change(&world, &elsewhere, Some("correct horse"), "ada@example.com").await, Err(PeopleError::Field(_))));

    let door = world.door();
    assert!(door.by_session(&first.token).await.unwrap().is_some());
    change(&world, &elsewhere, Some("correct horse"), "battery staple").await.unwrap();
    assert!(door.by_session(&first.token).await.unwrap().is_none(), "at once, although it was remembered");
    assert!(door.by_session(&elsewhere.token).await.unwrap().is_some());
    assert!(people::redeem_sign_in_link(&world.store, &link, agent()).await.is_err());
    assert!(with_password(&world, "ada@example.com", "correct horse").await.is_err());
    assert!(with_password(&world, "ada@example.com", "battery staple").await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_one_password_at_once_one_wins() {
    let world = World::new().await;
    let signed_in = world.sign_in(&world.owner).await;
    let (a, b) = tokio::join!(change(&world, &signed_in, None, "correct horse"), change(&world, &signed_in, None, "battery staple"));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let opens = if a.is_ok() { "correct horse" } else { "battery staple" };
    assert!(with_password(&world, "ada@example.com", opens).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_of_an_old_password_slips_in_while_it_is_changed() {
    let world = World::new().await;
    let mine = set_password(&world, "password number 0").await;
    for n in 0..4 {
        let (old, new) = (format!("password number {n}"), format!("password number {}", n + 1));
        let (entered, changed) = tokio::join!(with_password(&world, "ada@example.com", &old), change(&world, &mine, Some(&old), &new));
        changed.unwrap();
        if let Ok(entered) = entered {
            assert!(world.door().by_session(&entered.token).await.unwrap().is_none());
        }
    }
    assert_eq!(world.count(&SESSIONS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lives_while_it_is_used_and_ends_thirty_days_after() {
    let world = World::new().await;
    let signed_in = world.sign_in(&world.owner).await;
    let door = world.door();
    for _ in 0..3 {
        world.store.clock().advance(20 * DAY);
        assert!(door.by_session(&signed_in.token).await.unwrap().is_some());
        // The note that it was used is written on the side.
        let seen = async {
            loop {
                let now = world.store.clock().now();
                let session = queries::session_by_token_everywhere(&mut world.store.read(), &signed_in.token).await.unwrap();
                if session.is_some_and(|session| session.seen_at == now) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), seen).await.expect("the note is written");
    }
    world.store.clock().advance(30 * DAY);
    assert!(door.by_session(&signed_in.token).await.unwrap().is_none());
    assert!(queries::session_by_token_everywhere(&mut world.store.read(), &signed_in.token).await.unwrap().is_none());
    let swept = world.as_caller(&SYSTEM, (), |tx, ()| Box::pin(async move { people::commands::sweep_everywhere(tx).await }));
    assert!(swept.await.unwrap() >= 1);
    assert_eq!(world.count(&SESSIONS).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_holds_at_once_and_touches_nobody_elses_session() {
    let world = World::new().await;
    let other = world.add("grace@example.com", people::Role::Member).await;
    let (mine, theirs) = (world.sign_in(&world.owner).await, world.sign_in(&other).await);
    let door = world.door();
    assert!(door.by_session(&mine.token).await.unwrap().is_some());
    let end = |caller, id| world.as_caller(caller, id, |tx, id| Box::pin(async move { people::commands::end_session(tx, id).await }));
    let me = world.owner();
    assert!(matches!(end(&me, theirs.session).await, Err(PeopleError::NotFound { .. })));
    end(&me, mine.session).await.unwrap();
    assert!(door.by_session(&mine.token).await.unwrap().is_none());
    assert!(door.by_session(&theirs.token).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_works_in_one_workspace_and_switches_only_to_ones_own() {
    let world = World::new().await;
    let (second, there) = found(&world.store, "Second", "ada@example.com").await;
    let (foreign, _) = found(&world.store, "Foreign", "eve@example.com").await;
    assert_eq!(there.person, world.owner.person, "one person in two workspaces");
    let signed_in = world.sign_in(&world.owner).await;
    assert_eq!(signed_in.workspace, world.workspace, "the workspace that was joined first");
    let door = world.door();
    let seen = || async { door.by_session(&signed_in.token).await.unwrap().unwrap().workspace().unwrap() };
    assert_eq!(seen().await, world.workspace);
    let switch = |workspace| {
        let caller = world.owner();
        let store = world.store.clone();
        async move {
            store
                .write(&caller, (signed_in.session, workspace), |tx, (session, workspace)| {
                    Box::pin(async move { people::commands::switch_workspace(tx, session, workspace).await })
                })
                .await
        }
    };
    assert!(matches!(switch(foreign).await, Err(PeopleError::NotFound { .. })));
    switch(second).await.unwrap();
    assert_eq!(seen().await, second);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifty_first_session_takes_the_place_of_the_one_used_least() {
    let world = World::new().await;
    let first = world.sign_in(&world.owner).await;
    for _ in 0..50 {
        world.store.clock().advance(MINUTE);
        world.sign_in(&world.owner).await;
    }
    assert_eq!(world.count(&SESSIONS).await, 50);
    assert!(world.door().by_session(&first.token).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_links_asked_for_at_once_five_are_mailed() {
    let world = World::new().await;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (store, links) = (store::Store::clone(&world.store), world.links.clone());
        asking.spawn(async move { people::request_sign_in_link(&store, &links, &email("ada@example.com")).await.unwrap() });
    }
    asking.join_all().await;
    assert_eq!(world.mailed_tokens("ada@example.com").await.len(), 5);
}
