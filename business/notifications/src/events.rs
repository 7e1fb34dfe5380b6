//! Facts for others.

use kernel::Timestamp;
use serde::{Deserialize, Serialize};

use crate::endpoint::EndpointId;

/// An endpoint was switched off because it is gone (410) or failed for days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointDisabled {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Why: `gone` or `failing`.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl outbox::Fact for EndpointDisabled {
    const NAME: &'static str = "notifications.endpoint_disabled";

    fn subject(&self) -> String {
        self.endpoint.to_string()
    }
}
