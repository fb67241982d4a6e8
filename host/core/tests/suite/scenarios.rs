//! Scenarios as data: every file of `scenarios/` is a cluster, a line `---`, and what the rounds from there to rest
//! look like. `UPDATE_EXPECT=1 cargo test` writes the second part.
//!
//! Lines with `!` before the cluster: `! avoid KIND NAME` (in back-off), `! the policy fails`, `! a stand-in plans`,
//! `! a greedy stand-in plans` (it answers as if it were in charge), `! platform NAME` (a cloud without provider),
//! `! rounds N` (not to the end), `! addresses N` (for each owner in each zone), and for several policies a line each:
//! `! slice NAME [owners=A,B] [ranges=CIDR,CIDR] [percent=N] [addresses=N] [fails|grabs]` (it grabs who takes one address
//! of somebody else, also off its node, and one that nobody gave it).

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use sluice_core::name::{NodeIndex, OwnerIndex, OwnerName};
use sluice_core::network::{Network, Target};
use sluice_core::observed::{Observed, Platform};
use sluice_core::plan::{Operation, Patch, Plan, Reason};
use sluice_core::round::{Grant, Round};
use sluice_core::snapshot::Snapshot;

use crate::honest;
use crate::text::{carried, cluster, transcript};

#[derive(Default)]
struct Script {
    avoid: BTreeSet<Target>,
    fails: bool,
    stands_in: bool,
    greedy: bool,
    platform: Option<String>,
    rounds: Option<usize>,
    addresses: Option<usize>,
    slices: Vec<Sliced>,
}

/// A slice, and what its policy is like.
#[derive(Clone, Default)]
struct Sliced {
    grant: Grant,
    addresses: usize,
    fails: bool,
    grabs: bool,
}

impl Sliced {
    fn of(name: &str, words: &[&str]) -> Self {
        let grant = Grant { name: name.to_owned(), ..Grant::default() };
        let mut sliced = Self { grant, addresses: 1, ..Self::default() };
        for word in words {
            match word.split_once('=').unwrap_or((word, "")) {
                ("owners", names) => sliced.grant.owners = Some(names.split(',').map(OwnerName::from).collect()),
                ("ranges", ranges) => {
                    sliced.grant.ranges = ranges.split(',').map(|cidr| cidr.parse().expect("a range")).collect();
                }
                ("percent", percent) => sliced.grant.node_percent = Some(percent.parse().expect("a number")),
                ("addresses", count) => sliced.addresses = count.parse().expect("a number"),
                ("fails", _) => sliced.fails = true,
                ("grabs", _) => sliced.grabs = true,
                other => panic!("what is {other:?}?"),
            }
        }
        sliced
    }

    fn answer(&self, seen: &Snapshot) -> Result<Plan, String> {
        if self.fails {
            return Err("trap".to_owned());
        }
        let mut plan = honest::plan_with(seen, self.addresses);
        if self.grabs {
            let allocate = |address: &str| Patch {
                operation: Operation::Allocate { owner: OwnerIndex(0), zone: None, address: address.parse().unwrap() },
                reason: Reason::Wanted,
                text: String::new(),
                by_host: false,
            };
            let unassign = Patch {
                operation: Operation::Unassign { address: "10.20.0.2".parse().unwrap(), node: NodeIndex(0) },
                ..allocate("10.20.0.2")
            };
            plan.patches.extend([allocate("10.20.0.2"), allocate("10.20.0.7"), unassign]);
        }
        Ok(plan)
    }
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
                ["slice", name, rest @ ..] => {
                    script.slices.push(Sliced::of(name, rest));
                    true
                }
                ["rounds", count] => script.rounds.replace(count.parse().expect("a number")).is_some(),
                _ => panic!("what is {words:?}?"),
            };
        }
        script
    }
}

fn ask(script: &Script, observed: &Observed) -> (Round, Vec<Result<Plan, String>>) {
    if !script.slices.is_empty() {
        let grants: Vec<Grant> = script.slices.iter().map(|sliced| sliced.grant.clone()).collect();
        let round = Round::divided(observed, &script.avoid, &grants);
        let answers = script.slices.iter().zip(round.inputs()).map(|(sliced, seen)| sliced.answer(seen)).collect();
        return (round, answers);
    }
    let mut round = Round::prepare_again(observed, &script.avoid);
    if script.fails {
        return (round, vec![Err("trap".to_owned())]);
    }
    let greedy = honest::plan_with(round.policy_input(), script.addresses.unwrap_or(1));
    if !script.stands_in && !script.greedy {
        return (round, vec![Ok(greedy)]);
    }
    round.forced_moves_only(0, observed, "policy strict fails".to_owned());
    let modest = honest::plan_with(round.policy_input(), script.addresses.unwrap_or(1));
    (round, vec![Ok(if script.greedy { greedy } else { modest })])
}

