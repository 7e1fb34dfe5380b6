//! What can be done with payments. Whatever has to be done at a provider follows in a job.

mod accounts;
mod beneficiary;
mod float;
mod link;
mod pay;
mod payout;
mod provider;
mod record;
mod refund;
pub(crate) mod replay;
pub mod settlement;
mod webhook;

pub use link::{NewLink, make_link, switch_link};
pub(crate) use pay::next_attempt;
pub use pay::{CREDIT_ACCOUNT, NewPayment, Unknown, accept, cancel, create, create_in, expire, keep_payer, resolve, review, start};
pub use provider::{NewProvider, ProviderEdit, add_provider, add_provider_in, check_addresses, edit_provider, seal, set_routes};
pub(crate) use record::{locked, record};
pub use refund::{capture, erase_payer, give_back, refund};
pub(crate) use webhook::{Applied, apply, settle_webhook};
pub use webhook::{Taken, sweep_everywhere, take_webhook};

pub use beneficiary::{SealedBeneficiary, add_beneficiary, change_beneficiary, erase_beneficiary, seal_beneficiary};
pub(crate) use beneficiary::{keep_name_check, open_beneficiary};
pub(crate) use float::keep_float_check;
pub use float::{compare_float, set_payout_settings, top_up_float};
pub use payout::{
    PayoutWanted, approve_payout, cancel_payout, confirm_payout, may_decide, refuse_payout, request_payout, resolve_payout, retry_payout,
    seal_otp,
};
pub(crate) use payout::{apply_to_payout, locked_payout, mark_sending, record_payout, try_reserve};
