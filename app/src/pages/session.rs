//! Signing in and out, and joining by an invitation.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use gateway::page::{see_other, see_other_with_cookie};
use gateway::{Call, Class, Form, Path, Problem, Query, session_cookie, session_cookie_cleared};
use http::StatusCode;
use kernel::Caller;
use people::{AgentClass, Email, PeopleError, PersonName, SESSION_LIFE, SignedIn};
use serde::Deserialize;

use super::frame::{Frame, local, mendable, page, page_with, query, sentence};
use crate::installation::Parts;

/// Where somebody begins who does not say where.
const START: &str = "/leads";

/// The addresses of sessions.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/", get(start))
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-in/link", post(link))
        .route("/sign-in/{token}", get(show_link).post(redeem))
        .route("/sign-out", post(sign_out))
        .route("/join/{token}", get(show_invitation).post(join))
}

/// `GET /`
async fn start(call: Call) -> Response {
    see_other(if matches!(call.known(), Some(Caller::Person { .. })) { START } else { "/sign-in" })
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    next: String,
    email: String,
    link_error: String,
    sent: String,
}

impl SignInPage {
    fn new() -> Self {
        Self { frame: Frame::alone("Sign in"), next: String::new(), email: String::new(), link_error: String::new(), sent: String::new() }
    }
}

#[derive(Deserialize)]
struct ShowQuery {
    next: Option<String>,
    sent: Option<String>,
}

/// `GET /sign-in`
async fn show(call: Call, Query(asked): Query<ShowQuery>) -> Result<Response, Problem> {
    let next = asked.next.as_deref().and_then(local).unwrap_or_default();
    if matches!(call.known(), Some(Caller::Person { .. })) {
        return Ok(see_other(if next.is_empty() { START } else { next }));
    }
    let sent = asked.sent.as_deref().and_then(|text| Email::parse(text).ok());
    page(&SignInPage { next: next.to_owned(), sent: sent.map(|email| email.as_str().to_owned()).unwrap_or_default(), ..SignInPage::new() })
}

fn agent(call: &Call) -> AgentClass {
    AgentClass::of(Some(call.user_agent()))
}

/// On to where they wanted to go, with the cookie of the new session.
fn begun(call: &Call, signed_in: &SignedIn, next: &str) -> Response {
    see_other_with_cookie(local(next).unwrap_or(START), session_cookie(&signed_in.token, call.is_https(), SESSION_LIFE.as_secs()))
}