fn play(input: &str) -> String {
    let script = Script::of(input);
    let commands = |line: &&str| !line.starts_with("! ");
    let mut cluster = cluster(&input.lines().filter(commands).collect::<Vec<_>>().join("\n"));
    if let Some(platform) = &script.platform {
        cluster.observed.platform = Platform::Unserved(platform.clone());
    }
    let (mut story, mut seen) = (String::new(), String::new());
    for nth in 1..=script.rounds.unwrap_or(9) {
        cluster.run_network();
        if cluster.observed.network == Network::OvnKubernetes {
            let carried = carried(&cluster);
            if carried != seen {
                writeln!(story, "on {carried}").expect("a string takes all");
            }
            seen = carried;
        }
        if nth > 1 {
            cluster.run_cloud(|| true);
        }
        let (round, answers) = ask(&script, &cluster.observed);
        let outcome = round.finish_all(&cluster.observed, answers, &script.avoid);
        if nth > 1 && outcome.writes.is_empty() {
            let rest = if outcome.plan.patches().is_empty() { "at rest" } else { "waiting" };
            writeln!(story, "round {nth}: {rest}").expect("a string takes all");
            break;
        }
        writeln!(story, "round {nth}").expect("a string takes all");
        for slice in &outcome.slices {
            if let Some(failure) = &slice.failure {
                let name = if slice.name.is_empty() { String::new() } else { format!("{}: ", slice.name) };
                writeln!(story, "{name}{failure}").expect("a string takes all");
            }
        }
        story.push_str(&transcript(&round, &outcome, cluster.observed.network));
        cluster.apply_all(&outcome.writes, |_| false, |_| ());
        cluster.remember(&outcome);
    }
    story
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/scenarios")
}

fn check(name: &str) {
    let path = folder().join(format!("{}.txt", name.replace('_', "-")));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let input = text.split_once("\n---\n").map_or(text.trim_end(), |(input, _)| input);
    let expected = format!("{input}\n---\n{}", play(input));
    expect_file![path].assert_eq(&expected);
}

/// A test for each file, so that a failure names it.
macro_rules! tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_file_has_a_test() {
            let files = std::fs::read_dir(folder()).expect("the folder is there");
            let name = |file: std::fs::DirEntry| file.path().file_stem().expect("a name").to_string_lossy().replace('-', "_");
            let files: BTreeSet<String> = files.map(|file| name(file.expect("readable"))).collect();
            let tests = [$(stringify!($name)),*].map(str::to_owned);
            assert_eq!(files, BTreeSet::from(tests));
        }
    };
}

tests! {
    announced_room_and_refused
    announced_room_shrinks
    avoid_hostsubnet_other
    avoid_hostsubnet_source
    avoid_hostsubnet_target
    avoid_namespace
    avoid_netnamespace
    avoid_pool
    blind_hostsubnets
    blind_namespaces
    blind_netnamespaces
    blind_nodes
    blind_pools
    blind_self_placing
    both_on_one_node_in_a_cloud
    both_on_one_node_past_the_budget
    both_on_the_last_node
    both_on_the_last_node_policy_fails
    cloud_all_well
    cloud_allocation
    cloud_any_zone
    cloud_any_zone_one_down
    cloud_any_zone_one_elsewhere
    cloud_busy
    cloud_failed
    cloud_half_carried
    cloud_hides_removals
    cloud_no_interface
    cloud_node_down
    cloud_node_down_in_one_call
    cloud_node_gone
    cloud_opted_out
    cloud_own_zones
    cloud_pool_deleted
    cloud_read_only
    cloud_read_only_room
    cloud_refusing
    cloud_requested
    cloud_reserved_range
    cloud_room_by_family
    cloud_strangers
    cloud_stuck
    cloud_three_in_each_zone
    cloud_twins
    cloud_two_in_a_zone
    cloud_two_on_a_dead_zone
    cloud_unusable
    cycle
    deletion_waits
    hold_annotation
    hold_causes
    hold_causes_of_a_cloud
    hold_causes_of_a_network
    invalid_pool
    invalid_self_placing
    node_without_hostsubnet
    node_without_hostsubnet_wide
    ovn_blind_nodes
    ovn_cordoned
    ovn_deselected
    ovn_first
    ovn_foreign_object
    ovn_label_refused
    ovn_labels_of_others
    ovn_last_of_a_zone_dies
    ovn_migrated
    ovn_namespace_gone
    ovn_networks
    ovn_no_standby_dies
    ovn_node_dies
    ovn_one_network
    ovn_opted_out
    ovn_pool_deleted
    ovn_replaced
    ovn_replaced_at_once
    ovn_requested
    own_address_carried
    own_address_reserved
    policy_fails
    policy_stand_in
    policy_stand_in_greedy
    r01_first_address
    r01_first_addresses
    r01_lost_annotation
    r01_request_for_a_stale_address
    r01_request_honoured
    r01_request_outside
    r01_request_taken
    r01_request_unreadable
    r01_same_in_other_words
    r01_wiped
    r02_kept_until_replaced
    r02_no_node
    r02_one_zone
    r03_pool_wide
    r03_recorded_wrongly
    r03_two_entries_one_label
    r03_zone_appears
    r04_entry_removed
    r04_only_address_reserved
    r04_reserved_in_use
    r05_never_anew
    r06_inside_another_entry
    r06_overlap
    r07_both_annotations_gone
    r07_gone
    r07_newborn
    r07_opted_out
    r07_switched_pool
    r07_terminating
    r08_same_addresses_other_pool
    r09_any_zone
    r09_same_zone_only
    r10_node_states
    r11_shared_with_a_stranger
    r11_stale_and_foreign
    r12_missing_objects
    r13_foreign_ranges
    r13_guests
    r13_self_placing
    r13_shared_nodes
    r13_stray_node
    r14_inherited
    r15_forced_moves
    r17_unserved_platform
    r18_deletion
    r18_messy_duplicates
    r18_mid_deletion
    r18_two_nodes
    range_too_small
    range_too_small_for_all
    range_too_small_one_node
    shared_network_id
    shared_network_id_node_down
    slices_last_place
    slices_nobody_plans
    slices_one_fails
    slices_one_grabs
    slices_part_of_nodes
    slices_ranges_used_up
    slices_two_policies
    tiny_ranges
}
