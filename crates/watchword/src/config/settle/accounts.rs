//! `[accounts]`, and where accounts are kept.

use std::time::Duration;

use serde::Deserialize;
use watchword_core::account::{AccessTokenLife, HashCost};
use watchword_core::span;
use watchword_http::SurfaceKind;
use watchword_stores::StorageUrl;

use super::{ListenerConfig, Settling, Storage, Value};

/// How accounts are kept and let in.
pub(crate) struct AccountSettings {
    /// Where they are, if not beside verifications.
    pub(crate) url: Option<StorageUrl>,
    pub(crate) token_life: AccessTokenLife,
    pub(crate) hash_cost: HashCost,
    /// A quarter of the cores, if nobody says.
    pub(crate) hash_workers: Option<usize>,
    pub(crate) hash_waiting: usize,
}

/// `[accounts]`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    #[serde(with = "span::option")]
    access_token_ttl: Option<Duration>,
    #[serde(with = "span::option")]
    remembered_ttl: Option<Duration>,
    hash_memory_kib: Option<u32>,
    hash_passes: Option<u32>,
    hash_workers: Option<usize>,
    hash_waiting: Option<usize>,
}

/// How many passwords may wait to be hashed: at 20 to 30 milliseconds each and one at a time, two seconds'
/// worth.
const HASH_WAITING: usize = 64;

/// The longest that an access token may be good. Nobody can call one back.
const LONGEST_LIFE: Duration = Duration::from_hours(366 * 24);

impl Settling<'_> {
    pub(super) fn accounts(&mut self) -> AccountSettings {
        let given: Given = self.section("accounts");
        // What is wrong with it is told with the rest of `[storage]`.
        let url = self.root.find("storage.accounts_url");
        let url = url.and_then(Value::as_text).map(StorageUrl::parse);
        let usual = AccessTokenLife::default();
        let token_life = AccessTokenLife {
            usual: given.access_token_ttl.unwrap_or(usual.usual),
            remembered: given.remembered_ttl.unwrap_or(usual.remembered),
        };
        for (name, life) in [
            ("access_token_ttl", token_life.usual),
            ("remembered_ttl", token_life.remembered),
        ] {
            if life < Duration::from_mins(1) || life > LONGEST_LIFE {
                self.complain(&format!("accounts.{name}"), "must be from 1m to 366d");
            }
        }
        let default = HashCost::default();
        let memory = given.hash_memory_kib.unwrap_or(default.memory_kib());
        let passes = given.hash_passes.unwrap_or(default.passes());
        let hash_cost = HashCost::new(memory, passes).unwrap_or_else(|weak| {
            self.complain("accounts.hash_memory_kib", weak.to_string());
            default
        });
        if given.hash_workers == Some(0) {
            self.complain("accounts.hash_workers", "must be at least 1");
        }
        AccountSettings {
            url: url.and_then(Result::ok),
            token_life,
            hash_cost,
            hash_workers: given.hash_workers,
            hash_waiting: given.hash_waiting.unwrap_or(HASH_WAITING),
        }
    }

    /// Accounts outlive everything that expires, so they are kept in SQL only.
    pub(super) fn refuse_homeless_accounts(
        &mut self,
        storage: &Storage,
        listeners: &[ListenerConfig],
    ) {
        let path = "storage.accounts_url";
        let apart = self.root.find(path).and_then(Value::as_text);
        if let Some(apart) = apart {
            if let Ok(StorageUrl::Redis(_)) = StorageUrl::parse(apart) {
                self.complain(
                    path,
                    "is Redis, which keeps no accounts; name PostgreSQL or SQLite",
                );
            }
            return;
        }
        let mut served = listeners.iter().flat_map(|listener| &listener.surfaces);
        let is_served = served.any(|(kind, _)| *kind == SurfaceKind::Auth);
        if is_served && matches!(storage.url, StorageUrl::Redis(_)) {
            self.complain(
                path,
                "is missing: the surface `auth` keeps accounts, and storage.url is Redis, which \
                 keeps none; name PostgreSQL, or SQLite for a single node",
            );
        }
    }
}
