//! Leadership: one replica writes, the others plan and wait.
//!
//! The lease only keeps replicas out of each other's way. What makes two writers harmless are the preconditions of the
//! writes, so a lease that was lost a moment ago does no damage.

use std::fs;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Name of the Lease.
const LEASE: &str = "sluice";
/// A lease that is not renewed for so long is free. Longer than the deadline of a write.
const DURATION_SECONDS: u64 = 15;
/// So long before it ends it is renewed.
const GRACE_SECONDS: u64 = 5;
/// Longest silence in an exchange about the lease.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// So long renewing may fail before we stop writing. With `PATIENCE` it ends before the lease does.
const STEP_DOWN: Duration = Duration::from_secs(2);
/// How often somebody who does not lead looks whether the lease is free.
const LOOK: Duration = Duration::from_secs(2);
/// Before trying again after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest that giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(1);

/// Who competes for the lease.
pub(super) struct Candidate {
    /// A client that waits no longer than [`PATIENCE`].
    pub(super) client: Client,
    /// Where the Lease is.
    pub(super) namespace: String,
    /// Who we are.
    pub(super) identity: Identity,
    /// Where it is told.
    pub(super) leads: watch::Sender<bool>,
}

/// Whose name stands in the lease. A process that was killed and started again should not have to wait for its own lease.
pub(super) enum Identity {
    /// The name of a pod, the same after a restart of its container.
    Pod(String),
    /// A process on a machine that may run several. Takes over the name of a predecessor that is dead.
    Process {
        /// The machine's name.
        machine: String,
    },
}

impl Identity {
    /// The name to compete under, given whose name stands in the lease.
    fn name(&self, holder: Option<&str>) -> String {
        let machine = match self {
            Self::Pod(name) => return name.clone(),
            Self::Process { machine } => machine,
        };
        let predecessor = holder.filter(|holder| {
            let process = holder.strip_prefix(machine.as_str()).and_then(|rest| rest.strip_prefix('_'));
            process.and_then(|process| process.parse::<u32>().ok()).is_some_and(|process| !is_alive(process))
        });
        predecessor.map_or_else(|| format!("{machine}_{}", std::process::id()), str::to_owned)
    }
}

/// Whether a process runs. One that nobody has waited for yet is listed, as a zombie.
fn is_alive(process: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{process}/stat"));
    state.is_ok_and(|line| line.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X'])))
}

impl Candidate {
    /// Competes until `stop`, then gives the lease back.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut failing_since = None;
        let mut name = None;
        while !stop.is_cancelled() {
            let manager = tokio::select! {
                () = stop.cancelled() => break,
                manager = self.manager(&mut name) => manager,
            };
            let failure = match manager {
                Ok(manager) => {
                    let failure = self.follow(&manager, &stop, &mut failing_since).await;
                    if stop.is_cancelled() {
                        // Fails only if the API server is gone; then the lease ends by itself.
                        let _ = timeout(RELEASE, manager.release()).await;
                        break;
                    }
                    failure
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failure {
                self.failed(&error, &mut failing_since).await;
            }
        }
        self.leads.send_replace(false);
    }

    /// Follows the lease until something fails, or until it is time for a fresh look.
    async fn follow(
        &self,
        manager: &LeaseManager,
        stop: &CancellationToken,
        failing_since: &mut Option<Instant>,
    ) -> Option<LeaseManagerError> {
        let mut leads = false;
        loop {
            let changed = tokio::select! {
                () = stop.cancelled() => return None,
                changed = manager.changed() => changed,
                // A lease that was given back is free long before the time we have read.
                () = sleep(LOOK), if !leads => {
                    *failing_since = None;
                    self.tell(false);
                    return None;
                }
            };
            match changed {
                Ok(now) => {
                    (leads, *failing_since) = (now, None);
                    self.tell(now);
                }
                Err(error) => return Some(error),
            }
        }
    }

    async fn failed(&self, error: &LeaseManagerError, failing_since: &mut Option<Instant>) {
        let since = *failing_since.get_or_insert_with(Instant::now);
        warn!(lease = LEASE, namespace = self.namespace, %error, "cannot elect a leader");
        if self.namespace_is_missing(error) {
            warn!(namespace = self.namespace, "the namespace does not exist: this process leads without a lease");
            self.tell(true);
        } else if since.elapsed() >= STEP_DOWN {
            self.tell(false);
        }
        sleep(PAUSE).await;
    }

    /// Nobody else can hold a lease in a namespace that is not there. The manager creates the Lease if need be, so
    /// what is not found is the namespace.
    fn namespace_is_missing(&self, error: &LeaseManagerError) -> bool {
        error.to_string().contains(&format!("namespaces \"{}\" not found", self.namespace))
    }

    fn tell(&self, leads: bool) {
        if self.leads.send_replace(leads) != leads {
            info!(lease = LEASE, leads, "leadership changed");
        }
    }

    /// `name` is what we compete under, once that is known.
    async fn manager(&self, name: &mut Option<String>) -> Result<LeaseManager, LeaseManagerError> {
        let name = if let Some(name) = name {
            name
        } else {
            let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
            let holder = leases.get_opt(LEASE).await?.and_then(|lease| lease.spec?.holder_identity);
            name.insert(self.identity.name(holder.as_deref()))
        };
        LeaseManagerBuilder::new(self.client.clone(), LEASE)
            .with_namespace(&self.namespace)
            .with_identity(name.as_str())
            .with_duration(DURATION_SECONDS)
            .with_grace(GRACE_SECONDS)
            .build()
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::Identity;

    #[test]
    fn a_process_takes_over_the_name_of_a_dead_predecessor_only() {
        let process = Identity::Process { machine: "host".to_owned() };
        let own = format!("host_{}", std::process::id());
        // No machine has that many processes.
        let dead = format!("host_{}", u32::MAX);
        assert_eq!(process.name(Some(&dead)), dead);
        for other in [None, Some("host_1"), Some("other_4294967295"), Some("host_"), Some("host")] {
            assert_eq!(process.name(other), own);
        }
        assert_eq!(Identity::Pod("sluice-0".to_owned()).name(Some(&dead)), "sluice-0");
    }
}
