//! Lists, their filters and the table.

use std::time::Duration;

use leads::commands;
use leads::queries::{self, Assignee, Filter};
use leads::{LeadId, Status};

use crate::world::{Filled, World};

async fn names(world: &World, filter: Filter) -> Vec<String> {
    let leads = queries::list(&mut world.store.read(), world.workspace, &filter, None, 100).await.unwrap();
    leads.into_iter().map(|lead| lead.name).collect()
}

async fn some_leads(world: &World) -> Vec<LeadId> {
    let mut ids = Vec::new();
    for filled in [
        Filled { name: "Ada Lovelace", email: "ada@example.com", company: "Engines 100%", ..Filled::default() },
        Filled { name: "Ärzte Özil", email: "oezil@example.com", message: "snake_case", ..Filled::default() },
        Filled { name: "Grace Hopper", email: "", phone: "+1 202 555 0142", ..Filled::default() },
    ] {
        ids.push(world.leave(filled).await.lead);
        world.store.clock().advance(Duration::from_millis(5));
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_are_listed_from_the_newest_by_pages() {
    let world = World::new().await;
    let ids = some_leads(&world).await;
    let first = queries::list(&mut world.store.read(), world.workspace, &Filter::default(), None, 2).await.unwrap();
    assert_eq!(first.iter().map(|l| l.id).collect::<Vec<_>>(), [ids[2], ids[1]]);
    let rest = queries::list(&mut world.store.read(), world.workspace, &Filter::default(), Some(ids[1]), 2).await.unwrap();
    assert_eq!(rest.iter().map(|l| l.id).collect::<Vec<_>>(), [ids[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_filter_lets_through_what_it_names() {
    let world = World::new().await;
    let ids = some_leads(&world).await;
    world
        .store
        .write(&world.member(), ids[0], |tx, id| {
            Box::pin(async move {
                commands::add_tag(tx, id, "fair").await?;
                let lead = commands::change_status(tx, id, 2, Status::Won).await?;
                commands::assign(tx, id, lead.version, None).await
            })
        })
        .await
        .unwrap();
    let filter = Filter::default();
    assert_eq!(names(&world, Filter { status: Some(Status::Won), ..filter.clone() }).await, ["Ada Lovelace"]);
    assert_eq!(names(&world, Filter { tag: Some("Fair".to_owned()), ..filter.clone() }).await, ["Ada Lovelace"]);
    assert_eq!(names(&world, Filter { tag: Some("none".to_owned()), ..filter.clone() }).await, [""; 0]);
    assert_eq!(names(&world, Filter { assigned_to: Some(Assignee::Nobody), ..filter.clone() }).await, ["Ada Lovelace"]);
    assert_eq!(
        names(&world, Filter { assigned_to: Some(Assignee::Member(world.owner)), ..filter.clone() }).await,
        ["Grace Hopper", "Ärzte Özil"]
    );
    assert_eq!(names(&world, Filter { source_kind: Some("card".to_owned()), ..filter.clone() }).await.len(), 3);
    assert_eq!(names(&world, Filter { source_id: Some("card_2".to_owned()), ..filter.clone() }).await.len(), 0);
    assert_eq!(names(&world, Filter { suspected_spam: true, ..filter.clone() }).await.len(), 0);
    for (search, found) in [
        ("ÖZIL", vec!["Ärzte Özil"]),
        ("100%", vec!["Ada Lovelace"]),
        ("1%0", vec![]),
        ("snake_c", vec!["Ärzte Özil"]),
        ("snakexc", vec![]),
        ("2025550142", vec!["Grace Hopper"]),
        ("@example.com", vec!["Ärzte Özil", "Ada Lovelace"]),
        ("' or 1=1 --", vec![]),
        ("\\", vec![]),
        (" ", vec!["Grace Hopper", "Ärzte Özil", "Ada Lovelace"]),
    ] {
        assert_eq!(names(&world, Filter { search: Some(search.to_owned()), ..filter.clone() }).await, found, "{search}");
    }
    let both = Filter { status: Some(Status::Won), tag: Some("fair".to_owned()), search: Some("ada".to_owned()), ..filter };
    assert_eq!(names(&world, both).await, ["Ada Lovelace"]);
    let counts = queries::count(&mut world.store.read(), world.workspace).await.unwrap();
    assert_eq!(counts.by_status, [2, 0, 0, 1, 0]);
    assert_eq!(counts.of(Status::Won), 1);
}
