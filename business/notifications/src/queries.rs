//! What can be asked; a unit of work and a plain read share it.

use kernel::WorkspaceId;
use store::{Reads, Row, StoreError, params};

use crate::endpoint::{Attempt, AttemptId, AttemptOutcome, Endpoint, EndpointId, EndpointState};
use crate::error::NotificationError;
use crate::message::{Attachment, MessageId, MessageState, MessageStatus};
use crate::sql;
use crate::template::{TemplateKey, TemplateSource, language_of};

fn endpoint_of(row: &Row<'_>) -> Result<Endpoint, StoreError> {
    let state = if row.get::<bool>("is_enabled")? {
        EndpointState::Enabled { failing_since: row.opt_time("failing_since_at")? }
    } else {
        EndpointState::Disabled { reason: row.get::<Option<String>>("disabled_reason")?.unwrap_or_default() }
    };
    Ok(Endpoint {
        id: row.id("id")?,
        url: row.get("url")?,
        description: row.get("description")?,
        event_types: row.json("event_types")?,
        state,
        previous_secret_until: row.opt_time("previous_until_at")?,
        created_at: row.time("created_at")?,
    })
}

/// One endpoint, or that there is none.
pub async fn endpoint(reads: &mut impl Reads, workspace: WorkspaceId, id: EndpointId) -> Result<Endpoint, NotificationError> {
    let found = reads.row(&sql::FIND_ENDPOINT, params![workspace, id], endpoint_of).await?;
    found.ok_or(NotificationError::NotFound { what: "webhook endpoint" })
}

/// At most `limit` endpoints after `after`, in the order in which they were made.
pub async fn endpoints(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    after: Option<EndpointId>,
    limit: i64,
) -> Result<Vec<Endpoint>, NotificationError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    Ok(reads.rows(&sql::LIST_ENDPOINTS, params![workspace, after, limit], endpoint_of).await?)
}

/// A text above every identifier, where a list that goes back in time begins.
fn before<I: kernel::Id>(after: Option<I>) -> String {
    after.map_or_else(|| format!("{}_g", I::PREFIX), |id| id.to_string())
}

/// At most `limit` attempts at an endpoint, the latest first.
pub async fn attempts(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    endpoint: EndpointId,
    after: Option<AttemptId>,
    limit: i64,
) -> Result<Vec<Attempt>, NotificationError> {
    let after = before(after);
    Ok(reads
        .rows(&sql::LIST_ATTEMPTS, params![workspace, endpoint, after, limit], |row| {
            Ok(Attempt {
                id: row.id("id")?,
                event: row.get("event")?,
                outcome: AttemptOutcome::parse(&row.get::<String>("outcome")?).unwrap_or(AttemptOutcome::GivenUp),
                status: row.get("status")?,
                took_ms: row.get("took_ms")?,
                answer: row.get("answer")?,
                attempted_at: row.time("attempted_at")?,
            })
        })
        .await?)
}

/// At most `limit` messages, the latest first, without their content.
pub async fn messages(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    after: Option<MessageId>,
    limit: i64,
) -> Result<Vec<MessageStatus>, NotificationError> {
    let after = before(after);
    Ok(reads
        .rows(&sql::LIST_MESSAGES, params![workspace, after, limit], |row| {
            Ok(MessageStatus {
                id: row.id("id")?,
                template: row.get("template")?,
                recipient: row.get("recipient")?,
                state: MessageState::parse(&row.get::<String>("state")?).unwrap_or(MessageState::Failed),
                reason: row.get("reason")?,
                created_at: row.time("created_at")?,
                finished_at: row.opt_time("finished_at")?,
            })
        })
        .await?)
}

/// The version of a workspace's latest wording, also when that is "back to the built-in one".
pub(crate) async fn latest_version(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    key: TemplateKey,
    language: &str,
) -> Result<Option<i64>, StoreError> {
    reads.row(&sql::LATEST_TEMPLATE, params![workspace, key.as_str(), language], |row| row.get("version")).await
}

/// The wording that counts for a locale: the workspace's own, or the built-in one as version 0. With the language it is in.
pub async fn template(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    key: TemplateKey,
    locale: &str,
) -> Result<(&'static str, i64, TemplateSource), NotificationError> {
    let language = language_of(locale);
    let own = reads
        .row(&sql::LATEST_TEMPLATE, params![workspace, key.as_str(), language], |row| {
            let parts =
                (row.get::<Option<String>>("subject")?, row.get::<Option<String>>("text_part")?, row.get::<Option<String>>("html_part")?);
            Ok((row.get::<i64>("version")?, parts))
        })
        .await?;
    Ok(match own {
        Some((version, (Some(subject), Some(text), Some(html)))) => (language, version, TemplateSource { subject, text, html }),
        _ => {
            let (language, source) = key.built_in(locale);
            (language, 0, source)
        }
    })
}

/// Which templates a workspace has touched: key, language, latest version.
pub async fn templates(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Vec<(String, String, i64)>, NotificationError> {
    Ok(reads
        .rows(&sql::LATEST_TEMPLATES, params![workspace], |row| Ok((row.get("template")?, row.get("language")?, row.get("version")?)))
        .await?)
}

/// A message that waits to be sent.
pub(crate) struct Waiting {
    pub(crate) template: String,
    pub(crate) address: String,
    pub(crate) locale: String,
    pub(crate) variables: serde_json::Value,
    pub(crate) reply_to: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) created_at: kernel::Timestamp,
}

/// The message, if it still waits, and its attachments.
pub(crate) async fn waiting(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    id: MessageId,
) -> Result<Option<(Waiting, Vec<Attachment>)>, StoreError> {
    let found = reads
        .row(&sql::MESSAGE_TO_SEND, params![workspace, id], |row| {
            Ok(Waiting {
                template: row.get("template")?,
                address: row.get("address")?,
                locale: row.get("locale")?,
                variables: row.json("variables")?,
                reply_to: row.get("reply_to")?,
                attempts: row.get("attempts")?,
                created_at: row.time("created_at")?,
            })
        })
        .await?;
    let Some(waiting) = found else { return Ok(None) };
    let attachments = reads
        .rows(&sql::ATTACHMENTS_OF, params![workspace, id], |row| {
            Ok(Attachment { name: row.get("name")?, content_type: row.get("content_type")?, bytes: row.get("content")? })
        })
        .await?;
    Ok(Some((waiting, attachments)))
}

/// What a delivery needs: where to, sealed secrets, the body.
pub(crate) struct Delivery {
    pub(crate) url: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) previous_secret: Option<Vec<u8>>,
    pub(crate) previous_until: Option<kernel::Timestamp>,
    pub(crate) failing_since: Option<kernel::Timestamp>,
    pub(crate) body: String,
}

/// The delivery of an event to an endpoint; none when the endpoint is gone or disabled, or the event erased.
pub(crate) async fn delivery(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    endpoint: EndpointId,
    event: &str,
) -> Result<Option<Delivery>, StoreError> {
    reads
        .row(&sql::DELIVERY, params![workspace, endpoint, event], |row| {
            Ok(Delivery {
                url: row.get("url")?,
                secret: row.get("secret")?,
                previous_secret: row.get("previous_secret")?,
                previous_until: row.opt_time("previous_until_at")?,
                failing_since: row.opt_time("failing_since_at")?,
                body: row.get("body")?,
            })
        })
        .await
}
