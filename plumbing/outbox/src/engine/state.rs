//! What a process knows of the shards it holds, its lanes and its timers. No I/O.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use kernel::{Timestamp, WorkspaceId};
use tokio::time::Instant;

use super::Handler;
use crate::Position;
use crate::entry::SHARDS;

/// How many jobs of one lane are held in memory; more wait in the database. A group may have as many of them as places are
/// left, so that one alone fills half, and there is always room for the first of another.
const LANE_QUEUED_MAX: usize = 4_000;
/// How many times the slots that stay free a group may hold of a lane beyond its first one: one alone takes three quarters, two
/// take three sevenths each. So whoever comes next finds a slot and waits for nobody's slow jobs.
const FREE_SHARE: usize = 3;
/// How many timers are held in memory, the nearest ones; more wait in the database.
pub(crate) const TIMERS_MAX: usize = 10_000;
/// The lane of jobs that this build has no code for.
pub(crate) const UNKNOWN_LANE: &str = "";

/// Where an entry's row is, and so what marks it finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the log: finished by a row among the done ones.
    Log(Position),
    /// Among the waiting: finished by deleting its row.
    Waiting,
    /// Finished.
    Finished,
}

/// A job in memory: queued, running or waiting for its time.
pub(crate) struct Ready {
    pub(crate) id: Arc<str>,
    pub(crate) shard: usize,
    /// Of the lease under which it was read.
    pub(crate) token: i64,
    /// Its place in the log, if it was read there.
    pub(crate) position: Option<Position>,
    pub(crate) source: tokio::sync::Mutex<Source>,
    /// How often it was tried before.
    pub(crate) attempts: i64,
    pub(crate) name: String,
    pub(crate) workspace: WorkspaceId,
    pub(crate) subject: String,
    pub(crate) payload: String,
    pub(crate) created_at: Timestamp,
    pub(crate) group: String,
    /// None when this build has no code for it.
    pub(crate) handler: Option<Arc<Handler>>,
}

impl Ready {
    pub(crate) fn lane(&self) -> &'static str {
        self.handler.as_ref().map_or(UNKNOWN_LANE, |handler| handler.lane)
    }
}

/// An entry of the log that was read and is not finished.
pub(crate) struct Open {
    /// The entry before it in its shard: up to there the cursor may go.
    prev: Position,
    pub(crate) since: Instant,
    /// None while the dispatcher itself is at it.
    pub(crate) ready: Option<Arc<Ready>>,
}

/// A shard that this process holds.
pub(crate) struct Shard {
    pub(crate) token: i64,
    /// What the database has.
    pub(crate) cursor: Position,
    /// Up to where done rows are deleted.
    pub(crate) pruned: Position,
    /// The last entry that was read.
    top: Position,
    pub(crate) open: BTreeMap<Position, Open>,
    pub(crate) running: usize,
    /// Its backlog is read: from now on it lives from the tail.
    pub(crate) is_attached: bool,
    /// It is to be given back: nothing new starts.
    pub(crate) is_draining: bool,
    /// By this process's own clock, and a little before the lease ends.
    pub(crate) valid_until: Instant,
    pub(crate) moved_at: Instant,
}

impl Shard {
    pub(crate) fn new(token: i64, cursor: Position, valid_until: Instant) -> Self {
        Self {
            token,
            cursor,
            pruned: Position::default(),
            top: cursor,
            open: BTreeMap::new(),
            running: 0,
            is_attached: false,
            is_draining: false,
            valid_until,
            moved_at: Instant::now(),
        }
    }

    /// Notes an entry that was read in the log's order; not `is_open` when there is nothing to do for it.
    pub(crate) fn note(&mut self, position: Position, is_open: bool, ready: Option<Arc<Ready>>) {
        if is_open {
            self.open.insert(position, Open { prev: self.top, since: Instant::now(), ready });
        }
        self.top = position;
    }

    /// The last entry that was read.
    pub(crate) fn top(&self) -> Position {
        self.top
    }

    /// Up to where everything is finished, given that everything up to `tail` was read.
    pub(crate) fn finished_up_to(&self, tail: Position) -> Position {
        match self.open.first_key_value() {
            Some((_, open)) => open.prev,
            None if self.is_attached && !self.is_draining => self.top.max(tail),
            None => self.top,
        }
    }

    /// Whether an entry of its own lies between the cursor and where it could be.
    pub(crate) fn has_progress(&self) -> bool {
        self.open.first_key_value().map_or(self.top, |(_, open)| open.prev) > self.cursor
    }
}

