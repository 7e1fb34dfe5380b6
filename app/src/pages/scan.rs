//! What a scan opens: the card's page, and the form on it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cache::{Cache, Limits, Versioned};
use cards::events::CardChanged;
use cards::page::{CardPage, ExchangeForm, FormState, FormValues, Notice, NoticeKind, OneTap, PreparedPage, render, render_notice};
use cards::{Card, CardId, Language};
use codes::scan::Target;
use codes::{Closed, PublicCode};
use gateway::page::{Page, see_other};
use gateway::{Call, Class, Path, Problem, Query, RawBody};
use http::{HeaderValue, StatusCode, header};
use kernel::{Caller, Id, WorkspaceId};
use leads::{FormKey, LeadError, Source};
use serde::Deserialize;
use store::{Store, StoreError};

use crate::installation::Parts;

/// Bytes of card pages that are kept ready.
const PAGES_BYTES: u64 = 16 << 20;
/// Pages of one card that are kept ready, one for each of its codes.
const PAGES_PER_CARD_MAX: usize = 16;
/// A consent text that was changed is shown by everybody within this time.
const PAGES_KEPT: Duration = Duration::from_secs(60);

/// A card and its consent text, with the pages made of them.
struct Shown {
    card: Card,
    consent: leads::ConsentText,
    by_code: Mutex<HashMap<Option<PublicCode>, Arc<PreparedPage>>>,
}

/// The pages that scans open, kept ready. Cheap to clone.
#[derive(Clone)]
pub struct ScanPages {
    store: Store,
    public_url: Arc<str>,
    form_key: FormKey,
    shown: Arc<Cache<CardId, Arc<Shown>>>,
}

impl ScanPages {
    /// No pages yet.
    pub fn new(store: Store, public_url: Arc<str>, form_key: FormKey) -> Self {
        let limits = Limits { ttl: PAGES_KEPT, ..Limits::bytes(PAGES_BYTES) };
        // A page takes some 20 kB; most cards are reached by one code.
        let shown = Arc::new(Cache::new(limits, store.clock().clone(), |_, shown: Option<&Arc<Shown>>| shown.map_or(0, |_| 24 << 10)));
        Self { store, public_url, form_key, shown }
    }

    /// Follows the log.
    pub fn hear(&self, fact: &outbox::Entry) {
        if let Some(changed) = fact.decode::<CardChanged>() {
            self.shown.invalidate(&changed.card, changed.version);
        }
    }

    /// Drops everything that is kept.
    pub fn forget_all(&self) {
        self.shown.clear();
    }

    async fn find(&self, id: CardId) -> Result<Option<Arc<Shown>>, StoreError> {
        self.shown
            .get_or_load(&id, || async {
                let mut reads = self.store.read();
                let Some(card) = cards::queries::card_for_scan_everywhere(&mut reads, id).await? else { return Ok(None) };
                let consent = leads::queries::current_consent(&mut reads, card.workspace).await?;
                let version = card.version;
                Ok(Some(Versioned { value: Arc::new(Shown { card, consent, by_code: Mutex::default() }), version }))
            })
            .await
    }

    /// The page of what a code leads to. Whoever is signed in (`session` is the token they show) may leave their own card.
    pub async fn open(&self, target: &Target, session: Option<&str>) -> Response {
        let card = target.thing().filter(|thing| thing.kind() == "card").and_then(|thing| CardId::parse(thing.id()).ok());
        let Some(id) = card else { return notice(NoticeKind::NotFound, StatusCode::NOT_FOUND, Language::english()) };
        self.page(id, Some(target.code()), session).await
    }

    /// The page of a card, reached by a code or by its own address.
    pub async fn page(&self, id: CardId, code: Option<PublicCode>, session: Option<&str>) -> Response {
        let shown = match self.find(id).await {
            Ok(Some(shown)) => shown,
            Ok(None) => return notice(NoticeKind::NotFound, StatusCode::NOT_FOUND, Language::english()),
            Err(error) => {
                tracing::warn!(%error, "a card's page could not be loaded");
                return self.busy();
            }
        };
        if !shown.card.is_live() {
            return notice(NoticeKind::Retired, StatusCode::GONE, shown.card.profile.language.clone());
        }
        let token = self.token(&shown, code);
        if let Some(one_tap) = self.one_tap(&shown.card, code, session).await {
            let mut page = self.compose(&shown, code, token, FormState::Fresh);
            page.one_tap = Some(one_tap);
            return html(render(&page), StatusCode::OK);
        }
        let page = {
            let mut pages = shown.by_code.lock().unwrap_or_else(PoisonError::into_inner);
            if pages.len() >= PAGES_PER_CARD_MAX && !pages.contains_key(&code) {
                pages.clear();
            }
            Arc::clone(
                pages
                    .entry(code)
                    .or_insert_with(|| Arc::new(PreparedPage::new(self.compose(&shown, code, String::new(), FormState::Fresh)))),
            )
        };
        html(page.with_token(&token), StatusCode::OK)
    }

