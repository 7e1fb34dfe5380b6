//! The verbs: send, emit, erase, and what the owner does to endpoints and templates.

use std::time::Duration;

use gateway::AllowedNetworks;
use kernel::{Id as _, WorkspaceId};
use serde_json::json;
use store::{Reads as _, Tx, params};

use crate::endpoint::{
    BODY_BYTES_MAX, ENDPOINTS_MAX, Endpoint, EndpointId, EventTypes, OVERLAP_MAX, check_event_id, check_event_type, check_url,
};
use crate::error::NotificationError;
use crate::jobs::{DeliverWebhook, ForgetKeptMails, SendEmail, SendUrgentEmail};
use crate::message::{Attachment, Lane, Message, MessageId, mention, mentions};
use crate::template::{TemplateKey, TemplateSource};
use crate::{grants, queries, sql};

/// Tells a person. Once the caller's unit is committed the message is sent, whatever happens to the process; a second
/// message with the same `dedupe` key in the workspace is not. Answers the message's id, or that of the one sent before.
pub async fn send(tx: &mut Tx, workspace: WorkspaceId, message: Message) -> Result<MessageId, NotificationError> {
    message.check()?;
    let id: MessageId = tx.new_id();
    let (now, recipient) = (tx.now(), &message.recipient);
    let (variables, lane) = (message.variables.to_string(), lane_name(message.lane));
    let inserted = tx
        .execute(
            &sql::INSERT_MESSAGE,
            params![
                id,
                workspace,
                message.template.as_str(),
                lane,
                recipient.id,
                recipient.address,
                recipient.locale,
                recipient.zone,
                variables,
                message.reply_to,
                message.dedupe,
                now
            ],
        )
        .await?;
    if inserted == 0 {
        let earlier = tx.row(&sql::MESSAGE_BY_DEDUPE, params![workspace, message.dedupe], |row| row.id("id")).await?;
        return earlier.ok_or(NotificationError::NotFound { what: "message" });
    }
    for (position, attachment) in message.attachments.iter().enumerate() {
        let Attachment { name, content_type, bytes } = attachment;
        tx.execute(&sql::INSERT_ATTACHMENT, params![id, position as i64, workspace, name, content_type, bytes]).await?;
    }
    let subject = id.to_string();
    let mut people = mentions(&message.variables);
    people.extend(mention(&recipient.address));
    people.extend(message.reply_to.as_deref().and_then(mention));
    remember_mentions(tx, workspace, &subject, people).await?;
    match message.lane {
        Lane::Normal => outbox::enqueue(tx, workspace, &SendEmail { message: id }).await?,
        Lane::Urgent => outbox::enqueue(tx, workspace, &SendUrgentEmail { message: id }).await?,
    };
    Ok(id)
}

pub(crate) const fn lane_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Normal => "normal",
        Lane::Urgent => "urgent",
    }
}

async fn remember_mentions(tx: &mut Tx, workspace: WorkspaceId, subject: &str, mut people: Vec<String>) -> Result<(), NotificationError> {
    people.sort();
    people.dedup();
    for person in people {
        tx.execute(&sql::INSERT_MENTION, params![workspace, person, subject]).await?;
    }
    Ok(())
}

/// Tells every enabled endpoint that listens to `event_type`. The event's id is the `webhook-id` of all deliveries; emitting
/// it twice delivers it once. Answers how many endpoints are told; where nobody listens nothing is written.
pub async fn emit(
    tx: &mut Tx,
    workspace: WorkspaceId,
    event_type: &str,
    payload: serde_json::Value,
    event_id: &str,
) -> Result<usize, NotificationError> {
    check_event_type(event_type)?;
    check_event_id(event_id)?;
    let listening = tx
        .rows(&sql::ENABLED_ENDPOINTS, params![workspace], |row| Ok((row.id::<EndpointId>("id")?, row.json::<EventTypes>("event_types")?)))
        .await?;
    let endpoints: Vec<_> = listening.into_iter().filter(|(_, types)| types.include(event_type)).map(|(id, _)| id).collect();
    if endpoints.is_empty() || !write_event(tx, workspace, event_type, payload, event_id).await? {
        return Ok(0);
    }
    for endpoint in &endpoints {
        outbox::enqueue(tx, workspace, &DeliverWebhook { event: event_id.to_owned(), endpoint: *endpoint, replay: None }).await?;
    }
    Ok(endpoints.len())
}

