//! Nothing of a callback in a log. In a process of its own: it listens to every log line of every
//! library.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[allow(dead_code)]
#[path = "native/stand_ins.rs"]
mod stand_ins;
#[allow(dead_code)]
#[path = "callbacks/world.rs"]
mod world;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::Method;
use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::span;
use watchword_core::Callback;

use crate::world::World;

/// Keeps everything that is told, at every level.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Writer(&mut self.0.lock()));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Writer(&mut self.0.lock()));
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Writer(&mut self.0.lock()));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0, "{field}={value:?}");
    }
}

#[tokio::test]
async fn no_log_has_the_query_the_headers_or_the_body_of_a_callback() {
    let everything = Everything::default();
    tracing::subscriber::set_global_default(everything.clone()).unwrap();
    let world = World::new();
    for callback in [
        Callback::Receipts(Vec::new()),
        Callback::Refused,
        Callback::Forbidden,
        Callback::Unreadable,
        Callback::Challenge("hunter2".to_owned()),
    ] {
        world.reads(callback);
        for uri in [
            "/callbacks/pigeon?token=hunter2",
            "/callbacks/hunter2?v=hunter2",
        ] {
            let headers: &[(&str, &[u8])] = &[("authorization", b"Bearer hunter2")];
            world.send(Method::POST, uri, headers, "To=hunter2").await;
        }
    }
    let logged = everything.0.lock().clone();
    assert!(logged.contains("provider=\"pigeon\""), "{logged}");
    assert!(!logged.contains("hunter2"), "{logged}");
}
