//! What can go wrong, one variant for each limit and each stage.
//!
//! Messages are for operators: what failed, with the amounts, and what can be done.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// Why there is no host for policies.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this machine cannot run WebAssembly: {0}")]
pub struct HostError(pub(crate) String);

/// Why a policy was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The component is too large.
    #[error("component too large: {size} bytes, limit {limit}; strip debug information, or raise the limit")]
    ComponentTooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A core module was given.
    #[error("this is a core WebAssembly module, not a component; wrap it with `wasm-tools component new`")]
    CoreModule,
    /// Not a component at all, or a broken one.
    #[error("not a WebAssembly component: {text}")]
    Malformed {
        /// What is wrong.
        text: String,
    },
    /// The component asks for something it must not have.
    #[error(
        "foreign import `{name}`: a policy may import nothing but `sluice:policy/log`; build it without WASI \
         (in Rust: for wasm32-unknown-unknown)"
    )]
    ForeignImport {
        /// The import.
        name: String,
    },
    /// The component was built for another contract.
    #[error("wrong world: {}", wrong_world(found.as_deref()))]
    WrongWorld {
        /// The contract it was built for, if any.
        found: Option<String>,
    },
    /// An instance of one core module, used or not, alone needs more than all of the policy may have.
    #[error("core module too large: an instance needs {asked} {what}, limit {limit}")]
    ModuleTooLarge {
        /// Of what: bytes for globals and functions, memories, bytes of a memory, tables, elements of a table.
        what: &'static str,
        /// What an instance needs at its start.
        asked: u64,
        /// The limit.
        limit: u64,
    },
    /// Compiling took too long.
    #[error("compiling took longer than {limit:?}; make the component smaller, or raise the limit")]
    CompileTimeout {
        /// The limit.
        limit: Duration,
    },
    /// Compiling needed too much memory.
    #[error(
        "compiling needed more than {limit} bytes of memory; make the component smaller, or give the container more \
         memory: the compiler gets half of it"
    )]
    CompileOutOfMemory {
        /// The limit on the child's address space.
        limit: u64,
    },
    /// The compiled code is too large.
    #[error("compiled code too large: more than {limit} bytes; make the component smaller, or raise the limit")]
    ArtifactTooLarge {
        /// The limit.
        limit: usize,
    },
    /// The compile process could not be started or spoken to. Not the policy's fault.
    #[error("no compiler: {text}")]
    CompilerUnavailable {
        /// What the operating system said.
        text: String,
    },
    /// Nobody wants it any more.
    #[error("loading was cancelled")]
    Cancelled,
    /// The component is invalid, or the compiler failed.
    #[error("cannot compile: {text}")]
    CompileFailed {
        /// What the compiler says.
        text: String,
    },
    /// The compiled component does not fit the contract's types.
    #[error("does not fit sluice:policy: {text}; rebuild it with this host's wit")]
    Unlinkable {
        /// What does not fit.
        text: String,
    },
    /// `describe` failed.
    #[error("describe failed: {0}")]
    Describe(CallError),
    /// The description makes no sense.
    #[error("bad description: {text}")]
    DescriptionInvalid {
        /// What is wrong.
        text: String,
    },
    /// The settings' schema cannot be used.
    #[error("bad settings schema: {text}")]
    SchemaInvalid {
        /// What is wrong.
        text: String,
    },
    /// The settings are too large.
    #[error("settings too large: {size} bytes, limit {limit}")]
    SettingsTooLarge {
        /// Their size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// The settings violate the schema, or the policy refuses them.
    #[error("settings refused: {}", join(errors))]
    SettingsInvalid {
        /// Every problem found.
        errors: Vec<SettingsProblem>,
    },
    /// `validate-settings` failed.
    #[error("validate-settings failed: {0}")]
    ValidateSettings(CallError),
}

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// All memories together.
    #[error("memory limit: the policy asked for {asked} bytes in all, limit {limit}")]
    MemoryLimit {
        /// What it would have had.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// Elements of all tables together.
    #[error("table limit: the policy asked for {asked} elements in all, limit {limit}")]
    TableLimit {
        /// What it would have had.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// Number of tables.
    #[error("tables limit: the policy asked for {asked} tables, limit {limit}")]
    TablesLimit {
        /// What it would have had.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// Number of memories.
    #[error("memories limit: the policy asked for {asked} memories, limit {limit}")]
    MemoriesLimit {
        /// What it would have had.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// Number of core instances.
    #[error("instance limit: the policy asked for {asked} core instances, limit {limit}")]
    InstanceLimit {
        /// What it would have had.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// Number of handles alive.
    #[error("handle limit: the policy asked for more than {limit} handles")]
    HandleLimit {
        /// The limit.
        limit: usize,
    },
    /// The instruction budget, log messages included.
    #[error("out of fuel: used {used}, limit {limit}{at}")]
    FuelExhausted {
        /// What was used.
        used: u64,
        /// The limit.
        limit: u64,
        /// Where.
        at: Trace,
    },
    /// Wall-clock time, after the second try. Depends on the machine: never a reason for quarantine.
    #[error("timeout: stopped after {elapsed:?}, limit {limit:?}{at}")]
    Timeout {
        /// How long the last try ran.
        elapsed: Duration,
        /// Its limit.
        limit: Duration,
        /// Where.
        at: Trace,
    },
    /// The call stack.
    #[error("stack overflow: the call stack is limited to {limit} bytes{at}")]
    StackOverflow {
        /// The limit.
        limit: usize,
        /// Where.
        at: Trace,
    },
    /// The answer, or one log message, is too large to copy out.
    #[error("result too large: the host copies at most {limit} bytes")]
    ResultTooLarge {
        /// The limit.
        limit: usize,
    },
    /// More patches than the snapshot can need.
    #[error("too many patches: {count}, limit {limit}")]
    TooManyPatches {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// More holds than the snapshot can need.
    #[error("too many holds: {count}, limit {limit}")]
    TooManyHolds {
        /// How many.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// The policy failed.
    #[error("trap: {kind}{at}")]
    Trap {
        /// What happened.
        kind: String,
        /// Where.
        at: Trace,
    },
    /// The host failed: a bug here or in a library, contained.
    #[error("the host panicked during the call, please report: {text}")]
    Panicked {
        /// What the panic said.
        text: String,
    },
    /// The call never started.
    #[error("cannot start the call: {text}")]
    NotStarted {
        /// What the operating system said.
        text: String,
    },
    /// Nobody wants it any more.
    #[error("the call was cancelled")]
    Cancelled,
    /// The plan is for another snapshot.
    #[error("stale plan: it is for generation {got}, the snapshot has {expected}")]
    StaleGeneration {
        /// The snapshot's.
        expected: u64,
        /// The plan's.
        got: u64,
    },
    /// The policy answered that it will not plan.
    #[error("the policy refused to plan: {0}")]
    Refused(Refusal),
}

/// A policy's own answer that it will not plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It does not accept its settings.
    #[error("settings: {}", join(.0))]
    Settings(Vec<SettingsProblem>),
    /// The snapshot needs something it does not do.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// It found itself wrong.
    #[error("internal: {0}")]
    Internal(String),
}

/// Something wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingsProblem {
    /// JSON Pointer to the place.
    pub path: String,
    /// What is wrong.
    pub text: String,
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An empty pointer is the settings as a whole.
        if self.path.is_empty() { f.write_str(&self.text) } else { write!(f, "{}: {}", self.path, self.text) }
    }
}

/// Where a policy was when it was stopped, and what it said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Functions, innermost first.
    pub frames: Vec<String>,
    /// The last log messages. Panic hooks and exception handlers write the place there.
    pub logs: Vec<String>,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.frames.iter().try_for_each(|frame| write!(f, "\n  at {frame}"))?;
        self.logs.iter().try_for_each(|log| write!(f, "\n  log {log}"))
    }
}

impl LoadError {
    /// The variant's name: for conditions and metrics, where no text may go.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ComponentTooLarge { .. } => "ComponentTooLarge",
            Self::CoreModule => "CoreModule",
            Self::Malformed { .. } => "Malformed",
            Self::ForeignImport { .. } => "ForeignImport",
            Self::WrongWorld { .. } => "WrongWorld",
            Self::ModuleTooLarge { .. } => "ModuleTooLarge",
            Self::CompileTimeout { .. } => "CompileTimeout",
            Self::CompileOutOfMemory { .. } => "CompileOutOfMemory",
            Self::ArtifactTooLarge { .. } => "ArtifactTooLarge",
            Self::CompilerUnavailable { .. } => "CompilerUnavailable",
            Self::Cancelled => "Cancelled",
            Self::CompileFailed { .. } => "CompileFailed",
            Self::Unlinkable { .. } => "Unlinkable",
            Self::Describe(_) => "DescribeFailed",
            Self::DescriptionInvalid { .. } => "DescriptionInvalid",
            Self::SchemaInvalid { .. } => "SchemaInvalid",
            Self::SettingsTooLarge { .. } => "SettingsTooLarge",
            Self::SettingsInvalid { .. } => "SettingsInvalid",
            Self::ValidateSettings(_) => "ValidateSettingsFailed",
        }
    }

    /// Whether the component would be refused in the same way on any machine with these limits. What depends on this
    /// one is worth another try.
    pub fn is_reproducible(&self) -> bool {
        match self {
            Self::CompileTimeout { .. }
            | Self::CompileOutOfMemory { .. }
            | Self::CompilerUnavailable { .. }
            | Self::Cancelled => false,
            Self::Describe(error) | Self::ValidateSettings(error) => error.is_reproducible(),
            _ => true,
        }
    }
}

