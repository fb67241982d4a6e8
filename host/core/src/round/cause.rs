//! Why no node can carry an owner's addresses, where the host knows better than a policy, which sees nodes only by zone.

use std::collections::{BTreeMap, BTreeSet};

use super::Round;
use crate::name::{NodeIndex, NodeName, OwnerIndex, PoolIndex, ZoneIndex};
use crate::observed::{NodeFacts, Observed, PoolFacts};
use crate::plan::{Hold, HoldCode, Holder};
use crate::snapshot::{Health, Owner, Snapshot};
use crate::text::listed;
use crate::verify::EndState;

/// The causes of holds, each found once: thousands of owners may wait for the same.
pub(super) struct Causes<'a> {
    observed: &'a Observed,
    snapshot: &'a Snapshot,
    end: &'a EndState,
    known: BTreeMap<(PoolIndex, Option<ZoneIndex>), Option<String>>,
    /// The nodes that carry something of each owner, once that is asked for.
    taken: Option<BTreeMap<OwnerIndex, BTreeSet<NodeIndex>>>,
}

impl Round {
    /// The causes of holds after a plan.
    pub(super) fn causes<'a>(&'a self, observed: &'a Observed, end: &'a EndState) -> Causes<'a> {
        Causes { observed, snapshot: &self.survey.snapshot, end, known: BTreeMap::new(), taken: None }
    }
}

