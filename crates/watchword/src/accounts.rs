//! Accounts, put together.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::account::{AccountParts, AccountStore, Accounts, Renewed};
use watchword_core::{Entropy, Store, Verifier};
use watchword_http::PasswordPool;
use watchword_stores::Neighbour;

use crate::config::AccountSettings;
use crate::failure::Failure;
use crate::telemetry::Metrics;

/// What accounts need of the rest of the server.
pub(crate) struct Surroundings {
    /// Where accounts are, unless they have a place of their own.
    pub(crate) accounts: Arc<dyn AccountStore>,
    /// What else is served, perhaps from the same file.
    pub(crate) beside: Neighbour,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) issuer: String,
    /// Whether the server starts although the storage is away, because another stands in for it.
    pub(crate) may_be_away: bool,
}

/// How often accounts that were away at the start are looked at again.
const AGAIN: Duration = Duration::from_secs(5);

/// Opens accounts, and brings those that an older key sealed under the newest one.
///
/// # Errors
/// When they cannot be opened or read.
pub(crate) async fn assemble(
    settings: &AccountSettings,
    around: Surroundings,
    metrics: &mut Metrics,
) -> Result<Arc<Accounts>, Failure> {
    let may_be_away = around.may_be_away;
    let apart = match &settings.url {
        Some(url) => {
            let opened = if may_be_away {
                watchword_stores::open_accounts_late(url, &around.beside).await
            } else {
                watchword_stores::open_accounts(url, &around.beside).await
            };
            Some(opened.map_err(|error| Failure::from_error(&error))?)
        }
        None => None,
    };
    let workers = settings.hash_workers.unwrap_or_else(usual_workers);
    let pool = PasswordPool::new(
        settings.hash_cost,
        workers,
        settings.hash_waiting,
        around.entropy,
    );
    metrics.watch_passwords(pool.fill());
    let accounts = Arc::new(Accounts::new(AccountParts {
        accounts: apart.unwrap_or(around.accounts),
        store: around.store,
        verifier: around.verifier,
        passwords: Arc::new(pool),
        issuer: around.issuer,
        token_life: settings.token_life,
    }));
    match accounts.renew().await {
        Ok(renewed) => tell(renewed),
        Err(watchword_core::Failure::Store(_)) if may_be_away => {
            let late = Arc::clone(&accounts);
            tokio::spawn(async move {
                let renewed = loop {
                    tokio::time::sleep(AGAIN).await;
                    if let Ok(renewed) = late.renew().await {
                        break renewed;
                    }
                };
                tell(renewed);
            });
        }
        Err(error) => return Err(Failure::from_error(&error)),
    }
    Ok(accounts)
}

/// Tells the operator what became of accounts that an older key sealed.
fn tell(renewed: Renewed) {
    if renewed.renewed > 0 {
        tracing::info!(
            accounts = renewed.renewed,
            "accounts were sealed under the newest of secret_keys"
        );
    }
    if renewed.unreadable > 0 {
        tracing::error!(
            accounts = renewed.unreadable,
            "accounts are sealed with a key that is not in secret_keys any more; list it last to \
             get them back"
        );
    }
}

/// A quarter of the machine, rounded down. They take little time that anybody else wants, but caches and the way to
/// memory: twice as many hash half as much again, and double the p99 of checks.
fn usual_workers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 4).max(1))
}
