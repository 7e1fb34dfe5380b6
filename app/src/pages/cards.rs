//! The owner's cards: the list, the form of one, its photo, its codes, and its end.

mod form;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use cards::commands::{self, Successor};
use cards::queries::Filter;
use cards::{Card, CardError, CardId, Colour, Profile};
use codes::{PublicCode, TargetUrl};
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use kernel::Id;
use serde::Deserialize;

use self::form::{CardForm, Entry, Errors, PostalEntry};
use super::frame::{Done, Frame, Owner, Refusal, mendable, page, page_with};
use super::session::NoFields;
use crate::installation::Parts;

/// How many cards a page of the list shows.
const SHOWN: usize = 50;
/// How many codes of a card are shown.
const CODES_SHOWN: u32 = 100;

/// The addresses of cards.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/cards", get(list))
        .route("/cards/new", get(blank).post(create))
        .route("/cards/{id}", get(show).post(update))
        .route("/cards/{id}/codes", post(mint))
        .route("/cards/{id}/photo/remove", post(remove_photo))
        .route("/cards/{id}/retire", post(retire))
}

fn card_id(text: &str) -> Result<CardId, Problem> {
    CardId::parse(text).map_err(|_| Problem::not_found())
}

/// A card in the list.
struct Tile {
    id: String,
    name: String,
    label: String,
    role: String,
    page: String,
    code: Option<PublicCode>,
    codes: usize,
    scans: i64,
    is_retired: bool,
}

#[derive(Template)]
#[template(path = "cards.html")]
struct ListPage {
    frame: Frame,
    tiles: Vec<Tile>,
    can_write: bool,
    has_others: bool,
    is_all: bool,
    next_href: String,
}

#[derive(Deserialize)]
struct ListQuery {
    all: Option<String>,
    after: Option<String>,
}

/// `GET /cards`
async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<ListQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let workspace = owner.may(cards::grants::READ)?;
    let (is_all, after) = (asked.all.is_some(), asked.after.as_deref().and_then(|text| CardId::parse(text).ok()));
    let filter = Filter { owner: (!is_all).then_some(owner.me.id), ..Filter::default() };
    let mut reads = parts.store.read();
    let mut cards = cards::queries::list(&mut reads, workspace, &filter, after, SHOWN as i64 + 1).await?;
    let has_others = people::queries::members(&mut reads, workspace, "", 2).await?.len() > 1;
    let has_more = cards.len() > SHOWN;
    cards.truncate(SHOWN);
    let mut tiles = Vec::with_capacity(cards.len());
    for card in &cards {
        let codes = codes::queries::of_thing(&mut reads, workspace, "card", &card.id.to_string(), CODES_SHOWN).await?;
        let codes: Vec<PublicCode> = codes.iter().map(|code| code.code).collect();
        let scans = codes::scan::totals_of(&mut reads, workspace, &codes).await?.values().map(|totals| totals.total).sum();
        tiles.push(Tile {
            id: card.id.to_string(),
            name: card.profile.name.display.clone(),
            label: card.profile.label.clone().unwrap_or_default(),
            role: card.profile.role_lines().join(" · "),
            page: page_href(card),
            code: codes.first().copied(),
            codes: codes.len(),
            scans,
            is_retired: !card.is_live(),
        });
    }
    let all = if is_all { "all=true&" } else { "" };
    page(&ListPage {
        frame: owner.frame("cards", "Cards").shaped("").after(&done),
        tiles,
        can_write: owner.can(cards::grants::WRITE),
        has_others,
        is_all,
        next_href: cards.last().filter(|_| has_more).map(|last| format!("/cards?{all}after={}", last.id)).unwrap_or_default(),
    })
}

/// The page of a card for its owner to look at, which counts as no scan.
fn page_href(card: &Card) -> String {
    format!("/c/{}/page", card.id)
}

#[derive(Template)]
#[template(path = "card_edit.html")]
struct EditPage {
    frame: Frame,
    /// Empty for a card that is not made yet.
    id: String,
    version: String,
    once: String,
    page_href: String,
    is_retired: bool,
    is_more_open: bool,
    form: CardForm,
    errors: Errors,
    emails: Vec<Entry>,
    phones: Vec<Entry>,
    links: Vec<Entry>,
    addresses: Vec<PostalEntry>,
    photo: String,
    codes: Vec<PublicCode>,
    successors: Vec<(String, String)>,
    retire_to: &'static str,
    retire_url: String,
    retire_error: String,
}

