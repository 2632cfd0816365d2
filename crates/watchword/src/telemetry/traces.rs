//! OpenTelemetry traces, sent over OTLP where an endpoint is configured.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Instrument as _, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

use crate::config::Fault;

/// How long the last spans may take to leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where spans go.
pub(crate) struct Traces(SdkTracerProvider);

impl Traces {
    /// Sends spans to an OTLP endpoint over HTTP: `{endpoint}/v1/traces`.
    pub(super) fn start(endpoint: &str) -> Result<Self, Fault> {
        let endpoint = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(Duration::from_secs(10))
            .build()
            .map_err(|error| {
                Fault::at(
                    "telemetry.otlp_endpoint",
                    format!("cannot be used: {error}"),
                )
            })?;
        let resource = Resource::builder().with_service_name("watchword").build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_batch_exporter(exporter)
            .build();
        Ok(Self(provider))
    }

    /// The layer that turns this program's spans into traces. Libraries' spans stay out: nobody
    /// here vouches for what is in them.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("watchword"))
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_target("watchword", LevelFilter::INFO))
    }

    pub(super) fn finish(self) {
        if let Err(error) = self.0.shutdown_with_timeout(FAREWELL) {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Gives each request a span that continues the caller's trace (W3C Trace Context).
pub(crate) struct TraceRequests;

impl TraceRequests {
    /// To be put around a router's routes, so that the route is known.
    pub(crate) async fn around(request: Request, next: Next) -> Response {
        let route = request.extensions().get::<MatchedPath>();
        let route = route.map_or("unmatched", MatchedPath::as_str);
        let span = tracing::info_span!(
            "request",
            otel.name = format!("{} {route}", request.method()),
            otel.kind = "server",
            otel.status_code = tracing::field::Empty,
            http.request.method = %request.method(),
            http.route = route,
            http.response.status_code = tracing::field::Empty,
        );
        let parent = TraceContextPropagator::new().extract(&Headers(request.headers()));
        // It fails only where no layer of traces is, and then there is nothing to continue.
        let _ = span.set_parent(parent);
        let response = next.run(request).instrument(span.clone()).await;
        span.record("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        response
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
