//! Whether a node answers (OVN-Kubernetes, `isReachable` in `egressip_controller.go`). A sweep takes no time here.

use std::collections::BTreeSet;

/// How often all nodes are probed.
pub(crate) const PERIOD: u64 = 5_000;

/// How nodes are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Probing {
    /// Not at all, as with a total timeout of 0: every node counts as reachable.
    #[default]
    Off,
    /// By one connection attempt after the other, each of which counts.
    Legacy,
    /// By a connection that is kept. Its first loss is forgiven.
    Grpc,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Probes {
    mode: Probing,
    /// Nodes that do not answer, in truth.
    silent: BTreeSet<String>,
    connected: BTreeSet<String>,
    forgiven: BTreeSet<String>,
    pub(crate) next: u64,
}

impl Probes {
    pub(crate) fn new(mode: Probing, now: u64) -> Self {
        Self { mode, next: now + PERIOD, ..Self::default() }
    }

    pub(crate) fn set_reachable(&mut self, node: &str, reachable: bool) {
        if reachable {
            self.silent.remove(node);
        } else {
            self.silent.insert(node.to_owned());
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.mode != Probing::Off
    }

    pub(crate) fn is_connected(&self, node: &str) -> bool {
        self.connected.contains(node)
    }

    pub(crate) fn answers(&mut self, node: &str) -> bool {
        let answers = !self.silent.contains(node);
        match self.mode {
            Probing::Off => true,
            Probing::Legacy => answers,
            Probing::Grpc if !self.connected.contains(node) => {
                // A connection alone does not make the node's earlier loss forgotten.
                answers && self.connected.insert(node.to_owned())
            }
            Probing::Grpc if answers => {
                self.forgiven.remove(node);
                true
            }
            Probing::Grpc => {
                self.connected.remove(node);
                self.forgiven.insert(node.to_owned())
            }
        }
    }

    pub(crate) fn disconnect(&mut self, node: &str) {
        self.connected.remove(node);
    }

    pub(crate) fn forget(&mut self, node: &str) {
        self.connected.remove(node);
        self.forgiven.remove(node);
    }
}
