//! Every limit, and components that make it fire. The rows are data; one test runs them all.

use std::io::Write as _;
use std::time::{Duration, Instant};

use sluice_core::plan::Plan;
use sluice_policy::{CallError, CallOutcome, Compiler, Limits, LoadError, PolicyHost, Refusal};

use crate::compile::{BOMB_MEMORY, compiler, memory_bomb, time_bomb};
use crate::guest::{Answer, Description, Guest, Hold, Patch};
use crate::load_and_run;

/// What is limited. Each has at least one row.
const LIMITED: [&str; 12] = [
    "component size",
    "compile time and memory",
    "instructions",
    "wall clock",
    "memory",
    "tables",
    "instances",
    "handles",
    "results and arguments",
    "log",
    "texts, patches, holds",
    "schema",
];

/// A load and a call in which something goes over a limit.
type Fired = Result<CallOutcome, LoadError>;

struct Row {
    limited: &'static str,
    how: &'static str,
    limits: Limits,
    compiler: Compiler,
    guest: Guest,
    /// Whether what happened names the limit and the amount.
    fired: fn(&Fired) -> bool,
}

/// Rows of one limit, with limits that most of them share.
struct Rows {
    limited: &'static str,
    limits: Limits,
    all: Vec<Row>,
}

impl Rows {
    fn of(limited: &'static str, limits: Limits) -> Self {
        Self { limited, limits, all: Vec::new() }
    }

    fn row(self, how: &'static str, guest: Guest, fired: fn(&Fired) -> bool) -> Self {
        let limits = self.limits.clone();
        self.with(how, limits, guest, fired)
    }

    fn with(mut self, how: &'static str, limits: Limits, guest: Guest, fired: fn(&Fired) -> bool) -> Self {
        let row = Row { limited: self.limited, how, limits, compiler: Compiler::InProcess, guest, fired };
        self.all.push(row);
        self
    }
}

#[test]
fn every_limit_fires() {
    let tables = [
        sizes(),
        compiling(),
        instructions(),
        wall_clock(),
        memory(),
        tables(),
        instances(),
        handles(),
        copies(),
        logs(),
        answers(),
        schemas(),
    ];
    let rows: Vec<Row> = tables.into_iter().flat_map(|rows| rows.all).collect();
    for limited in LIMITED {
        assert!(rows.iter().any(|row| row.limited == limited), "no component goes over: {limited}");
    }
    let wrong: Vec<String> = rows.iter().filter_map(Row::wrong).collect();
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "hostile: {} of {} limits fired", rows.len() - wrong.len(), rows.len())
        .expect("stdout is open");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Row {
    /// What happened instead.
    fn wrong(&self) -> Option<String> {
        let host = PolicyHost::new(self.limits.clone(), self.compiler.clone()).unwrap();
        let started = Instant::now();
        let fired = load_and_run(&host, &self.guest);
        let prompt = started.elapsed() < Duration::from_secs(20);
        let right = (self.fired)(&fired) && prompt;
        (!right).then(|| format!("{}: {}: after {:?}: {fired:?}", self.limited, self.how, started.elapsed()))
    }
}

const MIB: usize = 1 << 20;
const PAGE: usize = 64 << 10;
const FUEL: u64 = 1_000_000;

/// A loop without end.
const FOREVER: &str = "(loop $forever (br $forever)) unreachable";

/// Answers a plan for the right generation, from the start of the memory.
const ECHO: &str = "(i64.store (i32.const 16) (i64.load (local.get 0))) (i32.const 8)";

/// Why `make-plan` gave no plan.
fn failure(fired: &Fired) -> Option<&CallError> {
    fired.as_ref().ok()?.result.as_ref().err()
}

fn plan(fired: &Fired) -> Option<&Plan> {
    fired.as_ref().ok()?.result.as_ref().ok()
}

fn out_of_fuel(error: &CallError) -> bool {
    matches!(error, CallError::FuelExhausted { used: FUEL, limit: FUEL, at } if !at.frames.is_empty())
}

/// Whether a module was refused before it was compiled.
fn too_large(fired: &Fired, of: &str, amount: usize, most: usize) -> bool {
    let is = |number: u64, expected: usize| usize::try_from(number) == Ok(expected);
    matches!(fired, Err(LoadError::ModuleTooLarge { what, asked, limit })
        if *what == of && is(*asked, amount) && is(*limit, most))
}

