//! Applies a schedule: several objects at a time, one write in flight per object, each write after those it waits for.
//!
//! Stopping at any point is safe: every prefix of a schedule is a state from which planning again converges.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{FuturesUnordered, StreamExt as _};
use sluice_core::backend::{Backend, WriteFailure, Written};
use sluice_core::schedule::{Target, Write};

/// Most writes in flight at once. The API server's own limits (priority and fairness) are for queues, not for us.
const MOST_IN_FLIGHT: usize = 32;

/// What came of a schedule.
#[derive(Debug, Default)]
pub struct Applied {
    /// Positions of the writes that succeeded, in the order they ended.
    pub written: Vec<usize>,
    /// Those that did not, in the order they failed.
    pub failures: Vec<(Target, WriteFailure)>,
    /// Those that were not tried, since something they wait for failed or the schedule was cut short.
    pub skipped: usize,
}

/// Applies writes. `versions` are the preconditions: the objects as they were when the schedule was made. `go_on` is
/// asked before each write; one that it refuses is left, and so is what waits for that.
pub async fn apply<B: Backend>(
    backend: &B,
    writes: &[Write],
    versions: BTreeMap<Target, String>,
    mut go_on: impl FnMut(&Write) -> bool,
) -> Applied {
    let mut progress = Progress::new(writes, versions);
    let mut in_flight = FuturesUnordered::new();
    loop {
        while in_flight.len() < MOST_IN_FLIGHT
            && let Some(position) = progress.ready.pop_first()
        {
            let Some(write) = writes.get(position).filter(|write| go_on(write)) else { continue };
            match progress.versions.get(&write.target).cloned() {
                Some(version) => {
                    in_flight.push(async move { (position, backend.write(write, &version).await) });
                }
                None => progress.end(position, Err(WriteFailure::NotFound)),
            }
        }
        match in_flight.next().await {
            Some((position, result)) => progress.end(position, result),
            None if progress.ready.is_empty() => break,
            None => {}
        }
    }
    progress.applied.skipped = writes.len() - progress.applied.written.len() - progress.applied.failures.len();
    progress.applied
}

/// Which writes may begin, given which have ended.
struct Progress<'a> {
    writes: &'a [Write],
    versions: BTreeMap<Target, String>,
    ready: BTreeSet<usize>,
    /// Writes that wait for this one.
    waiting_for: Vec<Vec<usize>>,
    state: Vec<State>,
    applied: Applied,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Succeeded,
    Failed,
}

impl<'a> Progress<'a> {
    fn new(writes: &'a [Write], versions: BTreeMap<Target, String>) -> Self {
        let mut waiting_for = vec![Vec::new(); writes.len()];
        for (position, write) in writes.iter().enumerate() {
            for &before in write.after.iter().chain(&write.after_any) {
                if let Some(dependants) = waiting_for.get_mut(before) {
                    dependants.push(position);
                }
            }
        }
        let free = |write: &Write| write.after.is_empty() && write.after_any.is_empty();
        let ready = writes.iter().enumerate().filter(|(_, write)| free(write)).map(|(position, _)| position).collect();
        let state = vec![State::Open; writes.len()];
        Self { writes, versions, ready, waiting_for, state, applied: Applied::default() }
    }

    fn end(&mut self, position: usize, result: Result<Written, WriteFailure>) {
        let Some(write) = self.writes.get(position) else { return };
        match result {
            Ok(written) => {
                self.versions.insert(write.target.clone(), written.resource_version);
                self.applied.written.push(position);
                self.settle(position, State::Succeeded);
            }
            Err(failure) => {
                self.applied.failures.push((write.target.clone(), failure));
                self.settle(position, State::Failed);
            }
        }
    }

    /// Marks a write and looks at what waited for it. A write whose predecessors failed has failed without a try, and
    /// so have those that wait for it.
    fn settle(&mut self, position: usize, state: State) {
        let mut ended = vec![(position, state)];
        while let Some((position, state)) = ended.pop() {
            if let Some(slot) = self.state.get_mut(position) {
                *slot = state;
            }
            for dependant in self.waiting_for.get(position).cloned().unwrap_or_default() {
                if self.state_of(dependant) != State::Open {
                    continue;
                }
                match self.verdict(dependant) {
                    State::Open => {}
                    State::Succeeded => {
                        self.ready.insert(dependant);
                    }
                    State::Failed => ended.push((dependant, State::Failed)),
                }
            }
        }
    }

    /// Whether a write may begin (`Succeeded`), never will (`Failed`), or has to wait (`Open`).
    fn verdict(&self, position: usize) -> State {
        let Some(write) = self.writes.get(position) else { return State::Failed };
        let mut all = write.after.iter().map(|&before| self.state_of(before));
        if all.clone().any(|state| state == State::Failed) {
            return State::Failed;
        }
        let any: Vec<State> = write.after_any.iter().map(|&before| self.state_of(before)).collect();
        if all.any(|state| state == State::Open) || any.contains(&State::Open) {
            return State::Open;
        }
        if any.is_empty() || any.contains(&State::Succeeded) { State::Succeeded } else { State::Failed }
    }

    fn state_of(&self, position: usize) -> State {
        self.state.get(position).copied().unwrap_or(State::Failed)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use sluice_core::name::OwnerName;
    use sluice_core::schedule::Change;

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
}
