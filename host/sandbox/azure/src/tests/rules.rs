//! Each rule of a `PUT`, and the checks before it.

use serde_json::{Value, json};

use super::{Lab, error, header};
use crate::answer::Answer;
use crate::{Denial, Reason};

const NIC: &str = "/subscriptions/sub/resourceGroups/rg/providers/Microsoft.Network/networkInterfaces/a-nic";

/// What comes of a `PUT` of the first NIC, with one more configuration that is then changed.
async fn put(address: &str, change: impl FnOnce(&Lab, &mut Value)) -> Answer {
    let lab = Lab::new(|_| {}).await;
    let mut body = lab.with(&lab.nic, address);
    change(&lab, &mut body);
    lab.put(0, &lab.nic, &body)
}

fn config(body: &mut Value, at: usize) -> &mut Value {
    &mut body["properties"]["ipConfigurations"][at]
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, message: &str) {
    assert_eq!(error(answer), (status, code.to_owned(), message.to_owned()));
}

#[tokio::test]
async fn a_free_address_is_accepted() {
    let answer = put("10.0.0.9", |_, _| {}).await;
    assert_eq!(answer.status, 200);
    let body = answer.body.unwrap();
    let added = &body["properties"]["ipConfigurations"][1];
    assert_eq!(added["properties"]["privateIPAddress"], "10.0.0.9");
    assert_eq!(added["properties"]["primary"], false);
    assert_eq!(added["properties"]["provisioningState"], "Updating");
    assert_eq!(added["id"], format!("{NIC}/ipConfigurations/EgressIP10.0.0.9"));
    assert_eq!(added["etag"], body["etag"]);
}

#[tokio::test]
async fn addresses_that_somebody_has_are_refused() {
    let id = format!("{NIC}/ipConfigurations/EgressIP10.0.0.5");
    let other = NIC.replace("a-nic", "b-nic");
    let message = format!(
        "IP configuration {id} is using the private IP address 10.0.0.5 which is already allocated to resource \
         {other}/ipConfigurations/ipconfig1."
    );
    refused(&put("10.0.0.5", |_, _| {}).await, 400, "PrivateIPAddressIsAllocated", &message);

    let id = format!("{NIC}/ipConfigurations/EgressIP10.0.0.4");
    let message = format!(
        "IP configuration {id} is using the same private IP address 10.0.0.4 as IP configuration \
         {NIC}/ipConfigurations/ipconfig1."
    );
    refused(&put("10.0.0.4", |_, _| {}).await, 400, "PrivateIPAddressInUse", &message);
}

#[tokio::test]
async fn a_frontend_of_a_load_balancer_holds_its_address() {
    let answer = put("10.0.0.77", |lab, _| {
        lab.arm.edit(&lab.balancer, |balancer| {
            let properties = json!({"privateIPAddress": "10.0.0.77", "subnet": {"id": lab.subnet}});
            balancer["properties"]["frontendIPConfigurations"] = json!([{"id": "fe", "properties": properties}]);
        });
    })
    .await;
    assert_eq!(error(&answer).1, "PrivateIPAddressIsAllocated");
}

#[tokio::test]
async fn addresses_that_no_one_can_have_are_refused() {
    for (address, code, message) in [
        (
            "10.0.1.123",
            "PrivateIPAddressNotInSubnet",
            "Private static IP address 10.0.1.123 does not belong to the range of subnet prefix 10.0.0.0/24.",
        ),
        (
            "10.0.0.1",
            "PrivateIPAddressInReservedRange",
            "Private static IP address 10.0.0.1 falls within reserved IP range of subnet prefix 10.0.0.0/24.",
        ),
        (
            "10.0.0.255",
            "PrivateIPAddressInReservedRange",
            "Private static IP address 10.0.0.255 falls within reserved IP range of subnet prefix 10.0.0.0/24.",
        ),
        (
            "10.11.12.13.14",
            "InvalidPrivateIPAddressFormat",
            "Private static IP address value 10.11.12.13.14 is invalid.",
        ),
    ] {
        refused(&put(address, |_, _| {}).await, 400, code, message);
    }
}

#[tokio::test]
async fn the_primary_configuration_stays() {
    let message = "IP Configuration ipconfig1 cannot be deleted. Deletion and renaming of primary IP Configuration is \
                   not supported";
    let renamed = put("10.0.0.9", |_, body| config(body, 0)["name"] = json!("renamed")).await;
    refused(&renamed, 400, "IpConfigDeleteNotSupported", message);
    let two = put("10.0.0.9", |_, body| config(body, 1)["properties"]["primary"] = json!(true)).await;
    assert_eq!(error(&two).1, "SimulatedOnePrimaryRequired");
}

