//! Accounts with payment providers: added, switched off, with the address for their webhooks. Secrets go in and never come out.

pub(super) mod edit;

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, RawId};
use payments::commands::{NewProvider, ProviderEdit};
use payments::{Dialect, ProviderId, ProviderRecord, Trust, grants};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::frame::{Done, Frame, Owner, mendable, page_with, sentence};
use super::{Tab, frame, tabs};
use crate::installation::Parts;

/// A field of a dialect's form.
struct Field {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    is_secret: bool,
    is_needed: bool,
}

const fn secret(name: &'static str, label: &'static str, hint: &'static str) -> Field {
    Field { name, label, hint, is_secret: true, is_needed: true }
}

const fn setting(name: &'static str, label: &'static str, hint: &'static str) -> Field {
    Field { name, label, hint, is_secret: false, is_needed: true }
}

const fn optional(field: Field) -> Field {
    Field { is_needed: false, ..field }
}

/// The provider as people call it.
pub(in crate::pages) const fn dialect_name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Stripe => "Stripe",
        Dialect::Paypal => "PayPal",
        Dialect::Monnify => "Monnify",
        Dialect::Zenith => "Zenith GlobalPay",
        Dialect::RampNetwork => "Ramp Network",
        Dialect::Ramp => "Ramp (corporate)",
    }
}

/// Where a dialect is reached, and what an account with it takes; as docs/payments-providers.md lists them.
const fn form_of(dialect: Dialect) -> (&'static str, &'static [Field]) {
    match dialect {
        Dialect::Stripe => (
            "https://api.stripe.com",
            const {
                &[
                    secret("api_key", "Secret key", "Begins with sk_ or rk_."),
                    secret("webhook_secret", "Signing secret of the webhook", "Begins with whsec_."),
                ]
            },
        ),
        Dialect::Paypal => (
            "https://api-m.paypal.com",
            const {
                &[
                    secret("client_id", "Client ID", ""),
                    secret("client_secret", "Client secret", ""),
                    setting("webhook_id", "Webhook ID", "Shown by PayPal's dashboard once the webhook is entered there."),
                ]
            },
        ),
        Dialect::Monnify => (
            "https://api.monnify.com",
            const {
                &[
                    secret("api_key", "API key", "Begins with MK_."),
                    secret("secret_key", "Secret key", "Also signs the webhooks."),
                    setting("contract_code", "Contract code", ""),
                    optional(setting("source_account", "Wallet that payouts come from", "An account number.")),
                    optional(setting("payer_email", "Email for payers without one", "Monnify insists on an address.")),
                ]
            },
        ),
        Dialect::Zenith => (
            "https://paygw.globalpay.com.ng/globalpay-paymentgateway/api",
            const {
                &[
                    secret("api_key", "API key", ""),
                    optional(setting(
                        "currency",
                        "Currency of answers that name none",
                        "Such as NGN; without it such an answer credits nothing.",
                    )),
                    optional(setting("payer_email", "Email for payers without one", "GlobalPay insists on an address.")),
                ]
            },
        ),
        Dialect::RampNetwork => (
            "https://app.rampnetwork.com",
            const {
                &[
                    setting("host_api_key", "Host API key", "Public: it is a part of the widget's address."),
                    setting("swap_asset", "Asset", "Such as ETH_USDC."),
                    setting("public_key_pem", "Ramp's public key", "PEM; checks the webhooks."),
                    optional(setting("user_address", "Wallet that receives", "Set it: without it the payer may choose another wallet.")),
                    optional(setting("api_url", "Address of the API", "Such as https://api.rampnetwork.com.")),
                ]
            },
        ),
        Dialect::Ramp => (
            "https://api.ramp.com",
            const {
                &[
                    secret("client_id", "Client ID", ""),
                    secret("client_secret", "Client secret", ""),
                    secret("webhook_secret", "Signing secret of the webhook", ""),
                ]
            },
        ),
    }
}

/// A provider in the list.
struct Line {
    id: String,
    name: String,
    dialect: &'static str,
    base_url: String,
    webhook_url: String,
    trust: &'static str,
    version: i64,
    is_enabled: bool,
}

impl Line {
    fn new(provider: &ProviderRecord, public_url: &str) -> Self {
        Self {
            id: provider.id.to_string(),
            name: provider.name.clone(),
            dialect: dialect_name(provider.dialect),
            base_url: provider.base_url.clone(),
            webhook_url: provider.webhook_url(public_url),
            trust: match provider.dialect.provider().abilities().trust {
                Trust::Signed => "Its webhooks are signed.",
                Trust::CheckedLater => "The provider is asked whether a webhook is genuine.",
                Trust::Hint => "Its webhooks are not signed: each one only causes a question to the provider.",
            },
            version: provider.version,
            is_enabled: provider.is_enabled,
        }
    }
}

/// A field as it is shown, with what was typed (never a secret) and what is wrong with it.
struct Asked {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    is_secret: bool,
    is_needed: bool,
    is_long: bool,
    value: String,
    error: String,
}

#[derive(Template)]
#[template(path = "settings_providers.html")]
struct ProvidersPage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    lines: Vec<Line>,
    dialects: Vec<(&'static str, &'static str)>,
    dialect: &'static str,
    dialect_label: &'static str,
    name: String,
    name_error: String,
    base_url: String,
    base_url_error: String,
    fields: Vec<Asked>,
    once: String,
}

/// Which dialect's form is shown.
#[derive(Default, Deserialize)]
pub(super) struct Chosen {
    dialect: Option<String>,
}

