//! Many namespaces at once.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;

use super::{cost, there_are};
use crate::harness::{Cluster, History, NamespaceState, Operator, eventually, infrastructure, namespace, node, pool};

const NAMESPACES: usize = 300;
/// Requests under way at the same time.
const AT_ONCE: usize = 16;
const LONG: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_namespaces_at_once() {
    let cluster = Cluster::start().await;
    let zones = [("a", "10.20.0.0/23"), ("b", "10.22.0.0/23"), ("c", "10.24.0.0/23")];
    let egress = zones.iter().fold(pool("egress"), |pool, (zone, range)| pool.range(zone, range));
    let nodes = zones.iter().flat_map(|(zone, _)| (0..2).map(move |n| node(&format!("worker-{zone}{n}")).zone(zone)));
    let names: Vec<String> = (0..NAMESPACES).map(|n| format!("ns-{n:03}")).collect();
    let namespaces = names.iter().map(|name| namespace(name));
    there_are(&cluster, [infrastructure("BareMetal"), egress].into_iter().chain(nodes).chain(namespaces)).await;
    let history = History::start(&cluster).await;
    let mark = cluster.audit().mark().await;
    let _operator = Operator::start(&cluster).await;
    futures::stream::iter(&names)
        .for_each_concurrent(AT_ONCE, |name| async { cluster.opt_in(name, Some("egress")).await })
        .await;
    eventually("all are served", LONG, || async {
        let outcome = cluster.outcome().await;
        let is_served = |state: &&NamespaceState| {
            state.addresses().len() == zones.len() && state.annotated.as_deref() == Some(&state.addresses().join(","))
        };
        let served = outcome.namespaces.values().filter(is_served).count();
        if served == NAMESPACES { Ok(()) } else { Err(format!("{served} are served")) }
    })
    .await;
    cluster.settled().await;

    let outcome = cluster.outcome().await;
    for (position, (zone, range)) in zones.iter().enumerate() {
        let range: ipnet::Ipv4Net = range.parse().expect("a range");
        // The lowest ones, without the gateway: the second host is the first of all.
        let lowest: BTreeSet<String> = range.hosts().skip(1).take(NAMESPACES).map(|host| host.to_string()).collect();
        let given: BTreeSet<String> =
            outcome.namespaces.values().map(|state| state.addresses()[position].clone()).collect();
        assert_eq!(given, lowest, "zone {zone}");
        for number in 0..2 {
            let carried = outcome.host_subnets[&format!("worker-{zone}{number}")].carried.len();
            assert_eq!(carried, NAMESPACES / 2, "worker-{zone}{number}");
        }
    }
    let written = cost(cluster.written_since(mark).await);
    for resource in ["netnamespaces", "namespaces"] {
        let writes = written.clone().on(resource);
        assert_eq!(writes.count(), NAMESPACES, "one write for each of the {resource}:\n{}", written.summary());
    }
    assert_eq!(written.clone().on("egressipams").count(), 1, "the finalizer:\n{}", written.summary());
    assert!(written.count() <= 3 * NAMESPACES + 1, "at most three writes for each:\n{}", written.summary());
    assert_eq!(cluster.warnings().await, "", "nobody had to be told anything");
    assert_eq!(history.breaches().await, [""; 0]);
    cluster.assert_sound().await;
}
