//! Recordings as the files have them.

use std::path::Path;

use serde_json::{Map, Value, json};

/// A recorded exchange.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) file: String,
    pub(crate) index: usize,
    pub(crate) source: String,
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// The body that was sent.
    pub(crate) sent: Option<Value>,
    /// Whether it was not recorded and is rebuilt from the answer: what only the server writes is taken off.
    pub(crate) rebuilt: bool,
    pub(crate) status: u16,
    /// Lower-case names.
    pub(crate) headers: Map<String, Value>,
    pub(crate) body: Value,
}

impl Recording {
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.file, self.index)
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::as_str)
    }

    /// Whether `Retry-After` is as it was: the Java recordings have it rewritten, the Python ones lost it.
    pub(crate) fn keeps_retry_after(&self) -> bool {
        self.source.starts_with("dotnet") || self.source.starts_with("xplat")
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// The path without its query, and without doubled slashes.
    pub(crate) fn resource(&self) -> String {
        self.path.split('?').next().unwrap().replace("//", "/")
    }
}

/// All recordings of a folder.
pub(crate) fn all(folder: &Path) -> Vec<Recording> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.into_iter().enumerate().map(move |(index, line)| parse(&file, index, &line)).collect::<Vec<_>>()
    };
    files.iter().flat_map(read).collect()
}

fn parse(file: &str, index: usize, line: &Value) -> Recording {
    let (request, response) = (&line["request"], &line["response"]);
    let method = request["method"].as_str().unwrap().to_owned();
    let headers = response["headers"].as_object().unwrap().iter();
    let mut recording = Recording {
        file: file.to_owned(),
        index,
        source: line["source"].as_str().unwrap().to_owned(),
        path: request["path"].as_str().unwrap().to_owned(),
        sent: sent(&request["body"]),
        rebuilt: false,
        status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
        headers: headers.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
        body: response["body"].clone(),
        method,
    };
    if recording.sent.is_none() && matches!(recording.method.as_str(), "PUT" | "PATCH") {
        recording.sent = rebuild(&recording);
        recording.rebuilt = recording.sent.is_some();
    }
    recording
}

/// Python's recorder wrote bodies as texts of texts of bytes.
fn sent(body: &Value) -> Option<Value> {
    let Some(text) = body.as_str() else { return body.is_object().then(|| body.clone()) };
    let inner = &text[text.find('{')?..=text.rfind('}')?];
    let mut plain = String::new();
    let mut slashes = false;
    for letter in inner.chars() {
        match letter {
            '\\' => slashes = true,
            '"' if slashes => {
                plain.push_str("\\\"");
                slashes = false;
            }
            _ => {
                plain.push(letter);
                slashes = false;
            }
        }
    }
    serde_json::from_str(&plain).ok()
}

/// The body of a request that was not recorded, from the answer.
fn rebuild(recording: &Recording) -> Option<Value> {
    if !recording.path.contains("/networkInterfaces/") {
        return None;
    }
    if let Some(address) = recording.body["error"]["message"].as_str().and_then(|text| text.split(' ').nth(5)) {
        let subnet = "/subscriptions/x/resourceGroups/x/providers/Microsoft.Network/virtualNetworks/v/subnets/s";
        let subnet =
            subnet.replace("/subscriptions/x/resourceGroups/x", recording.resource().split("/providers/").next()?);
        let properties =
            json!({"privateIPAllocationMethod": "Static", "privateIPAddress": address, "subnet": {"id": subnet}});
        let configs = json!([{"name": "c", "properties": properties}]);
        return Some(json!({"location": "x", "properties": {"ipConfigurations": configs}}));
    }
    let tags = recording.body.get("tags").cloned();
    if recording.method == "PATCH" {
        return Some(json!({"tags": tags?}));
    }
    let mut nic = keep(&recording.body, &["location", "tags"]);
    let found = &recording.body["properties"];
    let wanted = ["enableAcceleratedNetworking", "enableIPForwarding", "networkSecurityGroup"];
    let mut properties = keep(found, &wanted);
    properties["dnsSettings"] = keep(&found["dnsSettings"], &["dnsServers", "internalDnsNameLabel"]);
    properties["ipConfigurations"] = found["ipConfigurations"].as_array()?.iter().map(configuration).collect();
    nic["properties"] = properties;
    Some(nic)
}

fn configuration(found: &Value) -> Value {
    let mut fields = vec![
        "applicationSecurityGroups",
        "loadBalancerBackendAddressPools",
        "loadBalancerInboundNatRules",
        "privateIPAllocationMethod",
        "publicIPAddress",
        "subnet",
    ];
    if found["properties"]["privateIPAllocationMethod"] == "Static" {
        fields.push("privateIPAddress");
    }
    // Only the true one was said; that the others are false is for the server to fill.
    if found["properties"]["primary"] == true {
        fields.push("primary");
    }
    json!({"name": found["name"], "properties": keep(&found["properties"], &fields)})
}

fn keep(value: &Value, names: &[&str]) -> Value {
    let fields = value.as_object().unwrap().iter().filter(|(name, _)| names.contains(&name.as_str()));
    Value::Object(fields.map(|(name, value)| (name.clone(), value.clone())).collect())
}
