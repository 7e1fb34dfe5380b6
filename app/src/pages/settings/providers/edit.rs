//! One account with a provider: its address and settings, and new secrets. What it has is never shown, only replaced.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::Id;
use payments::commands::ProviderEdit;
use payments::{PaymentError, ProviderId, ProviderRecord, grants};
use serde_json::{Map, Value};

use super::super::super::frame::{Done, Frame, Owner, mendable, page_with, sentence};
use super::super::{Tab, frame, tabs};
use super::{Asked, Field, Line, form_of};
use crate::installation::Parts;

#[derive(Template)]
#[template(path = "settings_provider.html")]
struct ProviderPage {
    frame: Frame,
    tabs: Vec<Tab>,
    here: &'static str,
    line: Line,
    base_url: String,
    base_url_error: String,
    settings: Vec<Asked>,
    secrets: Vec<Asked>,
    secrets_error: String,
    more: String,
    more_error: String,
}

fn asked(field: &Field, value: String) -> Asked {
    Asked {
        name: field.name,
        label: field.label,
        hint: field.hint,
        is_secret: field.is_secret,
        // A secret that is not typed stays.
        is_needed: field.is_needed && !field.is_secret,
        is_long: field.name == "public_key_pem",
        value,
        error: String::new(),
    }
}

