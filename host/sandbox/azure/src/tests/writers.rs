//! Reads, lists, unknown fields and the other writers.

use serde_json::{Value, json};

use super::{Lab, header, ip};
use crate::{Ending, Fault, Members, Nics, Wrong};

#[tokio::test]
async fn fields_that_nobody_knows_are_kept_if_sent_back_and_lost_if_not() {
    let lab = Lab::new(|_| {}).await;
    lab.arm.edit(&lab.nic, |nic| {
        nic["properties"]["newerField"] = json!({"a": [1, null]});
        nic["properties"]["ipConfigurations"][0]["properties"]["newerField"] = json!("x");
        nic["kind"] = json!("Regular");
    });
    let read = lab.get(0, &lab.nic).body.unwrap();
    assert_eq!(read["properties"]["newerField"], json!({"a": [1, null]}));
    let kept = lab.put(0, &lab.nic, &read).body.unwrap();
    assert_eq!(kept["properties"]["newerField"], read["properties"]["newerField"]);
    assert_eq!(kept["properties"]["ipConfigurations"][0]["properties"]["newerField"], "x");
    let mut typed = read.clone();
    for place in ["/properties", "/properties/ipConfigurations/0/properties"] {
        typed.pointer_mut(place).unwrap().as_object_mut().unwrap().remove("newerField");
    }
    typed.as_object_mut().unwrap().remove("kind");
    typed["properties"].as_object_mut().unwrap().remove("enableAcceleratedNetworking");
    let lost = lab.put(100_000, &lab.nic, &typed).body.unwrap();
    assert_eq!(lost["properties"].get("newerField"), None);
    assert_eq!(lost["properties"]["ipConfigurations"][0]["properties"].get("newerField"), None);
    assert_eq!(lost["properties"]["enableAcceleratedNetworking"], false, "what is left out is reset");
    assert_eq!(lost["kind"], "Regular", "read-only");
    for field in ["macAddress", "virtualMachine", "resourceGuid", "primary"] {
        assert_eq!(lost["properties"][field], read["properties"][field], "{field}");
    }
}

#[tokio::test]
async fn what_is_sent_back_unchanged_is_unchanged() {
    let lab = Lab::new(|_| {}).await;
    let read = lab.get(0, &lab.nic).body.unwrap();
    lab.put(0, &lab.nic, &read);
    let strip = |mut body: Value| {
        body.as_object_mut().unwrap().remove("etag");
        body["properties"]["ipConfigurations"][0].as_object_mut().unwrap().remove("etag");
        body["properties"]["dnsSettings"].as_object_mut().unwrap().remove("internalDomainNameSuffix");
        body
    };
    assert_eq!(strip(lab.get(71_000, &lab.nic).body.unwrap()), strip(read));
}

#[tokio::test]
async fn lists_come_in_pages() {
    let lab = Lab::new(|settings| settings.page_size = 2).await;
    for list in [
        "/subscriptions/sub/providers/Microsoft.Network/networkInterfaces",
        "/subscriptions/SUB/resourceGroups/RG/providers/Microsoft.Network/networkInterfaces",
    ] {
        let first = lab.get(0, list).body.unwrap();
        assert_eq!(first["value"].as_array().unwrap().len(), 2);
        let next = first["nextLink"].as_str().unwrap();
        let second = lab.get(0, next.strip_prefix(lab.arm.base_url()).unwrap()).body.unwrap();
        assert_eq!(second["value"][0]["name"], "spare");
        assert_eq!(second.get("nextLink"), None);
    }
    for (kind, count) in [("Compute/virtualMachines", 2), ("Network/virtualNetworks", 1), ("Network/loadBalancers", 1)]
    {
        let list = lab.get(0, &format!("/subscriptions/sub/providers/Microsoft.{kind}")).body.unwrap();
        assert_eq!(list["value"].as_array().unwrap().len(), count, "{kind}");
    }
}

#[tokio::test]
async fn a_subnet_names_who_is_in_it_or_says_null() {
    let lab = Lab::new(|_| {}).await;
    let shown = |lab: &Lab| lab.get(0, &lab.subnet).body.unwrap()["properties"]["ipConfigurations"].clone();
    assert_eq!(shown(&lab)[0]["id"], format!("{}/ipConfigurations/ipconfig1", lab.nic));
    assert_eq!(shown(&lab).as_array().unwrap().len(), 3);
    lab.arm.configure(|settings| settings.members = Members::Null);
    assert_eq!(shown(&lab), Value::Null);
}

#[tokio::test]
async fn a_network_tells_of_an_address() {
    let lab = Lab::new(|_| {}).await;
    let network = lab.subnet.strip_suffix("/subnets/nodes").unwrap();
    let ask = |address: &str| {
        let query = format!("ipAddress={address}&api-version=2024-03-01");
        lab.get(0, &format!("{network}/CheckIPAddressAvailability?{query}")).body.unwrap()
    };
    assert_eq!(ask("10.0.0.9"), json!({"available": true, "isPlatformReserved": false}));
    let free = ["10.0.0.7", "10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11"];
    assert_eq!(ask("10.0.0.4"), json!({"available": false, "isPlatformReserved": false, "availableIPAddresses": free}));
    assert_eq!(ask("10.0.9.1")["error"]["code"], "PrivateIPAddressNotInAnySubnet");
    let usage = lab.get(0, &format!("{network}/usages")).body.unwrap();
    assert_eq!((&usage["value"][0]["currentValue"], &usage["value"][0]["limit"]), (&json!(3.0), &json!(251.0)));
}

