//! Applies a schedule: several objects at a time, one write in flight per object, each write after those it waits for.
//!
//! Stopping at any point is safe: every prefix of a schedule is a state from which planning again converges. What is in
//! flight then is not dropped: nobody would know whether it comes to pass, nor when, and the next schedule might put an
//! address elsewhere that an old write still brings. It stays in [`InFlight`] until its deadline at the latest; the next
//! round leaves those objects alone, and counts on either outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::pin::pin;

use futures::future::{BoxFuture, Either, FutureExt as _, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::network::{Target, Write};

/// Most writes of a schedule in flight at once. The API server's own limits (priority and fairness) are for queues, not
/// for us.
const MOST_IN_FLIGHT: usize = 32;
/// Most in flight together with those of earlier schedules that hang, so that a few such schedules leave room for more.
const MOST_IN_ALL: usize = 4 * MOST_IN_FLIGHT;

/// What came of a schedule.
#[derive(Debug, Default)]
pub struct Applied {
    /// Positions of the writes that succeeded, in the order they ended.
    pub written: Vec<usize>,
    /// Those that did not, in the order they failed.
    pub failures: Vec<(Target, WriteFailure)>,
    /// Those that were not tried, since something they wait for failed or the schedule was cut short.
    pub skipped: usize,
    /// Those that are still in flight, since the schedule was cut short.
    pub left: usize,
    /// Writes of earlier schedules that ended meanwhile.
    pub late: Vec<EndedWrite>,
}

impl Applied {
    /// Those of the schedule's writes that happened, and those that may have: they are still `in_flight`.
    pub fn landed<'a>(
        &self,
        writes: &'a [Write],
        in_flight: &BTreeMap<Target, Write>,
    ) -> impl Iterator<Item = &'a Write> {
        let written = self.written.iter().filter_map(|position| writes.get(*position));
        written.chain(writes.iter().filter(|write| in_flight.get(&write.target) == Some(*write)))
    }
}

/// A write that is over, and what came of it.
pub type EndedWrite = (Write, Result<Written, WriteFailure>);

/// Applies writes to their end. `versions` are the preconditions: the objects as they were when the schedule was made.
/// `go_on` is asked before each write; one that it refuses is left, and so is what waits for that.
pub async fn apply<B: Backend>(
    backend: &B,
    writes: &[Write],
    versions: BTreeMap<Target, String>,
    go_on: impl FnMut(&Write) -> bool,
) -> Applied {
    InFlight::new(backend).apply(writes, versions, go_on, pending()).await
}

/// Writes in flight, of one schedule and of those before that were cut short. At most one per object.
pub struct InFlight<'b, B> {
    backend: &'b B,
    futures: FuturesUnordered<BoxFuture<'b, Landed>>,
    writes: BTreeMap<Target, Write>,
    /// Number of the schedule that is applied, or was applied last.
    schedule: u64,
}

/// A write that is over, with its schedule and its position there.
struct Landed {
    schedule: u64,
    position: usize,
    write: Write,
    result: Result<Written, WriteFailure>,
}

impl<'b, B: Backend> InFlight<'b, B> {
    /// Nothing is in flight.
    pub fn new(backend: &'b B) -> Self {
        Self { backend, futures: FuturesUnordered::new(), writes: BTreeMap::new(), schedule: 0 }
    }

    /// What is in flight, by object.
    pub fn writes(&self) -> &BTreeMap<Target, Write> {
        &self.writes
    }

    /// Waits for the next write to end; none is in flight: none.
    pub async fn next(&mut self) -> Option<EndedWrite> {
        let landed = self.land().await?;
        Some((landed.write, landed.result))
    }

    /// Gives up all of them, whatever comes of them.
    pub fn abandon(&mut self) -> Vec<Write> {
        self.futures.clear();
        std::mem::take(&mut self.writes).into_values().collect()
    }

