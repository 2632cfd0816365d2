//! A look at the servers now and then: a connection that broke while nobody used it, and a map of
//! slots that became old, are noticed before a request needs them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::servers::Servers;

const PAUSE: Duration = Duration::from_secs(1);

/// Looks for as long as it is kept.
pub(super) struct Pulse(JoinHandle<()>);

impl Pulse {
    pub(super) fn of(servers: Arc<Servers>, storage: String) -> Self {
        Self(tokio::spawn(async move {
            let mut answered = true;
            loop {
                tokio::time::sleep(PAUSE).await;
                let answers = servers.ready().await;
                match &answers {
                    Ok(()) if !answered => tracing::info!(storage, "Redis answers again"),
                    Err(error) if answered => {
                        let cause = std::error::Error::source(error).map(ToString::to_string);
                        tracing::warn!(storage, cause, "Redis does not answer");
                    }
                    _ => {}
                }
                answered = answers.is_ok();
            }
        }))
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
    }
}
