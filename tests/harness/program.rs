//! The real binary, run to its end: commands other than `run`.

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

/// Longest a command may take: `demo` takes seconds in a debug build, and many times that on a busy machine.
const DEADLINE: Duration = Duration::from_mins(3);

/// What a command left.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Ran {
    /// Standard output, read as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON: {error}\n{self:?}"))
    }

    /// Panics, with everything it wrote, unless it ended with `code`.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs `sluice` with arguments, in an environment without any cluster.
pub async fn sluice<I>(arguments: I) -> Ran
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.args(arguments);
    run(command).await
}

/// Runs `sluice` in so many kilobytes of address space.
pub async fn sluice_within(kilobytes: u64, arguments: &[&str]) -> Ran {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &kilobytes.to_string(), env!("CARGO_BIN_EXE_sluice")]);
    command.args(arguments);
    run(command).await
}

async fn run(mut command: Command) -> Ran {
    command.env_remove("KUBECONFIG").env("HOME", "/nonexistent");
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(DEADLINE, command.output()).await.unwrap_or_else(|_| panic!("still runs: {command:?}"));
    let output = output.unwrap_or_else(|error| panic!("sluice does not start: {error}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("sluice writes UTF-8");
    let code = output.status.code().unwrap_or_else(|| panic!("ended by a signal: {}", output.status));
    Ran { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}
