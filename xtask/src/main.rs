//! Checks and chores of this repository that need more than a shell line.
//!
//! `cargo xtask layout` checks the shape of the code: what the compiler and clippy cannot see.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool answers there"
)]

mod finding;
mod layout;
mod tree;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask layout

  layout   arrows between crates, size and names of files, leftovers, paths, links in documents";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["layout"] => report(layout::check()),
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn report(result: Result<layout::Report, String>) -> ExitCode {
    let report = match result {
        Ok(report) => report,
        Err(reason) => {
            eprintln!("layout: could not look: {reason}");
            return ExitCode::from(2);
        }
    };
    for finding in &report.findings {
        println!("{finding}");
    }
    println!(
        "layout: {} files, {} findings",
        report.files,
        report.findings.len()
    );
    if report.findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
