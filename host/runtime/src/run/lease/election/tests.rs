use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The one lease there is, kept as an API server keeps it.
#[derive(Default)]
struct Server {
    lease: Option<Lease>,
    version: u64,
}

impl Server {
    fn store(&mut self, spec: LeaseSpec) -> Lease {
        self.version += 1;
        let metadata = ObjectMeta { resource_version: Some(self.version.to_string()), ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(spec) };
        self.lease = Some(lease.clone());
        lease
    }

    /// The lease that another client would make, whatever it thinks the time is.
    fn renewed_by(&mut self, holder: &str, seconds: i32, clock: Timestamp) {
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(seconds),
            renew_time: Some(MicroTime(clock)),
            ..LeaseSpec::default()
        };
        self.store(spec);
    }

    /// Carries out a step; none: refused, for somebody was faster.
    fn carry_out(&mut self, step: Step) -> Option<Lease> {
        match step {
            Step::Wait => None,
            Step::Create(spec) => self.lease.is_none().then(|| self.store(spec)),
            Step::Patch(patch) => {
                let lease = self.lease.clone()?;
                if patch["metadata"]["resourceVersion"] != json!(lease.metadata.resource_version) {
                    return None;
                }
                let mut spec = json!(lease.spec);
                for (field, value) in patch["spec"].as_object().unwrap() {
                    spec[field] = value.clone();
                }
                Some(self.store(serde_json::from_value(spec).unwrap()))
            }
        }
    }

    fn holder(&self) -> Option<String> {
        self.lease.as_ref()?.spec.as_ref()?.holder_identity.clone()
    }
}

fn clock(hours: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + hours * 3_600).unwrap()
}

/// Looks, and does what is to be done. Whether it leads then.
fn turn(election: &mut Election, server: &mut Server, now: Instant) -> bool {
    election.look(server.lease.clone(), now);
    if let Some(answer) = server.carry_out(election.next(now, clock(i64::try_from(server.version).unwrap()))) {
        election.written(answer, now);
    }
    leads(election, now)
}

fn leads(election: &Election, now: Instant) -> bool {
    election.leads_until().is_some_and(|until| now < until)
}

fn candidate(name: &str) -> Election {
    Election::new(name.to_owned())
}

#[test]
fn one_of_two_leads_and_the_other_waits_for_as_long_as_it_is_renewed() {
    let (mut server, mut now) = (Server::default(), Instant::now());
    let (mut a, mut b) = (candidate("a"), candidate("b"));
    for _ in 0..100 {
        assert_eq!((turn(&mut a, &mut server, now), turn(&mut b, &mut server, now)), (true, false));
        now += 2 * SECOND;
    }
}

#[test]
fn a_clock_that_is_wrong_by_hours_takes_no_lease_and_keeps_none() {
    for hours in [-5, 5] {
        let (mut server, start) = (Server::default(), Instant::now());
        let mut own = candidate("own");
        // As long as it is renewed, whatever it says of the time.
        for second in 0..120 {
            server.renewed_by("other", 15, clock(hours));
            let spec = server.lease.as_mut().unwrap().spec.as_mut().unwrap();
            spec.lease_transitions = Some(second);
            assert!(!turn(&mut own, &mut server, start + u32::try_from(second).unwrap() * SECOND), "{hours} h");
        }
        // Once it is renewed no more, exactly its duration after it was seen to change last.
        let last = start + 119 * SECOND;
        assert!(!turn(&mut own, &mut server, last + DURATION - SECOND), "{hours} h");
        assert!(turn(&mut own, &mut server, last + DURATION), "{hours} h");
    }
}

#[test]
fn a_lease_that_was_long_dead_when_it_was_found_is_waited_for_once() {
    let (mut server, start) = (Server::default(), Instant::now());
    server.renewed_by("dead", 15, clock(-1000));
    let mut own = candidate("own");
    assert!(!turn(&mut own, &mut server, start));
    assert!(!turn(&mut own, &mut server, start + DURATION - SECOND));
    assert!(turn(&mut own, &mut server, start + DURATION));
}

#[test]
fn a_touched_label_is_no_renewal() {
    let (mut server, start) = (Server::default(), Instant::now());
    server.renewed_by("dead", 15, clock(0));
    let mut own = candidate("own");
    for second in 0..15 {
        let spec = server.lease.clone().unwrap().spec.unwrap();
        server.store(spec);
        assert!(!turn(&mut own, &mut server, start + second * SECOND));
    }
    assert!(turn(&mut own, &mut server, start + DURATION));
}

