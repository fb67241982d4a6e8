//! The worked examples of the API's specification, as recordings.

use std::path::Path;

use serde_json::{Map, Value};

use crate::record::Recording;

/// All examples of a folder.
pub(crate) fn all(folder: &Path) -> Vec<Recording> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Recording {
    let name = file.file_name().unwrap().to_str().unwrap();
    let example: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let parameters = &example["parameters"];
    let text = |name: &str| parameters[name].as_str().unwrap();
    let (kind, field) = if name.starts_with("NetworkInterface") {
        ("networkInterfaces", "networkInterfaceName")
    } else {
        ("virtualNetworks", "virtualNetworkName")
    };
    let (tail, query) = match name {
        "VirtualNetworkCheckIPAddressAvailability.json" => {
            ("/CheckIPAddressAvailability", format!("ipAddress={}&", text("ipAddress")))
        }
        "VirtualNetworkListUsage.json" => ("/usages", String::new()),
        _ => ("", String::new()),
    };
    let path = format!(
        "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.Network/{kind}/{}{tail}?{query}api-version={}",
        text("subscriptionId"),
        text("resourceGroupName"),
        text(field),
        text("api-version")
    );
    let sent = parameters.get("parameters").cloned();
    let status = if sent.is_some() { 201 } else { 200 };
    Recording {
        file: name.to_owned(),
        index: 0,
        source: "azure-rest-api-specs".to_owned(),
        method: if sent.is_some() { "PUT" } else { "GET" }.to_owned(),
        path,
        sent,
        rebuilt: false,
        status,
        headers: Map::new(),
        body: example["responses"][status.to_string()]["body"].clone(),
    }
}
