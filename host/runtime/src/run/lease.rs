//! Leadership: one replica writes, the others plan and wait.
//!
//! The lease only keeps replicas out of each other's way. What makes two writers harmless are the preconditions of the
//! writes, so a lease that was lost a moment ago does no damage.

mod election;

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use sluice_kube::names::FIELD_MANAGER;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::election::{Election, RENEW_DEADLINE, Step};

/// Name of the Lease.
const LEASE: &str = "sluice";
/// How often the lease is renewed, and how often somebody who does not lead looks whether it is free.
const LOOK: Duration = Duration::from_secs(2);
/// Before trying again after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest that one exchange about the lease may take. Two of them that hang leave time for a third before we step down.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Longest that giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(1);
/// As good as for ever.
const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);

/// Until when this process leads. It ends by itself: nobody has to wake up to end it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Term {
    until: Option<Instant>,
}

impl Term {
    /// Of a process that has no rivals.
    pub(super) fn for_ever() -> Self {
        Self { until: Some(Instant::now() + FOR_EVER) }
    }

    /// Whether this process leads now.
    pub(super) fn holds(self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

/// Waits until this process does not lead. It is told as soon as that is known, and knows itself when its time is over.
pub(super) async fn ended(mut leads: watch::Receiver<Term>) {
    loop {
        let term = *leads.borrow_and_update();
        let Some(until) = term.until.filter(|_| term.holds()) else { return };
        tokio::select! {
            () = sleep_until(until) => {}
            changed = leads.changed() => if changed.is_err() {
                // Nobody will extend it any more.
                sleep_until(until).await;
            }
        }
    }
}

/// Who competes for the lease.
pub(super) struct Candidate {
    /// A client that waits no longer than [`PATIENCE`].
    pub(super) client: Client,
    /// Where the Lease is.
    pub(super) namespace: String,
    /// Who we are.
    pub(super) identity: Identity,
    /// Where it is told. Whoever listens wakes when leading begins or ends, and not when a term is extended.
    pub(super) leads: watch::Sender<Term>,
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

/// Why an exchange about the lease failed.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silence,
    #[error(transparent)]
    Refused(#[from] kube::Error),
}

impl Failure {
    fn has_code(&self, code: u16) -> bool {
        matches!(self, Self::Refused(kube::Error::Api(status)) if status.code == code)
    }

    /// Whether the lease is not what it was: somebody else was faster, or it was deleted or created meanwhile.
    fn is_lost_race(&self) -> bool {
        self.has_code(409) || self.has_code(404)
    }
}

impl Candidate {
    /// Competes until `stop`, then gives the lease back.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut election = None;
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.compete(&mut election) => {}
            () = self.expire() => {}
        }
        self.leads.send_replace(Term::default());
        if let Some(election) = &mut election {
            // Fails only if the API server is gone; then the lease ends by itself.
            let _ = timeout(RELEASE, self.give_back(election)).await;
        }
    }

    /// Gives the lease back. A renewal that was under way may have changed it, so there is a second look.
    async fn give_back(&self, election: &mut Election) {
        for _ in 0..2 {
            let Some(patch) = election.release() else { return };
            match within(self.leases().patch(LEASE, &params(), &Patch::Merge(patch))).await {
                Err(failure) if failure.is_lost_race() => {}
                _ => return,
            }
            let Ok(found) = within(self.leases().get_opt(LEASE)).await else { return };
            election.look(found, Instant::now());
        }
    }

    /// Tries for the lease, and renews it, for ever. `election` is there once we know under which name.
    async fn compete(&self, election: &mut Option<Election>) {
        let mut is_sure = false;
        loop {
            let sent = Instant::now();
            match self.attempt(election, is_sure).await {
                Ok(()) => {
                    is_sure = true;
                    sleep(LOOK).await;
                }
                Err(error) => {
                    is_sure = false;
                    warn!(lease = LEASE, namespace = self.namespace, %error, "cannot elect a leader");
                    if self.namespace_is_missing(&error) {
                        let namespace = &self.namespace;
                        warn!(namespace, "the namespace does not exist: this process leads without a lease");
                        self.tell(Some(sent + RENEW_DEADLINE));
                    }
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// One look and one step. Who leads renews without a look, as long as nothing went wrong (`is_sure`): should the lease
    /// not be what it was, the step is refused, and there is another look and another step at once.
    async fn attempt(&self, election: &mut Option<Election>, is_sure: bool) -> Result<(), Failure> {
        match election {
            Some(election) if is_sure && election.leads_until().is_some() => match self.step(election).await {
                Err(failure) if failure.is_lost_race() => {}
                other => return other,
            },
            _ => {}
        }
        let found = within(self.leases().get_opt(LEASE)).await?;
        let now = Instant::now();
        let holder = || found.as_ref().and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
        let election = election.get_or_insert_with(|| Election::new(self.identity.name(holder().as_deref())));
        election.look(found, now);
        self.tell(election.leads_until());
        self.step(election).await
    }

    async fn step(&self, election: &mut Election) -> Result<(), Failure> {
        let sent = Instant::now();
        let answer = match election.next(sent, Timestamp::now()) {
            Step::Wait => return Ok(()),
            Step::Create(spec) => {
                let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
                let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
                within(self.leases().create(&params, &Lease { metadata, spec: Some(spec) })).await?
            }
            Step::Patch(patch) => within(self.leases().patch(LEASE, &params(), &Patch::Merge(patch))).await?,
        };
        election.written(answer, sent);
        self.tell(election.leads_until());
        Ok(())
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Nobody else can hold a lease in a namespace that is not there.
    fn namespace_is_missing(&self, error: &Failure) -> bool {
        error.has_code(404) && error.to_string().contains(&format!("namespaces \"{}\" not found", self.namespace))
    }

    fn tell(&self, until: Option<Instant>) {
        let term = Term { until };
        let leads = term.holds();
        let changed = self.leads.send_if_modified(|told| {
            let before = std::mem::replace(told, term);
            // One that ran out a moment ago may not have been told yet.
            before.holds() != leads || before.until.is_some() != until.is_some()
        });
        if changed {
            info!(lease = LEASE, leads, "leadership changed");
        }
    }

    /// Says that a term is over when it was not extended in time: an exchange that hangs must not delay that. Never ends.
    async fn expire(&self) {
        let mut told = self.leads.subscribe();
        loop {
            let until = told.borrow_and_update().until;
            match until {
                None => {
                    if told.changed().await.is_err() {
                        return;
                    }
                }
                Some(until) => {
                    tokio::select! {
                        () = sleep_until(until) => {}
                        _ = told.changed() => continue,
                    }
                    let mut is_over = false;
                    self.leads.send_if_modified(|term| {
                        is_over = term.until.is_some() && !term.holds();
                        if is_over {
                            *term = Term::default();
                        }
                        is_over
                    });
                    if is_over {
                        warn!(lease = LEASE, "cannot renew the lease: this process stops writing before it ends");
                        info!(lease = LEASE, leads = false, "leadership changed");
                    }
                }
            }
        }
    }
}

async fn within<T>(exchange: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
    Ok(timeout(PATIENCE, exchange).await.map_err(|_| Failure::Silence)??)
}

fn params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
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
