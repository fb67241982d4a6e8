//! Random scripts against the engine: events, faults and crashes between writes; after each of them the cluster comes
//! to rest, and everybody is carried or honestly held.
//!
//! `SLUICE_SEED=n` runs one script and prints what happens; `SLUICE_SCRIPTS=n` runs so many.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

// The runtime depends on this crate. Its applier is one file that needs `sluice-core` alone, so the file is taken.
#[path = "../../../runtime/src/apply.rs"]
#[allow(dead_code, missing_docs, unreachable_pub, reason = "part of another crate")]
mod apply;
mod native;
mod script;

use std::collections::BTreeSet;
use std::io::Write as _;

use sluice_core::backend::WriteFailure;
use sluice_core::network::{Target, versions};
use sluice_core::observed::Observed;
use sluice_core::round::{Outcome, Round};
use sluice_sandbox::{Dice, Event, Expectation, Sandbox, audit};

/// Events in a script, each followed by rest.
const EVENTS: usize = 25;
/// Rounds within which the cluster has to come to rest.
const MOST_ROUNDS: usize = 60;

#[derive(Debug, Default)]
struct Counts {
    events: usize,
    rounds: usize,
    writes: usize,
    failures: usize,
    crashes: usize,
    audits: usize,
    carried: usize,
    held: usize,
}

struct Simulation {
    sandbox: Sandbox,
    dice: Dice,
    counts: Counts,
    told: bool,
    /// Somebody else gave addresses away, so that the engine alone does not answer for what is doubled.
    foreign: bool,
    log: Vec<String>,
}

#[test]
fn random_scripts_end_sound() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("SLUICE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SLUICE_SCRIPTS").unwrap_or(100),
    };
    let mut counts = Counts::default();
    let mut broken = Vec::new();
    for seed in seeds.clone() {
        let mut simulation = Simulation::new(seed, number("SLUICE_SEED").is_some());
        if let Err(text) = simulation.play(&mut counts) {
            broken.push(format!("seed {seed}: {text}\n  {}", simulation.log.join("\n  ")));
        }
    }
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "seeds {seeds:?}: {counts:?}").expect("stdout is open");
    for text in &broken {
        println!("{}", text.lines().next().unwrap_or_default());
    }
    assert!(broken.is_empty(), "{} scripts broke, the first:\n{}", broken.len(), broken[0]);
}

impl Simulation {
    fn new(seed: u64, told: bool) -> Self {
        let (sandbox, mut dice) = (Sandbox::new(seed), Dice::new(!seed));
        script::build(&sandbox, &mut dice);
        Self { sandbox, dice, counts: Counts::default(), told, foreign: false, log: Vec::new() }
    }

    fn play(&mut self, total: &mut Counts) -> Result<(), String> {
        let result = self.rest().and_then(|()| (0..EVENTS).try_for_each(|_| self.disturb()));
        total.events += self.counts.events;
        total.rounds += self.counts.rounds;
        total.writes += self.sandbox.journal().len();
        total.failures += self.counts.failures;
        total.crashes += self.counts.crashes;
        total.audits += self.counts.audits;
        total.carried += self.counts.carried;
        total.held += self.counts.held;
        result
    }

    fn tell(&mut self, text: String) {
        if self.told {
            println!("{:>7} {text}", self.sandbox.now());
        }
        self.log.push(text);
        // Enough to see what led to the end.
        if self.log.len() > 40 {
            self.log.remove(0);
        }
    }

    fn disturb(&mut self) -> Result<(), String> {
        for _ in 0..self.dice.between(1, 3) {
            if self.dice.chance(30) {
                script::fault(&self.sandbox, &mut self.dice);
            }
            let Some(event) = script::event(&self.sandbox.observe(), &mut self.dice) else { continue };
            self.counts.events += 1;
            let delay = if self.dice.chance(50) { 0 } else { self.dice.below(100) };
            self.tell(format!("in {delay} ms: {event}"));
            self.foreign |= matches!(event, Event::ForeignCarried(..) | Event::ForeignHeld(..));
            self.sandbox.happen_in(delay, event);
        }
        self.rest()
    }

