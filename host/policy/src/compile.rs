//! Compilation, in a child process.
//!
//! Compiling can be neither cancelled nor bounded in process: a component of 600 bytes can keep the compiler busy for
//! minutes and take gigabytes. The child limits its own address space and confines itself before it reads a byte of it,
//! and the parent kills it at the deadline. What comes back over the pipe is native code from our own program.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use rlimit::Resource;
use wasmtime::Engine;

use crate::cancel::Cancel;
use crate::confine::confine;
use crate::engine;
use crate::error::LoadError;
use crate::limits::Limits;
use sluice_core::text::printable;

/// Bytes of the child's error text that are kept.
const COMPLAINT_BYTES: usize = 4 << 10;
/// Most threads of the child.
const COMPILE_THREADS: usize = 4;
/// Signals that end a child from outside.
const SIGKILL: i32 = 9;
const SIGXCPU: i32 = 24;
/// Exit code of a child that ran out of memory and could still say so.
const OUT_OF_MEMORY: u8 = 3;
/// How often the parent looks whether a child that closed its pipes is gone.
const GRACE: Duration = Duration::from_millis(5);

/// Who compiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiler {
    /// A child process that calls [`compile_main`].
    Child {
        /// The program.
        program: PathBuf,
        /// Its arguments.
        args: Vec<OsString>,
    },
    /// This process, for tests and benchmarks with components known to be harmless: neither time nor memory is
    /// bounded, and the engine keeps what compiling took.
    InProcess,
}

impl Compiler {
    /// This program with the argument `compile`.
    pub fn current_exe() -> io::Result<Self> {
        Ok(Self::Child { program: std::env::current_exe()?, args: vec!["compile".into()] })
    }

    /// Compiles to native code for an engine with our configuration.
    pub(crate) fn compile(
        &self,
        wasm: &[u8],
        engine: &Engine,
        limits: &Limits,
        cancel: &Cancel,
    ) -> Result<Made, LoadError> {
        match self {
            Self::InProcess => {
                let artifact = engine.precompile_component(wasm).map_err(|error| failed(&format!("{error:#}")))?;
                Ok(Made { artifact, remark: String::new() })
            }
            Self::Child { program, args } => {
                let left = spawn(program, args).and_then(|child| supervise(child, wasm, limits, cancel));
                let unavailable = |error| LoadError::CompilerUnavailable {
                    text: printable(&format!("{}: {error}", program.display()), COMPLAINT_BYTES),
                };
                judge(left.map_err(unavailable)?, limits)
            }
        }
    }
}

/// Starts the child with nothing of ours but the pipes.
fn spawn(program: &Path, args: &[OsString]) -> io::Result<Process> {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(COMPILE_THREADS);
    Command::new(program)
        .args(args)
        .env_clear()
        // Each thread and each allocator arena reserves address space, which is what is limited.
        .env("RAYON_NUM_THREADS", threads.to_string())
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Process)
}

/// The child; killed and reaped when dropped, however that comes about.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if the child is gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the compiler made.
pub(crate) struct Made {
    /// Native code.
    pub(crate) artifact: Vec<u8>,
    /// What it said besides; may be empty.
    pub(crate) remark: String,
}

/// How a child ended.
enum ChildEnd {
    /// By itself.
    Left { artifact: Vec<u8>, complaint: Vec<u8>, status: ExitStatus },
    /// At the deadline.
    Late,
    /// Since nobody waits for it any more.
    Cancelled,
}

/// Until when to wait for a child.
struct Patience<'a> {
    deadline: Instant,
    cancel: &'a Cancel,
}

