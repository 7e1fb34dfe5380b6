//! Signing in and out, and what a session shows.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway::{Answer, Call, Class, Json, List, Path, Problem};
use http::{StatusCode, header};
use kernel::{Caller, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use store::Reads;
use utoipa::ToSchema;

use super::{Deps, sign_in_problem};
use crate::commands::{self, Profile};
use crate::session::SESSION_LIFE;
use crate::{
    AgentClass, Email, Locale, PeopleError, PersonId, PersonName, Role, Session, SessionId, SignedIn, Via, Zone, queries,
    sign_in as signing_in,
};

/// Address and password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInBody {
    /// The address.
    #[schema(example = "ada@example.com")]
    email: String,
    /// The password.
    #[schema(example = "correct horse battery")]
    password: String,
}

/// Where a sign-in link shall go.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SignInLinkBody)]
pub struct LinkBody {
    /// The address.
    #[schema(example = "ada@example.com")]
    email: String,
}

/// The same whether the address is known or not.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignInLinkView)]
pub struct LinkView {
    /// A sentence for people.
    message: &'static str,
}

/// The token at the end of a sign-in link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeemBody {
    /// The token.
    token: String,
}

/// The workspace to work in, and what shall be different about the person; what is absent stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSessionBody {
    /// The workspace to switch to.
    #[schema(value_type = Option<String>)]
    workspace: Option<WorkspaceId>,
    /// The person's name.
    name: Option<String>,
    /// The person's language.
    #[schema(example = "en")]
    locale: Option<String>,
    /// The person's time zone.
    #[schema(example = "Europe/Lisbon")]
    zone: Option<String>,
}

/// The old and the new password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The current password; may be absent within 15 minutes after a sign-in by link.
    current: Option<String>,
    /// The new one: 10 to 200 characters, not the address.
    new: String,
}

/// Who is signed in, and where.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionView {
    #[schema(value_type = String)]
    id: SessionId,
    person: PersonView,
    workspace: WorkspaceChoiceView,
    /// All workspaces that the person can switch to.
    workspaces: Vec<WorkspaceChoiceView>,
    via: Via,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

/// The person who is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct PersonView {
    #[schema(value_type = String)]
    id: PersonId,
    email: String,
    name: String,
    locale: String,
    zone: String,
    has_password: bool,
}

/// A workspace of the person who is signed in.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WorkspaceChoiceView {
    #[schema(value_type = String)]
    id: WorkspaceId,
    name: String,
    #[schema(value_type = String)]
    member: kernel::MemberId,
    role: Role,
}

/// One place where the person is signed in.
#[derive(Debug, Serialize, ToSchema)]
pub struct PlaceView {
    #[schema(value_type = String)]
    id: SessionId,
    /// Whether it is the session that asks.
    is_this: bool,
    /// What it runs on, coarsely.
    #[schema(example = "Firefox on Linux")]
    agent: String,
    via: Via,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was last used, to the hour.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
}

impl PlaceView {
    fn of(session: &Session, this: Option<SessionId>) -> Self {
        Self {
            id: session.id,
            is_this: this == Some(session.id),
            agent: session.agent.clone(),
            via: session.via,
            created_at: session.created_at,
            seen_at: session.seen_at,
            expires_at: session.expires_at,
        }
    }
}

async fn view(reads: &mut impl Reads, session: &Session) -> Result<SessionView, PeopleError> {
    let person = queries::person_everywhere(reads, session.person).await?.ok_or(PeopleError::PersonNeeded)?;
    let workspaces: Vec<WorkspaceChoiceView> = queries::memberships_everywhere(reads, session.person)
        .await?
        .into_iter()
        .map(|m| WorkspaceChoiceView { id: m.workspace, name: m.workspace_name, member: m.member, role: m.role })
        .collect();
    let workspace = workspaces.iter().find(|w| w.id == session.workspace).cloned().ok_or(PeopleError::PersonNeeded)?;
    let has_password = person.has_password();
    let person = PersonView {
        id: person.id,
        email: person.email.as_str().to_owned(),
        name: person.name,
        locale: person.locale.as_str().to_owned(),
        zone: person.zone.as_str().to_owned(),
        has_password,
    };
    Ok(SessionView { id: session.id, person, workspace, workspaces, via: session.via, expires_at: session.expires_at })
}

/// The session that the call's cookie opens; a program has none.
async fn current(deps: &Deps, call: &Call) -> Result<Session, Problem> {
    let caller = call.caller()?;
    let (Caller::Person { member, .. }, Some(token)) = (caller, call.session_token()) else {
        return Err(Problem::from(PeopleError::PersonNeeded));
    };
    let session = queries::session_by_token_everywhere(&mut deps.store.read(), token).await?;
    session.filter(|session| session.member == *member).ok_or_else(Problem::unauthorized)
}

/// The answer to a sign-in: the session's view, with the cookie.
pub(super) async fn signed_in(deps: &Deps, call: &Call, signed_in: SignedIn) -> Result<Response, Problem> {
    let mut read = deps.store.read();
    let session = queries::session_everywhere(&mut read, signed_in.person, signed_in.session).await?.ok_or_else(Problem::unauthorized)?;
    let mut response = Answer::created(view(&mut read, &session).await?).into_response();
    let cookie = gateway::session_cookie(&signed_in.token, call.is_https(), SESSION_LIFE.as_secs());
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

pub(super) fn agent(call: &Call) -> AgentClass {
    AgentClass::of(Some(call.user_agent()))
}

/// Signs in with a password. The answer sets the session's cookie.
#[utoipa::path(post, path = "/v1/session", tag = "people", request_body = SignInBody,
    responses((status = 201, body = SessionView), gateway::openapi::ErrorResponses))]
