//! Hand-overs to providers, counted, and how each provider is doing, as metrics and as a report.
//!
//! **Invariant:** what is said of a failure is a class and a number, never a provider's words.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use watchword_core::routing::BreakerState;
use watchword_providers::{Courier, HandOver, Observer, ProviderHealth};

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
        registry.register_collector(Box::new(Standing(courier)));
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

struct Standing(Arc<Courier>);

impl fmt::Debug for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Standing")
    }
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let providers = self.0.health();
        let help = "1 while a provider is asked, 0 while its breaker is open";
        let kind = ConstGauge::new(0_i64).metric_type();
        let mut metric: MetricEncoder<'_> =
            encoder.encode_descriptor("provider_available", help, None, kind)?;
        for health in &providers {
            let open = matches!(health.breaker, BreakerState::Open { .. });
            let labels = [("provider", health.name.as_str())];
            let gauge = ConstGauge::new(i64::from(!open));
            gauge.encode(metric.encode_family(&labels)?)?;
        }
        let help = "How long a provider asked to be left alone yet";
        let mut metric = encoder.encode_descriptor("provider_held_seconds", help, None, kind)?;
        for health in &providers {
            let labels = [("provider", health.name.as_str())];
            let gauge = ConstGauge::new(health.held_for.unwrap_or_default().as_secs_f64());
            gauge.encode(metric.encode_family(&labels)?)?;
        }
        let help = "1 for what counts against a provider since it last answered";
        let mut metric = encoder.encode_descriptor("provider_failure", help, None, kind)?;
        for health in &providers {
            let Some(failure) = &health.failure else {
                continue;
            };
            // Without the number: there are a few classes, and any number of numbers.
            let class = failure
                .split_once(':')
                .map_or(failure.as_str(), |(class, _)| class);
            let labels = [("provider", health.name.as_str()), ("class", class)];
            let gauge = ConstGauge::new(1_i64);
            gauge.encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// How each provider is doing, as JSON for whoever runs the server.
pub(crate) fn provider_report(providers: &[ProviderHealth]) -> String {
    let all: Vec<Value> = providers.iter().map(standing).collect();
    json!({ "providers": all }).to_string()
}

fn standing(health: &ProviderHealth) -> Value {
    let (state, retry_in) = match health.breaker {
        BreakerState::Open { retry_in } => ("open", Some(retry_in)),
        BreakerState::HalfOpen => ("half-open", None),
        BreakerState::Closed if health.held_for.is_some() => ("held", None),
        BreakerState::Closed => ("available", None),
    };
    let channels: Vec<&str> = health.channels.iter().map(|on| on.as_str()).collect();
    let mut report = json!({
        "name": health.name,
        "kind": health.kind,
        "channels": channels,
        "state": state,
    });
    if let Some(retry_in) = retry_in {
        report["retry_in"] = json!(whole_seconds(retry_in));
    }
    if let Some(held_for) = health.held_for {
        report["held_for"] = json!(whole_seconds(held_for));
    }
    if let Some(failure) = &health.failure {
        report["failure"] = json!(failure);
    }
    report
}

/// Rounded up: nobody who waits that long comes too early.
fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use watchword_core::Channel;

    use super::*;

    #[test]
    fn a_report_says_of_each_provider_whether_it_is_asked_and_if_not_why_and_until_when() {
        let health = |breaker, held_for, failure: Option<&str>| ProviderHealth {
            name: "meta".to_owned(),
            kind: "meta-whatsapp",
            channels: vec![Channel::Whatsapp],
            breaker,
            held_for,
            failure: failure.map(str::to_owned),
        };
        let span = Duration::from_millis(29_001);
        let open = BreakerState::Open { retry_in: span };
        let all = [
            health(BreakerState::Closed, None, None),
            health(open, None, Some("misconfigured: 190")),
            health(BreakerState::HalfOpen, None, Some("unavailable: HTTP 503")),
            health(BreakerState::Closed, Some(span), Some("throttled: 130429")),
        ];
        let report: Value = serde_json::from_str(&provider_report(&all)).unwrap();
        let about = |more: Value| {
            let mut one =
                json!({"name": "meta", "kind": "meta-whatsapp", "channels": ["whatsapp"]});
            for (key, value) in more.as_object().unwrap() {
                one[key] = value.clone();
            }
            one
        };
        let expected = [
            json!({"state": "available"}),
            json!({"state": "open", "retry_in": 30, "failure": "misconfigured: 190"}),
            json!({"state": "half-open", "failure": "unavailable: HTTP 503"}),
            json!({"state": "held", "held_for": 30, "failure": "throttled: 130429"}),
        ];
        assert_eq!(report, json!({"providers": expected.map(about)}));
    }
}
