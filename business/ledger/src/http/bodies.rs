//! Bodies in.

use kernel::{FieldFault, Timestamp};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::account::{AccountCode, AccountId, AccountKind, Limits, NewAccount, Unit, WordError, parse_name};
use crate::commands::asked::AccountEdit;
use crate::commands::{Conversion, Owner, Rate, parse_rounding};
use crate::error::LedgerError;
use crate::transfer::{Action, Ask, EntryId, NewTransfer, TransferId};

/// Transfers of one call.
const TRANSFERS_MAX: usize = 8_000;
/// Lines of an entry.
const LINES: std::ops::RangeInclusive<usize> = 2..=100;
/// How much of what is wrong with a body is said at once.
const FAULTS_MAX: usize = 20;
const METADATA_MAX: usize = 2 * 1024;
const SOURCE_MAX: usize = 120;
const MEMO_MAX: usize = 500;

/// Collects what is wrong with a body, so that all of it is said at once.
#[derive(Default)]
pub(super) struct Faults(Vec<FieldFault>);

impl Faults {
    fn say(&mut self, field: String, message: impl ToString) {
        if self.0.len() < FAULTS_MAX {
            self.0.push(FieldFault::new(field, message.to_string()));
        }
    }

    fn keep<T, E: ToString>(&mut self, field: impl FnOnce() -> String, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.say(field(), error)).ok()
    }

    pub(super) fn done<T>(self, parsed: Option<T>) -> Result<T, LedgerError> {
        match parsed {
            Some(parsed) if self.0.is_empty() => Ok(parsed),
            _ => Err(LedgerError::Invalid { fields: self.0 }),
        }
    }
}

/// Tells `null`, which takes a value away, from an absent field, which leaves it as it is.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn metadata(object: Map<String, Value>) -> Result<Value, WordError> {
    let value = Value::Object(object);
    if value.to_string().len() > METADATA_MAX { Err(WordError("must be a JSON object of at most 2 KiB")) } else { Ok(value) }
}

fn line_of_text(text: String, max: usize, message: &'static str) -> Result<String, WordError> {
    let is_good = !text.trim().is_empty() && text.len() <= max && !text.chars().any(char::is_control);
    if is_good { Ok(text) } else { Err(WordError(message)) }
}

/// What an account is opened with.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerAccountBody)]
pub(super) struct AccountBody {
    /// What programs call it, unique in the workspace: 1 to 120 letters, digits, dots, underscores or hyphens.
    #[schema(example = "clearing.stripe.eur", max_length = 120)]
    code: String,
    /// What people call it; at most 200 characters.
    #[schema(example = "Stripe, on its way", max_length = 200)]
    name: String,
    /// `asset`, `liability`, `equity`, `income` or `expense`.
    #[schema(example = "asset")]
    kind: String,
    /// A currency of ISO 4217, or `points.` and a name.
    #[schema(example = "EUR")]
    unit: String,
    /// `none`, `debits_within_credits` (a wallet) or `credits_within_debits` (a till).
    #[schema(example = "none")]
    limits: Option<String>,
    /// Your own words: an object of at most 2 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

impl AccountBody {
    pub(super) fn parse(self) -> Result<NewAccount, LedgerError> {
        let mut faults = Faults::default();
        let at = |name: &'static str| move || name.to_owned();
        let code = faults.keep(at("code"), AccountCode::parse(&self.code));
        let name = faults.keep(at("name"), parse_name(&self.name));
        let kind = faults.keep(at("kind"), self.kind.parse::<AccountKind>());
        let unit = faults.keep(at("unit"), Unit::parse(&self.unit));
        let limits = faults.keep(at("limits"), self.limits.map_or(Ok(Limits::None), |word| word.parse()));
        let metadata = faults.keep(at("metadata"), self.metadata.map(metadata).transpose());
        let new = (|| Some(NewAccount { code: code?, name: name?, kind: kind?, unit: unit?, limits: limits?, metadata: metadata? }))();
        faults.done(new)
    }
}

/// What shall be different about an account; everything else about it never changes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerAccountPatchBody)]
pub(super) struct AccountPatchBody {
    /// What people call it.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// Your own words; `null` takes them away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Object>)]
    metadata: Option<Option<Map<String, Value>>>,
}

impl AccountPatchBody {
    pub(super) fn parse(self) -> Result<AccountEdit, LedgerError> {
        let mut faults = Faults::default();
        let name = faults.keep(|| "name".to_owned(), self.name.map(|name| parse_name(&name)).transpose());
        let given = self.metadata.map(|given| given.map(metadata).transpose()).transpose();
        let metadata = faults.keep(|| "metadata".to_owned(), given);
        let edit = (|| Some(AccountEdit { name: name?, metadata: metadata? }))();
        faults.done(edit)
    }
}

/// Whose wallet is wanted.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerWalletBody)]
pub(super) struct WalletBody {
    /// The owner's kind: 1 to 24 small letters.
    #[schema(example = "customer")]
    owner_kind: String,
    /// The owner: 1 to 60 letters, digits, underscores or hyphens.
    #[schema(example = "c42")]
    owner_id: String,
    /// A currency of ISO 4217, or `points.` and a name.
    #[schema(example = "EUR")]
    unit: String,
    /// What people call it, where it is opened now.
    #[schema(max_length = 200)]
    name: Option<String>,
}

/// Reads the two words of an owner.
pub(super) fn owner(kind: String, id: String, faults: &mut Faults) -> Option<Owner> {
    let is_kind = (1..=24).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_lowercase());
    let is_id = (1..=60).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !is_kind {
        faults.say("owner_kind".to_owned(), "must be 1 to 24 small letters, such as customer");
    }
    if !is_id {
        faults.say("owner_id".to_owned(), "must be 1 to 60 letters, digits, underscores or hyphens");
    }
    (is_kind && is_id).then_some(Owner { kind, id })
}