/// Writes the event with the body that every attempt will carry; says whether it is new.
async fn write_event(
    tx: &mut Tx,
    workspace: WorkspaceId,
    event_type: &str,
    payload: serde_json::Value,
    event_id: &str,
) -> Result<bool, NotificationError> {
    let people = mentions(&payload);
    let body = json!({ "type": event_type, "timestamp": tx.now().to_string(), "data": payload }).to_string();
    if body.len() > BODY_BYTES_MAX {
        return Err(NotificationError::field("payload", "must be at most 20 kB as JSON"));
    }
    let now = tx.now();
    let inserted = tx.execute(&sql::INSERT_EVENT, params![workspace, event_id, event_type, body, now]).await?;
    if inserted > 0 {
        remember_mentions(tx, workspace, event_id, people).await?;
    }
    Ok(inserted > 0)
}

/// Kept mails that one job removes; it names each by its id.
const KEPT_PER_JOB: usize = 500;

/// Blanks whatever is kept here about the person of an email address or telephone number: messages to and about them, sent
/// or not, events that speak of them, and what endpoints answered to those. What was not sent yet is not sent. Mails that were kept in a folder go too, by a job.
pub async fn erase(tx: &mut Tx, workspace: WorkspaceId, address: &str) -> Result<(), NotificationError> {
    let Some(person) = mention(address) else { return Ok(()) };
    let now = tx.now();
    let subjects = tx.rows(&sql::MENTIONING, params![workspace, person], |row| row.get::<String>(0)).await?;
    let messages: Vec<MessageId> = subjects.iter().filter_map(|subject| MessageId::parse(subject).ok()).collect();
    for messages in messages.chunks(KEPT_PER_JOB) {
        outbox::enqueue(tx, workspace, &ForgetKeptMails { messages: messages.to_vec() }).await?;
    }
    tx.execute(&sql::ERASE_MESSAGES, params![workspace, person, now]).await?;
    for statement in [&sql::ERASE_ATTACHMENTS, &sql::ERASE_EVENTS, &sql::ERASE_ANSWERS, &sql::ERASE_MENTIONS] {
        tx.execute(statement, params![workspace, person]).await?;
    }
    Ok(())
}

/// What an endpoint is made from. Its id and secret are made before the unit, because the secret is sealed under the id.
#[derive(Debug, Clone)]
pub struct NewEndpoint {
    /// Its id.
    pub id: EndpointId,
    /// Where deliveries go.
    pub url: String,
    /// What it is for, in its owner's words; at most 200 bytes.
    pub description: String,
    /// What it is told of.
    pub event_types: Vec<String>,
    /// The secret, sealed by the store's vault for the endpoint's id.
    pub sealed_secret: Vec<u8>,
}

/// Makes an endpoint.
pub async fn create_endpoint(tx: &mut Tx, allowed: &AllowedNetworks, new: NewEndpoint) -> Result<Endpoint, NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let url = check_url(&new.url, allowed)?;
    check_description(&new.description)?;
    let types = json_of(&EventTypes::new(new.event_types)?);
    tx.lock("notifications.endpoints", &workspace.to_string()).await?;
    let count = tx.row(&sql::COUNT_ENDPOINTS, params![workspace], |row| row.get::<i64>(0)).await?.unwrap_or(0);
    if count >= ENDPOINTS_MAX as i64 {
        return Err(NotificationError::TooManyEndpoints { max: ENDPOINTS_MAX });
    }
    let now = tx.now();
    tx.execute(&sql::INSERT_ENDPOINT, params![new.id, workspace, url, new.description, types, new.sealed_secret, now]).await?;
    outbox::audit(tx, workspace, "webhook.created", &new.id.to_string(), &json!({})).await?;
    queries::endpoint(tx, workspace, new.id).await
}