async fn compose(parts: &Parts, owner: &Owner, chosen: Option<Dialect>) -> Result<ProvidersPage, Problem> {
    let workspace = owner.may(grants::MANAGE)?;
    let found = payments::queries::providers(&mut parts.store.read(), workspace).await?;
    let (base_url, fields) = chosen.map_or(("", [].as_slice()), form_of);
    let ask = |field: &Field| Asked {
        name: field.name,
        label: field.label,
        hint: field.hint,
        is_secret: field.is_secret,
        is_needed: field.is_needed,
        is_long: field.name == "public_key_pem",
        value: String::new(),
        error: String::new(),
    };
    Ok(ProvidersPage {
        frame: frame(owner, "Payment providers"),
        tabs: tabs(owner),
        here: "providers",
        lines: found.iter().map(|provider| Line::new(provider, &parts.public_url)).collect(),
        dialects: Dialect::ALL.iter().map(|dialect| (dialect.as_str(), dialect_name(*dialect))).collect(),
        dialect: chosen.map_or("", Dialect::as_str),
        dialect_label: chosen.map_or("", dialect_name),
        name: chosen.map_or_else(String::new, |dialect| dialect.as_str().replace('_', "-")),
        name_error: String::new(),
        base_url: base_url.to_owned(),
        base_url_error: String::new(),
        fields: fields.iter().map(ask).collect(),
        once: owner.once(parts),
    })
}

/// `GET /settings/providers`
pub(super) async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(chosen): Query<Chosen>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let chosen = chosen.dialect.as_deref().and_then(|word| word.parse().ok());
    let mut page = compose(&parts, &owner, chosen).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// `POST /settings/providers`: adds one. A browser sends a form; its fields are those of the dialect.
pub(super) async fn add(State(parts): State<Parts>, owner: Owner, Form(form): Form<BTreeMap<String, String>>) -> Result<Response, Problem> {
    owner.may(grants::MANAGE)?;
    let typed = |name: &str| form.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let Ok(dialect) = typed("dialect").parse::<Dialect>() else { return Ok(see_other("/settings/providers")) };
    let (_, fields) = form_of(dialect);
    let (mut settings, mut secrets, mut missing) = (Map::new(), Map::new(), Vec::new());
    for field in fields {
        match typed(field.name) {
            empty if empty.is_empty() && field.is_needed => missing.push(field.name),
            empty if empty.is_empty() => {}
            text => {
                let into = if field.is_secret { &mut secrets } else { &mut settings };
                into.insert(field.name.to_owned(), Value::String(text));
            }
        }
    }
    let done = if missing.is_empty() {
        add_it(&parts, &owner, dialect, &typed, settings, secrets).await
    } else {
        let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid");
        Err(missing.into_iter().fold(problem, |problem, name| problem.with_field(name, "must be filled in")))
    };
    let Err(problem) = done else { return Ok(see_other("/settings/providers?done=provider")) };
    let refusal = mendable(problem)?;
    let mut page = compose(&parts, &owner, Some(dialect)).await?;
    let message = |field: &str| match refusal.of(field) {
        empty if empty.is_empty() => empty,
        message => sentence(&format!("it {message}")),
    };
    page.frame.alert = refusal.sentence();
    (page.name, page.name_error) = (typed("name"), message("name"));
    (page.base_url, page.base_url_error) = (typed("base_url"), message("base_url"));
    for field in &mut page.fields {
        field.error = message(field.name);
        if field.error.is_empty() {
            field.error = message(&format!("settings.{}", field.name));
        }
        // A secret is typed again rather than sent back.
        if !field.is_secret {
            field.value = typed(field.name);
        }
    }
    page_with(&page, refusal.status())
}

async fn add_it(
    parts: &Parts,
    owner: &Owner,
    dialect: Dialect,
    typed: &impl Fn(&str) -> String,
    settings: Map<String, Value>,
    secrets: Map<String, Value>,
) -> Result<(), Problem> {
    let id = ProviderId::from_raw(RawId::generate(parts.store.clock().now(), parts.store.entropy()));
    let sealed = payments::commands::seal(parts.store.vault(), id, &Value::Object(secrets))?;
    let (name, base_url, settings) = (typed("name"), typed("base_url"), Value::Object(settings));
    payments::commands::check_addresses(&parts.payments_allowed, Some(&base_url), Some(&settings))?;
    let new = NewProvider { name, dialect, base_url, settings, sealed, id, token: None };
    let call = owner.once_by(Some(&typed("once")));
    let added = gateway::effect_done(&parts.store, &call, new, |tx, new| {
        Box::pin(async move {
            payments::commands::add_provider(tx, new).await?;
            Ok(())
        })
    });
    added.await.map(|_| ())
}

#[derive(Deserialize)]
pub(super) struct EnableForm {
    enabled: bool,
    version: i64,
}

/// `POST /settings/providers/{id}/enable`: whether new payments may go there; what was begun goes on.
pub(super) async fn enable(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<EnableForm>,
) -> Result<Response, Problem> {
    owner.may(grants::MANAGE)?;
    let id = ProviderId::parse(&id).map_err(|_| Problem::not_found())?;
    let edit = ProviderEdit { is_enabled: Some(form.enabled), ..ProviderEdit::default() };
    let done = gateway::effect_done(&parts.store, &owner.call, (id, form.version, edit), |tx, (id, version, edit)| {
        Box::pin(async move {
            payments::commands::edit_provider(tx, id, version, edit).await?;
            Ok(())
        })
    });
    match done.await {
        Ok(_) => Ok(see_other("/settings/providers?done=saved")),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(&parts, &owner, None).await?;
            page.frame.alert = refusal.sentence();
            page_with(&page, refusal.status())
        }
    }
}
