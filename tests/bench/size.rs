//! Clusters of any size, as snapshots.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use sluice_core::name::{NodeIndex, PoolIndex, ZoneIndex};
use sluice_core::plan::{Operation, Plan};
use sluice_core::snapshot::{
    Allocation, Assignment, Capacity, Health, Node, Owner, Phase, Placement, Pool, Snapshot, Zone,
};

/// How large a cluster is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    pub owners: usize,
    pub zones: u8,
    /// Most addresses on a node.
    pub per_node: u32,
}

impl Size {
    /// A cluster in which nobody has an address yet.
    pub fn scratch(self) -> Snapshot {
        let pool = Pool {
            name: "egress".into(),
            ranges: Vec::new(),
            reserved: (0..self.zones).map(|zone| net(zone, 30)).collect(),
            placement: Placement::Exact,
        };
        Snapshot {
            generation: 1,
            seed: 1,
            budget: u32::try_from(self.owners * usize::from(self.zones) / 20).expect("a size").max(10),
            pools: vec![pool],
            zones: (0..self.zones).map(|zone| self.zone(zone)).collect(),
            nodes: (0..self.nodes).map(|number| self.node(number)).collect(),
            owners: (0..self.owners).map(owner).collect(),
            ..Snapshot::default()
        }
    }

    fn zone(self, number: u8) -> Zone {
        let nodes = (usize::from(number)..self.nodes).step_by(usize::from(self.zones));
        Zone {
            pool: PoolIndex(0),
            name: format!("zone-{number}").into(),
            ranges: vec![net(number, 14)],
            nodes: nodes.map(NodeIndex::at).collect(),
            may_leave: false,
            share: None,
        }
    }

    fn node(self, number: usize) -> Node {
        Node {
            name: format!("worker-{number:04}.example.internal").into(),
            health: Health::Healthy,
            capacity: Capacity { total: Some(self.per_node), ipv4: None, ipv6: None },
            other_load: 0,
        }
    }
}

fn owner(number: usize) -> Owner {
    Owner {
        name: format!("namespace-{number:06}").into(),
        pool: PoolIndex(0),
        labels: labels(number),
        wanted: None,
        requested: Vec::new(),
        allocations: Vec::new(),
        created: 0,
    }
}

/// What OpenShift puts on each namespace, and a team's own.
fn labels(number: usize) -> Vec<(String, String)> {
    let label = |name: &str, value: String| (name.to_owned(), value);
    vec![
        label("kubernetes.io/metadata.name", format!("namespace-{number:06}")),
        label("pod-security.kubernetes.io/audit", "restricted".to_owned()),
        label("pod-security.kubernetes.io/warn", "restricted".to_owned()),
        label("team", format!("team-{:03}", number % 300)),
    ]
}

/// The beginning of a zone's range.
fn net(zone: u8, prefix: u8) -> IpNet {
    let address = Ipv4Addr::new(10, zone * 4, 0, 0);
    IpNet::new(IpAddr::V4(address), prefix).expect("a prefix")
}

/// The cluster once a plan is carried out that gives and places what nobody had.
pub fn after(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut after = snapshot.clone();
    after.generation += 1;
    for patch in &plan.patches {
        match patch.operation {
            Operation::Allocate { owner, zone, address } => {
                let allocation = Allocation::settled(address, zone);
                after.owners.get_mut(owner.position()).expect("an owner").allocations.push(allocation);
            }
            Operation::Assign { address, node } => {
                after.assignments.push(Assignment { address, node, phase: Phase::Settled });
            }
            ref other => unreachable!("{other:?}: nothing is there to be changed"),
        }
    }
    after.assignments.sort_by_key(|assignment| (assignment.address, assignment.node));
    after
}

/// The cluster with a node that is down.
pub fn without_node(snapshot: &Snapshot, node: usize) -> Snapshot {
    let mut without = snapshot.clone();
    without.generation += 1;
    without.nodes.get_mut(node).expect("a node").health = Health::Down;
    without
}

/// Every owner asks for an address that it has to share with all others.
pub fn all_want_the_same(snapshot: &Snapshot, zone: ZoneIndex) -> Snapshot {
    let mut snapshot = snapshot.clone();
    let range = snapshot.zone(zone).expect("a zone").ranges.first().copied().expect("a range");
    let wanted = range.hosts().nth(9).expect("a tenth address");
    snapshot.owners.iter_mut().for_each(|owner| owner.requested = vec![wanted]);
    snapshot
}
