//! Damps hints: whoever holds a webhook's address may send as many as they like, and the provider is asked about one thing once
//! in a while all the same. Remembered by each process for itself, for what was asked lately.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use kernel::Timestamp;

use crate::intent::IntentId;
use crate::steps::Step;

/// How long a hint waits for the last look at the same thing to grow old.
pub(crate) const LOOK_PAUSE: Duration = Duration::from_secs(5);
/// Things that are remembered; beyond that nothing is damped.
const LOOKS_MAX: usize = 10_000;

/// What somebody hinted at: a step of an intent, and the charge that was named beside it.
pub(crate) type Hinted = (IntentId, Step, Option<String>);

/// What becomes of a hint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The provider is asked now.
    Go,
    /// It is asked after this pause.
    Wait(Duration),
    /// Another hint waits already and will see whatever this one is about.
    Drop,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Timestamp,
    is_waited_for: bool,
}

static LOOKS: LazyLock<Mutex<HashMap<Hinted, Look>>> = LazyLock::new(Mutex::default);

/// Whether the provider is asked because of a hint. `has_waited` says that this one was told to wait before.
pub(crate) fn leave(hinted: Hinted, has_waited: bool, now: Timestamp) -> Leave {
    let mut looks = LOOKS.lock().unwrap_or_else(PoisonError::into_inner);
    decide(&mut looks, hinted, has_waited, now)
}

fn decide(looks: &mut HashMap<Hinted, Look>, hinted: Hinted, has_waited: bool, now: Timestamp) -> Leave {
    if looks.len() >= LOOKS_MAX {
        looks.retain(|_, look| now.since(look.at) < LOOK_PAUSE);
    }
    match looks.get_mut(&hinted) {
        Some(look) if now.since(look.at) < LOOK_PAUSE => {
            if look.is_waited_for && !has_waited {
                return Leave::Drop;
            }
            look.is_waited_for = true;
            Leave::Wait(LOOK_PAUSE.saturating_sub(now.since(look.at)).max(Duration::from_millis(1)))
        }
        _ => {
            if looks.len() < LOOKS_MAX {
                looks.insert(hinted, Look { at: now, is_waited_for: false });
            }
            Leave::Go
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::AttemptId;
    use kernel::{Id as _, RawId};

    fn hinted(number: u128) -> Hinted {
        let raw = RawId::from_bits(number);
        (IntentId::from_raw(raw), Step::Attempt(AttemptId::from_raw(raw)), None)
    }

    #[test]
    fn of_many_hints_at_once_one_asks_now_and_one_later() {
        let (mut looks, start) = (HashMap::new(), Timestamp::from_seconds(1_000));
        assert_eq!(decide(&mut looks, hinted(1), false, start), Leave::Go);
        let soon = start.plus(Duration::from_secs(1));
        assert_eq!(decide(&mut looks, hinted(1), false, soon), Leave::Wait(Duration::from_secs(4)));
        for _ in 0..1_000 {
            assert_eq!(decide(&mut looks, hinted(1), false, soon), Leave::Drop);
        }
        assert_eq!(decide(&mut looks, hinted(2), false, soon), Leave::Go, "another thing is not this one");
        assert_eq!(decide(&mut looks, hinted(1), true, soon), Leave::Wait(Duration::from_secs(4)), "who waits is not dropped");
        let later = start.plus(LOOK_PAUSE);
        assert_eq!(decide(&mut looks, hinted(1), true, later), Leave::Go);
        assert_eq!(decide(&mut looks, hinted(1), false, later), Leave::Wait(LOOK_PAUSE));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut looks, now) = (HashMap::new(), Timestamp::from_seconds(1_000));
        for number in 0..2 * LOOKS_MAX {
            assert_eq!(decide(&mut looks, hinted(number as u128), false, now), Leave::Go);
        }
        assert_eq!(looks.len(), LOOKS_MAX);
        assert_eq!(decide(&mut looks, hinted(0), false, now.plus(LOOK_PAUSE)), Leave::Go);
        assert_eq!(looks.len(), 1);
    }
}
