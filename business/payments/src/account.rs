//! A workspace's account with a provider, as it is kept: the secrets sealed.

use kernel::{Timestamp, WorkspaceId};
use serde_json::Value;
use store::{StoreError, Vault};
use url::Url;

use crate::provider::{Account, Dialect, ProviderId};

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
        let plain = vault.open(&self.sealed, &self.id.to_string())?;
        let secrets = serde_json::from_slice(&plain).map_err(StoreError::decode)?;
        Ok(Account { id: self.id, base_url: self.base_url.clone(), settings: self.settings.clone(), secrets })
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

/// Reads a provider's address: https, or http to this very machine, where a simulator may run.
pub fn parse_base_url(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "must be an https address without query, such as https://api.stripe.com";
    let url = Url::parse(text).map_err(|_| WRONG)?;
    let is_here = match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if text.len() > 500 || !is_plain || !(url.scheme() == "https" && url.host().is_some() || url.scheme() == "http" && is_here) {
        return Err(WRONG);
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_is_reached_by_https_or_on_this_machine() {
        assert_eq!(parse_base_url("https://api.stripe.com/"), Ok("https://api.stripe.com".to_owned()));
        assert!(parse_base_url("http://127.0.0.1:4100/stripe").is_ok());
        assert!(parse_base_url("http://localhost:4100").is_ok());
        for bad in ["http://api.stripe.com", "https://a:b@api.stripe.com", "ftp://x.example", "https://x.example/?a=1", "", "//x"] {
            assert!(parse_base_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_is_a_part_of_an_account_code() {
        assert!(parse_name("stripe-eu").is_ok());
        for bad in ["", "1stripe", "Stripe", "a b", "-x", &"a".repeat(31)] {
            assert!(parse_name(bad).is_err(), "{bad}");
        }
    }
}
