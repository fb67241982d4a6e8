//! `cargo xtask crds`: deploy/crds holds what `sluice crds` prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::tools;
use crate::workspace::Workspace;

/// Texts by file name.
type Files = BTreeMap<String, String>;

pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<ExitCode> {
    tools::ensure_wasm_target()?;
    let wanted = split(&print(&workspace.build_sluice("dev")?)?)?;
    let folder = workspace.path("deploy/crds");
    let found = read(&folder)?;
    if !check {
        write(&folder, &wanted, &found)?;
    } else if let Some(name) = first_difference(&wanted, &found) {
        bail!("deploy/crds/{name} is not what `sluice crds` prints; `cargo xtask crds` writes it");
    }
    Ok(ExitCode::SUCCESS)
}

fn print(sluice: &Path) -> Result<String> {
    let output =
        Command::new(sluice).arg("crds").output().with_context(|| format!("cannot run {}", sluice.display()))?;
    ensure!(
        output.status.success(),
        "`sluice crds` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    String::from_utf8(output.stdout).context("`sluice crds` prints no text")
}

/// One file for each document. What stands before the first document goes with it.
fn split(text: &str) -> Result<Files> {
    let mut documents: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let starts = line.trim_end() == "---" && documents.last().is_some_and(|last| crd_name(last).is_some());
        match documents.last_mut() {
            Some(last) if !starts => last.push_str(line),
            _ => documents.push(line.to_owned()),
        }
    }
    let named = |document: String| {
        let name = crd_name(&document).context("`sluice crds` prints a document without metadata.name")?;
        Ok((format!("{name}.yaml"), document))
    };
    documents.into_iter().map(named).collect()
}

/// `metadata.name` of a document.
fn crd_name(document: &str) -> Option<&str> {
    let mut lines = document.lines().skip_while(|line| *line != "metadata:").skip(1);
    lines.by_ref().take_while(|line| line.starts_with(' ')).find_map(|line| line.strip_prefix("  name: "))
}

fn read(folder: &Path) -> Result<Files> {
    let mut files = Files::new();
    if !folder.is_dir() {
        return Ok(files);
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "yaml") {
            files.insert(entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

fn write(folder: &Path, wanted: &Files, found: &Files) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, text) in wanted.iter().filter(|(name, text)| found.get(*name) != Some(*text)) {
        eprintln!("writing deploy/crds/{name}");
        fs::write(folder.join(name), text)?;
    }
    for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
        eprintln!("removing deploy/crds/{name}");
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

/// The first file that is missing, too many, or different.
fn first_difference<'a>(wanted: &'a Files, found: &'a Files) -> Option<&'a str> {
    wanted.keys().chain(found.keys()).find(|name| wanted.get(*name) != found.get(*name)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# Generated.\n---\nkind: X\nmetadata:\n  labels:\n    name: no\n  name: a.b\nspec:\n  name: no\n\
                       ---\nkind: X\nmetadata:\n  name: c.d\n";

    #[test]
    fn each_document_is_a_file_and_no_byte_is_lost() {
        let files = split(TWO).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["a.b.yaml", "c.d.yaml"]);
        assert_eq!(files.into_values().collect::<String>(), TWO);
    }

    #[test]
    fn a_document_without_a_name_is_refused() {
        assert!(split("kind: X\n").is_err());
    }

    #[test]
    fn differences_are_found_both_ways() {
        let files = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect::<Files>();
        assert_eq!(first_difference(&files(&["a"]), &files(&["a"])), None);
        assert_eq!(first_difference(&files(&["a", "b"]), &files(&["a"])), Some("b"));
        assert_eq!(first_difference(&files(&["a"]), &files(&["a", "b"])), Some("b"));
    }
}
