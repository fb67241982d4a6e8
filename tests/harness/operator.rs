//! The real binary, running against a cluster.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, thread};

use hyper::StatusCode;
use nix::sys::signal::Signal;

use super::bootstrap::OPERATOR_NAMESPACE;
use super::process::Process;
use super::proxy::Proxy;
use super::wait::eventually;
use super::{Cluster, http, ports};

const READY_DEADLINE: Duration = Duration::from_secs(20);
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How to start an operator.
pub struct Launch {
    cluster: Cluster,
    kubeconfig: PathBuf,
    target: Option<super::proxy::Target>,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Launch {
    /// Talks to the API server through a proxy, which may then kill it.
    pub fn through(mut self, proxy: &Proxy) -> Self {
        self.kubeconfig = proxy.kubeconfig().into();
        self.target = Some(proxy.target());
        self
    }

    /// With more arguments.
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// With another environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts it and waits until it says it is ready.
    pub async fn start(self) -> Operator {
        let operator = self.spawn();
        operator.ready().await;
        operator
    }

    /// Starts it and does not wait.
    pub fn spawn(self) -> Operator {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let log = self.cluster.folder().join(format!("operator-{}.log", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let (metrics, health) = (ports::free_address(), ports::free_address());
        let mut command = Command::new(self.program);
        let file = fs::File::create(&log).expect("the run folder is writable");
        command
            .arg("run")
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["--metrics-bind-address", &metrics.to_string()])
            .args(["--health-probe-bind-address", &health.to_string()])
            .args(["--log", "json"])
            .args(self.arguments)
            .env("NAMESPACE", OPERATOR_NAMESPACE)
            .env("RUST_BACKTRACE", "1")
            .envs(self.environment)
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().expect("a file can be cloned"))
            .stderr(file);
        let process =
            Process::spawn("sluice", command).unwrap_or_else(|error| panic!("sluice does not start: {error}"));
        if let Some(target) = self.target {
            target.set(process.clone());
        }
        Operator { _cluster: self.cluster, process, metrics, health, log }
    }
}

/// A running operator. Killed when dropped; its log is printed if the test fails.
pub struct Operator {
    /// The server stays leased for as long as this may write to it.
    _cluster: Cluster,
    process: Process,
    metrics: SocketAddr,
    health: SocketAddr,
    log: PathBuf,
}

impl Operator {
    /// How to start one on `cluster`.
    pub fn launch(cluster: &Cluster) -> Launch {
        Launch {
            cluster: cluster.clone(),
            kubeconfig: cluster.sluice_kubeconfig(),
            target: None,
            program: env!("CARGO_BIN_EXE_sluice").into(),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Starts one on `cluster` and waits until it is ready.
    pub async fn start(cluster: &Cluster) -> Self {
        Self::launch(cluster).start().await
    }

    /// Waits until `/readyz` says so.
    pub async fn ready(&self) {
        eventually("the operator is ready", READY_DEADLINE, || async {
            assert!(self.process.status().is_none(), "sluice ended: {:?}", self.process.status());
            match http::get(self.health, "/readyz").await? {
                (StatusCode::OK, _) => Ok(()),
                (status, body) => Err(format!("{status} {body}")),
            }
        })
        .await;
    }

    /// SIGTERM; it has to end well within 5 s.
    pub async fn stop(&self) {
        self.process.signal(Signal::SIGTERM);
        match self.process.wait(STOP_DEADLINE).await {
            Some(status) => assert!(status.success(), "sluice ended with {status} on SIGTERM"),
            None => panic!("sluice still runs {STOP_DEADLINE:?} after SIGTERM"),
        }
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// SIGSTOP: it stands still, but its connections and its lease stay.
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Waits until it ends by itself or by a proxy's hand.
    pub async fn ended(&self, deadline: Duration) -> ExitStatus {
        self.process.wait(deadline).await.unwrap_or_else(|| panic!("sluice still runs after {deadline:?}"))
    }

    /// Waits until a SIGKILL has ended it.
    pub async fn was_killed(&self, deadline: Duration) {
        let status = self.ended(deadline).await;
        assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "sluice ended with {status}");
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.process.status().is_none()
    }

    /// A path on the address for probes: status and body.
    pub async fn probe(&self, path: &str) -> Result<(StatusCode, String), String> {
        http::get(self.health, path).await
    }

    /// The address for probes.
    pub fn health(&self) -> SocketAddr {
        self.health
    }

    /// The address for metrics.
    pub fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// A path on the address for metrics: status and body.
    pub async fn page(&self, path: &str) -> Result<(StatusCode, String), String> {
        http::get(self.metrics, path).await
    }

    /// The value of a metric by its name with labels, as `/metrics` prints it.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let (_, text) = self.page("/metrics").await.ok()?;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// A metric summed over all its labels; 0 as long as it is not there.
    pub async fn metric_sum(&self, name: &str) -> f64 {
        let (_, text) = self.page("/metrics").await.unwrap_or_default();
        let of_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        let values = text.lines().filter(of_it).filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.sum()
    }

    /// Waits until it has planned again.
    pub async fn plans_again(&self) {
        let before = self.metric_sum("sluice_rounds_total").await;
        eventually("another round", READY_DEADLINE, || async {
            let now = self.metric_sum("sluice_rounds_total").await;
            if now > before { Ok(()) } else { Err(format!("{now} rounds, as before")) }
        })
        .await;
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- log of sluice (pid {}), {}\n{}---", self.process.id(), self.log.display(), self.log());
        }
        self.process.kill();
    }
}
