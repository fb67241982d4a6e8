//! What the provider did, as metrics.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sluice_azure::Meter;

/// Bounds of the histogram, in seconds: recorded updates took 30 s to 198 s, 71 s in the median (facts of 39 updates).
const SECONDS: [f64; 10] = [1.0, 10.0, 30.0, 50.0, 70.0, 90.0, 120.0, 200.0, 300.0, 600.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    verb: &'static str,
    class: &'static str,
}

/// The series.
#[derive(Clone)]
pub(super) struct AzureMetrics {
    requests: Family<Answered, Counter>,
    throttled: Counter,
    in_flight: Gauge,
    updates: Histogram,
}

impl AzureMetrics {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            throttled: Counter::default(),
            in_flight: Gauge::default(),
            updates: Histogram::new(SECONDS),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let azure = registry.sub_registry_with_prefix("sluice_azure");
        azure.register(
            "requests",
            "Requests to Azure Resource Manager, by verb (POLL: of an operation) and class of the answer",
            self.requests.clone(),
        );
        azure.register("throttled", "Answers 429 of Azure Resource Manager", self.throttled.clone());
        azure.register("updates_in_flight", "Updates of interfaces under way", self.in_flight.clone());
        azure.register_with_unit(
            "update",
            "From the request for an update of an interface to its end",
            Unit::Seconds,
            self.updates.clone(),
        );
    }

    /// Takes over what the provider has counted so far.
    pub(super) fn take(&self, meter: &Meter) {
        for requests in meter.requests() {
            let labels = Answered { verb: requests.verb, class: requests.class };
            self.requests.get_or_create(&labels).inner().store(requests.count, Ordering::Relaxed);
        }
        self.throttled.inner().store(meter.throttled(), Ordering::Relaxed);
        self.in_flight.set(i64::try_from(meter.in_flight()).unwrap_or(i64::MAX));
        for took in meter.take_updates() {
            self.updates.observe(took.as_secs_f64());
        }
    }
}
