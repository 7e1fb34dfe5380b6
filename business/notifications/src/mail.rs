//! Builds the mail: headers, a plain text and an HTML part, attachments. No I/O.

use std::time::{Duration, SystemTime};

use kernel::Timestamp;
use lettre::Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as Part, Mailbox, MultiPart, SinglePart};

use crate::error::NotificationError;
use crate::message::{Attachment, MessageId};
use crate::smtp::Envelope;
use crate::template::Rendered;

/// Who our mail is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    name: String,
    address: Address,
}

impl Sender {
    /// A display name and an address.
    pub fn new(name: &str, address: &str) -> Result<Self, NotificationError> {
        check_address("sender", address)?;
        let parsed = address.parse().map_err(|_| NotificationError::field("sender", "must be an email address"))?;
        if name.len() > 100 || name.chars().any(char::is_control) {
            return Err(NotificationError::field("sender", "must have a name of at most 100 bytes without control characters"));
        }
        Ok(Self { name: name.to_owned(), address: parsed })
    }

    fn mailbox(&self) -> Mailbox {
        Mailbox::new((!self.name.is_empty()).then(|| self.name.clone()), self.address.clone())
    }
}

/// Refuses what is not one plain email address, line ends above all.
pub(crate) fn check_address(field: &str, address: &str) -> Result<(), NotificationError> {
    let is_plain = address.len() <= 254 && !address.chars().any(|c| c.is_control() || c.is_whitespace() || "<>,;\"".contains(c));
    if is_plain && address.parse::<Address>().is_ok() {
        Ok(())
    } else {
        Err(NotificationError::field(field, "must be an email address such as ada@example.org"))
    }
}

/// Refuses what is not a media type.
pub(crate) fn check_content_type(text: &str) -> Result<(), NotificationError> {
    let is_plain = text.len() <= 100 && !text.chars().any(char::is_control);
    if is_plain && ContentType::parse(text).is_ok() {
        Ok(())
    } else {
        Err(NotificationError::field("attachments.content_type", "must be a media type such as text/vcard"))
    }
}

/// A mail in its final form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) envelope: Envelope,
    pub(crate) bytes: Vec<u8>,
}

/// What a mail is made of.
pub(crate) struct Draft<'a> {
    pub(crate) id: MessageId,
    pub(crate) to: &'a str,
    pub(crate) reply_to: Option<&'a str>,
    pub(crate) rendered: &'a Rendered,
    pub(crate) attachments: &'a [Attachment],
    /// When the message was accepted, so that every attempt carries the same date.
    pub(crate) at: Timestamp,
}

/// Builds the mail. The Message-ID comes from the message's id, so that a repeated attempt is recognisable as the same mail.
pub(crate) fn build(sender: &Sender, draft: &Draft<'_>) -> Result<Mail, NotificationError> {
    let unbuildable = |_| NotificationError::Unbuildable;
    let to: Address = draft.to.parse().map_err(|_| NotificationError::Unbuildable)?;
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(draft.at.as_seconds()).unwrap_or(0));
    let mut builder = lettre::Message::builder()
        .from(sender.mailbox())
        .to(Mailbox::new(None, to.clone()))
        .subject(draft.rendered.subject.clone())
        .message_id(Some(format!("<{}@{}>", draft.id, sender.address.domain())))
        .date(date);
    if let Some(address) = draft.reply_to {
        builder = builder.reply_to(Mailbox::new(None, address.parse().map_err(|_| NotificationError::Unbuildable)?));
    }
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    builder = builder.raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
    let boundary = |part: &str| format!("{part}-{:032x}", kernel::Id::raw(draft.id).bits());
    let alternative = MultiPart::alternative()
        .boundary(boundary("text"))
        .singlepart(SinglePart::plain(draft.rendered.text.clone()))
        .singlepart(SinglePart::html(draft.rendered.html.clone()));
    let body = if draft.attachments.is_empty() {
        alternative
    } else {
        let mut mixed = MultiPart::mixed().boundary(boundary("mail")).multipart(alternative);
        for attachment in draft.attachments {
            let kind = ContentType::parse(&attachment.content_type).map_err(|_| NotificationError::Unbuildable)?;
            mixed = mixed.singlepart(Part::new(attachment.name.clone()).body(attachment.bytes.clone(), kind));
        }
        mixed
    };
    let message = builder.multipart(body).map_err(unbuildable)?;
    let envelope = Envelope { from: sender.address.to_string(), to: to.to_string() };
    Ok(Mail { envelope, bytes: message.formatted() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Id, RawId};

    fn rendered(subject: &str) -> Rendered {
        Rendered { subject: subject.into(), text: "Hello\n.\nbye".into(), html: "<p>Grüße</p>".into() }
    }

    #[test]
    fn a_mail_has_both_parts_its_attachments_and_the_same_bytes_at_each_attempt() {
        let sender = Sender::new("Tessera Café", "hello@tessera.example").unwrap();
        let rendered = rendered("Grüße");
        let attachments = [Attachment { name: "ada.vcf".into(), content_type: "text/vcard".into(), bytes: b"BEGIN:VCARD".to_vec() }];
        let draft = Draft {
            id: MessageId::from_raw(RawId::from_bits(7)),
            to: "ada@example.org",
            reply_to: Some("bob@example.org"),
            rendered: &rendered,
            attachments: &attachments,
            at: Timestamp::from_seconds(1_769_851_800),
        };
        let mail = build(&sender, &draft).unwrap();
        let text = String::from_utf8(mail.bytes.clone()).unwrap();
        for part in [
            "Message-ID: <ntf_00000000000000000000000000000007@tessera.example>",
            "To: ada@example.org",
            "Reply-To: bob@example.org",
            "Date: Sat, 31 Jan 2026 09:30:00 +0000",
            "Auto-Submitted: auto-generated",
            "multipart/alternative",
            "text/plain",
            "text/html",
            "filename=\"ada.vcf\"",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(build(&sender, &draft).unwrap(), mail);
        assert!(text.split("\r\n").all(|line| line.len() <= 998 && !line.contains('\n')));
    }

    #[test]
    fn no_text_can_add_a_header() {
        assert!(Sender::new("Eve\r\nBcc: x@y.z", "a@b.example").is_err());
        assert!(check_address("x", "a@b.example\nBcc: x@y.z").is_err());
        let sender = Sender::new("", "a@b.example").unwrap();
        let rendered = rendered("one\r\nBcc: eve@example.org");
        let draft = Draft {
            id: MessageId::from_raw(RawId::from_bits(7)),
            to: "ada@example.org",
            reply_to: None,
            rendered: &rendered,
            attachments: &[],
            at: Timestamp::from_seconds(0),
        };
        let text = String::from_utf8(build(&sender, &draft).unwrap().bytes).unwrap();
        assert!(!text.contains("\r\nBcc:"), "{text}");
    }
}
