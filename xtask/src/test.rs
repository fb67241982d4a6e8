//! `cargo xtask test`: all tests of the workspace, and one line that sums them up.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::thread;

use anyhow::{Context, Result};

use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<ExitCode> {
    tools::ensure_wasm_target()?;
    let binaries = tools::ensure_apiserver(workspace)?;
    eprintln!("API server for the tests: {} and {}", binaries.apiserver.display(), binaries.etcd.display());
    let (mut tally, status) = cargo_test(workspace, filter)?;
    if !status.success() && tally.failed == 0 {
        // It does not compile, or a test binary died before it could say how it went.
        eprintln!("error: cargo test ended with {status}, and no test says why");
        tally.failed = 1;
    }
    if !tally.ran() {
        eprintln!("error: no test ran");
    }
    println!("{tally}");
    Ok(if tally.ran() && tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn cargo_test(workspace: &Workspace, filter: Option<&str>) -> Result<(Tally, ExitStatus)> {
    let mut child = workspace
        .cargo()
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(filter)
        .env("RUST_TEST_THREADS", threads())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stdout.take().context("cargo has no output")?;
    let tally = pass_on(output)?;
    Ok((tally, child.wait()?))
}

/// How many tests run at once, unless it is said: most of them wait for an API server.
fn threads() -> OsString {
    let twice_the_cores = || (2 * thread::available_parallelism().map_or(1, usize::from)).to_string().into();
    env::var_os("RUST_TEST_THREADS").unwrap_or_else(twice_the_cores)
}

/// Shows the output as it comes, and counts. Bytes, not text: tests may print anything.
fn pass_on(output: impl Read) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    while 0 < output.read_until(b'\n', &mut line)? {
        io::stdout().write_all(&line)?;
        tally.read(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(tally)
}
