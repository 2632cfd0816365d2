//! A look at the servers now and then: a connection that broke while nobody used it, and a map of
//! slots that became old, are noticed before a request needs them. And the time is asked for, by which
//! scripts count.

use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::task::JoinHandle;
use watchword_core::Timestamp;

use super::reply::integer;
use super::servers::Servers;
use crate::store_clock::StoreClock;

const PAUSE: Duration = Duration::from_secs(1);

/// Looks for as long as it is kept.
pub(super) struct Pulse(JoinHandle<()>);

impl Pulse {
    /// `heard` hears the time of the server that keeps `key`, for the first time before this returns.
    pub(super) async fn of(
        servers: Arc<Servers>,
        storage: String,
        heard: Option<Arc<StoreClock>>,
        key: Vec<u8>,
    ) -> Self {
        hear(&servers, heard.as_deref(), &key).await;
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
                if answered {
                    hear(&servers, heard.as_deref(), &key).await;
                }
            }
        }))
    }
}

/// What comes to nothing is asked for again.
async fn hear(servers: &Servers, heard: Option<&StoreClock>, key: &[u8]) {
    let Some(clock) = heard else { return };
    let asked = clock.asking();
    let told = servers.run(key, &redis::cmd("TIME")).await;
    if let Ok(Value::Array(parts)) = told
        && let [seconds, micros] = &parts[..]
        && let Some((seconds, micros)) = integer(seconds).zip(integer(micros))
    {
        let millis = seconds * 1000 + micros / 1000;
        clock.hear(asked, Timestamp::from_millis(millis.max(0).unsigned_abs()));
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
    }
}
