//! Act 4: another policy takes over between two rounds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use sluice_core::name::OwnerName;
use sluice_core::plan::Operation;
use sluice_core::round::Round;
use sluice_core::rows::patch_rows;
use sluice_policy::{Policy, PolicyHost, shadow};
use sluice_sandbox::Event;

use super::acts::{STRICT_POOL, carried, unused_names};
use super::stage::Stage;

/// Act 4.
pub(super) fn hot_swap(stage: &mut Stage<'_>, host: &PolicyHost) -> Result<bool> {
    let what = "The candidate is loaded, plans from the live snapshot without consequences, and is verified; then it takes\n\
                over between two rounds. Nothing is restarted.";
    stage.act("Another policy takes over", what)?;
    stage.wait(10_000, 60_000);
    let before = stage.sandbox.observe();
    let round = Round::prepare(&before);
    let candidate = shadow(host, sluice_builtin_policies::PACK, "{}", round.policy_input())?;
    let info = candidate.policy.info();
    let text = format!("{} {}: {}", info.name, info.version, info.summary);
    stage.line("policy-loaded", |line| line.reason(&text))?;

    let outcome = round.finish(&before, Ok(candidate.shadow.plan), &BTreeSet::new());
    let passed = outcome.failure().is_none();
    let rows = patch_rows(&round.surveyed().snapshot, &outcome.plan);
    let moves = rows.iter().filter(|row| row.op == "move").count();
    let budget = round.policy_input().budget;
    stage.line("shadow-planned", |line| {
        line.reason(&format!("{} changes, {moves} moves, of {budget} allowed; {}", rows.len(), verdict(passed)))
    })?;
    stage.claim(stage.sandbox.observe() == before, "the shadow plan had consequences")?;
    stage.claim(passed, "the candidate's plan was refused")?;
    if !passed {
        return stage.verify();
    }
    let old = std::mem::replace(&mut stage.policy, candidate.policy);
    let (from, to) = (old.info().name.clone(), stage.policy.info().name.clone());
    stage.line("promoted", |line| line.from(&from).to(&to))?;
    stage.rest()?;
    newcomers(stage, &old)?;
    stage.show_cluster()?;
    stage.verify()
}

fn verdict(passed: bool) -> &'static str {
    if passed { "verified" } else { "refused" }
}

/// New namespaces, and where the old policy would have put them.
fn newcomers(stage: &mut Stage<'_>, old: &Policy) -> Result<()> {
    stage.wait(5_000, 20_000);
    let mut names = unused_names(&stage.sandbox.observe());
    stage.dice.shuffle(&mut names);
    names.truncate(3);
    for name in &names {
        stage.happen(Event::NamespaceAdded(name.clone(), Some(STRICT_POOL.into())))?;
    }
    let would_be = would_be(stage, old, &names)?;
    stage.rest()?;
    let observed = stage.sandbox.observe();
    let mut is: BTreeMap<OwnerName, Vec<String>> = BTreeMap::new();
    for name in &names {
        let net = observed.holdings.get(name).context("a namespace lost its NetNamespace")?;
        let nodes = net.egress_ips.iter().filter_map(|listed| {
            let address = listed.address()?;
            observed.nodes.keys().find(|node| carried(&observed, node).contains(&address)).map(ToString::to_string)
        });
        is.insert(name.clone(), nodes.collect());
    }
    let none = Vec::new();
    let mut rows = Vec::new();
    for name in &names {
        let (is, would) = (is.get(name).unwrap_or(&none).join(" "), would_be.get(name).unwrap_or(&none).join(" "));
        stage.line("compared", |line| {
            line.owner(name.as_str()).to(&is).reason(&format!("{}: {would}", old.info().name))
        })?;
        rows.push(vec![name.to_string(), is, would]);
    }
    let head = ["namespace", &format!("{} chose", stage.policy.info().name), &format!("{} would", old.info().name)];
    stage.table(&head, &rows)
}

/// Where another policy would put namespaces, without consequences.
fn would_be(stage: &Stage<'_>, policy: &Policy, names: &[OwnerName]) -> Result<BTreeMap<OwnerName, Vec<String>>> {
    let observed = stage.sandbox.observe();
    let round = Round::prepare(&observed);
    let snapshot = round.policy_input();
    let plan = policy.plan(snapshot)?.plan;
    let mut nodes: BTreeMap<OwnerName, Vec<String>> = BTreeMap::new();
    for patch in &plan.patches {
        let Operation::Allocate { owner, address, .. } = patch.operation else { continue };
        let Some(name) = snapshot.owner(owner).map(|owner| &owner.name).filter(|name| names.contains(name)) else {
            continue;
        };
        let chosen = plan.patches.iter().find_map(|patch| match patch.operation {
            Operation::Assign { address: assigned, node } if assigned == address => Some(snapshot.node_name(node)),
            _ => None,
        });
        nodes.entry(name.clone()).or_default().extend(chosen);
    }
    for list in nodes.values_mut() {
        list.sort();
    }
    Ok(nodes)
}
