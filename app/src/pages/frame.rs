//! What all pages of an owner share: who looks at them, the frame around them, and how times and refusals are written.

use std::collections::HashMap;
use std::fmt;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use gateway::page::{Page, see_other};
use gateway::{Call, Problem};
use http::{Method, StatusCode, Uri};
use kernel::{Caller, FieldFault, Grant, Id, MemberId, Timestamp, WorkspaceId};
use people::{Member, Membership};
use serde::Deserialize;

use super::assets;
use crate::installation::Parts;

/// The sentences that a page says after a form went well, by the word in its address.
const DONE: &[(&str, &str)] = &[
    ("saved", "Saved."),
    ("photo", "The photo is on the card."),
    ("photo_gone", "The photo was removed."),
    ("minted", "A new code leads to this card."),
    ("made", "The card is made. Its code is ready to print."),
    ("retired", "The card is retired."),
    ("note", "The note was added."),
    ("erased", "The person was erased."),
    ("alert", "Noted: this is how you are told of scans."),
    ("paused", "The code is paused: scans see that it is."),
    ("resumed", "The code is open again."),
    ("bound", "The code leads there now. Nothing needs printing again."),
    ("password", "The password is set. All other devices were signed out."),
    ("signed_out", "Signed out there."),
    ("invited", "The invitation is on its way."),
    ("withdrawn", "The invitation was withdrawn."),
    ("member", "The member was changed."),
    ("removed", "The member was removed."),
    ("revoked", "The key was revoked: it opens nothing any more."),
    ("deleted", "The endpoint was deleted."),
    ("tested", "A test is on its way; reload to see how it ends."),
    ("opened", "The account is open."),
    ("closed", "The account is closed: nothing can be posted to it."),
    ("reopened", "The account is open again."),
    ("link", "The link is made: copy its address and send it."),
    ("link_closed", "The link is closed: nobody begins to pay with it."),
    ("link_opened", "The link is open again."),
    ("captured", "The capture is on its way; its line below says how it went."),
    ("canceled", "The payment was called off."),
    ("refund", "The refund is on its way; its line below says how it went."),
    ("reviewed", "The attempt was decided."),
    ("decided", "Your word is on record: below is what it made of the payment."),
    ("approved", "Your word is on record: below is what it made of the payout."),
    ("refused", "The payout was refused: nothing is sent."),
    ("payout_canceled", "The payout was called off: nothing is sent."),
    ("report", "The report is taken in. Its lines are booked within moments, and this page shows how far it is."),
    ("statement", "The statement is taken in. Lines that name a batch are matched with it within moments."),
    ("payout", "The payout is asked for. Below is what it has to pass."),
    ("retried", "It was looked at once more: below is how it stands."),
    ("confirmed", "The password was passed on: below is how it stands."),
    ("resolved", "Your word is on record, and in the books."),
    ("beneficiary", "The beneficiary is added. The number of the account is not shown again."),
    ("beneficiary_changed", "The account is changed. What was asked for before and not sent yet does not go any more."),
    ("beneficiary_removed", "The name and the number were erased."),
    ("topped_up", "The money is in the books. Payouts that waited for it are tried again."),
    ("asked", "The provider is being asked. Reload in a moment to see what it says."),
    ("worked_off", "The difference is worked off. The reason stays with it."),
    ("still_open", "Kept on record. The difference is still open: see below what it needs."),
    ("provider", "The provider is added. Enter its webhook address in the provider's dashboard."),
    ("consent", "The new text is in force. What was agreed to before stays on record as it was."),
];

/// The word in an address that says what was done.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Done {
    done: Option<String>,
}

impl Done {
    /// The sentence for it; nothing for a word that is none of ours.
    pub fn sentence(&self) -> &'static str {
        let word = self.done.as_deref().unwrap_or_default();
        DONE.iter().find(|(known, _)| *known == word).map_or("", |(_, sentence)| sentence)
    }
}

/// A member who looks at their pages. Nobody signed in is sent to sign in, and back afterwards.
pub struct Owner {
    /// The call.
    pub call: Call,
    /// The same as a caller of verbs.
    pub caller: Caller,
    /// Where they work.
    pub workspace: WorkspaceId,
    /// Who they are there.
    pub me: Member,
    /// Where else they could.
    pub places: Vec<Membership>,
}

impl FromRequestParts<Parts> for Owner {
    type Rejection = Response;

    async fn from_request_parts(request: &mut http::request::Parts, parts: &Parts) -> Result<Self, Response> {
        let call = Call::from_request_parts(request, parts).await.map_err(IntoResponse::into_response)?;
        let caller = match call.known() {
            Some(caller @ Caller::Person { .. }) => caller.clone(),
            Some(_) => {
                let problem =
                    Problem::new(StatusCode::FORBIDDEN, "person_needed").with_detail("pages are for people: programs use the API");
                return Err(problem.into_response());
            }
            None => return Err(see_other(&sign_in_address(&request.method, &request.uri))),
        };
        let look_up = async {
            let mut reads = parts.store.read();
            let me = people::queries::member_of_caller(&mut reads, &caller).await?;
            let places = people::queries::memberships_everywhere(&mut reads, me.person).await?;
            Ok::<_, Problem>((me, places))
        };
        let (me, places) = look_up.await.map_err(IntoResponse::into_response)?;
        Ok(Self { call, caller, workspace: me.workspace, me, places })
    }
}

