//! What may be so once a write that is still in flight has ended, as it pleases.

use std::sync::Arc;

use crate::network::write::{Change, Target, Write};
use crate::observed::{Listed, Observed};

impl Observed {
    /// Shows what nodes carry and owners hold both as it is and as a write in flight may leave it: until it has ended, an
    /// address that it brings may be given to nobody else, and one that it takes away may still be there. What else a
    /// write changes is not shown before it has.
    pub fn may_become(&mut self, write: &Write) {
        match (&write.target, &write.change) {
            (Target::Carrier(name), Change::Carrier { egress_ips: Some(list), .. }) => {
                if let Some(facts) = self.carriers.get_mut(name) {
                    add(&mut Arc::make_mut(facts).egress_ips, list.iter().map(|text| Listed::from(text.as_str())));
                }
            }
            (Target::Holding(name), Change::NewHolding { egress_ips, home }) => {
                self.make_holding(name, egress_ips, home);
            }
            (Target::Holding(name), Change::Holding { egress_ips, home, .. }) => {
                if let Some(facts) = self.holdings.get_mut(name) {
                    let facts = Arc::make_mut(facts);
                    add(&mut facts.egress_ips, egress_ips.iter().copied().map(Listed::Address));
                    if let Some(home) = home {
                        facts.pool.get_or_insert_with(|| home.pool.clone());
                        for (address, zone) in &home.zones {
                            facts.zones.entry(*address).or_insert_with(|| zone.clone());
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

fn add(list: &mut Vec<Listed>, more: impl Iterator<Item = Listed>) {
    for listed in more {
        if !list.contains(&listed) {
            list.push(listed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use super::*;
    use crate::network::write::Home;
    use crate::observed::{CarrierFacts, HoldingFacts};

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn list(texts: &[&str]) -> Vec<Listed> {
        texts.iter().copied().map(Listed::from).collect()
    }

    fn write(target: Target, change: Change) -> Write {
        Write { target, change, after: Vec::new(), after_any: Vec::new() }
    }

    #[test]
    fn what_comes_and_what_goes_both_count() {
        let mut observed = Observed::default();
        let subnet = CarrierFacts { egress_ips: list(&["10.0.0.1", "10.0.0.2"]), ..CarrierFacts::default() };
        observed.carriers.insert("n1".into(), Arc::new(subnet));
        let egress_ips = Some(vec!["10.0.0.2".to_owned(), "10.0.0.3".to_owned()]);
        let change = Change::Carrier { egress_ips, ranges: None };
        observed.may_become(&write(Target::Carrier("n1".into()), change));
        assert_eq!(observed.carriers["n1"].egress_ips, list(&["10.0.0.1", "10.0.0.2", "10.0.0.3"]));

        observed.holdings.insert("shop".into(), Arc::new(HoldingFacts::default()));
        let home = Home { pool: "p".into(), zones: vec![(address("10.0.0.3"), "a".to_owned())], replaced: Vec::new() };
        let made = Change::NewHolding { egress_ips: vec![address("10.0.0.4")], home: home.clone() };
        observed.may_become(&write(Target::Holding("docs".into()), made));
        assert_eq!(observed.holdings["docs"].egress_ips, list(&["10.0.0.4"]));
        let holding =
            |egress_ips, home| Change::Holding { object: String::new(), egress_ips, home, recorded: BTreeSet::new() };
        let change = holding(vec![address("10.0.0.3")], Some(home));
        observed.may_become(&write(Target::Holding("shop".into()), change));
        let facts = &observed.holdings["shop"];
        assert_eq!((&facts.egress_ips, facts.pool.as_ref()), (&list(&["10.0.0.3"]), Some(&"p".into())));
        assert_eq!(facts.zones[&address("10.0.0.3")], "a");

        // Giving back is not believed before it is done.
        let change = holding(Vec::new(), None);
        let before = observed.clone();
        observed.may_become(&write(Target::Holding("shop".into()), change));
        assert_eq!(observed.holdings, before.holdings);
    }
}
