//! The demonstration workspace of a very first start: a person, a card, its code, a till, a year of books and,
//! for scripts, an API key.

mod books;
pub mod till;

use cards::{LabelledDraft, LinkDraft, Profile, ProfileDraft};
use codes::PublicCode;
use kernel::{Caller, Kind};
use payments::LinkId;
use people::{Email, KeyDraft, Locale, PersonName, WorkspaceName, Zone};
use store::{Store, StoreError};

use crate::roles;

/// Who owns the demonstration workspace.
const OWNER: &str = "ada@example.com";

/// What a start tells of the demonstration workspace.
#[derive(Debug, Clone)]
pub struct Demonstration {
    /// Signs its owner in, once.
    pub sign_in_token: String,
    /// The code of its card.
    pub code: PublicCode,
    /// The payment link that anybody may pay with, while it is open.
    pub payment_link: Option<LinkId>,
    /// An API key with every right, if one was asked for.
    pub api_key: Option<String>,
}

/// Why the demonstration workspace could not be made or found.
#[derive(Debug, thiserror::Error)]
#[error("the demonstration workspace cannot be used: {0}")]
pub struct DemonstrationError(String);

impl From<StoreError> for DemonstrationError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

fn said(error: impl std::fmt::Display) -> DemonstrationError {
    DemonstrationError(error.to_string())
}

fn profile() -> Result<Profile, DemonstrationError> {
    let draft = ProfileDraft {
        given_name: Some("Ada".into()),
        family_name: Some("Lovelace".into()),
        job_title: Some("Head of Analytical Engines".into()),
        organisation: Some("Babbage & Lovelace".into()),
        emails: vec![LabelledDraft::new("work", OWNER)],
        phones: vec![LabelledDraft::new("work", "+44 20 7946 0018")],
        links: vec![LinkDraft { title: Some("Website".into()), url: "https://example.com/".into() }],
        note: Some("Numbers, notes and engines. Ask me about Bernoulli.".into()),
        language: Some("en".into()),
        colour: Some("#2f5d8a".into()),
        ..ProfileDraft::default()
    };
    Profile::parse(draft).map_err(|faults| DemonstrationError(format!("{faults:?}")))
}

/// Makes the demonstration workspace where the installation has no workspace yet, and gives a new sign-in link for it where it
/// is still there. `None` on an installation that is in use without it.
pub async fn seed(store: &Store, wants_key: bool) -> Result<Option<Demonstration>, DemonstrationError> {
    static SEED: Caller = Caller::system("demonstration");
    let is_empty = people::queries::first_workspace_everywhere(&mut store.read()).await?.is_none();
    if is_empty {
        make(store).await?;
    }
    let owner = Email::parse(OWNER).map_err(said)?;
    store
        .write(&SEED, (owner, wants_key), |tx, (owner, wants_key)| {
            Box::pin(async move {
                let Some(person) = people::queries::person_by_email_everywhere(tx, &owner).await? else { return Ok(None) };
                let Some(membership) = people::queries::memberships_everywhere(tx, person.id).await?.into_iter().next() else {
                    return Ok(None);
                };
                let workspace = membership.workspace;
                let Some(card) = cards::queries::default_of(tx, workspace, membership.member).await? else { return Ok(None) };
                let codes = codes::queries::of_thing(tx, workspace, "card", &card.id.to_string(), 1).await?;
                let Some(code) = codes.into_iter().next() else { return Ok(None) };
                let sign_in_token = people::commands::issue_sign_in_link_everywhere(tx, person.id).await.map_err(said)?;
                let api_key = match wants_key {
                    false => None,
                    true => {
                        let draft = KeyDraft::parse("demonstration", roles::every_scope(), None, tx.now()).map_err(said)?;
                        match people::commands::issue_key(tx, workspace, draft).await {
                            Ok(key) => Some(key.text),
                            // So many starts asked for keys that there is no room: they are revoked by a person.
                            Err(error) if kernel::Fault::kind(&error) == Kind::Conflict => None,
                            Err(error) => return Err(said(error)),
                        }
                    }
                };
                let payment_link = till::link(tx, workspace).await?;
                Ok(Some(Demonstration { sign_in_token, code: code.code, payment_link, api_key }))
            })
        })
        .await
}

