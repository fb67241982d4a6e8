//! Clusters and files like those that people reported in public: what `sluice plan --adopt` and `sluice policy inspect`
//! say of them. Each is a folder of `fixtures/cases`, with the right words in EXPECT.txt.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use expect_test::expect_file;
use serde_json::Value;

use crate::harness::bootstrap;
use crate::harness::program::sluice;

mod running;

/// A variant of a case: what it is called, the file that differs, and the edits that make the difference.
struct Variant {
    case: &'static str,
    name: &'static str,
    edits: &'static [Edit],
}

enum Edit {
    /// This text of a file becomes that one, everywhere.
    Text { file: &'static str, from: &'static str, to: &'static str },
    /// This document of a file is left out: the one that has this text.
    Document { file: &'static str, with: &'static str },
    /// This file is not there.
    File(&'static str),
}

const CLUSTER: &str = "cluster.yaml";

const VARIANTS: &[Variant] = &[
    Variant {
        case: "label-value-of-no-node",
        name: "the topology label is misspelt",
        edits: &[Edit::Text {
            file: CLUSTER,
            from: "topologyLabel: node-role.kubernetes.io/worker",
            to: "topologyLabel: node-role.kubernetes.io/wroker",
        }],
    },
    Variant {
        case: "label-value-of-no-node",
        name: "nodeSelector matches nobody",
        edits: &[Edit::Text {
            file: CLUSTER,
            from: "  cidrAssignments:",
            to: "  nodeSelector: {matchLabels: {role: gateway}}\n  cidrAssignments:",
        }],
    },
    Variant {
        case: "label-value-of-no-node",
        name: "all nodes of the zone are cordoned",
        edits: &[
            Edit::Text { file: CLUSTER, from: "labelValue: 'true'", to: "labelValue: ''" },
            Edit::Text { file: CLUSTER, from: "spec: {}", to: "spec: {unschedulable: true}" },
        ],
    },
    Variant {
        case: "label-value-of-no-node",
        name: "one entry, where the network places",
        edits: &[Edit::Text { file: CLUSTER, from: "  - labelValue: 'true'\n    CIDR: 10.0.1.128/25\n", to: "" }],
    },
    Variant {
        case: "label-value-of-no-node",
        name: "one entry, the label is misspelt",
        edits: &[
            Edit::Text { file: CLUSTER, from: "  - labelValue: 'true'\n    CIDR: 10.0.1.128/25\n", to: "" },
            Edit::Text {
                file: CLUSTER,
                from: "topologyLabel: node-role.kubernetes.io/worker",
                to: "topologyLabel: node-role.kubernetes.io/wroker",
            },
        ],
    },
    Variant {
        case: "own-address-of-another-node",
        name: "the machine is no node of the pool",
        edits: &[Edit::Text { file: CLUSTER, from: "hostname: new\n    zone: a", to: "hostname: new" }],
    },
    Variant {
        case: "own-address-of-another-node",
        name: "the machine has no HostSubnet yet",
        edits: &[Edit::Document { file: CLUSTER, with: "host: new\n" }],
    },
    Variant {
        case: "own-address-of-another-node",
        name: "the machine is not ready",
        edits: &[Edit::Text {
            file: CLUSTER,
            from: "    address: 10.0.1.7\n  conditions:\n  - type: Ready\n    status: 'True'",
            to: "    address: 10.0.1.7\n  conditions:\n  - type: Ready\n    status: 'False'",
        }],
    },
    Variant {
        case: "own-address-of-another-node",
        name: "the node that carries it lists it, also as its own",
        edits: &[
            Edit::Document { file: CLUSTER, with: "hostname: new\n" },
            Edit::Document { file: CLUSTER, with: "host: new\n" },
            Edit::Text {
                file: CLUSTER,
                from: "    address: 10.0.0.11",
                to: "    address: 10.0.0.11\n  - type: InternalIP\n    address: 10.0.1.7",
            },
            Edit::Text { file: CLUSTER, from: "hostIP: 10.0.0.11", to: "hostIP: 10.0.1.7" },
        ],
    },
    Variant {
        case: "own-address-of-another-node",
        name: "the pool reserves it",
        edits: &[Edit::Text {
            file: CLUSTER,
            from: "    CIDR: 10.0.1.0/24",
            to: "    CIDR: 10.0.1.0/24\n    reservedIPs: [10.0.1.7]",
        }],
    },
    Variant {
        case: "shared-network-id",
        name: "they are taken apart",
        edits: &[
            Edit::Text { file: CLUSTER, from: "netid: 62\nnetname: right", to: "netid: 64\nnetname: right" },
            Edit::Text { file: CLUSTER, from: "netid: 63\nnetname: web-batch", to: "netid: 65\nnetname: web-batch" },
        ],
    },
    Variant {
        case: "announced-room-shrinks",
        name: "the cloud refuses one of them",
        edits: &[Edit::Text {
            file: CLUSTER,
            from: "  name: 10.0.1.11\n  uid: 00000000-0000-4000-8000-000000000139\n  resourceVersion: '139'\n  creationTimestamp: '2026-05-01T06:00:00Z'\nspec:\n  node: w1\nstatus:\n  node: w1\n  conditions:\n  - type: Assigned\n    status: 'True'",
            to: "  name: 10.0.1.11\n  uid: 00000000-0000-4000-8000-000000000139\n  resourceVersion: '139'\n  creationTimestamp: '2026-05-01T06:00:00Z'\nspec:\n  node: w1\nstatus:\n  node: w1\n  conditions:\n  - type: Assigned\n    status: 'False'",
        }],
    },
    Variant { case: "backend-in-spite-of-none", name: "without load balancers", edits: &[Edit::File("lbs.json")] },
    Variant {
        case: "plain-selector",
        name: "other unknown fields",
        edits: &[Edit::Text {
            file: CLUSTER,
            from: "  nodeSelector:\n    node-role.kubernetes.io/worker: ''\n",
            to: "  reservedIps: [10.0.1.2]\n  zonefailover: Any\n  nodeSelector: {matchLabels: {node-role.kubernetes.io/worker: ''}}\n",
        }],
    },
    Variant {
        case: "both-on-the-last-node",
        name: "the other node is healthy, too",
        edits: &[Edit::Text { file: CLUSTER, from: "    status: Unknown", to: "    status: 'True'" }],
    },
];

fn folder() -> PathBuf {
    bootstrap::fixtures().join("cases")
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|file| file.expect("readable").path())
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8").to_owned();
            (name, std::fs::read(&path).expect("readable"))
        })
        .collect();
    files.sort();
    files
}