impl WalletBody {
    pub(super) fn parse(self) -> Result<(Owner, Unit, String), LedgerError> {
        let mut faults = Faults::default();
        let name = self.name.unwrap_or_else(|| format!("Wallet of {} {}", self.owner_kind, self.owner_id));
        let owner = owner(self.owner_kind, self.owner_id, &mut faults);
        let unit = faults.keep(|| "unit".to_owned(), Unit::parse(&self.unit));
        let name = faults.keep(|| "name".to_owned(), parse_name(&name));
        let parsed = (|| Some((owner?, unit?, name?)))();
        faults.done(parsed)
    }
}

/// A transfer: from the account `debit` to the account `credit`. `post` and `void` resolve a pending one and take its accounts.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerTransferBody)]
pub(super) struct TransferBody {
    /// Chosen by you, `trf_` and 32 hexadecimal digits: however often it is sent, it is posted once. A line of an entry may leave
    /// it to the ledger.
    #[schema(value_type = Option<String>, example = "trf_0198c2f6a1b27cc08a6f3d2e1f00ab12")]
    id: Option<TransferId>,
    /// `transfer` (which is meant when nothing is said), `pending`, `post` or `void`.
    #[schema(example = "transfer")]
    kind: Option<String>,
    /// The account to debit.
    #[schema(value_type = Option<String>)]
    debit: Option<AccountId>,
    /// The account to credit.
    #[schema(value_type = Option<String>)]
    credit: Option<AccountId>,
    /// What the amount counts; both accounts count the same.
    #[schema(example = "EUR")]
    unit: Option<String>,
    /// Minor units, a whole number from 1 to 2^53 - 1. A `post` without it posts all that is pending.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    amount: Option<i64>,
    /// `debit_limit` or `credit_limit`: the amount is the most, and what the limit of that account leaves is moved.
    up_to: Option<String>,
    /// The pending transfer that is posted or voided.
    #[schema(value_type = Option<String>)]
    pending: Option<TransferId>,
    /// When a pending transfer ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// It stands or falls with the one after it; a chain has at most 500 transfers.
    #[serde(default)]
    linked: bool,
    /// The event that it is a part of: `ent_` and 32 hexadecimal digits.
    #[schema(value_type = Option<String>)]
    entry: Option<EntryId>,
    /// The day that it counts from, where that is not today.
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_at: Option<Timestamp>,
    /// What caused it, such as `order:1234`; at most 120 bytes.
    #[schema(max_length = 120)]
    source: Option<String>,
    /// A line for people; at most 500 bytes.
    #[schema(max_length = 500)]
    memo: Option<String>,
    /// Your own words: an object of at most 2 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<Map<String, Value>>,
}

impl TransferBody {
    /// The transfer under `id`; `place` is where it stands in the body.
    fn parse(self, id: TransferId, place: &str, faults: &mut Faults) -> Option<NewTransfer> {
        let before = faults.0.len();
        let at = |name: &'static str| move || format!("{place}.{name}");
        let action = self.action(place, faults);
        let metadata = faults.keep(at("metadata"), self.metadata.map(metadata).transpose());
        let source = self.source.map(|text| line_of_text(text, SOURCE_MAX, "must be 1 to 120 bytes on one line"));
        let source = faults.keep(at("source"), source.transpose());
        let memo = self.memo.map(|text| line_of_text(text, MEMO_MAX, "must be 1 to 500 bytes on one line"));
        let memo = faults.keep(at("memo"), memo.transpose());
        if faults.0.len() > before {
            return None;
        }
        Some(NewTransfer {
            linked: self.linked,
            entry: self.entry,
            effective_at: self.effective_at,
            source: source?,
            memo: memo?,
            metadata: metadata?,
            ..NewTransfer::new(id, action?)
        })
    }

