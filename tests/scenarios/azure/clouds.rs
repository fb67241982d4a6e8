//! Which cloud it is, and that nobody outside of it gets our token.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_sandbox_azure::{Arm, Fault, Settings, Wrong};

use super::ledger::Ledger;
use super::stage::Stage;
use super::wire::launch;
use crate::harness::tunnel::Tunnel;
use crate::harness::{Object, infrastructure, namespace};

const MACHINES: [&str; 3] = ["w1", "w2", "w3"];

/// Name, Resource Manager and authority of each cloud. The public one may go without a name.
const CLOUDS: [(&str, &str, &str); 4] = [
    ("AzurePublicCloud", "management.azure.com", "login.microsoftonline.com"),
    ("", "management.azure.com", "login.microsoftonline.com"),
    ("AzureUSGovernmentCloud", "management.usgovcloudapi.net", "login.microsoftonline.us"),
    ("AzureChinaCloud", "management.chinacloudapi.cn", "login.chinacloudapi.cn"),
];

async fn stage() -> Stage {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    stage.cluster.create([Stage::three_zones(), namespace("shop").in_pool("egress")]).await;
    stage
}

fn in_cloud(name: &str) -> Object {
    let place = json!({"cloudName": name, "resourceGroupName": "ocp1-rg", "networkResourceGroupName": "network-rg"});
    infrastructure("Azure").set("status.platformStatus.azure", place)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cloud_is_asked_at_its_own_endpoints() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let mut served = vec!["shop".to_owned()];
    for (number, (cloud, manager, authority)) in CLOUDS.into_iter().enumerate() {
        let tunnel = Tunnel::start(&[manager, authority], stage.arm.base_url()).await;
        stage.arm.goes_by(&format!("https://{manager}"));
        stage.arm.clear_log();
        stage.cluster.create([in_cloud(cloud)]).await;
        let operator = launch(&stage, &tunnel, "127.0.0.1").start().await;
        served.push(format!("of-cloud-{number}"));
        stage.cluster.create([namespace(&format!("of-cloud-{number}")).in_pool("egress")]).await;
        stage.serves(&served.iter().map(String::as_str).collect::<Vec<_>>(), 3).await;
        assert_eq!(tunnel.asked(), BTreeSet::from([format!("{manager}:443"), format!("{authority}:443")]), "{cloud}");
        let log = stage.arm.log().into_iter();
        let scopes: BTreeSet<String> = log
            .filter(|one| one.path.contains("/oauth2/"))
            .map(|one| one.body.expect("a token is asked for")["scope"].as_str().expect("a text").to_owned())
            .collect();
        assert_eq!(scopes, BTreeSet::from([format!("https://{manager}/.default")]), "{cloud}");
        operator.stop().await;
    }
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_not_known_is_told_and_nobody_is_asked() {
    let stage = stage().await;
    let hosts = ["management.azure.com", "login.microsoftonline.com"];
    let tunnel = Tunnel::start(&hosts, stage.arm.base_url()).await;
    for cloud in ["AzureGermanCloud", "AzureUSSecCloud"] {
        stage.cluster.create([in_cloud(cloud)]).await;
        let operator = launch(&stage, &tunnel, "127.0.0.1").start().await;
        let told =
            format!("cloudName {cloud}: not a cloud known here; set --azure-arm-endpoint and --azure-authority-host");
        stage.tells(&["Ready=False Blocked", &told]).await;
        operator.stop().await;
    }
    assert_eq!(tunnel.asked(), BTreeSet::new());
    // What people are told to do helps.
    let _operator = stage.operator().await;
    stage.serves(&["shop"], 3).await;
    stage.tells(&["Ready=True"]).await;
}

/// Addresses at another host, wherever Azure could put one into an answer.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_gets_a_token() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let another = Arm::start(Settings::default()).await.expect("another server");
    let operator = stage.operator().await;
    stage.serves(&["shop"], 3).await;

    // Operations: the interface itself says when it is done.
    stage.arm.clear_log();
    stage.arm.goes_by(another.base_url());
    stage.cluster.create([namespace("till").in_pool("egress")]).await;
    stage.serves(&["shop", "till"], 3).await;
    stage.tells(&["Ready=True"]).await;
    assert_eq!((stage.arm.count("PUT", ""), stage.arm.count("GET", "/operations/")), (3, 0));

    // The next page of a list.
    stage.arm.configure(|settings| settings.page_size = 1);
    stage.tells(&["azure cannot be read: azure answered with an address at another host, which is not asked"]).await;
    stage.serves(&["shop", "till"], 3).await;
    stage.arm.goes_by(stage.arm.base_url());
    stage.tells(&["Ready=True"]).await;

    // Redirections, of a read and of a request for a token, which has the client secret in it.
    let elsewhere = || Wrong::Redirected(format!("{}/elsewhere?api-version=1", another.base_url()));
    for (method, path, told) in [("GET", "/virtualMachines", "Redirected"), ("POST", "/oauth2/", "no token: HTTP 307")]
    {
        stage.arm.inject(Fault::once(method, path, elsewhere()).until(u64::MAX));
        stage.arm.revoke_tokens();
        stage.tells(&["azure cannot be read: ", told]).await;
        stage.arm.clear_faults();
        stage.tells(&["Ready=True"]).await;
    }
    // And of a write.
    stage.arm.inject(Fault::once("PUT", "", elsewhere()));
    stage.cluster.create([namespace("wiki").in_pool("egress")]).await;
    stage.serves(&["shop", "till", "wiki"], 3).await;

    let asked: Vec<String> = another.log().iter().map(|one| format!("{} {}", one.method, one.path)).collect();
    assert_eq!(asked, [""; 0]);
    ledger.closes().await;
    stage.keeps_secrets(&[&operator], &[]).await;
}
