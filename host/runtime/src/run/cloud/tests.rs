//! What the operator asks of a cloud: of one that it has never heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sluice_core::name::NodeName;
use sluice_core::observed::NodeFacts;
use tokio::time::timeout;

use super::*;

/// Longest to wait for what has to come.
const SOON: Duration = Duration::from_secs(10);

/// A cloud that notes what is asked of it. All clones are one.
#[derive(Clone)]
struct Fake {
    name: &'static str,
    writes: bool,
    asked: watch::Sender<Vec<String>>,
    facts: watch::Sender<Option<Arc<CloudFacts>>>,
}

impl Fake {
    fn new(name: &'static str, writes: bool) -> Self {
        Self { name, writes, asked: watch::Sender::default(), facts: watch::Sender::default() }
    }

    fn note(&self, asked: String) {
        self.asked.send_modify(|all| all.push(asked));
    }

    /// What was asked since this was last called.
    fn take(&self) -> Vec<String> {
        let mut taken = Vec::new();
        self.asked.send_modify(|all| taken = std::mem::take(all));
        taken
    }
}

impl CloudSetup for Fake {
    fn name(&self) -> &'static str {
        self.name
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(self.name, "What the fake does", prometheus_client::metrics::gauge::Gauge::<i64>::default());
    }

    fn writes(&self, _: &Observed) -> bool {
        self.writes
    }

    fn connect<'a>(&'a self, platform: &'a CloudPlatform) -> BoxFuture<'a, Result<Arc<dyn CloudProvider>, String>> {
        self.note(format!("connect {:?}", platform.settings));
        let provider: Arc<dyn CloudProvider> = Arc::new(self.clone());
        std::future::ready(Ok(provider)).boxed()
    }
}

impl CloudProvider for Fake {
    fn run(&self, _: Client, namespace: Option<String>, stop: CancellationToken) -> BoxFuture<'_, ()> {
        self.note(format!("run in {namespace:?}"));
        stop.cancelled_owned().boxed()
    }

    fn facts(&self) -> Option<Arc<CloudFacts>> {
        self.facts.borrow().clone()
    }

    fn obstacle(&self) -> Option<String> {
        Some("the fake is closed".to_owned())
    }

    fn watch(&self) -> watch::Receiver<Option<Arc<CloudFacts>>> {
        self.facts.subscribe()
    }

    fn set_cluster(&self, observed: &Observed, writes: bool) {
        self.note(format!(
            "nodes {:?}, writes {writes}",
            observed.nodes.keys().map(ToString::to_string).collect::<Vec<_>>()
        ));
    }

    fn set_may_write(&self, may_write: bool) {
        self.note(format!("may write {may_write}"));
    }

    fn submit(&self, node: &NodeName, on: &BTreeSet<IpAddr>, off: &BTreeSet<IpAddr>) -> Result<(), String> {
        self.note(format!("{node} on {on:?} off {off:?}"));
        if off.is_empty() { Ok(()) } else { Err("the fake gives nothing back".to_owned()) }
    }

    fn count(&self) {
        self.note("count".to_owned());
    }
}

fn cloud_of(fakes: &[&Fake]) -> Arc<Cloud> {
    Arc::new(Cloud::new(fakes.iter().map(|&fake| -> Arc<dyn CloudSetup> { Arc::new(fake.clone()) }).collect()))
}

/// A cluster with one node.
fn on(cloud: &str) -> Observed {
    let settings = BTreeMap::from([("region".to_owned(), "north".to_owned())]);
    let nodes = BTreeMap::from([(NodeName::from("n1"), Arc::new(NodeFacts::default()))]);
    Observed {
        platform: Platform::Cloud(CloudPlatform { name: cloud.to_owned(), settings }),
        nodes,
        ..Observed::default()
    }
}

