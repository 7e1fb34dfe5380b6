//! A workspace's account with a provider, as it is kept: the secrets sealed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use gateway::AllowedNetworks;
use kernel::{FieldFault, Timestamp, WorkspaceId};
use serde_json::{Map, Value};
use store::{StoreError, Vault};
use url::Url;

use crate::provider::{Account, Dialect, ProviderId, Webhook, WebhookError};

/// How long webhooks may be signed with secrets that were changed: providers repeat for hours what they could not deliver.
pub(crate) const FORMER_SECRETS_FOR: Duration = Duration::from_secs(24 * 3_600);

/// Settings that may change whatever is under way.
const FREE_SETTINGS: [&str; 4] = ["currencies", "payer_email", "public_key_pem", "webhook_id"];

/// What ties a provider to the account that it is with; each is counted up to a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ties {
    /// Payments that are open there.
    pub payments: i64,
    /// Payouts that have not ended.
    pub payouts: i64,
    /// Movements that no report has settled yet.
    pub unsettled: i64,
    /// Things that the provider has a name for: they can be refunded, or asked for, there alone.
    pub known: i64,
}

impl Ties {
    /// Whether there are any.
    pub const fn are_there(&self) -> bool {
        self.payments + self.payouts + self.unsettled + self.known > 0
    }
}

impl fmt::Display for Ties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { payments, payouts, unsettled, known } = self;
        write!(f, "{payments} payments and {payouts} payouts are open there, {unsettled} movements are not settled, ")?;
        write!(f, "and {known} payments, refunds and payouts are known there")
    }
}

/// A provider that a workspace has an account with.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderRecord {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Its identifier.
    pub id: ProviderId,
    /// Its name among the workspace's providers: small letters, digits and hyphens; a part of the books' account codes.
    pub name: String,
    /// What it speaks.
    pub dialect: Dialect,
    /// Where it is reached, without a slash at the end.
    pub base_url: String,
    /// What is not secret, as [`Account::settings`].
    pub settings: Value,
    /// The secrets, sealed by the vault for its identifier.
    pub sealed: Vec<u8>,
    /// The secrets that it had before they last changed, sealed alike, and until when webhooks may be signed with them.
    pub former: Option<(Vec<u8>, Timestamp)>,
    /// The part of the webhook address that only the provider knows.
    pub token: String,
    /// Whether new payments may go there; what was begun goes on.
    pub is_enabled: bool,
    /// How often it changed, from 1.
    pub version: i64,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl ProviderRecord {
    /// Opens it for a conversation.
    pub fn open(&self, vault: &Vault) -> Result<Account, StoreError> {
        self.open_with(vault, &self.sealed)
    }

    fn open_with(&self, vault: &Vault, sealed: &[u8]) -> Result<Account, StoreError> {
        let plain = vault.open(sealed, &self.id.to_string())?;
        let secrets = serde_json::from_slice(&plain).map_err(StoreError::decode)?;
        Ok(Account { id: self.id, base_url: self.base_url.clone(), settings: self.settings.clone(), secrets })
    }

    /// Checks a webhook as [`Provider::check`](crate::Provider::check) does: by the secrets as they are and, for a while after
    /// they changed, as they were, because the provider signs what is under way with those.
    pub fn check(&self, vault: &Vault, webhook: Webhook<'_>, now: Timestamp) -> Result<Result<(), WebhookError>, StoreError> {
        let adapter = self.dialect.provider();
        let checked = adapter.check(&self.open(vault)?, webhook, now);
        match &self.former {
            Some((sealed, until)) if checked.is_err() && now < *until => {
                Ok(adapter.check(&self.open_with(vault, sealed)?, webhook, now).or(checked))
            }
            _ => Ok(checked),
        }
    }

    /// What a change would move to another account, by the names of its fields: the address, and every setting but those
    /// that neither say whose money moves nor where to.
    pub(crate) fn moved_by(&self, base_url: &str, settings: &Value) -> Vec<String> {
        let url = (base_url != self.base_url).then(|| "base_url".to_owned());
        let names: BTreeSet<&String> = [&self.settings, settings].into_iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
        let moved =
            names.into_iter().filter(|name| !FREE_SETTINGS.contains(&name.as_str()) && self.settings.get(*name) != settings.get(*name));
        url.into_iter().chain(moved.map(|name| format!("settings.{name}"))).collect()
    }

    /// Where its webhooks are to be sent.
    pub fn webhook_url(&self, public_url: &str) -> String {
        format!("{public_url}/v1/payments/webhooks/{}", self.token)
    }
}

/// Reads a provider's name: 1 to 30 small letters, digits and hyphens, beginning with a letter.
pub fn parse_name(text: &str) -> Result<String, &'static str> {
    let is_good = (1..=30).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if is_good { Ok(text.to_owned()) } else { Err("must be 1 to 30 small letters, digits and hyphens, beginning with a letter") }
}

/// What is wrong with a provider's address.
const WRONG_URL: &str = "must be an https address without query, such as https://api.stripe.com";