fn check_description(text: &str) -> Result<(), NotificationError> {
    if text.len() <= 200 && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(NotificationError::field("description", "must be at most 200 bytes without control characters"))
    }
}

fn json_of(types: &EventTypes) -> String {
    json!(types).to_string()
}

/// What of an endpoint is to change; what is `None` stays.
#[derive(Debug, Clone, Default)]
pub struct EndpointChange {
    /// Where deliveries go.
    pub url: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it is told of.
    pub event_types: Option<Vec<String>>,
    /// Whether it gets deliveries; enabling it forgets its failures.
    pub is_enabled: Option<bool>,
}

/// Changes an endpoint.
pub async fn update_endpoint(
    tx: &mut Tx,
    allowed: &AllowedNetworks,
    id: EndpointId,
    change: EndpointChange,
) -> Result<Endpoint, NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    tx.lock("notifications.endpoints", &workspace.to_string()).await?;
    let found = queries::endpoint(tx, workspace, id).await?;
    let url = match change.url {
        Some(url) => check_url(&url, allowed)?,
        None => found.url,
    };
    let description = change.description.unwrap_or(found.description);
    check_description(&description)?;
    let types = match change.event_types {
        Some(names) => EventTypes::new(names)?,
        None => found.event_types,
    };
    let (was_enabled, old_reason) = match found.state {
        crate::EndpointState::Enabled { .. } => (true, None),
        crate::EndpointState::Disabled { reason } => (false, Some(reason)),
    };
    let is_enabled = change.is_enabled.unwrap_or(was_enabled);
    let reason = if is_enabled { None } else { old_reason.or_else(|| Some("by_hand".to_owned())) };
    let now = tx.now();
    tx.execute(&sql::UPDATE_ENDPOINT, params![workspace, id, url, description, json_of(&types), is_enabled, reason, now]).await?;
    outbox::audit(tx, workspace, "webhook.changed", &id.to_string(), &json!({ "is_enabled": is_enabled })).await?;
    queries::endpoint(tx, workspace, id).await
}

/// Removes an endpoint; deliveries on their way to it end.
pub async fn delete_endpoint(tx: &mut Tx, id: EndpointId) -> Result<(), NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    if tx.execute(&sql::DELETE_ENDPOINT, params![workspace, id]).await? == 0 {
        return Err(NotificationError::NotFound { what: "webhook endpoint" });
    }
    outbox::audit(tx, workspace, "webhook.deleted", &id.to_string(), &json!({})).await?;
    Ok(())
}

/// Gives an endpoint a new secret. The old one signs beside it for `overlap` (at most seven days), so that the receiver can
/// change over without losing a delivery.
pub async fn rotate_secret(tx: &mut Tx, id: EndpointId, sealed_secret: Vec<u8>, overlap: Duration) -> Result<Endpoint, NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    if overlap > OVERLAP_MAX {
        return Err(NotificationError::field("old_valid_for_s", "must be at most 604800 (seven days)"));
    }
    let (now, until) = (tx.now(), tx.now().plus(overlap));
    if tx.execute(&sql::ROTATE_SECRET, params![workspace, id, sealed_secret, until, now]).await? == 0 {
        return Err(NotificationError::NotFound { what: "webhook endpoint" });
    }
    outbox::audit(tx, workspace, "webhook.secret_rotated", &id.to_string(), &json!({})).await?;
    queries::endpoint(tx, workspace, id).await
}

/// Delivers an event to one endpoint once more, under its old id.
pub async fn replay(tx: &mut Tx, id: EndpointId, event: &str) -> Result<(), NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    enabled(tx, workspace, id).await?;
    check_event_id(event)?;
    if tx.row(&sql::EVENT_EXISTS, params![workspace, event], |_| Ok(())).await?.is_none() {
        return Err(NotificationError::NotFound { what: "event" });
    }
    let replay: MessageId = tx.new_id();
    outbox::enqueue(tx, workspace, &DeliverWebhook { event: event.to_owned(), endpoint: id, replay: Some(replay) }).await?;
    outbox::audit(tx, workspace, "webhook.replayed", &id.to_string(), &json!({ "event": event })).await?;
    Ok(())
}

