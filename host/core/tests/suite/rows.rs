//! What `plan -o json` and `plan -o text` print, and what a pool's status says.

#![expect(clippy::needless_raw_string_hashes, reason = "as expect-test writes them")]

use std::collections::BTreeSet;

use expect_test::expect;
use sluice_core::network::{Change, Target};
use sluice_core::observed::Platform;
use sluice_core::repair::repairs;
use sluice_core::round::Round;
use sluice_core::rows::{finding_rows, hold_rows, patch_rows};
use sluice_core::status::{self, PoolReport, ZoneReport};

use crate::cluster::Cluster;
use crate::honest;
use crate::text::cluster;

const CLUSTER: &str = "
    pool egress zone=zone-a:10.20.0.0/29 zone=zone-b:10.21.0.0/29
    ns new pool=egress
    ns old pool=egress holds=10.20.0.2,10.21.0.2 says
    ns out holds=10.20.0.3 mark=egress says
    ns taken pool=egress holds=10.20.0.4,10.21.0.4 says=10.20.0.2
    node n1 zone=zone-a carries=10.20.0.2,10.20.0.3 down
    node n2 zone=zone-a carries=10.20.0.4
    node n3 zone=zone-b carries=10.21.0.2,10.21.0.4,10.21.0.6
";

#[test]
fn rows_have_the_fields_that_are_printed() {
    let cluster = cluster(CLUSTER);
    let (round, outcome) = cluster.plan(&BTreeSet::new());
    let mut lines = Vec::new();
    for row in patch_rows(&round.surveyed().snapshot, &outcome.plan) {
        lines.push(serde_json::to_string(&row).unwrap());
    }
    lines.extend(hold_rows(&outcome.holds).iter().map(|row| serde_json::to_string(row).unwrap()));
    lines.extend(finding_rows(&outcome.findings).iter().map(|row| serde_json::to_string(row).unwrap()));
    expect![[r#"
        {"op":"unassign","pool":"egress","address":"10.21.0.6","from":"n3","reason":"stale"}
        {"op":"allocate","pool":"egress","zone":"zone-a","owner":"new","address":"10.20.0.5","reason":"wanted"}
        {"op":"assign","pool":"egress","zone":"zone-a","owner":"new","address":"10.20.0.5","to":"n2","reason":"wanted"}
        {"op":"allocate","pool":"egress","zone":"zone-b","owner":"new","address":"10.21.0.3","reason":"wanted"}
        {"op":"assign","pool":"egress","zone":"zone-b","owner":"new","address":"10.21.0.3","to":"n3","reason":"wanted"}
        {"op":"move","pool":"egress","zone":"zone-a","owner":"old","address":"10.20.0.2","from":"n1","to":"n2","reason":"node-down"}
        {"op":"release","pool":"egress","owner":"out","address":"10.20.0.3","reason":"opted-out"}
        {"op":"unassign","pool":"egress","owner":"out","address":"10.20.0.3","from":"n1","reason":"opted-out"}
        {"pool":"egress","owner":"taken","code":"request-taken","text":"a requested address belongs to somebody else"}"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn a_diff_is_one_line_for_each_address() {
    let (round, outcome) = cluster(CLUSTER).plan(&BTreeSet::new());
    expect![[r#"
        pool egress
          - (nobody) 10.21.0.6 off n3  stale
          + new 10.20.0.5 zone-a on n2  wanted
          + new 10.21.0.3 zone-b on n3  wanted
          ~ old 10.20.0.2 n1 -> n2  node-down
          - out 10.20.0.3 from n1  opted-out
          ! taken held: request-taken: a requested address belongs to somebody else
    "#]]
    .assert_eq(&round.diff(&outcome).to_string());
}

#[test]
fn repairs_say_what_an_owner_lost_and_why() {
    let cluster = cluster(
        "
        pool egress zone=a:10.20.0.0/29 zone=b:10.21.0.0/29
        pool tiny zone=c:10.22.0.4/32
        ns billing pool=egress holds=10.20.0.3,10.21.0.3 says created=2
        ns clean pool=egress holds=10.20.0.2,10.21.0.2 says created=1
        ns mirror pool=egress holds=10.20.0.3,10.21.0.3 says created=5
        ns orders holds=10.20.0.4,10.21.0.4 says created=3
        ns reports pool=egress holds=10.20.0.5,10.21.0.5,8.8.8.8 says created=6
        ns tiny-1 pool=tiny holds=10.22.0.4 says created=7
        ns tiny-2 pool=tiny holds=10.22.0.4 says created=8
        node n1 zone=a carries=10.20.0.2,10.20.0.3,10.20.0.5
        node n2 zone=b carries=10.21.0.2,10.21.0.3,10.21.0.5
        node n3 zone=c carries=10.22.0.4
    ",
    );
    let (round, outcome) = cluster.plan(&BTreeSet::new());
    let repairs = repairs(&round.surveyed().snapshot, &outcome.plan);
    let lines: Vec<String> = repairs.iter().map(|repair| format!("{}: {repair}", repair.owner)).collect();
    expect![[r#"
        mirror: egress addresses changed from 10.20.0.3,10.21.0.3 to 10.20.0.6,10.21.0.6: 10.20.0.3: billing holds it too and is the older namespace; 10.21.0.3: billing holds it too and is the older namespace
        reports: egress addresses changed from 10.20.0.5,10.21.0.5,8.8.8.8 to 10.20.0.5,10.21.0.5: 8.8.8.8: no longer an address of its pool
        tiny-2: egress addresses changed from 10.22.0.4 to none: 10.22.0.4: tiny-1 holds it too and is the older namespace"#]].assert_eq(&lines.join("\n"));
}

#[test]
fn what_a_refused_owner_was_to_get_stays_where_it_is() {
    let cluster = cluster(
        "
        pool egress zone=a:10.20.0.0/29 zone=c:10.22.0.0/29
        pool other zone=b:10.21.0.0/29 zone=d:10.23.0.0/29
        ns shop pool=egress
        ns till pool=other
        node n1 zone=a carries=10.20.0.2,10.20.0.5
        node n2 zone=b carries=10.21.0.6
    ",
    );
    let refused = BTreeSet::from([Target::Holding("shop".into())]);
    let round = Round::prepare_again(&cluster.observed, &refused);
    let seen: Vec<String> = round.policy_input().assignments.iter().map(|a| a.address.to_string()).collect();
    assert_eq!(seen, ["10.21.0.6"], "of its pool the policy sees nothing as stale");
    for avoid in [refused, BTreeSet::new()] {
        let outcome = round.finish(&cluster.observed, Ok(honest::plan(round.policy_input())), &avoid);
        let of_n1 = outcome.writes.iter().filter(|write| write.target == Target::Carrier("n1".into()));
        let changes: Vec<&Change> = of_n1.map(|write| &write.change).collect();
        let left = Change::Carrier { egress_ips: Some(vec!["10.20.0.2".to_owned()]), ranges: None };
        assert_eq!(changes, [&left], "only what nobody is to get leaves");
    }
}

/// What is told of a cluster before anything is written.
fn reports(cluster: &Cluster) -> Vec<PoolReport> {
    let (round, outcome) = cluster.plan(&BTreeSet::new());
    status::reports(&round, &outcome, &cluster.observed, &cluster.observed)
}

#[test]
fn a_report_tells_the_story_of_a_pool() {
    let cluster = cluster(CLUSTER);
    let tell = |report: &PoolReport| format!("{report:#?}");
    let text: Vec<String> = reports(&cluster).iter().map(tell).collect();
    expect![[r#"
        PoolReport {
            pool: PoolName(
                "egress",
            ),
            generation: 1,
            owners: 3,
            served: 0,
            held: 1,
            waiting: 2,
            waits: [
                "new: 10.20.0.5 is not given to it yet",
                "old: 10.20.0.2 is on node n1, which is not ready",
            ],
            zones: [
                ZoneReport {
                    name: "zone-a",
                    range: "10.20.0.0/29",
                    size: 5,
                    used: 2,
                    nodes: 2,
                    healthy_nodes: 1,
                },
                ZoneReport {
                    name: "zone-b",
                    range: "10.21.0.0/29",
                    size: 5,
                    used: 2,
                    nodes: 1,
                    healthy_nodes: 1,
                },
            ],
            errors: [],
            awaited: None,
            blocked: None,
            stand_in: None,
            passed_over: [],
            warnings: [
                "taken is held: request-taken: a requested address belongs to somebody else",
            ],
        }"#]]
    .assert_eq(&text.join("\n"));
}

/// Size, used and healthy nodes of each zone.
fn zones(text: &str) -> String {
    let reports = reports(&cluster(text));
    let zone = |zone: &ZoneReport| format!("{} {}: {}, {} used", zone.name, zone.range, zone.size, zone.used);
    reports.iter().flat_map(|report| &report.zones).map(zone).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_is_reserved_twice_is_taken_off_a_zone_once() {
    let cloud = "cloud azure reserved=10.20.0.0/30,10.20.0.255/32,10.20.1.0/24\n";
    let pool = "
        pool egress zone=a:10.20.0.0/24 zone=b:10.20.1.8/30 zone=c:10.21.0.0/29 reserved=10.20.0.1,10.20.0.7
        node n1 zone=a
    ";
    // Of 256 addresses the first four, the last and one more are reserved.
    expect![[r#"
        a 10.20.0.0/24: 250, 0 used
        b 10.20.1.8/30: 0, 0 used
        c 10.21.0.0/29: 5, 0 used"#]]
    .assert_eq(&zones(&format!("{cloud}{pool}")));
    expect![[r#"
        a 10.20.0.0/24: 252, 0 used
        b 10.20.1.8/30: 1, 0 used
        c 10.21.0.0/29: 5, 0 used"#]]
    .assert_eq(&zones(pool));
}

#[test]
fn where_nothing_is_written_nobody_is_served_by_a_plan() {
    let mut cluster = cluster(CLUSTER);
    cluster.observed.platform = Platform::Unserved("Azure".to_owned());
    let report = &reports(&cluster)[0];
    // The node of old's first address is down, and nothing moves it.
    assert_eq!((report.owners, report.served, report.held, report.waiting), (3, 0, 1, 2), "new, old and taken");
}

#[test]
fn what_the_controller_has_not_given_is_told_and_moves_nothing() {
    let text = "
        cloud azure reads
        pool egress zone=a:10.20.0.0/24
        pool other zone=a:10.21.0.0/24
        ns calm pool=egress holds=10.20.0.2 says mark=egress zones=a
        ns refused pool=egress holds=10.20.0.3 says mark=egress zones=a
        ns waiting pool=egress holds=10.20.0.4 says mark=egress zones=a
        ns ignored pool=egress holds=10.20.0.6 says mark=egress zones=a
        ns elsewhere pool=other holds=10.21.0.2 says mark=other zones=a
        node n1 zone=a carries=10.20.0.2,10.20.0.3,10.20.0.4,10.20.0.6,10.21.0.2
        node n2 zone=a
        private 10.20.0.2 given=n1
        private 10.20.0.3 refused=somebody_has_it
        private 10.20.0.4 awaited=Adding_IP_address
        private 10.20.0.5 awaited=of_nobody
        private 10.21.0.2 given
    ";
    let told = |text: &str| {
        let cluster = cluster(text);
        let (_, outcome) = cluster.plan(&BTreeSet::new());
        assert_eq!(outcome.writes, [], "nothing follows from it");
        let report = |report: &PoolReport| {
            let PoolReport { pool, owners, served, held, errors, awaited, .. } = report;
            format!("{pool}: {served} of {owners} served, {held} held, {errors:?}, {awaited:?}")
        };
        reports(&cluster).iter().map(report).collect::<Vec<_>>().join("\n")
    };
    expect![[r#"
        egress: 1 of 4 served, 0 held, ["CloudPrivateIPConfig 10.20.0.3: somebody has it"], Some("2 addresses wait for the cloud: CloudPrivateIPConfig 10.20.0.6: there is none yet; CloudPrivateIPConfig 10.20.0.4: Adding IP address")
        other: 1 of 1 served, 0 held, [], None"#]].assert_eq(&told(text));
    let all = format!("{text}private 10.20.0.6 given");
    expect![[r#"
        egress: 0 of 4 served, 0 held, ["CloudPrivateIPConfig 10.20.0.3: somebody has it"], Some("3 addresses wait for the cloud: CloudPrivateIPConfig 10.20.0.2: it is still of node n2; CloudPrivateIPConfig 10.20.0.6: there is none yet; CloudPrivateIPConfig 10.20.0.4: Adding IP address")
        other: 1 of 1 served, 0 held, [], None"#]].assert_eq(&told(&text.replace("given=n1", "given=n2")));
    let answered = all.replace("refused=", "given was=").replace("awaited=", "given was=");
    expect![[r#"
        egress: 4 of 4 served, 0 held, [], None
        other: 1 of 1 served, 0 held, [], None"#]]
    .assert_eq(&told(&answered));
    let ours = text
        .replace("azure reads", "azure")
        .replace("a carries=", "a nic=10.20.0.2,10.20.0.3,10.20.0.4,10.20.0.6,10.21.0.2 carries=");
    assert_eq!(told(&ours), told(&answered), "where we write, its word does not count");
}

#[test]
fn with_ovn_what_the_controller_has_not_given_is_told() {
    let text = "
        network ovn
        private 10.20.0.2 given=n1
        private 10.20.0.3 refused=somebody_has_it
        pool egress zone=a:10.20.0.0/24
        ns calm pool=egress holds=10.20.0.2 says mark=egress zones=a
        ns refused pool=egress holds=10.20.0.3 says mark=egress zones=a
        ns waiting pool=egress holds=10.20.0.4 says mark=egress zones=a
        node n1 zone=a networks=10.20.0.0/24 assignable carries=10.20.0.2,10.20.0.3,10.20.0.4
        node n2 zone=a networks=10.20.0.0/24 assignable
        private 10.20.0.4 awaited=Adding_IP_address
    ";
    let told = |text: &str| {
        let cluster = cluster(text);
        let report = &reports(&cluster)[0];
        format!("{} of {} served, {:?}, {:?}", report.served, report.owners, report.errors, report.awaited)
    };
    expect![[r#"1 of 3 served, ["CloudPrivateIPConfig 10.20.0.3: somebody has it"], Some("1 addresses wait for the cloud: CloudPrivateIPConfig 10.20.0.4: Adding IP address")"#]].assert_eq(&told(text));
    expect!["3 of 3 served, [], None"]
        .assert_eq(&told(&text.replace("refused=", "given was=").replace("awaited=", "given was=")));
}

#[test]
fn a_refused_plan_is_an_error_of_every_pool() {
    let cluster = cluster(CLUSTER);
    let round = Round::prepare(&cluster.observed);
    let stale = sluice_core::plan::Plan { generation: 99, ..sluice_core::plan::Plan::default() };
    let outcome = round.finish(&cluster.observed, Ok(stale), &BTreeSet::new());
    expect![
        "the policy's plan was refused: the plan breaks 1 rule(s): contract: made for generation 99, but this is 1"
    ]
    .assert_eq(&status::reports(&round, &outcome, &cluster.observed, &cluster.observed)[0].errors.join("\n"));
    // What the host does by itself goes on.
    expect![[r#"
        pool egress
          - (nobody) 10.21.0.6 off n3  stale
          - out 10.20.0.3 from n1  opted-out
        contract: made for generation 99, but this is 1
    "#]]
    .assert_eq(&round.diff(&outcome).to_string());
}