fn sizes() -> Rows {
    let globals = "(global i32 (i32.const 0))".repeat(65_537);
    Rows::of("component size", Limits { component_bytes: 4000, ..Limits::default() })
        .row("bytes", Guest { items: format!("(func {})", "nop ".repeat(4000)), ..Guest::default() }, |fired| {
            matches!(fired, Err(LoadError::ComponentTooLarge { size: 4001.., limit: 4000 }))
        })
        .with("globals of an instance", Limits::default(), Guest { items: globals, ..Guest::default() }, |fired| {
            // 16 bytes each, and 32 for each of the imported `log`, the exports and nothing else.
            matches!(fired, Err(LoadError::ModuleTooLarge { what: "bytes for globals and functions", asked, limit })
                if (1_048_577..=1_049_000).contains(asked) && *limit == 1_048_576)
        })
}

fn compiling() -> Rows {
    const WALL: Duration = Duration::from_millis(500);
    let limits = Limits { compile_wall: WALL, ..Limits::default() };
    let mut rows = Rows::of("compile time and memory", limits)
        .row("time", time_bomb(), |fired| matches!(fired, Err(LoadError::CompileTimeout { limit: WALL })))
        .with("memory", Limits { compile_memory: BOMB_MEMORY, ..Limits::default() }, memory_bomb(), |fired| {
            matches!(fired, Err(LoadError::CompileOutOfMemory { limit: BOMB_MEMORY }))
        })
        .with("output", Limits { artifact_bytes: 1000, ..Limits::default() }, Guest::default(), |fired| {
            matches!(fired, Err(LoadError::ArtifactTooLarge { limit: 1000 }))
        });
    for row in &mut rows.all {
        row.compiler = compiler();
    }
    rows
}

fn instructions() -> Rows {
    let limits = Limits { plan_fuel: FUEL, plan_fuel_per_item: 0, other_fuel: FUEL, ..Limits::default() };
    let scaled = Limits { plan_fuel: 10, plan_fuel_per_item: 100, ..Limits::default() };
    let forever = || Some(FOREVER.to_owned());
    let bulk = "(loop $again (memory.fill (i32.const 0) (i32.const 0) (i32.const 262144)) (br $again)) unreachable";
    Rows::of("instructions", limits)
        .row("loop in the body", Guest::planning(FOREVER), |fired| failure(fired).is_some_and(out_of_fuel))
        .row(
            "loop in describe",
            Guest { describe: forever(), ..Guest::default() },
            |fired| matches!(fired, Err(LoadError::Describe(error)) if out_of_fuel(error)),
        )
        .row(
            "loop in start",
            Guest { start: forever(), ..Guest::default() },
            |fired| matches!(fired, Err(LoadError::Describe(error)) if out_of_fuel(error)),
        )
        .row(
            "loop in realloc",
            Guest { realloc: forever(), ..Guest::default() },
            |fired| matches!(fired, Err(LoadError::ValidateSettings(error)) if out_of_fuel(error)),
        )
        .row("loop in post-return", Guest { post_return: forever(), ..Guest::default() }, |fired| {
            failure(fired).is_some_and(out_of_fuel)
        })
        .row("bulk instructions, by the byte", Guest::planning(bulk), |fired| failure(fired).is_some_and(out_of_fuel))
        .with("a larger snapshot gets more", scaled, Guest::planning(FOREVER), |fired| {
            // Three owners, two nodes, two zones.
            matches!(failure(fired), Some(CallError::FuelExhausted { used: 710, limit: 710, .. }))
        })
}

fn wall_clock() -> Rows {
    const WALL: Duration = Duration::from_millis(30);
    const TWICE: Duration = Duration::from_millis(60);
    let planning = Limits { plan_fuel: u64::MAX, plan_wall: WALL, ..Limits::default() };
    let describing = Limits { other_fuel: u64::MAX, other_wall: WALL, ..Limits::default() };
    let says = format!("(call $log (i32.const 1) (i32.const 0) (i32.const 0)) {FOREVER}");
    Rows::of("wall clock", planning)
        .row("says something, then loops; the second try has twice the time", Guest::planning(&says), |fired| {
            let said = fired.as_ref().map_or(0, |outcome| outcome.logs.len());
            let late = |elapsed: Duration, limit| limit == TWICE && elapsed >= TWICE && said == 1;
            matches!(failure(fired), Some(CallError::Timeout { elapsed, limit, .. }) if late(*elapsed, *limit))
        })
        .with("loop in start", describing, Guest { start: Some(FOREVER.into()), ..Guest::default() }, |fired| {
            matches!(fired, Err(LoadError::Describe(CallError::Timeout { limit: TWICE, .. })))
        })
}

