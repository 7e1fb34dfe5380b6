//! Bodies in and views out.

use gateway::PageQuery;
use kernel::{FieldFault, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::batch::{Minted, NewCode};
use crate::code::{BatchId, Code, Recording, RecordingChoice};
use crate::commands::Edit;
use crate::commands::asked::Wanted;
use crate::destination::{Destination, RequestId, TargetUrl};
use crate::error::CodeError;
use crate::label::{self, Name, Tags};
use crate::parameters::Parameters;
use crate::public_code::PublicCode;
use crate::queries::{Cursor, Filter};

/// Collects what is wrong with a body, so that all of it is said at once.
#[derive(Default)]
struct Faults(Vec<FieldFault>);

impl Faults {
    fn keep<T: Default, E: ToString>(&mut self, field: &str, parsed: Result<T, E>) -> T {
        parsed.unwrap_or_else(|error| {
            self.0.push(FieldFault::new(field, error.to_string()));
            T::default()
        })
    }

    fn done<T>(self, parsed: T) -> Result<T, CodeError> {
        if self.0.is_empty() { Ok(parsed) } else { Err(CodeError::Invalid { fields: self.0 }) }
    }
}

/// Tells `null`, which takes a value away, from an absent field, which leaves it as it is.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Where a code shall lead.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum DestinationBody {
    /// An address on the web.
    Url {
        /// http or https, at most 2,048 bytes, no user name, not another code.
        #[schema(example = "https://example.com/menu")]
        url: String,
    },
    /// A page that asks for its parameters after the scan, at `/v1/public/requests/{request_id}`.
    Page {
        /// The page, without a query: it is opened with `?request_id=…`.
        #[schema(example = "https://example.com/app")]
        url: String,
        /// A JSON object of at most 64 KiB.
        #[schema(value_type = Object)]
        parameters: Map<String, Value>,
    },
}

impl DestinationBody {
    fn parse(self, public_url: &str, faults: &mut Faults) -> Option<Wanted> {
        match self {
            Self::Url { url } => faults.keep("destination.url", TargetUrl::parse(&url, public_url).map(Some)).map(Wanted::Url),
            Self::Page { url, parameters } => {
                let page = faults.keep("destination.url", TargetUrl::parse_page(&url, public_url).map(Some));
                let parameters = faults.keep("destination.parameters", Parameters::new(parameters).map(Some));
                Some(Wanted::Page(page?, parameters?))
            }
        }
    }
}

/// Where a code shall lead from now on.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BindBody {
    /// Where.
    destination: DestinationBody,
}

impl BindBody {
    pub(super) fn parse(self, public_url: &str) -> Result<Wanted, CodeError> {
        let mut faults = Faults::default();
        let wanted = self.destination.parse(public_url, &mut faults);
        // Without a destination there is a fault, so that the second error is never seen.
        faults.done(wanted)?.ok_or(CodeError::NotFound)
    }
}

/// A code's own switches; what is absent follows the workspace.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChoiceBody {
    /// Whether addresses are recorded.
    address: Option<bool>,
    /// Whether places are recorded.
    place: Option<bool>,
    /// Whether devices are recorded.
    device: Option<bool>,
}

/// What a code is minted with.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MintBody {
    /// What you call it; at most 200 characters.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// At most 10, each at most 40 characters.
    #[serde(default)]
    #[schema(max_items = 10)]
    tags: Vec<String>,
    /// Where it leads; without one the code is minted for later.
    destination: Option<DestinationBody>,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
    /// Where scans go that find it unbound, paused, expired, used up or retired.
    fallback_url: Option<String>,
    /// How many scans it allows in all.
    #[schema(minimum = 1, maximum = 1000000000)]
    scan_limit: Option<i64>,
    /// What may be recorded of its scans.
    #[serde(default)]
    recording: ChoiceBody,
}

impl MintBody {
    pub(super) fn parse(self, public_url: &str) -> Result<(NewCode, Option<Wanted>), CodeError> {
        let mut faults = Faults::default();
        let wanted = self.destination.and_then(|destination| destination.parse(public_url, &mut faults));
        let ChoiceBody { address, place, device } = self.recording;
        let new = NewCode {
            name: faults.keep("name", Name::parse(self.name.as_deref().unwrap_or_default())),
            tags: faults.keep("tags", Tags::parse(&self.tags)),
            destination: None,
            expires_at: self.expires_at,
            fallback: faults.keep("fallback_url", self.fallback_url.map(|url| TargetUrl::parse(&url, public_url)).transpose()),
            scan_limit: self.scan_limit,
            recording: RecordingChoice { address, place, device },
        };
        faults.done((new, wanted))
    }
}

