//! Each row of Azure's catalogue of errors (what a PUT of an interface or a list can meet), one after the other: how
//! many requests follow, what people are told, and that all heals.

use std::io::Write as _;

use sluice_sandbox_azure::{Denial, Ending, Fault, Place, Reason, Wrong};

use super::ledger::Ledger;
use super::stage::{SUBSCRIPTION, Stage};
use crate::harness::{namespace, pool};

/// The interface that meets the faults; the one in the other zone meets none.
const NIC: &str = "networkInterfaces/w1-nic";
const MACHINES: [&str; 2] = ["w1", "w2"];

/// How often a row is met.
#[derive(Clone, Copy, Debug)]
enum Met {
    /// Once; then so many PUTs were needed in all.
    Once(usize),
    /// Until it is taken away; after the first few PUTs there is at most one in so many seconds.
    For(u64),
}

/// One row.
struct Row {
    name: &'static str,
    what: What,
    met: Met,
    /// What the pool's status says meanwhile.
    told: Vec<String>,
    /// An address that is asked for once, and not again for somebody new.
    refused: Option<&'static str>,
}

enum What {
    Fault(Wrong),
    Denied(&'static str, String, Reason),
}

fn once(name: &'static str, wrong: Wrong, puts: usize) -> Row {
    Row { name, what: What::Fault(wrong), met: Met::Once(puts), told: Vec::new(), refused: None }
}

fn lasting(name: &'static str, wrong: Wrong, seconds: u64) -> Row {
    Row { name, what: What::Fault(wrong), met: Met::For(seconds), told: Vec::new(), refused: None }
}

fn denied(name: &'static str, action: &'static str, scope: String, reason: Reason) -> Row {
    let told = vec![format!("not allowed: {action} on {scope} ({name})")];
    Row { name, what: What::Denied(action, scope, reason), met: Met::For(250), told, refused: None }
}

fn refused(status: u16, code: &str, message: &str) -> Wrong {
    Wrong::Refused { status, code: code.into(), message: message.into() }
}

fn throttled(code: &str, detail: &str, message: &str, retry_after: u64) -> Wrong {
    let details = if detail.is_empty() { vec![] } else { vec![(detail.to_owned(), message.to_owned())] };
    Wrong::Throttled { code: code.into(), details, retry_after }
}

impl Row {
    fn not_again(mut self, address: &'static str) -> Self {
        self.refused = Some(address);
        self
    }

    fn tells(mut self, text: &str) -> Self {
        self.told.push(text.to_owned());
        self
    }
}

/// Two zones with a machine each.
async fn stage() -> Stage {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 2)]).await;
    for (machine, address) in [("w1", "10.20.9.1"), ("w2", "10.20.9.2")] {
        stage.arm.add_config(&stage.nic(machine), "of-somebody", address.parse().expect("an address"));
    }
    stage.cluster.create([pool("egress").range("eastus-1", "10.20.1.0/24").range("eastus-2", "10.20.2.0/24")]).await;
    stage
}

/// Plays rows, each with a namespace of its own that wants addresses.
async fn play(label: &str, rows: Vec<Row>) {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let operator = stage.operator().await;
    stage.cluster.create([namespace("first").in_pool("egress")]).await;
    stage.serves(&["first"], 2).await;
    for (number, row) in rows.iter().enumerate() {
        stage.arm.clear_log();
        play_one(&stage, row, &format!("row-{number:02}")).await;
        gaps_are_kept(&stage, row);
        ledger.is_untouched();
    }
    stage.serves(&["first"], 2).await;
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
    stage.keeps_secrets(&[&operator], &[]).await;
    writeln!(std::io::stdout().lock(), "azure catalogue, {label}: {} rows played", rows.len()).expect("stdout is open");
}

