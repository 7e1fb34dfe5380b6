//! Fail points: places between two steps of what is done with money, where a process may be made to end at once. They are there
//! only with the feature `fail-points`, for the crash benchmark; docs/payments.md lists them.

use crate::steps::Step;

/// Ends the process, as a power cut would, where `TESSERA_FAIL_AT` names this place: `capture.marked`.
#[cfg(feature = "fail-points")]
pub(crate) fn at(what: &str, moment: &str) {
    static WANTED: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| std::env::var("TESSERA_FAIL_AT").ok());
    if WANTED.as_deref().and_then(|wanted| wanted.strip_prefix(what)).and_then(|rest| rest.strip_prefix('.')) == Some(moment) {
        std::process::abort();
    }
}

/// Nothing: this build has no fail points.
#[cfg(not(feature = "fail-points"))]
pub(crate) const fn at(_what: &str, _moment: &str) {}

/// The first half of a fail point's name.
pub(crate) const fn word(step: Step) -> &'static str {
    match step {
        Step::Attempt(_) => "attempt",
        Step::Close(_) => "close",
        Step::Capture(..) => "capture",
        Step::Void(_) => "void",
        Step::Refund(_) => "refund",
    }
}
