//! Facts for others; additive changes only.

use kernel::Timestamp;
use serde::{Deserialize, Serialize};

use crate::PublicCode;

/// Scans were counted: of one code, or, in a rush, of all codes of the workspace together (`code` is absent then). Told at most
/// a few times a second; whoever wants exact numbers asks for the series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scanned {
    /// The code, or none when many were scanned at once.
    pub code: Option<PublicCode>,
    /// Scans by people, doubles left out.
    pub scans: i64,
    /// Scans by programs.
    pub bots: i64,
    /// Double scans.
    pub doubles: i64,
    /// When the last of them was.
    pub at: Timestamp,
    /// What kind of device that one was.
    pub device: Option<String>,
    /// Its first language.
    pub language: Option<String>,
    /// The country it came from.
    pub place: Option<String>,
}

impl outbox::Fact for Scanned {
    const NAME: &'static str = "codes.scanned";

    fn subject(&self) -> String {
        self.code.map_or_else(String::new, |code| code.to_string())
    }
}
