//! Who may connect: caps on connections, in total and by source, and the register of open ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::connection::Dialects;
use super::observer::{ConnectionEvent, Observer};
use super::progress::Progress;
use super::settings::Settings;
use crate::client_address::SourceKey;
use crate::direct::Routes;

/// What all connections of one listener share.
pub(super) struct Serving {
    pub(super) routes: Routes,
    pub(super) settings: Settings,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) dialects: Dialects,
    pub(super) warned_of_forwarding: AtomicBool,
    phase: AtomicU8,
    register: Mutex<Register>,
    closed: Notify,
}

#[derive(Default)]
struct Register {
    accepted: u64,
    open: HashMap<u64, Arc<Progress>>,
    by_source: HashMap<SourceKey, usize>,
}

/// How far the listener's life has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Everything is answered as before, and every answer sends its peer elsewhere for the next.
    Leaving,
    /// What is in flight finishes; nothing new begins.
    Draining,
    /// Whatever is still open closes.
    Ended,
}

impl Serving {
    pub(super) fn new(routes: Routes, settings: Settings, observer: Arc<dyn Observer>) -> Self {
        Self {
            routes,
            dialects: Dialects::new(&settings.limits),
            settings,
            observer,
            warned_of_forwarding: AtomicBool::new(false),
            phase: AtomicU8::new(0),
            register: Mutex::default(),
            closed: Notify::new(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serving,
            1 => Phase::Leaving,
            2 => Phase::Draining,
            _ => Phase::Ended,
        }
    }

    /// Enters `phase` and makes every open connection notice.
    pub(super) fn enter(&self, phase: Phase) {
        let number = match phase {
            Phase::Serving => 0,
            Phase::Leaving => 1,
            Phase::Draining => 2,
            Phase::Ended => 3,
        };
        self.phase.store(number, Ordering::Release);
        for progress in self.register.lock().open.values() {
            progress.waker.wake();
        }
    }

    pub(super) fn open_connections(&self) -> usize {
        self.register.lock().open.len()
    }

    /// Waits until no connection is open.
    pub(super) async fn emptied(&self) {
        loop {
            let closed = self.closed.notified();
            if self.open_connections() == 0 {
                return;
            }
            closed.await;
        }
    }

    /// Takes a connection in, or says why not. `source` is `None` for a trusted proxy, whose connections
    /// belong to many clients.
    pub(super) fn admit(
        self: &Arc<Self>,
        source: Option<SourceKey>,
    ) -> Result<Admitted, ConnectionEvent> {
        let limits = &self.settings.limits;
        let accepted = Instant::now();
        let progress = Arc::new(Progress::new(accepted));
        let mut register = self.register.lock();
        if register.open.len() >= limits.connections {
            return Err(ConnectionEvent::RefusedFull);
        }
        if let Some(source) = source {
            let count = register.by_source.entry(source).or_insert(0);
            if *count >= limits.connections_per_source {
                return Err(ConnectionEvent::RefusedSource);
            }
            *count += 1;
        }
        register.accepted += 1;
        let number = register.accepted;
        register.open.insert(number, Arc::clone(&progress));
        drop(register);
        self.observer.connection(ConnectionEvent::Opened);
        Ok(Admitted {
            serving: Arc::clone(self),
            number,
            source,
            accepted,
            progress,
        })
    }
}

/// A connection's place among the open ones, given back when dropped.
pub(super) struct Admitted {
    serving: Arc<Serving>,
    number: u64,
    source: Option<SourceKey>,
    accepted: Instant,
    progress: Arc<Progress>,
}

impl Admitted {
    pub(super) fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn accepted(&self) -> Instant {
        self.accepted
    }

    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut register = self.serving.register.lock();
        register.open.remove(&self.number);
        if let Some(source) = self.source
            && let Some(count) = register.by_source.get_mut(&source)
        {
            *count -= 1;
            if *count == 0 {
                register.by_source.remove(&source);
            }
        }
        let last = register.open.is_empty();
        drop(register);
        self.serving.observer.connection(ConnectionEvent::Closed);
        if last {
            self.serving.closed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Limits;
    use super::*;

    fn source(address: &str) -> Option<SourceKey> {
        Some(SourceKey::from(
            address.parse::<std::net::IpAddr>().unwrap(),
        ))
    }

    fn serving(connections: usize, connections_per_source: usize) -> Arc<Serving> {
        let limits = Limits {
            connections,
            connections_per_source,
            ..Limits::default()
        };
        let settings = Settings {
            limits,
            ..Settings::default()
        };
        Arc::new(Serving::new(
            axum::Router::new().into(),
            settings,
            Arc::new(()),
        ))
    }

    #[test]
    fn addresses_of_one_ipv6_64_share_their_places() {
        let serving = serving(100, 2);
        let _one = serving.admit(source("2001:db8:1:2::1")).ok().unwrap();
        let _two = serving.admit(source("2001:db8:1:2:ffff::9")).ok().unwrap();
        let third = serving.admit(source("2001:db8:1:2:a:b:c:d")).err();
        assert_eq!(third, Some(ConnectionEvent::RefusedSource));
        assert!(serving.admit(source("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn a_place_is_free_again_once_its_connection_is_gone() {
        let serving = serving(100, 1);
        for _ in 0..3 {
            let place = serving.admit(source("192.0.2.1")).ok().unwrap();
            assert!(serving.admit(source("::ffff:192.0.2.1")).is_err());
            drop(place);
        }
        assert!(
            serving.register.lock().by_source.is_empty(),
            "no source is remembered"
        );
    }

    #[test]
    fn the_total_binds_trusted_proxies_too_and_a_refusal_leaves_no_trace() {
        let serving = serving(2, 2);
        let _proxy = serving.admit(None).ok().unwrap();
        let _client = serving.admit(source("192.0.2.1")).ok().unwrap();
        assert_eq!(
            serving.admit(None).err(),
            Some(ConnectionEvent::RefusedFull)
        );
        let refused = serving.admit(source("192.0.2.2")).err();
        assert_eq!(refused, Some(ConnectionEvent::RefusedFull));
        assert_eq!(serving.open_connections(), 2);
    }
}
