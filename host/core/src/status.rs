//! What a pool's status says, computed from a round.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use crate::name::{NodeIndex, OwnerName, PoolIndex, PoolName, ZoneIndex};
use crate::observed::{Observed, PoolFacts, PrivateIpFacts};
use crate::round::{Outcome, Round};
use crate::service::{self, Service};
use crate::snapshot::{Health, Pool, Zone};
use crate::survey::ranges::{addresses, common};
use crate::survey::{NamedHold, Survey};
use crate::verify::VerifiedPlan;

/// The story of one pool after one round.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolReport {
    /// The pool.
    pub pool: PoolName,
    /// `metadata.generation` that was planned.
    pub generation: i64,
    /// Opted-in namespaces, without those that are about to get their holding and those that go away with nothing.
    pub owners: u32,
    /// Of these, without any hold, and seen to have all that they shall have: it is listed for them, and each address
    /// is on a live node.
    pub served: u32,
    /// Of these, with a hold.
    pub held: u32,
    /// Of these, neither: something has yet to be done for them, was refused, or does not work.
    pub waiting: u32,
    /// What the first of these wait for.
    pub waits: Vec<String>,
    /// Zones in order.
    pub zones: Vec<ZoneReport>,
    /// Errors that make the round of this pool a failure: spec, policy, refused writes. Empty: success.
    pub errors: Vec<String>,
    /// Addresses that somebody else has not put onto interfaces yet, if any: Ready is False with this text.
    pub awaited: Option<String>,
    /// What stops writing at all (platform without provider, missing CRDs); Ready is False with this text.
    pub blocked: Option<String>,
    /// The policy that plans is not the chosen one, and why: Degraded is True with this text.
    pub stand_in: Option<String>,
    /// Load balancer pools that new addresses do not join, and why: told once.
    pub passed_over: Vec<String>,
    /// Things worth knowing that stop nothing: overlaps, holds, inherited findings.
    pub warnings: Vec<String>,
}

/// One zone of a pool.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ZoneReport {
    /// Label value.
    pub name: String,
    /// Ranges, as text; of a pool-wide range the whole.
    pub range: String,
    /// Addresses that can be handed out in all, those in use included.
    pub size: u64,
    /// Addresses held.
    pub used: u64,
    /// Nodes in the zone.
    pub nodes: u32,
    /// Of these, healthy.
    pub healthy_nodes: u32,
}

/// Most holds and findings that a report spells out.
const SPELLED_OUT: usize = 5;

/// The reports of all pools that are not being deleted, by name: what a round planned from `planned`, and who is served
/// in the cluster as it was seen after the writes. What a plan means to do proves nothing, since writes may be refused.
pub fn reports(round: &Round, outcome: &Outcome, planned: &Observed, seen: &Observed) -> Vec<PoolReport> {
    let survey = round.surveyed();
    let used = used_by_zone(survey);
    let ungiven = Ungiven::of(seen, survey);
    let mut services = service::of_pools(planned, seen, round, outcome, &ungiven.owners);
    let report = |(position, pool): (usize, &Pool)| {
        let facts = planned.pools.get(&pool.name)?;
        let index = PoolIndex::at(position);
        let Service { owners, served, held, waiting, reasons } = services.remove(&pool.name).unwrap_or_default();
        let zones = survey.snapshot.zones_of(index).enumerate();
        Some(PoolReport {
            pool: pool.name.clone(),
            generation: facts.generation,
            owners,
            served,
            held,
            waiting,
            waits: reasons,
            zones: zones
                .map(|(nth, (zone_index, zone))| zone_report(survey, facts, pool, nth, zone, used.get(&zone_index)))
                .collect(),
            errors: facts
                .errors
                .iter()
                .map(ToString::to_string)
                .chain(failures(round, outcome, index))
                .chain(complaints(seen, survey, index))
                .chain(ungiven.refused(index))
                .collect(),
            awaited: ungiven.awaited(index),
            blocked: planned.refusal(),
            stand_in: None,
            passed_over: passed_over(seen, facts),
            warnings: warnings(survey, &outcome.plan, &outcome.holds, pool),
        })
    };
    survey.snapshot.pools.iter().enumerate().filter_map(report).collect()
}

/// Why policies that plan owners of a pool change nothing.
fn failures(round: &Round, outcome: &Outcome, pool: PoolIndex) -> impl Iterator<Item = String> {
    let slices = outcome.slices.iter().enumerate().filter(move |(at, _)| round.plans_in(*at, pool));
    slices.filter_map(|(_, slice)| slice.failure.as_ref()).map(ToString::to_string)
}

/// Load balancer pools that the addresses of a pool did not join, where it wants them to.
fn passed_over(observed: &Observed, facts: &PoolFacts) -> Vec<String> {
    let clouds = observed.cloud.iter().filter(|_| !facts.no_load_balancer);
    clouds.flat_map(|cloud| &cloud.passed_over).cloned().collect()
}

/// What the cloud refuses, in all or for a node of the pool.
fn complaints(observed: &Observed, survey: &Survey, pool: PoolIndex) -> Vec<String> {
    let Some(cloud) = observed.cloud.as_deref() else { return Vec::new() };
    let nodes: BTreeSet<NodeIndex> =
        survey.snapshot.zones_of(pool).flat_map(|(_, zone)| &zone.nodes).copied().collect();
    let of_nodes = nodes.into_iter().filter_map(|node| {
        let name = &survey.snapshot.node(node)?.name;
        Some(format!("interface of {name}: {}", cloud.interfaces.get(name)?.complaint.as_ref()?))
    });
    cloud.complaints.iter().cloned().chain(of_nodes.take(SPELLED_OUT)).collect()
}

