//! The handle of a running simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::config::Config;
use crate::fault::{Denial, Fault};
use crate::http::{Shared, serve};
use crate::request::Logged;
use crate::resource::key;
use crate::settings::Settings;
use crate::token::Client;
use crate::world::World;

/// A running simulator: the authority's and Resource Manager's endpoint on one loopback port. It stops when the last
/// clone of the handle goes.
#[derive(Clone, Debug)]
pub struct Arm {
    pub(crate) shared: Arc<Shared>,
    base: String,
    _task: Arc<Task>,
}

#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Arm {
    /// Starts a simulator of an empty cloud. Needs a Tokio runtime.
    pub async fn start(settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        let clock = Clock::new(settings.scale);
        let shared = Arc::new(Shared { clock, world: Mutex::new(World::new(settings, &base)) });
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, base, _task: Arc::new(Task(task.abort_handle())) })
    }

    /// The endpoint, of Resource Manager and of the authority: `http://127.0.0.1:port`.
    pub fn base_url(&self) -> &str {
        &self.base
    }

    /// From now on its own addresses begin with `base`: it stands behind something that has another name.
    pub fn goes_by(&self, base: &str) {
        base.clone_into(&mut self.shared.world().base);
    }

    /// The virtual clock.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// Changes settings from now on. A new `seed` or `scale` has no effect.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.shared.world().settings);
    }

    /// Adds an application that may have tokens, or changes its credentials.
    pub fn put_client(&self, client: Client) {
        self.shared.world().tokens.put_client(client);
    }

    /// A token of a principal that never expires.
    pub fn bearer(&self, principal: &str) -> String {
        let mut world = self.shared.world();
        let token = format!("simulated-{}", world.guid());
        world.tokens.issue(&token, principal, None);
        token
    }

    /// Makes all tokens invalid.
    pub fn revoke_tokens(&self) {
        self.shared.world().tokens.revoke();
    }

    /// Injects a fault.
    pub fn inject(&self, fault: Fault) {
        self.shared.world().faults.add(fault);
    }

    /// Takes all faults back.
    pub fn clear_faults(&self) {
        self.shared.world().faults.clear();
    }

    /// Withholds a permission, of every principal.
    pub fn deny(&self, denial: Denial) {
        self.shared.world().denials.push(denial);
    }

    /// Gives all permissions back.
    pub fn allow_all(&self) {
        self.shared.world().denials.clear();
    }

    /// The actions that requests took so far: what their principals had to be permitted, e.g.
    /// `Microsoft.Network/networkInterfaces/read`.
    pub fn actions(&self) -> BTreeSet<String> {
        self.shared.world().taken.clone()
    }

    /// A resource as it is stored, read without a request.
    pub fn resource(&self, id: &str) -> Option<Value> {
        let mut world = self.shared.world();
        world.settle(self.clock().now());
        world.resources.get(&key(id)).cloned()
    }

    /// The names of a NIC's configurations and their addresses; empty if there is no such NIC.
    pub fn addresses(&self, nic: &str) -> BTreeMap<String, String> {
        let body = self.resource(nic).unwrap_or_default();
        let configs = Config::read_all(nic, &body).into_iter();
        configs.filter_map(|config| Some((config.name, config.address?))).collect()
    }

    /// Whether an operation runs on a NIC.
    pub fn is_busy(&self, nic: &str) -> bool {
        let mut world = self.shared.world();
        world.settle(self.clock().now());
        world.running.contains_key(&key(nic))
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Logged> {
        self.shared.world().log.clone()
    }

    /// How many requests there were of each method.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for logged in &self.shared.world().log {
            *counts.entry(logged.method.clone()).or_default() += 1;
        }
        counts
    }

    /// How many requests there were of a method whose path contains a text, in any case.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let path = path.to_ascii_lowercase();
        let world = self.shared.world();
        let fits = |logged: &&Logged| logged.method == method && logged.path.to_ascii_lowercase().contains(&path);
        world.log.iter().filter(fits).count()
    }

    /// Calls `hook` after each request from now on: what it did is done, it is not answered yet, and no other request
    /// comes in between. The hook must not use the handle. There is one hook.
    pub fn on_request(&self, hook: impl FnMut(&Logged) + Send + 'static) {
        self.shared.world().hook.set(hook);
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        self.shared.world().log.clear();
    }
}
