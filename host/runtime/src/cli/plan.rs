//! `sluice plan`: one round without its writes.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use sluice_core::observed::Observed;
use sluice_core::plan::Holder;
use sluice_core::round::{Failure, Outcome, Round};
use sluice_core::rows::{FindingRow, HoldRow, PatchRow};
use sluice_core::survey::PoolNote;
use sluice_kube::api::PolicyStatus;
use sluice_kube::client::{ClientOptions, connect};
use sluice_kube::files::{self, InputError};
use sluice_kube::index::{Index, LockHolder, SharedIndex, WatchState};
use sluice_kube::kind::Kind;
use sluice_kube::patch::{WriteRow, write_rows};
use sluice_kube::watch::watches;
use sluice_policy::PolicyInfo;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::rehearsal::Rehearsal;
use super::{Output, REFUSED, complain, policy_host, print};
use crate::clouds::DumpArgs;
use crate::network_args::NetworkArgs;
use crate::policy_files::{PolicyFiles, named};
use crate::run::locks::{LockArgs, ask_once};
use crate::unix_milliseconds;

/// There is something to write or to change.
const CHANGES: u8 = 10;
/// Somebody is not served.
const HOLDS: u8 = 11;

/// Longest to wait for a cluster's first lists.
const LIST_DEADLINE: Duration = Duration::from_mins(1);
/// How long to wait for what the cluster says is not there.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often to look whether all lists have come.
const LOOK: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(super) struct PlanArgs {
    /// The kubeconfig of the cluster [default: $KUBECONFIG, else the pod's service account, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Reads objects from a file, or from all files of a folder, instead of a cluster: YAML or JSON, as `oc get -o yaml` and
    /// must-gather write it
    #[arg(long, value_name = "PATH", conflicts_with = "kubeconfig")]
    from: Option<PathBuf>,
    #[command(flatten)]
    policy: PolicyFiles,
    /// Plans as if egressip-ipam-operator did not run, to show what taking over its cluster would change
    #[arg(long)]
    adopt: bool,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    locks: LockArgs,
    #[command(flatten)]
    clouds: DumpArgs,
    /// Format of the output
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// What a plan is made from.
struct Input {
    observed: Observed,
    lock: Option<LockHolder>,
    errors: Vec<InputError>,
}

/// Prints a plan.
pub(super) fn plan(args: &PlanArgs) -> Result<ExitCode> {
    let host = policy_host()?;
    let policy = match args.policy.load(&host) {
        Ok(policy) => policy,
        Err(error) if error.is_about_the_component() => {
            complain(&error.into());
            return Ok(ExitCode::from(REFUSED));
        }
        Err(error) => return Err(error.into()),
    };
    let mut input = match &args.from {
        Some(path) => from_files(path, args.network)?,
        None => from_cluster(args)?,
    };
    args.clouds.show(&mut input.observed)?;
    let rehearsal = Rehearsal::of(&policy, &input.observed);
    let obstacle = obstacle(&input, args.adopt);
    let document = Document::new(policy.info(), &rehearsal, &input, obstacle.is_some());
    print(&match args.output {
        Output::Json => serde_json::to_string_pretty(&document)? + "\n",
        Output::Text => document.text(&input.observed, &rehearsal, args.adopt),
    })?;
    for text in input.errors.iter().map(ToString::to_string).chain(document.failure.clone()).chain(obstacle) {
        complain(&anyhow::Error::msg(text));
    }
    Ok(document.exit_code())
}

/// Why nothing would be written, whatever the plan says.
fn obstacle(input: &Input, adopt: bool) -> Option<String> {
    let locked = input.lock.as_ref().filter(|_| !adopt).map(|lock| {
        format!("egressip-ipam-operator is at work ({lock}): nothing would be written; --adopt plans without it")
    });
    locked.or_else(|| input.observed.refusal())
}

fn from_files(path: &std::path::Path, network: NetworkArgs) -> Result<Input> {
    if !path.exists() {
        bail!("--from {}: there is no such file or folder", path.display());
    }
    let mut loaded = files::load(path, unix_milliseconds());
    network.tell(&mut loaded.index);
    if loaded.objects == 0 && loaded.errors.is_empty() {
        bail!("--from {}: no object that Sluice reads, such as EgressIPAM, Namespace or Node", path.display());
    }
    let (observed, lock) = at_present(&loaded.index).context("the files are not read yet")?;
    let missing = [
        (observed.words.carrier, observed.carriers.is_empty() && !observed.nodes.is_empty()),
        (
            observed.words.holding,
            observed.holdings.is_empty() && observed.namespaces.values().any(|one| one.pool.is_some()),
        ),
    ];
    for (kind, _) in missing.iter().filter(|(_, is_missing)| *is_missing) {
        complain(&anyhow!("note: --from {}: there is no {kind} in it, as if the cluster had none", path.display()));
    }
    Ok(Input { observed, lock, errors: loaded.errors })
}

fn from_cluster(args: &PlanArgs) -> Result<Input> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let kubeconfig = args.kubeconfig.clone();
        let client = connect(&ClientOptions { kubeconfig, ..ClientOptions::default() }).await?;
        let index = Arc::new(SharedIndex::new(unix_milliseconds));
        args.locks.tell(&index);
        index.quietly(|index| args.network.tell(index));
        let mut tasks = JoinSet::new();
        for watch in watches(&client, &index) {
            tasks.spawn(watch.future);
        }
        let started = Instant::now();
        loop {
            if index.read(Index::ready) {
                ask_once(&client, &index).await;
            }
            let read = |index: &Index| at_present(index).map(|present| (present, index.all_problems()));
            if let Some(((observed, lock), problems)) = index.read(read) {
                return Ok(Input { observed, lock, errors: problems.into_iter().map(InputError::from).collect() });
            }
            let pending = index.read(|index| Kind::ALL.iter().any(|kind| index.watch(*kind) == WatchState::Pending));
            if started.elapsed() > if pending { LIST_DEADLINE } else { PATIENCE } {
                bail!("the cluster cannot be read: {}", index.read(Index::waiting).join("; "));
            }
            sleep(LOOK).await;
        }
    })
}

