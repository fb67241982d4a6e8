//! Clusters on Azure. One that is well: no write to Azure, and none to the cluster but the pool's status. One with damage:
//! the repairs that its EXPECT.md asks for, and no others.

use expect_test::expect;
use serde_json::{Value, json};
use sluice_sandbox_azure::{Arm, Client, Place, Pool, Settings};

use super::{folder, patches, plan, planned_targets, sorted, taken_over, writes, written_targets};
use crate::harness::azure::{OURS, foreign, secret};
use crate::harness::program::Ran;
use crate::harness::{Cluster, History, Operator, SOON, eventually, namespace, reads};
use crate::scenarios::azure::ledger::puts;

const FILES: [&str; 3] = ["nics.json", "vms.json", "vnet.json"];

/// The cloud as the old operator left it.
async fn cloud(dump: &str) -> (Arm, String) {
    let arm = Arm::start(Settings::default()).await.expect("the simulator starts");
    let mut subscription = String::new();
    for file in FILES {
        let text = std::fs::read_to_string(folder(dump).join(file)).expect("the dump is there");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let resources = answer["value"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        for resource in resources {
            let id = resource["id"].as_str().expect("resources have an id");
            id.split('/').nth(2).expect("an id names its subscription").clone_into(&mut subscription);
            arm.put_resource(resource);
        }
    }
    // The dump has no load balancers.
    let place = Place::new(&subscription, "ocp1-x7k2p-rg", "westeurope");
    arm.add_load_balancer(&place, "ocp1-x7k2p", &[Pool { name: "ocp1-x7k2p".into(), outbound: false }]);
    arm.put_client(client());
    (arm, subscription)
}

fn client() -> Client {
    Client::with_secret("t", "c", "s")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_and_then_it_goes_on() {
    let (arm, subscription) = cloud("azure").await;
    let cluster = Cluster::start().await;
    cluster.load_dump("azure").await;
    cluster.create([secret(client().account(&subscription))]).await;
    let before = cluster.outcome().await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::launch(&cluster).on_azure(&arm).start().await;
    taken_over(&cluster).await;
    cluster.settled().await;
    let written = cluster.written_since(mark).await;
    assert_eq!(written.summary(), "patch egressipams/status: 1\n", "{written}");
    assert_eq!(cluster.outcome().await, before);
    assert_eq!(history.transcript().await, "");
    assert_eq!(arm.counts().get("PUT"), None, "no interface is written");

    cluster.create([namespace("new").in_pool("egressipam-azure")]).await;
    let held = eventually("the new namespace is served", SOON, || async {
        let outcome = cluster.outcome().await;
        match outcome.addresses_of("new") {
            [address] if outcome.nodes_of(address).len() == 1 => Ok(address.clone()),
            _ => Err(outcome.to_string()),
        }
    })
    .await;
    assert_eq!(held, "10.0.40.2", "the lowest that is free");
    assert_eq!(arm.counts()["PUT"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_from_dumps_says_so_beforehand() {
    let plan = planned("azure").await.ended_with(0).json();
    for list in ["writes", "patches", "holds", "findings", "inputErrors"] {
        assert_eq!(plan[list], json!([]), "{list}");
    }
}

/// `sluice plan --adopt` with the interfaces.
async fn planned(dump: &str) -> Ran {
    let folder = folder(dump);
    let paths = FILES.map(|file| folder.join(file).to_str().expect("a path in UTF-8").to_owned());
    let flags: Vec<&str> = paths.iter().flat_map(|path| ["--azure-dump", path]).chain(["--adopt"]).collect();
    plan(&flags, &folder).await
}

#[tokio::test(flavor = "multi_thread")]
async fn repairs_of_damage_are_planned_beforehand() {
    let dry = planned("messy-azure").await.ended_with(10).json();
    expect![[r#"
        unassign 10.0.40.20 of -, ocp1-x7k2p-worker-westeurope1-c5hrw -> -, stale
        unassign 10.0.40.30 of -, ocp1-x7k2p-worker-westeurope3-qt6vn -> -, stale
        unassign 10.0.40.6 of reports, ocp1-x7k2p-worker-westeurope3-qt6vn -> -, duplicate: ocp1-x7k2p-worker-westeurope1-8fz4k carries it too
        allocate 10.0.40.3 of zcopy, - -> -, wanted
        assign 10.0.40.3 of zcopy, - -> ocp1-x7k2p-worker-westeurope3-qt6vn, wanted
        release 10.0.40.5 of zcopy, - -> -, duplicate: billing holds it too and is the older namespace
    "#]].assert_eq(&patches(&dry));
    expect![[r#"
        1. HostSubnet ocp1-x7k2p-worker-westeurope3-qt6vn {"egressIPs":[]}
        2. HostSubnet ocp1-x7k2p-worker-westeurope1-8fz4k {"egressIPs":["10.0.40.77","10.0.40.6"]}
        3. NetworkInterface ocp1-x7k2p-worker-westeurope1-c5hrw {"add":[],"remove":["10.0.40.20"]}
        4. NetworkInterface ocp1-x7k2p-worker-westeurope2-p9d2m {"add":["10.0.40.4"],"remove":[]}
        5. NetworkInterface ocp1-x7k2p-worker-westeurope3-qt6vn {"add":["10.0.40.3"],"remove":[]}
        6. HostSubnet ocp1-x7k2p-worker-westeurope3-qt6vn {"egressIPs":["10.0.40.3"]}
        7. Namespace zcopy {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":null}}}
        8. NetNamespace zcopy {"egressIPs":["10.0.40.3"],"metadata":{"annotations":{"sluice.dev/pool":"egressipam-azure","sluice.dev/zones":"10.0.40.3="}}}
        9. Namespace zcopy {"metadata":{"annotations":{"egressip-ipam-operator.redhat-cop.io/egressips":"10.0.40.3"}}}
    "#]]
    .assert_eq(&writes(&dry));
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_is_repaired_as_planned() {
    let (arm, subscription) = cloud("messy-azure").await;
    let nics = interfaces("messy-azure");
    let others = || nics.iter().map(|nic| foreign(&arm, nic, &[OURS])).collect::<Vec<_>>();
    let before = others();
    let cluster = Cluster::start().await;
    cluster.load_dump("messy-azure").await;
    cluster.create([secret(client().account(&subscription))]).await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::launch(&cluster).on_azure(&arm).start().await;
    taken_over(&cluster).await;
    cluster
        .becomes(expect![[r#"
            batch: egressipam-azure, 10.0.40.7 on ocp1-x7k2p-worker-westeurope2-p9d2m
            billing: egressipam-azure, 10.0.40.5 on ocp1-x7k2p-worker-westeurope1-c5hrw
            egressip-ipam-operator: no NetNamespace
            plain: -
            reports: egressipam-azure, 10.0.40.6 on ocp1-x7k2p-worker-westeurope1-8fz4k
            search: egressipam-azure, 10.0.40.77 on ocp1-x7k2p-worker-westeurope1-8fz4k
            shop: egressipam-azure, 10.0.40.4 on ocp1-x7k2p-worker-westeurope2-p9d2m
            zcopy: egressipam-azure, 10.0.40.3 on ocp1-x7k2p-worker-westeurope3-qt6vn
        "#]])
        .await;
    reads(
        expect![[r#"
            ocp1-x7k2p-worker-westeurope1-8fz4k-nic: 10.0.40.6 10.0.40.77
            ocp1-x7k2p-worker-westeurope2-p9d2m-nic: 10.0.40.4 10.0.40.7
            ocp1-x7k2p-worker-westeurope3-qt6vn-nic: 10.0.40.3
            ocp1-x7k2p-worker-westeurope1-c5hrw-nic: 10.0.40.5
            jumpbox-nic: "#]],
        || async { ours(&arm, &nics) },
    )
    .await;
    cluster.settled().await;
    let (of_cloud, of_cluster): (Vec<String>, Vec<String>) = planned_targets(&planned("messy-azure").await.json())
        .into_iter()
        .partition(|target| target.starts_with("patch networkinterfaces"));
    assert_eq!(written_targets(cluster.written_since(mark).await), of_cluster);
    assert_eq!(arm.counts()["PUT"], of_cloud.len(), "{of_cloud:?}");
    expect![[r#"
        ocp1-x7k2p-worker-westeurope1-c5hrw-nic 200: 1 of ours
        ocp1-x7k2p-worker-westeurope2-p9d2m-nic 200: 2 of ours
        ocp1-x7k2p-worker-westeurope3-qt6vn-nic 200: 1 of ours"#]]
    .assert_eq(&sorted(puts(&arm).into_iter()).join("\n"));
    assert_eq!(others(), before, "what is not ours is as before");
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

/// Somebody has made the range smaller while the old operator was down.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_outside_of_the_pool_are_replaced_one_for_one() {
    let (arm, subscription) = cloud("azure").await;
    let cluster = Cluster::start().await;
    cluster.load_dump("azure").await;
    cluster.create([secret(client().account(&subscription))]).await;
    let ranges = json!([{"labelValue": "", "CIDR": "10.0.40.0/28", "reservedIPs": ["10.0.40.8"]}]);
    cluster.patch("EgressIPAM", "egressipam-azure", &json!({"spec": {"cidrAssignments": ranges}})).await;
    let nics = interfaces("azure");
    let before = cluster.outcome().await;
    assert_eq!(before.addresses_of("search"), ["10.0.40.77"]);
    let history = History::start(&cluster).await;
    let _operator = Operator::launch(&cluster).on_azure(&arm).start().await;
    taken_over(&cluster).await;
    eventually("it is replaced, and off the interface", SOON, || async {
        let outcome = cluster.outcome().await;
        let on = ours(&arm, &nics);
        match outcome.addresses_of("search") {
            [address] if address != "10.0.40.77" && !on.contains("10.0.40.77") => Ok(()),
            _ => Err(format!("{on}\n{outcome}")),
        }
    })
    .await;
    cluster.settled().await;
    let after = cluster.outcome().await;
    assert_eq!(after.addresses_of("search"), ["10.0.40.2"]);
    for name in ["batch", "billing", "reports", "shop"] {
        let addresses = after.addresses_of(name);
        assert_eq!(addresses, before.addresses_of(name), "{name} keeps what it has");
        assert_eq!(after.nodes_of(&addresses[0]), before.nodes_of(&addresses[0]), "{name}");
    }
    // It is on another interface and listed before the namespace is told, and only then the old one goes.
    let (from, to) = (before.nodes_of("10.0.40.77").concat(), after.nodes_of("10.0.40.2").concat());
    assert_eq!(puts(&arm), [format!("{to}-nic 200: 2 of ours"), format!("{from}-nic 200: 1 of ours")]);
    let transcript = history.transcript().await;
    let at = |wanted: &dyn Fn(&str) -> bool| transcript.lines().position(wanted);
    let listed = at(&|line| line.starts_with(&format!("HostSubnet {to}: ")) && line.ends_with(" 10.0.40.2"));
    let told = at(&|line| line == "NetNamespace search: 10.0.40.77 -> 10.0.40.2");
    let gone = at(&|line| line == format!("HostSubnet {from}: 10.0.40.7 10.0.40.77 -> 10.0.40.7"));
    assert!(listed.is_some() && listed < told && told < gone, "{transcript}");
    reads(expect![[r#"
        Namespace search: AddressesChanged: egress addresses changed from 10.0.40.77 to 10.0.40.2: 10.0.40.77: no longer an address of its pool
    "#]], || cluster.warnings()).await;
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}

/// The ids of the interfaces of a dump.
fn interfaces(dump: &str) -> Vec<String> {
    let text = std::fs::read_to_string(folder(dump).join("nics.json")).expect("the dump is there");
    let list: Value = serde_json::from_str(&text).expect("JSON");
    let ids = list["value"].as_array().expect("a list").iter().filter_map(|nic| nic["id"].as_str());
    ids.map(str::to_owned).collect()
}

/// The addresses of ours on each, a line each.
fn ours(arm: &Arm, nics: &[String]) -> String {
    let line = |nic: &String| {
        let configs = arm.addresses(nic).into_iter().filter(|(name, _)| name.starts_with("EgressIP"));
        let addresses: Vec<String> = configs.map(|(_, address)| address).collect();
        let busy = if arm.is_busy(nic) { " busy" } else { "" };
        format!("{}: {}{busy}", nic.rsplit('/').next().unwrap_or_default(), addresses.join(" "))
    };
    nics.iter().map(line).collect::<Vec<_>>().join("\n")
}
