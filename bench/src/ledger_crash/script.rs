//! What each caller posts, as a function of who and how-manieth: whoever was not answered can ask again in the same words.

use kernel::{Id, RawId, Timestamp, WorkspaceId};
use ledger::{AccountCode, AccountId, AccountKind, Action, Ask, EntryId, Limits, NewAccount, NewTransfer, TransferId, Unit};

/// Callers at once.
pub(super) const CALLERS: u64 = 16;
/// The identifiers of this load begin with it.
const MARK: u128 = 0xC0DE << 112;

/// The workspace of the load.
pub(super) fn workspace() -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(0x1ed6e2))
}

/// The accounts of the load: a wallet for each caller, and three that all share.
#[derive(Clone)]
pub(super) struct Accounts {
    pub(super) unit: Unit,
    /// In the order of [`new_accounts`].
    pub(super) ids: Vec<AccountId>,
}

/// What the accounts are opened with: owner's equity, clearing and fees, which have no limit; then the wallets.
pub(super) fn new_accounts(unit: &Unit) -> Result<Vec<NewAccount>, String> {
    let shared = [("owner", AccountKind::Equity), ("clearing", AccountKind::Asset), ("fees", AccountKind::Income)];
    let shared = shared.map(|(code, kind)| (code.to_owned(), kind, Limits::None));
    let wallets = (0..CALLERS).map(|caller| (format!("wallet.{caller}"), AccountKind::Liability, Limits::DebitsWithinCredits));
    let all = shared.into_iter().chain(wallets).map(|(code, kind, limits)| {
        let parsed = AccountCode::parse(&code).map_err(|e| e.to_string())?;
        Ok(NewAccount { code: parsed, name: code, kind, unit: unit.clone(), limits, metadata: None })
    });
    all.collect()
}

/// The identifier of transfer `index` of what `caller` posts in turn `turn`.
fn id(caller: u64, turn: u64, index: u64) -> TransferId {
    TransferId::from_raw(RawId::from_bits(MARK | (u128::from(caller) << 96) | (u128::from(turn) << 16) | u128::from(index)))
}

/// Whose transfer it is, and of which turn.
pub(super) fn owner(id: TransferId) -> (u64, u64) {
    let bits = id.raw().bits();
    (((bits >> 96) & 0xFFFF) as u64, ((bits >> 16) & 0xFFFF_FFFF) as u64)
}

/// A number that looks random and is always the same.
fn mixed(caller: u64, turn: u64, index: u64) -> u64 {
    let mut z = (caller << 48 ^ turn << 8 ^ index).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// How many transfers `caller` posts in turn `turn`.
pub(super) fn length(caller: u64, turn: u64) -> u64 {
    match turn % 8 {
        2 | 6 => 2 + mixed(caller, turn, 99) % 4,
        7 => 10,
        _ => 1,
    }
}

/// What `caller` posts in turn `turn`, all of it or nothing.
pub(super) fn batch(accounts: &Accounts, caller: u64, turn: u64) -> Vec<NewTransfer> {
    let at = |index: usize| accounts.ids[index];
    let (owner, clearing, fees) = (at(0), at(1), at(2));
    let wallet = |caller: u64| at(3 + (caller % CALLERS) as usize);
    let own = wallet(caller);
    let amount = |index: u64| 1 + (mixed(caller, turn, index) % 900) as i64;
    let exactly =
        |index: u64, debit, credit| NewTransfer::exactly(id(caller, turn, index), debit, credit, accounts.unit.clone(), amount(index));
    match turn % 8 {
        0 => {
            let all = NewTransfer::exactly(id(caller, turn, 0), owner, own, accounts.unit.clone(), 2_500);
            vec![NewTransfer { source: Some(format!("load:{caller}")), ..all }]
        }
        1 => vec![exactly(0, own, clearing)],
        2 | 6 => {
            let count = length(caller, turn);
            let path = [own, clearing, fees, clearing, wallet(caller + 1), clearing];
            let chain = (0..count).map(|index| {
                let step = exactly(index, path[index as usize], path[index as usize + 1]);
                let entry = EntryId::from_raw(RawId::from_bits(MARK | (u128::from(caller) << 96) | u128::from(turn)));
                NewTransfer { linked: index + 1 < count, entry: Some(entry), ..step }
            });
            chain.collect()
        }
        3 => {
            let ask = Ask::Exactly(amount(0));
            // Far away: the promise is resolved long before, and its timer is written with it all the same.
            let expires_at = Some(Timestamp::from_seconds(4_102_444_800));
            let hold = Action::Hold { debit: own, credit: clearing, unit: accounts.unit.clone(), ask, expires_at };
            vec![NewTransfer::new(id(caller, turn, 0), hold)]
        }
        4 => {
            let pending = id(caller, turn - 1, 0);
            let resolve = match mixed(caller, turn, 0) % 3 {
                0 => Action::VoidPending { pending },
                1 => Action::PostPending { pending, amount: None },
                _ => Action::PostPending { pending, amount: Some(1) },
            };
            vec![NewTransfer::new(id(caller, turn, 0), resolve)]
        }
        5 => vec![exactly(0, own, wallet(caller + 7))],
        _ => (0..length(caller, turn)).map(|index| exactly(index, owner, clearing)).collect(),
    }
}