    /// Rounds until nothing is left to do, then the audit.
    fn rest(&mut self) -> Result<(), String> {
        let mut avoid = BTreeSet::new();
        for _ in 0..MOST_ROUNDS {
            let observed = self.sandbox.observe();
            let round = Round::prepare(&observed);
            let outcome = round.finish(&observed, Ok(native::plan(round.policy_input())), &avoid);
            self.counts.rounds += 1;
            if let Some(failure) = outcome.failure() {
                return Err(format!("the plan was refused: {failure}\n{}", round.diff(&outcome)));
            }
            let nothing_avoided = std::mem::take(&mut avoid).is_empty();
            if outcome.writes.is_empty() && nothing_avoided {
                let before = self.sandbox.observe().generation;
                self.sandbox.settle();
                if self.sandbox.observe().generation == before {
                    return self.check(&observed, &round, &outcome);
                }
                continue;
            }
            for line in round.diff(&outcome).to_string().lines() {
                self.tell(format!("    {line}"));
            }
            avoid = self.apply(&observed, &outcome);
            self.check_unique(&outcome)?;
        }
        Err("it does not come to rest".to_owned())
    }

    /// Applies a schedule, or a part of it.
    fn apply(&mut self, observed: &Observed, outcome: &Outcome) -> BTreeSet<Target> {
        for write in &outcome.writes {
            self.tell(format!("      {} {:?}", write.target, write.change));
        }
        let most = if self.dice.chance(20) { self.dice.below(6) } else { u64::MAX };
        let happenings = if self.dice.chance(20) { self.dice.below(40) } else { u64::MAX };
        let mut begun = 0;
        let go_on = |_: &_| {
            begun += 1;
            begun <= most
        };
        let applying = apply::apply(&self.sandbox, &outcome.writes, versions(observed, &outcome.writes), go_on);
        let Some(applied) = self.sandbox.run_for(usize::try_from(happenings).unwrap(), applying) else {
            self.counts.crashes += 1;
            self.tell("      a crash".to_owned());
            // Whoever comes next waits for the lease first: what was on its way has arrived by then.
            self.sandbox.advance(100);
            return BTreeSet::new();
        };
        self.counts.crashes += usize::from(most != u64::MAX && applied.skipped > 0);
        self.counts.failures += applied.failures.len();
        let mut avoid = BTreeSet::new();
        for (target, failure) in applied.failures {
            self.tell(format!("      {target}: {failure}"));
            match failure {
                WriteFailure::Denied(_) | WriteFailure::Invalid(_) => drop(avoid.insert(target)),
                WriteFailure::Throttled { retry_after } => {
                    let wait = retry_after.unwrap_or_default().as_millis();
                    self.sandbox.advance(u64::try_from(wait).unwrap());
                }
                WriteFailure::Conflict | WriteFailure::NotFound | WriteFailure::Transient(_) => {}
            }
        }
        avoid
    }

    /// At no time does the engine itself give an address twice, also not while it is at work.
    fn check_unique(&mut self, outcome: &Outcome) -> Result<(), String> {
        let inherited = !outcome.findings.is_empty();
        let audit = audit(&self.sandbox.observe(), &outcome.holds, Expectation::Some);
        let doubled =
            audit.complaints.iter().find(|complaint| complaint.contains(" and ") && !complaint.contains("hold"));
        match doubled {
            Some(complaint) if !inherited && !self.foreign => Err(format!("while at work: {complaint}")),
            _ => Ok(()),
        }
    }

    fn check(&mut self, observed: &Observed, round: &Round, outcome: &Outcome) -> Result<(), String> {
        self.sandbox.clear_faults();
        let audit = audit(observed, &outcome.holds, Expectation::EachZone);
        self.counts.audits += 1;
        self.counts.carried += audit.carried;
        self.counts.held += audit.held;
        if !audit.complaints.is_empty() {
            return Err(format!("{}\n  final round:\n{}", audit.complaints.join("; "), round.diff(outcome)));
        }
        Ok(())
    }
}
