//! Loading, stage by stage.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::bindings::PolicyPre;
use crate::call::{Guest, Linked, linker};
use crate::cancel::Cancel;
use crate::compile::Compiler;
use crate::contents::Contents;
use crate::describe::Description;
use crate::engine;
use crate::error::{HostError, LoadError, SettingsProblem};
use crate::gate::{Caller, Gate};
use crate::lift;
use crate::limits::Limits;
use crate::policy::{Policy, PolicyInfo};
use crate::thread::{Lost, contain};
use sluice_core::text::printable;

/// Compiled components that are kept: the active policy, its predecessor, a candidate, and a few tenants'.
const KEPT: usize = 8;

/// Loads policies and owns what they share: engine, clock, compiler, and the bound on concurrent calls. Cheap to
/// clone.
#[derive(Clone)]
pub struct PolicyHost {
    shared: Arc<Shared>,
    limits: Arc<Limits>,
    cancel: Cancel,
}

struct Shared {
    engine: Engine,
    linker: Linker<Guest>,
    compiler: Compiler,
    gate: Arc<Gate>,
    /// By digest, the latest last.
    compiled: Mutex<VecDeque<(String, Component)>>,
    /// What the compiler said although it did its work.
    remark: Mutex<Option<String>>,
}

impl PolicyHost {
    /// Starts the engine and its clock.
    pub fn new(limits: Limits, compiler: Compiler) -> Result<Self, HostError> {
        let cannot = |error: wasmtime::Error| HostError(format!("{error:#}"));
        let engine = engine::serving(&limits).map_err(cannot)?;
        let linker = linker(&engine).map_err(cannot)?;
        let gate = Arc::new(Gate::new(limits.concurrent_calls));
        let shared = Shared { engine, linker, compiler, gate, compiled: Mutex::default(), remark: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), limits: Arc::new(limits), cancel: Cancel::default() })
    }

    /// The same host with this much fuel for plans of the policies loaded from now on, whatever the snapshot's size.
    pub fn with_plan_fuel(&self, plan_fuel: u64) -> Self {
        let limits = Limits { plan_fuel, plan_fuel_per_item: 0, ..self.limits.as_ref().clone() };
        Self { limits: Arc::new(limits), ..self.clone() }
    }

    /// The same host, whose loads end when they are cancelled.
    pub fn until(&self, cancel: Cancel) -> Self {
        Self { cancel, ..self.clone() }
    }

    /// What this kernel does not offer to confine the compiler, once something was compiled; none: nothing is missing.
    pub fn compiler_remark(&self) -> Option<String> {
        self.shared.remark.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What policies loaded from here may use.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Runs every stage. Blocks for as long as compiling takes. Empty settings are `{}`.
    pub fn load(&self, component: &[u8], settings: &str) -> Result<Policy, LoadError> {
        let contents = Contents::read(component, &self.limits)?;
        if let Some(refusal) = contents.refusals(&self.limits).into_iter().next() {
            return Err(refusal);
        }
        let digest = digest(component);
        let linked = self.link(component, &digest)?;
        let Description { name, version, summary, schema, uses_labels } = self.describe(&linked)?;
        let settings = self.settings(settings)?;
        // Another crate's code on a foreign schema: contained like a call.
        let problems = contain(|| schema.problems(&settings, &self.limits)).map_err(lost)?;
        if !problems.is_empty() {
            return Err(LoadError::SettingsInvalid { errors: problems });
        }
        // Written again, so that the policy reads what the schema was checked against: members that occur twice
        // and other liberties of the text are gone.
        let settings = settings.to_string();
        self.validate(&linked, &settings)?;
        let settings_schema = schema.into_value();
        let bytes = component.len();
        let info = PolicyInfo { name, version, summary, digest, bytes, settings, settings_schema, uses_labels };
        Ok(Policy::new(linked, info))
    }

    /// Compiles, unless it was done before, and links.
    pub(crate) fn link(&self, wasm: &[u8], digest: &str) -> Result<Linked, LoadError> {
        let component = match self.compiled(digest) {
            Some(component) => component,
            None => self.compile(wasm, digest)?,
        };
        let unlinkable = |error: wasmtime::Error| LoadError::Unlinkable {
            text: printable(&format!("{error:#}"), self.limits.log_message_bytes),
        };
        let component = self.shared.linker.instantiate_pre(&component).map_err(unlinkable)?;
        let exports = PolicyPre::new(component).map_err(unlinkable)?;
        Ok(Linked { exports, limits: Arc::clone(&self.limits), gate: Arc::clone(&self.shared.gate) })
    }

    fn compiled(&self, digest: &str) -> Option<Component> {
        let compiled = self.shared.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        compiled.iter().find(|(known, _)| known == digest).map(|(_, component)| component.clone())
    }

    fn compile(&self, wasm: &[u8], digest: &str) -> Result<Component, LoadError> {
        let made = self.shared.compiler.compile(wasm, &self.shared.engine, &self.limits, &self.cancel)?;
        if !made.remark.is_empty() {
            *self.shared.remark.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.remark);
        }
        let component = deserialize(&self.shared.engine, &made.artifact)?;
        let mut compiled = self.shared.compiled.lock().unwrap_or_else(PoisonError::into_inner);
        if compiled.len() >= KEPT {
            compiled.pop_front();
        }
        compiled.push_back((digest.to_owned(), component.clone()));
        Ok(component)
    }

    /// Asks the policy who it is.
    pub(crate) fn describe(&self, linked: &Linked) -> Result<Description, LoadError> {
        let called = linked.call(linked.other_budget(), self.aside(), |exports, store| {
            exports.sluice_policy_allocator().call_describe(store)
        });
        let raw = called.result.map_err(LoadError::Describe)?;
        contain(|| Description::check(raw, &self.limits)).map_err(lost)?
    }

    fn aside(&self) -> Caller<'_> {
        Caller::Aside(&self.cancel)
    }

    fn settings(&self, text: &str) -> Result<Value, LoadError> {
        if text.len() > self.limits.settings_bytes {
            return Err(LoadError::SettingsTooLarge { size: text.len(), limit: self.limits.settings_bytes });
        }
        let text = if text.trim().is_empty() { "{}" } else { text };
        serde_json::from_str(text).map_err(|error| {
            let problem = SettingsProblem { path: String::new(), text: format!("not JSON: {error}") };
            LoadError::SettingsInvalid { errors: vec![problem] }
        })
    }

    /// Asks the policy whether it accepts the settings.
    fn validate(&self, linked: &Linked, settings: &str) -> Result<(), LoadError> {
        let called = linked.call(linked.other_budget(), self.aside(), |exports, store| {
            exports.sluice_policy_allocator().call_validate_settings(store, settings)
        });
        let answer = called.result.map_err(LoadError::ValidateSettings)?;
        answer.map_err(|errors| LoadError::SettingsInvalid { errors: lift::problems(errors, &self.limits) })
    }
}

impl std::fmt::Debug for PolicyHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyHost").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// `sha256:` and the digest in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(71);
    text.push_str("sha256:");
    for byte in Sha256::digest(bytes) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Native code becomes a component.
#[expect(
    unsafe_code,
    reason = "the bytes come from our own compiler: from this process, or over a pipe from our child"
)]
fn deserialize(engine: &Engine, artifact: &[u8]) -> Result<Component, LoadError> {
    // SAFETY: `Component::deserialize` trusts its bytes to be the output of `precompile_component`. These never
    // touched a file or a network: `Compiler::compile` got them from the compiler a moment ago.
    let component = unsafe { Component::deserialize(engine, artifact) };
    component.map_err(|error| LoadError::CompileFailed { text: printable(&format!("{error:#}"), 1 << 10) })
}

fn lost(lost: Lost) -> LoadError {
    let text = match lost {
        Lost::Panicked(text) => format!("checking it panicked, please report: {text}"),
        Lost::NotStarted(text) => format!("cannot start a thread to check it: {text}"),
    };
    LoadError::SchemaInvalid { text }
}
