//! What the system tells the server to do.

use std::sync::Arc;

use watchword_http::serve::{Certificates, Shutdown};

use crate::failure::Failure;
use crate::telemetry::chain;

/// Listens to SIGTERM, SIGINT and SIGHUP from the moment it is made.
#[cfg(unix)]
pub(super) struct Signals {
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// SIGTERM says that the server is left; SIGINT, which a person sends who waits, closes it
    /// without that notice. A second one ends the process at once: what was acknowledged is durable
    /// already.
    pub(super) fn listen(stop: Shutdown) -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind)
                .map_err(|error| Failure::refused(format!("signals cannot be had: {error}")))
        };
        let mut terminate = listen(SignalKind::terminate())?;
        let mut interrupt = listen(SignalKind::interrupt())?;
        let hangup = listen(SignalKind::hangup())?;
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if stop.leaving.is_cancelled() {
                    tracing::warn!(signal = name, "told twice: ending at once");
                    std::process::exit(1);
                }
                tracing::info!(signal = name, "stopping; what is in flight finishes");
                if name == "SIGINT" {
                    stop.at_once();
                } else {
                    stop.leaving.cancel();
                }
            }
        });
        Ok(Self { hangup })
    }

    /// SIGHUP reads the certificate files again.
    pub(super) fn reload_on_hangup(mut self, certificates: Vec<Arc<Certificates>>) {
        tokio::spawn(async move {
            while self.hangup.recv().await.is_some() {
                for one in &certificates {
                    match one.reload() {
                        Ok(()) => tracing::info!("certificates were read again"),
                        Err(error) => tracing::error!(
                            error = chain(&error),
                            "certificates cannot be used; the old ones stay in use"
                        ),
                    }
                }
            }
        });
    }

    /// SIGHUP, which comes when its terminal is closed, ends a server in dev mode.
    pub(super) fn stop_on_hangup(mut self, stop: Shutdown) {
        tokio::spawn(async move {
            if self.hangup.recv().await.is_some() {
                stop.at_once();
            }
        });
    }
}

/// Elsewhere only Ctrl-C ends the server.
#[cfg(not(unix))]
pub(super) struct Signals;

#[cfg(not(unix))]
impl Signals {
    pub(super) fn listen(stop: Shutdown) -> Result<Self, Failure> {
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.at_once();
            }
        });
        Ok(Self)
    }

    pub(super) fn reload_on_hangup(self, _: Vec<Arc<Certificates>>) {}

    pub(super) fn stop_on_hangup(self, _: Shutdown) {}
}
