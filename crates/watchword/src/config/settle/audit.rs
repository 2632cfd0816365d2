//! `[audit]`

use std::time::Duration;

use serde::Deserialize;
use watchword_core::keys::KeyRing;
use watchword_core::span;
use watchword_stores::StorageUrl;

use super::{Given as Tree, Mode, Settling, ring};
use crate::config::fault::Fault;

/// How security events are recorded.
pub(crate) struct AuditSettings {
    /// Where the chain is kept; nowhere without a place in SQL.
    pub(crate) url: Option<StorageUrl>,
    /// Whether each entry is a record of the log, too.
    pub(crate) log: bool,
    /// How long pages are kept.
    pub(crate) keep: Duration,
}

/// `[audit]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Given {
    enabled: bool,
    url: Option<String>,
    log: bool,
    #[serde(with = "span")]
    keep: Duration,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            enabled: true,
            url: None,
            log: false,
            keep: KEPT,
        }
    }
}

/// A year, and time to look at it.
const KEPT: Duration = Duration::from_hours(400 * 24);
const SHORTEST: Duration = Duration::from_hours(24);

impl Settling<'_> {
    /// The chain is kept where it is said, or with the accounts, or with everything else; in SQL.
    pub(super) fn audit(
        &mut self,
        storage: &StorageUrl,
        accounts: Option<&StorageUrl>,
    ) -> AuditSettings {
        let given: Given = self.section("audit");
        let path = "audit.url";
        let own = given
            .url
            .as_deref()
            .map(|text| self.storage_url(path, Some(text)));
        if let Some(StorageUrl::Redis(_)) = own {
            self.complain(
                path,
                "has to be `sqlite:FILE` or `postgres://…`: Redis keeps no audit log",
            );
        }
        if given.keep < SHORTEST {
            self.complain("audit.keep", "must be at least 1d");
        }
        let usual = || {
            let places = accounts.into_iter().chain([storage]);
            let mut sql = places.filter(|url| !matches!(url, StorageUrl::Redis(_)));
            sql.next().cloned()
        };
        AuditSettings {
            // What `memory:` holds ends with the process; a log that nobody can read is none.
            url: own
                .or_else(usual)
                .filter(|url| given.enabled && *url != StorageUrl::Memory),
            log: given.log,
            keep: given.keep,
        }
    }
}

/// Settles only what the audit log needs: the keys, where things are kept, and `[audit]`.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn audit_place(
    given: &Tree,
) -> Result<(KeyRing, StorageUrl, AuditSettings), Vec<Fault>> {
    let mut settling = Settling {
        root: &given.root,
        mode: Mode::Serve,
        faults: Vec::new(),
    };
    let (keys, next) = (settling.secret_keys(), settling.next_secret_key());
    let (storage, accounts) = (settling.storage(), settling.accounts());
    let settings = settling.audit(&storage.url, accounts.url.as_ref());
    // Without a key there is a fault.
    match ring(&keys, next.as_ref()) {
        Some(ring) if settling.faults.is_empty() => Ok((ring, storage.url, settings)),
        _ => Err(settling.faults),
    }
}
