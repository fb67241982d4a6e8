//! The way to Azure: a company's proxy and authority, and a cloud that has to be asked where its authority is.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_sandbox_azure::Settings;

use super::ledger::Ledger;
use super::stage::Stage;
use crate::harness::tunnel::Tunnel;
use crate::harness::{Launch, Operator, infrastructure, namespace};

const HOST: &str = "management.stack.test";

/// A stage in an Azure Stack that is behind a proxy.
async fn stack() -> (Stage, Tunnel) {
    let stage = Stage::with(Settings::default()).await;
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    let tunnel = Tunnel::start(&[HOST], stage.arm.base_url()).await;
    stage.arm.goes_by(&format!("https://{HOST}"));
    let stack = json!({
        "cloudName": "AzureStackCloud",
        "armEndpoint": format!("https://{HOST}"),
        "resourceGroupName": "ocp1-rg",
        "networkResourceGroupName": "network-rg",
    });
    stage.cluster.create([infrastructure("Azure").set("status.platformStatus.azure", stack)]).await;
    stage.cluster.create([Stage::three_zones(), namespace("shop").in_pool("egress")]).await;
    (stage, tunnel)
}

/// An operator that is told of the proxy, and of no endpoint.
pub(super) fn launch(stage: &Stage, tunnel: &Tunnel, direct: &str) -> Launch {
    let scale = stage.arm.clock().scale().to_string();
    Operator::launch(&stage.cluster)
        .args(&["--azure-time-scale", &scale])
        .env("POD_NAME", "sluice-0")
        .env("HTTPS_PROXY", tunnel.url())
        .env("NO_PROXY", direct)
        .env("SSL_CERT_FILE", tunnel.authority().to_str().expect("a path in UTF-8"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_azure_stack_is_reached_through_a_proxy_and_the_api_server_without() {
    let (stage, tunnel) = stack().await;
    let ledger = Ledger::open(&stage, &["w1", "w2", "w3"]).await;
    let operator = launch(&stage, &tunnel, "127.0.0.1").start().await;
    stage.serves(&["shop"], 3).await;
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
    assert_eq!(stage.arm.count("GET", "/metadata/endpoints"), 1, "it was asked where its authority is");
    assert_eq!(tunnel.asked(), BTreeSet::from([format!("{HOST}:443")]));
    stage.keeps_secrets(&[&operator], &[]).await;
    operator.stop().await;

    // Where nothing is said to be near, the API server is reached the same way.
    let _operator = launch(&stage, &tunnel, "").start().await;
    stage.cluster.create([namespace("till").in_pool("egress")]).await;
    stage.serves(&["shop", "till"], 3).await;
    let others: Vec<String> = tunnel.asked().into_iter().filter(|host| !host.starts_with(HOST)).collect();
    assert!(matches!(&others[..], [one] if one.starts_with("127.0.0.1:")), "{others:?}");
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_not_trusted_is_told() {
    let (stage, tunnel) = stack().await;
    let own = stage.cluster.folder().join("nobody.pem");
    std::fs::copy(Tunnel::start(&[HOST], stage.arm.base_url()).await.authority(), &own).expect("a file");
    let path = own.to_str().expect("a path in UTF-8").to_owned();
    let _operator = launch(&stage, &tunnel, "127.0.0.1").env("SSL_CERT_FILE", &path).start().await;
    stage.tells(&["Ready=False", &format!("the endpoints of the Azure Stack at https://{HOST}/ cannot be read")]).await;
    assert_eq!(stage.arm.log().len(), 0, "nothing is told to whom nobody trusts");
}
