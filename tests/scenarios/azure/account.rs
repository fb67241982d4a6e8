//! The account in Azure: tokens, the Secret, the request for it, and how much is asked under it.

use std::collections::BTreeSet;

use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use sluice_sandbox_azure::{ExpiresIn, Fault, Logged, Settings, Span, Wrong};

use super::ledger::Ledger;
use super::stage::{A_WHILE, CLIENT_SECRET, SECRET, Stage};
use crate::harness::bootstrap::{CREDENTIALS_NAMESPACE, OPERATOR_NAMESPACE, documents, fixtures, is_served};
use crate::harness::{Cluster, Object, User, eventually, kinds, namespace, workspace};

const MACHINES: [&str; 3] = ["w1", "w2", "w3"];

/// Three machines in three zones, and a pool.
async fn stage(settings: Settings) -> Stage {
    let stage = Stage::with(settings).await;
    stage.machines(&[("w1", 1), ("w2", 2), ("w3", 3)]).await;
    stage.cluster.create([Stage::three_zones()]).await;
    stage
}

/// Time goes slower here, so that a delay of the test's own machine is short beside Azure's spans.
fn slower() -> Settings {
    Settings { scale: 200, duration: Span::Fixed(71_000), ..Settings::default() }
}

fn puts(stage: &Stage) -> usize {
    stage.arm.count("PUT", "networkInterfaces")
}