async fn play_one(stage: &Stage, row: &Row, owner: &str) {
    let puts = || stage.arm.count("PUT", NIC);
    let started = stage.arm.clock().now();
    match &row.what {
        What::Fault(wrong) => {
            let fault = Fault::once("PUT", NIC, wrong.clone());
            stage.arm.inject(if matches!(row.met, Met::Once(_)) { fault } else { fault.until(u64::MAX) });
        }
        What::Denied(action, scope, reason) => {
            stage.arm.deny(Denial { action: (*action).into(), scope: scope.clone(), reason: *reason });
        }
    }
    stage.cluster.create([namespace(owner).in_pool("egress")]).await;
    let told: Vec<&str> = row.told.iter().map(String::as_str).collect();
    match row.met {
        Met::Once(most) => {
            stage.serves(&[owner], 2).await;
            assert_eq!(puts(), most, "{}: PUTs", row.name);
            if told.is_empty() {
                let status = stage.tells(&["Ready=True"]).await;
                let code = row.name.split(',').next().unwrap_or_default();
                assert!(!status.contains(code), "{}: it is over, and nobody has to know: {status}", row.name);
            } else {
                stage.tells(&told).await;
            }
            if let Some(address) = row.refused {
                let asked = asked_for(stage, address);
                assert_eq!(asked, [true, false], "{}: whether each PUT asks for {address}", row.name);
            }
        }
        Met::For(seconds) => {
            stage.tells(&told).await;
            stage.passes(1200).await;
            let passed = (stage.arm.clock().now() - started) / 1000;
            let most = 7 + usize::try_from(passed / seconds).expect("a small number");
            assert!((1..=most).contains(&puts()), "{}: {} PUTs in {passed} s", row.name, puts());
            stage.arm.clear_faults();
            stage.arm.allow_all();
            stage.serves(&[owner], 2).await;
        }
    }
    if !told.is_empty() {
        stage.tells(&["Ready=True"]).await;
    }
}

/// Whether each PUT of the interface since the log was cleared asks for an address.
fn asked_for(stage: &Stage, address: &str) -> Vec<bool> {
    let puts = stage.arm.log().into_iter().filter(|one| one.method == "PUT" && one.path.contains(NIC));
    puts.map(|put| put.body.is_some_and(|body| body.to_string().contains(&format!("\"{address}\"")))).collect()
}