/// What `sluice plan --adopt` says of a case with some edits.
async fn planned(case: &Path, edits: &[Edit]) -> String {
    let mut inputs = files(case);
    inputs.retain(|(name, _)| name != "EXPECT.txt");
    for edit in edits {
        change(&mut inputs, edit);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut arguments = vec!["plan".to_owned(), "--adopt".to_owned()];
    for (name, content) in &inputs {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("the folder is writable");
        let flag = if name == CLUSTER { "--from" } else { "--azure-dump" };
        arguments.extend([flag.to_owned(), path.to_str().expect("UTF-8").to_owned()]);
    }
    let ran = sluice(&arguments).await;
    let text = format!("{}{}exit {}\n", ran.stdout, ran.stderr, ran.code);
    text.replace(&format!("{}/", folder.path().to_str().expect("UTF-8")), "")
}

/// Makes another text of a file.
type Rewrite<'a> = Box<dyn Fn(&str) -> String + 'a>;

fn change(inputs: &mut Vec<(String, Vec<u8>)>, edit: &Edit) {
    let (file, edited): (_, Rewrite<'_>) = match *edit {
        Edit::File(name) => {
            let before = inputs.len();
            inputs.retain(|(other, _)| other != name);
            assert_ne!(inputs.len(), before, "there is no {name}");
            return;
        }
        Edit::Text { file, from, to } => (file, Box::new(move |text| text.replace(from, to))),
        Edit::Document { file, with } => (
            file,
            Box::new(move |text| {
                let stay: Vec<&str> = text.split("---\n").filter(|document| !document.contains(with)).collect();
                stay.join("---\n")
            }),
        ),
    };
    let (_, content) = inputs.iter_mut().find(|(name, _)| name == file).expect("there is such a file");
    let before = String::from_utf8(std::mem::take(content)).expect("UTF-8");
    let after = edited(&before);
    assert_ne!(before, after, "an edit that changes nothing");
    *content = after.into_bytes();
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_of_reported_clusters_say_and_do_what_is_right() {
    let (mut cases, mut variants) = (0, 0);
    let mut names: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("readable").path())
        .collect();
    names.sort();
    for case in names.iter().filter(|case| case.join(CLUSTER).exists()) {
        let mut text = planned(case, &[]).await;
        for variant in VARIANTS.iter().filter(|variant| case.ends_with(variant.case)) {
            write!(text, "\n--- {}\n{}", variant.name, planned(case, variant.edits).await).expect("a string takes all");
            variants += 1;
        }
        expect_file![case.join("EXPECT.txt")].assert_eq(&text);
        cases += 1;
    }
    assert!(cases > 10, "only {cases} cases");
    assert_eq!(variants, VARIANTS.len(), "each variant is of a case");
    say(&format!("cases: {cases}, variants: {variants}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_has_the_notes_too() {
    let folder = folder().join("plain-selector");
    let mut inputs = files(&folder);
    let variant = VARIANTS.iter().find(|variant| variant.name == "other unknown fields").expect("there is one");
    variant.edits.iter().for_each(|edit| change(&mut inputs, edit));
    let (_, cluster) = inputs.iter().find(|(name, _)| name == CLUSTER).expect("a cluster");
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().expect("a temporary file");
    std::fs::write(file.path(), cluster).expect("the file is writable");
    let path = file.path().to_str().expect("UTF-8");
    let plan = sluice(["plan", "--adopt", "-o", "json", "--from", path]).await.json();
    let notes = plan["notes"].as_array().expect("a list");
    for field in ["spec.reservedIps", "spec.zonefailover"] {
        let names = |note: &Value| note["text"].as_str().is_some_and(|text| text.contains(field));
        assert!(notes.iter().any(|note| note["pool"] == "egress" && names(note)), "{field}: {notes:?}");
    }
}

/// Not by `println!`: the test runner would show it only if the test fails.
fn say(text: &str) {
    writeln!(std::io::stdout().lock(), "{text}").expect("stdout is open");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_components_are_told_by_what_they_are() {
    let case = folder().join("not-a-component");
    let mut text = String::new();
    let cluster = folder().join("label-value-of-no-node").join(CLUSTER);
    let mut count = 0;
    for (name, _) in files(&case).iter().filter(|(name, _)| name != "EXPECT.txt") {
        let path = case.join(name);
        let path = path.to_str().expect("UTF-8");
        let inspected = sluice(["policy", "inspect", path]).await.ended_with(12);
        let refused = inspected.stdout.lines().find(|line| line.contains("refused")).unwrap_or_default();
        let from = cluster.to_str().expect("UTF-8");
        let planned = sluice(["plan", "--from", from, "--policy", path]).await.ended_with(12);
        let [reason] = planned.stderr.lines().collect::<Vec<_>>()[..] else { panic!("{planned:?}") };
        writeln!(text, "{name}\n  inspect: {refused}\n  plan: {}", reason.replace(path, name))
            .expect("a string takes all");
        count += 1;
    }
    expect_file![case.join("EXPECT.txt")].assert_eq(&text);
    assert!(count > 8, "only {count} files");
    say(&format!("files: {count}"));
}
