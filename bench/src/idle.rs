//! What an empty server costs: its start, its memory, its size.

use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::matrix::Common;
use crate::process;
use crate::report::Report;
use crate::round::Figures;
use crate::server::{Product, Server};
use crate::stores::{Chosen, Stores};
use crate::wire::Connection;

/// Starts an empty server until its first answer, then leaves it alone.
#[derive(Args)]
pub(crate) struct Idle {
    #[command(flatten)]
    chosen: Chosen,
    /// Starts of each; medians are shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

impl Idle {
    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        report.begin("an empty server".to_owned());
        let mut stores = Stores::default();
        for round in 0..self.rounds {
            for kind in &self.chosen.store {
                let product = Product::usual(&common.binary);
                let store = stores.fresh(*kind)?;
                let began = Instant::now();
                let server = Server::product(&product, store).await?;
                answers(&server).await?;
                let started = began.elapsed();
                if round == 0 {
                    // What was only needed to start is given back by then.
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
                let mut figures = Figures::new();
                let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
                put("start_to_first_answer_ms", started.as_secs_f64() * 1000.0);
                let resident = process::resident_bytes(&server.pids());
                put("resident_mib", mib(resident));
                put("binary_mib", mib(std::fs::metadata(&common.binary)?.len()));
                report.push("idle", 0, &kind.name(), figures);
                server.kill().await?;
            }
        }
        Ok(())
    }
}

/// Waits for an answer of a server's API.
pub(crate) async fn answers(server: &Server) -> Result<(), Failure> {
    let mut connection = Connection::open(server.address(false)?).await?;
    let path = "/.well-known/jwks.json";
    let answer = connection.call("GET", path, None, "").await?;
    if answer.status == 200 {
        return Ok(());
    }
    Err(format!("{path} answered {}", answer.status).into())
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
