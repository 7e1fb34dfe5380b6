//! Two people exchange cards: the one who scanned leaves their own with the other, by one tap.

use kernel::Caller;
use leads::{NewLead, Source};
use store::Tx;

use crate::card::{Card, CardId};
use crate::error::CardError;
use crate::{grants, queries};

/// What an exchange came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanged {
    /// The card that was scanned, of whichever workspace.
    pub card: Card,
    /// The caller's own card that was left with its owner.
    pub own: Card,
}

/// Leaves the caller's own card with the owner of another one: there it is a lead. The caller gives `own`, or else the oldest of
/// their cards that is in use. `code` is the printed code that led to the card.
pub async fn exchange(tx: &mut Tx, id: CardId, own: Option<CardId>, code: Option<&str>) -> Result<Exchanged, CardError> {
    let Caller::Person { member, .. } = tx.caller().clone() else { return Err(CardError::PersonOnly) };
    let home = tx.caller().may(grants::READ)?;
    let card = queries::card_for_scan_everywhere(tx, id).await?.filter(Card::is_live).ok_or(CardError::NotFound { id })?;
    if card.workspace == home && card.owner == Some(member) {
        return Err(CardError::OwnCard);
    }
    let own = match own {
        // Somebody else's card is not theirs to give.
        Some(own) => queries::find(tx, home, own).await?.filter(|own| own.owner == Some(member) && own.is_live()),
        None => queries::default_of(tx, home, member).await?,
    };
    let own = own.ok_or(CardError::NoCardToGive)?;
    let new = details(&own);
    if new.email.is_none() && new.phone.is_none() {
        return Err(CardError::NothingToGive);
    }
    let mut source = Source::new(super::codes::KIND, card.id);
    if let Some(code) = code {
        source = source.by_code(code);
    }
    // The lead is of the other card's workspace. Nothing of it is told to the caller: it is its owner's.
    leads::commands::record(tx, card.workspace, source, card.owner, new, None).await?;
    Ok(Exchanged { card, own })
}

fn details(own: &Card) -> NewLead {
    let profile = &own.profile;
    NewLead {
        name: profile.name.display.clone(),
        email: profile.emails.iter().find_map(|email| leads::Email::parse(email.value.as_str()).ok()),
        // Without the extension, which a lead's number has no place for.
        phone: profile.phones.iter().find_map(|phone| leads::Phone::parse(phone.value.dialled()).ok()),
        company: profile.organisation.clone(),
        message: None,
        trapped: false,
    }
}
