//! Jobs: what is to be done, and how it may end.

use std::time::Duration;

use kernel::{Fault, Kind, Timestamp, WorkspaceId};
use serde::Serialize;
use serde::de::DeserializeOwned;

kernel::id!(
    /// One job, the same over all its attempts.
    pub struct JobId = "job"
);

/// Something to do after the commit. It may run more than once, so what it does to others must bear repeating; what it does
/// to the database through [`JobContext::write`](crate::JobContext::write) happens once.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Its name, `module.verb`, for example `notifications.send_email`.
    const NAME: &'static str;
    /// The lane it runs in; lanes do not wait for each other.
    const LANE: &'static str;
    /// How often it is tried before it is given up; the default spreads over about a day.
    const ATTEMPTS_MAX: u32 = 12;
    /// The longest pause after an attempt that failed. Whatever is put off often, such as what waits for a party that has enough
    /// to do, needs one: each time counts as an attempt, and the pause after the next failure follows from their number.
    const PAUSE_MAX: Duration = Duration::from_secs(18_000);
    /// How long one attempt may take.
    const TIMEOUT: Duration = Duration::from_secs(60);
    /// How many of one group may run at the same time in a process.
    const GROUP_RUNNING_MAX: usize = usize::MAX;

    /// What it is about; spreads jobs over the shards.
    fn key(&self) -> String;

    /// Whom it must not crowd out others for: the groups of a lane take turns. The workspace unless said otherwise, for
    /// example the endpoint that a delivery goes to.
    fn group(&self) -> Option<String> {
        None
    }
}

/// Why an attempt did not succeed, and what follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct JobError {
    /// For the operator; no personal data.
    pub(crate) reason: String,
    pub(crate) next: Next,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    Backoff,
    After(Duration),
    Never,
    /// Another process holds the entry now, or it is finished: this attempt changes nothing any more.
    Dropped,
}

impl JobError {
    /// Try again later, each time after a longer pause.
    pub fn retry(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), next: Next::Backoff }
    }

    /// Try again after `pause`, for example what a `Retry-After` asked for.
    pub fn retry_after(reason: impl Into<String>, pause: Duration) -> Self {
        Self { reason: reason.into(), next: Next::After(pause) }
    }

    /// It will never succeed: keep it among the dead jobs for a person to look at.
    pub fn give_up(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), next: Next::Never }
    }

    pub(crate) fn dropped() -> Self {
        Self { reason: "the entry is finished, or another process holds it now".to_owned(), next: Next::Dropped }
    }
}

impl<E: Fault> From<E> for JobError {
    /// A fault is tried again, unless its kind says that repeating cannot help.
    fn from(fault: E) -> Self {
        let mut reason = fault.to_string();
        let mut source = fault.source();
        while let Some(cause) = source {
            // After its first line a driver quotes the row that it refused, with the personal data in it.
            let cause_text = cause.to_string();
            reason = format!("{reason}: {}", cause_text.lines().next().unwrap_or_default());
            source = cause.source();
        }
        match fault.kind() {
            Kind::Invalid | Kind::Forbidden => Self::give_up(reason),
            Kind::NotFound | Kind::Conflict | Kind::Unavailable | Kind::Internal => Self::retry(reason),
        }
    }
}

/// A job that is ready to be appended to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub(crate) workspace: WorkspaceId,
    pub(crate) name: &'static str,
    pub(crate) lane: &'static str,
    pub(crate) key: String,
    pub(crate) payload: String,
    pub(crate) due_at: Option<Timestamp>,
}

impl NewJob {
    /// `job` for `workspace`, to be run at once.
    pub fn of<J: Job>(workspace: WorkspaceId, job: &J) -> Self {
        let payload = serde_json::to_string(job).expect("a job is plain fields, which JSON can hold");
        Self { workspace, name: J::NAME, lane: J::LANE, key: job.key(), payload, due_at: None }
    }

    /// The same, to be run at `due`.
    #[must_use]
    pub fn at(mut self, due: Timestamp) -> Self {
        self.due_at = Some(due);
        self
    }
}

/// The pause before the attempt after `attempts` failed ones: 2 s, 8 s, 32 s, then four times longer each until five hours;
/// twelve attempts take about a day. `random` (any bits) moves it by up to a quarter either way.
pub(crate) fn backoff(attempts: i64, random: u64) -> Duration {
    let exponent = u32::try_from(attempts.clamp(1, 8) - 1).unwrap_or(0);
    let pause_ms = (2_000_u64 * 4_u64.pow(exponent)).min(18_000_000);
    let spread_ms = pause_ms / 2;
    Duration::from_millis(pause_ms - spread_ms / 2 + random % (spread_ms + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_of_twelve_attempts_spread_over_most_of_a_day() {
        let total = |random| (1..12).map(|attempts| backoff(attempts, random).as_secs()).sum::<u64>();
        assert!((17 * 3600..29 * 3600).contains(&total(0)), "{}", total(0));
        assert!((17 * 3600..29 * 3600).contains(&total(u64::MAX / 2)), "{}", total(u64::MAX / 2));
        assert!(backoff(1, 0) >= Duration::from_millis(1_500) && backoff(1, u64::MAX) <= Duration::from_millis(2_500));
    }

    #[test]
    fn the_reason_of_a_failure_leaves_out_the_rows_that_a_driver_quotes() {
        #[derive(Debug, thiserror::Error)]
        #[error("a rule of the database refused this change")]
        struct Refused(#[source] Quoting);
        #[derive(Debug, thiserror::Error)]
        #[error("ERROR: duplicate key value violates unique constraint \"x\"\nDETAIL: Key (email)=(ada@example.org) already exists.")]
        struct Quoting;
        impl Fault for Refused {
            fn kind(&self) -> Kind {
                Kind::Conflict
            }
            fn code(&self) -> &'static str {
                "constraint"
            }
        }
        let reason = JobError::from(Refused(Quoting)).reason;
        assert_eq!(reason, "a rule of the database refused this change: ERROR: duplicate key value violates unique constraint \"x\"");
    }

    #[test]
    fn jitter_moves_a_pause_by_a_quarter_at_most() {
        for random in 0..10_000 {
            let pause = backoff(3, random).as_millis();
            assert!((24_000..=40_000).contains(&pause), "{pause}");
        }
    }
}
