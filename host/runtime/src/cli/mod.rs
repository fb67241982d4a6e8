//! The command line: what can be typed, and which exit code comes of it.

mod inspect;
mod listen;
mod logging;
mod plan;
mod rehearsal;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};
use sluice_policy::{Compiler, Limits, PolicyHost};

pub(crate) use listen::Listen;
pub(crate) use logging::LogFormat;

use crate::clouds::CloudArgs;
#[cfg(feature = "demo")]
use crate::demo::{self, DemoOptions};
use crate::network_args::NetworkArgs;
use crate::policy_files::PolicyFiles;
use crate::run::locks::LockArgs;
use crate::run::scrape::ScrapeArgs;
use crate::run::{self, Ended, RunOptions};

/// `run` could not start.
const CANNOT_START: u8 = 3;
/// How long the process waits for work on threads of its own, which cannot be cut off.
const LAST_CALLS: Duration = Duration::from_millis(500);
/// `plan`: the plan was refused or the policy failed; `policy inspect`: the component is refused.
const REFUSED: u8 = 12;

/// Gives OpenShift namespaces stable egress addresses, and keeps them alive when nodes and zones fail.
#[derive(Parser)]
#[command(name = "sluice", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the operator until SIGTERM
    ///
    /// Exits with 0 on SIGTERM, with 1 if a task died, and with 3 if it cannot start. Leader election uses the Lease `sluice`
    /// in `$NAMESPACE` (in a pod: the pod's own namespace), under the name `$POD_NAME`; without a namespace there is no
    /// election. `$RUST_LOG` chooses what is logged. Changes of the files of --policy and --settings are used as soon as they
    /// have been checked.
    Run(RunArgs),
    /// Shows what would be done, and writes nothing
    ///
    /// Exits with 0 if there is nothing to do, 10 if there are changes or writes, 11 if a namespace is held, 12 if the plan,
    /// policy or settings were refused or the policy failed (the highest of these), and with 1 if input or cluster cannot be
    /// read or have errors.
    Plan(plan::PlanArgs),
    /// Inspects policies
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Prints the CRDs as YAML
    Crds,
    #[cfg(feature = "demo")]
    /// Plays failures, a change of the policy and hostile policies on a cluster in memory
    Demo(DemoOptions),
    /// Compiles a component from standard input
    #[command(hide = true)]
    Compile,
}

#[derive(Subcommand)]
enum PolicyCommand {
    /// Says what a component is, and whether it would be accepted; exits with 12 if not
    Inspect {
        /// The WebAssembly component
        file: PathBuf,
        /// Format of the output
        #[arg(short, long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(clap::Args)]
struct RunArgs {
    /// The kubeconfig of the cluster [default: $KUBECONFIG, else the pod's service account, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Both files are watched: what changes in them takes over once it has proved itself
    #[command(flatten)]
    policy: PolicyFiles,
    /// Address that serves /metrics; 0 serves it nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    metrics_bind_address: Listen,
    /// Address that serves /healthz, /readyz and /startupz; 0 serves them nowhere
    #[arg(long, value_name = "ADDRESS", default_value = ":8081")]
    health_probe_bind_address: Listen,
    #[command(flatten)]
    scrape: ScrapeArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    locks: LockArgs,
    #[command(flatten)]
    clouds: CloudArgs,
    /// Format of the log, which goes to standard error
    #[arg(long, value_enum, default_value_t)]
    log: LogFormat,
}

/// Form of what a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Text,
    /// For programs
    Json,
}

/// The whole program: parses the command line, does what it says, and tells what came of it.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if this fails. Help and version are no errors.
            let _ = error.print();
            return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let done = match cli.command {
        Command::Run(args) => operator(args),
        Command::Plan(args) => plan::plan(&args),
        Command::Policy { command: PolicyCommand::Inspect { file, output } } => inspect::inspect(&file, output),
        Command::Crds => crds(),
        #[cfg(feature = "demo")]
        Command::Demo(options) => play(options),
        Command::Compile => return sluice_policy::compile_main(io::stdin().lock(), io::stdout().lock()),
    };
    done.unwrap_or_else(|error| {
        // Whoever reads only the beginning, as head does, has what it wants.
        let broken = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        if broken {
            return ExitCode::SUCCESS;
        }
        complain(&error);
        ExitCode::FAILURE
    })
}

fn operator(args: RunArgs) -> Result<ExitCode> {
    logging::start(args.log);
    let options = RunOptions {
        kubeconfig: args.kubeconfig,
        policy: args.policy,
        metrics: args.metrics_bind_address,
        health: args.health_probe_bind_address,
        scrape: args.scrape,
        network: args.network,
        locks: args.locks,
        clouds: args.clouds,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")?;
    let ended = runtime.block_on(run::run(options));
    // Policies and compilers at work were told to end, and do so at once.
    runtime.shutdown_timeout(LAST_CALLS);
    Ok(match ended {
        Ended::Asked => ExitCode::SUCCESS,
        Ended::Died => ExitCode::FAILURE,
        Ended::CannotStart => ExitCode::from(CANNOT_START),
    })
}

fn crds() -> Result<ExitCode> {
    print(&sluice_kube::api::crds_yaml()?)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "demo")]
fn play(options: DemoOptions) -> Result<ExitCode> {
    let verified = demo::run(options, &policy_host()?)?;
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A host that compiles in children of this program.
pub(crate) fn policy_host() -> Result<PolicyHost> {
    let compiler = Compiler::current_exe().context("cannot find the own program, which also compiles policies")?;
    Ok(PolicyHost::new(Limits::default(), compiler)?)
}

/// Prints to standard output. That nobody reads on, as with `| head`, is no error.
fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Tells an error on standard error.
pub(crate) fn complain(error: &anyhow::Error) {
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr().lock(), "sluice: {error:#}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Cli;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
