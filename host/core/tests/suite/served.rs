//! Who counts as served: what is seen decides, not what a plan or a policy means to do.

#![expect(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use sluice_core::network::Target;
use sluice_core::plan::Plan;
use sluice_core::round::{Outcome, Round};

use crate::cluster::Cluster;
use crate::honest;
use crate::text::cluster;

const NOBODY: fn(&Target) -> bool = |_| false;

/// What is told of each pool after a round whose writes to some objects are refused.
fn told(cluster: &mut Cluster, refused: fn(&Target) -> bool) -> String {
    let (round, outcome) = cluster.plan(&BTreeSet::new());
    let planned = cluster.observed.clone();
    let is_refused = |position: usize| outcome.writes.get(position).is_some_and(|write| refused(&write.target));
    cluster.apply_all(&outcome.writes, is_refused, |_| ());
    cluster.remember(&outcome);
    tell(&round, &outcome, &planned, cluster)
}

/// The same, without a write, of a policy that never says anything.
fn told_of_a_silent_policy(text: &str) -> String {
    let cluster = cluster(text);
    let round = Round::prepare(&cluster.observed);
    let nothing = Plan { generation: round.policy_input().generation, ..Plan::default() };
    let outcome = round.finish(&cluster.observed, Ok(nothing), &BTreeSet::new());
    tell(&round, &outcome, &cluster.observed, &cluster)
}

fn tell(round: &Round, outcome: &Outcome, planned: &sluice_core::observed::Observed, after: &Cluster) -> String {
    let mut lines = Vec::new();
    for report in round.reports(outcome, planned, &after.observed) {
        let (served, held, waiting) = (report.served, report.held, report.waiting);
        lines.push(format!("{}: of {} {served} served, {held} held, {waiting} waiting", report.pool, report.owners));
        assert_eq!(served + held + waiting, report.owners, "each is counted once");
        lines.extend(report.waits.iter().map(|text| format!("  {text}")));
    }
    lines.extend(outcome.holds.iter().map(|hold| format!("hold {}: {}: {}", hold.owner, hold.code, hold.text)));
    lines.join("\n")
}

fn check(told: &str, expected: &Expect) {
    expected.assert_eq(told);
}

const TWO_ZONES: &str = "
    pool egress zone=a:10.20.0.0/24 zone=b:10.21.0.0/24
    ns desk pool=egress
    ns shop pool=egress
    node n1 zone=a
    node n2 zone=b
";