fn at_present(index: &Index) -> Option<(Observed, Option<LockHolder>)> {
    let now = unix_milliseconds();
    Some((index.snapshot(now)?, index.foreign_lock(now)))
}

/// What `-o json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    policy: PolicyStatus,
    generation: u64,
    patches: Vec<PatchRow>,
    holds: Vec<HoldRow>,
    findings: Vec<FindingRow>,
    /// What is worth knowing of pools, warnings about their specs among it.
    notes: Vec<NoteRow>,
    input_errors: Vec<InputErrorRow>,
    writes: Vec<WriteRow>,
    /// Nothing is left to do after these writes.
    #[serde(skip_serializing_if = "is_true")]
    at_rest: bool,
    /// Why the policy's plan is not part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_true(value: &bool) -> bool {
    *value
}

#[derive(Serialize)]
struct InputErrorRow {
    file: String,
    document: usize,
    field: String,
    text: String,
}

#[derive(Serialize)]
struct NoteRow {
    pool: String,
    text: String,
}

impl Document {
    fn new(policy: &PolicyInfo, rehearsal: &Rehearsal, input: &Input, writes_nothing: bool) -> Self {
        let network = input.observed.network;
        let diff = rehearsal.diff.clone();
        let input_error = |error: &InputError| InputErrorRow {
            file: error.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default(),
            document: error.document,
            field: error.field.clone(),
            text: error.line.map_or_else(|| error.text.clone(), |line| format!("line {line}: {}", error.text)),
        };
        let note = |note: &PoolNote| NoteRow { pool: note.pool.to_string(), text: note.text.clone() };
        Self {
            policy: named(policy),
            generation: rehearsal.first.plan.generation(),
            patches: diff.patches,
            holds: diff.holds,
            findings: diff.findings,
            notes: rehearsal.round.surveyed().notes.iter().map(note).collect(),
            input_errors: input.errors.iter().map(input_error).collect(),
            writes: if writes_nothing { Vec::new() } else { write_rows(&rehearsal.stages, network) },
            at_rest: rehearsal.is_at_rest,
            failure: rehearsal.failure.as_ref().map(Failure::to_string),
        }
    }

    fn exit_code(&self) -> ExitCode {
        match () {
            () if !self.input_errors.is_empty() => ExitCode::FAILURE,
            () if self.failure.is_some() => ExitCode::from(REFUSED),
            () if !self.holds.is_empty() => ExitCode::from(HOLDS),
            () if !self.patches.is_empty() || !self.writes.is_empty() => ExitCode::from(CHANGES),
            () => ExitCode::SUCCESS,
        }
    }

    fn text(&self, observed: &Observed, rehearsal: &Rehearsal, adopt: bool) -> String {
        let mut text = rehearsal.diff.to_string();
        let mut stage = 0;
        for write in &self.writes {
            if write.stage != stage {
                stage = write.stage;
                text.push_str("      when interfaces are updated, which takes minutes:\n");
            }
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>4}. {} {} {}", write.order, write.kind, write.name, write.patch);
        }
        if !self.at_rest {
            text.push_str("note: this does not come to rest: more writes would follow\n");
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: pool {}: {}", note.pool, note.text);
        }
        for (pool, facts) in &observed.pools {
            for error in &facts.errors {
                let _ = writeln!(text, "error: pool {pool}: {error}");
            }
        }
        if adopt {
            let (kept, held) = kept(&rehearsal.round, &rehearsal.first);
            let _ = writeln!(text, "{kept} of {held} addresses that namespaces hold stay with them");
        }
        let (patches, holds) =
            (counted(self.patches.len(), "patch", "patches"), counted(self.holds.len(), "hold", "holds"));
        let writes = counted(self.writes.len(), "write", "writes");
        let _ = writeln!(text, "policy {} {}: {patches}, {holds}, {writes}", self.policy.name, self.policy.version);
        text
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// How many allocations stay, of all.
fn kept(round: &Round, outcome: &Outcome) -> (usize, usize) {
    let (mut kept, mut held) = (0, 0);
    for (position, owner) in round.surveyed().snapshot.owners.iter().enumerate() {
        for allocation in &owner.allocations {
            held += 1;
            let holders = outcome.plan.end().holders_of(allocation.address);
            let stays = |holder: Holder| matches!(holder, Holder::Owner(index) if index.position() == position);
            kept += usize::from(holders.iter().any(|holding| stays(holding.holder)));
        }
    }
    let leaving = round.surveyed().snapshot.leaving.iter();
    (kept, held + leaving.map(|leaving| leaving.addresses.len()).sum::<usize>())
}