    /// Applies a schedule, as [`apply`] does, until `cut` comes to pass. Then nothing more begins, and what is in flight
    /// stays so.
    pub async fn apply(
        &mut self,
        writes: &[Write],
        versions: BTreeMap<Target, String>,
        mut go_on: impl FnMut(&Write) -> bool,
        cut: impl Future<Output = ()>,
    ) -> Applied {
        self.schedule += 1;
        let mut progress = Progress::new(writes, versions);
        let mut cut = pin!(cut.fuse());
        let mut own = 0;
        loop {
            while own < MOST_IN_FLIGHT
                && self.futures.len() < MOST_IN_ALL
                && let Some(position) = progress.ready.pop_first()
            {
                let Some(write) = writes.get(position).filter(|write| go_on(write)) else { continue };
                match progress.versions.get(&write.target).cloned() {
                    // A schedule is made without the objects that are being written.
                    Some(_) if self.writes.contains_key(&write.target) => {}
                    Some(version) => {
                        own += 1;
                        self.begin(position, write.clone(), version);
                    }
                    None => progress.end(position, Err(WriteFailure::NotFound)),
                }
            }
            if own == 0 && progress.ready.is_empty() {
                break;
            }
            let landed = match select(pin!(self.land()), cut.as_mut()).await {
                Either::Left((Some(landed), _)) => landed,
                Either::Left((None, _)) => continue,
                Either::Right(_) => break,
            };
            if landed.schedule == self.schedule {
                own -= 1;
                progress.end(landed.position, landed.result);
            } else {
                progress.applied.late.push((landed.write, landed.result));
            }
        }
        let ended = progress.applied.written.len() + progress.applied.failures.len();
        progress.applied.left = own;
        progress.applied.skipped = writes.len() - ended - own;
        progress.applied
    }

    fn begin(&mut self, position: usize, write: Write, version: String) {
        let (backend, schedule) = (self.backend, self.schedule);
        self.writes.insert(write.target.clone(), write.clone());
        self.futures.push(Box::pin(async move {
            let result = backend.write(&write, &version).await;
            Landed { schedule, position, write, result }
        }));
    }

    async fn land(&mut self) -> Option<Landed> {
        let landed = self.futures.next().await?;
        self.writes.remove(&landed.write.target);
        Some(landed)
    }
}

/// Which writes may begin, given which have ended. One write may wait for all others, so those it waits for are counted
/// and not looked at each time.
struct Progress {
    versions: BTreeMap<Target, String>,
    ready: BTreeSet<usize>,
    waits: Vec<Waits>,
    /// Writes that wait for this one, and whether for it alone or for any of several.
    waiting_for: Vec<Vec<(usize, Wait)>>,
    targets: Vec<Target>,
    applied: Applied,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// It has to succeed.
    All,
    /// It or another one has to.
    Any,
}

/// What a write still waits for.
#[derive(Clone, Copy, Default)]
struct Waits {
    /// How many others have not ended, of both kinds.
    open: usize,
    /// It needs one of several, and none of them has succeeded so far.
    lacks_any: bool,
    /// One that it waits for failed, so it is not tried.
    failed: bool,
}

impl Progress {
    fn new(writes: &[Write], versions: BTreeMap<Target, String>) -> Self {
        let mut waiting_for = vec![Vec::new(); writes.len()];
        let mut waits = Vec::with_capacity(writes.len());
        for (position, write) in writes.iter().enumerate() {
            let all = write.after.iter().map(|&before| (before, Wait::All));
            let any = write.after_any.iter().map(|&before| (before, Wait::Any));
            let mut own = Waits { lacks_any: !write.after_any.is_empty(), ..Waits::default() };
            for (before, wait) in all.chain(any) {
                own.open += 1;
                match waiting_for.get_mut(before) {
                    Some(dependants) => dependants.push((position, wait)),
                    // There is no such write, so it never succeeds.
                    None => own.failed = true,
                }
            }
            waits.push(own);
        }
        let free = |(position, waits): (usize, &Waits)| (waits.open == 0).then_some(position);
        let ready = waits.iter().enumerate().filter_map(free).collect();
        let targets = writes.iter().map(|write| write.target.clone()).collect();
        Self { versions, ready, waits, waiting_for, targets, applied: Applied::default() }
    }

    fn end(&mut self, position: usize, result: Result<Written, WriteFailure>) {
        let Some(target) = self.targets.get(position).cloned() else { return };
        let succeeded = result.is_ok();
        match result {
            Ok(written) => {
                self.versions.insert(target, written.resource_version);
                self.applied.written.push(position);
            }
            Err(failure) => self.applied.failures.push((target, failure)),
        }
        self.settle(position, succeeded);
    }