#[tokio::test]
async fn a_second_cloud_is_one_more_in_the_list() {
    let (near, far) = (Fake::new("Near", true), Fake::new("Far", true));
    let cloud = cloud_of(&[&near, &far]);
    let mut registry = Registry::default();
    cloud.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    assert!(page.contains("Near 0") && page.contains("Far 0"), "{page}");

    let client = Client::try_from(kube::Config::new("http://127.0.0.1:9".parse().unwrap())).unwrap();
    let index = Arc::new(SharedIndex::new(|| 0));
    let (term, leads) = watch::channel(Term::for_ever());
    let namespace = Some("sluice".to_owned());
    let needs = Needs { client: client.clone(), index: Arc::clone(&index), namespace, leads };
    let (mut bell, stop) = (cloud.subscribe(), CancellationToken::new());
    let running = tokio::spawn(Arc::clone(&cloud).run(needs, stop.clone()));
    let mut observed = on("Far");
    cloud.count();
    cloud.stand_by();
    cloud.show(&mut observed, true);
    assert!(observed.awaits_cloud(), "nothing is known to be in the way");
    assert_eq!(far.take(), [""; 0], "nothing before the cluster has said where it is");
    timeout(SOON, bell.changed()).await.unwrap().unwrap();
    assert_eq!(far.take(), [r#"connect {"region": "north"}"#, r#"run in Some("sluice")"#]);

    let mut observed = on("Far");
    cloud.show(&mut observed, true);
    assert_eq!(far.take(), [r#"nodes ["n1"], writes true"#, "may write true"]);
    assert_eq!(observed.cloud_obstacle.as_deref(), Some("the fake is closed"));
    far.facts.send_replace(Some(Arc::new(CloudFacts { writes: true, ..CloudFacts::default() })));
    timeout(SOON, bell.changed()).await.unwrap().unwrap();
    let mut observed = on("Far");
    cloud.show(&mut observed, false);
    assert_eq!((observed.cloud.as_deref(), observed.cloud_obstacle), (far.facts().as_deref(), None));
    assert_eq!(far.take(), [r#"nodes ["n1"], writes true"#, "may write false"]);

    let writer = Writer { server: ApiServer::new(client, index), cloud: Arc::clone(&cloud) };
    let address = || BTreeSet::from([IpAddr::from([10, 20, 0, 9])]);
    let write = |on, off| Write {
        target: Target::Interface("n1".into()),
        change: Change::Interface { on, off },
        after: Vec::new(),
        after_any: Vec::new(),
    };
    let written = writer.write(&write(address(), BTreeSet::new()), "7").await;
    assert_eq!(written, Ok(Written { resource_version: "7".to_owned() }));
    let refused = writer.write(&write(BTreeSet::new(), address()), "7").await;
    assert_eq!(refused, Err(WriteFailure::Transient("the fake gives nothing back".to_owned())));
    cloud.count();
    assert_eq!(far.take(), ["n1 on {10.20.0.9} off {}", "n1 on {} off {10.20.0.9}", "count"]);

    term.send_replace(Term::default());
    let stands_by = |asked: &Vec<String>| asked.iter().any(|one| one == "may write false");
    timeout(SOON, far.asked.subscribe().wait_for(stands_by)).await.expect("who leads no more writes no more").unwrap();
    stop.cancel();
    timeout(SOON, running).await.unwrap().unwrap().unwrap();
    assert_eq!(near.take(), [""; 0], "the other one is left alone");
}

#[test]
fn who_does_not_write_interfaces_plans_without_a_provider() {
    let cloud = cloud_of(&[&Fake::new("Near", false)]);
    let mut observed = on("Near");
    cloud.show(&mut observed, true);
    assert_eq!((observed.cloud, observed.cloud_obstacle), (Some(Arc::default()), None));
}

#[test]
fn a_cloud_that_is_not_in_the_list_is_told() {
    let cloud = cloud_of(&[&Fake::new("Near", true)]);
    let mut observed = on("Far");
    cloud.show(&mut observed, true);
    let told = "the interfaces of Far are not known: this version has no provider for it; addresses are planned, \
                nothing is written";
    assert_eq!(observed.refusal().as_deref(), Some(told));
}
