//! The cloud that a recording implies.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde_json::{Value, json};
use sluice_sandbox_azure::Arm;

use crate::record::Recording;

/// The id of the group that a path is in.
fn group(path: &str) -> Option<(String, String)> {
    let parts: Vec<&str> = path.split('/').collect();
    let named = parts.get(3).is_some_and(|part| part.eq_ignore_ascii_case("resourceGroups"));
    named.then(|| (parts[2].to_owned(), parts[4].to_owned()))
}

/// Seeds a cloud with what a recording implies.
pub(crate) fn seed(arm: &Arm, recording: &Recording) {
    let path = recording.resource();
    let missing = recording.body["error"]["code"] == "ResourceGroupNotFound";
    if let Some((subscription, group)) = group(&path) {
        arm.add_group(&subscription, if missing { "another" } else { &group });
    }
    let child = path.to_ascii_lowercase().find("/subnets/");
    match (recording.method.as_str(), recording.status) {
        ("GET", 200) if path.ends_with("/CheckIPAddressAvailability") => availability(arm, recording),
        ("GET", 200) if path.ends_with("/usages") => usages(arm, recording),
        ("GET", 200) => match (recording.body["value"].as_array(), child) {
            (Some(list), _) => list.iter().for_each(|body| arm.put_resource(body.clone())),
            (None, Some(_)) => network(arm, std::slice::from_ref(&recording.body)),
            (None, None) => arm.put_resource(recording.body.clone()),
        },
        ("GET", 400) => elsewhere(arm, &path),
        ("PUT", _) if path.contains("/networkInterfaces/") => put(arm, recording),
        ("PATCH", 200) => {
            let mut before = recording.body.clone();
            before["tags"] = json!({"another": "tag"});
            arm.put_resource(before);
        }
        ("DELETE", 202) => {
            let kind = "Microsoft.Network/networkInterfaces";
            let properties = json!({"provisioningState": "Succeeded", "ipConfigurations": []});
            arm.put_resource(json!({"id": path, "type": kind, "location": "eastus", "properties": properties}));
        }
        _ => {}
    }
}

/// A virtual network with subnets.
fn network(arm: &Arm, subnets: &[Value]) {
    let id = subnets[0]["id"].as_str().unwrap();
    let at = id.to_ascii_lowercase().find("/subnets/").unwrap();
    let properties = json!({"provisioningState": "Succeeded", "subnets": subnets});
    arm.put_resource(json!({"id": &id[..at], "location": "eastus", "properties": properties}));
}

fn subnet(id: &str, prefix: &str) -> Value {
    let name = id.rsplit('/').next().unwrap();
    json!({"id": id, "name": name, "properties": {"provisioningState": "Succeeded", "addressPrefix": prefix}})
}

/// Something else that holds addresses of a subnet.
fn stranger(arm: &Arm, subnet: &str, addresses: &[Ipv4Addr]) {
    let (start, _) = subnet.split_once("/providers/").unwrap();
    let id = format!("{start}/providers/Microsoft.Network/networkInterfaces/stranger");
    let config = |address: &Ipv4Addr| {
        let properties = json!({"privateIPAddress": address.to_string(), "subnet": {"id": subnet}});
        json!({"id": format!("{id}/ipConfigurations/{address}"), "properties": properties})
    };
    let configs: Vec<Value> = addresses.iter().map(config).collect();
    arm.put_resource(json!({"id": id, "location": "eastus", "properties": {"ipConfigurations": configs}}));
}

/// A subnet with the address that was asked about; taken, if it was and the platform does not hold it.
fn availability(arm: &Arm, recording: &Recording) {
    let asked: Ipv4Addr = recording.parameter("ipAddress").unwrap().parse().unwrap();
    let path = recording.resource();
    let id = format!("{}/subnets/s", path.strip_suffix("/CheckIPAddressAvailability").unwrap());
    let prefix = format!("{}/24", Ipv4Addr::from_bits(asked.to_bits() & !0xff));
    network(arm, &[subnet(&id, &prefix)]);
    if recording.body["available"] == false && recording.body["isPlatformReserved"] != true {
        stranger(arm, &id, &[asked]);
    }
}

/// A virtual network whose only subnet has nothing to do with the question.
fn elsewhere(arm: &Arm, path: &str) {
    if let Some(id) = path.strip_suffix("/CheckIPAddressAvailability") {
        network(arm, &[subnet(&format!("{id}/subnets/s"), "192.168.200.0/28")]);
    }
}

