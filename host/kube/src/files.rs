//! Objects from files instead of a cluster: what `oc get -o yaml`, `oc get -o json` and must-gather write.
//!
//! Everything that is readable counts. What is not becomes an [`InputError`] with its place; objects of kinds that Sluice
//! does not read are passed over.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::index::{Index, Problem, WatchState};
use crate::kind::Kind;
use crate::object::Object;

/// Largest file that is read, in bytes: a dump of 10,000 namespaces is some tens of megabytes.
const LARGEST_FILE: u64 = 512 * 1024 * 1024;

/// What files gave.
#[derive(Debug, Default)]
pub struct Loaded {
    /// All objects; [`Index::ready`], since files have no more to say.
    pub index: Index,
    /// How many objects of kinds that Sluice reads were found.
    pub objects: usize,
    /// What could not be read, in the order of files.
    pub errors: Vec<InputError>,
}

/// Something in a file, or in a cluster, that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The file; none for a cluster.
    pub file: Option<PathBuf>,
    /// Line of a syntax error, from 1.
    pub line: Option<usize>,
    /// Position of the document in the file, from 1; 0 if it is about the file, or about a cluster.
    pub document: usize,
    /// Kind, name and field, as far as known: `EgressIPAM east: spec.cidrAssignments[0].CIDR`.
    pub field: String,
    /// What is wrong.
    pub text: String,
}

impl From<Problem> for InputError {
    fn from(Problem { kind, name, note }: Problem) -> Self {
        Self { file: None, line: None, document: 0, field: format!("{kind} {name}: {}", note.field), text: note.text }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if 1 < self.document {
            write!(f, ": document {}", self.document)?;
        }
        let file_end = if self.file.is_some() { ": " } else { "" };
        let field_end = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{file_end}{}{field_end}{}", self.field, self.text)
    }
}

/// Reads a file, or all `.yaml`, `.yml` and `.json` files of a folder and its folders, in the order of their names.
/// `now` is Unix time in milliseconds.
pub fn load(path: &Path, now: u64) -> Loaded {
    let mut loaded = Loaded::default();
    loaded.index.set_time(now);
    loaded.visit(path, true);
    for kind in Kind::ALL {
        loaded.index.set_watch(kind, WatchState::Listed);
    }
    loaded
}

impl Loaded {
    fn error(&mut self, file: &Path, document: usize, text: impl Into<String>) {
        let (file, text) = (Some(file.to_owned()), text.into());
        self.errors.push(InputError { file, line: None, document, field: String::new(), text });
    }

    fn visit(&mut self, path: &Path, is_named: bool) {
        let is_text = path.extension().is_some_and(|name| name == "yaml" || name == "yml" || name == "json");
        if path.is_dir() {
            match children(path) {
                Ok(children) => children.iter().for_each(|child| self.visit(child, false)),
                Err(error) => self.error(path, 0, error.to_string()),
            }
        } else if is_named || is_text {
            match read(path) {
                Ok(text) => self.file(path, &text),
                Err(text) => self.error(path, 0, text),
            }
        }
    }

    fn file(&mut self, path: &Path, text: &str) {
        let text = text.trim_start_matches('\u{feff}');
        if path.extension().is_some_and(|name| name == "json") {
            match serde_json::from_str(text) {
                Ok(value) => self.value(path, 1, value),
                Err(error) => self.syntax_error(path, 1, 0, Some((error.line(), error.column())), &error.to_string()),
            }
            return;
        }
        for (position, (first_line, document)) in documents(text).into_iter().enumerate() {
            match serde_yaml_ng::from_str(&document) {
                Ok(value) => self.value(path, position + 1, value),
                Err(error) => {
                    let place = error.location().map(|place| (place.line(), place.column()));
                    self.syntax_error(path, position + 1, first_line, place, &error.to_string());
                }
            }
        }
    }

