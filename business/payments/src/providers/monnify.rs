//! Monnify's wire format.

use kernel::Timestamp;

use crate::client::Client;
use crate::provider::{Abilities, Account, Conversation, Done, Order, Provider, Question, ReportLine, Told, Webhook, WebhookError};

/// Monnify.
pub(crate) struct Monnify;

impl Provider for Monnify {
    fn abilities(&self) -> Abilities {
        unimplemented!()
    }

    fn send<'a>(&'a self, _client: &'a Client, _account: &'a Account, _order: &'a Order) -> Conversation<'a, Done> {
        unimplemented!()
    }

    fn ask<'a>(&'a self, _client: &'a Client, _account: &'a Account, _question: &'a Question) -> Conversation<'a, Told> {
        unimplemented!()
    }

    fn check(&self, _account: &Account, _webhook: Webhook<'_>, _now: Timestamp) -> Result<(), WebhookError> {
        unimplemented!()
    }

    fn read(&self, _account: &Account, _webhook: Webhook<'_>) -> Result<Vec<crate::provider::Notice>, WebhookError> {
        unimplemented!()
    }

    fn report(&self, _account: &Account, _bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
        unimplemented!()
    }
}
