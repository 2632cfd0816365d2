//! Which loads are measured, and in which order.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::load::Crew;
use crate::report::Report;
use crate::round::{Plan, Subject, measure};
use crate::scenario::Scenario;
use crate::stores::{StoreKind, Stores};

/// Without arguments: the flow on memory at 64 connections, in half a minute.
#[derive(Args)]
pub(crate) struct Loads {
    /// What the load does.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "flow")]
    scenario: Vec<Scenario>,
    /// Where the server keeps its state.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "memory")]
    store: Vec<StoreKind>,
    /// Connections that carry the load.
    #[arg(long, value_delimiter = ',', default_value = "64")]
    connections: Vec<usize>,
    /// Also FastAPI on a Redis of its own, with so many workers.
    #[arg(long, value_delimiter = ',', value_name = "WORKERS")]
    fastapi: Vec<usize>,
    /// Everything: the flow on every store at 1, 64, 256 and 1024 connections and against FastAPI, all other
    /// scenarios on every store at 64.
    #[arg(long, conflicts_with_all = ["scenario", "store", "connections", "fastapi"])]
    all: bool,
    /// With --all: about how long everything may take. Shorter phases then.
    #[arg(long, default_value_t = 15.0, requires = "all")]
    minutes: f64,
    /// Seconds of each measured phase.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Interleaved rounds; medians are shown.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The part of the throughput that is offered when latencies are measured.
    #[arg(long, default_value_t = 0.7)]
    load: f64,
    /// Leave out the bare server.
    #[arg(long)]
    alone: bool,
}

/// What all commands have in common.
#[derive(Args, Clone)]
pub(crate) struct Common {
    /// The binary to measure.
    #[arg(long, global = true, default_value = "target/release/watchword")]
    pub(crate) binary: PathBuf,
    /// Threads that make the load.
    #[arg(long, global = true, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Also write the figures as JSON.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Show the change against the JSON of an earlier run.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) compare: Option<PathBuf>,
}

impl Common {
    /// Whether there is something to measure, and a place for the figures.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !self.binary.exists() {
            let path = self.binary.display();
            return Err(format!("{path} is missing; build it: cargo build --release").into());
        }
        if let Some(path) = &self.json {
            // What stands there is kept until there are new figures.
            let mut options = std::fs::OpenOptions::new();
            if let Err(error) = options.create(true).append(true).open(path) {
                return Err(format!("--json {}: {error}", path.display()).into());
            }
        }
        Ok(())
    }
}

/// One load on several servers, in turn.
struct Group {
    scenario: Scenario,
    connections: usize,
    subjects: Vec<Subject>,
}

const EVERY_STORE: [StoreKind; 4] = [
    StoreKind::Memory,
    StoreKind::Sqlite,
    StoreKind::Redis,
    StoreKind::Postgres,
];

impl Loads {
    fn groups(&self) -> Vec<Group> {
        let group = |scenario: Scenario, connections, stores: &[StoreKind], fastapi: &[usize]| {
            let bare = (!self.alone).then_some(Subject::Bare);
            let stores = stores.iter().map(|store| Subject::Watchword(*store));
            let fastapi = fastapi.iter().map(|workers| Subject::FastApi(*workers));
            let subjects = bare.into_iter().chain(stores).chain(fastapi);
            Group {
                scenario,
                connections,
                subjects: subjects.filter(|it| it.knows(scenario)).collect(),
            }
        };
        if self.all {
            let flows = [64, 1, 256, 1024].map(|connections| {
                let fastapi: &[usize] = if connections == 64 { &[1, 4] } else { &[] };
                group(Scenario::Flow, connections, &EVERY_STORE, fastapi)
            });
            let others = <Scenario as clap::ValueEnum>::value_variants()
                .iter()
                .filter(|it| **it != Scenario::Flow)
                .map(|scenario| group(*scenario, 64, &EVERY_STORE, &[]));
            return flows.into_iter().chain(others).collect();
        }
        let mut groups = Vec::new();
        for scenario in &self.scenario {
            for connections in &self.connections {
                groups.push(group(*scenario, *connections, &self.store, &self.fastapi));
            }
        }
        groups
    }

    /// Seconds of a phase, so that everything fits into the time that is given.
    fn seconds(&self, groups: &[Group]) -> f64 {
        if !self.all {
            return self.seconds;
        }
        let turns = |group: &Group| (group.subjects.len() * self.rounds) as f64;
        // Starting a server takes a second or so. Then a warm-up of 0.4 phases and two phases; where there is
        // something to prepare, one and a half phases before each.
        let starts: f64 = groups.iter().map(turns).sum();
        let phases = |group: &Group| turns(group) * group.scenario.uses().map_or(2.4, |_| 6.0);
        let phases: f64 = groups.iter().map(phases).sum();
        ((self.minutes * 60.0 - starts * 0.7) / phases).clamp(0.4, 10.0)
    }

    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        let groups = self.groups();
        let span = Duration::from_secs_f64(self.seconds(&groups));
        let crew = Crew::new(common.threads)?;
        let mut stores = Stores::default();
        report.begin(format!(
            "{:.1} s a phase, {} rounds, part load {:.0} %, {} threads for the load, {} cores",
            span.as_secs_f64(),
            self.rounds,
            self.load * 100.0,
            common.threads,
            std::thread::available_parallelism().map_or(0, usize::from),
        ));
        let began = Instant::now();
        for group in &groups {
            let scenario = group.scenario.name();
            for round in 1..=self.rounds {
                // A fresh server each time: a bigger store or a warmer cache favours nobody.
                for subject in &group.subjects {
                    let plan = Plan {
                        scenario: group.scenario,
                        connections: group.connections,
                        span,
                        part: self.load,
                    };
                    let server = subject
                        .start(group.scenario, &common.binary, &mut stores)
                        .await?;
                    let name = subject.name();
                    let measured = measure(server, plan, &crew).await;
                    let figures = match measured {
                        Ok(figures) => figures,
                        Err(error) => {
                            let load = format!("{scenario}, {} connections", group.connections);
                            println!("{load}, round {round}, {name}: no figures: {error}");
                            continue;
                        }
                    };
                    let read = |key: &str| figures.get(key).copied().unwrap_or_default();
                    println!(
                        "[{:>4.0} s] {scenario}, {} connections, round {round}, {name}: {:.0} requests/s, {:.1} µs CPU each, p99 {:.2} ms",
                        began.elapsed().as_secs_f64(),
                        group.connections,
                        read("requests_per_second"),
                        read("cpu_us_per_request"),
                        read("part_p99_ms"),
                    );
                    report.push(&scenario, group.connections, &name, figures);
                }
            }
        }
        Ok(())
    }
}