/// What many codes are minted with.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchBody {
    /// How many, 1 to 10,000.
    #[schema(minimum = 1, maximum = 10000)]
    count: u32,
    /// What each of them is minted with; `destination` may be an address, or absent.
    #[serde(default)]
    code: MintBody,
}

impl BatchBody {
    pub(super) fn parse(self, public_url: &str) -> Result<(u32, NewCode), CodeError> {
        let (new, wanted) = self.code.parse(public_url).map_err(|error| match error {
            CodeError::Invalid { fields } => CodeError::Invalid {
                fields: fields.into_iter().map(|fault| FieldFault::new(format!("code.{}", fault.field), fault.message)).collect(),
            },
            other => other,
        })?;
        match wanted {
            None => Ok((self.count, new)),
            Some(Wanted::Url(url)) => Ok((self.count, NewCode { destination: Some(Destination::Url(url)), ..new })),
            Some(Wanted::Page(..)) => Err(CodeError::field("code.destination", "must be an address: parameters are bound code by code")),
        }
    }
}

/// What shall be different about a code.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CodePatchBody)]
pub(super) struct PatchBody {
    /// Refused with 409 unless the code is at this version.
    version: Option<i64>,
    /// The name.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// All tags.
    #[schema(max_items = 10)]
    tags: Option<Vec<String>>,
    /// When it ends.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<Timestamp>>,
    /// Where scans go that find it unbound, paused, expired, used up or retired.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    fallback_url: Option<Option<String>>,
    /// How many scans it allows in all; what was used of the old limit counts towards the new one.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 1000000000)]
    scan_limit: Option<Option<i64>>,
    /// What may be recorded of its scans.
    #[serde(default)]
    recording: PatchChoiceBody,
}

/// Changes of a code's own switches; `null` follows the workspace again.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PatchChoiceBody {
    /// Whether addresses are recorded.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    address: Option<Option<bool>>,
    /// Whether places are recorded.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    place: Option<Option<bool>>,
    /// Whether devices are recorded.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    device: Option<Option<bool>>,
}

impl PatchBody {
    pub(super) fn parse(self, public_url: &str) -> Result<Edit, CodeError> {
        let mut faults = Faults::default();
        let fallback = self.fallback_url.map(|url| url.map(|url| TargetUrl::parse(&url, public_url)).transpose());
        let edit = Edit {
            version: self.version,
            name: faults.keep("name", self.name.as_deref().map(Name::parse).transpose()),
            tags: faults.keep("tags", self.tags.as_deref().map(Tags::parse).transpose()),
            expires_at: self.expires_at,
            fallback: faults.keep("fallback_url", fallback.transpose()),
            scan_limit: self.scan_limit,
            record_address: self.recording.address,
            record_place: self.recording.place,
            record_device: self.recording.device,
        };
        faults.done(edit)
    }
}

/// Which codes are wanted; everything together.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CodeQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Only those in this state: minted, live, paused or retired.
    state: Option<String>,
    /// Part of the name, in any case, or how the code begins.
    #[param(max_length = 200)]
    search: Option<String>,
    /// Only those with this tag.
    tag: Option<String>,
    /// Only those that were minted by this call.
    #[param(value_type = Option<String>)]
    batch: Option<BatchId>,
}

impl CodeQuery {
    pub(super) fn parse(self) -> Result<(Filter, Option<Cursor>, u32), gateway::Problem> {
        let limit = PageQuery { after: None, limit: self.limit }.limit()?;
        let cursor = match &self.after {
            None => None,
            Some(text) => Some(Cursor::parse(text).ok_or_else(|| CodeError::field("after", "must be the `next` of a page of this list"))?),
        };
        if self.state.as_deref().is_some_and(|state| !matches!(state, "minted" | "live" | "paused" | "retired")) {
            return Err(CodeError::field("state", "must be minted, live, paused or retired").into());
        }
        if self.search.as_deref().is_some_and(|search| search.chars().count() > label::NAME_MAX) {
            return Err(CodeError::field("search", "must be at most 200 characters").into());
        }
        let tag = self.tag.as_deref().map(label::tag).transpose().map_err(|error| CodeError::field("tag", error))?;
        Ok((Filter { state: self.state, search: self.search, tag, batch: self.batch }, cursor, limit))
    }
}

