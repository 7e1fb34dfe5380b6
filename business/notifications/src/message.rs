//! The noun: a message to one person, and how far along it is. No I/O.

use serde::{Deserialize, Serialize};

use crate::error::NotificationError;
use crate::template::TemplateKey;

kernel::id!(
    /// A message to one person.
    pub struct MessageId = "ntf"
);

/// All attachments of a message together, in bytes.
pub(crate) const ATTACHMENT_BYTES_MAX: usize = 200 * 1024;
/// Attachments of a message.
pub(crate) const ATTACHMENTS_MAX: usize = 10;
/// The variables of a message as JSON, in bytes.
pub(crate) const VARIABLES_BYTES_MAX: usize = 32 * 1024;

/// How a message travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Channel {
    /// By email.
    #[default]
    Email,
}

/// In which queue a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// With slots of its own: somebody waits for it at the screen (a sign-in link).
    Urgent,
    /// With everything else.
    #[default]
    Normal,
}

/// Who is told. The caller hands over all that is needed; nobody is looked up here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Who it is to the caller, for example a member's id; opaque here.
    pub id: String,
    /// Their email address.
    pub address: String,
    /// The language they read, for example `de` or `en-GB`; another than we have falls back to English.
    pub locale: String,
    /// The IANA zone that they live by, for example `Europe/Berlin`.
    pub zone: String,
}

/// A file that travels with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its file name.
    pub name: String,
    /// Its media type, for example `text/vcard; charset=utf-8`.
    pub content_type: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What is to be told to whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The template that words it.
    pub template: TemplateKey,
    /// How it travels.
    pub channel: Channel,
    /// Who is told.
    pub recipient: Recipient,
    /// A JSON object with the template's variables.
    pub variables: serde_json::Value,
    /// A second message of the workspace with the same key is not sent.
    pub dedupe: Option<String>,
    /// Where answers go.
    pub reply_to: Option<String>,
    /// Files, at most 200 KB together.
    pub attachments: Vec<Attachment>,
    /// The queue it waits in.
    pub lane: Lane,
}

impl Message {
    /// An email in the normal queue, without attachments.
    pub fn email(template: TemplateKey, recipient: Recipient, variables: serde_json::Value) -> Self {
        let (channel, lane) = (Channel::Email, Lane::Normal);
        Self { template, channel, recipient, variables, dedupe: None, reply_to: None, attachments: Vec::new(), lane }
    }

    /// The same, ahead of everything else.
    pub fn urgent(mut self) -> Self {
        self.lane = Lane::Urgent;
        self
    }

    /// The same, at most once for each `key` in the workspace.
    pub fn once(mut self, key: impl Into<String>) -> Self {
        self.dedupe = Some(key.into());
        self
    }

    /// Refuses what could not be sent later, when nobody is there to hear of it.
    pub(crate) fn check(&self) -> Result<(), NotificationError> {
        crate::mail::check_address("recipient.address", &self.recipient.address)?;
        if let Some(address) = &self.reply_to {
            crate::mail::check_address("reply_to", address)?;
        }
        for (field, text) in
            [("recipient.id", &self.recipient.id), ("recipient.locale", &self.recipient.locale), ("recipient.zone", &self.recipient.zone)]
        {
            if text.len() > 100 || text.chars().any(char::is_control) {
                return Err(NotificationError::field(field, "must be at most 100 bytes without control characters"));
            }
        }
        if self.dedupe.as_ref().is_some_and(|key| key.is_empty() || key.len() > 200 || key.contains('\0')) {
            return Err(NotificationError::field("dedupe", "must be 1 to 200 bytes"));
        }
        self.template.check_variables(&self.variables)?;
        let bytes: usize = self.attachments.iter().map(|a| a.bytes.len()).sum();
        if bytes > ATTACHMENT_BYTES_MAX || self.attachments.len() > ATTACHMENTS_MAX {
            return Err(NotificationError::field("attachments", "must be at most 10 files of 200 KB together"));
        }
        for attachment in &self.attachments {
            let is_named = !attachment.name.is_empty() && attachment.name.len() <= 120;
            if !is_named || attachment.name.chars().any(|c| c.is_control() || "/\\\"".contains(c)) {
                return Err(NotificationError::field("attachments.name", "must be a plain file name of at most 120 bytes"));
            }
            crate::mail::check_content_type(&attachment.content_type)?;
        }
        Ok(())
    }
}

