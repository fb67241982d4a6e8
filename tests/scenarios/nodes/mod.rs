//! Life of a node: what it carries when it fails, goes, changes, comes.

use expect_test::expect;

use crate::harness::audit::Mark;
use crate::harness::{Cluster, History, Object, Operator, infrastructure, namespace, node, pool};

mod changes;
mod failover;
mod zones;

/// A pool with a range for each of two zones, and a node in each.
fn two_zones() -> [Object; 4] {
    [
        infrastructure("BareMetal"),
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24"),
        node("worker-a0").zone("zone-a"),
        node("worker-b0").zone("zone-b"),
    ]
}

/// A cluster in which something happens to a node, watched from before on.
struct Stage {
    cluster: Cluster,
    history: History,
    mark: Mark,
    _operator: Operator,
}

impl Stage {
    /// Two zones; `shop` is on `worker-a0` and `worker-b0`; `worker-a1` is empty.
    async fn with_a_spare_node() -> Self {
        Self::with_spare_nodes(&["worker-a1"]).await
    }

    /// Two zones; `shop` is on `worker-a0` and `worker-b0`; these nodes of zone a are empty.
    async fn with_spare_nodes(spares: &[&str]) -> Self {
        let cluster = Cluster::start().await;
        cluster.create(two_zones().into_iter().chain([namespace("shop").in_pool("egress")])).await;
        cluster.companions_are_there().await;
        let operator = Operator::start(&cluster).await;
        cluster.becomes(expect!["shop: egress, 10.20.0.2 on worker-a0, 10.21.0.2 on worker-b0"]).await;
        cluster.create(spares.iter().map(|name| node(name).zone("zone-a"))).await;
        let nodes = 1 + spares.len() as u64;
        cluster.zone_has("egress", "zone-a", nodes, nodes).await;
        cluster.settled().await;
        let history = History::start(&cluster).await;
        let mark = cluster.audit().mark().await;
        Self { cluster, history, mark, _operator: operator }
    }

    /// What Sluice wrote about nodes and namespaces until it was at rest.
    async fn written(&self) -> String {
        self.cluster.settled().await;
        self.cluster.written_since(self.mark).await.except(&["egressipams/status", "events"]).summary()
    }

    /// Looks from here on.
    async fn again(&mut self) {
        self.cluster.settled().await;
        self.history = History::start(&self.cluster).await;
        self.mark = self.cluster.audit().mark().await;
    }

    /// The end of every scenario.
    async fn ends_well(self) {
        self.cluster.settled().await;
        assert_eq!(self.history.breaches().await, [""; 0], "no address was ever in two places");
        self.cluster.assert_sound().await;
    }
}