#[test]
fn what_somebody_claims_of_a_duration_is_bounded_both_ways() {
    for (claimed, waited) in [(1, 15), (-7, 15), (0, 15), (30, 30), (i32::MAX, 60)] {
        let (mut server, start) = (Server::default(), Instant::now());
        server.renewed_by("other", claimed, clock(0));
        let mut own = candidate("own");
        assert!(!turn(&mut own, &mut server, start));
        assert!(!turn(&mut own, &mut server, start + waited * SECOND - Duration::from_millis(1)), "{claimed}");
        assert!(turn(&mut own, &mut server, start + waited * SECOND), "{claimed}");
    }
}

#[test]
fn leading_ends_before_the_lease_and_counts_from_when_the_renewal_was_sent() {
    let (mut server, sent) = (Server::default(), Instant::now());
    let (mut own, mut other) = (candidate("own"), candidate("other"));
    own.look(None, sent);
    // The answer takes 4 s. Nobody can have seen the lease before it was sent.
    let answer = server.carry_out(own.next(sent, clock(0))).unwrap();
    own.written(answer, sent);
    other.look(server.lease.clone(), sent);
    let last = sent + RENEW_DEADLINE;
    assert!(leads(&own, last - SECOND) && !leads(&own, last));
    assert!(!turn(&mut other, &mut server, last), "there is time between one leader and the next");
    assert!(turn(&mut other, &mut server, sent + DURATION));
}

#[test]
fn a_lease_that_was_taken_or_deleted_ends_leading_at_once() {
    let (mut server, now) = (Server::default(), Instant::now());
    let mut own = candidate("own");
    assert!(turn(&mut own, &mut server, now));
    server.renewed_by("thief", 15, clock(0));
    // Its next renewal is refused, and then it looks.
    assert_eq!(server.carry_out(own.next(now, clock(0))), None);
    own.look(server.lease.clone(), now);
    assert_eq!((own.leads_until(), own.next(now, clock(0)), own.release()), (None, Step::Wait, None));

    let mut server = Server::default();
    let mut own = candidate("own");
    assert!(turn(&mut own, &mut server, now));
    server.lease = None;
    own.look(None, now);
    assert_eq!(own.leads_until(), None, "anybody may create it now");
    assert!(turn(&mut own, &mut server, now), "and so may we");
}

#[test]
fn of_two_that_find_it_free_at_the_same_time_one_gets_it() {
    let now = Instant::now();
    let released = LeaseSpec { lease_transitions: Some(4), ..LeaseSpec::default() };
    for spec in [None, Some(released)] {
        let mut server = Server::default();
        spec.map(|spec| server.store(spec));
        let (mut a, mut b) = (candidate("a"), candidate("b"));
        a.look(server.lease.clone(), now);
        b.look(server.lease.clone(), now);
        let (first, second) = (a.next(now, clock(0)), b.next(now, clock(0)));
        let answer = server.carry_out(first).unwrap();
        a.written(answer, now);
        assert_eq!(server.carry_out(second), None);
        b.look(server.lease.clone(), now);
        assert!(leads(&a, now) && !leads(&b, now));
        assert_eq!(server.holder().as_deref(), Some("a"));
    }
}

#[test]
fn every_write_has_the_version_it_is_based_on_and_a_renewal_changes_no_more_than_it_must() {
    let (mut server, now) = (Server::default(), Instant::now());
    let mut own = candidate("own");
    assert!(turn(&mut own, &mut server, now));
    let Step::Patch(renewal) = own.next(now, clock(1)) else { panic!("it is ours") };
    let spec =
        json!({ "holderIdentity": "own", "leaseDurationSeconds": 15, "renewTime": "2023-11-14T23:13:20.000000Z" });
    assert_eq!(renewal, json!({ "metadata": { "resourceVersion": "1" }, "spec": spec }));
    let release = json!({ "metadata": { "resourceVersion": "1" }, "spec": { "holderIdentity": null } });
    assert_eq!(own.release(), Some(release));
}

#[test]
fn a_released_lease_is_taken_at_once_and_one_of_our_own_name_too() {
    let (mut server, now) = (Server::default(), Instant::now());
    let mut first = candidate("a");
    assert!(turn(&mut first, &mut server, now));
    // The container was killed and started again.
    assert!(turn(&mut candidate("a"), &mut server, now));
    first.look(server.lease.clone(), now);
    let released = server.carry_out(Step::Patch(first.release().unwrap()));
    assert_eq!(released.unwrap().spec.unwrap().holder_identity, None);
    assert!(turn(&mut candidate("b"), &mut server, now));
    assert_eq!(server.lease.unwrap().spec.unwrap().lease_transitions, Some(1));
}