    fn action(&self, place: &str, faults: &mut Faults) -> Option<Action> {
        let at = |name: &str| format!("{place}.{name}");
        let kind = self.kind.as_deref().unwrap_or("transfer");
        let is_resolution = match kind {
            "transfer" | "pending" => false,
            "post" | "void" => true,
            _ => {
                faults.say(at("kind"), "must be transfer, pending, post or void");
                return None;
            }
        };
        let takes = [
            ("debit", self.debit.is_some(), !is_resolution),
            ("credit", self.credit.is_some(), !is_resolution),
            ("unit", self.unit.is_some(), !is_resolution),
            ("up_to", self.up_to.is_some(), !is_resolution),
            ("expires_at", self.expires_at.is_some(), kind == "pending"),
            ("pending", self.pending.is_some(), is_resolution),
            ("amount", self.amount.is_some(), kind != "void"),
        ];
        for (name, is_given, may_be) in takes {
            let must_be = may_be && !matches!((name, kind), ("up_to" | "expires_at", _) | ("amount", "post"));
            if is_given && !may_be {
                faults.say(at(name), format!("does not go with the kind {kind}"));
            } else if must_be && !is_given {
                faults.say(at(name), "is missing");
            }
        }
        if is_resolution {
            let pending = self.pending?;
            return Some(if kind == "post" {
                Action::PostPending { pending, amount: self.amount }
            } else {
                Action::VoidPending { pending }
            });
        }
        let unit = faults.keep(|| at("unit"), Unit::parse(self.unit.as_deref()?))?;
        let (debit, credit, amount) = (self.debit?, self.credit?, self.amount?);
        let ask = match self.up_to.as_deref() {
            None => Ask::Exactly(amount),
            Some("debit_limit") => Ask::UpToDebitLimit(amount),
            Some("credit_limit") => Ask::UpToCreditLimit(amount),
            Some(_) => {
                faults.say(at("up_to"), "must be debit_limit or credit_limit");
                return None;
            }
        };
        Some(match kind {
            "pending" => Action::Hold { debit, credit, unit, ask, expires_at: self.expires_at },
            _ => Action::Post { debit, credit, unit, ask },
        })
    }
}

/// Many transfers, each judged after those before it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerTransfersBody)]
pub(super) struct TransfersBody {
    /// 1 to 8,000 transfers.
    #[schema(min_items = 1, max_items = 8000)]
    transfers: Vec<TransferBody>,
}

impl TransfersBody {
    pub(super) fn parse(self) -> Result<Vec<NewTransfer>, LedgerError> {
        if !(1..=TRANSFERS_MAX).contains(&self.transfers.len()) {
            return Err(LedgerError::field("transfers", "must be 1 to 8,000 transfers"));
        }
        let mut faults = Faults::default();
        let mut parsed = Vec::with_capacity(self.transfers.len());
        for (index, body) in self.transfers.into_iter().enumerate() {
            let place = format!("transfers[{index}]");
            match body.id {
                Some(id) => parsed.extend(body.parse(id, &place, &mut faults)),
                None => faults.say(format!("{place}.id"), "is missing: choose trf_ and 32 hexadecimal digits"),
            }
        }
        faults.done(Some(parsed))
    }
}

/// Several transfers that are one event of the business: all of them stand, or none does.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerEntryBody)]
pub(super) struct EntryBody {
    /// Chosen by you: `ent_` and 32 hexadecimal digits. Without it the entry is called as its first transfer.
    #[schema(value_type = Option<String>)]
    id: Option<EntryId>,
    /// What caused it, such as `order:1234`; at most 120 bytes.
    #[schema(example = "order:1234", max_length = 120)]
    source: String,
    /// The day that it counts from, where that is not today and a line says nothing else.
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_at: Option<Timestamp>,
    /// A line for people, where a line says nothing else; at most 500 bytes.
    #[schema(max_length = 500)]
    memo: Option<String>,
    /// 2 to 100 transfers; `linked` and `entry` are the entry's own matter.
    #[schema(min_items = 2, max_items = 100)]
    lines: Vec<TransferBody>,
}