#[tokio::test]
async fn configurations_are_alike() {
    let elsewhere = put("10.0.0.9", |lab, body| {
        config(body, 1)["properties"]["subnet"]["id"] = json!(format!("{}2", lab.subnet));
    })
    .await;
    let message = "IPConfigurations on a Nic cannot belong to different subnets.";
    refused(&elsewhere, 400, "IpConfigurationsOnSameNicCannotUseDifferentSubnets", message);

    let grouped = put("10.0.0.9", |_, body| {
        config(body, 0)["properties"]["applicationSecurityGroups"] = json!([{"id": "/asg"}]);
    })
    .await;
    let code = "AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups";
    let message = format!(
        "All IPConfigurations on a Network Interface should reference the same set of Application Security Groups. \
         IPConfiguration {NIC}/ipConfigurations/ipconfig1 references ASG(s) /asg, wheras IPConfiguration \
         {NIC}/ipConfigurations/EgressIP10.0.0.9 references ASG(s) ."
    );
    refused(&grouped, 400, code, &message);
}

#[tokio::test]
async fn a_pool_with_an_outbound_rule_takes_no_secondary() {
    let join = |name: &'static str| {
        move |lab: &Lab, body: &mut Value| {
            let pool = format!("{}/backendAddressPools/{name}", lab.balancer);
            config(body, 1)["properties"]["loadBalancerBackendAddressPools"] = json!([{"id": pool}]);
        }
    };
    let balancer = NIC.replace("networkInterfaces/a-nic", "loadBalancers/lb");
    let message = format!(
        "OutboundRule {balancer}/outboundRules/out cannot be used with Backend Address Pool \
         {balancer}/backendAddressPools/out that contains Secondary IPConfig {NIC}/ipConfigurations/EgressIP10.0.0.9"
    );
    let code = "OutboundRuleCannotBeUsedWithBackendAddressPoolThatIsReferencedBySecondaryIpConfigs";
    refused(&put("10.0.0.9", join("out")).await, 400, code, &message);
    assert_eq!(put("10.0.0.9", join("in")).await.status, 200);
    assert_eq!(error(&put("10.0.0.9", join("gone")).await).1, "InvalidResourceReference");
}

#[tokio::test]
async fn names_and_subnets_are_required() {
    let unnamed = put("10.0.0.9", |_, body| config(body, 1)["name"] = json!("")).await;
    assert_eq!(error(&unnamed).1, "SimulatedIpConfigurationNameRequired");
    let twice = put("10.0.0.9", |_, body| config(body, 1)["name"] = json!("IPCONFIG1")).await;
    assert_eq!(error(&twice).1, "DuplicateResourceName");
    let message = format!("Subnet reference is required for ipconfiguration {NIC}/ipConfigurations/EgressIP10.0.0.9.");
    let nowhere = put("10.0.0.9", |_, body| config(body, 1)["properties"]["subnet"] = Value::Null).await;
    refused(&nowhere, 400, "SimulatedSubnetReferenceRequired", &message);
    let none = put("10.0.0.9", |_, body| body["properties"]["ipConfigurations"] = json!([])).await;
    assert_eq!(error(&none).1, "SimulatedNoIpConfiguration");
}

#[tokio::test]
async fn a_nic_has_at_most_256_addresses() {
    let lab = Lab::new(|_| {}).await;
    let prefix = "10.0.0.0/16".parse().unwrap();
    lab.arm.add_network(&lab.place, "vnet", &[("nodes", &[prefix])]);
    let mut body = lab.arm.resource(&lab.nic).unwrap();
    for number in 0..255 {
        let address = format!("10.0.9.{number}");
        let more = lab.with(&lab.nic, &address)["properties"]["ipConfigurations"][1].clone();
        body["properties"]["ipConfigurations"].as_array_mut().unwrap().push(more);
    }
    let fits = body.clone();
    let more = lab.with(&lab.nic, "10.0.10.1")["properties"]["ipConfigurations"][1].clone();
    body["properties"]["ipConfigurations"].as_array_mut().unwrap().push(more);
    assert_eq!(error(&lab.put(0, &lab.nic, &body)).1, "SimulatedPrivateIPAddressLimitExceeded");
    assert_eq!(lab.put(0, &lab.nic, &fits).status, 200);
}

#[tokio::test]
async fn a_full_subnet_has_no_dynamic_address() {
    let lab = Lab::new(|_| {}).await;
    let prefix = "10.0.0.0/29".parse().unwrap();
    lab.arm.add_network(&lab.place, "vnet", &[("nodes", &[prefix])]);
    let mut body = lab.with(&lab.nic, "");
    config(&mut body, 1)["properties"]["privateIPAllocationMethod"] = json!("Dynamic");
    let message = format!(
        "Subnet {} with address prefix 10.0.0.0/29 does not have enough capacity for 1 IP addresses.",
        lab.subnet
    );
    refused(&lab.put(0, &lab.nic, &body), 400, "SubnetIsFull", &message);
}

