//! The small pages that say one thing: why a scan got no page of its own, and thanks. Pure.

use askama::Template;

use super::thanks;
use crate::colour::{Colour, Shades};
use crate::language::Language;
use crate::words::{Words, with_name};

/// Why a scan got no page of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// The code is printed and has no destination yet.
    Unbound,
    /// The code is switched off for now.
    Paused,
    /// The code's time is over.
    Expired,
    /// The code was scanned as often as it may be.
    UsedUp,
    /// There is no such code.
    NotFound,
    /// The card is no longer in use.
    Retired,
    /// The answer must wait.
    Unavailable,
    /// The caller asks too often.
    TooMany,
    /// The visitor's details arrived.
    Thanks {
        /// The visitor's name.
        visitor: Option<String>,
        /// The name on the card.
        to: String,
    },
}

/// A small page that says one thing.
#[derive(Debug, Clone)]
pub struct Notice {
    /// What it says.
    pub kind: NoticeKind,
    /// In which language: the card's, or the visitor's where no card is known.
    pub language: Language,
    /// Where to go from here: back to the card.
    pub back: Option<String>,
}

impl Notice {
    /// A notice without a way back.
    pub fn new(kind: NoticeKind, language: Language) -> Self {
        Self { kind, language, back: None }
    }
}

/// Renders a notice.
pub fn render_notice(notice: &Notice) -> String {
    let words = Words::of(&notice.language);
    let (icon, title, hint) = match &notice.kind {
        NoticeKind::Unbound => ("link", words.unbound, words.unbound_hint),
        NoticeKind::Paused => ("pause", words.paused, words.paused_hint),
        NoticeKind::Expired => ("clock", words.expired, words.expired_hint),
        NoticeKind::UsedUp => ("check", words.used_up, words.used_up_hint),
        NoticeKind::NotFound => ("search", words.not_found, words.not_found_hint),
        NoticeKind::Retired => ("archive", words.retired, words.retired_hint),
        NoticeKind::Unavailable => ("clock", words.unavailable, words.unavailable_hint),
        NoticeKind::TooMany => ("pause", words.too_many, words.too_many_hint),
        NoticeKind::Thanks { .. } => ("check", words.thanks, words.thanks_hint),
    };
    let (title, hint) = match &notice.kind {
        NoticeKind::Thanks { visitor, to } => (thanks(words, visitor.as_deref()), with_name(hint, to)),
        _ => (title.to_owned(), hint.to_owned()),
    };
    // The words decide here, because nothing else stands on the page.
    let direction = Language::parse(words.tag).unwrap_or_else(Language::english).direction().as_str();
    let template = NoticeTemplate {
        words,
        direction,
        light: Colour::DEFAULT.on_light(),
        dark: Colour::DEFAULT.on_dark(),
        icon,
        title,
        hint,
        back: notice.back.as_deref().unwrap_or_default(),
    };
    template.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticeTemplate<'a> {
    words: &'a Words,
    direction: &'a str,
    light: Shades,
    dark: Shades,
    icon: &'static str,
    title: String,
    hint: String,
    back: &'a str,
}
