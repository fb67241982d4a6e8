//! `sluice policy inspect`.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use sluice_policy::{Inspection, SourceError, read_file};

use super::{Output, REFUSED, complain, policy_host, print};

/// Prints what a component is.
pub(super) fn inspect(file: &Path, output: Output) -> Result<ExitCode> {
    let host = policy_host()?;
    let component = match read_file(file, host.limits().component_bytes) {
        Ok(component) => component,
        Err(error @ SourceError::TooLarge { .. }) => {
            complain(&error.into());
            return Ok(ExitCode::from(REFUSED));
        }
        Err(error) => return Err(error.into()),
    };
    let inspection = host.inspect(&component);
    print(&match output {
        Output::Text => text(&inspection),
        Output::Json => serde_json::to_string_pretty(&inspection)? + "\n",
    })?;
    Ok(if inspection.accepted { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

fn text(inspection: &Inspection) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:<9} {value}");
    };
    let unknown = || "unknown".to_owned();
    line("name", &inspection.name.clone().unwrap_or_else(unknown));
    line("version", &inspection.version.clone().unwrap_or_else(unknown));
    if let Some(summary) = &inspection.summary {
        line("summary", summary);
    }
    line("digest", &inspection.digest);
    line("size", &format!("{} bytes", inspection.bytes));
    line("contract", &inspection.contract.clone().unwrap_or_else(unknown));
    line("imports", &list(&inspection.imports));
    line("exports", &list(&inspection.exports));
    if let Some(uses_labels) = inspection.uses_labels {
        line("labels", if uses_labels { "sees those of namespaces" } else { "sees none" });
    }
    if let Some(schema) = &inspection.settings_schema {
        line("settings", &schema.to_string());
    }
    if inspection.accepted {
        line("verdict", "accepted");
    }
    for refusal in &inspection.refusals {
        line("refused", refusal);
    }
    text
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
