//! Which cases of the originals' own tests are played, and by which test here.
//!
//! `cargo test -p sluice-sandbox-ovn table -- --nocapture` prints the table.

mod controller;
mod manager;

use Outcome::{Not, Partly, Plays};
use controller::CONTROLLER;
use manager::MANAGER;

/// What came of a case.
#[derive(Clone, Copy)]
enum Outcome {
    Plays,
    Partly(&'static str),
    Not(&'static str),
}

/// Where a case comes from, what it says in short, the tests here, and the outcome.
type Row = (&'static str, &'static str, &'static [&'static str], Outcome);

const SOURCES: [(&str, &str); 7] = [
    ("nodes", include_str!("../nodes.rs")),
    ("both", include_str!("../both.rs")),
    ("assignment", include_str!("../assignment.rs")),
    ("status", include_str!("../status.rs")),
    ("selectors", include_str!("../selectors.rs")),
    ("cloud_controller", include_str!("../cloud_controller.rs")),
    ("observed", include_str!("../observed.rs")),
];

#[test]
fn table_of_cases_names_tests_that_exist() {
    let (mut played, mut partly, mut not) = (0, 0, 0);
    for (group, case, tests, result) in MANAGER.iter().chain(CONTROLLER) {
        for test in *tests {
            let (module, name) = test.split_once("::").unwrap();
            let source = SOURCES.iter().find(|(known, _)| *known == module).unwrap().1;
            assert!(source.contains(&format!("#[test]\nfn {name}()")), "there is no test {test}");
        }
        let (word, why) = match result {
            Plays => ("played", ""),
            Partly(why) => ("partly", *why),
            Not(why) => ("not", *why),
        };
        assert_eq!(tests.is_empty(), word == "not", "{case}");
        match result {
            Plays => played += 1,
            Partly(_) => partly += 1,
            Not(_) => not += 1,
        }
        println!("{word:7} {group:27} {case:52} {why}");
    }
    println!("{played} played, {partly} in part, {not} not");
    assert_eq!((played, partly, not), (83, 4, 3));
}
