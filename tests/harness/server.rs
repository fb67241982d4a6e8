//! One etcd and one kube-apiserver.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{fs, thread};

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

use super::audit::{self, AuditLog, Mark};
use super::etcd::Etcd;
use super::obtain::{self, Binaries};
use super::process::Process;
use super::reset::{Baseline, Unusable};
use super::wait::until;
use super::{bootstrap, ports, rundir};

/// How long a server may take to be ready. Idle machine: 3 s.
const READY_DEADLINE: Duration = Duration::from_secs(90);

const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "rules": [
    { "level": "None", "users": ["system:apiserver", "system:anonymous"] },
    { "level": "Metadata" }
  ]
}"#;

/// Who a client is to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// The tests themselves: may do everything.
    Tester,
    /// The stand-in for OpenShift's controllers: may do everything.
    OpenShift,
    /// The operator: may do what `deploy/rbac/` grants.
    Sluice,
}

impl User {
    const ALL: [Self; 3] = [Self::Tester, Self::OpenShift, Self::Sluice];

    /// The name in scenarios.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tester => "tester",
            Self::OpenShift => "openshift",
            Self::Sluice => "sluice",
        }
    }

    /// The name that the API server knows: the operator is its service account, as in a pod.
    pub fn account(self) -> &'static str {
        match self {
            Self::Sluice => "system:serviceaccount:sluice:sluice",
            other => other.name(),
        }
    }

    /// Who has this name at the API server.
    pub fn of_account(account: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|user| user.account() == account)
    }

    fn token_line(self) -> String {
        let groups = match self {
            Self::Sluice => "system:serviceaccounts,system:serviceaccounts:sluice",
            Self::Tester | Self::OpenShift => "system:masters",
        };
        format!("{0}-token,{1},{0},\"{groups}\"\n", self.name(), self.account())
    }
}

/// A running pair of servers with the project's definitions and rights in place. Ends them when dropped.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    binaries: Binaries,
    etcd_address: SocketAddr,
    address: SocketAddr,
    etcd: Process,
    apiserver: Mutex<Process>,
    baseline: OnceLock<Baseline>,
    /// Where the present scenario begins in the audit log.
    beginning: Mutex<Mark>,
}

impl Server {
    /// Starts both and makes them ready for a first scenario.
    pub async fn start() -> Self {
        let binaries = tokio::task::spawn_blocking(|| obtain::obtain(&module_folder()))
            .await
            .expect("obtaining does not panic")
            .unwrap_or_else(|error| panic!("{error}"));
        let server = Self::launch(binaries);
        server.wait_ready().await;
        let client = server.client(User::Tester).await;
        bootstrap::bootstrap(&client).await;
        let baseline = Baseline::record(&server.database()).await;
        server.baseline.set(baseline).expect("recorded once");
        server
    }

    fn launch(binaries: Binaries) -> Self {
        let folder = rundir::folder("cluster");
        let (etcd_address, address) = (ports::free_address(), ports::free_address());
        write_inputs(&folder);
        let etcd = start_etcd(&binaries, &folder, etcd_address);
        let apiserver = start_apiserver(&binaries, &folder, etcd_address, address);
        Self {
            folder,
            binaries,
            etcd_address,
            address,
            etcd,
            apiserver: Mutex::new(apiserver),
            baseline: OnceLock::new(),
            beginning: Mutex::default(),
        }
    }

    /// The etcd below.
    pub fn database(&self) -> Etcd {
        Etcd::at(self.etcd_address)
    }

    /// Puts the server back to before its first scenario.
    pub async fn reset(&self) -> Result<(), Unusable> {
        let client = self.client(User::Tester).await;
        let baseline = self.baseline.get().expect("recorded at start");
        baseline.restore(&self.database(), &client, &self.audit(client.clone())).await?;
        *self.beginning.lock().unwrap_or_else(PoisonError::into_inner) = Mark::end_of(&self.audit_path());
        Ok(())
    }

    /// The folder with its data and logs; scenarios put theirs here as well.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The audit log, from the present scenario's beginning.
    pub fn audit(&self, tester: Client) -> AuditLog {
        let beginning = *self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        AuditLog::new(self.audit_path(), beginning, tester)
    }

    fn audit_path(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// A new client. Clients belong to the async runtime that made them, so each test makes its own.
    pub async fn client(&self, user: User) -> Client {
        self.try_client(user).await.unwrap_or_else(|error| panic!("client for {}: {error}", user.name()))
    }

    async fn try_client(&self, user: User) -> Result<Client, String> {
        let path = self.kubeconfig(user);
        let kubeconfig = Kubeconfig::read_from(path).map_err(|error| error.to_string())?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| error.to_string())?;
        // A test has to see every answer of the server, and the proxy has to pass each on once.
        config.default_retry = false;
        Client::try_from(config).map_err(|error| error.to_string())
    }

