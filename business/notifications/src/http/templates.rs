//! Wordings over HTTP.

use axum::extract::State;
use gateway::{Answer, Call, Json, Path, Problem, effect};
use serde::{Deserialize, Serialize};

use super::{Deps, allowed};
use crate::commands::{self, check_language};
use crate::error::NotificationError;
use crate::template::{LANGUAGES, TemplateKey, TemplateSource};
use crate::{grants, queries};

/// A template with what it is given.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct TemplateView {
    /// Its name.
    #[schema(example = "lead_captured")]
    key: &'static str,
    /// What it is given.
    variables: Vec<VariableView>,
    /// The languages it is worded in.
    wordings: Vec<WordingState>,
}

/// One variable of a template.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TemplateVariable)]
pub(super) struct VariableView {
    /// Its name.
    name: &'static str,
    /// Whether both parts of every wording must print it.
    is_required: bool,
    /// What a preview shows.
    sample: &'static str,
}

/// Which wording of a language counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TemplateWordingState)]
pub(super) struct WordingState {
    /// The language.
    #[schema(example = "en")]
    language: &'static str,
    /// The version of the workspace's latest change; 0 when it never changed it.
    version: i64,
}

/// A wording.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TemplateWording)]
pub(super) struct WordingBody {
    /// One line.
    subject: String,
    /// The plain text part.
    text: String,
    /// The inside of the HTML part; the frame around it is added.
    html: String,
}

impl From<WordingBody> for TemplateSource {
    fn from(body: WordingBody) -> Self {
        Self { subject: body.subject, text: body.text, html: body.html }
    }
}

/// The wording that counts.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TemplateWordingView)]
pub(super) struct WordingView {
    /// The template.
    key: &'static str,
    /// The language.
    language: &'static str,
    /// The workspace's version; 0 for the built-in wording.
    version: i64,
    /// The wording.
    wording: WordingBody,
}

/// A saved version.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TemplateSaved)]
pub(super) struct SavedView {
    /// The version that counts from now on.
    version: i64,
}

/// A rendered wording.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TemplatePreview)]
pub(super) struct PreviewView {
    /// One line.
    subject: String,
    /// The plain text part.
    text: String,
    /// The whole HTML part; show it in a sandboxed frame.
    html: String,
}

fn key_of(text: &str) -> Result<TemplateKey, NotificationError> {
    TemplateKey::parse(text).ok_or(NotificationError::NotFound { what: "template" })
}

/// Lists what people can be told, with the variables of each template.
#[utoipa::path(get, path = "/v1/templates", tag = "notifications", security(("session" = []), ("key" = [])),
    responses((status = 200, body = Vec<TemplateView>), gateway::openapi::ErrorResponses))]
pub(super) async fn list(State(deps): State<Deps>, call: Call) -> Result<Answer<Vec<TemplateView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let own = queries::templates(&mut deps.store.read(), workspace).await?;
    let view = |key: TemplateKey| {
        let version = |language| own.iter().find(|(k, l, _)| k == key.as_str() && l == language).map_or(0, |(_, _, version)| *version);
        TemplateView {
            key: key.as_str(),
            variables: key
                .variables()
                .iter()
                .map(|v| VariableView { name: v.name, is_required: v.is_required, sample: v.sample })
                .collect(),
            wordings: LANGUAGES.into_iter().map(|language| WordingState { language, version: version(language) }).collect(),
        }
    };
    Ok(Answer::ok(TemplateKey::ALL.into_iter().map(view).collect()))
}

/// Gets the wording that counts in a language: the workspace's own or the built-in one.
#[utoipa::path(get, path = "/v1/templates/{key}/{language}", tag = "notifications", params(("key" = String, Path), ("language" = String, Path)),
    security(("session" = []), ("key" = [])), responses((status = 200, body = WordingView), gateway::openapi::ErrorResponses))]
pub(super) async fn get(
    State(deps): State<Deps>,
    call: Call,
    Path((key, language)): Path<(String, String)>,
) -> Result<Answer<WordingView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let key = key_of(&key)?;
    check_language(&language)?;
    let (language, version, source) = queries::template(&mut deps.store.read(), workspace, key, &language).await?;
    let wording = WordingBody { subject: source.subject, text: source.text, html: source.html };
    Ok(Answer::ok(WordingView { key: key.as_str(), language, version, wording }))
}

/// Rewords a template in a language. Refused when it uses an unknown variable or lacks a required one.
#[utoipa::path(put, path = "/v1/templates/{key}/{language}", tag = "notifications", params(("key" = String, Path), ("language" = String, Path)),
    request_body = WordingBody, security(("session" = []), ("key" = [])),
    responses((status = 200, body = SavedView), gateway::openapi::ErrorResponses))]
pub(super) async fn put(
    State(deps): State<Deps>,
    call: Call,
    Path((key, language)): Path<(String, String)>,
    Json(body): Json<WordingBody>,
) -> Result<Answer<SavedView>, Problem> {
    allowed(&call, grants::WRITE)?;
    let (key, source) = (key_of(&key)?, TemplateSource::from(body));
    effect(&deps.store, &call, (key, language, source), |tx, (key, language, source)| {
        Box::pin(async move { Ok(SavedView { version: commands::save_template(tx, key, &language, &source).await? }) })
    })
    .await
}

/// Goes back to the built-in wording of a language.
#[utoipa::path(delete, path = "/v1/templates/{key}/{language}", tag = "notifications",
    params(("key" = String, Path), ("language" = String, Path)), security(("session" = []), ("key" = [])),
    responses((status = 200, body = SavedView), gateway::openapi::ErrorResponses))]
pub(super) async fn reset(
    State(deps): State<Deps>,
    call: Call,
    Path((key, language)): Path<(String, String)>,
) -> Result<Answer<SavedView>, Problem> {
    allowed(&call, grants::WRITE)?;
    effect(&deps.store, &call, (key_of(&key)?, language), |tx, (key, language)| {
        Box::pin(async move { Ok(SavedView { version: commands::reset_template(tx, key, &language).await? }) })
    })
    .await
}

/// Renders a wording with sample variables, without saving it. Refused for the same reasons as saving it would be.
#[utoipa::path(post, path = "/v1/templates/{key}/{language}/preview", tag = "notifications",
    params(("key" = String, Path), ("language" = String, Path)), request_body = WordingBody, security(("session" = []), ("key" = [])),
    responses((status = 200, body = PreviewView), gateway::openapi::ErrorResponses))]
pub(super) async fn preview(
    call: Call,
    Path((key, language)): Path<(String, String)>,
    Json(body): Json<WordingBody>,
) -> Result<Answer<PreviewView>, Problem> {
    allowed(&call, grants::READ)?;
    let key = key_of(&key)?;
    check_language(&language)?;
    let source = TemplateSource::from(body);
    source.check(key)?;
    let rendered = source.render(key, &language, &key.sample())?;
    Ok(Answer::ok(PreviewView { subject: rendered.subject, text: rendered.text, html: rendered.html }))
}
