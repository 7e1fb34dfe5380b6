//! What was done stays done: over a restart, and over a backup that is restored elsewhere.

use serde_json::{Value, json};

use crate::client::{Client, PHONE};
use crate::dump::Database;
use crate::world::{Printed, World, leave_details};

/// What the owner and a visitor see.
async fn seen(ada: &mut Client, made: &Printed) -> Vec<Value> {
    let mut seen = Vec::new();
    for path in
        ["/v1/cards", "/v1/codes", "/v1/leads", "/v1/members", "/v1/keys", "/v1/webhooks", "/v1/audit", "/v1/messages", "/v1/session"]
    {
        seen.push(ada.get(path).await.expect(200).json());
    }
    seen.push(ada.get(&format!("/v1/codes/{}/scans?by=day", made.code)).await.expect(200).json());
    seen
}

async fn lived_in() -> (World, Client, Printed) {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    ada.post("/v1/keys", json!({ "name": "k", "scopes": ["codes:read"] })).await.expect(201);
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let mut visitor = world.stranger().with_agent(PHONE);
    let fields = [("name", "Charles Babbage"), ("email", "charles@difference.example")];
    leave_details(&world, &mut visitor, &made.code, &fields).await.expect(303);
    world.drain().await;
    (world, ada, made)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_everything_and_finishes_what_was_begun() {
    let (mut world, mut ada, made) = lived_in().await;
    let before = seen(&mut ada, &made).await;
    world.restart().await;
    assert_eq!(seen(&mut ada, &made).await, before);

    // A form taken, a scan made and a link asked for, and nothing of it worked off before the end.
    let mut visitor = world.stranger().with_agent(PHONE);
    let fields = [("name", "Luigi Menabrea"), ("email", "luigi@turin.example")];
    leave_details(&world, &mut visitor, &made.code, &fields).await.expect(303);
    visitor.post("/v1/session/link", json!({ "email": "ada@engines.example" })).await.expect(202);
    let mails = world.mails().len();
    world.restart().await;
    assert_eq!(world.mails().len(), mails + 3, "the owner, the visitor and the link");
    let counted = ada.get(&format!("/v1/codes/{}/scans", made.code)).await.expect(200).json();
    assert_eq!(counted["total_scans"], 2);
    world.restart().await;
    assert_eq!(world.mails().len(), mails + 3);
    assert_eq!(ada.get(&format!("/v1/codes/{}/scans", made.code)).await.expect(200).json()["total_scans"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_installation_restored_elsewhere_gives_the_same_answers() {
    let (mut world, mut ada, made) = lived_in().await;
    if matches!(world.database(), Database::Postgres(_)) {
        return; // PostgreSQL is backed up with its own tools.
    }
    // A scan that is in the journal and may not be in the database yet.
    world.stranger().with_agent(PHONE).page(&format!("/{}", made.code)).await.expect(200);
    let data = world.config.data.clone();
    let elsewhere = data.with_extension("restored");
    let file = data.join("copy.tessera-backup");
    let (key, now) = ([7; 32], world.store().clock().now());
    let journal = data.join("journal");
    let stage = |folder: &std::path::Path| {
        codes::scan::backup_journal(&journal, &folder.join("journal")).map(|_| ()).map_err(std::io::Error::other)
    };
    store::backup::backup(&data, &file, Some(&key), now, world.store().entropy(), stage).unwrap();
    world.drain().await;
    let before = seen(&mut ada, &made).await;
    // What happens after the backup is not in it.
    ada.post("/v1/codes", json!({ "name": "later" })).await.expect(201);

    store::backup::restore(&file, &elsewhere, Some(&[8; 32])).unwrap_err();
    store::backup::restore(&file, &elsewhere, Some(&key)).unwrap();
    std::fs::copy(data.join("secret.key"), elsewhere.join("secret.key")).unwrap();
    world.reopen_at(Some(elsewhere.clone())).await;
    assert_eq!(seen(&mut ada, &made).await, before);
    let mut visitor = world.stranger().with_agent(PHONE);
    assert!(visitor.page(&format!("/{}", made.code)).await.expect(200).text().contains("Ada Lovelace"));
    world.reopen_at(Some(data)).await;
    let _ = std::fs::remove_dir_all(elsewhere);
}
