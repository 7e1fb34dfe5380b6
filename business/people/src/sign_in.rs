//! Signing in from outside of a unit of work: what hashes a password first, or comes from a page as well as from the API.

use kernel::Caller;
use store::Store;

use crate::password::NewPassword;
use crate::session::Session;
use crate::{AgentClass, Email, Passwords, PeopleError, Person, PersonName, SignedIn, Via, commands, queries, token};

/// Where the links of mails lead. The application names its pages; the token is put at the end.
#[derive(Debug, Clone)]
pub struct Links {
    /// For example `https://cards.example.com/sign-in/`.
    pub sign_in: String,
    /// For example `https://cards.example.com/join/`.
    pub invitation: String,
}

impl Links {
    /// The address that a sign-in link opens.
    pub fn sign_in(&self, token: &str) -> String {
        format!("{}{token}", self.sign_in)
    }

    /// The address that an invitation opens.
    pub fn invitation(&self, token: &str) -> String {
        format!("{}{token}", self.invitation)
    }
}

/// Signs in with a password. An unknown address, one without a password and a wrong password are refused alike, after the
/// same work.
pub async fn sign_in_with_password(
    store: &Store,
    passwords: &Passwords,
    email: &str,
    password: &str,
    agent: AgentClass,
) -> Result<SignedIn, PeopleError> {
    // A text that is no address is nobody's address: it is refused like one.
    let person = match Email::parse(email) {
        Ok(email) => queries::person_by_email_everywhere(&mut store.read(), &email).await?,
        Err(_) => None,
    };
    let hash = person.as_ref().and_then(|person| person.password_hash.clone());
    let is_right = passwords.check(password, hash).await?;
    let (true, Some(person)) = (is_right, person) else { return Err(PeopleError::SignInRefused) };
    store
        .write(&Caller::system("sign-in"), (person, agent), |tx, (person, agent)| {
            Box::pin(async move {
                // The check took its time: a password that was changed meanwhile opens nothing.
                commands::lock_person(tx, person.id).await?;
                let now = queries::person_everywhere(tx, person.id).await?.filter(|now| now.version == person.version);
                let person = now.ok_or(PeopleError::SignInRefused)?;
                let member = queries::default_member_everywhere(tx, person.id).await?.ok_or(PeopleError::SignInRefused)?;
                commands::open_session(tx, &member, Via::Password, &agent).await
            })
        })
        .await
}

/// Mails a sign-in link to the address if it is a member's. The answer is the same if it is not.
pub async fn request_sign_in_link(store: &Store, links: &Links, email: &Email) -> Result<(), PeopleError> {
    store
        .write(&Caller::system("sign-in"), (links.clone(), email.clone()), |tx, (links, email)| {
            Box::pin(async move { commands::request_sign_in_link(tx, &links, &email).await })
        })
        .await
}

/// Signs in with the token of a link; it works once.
pub async fn redeem_sign_in_link(store: &Store, token: &str, agent: AgentClass) -> Result<SignedIn, PeopleError> {
    let hash = token::hash_of_token(token).ok_or(PeopleError::LinkSpent)?;
    store
        .write(&Caller::system("sign-in"), (hash, agent), |tx, (hash, agent)| {
            Box::pin(async move { commands::redeem_sign_in_link(tx, &hash, &agent).await })
        })
        .await
}

/// Accepts an invitation and signs in. Name and password are those of a new person; somebody who is known by the invited
/// address keeps theirs.
pub async fn accept_invitation(
    store: &Store,
    passwords: &Passwords,
    token: &str,
    name: PersonName,
    password: Option<&str>,
    agent: AgentClass,
) -> Result<SignedIn, PeopleError> {
    let hash = token::hash_of_token(token).ok_or(PeopleError::InvitationSpent)?;
    let invitation = queries::invitation_by_hash_everywhere(&mut store.read(), &hash).await?.ok_or(PeopleError::InvitationSpent)?;
    let password_hash = match password {
        Some(text) => Some(passwords.hash(NewPassword::parse("password", text, &invitation.email)?).await?),
        None => None,
    };
    store
        .write(&Caller::system("invitation"), (hash, name, password_hash, agent), |tx, (hash, name, password_hash, agent)| {
            Box::pin(async move { commands::accept_invitation(tx, &hash, &name, password_hash.as_deref(), &agent).await })
        })
        .await
}

/// Sets the password of the person behind `session`, which needs the current one, or a session that began by a link within
/// the last 15 minutes. All other sessions end.
pub async fn change_password(
    store: &Store,
    passwords: &Passwords,
    caller: &Caller,
    session: Session,
    current: Option<&str>,
    new: &str,
) -> Result<(), PeopleError> {
    let person: Person =
        queries::person_everywhere(&mut store.read(), session.person).await?.ok_or(PeopleError::NotFound { what: "person" })?;
    if caller.member() != Some(session.member) {
        return Err(PeopleError::PersonNeeded);
    }
    let new = NewPassword::parse("new", new, &person.email)?;
    let is_proven = match current {
        Some(current) => passwords.check(current, person.password_hash.clone()).await?,
        None => false,
    };
    if !is_proven && !session.is_fresh_from_link(store.clock().now()) {
        return Err(PeopleError::ProofNeeded);
    }
    let hash = passwords.hash(new).await?;
    store
        .write(caller, (person, session, hash), |tx, (person, session, hash)| {
            Box::pin(async move {
                // The session may have been ended while the passwords were checked.
                queries::session_everywhere(tx, person.id, session.id).await?.ok_or(PeopleError::ProofNeeded)?;
                commands::set_password(tx, &person, &session, &hash).await
            })
        })
        .await
}
