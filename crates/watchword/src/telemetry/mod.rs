//! What the server tells about itself: logs, metrics, traces.
//!
//! **Invariant:** none of them holds a code, a key or a full recipient. Paths and queries of
//! requests are not told either, since codes can be in them.

mod events;
mod latencies;
mod logging;
mod metrics;
#[cfg(target_os = "linux")]
mod process;
mod providers;
mod requests;
mod store;
mod traces;

pub(crate) use events::CountedEvents;
pub(crate) use logging::{Logging, start};
pub(crate) use metrics::Metrics;
pub(crate) use providers::{CountedDeliveries, provider_report};
pub(crate) use requests::RequestMetrics;
pub(crate) use store::WatchedStore;
pub(crate) use traces::{TraceRequests, trace_context};

/// An error with what caused it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let told = inner.to_string();
        // Transparent wrappers repeat their cause.
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        cause = inner.source();
    }
    text
}

/// Logs where a thread panicked, and not what it said: that may quote what it worked on.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(target: "watchword", location, "a thread panicked");
    }));
}