/// A setting as it is typed.
fn written(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The settings that the form has no field for, as JSON: rules of settlement, currencies.
fn others(settings: &Value, fields: &[Field]) -> String {
    let mut rest = settings.as_object().cloned().unwrap_or_default();
    rest.retain(|name, _| !fields.iter().any(|field| field.name == name));
    if rest.is_empty() { String::new() } else { serde_json::to_string_pretty(&rest).unwrap_or_default() }
}

fn provider_id(text: &str) -> Result<ProviderId, Problem> {
    ProviderId::parse(text).map_err(|_| Problem::not_found())
}

async fn compose(parts: &Parts, owner: &Owner, id: ProviderId) -> Result<(ProviderPage, ProviderRecord), Problem> {
    let workspace = owner.may(grants::MANAGE)?;
    let known = payments::queries::provider(&mut parts.store.read(), workspace, id).await?;
    let (_, fields) = form_of(known.dialect);
    let (secrets, settings): (Vec<_>, Vec<_>) = fields.iter().partition(|field| field.is_secret);
    let page = ProviderPage {
        frame: frame(owner, "Payment provider"),
        tabs: tabs(owner),
        here: "providers",
        line: Line::new(&known, &parts.public_url),
        base_url: known.base_url.clone(),
        base_url_error: String::new(),
        settings: settings.into_iter().map(|field| asked(field, written(known.settings.get(field.name)))).collect(),
        secrets: secrets.into_iter().map(|field| asked(field, String::new())).collect(),
        secrets_error: String::new(),
        more: others(&known.settings, fields),
        more_error: String::new(),
    };
    Ok((page, known))
}

/// `GET /settings/providers/{id}`
pub(in super::super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let (mut page, _) = compose(&parts, &owner, provider_id(&id)?).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// What a form says of a provider: its settings, and its secrets where any was typed.
fn read(typed: &impl Fn(&str) -> String, fields: &[Field]) -> Result<(Value, Option<Value>), PaymentError> {
    let mut settings = match typed("more").as_str() {
        "" => Map::new(),
        text => match serde_json::from_str(text) {
            Ok(Value::Object(settings)) => settings,
            _ => return Err(PaymentError::field("more", "must be a JSON object, such as {\"currencies\": [\"EUR\"]}")),
        },
    };
    let (mut secrets, mut missing) = (Map::new(), Vec::new());
    for field in fields {
        let text = typed(field.name);
        let into = if field.is_secret { &mut secrets } else { &mut settings };
        match text.is_empty() {
            false => drop(into.insert(field.name.to_owned(), Value::String(text))),
            true if field.is_secret && field.is_needed => {
                missing.push((field.name, "must be given too: all secrets are replaced together"))
            }
            true if field.is_needed => return Err(PaymentError::field(field.name, "must be filled in")),
            true => {}
        }
    }
    match (secrets.is_empty(), missing.first()) {
        (true, _) => Ok((Value::Object(settings), None)),
        (false, Some((name, message))) => Err(PaymentError::field(name, *message)),
        (false, None) => Ok((Value::Object(settings), Some(Value::Object(secrets)))),
    }
}

/// `POST /settings/providers/{id}`: changes its address and settings, and its secrets where new ones were typed.
pub(in super::super) async fn change(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    owner.may(grants::MANAGE)?;
    let id = provider_id(&id)?;
    let (mut page, known) = compose(&parts, &owner, id).await?;
    let typed = |name: &str| form.get(name).map(|text| text.trim().to_owned()).unwrap_or_default();
    let version = typed("version").parse().unwrap_or_default();
    let (_, fields) = form_of(known.dialect);
    let done = match read(&typed, fields) {
        Err(error) => Err(error.into()),
        Ok((settings, secrets)) => change_it(&parts, &owner, id, version, (typed("base_url"), settings, secrets)).await,
    };
    let Err(problem) = done else { return Ok(see_other(&format!("/settings/providers/{id}?done=saved"))) };
    let is_stale = problem.code() == "version_conflict";
    let refusal = mendable(problem)?;
    page.frame.alert = refusal.sentence();
    if is_stale {
        return page_with(&page, refusal.status());
    }
    let message = |field: &str| match refusal.of(field) {
        empty if empty.is_empty() => empty,
        message => sentence(&format!("it {message}")),
    };
    page.base_url = typed("base_url");
    page.base_url_error = message("base_url");
    (page.more, page.more_error) = (typed("more"), [message("more"), message("settings")].concat());
    page.secrets_error = message("secrets");
    // A secret is typed again rather than sent back.
    for field in &mut page.secrets {
        field.error = message(field.name);
    }
    for field in &mut page.settings {
        field.value = typed(field.name);
        field.error = [message(field.name), message(&format!("settings.{}", field.name))].concat();
    }
    page_with(&page, refusal.status())
}

async fn change_it(
    parts: &Parts,
    owner: &Owner,
    id: ProviderId,
    version: i64,
    (base_url, settings, secrets): (String, Value, Option<Value>),
) -> Result<(), Problem> {
    payments::commands::check_addresses(&parts.payments_allowed, Some(&base_url), Some(&settings))?;
    let sealed = secrets.map(|secrets| payments::commands::seal(parts.store.vault(), id, &secrets)).transpose()?;
    let edit = ProviderEdit { base_url: Some(base_url), settings: Some(settings), sealed, is_enabled: None };
    let done = gateway::effect_done(&parts.store, &owner.call, (id, version, edit), |tx, (id, version, edit)| {
        Box::pin(async move {
            payments::commands::edit_provider(tx, id, version, edit).await?;
            Ok(())
        })
    });
    done.await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use payments::Dialect;
    use serde_json::json;

    fn typed(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> String {
        |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()).unwrap_or_default()
    }

    #[test]
    fn secrets_are_replaced_together_or_not_at_all() {
        let (_, fields) = form_of(Dialect::Stripe);
        assert_eq!(read(&typed(&[]), fields).unwrap(), (json!({}), None));
        assert!(read(&typed(&[("api_key", "sk_1")]), fields).is_err());
        let both = typed(&[("api_key", "sk_1"), ("webhook_secret", "whsec_1"), ("more", "{\"currencies\": [\"EUR\"]}")]);
        let wanted = (json!({ "currencies": ["EUR"] }), Some(json!({ "api_key": "sk_1", "webhook_secret": "whsec_1" })));
        assert_eq!(read(&both, fields).unwrap(), wanted);
    }

    #[test]
    fn settings_without_a_field_of_their_own_stay() {
        let (_, fields) = form_of(Dialect::Monnify);
        let settings = json!({ "contract_code": "1", "settlement": { "tolerance_minor": 5 } });
        let more = others(&settings, fields);
        assert_eq!(serde_json::from_str::<Value>(&more).unwrap(), json!({ "settlement": { "tolerance_minor": 5 } }));
        assert_eq!(written(settings.get("contract_code")), "1");
        for (name, text) in [("more", "[1]"), ("more", "{"), ("contract_code", "")] {
            let all = [("contract_code", "1"), ("more", "{}")];
            let with = |asked: &str| {
                if asked == name {
                    text.to_owned()
                } else {
                    all.iter().find(|(known, _)| *known == asked).map(|(_, value)| (*value).to_owned()).unwrap_or_default()
                }
            };
            assert!(read(&with, fields).is_err(), "{name} {text}");
        }
    }
}
