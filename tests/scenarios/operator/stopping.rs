//! SIGTERM: 0 within 5 s, whatever is under way, and nothing is left that the next start cannot finish.

use std::time::Duration;

use super::{is_served, serves, two_zones};
use crate::harness::{Cluster, History, Matcher, Operator, Proxy, Rule, SOON, namespace};

#[tokio::test(flavor = "multi_thread")]
async fn at_rest() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    let before = cluster.outcome().await;
    operator.stop().await;
    assert_eq!(cluster.outcome().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_it_is_ready() {
    let cluster = Cluster::start().await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::hang(Matcher::any()));
    let operator = Operator::launch(&cluster).through(&proxy).spawn();
    crate::harness::eventually("it answers", SOON, || operator.probe("/healthz")).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_of_writes() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let names: Vec<String> = (0..40).map(|number| format!("shop-{number:02}")).collect();
    cluster.create(names.iter().map(|name| namespace(name).in_pool("egress"))).await;
    for name in &names {
        cluster.is_there("NetNamespace", name).await;
    }
    let history = History::start(&cluster).await;
    let proxy = Proxy::start(&cluster).await;
    proxy.rule(Rule::delay(Matcher::changes(), Duration::from_millis(300)));
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    proxy.struck(10, SOON).await;
    operator.stop().await;
    cluster.audit().no_write_is_open().await;
    let outcome = cluster.outcome().await;
    let served = names.iter().filter(|name| outcome.namespaces[*name].annotated.is_some()).count();
    assert!(served < names.len(), "it was stopped too late to tell anything");

    let _next = Operator::start(&cluster).await;
    for name in &names {
        is_served(&cluster, name).await;
    }
    cluster.settled().await;
    cluster.assert_sound().await;
    assert_eq!(history.breaches().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn while_writes_hang() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    proxy.rule(Rule::hang(Matcher::changes()));
    cluster.create([namespace("shop").in_pool("egress")]).await;
    proxy.struck(1, SOON).await;
    operator.stop().await;
    proxy.clear();
    let _next = Operator::start(&cluster).await;
    is_served(&cluster, "shop").await;
    cluster.assert_sound().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_hangs() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let proxy = Proxy::start(&cluster).await;
    let operator = Operator::launch(&cluster).through(&proxy).start().await;
    serves(&cluster, "shop").await;
    proxy.rule(Rule::hang(Matcher::any()));
    proxy.cut();
    proxy.struck(3, SOON).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_api_server_is_gone() {
    let cluster = Cluster::start().await;
    cluster.create(two_zones()).await;
    let operator = Operator::start(&cluster).await;
    serves(&cluster, "shop").await;
    cluster.stop_apiserver();
    operator.stop().await;
    cluster.start_apiserver().await;
}
