//! `cargo xtask bench`: the figures of tests/bench.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::tools;
use crate::workspace::{self, Workspace};

pub(crate) fn run(workspace: &Workspace, name: Option<&str>, json: bool) -> Result<ExitCode> {
    tools::ensure_wasm_target()?;
    tools::ensure_apiserver(workspace)?;
    let status = workspace
        .cargo()
        .args(["bench", "--package", "sluice", "--bench", "figures", "--"])
        .args(name)
        .args(json.then_some("--json"))
        .status()
        .context("cannot run cargo")?;
    Ok(workspace::exit_code(status))
}
