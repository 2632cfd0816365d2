//! `watchword`: the server, and everything an operator does with it on the command line.

#![forbid(unsafe_code)]

mod accounts;
mod audit;
mod cli;
mod commands;
mod config;
mod delivery;
mod failure;
mod output;
mod server;
mod system;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // For every TLS connection out. Only a second call in one process can fail.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match commands::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.lines() {
                output::complain(&format!("watchword: {line}"));
            }
            ExitCode::from(failure.code())
        }
    }
}