async fn make(store: &Store) -> Result<(), DemonstrationError> {
    static SEED: Caller = Caller::system("demonstration");
    let made = store
        .write(&SEED, (), |tx, ()| {
            Box::pin(async move {
                // Of several processes that start on the same empty database, one makes it.
                tx.lock("demonstration", "").await?;
                if people::queries::first_workspace_everywhere(tx).await?.is_some() {
                    return Ok(None);
                }
                let (workspace, member) = people::commands::create_workspace(
                    tx,
                    &WorkspaceName::parse("Demonstration").map_err(said)?,
                    &Locale::parse("en").map_err(said)?,
                    &Zone::parse("UTC").map_err(said)?,
                    &Email::parse(OWNER).map_err(said)?,
                    &PersonName::parse("Ada Lovelace").map_err(said)?,
                )
                .await
                .map_err(said)?;
                Ok::<_, DemonstrationError>(Some((workspace.id, member.id)))
            })
        })
        .await?;
    let Some((workspace, member)) = made else { return Ok(()) };
    // The card is made with its owner's own rights, as through the door.
    let owner = Caller::Person { workspace, member, grants: roles::roles().owner };
    store
        .write(&owner, (member, profile()?), |tx, (member, profile)| {
            Box::pin(async move {
                let card = cards::commands::create(tx, Some(member), profile).await.map_err(said)?;
                cards::commands::mint_code(tx, card.id).await.map_err(said)?;
                Ok::<_, DemonstrationError>(())
            })
        })
        .await?;
    till::set_up(store, workspace, &owner).await?;
    books::fill(store, workspace).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn of_two_that_start_at_once_on_an_empty_database_one_makes_the_demonstration() {
        let store = store::testing::store().await;
        let (one, two) = tokio::join!(seed(&store, false), seed(&store, false));
        assert!(one.unwrap().is_some() || two.unwrap().is_some());
        let owner = Email::parse(OWNER).unwrap();
        let mut reads = store.read();
        let person = people::queries::person_by_email_everywhere(&mut reads, &owner).await.unwrap().unwrap();
        assert_eq!(people::queries::memberships_everywhere(&mut reads, person.id).await.unwrap().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_books_of_the_demonstration_balance_and_count_from_a_year() {
        let store = store::testing::store().await;
        seed(&store, false).await.unwrap();
        while !ledger::keeper::has_caught_up(&store).await.unwrap() {
            ledger::keeper::catch_up(&store).await.unwrap();
        }
        let mut reads = store.read();
        let workspace = people::queries::first_workspace_everywhere(&mut reads).await.unwrap().unwrap().id;
        let trial = ledger::queries::trial_balance(&mut reads, workspace, None).await.unwrap();
        let units: Vec<&str> = trial.units.iter().map(|unit| unit.unit.as_str()).collect();
        assert_eq!(units, ["EUR", "USD", "points.grocery"]);
        assert!(trial.units.iter().all(|unit| unit.debits == unit.credits && unit.debits > 0));
        let code = ledger::AccountCode::parse("bank.eur").unwrap();
        let bank = ledger::queries::account_by_code(&mut reads, workspace, &code).await.unwrap().unwrap();
        let first = ledger::queries::by_day::first_day(&mut reads, workspace, bank.id).await.unwrap().unwrap();
        assert_eq!(store.clock().now().day() - first.day(), 364);
        let wallets = ledger::queries::AccountFilter { code_prefix: Some("wallet.".into()), ..Default::default() };
        let wallets = ledger::queries::accounts(&mut reads, workspace, &wallets, None, 100).await.unwrap();
        assert_eq!(wallets.len(), 5);
        let totals = ledger::queries::totals_of(&mut reads, workspace, &wallets).await.unwrap();
        assert!(wallets.iter().all(|wallet| wallet.balance(&totals[&wallet.id]) > 0));
        assert_eq!(totals.values().filter(|totals| totals.debits_pending > 0).count(), 2);
    }
}