/// An entry that makes sense; the lines without an identifier get one in the unit of work.
#[derive(Debug, Clone)]
pub(super) struct NewEntry {
    pub(super) source: String,
    pub(super) lines: Vec<(bool, NewTransfer)>,
}

impl EntryBody {
    pub(super) fn parse(self) -> Result<NewEntry, LedgerError> {
        if !LINES.contains(&self.lines.len()) {
            return Err(LedgerError::field("lines", "must be 2 to 100 lines"));
        }
        let mut faults = Faults::default();
        let source = line_of_text(self.source, SOURCE_MAX, "must be 1 to 120 bytes on one line");
        let source = faults.keep(|| "source".to_owned(), source);
        let memo = self.memo.map(|text| line_of_text(text, MEMO_MAX, "must be 1 to 500 bytes on one line")).transpose();
        let memo = faults.keep(|| "memo".to_owned(), memo).flatten();
        let mut lines = Vec::with_capacity(self.lines.len());
        for (index, body) in self.lines.into_iter().enumerate() {
            let place = format!("lines[{index}]");
            if body.linked || body.entry.is_some() {
                let field = if body.linked { "linked" } else { "entry" };
                faults.say(format!("{place}.{field}"), "is the entry's own matter: leave it out");
            }
            let id = body.id;
            let unnamed = kernel::Id::from_raw(kernel::RawId::from_bits(0));
            if let Some(mut line) = body.parse(id.unwrap_or(unnamed), &place, &mut faults) {
                line.entry = self.id;
                line.effective_at = line.effective_at.or(self.effective_at);
                line.memo = line.memo.or_else(|| memo.clone());
                lines.push((id.is_some(), line));
            }
        }
        faults.done(source.map(|source| NewEntry { source, lines }))
    }
}

/// One unit becomes another, at a rate of yours.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LedgerConversionBody)]
pub(super) struct ConversionBody {
    /// The identifiers of its two transfers, chosen by you: however often they are sent, it happens once.
    #[schema(value_type = Option<Vec<String>>, min_items = 2, max_items = 2)]
    ids: Option<[TransferId; 2]>,
    /// The account to debit.
    #[schema(value_type = String)]
    from: AccountId,
    /// The account to credit, which counts something else.
    #[schema(value_type = String)]
    to: AccountId,
    /// Minor units of `from`, a whole number from 1 to 2^53 - 1.
    #[schema(minimum = 1, maximum = 9007199254740991_i64)]
    amount: i64,
    /// Major units of `to` for one major unit of `from`: a decimal of up to 18 digits, or a fraction such as `13/12`.
    #[schema(example = "162.35")]
    rate: String,
    /// `down`, `up`, `half_up` or `half_even`.
    #[schema(example = "half_even")]
    rounding: String,
    /// The day that it counts from, where that is not today.
    #[schema(value_type = Option<String>, format = DateTime)]
    effective_at: Option<Timestamp>,
    /// What caused it, such as `order:1234`; at most 120 bytes.
    #[schema(example = "order:1234", max_length = 120)]
    source: String,
    /// A line for people; at most 500 bytes.
    #[schema(max_length = 500)]
    memo: Option<String>,
}

impl ConversionBody {
    /// The conversion, and whether its identifiers are the caller's; others are made in the unit of work.
    pub(super) fn parse(self) -> Result<(bool, Conversion), LedgerError> {
        let mut faults = Faults::default();
        let rate = faults.keep(|| "rate".to_owned(), Rate::parse(&self.rate));
        let rounding = faults.keep(|| "rounding".to_owned(), parse_rounding(&self.rounding));
        let source = line_of_text(self.source, SOURCE_MAX, "must be 1 to 120 bytes on one line");
        let source = faults.keep(|| "source".to_owned(), source);
        let memo = self.memo.map(|text| line_of_text(text, MEMO_MAX, "must be 1 to 500 bytes on one line")).transpose();
        let memo = faults.keep(|| "memo".to_owned(), memo);
        let unnamed = [kernel::Id::from_raw(kernel::RawId::from_bits(0)); 2];
        let (from, to, amount, effective_at) = (self.from, self.to, self.amount, self.effective_at);
        let parsed = (|| {
            let ids = self.ids.unwrap_or(unnamed);
            let (rate, rounding, source, memo) = (rate?, rounding?, source?, memo?);
            Some((self.ids.is_some(), Conversion { ids, from, to, amount, rate, rounding, effective_at, source, memo }))
        })();
        faults.done(parsed)
    }
}