/// Delivers a `test.ping` to one endpoint, whatever it listens to; answers the event's id.
pub async fn send_test_event(tx: &mut Tx, id: EndpointId) -> Result<String, NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    enabled(tx, workspace, id).await?;
    let event = format!("test_{}", tx.new_id::<MessageId>());
    write_event(tx, workspace, "test.ping", json!({ "endpoint": id }), &event).await?;
    outbox::enqueue(tx, workspace, &DeliverWebhook { event: event.clone(), endpoint: id, replay: None }).await?;
    Ok(event)
}

async fn enabled(tx: &mut Tx, workspace: WorkspaceId, id: EndpointId) -> Result<(), NotificationError> {
    match queries::endpoint(tx, workspace, id).await?.state {
        crate::EndpointState::Enabled { .. } => Ok(()),
        crate::EndpointState::Disabled { .. } => Err(NotificationError::EndpointDisabled),
    }
}

/// Rewords a template in one language; answers the wording's version.
pub async fn save_template(tx: &mut Tx, key: TemplateKey, language: &str, source: &TemplateSource) -> Result<i64, NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    check_language(language)?;
    if key.carries_a_token() {
        return Err(NotificationError::field("key", format!("{key} carries a link that signs somebody in, so its wording stays ours")));
    }
    source.check(key)?;
    write_template(tx, workspace, key, language, Some(source)).await
}

/// Goes back to the built-in wording; answers the version that says so.
pub async fn reset_template(tx: &mut Tx, key: TemplateKey, language: &str) -> Result<i64, NotificationError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    check_language(language)?;
    write_template(tx, workspace, key, language, None).await
}

pub(crate) fn check_language(language: &str) -> Result<(), NotificationError> {
    if crate::template::LANGUAGES.contains(&language) { Ok(()) } else { Err(NotificationError::NotFound { what: "language" }) }
}

async fn write_template(
    tx: &mut Tx,
    workspace: WorkspaceId,
    key: TemplateKey,
    language: &str,
    source: Option<&TemplateSource>,
) -> Result<i64, NotificationError> {
    tx.lock("notifications.templates", &workspace.to_string()).await?;
    let version = queries::latest_version(tx, workspace, key, language).await?.unwrap_or(0) + 1;
    let (now, actor) = (tx.now(), tx.caller().actor());
    let parts = source.map(|s| (s.subject.as_str(), s.text.as_str(), s.html.as_str()));
    let (subject, text, html) = (parts.map(|p| p.0), parts.map(|p| p.1), parts.map(|p| p.2));
    let name = key.as_str();
    tx.execute(&sql::INSERT_TEMPLATE, params![workspace, name, language, version, subject, text, html, actor, now]).await?;
    let what = if source.is_some() { "template.saved" } else { "template.reset" };
    outbox::audit(tx, workspace, what, key.as_str(), &json!({ "language": language, "version": version })).await?;
    Ok(version)
}

/// How many rows one sweep takes of each table at most.
const SWEEP_MAX: i64 = 500;

/// Forgets what is old: attempts and events after 30 days, finished messages after 90. Answers how many rows went; call it
/// again while that is not 0.
pub async fn sweep(tx: &mut Tx) -> Result<u64, NotificationError> {
    let day = Duration::from_secs(24 * 3600);
    let (month, quarter) = (tx.now().minus(day * 30), tx.now().minus(day * 90));
    let mut gone = tx.execute(&sql::SWEEP_ATTEMPTS_EVERYWHERE, params![month, SWEEP_MAX]).await?;
    tx.execute(&sql::SWEEP_EVENT_MENTIONS_EVERYWHERE, params![month, SWEEP_MAX]).await?;
    gone += tx.execute(&sql::SWEEP_EVENTS_EVERYWHERE, params![month, SWEEP_MAX]).await?;
    tx.execute(&sql::SWEEP_MESSAGE_MENTIONS_EVERYWHERE, params![quarter, SWEEP_MAX]).await?;
    gone += tx.execute(&sql::SWEEP_MESSAGES_EVERYWHERE, params![quarter, SWEEP_MAX]).await?;
    Ok(gone)
}
