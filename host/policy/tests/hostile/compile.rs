//! Components that are hostile to the compiler: only a child process can be stopped.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use sluice_policy::{Cancel, Compiler, Limits, LoadError, PolicyHost, compile_main};

use crate::guest::Guest;
use crate::snapshot;

/// Tells the child who it is; the test harness takes it for the name of one more test.
const MARK: &str = "as-the-compile-child";

/// Not a test: this program, started again as the compile child. Its standard output belongs to the test harness, so
/// the artifact leaves over descriptor 3.
#[test]
#[ignore = "the child of the other tests"]
fn child() {
    // Whoever runs the ignored tests by hand means no child.
    if std::env::args().any(|argument| argument == MARK) {
        let artifact = File::options().write(true).open("/proc/self/fd/3").unwrap();
        let code = compile_main(io::stdin().lock(), artifact);
        assert_eq!(format!("{code:?}"), format!("{:?}", std::process::ExitCode::SUCCESS));
    }
}

/// Not enough for [`memory_bomb`].
pub(crate) const BOMB_MEMORY: u64 = 256 << 20;

/// This program as the compiler.
pub(crate) fn compiler() -> Compiler {
    saying("")
}

/// The same after a line of shell.
fn saying(first: &str) -> Compiler {
    let script =
        format!(r#"{first} exec 3>&1 >/dev/null; exec "$0" --exact compile::child {MARK} --ignored --nocapture"#);
    shell(&script, std::env::current_exe().unwrap())
}

fn shell(script: &str, argument: PathBuf) -> Compiler {
    let args: Vec<OsString> = vec!["-c".into(), script.into(), argument.into()];
    Compiler::Child { program: "/bin/sh".into(), args }
}

fn refusal(compiler: Compiler, component: &[u8], limits: Limits) -> LoadError {
    PolicyHost::new(limits, compiler).unwrap().load(component, "").unwrap_err()
}

/// One function of many `if`s: the compiler's time grows with the square of their number.
pub(crate) fn time_bomb() -> Guest {
    let ifs = "(if (i32.eqz (local.get 0)) (then (local.set 0 (i32.const 7))))".repeat(30_000);
    let items = format!("(func (param i32) (result i32) {ifs} (local.get 0))");
    Guest { items, ..Guest::default() }
}

/// Each part instantiates the one below four times: a few hundred bytes, a million instances.
pub(crate) fn memory_bomb() -> Guest {
    let mut before = "(component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=10 {
        let below = format!("(instance (instantiate $c{}))", level - 1).repeat(4);
        write!(before, "(component $c{level} {below})").unwrap();
    }
    before.push_str("(instance (instantiate $c10))");
    Guest { before, ..Guest::default() }
}

#[test]
fn an_honest_component_is_compiled_by_the_child() {
    let host = PolicyHost::new(Limits::default(), compiler()).unwrap();
    let policy = host.load(&Guest::default().component(), "").unwrap();
    assert!(policy.plan(&snapshot()).is_ok());
}

#[test]
fn the_memory_that_stops_a_bomb_is_enough_for_an_honest_component() {
    let limits = Limits { compile_memory: BOMB_MEMORY, ..Limits::default() };
    let host = PolicyHost::new(limits, compiler()).unwrap();
    assert!(host.load(&Guest::default().component(), "").is_ok());
}

#[test]
fn an_invalid_component_is_refused_with_the_compilers_words() {
    // Well formed on the outside, so that it gets as far as the compiler.
    let mut component = Guest::planning("(i32.const 123456789)").component();
    let constant = [0x41, 0x95, 0x9a, 0xef, 0x3a];
    let at = component.windows(5).position(|window| window == constant).unwrap();
    component[at] = 0xff;
    let error = refusal(compiler(), &component, Limits::default());
    assert!(matches!(&error, LoadError::CompileFailed { text } if text.contains("opcode")), "{error}");
}

#[test]
fn a_compiler_that_misbehaves_is_named() {
    let component = Guest::default().component();
    let missing = Compiler::Child { program: "/no/such/program".into(), args: Vec::new() };
    let error = refusal(missing, &component, Limits::default());
    assert!(matches!(&error, LoadError::CompilerUnavailable { text } if text.contains("/no/such/program")), "{error}");

    let failing = |script: &str| refusal(shell(script, PathBuf::new()), &component, Limits::default());
    let said = |text: &str| LoadError::CompileFailed { text: text.into() };
    assert_eq!(failing("echo no >&2; exit 1"), said("no"));
    assert_eq!(failing("exit 0"), said("the compiler crashed"));
    assert_eq!(failing("kill -SEGV $$"), said("the compiler crashed"));
    let limit = Limits::default().compile_memory;
    assert_eq!(failing("kill -KILL $$"), LoadError::CompileOutOfMemory { limit });
    assert!(matches!(failing("echo artifact"), LoadError::CompileFailed { .. }));
}

#[test]
fn a_compilation_that_nobody_waits_for_ends() {
    let limits = Limits { compile_wall: std::time::Duration::from_mins(10), ..Limits::default() };
    let host = PolicyHost::new(limits, shell("exec sleep 600", PathBuf::new())).unwrap();
    let cancel = Cancel::default();
    let host = host.until(cancel.clone());
    std::thread::scope(|scope| {
        let load = scope.spawn(|| host.load(&Guest::default().component(), "").unwrap_err());
        cancel.cancel();
        assert_eq!(load.join().unwrap(), LoadError::Cancelled);
    });
}

/// What the child says beside its work is for the log: what this kernel does not offer to confine it.
#[test]
fn what_cannot_be_confined_is_said() {
    let host = PolicyHost::new(Limits::default(), saying("echo 'landlock: not in this kernel' >&2;")).unwrap();
    host.load(&Guest::default().component(), "").unwrap();
    let remark = host.compiler_remark().unwrap();
    assert!(remark.starts_with("landlock: not in this kernel"), "{remark}");
}

#[test]
fn a_child_gets_nothing_of_the_environment() {
    let error = refusal(shell("/usr/bin/env >&2; exit 1", PathBuf::new()), &[], Limits::default());
    assert!(matches!(error, LoadError::Malformed { .. }));
    let component = Guest::default().component();
    let LoadError::CompileFailed { text } =
        refusal(shell("/usr/bin/env >&2; exit 1", PathBuf::new()), &component, Limits::default())
    else {
        panic!("no environment");
    };
    assert!(text.contains("RAYON_NUM_THREADS=") && !text.contains("HOME="), "{text}");
}