/// Where a code leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DestinationView {
    /// `url`, `page`, or a thing of this installation such as `card`.
    #[schema(example = "url")]
    pub kind: String,
    /// The thing's id; a page's request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub id: Option<String>,
    /// The address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub url: Option<String>,
}

impl From<&Destination> for DestinationView {
    fn from(destination: &Destination) -> Self {
        let (kind, id, url) = destination.columns();
        Self { kind: kind.to_owned(), id, url: url.map(str::to_owned) }
    }
}

/// A code's own switches; `null` follows the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChoiceView {
    /// Whether addresses are recorded.
    pub address: Option<bool>,
    /// Whether places are recorded.
    pub place: Option<bool>,
    /// Whether devices are recorded.
    pub device: Option<bool>,
}

/// What may be recorded of scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingView {
    /// Whether addresses are recorded.
    pub address: bool,
    /// Whether places are recorded.
    pub place: bool,
    /// Whether devices are recorded.
    pub device: bool,
}

impl From<Recording> for RecordingView {
    fn from(Recording { address, place, device }: Recording) -> Self {
        Self { address, place, device }
    }
}

impl From<RecordingView> for Recording {
    fn from(RecordingView { address, place, device }: RecordingView) -> Self {
        Self { address, place, device }
    }
}

/// A code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CodeView {
    /// What is printed.
    #[schema(value_type = String, example = "ABCDEFGH9")]
    pub code: PublicCode,
    /// The address that is scanned.
    #[schema(example = "https://go.acme.io/ABCDEFGH9")]
    pub address: String,
    /// `minted`, `live`, `paused` or `retired`.
    #[schema(example = "live")]
    pub state: String,
    /// What you call it.
    pub name: String,
    /// Labels.
    pub tags: Vec<String>,
    /// Where it leads.
    pub destination: Option<DestinationView>,
    /// When it ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Timestamp>,
    /// Where scans go that it does not let through.
    pub fallback_url: Option<String>,
    /// How many scans it allows in all.
    pub scan_limit: Option<i64>,
    /// How many are left.
    pub scans_left: Option<i64>,
    /// What may be recorded of its scans.
    pub recording: ChoiceView,
    /// The call that minted it, if that minted several.
    #[schema(value_type = Option<String>)]
    pub batch: Option<BatchId>,
    /// Raised by one with each change.
    pub version: i64,
    /// When it was minted.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

impl CodeView {
    /// The code, scanned at `public_url`.
    pub fn new(code: &Code, public_url: &str) -> Self {
        let RecordingChoice { address, place, device } = code.recording;
        Self {
            code: code.code,
            address: format!("{}/{}", public_url.trim_end_matches('/'), code.code),
            state: code.state.word().to_owned(),
            name: code.name.as_str().to_owned(),
            tags: code.tags.as_slice().to_vec(),
            destination: code.state.destination().map(DestinationView::from),
            expires_at: code.expires_at,
            fallback_url: code.fallback.as_ref().map(|url| url.as_str().to_owned()),
            scan_limit: code.scan_limit,
            scans_left: code.scans_left,
            recording: ChoiceView { address, place, device },
            batch: code.batch,
            version: code.version,
            created_at: code.created_at,
            updated_at: code.updated_at,
        }
    }
}

/// The codes of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchView {
    /// The call; lists and tables can be asked for its codes.
    #[schema(value_type = String)]
    pub batch: BatchId,
    /// How many.
    pub count: u32,
    /// All of them.
    #[schema(value_type = Vec<String>)]
    pub codes: Vec<PublicCode>,
}

impl From<Minted> for BatchView {
    fn from(minted: Minted) -> Self {
        Self { batch: minted.batch, count: minted.codes.len() as u32, codes: minted.codes }
    }
}

/// What a page is told after a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RequestView {
    /// What it asked for.
    #[schema(value_type = String)]
    pub request_id: RequestId,
    /// The code that was scanned.
    #[schema(value_type = String)]
    pub code: PublicCode,
    /// What is bound to it.
    #[schema(value_type = Object)]
    pub parameters: Map<String, Value>,
}