    /// `place` is line and column within the document, which has `first_line` lines before it. The parser's text
    /// says the same place, and perhaps others: all are wrong for the file.
    fn syntax_error(
        &mut self,
        file: &Path,
        document: usize,
        first_line: usize,
        place: Option<(usize, usize)>,
        text: &str,
    ) {
        let own_place = place.map(|(line, column)| format!(" at line {line} column {column}")).unwrap_or_default();
        self.errors.push(InputError {
            file: Some(file.to_owned()),
            line: place.map(|(line, _)| first_line + line),
            document,
            field: String::new(),
            text: moved_down(&text.replacen(&own_place, "", 1), first_line),
        });
    }

    /// A document: an object, a list of objects, or something else.
    fn value(&mut self, path: &Path, document: usize, mut value: Value) {
        if let Some(items) = value.as_array_mut() {
            for item in std::mem::take(items) {
                self.value(path, document, item);
            }
            return;
        }
        let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let item_kind = kind.strip_suffix("List").unwrap_or_default().to_owned();
        if let (true, Some(items)) = (kind.ends_with("List"), value.get_mut("items").and_then(Value::as_array_mut)) {
            for mut item in std::mem::take(items) {
                // Items of a typed list, as the API server sends it, do not repeat their type.
                if let Some(fields) = item.as_object_mut().filter(|fields| !fields.contains_key("kind")) {
                    fields.insert("kind".to_owned(), Value::from(item_kind.as_str()));
                    fields.insert("apiVersion".to_owned(), Value::from(api_version.as_str()));
                }
                self.value(path, document, item);
            }
            return;
        }
        let is_ours = Kind::ALL.iter().any(|known| known.to_string() == kind);
        match Kind::of(&api_version, &kind) {
            Some(kind) => self.object(path, document, kind, &Object::new(value)),
            None if is_ours && api_version.is_empty() => self.error(path, document, format!("{kind}: no apiVersion")),
            None => {}
        }
    }

    fn object(&mut self, path: &Path, document: usize, kind: Kind, object: &Object) {
        if object.name().is_empty() {
            self.error(path, document, format!("{kind}: metadata.name: missing"));
            return;
        }
        if !kind.counts(object.name()) {
            return;
        }
        self.objects += 1;
        self.index.apply(kind, object);
        for note in self.index.notes_of(kind, object) {
            let problem = Problem { kind, name: object.name().to_owned(), note };
            self.errors.push(InputError { file: Some(path.to_owned()), document, ..InputError::from(problem) });
        }
    }
}

/// A parser's text with lines counted from the beginning of the file, not of the document.
fn moved_down(text: &str, lines: usize) -> String {
    let mut parts = text.split(" at line ");
    let mut moved = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        let (number, rest) = part.split_at(digits);
        let line = number.parse::<usize>().map_or_else(|_| number.to_owned(), |line| (line + lines).to_string());
        moved = format!("{moved} at line {line}{rest}");
    }
    moved
}

fn children(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // A link to a folder above would never end.
        let is_linked_folder = entry.file_type()?.is_symlink() && entry.path().is_dir();
        if !is_linked_folder {
            children.push(entry.path());
        }
    }
    children.sort();
    Ok(children)
}

fn read(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > LARGEST_FILE {
        return Err(format!("{size} bytes are more than the {LARGEST_FILE} that are read"));
    }
    fs::read_to_string(path).map_err(|error| error.to_string())
}

/// The documents of a YAML file, each with the number of lines before it. Split by hand, so that a syntax error costs
/// one document; YAML allows `---` at the start of a line nowhere else.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (number, line) in text.lines().enumerate() {
        let rest = line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        if let Some(rest) = rest {
            // The marker's own line counts, so that lines keep their numbers; what follows it belongs to the document.
            documents.push((number, format!("   {rest}\n")));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    documents.retain(|(_, document)| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')));
    documents
}

#[cfg(test)]
mod tests;