#[derive(Default)]
struct Group {
    queue: VecDeque<Arc<Ready>>,
    running: usize,
}

/// Jobs that wait for a worker of one kind, each group with its own queue, taking turns, and none of them with all of it.
pub(crate) struct Lane {
    pub(crate) concurrency: usize,
    pub(crate) running: usize,
    pub(crate) queued: usize,
    groups: HashMap<String, Group>,
    /// The groups whose queues are not empty.
    ring: VecDeque<String>,
}

impl Lane {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self { concurrency, running: 0, queued: 0, groups: HashMap::new(), ring: VecDeque::new() }
    }

    /// Queues a job, or gives it back when the lane or its group is full.
    pub(crate) fn offer(&mut self, ready: Arc<Ready>) -> Result<(), Arc<Ready>> {
        let queued = self.groups.get(&ready.group).map_or(0, |group| group.queue.len());
        if queued >= LANE_QUEUED_MAX - self.queued {
            return Err(ready);
        }
        if queued == 0 {
            self.ring.push_back(ready.group.clone());
        }
        self.groups.entry(ready.group.clone()).or_default().queue.push_back(ready);
        self.queued += 1;
        Ok(())
    }

    /// The next job that may run now.
    pub(crate) fn next(&mut self) -> Option<Arc<Ready>> {
        let free = self.concurrency.saturating_sub(self.running);
        if free == 0 {
            return None;
        }
        for _ in 0..self.ring.len() {
            let name = self.ring.pop_front()?;
            let group = self.groups.get_mut(&name)?;
            let running_max = group.queue.front().and_then(|r| r.handler.as_ref()).map_or(1, |h| h.group_running_max);
            // The first one of a group may always run.
            let is_enough = group.running > 0 && group.running + 1 > FREE_SHARE * (free - 1);
            if group.running >= running_max || is_enough {
                self.ring.push_back(name);
                continue;
            }
            let ready = group.queue.pop_front()?;
            group.running += 1;
            if !group.queue.is_empty() {
                self.ring.push_back(name);
            }
            self.running += 1;
            self.queued -= 1;
            return Some(ready);
        }
        None
    }

    pub(crate) fn finished(&mut self, name: &str) {
        self.running -= 1;
        if let Some(group) = self.groups.get_mut(name) {
            group.running -= 1;
            if group.running == 0 && group.queue.is_empty() {
                self.groups.remove(name);
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&Ready) -> bool) {
        for group in self.groups.values_mut() {
            group.queue.retain(|ready| keep(ready));
        }
        self.groups.retain(|_, group| group.running > 0 || !group.queue.is_empty());
        let groups = &self.groups;
        self.ring.retain(|name| groups.get(name).is_some_and(|group| !group.queue.is_empty()));
        self.queued = self.groups.values().map(|group| group.queue.len()).sum();
    }
}

/// Everything in memory.
pub(crate) struct State {
    pub(crate) shards: [Option<Shard>; SHARDS],
    pub(crate) lanes: HashMap<&'static str, Lane>,
    /// By the time they are due and the order they came in.
    pub(crate) timers: BTreeMap<(Timestamp, u64), Arc<Ready>>,
    timer_count: u64,
    /// The ids of all jobs in memory, with the shard and token they were read under, and the attempts before.
    known: HashMap<Arc<str>, (usize, i64, i64)>,
    /// The ids of jobs that left memory since the waiting ones are being read: what that reading brings of them is out of
    /// date, and would begin again what has ended. None while nothing is read.
    left: Option<HashSet<Arc<str>>>,
    /// Everything up to here was read.
    pub(crate) tail: Position,
    pub(crate) is_stopping: bool,
}

impl State {
    pub(crate) fn new(lanes: HashMap<&'static str, Lane>) -> Self {
        Self {
            shards: [const { None }; SHARDS],
            lanes,
            timers: BTreeMap::new(),
            timer_count: 0,
            known: HashMap::new(),
            left: None,
            tail: Position::default(),
            is_stopping: false,
        }
    }

    /// The shard, if it is still held under `token`.
    pub(crate) fn held(&mut self, shard: usize, token: i64) -> Option<&mut Shard> {
        self.shards[shard].as_mut().filter(|held| held.token == token)
    }

    /// Counts a job as running; false when it may not start. A lease that was not renewed in time is given up with all that
    /// was read under it: it is read again under the next one.
    pub(crate) fn start(&mut self, ready: &Ready) -> bool {
        let is_stopping = self.is_stopping;
        let Some(shard) = self.held(ready.shard, ready.token).filter(|shard| !is_stopping && !shard.is_draining) else { return false };
        if Instant::now() < shard.valid_until {
            shard.running += 1;
            return true;
        }
        self.drop_shard(ready.shard);
        false
    }