impl CallError {
    /// The variant's name: for conditions and metrics, where no text may go.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MemoryLimit { .. } => "MemoryLimit",
            Self::TableLimit { .. } => "TableLimit",
            Self::TablesLimit { .. } => "TablesLimit",
            Self::MemoriesLimit { .. } => "MemoriesLimit",
            Self::InstanceLimit { .. } => "InstanceLimit",
            Self::HandleLimit { .. } => "HandleLimit",
            Self::FuelExhausted { .. } => "FuelExhausted",
            Self::Timeout { .. } => "Timeout",
            Self::StackOverflow { .. } => "StackOverflow",
            Self::ResultTooLarge { .. } => "ResultTooLarge",
            Self::TooManyPatches { .. } => "TooManyPatches",
            Self::TooManyHolds { .. } => "TooManyHolds",
            Self::Trap { .. } => "Trap",
            Self::Panicked { .. } => "Panicked",
            Self::NotStarted { .. } => "NotStarted",
            Self::Cancelled => "Cancelled",
            Self::StaleGeneration { .. } => "StaleGeneration",
            Self::Refused(_) => "Refused",
        }
    }

    /// Whether the policy would fail in the same way on any machine. What depends on this one is no reason to put a
    /// policy into quarantine.
    pub fn is_reproducible(&self) -> bool {
        !matches!(self, Self::Timeout { .. } | Self::Panicked { .. } | Self::NotStarted { .. } | Self::Cancelled)
    }
}

fn wrong_world(found: Option<&str>) -> String {
    let speaks = crate::contents::SPEAKS;
    match found {
        Some(found) => format!("built for {found}, this host speaks {speaks}; rebuild it with this host's wit"),
        None => format!("it does not export `sluice:policy/allocator`, so it is no policy; this host speaks {speaks}"),
    }
}

fn join(problems: &[SettingsProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
