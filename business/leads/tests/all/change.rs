//! Members work on leads.

use kernel::Fault;
use leads::commands::{self, Change};
use leads::{Lead, LeadError, LeadId, Status, queries};

use crate::world::{ADA, World, workspace};

async fn change(world: &World, id: LeadId, version: i64, change: Change) -> Result<Lead, LeadError> {
    world
        .store
        .write(&world.member(), (id, version, change), |tx, (id, version, change)| {
            Box::pin(async move { commands::change(tx, id, version, change).await })
        })
        .await
}

fn to(status: Status) -> Change {
    Change { status: Some(status), ..Change::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_changes_along_the_allowed_ways_and_leaves_its_history() {
    let world = World::new().await;
    let id = world.leave(ADA).await.lead;
    let lead = change(&world, id, 1, to(Status::Contacted)).await.unwrap();
    assert_eq!((lead.version, lead.status), (2, Status::Contacted));
    assert_eq!(lead, world.lead(id).await, "what is answered is what is kept");
    let refused = change(&world, id, 2, to(Status::New)).await.unwrap_err();
    assert_eq!(refused.code(), "status_not_reachable");
    assert_eq!(world.lead(id).await.version, 2);
    let same = change(&world, id, 2, to(Status::Contacted)).await.unwrap();
    assert_eq!(same.version, 2, "a change that changes nothing is none");
    let file = queries::file(&mut world.store.read(), world.workspace, id).await.unwrap();
    let line = file.history.iter().find(|h| h.what == "status").unwrap();
    assert_eq!((line.from.as_deref(), line.to.as_deref()), (Some("new"), Some("contacted")));
    assert_eq!(line.actor, world.owner.to_string());
    assert_eq!(file.history.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_one_version_at_once_one_wins() {
    let world = World::new().await;
    let id = world.leave(ADA).await.lead;
    let both = futures_util::future::join_all([Status::Won, Status::Lost].map(|status| change(&world, id, 1, to(status)))).await;
    assert_eq!(both.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(both.iter().any(|result| matches!(result, Err(LeadError::Stale { actual: 2 }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_put_added_and_removed() {
    let world = World::new().await;
    let id = world.leave(ADA).await.lead;
    let tags = |tags: &[&str]| Change { tags: Some(tags.iter().map(ToString::to_string).collect()), ..Change::default() };
    let lead = change(&world, id, 1, tags(&["Fair", "hot ", "fair"])).await.unwrap();
    assert_eq!((lead.tags.clone(), lead.version), (vec!["fair".to_owned(), "hot".to_owned()], 2));
    let lead = change(&world, id, 2, tags(&["hot", "berlin"])).await.unwrap();
    assert_eq!(lead.tags, ["berlin", "hot"]);
    let add = |tag: &'static str| {
        let (store, member) = (&world.store, world.member());
        async move { store.write(&member, (id, tag), |tx, (id, tag)| Box::pin(async move { commands::add_tag(tx, id, tag).await })).await }
    };
    futures_util::future::join_all([add("one"), add("two"), add("three")]).await.into_iter().for_each(|result| assert!(result.is_ok()));
    let removed =
        world.store.write(&world.member(), id, |tx, id| Box::pin(async move { commands::remove_tag(tx, id, "HOT").await })).await.unwrap();
    assert_eq!(removed.tags, ["berlin", "one", "three", "two"]);
    assert_eq!(world.lead(id).await, removed);
    let many: Vec<String> = (0..21).map(|n| format!("tag {n}")).collect();
    let refused = change(&world, id, removed.version, Change { tags: Some(many), ..Change::default() }).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "tags");
    let refused = change(&world, id, removed.version, tags(&["good", "a,b"])).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "tags[1]");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_is_kept_with_its_author() {
    let world = World::new().await;
    let id = world.leave(ADA).await.lead;
    let add = |body: &'static str| {
        let (store, member) = (&world.store, world.member());
        async move { store.write(&member, (id, body), |tx, (id, body)| Box::pin(async move { commands::add_note(tx, id, body).await })).await }
    };
    let added = add(" Rang,\r\nno answer ").await.unwrap();
    assert_eq!(added.version, 2);
    assert_eq!(add(" ").await.unwrap_err().fields()[0].field, "body");
    let file = queries::file(&mut world.store.read(), world.workspace, id).await.unwrap();
    assert_eq!((file.notes[0].body.as_str(), file.lead.notes), ("Rang,\nno answer", 1));
    assert_eq!(file.notes[0].author, world.owner.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn suspicion_is_taken_off_by_a_member() {
    let world = World::new().await;
    let id = world.leave(crate::world::Filled { trap: "x", ..ADA }).await.lead;
    let lead = change(&world, id, 1, Change { suspected_spam: Some(false), ..Change::default() }).await.unwrap();
    assert!(!lead.suspected_spam);
    assert_eq!(world.all().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_changes_a_lead_without_the_right_or_from_another_workspace() {
    let mut world = World::new().await;
    let id = world.leave(ADA).await.lead;
    let reader = world.reader();
    let refused = world.store.write(&reader, id, |tx, id| {
        Box::pin(async move { commands::change(tx, id, 1, Change { status: Some(Status::Lost), ..Change::default() }).await })
    });
    assert!(matches!(refused.await, Err(LeadError::NotAllowed(_))));
    world.workspace = workspace(2);
    let refused = change(&world, id, 1, to(Status::Lost)).await;
    assert!(matches!(refused, Err(LeadError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_given_only_to_a_member_of_the_workspace() {
    let world = World::new().await;
    let (id, colleague) = (world.leave(ADA).await.lead, world.colleague().await);
    let give = |member| Change { assigned_to: Some(member), ..Change::default() };
    let refused = change(&world, id, 1, give(Some(crate::world::stranger()))).await.unwrap_err();
    assert_eq!(refused.fields()[0].field, "assigned_to");
    assert_eq!(change(&world, id, 1, give(Some(colleague))).await.unwrap().assigned_to, Some(colleague));
    assert_eq!(change(&world, id, 2, give(None)).await.unwrap().assigned_to, None);
    let file = queries::file(&mut world.store.read(), world.workspace, id).await.unwrap();
    let (owner, colleague) = (world.owner.to_string(), colleague.to_string());
    let moves: Vec<_> = file.history.iter().filter(|h| h.what == "assigned").map(|h| (h.from.clone(), h.to.clone())).collect();
    assert!(moves.contains(&(Some(owner), Some(colleague.clone()))) && moves.contains(&(Some(colleague), None)));
}
