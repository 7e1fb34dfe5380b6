//! The joint with codes: which printed code leads to which card, and what becomes of it when somebody leaves. Cards makes sure
//! that the card is the workspace's own; so no code can lead into another workspace.

use codes::{Code, Destination, NewCode, PublicCode, TargetUrl};
use kernel::WorkspaceId;
use serde_json::json;
use store::{Reads, Tx};

use crate::card::{Card, CardId, Refused};
use crate::error::CardError;
use crate::{grants, queries};

/// The most codes that one unit of work moves, so that none holds the writer for long.
pub const CODES_MOVED_MAX: u32 = 200;

/// What a code calls a card.
pub(crate) const KIND: &str = "card";

/// Where the printed codes of a retired card lead from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Successor {
    /// To a notice that the card is no longer in use, until they are handed on.
    Nobody,
    /// To another card of the workspace.
    Card(CardId),
    /// To an address on the web.
    Url(TargetUrl),
}

/// What retiring a card came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retired {
    /// The card.
    pub card: Card,
    /// The codes that lead elsewhere now.
    pub moved: Vec<PublicCode>,
}

/// Leads a printed code to a card.
pub async fn bind_code(tx: &mut Tx, id: CardId, code: PublicCode) -> Result<Code, CardError> {
    let workspace = may(tx)?;
    let card = live(tx, workspace, id).await?;
    Ok(codes::commands::bind(tx, workspace, code, destination(card.id)?).await?)
}

/// Mints a code that leads to a card from the start.
pub async fn mint_code(tx: &mut Tx, id: CardId) -> Result<Code, CardError> {
    let workspace = may(tx)?;
    let card = live(tx, workspace, id).await?;
    let new = NewCode { destination: Some(destination(card.id)?), ..NewCode::default() };
    Ok(codes::commands::mint(tx, workspace, new).await?)
}

/// Takes a code off a card; it may be bound again.
pub async fn release_code(tx: &mut Tx, id: CardId, code: PublicCode) -> Result<Code, CardError> {
    let workspace = may(tx)?;
    let card = queries::get(tx, workspace, id).await?;
    let found = codes::queries::get(tx, workspace, code).await?;
    if found.state.destination() != Some(&destination(card.id)?) {
        return Err(CardError::NotItsCode);
    }
    Ok(codes::commands::release(tx, workspace, code).await?)
}

/// Takes a card out of use and hands its printed codes on, so that nothing needs printing again. Repeated on a retired card it
/// hands on the codes that still lead there.
pub async fn retire(tx: &mut Tx, id: CardId, successor: Successor) -> Result<Retired, CardError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    if successor != Successor::Nobody {
        may(tx)?;
    }
    let before = queries::get(tx, workspace, id).await?;
    let to = match successor {
        Successor::Nobody => None,
        Successor::Card(other) if other == id => return Err(CardError::field("successor", "must be another card")),
        Successor::Card(other) => match queries::find(tx, workspace, other).await?.filter(Card::is_live) {
            Some(other) => Some(destination(other.id)?),
            None => return Err(CardError::field("successor", "must be a card of this workspace that is in use")),
        },
        Successor::Url(url) => Some(Destination::Url(url)),
    };
    let card = if before.is_live() {
        let card = before.clone().retire(Reads::now(tx))?;
        super::save(tx, &before, &card).await?;
        super::told(tx, &card, "card.retired", &["state"]).await?;
        card
    } else {
        before
    };
    let mut moved = Vec::new();
    if let Some(to) = to {
        let from = destination(id)?;
        let found = codes::queries::of_thing(tx, workspace, KIND, &id.to_string(), CODES_MOVED_MAX + 1).await?;
        if found.len() > CODES_MOVED_MAX as usize {
            return Err(CardError::TooManyCodes);
        }
        for code in found {
            codes::commands::reassign(tx, workspace, code.code, &from, to.clone()).await?;
            moved.push(code.code);
        }
        outbox::audit(tx, workspace, "card.codes_moved", &id.to_string(), &json!({ "codes": moved, "to": to.kind() })).await?;
    }
    Ok(Retired { card, moved })
}

/// Whoever changes codes by way of a card needs the rights of both.
fn may(tx: &Tx) -> Result<WorkspaceId, CardError> {
    tx.caller().may(grants::WRITE)?;
    Ok(tx.caller().may(codes::grants::WRITE)?)
}

/// No code is bound to a card that is out of use.
async fn live(tx: &mut Tx, workspace: WorkspaceId, id: CardId) -> Result<Card, CardError> {
    let card = queries::get(tx, workspace, id).await?;
    if card.is_live() { Ok(card) } else { Err(Refused::Retired.into()) }
}

fn destination(id: CardId) -> Result<Destination, CardError> {
    Destination::thing(KIND, id).ok_or(CardError::NotFound { id })
}
