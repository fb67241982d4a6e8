//! The interfaces of Azure's machines as the cloud network config controller reads and writes them: one address at a
//! time, the whole interface, without `If-Match`, and no two writes of its own at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Method, Request, Response};
use serde_json::{Value, json};
use sluice_sandbox_azure::{Arm, Place};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::harness::http::Connection;

/// The principal of its requests.
pub const CONTROLLER: &str = "cloud-network-config-controller";
/// How often a throttled request is sent again.
const RETRIES: usize = 3;
/// Addresses of an interface.
const LIMIT: usize = 256;

/// The interfaces: that of machine `w1` is `w1-nic`.
pub struct Interfaces {
    arm: Arm,
    place: Place,
    subnet: String,
    token: String,
    locks: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl Interfaces {
    /// The interfaces at a place, in a subnet.
    pub fn of(arm: &Arm, place: &Place, subnet: &str) -> Self {
        let token = arm.bearer(CONTROLLER);
        Self { arm: arm.clone(), place: place.clone(), subnet: subnet.into(), token, locks: Mutex::default() }
    }

    /// What the annotation of a node says; addresses of the controller's own count as room.
    pub fn capacity(&self, node: &str, own: &BTreeSet<&str>) -> Value {
        let nic = self.nic(node);
        let others = self.arm.addresses(&nic).values().filter(|address| !own.contains(address.as_str())).count();
        json!([{ "interface": nic, "ifaddr": { "ipv4": self.subnet }, "capacity": { "ip": LIMIT - others } }])
    }

    /// Puts an address onto a machine's interface, unless it is there, and waits until Azure has done it.
    pub async fn assign(&self, node: &str, address: &str) -> Result<(), String> {
        self.change(node, |id, configs| {
            if configs.iter().any(|config| has(config, address)) {
                return false;
            }
            let first = &configs[0]["properties"];
            let mut properties = json!({
                "privateIPAddress": address,
                "privateIPAllocationMethod": "Static",
                "primary": false,
                "subnet": first["subnet"],
            });
            if let Some(groups) = first.get("applicationSecurityGroups") {
                properties["applicationSecurityGroups"] = groups.clone();
            }
            let name = format!("{node}_{address}");
            configs
                .push(json!({ "name": name, "id": format!("{id}/ipConfigurations/{name}"), "properties": properties }));
            true
        })
        .await
    }

    /// Takes an address off a machine's interface, whatever its configuration is called.
    pub async fn release(&self, node: &str, address: &str) -> Result<(), String> {
        self.change(node, |_, configs| {
            let before = configs.len();
            configs.retain(|config| !has(config, address));
            configs.len() < before
        })
        .await
    }

    /// Reads an interface, and writes it if the change is one.
    async fn change(&self, node: &str, change: impl FnOnce(&str, &mut Vec<Value>) -> bool) -> Result<(), String> {
        let lock = Arc::clone(self.locks.lock().await.entry(node.to_owned()).or_default());
        let _one_at_a_time = lock.lock().await;
        let nic = self.nic(node);
        let path = format!("{nic}?api-version=2024-05-01");
        let mut body = json_of(self.ask(Method::GET, &path, None).await?.body());
        let configs = body["properties"]["ipConfigurations"].as_array_mut().ok_or("an interface without addresses")?;
        if !change(&nic, configs) {
            return Ok(());
        }
        let accepted = self.ask(Method::PUT, &path, Some(&body)).await?;
        let operation = accepted.headers().get("azure-asyncoperation").and_then(|url| url.to_str().ok());
        match operation.and_then(|url| url.strip_prefix(self.arm.base_url())) {
            Some(operation) => self.ends(operation).await,
            None => Ok(()),
        }
    }

    /// Waits until an operation ends. There is no deadline.
    async fn ends(&self, operation: &str) -> Result<(), String> {
        loop {
            sleep(self.arm.clock().real(10_000)).await;
            let answer = self.ask(Method::GET, operation, None).await?;
            let said = json_of(answer.body());
            match said["status"].as_str() {
                Some("InProgress") => {}
                Some("Succeeded") => return Ok(()),
                _ => return Err(told(&said)),
            }
        }
    }

    /// A request, sent again while Azure is busy.
    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Response<String>, String> {
        let mut retries = 0;
        loop {
            let answer = self.ask_once(&method, path, body).await?;
            match answer.status().as_u16() {
                200..300 => return Ok(answer),
                429 if retries < RETRIES => {
                    let after = answer.headers().get("retry-after").and_then(|text| text.to_str().ok()?.parse().ok());
                    sleep(self.arm.clock().real(after.unwrap_or(1) * 1000)).await;
                    retries += 1;
                }
                status => return Err(format!("{method} {status} {}", told(&json_of(answer.body())))),
            }
        }
    }

    async fn ask_once(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Response<String>, String> {
        let address = self.arm.base_url().trim_start_matches("http://");
        let server: SocketAddr = address.parse().map_err(|_| format!("{address} is no address"))?;
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", address)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(text)))
            .map_err(|error| error.to_string())?;
        Connection::open(server).await?.send(request).await
    }

    fn nic(&self, node: &str) -> String {
        self.place.id("Microsoft.Network/networkInterfaces", &format!("{node}-nic"))
    }
}

fn has(config: &Value, address: &str) -> bool {
    config["properties"]["privateIPAddress"] == address
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Code and message of an error.
fn told(answer: &Value) -> String {
    let text = |field| answer["error"][field].as_str().unwrap_or("?");
    format!("{}: {}", text("code"), text("message"))
}
