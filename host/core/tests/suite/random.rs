//! Random clusters as text: some well, some in a mess.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// A small generator (xorshift), so that a number is all it takes to see a scenario again.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % n as u64).expect("less than n")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

const ZONES: [&str; 3] = ["a", "b", "c"];

struct Sketch {
    lines: String,
    cloud: bool,
    /// Node, its zone.
    nodes: Vec<(String, &'static str)>,
    carries: BTreeMap<String, Vec<String>>,
    /// A cloud gives an address to one interface only.
    on_interfaces: BTreeSet<String>,
    /// Pool, its zones with the beginning of their addresses.
    pools: Vec<(String, Vec<(&'static str, String)>)>,
}

pub(crate) fn scenario(dice: &mut Dice) -> String {
    let cloud = dice.one_in(3);
    let lines = if cloud { "cloud azure\n".to_owned() } else { String::new() };
    let mut sketch = Sketch {
        lines,
        cloud,
        nodes: Vec::new(),
        carries: BTreeMap::new(),
        on_interfaces: BTreeSet::new(),
        pools: Vec::new(),
    };
    let zones = 1 + dice.below(3);
    for zone in &ZONES[..zones] {
        for nth in 0..=dice.below(3) {
            sketch.nodes.push((format!("n{zone}{nth}"), zone));
        }
    }
    for nth in 0..=usize::from(dice.one_in(3)) {
        sketch.pool(dice, nth, zones);
    }
    for nth in 0..=dice.below(5) {
        sketch.owner(dice, nth);
    }
    if dice.one_in(4) {
        sketch.lines.push_str("ns partner holds=10.20.9.5\n");
        sketch.carry(dice, "10.20.9.5", None);
    }
    sketch.nodes(dice);
    sketch.lines
}

impl Sketch {
    fn pool(&mut self, dice: &mut Dice, nth: usize, zones: usize) {
        let prefix = *dice.pick(&[29, 28, 29, 30]);
        let wide = dice.one_in(5);
        let single = dice.one_in(3);
        let count = if single { 1 } else { zones };
        let begin = |zone: usize| if wide { format!("10.{}9.0", nth + 1) } else { format!("10.{}{zone}.0", nth + 2) };
        let named: Vec<(&'static str, String)> = (0..count).map(|zone| (ZONES[zone], begin(zone))).collect();
        write!(self.lines, "pool p{nth} created={}", 1 + dice.below(3)).expect("a string");
        if wide {
            write!(self.lines, " cidr=10.{}9.0.0/27", nth + 1).expect("a string");
        }
        for (zone, begin) in named.iter().filter(|_| !wide) {
            write!(self.lines, " zone={zone}:{begin}.0/{prefix}").expect("a string");
        }
        if dice.one_in(4) {
            write!(self.lines, " reserved={}.{}", named[0].1, 2 + dice.below(3)).expect("a string");
        }
        if dice.one_in(3) {
            self.lines.push_str(" failover");
        }
        if dice.one_in(12) {
            self.lines.push_str(" error");
        }
        self.lines.push_str(["", "", "", "", " unguarded", " deleting"][dice.below(6)]);
        self.lines.push('\n');
        self.pools.push((format!("p{nth}"), named));
    }

    fn owner(&mut self, dice: &mut Dice, nth: usize) {
        let (pool, zones) = self.pools[dice.below(self.pools.len())].clone();
        let mut held = Vec::new();
        for (zone, begin) in &zones {
            if !dice.one_in(4) {
                let last = if dice.one_in(8) { 2 } else { 2 + nth };
                let address = format!("{begin}.{last}");
                if !held.contains(&address) {
                    held.push(address.clone());
                }
                if !dice.one_in(6) {
                    self.carry(dice, &address, Some(zone));
                }
            }
        }
        if dice.one_in(15) {
            held.push("8.8.8.8".to_owned());
        }
        let says = match dice.below(8) {
            0 => String::new(),
            1 => format!(" says={}.{}", zones[0].1, 2 + dice.below(6)),
            2 => (*dice.pick(&[" says=nonsense", " says=", " says=10.20.0.2,10.20.0.2", " says=10.21.0.3,_10.20.0.3"]))
                .to_owned(),
            _ if held.is_empty() => String::new(),
            _ => " says".to_owned(),
        };
        let mark = if dice.one_in(2) && !held.is_empty() { format!(" mark={pool}") } else { String::new() };
        let opted = match dice.below(10) {
            0 => String::new(),
            1 => format!(" pool={}", dice.pick(&["p0", "p1", "gone"])),
            _ => format!(" pool={pool}"),
        };
        let flag = match dice.below(14) {
            0 => " terminating",
            1 => " nons",
            2 => " nonet",
            _ => "",
        };
        let (held, created) = (held.join(","), 1 + dice.below(3));
        writeln!(self.lines, "ns o{nth}{opted} holds={held}{says}{mark} created={created}{flag}").expect("a string");
    }

    fn carry(&mut self, dice: &mut Dice, address: &str, zone: Option<&str>) {
        let at_home = !dice.one_in(8);
        let nodes: Vec<String> = self
            .nodes
            .iter()
            .filter(|(_, of)| !at_home || zone.is_none_or(|zone| zone == *of))
            .map(|(name, _)| name.clone())
            .collect();
        for _ in 0..=usize::from(dice.one_in(10)) {
            let list = self.carries.entry(dice.pick(&nodes).clone()).or_default();
            if !list.iter().any(|other| other == address) {
                list.push(address.to_owned());
            }
        }
    }

    fn nodes(&mut self, dice: &mut Dice) {
        if dice.one_in(4) {
            let stale = format!("{}.{}", self.pools[0].1[0].1, 2 + dice.below(5));
            self.carry(dice, &stale, None);
        }
        for (name, zone) in self.nodes.clone() {
            let carries = self.carries.get(&name).map(|list| list.join(",")).unwrap_or_default();
            write!(self.lines, "node {name} zone={zone} carries={carries}").expect("a string");
            if self.cloud {
                self.interface(dice, &name);
            } else if dice.one_in(5) {
                let cidr = *dice.pick(&["10.20.0.0/29", "10.20.0.0/28", "10.99.0.0/24"]);
                write!(self.lines, " cidrs={cidr}").expect("a string");
            }
            for (flag, rarity) in [("down", 6), ("cordoned", 8), ("unselected", 10), ("nonode", 15)] {
                if dice.one_in(rarity) {
                    write!(self.lines, " {flag}").expect("a string");
                }
            }
            self.lines.push('\n');
        }
    }

    /// Mostly what its HostSubnet says, now and then less, more, or a stranger's.
    fn interface(&mut self, dice: &mut Dice, name: &str) {
        let mut list: Vec<String> = self.carries.get(name).cloned().unwrap_or_default();
        list.retain(|_| !dice.one_in(8));
        let any = |dice: &mut Dice| format!("10.2{}.0.{}", dice.below(3), 2 + dice.below(5));
        let mut theirs = Vec::new();
        for (list, rarity) in [(&mut list, 10), (&mut theirs, 15)] {
            if dice.one_in(rarity) {
                list.push(any(dice));
            }
        }
        let used = &mut self.on_interfaces;
        list.retain(|address| used.insert(address.clone()));
        theirs.retain(|address| used.insert(address.clone()));
        let limit = if dice.one_in(6) { 2 + dice.below(2) } else { 256 };
        write!(self.lines, " nic={} theirs={} limit={limit}", list.join(","), theirs.join(",")).expect("a string");
        if dice.one_in(12) {
            self.lines.push_str(" subnet=10.20.0.0/16");
        }
        if dice.one_in(12) {
            self.lines.push_str(" failed");
        }
    }
}
