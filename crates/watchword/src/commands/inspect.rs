//! `watchword config check` and `watchword config show`.

use super::given_to_serve;
use super::trial::try_out;
use crate::cli::File;
use crate::config::{Mode, settle};
use crate::failure::Failure;
use crate::output::say;

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
