//! What a component imports and exports, read before it is compiled.

use std::mem;

use wasmparser::{BinaryReaderError, ElementItems, Parser, Payload};

use crate::error::LoadError;
use crate::format::known_format;
use crate::limits::Limits;
use sluice_core::text::printable;

/// The contract this host implements.
pub const CONTRACT: &str = "sluice:policy@0.1.0";

/// The contract as said to people: 0.x is a draft, and a host serves one minor version.
pub(crate) const SPEAKS: &str = "sluice:policy@0.1";

const PACKAGE: &str = "sluice:policy/";
const ALLOCATOR: &str = "sluice:policy/allocator";
const LOG: &str = "sluice:policy/log";

/// Longest name that is kept, for errors and for `inspect`.
const NAME_BYTES: usize = 128;
/// Most names that are kept; a real component has a handful.
const NAMES: usize = 256;

/// The outside of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    /// Names of imports.
    pub(crate) imports: Vec<String>,
    /// Names of exports.
    pub(crate) exports: Vec<String>,
    /// The most that an instance of any one core module needs.
    needs: Needs,
}

/// A parser's text is one line, except where it shows the bytes it expected.
fn malformed(error: &BinaryReaderError) -> LoadError {
    let text = error.to_string();
    let (what, at) = (text.lines().next().unwrap_or_default(), error.offset());
    let what = what.trim_end_matches(['[', ' ']).trim_end_matches(" - expected=");
    let at = if text.lines().count() > 1 { format!(" (at offset {at:#x})") } else { String::new() };
    LoadError::Malformed { text: printable(&format!("{what}{at}"), 256) }
}

impl Contents {
    /// Reads the sections that matter; the code itself is validated by the compile child.
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, LoadError> {
        if bytes.len() > limits.component_bytes {
            return Err(LoadError::ComponentTooLarge { size: bytes.len(), limit: limits.component_bytes });
        }
        if Parser::is_core_wasm(bytes) {
            return Err(LoadError::CoreModule);
        }
        if let Some(text) = known_format(bytes) {
            return Err(LoadError::Malformed { text });
        }
        let mut contents = Self::default();
        contents.walk(bytes).map_err(|error| malformed(&error))?;
        Ok(contents)
    }

    /// The contract that the component was built for, as far as its names tell.
    pub(crate) fn contract(&self) -> Option<String> {
        let exported = self.exports.iter().find_map(|name| versioned(name, ALLOCATOR));
        let imported = || self.imports.iter().find_map(|name| versioned(name, LOG));
        exported.or_else(imported).map(|version| format!("sluice:policy@{version}"))
    }

    /// Everything that speaks against compiling it.
    pub(crate) fn refusals(&self, limits: &Limits) -> Vec<LoadError> {
        let mut refusals = Vec::new();
        let exported = self.exports.iter().any(|name| versioned(name, ALLOCATOR).is_some_and(is_served));
        let mut logs = self.imports.iter().filter_map(|name| versioned(name, LOG));
        if !exported || logs.any(|version| !is_served(version)) {
            refusals.push(LoadError::WrongWorld { found: self.contract() });
        }
        let foreign = self.imports.iter().filter(|name| versioned(name, LOG).is_none());
        refusals.extend(foreign.map(|name| LoadError::ForeignImport { name: name.clone() }));
        refusals.extend(self.needs.over(limits));
        refusals
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<(), BinaryReaderError> {
        let mut depth = 0_usize;
        let mut module = ModuleSize::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ComponentSection { .. } | Payload::ModuleSection { .. } => depth += 1,
                Payload::End(_) => {
                    self.needs.raise(&mem::take(&mut module).needs());
                    depth = depth.saturating_sub(1);
                }
                // Names inside nested components are that component's own affair.
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        keep(&mut self.imports, import?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        keep(&mut self.exports, export?.name.name);
                    }
                }
                other => module.count(&other)?,
            }
        }
        Ok(())
    }
}