/// Reads a provider's address: https, or http to a number or to this machine, where a simulator may run. Whether anybody may
/// be connected to there is for [`misplaced`] to say, and for the way out at each connection.
pub fn parse_base_url(text: &str) -> Result<String, &'static str> {
    let url = Url::parse(text).map_err(|_| WRONG_URL)?;
    let is_known_place = match url.host() {
        Some(url::Host::Ipv4(_) | url::Host::Ipv6(_)) => true,
        Some(url::Host::Domain(name)) => url.scheme() == "https" || name == "localhost",
        None => false,
    };
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if text.len() > 500 || !is_plain || !is_known_place || !matches!(url.scheme(), "https" | "http") {
        return Err(WRONG_URL);
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The addresses among what is entered of a provider that nobody may connect to, each by its field: inside without being
/// named by the operator, or without encryption. Every setting that is an address is looked at, whatever its name.
pub fn misplaced(allowed: &AllowedNetworks, base_url: Option<&str>, settings: Option<&Value>) -> Vec<FieldFault> {
    let base_url = base_url.map(|text| ("base_url".to_owned(), text));
    let settings = settings.and_then(Value::as_object).into_iter().flatten();
    let settings = settings.filter_map(|(name, value)| Some((format!("settings.{name}"), value.as_str()?)));
    let judge = |(field, text): (String, &str)| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
        let message = if !allowed.permits_url(&url) {
            "must not be a private or reserved address; the operator can permit one with --provider-allow"
        } else if url.scheme() == "http" && !allowed.names_url(&url) {
            "must begin with https://; without encryption only an address goes that the operator permits with --provider-allow"
        } else {
            return None;
        };
        Some(FieldFault::new(field, message))
    };
    base_url.into_iter().chain(settings).filter_map(judge).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_provider_is_reached_by_https_or_at_a_number() {
        assert_eq!(parse_base_url("https://api.stripe.com/"), Ok("https://api.stripe.com".to_owned()));
        assert!(parse_base_url("http://127.0.0.1:4100/stripe").is_ok());
        assert!(parse_base_url("http://localhost:4100").is_ok());
        for bad in ["http://api.stripe.com", "https://a:b@api.stripe.com", "ftp://x.example", "https://x.example/?a=1", "", "//x"] {
            assert!(parse_base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_inside_is_refused_by_the_field_that_names_it() {
        let allowed = AllowedNetworks::parse(["127.0.0.1:4100"]).unwrap();
        let fields = |base_url: &str, settings: Value| -> Vec<String> {
            misplaced(&allowed, Some(base_url), Some(&settings)).into_iter().map(|fault| fault.field).collect()
        };
        let none: [String; 0] = [];
        assert_eq!(fields("https://api.stripe.com", json!({ "api_url": "https://api.rampnetwork.com", "n": 1 })), none);
        assert_eq!(fields("http://127.0.0.1:4100/ramp-network", json!({ "api_url": "http://localhost:4100" })), none);
        for inside in
            ["http://127.0.0.1:4101", "https://127.0.0.1", "https://169.254.169.254", "https://[::1]", "https://10.1", "http://1.1.1.1"]
        {
            assert_eq!(fields(inside, json!({ "swap_asset": "ETH" })), ["base_url"], "{inside}");
            assert_eq!(fields("https://x.example", json!({ "any_name": inside })), ["settings.any_name"], "{inside}");
        }
    }

    #[test]
    fn what_names_the_merchants_account_is_everything_but_the_settings_that_are_known_to_be_free() {
        let provider = ProviderRecord {
            workspace: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
            id: kernel::Id::from_raw(kernel::RawId::from_bits(2)),
            name: "monnify".to_owned(),
            dialect: Dialect::Monnify,
            base_url: "https://api.monnify.com".to_owned(),
            settings: json!({ "contract_code": "1", "source_account": "2" }),
            sealed: Vec::new(),
            former: None,
            token: String::new(),
            is_enabled: true,
            version: 1,
            created_at: Timestamp::default(),
            changed_at: Timestamp::default(),
        };
        let moved = |settings: Value| provider.moved_by("https://api.monnify.com", &settings);
        let none: [String; 0] = [];
        assert_eq!(moved(json!({ "source_account": "2", "contract_code": "1", "payer_email": "a@b.example" })), none);
        assert_eq!(moved(json!({ "contract_code": "1", "source_account": "3" })), ["settings.source_account"]);
        assert_eq!(moved(json!({})), ["settings.contract_code", "settings.source_account"]);
        assert_eq!(moved(json!({ "contract_code": "1", "source_account": "2", "new": 1 })), ["settings.new"]);
        assert_eq!(provider.moved_by("https://sandbox.monnify.com", &provider.settings), ["base_url"]);
    }

    #[test]
    fn a_name_is_a_part_of_an_account_code() {
        assert!(parse_name("stripe-eu").is_ok());
        for bad in ["", "1stripe", "Stripe", "a b", "-x", &"a".repeat(31)] {
            assert!(parse_name(bad).is_err(), "{bad}");
        }
    }
}
