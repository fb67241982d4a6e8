//! Reading the cloud: a handful of lists, however many nodes there are.

use std::collections::BTreeSet;

use crate::arm::{Arm, ArmError, ErrorKind};
use crate::inventory::{Listing, groups_of};
use crate::lists;

/// Lists what there is in some resource groups, and in those that this refers to: interfaces of machines, networks of
/// interfaces, load balancers of interfaces.
///
/// A group that does not exist is empty: its nodes have no machine. Whether that is to be believed is decided elsewhere.
/// Strangers in a network's own group are looked at if that is allowed; the cloud says so itself when one of them has an
/// address.
pub(crate) async fn read(arm: &Arm, subscription: &str, groups: &BTreeSet<String>) -> Result<Listing, ArmError> {
    let mut listing = Listing { subscription: Some(subscription.to_owned()), ..Listing::default() };
    for group in groups {
        let machines = listing.or_missing(group, lists::machines(arm, subscription, group).await)?;
        for machine in &machines {
            listing.add_machine(machine);
        }
    }
    let of_machines = listing.machines.values().flat_map(|machine| machine.interfaces.iter().map(|(id, _)| id));
    let mut seen = groups_of(subscription, of_machines);
    seen.extend(groups.iter().cloned());
    for group in &seen {
        let interfaces = listing.or_missing(group, lists::interfaces(arm, subscription, group).await)?;
        for interface in &interfaces {
            listing.add_interface(interface);
        }
    }
    let configurations = listing.interfaces.values().flat_map(|interface| &interface.configurations);
    let networks = groups_of(subscription, configurations.filter_map(|configuration| configuration.subnet.as_ref()));
    for group in &networks {
        match listing.or_missing(group, lists::networks(arm, subscription, group).await) {
            Ok(found) => found.iter().for_each(|network| listing.add_network(network)),
            Err(error) if matches!(error.kind, ErrorKind::Forbidden { .. }) => {
                listing.complaints.push(format!("the networks of resource group {group} cannot be read: {error}"));
            }
            Err(error) => return Err(error),
        }
    }
    for group in networks.difference(&seen) {
        match listing.or_missing(group, lists::interfaces(arm, subscription, group).await) {
            Ok(found) => found.iter().for_each(|interface| listing.add_interface(interface)),
            Err(error) if matches!(error.kind, ErrorKind::Forbidden { .. }) => {
                tracing::debug!(group, "strangers in the network's resource group are not seen: no permission");
            }
            Err(error) => return Err(error),
        }
    }
    read_balancers(arm, subscription, seen.union(&networks), &mut listing).await?;
    Ok(listing)
}

async fn read_balancers(
    arm: &Arm,
    subscription: &str,
    groups: impl Iterator<Item = &String>,
    listing: &mut Listing,
) -> Result<(), ArmError> {
    let mut groups: BTreeSet<String> = groups.cloned().collect();
    let referred = groups_of(subscription, &listing.referred());
    groups.extend(referred.iter().cloned());
    for group in &groups {
        match listing.or_missing(group, lists::balancers(arm, subscription, group).await) {
            Ok(found) => found.iter().for_each(|balancer| listing.add_balancer(balancer)),
            Err(error) if matches!(error.kind, ErrorKind::Forbidden { .. }) => {
                if referred.contains(group) {
                    let text = format!(
                        "the load balancers of resource group {group} cannot be read, so their pools are not joined: \
                         {error}"
                    );
                    listing.complaints.push(text);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Listing {
    /// What was found in a group; nothing if the group is not there, which is noted.
    fn or_missing<T>(&mut self, group: &str, found: Result<Vec<T>, ArmError>) -> Result<Vec<T>, ArmError> {
        match found {
            Err(error) if error.kind == ErrorKind::Gone => {
                self.missing.insert(group.to_owned());
                Ok(Vec::new())
            }
            other => other,
        }
    }
}
