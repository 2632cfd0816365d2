//! Hand-overs to providers, counted, and how each provider is doing.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use watchword_core::routing::BreakerState;
use watchword_providers::{Courier, HandOver, Observer};

/// Seconds. An inbox takes microseconds, a mail server seconds.
const BUCKETS: [f64; 9] = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

type OutcomeLabels = [(&'static str, String); 3];
type ProviderLabels = [(&'static str, String); 1];

/// Counts hand-overs.
pub(crate) struct CountedDeliveries {
    outcomes: Family<OutcomeLabels, Counter>,
    durations: Family<ProviderLabels, Histogram, fn() -> Histogram>,
}

impl CountedDeliveries {
    /// Adds the metrics.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        registry.register(
            "deliveries",
            "Messages handed to providers",
            outcomes.clone(),
        );
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        registry.register(
            "delivery_duration_seconds",
            "How long a provider took to answer",
            durations.clone(),
        );
        Self {
            outcomes,
            durations,
        }
    }

    /// Adds the state of each provider of `courier`.
    pub(crate) fn watch(registry: &mut Registry, courier: Arc<Courier>) {
        registry.register_collector(Box::new(Breakers(courier)));
    }
}

impl Observer for CountedDeliveries {
    fn handed_over(&self, hand_over: &HandOver<'_>) {
        let provider = hand_over.provider.to_owned();
        let labels = [
            ("provider", provider.clone()),
            ("channel", hand_over.channel.as_str().to_owned()),
            ("outcome", hand_over.class.to_owned()),
        ];
        self.outcomes.get_or_create(&labels).inc();
        let durations = self.durations.get_or_create(&[("provider", provider)]);
        durations.observe(hand_over.took.as_secs_f64());
    }
}

struct Breakers(Arc<Courier>);

impl fmt::Debug for Breakers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Breakers")
    }
}

impl Collector for Breakers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "1 while a provider is asked, 0 while its breaker is open";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut metric: MetricEncoder<'_> =
            encoder.encode_descriptor("provider_available", help, None, kind)?;
        for health in self.0.health() {
            let open = matches!(health.breaker, BreakerState::Open { .. });
            let labels = [("provider", health.name)];
            let gauge = ConstGauge::new(i64::from(!open));
            gauge.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