impl EditPage {
    fn new(frame: Frame, once: String, form: CardForm, errors: Errors) -> Self {
        Self {
            frame,
            id: String::new(),
            version: String::new(),
            once,
            page_href: String::new(),
            is_retired: false,
            is_more_open: errors.are_in_more() || form.has_more(),
            emails: form.emails(&errors),
            phones: form.phones(&errors),
            links: form.links(&errors),
            addresses: form.addresses(&errors),
            form,
            errors,
            photo: String::new(),
            codes: Vec::new(),
            successors: Vec::new(),
            retire_to: "nobody",
            retire_url: String::new(),
            retire_error: String::new(),
        }
    }
}

/// `GET /cards/new`
async fn blank(State(parts): State<Parts>, owner: Owner) -> Result<Response, Problem> {
    owner.may(cards::grants::WRITE)?;
    let mut form = CardForm {
        language: "en".to_owned(),
        colour: Colour::DEFAULT.to_string(),
        email: vec![owner.me.email.as_str().to_owned()],
        ..CardForm::default()
    };
    if let Some((given, family)) = owner.me.name.split_once(' ') {
        (form.given_name, form.family_name) = (given.to_owned(), family.to_owned());
    } else {
        form.given_name.clone_from(&owner.me.name);
    }
    page(&EditPage::new(owner.frame("cards", "A new card").shaped("middle"), owner.once(&parts), form, Errors::default()))
}

/// `POST /cards/new`: the card and its first code in one step.
async fn create(State(parts): State<Parts>, owner: Owner, Form(form): Form<CardForm>) -> Result<Response, Problem> {
    owner.may(cards::grants::WRITE)?;
    let form = form.tidy();
    let refused = match Profile::parse(form.draft()) {
        Err(fields) => Problem::from(CardError::Invalid { fields }),
        Ok(profile) => {
            let call = owner.once_by(form.once.as_deref());
            let made = gateway::effect_created(&parts.store, &call, (owner.me.id, profile), |tx, (me, profile)| {
                Box::pin(async move {
                    let card = commands::create(tx, Some(me), profile).await?;
                    commands::mint_code(tx, card.id).await?;
                    Ok(card.id.to_string())
                })
            });
            match made.await {
                Ok(answer) => return Ok(see_other(&format!("/cards/{}?done=made", answer.into_value()?))),
                Err(problem) => problem,
            }
        }
    };
    let refusal = mendable(refused)?;
    let frame = owner.frame("cards", "A new card").shaped("middle").refused(refusal.sentence());
    page_with(&EditPage::new(frame, owner.once(&parts), form, Errors::of(&refusal)), refusal.status())
}

async fn compose(parts: &Parts, owner: &Owner, id: CardId, typed: Option<(CardForm, Errors)>) -> Result<EditPage, Problem> {
    let workspace = owner.may(cards::grants::READ)?;
    let mut reads = parts.store.read();
    let card = cards::queries::get(&mut reads, workspace, id).await?;
    let codes = codes::queries::of_thing(&mut reads, workspace, "card", &id.to_string(), CODES_SHOWN).await?;
    let live = Filter { is_live: Some(true), ..Filter::default() };
    let others = cards::queries::list(&mut reads, workspace, &live, None, 200).await?;
    let (form, errors) = typed.unwrap_or_else(|| (CardForm::of(&card.profile), Errors::default()));
    let frame = owner.frame("cards", card.profile.name.display.clone()).shaped("");
    let may_write = owner.can(cards::grants::WRITE);
    Ok(EditPage {
        id: id.to_string(),
        version: form.version.clone().unwrap_or_else(|| card.version.to_string()),
        page_href: if card.is_live() { page_href(&card) } else { String::new() },
        is_retired: !card.is_live() || !may_write,
        photo: card.photo.map(|hash| format!("/photos/{hash}.jpg")).unwrap_or_default(),
        codes: codes.iter().map(|code| code.code).collect(),
        successors: others.into_iter().filter(|other| other.id != id).map(|other| (other.id.to_string(), named(&other))).collect(),
        ..EditPage::new(frame, owner.once(parts), form, errors)
    })
}

/// What an owner calls a card.
pub(super) fn named(card: &Card) -> String {
    match &card.profile.label {
        Some(label) => format!("{} ({label})", card.profile.name.display),
        None => card.profile.name.display.clone(),
    }
}

