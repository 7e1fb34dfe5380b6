//! The dialect of Monnify.

use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};
use crate::providers::Provider;

/// The dialect.
#[derive(Debug, Default)]
pub struct Monnify;

impl Provider for Monnify {
    fn operation(&self, _call: &Call) -> &'static str {
        "query"
    }

    fn answer(&self, _books: &mut Books, _call: &Call) -> Reply {
        Reply::empty(404)
    }

    fn decide(&self, _books: &mut Books, _page: &Page, _decision: &Decision, _twist: &Twist) -> Result<Option<String>, String> {
        Err("there is no page here".to_owned())
    }

    fn decline_codes(&self) -> &'static [&'static str] {
        &[]
    }

    fn sign(&self, _secret: &str, _webhook: &Outgoing, _body: &[u8], _now_ms: i64, _is_forged: bool) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn retries_s(&self) -> &'static [u32] {
        &[]
    }
}
