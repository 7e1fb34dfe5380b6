//! What can be done with cards.

mod codes;
mod erase;
mod exchange;

use kernel::{MemberId, WorkspaceId};
use serde_json::json;
use store::{Reads, StoreError, Tx, params};

pub use self::codes::{CODES_MOVED_MAX, Retired, Successor, bind_code, mint_code, release_code, retire};
pub use self::erase::erase;
pub use self::exchange::{Exchanged, exchange};
use crate::card::{CARDS_PER_OWNER_MAX, Card, CardId, CardState, Profile};
use crate::error::CardError;
use crate::events::CardChanged;
use crate::photo::{Photo, PhotoHash};
use crate::{grants, queries, sql};

/// Makes a card. `owner` is a member of the workspace; none makes it the organisation's.
pub async fn create(tx: &mut Tx, owner: Option<MemberId>, profile: Profile) -> Result<Card, CardError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    if let Some(owner) = owner {
        check_owner(tx, workspace, owner).await?;
    }
    let (id, now) = (tx.new_id::<CardId>(), Reads::now(tx));
    let card = Card::new(id, workspace, owner, profile, now);
    let (profile, search) = (profile_text(&card.profile)?, search_text(&card.profile));
    tx.execute(&sql::INSERT_CARD, params![workspace, card.id, card.owner, profile, search, card.version, now]).await?;
    told(tx, &card, "card.created", &["profile"]).await?;
    Ok(card)
}

/// Puts another profile on a card. `expected` is the version that the editor saw.
pub async fn update(tx: &mut Tx, id: CardId, profile: Profile, expected: Option<i64>) -> Result<Card, CardError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let before = queries::get(tx, workspace, id).await?;
    let is_same = before.profile == profile && expected.is_none_or(|expected| expected == before.version) && before.is_live();
    if is_same {
        return Ok(before);
    }
    let card = before.clone().edit(profile, expected, Reads::now(tx))?;
    save(tx, &before, &card).await?;
    told(tx, &card, "card.changed", &["profile"]).await?;
    Ok(card)
}

/// Hands a card to another member, or to the organisation.
pub async fn hand_to(tx: &mut Tx, id: CardId, owner: Option<MemberId>) -> Result<Card, CardError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let before = queries::get(tx, workspace, id).await?;
    if before.owner == owner {
        return Ok(before);
    }
    if let Some(owner) = owner {
        check_owner(tx, workspace, owner).await?;
    }
    let card = before.clone().hand_to(owner, Reads::now(tx))?;
    save(tx, &before, &card).await?;
    told(tx, &card, "card.changed", &["owner"]).await?;
    Ok(card)
}

/// Gives a card another photo, or none. The photo was prepared outside of the unit of work, because that takes long.
pub async fn picture(tx: &mut Tx, id: CardId, photo: Option<&Photo>) -> Result<Card, CardError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let before = queries::get(tx, workspace, id).await?;
    let hash = photo.map(|photo| photo.hash);
    if before.photo == hash && before.is_live() {
        return Ok(before);
    }
    lock_photos(tx, workspace, before.photo.into_iter().chain(hash)).await?;
    if let Some(photo) = photo {
        let now = Reads::now(tx);
        tx.execute(&sql::INSERT_PHOTO, params![workspace, photo.hash.to_string(), photo.page, photo.vcard, now]).await?;
    }
    let card = before.clone().picture(hash, Reads::now(tx))?;
    save(tx, &before, &card).await?;
    drop_photo(tx, &before).await?;
    told(tx, &card, "card.changed", &["photo"]).await?;
    Ok(card)
}

/// A member of the workspace who has room for one more card.
async fn check_owner(tx: &mut Tx, workspace: WorkspaceId, owner: MemberId) -> Result<(), CardError> {
    if people::queries::member(tx, workspace, owner).await?.is_none() {
        return Err(CardError::field("owner", "must be a member of this workspace"));
    }
    tx.lock("cards", &format!("{workspace}:{owner}")).await?;
    let cards = tx.row(&sql::COUNT_LIVE_CARDS, params![workspace, owner], sql::count).await?.unwrap_or(0);
    if cards >= CARDS_PER_OWNER_MAX { Err(CardError::TooMany) } else { Ok(()) }
}

/// Writes `after` in place of `before`, unless somebody else was first.
async fn save(tx: &mut Tx, before: &Card, after: &Card) -> Result<(), CardError> {
    let (profile, search) = (profile_text(&after.profile)?, search_text(&after.profile));
    let retired_at = match after.state {
        CardState::Live => None,
        CardState::Retired { at } => Some(at),
    };
    let photo = after.photo.map(|hash| hash.to_string());
    let changed = tx
        .execute(
            &sql::UPDATE_CARD,
            params![
                after.workspace,
                after.id,
                before.version,
                after.owner,
                profile,
                search,
                photo,
                retired_at,
                after.version,
                after.updated_at
            ],
        )
        .await?;
    match changed {
        0 => {
            let current = queries::get(tx, before.workspace, before.id).await?.version;
            Err(crate::card::Refused::Changed { current }.into())
        }
        _ => Ok(()),
    }
}

/// Two cards may share a photo: one that takes it up and one that lets go of it wait for each other, in the order of the hashes,
/// so that none waits in a circle.
async fn lock_photos(tx: &mut Tx, workspace: WorkspaceId, hashes: impl IntoIterator<Item = PhotoHash>) -> Result<(), StoreError> {
    let mut keys: Vec<String> = hashes.into_iter().map(|hash| format!("{workspace}:{hash}")).collect();
    keys.sort_unstable();
    keys.dedup();
    for key in &keys {
        tx.lock("cards_photos", key).await?;
    }
    Ok(())
}

/// Forgets the photo that a card had, unless another card shows it. The photo is locked.
async fn drop_photo(tx: &mut Tx, before: &Card) -> Result<(), StoreError> {
    if let Some(hash) = before.photo {
        tx.execute(&sql::DELETE_UNUSED_PHOTO, params![before.workspace, hash.to_string()]).await?;
    }
    Ok(())
}

/// Writes the line of the audit trail, and tells whoever keeps the card's page.
async fn told(tx: &mut Tx, card: &Card, action: &str, fields: &[&str]) -> Result<(), StoreError> {
    let details = json!({ "version": card.version, "fields": fields, "owner": card.owner });
    outbox::audit(tx, card.workspace, action, &card.id.to_string(), &details).await?;
    outbox::publish(tx, card.workspace, &CardChanged { card: card.id, version: card.version, is_live: card.is_live() }).await
}

fn profile_text(profile: &Profile) -> Result<String, StoreError> {
    serde_json::to_string(profile).map_err(StoreError::decode)
}

/// What a search looks through, in lower case; the two engines fold case differently, so it is done here.
fn search_text(profile: &Profile) -> String {
    let name = &profile.name;
    let lines = [&profile.label, &Some(name.display.clone()), &profile.job_title, &profile.organisation, &profile.department];
    let lines = lines.into_iter().filter_map(|line| line.as_deref());
    let addresses = profile.emails.iter().map(|email| email.value.as_str());
    lines.chain(addresses).collect::<Vec<_>>().join("\n").to_lowercase()
}