/// After an answer with `Retry-After` the interface is not written before that has passed.
fn gaps_are_kept(stage: &Stage, row: &Row) {
    let What::Fault(Wrong::Throttled { retry_after, .. }) = &row.what else { return };
    let log = stage.arm.log();
    let puts: Vec<_> = log.iter().filter(|one| one.method == "PUT" && one.path.contains(NIC)).collect();
    for pair in puts.windows(2).filter(|pair| pair[0].status == Some(429)) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= retry_after * 1000, "{}: written again after {gap} ms", row.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts() {
    let another = "Another operation on this or dependent resource is in progress.";
    let stale = "Precondition failed.";
    let reserved = "Nic(s) in request is reserved for another Virtual Machine for 180 seconds.";
    let in_12 = "The call can be retried in 12 seconds.";
    let rows = vec![
        once("AnotherOperationInProgress", refused(409, "AnotherOperationInProgress", another), 2),
        once("PreconditionFailed", refused(412, "PreconditionFailed", stale), 2),
        once("PreconditionFailedEtagMismatch", refused(412, "PreconditionFailedEtagMismatch", stale), 2),
        once("another operation", throttled("RetryableError", "RetryableErrorDueToAnotherOperation", in_12, 12), 2),
        once("not provisioned", throttled("RetryableError", "ReferencedResourceNotProvisioned", in_12, 12), 2),
        once("NicReservedForAnotherVm", refused(400, "NicReservedForAnotherVm", reserved), 2),
        lasting("AnotherOperationInProgress", refused(409, "AnotherOperationInProgress", another), 50)
            .tells("AnotherOperationInProgress"),
        lasting("PreconditionFailed", refused(412, "PreconditionFailed", stale), 50).tells("PreconditionFailed"),
        lasting("NicReservedForAnotherVm", refused(400, "NicReservedForAnotherVm", reserved), 170)
            .tells("NicReservedForAnotherVm"),
    ];
    play("conflicts", rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn throttles() {
    let network = "Subscription was used to perform too many calls within last 5 minutes.";
    let rows = vec![
        once("too many calls", throttled("RetryableError", "RetryableErrorDueToTooManyCalls", network, 39), 2),
        once("too many, other code", throttled("TooManyRequests", "RetryableErrorDueToTooManyCalls", network, 39), 2),
        once("data size", throttled("RetryableError", "RetryableErrorDueTooHighReadDataSize", "", 20), 2),
        once("batch queue", throttled("RetryableError", "RetryableErrorDueToBatchQueueTimeout", "", 20), 2),
        once(
            "this operation",
            throttled("RetryableError", "RetryableErrorDueToTooManyCallsToThisOperation", "", 20),
            2,
        ),
        once("timed out", throttled("RetryableError", "RetryableErrorDueToRequestTimedOut", "", 20), 2),
        once("SubscriptionRequestsThrottled", throttled("SubscriptionRequestsThrottled", "", "", 6), 2),
        once("after 0 seconds", throttled("SubscriptionRequestsThrottled", "", "", 0), 2),
        once("ResourceRequestsThrottled", throttled("ResourceRequestsThrottled", "", "", 60), 2),
        once("compute", throttled("OperationNotAllowed", "TooManyRequests", "exceeded the limit of '50'", 372), 2),
        lasting("SubscriptionRequestsThrottled", throttled("SubscriptionRequestsThrottled", "", "", 60), 60)
            .tells("azure allows no more writes of this subscription for now (HTTP 429)"),
    ];
    play("throttling", rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outcomes_nobody_knows() {
    // An operation that failed leaves the interface Failed: it is written once more, with what is still to change.
    let failed = |code: &str, applied| {
        Wrong::Operation(Ending::Failed { code: code.into(), message: "An error occurred.".into(), applied })
    };
    let canceled = |superseded, applied| Wrong::Operation(Ending::Canceled { superseded, applied });
    let after = |status, code: &str| Wrong::FailedAfter { status, code: code.into() };
    let late = "The gateway did not receive a response from 'Microsoft.Network' within the specified time period.";
    let rows = vec![
        once("InternalServerError", refused(500, "InternalServerError", "An error occurred."), 2),
        once("ServerTimeout", refused(503, "ServerTimeout", late), 2),
        once("GatewayTimeout", refused(504, "GatewayTimeout", late), 2),
        once("InternalServerError, done", after(500, "InternalServerError"), 1),
        once("ServerTimeout, done", after(503, "ServerTimeout"), 1),
        once("GatewayTimeout, done", after(504, "GatewayTimeout"), 1),
        once("no answer", Wrong::DroppedBefore, 2),
        once("no answer, done", Wrong::DroppedAfter, 1),
        once("GwmOperationTimeOut", failed("GwmOperationTimeOut", true), 2),
        once("GwmOperationTimeOut, undone", failed("GwmOperationTimeOut", false), 2),
        once("operation InternalServerError", failed("InternalServerError", true), 2),
        once("OperationNotAllowed", failed("OperationNotAllowed", false), 2),
        once("Canceled", canceled(false, false), 2),
        once("CanceledAndSuperseded", canceled(true, false), 2),
        once("CanceledAndSuperseded, kept", canceled(true, true), 2),
        once("operation gone", Wrong::OperationGone, 1),
        lasting("ServerTimeout", refused(503, "ServerTimeout", late), 100).tells("ServerTimeout"),
        lasting("no answer", Wrong::DroppedBefore, 100).tells("no answer from"),
        lasting("operation InternalServerError", failed("InternalServerError", false), 100)
            .tells("the operation ended Failed: InternalServerError"),
    ];
    play("unknown outcomes and operations", rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_people_can_mend() {
    let permanent = |name: &'static str, message: &str| lasting(name, refused(400, name, message), 250).tells(name);
    let lock = "The scope cannot perform write operation because following scope(s) are locked.";
    let gone = "The Resource 'Microsoft.Network/networkInterfaces/w1-nic' was not found.";
    let rows = vec![
        once("ResourceNotFound", refused(404, "ResourceNotFound", gone), 2),
        lasting("ResourceNotFound", refused(404, "ResourceNotFound", gone), 250).tells("ResourceNotFound"),
        lasting("NotFound", refused(404, "NotFound", gone), 250).tells("NotFound"),
        denied(
            "AuthorizationFailed",
            "Microsoft.Network/networkInterfaces/write",
            Place::new(SUBSCRIPTION, "ocp1-rg", "eastus").id("Microsoft.Network/networkInterfaces", "w1-nic"),
            Reason::Role,
        ),
        denied(
            "DenyAssignmentAuthorizationFailed",
            "Microsoft.Network/networkInterfaces/write",
            Place::new(SUBSCRIPTION, "ocp1-rg", "eastus").id("Microsoft.Network/networkInterfaces", "w1-nic"),
            Reason::DenyAssignment,
        ),
        denied(
            "LinkedAuthorizationFailed",
            "Microsoft.Network/virtualNetworks/subnets/join/action",
            Place::new(SUBSCRIPTION, "network-rg", "eastus").id("Microsoft.Network/virtualNetworks", "ocp1-vnet")
                + "/subnets/workers",
            Reason::Role,
        ),
        lasting("ScopeLocked", refused(409, "ScopeLocked", lock), 250).tells("ScopeLocked"),
        lasting("ReadOnlyDisabledSubscription", refused(409, "ReadOnlyDisabledSubscription", "Disabled."), 250)
            .tells("ReadOnlyDisabledSubscription"),
        permanent("SubnetIsFull", "Subnet workers does not have enough capacity for 1 IP addresses."),
        permanent("IpConfigDeleteNotSupported", "IP Configuration X cannot be deleted."),
        permanent("IpConfigurationsOnSameNicCannotUseDifferentSubnets", "IPConfigurations cannot differ."),
        permanent("AllIpConfigurationsOnANicMustBelongToTheSameApplicationSecurityGroups", "All IPConfigurations."),
        permanent(
            "OutboundRuleCannotBeUsedWithBackendAddressPoolThatIsReferencedBySecondaryIpConfigs",
            "OutboundRule cannot be used with Backend Address Pool.",
        ),
        permanent("InvalidRequestFormat", "Cannot parse the request."),
        permanent("InvalidRequestContent", "Cannot parse the request."),
    ];
    play("permissions and permanent errors", rows).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_cannot_be_had() {
    // Who comes first wants it; and the next one, too, since by then it may be tried again.
    const WANTED: &str = "10.20.1.3";
    let network = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network";
    let (ours, theirs) = ("networkInterfaces/w1-nic/ipConfigurations/x", "privateEndpoints/pe/ipConfigurations/y");
    let taken = format!(
        "IP configuration {network}/{ours} is using the private IP address {WANTED} which is already allocated to \
         resource {network}/{theirs}."
    );
    let same = format!("IP configuration X is using the same private IP address {WANTED} as IP configuration Y.");
    let outside =
        format!("Private static IP address {WANTED} does not belong to the range of subnet prefix 10.2.0.0/24.");
    let kept =
        format!("Private static IP address {WANTED} falls within reserved IP range of subnet prefix 10.20.0.0/16.");
    let odd = "Private static IP address value 10.11.12.13.14 is invalid.";
    let told = |code| format!("{code}: Private static IP address {WANTED}");
    let rows = vec![
        once("PrivateIPAddressNotInSubnet", refused(400, "PrivateIPAddressNotInSubnet", &outside), 2)
            .tells(&told("PrivateIPAddressNotInSubnet"))
            .not_again(WANTED),
        once("PrivateIPAddressInReservedRange", refused(400, "PrivateIPAddressInReservedRange", &kept), 2)
            .tells(&told("PrivateIPAddressInReservedRange"))
            .not_again(WANTED),
        once("PrivateIPAddressIsAllocated", refused(400, "PrivateIPAddressIsAllocated", &taken), 2).not_again(WANTED),
    ];
    play("addresses", rows).await;
    let rows = vec![
        once("PrivateIPAddressInUse", refused(400, "PrivateIPAddressInUse", &same), 2).not_again(WANTED),
        lasting("InvalidPrivateIPAddressFormat", refused(400, "InvalidPrivateIPAddressFormat", odd), 250)
            .tells("InvalidPrivateIPAddressFormat"),
    ];
    play("more addresses", rows).await;
}

/// One interface in a zone that has another one: nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_have_one_interface_gets_another() {
    let stage = Stage::start().await;
    stage.machines(&[("w1", 1), ("w2", 1)]).await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    stage.cluster.create([pool("egress").range("eastus-1", "10.20.1.0/24")]).await;
    stage.arm.deny(Denial {
        action: "Microsoft.Network/networkInterfaces/write".into(),
        scope: stage.nic("w1"),
        reason: Reason::Role,
    });
    let names = ["blog", "crm", "mail", "shop", "wiki", "zoo"];
    stage.cluster.create(names.map(|name| namespace(name).in_pool("egress"))).await;
    let _operator = stage.operator().await;
    stage.serves(&names, 1).await;
    assert_eq!(stage.carried(&MACHINES)["w2"].len(), names.len());
    stage.tells(&["interface of w1: not allowed: Microsoft.Network/networkInterfaces/write"]).await;
    stage.arm.allow_all();
    // Its rest is over at last, and then it is tried again.
    stage.passes(400).await;
    stage.cluster.create(["late-1", "late-2"].map(|name| namespace(name).in_pool("egress"))).await;
    stage.serves(&["late-1", "late-2"], 1).await;
    assert!(!stage.carried(&MACHINES)["w1"].is_empty());
    stage.tells(&["Ready=True"]).await;
    ledger.closes().await;
}

/// What the lists can meet: told, asked again slowly, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn lists_that_fail() {
    let stage = stage().await;
    let ledger = Ledger::open(&stage, &MACHINES).await;
    let _operator = stage.operator().await;
    stage.cluster.create([namespace("first").in_pool("egress")]).await;
    stage.serves(&["first"], 2).await;
    stage.cluster.settled().await;
    let before = stage.cluster.outcome().await.to_string();
    let rows = bad_lists();
    for row in &rows {
        fails(&stage, row).await;
        assert_eq!(stage.cluster.outcome().await.to_string(), before, "{}: nothing has changed", row.name);
    }
    ledger.closes().await;
    let played = rows.len();
    writeln!(std::io::stdout().lock(), "azure catalogue, lists: {played} rows played").expect("stdout is open");
}

/// A list that fails: whose path contains this.
struct BadList {
    path: &'static str,
    name: &'static str,
    wrong: Wrong,
    told: &'static str,
}

fn bad_lists() -> Vec<BadList> {
    let no = |action: &str| {
        let text = "The client 'a' with object id 'a' does not have authorization to perform action";
        let text = format!("{text} 'Microsoft.{action}/read' over scope '/subscriptions/s' or the scope is invalid.");
        refused(403, "AuthorizationFailed", &text)
    };
    let gone = || refused(404, "ResourceGroupNotFound", "Resource group 'ocp1-rg' could not be found.");
    let machines = |name, wrong, told| BadList { path: "virtualMachines", name, wrong, told };
    vec![
        machines(
            "AuthorizationFailed",
            no("Compute/virtualMachines"),
            "not allowed: Microsoft.Compute/virtualMachines/read on /subscriptions/s (AuthorizationFailed)",
        ),
        machines("throttled", throttled("SubscriptionRequestsThrottled", "", "", 30), "azure allows no"),
        machines(
            "InternalServerError",
            refused(500, "InternalServerError", "An error occurred."),
            "azure cannot be read: InternalServerError",
        ),
        machines("GatewayTimeout", refused(504, "GatewayTimeout", "Late."), "azure cannot be read: GatewayTimeout"),
        machines("no answer", Wrong::DroppedBefore, "azure cannot be read: no answer from"),
        machines("ResourceGroupNotFound", gone(), ""),
        BadList {
            path: "resourceGroups/ocp1-rg/",
            name: "ResourceGroupNotFound, all lists",
            wrong: gone(),
            // For some minutes, which are a moment here.
            told: "",
        },
        BadList {
            path: "virtualNetworks",
            name: "AuthorizationFailed, networks",
            wrong: no("Network/virtualNetworks"),
            told: "the networks of resource group network-rg cannot be read",
        },
    ]
}

async fn fails(stage: &Stage, row: &BadList) {
    stage.arm.clear_log();
    let started = stage.arm.clock().now();
    stage.arm.inject(Fault::once("GET", row.path, row.wrong.clone()).until(u64::MAX));
    stage.tells(&[row.told]).await;
    stage.passes(1800).await;
    let (asked, passed) = (stage.arm.count("GET", row.path), (stage.arm.clock().now() - started) / 1000);
    let most = 12 + usize::try_from(passed / 60).expect("a small number");
    assert!((1..=most).contains(&asked), "{}: {asked} lists in {passed} s", row.name);
    assert_eq!(stage.arm.count("PUT", ""), 0, "{}: nothing is written", row.name);
    stage.arm.clear_faults();
    stage.tells(&["Ready=True"]).await;
}
