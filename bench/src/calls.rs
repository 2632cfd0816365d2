//! What a shared store is good for: the same calls of the same scripts or functions from a bare client, and from
//! `redis-benchmark`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use clap::Args;
use tokio::process::Command;

use crate::Failure;
use crate::load::{Crew, Load};
use crate::matrix::Common;
use crate::process;
use crate::report::Report;
use crate::round::Figures;
use crate::scenario::Scenario;
use crate::server::{Product, Server};
use crate::stores::{StoreKind, StoreServer, Stores};

/// Flows a second: from a bare client of the store, through the store without HTTP, through the product; and starts
/// a second from redis-benchmark and through the product. All but the product runs in an example of the stores:
/// `cargo build --release -p watchword-stores --features bare --example bare`.
#[derive(Args)]
pub(crate) struct Calls {
    /// The store.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "redis,postgres"
    )]
    store: Vec<StoreKind>,
    /// The example.
    #[arg(long, default_value = "target/release/examples/bare")]
    example: PathBuf,
    /// Connections that carry the load to the product; flows under way in the example.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Connections of the bare client.
    #[arg(long, default_value_t = 4)]
    bare_connections: usize,
}

/// How far the numbers of flows and starts are apart, so that nobody is met twice.
const APART: u64 = 30_000_000;

/// Flows or starts a second, and microseconds of the store's processor time for each.
struct Done {
    per_second: f64,
    store_cpu_us: f64,
}

impl Calls {
    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        report.begin(format!(
            "flows over {} connections, {} s a phase",
            self.connections, self.seconds
        ));
        let mut stores = Stores::default();
        let crew = Crew::new(common.threads)?;
        for _ in 0..self.rounds {
            for kind in &self.store {
                // Through the store first, which makes what it needs there.
                let store = stores.fresh(*kind)?;
                let through = self.example("store", &store).await?;
                let bare = self.example("bare", &store).await?;
                // The yardstick of those who know Redis. It has no use for a PostgreSQL.
                let benchmark = match kind {
                    StoreKind::Redis => Some(self.example("redis-benchmark", &store).await?),
                    _ => None,
                };
                drop(store);
                let (product, starts) = self.product(common, &crew, stores.fresh(*kind)?).await?;
                let mut figures = Figures::new();
                let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
                for (name, done) in [("bare", &bare), ("store", &through), ("product", &product)] {
                    put(&format!("{name}_flows_per_second"), done.per_second);
                    put(&format!("{name}_store_cpu_us_per_flow"), done.store_cpu_us);
                }
                put("store_to_bare", through.per_second / bare.per_second);
                put("product_to_bare", product.per_second / bare.per_second);
                put("product_starts_per_second", starts.per_second);
                put("product_store_cpu_us_per_start", starts.store_cpu_us);
                if let Some(benchmark) = benchmark {
                    put("redis_benchmark_starts_per_second", benchmark.per_second);
                    let ratio = starts.per_second / benchmark.per_second;
                    put("product_starts_to_redis_benchmark", ratio);
                    let cpu = benchmark.store_cpu_us;
                    put("redis_benchmark_store_cpu_us_per_start", cpu);
                }
                report.push("calls", self.connections, &kind.name(), figures);
            }
        }
        Ok(())
    }

    async fn example(&self, way: &str, store: &StoreServer) -> Result<Done, Failure> {
        let path = self.example.display();
        let url = store.url().ok_or("this store has no calls")?;
        let before = process::cpu_micros(&store.pids());
        let running = Command::new(&self.example)
            .args([way, &url, &self.connections.to_string()])
            .args([self.seconds.to_string(), self.bare_connections.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let patience = Duration::from_secs(self.seconds * 2 + 30);
        let output = tokio::time::timeout(patience, running)
            .await?
            .map_err(|error| format!("{path}: {error}; see bench calls --help"))?;
        if !output.status.success() {
            return Err(format!("{path} ended with {}", output.status).into());
        }
        let said = String::from_utf8(output.stdout)?;
        // store: 12345 flows/s (61725 flows, 64 tasks)
        let mut words = said
            .split([' ', '('])
            .filter_map(|word| word.parse::<f64>().ok());
        let (Some(per_second), Some(flows)) = (words.next(), words.next()) else {
            return Err(format!("{path} said {said:?}").into());
        };
        let spent = process::cpu_micros(&store.pids()).saturating_sub(before);
        Ok(Done {
            per_second,
            store_cpu_us: spent as f64 / flows.max(1.0),
        })
    }

    async fn product(
        &self,
        common: &Common,
        crew: &Crew,
        store: StoreServer,
    ) -> Result<(Done, Done), Failure> {
        let product = Product::usual(&common.binary);
        let server = Server::product(&product, store).await?;
        let flows = self.phase(&server, crew, Scenario::Flow, 0).await?;
        let starts = self.phase(&server, crew, Scenario::Start, APART).await?;
        server.kill().await?;
        Ok((flows, starts))
    }

    async fn phase(
        &self,
        server: &Server,
        crew: &Crew,
        scenario: Scenario,
        from: u64,
    ) -> Result<Done, Failure> {
        let span = Duration::from_secs(self.seconds);
        let address = server.address(false)?;
        let mut load = Load::connect(crew, address, self.connections, from).await?;
        load.saturate(scenario, span / 3).await?;
        let pids = server.store.pids();
        let before = process::cpu_micros(&pids);
        let turns = load.saturate(scenario, span).await?;
        let spent = process::cpu_micros(&pids).saturating_sub(before);
        Ok(Done {
            per_second: turns.turns_per_second(),
            store_cpu_us: spent as f64 / turns.tally.turns.count().max(1) as f64,
        })
    }
}
