//! What a policy may use.

use std::thread;
use std::time::Duration;

use serde::{Serialize, Serializer};
use sluice_core::snapshot::Snapshot;

use crate::memory;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Every limit, with the defaults for a policy that a cluster administrator installs.
///
/// Fuel is the contract: the same on every machine. Wall-clock limits are the backstop for work that fuel does not
/// see, and depend on the machine. Each limit has its own error that names the limit and what was used or asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Size of the component. The largest useful ones (a JavaScript engine, `CPython`) have 12 to 19 MB.
    pub component_bytes: usize,
    /// Time to compile. A 19 MB component takes 13 s on two cores.
    #[serde(serialize_with = "seconds")]
    pub compile_wall: Duration,
    /// Address space of the compile child: half of what the container may have, 4 GiB where nothing limits it. Compiling
    /// an 18 MB component needs 400 MB resident; allocator arenas and thread stacks reserve more than they use.
    pub compile_memory: u64,
    /// Size of the compiled code; it is two to three times the component's.
    pub artifact_bytes: usize,
    /// Bytes of one core instance outside its memories and tables: globals and function references. With
    /// `core_instances` of them at most 200 MiB.
    pub instance_bytes: usize,
    /// All memories together. 10,000 owners need 4 MB in Rust, 20 MB in languages with an engine inside.
    pub memory_bytes: usize,
    /// Number of memories. Rust needs one, a composed component one for each part; each reserves gigabytes of
    /// address space.
    pub memories: usize,
    /// Elements of all tables together, a pointer each: 800 KB.
    pub table_elements: usize,
    /// Number of tables. One for each core instance that has its own; most share one.
    pub tables: usize,
    /// Number of core instances. Python components need more than 32.
    pub core_instances: usize,
    /// Number of component-model handles alive at once. The contract has no resources, so honest policies need none.
    pub handles: usize,
    /// Fuel of a plan, apart from what grows with the snapshot. Also pays for an engine that starts in the guest.
    pub plan_fuel: u64,
    /// Fuel of a plan for each owner, node and zone. At 10,000 owners a plan took 34 million units in Rust and 2.4
    /// billion in JavaScript, and may use 10 billion.
    pub plan_fuel_per_item: u64,
    /// Fuel of each other call: a start of the largest engines, and settings that fit `settings_bytes`.
    pub other_fuel: u64,
    /// Wall-clock time of a plan; tried once more with twice the time.
    #[serde(serialize_with = "seconds")]
    pub plan_wall: Duration,
    /// Wall-clock time of each other call; tried once more with twice the time.
    #[serde(serialize_with = "seconds")]
    pub other_wall: Duration,
    /// Bytes the host copies out of the guest in one answer or log message, apart from what grows with the snapshot. A
    /// full plan for 10,000 owners in 3 zones has about 6 MB.
    pub hostcall_bytes: usize,
    /// Bytes more for a plan, for each owner and zone of its pool, up to `memory_bytes`. A first plan of `zone-spread` has 144 for each.
    pub hostcall_bytes_per_owner_zone: usize,
    /// Patches of a plan for each owner and zone: take away and give, off a node and onto another.
    pub patches_per_owner_zone: usize,
    /// Patches of a plan besides: for addresses that nobody holds any more.
    pub patches_base: usize,
    /// Holds of a plan for each owner and zone; one for each owner is added for holds without a zone.
    pub holds_per_owner_zone: usize,
    /// Bytes of a text: a line or two in a condition or a column. In patches, holds and messages; the rest is cut off.
    pub text_bytes: usize,
    /// Problems a policy may report with its settings, more than anyone reads; the rest is cut off.
    pub problems: usize,
    /// Log records of a call: one for every fortieth owner at full size. The rest is dropped and counted.
    pub log_records: usize,
    /// Bytes of all log messages of a call: records are kept with decisions. The rest is dropped and counted.
    pub log_bytes: usize,
    /// Bytes of one log message: a panic with its place fits. The rest is cut off.
    pub log_message_bytes: usize,
    /// Size of the settings: they live in a custom resource next to much else.
    pub settings_bytes: usize,
    /// Size of the settings' schema: that of a policy with dozens of settings has a few KB.
    pub schema_bytes: usize,
    /// Depth of the settings' schema, references followed. Settings are read by people.
    pub schema_depth: usize,
    /// Parts of the settings' schema with each `$ref` replaced by what it refers to. Checking settings takes no
    /// fuel, and a few lines of references can stand for more parts than there are atoms.
    pub schema_nodes: usize,
    /// Calls that run at once, over all policies of a host; the others wait. At least two, of which the one in charge has
    /// one to itself; each reserves address space for all memories that it may have.
    pub concurrent_calls: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            component_bytes: 32 * MIB,
            compile_wall: Duration::from_mins(2),
            compile_memory: memory::for_compiling(),
            artifact_bytes: 256 * MIB,
            instance_bytes: MIB,
            memory_bytes: 256 * MIB,
            memories: 8,
            table_elements: 100_000,
            tables: 64,
            core_instances: 200,
            handles: 1024,
            plan_fuel: 4_000_000_000,
            plan_fuel_per_item: 500_000,
            other_fuel: 1_000_000_000,
            plan_wall: Duration::from_secs(10),
            other_wall: Duration::from_secs(2),
            hostcall_bytes: 32 * MIB,
            hostcall_bytes_per_owner_zone: 256,
            patches_per_owner_zone: 4,
            patches_base: 1024,
            holds_per_owner_zone: 1,
            text_bytes: 256,
            problems: 64,
            log_records: 256,
            log_bytes: 64 * KIB,
            log_message_bytes: KIB,
            settings_bytes: 64 * KIB,
            schema_bytes: 64 * KIB,
            schema_depth: 32,
            schema_nodes: 10_000,
            concurrent_calls: thread::available_parallelism().map_or(2, |count| count.get().clamp(2, 8)),
        }
    }
}

