//! Child processes that never outlive the test process.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use nix::sys::prctl;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// A running or ended child. Clones name the same child.
#[derive(Debug, Clone)]
pub struct Process {
    name: String,
    pid: Pid,
    end: Arc<End>,
}

#[derive(Debug, Default)]
struct End {
    status: Mutex<Option<ExitStatus>>,
    ended: Condvar,
}

impl Process {
    /// Starts `command`.
    ///
    /// A thread of its own starts and reaps each child: the kernel sends the parent-death signal when the *thread* that started a
    /// child ends, and test threads end before the processes that tests share.
    pub fn spawn(name: &str, mut command: Command) -> io::Result<Self> {
        let end = Arc::new(End::default());
        let (started, pid) = mpsc::sync_channel(1);
        let reaper = Arc::clone(&end);
        die_with_parent(&mut command);
        thread::Builder::new().name(format!("{name} reaper")).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let pid = Pid::from_raw(i32::try_from(child.id()).expect("process ids fit"));
            let _ = started.send(Ok(pid));
            while waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).is_err() {}
            // The id is free for others only once the child is reaped, and that happens under the lock that `signal` takes.
            let mut status = reaper.status.lock().unwrap_or_else(PoisonError::into_inner);
            *status = Some(child.wait().expect("our own child can be waited for"));
            reaper.ended.notify_all();
        })?;
        let pid = pid.recv().map_err(io::Error::other)??;
        Ok(Self { name: name.into(), pid, end })
    }

    /// The process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// How it ended; `None` while it runs.
    pub fn status(&self) -> Option<ExitStatus> {
        *self.end.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal, unless the process has ended.
    pub fn signal(&self, signal: Signal) {
        let status = self.end.status.lock().unwrap_or_else(PoisonError::into_inner);
        if status.is_none() {
            let _ = signal::kill(self.pid, signal);
        }
    }

    /// Waits until it ends, at most `deadline`.
    pub fn wait_blocking(&self, deadline: Duration) -> Option<ExitStatus> {
        let status = self.end.status.lock().unwrap_or_else(PoisonError::into_inner);
        let (status, _) = self
            .end
            .ended
            .wait_timeout_while(status, deadline, |status| status.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        *status
    }

    /// Waits until it ends, at most `deadline`.
    pub async fn wait(&self, deadline: Duration) -> Option<ExitStatus> {
        let process = self.clone();
        tokio::task::spawn_blocking(move || process.wait_blocking(deadline)).await.expect("waiting does not panic")
    }

    /// SIGTERM, and SIGKILL after `grace`. Returns when the process is gone.
    pub fn end(&self, grace: Duration) {
        self.signal(Signal::SIGTERM);
        if self.wait_blocking(grace).is_none() {
            self.kill();
        }
    }

    /// SIGKILL. Returns when the process is gone.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let gone = self.wait_blocking(Duration::from_secs(10));
        assert!(gone.is_some() || thread::panicking(), "{} (pid {}) survived SIGKILL", self.name, self.pid);
    }
}

/// The kernel kills the child when the test process ends, however that ends.
#[allow(unsafe_code, reason = "prctl has to run in the child between fork and exec; it is async-signal-safe")]
fn die_with_parent(command: &mut Command) {
    // SAFETY: the closure makes one system call and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
}
