//! What the API server says was asked of it: an account of requests that no client can touch up.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds;
use super::server::User;
use super::wait::eventually;

const DEADLINE: Duration = Duration::from_secs(20);

/// Reads the audit log of one API server.
#[derive(Clone)]
pub struct AuditLog {
    path: PathBuf,
    tester: Client,
    /// Where the present scenario begins.
    beginning: Mark,
}

/// A place in the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mark(u64);

impl Mark {
    /// The end of the log at `path`.
    pub fn end_of(path: &Path) -> Self {
        Self(path.metadata().map_or(0, |metadata| metadata.len()))
    }
}

/// Notes in the log that the server was killed: what was open then is never answered.
pub fn note_restart(path: &Path) {
    let note = json!({ "stage": RESTART }).to_string() + "\n";
    let mut log = File::options().append(true).open(path).expect("the server has an audit log");
    log.write_all(note.as_bytes()).expect("the run folder is writable");
}

const RESTART: &str = "Restart";

/// One answered request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asked: `sluice`, `openshift` or `tester`.
    pub user: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`...
    pub verb: String,
    /// Such as `netnamespaces` or `egressipams/status`.
    pub resource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// The HTTP status.
    pub code: u64,
    /// It was refused for want of a right. An admission may refuse with the same status, such as for a namespace that goes.
    pub is_forbidden: bool,
    /// The client's name for itself.
    pub agent: String,
}

impl Request {
    /// Whether it could change something. A review is a question, whatever its verb.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !self.resource.ends_with("reviews")
    }
}

impl fmt::Display for Request {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {} {}", self.user, self.verb, self.resource, self.name)?;
        if self.code < 400 { Ok(()) } else { write!(out, " -> {}", self.code) }
    }
}

/// Some requests, in the order in which they were answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requests(Vec<Request>);

impl Requests {
    /// Those by one user.
    pub fn by(self, user: User) -> Self {
        self.that(|request| request.user == user.name())
    }

    /// Those that could change something.
    pub fn writes(self) -> Self {
        self.that(Request::is_write)
    }

    /// Those on a resource such as `netnamespaces` or `egressipams/status`.
    pub fn on(self, resource: &str) -> Self {
        self.that(|request| request.resource == resource)
    }

    /// Those not on these resources.
    pub fn except(self, resources: &[&str]) -> Self {
        self.that(|request| !resources.contains(&request.resource.as_str()))
    }

    /// Those that hold a condition.
    pub fn that(mut self, keep: impl FnMut(&Request) -> bool) -> Self {
        self.0.retain(keep);
        self
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.0.iter()
    }

    /// `verb resource: count`, one a line, sorted.
    pub fn summary(&self) -> String {
        let mut counts = BTreeMap::<_, usize>::new();
        for request in &self.0 {
            *counts.entry((&request.verb, &request.resource)).or_default() += 1;
        }
        let line = |((verb, resource), count): (&(&String, &String), &usize)| format!("{verb} {resource}: {count}\n");
        counts.iter().map(line).collect()
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|request| writeln!(out, "{request}"))
    }
}

impl AuditLog {
    /// The log at `path`; `tester` is a client that may ask anything.
    pub fn new(path: PathBuf, beginning: Mark, tester: Client) -> Self {
        Self { path, tester, beginning }
    }

    /// Waits until every write that has reached the server since the scenario's beginning is done: also those whose client is gone.
    pub async fn no_write_is_open(&self) {
        self.flush(&mut Tail::from(&self.path, self.beginning)).await;
    }

    /// The end of the log, with everything answered so far before it.
    pub async fn mark(&self) -> Mark {
        let mut tail = Tail::at_end(&self.path);
        self.flush(&mut tail).await;
        Mark(tail.offset)
    }

    /// Everything since `mark` that was answered before this call.
    pub async fn since(&self, mark: Mark) -> Requests {
        let mut tail = Tail::from(&self.path, mark);
        self.flush(&mut tail).await;
        Requests(tail.answered.into_iter().filter(|request| !is_sentinel(request)).collect())
    }

    /// Waits until `user` has written nothing for `quiet`, leases aside, and returns what it wrote before that.
    pub async fn silence(&self, user: User, quiet: Duration, deadline: Duration) -> Requests {
        let mut tail = Tail::at_end(&self.path);
        let mut last_write = Instant::now();
        let mut written = Requests::default();
        eventually("the operator stops writing", deadline, || {
            tail.read();
            let new = Requests(std::mem::take(&mut tail.answered)).by(user).writes().except(&["leases"]);
            if new.count() > 0 || tail.has_open_writes(user) {
                last_write = Instant::now();
            }
            written.0.extend(new.0);
            let silent = last_write.elapsed() >= quiet;
            let answer = if silent { Ok(written.clone()) } else { Err(written.summary()) };
            async move { answer }
        })
        .await
    }

    /// Reads until a request made now is in the log, and every write that came before it is answered there.
    ///
    /// The server logs a request when it comes in and, after the client has its answer, once more: the second line may be late.
    async fn flush(&self, tail: &mut Tail) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let sentinel = format!("{SENTINEL}{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let config_maps = kinds::within(&self.tester, "ConfigMap", Some("default"));
        config_maps.get_opt(&sentinel).await.unwrap_or_else(|error| panic!("audit sentinel: {error}"));
        let mut open_at_sentinel = None;
        eventually("the audit log is up to date", DEADLINE, || {
            tail.read();
            let arrived = tail.answered.iter().any(|request| request.name == sentinel);
            if arrived && open_at_sentinel.is_none() {
                open_at_sentinel = Some(tail.open_writes());
            }
            let open =
                open_at_sentinel.as_ref().map(|open| open.iter().filter(|id| tail.open.contains_key(*id)).count());
            let answer = if open == Some(0) { Ok(()) } else { Err(format!("sentinel seen, open writes: {open:?}")) };
            async move { answer }
        })
        .await;
    }
}

const SENTINEL: &str = "audit-sentinel-";

fn is_sentinel(request: &Request) -> bool {
    request.name.starts_with(SENTINEL)
}

/// Reads a growing log, whole lines only.
struct Tail {
    path: PathBuf,
    offset: u64,
    open: HashMap<String, Request>,
    answered: Vec<Request>,
}

impl Tail {
    fn from(path: &Path, mark: Mark) -> Self {
        Self { path: path.into(), offset: mark.0, open: HashMap::new(), answered: Vec::new() }
    }

    fn at_end(path: &Path) -> Self {
        Self::from(path, Mark::end_of(path))
    }

    fn read(&mut self) {
        let mut file = File::open(&self.path).expect("the server has an audit log");
        file.seek(SeekFrom::Start(self.offset)).expect("files can be sought");
        let mut text = Vec::new();
        file.read_to_end(&mut text).expect("the audit log is readable");
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else { return };
        text.truncate(end + 1);
        self.offset += text.len() as u64;
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // A mark may have been taken inside a line that was just being written.
            if let Ok(event) = serde_json::from_slice(line) {
                self.take(&event);
            }
        }
    }

    /// A watch counts as answered when its stream starts: it may never end.
    fn take(&mut self, event: &Value) {
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let request = Request {
            user: User::of_account(&text("/user/username"))
                .map_or_else(|| text("/user/username"), |user| user.name().to_owned()),
            verb: text("/verb"),
            resource: match text("/objectRef/subresource").as_str() {
                "" => text("/objectRef/resource"),
                subresource => format!("{}/{subresource}", text("/objectRef/resource")),
            },
            namespace: text("/objectRef/namespace"),
            name: text("/objectRef/name"),
            code: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default(),
            is_forbidden: text("/annotations/authorization.k8s.io~1decision") == "forbid",
            agent: text("/userAgent"),
        };
        match (text("/stage").as_str(), request.verb.as_str()) {
            (RESTART, _) => self.open.clear(),
            ("RequestReceived", _) => drop(self.open.insert(text("/auditID"), request)),
            ("ResponseStarted", "watch") => self.answered.push(request),
            ("ResponseComplete" | "Panic", verb) => {
                let known = self.open.remove(&text("/auditID")).is_some();
                if verb != "watch" || (known && request.code >= 400) {
                    self.answered.push(request);
                }
            }
            _ => {}
        }
    }

    fn open_writes(&self) -> Vec<String> {
        self.open.iter().filter(|(_, request)| request.is_write()).map(|(id, _)| id.clone()).collect()
    }

    fn has_open_writes(&self, user: User) -> bool {
        self.open
            .values()
            .any(|request| request.is_write() && request.user == user.name() && request.resource != "leases")
    }
}
