//! OpenTelemetry traces, sent over OTLP where an endpoint is configured.

use std::time::Duration;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderMap, HeaderValue};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Instrument as _, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;
use watchword_core::TRACE;

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

    /// The layer that turns spans of [`TRACE`] into traces. Everything else stays out: log lines,
    /// which name masked recipients and addresses, and what libraries say, for which nobody here
    /// vouches.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("watchword"))
            .with_location(false)
            .with_threads(false)
            .with_filter(Targets::new().with_target(TRACE, LevelFilter::INFO))
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
            target: TRACE,
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

/// What a caller says of its trace: where it is, and nothing else. A `tracestate` may hold any
/// text, and would go to the collector with every span.
struct Headers<'a>(&'a HeaderMap);

const TRACEPARENT: &str = "traceparent";

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        if key != TRACEPARENT {
            return None;
        }
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// The `traceparent` of what is sent out in the current span; none outside of a trace.
pub(crate) fn trace_context() -> Option<HeaderValue> {
    let context = Span::current().context();
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        return None;
    }
    let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags());
    // W3C Trace Context, version 00: 16 and 8 bytes and the flags, in lower-case hex.
    let text = format!("00-{trace}-{id}-{:02x}", flags.to_u8() & 1);
    HeaderValue::try_from(text).ok()
}