fn memory() -> Rows {
    let limits = |pages| Limits { memory_bytes: pages * PAGE, ..Limits::default() };
    let grow = "(loop $more (drop (memory.grow (i32.const 1))) (br $more)) unreachable";
    let second = "(core module $more (memory 10)) (core instance (instantiate $more))";
    let realloc = "(drop (memory.grow (i32.const 1))) (i32.const 65536)";
    Rows::of("memory", Limits::default())
        .row("large at first", Guest { pages: 4097, ..Guest::default() }, |fired| {
            too_large(fired, "bytes of a memory", 4097 * PAGE, 256 * MIB)
        })
        .with("grows for ever", limits(16), Guest::planning(grow), |fired| {
            const ASKED: usize = 17 * PAGE;
            matches!(failure(fired), Some(CallError::MemoryLimit { asked: ASKED, limit: MIB }))
        })
        .with("two that fit alone", limits(12), Guest { before: second.into(), ..Guest::default() }, |fired| {
            const ASKED: usize = 14 * PAGE;
            const LIMIT: usize = 12 * PAGE;
            matches!(fired, Err(LoadError::Describe(CallError::MemoryLimit { asked: ASKED, limit: LIMIT })))
        })
        .with(
            "realloc takes it for the arguments",
            limits(5),
            Guest { realloc: Some(realloc.into()), ..Guest::default() },
            |fired| {
                const ASKED: usize = 6 * PAGE;
                const LIMIT: usize = 5 * PAGE;
                matches!(failure(fired), Some(CallError::MemoryLimit { asked: ASKED, limit: LIMIT }))
            },
        )
}

fn tables() -> Rows {
    fn one_over(error: &CallError) -> bool {
        matches!(error, CallError::TableLimit { asked: 100_001, limit: 100_000 })
    }
    let items = |items: &str| Guest { items: items.into(), ..Guest::default() };
    let grow = "(loop $more (drop (table.grow $t (ref.null func) (i32.const 1000))) (br $more)) unreachable";
    Rows::of("tables", Limits::default())
        .row("large at first", items("(table 100001 funcref)"), |fired| {
            too_large(fired, "elements of a table", 100_001, 100_000)
        })
        .row("the largest there is", items("(table i64 0xffff_ffff_ffff_ffff funcref)"), |fired| {
            too_large(fired, "elements of a table", usize::MAX, 100_000)
        })
        .row("grows for ever", Guest { items: "(table $t 1 funcref)".into(), ..Guest::planning(grow) }, |fired| {
            failure(fired).is_some_and(one_over)
        })
        .row(
            "two that fit alone",
            items("(table 60000 funcref) (table 40001 funcref)"),
            |fired| matches!(fired, Err(LoadError::Describe(error)) if one_over(error)),
        )
        .row("n+1 of one module", items(&"(table 0 funcref)".repeat(65)), |fired| too_large(fired, "tables", 65, 64))
        .row("n+1 of several", with_more(65, "(table 0 funcref)"), |fired| {
            matches!(fired, Err(LoadError::Describe(CallError::TablesLimit { asked: 65, limit: 64 })))
        })
}

/// A guest with so many instances of a module besides its own.
fn with_more(count: usize, module: &str) -> Guest {
    let instances = "(core instance (instantiate $m))".repeat(count);
    Guest { before: format!("(core module $m {module}) {instances}"), ..Guest::default() }
}

fn instances() -> Rows {
    Rows::of("instances", Limits::default())
        // `libc` and `main` are there as well.
        .row("n", with_more(198, ""), |fired| plan(fired).is_some())
        .row("n+1", with_more(199, ""), |fired| {
            matches!(fired, Err(LoadError::Describe(CallError::InstanceLimit { asked: 201, limit: 200 })))
        })
        .row("memories: n", with_more(7, "(memory 0)"), |fired| plan(fired).is_some())
        .row("memories: n+1 of one module", with_more(0, &"(memory 0)".repeat(9)), |fired| {
            too_large(fired, "memories", 9, 8)
        })
        .row("memories: n+1 of several", with_more(8, "(memory 0)"), |fired| {
            matches!(fired, Err(LoadError::Describe(CallError::MemoriesLimit { asked: 9, limit: 8 })))
        })
}

