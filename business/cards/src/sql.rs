//! Every statement of cards, and how its rows are read.
//!
//! Tables: `cards`, `cards_photos`.

use store::{Row, StoreError};

use crate::card::{Card, CardState};
use crate::photo::PhotoHash;

store::statements! {
    INSERT_CARD = "insert into cards (workspace, id, owner, profile, search_text, photo, retired_at, version, created_at, updated_at)
        values ($1, $2, $3, $4, $5, null, null, $6, $7, $7)";
    FIND_CARD = "select workspace, id, owner, profile, photo, retired_at, version, created_at, updated_at
        from cards where workspace = $1 and id = $2";
    FIND_CARD_EVERYWHERE = "select workspace, id, owner, profile, photo, retired_at, version, created_at, updated_at from cards where id = $1";
    LIST_CARDS = "select workspace, id, owner, profile, photo, retired_at, version, created_at, updated_at
        from cards where workspace = $1 and id < $2
        and ($3 = '' or owner = $3)
        and ($4 = '' or search_text like $4 escape '\\')
        and ($5 = '' or ($5 = 'live' and retired_at is null) or ($5 = 'retired' and retired_at is not null))
        order by id desc limit $6";
    FIRST_LIVE_CARD = "select workspace, id, owner, profile, photo, retired_at, version, created_at, updated_at
        from cards where workspace = $1 and owner = $2 and retired_at is null order by id limit 1";
    COUNT_LIVE_CARDS = "select count(*) as cards from cards where workspace = $1 and owner = $2 and retired_at is null";
    UPDATE_CARD = "update cards set owner = $4, profile = $5, search_text = $6, photo = $7, retired_at = $8, version = $9, updated_at = $10
        where workspace = $1 and id = $2 and version = $3";
    CARDS_OF_OWNER = "select workspace, id, owner, profile, photo, retired_at, version, created_at, updated_at
        from cards where workspace = $1 and owner = $2 order by id";

    INSERT_PHOTO = "insert into cards_photos (workspace, hash, page, vcard, created_at) values ($1, $2, $3, $4, $5)
        on conflict (workspace, hash) do nothing";
    PHOTO_EVERYWHERE = "select page from cards_photos where hash = $1 limit 1";
    VCARD_PHOTO = "select vcard from cards_photos where workspace = $1 and hash = $2";
    DELETE_UNUSED_PHOTO = "delete from cards_photos where workspace = $1 and hash = $2
        and not exists (select 1 from cards where workspace = $1 and photo = $2)";
}

/// Reads a card. One whose row breaks a rule of the noun is an error and not half a card.
pub(crate) fn card(row: &Row<'_>) -> Result<Card, StoreError> {
    let photo =
        row.get::<Option<String>>("photo")?.map(|hash| PhotoHash::parse(&hash).ok_or_else(|| StoreError::decode(NoHash))).transpose()?;
    let state = row.opt_time("retired_at")?.map_or(CardState::Live, |at| CardState::Retired { at });
    Ok(Card {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        owner: row.opt_id("owner")?,
        profile: row.json("profile")?,
        photo,
        state,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn count(row: &Row<'_>) -> Result<i64, StoreError> {
    row.get("cards")
}

pub(crate) fn page_photo(row: &Row<'_>) -> Result<Vec<u8>, StoreError> {
    row.get("page")
}

pub(crate) fn vcard_photo(row: &Row<'_>) -> Result<Vec<u8>, StoreError> {
    row.get("vcard")
}

#[derive(Debug, thiserror::Error)]
#[error("not the hash of a photo")]
struct NoHash;