/// `GET /cards/{id}`
async fn show(State(parts): State<Parts>, owner: Owner, Path(id): Path<String>, Query(done): Query<Done>) -> Result<Response, Problem> {
    let edit = compose(&parts, &owner, card_id(&id)?, None).await?;
    page(&EditPage { frame: Frame { done: done.sentence(), ..edit.frame }, ..edit })
}

/// `POST /cards/{id}`
async fn update(State(parts): State<Parts>, owner: Owner, Path(id): Path<String>, Form(form): Form<CardForm>) -> Result<Response, Problem> {
    let (id, form) = (card_id(&id)?, form.tidy());
    let version = form.version.as_deref().and_then(|text| text.parse::<i64>().ok());
    let refused = match Profile::parse(form.draft()) {
        Err(fields) => Problem::from(CardError::Invalid { fields }),
        Ok(profile) => {
            let done = gateway::effect_done(&parts.store, &owner.call, (id, profile, version), |tx, (id, profile, version)| {
                Box::pin(async move {
                    commands::update(tx, id, profile, version).await?;
                    Ok(())
                })
            });
            match done.await {
                Ok(_) => return Ok(see_other(&format!("/cards/{id}?done=saved"))),
                Err(problem) => problem,
            }
        }
    };
    let refusal = mendable(refused)?;
    // What was typed stays where the fields are wrong; where somebody else was first, their state is shown.
    let typed = refusal.is_about_fields().then(|| (form, Errors::of(&refusal)));
    again(&parts, &owner, id, typed, &refusal, |_| {}).await
}

async fn again(
    parts: &Parts,
    owner: &Owner,
    id: CardId,
    typed: Option<(CardForm, Errors)>,
    refusal: &Refusal,
    mend: impl FnOnce(&mut EditPage),
) -> Result<Response, Problem> {
    let mut edit = compose(parts, owner, id, typed).await?;
    edit.frame.alert = refusal.sentence();
    mend(&mut edit);
    page_with(&edit, refusal.status())
}

#[derive(Deserialize)]
struct OnceForm {
    once: Option<String>,
}

/// `POST /cards/{id}/codes`
async fn mint(State(parts): State<Parts>, owner: Owner, Path(id): Path<String>, Form(form): Form<OnceForm>) -> Result<Response, Problem> {
    let id = card_id(&id)?;
    let call = owner.once_by(form.once.as_deref());
    let done = gateway::effect_done(&parts.store, &call, id, |tx, id| {
        Box::pin(async move {
            commands::mint_code(tx, id).await?;
            Ok(())
        })
    });
    match done.await {
        Ok(_) => Ok(see_other(&format!("/cards/{id}?done=minted"))),
        Err(problem) => again(&parts, &owner, id, None, &mendable(problem)?, |_| {}).await,
    }
}

/// `POST /cards/{id}/photo/remove`
async fn remove_photo(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = card_id(&id)?;
    gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            commands::picture(tx, id, None).await?;
            Ok(())
        })
    })
    .await?;
    Ok(see_other(&format!("/cards/{id}?done=photo_gone")))
}

#[derive(Deserialize)]
struct RetireForm {
    #[serde(default)]
    to: String,
    card: Option<String>,
    #[serde(default)]
    url: String,
}

impl RetireForm {
    fn successor(&self, public_url: &str) -> Result<Successor, CardError> {
        match self.to.as_str() {
            "card" => {
                let card = self.card.as_deref().and_then(|text| CardId::parse(text).ok());
                card.map(Successor::Card).ok_or_else(|| CardError::field("successor", "must be another card"))
            }
            "url" => TargetUrl::parse(&self.url, public_url)
                .map(Successor::Url)
                .map_err(|error| CardError::field("successor", error.to_string())),
            _ => Ok(Successor::Nobody),
        }
    }
}

/// `POST /cards/{id}/retire`
async fn retire(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<RetireForm>,
) -> Result<Response, Problem> {
    let id = card_id(&id)?;
    let done = match form.successor(&parts.public_url) {
        Err(error) => Err(error.into()),
        Ok(successor) => {
            let done = gateway::effect_done(&parts.store, &owner.call, (id, successor), |tx, (id, successor)| {
                Box::pin(async move {
                    commands::retire(tx, id, successor).await?;
                    Ok(())
                })
            });
            done.await
        }
    };
    match done {
        Ok(_) => Ok(see_other(&format!("/cards/{id}?done=retired"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            again(&parts, &owner, id, None, &refusal, |page| {
                page.retire_error = refusal.all();
                page.retire_to = if form.to == "card" { "card" } else { "url" };
                page.retire_url = form.url;
            })
            .await
        }
    }
}
