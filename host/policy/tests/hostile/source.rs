//! Files that are too large or not there, and the check of a candidate.

use std::path::Path;

use sluice_policy::{CallError, CandidateError, Limits, LoadError, SourceError, read_file, shadow};

use crate::guest::Guest;
use crate::{GENERATION, host, snapshot};

#[test]
fn no_more_is_read_than_the_limit_allows() {
    // Has no end.
    let error = read_file(Path::new("/dev/zero"), 1 << 20).unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { limit: 1_048_576, .. }), "{error}");
    let error = read_file(Path::new("/no/such/file"), 10).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /no/such/file: No such file"), "{error}");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let bytes = read_file(&manifest, 1 << 20).unwrap();
    assert_eq!(read_file(&manifest, bytes.len()).unwrap(), bytes);
    assert!(read_file(&manifest, bytes.len() - 1).is_err());
}

#[test]
fn a_candidate_loads_and_plans_once() {
    let host = host(Limits::default());
    let candidate = shadow(&host, &Guest::default().component(), "", &snapshot()).unwrap();
    assert_eq!(candidate.shadow.plan.generation, GENERATION);
    assert_eq!(candidate.policy.info().name, "hostile");
    let error = shadow(&host, b"", "", &snapshot()).unwrap_err();
    assert!(matches!(error, CandidateError::Load(LoadError::Malformed { .. })), "{error}");
    let error = shadow(&host, &Guest::planning("unreachable").component(), "", &snapshot()).unwrap_err();
    assert!(matches!(&error, CandidateError::Plan(CallError::Trap { .. })), "{error}");
}
