//! A member's data is forgotten.

use kernel::{MemberId, WorkspaceId};
use store::{Reads, Tx, params};

use crate::card::{Card, CardState, Profile, ProfileDraft};
use crate::error::CardError;
use crate::sql;

/// What stands in the place of an erased name.
const NOBODY: &str = "—";

/// Forgets everything that stood on a member's cards, photos and recorded answers included, and says how many cards they had.
/// The cards themselves stay, retired and empty, so that printed codes find a notice and can be handed on. The caller has
/// checked who asks.
pub async fn erase(tx: &mut Tx, workspace: WorkspaceId, member: MemberId) -> Result<u64, CardError> {
    let cards = tx.rows(&sql::CARDS_OF_OWNER, params![workspace, member], sql::card).await?;
    super::lock_photos(tx, workspace, cards.iter().filter_map(|card| card.photo)).await?;
    let now = Reads::now(tx);
    for before in &cards {
        let state = match before.state {
            CardState::Live => CardState::Retired { at: now },
            retired => retired,
        };
        // The language stays, for the notice.
        let draft = ProfileDraft {
            display_name: Some(NOBODY.to_owned()),
            language: Some(before.profile.language.to_string()),
            ..ProfileDraft::default()
        };
        let profile = Profile::parse(draft).map_err(|fields| CardError::Invalid { fields })?;
        let card = Card { owner: None, profile, photo: None, state, version: before.version + 1, updated_at: now, ..before.clone() };
        super::save(tx, before, &card).await?;
        super::drop_photo(tx, before).await?;
        gateway::erase_answers(tx, workspace, &card.id.to_string()).await?;
        super::told(tx, &card, "card.erased", &["profile", "photo", "owner", "state"]).await?;
    }
    Ok(cards.len() as u64)
}