#[derive(Deserialize)]
struct SignInForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// `POST /sign-in`
async fn sign_in(State(parts): State<Parts>, call: Call, Form(form): Form<SignInForm>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    call.limit_by(Class::SignIn, &format!("account:{}", form.email.trim().to_lowercase()))?;
    match people::sign_in_with_password(&parts.store, &parts.passwords, &form.email, &form.password, agent(&call)).await {
        Ok(signed_in) => Ok(begun(&call, &signed_in, &form.next)),
        Err(error @ PeopleError::SignInRefused) => {
            let frame = Frame::alone("Sign in").refused(sentence(&error.to_string()));
            page_with(&SignInPage { frame, next: form.next, email: form.email, ..SignInPage::new() }, StatusCode::UNAUTHORIZED)
        }
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
struct LinkForm {
    #[serde(default)]
    email: String,
}

/// `POST /sign-in/link`: the same answer whether the address is a member's or not.
async fn link(State(parts): State<Parts>, call: Call, Form(form): Form<LinkForm>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    let email = match Email::parse(&form.email) {
        Ok(email) => email,
        Err(error) => {
            let refusal = mendable(error.into())?;
            let (frame, link_error) = (Frame::alone("Sign in"), sentence(&format!("this {}", refusal.of("email"))));
            return page_with(&SignInPage { frame, email: form.email, link_error, ..SignInPage::new() }, refusal.status());
        }
    };
    call.limit_by(Class::SignIn, &format!("link:{}", email.as_str()))?;
    people::request_sign_in_link(&parts.store, &parts.links, &email).await?;
    Ok(see_other(&format!("/sign-in?{}", query(&[("sent", email.as_str())]))))
}

#[derive(Template)]
#[template(path = "redeem.html")]
struct RedeemPage {
    frame: Frame,
    token: String,
}

/// What a token of ours looks like; anything else is not echoed into a page.
fn token(text: String) -> Result<String, Problem> {
    let is_token = text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_token { Ok(text) } else { Err(Problem::not_found()) }
}

/// `GET /sign-in/{token}`: asks first, because programs that check mails open every link.
async fn show_link(Path(text): Path<String>) -> Result<Response, Problem> {
    page(&RedeemPage { frame: Frame::alone("Sign in"), token: token(text)? })
}

/// `POST /sign-in/{token}`
async fn redeem(State(parts): State<Parts>, call: Call, Path(text): Path<String>, Form(_): Form<NoFields>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    match people::redeem_sign_in_link(&parts.store, &token(text)?, agent(&call)).await {
        Ok(signed_in) => Ok(begun(&call, &signed_in, START)),
        Err(error @ PeopleError::LinkSpent) => {
            let frame = Frame::alone("Sign in").refused(sentence(&error.to_string()));
            page_with(&SignInPage { frame, ..SignInPage::new() }, StatusCode::CONFLICT)
        }
        Err(error) => Err(error.into()),
    }
}

/// A form of nothing but a button. Reading it checks where it came from.
#[derive(Deserialize)]
pub struct NoFields {}

/// `POST /sign-out`
async fn sign_out(State(parts): State<Parts>, call: Call, Form(_): Form<NoFields>) -> Result<Response, Problem> {
    if let (Some(caller @ Caller::Person { .. }), Some(token)) = (call.known(), call.session_token())
        && let Some(session) = people::queries::session_by_token_everywhere(&mut parts.store.read(), token).await?
    {
        parts.store.write(caller, session.id, |tx, id| Box::pin(async move { people::commands::end_session(tx, id).await })).await?;
    }
    Ok(see_other_with_cookie("/sign-in", session_cookie_cleared(call.is_https())))
}

#[derive(Template)]
#[template(path = "join.html")]
struct JoinPage {
    frame: Frame,
    token: String,
    workspace: String,
    role: &'static str,
    email: String,
    name: String,
    name_error: String,
    password_error: String,
}

async fn invited(parts: &Parts, text: String) -> Result<JoinPage, Problem> {
    let token = token(text)?;
    let found = people::queries::invitation_by_token_everywhere(&mut parts.store.read(), &token).await?;
    let (invitation, workspace) = found.ok_or(PeopleError::InvitationSpent)?;
    Ok(JoinPage {
        frame: Frame::alone(format!("Join {}", workspace.name)),
        token,
        workspace: workspace.name,
        role: invitation.role.as_str(),
        email: invitation.email.as_str().to_owned(),
        name: String::new(),
        name_error: String::new(),
        password_error: String::new(),
    })
}

/// `GET /join/{token}`
async fn show_invitation(State(parts): State<Parts>, Path(text): Path<String>) -> Result<Response, Problem> {
    page(&invited(&parts, text).await?)
}

#[derive(Deserialize)]
struct JoinForm {
    #[serde(default)]
    name: String,
    password: Option<String>,
}

/// `POST /join/{token}`
async fn join(State(parts): State<Parts>, call: Call, Path(text): Path<String>, Form(form): Form<JoinForm>) -> Result<Response, Problem> {
    call.limit(Class::SignIn)?;
    let invited = invited(&parts, text).await?;
    let joined = async {
        let name = PersonName::parse(&form.name)?;
        people::accept_invitation(&parts.store, &parts.passwords, &invited.token, name, form.password.as_deref(), agent(&call)).await
    };
    match joined.await {
        Ok(signed_in) => Ok(begun(&call, &signed_in, START)),
        Err(error) => {
            let refusal = mendable(error.into())?;
            let frame = Frame::alone(invited.frame.title.clone()).refused(refusal.sentence());
            let (name_error, password_error) = (refusal.of("name"), refusal.of("password"));
            page_with(&JoinPage { frame, name: form.name, name_error, password_error, ..invited }, refusal.status())
        }
    }
}
