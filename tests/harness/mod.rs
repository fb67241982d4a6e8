//! Everything scenarios stand on: a real API server, the real binary, and ways to disturb both.
//!
//! ```ignore
//! let cluster = Cluster::start().await;
//! cluster.create([
//!     pool("egress").range("zone-a", "10.20.0.0/24"),
//!     node("worker-a0").zone("zone-a"),
//!     namespace("shop").in_pool("egress"),
//! ]).await;
//! let operator = Operator::start(&cluster).await;
//! cluster.becomes(expect![["shop: egress, 10.20.0.2 on worker-a0"]]).await;
//! cluster.assert_sound().await;
//! ```

use std::path::Path;

pub use self::cluster::{Cluster, SOON};
pub use self::dump::DUMPS;
pub use self::history::History;
pub use self::objects::{
    ADDRESSES_ANNOTATION, FINALIZER, Object, PEER_LOCK, POOL_ANNOTATION, ZONE_LABEL, host_subnet, infrastructure,
    namespace, net_namespace, node, peer_lock, pool,
};
pub use self::operator::{Launch, Operator};
pub use self::outcome::{HostSubnetState, NamespaceState, Outcome};
pub use self::proxy::{Matcher, Proxy, Rule};
pub use self::server::User;
pub use self::stage::{While, ranges, serving, two_zones};
pub use self::wait::{eventually, reads, until};

pub mod audit;
pub mod azure;
pub mod bootstrap;
pub mod dump;
pub mod etcd;
pub mod history;
pub mod http;
pub mod kinds;
pub mod openshift;
pub mod ovn;
pub mod process;
pub mod program;
pub mod rights;

mod cluster;
mod objects;
#[path = "../apiserver/obtain.rs"]
mod obtain;
mod operator;
mod outcome;
mod pool;
mod ports;
mod proxy;
mod reset;
mod rundir;
mod server;
mod stage;
mod told;
pub mod tunnel;
mod wait;

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a folder of the workspace")
}