    /// The button of a visitor who is signed in here, has a card of their own, and looks at somebody else's.
    async fn one_tap(&self, card: &Card, code: Option<PublicCode>, session: Option<&str>) -> Option<OneTap> {
        let mut reads = self.store.read();
        let session = people::queries::session_by_token_everywhere(&mut reads, session?).await.ok().flatten()?;
        if card.owner == Some(session.member) {
            return None;
        }
        let own = cards::queries::default_of(&mut reads, session.workspace, session.member).await.ok().flatten()?;
        let by_code = code.map(|code| format!("?code={code}")).unwrap_or_default();
        let once: String = self.store.entropy().bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut fields = vec![("back".to_owned(), format!("/c/{}/thanks{by_code}", card.id)), ("once".to_owned(), once)];
        fields.extend(code.map(|code| ("code".to_owned(), code.to_string())));
        Some(OneTap { action: format!("/v1/cards/{}/exchange", card.id), own_name: own.profile.name.display, fields })
    }

    fn source(card: CardId, code: Option<PublicCode>) -> Source {
        let source = Source::new("card", card);
        match code {
            Some(code) => source.by_code(code.to_string()),
            None => source,
        }
    }

    fn token(&self, shown: &Shown, code: Option<PublicCode>) -> String {
        let source = Self::source(shown.card.id, code);
        self.form_key.issue(shown.card.workspace, &source, shown.consent.version, self.store.clock().now(), self.store.entropy())
    }

    fn compose(&self, shown: &Shown, code: Option<PublicCode>, token: String, state: FormState) -> CardPage {
        let id = shown.card.id;
        let (page_url, action) = match code {
            Some(code) => (format!("{}/{code}", self.public_url), format!("/c/{id}/details?code={code}")),
            None => (format!("{}/c/{id}/page", self.public_url), format!("/c/{id}/details")),
        };
        let mut page = CardPage::new(shown.card.clone(), page_url);
        page.exchange =
            Some(ExchangeForm { action, token, consent_text: shown.consent.text.clone(), consent_version: shown.consent.version, state });
        page
    }

    /// The page for a code that leads nowhere now.
    pub async fn closed(&self, target: &Target, why: Closed) -> Response {
        let language = match target.thing().and_then(|thing| CardId::parse(thing.id()).ok()) {
            Some(id) => self.find(id).await.ok().flatten().map(|shown| shown.card.profile.language.clone()),
            None => None,
        };
        let (kind, status) = match why {
            Closed::Unbound => (NoticeKind::Unbound, StatusCode::NOT_FOUND),
            Closed::Paused => (NoticeKind::Paused, StatusCode::NOT_FOUND),
            Closed::Expired => (NoticeKind::Expired, StatusCode::GONE),
            Closed::UsedUp => (NoticeKind::UsedUp, StatusCode::GONE),
            Closed::Retired => (NoticeKind::Retired, StatusCode::GONE),
        };
        notice(kind, status, language.unwrap_or_else(Language::english))
    }

    /// The page for a code that is none of ours.
    pub fn unknown(&self) -> Response {
        notice(NoticeKind::NotFound, StatusCode::NOT_FOUND, Language::english())
    }

    /// The page for a moment when nothing can be looked up.
    pub fn busy(&self) -> Response {
        let mut response = notice(NoticeKind::Unavailable, StatusCode::SERVICE_UNAVAILABLE, Language::english());
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        response
    }
}

fn notice(kind: NoticeKind, status: StatusCode, language: Language) -> Response {
    html(render_notice(&Notice::new(kind, language)), status)
}

