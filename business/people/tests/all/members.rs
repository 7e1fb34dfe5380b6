//! Who is in a workspace, and who may change that.

use std::time::Duration;

use gateway::Doorkeeper as _;
use kernel::{Caller, MemberId};
use outbox::{Entry, Position};
use people::events::MemberRemoved;
use people::{Invitation, Member, PeopleError, Role, SignedIn, WorkspaceName, Zone, commands, queries};
use store::Sql;

use crate::world::{World, agent, email, found, name};

static MEMBERS: Sql = Sql::new("select count(*) from people_members where left_at is null");
static PERSONS: Sql = Sql::new("select count(*) from people_persons");

async fn change_role(world: &World, caller: &Caller, id: MemberId, role: Role) -> Result<Member, PeopleError> {
    world.as_caller(caller, (id, role), |tx, (id, role)| Box::pin(async move { commands::change_role(tx, id, role).await })).await
}

async fn remove(world: &World, caller: &Caller, id: MemberId) -> Result<(), PeopleError> {
    world.as_caller(caller, id, |tx, id| Box::pin(async move { commands::remove_member(tx, id).await })).await
}

async fn invite(world: &World, caller: &Caller, address: &str, role: Role) -> Result<Invitation, PeopleError> {
    let input = (world.links.clone(), email(address), role);
    world
        .as_caller(caller, input, |tx, (links, email, role)| Box::pin(async move { commands::invite(tx, &links, &email, role).await }))
        .await
}