pub(super) async fn sign_in(State(deps): State<Deps>, call: Call, Json(body): Json<SignInBody>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    call.limit_by(Class::SignIn, &format!("account:{}", body.email.trim().to_lowercase()))?;
    let done = signing_in::sign_in_with_password(&deps.store, &deps.passwords, &body.email, &body.password, agent(&call)).await;
    signed_in(&deps, &call, done.map_err(sign_in_problem)?).await
}

/// Mails a one-time sign-in link, if the address is known; the answer does not tell.
#[utoipa::path(post, path = "/v1/session/link", tag = "people", request_body = LinkBody,
    responses((status = 202, body = LinkView), gateway::openapi::ErrorResponses))]
pub(super) async fn request_link(State(deps): State<Deps>, call: Call, Json(body): Json<LinkBody>) -> Result<Answer<LinkView>, Problem> {
    call.limit(Class::SignIn)?;
    let email = Email::parse(&body.email)?;
    call.limit_by(Class::SignIn, &format!("link:{}", email.as_str()))?;
    signing_in::request_sign_in_link(&deps.store, &deps.links, &email).await?;
    Ok(Answer::accepted(LinkView { message: "if the address is a member's, a link is on its way; it works once, for 15 minutes" }))
}

/// Signs in with the token of a link, once. The answer sets the session's cookie.
#[utoipa::path(post, path = "/v1/session/link/redeem", tag = "people", request_body = RedeemBody,
    responses((status = 201, body = SessionView), gateway::openapi::ErrorResponses))]
pub(super) async fn redeem_link(State(deps): State<Deps>, call: Call, Json(body): Json<RedeemBody>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    let done = signing_in::redeem_sign_in_link(&deps.store, &body.token, agent(&call)).await?;
    signed_in(&deps, &call, done).await
}

/// Who is signed in, and where.
#[utoipa::path(get, path = "/v1/session", tag = "people", responses((status = 200, body = SessionView), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn show(State(deps): State<Deps>, call: Call) -> Result<Answer<SessionView>, Problem> {
    let session = current(&deps, &call).await?;
    Ok(Answer::ok(view(&mut deps.store.read(), &session).await?))
}

/// Switches to another workspace of the person, or changes their name, language or time zone.
#[utoipa::path(patch, path = "/v1/session", tag = "people", request_body = ChangeSessionBody,
    responses((status = 200, body = SessionView), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn change(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<ChangeSessionBody>,
) -> Result<Answer<SessionView>, Problem> {
    let session = current(&deps, &call).await?;
    let profile = Profile {
        name: body.name.as_deref().map(PersonName::parse).transpose()?,
        locale: body.locale.as_deref().map(Locale::parse).transpose()?,
        zone: body.zone.as_deref().map(Zone::parse).transpose()?,
    };
    gateway::effect(&deps.store, &call, (session, profile, body.workspace), |tx, (session, profile, workspace)| {
        Box::pin(async move {
            commands::change_profile(tx, profile).await?;
            if let Some(workspace) = workspace {
                commands::switch_workspace(tx, session.id, workspace).await?;
            }
            let session = queries::session_everywhere(tx, session.person, session.id).await?.ok_or_else(Problem::unauthorized)?;
            Ok(view(tx, &session).await?)
        })
    })
    .await
}

/// Signs out.
#[utoipa::path(delete, path = "/v1/session", tag = "people", responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn sign_out(State(deps): State<Deps>, call: Call) -> Result<Response, Problem> {
    let session = current(&deps, &call).await?;
    let done =
        gateway::effect_done(&deps.store, &call, session.id, |tx, id| Box::pin(async move { Ok(commands::end_session(tx, id).await?) }));
    let mut response = done.await?.into_response();
    response.headers_mut().insert(header::SET_COOKIE, gateway::session_cookie_cleared(call.is_https()));
    Ok(response)
}

/// Sets the password. All other sessions of the person end.
#[utoipa::path(post, path = "/v1/session/password", tag = "people", request_body = PasswordBody,
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn change_password(State(deps): State<Deps>, call: Call, Json(body): Json<PasswordBody>) -> Result<StatusCode, Problem> {
    let session = current(&deps, &call).await?;
    call.limit_by(Class::SignIn, &format!("password:{}", session.person))?;
    let current = body.current.as_deref();
    signing_in::change_password(&deps.store, &deps.passwords, call.caller()?, session, current, &body.new).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The places where the person is signed in.
#[utoipa::path(get, path = "/v1/sessions", tag = "people", responses((status = 200, body = List<PlaceView>), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn list(State(deps): State<Deps>, call: Call) -> Result<List<PlaceView>, Problem> {
    let this = current(&deps, &call).await?;
    let sessions = queries::sessions_everywhere(&mut deps.store.read(), this.person).await?;
    Ok(List { items: sessions.iter().map(|session| PlaceView::of(session, Some(this.id))).collect(), next: None })
}

/// Signs out everywhere but here.
#[utoipa::path(delete, path = "/v1/sessions", tag = "people", responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn end_others(State(deps): State<Deps>, call: Call) -> Result<Answer<()>, Problem> {
    let this = current(&deps, &call).await?;
    gateway::effect_done(&deps.store, &call, this.id, |tx, id| {
        Box::pin(async move {
            commands::end_other_sessions(tx, id).await?;
            Ok(())
        })
    })
    .await
}

/// Signs out in one place.
#[utoipa::path(delete, path = "/v1/sessions/{id}", tag = "people", params(("id" = String, Path, description = "The session.")),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = [])))]
pub(super) async fn end(State(deps): State<Deps>, call: Call, Path(id): Path<SessionId>) -> Result<Answer<()>, Problem> {
    gateway::effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::end_session(tx, id).await?) })).await
}