fn sign_in_address(method: &Method, uri: &Uri) -> String {
    let next = uri.path_and_query().map(|path| path.as_str()).filter(|path| *method == Method::GET && *path != "/").unwrap_or_default();
    match local(next) {
        Some(next) => format!("/sign-in?{}", query(&[("next", next)])),
        None => "/sign-in".to_owned(),
    }
}

/// A path of our own to go back to; nothing for what a browser could take for another site's address.
pub fn local(path: &str) -> Option<&str> {
    let is_local = path.starts_with('/')
        && !path.starts_with("//")
        && !path.contains('\\')
        && path.len() <= 500
        && path.bytes().all(|b| b.is_ascii_graphic());
    is_local.then_some(path)
}

/// The pairs that have a value, as a query without its question mark.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish()
}

impl Owner {
    /// The workspace, if they may do this there.
    pub fn may(&self, grant: Grant) -> Result<WorkspaceId, Problem> {
        Ok(self.caller.may(grant).map_err(people::PeopleError::from)?)
    }

    /// Whether they may, for forms that are shown only to those who may.
    pub fn can(&self, grant: Grant) -> bool {
        self.caller.may(grant).is_ok()
    }

    /// The frame of a page of theirs.
    pub fn frame(&self, section: &'static str, title: impl Into<String>) -> Frame {
        let here = self.places.iter().find(|place| place.workspace == self.workspace);
        let others = self.places.iter().filter(|place| place.workspace != self.workspace);
        let me = Me {
            name: self.me.name.clone(),
            email: self.me.email.as_str().to_owned(),
            monogram: monogram(&self.me.name),
            workspace: here.map(|place| place.workspace_name.clone()).unwrap_or_default(),
            role: self.me.role.as_str(),
            others: others.map(|place| (place.workspace.to_string(), place.workspace_name.clone())).collect(),
        };
        Frame { me: Some(me), section, ..Frame::alone(title) }
    }

    /// The names of the members of the workspace, by id.
    pub async fn names(&self, parts: &Parts) -> Result<Names, Problem> {
        let members = people::queries::members(&mut parts.store.read(), self.workspace, "", 200).await?;
        Ok(Names(members.into_iter().map(|member| (member.id, member.name)).collect()))
    }

    /// A fresh word that makes a form count once, however often it is sent.
    pub fn once(&self, parts: &Parts) -> String {
        format!("page-{:016x}", u64::from_le_bytes(parts.store.entropy().bytes()))
    }

    /// The call of a form that carries such a word.
    pub fn once_by(&self, word: Option<&str>) -> Call {
        match word {
            Some(word) if word.len() <= 100 && !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic()) => {
                self.call.idempotent_as(word)
            }
            _ => self.call.clone(),
        }
    }
}

/// One or two letters in the place of a portrait.
fn monogram(name: &str) -> String {
    let mut words = name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let (first, last) = (words.next(), words.next_back());
    first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
}

/// Names of members, as far as they are members still.
pub struct Names(HashMap<MemberId, String>);

impl Names {
    /// The name of a member, or what is known of somebody who left.
    pub fn of(&self, id: MemberId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| "a former member".to_owned())
    }

    /// Who acted, from the word of an audit trail or a history.
    pub fn actor(&self, word: &str) -> String {
        match (MemberId::parse(word), word) {
            (Ok(id), _) => self.of(id),
            (_, "visitor") => "the visitor".to_owned(),
            (_, word) if word.starts_with("key_") => "an API key".to_owned(),
            _ => "Tessera".to_owned(),
        }
    }

    /// For a choice, by name.
    pub fn choice(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.0.iter().map(|(id, name)| (id.to_string(), name.clone())).collect();
        all.sort_by_key(|(_, name)| name.to_lowercase());
        all
    }
}

/// Who is signed in, for the bar on top.
pub struct Me {
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// Its first letters.
    pub monogram: String,
    /// The workspace's name.
    pub workspace: String,
    /// Their role in it.
    pub role: &'static str,
    /// Id and name of the workspaces to switch to.
    pub others: Vec<(String, String)>,
}

/// What stands around a page.
pub struct Frame {
    /// Its title.
    pub title: String,
    /// Which section it belongs to.
    pub section: &'static str,
    /// Who is signed in; without anybody the page stands alone.
    pub me: Option<Me>,
    /// What was done, in a sentence; may be empty.
    pub done: &'static str,
    /// What was refused, in a sentence; may be empty.
    pub alert: String,
    /// How wide the page is: a class of the style.
    pub shape: &'static str,
}