/// Requests that came although an earlier answer had said until when there may be none. Those that were on their way
/// with the refused one do not count.
fn too_early(log: &[Logged], retry_after: u64, counts: impl Fn(&Logged) -> bool) -> Vec<String> {
    const TOGETHER: u64 = 10_000;
    let refused: Vec<u64> = log.iter().filter(|one| one.status == Some(429)).map(|one| one.at).collect();
    let is_early = |at: u64| refused.iter().any(|&then| at > then + TOGETHER && at < then + retry_after * 1000);
    let early = log.iter().filter(|one| counts(one) && is_early(one.at));
    early.map(|one| format!("{} {} at {} ms", one.method, one.path, one.at)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_minutes_of_429_for_writes() {
    let stage = stage(slower()).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let operator = stage.operator().await;
    let end = stage.arm.clock().now() + 20 * 60_000;
    let what = Wrong::Throttled { code: "SubscriptionRequestsThrottled".into(), details: vec![], retry_after: 120 };
    stage.arm.inject(Fault::once("PUT", "networkInterfaces", what).until(end));
    stage.cluster.create([namespace("shop").in_pool("egress"), namespace("till").in_pool("egress")]).await;
    stage.tells(&["azure allows no more writes of this subscription for now (HTTP 429)", "Ready=False"]).await;
    stage.serves(&["shop", "till"], 3).await;
    stage.tells(&["Ready=True"]).await;
    let log = stage.arm.log();
    assert!(stage.arm.clock().now() > end, "not before it was over");
    assert_eq!(too_early(&log, 120, |one| one.method == "PUT"), [""; 0]);
    let refused = log.iter().filter(|one| one.status == Some(429)).count();
    assert!((2..=33).contains(&refused), "{refused} refused: at most three in each of eleven spans");
    ledger.closes().await;
    stage.keeps_secrets(&[&operator], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_minutes_of_429_for_everything() {
    let stage = stage(slower()).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let _operator = stage.operator().await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    stage.serves(&["shop"], 3).await;
    stage.arm.clear_log();
    let end = stage.arm.clock().now() + 20 * 60_000;
    let what = Wrong::Throttled { code: "SubscriptionRequestsThrottled".into(), details: vec![], retry_after: 60 };
    let fault = Fault { method: None, ..Fault::once("", "/subscriptions/", what) };
    stage.arm.inject(fault.until(end));
    stage.cluster.create([namespace("till").in_pool("egress")]).await;
    stage.tells(&["azure allows no", "429"]).await;
    stage.serves(&["shop", "till"], 3).await;
    stage.tells(&["Ready=True"]).await;
    let log = stage.arm.log();
    assert!(stage.arm.clock().now() > end, "not before it was over");
    assert_eq!(too_early(&log, 60, |one| one.path.starts_with("/subscriptions/")), [""; 0]);
    let refused = log.iter().filter(|one| one.status == Some(429)).count();
    assert!((2..=84).contains(&refused), "{refused} refused: at most four in each of 21 spans");
    ledger.closes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_expire_and_are_revoked_during_an_operation() {
    let settings = Settings { token_life_s: 40, expires_in: ExpiresIn::Text, ..slower() };
    let stage = stage(settings).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let operator = stage.operator().await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    stage.serves(&["shop"], 3).await;
    assert_eq!(puts(&stage), 3, "each interface is written once");
    let bought = stage.arm.count("POST", "/oauth2/");
    assert!(bought >= 2, "{bought} tokens: the first ended before the operations");

    stage.arm.configure(|settings| settings.token_life_s = 3599);
    let bought = stage.arm.count("POST", "/oauth2/");
    eventually("a token that lives long is bought", A_WHILE, || async {
        if stage.arm.count("POST", "/oauth2/") > bought { Ok(()) } else { Err("no other token") }
    })
    .await;
    stage.cluster.create([namespace("till").in_pool("egress")]).await;
    eventually("interfaces are being written", A_WHILE, || async {
        if puts(&stage) > 3 { Ok(()) } else { Err(puts(&stage)) }
    })
    .await;
    stage.arm.revoke_tokens();
    stage.serves(&["shop", "till"], 3).await;
    let done = stage.arm.log().iter().filter(|one| one.method == "PUT" && one.status == Some(200)).count();
    assert_eq!(done, 6, "each interface is written once more");
    assert!(stage.arm.log().iter().any(|one| one.status == Some(401)), "a revoked token was refused");
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
    stage.keeps_secrets(&[&operator], &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_secret_is_rotated() {
    let stage = stage(slower()).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let operator = stage.operator().await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    stage.serves(&["shop"], 3).await;
    stage.rotate("an0ther-s3cret");
    stage.arm.revoke_tokens();
    stage.tells(&["azure cannot be read: no token: HTTP 401 invalid_client: AADSTS7000215"]).await;
    stage.serves(&["shop"], 3).await;
    stage.cluster.create([Stage::secret("an0ther-s3cret")]).await;
    stage.tells(&["Ready=True"]).await;
    stage.cluster.create([namespace("till").in_pool("egress")]).await;
    stage.serves(&["shop", "till"], 3).await;
    assert!(operator.is_running(), "without a restart");
    assert_eq!(puts(&stage), 6);
    ledger.closes().await;
    stage.keeps_secrets(&[&operator], &["an0ther-s3cret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_comes_late_and_lacks_a_key() {
    let stage = stage(slower()).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let secrets = stage.cluster.api("Secret", Some(OPERATOR_NAMESPACE));
    secrets.delete(SECRET, &DeleteParams::default()).await.expect("it was there");
    let operator = stage.operator().await;
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    stage.tells(&["Ready=False Blocked", "there is no Secret sluice/egress-ipam-operator-cloud-credentials"]).await;
    assert_eq!(stage.arm.log().len(), 0, "nothing is asked without an account");

    for key in ["azure_tenant_id", "azure_client_id", "azure_subscription_id", "azure_client_secret"] {
        let whole = Stage::secret(CLIENT_SECRET);
        let mut lacking = whole.json().clone();
        lacking["stringData"].as_object_mut().expect("texts").remove(key);
        let _ = secrets.delete(SECRET, &DeleteParams::default()).await;
        let lacking = kinds::dynamic(lacking);
        secrets.create(&PostParams::default(), &lacking).await.expect("a Secret");
        stage.tells(&["Ready=False Blocked", "Secret sluice/egress-ipam-operator-cloud-credentials: ", key]).await;
    }
    assert_eq!(stage.arm.log().len(), 0, "nothing is asked with half an account");
    assert!(stage.cluster.outcome().await.addresses_of("shop").is_empty(), "nothing is written");
    stage.cluster.create([Stage::secret(CLIENT_SECRET)]).await;
    stage.serves(&["shop"], 3).await;
    stage.tells(&["Ready=True"]).await;

    // A key that goes missing while everything is served.
    let patch = json!({"data": {"azure_tenant_id": null}});
    let patch = kube::api::Patch::Merge(patch);
    secrets.patch(SECRET, &kube::api::PatchParams::default(), &patch).await.expect("a Secret");
    stage.tells(&["azure cannot be read: ", "key azure_tenant_id is missing or empty"]).await;
    stage.serves(&["shop"], 3).await;
    stage.cluster.create([Stage::secret(CLIENT_SECRET)]).await;
    stage.tells(&["Ready=True"]).await;
    assert_eq!(puts(&stage), 3);
    ledger.closes().await;
    stage.keeps_secrets(&[&operator], &[]).await;
}

/// The request for an account in `deploy/`.
pub(super) fn request() -> Value {
    documents(&workspace().join("deploy/azure.yaml")).remove(0)
}

/// Has the cluster serve `CredentialsRequest`s.
async fn serve_requests(cluster: &Cluster) {
    let definition = documents(&fixtures().join("crds/credentialsrequests.crd.yaml")).remove(0);
    cluster.create([Object::from_json(definition)]).await;
    is_served(&cluster.client(), "CredentialsRequest").await;
}

/// The request is a manifest, so that nothing of ours may ask for more; the old operator's stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_missing_account_is_told_and_nothing_is_asked_for() {
    let stage = stage(slower()).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    serve_requests(&stage.cluster).await;
    let left = documents(&fixtures().join("peer-dumps/azure/credentialsrequests.yaml")).remove(0);
    let old = Object::from_json(json!({
        "apiVersion": "cloudcredential.openshift.io/v1",
        "kind": "CredentialsRequest",
        "metadata": {"name": "egress-ipam-operator", "namespace": CREDENTIALS_NAMESPACE},
        "spec": left["items"][0]["spec"],
    }));
    stage.cluster.create([old, Object::from_json(request())]).await;
    let secrets = stage.cluster.api("Secret", Some(OPERATOR_NAMESPACE));
    secrets.delete(SECRET, &DeleteParams::default()).await.expect("it was there");
    stage.cluster.create([namespace("shop").in_pool("egress")]).await;
    let mark = stage.cluster.audit().mark().await;
    let _operator = stage.operator().await;
    stage.tells(&["there is no Secret sluice/", "deploy/azure.yaml has OpenShift make it"]).await;
    stage.cluster.create([Stage::secret(CLIENT_SECRET)]).await;
    stage.serves(&["shop"], 3).await;
    stage.tells(&["Ready=True"]).await;
    let asked = stage.cluster.audit().since(mark).await.by(User::Sluice).on("credentialsrequests");
    assert_eq!(asked.to_string(), "", "neither written nor read");
    ledger.closes().await;
}

#[test]
fn the_manifest_asks_for_one_secret_and_for_writing_interfaces() {
    let made = request();
    assert_eq!(made["metadata"]["name"], "sluice", "under the old operator's name it would take its Secret away");
    assert_eq!(made["spec"]["secretRef"], json!({"name": SECRET, "namespace": OPERATOR_NAMESPACE}));
    assert_eq!(made["spec"]["serviceAccountNames"], json!(["sluice"]));
    let provider = &made["spec"]["providerSpec"];
    assert_eq!(provider["kind"], "AzureProviderSpec");
    let permissions = provider["permissions"].as_array().expect("a list").iter().filter_map(Value::as_str);
    let writes: BTreeSet<&str> = permissions.filter(|permission| !permission.ends_with("/read")).collect();
    let only: BTreeSet<&str> =
        writes.iter().copied().filter(|name| !name.to_ascii_lowercase().contains("/join")).collect();
    assert_eq!(only, BTreeSet::from(["Microsoft.Network/networkInterfaces/write"]), "besides joining: {writes:?}");
    assert!(!made.to_string().contains("roleBindings"), "permissions, and no role");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_and_a_rest_write_nothing() {
    let stage = stage(Settings { duration: Span::Fixed(71_000), ..Settings::default() }).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.create([namespace("shop").in_pool("egress"), namespace("till").in_pool("egress")]).await;
    let operator = stage.operator().await;
    stage.serves(&["shop", "till"], 3).await;
    stage.tells(&["Ready=True"]).await;
    stage.cluster.settled().await;
    // The machine's own address included, as the old operator counts.
    let capacity = r#"egressip_ip_capacity{egressipam="egress",node="w1"}"#;
    assert_eq!(operator.metric(capacity).await, Some(256.0));
    operator.stop().await;

    let mark = stage.cluster.audit().mark().await;
    stage.arm.clear_log();
    let _operator = stage.operator().await;
    stage.two_inventories().await;
    stage.cluster.settled().await;
    let written = stage.cluster.written_since(mark).await;
    assert_eq!((puts(&stage), written.to_string().as_str()), (0, ""));
    ledger.closes().await;

    stage.arm.clear_log();
    stage.two_inventories().await;
    let log = stage.arm.log();
    let name = |one: &Logged| {
        let path = one.path.split('?').next().unwrap_or_default();
        format!("{} {}", one.method, path.rsplit('/').next().unwrap_or_default())
    };
    let kinds: BTreeSet<String> = log.iter().map(name).collect();
    let lists = ["GET networkInterfaces", "GET virtualMachines", "GET virtualNetworks"].map(str::to_owned);
    assert!(kinds.is_superset(&BTreeSet::from(lists.clone())), "{kinds:?}");
    let others: Vec<&String> = kinds
        .iter()
        .filter(|kind| !lists.contains(kind) && !["GET loadBalancers", "POST token"].contains(&kind.as_str()))
        .collect();
    assert!(others.is_empty(), "no request for a single resource: {others:?}");
    // Two resource groups: machines of one, interfaces of both, networks of one, load balancers of none that is used.
    // How many there were meanwhile depends on how busy the machine is.
    let inventories = log.iter().filter(|one| name(one) == "GET virtualMachines").count();
    assert!(log.len() <= 8 * (inventories + 1), "{} requests in {inventories} inventories: {kinds:?}", log.len());
}
