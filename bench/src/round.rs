//! One server in one round: warm-up, full load, part load.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::idle::mib;
use crate::load::{Crew, Load};
use crate::process;
use crate::scenario::Scenario;
use crate::server::{Product, Server};
use crate::stores::{StoreKind, Stores};
use crate::{Failure, fastapi};

/// Figures by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Bare,
    Watchword(StoreKind),
    /// FastAPI with so many workers of uvicorn.
    FastApi(usize),
}

impl Subject {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Bare => "bare".to_owned(),
            Self::Watchword(store) => store.name(),
            Self::FastApi(workers) => format!("fastapi {workers}"),
        }
    }

    /// Whether it knows the requests of a scenario.
    pub(crate) fn knows(self, scenario: Scenario) -> bool {
        !matches!(self, Self::FastApi(_)) || scenario.is_yardstick()
    }

    /// Starts it, with a store of its own that is empty.
    pub(crate) async fn start(
        self,
        scenario: Scenario,
        binary: &Path,
        stores: &mut Stores,
    ) -> Result<Server, Failure> {
        match self {
            Self::Bare => Server::bare().await,
            Self::FastApi(workers) => fastapi::start(workers).await,
            Self::Watchword(kind) => {
                let product = Product {
                    binary,
                    settings: match scenario {
                        Scenario::Resend => "[policy]\nresend_cooldown = \"0s\"\n",
                        _ => "",
                    },
                    expose_codes: matches!(scenario, Scenario::Whatsapp | Scenario::Uuid),
                };
                Server::product(&product, stores.fresh(kind)?).await
            }
        }
    }
}

/// How long and how hard.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) scenario: Scenario,
    pub(crate) connections: usize,
    pub(crate) span: Duration,
    /// The part of the throughput that is offered when latencies are measured.
    pub(crate) part: f64,
}

/// What processes used in a phase.
struct Meter {
    server: Vec<u32>,
    store: Vec<u32>,
    before: [u64; 3],
}

impl Meter {
    fn start(server: &Server) -> Self {
        let mut meter = Self {
            server: server.pids(),
            store: server.store.pids(),
            before: [0; 3],
        };
        meter.before = meter.read();
        meter
    }

    fn read(&self) -> [u64; 3] {
        [
            process::cpu_micros(&self.server),
            process::cpu_micros(&self.store),
            process::cpu_micros(&[std::process::id()]),
        ]
    }

    /// Microseconds for each of so many requests: of the server, its store, and this program.
    fn each(&self, requests: u64) -> [f64; 3] {
        let after = self.read();
        let part = |of: usize| (after[of] - self.before[of]) as f64 / requests.max(1) as f64;
        [part(0), part(1), part(2)]
    }
}

/// Measures a server, and ends it.
pub(crate) async fn measure(server: Server, plan: Plan, crew: &Crew) -> Result<Figures, Failure> {
    let Plan { scenario, span, .. } = plan;
    let address = server.address(scenario.is_second())?;
    let mut load = Load::connect(crew, address, plan.connections, 0).await?;
    let warm = span.mul_f64(0.4).max(Duration::from_millis(500));
    load.saturate(scenario, warm).await?;

    load.stock_up(scenario, span).await?;
    let meter = Meter::start(&server);
    let full = load.saturate(scenario, span).await?;
    let [cpu, store_cpu, generator_cpu] = meter.each(full.tally.answered());
    let rate = full.turns_per_second() * plan.part;
    load.stock_up(scenario, span).await?;
    let open = load.offer(scenario, rate, span).await?;

    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("requests_per_second", full.requests_per_second());
    put("turns_per_second", full.turns_per_second());
    put("cpu_us_per_request", cpu);
    put("store_cpu_us_per_request", store_cpu);
    put("generator_cpu_us_per_request", generator_cpu);
    // At 1 it was the load that could not do more.
    let busy = generator_cpu * full.requests_per_second() / 1e6 / crew.threads() as f64;
    put("generator_busy", busy);
    put("full_p50_ms", full.tally.turns.millis_at(0.5));
    put("full_p99_ms", full.tally.turns.millis_at(0.99));
    put("part_turns_per_second", rate);
    put("part_p50_ms", open.tally.turns.millis_at(0.5));
    put("part_p99_ms", open.tally.turns.millis_at(0.99));
    put("part_p999_ms", open.tally.turns.millis_at(0.999));
    put("part_slowest_ms", open.tally.turns.slowest_millis());
    put("part_request_p99_ms", open.tally.requests.millis_at(0.99));
    put("unread", (full.tally.unread + open.tally.unread) as f64);
    put("part_unserved", open.tally.unserved as f64);
    let resident = process::resident_bytes(&server.pids());
    put("resident_mib", mib(resident));
    server.kill().await?;
    Ok(figures)
}