    /// Path of the kubeconfig of `user`.
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        let path = self.folder.join(format!("{}.kubeconfig", user.name()));
        if !path.exists() {
            let authority = self.folder.join("certs/apiserver.crt");
            let cluster = json!({ "server": format!("https://{}", self.address), "certificate-authority": authority });
            write_kubeconfig(&path, &cluster, &json!({ "token": format!("{}-token", user.name()) }));
        }
        path
    }

    /// Kills the API server, not etcd.
    pub fn stop_apiserver(&self) {
        self.apiserver.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// Starts the API server after [`stop_apiserver`](Self::stop_apiserver): same address, same data, empty caches.
    pub async fn start_apiserver(&self) {
        audit::note_restart(&self.audit_path());
        let started = start_apiserver(&self.binaries, &self.folder, self.etcd_address, self.address);
        *self.apiserver.lock().unwrap_or_else(PoisonError::into_inner) = started;
        self.wait_ready().await;
        bootstrap::custom_kinds_are_served(&self.client(User::Tester).await).await;
    }

    async fn wait_ready(&self) {
        let ready = until(READY_DEADLINE, || async {
            if let Some(name) = self.ended_program() {
                return Ok(Err(format!("{name} ended")));
            }
            self.look_ready().await.map(Ok)
        });
        if let Err(problem) = ready.await.unwrap_or_else(|last| Err(format!("not ready in {READY_DEADLINE:?}: {last}")))
        {
            let logs = ["etcd.log", "apiserver.log"].map(|log| tail(&self.folder.join(log)));
            panic!("API server: {problem}\n--- etcd\n{}\n--- kube-apiserver\n{}", logs[0], logs[1]);
        }
    }

    /// Whether both programs run.
    pub fn is_running(&self) -> bool {
        self.ended_program().is_none()
    }

    fn ended_program(&self) -> Option<&'static str> {
        let apiserver = self.apiserver.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = |name, process: &Process| process.status().map(|_| name);
        ended("etcd", &self.etcd).or_else(|| ended("kube-apiserver", &apiserver))
    }

    async fn look_ready(&self) -> Result<(), String> {
        let client = self.try_client(User::Tester).await?;
        let request = hyper::Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
        client.request_text(request).await.map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for Server {
    /// The API server first: without etcd it ignores SIGTERM.
    fn drop(&mut self) {
        let grace = Duration::from_secs(3);
        self.apiserver.get_mut().unwrap_or_else(PoisonError::into_inner).end(grace);
        self.etcd.end(grace);
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Writes a kubeconfig with one cluster and one user.
pub fn write_kubeconfig(path: &Path, cluster: &serde_json::Value, user: &serde_json::Value) {
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": cluster }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    });
    fs::write(path, kubeconfig.to_string()).expect("the run folder is writable");
}

fn module_folder() -> PathBuf {
    super::workspace().join("tests/apiserver")
}

fn write_inputs(folder: &Path) {
    let tokens: String = User::ALL.into_iter().map(User::token_line).collect();
    for (name, text) in [("tokens.csv", tokens.as_str()), ("audit-policy.json", AUDIT_POLICY)] {
        fs::write(folder.join(name), text).expect("the run folder is writable");
    }
}

fn start_etcd(binaries: &Binaries, folder: &Path, address: SocketAddr) -> Process {
    let (client, peer) = (format!("http://{address}"), format!("http://{}", ports::free_address()));
    let mut command = Command::new(&binaries.etcd);
    command
        .args(["--data-dir", "etcd", "--unsafe-no-fsync", "--log-level", "warn"])
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}")])
        .args(["--max-request-bytes", "67108864"]);
    run(command, "etcd", folder)
}

fn start_apiserver(binaries: &Binaries, folder: &Path, etcd: SocketAddr, address: SocketAddr) -> Process {
    let mut command = Command::new(&binaries.apiserver);
    command
        .args(["--etcd-servers", &format!("http://{etcd}"), "--etcd-compaction-interval", "0"])
        .args(["--bind-address", "127.0.0.1", "--secure-port", &address.port().to_string(), "--cert-dir", "certs"])
        .args(["--service-account-key-file", SIGNING_KEY, "--service-account-signing-key-file", SIGNING_KEY])
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC"])
        .args(["--service-cluster-ip-range", "10.96.0.0/16", "--endpoint-reconciler-type", "none"])
        .args(["--disable-admission-plugins", "ServiceAccount", "--profiling=false"])
        .args(["--audit-policy-file", "audit-policy.json", "--audit-log-path", "audit.log"])
        .args(["--audit-log-maxsize", "0"]);
    run(command, "apiserver", folder)
}

fn run(mut command: Command, name: &str, folder: &Path) -> Process {
    let path = folder.join(format!("{name}.log"));
    let log = fs::File::options().create(true).append(true).open(path).expect("the run folder is writable");
    let errors = log.try_clone().expect("a file can be cloned");
    command.current_dir(folder).stdin(std::process::Stdio::null()).stdout(log).stderr(errors);
    Process::spawn(name, command).unwrap_or_else(|error| panic!("{name} does not start: {error}"))
}

/// The last lines of a log.
pub fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}

/// Signs service account tokens, which no test uses; the server does not start without a key. It makes this one itself.
const SIGNING_KEY: &str = "certs/apiserver.key";
