//! Hand-overs to providers, counted, and how each provider is doing, as metrics and as a report.
//!
//! **Invariant:** what is said of a failure is a class and a number, never a provider's words.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use watchword_core::Channel;
use watchword_core::routing::{BreakerState, Class};
use watchword_providers::{Courier, HandOver, Observer, ProviderHealth};

use super::latencies::Latencies;

/// Seconds. An inbox takes microseconds, a mail server seconds.
const BUCKETS: [f64; 9] = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

type Durations = Latencies<{ BUCKETS.len() }>;
type OutcomeLabels = [(&'static str, String); 3];
type ProviderLabels = [(&'static str, String); 1];

/// Counts hand-overs.
pub(crate) struct CountedDeliveries {
    outcomes: Family<OutcomeLabels, Counter>,
    /// Of all there are, so that a hand-over looks up one short text.
    providers: BTreeMap<String, Handles>,
}

/// The counters of one provider by channel and outcome, each made when it is first needed, and its
/// latencies.
struct Handles {
    outcomes: [[OnceLock<Counter>; Class::NAMES.len()]; Channel::ALL.len()],
    duration: Durations,
}

impl CountedDeliveries {
    /// Adds the metrics. `providers` names all there are.
    pub(crate) fn new<'a>(
        registry: &mut Registry,
        providers: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let outcomes = Family::<OutcomeLabels, Counter>::default();
        registry.register(
            "deliveries",
            "Messages handed to providers",
            outcomes.clone(),
        );
        let latencies: fn() -> Durations = || Latencies::new(BUCKETS);
        let durations = Family::<ProviderLabels, Durations, _>::new_with_constructor(latencies);
        registry.register(
            "delivery_duration_seconds",
            "How long a provider took to answer",
            durations.clone(),
        );
        let providers = providers.into_iter().map(|name| {
            let handles = Handles {
                outcomes: Default::default(),
                duration: durations.get_or_create_owned(&[("provider", name.clone())]),
            };
            (name.clone(), handles)
        });
        Self {
            providers: providers.collect(),
            outcomes,
        }
    }

    /// Adds the state of each provider of `courier`.
    pub(crate) fn watch(registry: &mut Registry, courier: Arc<Courier>) {
        registry.register_collector(Box::new(Standing(courier)));
    }

    fn outcome(&self, hand_over: &HandOver<'_>) -> Counter {
        self.outcomes.get_or_create_owned(&[
            ("provider", hand_over.provider.to_owned()),
            ("channel", hand_over.channel.as_str().to_owned()),
            ("outcome", hand_over.class.to_owned()),
        ])
    }
}

impl Observer for CountedDeliveries {
    fn handed_over(&self, hand_over: &HandOver<'_>) {
        // The courier has no other providers, and outcomes no other classes.
        let class = Class::NAMES
            .iter()
            .position(|name| *name == hand_over.class);
        let (Some(handles), Some(class)) = (self.providers.get(hand_over.provider), class) else {
            return;
        };
        handles.outcomes[hand_over.channel as usize][class]
            .get_or_init(|| self.outcome(hand_over))
            .inc();
        handles.duration.observe(hand_over.took);
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
        let help = "1 for the state that a provider is in, 0 for the others";
        let mut metric = encoder.encode_descriptor("provider_state", help, None, kind)?;
        for health in &providers {
            for state in STATES {
                let labels = [("provider", health.name.as_str()), ("state", state)];
                let gauge = ConstGauge::new(i64::from(state_of(health) == state));
                gauge.encode(metric.encode_family(&labels)?)?;
            }
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

/// What a provider can be.
const STATES: [&str; 4] = ["available", "held", "open", "half-open"];

const fn state_of(health: &ProviderHealth) -> &'static str {
    match health.breaker {
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Closed if health.held_for.is_some() => "held",
        BreakerState::Closed => "available",
    }
}

fn standing(health: &ProviderHealth) -> Value {
    let retry_in = match health.breaker {
        BreakerState::Open { retry_in } => Some(retry_in),
        BreakerState::HalfOpen | BreakerState::Closed => None,
    };
    let channels: Vec<&str> = health.channels.iter().map(|on| on.as_str()).collect();
    let mut report = json!({
        "name": health.name,
        "kind": health.kind,
        "channels": channels,
        "state": state_of(health),
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
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_hand_over_is_counted_under_its_provider_channel_and_outcome() {
        let mut registry = Registry::default();
        let names = ["meta", "twilio"].map(str::to_owned);
        let counted = CountedDeliveries::new(&mut registry, &names);
        for (provider, channel, class) in [
            ("meta", Channel::Whatsapp, "accepted"),
            ("meta", Channel::Whatsapp, "accepted"),
            ("twilio", Channel::Sms, "invalid_recipient"),
        ] {
            counted.handed_over(&HandOver {
                provider,
                channel,
                class,
                took: Duration::from_millis(20),
            });
        }
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        for line in [
            r#"deliveries_total{provider="meta",channel="whatsapp",outcome="accepted"} 2"#,
            r#"deliveries_total{provider="twilio",channel="sms",outcome="invalid_recipient"} 1"#,
            r#"delivery_duration_seconds_count{provider="meta"} 2"#,
            r#"delivery_duration_seconds_bucket{le="0.05",provider="twilio"} 1"#,
        ] {
            assert!(
                page.lines().any(|one| one == line),
                "{line} is not in {page}"
            );
        }
    }

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
