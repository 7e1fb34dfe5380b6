//! The till of the demonstration: accounts with the simulators of payment providers, and a link that anybody may pay with.
//!
//! The simulators are another program (`cargo run --release -p sim`). Until it runs nothing is sent, and the payer's page says so.

use kernel::{Caller, Currency, Id as _, RawId, WorkspaceId};
use payments::commands::{self, NewLink, NewProvider};
use payments::{Dialect, LinkId, ProviderId};
use serde_json::{Value, json};
use store::{Reads, Store};

use super::{DemonstrationError, said};

/// Where the simulators listen unless they are told otherwise.
pub const SIMULATORS_URL: &str = "http://127.0.0.1:4100";
/// Who pays where a provider insists on an address and the payer left none.
const PAYER: &str = "payer@example.com";
/// What the demonstration's link asks for, in cents of the euro.
const PRICE_MINOR: i64 = 2_450;

/// An account with a simulator. Its keys are those that the simulators print, and open nothing else.
pub struct Booth {
    /// The simulator's word for the dialect: a part of its address and of the webhook address.
    pub word: &'static str,
    /// What it speaks.
    pub dialect: Dialect,
    /// What is not secret.
    pub settings: Value,
    /// What would be, at a real provider.
    pub secrets: Value,
}

impl Booth {
    /// Where it is reached.
    pub fn base_url(&self) -> String {
        format!("{SIMULATORS_URL}/{}", self.word)
    }

    /// The part of the webhook address that the simulator knows.
    pub fn token(&self) -> String {
        format!("demo-{}", self.word)
    }
}

/// The accounts of the demonstration, one for each dialect.
pub fn booths() -> Vec<Booth> {
    let booth = |word, dialect, settings, secrets| Booth { word, dialect, settings, secrets };
    vec![
        booth("stripe", Dialect::Stripe, json!({}), json!({ "api_key": "sk_test_simulator", "webhook_secret": "whsec_simulator" })),
        booth(
            "paypal",
            Dialect::Paypal,
            json!({ "webhook_id": "WH-SIMULATOR" }),
            json!({ "client_id": "simulator-client", "client_secret": "simulator-secret" }),
        ),
        booth(
            "monnify",
            Dialect::Monnify,
            json!({ "contract_code": "1000000000", "source_account": "8000000001", "payer_email": PAYER }),
            json!({ "api_key": "MK_TEST_SIMULATOR", "secret_key": "SK_TEST_SIMULATOR" }),
        ),
        booth(
            "zenith",
            Dialect::Zenith,
            json!({ "payer_email": PAYER, "currency": "NGN", "currencies": ["NGN"] }),
            json!({ "api_key": "zenith-simulator" }),
        ),
        booth(
            "ramp-network",
            Dialect::RampNetwork,
            json!({
                "host_api_key": "ramp-simulator",
                "swap_asset": "ETH_USDC",
                "public_key_pem": RAMP_NETWORK_PUBLIC_KEY,
                "user_address": "0x71C7656EC7ab88b098defB751B7401B5f6d8976F",
            }),
            json!({}),
        ),
        booth(
            "ramp",
            Dialect::Ramp,
            json!({}),
            json!({ "client_id": "ramp-client", "client_secret": "ramp-secret", "webhook_secret": "ramp-webhook-secret" }),
        ),
    ]
}

/// Checks the simulator's signature of Ramp Network's webhooks.
pub const RAMP_NETWORK_PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEkpCqPgKoKZ8FiFuXeR0h93iDEBC0M+5Q
M57asbYiuMJx6l8/eGfBiHADaJ+EnToVWOondf3QZwR3LIW5xCStVw==
-----END PUBLIC KEY-----
";

/// Sets the till up. Nothing is begun with it, so that an installation at rest has nothing to wake up for.
pub(super) async fn set_up(store: &Store, workspace: WorkspaceId, owner: &Caller) -> Result<(), DemonstrationError> {
    let mut providers = Vec::new();
    for booth in booths() {
        let id = ProviderId::from_raw(RawId::generate(store.clock().now(), store.entropy()));
        let sealed = commands::seal(store.vault(), id, &booth.secrets).map_err(said)?;
        let (base_url, token) = (booth.base_url(), Some(booth.token()));
        let (name, dialect, settings) = (booth.word.to_owned(), booth.dialect, booth.settings);
        providers.push(NewProvider { name, dialect, base_url, settings, sealed, id, token });
    }
    let currency = Currency::parse("EUR").map_err(said)?;
    let description = "Notes on the Analytical Engine, signed".to_owned();
    let link = NewLink { amount_minor: Some(PRICE_MINOR), currency, description, credit_account: None };
    store
        .write(owner, (workspace, providers, link), |tx, (workspace, providers, link)| {
            Box::pin(async move {
                for provider in providers {
                    commands::add_provider_in(tx, workspace, provider).await.map_err(said)?;
                }
                commands::make_link(tx, link).await.map_err(said)?;
                Ok(())
            })
        })
        .await
}

/// The demonstration's link, if it is open still.
pub(super) async fn link(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Option<LinkId>, DemonstrationError> {
    let is_simulated = payments::queries::providers(reads, workspace).await?.iter().any(|known| known.base_url.starts_with(SIMULATORS_URL));
    let links = payments::queries::links(reads, workspace, None, 200).await?;
    let open = links.iter().filter(|link| link.is_active && is_simulated);
    Ok(open.min_by_key(|link| link.created_at).map(|link| link.id))
}