impl Limits {
    /// Fuel for a plan from this snapshot.
    pub fn fuel_for(&self, snapshot: &Snapshot) -> u64 {
        let items = snapshot.owners.len() + snapshot.nodes.len() + snapshot.zones.len();
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        self.plan_fuel.saturating_add(self.plan_fuel_per_item.saturating_mul(items))
    }

    /// Bytes the host copies out of the guest in a plan from this snapshot: never more than the guest may have, unless
    /// that is less than any call may copy.
    pub fn hostcall_bytes_for(&self, snapshot: &Snapshot) -> usize {
        let mut zones = vec![0_usize; snapshot.pools.len()];
        for zone in &snapshot.zones {
            zones.get_mut(zone.pool.position()).into_iter().for_each(|count| *count += 1);
        }
        let pairs: usize = snapshot.owners.iter().filter_map(|owner| zones.get(owner.pool.position())).sum();
        let scaled = self.hostcall_bytes.saturating_add(self.hostcall_bytes_per_owner_zone.saturating_mul(pairs));
        scaled.min(self.memory_bytes).max(self.hostcall_bytes)
    }

    /// Most patches in a plan from this snapshot.
    pub fn patches_for(&self, snapshot: &Snapshot) -> usize {
        let pairs = snapshot.owners.len().saturating_mul(snapshot.zones.len());
        let most = self.patches_per_owner_zone.saturating_mul(pairs).saturating_add(self.patches_base);
        most.saturating_add(allocations(snapshot))
    }

    /// Most holds in a plan from this snapshot.
    pub fn holds_for(&self, snapshot: &Snapshot) -> usize {
        let owners = snapshot.owners.len();
        let pairs = owners.saturating_mul(snapshot.zones.len());
        let most = self.holds_per_owner_zone.saturating_mul(pairs).saturating_add(owners);
        most.saturating_add(allocations(snapshot))
    }
}

/// Each may have to be moved, released or held: an owner may be found with many more addresses than it should have.
fn allocations(snapshot: &Snapshot) -> usize {
    snapshot.owners.iter().map(|owner| owner.allocations.len()).sum()
}

/// A time as a number of seconds.
pub(crate) fn seconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}