async fn accept(world: &World, token: &str, who: &str, password: Option<&str>) -> Result<SignedIn, PeopleError> {
    people::accept_invitation(&world.store, &world.passwords, token, name(who), password, agent()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_people_is_understood_by_the_engine() {
    let world = World::new().await;
    assert_eq!(world.store.prepare_all(people::STATEMENTS).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_owner_can_neither_leave_nor_be_demoted() {
    let world = World::new().await;
    let owner = world.owner();
    assert!(matches!(change_role(&world, &owner, world.owner.id, Role::Admin).await, Err(PeopleError::LastOwner)));
    assert!(matches!(remove(&world, &owner, world.owner.id).await, Err(PeopleError::LastOwner)));
    let second = world.add("grace@example.com", Role::Admin).await;
    change_role(&world, &owner, second.id, Role::Owner).await.unwrap();
    change_role(&world, &owner, world.owner.id, Role::Member).await.unwrap();
    let owners = people::owners(&mut world.store.read(), world.workspace).await.unwrap();
    assert_eq!(owners.iter().map(|o| o.id).collect::<Vec<_>>(), [second.id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_who_leave_at_once_one_stays() {
    for _ in 0..5 {
        let world = World::new().await;
        let second = world.add("grace@example.com", Role::Owner).await;
        let (a, b) = (world.owner(), world.caller(&second));
        let (a, b) = tokio::join!(remove(&world, &a, world.owner.id), remove(&world, &b, second.id));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
        assert_eq!(people::owners(&mut world.store.read(), world.workspace).await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_and_a_member_may_not_change_people() {
    let world = World::new().await;
    for role in [Role::Viewer, Role::Member] {
        let somebody = world.add(&format!("{}@example.com", role.as_str()), role).await;
        let caller = world.caller(&somebody);
        assert!(matches!(change_role(&world, &caller, somebody.id, Role::Owner).await, Err(PeopleError::NotAllowed(_))));
        assert!(matches!(remove(&world, &caller, world.owner.id).await, Err(PeopleError::NotAllowed(_))));
        assert!(matches!(invite(&world, &caller, "eve@example.com", Role::Viewer).await, Err(PeopleError::NotAllowed(_))));
        remove(&world, &caller, somebody.id).await.expect("everybody may leave");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_never_touches_owners() {
    let world = World::new().await;
    let admin = world.add("grace@example.com", Role::Admin).await;
    let caller = world.caller(&admin);
    assert!(matches!(change_role(&world, &caller, admin.id, Role::Owner).await, Err(PeopleError::OwnersOnly)));
    assert!(matches!(change_role(&world, &caller, world.owner.id, Role::Viewer).await, Err(PeopleError::OwnersOnly)));
    assert!(matches!(remove(&world, &caller, world.owner.id).await, Err(PeopleError::OwnersOnly)));
    assert!(matches!(invite(&world, &caller, "eve@example.com", Role::Owner).await, Err(PeopleError::OwnersOnly)));
    assert!(invite(&world, &caller, "eve@example.com", Role::Admin).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_member_acts_with_the_role_they_have_now() {
    let world = World::new().await;
    let second = world.add("grace@example.com", Role::Owner).await;
    let stale = world.caller(&second);
    change_role(&world, &world.owner(), second.id, Role::Admin).await.unwrap();
    assert!(matches!(remove(&world, &stale, world.owner.id).await, Err(PeopleError::OwnersOnly)));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_out_at_once_and_a_fact_tells_it() {
    let world = World::new().await;
    let grace = world.add("grace@example.com", Role::Member).await;
    let signed_in = world.sign_in(&grace).await;
    let door = world.door();
    assert!(door.by_session(&signed_in.token).await.unwrap().is_some());
    remove(&world, &world.owner(), grace.id).await.unwrap();
    assert!(door.by_session(&signed_in.token).await.unwrap().is_none());
    assert!(people::recipient(&mut world.store.read(), world.workspace, grace.id).await.unwrap().is_none());
    // On PostgreSQL a fact shows once no older transaction of the server runs, those of other tests included.
    let told = async {
        loop {
            let mut read = world.store.read();
            let facts = outbox::facts_after(&mut read, world.workspace, Position::default(), "people.member_removed", 10);
            match facts.await.unwrap().first().and_then(Entry::decode::<MemberRemoved>) {
                Some(fact) => return fact,
                None => tokio::task::yield_now().await,
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("the fact is told");
    assert_eq!(told, MemberRemoved { member: grace.id });
    people::request_sign_in_link(&world.store, &world.links, &email("grace@example.com")).await.unwrap();
    assert!(world.mailed_tokens("grace@example.com").await.is_empty());
    let again = world.add("grace@example.com", Role::Viewer).await;
    assert!(again.id != grace.id && again.person == grace.person, "who comes back is the same person with a new membership");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_another_workspace_do_not_exist() {
    let world = World::new().await;
    let (_, stranger) = found(&world.store, "Foreign", "eve@example.com").await;
    let owner = world.owner();
    assert!(matches!(change_role(&world, &owner, stranger.id, Role::Viewer).await, Err(PeopleError::NotFound { .. })));
    assert!(matches!(remove(&world, &owner, stranger.id).await, Err(PeopleError::NotFound { .. })));
    let invitation = invite(&world, &owner, "grace@example.com", Role::Member).await.unwrap();
    let stranger = world.caller(&stranger);
    let withdrawn =
        world.as_caller(&stranger, invitation.id, |tx, id| Box::pin(async move { commands::withdraw_invitation(tx, id).await }));
    assert!(matches!(withdrawn.await, Err(PeopleError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_makes_a_person_and_a_member_who_is_signed_in() {
    let world = World::new().await;
    let invitation = invite(&world, &world.owner(), "Grace@example.com", Role::Admin).await.unwrap();
    assert_eq!(queries::invitations(&mut world.store.read(), world.workspace, "", 10).await.unwrap(), [invitation]);
    let token = world.mailed_tokens("grace@example.com").await.remove(0);
    assert!(matches!(accept(&world, &token, "Grace Hopper", Some("short")).await, Err(PeopleError::Field(_))));
    let signed_in = accept(&world, &token, "Grace Hopper", Some("nanoseconds!")).await.unwrap();
    let member = queries::member(&mut world.store.read(), world.workspace, signed_in.member).await.unwrap().unwrap();
    assert_eq!((member.name.as_str(), member.role), ("Grace Hopper", Role::Admin));
    assert!(world.door().by_session(&signed_in.token).await.unwrap().is_some());
    assert!(people::sign_in_with_password(&world.store, &world.passwords, "grace@example.com", "nanoseconds!", agent()).await.is_ok());
    assert!(queries::invitations(&mut world.store.read(), world.workspace, "", 10).await.unwrap().is_empty());
    assert!(matches!(accept(&world, &token, "Eve", None).await, Err(PeopleError::InvitationSpent)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_accept_one_invitation_at_once_one_wins() {
    let world = World::new().await;
    invite(&world, &world.owner(), "grace@example.com", Role::Member).await.unwrap();
    let token = world.mailed_tokens("grace@example.com").await.remove(0);
    let (a, b) = tokio::join!(accept(&world, &token, "Grace", None), accept(&world, &token, "Grace", None));
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert!([a, b].iter().all(|o| matches!(o, Ok(_) | Err(PeopleError::InvitationSpent))));
    assert_eq!((world.count(&MEMBERS).await, world.count(&PERSONS).await), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workspaces_may_invite_one_newcomer_at_once() {
    let world = World::new().await;
    let (_, other) = found(&world.store, "Second", "eve@example.com").await;
    invite(&world, &world.owner(), "grace@example.com", Role::Member).await.unwrap();
    invite(&world, &world.caller(&other), "grace@example.com", Role::Viewer).await.unwrap();
    let tokens = world.mailed_tokens("grace@example.com").await;
    let (a, b) = tokio::join!(accept(&world, &tokens[0], "Grace", None), accept(&world, &tokens[1], "Grace", None));
    assert_eq!(a.unwrap().person, b.unwrap().person);
    assert_eq!((world.count(&MEMBERS).await, world.count(&PERSONS).await), (4, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_changes_neither_name_nor_password_of_who_is_known() {
    let world = World::new().await;
    let (_, other) = found(&world.store, "Second", "eve@example.com").await;
    invite(&world, &world.caller(&other), "ada@example.com", Role::Member).await.unwrap();
    let token = world.mailed_tokens("ada@example.com").await.remove(0);
    let signed_in = accept(&world, &token, "Mallory", Some("taken over!")).await.unwrap();
    assert_eq!(signed_in.person, world.owner.person);
    let ada = queries::person_everywhere(&mut world.store.read(), world.owner.person).await.unwrap().unwrap();
    assert!(ada.name == "Ada Lovelace" && !ada.has_password());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_that_is_old_replaced_or_withdrawn_opens_nothing() {
    let world = World::new().await;
    let owner = world.owner();
    invite(&world, &owner, "grace@example.com", Role::Member).await.unwrap();
    let second = invite(&world, &owner, "grace@example.com", Role::Viewer).await.unwrap();
    let tokens = world.mailed_tokens("grace@example.com").await;
    assert!(matches!(accept(&world, &tokens[0], "Grace", None).await, Err(PeopleError::InvitationSpent)), "it was replaced");
    world.as_caller(&owner, second.id, |tx, id| Box::pin(async move { commands::withdraw_invitation(tx, id).await })).await.unwrap();
    assert!(matches!(accept(&world, &tokens[1], "Grace", None).await, Err(PeopleError::InvitationSpent)), "it was withdrawn");
    invite(&world, &owner, "grace@example.com", Role::Member).await.unwrap();
    world.store.clock().advance(Duration::from_secs(7 * 24 * 3600));
    let tokens = world.mailed_tokens("grace@example.com").await;
    assert!(matches!(accept(&world, &tokens[2], "Grace", None).await, Err(PeopleError::InvitationSpent)), "it is old");
    assert!(matches!(invite(&world, &owner, "ada@example.com", Role::Member).await, Err(PeopleError::AlreadyMember)));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_to_different_fields_at_once_both_count() {
    let world = World::new().await;
    let caller = world.owner();
    for round in 0..20 {
        let (title, zone) = (format!("Name {round}"), if round % 2 == 0 { "Europe/Lisbon" } else { "Asia/Tokyo" });
        let workspace = |change: commands::WorkspaceChange| {
            world.as_caller(&caller, change, |tx, change| Box::pin(async move { commands::change_workspace(tx, change).await }))
        };
        let renamed = commands::WorkspaceChange { name: Some(WorkspaceName::parse(&title).unwrap()), ..Default::default() };
        let moved = commands::WorkspaceChange { zone: Some(Zone::parse(zone).unwrap()), ..Default::default() };
        let (a, b) = tokio::join!(workspace(renamed), workspace(moved));
        a.unwrap();
        b.unwrap();
        let kept = queries::workspace(&mut world.store.read(), world.workspace).await.unwrap().unwrap();
        assert_eq!((kept.name.as_str(), kept.zone.as_str()), (title.as_str(), zone), "of the workspace, round {round}");

        let profile = |change: commands::Profile| {
            world.as_caller(&caller, change, |tx, change| Box::pin(async move { commands::change_profile(tx, change).await }))
        };
        let renamed = commands::Profile { name: Some(name(&title)), ..Default::default() };
        let moved = commands::Profile { zone: Some(Zone::parse(zone).unwrap()), ..Default::default() };
        let (a, b) = tokio::join!(profile(renamed), profile(moved));
        a.unwrap();
        b.unwrap();
        let kept = queries::person_everywhere(&mut world.store.read(), world.owner.person).await.unwrap().unwrap();
        assert_eq!((kept.name.as_str(), kept.zone.as_str()), (title.as_str(), zone), "of the person, round {round}");
    }
}
