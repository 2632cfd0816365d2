//! Open-loop load against Watchword and, in the same run, against a bare server that answers
//! bodies of the same size and does nothing else.
//!
//! A figure of one machine says little; the ratio of two figures of one run says what the product
//! costs. Traffic goes to loopback only, bounded in count and time.

#![allow(clippy::print_stdout, reason = "a command that prints its figures")]

mod bare;
mod flow;
mod load;
mod report;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::load::Load;
use crate::report::{Figures, Report};
use crate::server::Server;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures start + check flows against a bare server, in one run.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Which store the server keeps its state in.
    #[arg(long, value_enum, default_value = "sqlite")]
    store: StoreKind,
    /// Connections that carry the load.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of each measured phase.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Interleaved rounds; the medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How much of the throughput is offered when latencies are measured.
    #[arg(long, default_value_t = 0.7)]
    load: f64,
    /// The binary to measure.
    #[arg(long, default_value = "target/release/watchword")]
    binary: PathBuf,
    /// Also write the figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Only run the bare server, at this address, until killed.
    Bare {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        bind: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    /// Nothing outlives the process.
    Memory,
    /// The embedded default: durable before the answer.
    Sqlite,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    if let Some(Command::Bare { bind }) = &arguments.command {
        return bare::serve(bind).await;
    }
    let mut report = Report::new(&arguments);
    for round in 1..=arguments.rounds {
        // A fresh server each round: a bigger store or a warmer cache favours nobody.
        report
            .bare
            .push(measure(Server::bare().await?, &arguments).await?);
        report
            .product
            .push(measure(Server::product(&arguments).await?, &arguments).await?);
        report.print_round(round);
    }
    report.print();
    if let Some(path) = &arguments.json {
        std::fs::write(path, report.to_json()?)?;
    }
    Ok(())
}

/// Warm-up, then the throughput of a full closed loop, then latencies at a part of it.
async fn measure(server: Server, arguments: &Arguments) -> Result<Figures, Failure> {
    let span = Duration::from_secs(arguments.seconds);
    let load = Load::connect(server.address(), arguments.connections).await?;
    load.saturate(span / 4).await?;
    let full = load.saturate(span).await?;
    let rate = full.flows_per_second() * arguments.load;
    let open = load.offer(rate, span).await?;
    server.stop().await?;
    Ok(Figures { full, open, rate })
}
