//! What whoever listens hears of a window.

use kernel::WorkspaceId;

use super::super::events::Scanned;
use super::super::record::Record;
use crate::PublicCode;

/// What a window has counted of one code or workspace, for whoever listens.
#[derive(Clone)]
pub(super) struct Heard {
    workspace: WorkspaceId,
    pub(super) scans: i64,
    pub(super) bots: i64,
    doubles: i64,
    last: Record,
}

impl Heard {
    pub(super) fn new(record: &Record) -> Self {
        Self { workspace: record.workspace, scans: 0, bots: 0, doubles: 0, last: *record }
    }

    pub(super) fn add(&mut self, record: &Record, is_double: bool) {
        if record.agent.is_bot() {
            self.bots += 1;
        } else if is_double {
            self.doubles += 1;
        } else {
            self.scans += 1;
        }
        if record.at >= self.last.at {
            self.last = *record;
        }
    }

    pub(super) fn fact(&self, code: Option<PublicCode>) -> (WorkspaceId, Scanned) {
        let letters = |letters: &[u8; 2]| (letters[0] != 0).then(|| String::from_utf8_lossy(letters).into_owned());
        let is_one = code.is_some();
        let fact = Scanned {
            code,
            scans: self.scans,
            bots: self.bots,
            doubles: self.doubles,
            at: self.last.at,
            device: is_one.then(|| self.last.agent.device().to_owned()),
            language: letters(&self.last.language).filter(|_| is_one),
            place: letters(&self.last.place).filter(|_| is_one),
        };
        (self.workspace, fact)
    }
}
