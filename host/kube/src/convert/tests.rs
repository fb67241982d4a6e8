//! What objects are read as, whatever state they are in.

mod broken;
mod cluster;
mod pool;
mod private_ip;

use std::fmt::{Debug, Write as _};

use expect_test::Expect;

use super::FieldNotes;
use crate::object::Object;

/// An object from YAML.
pub(crate) fn object(yaml: &str) -> Object {
    serde_yaml_ng::from_str(yaml).unwrap()
}

/// Reads an object and shows its facts, then what was noted.
pub(crate) fn check<F: Debug>(yaml: &str, read: impl Fn(&Object, &mut FieldNotes) -> F, expected: &Expect) {
    let mut notes = FieldNotes::new();
    let facts = read(&object(yaml), &mut notes);
    let mut shown = format!("{facts:#?}\n");
    for note in notes {
        writeln!(shown, "{note}").unwrap();
    }
    expected.assert_eq(&shown);
}
