//! `cargo xtask demo`: the main job, on the sandbox in the binary.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};

use crate::tools;
use crate::workspace::{self, Workspace};

pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<ExitCode> {
    tools::ensure_wasm_target()?;
    eprintln!("building sluice (some minutes the first time)");
    let sluice = workspace.build_sluice("demo")?;
    eprintln!("running: sluice demo {}", arguments.join(" "));
    let status = Command::new(&sluice)
        .arg("demo")
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {}", sluice.display()))?;
    Ok(workspace::exit_code(status))
}