#[test]
fn nobody_is_served_by_a_policy_that_allocates_nothing() {
    check(
        &told_of_a_silent_policy(TWO_ZONES),
        &expect![[r#"
        egress: of 2 0 served, 2 held, 0 waiting
        hold desk: other: the policy allocated nothing
        hold shop: other: the policy allocated nothing"#]],
    );
    let served = TWO_ZONES.replace("shop pool=egress", "shop pool=egress holds=10.20.0.2 says");
    check(
        &told_of_a_silent_policy(&served.replace("n1 zone=a", "n1 zone=a carries=10.20.0.2")),
        &expect![[r#"
        egress: of 2 1 served, 1 held, 0 waiting
        hold desk: other: the policy allocated nothing"#]],
    );
    let dead = served.replace("n1 zone=a", "n1 zone=a carries=10.20.0.2 down");
    check(
        &told_of_a_silent_policy(&dead),
        &expect![[r#"
        egress: of 2 0 served, 1 held, 1 waiting
          shop: 10.20.0.2 is on node n1, which is not ready
        hold desk: other: the policy allocated nothing"#]],
    );
    check(
        &told_of_a_silent_policy(&served),
        &expect![[r#"
        egress: of 2 0 served, 1 held, 1 waiting
          shop: no node carries 10.20.0.2
        hold desk: other: the policy allocated nothing"#]],
    );
    let asks = served.replace("holds=10.20.0.2 says", "holds=10.20.0.2 says=10.20.0.9");
    check(
        &told_of_a_silent_policy(&asks),
        &expect![[r#"
        egress: of 2 0 served, 2 held, 0 waiting
        hold desk: other: the policy allocated nothing
        hold shop: other: it asks for 10.20.0.9, which the policy neither gave nor refused"#]],
    );
    let nowhere = "
        pool egress cidr=10.20.0.0/24
        ns shop pool=egress
    ";
    check(
        &told_of_a_silent_policy(nowhere),
        &expect![[r#"
        egress: of 1 0 served, 1 held, 0 waiting
        hold shop: no-node: no node that the pool selects is in a zone"#]],
    );
}

#[test]
fn what_was_written_counts_at_once_and_what_was_refused_does_not() {
    check(&told(&mut cluster(TWO_ZONES), NOBODY), &expect!["egress: of 2 2 served, 0 held, 0 waiting"]);
    let of_shop = |target: &Target| *target == Target::Holding("shop".into());
    check(
        &told(&mut cluster(TWO_ZONES), of_shop),
        &expect![[r#"
        egress: of 2 1 served, 0 held, 1 waiting
          shop: 10.20.0.3 is not given to it yet"#]],
    );
    let of_n1 = |target: &Target| *target == Target::Carrier("n1".into());
    check(
        &told(&mut cluster(TWO_ZONES), of_n1),
        &expect![[r#"
        egress: of 2 0 served, 0 held, 2 waiting
          desk: no node carries 10.20.0.2
          shop: no node carries 10.20.0.3"#]],
    );
}

#[test]
fn an_address_works_on_one_live_node_and_for_one_namespace() {
    let mut twice = cluster(
        "
        pool egress zone=a:10.20.0.0/24 zone=b:10.21.0.0/24
        ns shop pool=egress holds=10.20.0.2,10.21.0.2 says
        node n1 zone=a carries=10.20.0.2
        node n2 zone=a carries=10.20.0.2
        node n3 zone=b carries=10.21.0.2
    ",
    );
    check(
        &told(&mut twice.clone(), |_| true),
        &expect![[r#"
        egress: of 1 0 served, 0 held, 1 waiting
          shop: 10.20.0.2 is on nodes n1 and n2, so it works on neither"#]],
    );
    check(&told(&mut twice, NOBODY), &expect!["egress: of 1 1 served, 0 held, 0 waiting"]);
    let mut shared = cluster(
        "
        pool egress zone=a:10.20.0.0/24 zone=b:10.21.0.0/24
        ns desk pool=egress holds=10.20.0.2,10.21.0.2 says created=2
        ns shop pool=egress holds=10.20.0.2,10.21.0.3 says created=1
        node n1 zone=a carries=10.20.0.2
        node n2 zone=a
        node n3 zone=b carries=10.21.0.2,10.21.0.3
    ",
    );
    check(
        &told(&mut shared.clone(), |_| true),
        &expect![[r#"
        egress: of 2 0 served, 0 held, 2 waiting
          desk: 10.20.0.3 is not given to it yet
          shop: another namespace holds 10.20.0.2, too"#]],
    );
    check(&told(&mut shared, NOBODY), &expect!["egress: of 2 2 served, 0 held, 0 waiting"]);
}

/// While an interface is written the address is listed nowhere, or listed and not there.
#[test]
fn on_a_cloud_an_address_works_once_its_interface_has_it() {
    let mut on_azure = cluster(
        "
        cloud azure
        pool egress zone=a:10.20.0.0/24
        ns desk pool=egress
        ns shop pool=egress holds=10.20.0.9 says mark=egress zones=a
        node n1 zone=a down carries=10.20.0.9 nic=10.20.0.9
        node n2 zone=a
    ",
    );
    let mut story = Vec::new();
    for _ in 0..4 {
        story.push(told(&mut on_azure, NOBODY));
        on_azure.run_cloud(|| true);
    }
    check(
        &story.join("\n"),
        &expect![[r#"
        egress: of 2 0 served, 0 held, 2 waiting
          desk: 10.20.0.2 waits for the interface of n2
          shop: no node carries 10.20.0.9
        egress: of 2 1 served, 0 held, 1 waiting
          shop: 10.20.0.9 waits for the interface of n2
        egress: of 2 2 served, 0 held, 0 waiting
        egress: of 2 2 served, 0 held, 0 waiting"#]],
    );
}

#[test]
fn a_policy_that_fails_is_the_reason() {
    let cluster = cluster(TWO_ZONES);
    let round = Round::prepare(&cluster.observed);
    let outcome = round.finish(&cluster.observed, Err("trap".to_owned()), &BTreeSet::new());
    check(
        &tell(&round, &outcome, &cluster.observed, &cluster),
        &expect![[r#"
        egress: of 2 0 served, 0 held, 2 waiting
          desk: the policy failed
          shop: the policy failed"#]],
    );
    let mut plan = honest::plan(round.policy_input());
    plan.generation += 1;
    let outcome = round.finish(&cluster.observed, Ok(plan), &BTreeSet::new());
    check(
        &tell(&round, &outcome, &cluster.observed, &cluster),
        &expect![[r#"
        egress: of 2 0 served, 0 held, 2 waiting
          desk: the policy's plan was refused
          shop: the policy's plan was refused"#]],
    );
}

#[test]
fn who_goes_away_with_nothing_is_not_counted() {
    let leaving = TWO_ZONES.replace("shop pool=egress", "shop pool=egress terminating");
    check(&told(&mut cluster(&leaving), NOBODY), &expect!["egress: of 1 1 served, 0 held, 0 waiting"]);
}
