//! Tests of the core with the time given.

mod life;
mod order;
mod random;
mod rules;
mod subnets;
mod writers;

use std::net::IpAddr;

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::request::{Reply, Request};
use crate::{Arm, Place, Pool, Settings, Span};

/// A cloud with one subnet, two attached NICs and a spare one, and a load balancer.
pub(crate) struct Lab {
    pub(crate) arm: Arm,
    pub(crate) place: Place,
    pub(crate) subnet: String,
    /// Attached, with 10.0.0.4.
    pub(crate) nic: String,
    /// Attached, with 10.0.0.5.
    pub(crate) other: String,
    /// Not attached, with 10.0.0.6.
    pub(crate) spare: String,
    /// A load balancer with the pools `in` and, with an outbound rule, `out`.
    pub(crate) balancer: String,
    token: String,
}

impl Lab {
    /// A lab where time stands, and an update takes 71 s.
    pub(crate) async fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { scale: 0, duration: Span::Fixed(71_000), ..Settings::default() };
        change(&mut settings);
        let arm = Arm::start(settings).await.unwrap();
        let place = Place::new("sub", "rg", "eastus");
        let network = arm.add_network(&place, "vnet", &[("nodes", &["10.0.0.0/24".parse().unwrap()])]);
        let subnet = format!("{network}/subnets/nodes");
        let nic = arm.add_nic(&place, "a-nic", &subnet, ip("10.0.0.4"));
        let other = arm.add_nic(&place, "b-nic", &subnet, ip("10.0.0.5"));
        let spare = arm.add_nic(&place, "spare", &subnet, ip("10.0.0.6"));
        arm.add_machine(&place, "a", Some("1"), &[&nic]);
        arm.add_machine(&place, "b", Some("2"), &[&other]);
        let pools = [("in", false), ("out", true)].map(|(name, outbound)| Pool { name: name.to_owned(), outbound });
        let balancer = arm.add_load_balancer(&place, "lb", &pools);
        let token = arm.bearer("operator");
        Self { arm, place, subnet, nic, other, spare, balancer, token }
    }

    /// Sends a request to the core at a time.
    pub(crate) fn send(&self, now: u64, method: &str, path: &str, body: Option<&Value>, etag: Option<&str>) -> Reply {
        let (path, query) = path.split_once('?').unwrap_or((path, "api-version=2024-03-01"));
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            bearer: Some(self.token.clone()),
            if_match: etag.map(str::to_owned),
            body: body.map(|body| body.to_string().into_bytes()).unwrap_or_default(),
        };
        self.arm.shared.world().handle(now, &request)
    }

    pub(crate) fn get(&self, now: u64, path: &str) -> Answer {
        self.send(now, "GET", path, None, None).answer.unwrap()
    }

    pub(crate) fn put(&self, now: u64, id: &str, body: &Value) -> Answer {
        self.send(now, "PUT", id, Some(body), None).answer.unwrap()
    }

    /// The body of a NIC, with one more static configuration.
    pub(crate) fn with(&self, nic: &str, address: &str) -> Value {
        let mut body = self.arm.resource(nic).unwrap();
        let properties = json!({
            "privateIPAddress": address,
            "privateIPAllocationMethod": "Static",
            "subnet": {"id": self.subnet},
        });
        let configs = body["properties"]["ipConfigurations"].as_array_mut().unwrap();
        configs.push(json!({"name": format!("EgressIP{address}"), "properties": properties}));
        body
    }

    /// Asks for the operation that an answer names.
    pub(crate) fn poll(&self, now: u64, answer: &Answer) -> Answer {
        let url = header(answer, "azure-asyncoperation").unwrap();
        self.get(now, url.strip_prefix(self.arm.base_url()).unwrap())
    }
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone())
}

/// Status, code and message of an error.
pub(crate) fn error(answer: &Answer) -> (u16, String, String) {
    let error = &answer.body.as_ref().unwrap()["error"];
    let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("code"), text("message"))
}
