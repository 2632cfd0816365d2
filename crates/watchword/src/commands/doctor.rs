//! `watchword doctor`: looks whether everything that codes need is there, without sending one.

mod accounts;
mod callbacks;
mod clock;
mod fallbacks;
mod report;
mod storage;

use std::time::Duration;

use watchword_stores::StorageUrl;

use super::trial::faults;
use super::{given_to_serve, runtime};
use crate::cli::Doctor;
use crate::config::{Config, Given, Mode, settle};
use crate::failure::Failure;
use crate::output::say;
use report::{Check, Report};

pub(super) fn run(args: &Doctor) -> Result<(), Failure> {
    let mut report = Report::default();
    match given_to_serve(args.file.config.as_deref()) {
        Ok(given) => match settle(&given, Mode::Serve) {
            Ok(config) => look(&config, &given, args.timeout, &mut report)?,
            Err(faults) => report.refused(&faults.into()),
        },
        Err(failure) => report.refused(&failure),
    }
    say(&if args.json {
        report.json()
    } else {
        report.lines()
    })?;
    match report.problems() {
        0 => Ok(()),
        1 => Err(Failure::refused("there is a problem")),
        several => Err(Failure::refused(format!("there are {several} problems"))),
    }
}

fn look(
    config: &Config,
    given: &Given,
    limit: Duration,
    report: &mut Report,
) -> Result<(), Failure> {
    let faults = faults(config, given)?;
    if faults.is_empty() {
        report.add([Check::ok(
            "configuration",
            "settings",
            "a server would start with it",
        )]);
    } else {
        report.refused(&faults.into());
    }
    runtime(false)?.block_on(async {
        report.add([storage::look("storage.url", &config.storage.url).await]);
        if let Some(url) = &config.accounts.url
            && *url != config.storage.url
        {
            report.add([storage::look("storage.accounts_url", url).await]);
        }
        if let Some(url) = &config.audit.url
            && *url != config.storage.url
            && Some(url) != config.accounts.url.as_ref()
        {
            report.add([storage::look("audit.url", url).await]);
        }
        if let Some(path) = &config.storage.fallback {
            let local = StorageUrl::Sqlite(path.clone());
            report.add([storage::look("storage.fallback_path", &local).await]);
        }
        let (accounts, callbacks) = tokio::join!(
            accounts::look(config, limit),
            callbacks::look(config, limit)
        );
        report.add(accounts.checks);
        report.add([clock::judge(&accounts.ahead)]);
        report.add(callbacks);
        report.add(fallbacks::look(config));
    });
    Ok(())
}