impl Frame {
    /// The frame of a page that anybody may see.
    pub fn alone(title: impl Into<String>) -> Self {
        Self { title: title.into(), section: "", me: None, done: "", alert: String::new(), shape: "" }.shaped("alone")
    }

    /// The same with another shape.
    #[must_use]
    pub fn shaped(self, shape: &'static str) -> Self {
        Self { shape, ..self }
    }

    /// The same after something was done.
    #[must_use]
    pub fn after(self, done: &Done) -> Self {
        Self { done: done.sentence(), ..self }
    }

    /// The same, saying what was refused.
    #[must_use]
    pub fn refused(self, alert: impl Into<String>) -> Self {
        Self { alert: alert.into(), ..self }
    }

    /// Where a file of the pages is.
    pub fn asset(&self, file: &str) -> String {
        assets::address(file)
    }

    /// The sections of the bar.
    pub fn sections(&self) -> [(&'static str, &'static str); 6] {
        [
            ("leads", "Leads"),
            ("cards", "Cards"),
            ("codes", "Codes"),
            ("payments", "Payments"),
            ("ledger", "Ledger"),
            ("settings", "Settings"),
        ]
    }
}

/// A page from its template.
pub fn page(template: &impl Template) -> Result<Response, Problem> {
    page_with(template, StatusCode::OK)
}

/// The same with another status.
pub fn page_with(template: &impl Template, status: StatusCode) -> Result<Response, Problem> {
    Ok(Page::new(template.render().map_err(Problem::internal)?).with_status(status).into_response())
}

/// A refusal that is the visitor's to mend, so that the page is shown again with it; anything else is left to the page of problems.
pub fn mendable(problem: Problem) -> Result<Refusal, Problem> {
    match problem.status() {
        StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => Ok(Refusal(problem)),
        _ => Err(problem),
    }
}

/// A refusal to be shown on the page of its form.
pub struct Refusal(Problem);

impl Refusal {
    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// What to tell above the form.
    pub fn sentence(&self) -> String {
        if self.0.code() == "version_conflict" {
            return "Somebody changed this while you were looking at it. Below is how it stands now; what you sent was not saved."
                .to_owned();
        }
        if !self.0.fields().is_empty() {
            return "Not saved: please look at the marked fields.".to_owned();
        }
        sentence(self.0.detail().unwrap_or("this is not possible"))
    }

    /// The fields that were refused.
    pub fn fields(&self) -> &[FieldFault] {
        self.0.fields()
    }

    /// Whether it is fields that were refused, and not the moment.
    pub fn is_about_fields(&self) -> bool {
        !self.0.fields().is_empty()
    }

    /// What is wrong with a field or with one of its entries; empty if nothing is.
    pub fn of(&self, field: &str) -> String {
        let is_it = |fault: &&FieldFault| fault.field.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('['));
        self.0.fields().iter().find(is_it).map(|fault| fault.message.clone()).unwrap_or_default()
    }

    /// All that is wrong, for forms without a place at each field.
    pub fn all(&self) -> String {
        match self.0.fields() {
            [] => self.sentence(),
            fields => sentence(
                &fields.iter().map(|fault| format!("{} {}", fault.field.replace('_', " "), fault.message)).collect::<Vec<_>>().join("; "),
            ),
        }
    }
}

/// A text as a sentence: a capital at its beginning, a full stop at its end.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !sentence.ends_with(['.', '?', '!']) {
        sentence.push('.');
    }
    sentence
}

/// A moment, in UTC; the script of the pages shows it in the reader's own zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When(pub Timestamp);

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{}</time>", self.0, plain_time(self.0))
    }
}

// It writes numbers, month names and its own tag only.
impl askama::filters::HtmlSafe for When {}

/// `3 Feb 2026, 14:05 UTC`.
pub fn plain_time(at: Timestamp) -> String {
    let utc = at.to_utc();
    format!("{}, {:02}:{:02} UTC", plain_day(at), utc.hour(), utc.minute())
}

/// `3 Feb 2026`.
pub fn plain_day(at: Timestamp) -> String {
    let utc = at.to_utc();
    let month = &utc.month().to_string()[..3];
    format!("{} {month} {}", utc.day(), utc.year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_our_own_is_gone_back_to() {
        assert_eq!(local("/leads?q=a%20b"), Some("/leads?q=a%20b"));
        for foreign in
            ["", "leads", "//evil.example", "/\\evil.example", "https://evil.example", "/a b", "/\u{9}/evil.example", &"/".repeat(2)]
        {
            assert_eq!(local(foreign), None, "{foreign:?}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_a_sentence() {
        assert_eq!(sentence("the code is paused"), "The code is paused.");
        assert_eq!(monogram("Ada Augusta Lovelace"), "AL");
        assert_eq!(plain_time(Timestamp::parse("2026-02-03T14:05:59Z").unwrap()), "3 Feb 2026, 14:05 UTC");
    }
}
