//! What came of runs that were killed, and the line that tells it.

use std::io::Write as _;

/// What came of a run; empty is good.
#[derive(Debug, Default)]
pub(in crate::scenarios) struct Verdict {
    pub(in crate::scenarios) unfinished: Option<String>,
    pub(in crate::scenarios) duplicates: Vec<String>,
    pub(in crate::scenarios) lost: Vec<String>,
}

/// Prints the figures of all runs, and panics unless all are well.
pub(in crate::scenarios) fn conclude(label: &str, total: usize, verdicts: &[Verdict]) {
    let converged = verdicts.iter().filter(|verdict| verdict.unfinished.is_none()).count();
    let duplicates: usize = verdicts.iter().map(|verdict| verdict.duplicates.len()).sum();
    let lost: usize = verdicts.iter().map(|verdict| verdict.lost.len()).sum();
    let line = format!("{label}: {converged}/{total} converged, {duplicates} duplicates, {lost} lost");
    // Not by `println!`: the test runner would show it only if the test fails.
    writeln!(std::io::stdout().lock(), "{line}").expect("stdout is open");
    assert!(converged == total && duplicates == 0 && lost == 0, "{line}");
}
