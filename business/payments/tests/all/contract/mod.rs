//! The one contract that every adapter passes, against the simulator of its provider: a table of what each dialect promises,
//! and for each promise a test of its own name. A new dialect is an entry, `contract!(dialect)` and nothing else.

mod broken;
mod later;
mod pages;
mod payouts;
mod reports;
mod webhooks;
mod world;

mod monnify;
mod paypal;
mod ramp;
mod ramp_network;
mod stripe;
mod zenith;

use std::time::Duration;

use payments::{Abilities, Destination, Dialect, ErrorClass};
use serde_json::Value;

/// What a dialect promises, and what it takes to have it tried.
pub struct Promise {
    /// The dialect.
    pub dialect: Dialect,
    /// Its simulator.
    pub sim: sim::Dialect,
    /// The abilities, word for word: what is denied here is not tried.
    pub abilities: Abilities,
    /// What is not secret of the account.
    pub settings: fn() -> Value,
    /// What is.
    pub secrets: fn() -> Value,
    /// What is paid with.
    pub currency: &'static str,
    /// The dialect's own parameters of a page.
    pub extra: fn() -> Value,
    /// A payer's decline by code, and what class it is.
    pub declines: &'static [(&'static str, ErrorClass)],
    /// A payment is authorized and then left to us to complete.
    pub is_completed_by_us: bool,
    /// A page that was asked for and whose answer was lost can be asked for by our reference alone.
    pub is_found_by_reference: bool,
    /// How payouts are tried.
    pub payouts: Option<Payouts>,
    /// The secrets of somebody else, with which no webhook of ours is genuine; none where nothing is signed.
    pub other_secrets: Option<fn() -> Value>,
    /// A genuine webhook about something that is not ours.
    pub something_else: &'static [u8],
    /// Faults of `decide`'s operation: another amount and another currency can be paid at the simulator.
    pub takes_other_amounts: bool,
    /// The pages, captures and refunds are done at once; else the simulator's clock is moved so far first.
    pub is_done_after: Duration,
}

/// How payouts are tried.
pub struct Payouts {
    /// An account that takes money.
    pub to: fn() -> Destination,
    /// An account that does not exist, for name enquiries.
    pub nobody: Option<fn() -> Destination>,
    /// The provider's word with which the simulator refuses a payout, at once or later.
    pub failed: Option<&'static str>,
    /// The provider's word with which money that was paid out comes back.
    pub reversed: Option<&'static str>,
    /// Settings with which a payout waits for a password, and the password.
    pub password: Option<(fn() -> Value, &'static str)>,
}

/// Makes the tests of one dialect.
macro_rules! contract {
    ($promise:expr) => {
        $crate::contract::contract!(@ $promise,
            pages::its_abilities_are_what_the_contract_says,
            pages::a_paid_page_is_observed_with_the_exact_amount,
            pages::a_decline_has_its_class,
            pages::a_closed_page_takes_no_money,
            pages::the_same_reference_twice_is_one_page_and_one_charge,
            pages::an_answer_lost_after_the_effect_is_unknown_and_then_found,
            pages::what_was_lost_before_the_effect_is_unknown_and_not_found,
            pages::nobody_at_the_other_end_means_that_nothing_was_sent,
            pages::another_amount_or_currency_is_observed_as_such,
            pages::who_leaves_the_page_has_paid_nothing,
            pages::a_token_that_ran_out_is_replaced,
            later::an_authorization_is_captured_in_parts,
            later::an_authorization_is_released,
            later::a_lost_capture_is_found_and_not_done_twice,
            later::money_is_given_back_in_parts_and_each_part_once,
            later::a_lost_refund_is_found_and_not_done_twice,
            later::the_same_refund_many_times_at_once_is_one,
            later::a_refund_that_the_provider_refuses_says_so,
            later::another_amount_given_back_is_observed_as_such,
            payouts::money_is_paid_out_once,
            payouts::a_payout_that_fails_or_comes_back_says_so,
            payouts::a_payout_waits_for_its_password,
            payouts::an_account_has_a_name_and_we_have_a_float,
            webhooks::a_genuine_webhook_is_taken_and_says_what_was_paid,
            webhooks::a_forged_webhook_or_another_secret_is_refused,
            webhooks::a_webhook_from_another_time_is_stale,
            webhooks::a_webhook_that_came_twice_says_the_same_twice,
            webhooks::a_webhook_about_something_else_says_nothing,
            webhooks::a_signed_webhook_with_another_amount_says_that_amount,
            webhooks::whatever_a_webhook_holds_reading_it_never_panics,
            reports::each_line_of_a_report_adds_up_and_names_the_payment,
            reports::whatever_a_report_holds_reading_it_never_panics,
            broken::an_answer_that_cannot_be_read_leaves_the_outcome_unknown,
            broken::a_provider_that_never_answers_leaves_the_outcome_unknown,
            broken::a_wrong_or_missing_secret_is_our_own_set_up,
            broken::nothing_secret_is_in_a_failure
        );
    };
    (@ $promise:expr, $($area:ident :: $name:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                super::$area::$name(&$promise).await;
            }
        )+
    };
}
pub(crate) use contract;
