//! Scenarios as data: every file of `scenarios/` is a cluster, a line `---`, and what the rounds from there to rest
//! look like. `UPDATE_EXPECT=1 cargo test` writes the second part.
//!
//! Lines with `!` before the cluster: `! avoid KIND NAME` (in back-off), `! the policy fails`, `! a stand-in plans`,
//! `! a greedy stand-in plans` (it answers as if it were in charge), `! platform NAME` (a cloud without provider),
//! `! rounds N` (not to the end), `! addresses N` (for each owner in each zone).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use expect_test::expect_file;
use sluice_core::network::Target;
use sluice_core::observed::{Observed, Platform};
use sluice_core::plan::Plan;
use sluice_core::round::Round;

use crate::honest;
use crate::text::{cluster, transcript};

#[derive(Default)]
struct Script {
    avoid: BTreeSet<Target>,
    fails: bool,
    stands_in: bool,
    greedy: bool,
    platform: Option<String>,
    rounds: Option<usize>,
    addresses: Option<usize>,
}

impl Script {
    fn of(text: &str) -> Self {
        let mut script = Self::default();
        for words in
            text.lines().filter_map(|line| line.strip_prefix("! ")).map(|line| line.split(' ').collect::<Vec<_>>())
        {
            match words.as_slice() {
                ["avoid", "HostSubnet", name] => script.avoid.insert(Target::Carrier((*name).into())),
                ["avoid", "NetNamespace", name] => script.avoid.insert(Target::Holding((*name).into())),
                ["avoid", "Namespace", name] => script.avoid.insert(Target::Namespace((*name).into())),
                ["avoid", "EgressIPAM", name] => script.avoid.insert(Target::Pool((*name).into())),
                ["the", "policy", "fails"] => std::mem::replace(&mut script.fails, true),
                ["a", "stand-in", "plans"] => std::mem::replace(&mut script.stands_in, true),
                ["a", "greedy", "stand-in", "plans"] => std::mem::replace(&mut script.greedy, true),
                ["platform", name] => script.platform.replace((*name).to_owned()).is_some(),
                ["addresses", count] => script.addresses.replace(count.parse().expect("a number")).is_some(),
                ["rounds", count] => script.rounds.replace(count.parse().expect("a number")).is_some(),
                _ => panic!("what is {words:?}?"),
            };
        }
        script
    }
}

fn ask(script: &Script, observed: &Observed) -> (Round, Result<Plan, String>) {
    let round = Round::prepare_again(observed, &script.avoid);
    if script.fails {
        return (round, Err("trap".to_owned()));
    }
    let greedy = honest::plan_with(round.policy_input(), script.addresses.unwrap_or(1));
    if !script.stands_in && !script.greedy {
        return (round, Ok(greedy));
    }
    let round = round.forced_moves_only("policy strict fails".to_owned());
    let modest = honest::plan_with(round.policy_input(), script.addresses.unwrap_or(1));
    (round, Ok(if script.greedy { greedy } else { modest }))
}

fn play(input: &str) -> String {
    let script = Script::of(input);
    let commands = |line: &&str| !line.starts_with("! ");
    let mut cluster = cluster(&input.lines().filter(commands).collect::<Vec<_>>().join("\n"));
    if let Some(platform) = &script.platform {
        cluster.observed.platform = Platform::Unserved(platform.clone());
    }
    let mut story = String::new();
    for nth in 1..=script.rounds.unwrap_or(9) {
        cluster.run_sdn();
        if nth > 1 {
            cluster.run_cloud(|| true);
        }
        let (round, answer) = ask(&script, &cluster.observed);
        let outcome = round.finish(&cluster.observed, answer, &script.avoid);
        if nth > 1 && outcome.writes.is_empty() {
            let rest = if outcome.plan.patches().is_empty() { "at rest" } else { "waiting" };
            writeln!(story, "round {nth}: {rest}").expect("a string takes all");
            break;
        }
        writeln!(story, "round {nth}").expect("a string takes all");
        if let Some(failure) = &outcome.failure {
            writeln!(story, "{failure}").expect("a string takes all");
        }
        story.push_str(&transcript(&round, &outcome));
        cluster.apply_all(&outcome.writes, |_| false, |_| ());
        cluster.remember(&outcome);
    }
    story
}

#[test]
fn scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/scenarios");
    let mut count = 0;
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let path = file.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let input = text.split_once("\n---\n").map_or(text.trim_end(), |(input, _)| input);
        let expected = format!("{input}\n---\n{}", play(input));
        expect_file![path].assert_eq(&expected);
        count += 1;
    }
    assert!(count > 40, "only {count} scenarios");
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "scenarios: {count}").expect("stdout is open");
}
