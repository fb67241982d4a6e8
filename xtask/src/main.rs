//! Developer commands, with all the set-up that they need: `cargo xtask --help`.
//!
//! Depends on little, so that it builds in seconds on a fresh machine.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod bench;
mod crds;
mod demo;
#[path = "../../tests/apiserver/obtain.rs"]
mod obtain;
mod tally;
mod test;
mod tools;
mod workspace;

use workspace::Workspace;

/// Developer commands of Sluice.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the main job on the embedded sandbox.
    Demo {
        /// For `sluice demo`: --seed N, -o json.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs all tests; builds etcd and kube-apiserver for them once.
    Test {
        /// Only tests whose name contains this.
        filter: Option<String>,
    },
    /// Measures.
    Bench {
        /// Only figures whose name contains this.
        name: Option<String>,
        /// JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Writes the CRDs into deploy/crds.
    Crds {
        /// Writes nothing; fails if a file differs.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match arguments.command {
        Command::Demo { arguments } => demo::run(&workspace, &arguments),
        Command::Test { filter } => test::run(&workspace, filter.as_deref()),
        Command::Bench { name, json } => bench::run(&workspace, name.as_deref(), json),
        Command::Crds { check } => crds::run(&workspace, check),
    }
}
