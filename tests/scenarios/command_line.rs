//! What can be typed, what comes out, and with which exit code.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{FINALIZER, Object, host_subnet, infrastructure, namespace, net_namespace, node, pool};

mod demo;
mod inputs;
mod live;
mod plan;
mod policies;
mod usage;

/// A cluster as objects: two zones with a node each, `billing` served, `shop` new, `plain` not opted in.
fn objects() -> Vec<Object> {
    let mut objects = vec![
        infrastructure("BareMetal"),
        pool("egress").range("zone-a", "10.20.0.0/24").range("zone-b", "10.21.0.0/24").finalizer(FINALIZER),
        node("worker-a0").zone("zone-a"),
        node("worker-b0").zone("zone-b"),
        host_subnet("worker-a0").addresses(&["10.20.0.2"]),
        host_subnet("worker-b0").addresses(&["10.21.0.2"]),
        namespace("billing").in_pool("egress").requesting("10.20.0.2,10.21.0.2"),
        net_namespace("billing").addresses(&["10.20.0.2", "10.21.0.2"]),
    ];
    objects.extend([namespace("shop").in_pool("egress"), net_namespace("shop")]);
    objects.extend([namespace("plain"), net_namespace("plain")]);
    objects
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it is in the folder")).expect("the folder is writable");
        fs::write(path, content).expect("the folder is writable");
    }
    folder
}

/// A folder with one file that has all these objects in a list.
fn listed(objects: &[Object]) -> tempfile::TempDir {
    folder(&[("all.json", &list(objects).to_string())])
}

fn list(objects: &[Object]) -> Value {
    let items: Vec<&Value> = objects.iter().map(Object::json).collect();
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": items })
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// The names of an object's fields, in the order in which they stand.
fn fields(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// The names of an object's fields, sorted.
fn sorted_fields(object: &Value) -> Vec<&str> {
    let mut names = fields(object);
    names.sort_unstable();
    names
}
