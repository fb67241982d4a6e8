//! What a component imports and exports, read before it is compiled.

use wasmparser::{BinaryReaderError, ElementItems, Parser, Payload};

use crate::error::LoadError;
use crate::limits::Limits;
use crate::text::tidy;

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
    /// Bytes an instance of the greediest core module needs outside memories and tables.
    instance_bytes: usize,
}

/// A parser's text is one line, except where it shows the bytes it expected.
fn malformed(error: &BinaryReaderError) -> LoadError {
    let text = error.to_string();
    let (what, at) = (text.lines().next().unwrap_or_default(), error.offset());
    let what = what.trim_end_matches(['[', ' ']).trim_end_matches(" - expected=");
    let at = if text.lines().count() > 1 { format!(" (at offset {at:#x})") } else { String::new() };
    LoadError::Malformed { text: tidy(&format!("{what}{at}"), 256) }
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
        if self.instance_bytes > limits.instance_bytes {
            refusals.push(LoadError::InstanceTooLarge { asked: self.instance_bytes, limit: limits.instance_bytes });
        }
        refusals
    }

    fn walk(&mut self, bytes: &[u8]) -> Result<(), BinaryReaderError> {
        let mut depth = 0_usize;
        let mut module = ModuleSize::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ComponentSection { .. } => depth += 1,
                Payload::ModuleSection { .. } => {
                    depth += 1;
                    module = ModuleSize::default();
                }
                Payload::End(_) => {
                    self.instance_bytes = self.instance_bytes.max(module.instance_bytes());
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
        names.push(tidy(name, NAME_BYTES));
    }
}

/// What decides how much of the host's memory an instance takes besides memories and tables, which are limited as
/// they grow. Nothing else bounds it: 200 instances of a module with a million globals would take 3 GB.
#[derive(Debug, Default)]
struct ModuleSize {
    globals: usize,
    imports: usize,
    functions: usize,
    /// Upper bound of the functions that can be referred to, each of which has a reference in the instance.
    referable: usize,
}

impl ModuleSize {
    const GLOBAL_BYTES: usize = 16;
    const FUNCTION_BYTES: usize = 32;

    fn count(&mut self, payload: &Payload<'_>) -> Result<(), BinaryReaderError> {
        match payload {
            Payload::ImportSection(section) => self.imports += section.count() as usize,
            Payload::FunctionSection(section) => self.functions += section.count() as usize,
            Payload::ExportSection(section) => self.referable += section.count() as usize,
            Payload::GlobalSection(section) => {
                self.globals += section.count() as usize;
                self.referable += section.count() as usize;
            }
            Payload::ElementSection(section) => {
                for element in section.clone() {
                    self.referable += match element?.items {
                        ElementItems::Functions(items) => items.count() as usize,
                        ElementItems::Expressions(_, items) => items.count() as usize,
                    };
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn instance_bytes(&self) -> usize {
        let functions = self.imports + self.referable.min(self.functions + self.imports);
        self.globals.saturating_mul(Self::GLOBAL_BYTES).saturating_add(functions.saturating_mul(Self::FUNCTION_BYTES))
    }
}