/// How far along a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Accepted, not yet handed to the mail server.
    Queued,
    /// The mail server has it.
    Sent,
    /// It will not be sent, and the reason is known.
    Failed,
}

impl MessageState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Sent, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// What a list of messages shows: how far along each is, never what it says or to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageStatus {
    /// The message.
    pub id: MessageId,
    /// Its template.
    pub template: String,
    /// Who was told, by the caller's own id.
    pub recipient: String,
    /// How far along it is.
    pub state: MessageState,
    /// Why it failed or was put off, in a sentence.
    pub reason: Option<String>,
    /// When it was accepted.
    pub created_at: kernel::Timestamp,
    /// When it was sent or given up.
    pub finished_at: Option<kernel::Timestamp>,
}

/// An address or telephone number in the form by which `erase` finds it; none for other texts.
pub(crate) fn mention(text: &str) -> Option<String> {
    let text = text.trim();
    if text.len() > 320 || text.chars().any(char::is_control) {
        return None;
    }
    if let Some((user, domain)) = text.rsplit_once('@') {
        let is_address = !user.is_empty() && !domain.is_empty() && !text.contains(char::is_whitespace);
        return is_address.then(|| text.to_lowercase());
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let is_number = digits.len() >= 7 && text.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
    is_number.then(|| format!("tel:{digits}"))
}

/// Every address and telephone number among the texts of `value`, at most 50.
pub(crate) fn mentions(value: &serde_json::Value) -> Vec<String> {
    fn walk(value: &serde_json::Value, depth: usize, found: &mut std::collections::BTreeSet<String>) {
        match value {
            _ if depth > 32 || found.len() >= 50 => {}
            serde_json::Value::String(text) => found.extend(mention(text)),
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, depth + 1, found)),
            serde_json::Value::Object(fields) => fields.values().for_each(|item| walk(item, depth + 1, found)),
            _ => {}
        }
    }
    let mut found = std::collections::BTreeSet::new();
    walk(value, 0, &mut found);
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn message() -> Message {
        let recipient = Recipient { id: "mem_1".into(), address: "ada@example.org".into(), locale: "en".into(), zone: "UTC".into() };
        Message::email(TemplateKey::SignInLink, recipient, json!({"link": "https://example.org/s"}))
    }

    #[test]
    fn what_could_not_be_sent_is_refused_when_it_is_accepted() {
        assert!(message().check().is_ok());
        for address in ["", "ada", "ada@example.org\r\nBcc: eve@example.org", "a b@example.org", "ada@example.org>"] {
            let mut bad = message();
            bad.recipient.address = address.into();
            assert!(bad.check().is_err(), "{address:?}");
            let mut bad = message();
            bad.reply_to = Some(address.into());
            assert!(bad.check().is_err(), "{address:?}");
        }
        let attach = |name: &str, content_type: &str, size| {
            let mut message = message();
            message.attachments = vec![Attachment { name: name.into(), content_type: content_type.into(), bytes: vec![0; size] }];
            message.check()
        };
        assert!(attach("card.vcf", "text/vcard; charset=utf-8", 200 * 1024).is_ok());
        assert!(attach("card.vcf", "text/vcard", 200 * 1024 + 1).is_err());
        assert!(attach("../card.vcf", "text/vcard", 1).is_err());
        assert!(attach("card\r\n.vcf", "text/vcard", 1).is_err());
        assert!(attach("card.vcf", "vcard", 1).is_err());
    }

    #[test]
    fn addresses_and_numbers_are_found_wherever_a_payload_holds_them() {
        let value = json!({"a": {"email": " Ada@Example.org "}, "list": ["+49 (30) 123-4567", "12345", "see you @ noon", "2026-01-31T09:30:00Z"], "n": 1234567});
        assert_eq!(mentions(&value), ["ada@example.org", "tel:49301234567"]);
    }
}