#[tokio::test]
async fn a_subnet_that_is_being_updated_is_waited_for() {
    let lab = Lab::new(|_| {}).await;
    lab.arm.set_subnet_state(&lab.subnet, "Updating");
    let answer = lab.put(0, &lab.nic, &lab.with(&lab.nic, "10.0.0.9"));
    assert_eq!((answer.status, header(&answer, "retry-after").unwrap().as_str()), (429, "10"));
    assert_eq!(answer.body.unwrap()["error"]["details"][0]["code"], "ReferencedResourceNotProvisioned");
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let lab = Lab::new(|_| {}).await;
    assert_eq!(error(&lab.put(0, &lab.nic, &json!({"properties": 1}))).1, "InvalidRequestFormat");
    let answer = lab.send(0, "PUT", &lab.nic, None, None).answer.unwrap();
    assert_eq!(error(&answer).1, "InvalidRequestContent");
    let message = "The api-version query parameter (?api-version=) is required for all requests.";
    refused(&lab.get(0, &format!("{}?", lab.nic)), 400, "MissingApiVersionParameter", message);
    let mut body = lab.with(&lab.nic, "10.0.0.9");
    body["location"] = json!("westus");
    assert_eq!(error(&lab.put(0, &lab.nic, &body)).1, "InvalidResourceLocation");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let lab = Lab::new(|_| {}).await;
    let answer = lab.get(0, &lab.nic.replace("a-nic", "gone"));
    let message = "The Resource 'Microsoft.Network/networkInterfaces/gone' under resource group 'rg' was not found. \
                   For more details please go to https://aka.ms/ARMResourceNotFoundFix";
    refused(&answer, 404, "ResourceNotFound", message);
    assert_eq!(header(&answer, "x-ms-failure-cause").as_deref(), Some("gateway"));
    let answer = lab.get(0, &lab.nic.replace("/rg/", "/other/"));
    refused(&answer, 404, "ResourceGroupNotFound", "Resource group 'other' could not be found.");
    let missing = format!("{}2", lab.subnet);
    refused(&lab.get(0, &missing), 404, "NotFound", &format!("Resource {missing} not found."));
}

#[tokio::test]
async fn permissions_are_withheld_in_three_ways() {
    let lab = Lab::new(|_| {}).await;
    let body = lab.with(&lab.nic, "10.0.0.9");
    for (action, scope, reason, code) in [
        ("networkInterfaces/write", NIC, Reason::Role, "AuthorizationFailed"),
        ("networkInterfaces/write", "/subscriptions/sub", Reason::DenyAssignment, "DenyAssignmentAuthorizationFailed"),
        ("virtualNetworks/subnets/join/action", lab.subnet.as_str(), Reason::Role, "LinkedAuthorizationFailed"),
    ] {
        let action = format!("Microsoft.Network/{action}");
        lab.arm.deny(Denial { action: action.clone(), scope: scope.to_owned(), reason });
        let (status, found, message) = error(&lab.put(0, &lab.nic, &body));
        assert_eq!((status, found.as_str()), (403, code));
        assert!(message.contains(&action), "{message}");
        assert_eq!(lab.get(0, &lab.nic).status, 200);
        lab.arm.allow_all();
    }
    assert_eq!(lab.put(0, &lab.nic, &body).status, 200);
    let network = lab.subnet.strip_suffix("/subnets/nodes").unwrap();
    let action = "Microsoft.Network/virtualNetworks/checkIpAddressAvailability/read".to_owned();
    lab.arm.deny(Denial { action, scope: String::new(), reason: Reason::Role });
    assert_eq!(lab.get(0, &format!("{network}/CheckIPAddressAvailability?api-version=1")).status, 403);
    assert_eq!(lab.get(0, network).status, 200);
}

#[tokio::test]
async fn read_only_fields_are_not_taken_from_a_request() {
    let lab = Lab::new(|_| {}).await;
    let mut body = lab.with(&lab.spare, "10.0.0.9");
    body["properties"]["virtualMachine"] = json!({"id": "/forged"});
    body["properties"]["resourceGuid"] = json!("forged");
    let stored = lab.put(0, &lab.spare, &body).body.unwrap();
    assert_eq!(stored["properties"].get("virtualMachine"), None);
    assert_ne!(stored["properties"]["resourceGuid"], "forged");
    assert_eq!(stored["properties"]["provisioningState"], "Succeeded");
}

#[tokio::test]
async fn throttles_stand_in_the_way() {
    let lab = Lab::new(|settings| {
        settings.limits.writes.size = 3;
        settings.limits.network_writes = 2;
    })
    .await;
    let body = lab.with(&lab.spare, "10.0.0.9");
    let codes = (0..4).map(|_| lab.put(0, &lab.spare, &body)).map(|answer| (answer.status, answer));
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 200, 429, 429]);
    assert_eq!(error(&codes[2].1).1, "RetryableError", "Microsoft.Network");
    assert_eq!(header(&codes[2].1, "retry-after").as_deref(), Some("300"));
    let (_, code, message) = error(&codes[3].1);
    assert_eq!(code, "SubscriptionRequestsThrottled", "Resource Manager");
    assert!(
        message.contains("'PUT/SUBSCRIPTIONS/RESOURCEGROUPS/PROVIDERS/MICROSOFT.NETWORK/NETWORKINTERFACES'"),
        "{message}"
    );
    assert_eq!(lab.get(0, &lab.spare).status, 200, "reads have a bucket of their own");
}
