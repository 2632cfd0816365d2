//! Requests and connections, counted and logged as the serve layer reports them.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use watchword_http::serve::{ConnectionEvent, Finished, Observer, Stall};
use watchword_http::{Area, Cause, RouteEntry, TurnedAway};

use super::latencies::Latencies;
use crate::config::Log;

/// Seconds. A check takes a millisecond, a start as long as its provider.
const BUCKETS: [f64; 12] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0,
];

type Durations = Latencies<{ BUCKETS.len() }>;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Names a route in a label when none matched.
const UNMATCHED: &str = "unmatched";

type RequestLabels = [(&'static str, String); 4];
type RouteLabels = [(&'static str, String); 2];

/// The metrics of requests and connections, of all listeners.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    counters: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Durations, fn() -> Durations>,
    connections: Arc<Connections>,
}

/// Counts and logs the requests of one listener: another one may have another surface at the same path.
pub(crate) struct Requests {
    metrics: RequestMetrics,
    /// The handles of every route, so that a request looks up one short text.
    routes: HashMap<String, PathHandles>,
    unmatched: RouteHandles,
    /// Whether every request is logged.
    access: bool,
    slow: Duration,
}

/// What answers at a path: a page of dev mode to be read, and a surface to be posted to.
struct PathHandles {
    first: RouteHandles,
    /// Other areas than that of the first, by method.
    others: Vec<(Method, RouteHandles)>,
}

/// The counters of one route by method and class of status, and its latencies.
struct RouteHandles {
    counters: [[OnceLock<Counter>; 5]; METHODS.len()],
    duration: OnceLock<Durations>,
    labels: RouteLabels,
}

const METHODS: [&str; 8] = [
    "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "other",
];

fn method_index(method: &Method) -> usize {
    let known = METHODS.iter().position(|name| *name == method.as_str());
    known.unwrap_or(METHODS.len() - 1)
}

impl RequestMetrics {
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let counters = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "Requests answered", counters.clone());
        let histogram: fn() -> Durations = || Latencies::new(BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        registry.register(
            "http_request_duration_seconds",
            "From the head of the request to the end of the response",
            durations.clone(),
        );
        Self {
            counters,
            durations,
            connections: Arc::new(Connections::new(registry)),
        }
    }

    /// What counts the requests of a listener with these routes.
    pub(crate) fn listener(
        &self,
        log: &Log,
        routes: impl IntoIterator<Item = RouteEntry>,
    ) -> Requests {
        let mut paths: HashMap<String, PathHandles> = HashMap::new();
        for RouteEntry { method, path, area } in routes {
            let handles = RouteHandles::new(area_name(area), &path);
            match paths.get_mut(&path) {
                Some(known) if known.first.labels == handles.labels => {}
                Some(known) => known.others.push((method, handles)),
                None => {
                    let others = Vec::new();
                    let first = handles;
                    paths.insert(path, PathHandles { first, others });
                }
            }
        }
        Requests {
            metrics: self.clone(),
            routes: paths,
            unmatched: RouteHandles::new(UNMATCHED, UNMATCHED),
            access: log.access,
            slow: log.slow,
        }
    }
}

impl Requests {
    fn handles(&self, route: Option<&str>, method: &Method) -> &RouteHandles {
        let Some(path) = route.and_then(|route| self.routes.get(route)) else {
            return &self.unmatched;
        };
        // Whoever answers a GET answers the HEAD.
        let method = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        let mut others = path.others.iter();
        let other = others.find(|(of, _)| of == method);
        other.map_or(&path.first, |(_, handles)| handles)
    }

    fn log(&self, exchange: &Finished<'_>) {
        let status = exchange.status.as_u16();
        let turned_away = exchange.extensions.get::<TurnedAway>().is_some();
        let failed = exchange.status.is_server_error() && !turned_away;
        let slow = exchange.duration >= self.slow;
        if !(self.access || failed || slow) {
            return;
        }
        let route = exchange.route.unwrap_or(UNMATCHED);
        let method = METHODS[method_index(exchange.method)];
        let millis = u64::try_from(exchange.duration.as_millis()).unwrap_or(u64::MAX);
        let cause = exchange.extensions.get::<Cause>().map(ToString::to_string);
        let (id, client, bytes) = (exchange.request_id, exchange.client, exchange.body_bytes);
        macro_rules! record {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    target: "watchword::access",
                    request_id = %id, %client, method, route, status, millis, bytes,
                    complete = exchange.complete, cause, $message
                )
            };
        }
        match (failed, slow) {
            (true, _) => record!(error, "request failed"),
            (false, true) => record!(warn, "request was slow"),
            (false, false) => record!(info, "request"),
        }
    }
}

