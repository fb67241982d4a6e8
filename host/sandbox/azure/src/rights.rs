//! Permissions: which actions a request takes, and which of them are withheld.

use serde_json::Value;

use crate::answer::Answer;
use crate::config::{Config, text};
use crate::fault::Reason;
use crate::resource::Path;
use crate::throttle::Verb;
use crate::world::World;

impl World {
    /// Refuses what a principal may not do to the resource itself.
    ///
    /// Asking how an operation goes takes no permission: OpenShift's cloud network config controller does so with a role
    /// that has none for it.
    pub(crate) fn permit(&mut self, principal: &str, path: &Path, verb: Verb) -> Result<(), Answer> {
        if path.is("Microsoft.Network", "locations") {
            return Ok(());
        }
        let verb = match verb {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Delete => "delete",
        };
        let spelt = path.spelt();
        let types: Vec<&str> = spelt.parts.iter().step_by(2).map(String::as_str).collect();
        let action = format!("{}/{}/{verb}", path.provider, types.join("/"));
        let id = path.to_string();
        let denied = self.denials.iter().find(|denial| denial.covers(&action, &id));
        let permitted = denied.map_or(Ok(()), |denial| Err(denial.answer(principal, &id, None)));
        self.taken.insert(action);
        permitted
    }

    /// Refuses references that a principal may not make.
    pub(crate) fn permit_links(&mut self, principal: &str, path: &Path, body: &Value) -> Result<(), Answer> {
        for (action, id) in links(path, body) {
            let action = format!("Microsoft.Network/{action}/action");
            self.taken.insert(action.clone());
            if let Some(denial) = self.denials.iter().find(|denial| denial.covers(&action, &id)) {
                let has = ("Microsoft.Network/networkInterfaces/write", path.to_string());
                let linked = (denial.reason == Reason::Role).then_some((has.0, has.1.as_str()));
                return Err(denial.answer(principal, &id, linked));
            }
        }
        Ok(())
    }
}

/// What a NIC refers to, each with what has to be permitted there.
fn links(path: &Path, body: &Value) -> Vec<(&'static str, String)> {
    let mut links: Vec<(&str, String)> = Vec::new();
    for config in Config::read_all(&path.to_string(), body) {
        links.extend(config.subnet.map(|id| ("virtualNetworks/subnets/join", id)));
        links.extend(config.pools.into_iter().map(|id| ("loadBalancers/backendAddressPools/join", id)));
        links.extend(config.rules.into_iter().map(|id| ("loadBalancers/inboundNatRules/join", id)));
        links.extend(config.groups.into_iter().map(|id| ("applicationSecurityGroups/joinIpConfiguration", id)));
        links.extend(config.public.map(|id| ("publicIPAddresses/join", id)));
    }
    let filter = text(body, "/properties/networkSecurityGroup/id");
    links.extend(filter.map(|id| ("networkSecurityGroups/join", id)));
    links
}
