//! The noun: new codes, one or many alike. Pure.

use kernel::{Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::code::{BatchId, Code, CodeState, RecordingChoice};
use crate::destination::{Destination, TargetUrl};
use crate::label::{Name, Tags};
use crate::public_code::PublicCode;

/// The most codes of one call.
pub const BATCH_MAX: u32 = 10_000;
/// The highest limit of scans.
pub const SCAN_LIMIT_MAX: i64 = 1_000_000_000;
/// How many rows one step of a large batch writes, so that none holds the writer for more than 20 ms.
const STEP_ROWS: usize = 500;

/// What a code is minted with. The default is an unbound code without a name, which follows its workspace's switches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewCode {
    /// What its owner calls it.
    pub name: Name,
    /// Labels.
    pub tags: Tags,
    /// Where it leads from the start, if anywhere.
    pub destination: Option<Destination>,
    /// From when it leads to the fallback.
    pub expires_at: Option<Timestamp>,
    /// Where scans go that it does not let through.
    pub fallback: Option<TargetUrl>,
    /// How many scans it allows in all, 1 to 1,000,000,000.
    pub scan_limit: Option<i64>,
    /// What may be recorded of its scans.
    pub recording: RecordingChoice,
}

impl NewCode {
    /// How many codes of this kind one step writes.
    pub(crate) fn step(&self) -> usize {
        STEP_ROWS / (1 + self.tags.as_slice().len())
    }

    /// The code with this number, minted at `now`.
    pub(crate) fn code(&self, code: PublicCode, workspace: WorkspaceId, batch: Option<BatchId>, now: Timestamp) -> Code {
        Code {
            code,
            workspace,
            batch,
            state: self.destination.clone().map_or(CodeState::Minted, CodeState::Live),
            name: self.name.clone(),
            tags: self.tags.clone(),
            expires_at: self.expires_at,
            fallback: self.fallback.clone(),
            scan_limit: self.scan_limit,
            scans_left: self.scan_limit,
            recording: self.recording,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// The codes of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// The call.
    pub batch: BatchId,
    /// All its codes, in the order of their counters. Those beyond the first step are written by `fill_batch`.
    pub codes: Vec<PublicCode>,
    /// How many are not written yet.
    pub left: u32,
}

/// A batch as it is stored.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) first: u64,
    pub(crate) asked: u32,
    pub(crate) made: u32,
    pub(crate) new: NewCode,
    pub(crate) created_at: Timestamp,
}

/// [`NewCode`] as a batch keeps it until all its codes are written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Template {
    name: String,
    tags: Vec<String>,
    destination: Option<(String, Option<String>, Option<String>)>,
    expires_at: Option<i64>,
    fallback: Option<String>,
    scan_limit: Option<i64>,
    recording: (Option<bool>, Option<bool>, Option<bool>),
}

impl From<&NewCode> for Template {
    fn from(new: &NewCode) -> Self {
        Self {
            name: new.name.as_str().to_owned(),
            tags: new.tags.as_slice().to_vec(),
            destination: new.destination.as_ref().map(|destination| {
                let (kind, id, url) = destination.columns();
                (kind.to_owned(), id, url.map(str::to_owned))
            }),
            expires_at: new.expires_at.map(Timestamp::as_micros),
            fallback: new.fallback.as_ref().map(|url| url.as_str().to_owned()),
            scan_limit: new.scan_limit,
            recording: (new.recording.address, new.recording.place, new.recording.device),
        }
    }
}

impl From<Template> for NewCode {
    fn from(template: Template) -> Self {
        let (address, place, device) = template.recording;
        Self {
            name: Name::from_stored(template.name),
            tags: Tags::from_stored(template.tags),
            destination: template.destination.and_then(|(kind, id, url)| Destination::from_columns(kind, id, url)),
            expires_at: template.expires_at.map(Timestamp::from_micros),
            fallback: template.fallback.map(TargetUrl::from_stored),
            scan_limit: template.scan_limit,
            recording: RecordingChoice { address, place, device },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_keeps_everything_that_its_later_codes_need() {
        let new = NewCode {
            name: Name::parse("shelf").unwrap(),
            tags: Tags::parse(&["a", "b"]).unwrap(),
            destination: Destination::thing("card", "card_1"),
            expires_at: Some(Timestamp::from_micros(7)),
            fallback: Some(TargetUrl::parse("https://example.com/", "https://go.acme.io").unwrap()),
            scan_limit: Some(9),
            recording: RecordingChoice { address: Some(true), place: None, device: Some(false) },
        };
        let kept = serde_json::to_string(&Template::from(&new)).unwrap();
        assert_eq!(NewCode::from(serde_json::from_str::<Template>(&kept).unwrap()), new);
        assert_eq!(new.step(), STEP_ROWS / 3);
    }
}