#[tokio::test]
async fn others_write_too() {
    let lab = Lab::new(|_| {}).await;
    let etag = lab.arm.resource(&lab.nic).unwrap()["etag"].clone();
    lab.arm.cncc_assign(&lab.nic, "a", ip("10.0.0.20"));
    lab.arm.add_config(&lab.nic, "mine", ip("10.0.0.21"));
    let body = lab.arm.resource(&lab.nic).unwrap();
    assert_ne!(body["etag"], etag);
    assert_eq!(body["properties"]["ipConfigurations"][1]["name"], "a_10.0.0.20");
    assert_eq!(body["properties"]["ipConfigurations"][1]["etag"], body["etag"]);
    assert_eq!(lab.put(0, &lab.other, &lab.with(&lab.other, "10.0.0.21")).status, 400);
    lab.arm.remove_config(&lab.nic, "mine");
    assert_eq!(lab.put(0, &lab.other, &lab.with(&lab.other, "10.0.0.21")).status, 200);
}

#[tokio::test]
async fn machines_go_and_nics_move() {
    let lab = Lab::new(|_| {}).await;
    let machine = |name: &str| lab.place.id("Microsoft.Compute/virtualMachines", name);
    lab.arm.move_nic(&lab.other, &machine("a"));
    let a = lab.get(0, &machine("a")).body.unwrap();
    assert_eq!(a["properties"]["networkProfile"]["networkInterfaces"][1]["properties"]["primary"], false);
    assert_eq!(lab.get(0, &machine("b")).body.unwrap()["properties"]["networkProfile"]["networkInterfaces"], json!([]));
    assert_eq!(a["zones"], json!(["1"]));
    lab.arm.delete_machine(&machine("a"), Nics::Kept);
    assert_eq!(lab.get(0, &machine("a")).status, 404);
    assert_eq!(lab.get(0, &lab.nic).body.unwrap()["properties"].get("virtualMachine"), None);
    lab.arm.move_nic(&lab.nic, &machine("b"));
    lab.arm.delete_machine(&machine("b"), Nics::Deleted);
    assert_eq!(lab.get(0, &lab.nic).status, 404);
    assert_eq!(lab.put(0, &lab.spare, &lab.with(&lab.spare, "10.0.0.4")).status, 200, "its address is free");
}

#[tokio::test]
async fn tags_are_replaced_alone() {
    let lab = Lab::new(|_| {}).await;
    let patch = json!({"tags": {"a": "b"}, "properties": {"enableIPForwarding": true}});
    let answer = lab.send(0, "PATCH", &lab.nic, Some(&patch), None).answer.unwrap();
    let body = answer.body.unwrap();
    assert_eq!((&body["tags"], &body["properties"]["enableIPForwarding"]), (&json!({"a": "b"}), &json!(false)));
}

#[tokio::test]
async fn requests_are_logged_and_counted() {
    let lab = Lab::new(|_| {}).await;
    let answer = lab.get(5, &lab.nic);
    lab.put(6, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-reads").as_deref(), Some("249"));
    assert_eq!(header(&answer, "x-ms-ratelimit-remaining-subscription-global-reads").as_deref(), Some("3749"));
    assert_eq!(lab.arm.counts(), [("GET".to_owned(), 1), ("PUT".to_owned(), 1)].into());
    assert_eq!(lab.arm.count("PUT", "/NETWORKINTERFACES/a-nic"), 1);
    let log = lab.arm.log();
    assert_eq!((log[1].at, log[1].status, log[1].body.is_some()), (6, Some(200), true));
    assert_eq!(log[1].principal.as_deref(), Some("operator"));
}

#[tokio::test]
async fn a_machine_that_goes_ends_the_operations_on_its_nics() {
    for nics in [Nics::Kept, Nics::Deleted] {
        let lab = Lab::new(|_| {}).await;
        let accepted = lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
        lab.arm.delete_machine(&lab.place.id("Microsoft.Compute/virtualMachines", "a"), nics);
        let status = lab.poll(0, &accepted).body.unwrap();
        assert_eq!((&status["status"], &status["error"]["code"]), (&json!("Failed"), &json!("OperationNotAllowed")));
        let kept = nics == Nics::Kept;
        assert_eq!(lab.get(100_000, &lab.nic).status == 200, kept);
        let free = lab.put(100_000, &lab.other, &lab.with(&lab.other, "10.0.0.9")).status == 200;
        assert_eq!(free, !kept, "a NIC that stays keeps its addresses");
    }
}

#[tokio::test]
async fn a_nic_that_was_removed_does_not_come_back_with_its_operation() {
    let lab = Lab::new(|_| {}).await;
    let ending = Ending::Canceled { superseded: false, applied: false };
    lab.arm.inject(Fault::once("PUT", "", Wrong::Operation(ending)));
    lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    lab.arm.remove(&lab.nic);
    assert_eq!(lab.get(71_000, &lab.nic).status, 404);
}

#[tokio::test]
async fn a_subnet_may_have_several_prefixes() {
    let lab = Lab::new(|_| {}).await;
    let prefixes = ["10.0.0.0/24", "10.0.7.0/24", "fd00::/64"].map(|prefix| prefix.parse().unwrap());
    lab.arm.add_network(&lab.place, "vnet", &[("nodes", &prefixes)]);
    let subnet = lab.get(0, &lab.subnet).body.unwrap();
    assert_eq!(subnet["properties"]["addressPrefixes"][1], "10.0.7.0/24");
    assert_eq!(subnet["properties"].get("addressPrefix"), None);
    assert_eq!(lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.7.9")).status, 200);
    assert_eq!(lab.put(0, &lab.other, &lab.with(&lab.other, "10.0.7.1")).status, 400);
}