/// What the cloud network config controller has not given of what owners hold.
#[derive(Default)]
struct Ungiven<'a> {
    owners: BTreeSet<&'a OwnerName>,
    /// What it could not give, and why.
    refused: BTreeMap<PoolIndex, Vec<String>>,
    /// What it has not given yet.
    awaited: BTreeMap<PoolIndex, Vec<String>>,
}

impl<'a> Ungiven<'a> {
    fn of(observed: &Observed, survey: &'a Survey) -> Self {
        let mut ungiven = Self::default();
        // What we write ourselves we see for ourselves: there may be nobody who sees to these objects.
        let is_theirs =
            observed.network.keeps_capacity() || observed.cloud.as_deref().is_some_and(|cloud| !cloud.writes);
        let Some(told) = observed.private_ips.as_ref().filter(|_| is_theirs) else { return ungiven };
        for owner in &survey.snapshot.owners {
            for address in owner.allocations.iter().map(|allocation| allocation.address) {
                let carriers = || survey.snapshot.carriers(address).filter_map(|node| survey.snapshot.node(node));
                let is_carried = || carriers().next().is_some();
                let (list, text) = match told.get(&address) {
                    Some(PrivateIpFacts::Refused(why)) => (&mut ungiven.refused, why.clone()),
                    Some(PrivateIpFacts::Awaited(what)) => (&mut ungiven.awaited, what.clone()),
                    // SDN has yet to say that it moved.
                    Some(PrivateIpFacts::Given(Some(node)))
                        if is_carried() && carriers().all(|on| on.name != *node) =>
                    {
                        (&mut ungiven.awaited, format!("it is still of node {node}"))
                    }
                    // There is none for a node whose carrier the network does not accept.
                    None if is_carried() => (&mut ungiven.awaited, "there is none yet".to_owned()),
                    Some(PrivateIpFacts::Given(_)) | None => continue,
                };
                list.entry(owner.pool).or_default().push(format!("CloudPrivateIPConfig {address}: {text}"));
                ungiven.owners.insert(&owner.name);
            }
        }
        ungiven
    }

    fn refused(&self, pool: PoolIndex) -> impl Iterator<Item = String> {
        self.refused.get(&pool).into_iter().flatten().take(SPELLED_OUT).cloned()
    }

    fn awaited(&self, pool: PoolIndex) -> Option<String> {
        let all = self.awaited.get(&pool)?;
        let few: Vec<&str> = all.iter().take(SPELLED_OUT).map(String::as_str).collect();
        Some(format!("{} addresses wait for the cloud: {}", all.len(), few.join("; ")))
    }
}

fn used_by_zone(survey: &Survey) -> BTreeMap<ZoneIndex, u64> {
    let mut used: BTreeMap<ZoneIndex, u64> = BTreeMap::new();
    for zone in
        survey.snapshot.owners.iter().flat_map(|owner| &owner.allocations).filter_map(|allocation| allocation.zone)
    {
        *used.entry(zone).or_default() += 1;
    }
    used
}

fn zone_report(
    survey: &Survey,
    facts: &PoolFacts,
    pool: &Pool,
    nth: usize,
    zone: &Zone,
    used: Option<&u64>,
) -> ZoneReport {
    let range = facts.spec.entries.get(nth).map(|entry| entry.cidr).or(facts.spec.cidr);
    let healthy =
        zone.nodes.iter().filter_map(|&node| survey.snapshot.node(node)).filter(|node| node.health == Health::Healthy);
    ZoneReport {
        name: zone.name.to_string(),
        range: range.map(|range| range.to_string()).unwrap_or_default(),
        size: range.map_or(0, |range| usable(range, &pool.reserved)),
        used: used.copied().unwrap_or(0),
        nodes: u32::try_from(zone.nodes.len()).unwrap_or(u32::MAX),
        healthy_nodes: u32::try_from(healthy.count()).unwrap_or(u32::MAX),
    }
}

/// Addresses of a range that are not reserved. Reserved ranges may overlap: what a cloud keeps for itself is reserved by
/// custom, too.
fn usable(range: IpNet, reserved: &[IpNet]) -> u64 {
    let inside = reserved.iter().filter_map(|net| common(range, *net)).collect();
    let taken: u128 = IpNet::aggregate(&inside).into_iter().map(addresses).sum();
    u64::try_from(addresses(range).saturating_sub(taken)).unwrap_or(u64::MAX)
}

fn warnings(survey: &Survey, plan: &VerifiedPlan, holds: &[NamedHold], pool: &Pool) -> Vec<String> {
    let notes = survey.notes.iter().filter(|note| note.pool == pool.name).map(|note| note.text.clone());
    let holds = holds.iter().filter(|hold| hold.pool == pool.name);
    let holds = holds.map(|hold| {
        let zone = hold.zone.as_ref().map(|zone| format!(" in zone {zone}")).unwrap_or_default();
        let why = if hold.text.is_empty() { String::new() } else { format!(": {}", hold.text) };
        format!("{} is held{zone}: {}{why}", hold.owner, hold.code)
    });
    let in_pool = |owner: &OwnerName| survey.snapshot.owner_named(owner).and_then(|index| survey.snapshot.owner(index));
    let findings = plan
        .inherited()
        .iter()
        .filter(|finding| {
            finding.owner.as_ref().and_then(in_pool).is_some_and(|owner| survey.snapshot.pool(owner.pool) == Some(pool))
        })
        .map(ToString::to_string);
    notes.chain(holds.take(SPELLED_OUT)).chain(findings.take(SPELLED_OUT)).collect()
}