/// Subnets as large and as full as the answer says.
fn usages(arm: &Arm, recording: &Recording) {
    let path = recording.resource();
    let list = recording.body["value"].as_array().unwrap();
    let usage = |(at, usage): (usize, &Value)| {
        let free = usage["limit"].as_f64().unwrap() + 5.0;
        let length = (24..=29).find(|length| f64::from(1 << (32 - length)) <= free).unwrap_or(29);
        (usage["id"].as_str().unwrap().to_owned(), format!("10.0.{at}.0/{length}"), usage["currentValue"].as_f64())
    };
    let subnets: Vec<_> = list.iter().enumerate().map(usage).collect();
    let bodies: Vec<Value> = subnets.iter().map(|(id, prefix, _)| subnet(id, prefix)).collect();
    let properties = json!({"provisioningState": "Succeeded", "subnets": bodies});
    arm.put_resource(json!({"id": path.strip_suffix("/usages").unwrap(), "properties": properties}));
    for (at, (id, _, used)) in (0_u8..).zip(&subnets) {
        let taken = (4..=250_u8).filter(|host| f64::from(*host) < used.unwrap() + 4.0);
        let taken: Vec<Ipv4Addr> = taken.map(|host| Ipv4Addr::new(10, 0, at, host)).collect();
        if !taken.is_empty() {
            stranger(arm, id, &taken);
        }
    }
}

/// The subnet that the NIC is in, what else is taken in it, the load balancers it refers to, and the NIC as it was.
fn put(arm: &Arm, recording: &Recording) {
    let sent = recording.sent.clone().unwrap_or_default();
    let wanted = sent["properties"]["ipConfigurations"].as_array().cloned().unwrap_or_default();
    let found = recording.body["properties"]["ipConfigurations"].as_array().cloned().unwrap_or_default();
    let Some(id) = wanted.first().and_then(|config| config["properties"]["subnet"]["id"].as_str()) else { return };
    let own: BTreeSet<Ipv4Addr> =
        found.iter().filter_map(|config| config["properties"]["privateIPAddress"].as_str()?.parse().ok()).collect();
    let least = own.first().copied().unwrap_or(Ipv4Addr::new(10, 0, 0, 4));
    let greatest = own.last().copied().unwrap_or(least);
    let length = if (least.to_bits() ^ greatest.to_bits()) & !0xf == 0 { 28 } else { 24 };
    let first = Ipv4Addr::from_bits(least.to_bits() & (u32::MAX << (32 - length)));
    network(arm, &[subnet(id, &format!("{first}/{length}"))]);
    let below = (first.to_bits() + 4..greatest.to_bits()).map(Ipv4Addr::from_bits);
    stranger(arm, id, &below.filter(|address| !own.contains(address)).collect::<Vec<_>>());
    for config in &wanted {
        for pool in config["properties"]["loadBalancerBackendAddressPools"].as_array().into_iter().flatten() {
            let pool = pool["id"].as_str().unwrap();
            let (balancer, name) = pool.split_once("/backendAddressPools/").unwrap();
            let pools = json!({"backendAddressPools": [{"name": name, "id": pool}]});
            arm.put_resource(json!({"id": balancer, "location": "eastus", "properties": pools}));
        }
    }
    if recording.status == 200 {
        arm.put_resource(before(&recording.body, &wanted));
    }
}

/// The NIC before an update: only the primary configuration, in no pool and without a public address, and in another
/// subnet if its dynamic address is not the one that was sent.
fn before(after: &Value, wanted: &[Value]) -> Value {
    let mut nic = after.clone();
    nic["etag"] = json!("W/\"00000000-0000-4000-8000-000000000000\"");
    nic["properties"]["provisioningState"] = json!("Succeeded");
    let configs = nic["properties"]["ipConfigurations"].as_array_mut().unwrap();
    configs.retain(|config| config["properties"]["primary"] == true);
    for config in configs {
        let sent = wanted.iter().find(|sent| sent["name"] == config["name"]).unwrap();
        let properties = config["properties"].as_object_mut().unwrap();
        properties.insert("provisioningState".to_owned(), json!("Succeeded"));
        properties.remove("loadBalancerBackendAddressPools");
        properties.remove("publicIPAddress");
        let kept = sent["properties"]["privateIPAddress"] == properties["privateIPAddress"];
        if !kept && properties["privateIPAllocationMethod"] == "Dynamic" && sent.get("id").is_some() {
            let elsewhere = format!("{}-before", properties["subnet"]["id"].as_str().unwrap());
            properties.insert("subnet".to_owned(), json!({"id": elsewhere}));
        }
    }
    nic
}