/// A page with the headers that the router's own door would give it: scans do not pass that door.
fn html(page: String, status: StatusCode) -> Response {
    let mut response = Page::new(page).with_status(status).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(gateway::page::POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin"));
    response
}

/// Every address around a card's page.
pub fn routes(parts: Parts) -> Router {
    Router::new()
        .route("/c/{id}/page", get(show))
        .route("/c/{id}/details", post(details))
        .route("/c/{id}/thanks", get(thanks))
        .with_state(parts)
}

#[derive(Deserialize)]
struct ByCode {
    code: Option<String>,
}

impl ByCode {
    fn parse(&self) -> Option<PublicCode> {
        self.code.as_deref().and_then(|code| PublicCode::parse(code.as_bytes()).ok())
    }
}

fn card_id(text: &str) -> Result<CardId, Problem> {
    CardId::parse(text).map_err(|_| Problem::not_found())
}

/// `GET /c/{id}/page`: the card's page without a scan, for whoever got the link.
async fn show(State(parts): State<Parts>, call: Call, Path(id): Path<String>, Query(by): Query<ByCode>) -> Result<Response, Problem> {
    Ok(parts.scan_pages.page(card_id(&id)?, by.parse(), call.session_token()).await)
}

/// `POST /c/{id}/details`: a visitor leaves their details, from the page's form or as JSON.
async fn details(
    State(parts): State<Parts>,
    call: Call,
    Path(id): Path<String>,
    Query(by): Query<ByCode>,
    body: RawBody,
) -> Result<Response, Problem> {
    call.limit(Class::PublicForm)?;
    let (id, code) = (card_id(&id)?, by.parse());
    let pages = &parts.scan_pages;
    let shown = pages.find(id).await?.filter(|shown| shown.card.is_live()).ok_or_else(Problem::not_found)?;
    let fields: Vec<(String, String)> = if call.is_form() { form_urlencoded::parse(&body.0).into_owned().collect() } else { Vec::new() };
    let parsed = if call.is_form() {
        leads::parse_form(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    } else {
        leads::parse_form_json(&body.0)
    };
    let again = |errors| {
        let state =
            FormState::Invalid { values: FormValues::of(fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))), errors };
        html(render(&pages.compose(&shown, code, pages.token(&shown, code), state)), StatusCode::UNPROCESSABLE_ENTITY)
    };
    let form = match parsed {
        Ok(form) => form,
        Err(errors) if call.is_form() => return Ok(again(errors)),
        Err(errors) => return Err(LeadError::Invalid { fields: errors }.into()),
    };
    let source = ScanPages::source(id, code);
    let workspace: WorkspaceId = shown.card.workspace;
    let captured = match parts.form_key.check(workspace, &source, &form.token, parts.store.clock().now()) {
        Ok(proof) => {
            let input = (workspace, source, shown.card.owner, form.details, proof);
            parts
                .store
                .write(&Caller::Visitor { workspace }, input, |tx, (workspace, source, owner, details, proof)| {
                    Box::pin(async move { leads::commands::capture(tx, workspace, source, owner, details, proof).await })
                })
                .await
        }
        Err(refused) => Err(LeadError::from(refused)),
    };
    match captured {
        Ok(_) if call.is_form() => {
            let code = code.map(|code| format!("?code={code}")).unwrap_or_default();
            Ok(see_other(&format!("/c/{id}/thanks{code}")))
        }
        Ok(_) => Ok((StatusCode::CREATED, axum::Json(serde_json::json!({ "received": true }))).into_response()),
        Err(error) if call.is_form() && matches!(kernel::Fault::kind(&error), kernel::Kind::Invalid) => {
            let faults = kernel::Fault::fields(&error);
            Ok(again(if faults.is_empty() { vec![kernel::FieldFault::new("", error.to_string())] } else { faults }))
        }
        Err(error) => Err(error.into()),
    }
}

/// `GET /c/{id}/thanks`: where the form leads.
async fn thanks(State(parts): State<Parts>, Path(id): Path<String>, Query(by): Query<ByCode>) -> Result<Response, Problem> {
    let (id, code) = (card_id(&id)?, by.parse());
    let shown = parts.scan_pages.find(id).await?.ok_or_else(Problem::not_found)?;
    let back = match code {
        Some(code) => format!("/c/{id}/page?code={code}"),
        None => format!("/c/{id}/page"),
    };
    let kind = NoticeKind::Thanks { visitor: None, to: shown.card.profile.name.display.clone() };
    let page = Notice { kind, language: shown.card.profile.language.clone(), back: Some(back) };
    Ok(html(render_notice(&page), StatusCode::OK))
}