impl RouteHandles {
    fn new(surface: &str, route: &str) -> Self {
        Self {
            counters: Default::default(),
            duration: OnceLock::new(),
            labels: [("surface", surface.to_owned()), ("route", route.to_owned())],
        }
    }

    /// The counter of one method and class, made when it is first needed.
    fn counter(
        &self,
        family: &Family<RequestLabels, Counter>,
        method: usize,
        class: usize,
    ) -> &Counter {
        self.counters[method][class].get_or_init(|| {
            let [surface, route] = self.labels.clone();
            let method = ("method", METHODS[method].to_owned());
            family.get_or_create_owned(&[
                surface,
                route,
                method,
                ("status", CLASSES[class].to_owned()),
            ])
        })
    }
}

/// What a metric calls an area.
pub(crate) const fn area_name(area: Area) -> &'static str {
    match area {
        Area::Surface(surface) => surface.as_str(),
        Area::WellKnown => "well_known",
        Area::Callbacks => "callbacks",
        Area::Docs => "docs",
        Area::Dev => "dev",
        Area::Admin => "admin",
    }
}

impl Observer for Requests {
    fn finished(&self, exchange: &Finished<'_>) {
        let handles = self.handles(exchange.route, exchange.method);
        let class = usize::from(exchange.status.as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        handles
            .counter(&self.metrics.counters, method_index(exchange.method), class)
            .inc();
        let duration = handles
            .duration
            .get_or_init(|| self.metrics.durations.get_or_create_owned(&handles.labels));
        duration.observe(exchange.duration);
        self.log(exchange);
    }

    fn connection(&self, event: ConnectionEvent) {
        self.metrics.connections.note(event);
    }
}

/// What happens to connections.
struct Connections {
    open: Gauge,
    events: Family<[(&'static str, &'static str); 1], Counter>,
    accepted: Counter,
}

impl Connections {
    fn new(registry: &mut Registry) -> Self {
        let connections = Self {
            open: Gauge::default(),
            events: Family::default(),
            accepted: Counter::default(),
        };
        registry.register(
            "http_connections_open",
            "Open connections",
            connections.open.clone(),
        );
        registry.register(
            "http_connections_accepted",
            "Connections accepted",
            connections.accepted.clone(),
        );
        registry.register(
            "http_connection_troubles",
            "Connections that were refused or ended for a reason",
            connections.events.clone(),
        );
        connections
    }

    fn note(&self, event: ConnectionEvent) {
        let trouble = match event {
            ConnectionEvent::Opened => {
                self.accepted.inc();
                self.open.inc();
                return;
            }
            ConnectionEvent::Closed => {
                self.open.dec();
                return;
            }
            ConnectionEvent::RefusedFull => "refused_full",
            ConnectionEvent::RefusedSource => "refused_source",
            ConnectionEvent::AcceptFailed => "accept_failed",
            ConnectionEvent::TlsFailed => "tls_failed",
            ConnectionEvent::Malformed => "malformed",
            ConnectionEvent::TimedOut(Stall::Handshake) => "slow_handshake",
            ConnectionEvent::TimedOut(Stall::Head) => "slow_head",
            ConnectionEvent::TimedOut(Stall::Body) => "slow_body",
            ConnectionEvent::TimedOut(Stall::Request) => "slow_request",
            ConnectionEvent::TimedOut(Stall::Write) => "slow_reader",
            ConnectionEvent::TimedOut(Stall::Idle) => "idle",
            _ => "other",
        };
        // Rare enough to be looked up.
        self.events.get_or_create(&[("reason", trouble)]).inc();
    }
}
