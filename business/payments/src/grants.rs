//! What members and keys may do with payments.

use kernel::Grant;

/// See payments, payouts, links and settlements.
pub const READ: Grant = Grant("payments:read");
/// Ask for payments and make links.
pub const WRITE: Grant = Grant("payments:write");
/// Capture and cancel.
pub const CAPTURE: Grant = Grant("payments:capture");
/// Give money back.
pub const REFUND: Grant = Grant("payments:refund");
/// Ask for payouts.
pub const PAY_OUT: Grant = Grant("payments:pay_out");
/// Approve payouts of others.
pub const APPROVE: Grant = Grant("payments:approve");
/// Upload settlements and work exceptions off.
pub const SETTLE: Grant = Grant("payments:settle");
/// Providers, their keys, and routes.
pub const MANAGE: Grant = Grant("payments:manage");
