//! What a component is, and whether it would be accepted.

use serde::Serialize;
use serde_json::Value;

use crate::contents::Contents;
use crate::error::LoadError;
use crate::host::{PolicyHost, digest};
use crate::limits::Limits;

/// Everything known of a component without asking it for a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Inspection {
    /// Its name, as it says.
    pub name: Option<String>,
    /// Its version, as it says.
    pub version: Option<String>,
    /// What it does, as it says.
    pub summary: Option<String>,
    /// Its digest: `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// Its size.
    pub bytes: usize,
    /// The contract it was built for, as far as the names of its imports and exports tell.
    pub contract: Option<String>,
    /// Names of its imports.
    pub imports: Vec<String>,
    /// Names of its exports.
    pub exports: Vec<String>,
    /// The schema of its settings.
    pub settings_schema: Option<Value>,
    /// Whether it is shown the labels of namespaces.
    pub uses_labels: Option<bool>,
    /// What it may use here.
    pub limits: Limits,
    /// Whether it can be loaded, given settings that it accepts.
    pub accepted: bool,
    /// Why not: everything that was found.
    pub refusals: Vec<String>,
}

impl PolicyHost {
    /// Looks at a component. Code of it runs only if its imports are clean, and then only `describe`.
    pub fn inspect(&self, component: &[u8]) -> Inspection {
        let mut inspection = Inspection {
            name: None,
            version: None,
            summary: None,
            digest: digest(component),
            bytes: component.len(),
            contract: None,
            imports: Vec::new(),
            exports: Vec::new(),
            settings_schema: None,
            uses_labels: None,
            limits: self.limits().clone(),
            accepted: false,
            refusals: Vec::new(),
        };
        let refusals = match Contents::read(component, self.limits()) {
            Ok(contents) => {
                let refusals = contents.refusals(self.limits());
                inspection.contract = contents.contract();
                inspection.imports = contents.imports;
                inspection.exports = contents.exports;
                refusals
            }
            Err(refusal) => vec![refusal],
        };
        inspection.refusals = refusals.iter().map(ToString::to_string).collect();
        if refusals.is_empty() {
            match self.look_inside(component, &mut inspection) {
                Ok(()) => inspection.accepted = true,
                Err(refusal) => inspection.refusals.push(refusal.to_string()),
            }
        }
        inspection
    }

    fn look_inside(&self, component: &[u8], inspection: &mut Inspection) -> Result<(), LoadError> {
        let linked = self.link(component, &inspection.digest)?;
        let description = self.describe(&linked)?;
        inspection.name = Some(description.name);
        inspection.version = Some(description.version);
        inspection.summary = Some(description.summary);
        inspection.uses_labels = Some(description.uses_labels);
        inspection.settings_schema = Some(description.schema.into_value());
        Ok(())
    }
}
