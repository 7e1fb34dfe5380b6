//! Reading cards, inside a unit of work and outside of one alike.

use kernel::{MemberId, WorkspaceId};
use store::{Reads, StoreError, params};

use crate::card::{Card, CardId};
use crate::error::CardError;
use crate::photo::PhotoHash;
use crate::sql;

/// Sorts after every identifier of a card.
const AFTER_ALL: &str = "card_~";

/// Which cards are wanted; everything that is named must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this member.
    pub owner: Option<MemberId>,
    /// With these words in the label, the name, the organisation or an address.
    pub search: Option<String>,
    /// Only those in use, or only those that are not.
    pub is_live: Option<bool>,
}

/// One card of a workspace.
pub async fn find(reads: &mut impl Reads, workspace: WorkspaceId, id: CardId) -> Result<Option<Card>, StoreError> {
    reads.row(&sql::FIND_CARD, params![workspace, id], sql::card).await
}

/// The same, or that there is none.
pub async fn get(reads: &mut impl Reads, workspace: WorkspaceId, id: CardId) -> Result<Card, CardError> {
    find(reads, workspace, id).await?.ok_or(CardError::NotFound { id })
}

/// The card that a scan opens, whichever workspace it is of; a retired one too, so that the scan can say so.
pub async fn card_for_scan_everywhere(reads: &mut impl Reads, id: CardId) -> Result<Option<Card>, StoreError> {
    reads.row(&sql::FIND_CARD_EVERYWHERE, params![id], sql::card).await
}

/// At most `limit` cards that `filter` lets through, the newest first, beginning after `after`.
pub async fn list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &Filter,
    after: Option<CardId>,
    limit: i64,
) -> Result<Vec<Card>, StoreError> {
    let after = after.map_or_else(|| AFTER_ALL.to_owned(), |id| id.to_string());
    let owner = filter.owner.map(|owner| owner.to_string()).unwrap_or_default();
    let search = filter.search.as_deref().map(pattern).unwrap_or_default();
    let state = match filter.is_live {
        None => "",
        Some(true) => "live",
        Some(false) => "retired",
    };
    reads.rows(&sql::LIST_CARDS, params![workspace, after, owner, search, state, limit], sql::card).await
}

/// The card with which a member introduces themselves where they name none: the oldest that is in use.
pub async fn default_of(reads: &mut impl Reads, workspace: WorkspaceId, owner: MemberId) -> Result<Option<Card>, StoreError> {
    reads.row(&sql::FIRST_LIVE_CARD, params![workspace, owner], sql::card).await
}

/// The square JPEG of a page, by its hash: whoever has seen the page knows it.
pub async fn photo_everywhere(reads: &mut impl Reads, hash: PhotoHash) -> Result<Option<Vec<u8>>, StoreError> {
    reads.row(&sql::PHOTO_EVERYWHERE, params![hash.to_string()], sql::page_photo).await
}

/// The JPEG for the vCard of a card, if it has a photo.
pub async fn vcard_photo(reads: &mut impl Reads, card: &Card) -> Result<Option<Vec<u8>>, StoreError> {
    match card.photo {
        None => Ok(None),
        Some(hash) => reads.row(&sql::VCARD_PHOTO, params![card.workspace, hash.to_string()], sql::vcard_photo).await,
    }
}

/// What finds a text anywhere in another, with the signs of the pattern language taken as they are.
fn pattern(search: &str) -> String {
    let search = search.trim().to_lowercase();
    if search.is_empty() {
        return String::new();
    }
    let plain = search.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    format!("%{plain}%")
}
