//! What a scan leaves behind: counted once, bots apart, and told to whoever asked.

use serde_json::json;
use std::time::Duration;

use crate::client::{LAPTOP, PHONE};
use crate::world::World;

const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const PREVIEW: &str = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)";

#[tokio::test(flavor = "multi_thread")]
async fn people_are_counted_bots_apart_doubles_once_and_previews_not_at_all() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    world.drain().await;
    let mut live = ada.live(None).await;
    let scan = format!("/{}", made.code);
    let (mut phone, mut laptop) = (world.stranger().with_agent(PHONE), world.stranger().with_agent(LAPTOP));
    phone.page(&scan).await.expect(200);
    laptop.page(&scan.to_lowercase()).await.expect(200);
    phone.page(&scan).await.expect(200);
    phone.head(&scan).await.expect(200);
    world.stranger().with_agent(BOT).page(&scan).await.expect(200);
    world.stranger().with_agent(PREVIEW).page(&scan).await.expect(200);
    world.pass(Duration::from_secs(6));
    phone.page(&scan).await.expect(200);
    world.drain().await;

    let counted = ada.get(&format!("/v1/codes/{}/scans?by=hour", made.code)).await.expect(200).json();
    assert_eq!(
        (&counted["total_scans"], &counted["total_bots"], &counted["total_doubles"], &counted["sum_of_daily_visitors"]),
        (&json!(3), &json!(1), &json!(1), &json!(2)),
        "{counted}"
    );
    let devices = counted["breakdown"]["device"].as_array().unwrap();
    assert_eq!(devices[0], json!({ "name": "phone", "scans": 2 }));
    let table = ada.get(&format!("/v1/codes/{}/scans.csv", made.code)).await.expect(200).text();
    assert!(table.starts_with("at,scans,visitors\r\n") && table.contains(",3,2"), "{table}");

    let heard = live.until("codes.scanned").await;
    assert!(heard.data.contains(&made.code), "{}", heard.data);
    // Whoever comes back with the last id gets what was missed, once.
    phone.page("/nothing").await.expect(404);
    world.pass(Duration::from_secs(6));
    phone.page(&scan).await.expect(200);
    world.drain().await;
    let mut resumed = ada.live(Some(&heard.id)).await;
    let missed = resumed.until("codes.scanned").await;
    assert_ne!(missed.id, heard.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_recorded_is_not() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    ada.put("/v1/codes/recording", json!({ "address": false, "place": false, "device": false })).await.expect(200);
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    world.drain().await;
    let mut phone = world.stranger().with_agent(PHONE);
    phone.page(&format!("/{}", made.code)).await.expect(200);
    world.drain().await;
    let counted = ada.get(&format!("/v1/codes/{}/scans", made.code)).await.expect(200).json();
    assert_eq!((&counted["total_scans"], &counted["sum_of_daily_visitors"]), (&json!(1), &json!(0)), "{counted}");
    assert!(counted["breakdown"]["network"].as_array().unwrap().is_empty(), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asked_is_told_of_scans_but_not_of_each_and_never_of_bots() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let alerts = format!("/v1/codes/{}/alerts", made.code);
    assert_eq!(ada.get(&alerts).await.expect(200).at("/told"), "false");
    ada.put(&alerts, json!({ "told": true, "interval_minutes": 30 })).await.expect(200);
    ada.put(&alerts, json!({ "told": true, "interval_minutes": 0 })).await.expect(422);
    world.drain().await;
    let told = || world.told("ada@engines.example").iter().filter(|mail| mail.link().contains("/codes/")).count();
    let scan = format!("/{}", made.code);

    world.stranger().with_agent(BOT).page(&scan).await.expect(200);
    settled(&world).await;
    assert_eq!(told(), 0, "bots are nobody");
    for _ in 0..3 {
        world.stranger().with_agent(PHONE).page(&scan).await.expect(200);
        settled(&world).await;
    }
    assert_eq!(told(), 1);
    world.pass(Duration::from_secs(31 * 60));
    world.stranger().with_agent(PHONE).page(&scan).await.expect(200);
    settled(&world).await;
    assert_eq!(told(), 2);
    ada.put(&alerts, json!({ "told": false })).await.expect(200);
    world.pass(Duration::from_secs(31 * 60));
    world.stranger().with_agent(PHONE).page(&scan).await.expect(200);
    settled(&world).await;
    assert_eq!(told(), 2);
}

async fn settled(world: &World) {
    world.drain().await;
    world.pass(Duration::from_secs(6));
}