/// The version in the name of an interface of the contract; empty if it has none.
fn versioned<'a>(name: &'a str, interface: &str) -> Option<&'a str> {
    debug_assert!(interface.starts_with(PACKAGE));
    let rest = name.strip_prefix(interface)?;
    if rest.is_empty() { Some("none") } else { rest.strip_prefix('@') }
}

fn is_served(version: &str) -> bool {
    version
        .strip_prefix("0.1.")
        .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
}

fn keep(names: &mut Vec<String>, name: &str) {
    if names.len() < NAMES {
        names.push(printable(name, NAME_BYTES));
    }
}

/// What an instance needs before its first instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Needs {
    /// Bytes outside memories and tables, which nothing else bounds: 200 instances of a module with a million globals
    /// would take 3 GB.
    instance_bytes: u64,
    memories: u64,
    /// Of the largest memory.
    memory_bytes: u64,
    tables: u64,
    /// Of the largest table.
    table_elements: u64,
}

impl Needs {
    fn raise(&mut self, other: &Self) {
        self.instance_bytes = self.instance_bytes.max(other.instance_bytes);
        self.memories = self.memories.max(other.memories);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.tables = self.tables.max(other.tables);
        self.table_elements = self.table_elements.max(other.table_elements);
    }

    /// What can never be had. What several instances need together is counted as they are made.
    fn over(&self, limits: &Limits) -> impl Iterator<Item = LoadError> {
        let rows = [
            ("bytes for globals and functions", self.instance_bytes, limits.instance_bytes),
            ("memories", self.memories, limits.memories),
            ("bytes of a memory", self.memory_bytes, limits.memory_bytes),
            ("tables", self.tables, limits.tables),
            ("elements of a table", self.table_elements, limits.table_elements),
        ];
        rows.into_iter().filter_map(|(what, asked, limit)| {
            let limit = u64::try_from(limit).unwrap_or(u64::MAX);
            (asked > limit).then_some(LoadError::ModuleTooLarge { what, asked, limit })
        })
    }
}

/// The sections of a core module that decide what an instance needs.
#[derive(Debug, Default)]
struct ModuleSize {
    globals: u64,
    imports: u64,
    functions: u64,
    /// Upper bound of the functions that can be referred to, each of which has a reference in the instance.
    referable: u64,
    /// Memories and tables.
    room: Needs,
}

impl ModuleSize {
    const GLOBAL_BYTES: u64 = 16;
    const FUNCTION_BYTES: u64 = 32;
    /// 2 to this power.
    const PAGE_BYTES_LOG2: u32 = 16;

    fn count(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::ImportSection(section) => self.imports += u64::from(section.count()),
            Payload::FunctionSection(section) => self.functions += u64::from(section.count()),
            Payload::ExportSection(section) => self.referable += u64::from(section.count()),
            Payload::GlobalSection(section) => {
                self.globals += u64::from(section.count());
                self.referable += u64::from(section.count());
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    self.referable += u64::from(match element?.items {
                        ElementItems::Functions(items) => items.count(),
                        ElementItems::Expressions(_, items) => items.count(),
                    });
                }
            }
            Payload::MemorySection(section) => {
                self.room.memories += u64::from(section.count());
                for memory in section.clone() {
                    let memory = memory?;
                    let page = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(Self::PAGE_BYTES_LOG2));
                    let bytes = memory.initial.saturating_mul(page.unwrap_or(u64::MAX));
                    self.room.memory_bytes = self.room.memory_bytes.max(bytes);
                }
            }
            Payload::TableSection(section) => {
                self.room.tables += u64::from(section.count());
                for table in section.clone() {
                    self.room.table_elements = self.room.table_elements.max(table?.ty.initial);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn needs(self) -> Needs {
        let functions = self.imports.saturating_add(self.referable.min(self.functions + self.imports));
        let globals = self.globals.saturating_mul(Self::GLOBAL_BYTES);
        Needs { instance_bytes: globals.saturating_add(functions.saturating_mul(Self::FUNCTION_BYTES)), ..self.room }
    }
}