fn handles() -> Rows {
    let guest = |times: u32| Guest {
        before: "(type $r (resource (rep i32))) (core func $new (canon resource.new $r))".into(),
        with: r#"(with "r" (instance (export "new" (func $new))))"#.into(),
        items: r#"(import "r" "new" (func $new (param i32) (result i32)))"#.into(),
        ..Guest::planning(&format!(
            "(local $n i32) (loop $more (drop (call $new (i32.const 1)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const {times})))) {ECHO}"
        ))
    };
    Rows::of("handles", Limits::default()).row("n", guest(1024), |fired| plan(fired).is_some()).row(
        "n+1",
        guest(1025),
        |fired| matches!(failure(fired), Some(CallError::HandleLimit { limit: 1024 })),
    )
}

fn copies() -> Rows {
    fn too_large(fired: &Fired) -> bool {
        matches!(failure(fired), Some(CallError::ResultTooLarge { limit: MIB }))
    }
    // The answer at 8: `internal` with a text of all 2 MiB of the memory.
    let text = "(i32.store8 (i32.const 8) (i32.const 1)) (i32.store8 (i32.const 16) (i32.const 2))
        (i32.store (i32.const 24) (i32.const 2097152)) (i32.const 8)";
    // A plan with patches of 64 bytes from 0 on, as many as fit.
    let list = "(i32.store (i32.const 28) (i32.const 32768)) (i32.const 8)";
    let message = "(call $log (i32.const 1) (i32.const 0) (i32.const 2097152)) (i32.const 8)";
    let large = |body| Guest { pages: 32, ..Guest::planning(body) };
    // Three owners and two zones.
    let scaled =
        |bytes| Limits { hostcall_bytes: bytes - 600, hostcall_bytes_per_owner_zone: 100, ..Limits::default() };
    let generous = Limits { memory_bytes: MIB, hostcall_bytes_per_owner_zone: MIB, ..scaled(MIB) };
    let says = |bytes| Guest::answering(Answer::Error(2, "x".repeat(bytes)));
    // In the guest a patch has 64 bytes, here 72.
    let patches = Guest { pages: 16, ..Guest::answering(Answer::patches(vec![Patch::default(); 15_000])) };
    let limits = Limits { hostcall_bytes: MIB, hostcall_bytes_per_owner_zone: 0, ..Limits::default() };
    Rows::of("results and arguments", limits)
        .with("a larger snapshot gets more", scaled(MIB), large(text), too_large)
        .with("n, of which 600 for the snapshot", scaled(20_000), says(20_000), |fired| {
            matches!(failure(fired), Some(CallError::Refused(Refusal::Internal(_))))
        })
        .with("n+1, of which 600 for the snapshot", scaled(20_000), says(20_001), |fired| {
            matches!(failure(fired), Some(CallError::ResultTooLarge { limit: 20_000 }))
        })
        .with("never more than the memory", generous, patches, too_large)
        .row("one large text", large(text), too_large)
        .row("a long list", large(list), too_large)
        .row("one large message", large(message), too_large)
}

fn logs() -> Rows {
    fn kept(fired: &Fired) -> (usize, u64) {
        fired.as_ref().map_or((0, 0), |outcome| (outcome.logs.len(), outcome.dropped_logs))
    }
    let says = |from: u32, bytes: u32, times: u32| {
        Guest::planning(&format!(
            "(local $n i32) (loop $more
                (call $log (i32.const 2) (i32.const {from}) (i32.const {bytes}))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $more (i32.lt_u (local.get $n) (i32.const {times})))) {ECHO}"
        ))
    };
    // The data of a guest begins with the seven letters of its name.
    let name = |times| says(1024, 7, times);
    let short = Limits { log_message_bytes: 6, ..Limits::default() };
    let poor = Limits { plan_fuel: FUEL, plan_fuel_per_item: 0, ..Limits::default() };
    Rows::of("log", Limits::default())
        .row("records: n", name(256), |fired| kept(fired) == (256, 0))
        .row("records: n+1", name(257), |fired| kept(fired) == (256, 1))
        .with("bytes: n", Limits { log_bytes: 28, ..Limits::default() }, name(4), |fired| kept(fired) == (4, 0))
        .with("bytes: n+1", Limits { log_bytes: 27, ..Limits::default() }, name(4), |fired| kept(fired) == (3, 1))
        .with("bytes of a message: n+1", short, name(1), |fired| {
            fired.as_ref().is_ok_and(|outcome| outcome.logs[0].message == "hos...")
        })
        .with("a flood costs fuel", poor, says(65_536, 60_000, u32::MAX), |fired| {
            // 61,000 each: the seventeenth cannot be paid for.
            kept(fired).0 == 16 && failure(fired).is_some_and(out_of_fuel)
        })
}

