//! `watchword config check` and `watchword config show`.

use std::sync::Arc;

use watchword_core::{Clock, Entropy};
use watchword_http::serve::Listener;

use super::{given_to_serve, runtime};
use crate::cli::File;
use crate::config::{Config, Fault, Given, Mode, settle};
use crate::delivery;
use crate::failure::Failure;
use crate::output::say;
use crate::system::{SystemClock, SystemEntropy};
use crate::telemetry::chain;

pub(super) fn check(file: &File) -> Result<(), Failure> {
    let given = given_to_serve(file.config.as_deref())?;
    let config = settle(&given, Mode::Serve)?;
    try_out(&config, &given)?;
    let mut lines = vec!["the configuration is good".to_owned()];
    for (kind, policy) in &config.surfaces {
        lines.push(format!("{kind}: {}", policy.odds()));
    }
    for (app, settings) in &config.apps {
        for (kind, policy) in &settings.policies {
            lines.push(format!("{kind}, app {app}: {}", policy.odds()));
        }
    }
    say(&lines.join("\n"))
}

pub(super) fn show(file: &File) -> Result<(), Failure> {
    let given = given_to_serve(file.config.as_deref())?;
    let config = settle(&given, Mode::Serve)?;
    say(crate::config::show(&config, &given).trim_end())
}

/// Does what a start does and can be done beside a running server: makes the providers, reads the
/// certificates, looks for the folder of the database.
fn try_out(config: &Config, given: &Given) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let mut faults = Vec::new();
    runtime(false)?.block_on(async {
        if let Err(found) = delivery::courier(config, None, clock, entropy, Arc::new(())) {
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
    if let Some(path) = config.storage.url.path() {
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
            faults.push(Fault::at("storage.url", message));
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let faults = faults.into_iter().map(|fault| {
        let origin = given.root.find(&fault.path).map(|value| &value.origin);
        fault.from(origin)
    });
    Err(faults.collect::<Vec<_>>().into())
}
