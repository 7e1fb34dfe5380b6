//! API keys.

use std::time::Duration;

use gateway::Doorkeeper as _;
use kernel::{Caller, Grant};
use people::{KeyDraft, NewKey, PeopleError, Role, commands, queries};

use crate::world::{CODES_READ, CODES_WRITE, World, found};

async fn create(world: &World, caller: &Caller, scopes: Vec<Grant>, lives: Option<Duration>) -> Result<NewKey, PeopleError> {
    let now = world.store.clock().now();
    let draft = KeyDraft::parse("the till", scopes, lives.map(|d| now.plus(d)), now).unwrap();
    world.as_caller(caller, draft, |tx, draft| Box::pin(async move { commands::create_key(tx, draft).await })).await
}

async fn revoke(world: &World, caller: &Caller, id: kernel::KeyId) -> Result<(), PeopleError> {
    world.as_caller(caller, id, |tx, id| Box::pin(async move { commands::revoke_key(tx, id).await })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_for_its_scopes_only_and_not_at_all_once_revoked() {
    let world = World::new().await;
    let new = create(&world, &world.owner(), vec![CODES_READ], None).await.unwrap();
    let door = world.door();
    let caller = door.by_key(&new.text).await.unwrap().unwrap();
    assert_eq!(caller.may(CODES_READ), Ok(world.workspace));
    assert!(caller.may(CODES_WRITE).is_err());
    let last = new.text.chars().last().unwrap();
    let guess = format!("{}{}", &new.text[..new.text.len() - 1], if last == 'x' { 'y' } else { 'x' });
    for wrong in [guess.as_str(), "", "tsk_", &new.text[..40]] {
        assert!(door.by_key(wrong).await.unwrap().is_none(), "{wrong}");
    }
    revoke(&world, &world.owner(), new.key.id).await.unwrap();
    assert!(door.by_key(&new.text).await.unwrap().is_none(), "at once, although it was remembered");
    assert!(matches!(revoke(&world, &world.owner(), new.key.id).await, Err(PeopleError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_when_it_was_said_to() {
    let world = World::new().await;
    let new = create(&world, &world.owner(), vec![CODES_READ], Some(Duration::from_secs(60))).await.unwrap();
    let door = world.door();
    assert!(door.by_key(&new.text).await.unwrap().is_some());
    world.store.clock().advance(Duration::from_secs(60));
    assert!(door.by_key(&new.text).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_key_is_the_member_who_made_it_or_the_key_that_it_was_made_with() {
    let world = World::new().await;
    let owner = world.owner();
    let first = create(&world, &owner, vec![CODES_READ], None).await.unwrap().key;
    assert_eq!(first.maker, owner.member());
    let of = |key: kernel::KeyId| Caller::Key {
        workspace: world.workspace,
        key,
        grants: kernel::Grants::of([people::grants::KEYS_WRITE, CODES_READ]),
    };
    let second = create(&world, &of(first.id), vec![CODES_READ], None).await.unwrap().key;
    revoke(&world, &owner, first.id).await.unwrap();
    let behind = async |caller: Caller| people::member_behind(&mut world.store.read(), &caller).await.unwrap();
    assert_eq!(behind(of(second.id)).await, owner.member(), "also when the key between them is gone");
    assert_eq!((behind(owner.clone()).await, behind(of(first.id)).await), (owner.member(), None));
    let draft = KeyDraft::parse("by the command line", vec![CODES_READ], None, world.store.clock().now()).unwrap();
    let (workspace, nobody) = (world.workspace, Caller::system("command line"));
    let made = world.store.write(&nobody, draft, move |tx, draft| Box::pin(async move { commands::issue_key(tx, workspace, draft).await }));
    let key = made.await.unwrap().key;
    assert_eq!((key.maker, behind(of(key.id)).await), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hands_out_a_right_they_do_not_hold() {
    let world = World::new().await;
    let member = world.add("grace@example.com", Role::Member).await;
    assert!(matches!(create(&world, &world.caller(&member), vec![CODES_READ], None).await, Err(PeopleError::NotAllowed(_))));
    let programs = Caller::Key {
        workspace: world.workspace,
        key: create(&world, &world.owner(), vec![CODES_READ], None).await.unwrap().key.id,
        grants: kernel::Grants::of([people::grants::KEYS_WRITE, CODES_READ]),
    };
    assert!(create(&world, &programs, vec![CODES_READ], None).await.is_ok());
    assert!(matches!(create(&world, &programs, vec![CODES_READ, CODES_WRITE], None).await, Err(PeopleError::NotAllowed(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_workspace_does_not_exist() {
    let world = World::new().await;
    let (foreign, stranger) = found(&world.store, "Foreign", "eve@example.com").await;
    let new = create(&world, &world.owner(), vec![CODES_READ], None).await.unwrap();
    assert!(matches!(revoke(&world, &world.caller(&stranger), new.key.id).await, Err(PeopleError::NotFound { .. })));
    assert!(queries::keys(&mut world.store.read(), foreign, "", 10).await.unwrap().is_empty());
    assert_eq!(queries::keys(&mut world.store.read(), world.workspace, "", 10).await.unwrap(), std::slice::from_ref(&new.key));
    assert_eq!(queries::key(&mut world.store.read(), world.workspace, new.key.id).await.unwrap().unwrap().scopes, ["codes:read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_key_was_used_is_noted_to_the_hour() {
    let world = World::new().await;
    let new = create(&world, &world.owner(), vec![CODES_READ], None).await.unwrap();
    let now = world.store.clock().now();
    world.door().by_key(&new.text).await.unwrap().unwrap();
    let noted = async {
        while queries::key(&mut world.store.read(), world.workspace, new.key.id).await.unwrap().unwrap().used_at != Some(now) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), noted).await.expect("the note is written");
}
