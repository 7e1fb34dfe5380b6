//! The member's own settings: name, password, and where they are signed in.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Class, Form, Problem, Query};
use http::StatusCode;
use kernel::WorkspaceId;
use people::commands::{self, Profile};
use people::{Locale, PeopleError, PersonName, Session, SessionId, Zone};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, sentence};
use super::super::session::NoFields;
use super::{Tab, frame, tabs};
use crate::installation::Parts;

struct Place {
    id: String,
    agent: String,
    via: &'static str,
    created_at: When,
    seen_at: When,
    is_this: bool,
}

#[derive(Template)]
#[template(path = "settings_profile.html")]
struct ProfilePage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    name: String,
    name_error: String,
    locale: String,
    locale_error: String,
    zone: String,
    zone_error: String,
    email: String,
    has_password: bool,
    password_error: String,
    places: Vec<Place>,
}

/// The session behind the cookie; it may have ended since the door looked.
async fn session(parts: &Parts, owner: &Owner) -> Result<Session, Problem> {
    let token = owner.call.session_token().ok_or_else(Problem::unauthorized)?;
    let found = people::queries::session_by_token_everywhere(&mut parts.store.read(), token).await?;
    found.filter(|session| session.member == owner.me.id).ok_or_else(Problem::unauthorized)
}

async fn compose(parts: &Parts, owner: &Owner) -> Result<ProfilePage, Problem> {
    let this = session(parts, owner).await?;
    let mut reads = parts.store.read();
    let person = people::queries::person_everywhere(&mut reads, this.person).await?.ok_or(PeopleError::NotFound { what: "person" })?;
    let sessions = people::queries::sessions_everywhere(&mut reads, this.person).await?;
    let place = |session: &Session| Place {
        id: session.id.to_string(),
        agent: session.agent.clone(),
        via: session.via.as_str(),
        created_at: When(session.created_at),
        seen_at: When(session.seen_at),
        is_this: session.id == this.id,
    };
    Ok(ProfilePage {
        frame: frame(owner, "Settings"),
        tabs: tabs(owner),
        here: "",
        has_password: person.has_password(),
        name: person.name,
        name_error: String::new(),
        locale: person.locale.as_str().to_owned(),
        locale_error: String::new(),
        zone: person.zone.as_str().to_owned(),
        zone_error: String::new(),
        email: person.email.as_str().to_owned(),
        password_error: String::new(),
        places: sessions.iter().map(place).collect(),
    })
}

/// `GET /settings`
pub(super) async fn show(State(parts): State<Parts>, owner: Owner, Query(done): Query<Done>) -> Result<Response, Problem> {
    let mut profile = compose(&parts, &owner).await?;
    profile.frame.done = done.sentence();
    page_with(&profile, StatusCode::OK)
}

#[derive(Deserialize)]
pub(super) struct ProfileForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    locale: String,
    #[serde(default)]
    zone: String,
}

/// `POST /settings/profile`
pub(super) async fn change(State(parts): State<Parts>, owner: Owner, Form(form): Form<ProfileForm>) -> Result<Response, Problem> {
    let (name, locale, zone) = (PersonName::parse(&form.name), Locale::parse(&form.locale), Zone::parse(&form.zone));
    let error = |field: Option<&PeopleError>| match field {
        Some(PeopleError::Field(fault)) => sentence(&fault.message),
        _ => String::new(),
    };
    let errors = (error(name.as_ref().err()), error(locale.as_ref().err()), error(zone.as_ref().err()));
    if let (Ok(name), Ok(locale), Ok(zone)) = (name, locale, zone) {
        let profile = Profile { name: Some(name), locale: Some(locale), zone: Some(zone) };
        gateway::effect_done(&parts.store, &owner.call, profile, |tx, profile| {
            Box::pin(async move {
                commands::change_profile(tx, profile).await?;
                Ok(())
            })
        })
        .await?;
        return Ok(see_other("/settings?done=saved"));
    }
    let mut page = compose(&parts, &owner).await?;
    page.frame.alert = "Not saved: please look at the marked fields.".to_owned();
    (page.name, page.locale, page.zone) = (form.name, form.locale, form.zone);
    (page.name_error, page.locale_error, page.zone_error) = errors;
    page_with(&page, StatusCode::UNPROCESSABLE_ENTITY)
}

#[derive(Deserialize)]
pub(super) struct PasswordForm {
    current: Option<String>,
    #[serde(default)]
    new: String,
}

/// `POST /settings/password`
pub(super) async fn set_password(State(parts): State<Parts>, owner: Owner, Form(form): Form<PasswordForm>) -> Result<Response, Problem> {
    let session = session(&parts, &owner).await?;
    owner.call.limit_by(Class::SignIn, &format!("password:{}", session.person))?;
    let done = people::change_password(&parts.store, &parts.passwords, &owner.caller, session, form.current.as_deref(), &form.new);
    let (message, status) = match done.await {
        Ok(()) => return Ok(see_other("/settings?done=password")),
        Err(error @ PeopleError::ProofNeeded) => (sentence(&error.to_string()), StatusCode::FORBIDDEN),
        Err(error) => {
            let refusal = mendable(error.into())?;
            (sentence(&refusal.of("new")), refusal.status())
        }
    };
    let mut page = compose(&parts, &owner).await?;
    page.frame.alert = "The password was not changed.".to_owned();
    page.password_error = message;
    page_with(&page, status)
}

#[derive(Deserialize)]
pub(super) struct SessionForm {
    id: SessionId,
}

/// `POST /settings/sessions/end`
pub(super) async fn end_session(State(parts): State<Parts>, owner: Owner, Form(form): Form<SessionForm>) -> Result<Response, Problem> {
    gateway::effect_done(&parts.store, &owner.call, form.id, |tx, id| Box::pin(async move { Ok(commands::end_session(tx, id).await?) }))
        .await?;
    Ok(see_other("/settings?done=signed_out"))
}

/// `POST /settings/sessions/end-others`
pub(super) async fn end_others(State(parts): State<Parts>, owner: Owner, Form(_): Form<NoFields>) -> Result<Response, Problem> {
    let this = session(&parts, &owner).await?;
    gateway::effect_done(&parts.store, &owner.call, this.id, |tx, id| {
        Box::pin(async move {
            commands::end_other_sessions(tx, id).await?;
            Ok(())
        })
    })
    .await?;
    Ok(see_other("/settings?done=signed_out"))
}

#[derive(Deserialize)]
pub(super) struct WorkspaceForm {
    workspace: WorkspaceId,
}

/// `POST /settings/workspace`: works in another workspace from now on.
pub(super) async fn switch(State(parts): State<Parts>, owner: Owner, Form(form): Form<WorkspaceForm>) -> Result<Response, Problem> {
    let this = session(&parts, &owner).await?;
    gateway::effect_done(&parts.store, &owner.call, (this.id, form.workspace), |tx, (session, workspace)| {
        Box::pin(async move {
            commands::switch_workspace(tx, session, workspace).await?;
            Ok(())
        })
    })
    .await?;
    Ok(see_other("/leads"))
}
