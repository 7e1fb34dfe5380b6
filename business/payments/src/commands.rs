//! What can be done with payments. Whatever has to be done at a provider follows in a job.

mod accounts;
mod link;
mod pay;
mod provider;
mod record;
mod refund;
pub mod settlement;
mod webhook;

pub use link::{NewLink, make_link, switch_link};
pub(crate) use pay::next_attempt;
pub use pay::{CREDIT_ACCOUNT, NewPayment, Unknown, cancel, create, create_in, expire, keep_payer, plan, resolve, review, start};
pub use provider::{NewProvider, ProviderEdit, add_provider, add_provider_in, edit_provider, seal, set_routes};
pub(crate) use record::{locked, record};
pub use refund::{capture, erase, refund};
pub use webhook::{Taken, sweep_everywhere, take_webhook};
pub(crate) use webhook::{apply, settle_webhook};
