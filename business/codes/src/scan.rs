//! The scan: from `GET /{code}` to its answer and its count.
//!
//! A scan is written into the journal before it is answered and counted in the database soon after, exactly once. The files,
//! in the order in which a scan passes them: [`door`](Scanner) and `target` (answer), `agent`, `salt` and `record` (what is
//! written down), `journal` (where), `fold`, `doubles`, `tally` and `sketch` (how it is counted), `queries` and `http` (who
//! asks).
//!
//! Knows nothing of what a code opens, and never waits for the database where memory knows the code.

mod agent;
mod commands;
mod door;
mod doubles;
mod error;
mod events;
mod fold;
mod http;
mod journal;
mod merge;
mod queries;
mod record;
mod salt;
mod sketch;
mod sql;
mod tally;
mod target;

pub use self::http::{AlertView, Deps, PointView, ScansView, routes};
pub use agent::{Agent, classify};
pub use commands::{AlertSetting, INTERVAL_MAX_SECONDS, INTERVAL_MIN_SECONDS, alert_of, due_alerts, forget_member, set_alert};
pub use door::{Outcome, ScanRequest, Scanner, Setup, Stats, start};
pub use error::ScanError;
pub use events::Scanned;
pub use fold::{Fold, Step};
pub use journal::{Folder, Health, Journal, JournalError, Position, SLOT_BYTES, backup as backup_journal};
pub use merge::merged;
pub use queries::{By, DayVisitors, Point, Series, Span, breakdown, recorded_everywhere, series, totals, totals_of, visitors};
pub use record::{Network, Record};
pub use sketch::Sketch;
pub use sql::{STATEMENTS, Totals};
pub use tally::{Breakdown, Counts, Day, Minutes};
pub use target::{Target, Way};
