//! Dumps as people have them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};

use super::{Loaded, load};

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-files-{}-{name}", std::process::id()));
        for (file, content) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        Self(path)
    }

    /// Shows names that were found, then errors.
    fn check(&self, expected: &Expect) -> Loaded {
        let loaded = load(&self.0, 0);
        let snapshot = loaded.index.snapshot(0).unwrap();
        let mut shown = format!("{} objects\n", loaded.objects);
        for (kind, names) in [
            ("pools", snapshot.pools.keys().map(ToString::to_string).collect::<Vec<_>>()),
            ("nodes", snapshot.nodes.keys().map(ToString::to_string).collect()),
            ("namespaces", snapshot.namespaces.keys().map(ToString::to_string).collect()),
            ("net namespaces", snapshot.holdings.keys().map(ToString::to_string).collect()),
            ("host subnets", snapshot.carriers.keys().map(ToString::to_string).collect()),
        ] {
            if !names.is_empty() {
                writeln!(shown, "{kind}: {}", names.join(" ")).unwrap();
            }
        }
        let root = format!("{}/", self.0.display());
        for error in &loaded.errors {
            writeln!(shown, "{}", error.to_string().replace(&root, "")).unwrap();
        }
        expected.assert_eq(&shown);
        loaded
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn one_object_many_documents_and_lists() {
    let folder = Folder::new(
        "shapes",
        &[
            (
                "pool.yaml",
                "apiVersion: redhatcop.redhat.io/v1alpha1\nkind: EgressIPAM\nmetadata: {name: east}\nspec: {topologyLabel: zone, cidr: 10.0.0.0/24}\n",
            ),
            (
                "many.yml",
                "# two\n---\n{apiVersion: v1, kind: Node, metadata: {name: n1}}\n--- \n# nothing\n---\n{apiVersion: v1, kind: Node, metadata: {name: n2}}\n",
            ),
            (
                "lists/v1.yaml",
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: shop, uid: u}}\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n",
            ),
            (
                "lists/typed.json",
                r#"{"kind":"NetNamespaceList","apiVersion":"network.openshift.io/v1","items":[{"metadata":{"name":"shop"},"egressIPs":["10.0.0.9"]}]}"#,
            ),
            (
                "lists/array.json",
                r#"[{"kind":"HostSubnet","apiVersion":"network.openshift.io/v1","metadata":{"name":"n1"}}]"#,
            ),
            (
                "cluster/infra.yaml",
                "{apiVersion: config.openshift.io/v1, kind: Infrastructure, metadata: {name: cluster}, status: {platformStatus: {type: None}}}",
            ),
            ("README.md", "kind: Node"),
            ("nics.json", r#"{"value": [{"name": "nic"}]}"#),
            ("empty.yaml", ""),
        ],
    );
    let loaded = folder.check(&expect![[r#"
        7 objects
        pools: east
        nodes: n1 n2
        namespaces: shop
        net namespaces: shop
        host subnets: n1
    "#]]);
    assert!(loaded.index.ready());
    assert_eq!(loaded.index.facts().platform, sluice_core::observed::Platform::SelfManaged("None".to_owned()));
}

#[test]
fn errors_have_places_and_cost_nothing_else() {
    let folder = Folder::new(
        "errors",
        &[
            (
                "a.yaml",
                "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\n---\nkind: [\n\n---\napiVersion: v1\nkind: Node\nmetadata:\n  name: n2\n   labels: {}\n---\n{apiVersion: v1, kind: Node, metadata: {name: n3}}\n",
            ),
            ("b.json", "{\"kind\": \"Node\",\n \"apiVersion\": }"),
            (
                "c.yaml",
                "{apiVersion: v1, kind: Namespace, metadata: {}}\n---\n{kind: Namespace, metadata: {name: shop}}\n",
            ),
            (
                "d.yaml",
                "{apiVersion: network.openshift.io/v1, kind: HostSubnet, metadata: {name: n1}, egressIPs: [10.0.0.9, x]}",
            ),
            (
                "e.yaml",
                "{apiVersion: redhatcop.redhat.io/v1alpha1, kind: EgressIPAM, metadata: {name: east}, spec: {topologyLabel: zone, cidrAssignments: [{CIDR: 10.0.0.0, labelValue: a}]}}",
            ),
            ("f.yaml", "kind: \u{0}"),
        ],
    );
    folder.check(&expect![[r#"
        4 objects
        pools: east
        nodes: n1 n3
        host subnets: n1
        a.yaml:7: document 2: did not find expected node content, while parsing a flow node
        a.yaml:12: document 3: mapping values are not allowed in this context
        b.json:2: expected value
        c.yaml: Namespace: metadata.name: missing
        c.yaml: document 2: Namespace: no apiVersion
        d.yaml: HostSubnet n1: egressIPs[1]: "x" is not an address
        e.yaml: EgressIPAM east: spec.cidrAssignments[0].CIDR: "10.0.0.0" is not a range such as 10.20.0.0/24
        f.yaml:1: control characters are not allowed at position 6
    "#]]);
}

#[test]
fn a_named_file_is_read_whatever_its_name() {
    let folder = Folder::new("named", &[("dump", "{apiVersion: v1, kind: Node, metadata: {name: n1}}")]);
    assert_eq!(load(&folder.0.join("dump"), 0).objects, 1);
    assert_eq!(load(&folder.0, 0).objects, 0);
}

#[test]
fn what_is_not_there() {
    let loaded = load(Path::new("/nowhere/dump"), 0);
    expect!["/nowhere/dump: No such file or directory (os error 2)"].assert_eq(&loaded.errors[0].to_string());
}

#[cfg(unix)]
#[test]
fn a_link_to_a_folder_above_is_not_followed() {
    let folder = Folder::new("link", &[("n.yaml", "{apiVersion: v1, kind: Node, metadata: {name: n1}}")]);
    std::os::unix::fs::symlink(&folder.0, folder.0.join("again")).unwrap();
    assert_eq!(load(&folder.0, 0).objects, 1);
}

#[test]
fn every_line_that_a_parser_names_is_one_of_the_file() {
    let text = "unclosed at line 3 column 1, in a sequence at line 2 column 7";
    assert_eq!(super::moved_down(text, 4), "unclosed at line 7 column 1, in a sequence at line 6 column 7");
    assert_eq!(super::moved_down("at line x at line ", 4), "at line x at line ");
    assert_eq!(super::moved_down("nothing", 4), "nothing");
}
