//! Open-loop load against Watchword and, in the same run, against a bare server that answers the
//! same requests and does nothing else.
//!
//! A figure of one machine says little; the ratio of two figures of one run says what the product
//! costs. Traffic goes to loopback only, bounded in count and time.

#![allow(clippy::print_stdout, reason = "a command that prints its figures")]

mod argon2;
mod bare;
mod calls;
mod count;
mod fastapi;
mod growth;
mod idle;
mod load;
mod matrix;
mod mix;
mod overload;
mod process;
mod profile;
mod recipient;
mod report;
mod round;
mod scenario;
mod server;
mod stores;
mod tally;
mod watch;
mod wire;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::matrix::{Common, Loads};
use crate::report::Report;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures Watchword against a bare server, in one run.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    loads: Loads,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// An empty server: cold start, memory, size of the binary.
    Idle(idle::Idle),
    /// Many live verifications: speed, memory, restart.
    Growth(growth::Growth),
    /// More load than the server can take.
    Overload(overload::Overload),
    /// Checks while many passwords are hashed.
    Argon2(argon2::Argon2),
    /// The calls of a shared store: from a bare client, through the store, through the product.
    Calls(calls::Calls),
    /// Instructions and allocations of a turn: the same on a busy machine.
    Count(count::Count),
    /// Says when its processor was away: run by `--watch-host`.
    #[command(hide = true)]
    Lookout,
    /// Only run the bare server, at this address, until killed.
    Bare {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        bind: String,
    },
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(Command::Bare { bind }) = &arguments.command {
        let runtime = Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(bare::serve(bind));
    }
    if matches!(arguments.command, Some(Command::Lookout)) {
        return watch::look_out();
    }
    let common = &arguments.common;
    // Before anything is measured in vain.
    let earlier = common.compare.as_deref().map(Report::read).transpose()?;
    // It starts servers and waits; the load has threads of its own.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::default();
    let ended = runtime.block_on(async {
        tokio::select! {
            measured = measure(&arguments, &mut report) => measured,
            // Servers end with what is dropped here.
            ended = ended() => ended,
        }
    });
    // The rounds of a run that was cut short are worth as much as those of a whole one.
    if !report.is_empty() {
        report.print();
        if let Some(earlier) = earlier {
            report.compare(&earlier);
        }
        if let Some(path) = &common.json {
            report.write(path)?;
        }
    }
    ended
}

/// Waits for a signal to end.
async fn ended() -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Err("ended by a signal".into())
}

async fn measure(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let common = &arguments.common;
    // Counting looks at its tools first.
    if !matches!(arguments.command, Some(Command::Count(_))) {
        common.check()?;
    }
    match &arguments.command {
        None | Some(Command::Bare { .. } | Command::Lookout) => {
            arguments.loads.run(common, report).await
        }
        Some(Command::Count(count)) => count.run(common).await,
        Some(Command::Idle(idle)) => idle.run(common, report).await,
        Some(Command::Growth(growth)) => growth.run(common, report).await,
        Some(Command::Calls(calls)) => calls.run(common, report).await,
        Some(Command::Overload(overload)) => overload.run(common, report).await,
        Some(Command::Argon2(argon2)) => argon2.run(common, report).await,
    }
}
