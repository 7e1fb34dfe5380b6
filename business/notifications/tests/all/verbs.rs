//! The verbs on a real database.

use std::time::Duration;

use kernel::{Caller, Fault, Kind};
use notifications::{
    Attachment, EndpointChange, EndpointId, EndpointState, MessageState, NotificationError, STATEMENTS, TemplateKey, TemplateSource,
    dev_mailbox,
};
use serde_json::json;

use super::world::{World, lead_mail, local, owner, workspace};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_is_understood_by_the_engine() {
    let world = World::new().await;
    assert_eq!(world.store.prepare_all(STATEMENTS).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_sent_once_worded_and_its_content_is_not_kept() {
    let world = World::new().await;
    let mut message = lead_mail("Grace").once("lead-1");
    message.attachments = vec![Attachment { name: "grace.vcf".into(), content_type: "text/vcard".into(), bytes: b"BEGIN:VCARD".to_vec() }];
    let id = world.send(message.clone()).await.unwrap();
    assert_eq!(world.send(message).await.unwrap(), id, "the same dedupe key is the same message");
    assert_eq!(world.messages().await[0].state, MessageState::Queued);
    world.drain().await;
    let kept = dev_mailbox::list(&world.mail_folder()).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!((kept[0].id, kept[0].to.as_str(), kept[0].subject.as_str()), (id, "ada@example.org", "New contact: Grace"));
    assert_eq!(kept[0].attachments, ["grace.vcf"]);
    assert!(kept[0].text.contains("grace@example.org") && kept[0].html.contains("grace@example.org"));
    let eml = String::from_utf8(dev_mailbox::raw(&world.mail_folder(), id).await.unwrap().unwrap()).unwrap();
    assert!(eml.contains("Subject: New contact: Grace") && eml.contains("grace.vcf"));
    let listed = world.messages().await;
    assert_eq!((listed.len(), listed[0].state, listed[0].recipient.as_str()), (1, MessageState::Sent, "mem_ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_sent_is_refused_at_once_and_names_the_field() {
    let world = World::new().await;
    let mut message = lead_mail("Grace");
    message.recipient.address = "ada@example.org\r\nBcc: eve@example.org".into();
    let refused = world.send(message).await.unwrap_err();
    assert_eq!((refused.kind(), refused.fields()[0].field.as_str()), (Kind::Invalid, "recipient.address"));
    let mut message = lead_mail("Grace");
    message.variables = json!({"link": "x"});
    assert_eq!(world.send(message).await.unwrap_err().fields()[0].field, "variables.lead_name");
    assert!(world.messages().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wording_of_the_workspace_is_used_versioned_and_given_up_again() {
    let world = World::new().await;
    let save = async |text: &str| {
        let text = text.to_owned();
        let source =
            TemplateSource { subject: "Ahoy {{ lead_name }}".into(), text: text.clone(), html: "<p>{{ lead_name }} {{ link }}</p>".into() };
        let unit = world.store.write(&world.owner, source, |tx, source| {
            Box::pin(async move { notifications::save_template(tx, TemplateKey::LeadCaptured, "en", &source).await })
        });
        unit.await
    };
    assert!(save("{{ lead_nmae }} {{ link }}").await.is_err());
    assert_eq!(save("{{ lead_name }} {{ link }}").await.unwrap(), 1);
    assert_eq!(save("{{ lead_name }}: {{ link }}").await.unwrap(), 2);
    world.send(lead_mail("Grace")).await.unwrap();
    world.drain().await;
    let subjects = async || dev_mailbox::list(&world.mail_folder()).await.unwrap().into_iter().map(|m| m.subject).collect::<Vec<_>>();
    assert_eq!(subjects().await, ["Ahoy Grace"]);
    let reset = world.store.write(&world.owner, (), |tx, ()| Box::pin(notifications::reset_template(tx, TemplateKey::LeadCaptured, "en")));
    assert_eq!(reset.await.unwrap(), 3);
    let (language, version, _) =
        notifications::template(&mut world.store.read(), world.workspace, TemplateKey::LeadCaptured, "en-GB").await.unwrap();
    assert_eq!((language, version), ("en", 0));
    // Another workspace never saw any of it.
    let other = notifications::templates(&mut world.store.read(), workspace(2)).await.unwrap();
    assert!(other.is_empty());
    assert_eq!(
        notifications::templates(&mut world.store.read(), world.workspace).await.unwrap(),
        [("lead_captured".into(), "en".into(), 3)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_made_changed_and_removed_by_those_who_may() {
    let world = World::new().await;
    let (id, _) = world.endpoint_for("https://example.org/hook", &["lead.*"]).await.unwrap();
    let found = notifications::endpoint(&mut world.store.read(), world.workspace, id).await.unwrap();
    assert_eq!((found.url.as_str(), found.state), ("https://example.org/hook", EndpointState::Enabled { failing_since: None }));
    assert!(matches!(world.endpoint_for("http://10.0.0.1/", &[]).await, Err(NotificationError::Field(_))));

    let change = async |caller: Caller, change: EndpointChange| {
        let unit = world.store.write(&caller, (id, change), |tx, (id, change)| {
            Box::pin(async move { notifications::update_endpoint(tx, &local(), id, change).await })
        });
        unit.await
    };
    let off = EndpointChange { is_enabled: Some(false), ..EndpointChange::default() };
    assert!(matches!(change(Caller::system("x"), off.clone()).await, Err(NotificationError::NotAllowed(_))));
    assert!(matches!(change(owner(workspace(2)), off.clone()).await, Err(NotificationError::NotFound { .. })));
    let changed = change(owner(world.workspace), off).await.unwrap();
    assert_eq!(changed.state, EndpointState::Disabled { reason: "by_hand".into() });
    assert_eq!(changed.event_types.names(), ["lead.*"]);
    assert_eq!(world.emit("lead.captured", json!({}), "evt_1").await.unwrap(), 0, "a disabled endpoint is not told");
    let moved = EndpointChange { url: Some("http://127.0.0.1:1/".into()), is_enabled: Some(true), ..EndpointChange::default() };
    assert_eq!(change(owner(world.workspace), moved).await.unwrap().url, "http://127.0.0.1:1/");

    let delete =
        async |caller: Caller| world.store.write(&caller, id, |tx, id: EndpointId| Box::pin(notifications::delete_endpoint(tx, id))).await;
    assert!(delete(owner(workspace(2))).await.is_err());
    delete(owner(world.workspace)).await.unwrap();
    assert!(notifications::endpoints(&mut world.store.read(), world.workspace, None, 10).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_has_at_most_fifty_endpoints() {
    let world = World::new().await;
    for _ in 0..50 {
        world.endpoint("https://example.org/hook").await;
    }
    let refused = world.endpoint_for("https://example.org/hook", &[]).await;
    assert!(matches!(refused, Err(NotificationError::TooManyEndpoints { max: 50 })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_written_only_where_somebody_listens_once_and_within_its_bounds() {
    let world = World::new().await;
    assert_eq!(world.emit("lead.captured", json!({}), "evt_1").await.unwrap(), 0);
    world.endpoint_for("https://example.org/hook", &["scan.*"]).await.unwrap();
    world.endpoint_for("https://example.org/hook", &["lead.captured"]).await.unwrap();
    assert_eq!(world.emit("lead.captured", json!({}), "evt_1").await.unwrap(), 1);
    assert_eq!(world.emit("lead.captured", json!({}), "evt_1").await.unwrap(), 0, "the same event again");
    assert!(world.emit("lead.captured", json!({"x": "y".repeat(20_000)}), "evt_2").await.is_err());
    assert!(world.emit("lead.captured", json!({}), "evt.3").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_in_no_message_and_no_event_and_nothing_more_is_sent() {
    let world = World::new().await;
    let server = super::web_server::WebServer::start().await;
    let (endpoint, _) = world.endpoint(&server.url("/ok")).await;
    let other = world.send(lead_mail("Somebody else")).await.unwrap();
    let mut about = lead_mail("Grace");
    about.variables = json!({"lead_name": "Grace", "lead_phone": "+1 (202) 555-0142", "link": "https://tessera.example/l/2"});
    let about = world.send(about).await.unwrap();
    world.emit("lead.captured", json!({"email": "Grace@Example.org"}), "evt_1").await.unwrap();
    world.emit("lead.captured", json!({"email": "other@example.org"}), "evt_2").await.unwrap();
    let erase = async |address: &'static str| {
        let unit = world
            .store
            .write(&world.system, world.workspace, move |tx, w| Box::pin(async move { notifications::erase(tx, w, address).await }));
        unit.await.unwrap();
    };
    erase("+12025550142").await;
    erase("grace@example.org").await;
    erase("not an address").await;
    world.drain().await;
    let listed = world.messages().await;
    let state = |id| listed.iter().find(|m| m.id == id).map(|m| (m.state, m.recipient.clone())).unwrap();
    assert_eq!(state(about), (MessageState::Failed, String::new()), "found by the number");
    assert_eq!(state(other), (MessageState::Failed, String::new()), "the mail to the owner spoke of her address");
    assert!(dev_mailbox::list(&world.mail_folder()).await.unwrap().is_empty());
    let hits = server.hits("/ok");
    assert_eq!(hits.iter().map(|h| h.header("webhook-id")).collect::<Vec<_>>(), ["evt_2"]);
    assert_eq!(world.attempts(endpoint).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_rows_are_swept_and_young_ones_stay() {
    let world = World::new().await;
    let server = super::web_server::WebServer::start().await;
    let (endpoint, _) = world.endpoint(&server.url("/ok")).await;
    world.send(lead_mail("Grace")).await.unwrap();
    world.emit("lead.captured", json!({"email": "grace@example.org"}), "evt_1").await.unwrap();
    world.drain().await;
    let sweep = async || world.store.write(&world.system, (), |tx, ()| Box::pin(notifications::sweep(tx))).await.unwrap();
    assert_eq!(sweep().await, 0);
    world.store.clock().advance(Duration::from_secs(31 * 24 * 3600));
    assert_eq!(sweep().await, 2, "the attempt and the event");
    assert!(world.attempts(endpoint).await.is_empty());
    world.store.clock().advance(Duration::from_secs(60 * 24 * 3600));
    assert_eq!(sweep().await, 1);
    assert!(world.messages().await.is_empty());
    assert_eq!(sweep().await, 0);
}
