//! Beneficiaries: added, changed, erased. The number of an account is sealed before the unit begins.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kernel::{FieldFault, WorkspaceId};
use serde_json::json;
use sha2::Sha256;
use store::{Tx, Vault, params};

use crate::beneficiary::{Beneficiary, BeneficiaryId, NameCheck};
use crate::error::PaymentError;
use crate::provider::Destination;
use crate::{grants, queries, sql, text};

/// A beneficiary's account, ready to be kept: made by [`seal_beneficiary`] outside of the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedBeneficiary {
    /// The identifier that it was sealed for.
    pub id: BeneficiaryId,
    name: String,
    bank_code: String,
    ending: String,
    country: Option<String>,
    sealed: Vec<u8>,
    fingerprint: String,
}

/// Checks a beneficiary's account and seals its number for `id`.
pub fn seal_beneficiary(
    vault: &Vault,
    id: BeneficiaryId,
    destination: &Destination,
    country: Option<String>,
) -> Result<SealedBeneficiary, PaymentError> {
    let mut fields = Vec::new();
    let plain = |text: &str, bytes: std::ops::RangeInclusive<usize>| bytes.contains(&text.len()) && !text.chars().any(char::is_control);
    if !plain(&destination.account_name, 1..=140) || !destination.account_name.chars().any(char::is_alphanumeric) {
        fields.push(FieldFault::new("account_name", "must be 1 to 140 bytes with a letter or digit, as the bank writes it"));
    }
    if destination.bank_code.len() > 34 || !destination.bank_code.bytes().all(|b| b.is_ascii_alphanumeric()) {
        fields.push(FieldFault::new("bank_code", "must be at most 34 letters and digits; empty where the provider needs none"));
    }
    if !plain(&destination.account_number, 1..=254) || destination.account_number.contains(char::is_whitespace) {
        fields.push(FieldFault::new("account_number", "must be 1 to 254 bytes without blanks, as the provider knows the account"));
    }
    if gateway::card_numbers::redact(&destination.account_number) != destination.account_number.as_str() {
        fields.push(FieldFault::new("account_number", "looks like the number of a card: give the number of the account"));
    }
    if let Err(message) = text::country(country.as_deref()) {
        fields.push(FieldFault::new("country", message));
    }
    if !fields.is_empty() {
        return Err(PaymentError::Invalid { fields });
    }
    let body = serde_json::to_vec(destination).map_err(store::StoreError::decode)?;
    let number = &destination.account_number;
    // A short number is not shown at all; of an address what stands before the @ is the number.
    let shown = if number.chars().count() >= 8 { 4 } else { 0 };
    let ending: String = number.chars().skip(number.chars().count() - shown).collect();
    Ok(SealedBeneficiary {
        id,
        name: destination.account_name.clone(),
        bank_code: destination.bank_code.clone(),
        ending,
        country,
        sealed: vault.seal(&body, &id.to_string()),
        fingerprint: fingerprint(vault, destination)?,
    })
}

/// Which account it is, for monitoring: the same for the same account of the same installation, and of no use elsewhere.
fn fingerprint(vault: &Vault, destination: &Destination) -> Result<String, PaymentError> {
    let key = vault.derive("payments.beneficiary");
    let mac = Hmac::<Sha256>::new_from_slice(&key).map_err(store::StoreError::decode)?;
    let mac = mac.chain_update(&destination.bank_code).chain_update([0]).chain_update(destination.account_number.to_lowercase());
    let digest = mac.finalize().into_bytes();
    Ok(digest.iter().fold("acct_".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// Opens a beneficiary's account for a conversation with a provider.
pub(crate) fn open_beneficiary(vault: &Vault, beneficiary: &Beneficiary) -> Result<Destination, PaymentError> {
    let plain = vault.open(&beneficiary.sealed, &beneficiary.id.to_string())?;
    Ok(serde_json::from_slice(&plain).map_err(store::StoreError::decode)?)
}

/// Adds a beneficiary.
pub async fn add_beneficiary(tx: &mut Tx, new: SealedBeneficiary) -> Result<Beneficiary, PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    let (now, caller) = (tx.now(), tx.caller().clone());
    let by = people::member_behind(tx, &caller).await?;
    let SealedBeneficiary { id, name, bank_code, ending, country, sealed, fingerprint } = &new;
    tx.execute(
        &sql::payout::INSERT_BENEFICIARY,
        params![&workspace, id, name, bank_code, ending, country, sealed.as_slice(), fingerprint, now, by],
    )
    .await?;
    outbox::audit(tx, workspace, "payments.beneficiary_added", &id.to_string(), &json!({})).await?;
    queries::beneficiary(tx, workspace, *id).await
}

/// Changes a beneficiary that was seen at `version`. Payouts that were asked for before and not sent yet do not go any more,
/// and a cool-off counts from now.
pub async fn change_beneficiary(tx: &mut Tx, version: i64, new: SealedBeneficiary) -> Result<Beneficiary, PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    tx.lock("beneficiary", &new.id.to_string()).await?;
    let known = queries::beneficiary(tx, workspace, new.id).await?;
    if known.erased_at.is_some() {
        return Err(PaymentError::NotFound { what: "beneficiary" });
    }
    let (now, caller) = (tx.now(), tx.caller().clone());
    let by = people::member_behind(tx, &caller).await?;
    let SealedBeneficiary { id, name, bank_code, ending, country, sealed, fingerprint } = &new;
    if tx
        .execute(
            &sql::payout::UPDATE_BENEFICIARY,
            params![&workspace, id, version, name, bank_code, ending, country, sealed.as_slice(), fingerprint, now, by],
        )
        .await?
        == 0
    {
        return Err(PaymentError::Stale);
    }
    let what = json!({ "other_account": known.fingerprint != *fingerprint });
    outbox::audit(tx, workspace, "payments.beneficiary_changed", &id.to_string(), &what).await?;
    queries::beneficiary(tx, workspace, *id).await
}

/// Forgets whose account it was and its number. What was paid stays in the history and in the books, without a name.
pub async fn erase_beneficiary(tx: &mut Tx, id: BeneficiaryId) -> Result<(), PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    tx.lock("beneficiary", &id.to_string()).await?;
    let now = tx.now();
    if tx.execute(&sql::payout::ERASE_BENEFICIARY, params![&workspace, &id, b"".as_slice(), now]).await? == 0 {
        return Err(PaymentError::NotFound { what: "beneficiary" });
    }
    gateway::erase_answers(tx, workspace, &id.to_string()).await?;
    outbox::audit(tx, workspace, "payments.beneficiary_erased", &id.to_string(), &json!({})).await?;
    Ok(())
}

/// Keeps what the bank said of this version of a beneficiary; nothing where it has changed since.
pub(crate) async fn keep_name_check(
    tx: &mut Tx,
    workspace: WorkspaceId,
    id: BeneficiaryId,
    version: i64,
    check: NameCheck,
) -> Result<(), PaymentError> {
    tx.execute(&sql::payout::KEEP_NAME_CHECK, params![&workspace, &id, version, check.as_str()]).await?;
    Ok(())
}
