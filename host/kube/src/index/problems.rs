//! Fields that could not be read, and which of them nobody has been told of.

use std::collections::BTreeMap;

use super::identity::Key;
use crate::convert::{FieldNote, FieldNotes};
use crate::kind::Kind;

/// A field of an object that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Kind of the object.
    pub kind: Kind,
    /// Its name; of a namespaced one with the namespace in front.
    pub name: String,
    /// Which field, and what is wrong.
    pub note: FieldNote,
}

/// What is wrong now, by object.
#[derive(Debug, Default)]
pub(super) struct Problems {
    notes: BTreeMap<(Kind, Key), FieldNotes>,
    /// In the order they were found. Never more than what is wrong now.
    untold: Vec<Problem>,
}

impl Problems {
    /// Notes all that is wrong with an object. The same note as before is no news.
    pub(super) fn set(&mut self, kind: Kind, key: &Key, notes: FieldNotes) {
        let entry = (kind, key.clone());
        let before = self.notes.remove(&entry).unwrap_or_default();
        if before.is_empty() && notes.is_empty() {
            return;
        }
        let name = key.to_string();
        self.untold.retain(|problem| problem.kind != kind || problem.name != name || notes.contains(&problem.note));
        let news = notes.iter().filter(|note| !before.contains(note));
        self.untold.extend(news.map(|note| Problem { kind, name: name.clone(), note: note.clone() }));
        if !notes.is_empty() {
            self.notes.insert(entry, notes);
        }
    }

    pub(super) fn of(&self, kind: Kind, key: Key) -> FieldNotes {
        self.notes.get(&(kind, key)).cloned().unwrap_or_default()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Problem> {
        self.notes.iter().flat_map(|((kind, key), notes)| {
            notes.iter().map(|note| Problem { kind: *kind, name: key.to_string(), note: note.clone() })
        })
    }

    pub(super) fn count(&self) -> usize {
        self.notes.values().map(Vec::len).sum()
    }

    pub(super) fn tell(&mut self, most: usize) -> Vec<Problem> {
        self.untold.drain(..most.min(self.untold.len())).collect()
    }
}