    /// Notes that a job is in memory; false when it is there already.
    pub(crate) fn know(&mut self, ready: &Ready) -> bool {
        if self.known.contains_key(&ready.id) {
            return false;
        }
        self.known.insert(Arc::clone(&ready.id), (ready.shard, ready.token, ready.attempts));
        true
    }

    pub(crate) fn knows(&self, id: &str) -> bool {
        self.known.contains_key(id)
    }

    /// Notes from now on which jobs leave memory; before the waiting ones are read.
    pub(crate) fn watch_leaving(&mut self) {
        self.left = Some(HashSet::new());
    }

    /// The jobs that left memory since, which are noted no more.
    pub(crate) fn take_left(&mut self) -> HashSet<Arc<str>> {
        self.left.take().unwrap_or_default()
    }

    /// Takes a job out of memory.
    pub(crate) fn forget(&mut self, ready: &Ready) {
        if self.known.get(&ready.id) == Some(&(ready.shard, ready.token, ready.attempts)) {
            self.known.remove(&ready.id);
            if let Some(left) = &mut self.left {
                left.insert(Arc::clone(&ready.id));
            }
        }
    }

    /// Notes that an entry of the log is finished there, so that the cursor may pass it.
    pub(crate) fn settle(&mut self, shard: usize, token: i64, position: Position) {
        if let Some(shard) = self.held(shard, token) {
            shard.open.remove(&position);
        }
    }

    /// Queues a job in its lane, or gives it back when that is full.
    pub(crate) fn offer(&mut self, ready: Arc<Ready>) -> Result<(), Arc<Ready>> {
        match self.lanes.get_mut(ready.lane()) {
            Some(lane) => lane.offer(ready),
            None => Err(ready),
        }
    }

    /// Whether there is room for a timer that is due then: the farthest one makes it, and waits in the database alone. Without that
    /// ten thousand jobs of the next minute would keep one of the next second waiting.
    pub(crate) fn has_room_at(&mut self, due: Timestamp) -> bool {
        if self.timers.len() < TIMERS_MAX {
            return true;
        }
        let is_nearer = self.timers.last_key_value().is_some_and(|((farthest, _), _)| due < *farthest);
        if is_nearer && let Some((_, farthest)) = self.timers.pop_last() {
            self.forget(&farthest);
        }
        is_nearer
    }

    pub(crate) fn set_timer(&mut self, due: Timestamp, ready: Arc<Ready>) {
        self.timer_count += 1;
        self.timers.insert((due, self.timer_count), ready);
    }

    /// Takes everything of a shard out of memory that has not started.
    pub(crate) fn empty(&mut self, shard: usize) {
        for lane in self.lanes.values_mut() {
            lane.retain(|ready| ready.shard != shard);
        }
        self.timers.retain(|_, ready| ready.shard != shard);
    }

    /// Forgets a shard that is lost or given back.
    pub(crate) fn drop_shard(&mut self, shard: usize) {
        self.empty(shard);
        self.known.retain(|_, (of, _, _)| *of != shard);
        self.shards[shard] = None;
    }

