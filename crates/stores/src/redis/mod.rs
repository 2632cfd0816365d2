//! Redis and Valkey: one server, one that Sentinels watch, or a cluster.
//!
//! Several nodes share one truth here. Every step is a script ([`script`]) and so atomic, touches
//! one slot, and takes one round trip. In a cluster, the limits of a source are charged in a step of
//! their own, first. Every key has a time to live. What it holds counts by the clock of the server, never by
//! whether it is still there.

mod api_keys;
mod bound;
mod call;
mod calls;
mod fallbacks;
mod inspect;
mod keys;
mod marks;
mod moving;
mod no_accounts;
mod place;
mod pulse;
mod recipients;
mod refused;
mod replays;
mod reply;
mod row;
mod scan;
mod script;
mod server;
mod servers;
mod slot;
mod store;
mod topology;
mod url;

use std::sync::Arc;

use watchword_core::keys::KeyRing;
use watchword_core::{Clock, ReplayStore, Store};

pub use api_keys::RedisApiKeys;
pub use call::Time;
pub(crate) use marks::{clear, mark, put_mark};
pub(crate) use no_accounts::NoAccounts;
pub use refused::RedisRefused;
pub use store::RedisStore;
pub use url::{InvalidRedisUrl, RedisUrl};

use call::Names;
use pulse::Pulse;
use servers::Servers;

use crate::store_clock::StoreClock;

/// A Redis that was looked at and found good.
pub struct RedisStorage {
    store: Arc<RedisStore>,
    api_keys: Arc<RedisApiKeys>,
    _pulse: Pulse,
}

impl RedisStorage {
    /// Connects, and looks whether the servers can be trusted: old ones, ones that throw keys away
    /// when their memory is full, and data made under another secret are refused.
    ///
    /// `clock` is the node's; whose time rules is said by `time`.
    ///
    /// # Errors
    /// [`RedisRefused`], whose text says what to do.
    pub async fn open(
        url: &RedisUrl,
        keys: &KeyRing,
        clock: Arc<dyn Clock>,
        time: Time,
    ) -> Result<Self, RedisRefused> {
        Self::open_as(url, keys, clock, time, None).await
    }

    /// The same by the time of the servers, which `clock` hears.
    pub(crate) async fn open_heard(
        url: &RedisUrl,
        keys: &KeyRing,
        clock: &Arc<StoreClock>,
    ) -> Result<Self, RedisRefused> {
        let own = Arc::clone(clock) as Arc<dyn Clock>;
        let heard = Some(Arc::clone(clock));
        Self::open_as(url, keys, own, Time::Server, heard).await
    }

    async fn open_as(
        url: &RedisUrl,
        keys: &KeyRing,
        clock: Arc<dyn Clock>,
        time: Time,
        heard: Option<Arc<StoreClock>>,
    ) -> Result<Self, RedisRefused> {
        let servers = Arc::new(Servers::found(url).await?);
        let names = Names::new(url.namespace());
        inspect::check_secrets(&servers, &names, url, keys).await?;
        let api_keys = RedisApiKeys::over(Arc::clone(&servers), names.clone(), time).await;
        let api_keys = api_keys.map_err(|source| RedisRefused::Unwritable {
            url: url.to_string(),
            source,
        })?;
        let pulse = Pulse::of(
            Arc::clone(&servers),
            url.to_string(),
            heard,
            names.secrets(),
        );
        Ok(Self {
            _pulse: pulse.await,
            store: Arc::new(RedisStore::new(servers, names, time, clock)),
            api_keys: Arc::new(api_keys),
        })
    }

    /// Verifications and the counters of their recipients and sources.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// Idempotency keys.
    #[must_use]
    pub fn replays(&self) -> Arc<dyn ReplayStore> {
        Arc::clone(&self.store) as Arc<dyn ReplayStore>
    }

    /// API keys.
    #[must_use]
    pub fn api_keys(&self) -> Arc<RedisApiKeys> {
        Arc::clone(&self.api_keys)
    }

    /// Both ports of verifications in one, as the tests of every store want them.
    #[must_use]
    pub fn both(&self) -> Arc<RedisStore> {
        Arc::clone(&self.store)
    }
}

/// What [`crate::bare`] calls.
#[cfg(feature = "bare")]
mod bare {
    use std::fmt::Write as _;

    use watchword_core::Timestamp;

    use super::Time;
    use super::call::Names;
    use super::calls::Calls;
    use super::script::{self, Script};
    use crate::bare::Flow;

    pub(crate) fn bare_scripts() -> Vec<&'static str> {
        let all = [&script::START_PAID, &script::NOTE, &script::CHECK];
        all.iter().map(|script| script.text).collect()
    }

    pub(crate) fn bare_calls(flow: &Flow, now: Timestamp) -> Vec<Vec<u8>> {
        let (start, time) = (&flow.start, Time::Server);
        let names = Names::new("ww");
        let calls = Calls { names, time };
        let all = [
            calls.start(start, start.terms.source.as_ref(), now),
            calls.note(start.id, &flow.note, now),
            calls.check(&flow.check, None, now),
        ];
        let wire = |script: &Script, keys: &[Vec<u8>], arguments: &[Vec<u8>]| {
            script.command(false, keys, arguments).get_packed_command()
        };
        all.iter()
            .map(|call| wire(call.script, &call.keys, &call.arguments))
            .collect()
    }

    pub(crate) fn bare_start(flow: &Flow, now: Timestamp) -> String {
        let (start, time) = (&flow.start, Time::Server);
        let names = Names::new("ww");
        let call = Calls { names, time }.start(start, start.terms.source.as_ref(), now);
        let literal = |bytes: &Vec<u8>| {
            let mut text = String::from("'");
            for byte in bytes {
                // Writing to a text does not fail.
                let _ = write!(text, "\\{byte:03}");
            }
            text + "'"
        };
        let others = call.keys.iter().skip(1);
        let others: String = others
            .map(|key| format!(", {} .. string.sub(given, -12)", literal(key)))
            .collect();
        let arguments: Vec<_> = call.arguments.iter().map(literal).collect();
        format!(
            "local given = KEYS[1]\nlocal KEYS, ARGV = {{given{others}}}, {{{}}}\n{}",
            arguments.join(", "),
            call.script.text
        )
    }
}
#[cfg(feature = "bare")]
pub(crate) use bare::{bare_calls, bare_scripts, bare_start};
