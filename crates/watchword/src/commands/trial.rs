//! Trying a configuration out before anything starts.

use std::sync::Arc;

use watchword_core::{Clock, Entropy};
use watchword_http::serve::Listener;
use watchword_stores::StorageUrl;

use super::runtime;
use crate::config::{Config, Fault, Given, Mode};
use crate::delivery;
use crate::failure::Failure;
use crate::system::{SystemClock, SystemEntropy};
use crate::telemetry::chain;

/// Does what a start does and can be done beside a running server: makes the providers, reads the
/// certificates, looks for the folder of the database.
pub(super) fn try_out(config: &Config, given: &Given) -> Result<(), Failure> {
    let faults = faults(config, given)?;
    if faults.is_empty() {
        return Ok(());
    }
    Err(faults.into())
}

/// What a start would be refused for.
pub(super) fn faults(config: &Config, given: &Given) -> Result<Vec<Fault>, Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let mut faults = Vec::new();
    runtime(false)?.block_on(async {
        let inbox = (config.mode == Mode::Dev).then(Arc::default);
        if let Err(found) = delivery::courier(config, inbox, clock, entropy, Arc::new(())) {
            faults.extend(found);
        }
        for (index, listener) in config.listeners.iter().enumerate() {
            let Some(tls) = &listener.tls else { continue };
            // Reading certificates goes with listening, here on a port that nobody knows.
            let anywhere = (std::net::Ipv4Addr::LOCALHOST, 0).into();
            if let Err(error) = Listener::bind(anywhere, Some(tls.clone())).await {
                let cause = std::error::Error::source(&error).map_or_else(|| chain(&error), chain);
                faults.push(Fault::at(format!("listeners.{index}.tls"), cause));
            }
        }
    });
    let files = [
        ("storage.url", config.storage.url.path()),
        ("storage.fallback_path", config.storage.fallback.as_deref()),
        (
            "storage.accounts_url",
            config.accounts.url.as_ref().and_then(StorageUrl::path),
        ),
        (
            "audit.url",
            config.audit.url.as_ref().and_then(StorageUrl::path),
        ),
    ];
    for (place, (setting, path)) in files.iter().enumerate() {
        // Who says nothing keeps them in the same file, which is named once.
        let Some(path) =
            path.filter(|path| !files[..place].iter().any(|(_, told)| *told == Some(path)))
        else {
            continue;
        };
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder
            && !folder.is_dir()
        {
            let message = format!(
                "the folder {} does not exist; create it first",
                folder.display()
            );
            faults.push(Fault::at(*setting, message));
        }
    }
    let faults = faults.into_iter().map(|fault| {
        let origin = given.root.find(&fault.path).map(|value| &value.origin);
        fault.from(origin)
    });
    Ok(faults.collect())
}
