//! What is asked, of the API server and of Azure, is what the manifests and the request for an account ask for.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::json;

use super::account::serve_requests;
use super::ledger::Ledger;
use super::stage::{A_WHILE, Stage};
use crate::harness::audit::{Request, Requests};
use crate::harness::bootstrap::{CREDENTIALS_NAMESPACE, documents};
use crate::harness::{User, eventually, namespace, pool, workspace};

const MACHINES: [&str; 3] = ["w1", "w2", "w3"];
/// An object that is written is read by itself after somebody else has changed it meanwhile, which is a matter of luck.
const AFTER_CONFLICTS: [&str; 4] = ["get egressipams", "get hostsubnets", "get namespaces", "get netnamespaces"];

/// Everything that a write of an interface has to name again, and so needs permission to join.
fn refer_to_everything(stage: &Stage) {
    let network = |kind: &str, name: &str| json!({"id": stage.place.id(&format!("Microsoft.Network/{kind}"), name)});
    // The second one is not joined by our addresses, which is an event.
    for pool in ["internal", "outbound"] {
        stage.arm.join_pool(&stage.nic("w2"), &stage.balancer(pool));
    }
    stage.arm.edit(&stage.nic("w2"), |nic| {
        nic["properties"]["networkSecurityGroup"] = network("networkSecurityGroups", "workers");
        let own = &mut nic["properties"]["ipConfigurations"][0]["properties"];
        own["applicationSecurityGroups"] = json!([network("applicationSecurityGroups", "workers")]);
        own["publicIPAddress"] = network("publicIPAddresses", "w2");
        own["loadBalancerInboundNatRules"] = json!([network("loadBalancers", "ocp1-lb/inboundNatRules/ssh")]);
    });
}

/// Two namespaces get addresses, a machine dies, the pool is deleted.
async fn a_life(stage: &Stage, ledger: &Ledger<'_>) {
    stage.serves(&["crm", "shop"], 2).await;
    ledger.closes().await;
    stage.cluster.set_ready("w1", false).await;
    eventually("w2 carries what w1 did", A_WHILE, || async {
        let carried = stage.carried(&["w1", "w2"]);
        if (carried["w1"].len(), carried["w2"].len()) == (0, 2) { Ok(()) } else { Err(format!("{carried:?}")) }
    })
    .await;
    stage.serves(&["crm", "shop"], 2).await;
    ledger.closes().await;
    stage.cluster.delete("EgressIPAM", "egress").await;
    stage.cluster.is_gone("EgressIPAM", "egress").await;
    ledger.closes().await;
}

/// `verb resource`, and for what is permitted by name which one.
fn line(request: &Request) -> String {
    let named = ["secrets", "credentialsrequests", "leases", "configmaps", "customresourcedefinitions"];
    let name = if named.contains(&request.resource.as_str()) && request.verb != "create" { &*request.name } else { "" };
    format!("{} {} {name}", request.verb, request.resource).trim_end().to_owned()
}

/// Nothing was denied, and of all Secrets one was asked for.
fn is_allowed(asked: &Requests) {
    let denied = asked.clone().that(|request| matches!(request.code, 401 | 403));
    assert_eq!(denied.to_string(), "");
    let secrets = asked.clone().on("secrets");
    let places: BTreeSet<String> =
        secrets.iter().map(|request| format!("{}/{}", request.namespace, request.name)).collect();
    assert_eq!(places, BTreeSet::from(["sluice/egress-ipam-operator-cloud-credentials".to_owned()]));
}

/// What the roles in `deploy/rbac` grant, in the same form.
fn granted() -> BTreeSet<String> {
    let files = ["cluster-role.yaml", "azure.yaml"].map(|file| workspace().join("deploy/rbac").join(file));
    let rules = files.iter().flat_map(|file| documents(file)).filter_map(|role| role["rules"].as_array().cloned());
    let texts = |value: &serde_json::Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.map(|text| text.as_str().expect("a text").to_owned()).collect()
    };
    let mut granted = BTreeSet::new();
    for rule in rules.flatten() {
        let name = texts(&rule["resourceNames"]).concat();
        for resource in texts(&rule["resources"]) {
            let lines = texts(&rule["verbs"]).into_iter().map(|verb| format!("{verb} {resource} {name}"));
            granted.extend(lines.map(|line| line.trim_end().to_owned()));
        }
    }
    granted
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_for_nothing_else() {
    let stage = Stage::start().await;
    serve_requests(&stage.cluster).await;
    stage.machines(&[("w1", 1), ("w2", 1), ("w3", 2)]).await;
    stage.cluster.set_cordoned("w2", true).await;
    refer_to_everything(&stage);
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let egress = pool("egress").range("eastus-1", "10.20.1.0/24").range("eastus-2", "10.20.2.0/24");
    let namespaces = ["crm", "shop"].map(|name| namespace(name).in_pool("egress"));
    stage.cluster.furnish([egress].into_iter().chain(namespaces)).await;
    let mark = stage.cluster.audit().mark().await;
    let operator = stage.operator().await;
    stage.serves(&["crm", "shop"], 2).await;
    stage.cluster.set_cordoned("w2", false).await;
    a_life(&stage, &ledger).await;
    operator.stop().await;

    let asked = stage.cluster.audit().since(mark).await.by(User::Sluice);
    is_allowed(&asked);
    let asked: BTreeSet<String> = asked.iter().map(line).filter(|line| !AFTER_CONFLICTS.contains(&&**line)).collect();
    expect![[r#"
        create credentialsrequests
        create events
        create leases
        get credentialsrequests egress-ipam-operator
        get customresourcedefinitions egressipams.redhatcop.redhat.io
        get leases sluice
        list cloudprivateipconfigs
        list configmaps 9ae943bf.redhat.io
        list egressipams
        list hostsubnets
        list infrastructures
        list namespaces
        list netnamespaces
        list nodes
        list secrets egress-ipam-operator-cloud-credentials
        patch egressipams
        patch egressipams/status
        patch hostsubnets
        patch leases sluice
        patch namespaces
        patch netnamespaces
        watch configmaps 9ae943bf.redhat.io
        watch egressipams
        watch hostsubnets
        watch infrastructures
        watch namespaces
        watch netnamespaces
        watch nodes
        watch secrets egress-ipam-operator-cloud-credentials"#]]
    .assert_eq(&asked.iter().cloned().collect::<Vec<_>>().join("\n"));
    // What is granted and was not used: reading by itself what is listed anyway, and watching a cloud network config
    // controller that this cluster does not have.
    let mut unused: Vec<String> = granted().difference(&asked).cloned().collect();
    unused.retain(|line| !AFTER_CONFLICTS.contains(&&**line));
    expect![[r#"
        get cloudprivateipconfigs
        get infrastructures
        get nodes
        get secrets egress-ipam-operator-cloud-credentials
        watch cloudprivateipconfigs"#]]
    .assert_eq(&unused.join("\n"));

    assert_eq!(stage.arm.actions(), requested(&stage).await, "what azure demanded, and what is asked for");
}

/// The permissions that the request for an account names.
async fn requested(stage: &Stage) -> BTreeSet<String> {
    let requests = stage.cluster.api("CredentialsRequest", Some(CREDENTIALS_NAMESPACE));
    let made = requests.get("egress-ipam-operator").await.expect("the operator makes it");
    let permissions = made.data["spec"]["providerSpec"]["permissions"].as_array().cloned().expect("a list");
    permissions.iter().map(|permission| permission.as_str().expect("a text").to_owned()).collect()
}
