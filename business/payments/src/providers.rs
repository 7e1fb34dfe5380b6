//! The adapters, one file for each provider.

mod answers;
mod monnify;
mod paypal;
mod ramp;
mod ramp_network;
mod stripe;
mod table;
mod zenith;

use crate::provider::{Dialect, Provider};

/// The adapter that speaks a dialect.
pub(crate) fn of(dialect: Dialect) -> &'static dyn Provider {
    match dialect {
        Dialect::Stripe => &stripe::Stripe,
        Dialect::Paypal => &paypal::Paypal,
        Dialect::Monnify => &monnify::Monnify,
        Dialect::Zenith => &zenith::Zenith,
        Dialect::RampNetwork => &ramp_network::RampNetwork,
        Dialect::Ramp => &ramp::Ramp,
    }
}