    /// Tells those that waited for a write. One whose predecessors failed has failed without a try, and so have those that
    /// wait for it.
    fn settle(&mut self, position: usize, succeeded: bool) {
        let mut ended = vec![(position, succeeded)];
        while let Some((position, succeeded)) = ended.pop() {
            let dependants = self.waiting_for.get_mut(position).map(std::mem::take).unwrap_or_default();
            for (dependant, wait) in dependants {
                let Some(waits) = self.waits.get_mut(dependant) else { continue };
                waits.open = waits.open.saturating_sub(1);
                match (wait, succeeded) {
                    (Wait::All, false) => waits.failed = true,
                    (Wait::Any, true) => waits.lacks_any = false,
                    (Wait::All, true) | (Wait::Any, false) => {}
                }
                if waits.open > 0 {
                    continue;
                }
                if waits.failed || waits.lacks_any {
                    ended.push((dependant, false));
                } else {
                    self.ready.insert(dependant);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Mutex;

    use futures::channel::oneshot;
    use sluice_core::name::OwnerName;
    use sluice_core::network::Change;

    use super::*;

    struct Recorder {
        fails: Vec<&'static str>,
        seen: Mutex<Vec<String>>,
    }

    impl Backend for Recorder {
        async fn write(&self, write: &Write, version: &str) -> Result<Written, WriteFailure> {
            let name = write.target.name().to_owned();
            self.seen.lock().unwrap().push(format!("{name}@{version}"));
            if self.fails.contains(&name.as_str()) {
                return Err(WriteFailure::Conflict);
            }
            Ok(Written { resource_version: format!("{version}+") })
        }
    }

    fn write(name: &str, after: &[usize], after_any: &[usize]) -> Write {
        Write {
            target: Target::Namespace(OwnerName::from(name)),
            change: Change::Namespace { result: None, hold: None },
            after: after.to_vec(),
            after_any: after_any.to_vec(),
        }
    }

    #[test]
    fn what_hangs_counts_as_if_it_had_happened_and_what_hung_before_does_not() {
        let writes = [write("done", &[], &[]), write("hangs", &[], &[]), write("left", &[], &[])];
        let before = Write { after: vec![7], ..write("left", &[], &[]) };
        let in_flight = [writes[1].clone(), before].map(|write| (write.target.clone(), write)).into();
        let applied = Applied { written: vec![0], ..Applied::default() };
        let landed: Vec<&str> = applied.landed(&writes, &in_flight).map(|write| write.target.name()).collect();
        assert_eq!(landed, ["done", "hangs"]);
    }

    async fn check(fails: &[&'static str], writes: &[Write]) -> (Vec<String>, Applied) {
        let recorder = Recorder { fails: fails.to_vec(), seen: Mutex::default() };
        let versions = writes.iter().map(|write| (write.target.clone(), "1".to_owned())).collect();
        let applied = apply(&recorder, writes, versions, |_| true).await;
        (recorder.seen.into_inner().unwrap(), applied)
    }

    #[tokio::test]
    async fn a_second_write_to_an_object_carries_the_version_of_the_first() {
        let (seen, applied) = check(&[], &[write("a", &[], &[]), write("a", &[0], &[])]).await;
        assert_eq!(seen, ["a@1", "a@1+"]);
        assert_eq!(applied.written, [0, 1]);
    }

    #[tokio::test]
    async fn what_waits_for_a_failed_write_is_skipped_and_the_rest_goes_on() {
        let writes = [write("a", &[], &[]), write("b", &[0], &[]), write("c", &[1], &[]), write("d", &[], &[])];
        let (seen, applied) = check(&["a"], &writes).await;
        assert_eq!(seen, ["a@1", "d@1"]);
        assert_eq!((applied.written.len(), applied.failures.len(), applied.skipped), (1, 1, 2));
    }

    #[tokio::test]
    async fn one_success_of_several_is_enough_where_any_is_asked() {
        let writes = [write("a", &[], &[]), write("b", &[], &[]), write("c", &[], &[0, 1])];
        let (seen, _) = check(&["a"], &writes).await;
        assert_eq!(seen, ["a@1", "b@1", "c@1"]);
        let (seen, _) = check(&["a", "b"], &writes).await;
        assert_eq!(seen, ["a@1", "b@1"]);
    }

    #[tokio::test]
    async fn what_is_put_off_and_what_waits_for_it_is_left_and_the_rest_goes_on() {
        let recorder = Recorder { fails: Vec::new(), seen: Mutex::default() };
        let writes = [write("a", &[], &[]), write("b", &[0], &[]), write("c", &[], &[])];
        let versions = writes.iter().map(|write| (write.target.clone(), "1".to_owned())).collect();
        let applied = apply(&recorder, &writes, versions, |write| write.target.name() != "a").await;
        assert_eq!(recorder.seen.into_inner().unwrap(), ["c@1"]);
        assert_eq!((applied.written, applied.skipped), (vec![2], 2));
    }

    #[tokio::test]
    async fn a_schedule_that_is_cut_short_ends() {
        let recorder = Recorder { fails: Vec::new(), seen: Mutex::default() };
        let writes = [write("a", &[], &[]), write("b", &[0], &[])];
        let versions = writes.iter().map(|write| (write.target.clone(), "1".to_owned())).collect();
        let mut asked = 0;
        let applied = apply(&recorder, &writes, versions, |_| {
            asked += 1;
            asked < 2
        })
        .await;
        assert_eq!((applied.written.len(), applied.skipped), (1, 1));
    }

    /// Answers a write when it is told to, and never by itself.
    #[derive(Default)]
    struct Slow {
        begun: Mutex<Vec<String>>,
        waiting: Mutex<BTreeMap<String, oneshot::Sender<()>>>,
    }

    impl Slow {
        fn answer(&self, name: &str) {
            self.waiting.lock().unwrap().remove(name).unwrap().send(()).unwrap();
        }

        fn begun(&self) -> Vec<String> {
            std::mem::take(&mut self.begun.lock().unwrap())
        }
    }

    impl Backend for Slow {
        async fn write(&self, write: &Write, _: &str) -> Result<Written, WriteFailure> {
            let (answer, answered) = oneshot::channel();
            self.begun.lock().unwrap().push(write.target.name().to_owned());
            self.waiting.lock().unwrap().insert(write.target.name().to_owned(), answer);
            answered.await.map_err(|_| WriteFailure::Conflict)?;
            Ok(Written { resource_version: "2".to_owned() })
        }
    }

    fn numbered(numbers: std::ops::Range<usize>) -> Vec<Write> {
        numbers.map(|number| write(&format!("{number:03}"), &[], &[])).collect()
    }

    fn at_first(writes: &[Write]) -> BTreeMap<Target, String> {
        writes.iter().map(|write| (write.target.clone(), "1".to_owned())).collect()
    }

    #[tokio::test]
    async fn a_schedule_whose_writes_hang_is_cut_short_and_the_next_one_goes_out() {
        let backend = Slow::default();
        let mut in_flight = InFlight::new(&backend);
        let hanging = numbered(0..640);
        let applied = in_flight.apply(&hanging, at_first(&hanging), |_| true, ready(())).await;
        assert_eq!((applied.written.len(), applied.left, applied.skipped), (0, 32, 608));
        assert_eq!(backend.begun().len(), 32);
        // The failover, made without the objects that are being written.
        let failover = [write("worker-a", &[], &[]), write("worker-b", &[0], &[])];
        let mut applying = Box::pin(in_flight.apply(&failover, at_first(&failover), |_| true, pending()));
        assert!(futures::poll!(applying.as_mut()).is_pending());
        assert_eq!(backend.begun(), ["worker-a"]);
        backend.answer("worker-a");
        assert!(futures::poll!(applying.as_mut()).is_pending());
        assert_eq!(backend.begun(), ["worker-b"]);
        // What hung ends late, and is told with its outcome.
        backend.answer("007");
        backend.answer("worker-b");
        let applied = applying.as_mut().await;
        drop(applying);
        assert_eq!((applied.written, applied.left), (vec![0, 1], 0));
        let late: Vec<_> = applied.late.iter().map(|(write, result)| (write.target.name(), result.is_ok())).collect();
        assert_eq!(late, [("007", true)]);
        assert_eq!(in_flight.writes().len(), 31);
    }

    #[tokio::test]
    async fn no_object_has_two_writes_in_flight_and_no_more_than_so_many_are() {
        let backend = Slow::default();
        let mut in_flight = InFlight::new(&backend);
        for round in 0..6 {
            let writes = numbered(round * 16..round * 16 + 640);
            in_flight.apply(&writes, at_first(&writes), |_| true, ready(())).await;
            assert!(in_flight.writes().len() <= MOST_IN_ALL, "{}", in_flight.writes().len());
        }
        assert_eq!(in_flight.writes().len(), MOST_IN_ALL);
        assert_eq!(backend.waiting.lock().unwrap().len(), MOST_IN_ALL, "each object once");
        assert_eq!(in_flight.abandon().len(), MOST_IN_ALL);
        assert!(in_flight.next().await.is_none());
    }

    #[tokio::test]
    async fn one_write_that_waits_for_all_others_does_not_make_each_of_them_slower() {
        let count = 40_000;
        let mut writes = numbered(0..count);
        writes.push(write("last", &(0..count).collect::<Vec<_>>(), &[]));
        // Looking at all predecessors at each end would be 1.6 billion looks: minutes, here.
        let begun = std::time::Instant::now();
        let (seen, applied) = check(&[], &writes).await;
        assert_eq!((applied.written.len(), seen.last().map(String::as_str)), (count + 1, Some("last@1")));
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
