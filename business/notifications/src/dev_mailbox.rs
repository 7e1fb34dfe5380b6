//! The development mailbox: where there is no mail server, mails are kept as `.eml` files and shown on a page.
//!
//! Beside each `<id>.eml` lies `<id>.json` with the parts that the page shows, so that no mail has to be taken apart again.
//! Not for production: whoever may open the page reads every mail.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use kernel::Id as _;
use serde::{Deserialize, Serialize};

use crate::mail::Mail;
use crate::message::MessageId;
use crate::template::Rendered;

/// Mails that a list shows.
pub const LIST_MAX: usize = 200;

/// A kept mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptMail {
    /// The message.
    pub id: MessageId,
    /// Who it is for.
    pub to: String,
    /// Its subject.
    pub subject: String,
    /// Its plain text part.
    pub text: String,
    /// Its HTML part.
    pub html: String,
    /// The names of its attachments.
    pub attachments: Vec<String>,
}

fn paths(folder: &Path, id: MessageId) -> (PathBuf, PathBuf) {
    (folder.join(format!("{id}.eml")), folder.join(format!("{id}.json")))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Keeps a mail; keeping it twice is keeping it once.
pub(crate) async fn keep(folder: PathBuf, id: MessageId, mail: Mail, rendered: Rendered, attachments: Vec<String>) -> io::Result<()> {
    blocking(move || {
        std::fs::create_dir_all(&folder)?;
        let (eml, json) = paths(&folder, id);
        let kept = KeptMail { id, to: mail.envelope.to, subject: rendered.subject, text: rendered.text, html: rendered.html, attachments };
        let view = serde_json::to_vec(&kept).map_err(io::Error::other)?;
        for (path, bytes) in [(eml, mail.bytes), (json, view)] {
            let part = path.with_extension("part");
            std::fs::write(&part, bytes)?;
            std::fs::File::open(&part)?.sync_all()?;
            std::fs::rename(&part, &path)?;
        }
        Ok(())
    })
    .await
}

/// Removes kept mails; those that are not there are gone already.
pub(crate) async fn forget(folder: PathBuf, ids: Vec<MessageId>) -> io::Result<()> {
    blocking(move || {
        for id in ids {
            let (eml, json) = paths(&folder, id);
            for path in [eml, json] {
                match std::fs::remove_file(path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    })
    .await
}

/// The latest mails of the folder, the newest first.
pub async fn list(folder: &Path) -> io::Result<Vec<KeptMail>> {
    let folder = folder.to_owned();
    blocking(move || {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut ids: Vec<MessageId> = entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".json").and_then(|id| MessageId::parse(id).ok()))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.truncate(LIST_MAX);
        Ok(ids.into_iter().filter_map(|id| read_now(&folder, id).ok().flatten()).collect())
    })
    .await
}

/// One mail of the folder.
pub async fn read(folder: &Path, id: MessageId) -> io::Result<Option<KeptMail>> {
    let folder = folder.to_owned();
    blocking(move || read_now(&folder, id)).await
}

fn read_now(folder: &Path, id: MessageId) -> io::Result<Option<KeptMail>> {
    match std::fs::read(paths(folder, id).1) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The `.eml` file of a mail, to be downloaded.
pub async fn raw(folder: &Path, id: MessageId) -> io::Result<Option<Vec<u8>>> {
    let path = paths(folder, id).0;
    blocking(move || match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}\
    a{color:#2f5af0}li{margin:.5rem 0}small{opacity:.7}pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:1rem;border:1px solid #8884;\
    border-radius:.5rem}iframe{width:100%;height:34rem;border:1px solid #8884;border-radius:.5rem;background:#fff}";

/// What the pages may load: nothing of the mail's but its inline styles and pictures.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data: https:; frame-src 'self'; frame-ancestors 'none'; \
    base-uri 'none'; form-action 'none'";

/// The page that lists mails; `at` is where it is mounted, for example `/dev/mailbox`.
pub fn list_page(at: &str, mails: &[KeptMail]) -> String {
    let mut items = String::new();
    for mail in mails {
        let _ = write!(items, "<li><a href=\"{at}/{}\">{}</a><br><small>{}</small></li>", mail.id, escape(&mail.subject), escape(&mail.to));
    }
    if items.is_empty() {
        items.push_str("<li>No mail yet.</li>");
    }
    page("Development mailbox", &format!("<h1>Development mailbox</h1><ul>{items}</ul>"))
}

/// The page of one mail: its text with links to follow, its HTML in a frame that can run nothing.
pub fn mail_page(at: &str, mail: &KeptMail) -> String {
    let names: Vec<_> = mail.attachments.iter().map(|name| escape(name)).collect();
    let attached = if names.is_empty() { String::new() } else { format!("<p><small>Attached: {}</small></p>", names.join(", ")) };
    // Links of the frame open beside it; scripts, forms and same-origin access stay shut out.
    let html = mail.html.replacen("<head>", "<head><base target=\"_blank\">", 1);
    let body = format!(
        "<p><a href=\"{at}\">All mails</a> · <a href=\"{at}/{id}.eml\">{id}.eml</a></p><h1>{subject}</h1><p>To {to}</p>{attached}<pre>{text}</pre>\
         <iframe title=\"HTML part\" sandbox=\"allow-popups allow-popups-to-escape-sandbox\" srcdoc=\"{html}\"></iframe>",
        id = mail.id,
        subject = escape(&mail.subject),
        to = escape(&mail.to),
        text = linked(&mail.text),
        html = escape(&html),
    );
    page(&mail.subject, &body)
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>",
        escape(title)
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

/// Text in which what begins with http:// or https:// is a link.
fn linked(text: &str) -> String {
    let mut out = String::new();
    for word in text.split_inclusive(char::is_whitespace) {
        let address = word.trim_end();
        if address.starts_with("https://") || address.starts_with("http://") {
            let address = escape(address);
            let _ = write!(out, "<a href=\"{address}\" rel=\"noreferrer\">{address}</a>{}", &word[word.trim_end().len()..]);
        } else {
            out.push_str(&escape(word));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::RawId;

    #[test]
    fn a_mail_cannot_break_out_of_its_page() {
        let mail = KeptMail {
            id: MessageId::from_raw(RawId::from_bits(1)),
            to: "<ada@example.org>".into(),
            subject: "<script>1</script>".into(),
            text: "go\nhttps://example.org/?a=1&b=\"><script>2</script>\n<b>".into(),
            html: "<head></head><p title='\"'><script>3</script>".into(),
            attachments: vec!["<x>.vcf".into()],
        };
        let page = mail_page("/dev/mailbox", &mail);
        assert!(!page.contains("<script>") && !page.contains("<b>") && !page.contains("<x>"), "{page}");
        assert!(page.contains("<a href=\"https://example.org/?a=1&amp;b=&quot;&gt;&lt;script&gt;2&lt;/script&gt;\""));
        assert!(list_page("/dev/mailbox", &[mail]).contains("&lt;script&gt;"));
    }
}