impl Patience<'_> {
    /// How it ends, if it is over.
    fn is_over(&self) -> Option<ChildEnd> {
        if self.cancel.is_cancelled() {
            return Some(ChildEnd::Cancelled);
        }
        (Instant::now() >= self.deadline).then_some(ChildEnd::Late)
    }

    fn wait<T>(&self, receiver: &Receiver<T>) -> io::Result<Result<T, ChildEnd>> {
        loop {
            match receiver.recv_timeout(GRACE) {
                Ok(value) => return Ok(Ok(value)),
                Err(RecvTimeoutError::Timeout) => {
                    if let Some(over) = self.is_over() {
                        return Ok(Err(over));
                    }
                }
                Err(error @ RecvTimeoutError::Disconnected) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// Feeds the child and collects what it says.
fn supervise(mut process: Process, wasm: &[u8], limits: &Limits, cancel: &Cancel) -> io::Result<ChildEnd> {
    let patience = Patience { deadline: Instant::now() + limits.compile_wall, cancel };
    let (stdin, stdout, stderr) = (process.0.stdin.take(), process.0.stdout.take(), process.0.stderr.take());
    let (header, wasm, most) = (Header::of(limits), wasm.to_vec(), limits.artifact_bytes);
    // A child that dies early closes its stdin: what it left on the other pipes says why.
    let _fed = background(move || stdin.map(|mut pipe| header.write(&mut pipe).and_then(|()| pipe.write_all(&wasm))))?;
    let artifact = background(move || read_at_most(stdout, most + 1, AndThen::Stop))?;
    let complaint = background(move || read_at_most(stderr, COMPLAINT_BYTES, AndThen::Drain))?;
    let artifact = match patience.wait(&artifact)? {
        Ok(artifact) => artifact,
        Err(over) => return Ok(over),
    };
    let complaint = match patience.wait(&complaint)? {
        Ok(complaint) => complaint,
        Err(over) => return Ok(over),
    };
    loop {
        if let Some(status) = process.0.try_wait()? {
            return Ok(ChildEnd::Left { artifact, complaint, status });
        }
        if let Some(over) = patience.is_over() {
            return Ok(over);
        }
        thread::park_timeout(GRACE);
    }
}

/// Names what happened to the child.
fn judge(ended: ChildEnd, limits: &Limits) -> Result<Made, LoadError> {
    let (artifact, complaint, status) = match ended {
        ChildEnd::Left { artifact, complaint, status } => (artifact, complaint, status),
        ChildEnd::Late => return Err(LoadError::CompileTimeout { limit: limits.compile_wall }),
        ChildEnd::Cancelled => return Err(LoadError::Cancelled),
    };
    if artifact.len() > limits.artifact_bytes {
        return Err(LoadError::ArtifactTooLarge { limit: limits.artifact_bytes });
    }
    let complaint = String::from_utf8_lossy(&complaint);
    if status.success() && !artifact.is_empty() {
        return Ok(Made { artifact, remark: printable(complaint.trim(), COMPLAINT_BYTES) });
    }
    let signal = status.signal();
    // The kernel's own killer sends SIGKILL, a Rust program without memory aborts, and says so.
    let killed = signal == Some(SIGKILL);
    if killed || status.code() == Some(OUT_OF_MEMORY.into()) || complaint.contains("memory allocation of") {
        return Err(LoadError::CompileOutOfMemory { limit: limits.compile_memory });
    }
    if signal == Some(SIGXCPU) {
        return Err(LoadError::CompileTimeout { limit: limits.compile_wall });
    }
    Err(failed(if complaint.trim().is_empty() { "the compiler crashed" } else { complaint.trim() }))
}

fn failed(text: &str) -> LoadError {
    LoadError::CompileFailed { text: printable(text, COMPLAINT_BYTES) }
}

/// Runs the work on a thread that nobody has to wait for.
fn background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<Receiver<T>> {
    let (sender, receiver) = sync_channel(1);
    let builder = thread::Builder::new().name("policy-compile".into());
    builder.spawn(move || sender.send(work()))?;
    Ok(receiver)
}

/// What to do with a pipe when enough was read.
#[derive(Clone, Copy)]
enum AndThen {
    Stop,
    Drain,
}

/// What the pipe gave until it closed or broke, or until it was enough.
fn read_at_most(pipe: Option<impl Read>, most: usize, and_then: AndThen) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.by_ref().take(u64::try_from(most).unwrap_or(u64::MAX)).read_to_end(&mut bytes);
        if matches!(and_then, AndThen::Drain) {
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
    }
    bytes
}

/// What the child is told before the component.
struct Header {
    memory: u64,
    cpu_seconds: u64,
}

impl Header {
    fn of(limits: &Limits) -> Self {
        let threads = u64::try_from(COMPILE_THREADS).unwrap_or(1);
        let wall = limits.compile_wall.as_secs().saturating_add(1);
        Self { memory: limits.compile_memory, cpu_seconds: wall.saturating_mul(threads) }
    }

    fn write(&self, pipe: &mut impl Write) -> io::Result<()> {
        pipe.write_all(&self.memory.to_le_bytes())?;
        pipe.write_all(&self.cpu_seconds.to_le_bytes())
    }

    fn read(pipe: &mut impl Read) -> io::Result<Self> {
        let mut number = || {
            let mut bytes = [0; 8];
            pipe.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        Ok(Self { memory: number()?, cpu_seconds: number()? })
    }

    /// Binds this process. The limit on processor time is for a child whose parent is gone.
    fn apply(&self) -> io::Result<()> {
        let bind = |resource: Resource, most: u64| {
            // A tighter bound from outside stays.
            let most = most.min(resource.get_hard()?);
            resource.set(most, most)
        };
        bind(Resource::AS, self.memory)?;
        bind(Resource::CPU, self.cpu_seconds)?;
        bind(Resource::CORE, 0)?;
        bind(Resource::FSIZE, 0)
    }
}

/// The compile child: limits and confines itself, reads a component from `stdin`, writes native code to `stdout`, and
/// complains on standard error. The whole of the hidden subcommand `compile`.
pub fn compile_main(mut stdin: impl Read, mut stdout: impl Write) -> ExitCode {
    let compiled = (|| -> wasmtime::Result<()> {
        Header::read(&mut stdin)?.apply()?;
        let missing = confine();
        if !missing.is_empty() {
            let _ = writeln!(io::stderr(), "{}", missing.join("; "));
        }
        let mut wasm = Vec::new();
        stdin.read_to_end(&mut wasm)?;
        let artifact = engine::compiling()?.precompile_component(&wasm)?;
        stdout.write_all(&artifact)?;
        Ok(stdout.flush()?)
    })();
    let Err(error) = compiled else { return ExitCode::SUCCESS };
    // Nobody is left to tell if this fails.
    let _ = writeln!(io::stderr(), "{error:#}");
    let out_of_memory = error.is::<wasmtime::OutOfMemory>();
    if out_of_memory { ExitCode::from(OUT_OF_MEMORY) } else { ExitCode::FAILURE }
}