fn answers() -> Rows {
    fn is_cut(text: &str) -> bool {
        text == "x".repeat(253) + "..."
    }
    let patches = |count, text: usize| {
        let patch = Patch { text: vec![b'x'; text], ..Patch::default() };
        Guest::answering(Answer::patches(vec![patch; count]))
    };
    let holds = |count, text: usize| {
        let hold = Hold { text: "x".repeat(text), ..Hold::default() };
        Guest::answering(Answer::holds(vec![hold; count]))
    };
    // For three owners with one address and two zones: 9 patches, 10 holds.
    let limits = Limits { patches_per_owner_zone: 1, patches_base: 2, problems: 3, ..Limits::default() };
    Rows::of("texts, patches, holds", limits)
        .row("patches: n", patches(9, 0), |fired| plan(fired).is_some_and(|plan| plan.patches.len() == 9))
        .row("patches: n+1", patches(10, 0), |fired| {
            matches!(failure(fired), Some(CallError::TooManyPatches { count: 10, limit: 9 }))
        })
        .row("holds: n", holds(10, 0), |fired| plan(fired).is_some_and(|plan| plan.holds.len() == 10))
        .row("holds: n+1", holds(11, 0), |fired| {
            matches!(failure(fired), Some(CallError::TooManyHolds { count: 11, limit: 10 }))
        })
        .row("text of a patch: n", patches(1, 256), |fired| {
            plan(fired).is_some_and(|plan| plan.patches[0].text == "x".repeat(256))
        })
        .row("text of a patch: n+1", patches(1, 257), |fired| {
            plan(fired).is_some_and(|plan| is_cut(&plan.patches[0].text))
        })
        .row("text of a hold: n+1", holds(1, 257), |fired| plan(fired).is_some_and(|plan| is_cut(&plan.holds[0].text)))
        .row("text of an error: n+1", Guest::answering(Answer::Error(2, "x".repeat(257))), |fired| {
            matches!(failure(fired), Some(CallError::Refused(Refusal::Internal(text))) if is_cut(text))
        })
        .row("problems: n+1", Guest::answering(Answer::Error(0, "\0".repeat(4 * 16))), |fired| {
            matches!(failure(fired), Some(CallError::Refused(Refusal::Settings(problems))) if problems.len() == 3)
        })
}

fn schemas() -> Rows {
    fn refused(fired: &Fired, why: &str) -> bool {
        matches!(fired, Err(LoadError::SchemaInvalid { text }) if text.contains(why))
    }
    let schema = |schema: String| {
        let honest = Guest::default();
        Guest { description: Description { schema, ..honest.description.clone() }, ..honest }
    };
    let deep = (0..33).fold("true".to_owned(), |inner, _| format!(r#"{{"not":{inner}}}"#));
    // Each level refers to the next four times: 20 lines stand for a billion parts.
    let level = |level: u32| {
        let next = format!(r##"{{"$ref":"#/$defs/{}"}}"##, level + 1);
        format!(r#""{level}":{{"anyOf":[{next},{next},{next},{next}]}}"#)
    };
    let levels: Vec<String> = (0..15).map(level).collect();
    let bomb = format!(r##"{{"$ref":"#/$defs/0","$defs":{{{},"15":true}}}}"##, levels.join(","));
    Rows::of("schema", Limits { schema_bytes: 2000, ..Limits::default() })
        .row("bytes", schema(format!("\"{}\"", "x".repeat(1999))), |fired| {
            refused(fired, "too large: 2001 bytes, limit 2000")
        })
        .row("depth", schema(deep), |fired| refused(fired, "deeper than 32"))
        .row("parts", schema(bomb), |fired| refused(fired, "more than 10000 parts") || refused(fired, "deeper than 32"))
}