impl Causes<'_> {
    /// Why an owner waits, in words: those of the host, where it knows why no node serves.
    pub(super) fn words(&mut self, hold: &Hold, owner: &Owner) -> String {
        let cause = if hold.code == HoldCode::NoNode { self.no_node(hold, owner) } else { None };
        cause.unwrap_or_else(|| if hold.text.is_empty() { hold.code.meaning().to_owned() } else { hold.text.clone() })
    }

    fn no_node(&mut self, hold: &Hold, owner: &Owner) -> Option<String> {
        let place = (owner.pool, hold.zone);
        if !self.known.contains_key(&place) {
            let cause = self.of_place(owner.pool, hold.zone);
            self.known.insert(place, cause);
        }
        self.known.get(&place).cloned().flatten().or_else(|| self.crowded(hold.owner, owner, hold.zone))
    }

    /// Why none of the nodes that may serve a zone is healthy; without a zone, those of all zones of the pool. None: some
    /// are.
    fn of_place(&self, pool: PoolIndex, zone: Option<ZoneIndex>) -> Option<String> {
        let nodes = self.nodes(pool, zone);
        if !nodes.is_empty() {
            return self.unhealthy(&nodes);
        }
        let facts = self.observed.pools.get(&self.snapshot.pool(pool)?.name)?;
        let mut causes = BTreeSet::new();
        for (nth, (_, of)) in
            self.snapshot.zones_of(pool).enumerate().filter(|(_, (at, _))| zone.is_none_or(|zone| zone == *at))
        {
            causes.insert(self.empty(facts, Some((nth, of.name.as_str()))));
        }
        if causes.is_empty() {
            causes.insert(self.empty(facts, None));
        }
        Some(listed(causes.iter(), "; "))
    }

    /// The nodes on which addresses of a zone may be.
    fn nodes(&self, pool: PoolIndex, zone: Option<ZoneIndex>) -> BTreeSet<NodeIndex> {
        self.snapshot.may_be_on(pool, zone).collect()
    }

    fn unhealthy(&self, nodes: &BTreeSet<NodeIndex>) -> Option<String> {
        let nodes = || nodes.iter().filter_map(|&node| self.snapshot.node(node));
        if nodes().any(|node| node.health == Health::Healthy) {
            return None;
        }
        let mut of_state: BTreeMap<&str, Vec<&NodeName>> = BTreeMap::new();
        for node in nodes() {
            let cordoned = || self.observed.nodes.get(&node.name).is_some_and(|facts| facts.unschedulable);
            let state = match node.health {
                Health::Down => "not ready",
                _ if cordoned() => "cordoned",
                _ => "left alone since writes to them are refused",
            };
            of_state.entry(state).or_default().push(&node.name);
        }
        let one_state = of_state.len() == 1;
        let states = of_state.iter().map(|(state, names)| format!("{state}: {}", listed(names.iter(), ", ")));
        let states = states.collect::<Vec<_>>().join("; ");
        Some(if one_state {
            format!("all nodes that may carry it are {states}")
        } else {
            format!("no node that may carry it is healthy; {states}")
        })
    }

    /// Why a zone, given by its position and label value, has no node; without one: why no zone is there at all.
    fn empty(&self, facts: &PoolFacts, zone: Option<(usize, &str)>) -> String {
        let spec = &facts.spec;
        let all = &self.observed.nodes;
        if all.is_empty() {
            return "there is no node".to_owned();
        }
        let selected: Vec<(&NodeName, &NodeFacts)> = all
            .iter()
            .map(|(name, node)| (name, node.as_ref()))
            .filter(|(_, node)| spec.node_selector.matches(&node.labels))
            .collect();
        if selected.is_empty() {
            return format!("spec.nodeSelector selects none of the {} nodes", all.len());
        }
        let label = &spec.topology_label;
        let values: BTreeSet<&str> =
            selected.iter().filter_map(|(_, node)| node.labels.get(label)).map(String::as_str).collect();
        if values.is_empty() {
            return format!("none of the {} selected nodes has label {label}", selected.len());
        }
        let is_here =
            |node: &NodeFacts| node.labels.get(label).is_some_and(|value| zone.is_none_or(|(_, name)| name == value));
        let here: Vec<&NodeName> = selected.iter().filter(|(_, node)| is_here(node)).map(|(name, _)| *name).collect();
        match zone {
            Some((_, name)) if here.is_empty() => {
                let values = values.iter().map(|value| format!("\"{value}\""));
                format!("no selected node has {label}={name}; those that have the label say {}", listed(values, ", "))
            }
            _ => self.unusable(facts, zone, &here),
        }
    }

    /// Why nodes with the right label can carry nothing of a zone.
    fn unusable(&self, facts: &PoolFacts, zone: Option<(usize, &str)>, nodes: &[&NodeName]) -> String {
        let range = zone.and_then(|(nth, _)| facts.spec.entries.get(nth)).map(|entry| entry.cidr).or(facts.spec.cidr);
        let cloud = self.observed.cloud.as_deref();
        let mut of_reason: BTreeMap<String, Vec<&NodeName>> = BTreeMap::new();
        for &name in nodes {
            let reason = match (cloud.and_then(|cloud| cloud.unusable.get(name)), range) {
                _ if !self.observed.carriers.contains_key(name) => {
                    format!("there is no {} of", self.observed.words.carrier)
                }
                (Some(reason), _) => format!("{reason}:"),
                (None, Some(range)) => format!("{range} is not in the subnet of"),
                (None, None) => "nothing is known of".to_owned(),
            };
            of_reason.entry(reason).or_default().push(name);
        }
        if let (1, Some(range)) = (of_reason.len(), range)
            && of_reason.keys().all(|reason| reason.starts_with(&range.to_string()))
        {
            return format!("no node's subnet contains {range}; looked at {}", listed(nodes.iter(), ", "));
        }
        listed(of_reason.iter().map(|(reason, names)| format!("{reason} {}", listed(names.iter(), ", "))), "; ")
    }

    /// Whether the healthy nodes all carry other addresses of the owner.
    fn crowded(&mut self, index: OwnerIndex, owner: &Owner, zone: Option<ZoneIndex>) -> Option<String> {
        let end = self.end;
        let taken = self.taken.get_or_insert_with(|| carried_for(end)).get(&index)?.clone();
        let healthy: Vec<NodeIndex> = self
            .nodes(owner.pool, zone)
            .into_iter()
            .filter(|&node| self.snapshot.node(node).is_some_and(|node| node.health == Health::Healthy))
            .collect();
        let all = !healthy.is_empty() && healthy.iter().all(|node| taken.contains(node));
        let names = healthy.iter().map(|&node| self.snapshot.node_name(node));
        all.then(|| {
            format!("each healthy node that may carry it has another address of the namespace: {}", listed(names, ", "))
        })
    }
}

/// The nodes that carry something of each owner.
fn carried_for(end: &EndState) -> BTreeMap<OwnerIndex, BTreeSet<NodeIndex>> {
    let mut nodes: BTreeMap<OwnerIndex, BTreeSet<NodeIndex>> = BTreeMap::new();
    for (address, on) in end.carried() {
        for holding in end.holders_of(address) {
            if let Holder::Owner(owner) = holding.holder {
                nodes.entry(owner).or_default().extend(on);
            }
        }
    }
    nodes
}