    /// Nothing queued and nothing running.
    pub(crate) fn is_idle(&self) -> bool {
        self.lanes.values().all(|lane| lane.queued == 0 && lane.running == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Id, RawId};

    fn at(seq: i64) -> Position {
        Position { xid: 0, seq }
    }

    /// A job of a kind that may run as often at once as its lane lets it.
    fn many(id: &str, group: &str) -> Arc<Ready> {
        let handler = Handler {
            name: "test.job",
            lane: "test",
            attempts_max: 1,
            pause_max: std::time::Duration::from_secs(1),
            timeout: std::time::Duration::from_secs(1),
            group_running_max: usize::MAX,
            group: |_| None,
            run: Box::new(|_, _| Box::pin(async { Ok(()) })),
        };
        let mut ready = Arc::into_inner(ready(id, group)).unwrap();
        ready.handler = Some(Arc::new(handler));
        Arc::new(ready)
    }

    fn started(lane: &mut Lane) -> Vec<String> {
        std::iter::from_fn(|| lane.next()).map(|ready| ready.group.clone()).collect()
    }

    #[test]
    fn of_too_many_timers_the_nearest_are_in_memory() {
        let mut state = State::new(HashMap::new());
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let set = |state: &mut State, id: &str, due| {
            let is_held = state.has_room_at(due);
            let timer = ready(id, "a");
            if is_held && state.know(&timer) {
                state.set_timer(due, timer);
            }
            is_held
        };
        for n in 0..TIMERS_MAX as i64 {
            assert!(set(&mut state, &format!("timer {n}"), at(60 + n)));
        }
        let last = format!("timer {}", TIMERS_MAX - 1);
        assert!(!set(&mut state, "later", at(1_000_000)) && state.knows(&last));
        assert!(set(&mut state, "sooner", at(1)) && !state.knows(&last), "the farthest made room");
        assert_eq!((state.timers.len(), state.timers.first_key_value().unwrap().0.0), (TIMERS_MAX, at(1)));
    }

    #[test]
    fn a_group_that_came_first_leaves_slots_for_those_that_come_later() {
        let mut lane = Lane::new(8);
        for n in 0..1_000 {
            lane.offer(many(&format!("a{n}"), "a")).unwrap_or_else(|_| panic!("there is room"));
        }
        assert_eq!(started(&mut lane), ["a"; 6], "nobody else is there, and still it is not the whole lane");
        lane.offer(many("b0", "b")).unwrap_or_else(|_| panic!("there is room"));
        assert_eq!(started(&mut lane), ["b"], "it waits for none of the six");
        // What the first one gives back goes to those who hold less.
        for n in 1..1_000 {
            lane.offer(many(&format!("b{n}"), "b")).unwrap_or_else(|_| panic!("there is room"));
        }
        for _ in 0..3 {
            lane.finished("a");
        }
        assert_eq!(started(&mut lane), ["a", "b", "b"], "four and three, and a slot for a third");
        lane.offer(many("c0", "c")).unwrap_or_else(|_| panic!("there is room"));
        assert_eq!(started(&mut lane), ["c"]);
    }

    #[test]
    fn a_lane_of_one_slot_is_used_and_every_queue_has_room_for_the_first_of_another() {
        let mut lane = Lane::new(1);
        assert!(lane.offer(many("a0", "a")).is_ok() && lane.offer(many("a1", "a")).is_ok());
        assert_eq!(started(&mut lane), ["a"]);
        lane.finished("a");
        assert_eq!(started(&mut lane), ["a"]);
        let mut lane = Lane::new(1);
        for group in ["a", "b", "c", "d"] {
            while lane.offer(many("job", group)).is_ok() {}
        }
        assert_eq!(lane.queued, 3_750, "a half, a quarter, an eighth, a sixteenth");
        assert!(lane.offer(many("first", "e")).is_ok());
    }

    fn ready(id: &str, group: &str) -> Arc<Ready> {
        Arc::new(Ready {
            id: id.into(),
            shard: 0,
            token: 1,
            position: None,
            source: tokio::sync::Mutex::new(Source::Waiting),
            attempts: 0,
            name: String::new(),
            workspace: WorkspaceId::from_raw(RawId::from_bits(1)),
            subject: String::new(),
            payload: String::new(),
            created_at: Timestamp::default(),
            group: group.to_owned(),
            handler: None,
        })
    }

    #[test]
    fn the_cursor_passes_only_what_is_finished_with_everything_before_it() {
        let mut shard = Shard::new(1, at(10), Instant::now());
        shard.is_attached = true;
        for seq in [12, 15, 19] {
            shard.note(at(seq), true, None);
        }
        shard.note(at(20), false, None);
        shard.open.remove(&at(15));
        assert_eq!(shard.finished_up_to(at(30)), at(10));
        assert!(!shard.has_progress());
        shard.open.remove(&at(12));
        assert_eq!(shard.finished_up_to(at(30)), at(15));
        assert!(shard.has_progress());
        shard.open.remove(&at(19));
        assert_eq!(shard.finished_up_to(at(30)), at(30));
    }

    #[test]
    fn groups_take_turns_and_one_that_floods_leaves_room_for_others() {
        let mut lane = Lane::new(100);
        for n in 0..LANE_QUEUED_MAX / 2 {
            assert!(lane.offer(ready(&format!("a{n}"), "a")).is_ok());
        }
        assert!(lane.offer(ready("more", "a")).is_err());
        assert!(lane.offer(ready("b0", "b")).is_ok());
        // Jobs without code run one of a group at a time.
        let first: Vec<_> = std::iter::from_fn(|| lane.next()).map(|r| r.id.to_string()).collect();
        assert_eq!(first, ["a0", "b0"]);
        lane.finished("a");
        assert_eq!(lane.next().map(|r| r.id.to_string()).as_deref(), Some("a1"));
        lane.retain(|r| r.group != "a");
        assert_eq!((lane.queued, lane.running), (0, 2));
    }
}
