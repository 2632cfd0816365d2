//! What the number of live verifications does to speed, memory and the next start.

use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::idle::{answers, mib};
use crate::load::{Crew, Load};
use crate::matrix::Common;
use crate::process;
use crate::report::Report;
use crate::round::Figures;
use crate::scenario::Scenario;
use crate::server::{Product, Server};
use crate::stores::{Chosen, StoreKind, Stores};
use crate::tally::Tally;
use crate::watch::{Watch, Watching};

/// So often both sides have their turn when many live ones are held against few.
const TURNS: usize = 9;

/// Fills a server with live verifications, step by step, and measures the flow at each.
#[derive(Args)]
pub(crate) struct Growth {
    #[command(flatten)]
    chosen: Chosen,
    /// Live verifications at each step, ascending.
    #[arg(long, value_delimiter = ',', default_value = "10000,1000000")]
    live: Vec<u64>,
    /// Seconds of each measured phase.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Connections that carry the load.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The part of the throughput that is offered when latencies are measured.
    #[arg(long, default_value_t = 0.7)]
    load: f64,
    #[command(flatten)]
    watching: Watching,
}

/// Who is measured, and how another one like it is made.
struct Measured<'a> {
    crew: &'a Crew,
    product: &'a Product<'a>,
    kind: StoreKind,
    watch: Option<&'a Watch>,
}

impl Growth {
    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        report.begin(format!("the flow, {} s a phase", self.seconds));
        let watch = self.watching.start()?;
        let mut stores = Stores::default();
        let crew = Crew::new(common.threads)?;
        for kind in &self.chosen.store {
            let product = Product {
                binary: &common.binary,
                // They are to live until the end, and those of the flow come on top.
                settings: "max_live = 12000000\n[policy]\nttl = \"1h\"\n",
                expose_codes: false,
            };
            let measured = Measured {
                crew: &crew,
                product: &product,
                kind: *kind,
                watch: watch.as_ref(),
            };
            let server = Server::product(&product, stores.fresh(*kind)?).await?;
            let empty = held(&server);
            let address = server.address(false)?;
            let mut load = Load::connect(&crew, address, self.connections, 0).await?;
            let mut filled = 0;
            for live in &self.live {
                let began = Instant::now();
                load.repeat(Scenario::Start, live.saturating_sub(filled))
                    .await?;
                filled = *live;
                let took = began.elapsed().as_secs_f64();
                let name = kind.name();
                println!("{name}: {live} live verifications after {took:.0} s");
                let grown = held(&server);
                // Those of the flow, at the steps before, stay for a while as well.
                let rows = load.turns_begun();
                let mut figures = self.measure(&mut load, &server).await?;
                let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
                for ((what, before), (_, after)) in empty.iter().zip(&grown) {
                    let grown = after.saturating_sub(*before);
                    put(&format!("{what}_mib"), mib(*after));
                    put(&format!("{what}_bytes_each"), grown as f64 / rows as f64);
                }
                if self.live.first().is_some_and(|first| first < live) {
                    let many = (&mut load, &server);
                    let against = self.against_few(many, &measured, &mut stores);
                    figures.extend(against.await?);
                }
                report.push(&format!("growth {live}"), self.connections, &name, figures);
            }
            drop(load);
            let (data, store) = server.kill().await?;
            if *kind == StoreKind::Memory {
                continue;
            }
            let began = Instant::now();
            let server = Server::product_in(data, &product, store).await?;
            answers(&server).await?;
            let took = began.elapsed().as_secs_f64() * 1000.0;
            let figures = Figures::from([("restart_to_first_answer_ms".to_owned(), took)]);
            report.push(&format!("growth {filled}"), 0, &kind.name(), figures);
            server.kill().await?;
        }
        Ok(())
    }

    /// Throughput and latency against those of a server with as few live ones as at the first step, in turns: a
    /// machine is seldom as quick in one minute as in the next. The few become more on the way, by some ten
    /// thousand in each turn, as those of the flow stay for a while.
    async fn against_few(
        &self,
        (many, of_many): (&mut Load, &Server),
        measured: &Measured<'_>,
        stores: &mut Stores,
    ) -> Result<Figures, Failure> {
        let server = Server::product(measured.product, stores.fresh(measured.kind)?).await?;
        let address = server.address(false)?;
        let mut few = Load::connect(measured.crew, address, self.connections, 0).await?;
        let live = self.live.first().copied().unwrap_or_default();
        few.repeat(Scenario::Start, live).await?;
        let span = Duration::from_secs_f64(self.seconds / 4.0);
        let mut sides = [(&mut *many, of_many), (&mut few, &server)];
        let full = in_turns(&mut sides, async |load, server| {
            let before = process::cpu_micros(&server.pids());
            let full = load.saturate(Scenario::Flow, span).await?;
            let spent = process::cpu_micros(&server.pids()) - before;
            let each = spent as f64 / full.tally.answered() as f64;
            Ok((full.turns_per_second(), each))
        });
        let full = full.await?;
        // The same for both: that of the slower one.
        let rate = self.load * middle(&full, |[many, few]| many.0.min(few.0));
        if measured.watch.is_some() {
            sides.iter().for_each(|(load, _)| load.remember_each());
        }
        let part = in_turns(&mut sides, async |load, _| {
            let open = load.offer(Scenario::Flow, rate, span).await?;
            Ok(open.tally)
        });
        let part = part.await?;
        // The next step may fill in millions.
        many.forget_each();
        server.kill().await?;
        let ratios = sorted(&full, |[many, few]| many.0 / few.0);
        let mut together = [Tally::default(), Tally::default()];
        for turn in &part {
            for (together, tally) in together.iter_mut().zip(turn) {
                together.add(tally)?;
            }
        }
        let late = |tally: &Tally| tally.requests.millis_at(0.99);
        let mut figures = Figures::from(
            [
                ("flow_of_few_lowest", ratios[0]),
                ("flow_of_few", ratios[TURNS / 2]),
                ("flow_of_few_highest", ratios[TURNS - 1]),
                (
                    "flow_cpu_of_few",
                    middle(&full, |[many, few]| many.1 / few.1),
                ),
                (
                    "turns_request_p99_ms_of_many",
                    middle(&part, |[many, _]| late(many)),
                ),
                (
                    "turns_request_p99_ms_of_few",
                    middle(&part, |[_, few]| late(few)),
                ),
                ("together_request_p99_ms_of_many", late(&together[0])),
                ("together_request_p99_ms_of_few", late(&together[1])),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        if let Some(watch) = measured.watch {
            for (who, tally) in ["many", "few"].into_iter().zip(&together) {
                let each = tally.each.as_deref().unwrap_or_default();
                let (p99, share) = watch.p99_millis(each);
                if let Some(p99) = p99 {
                    figures.insert(format!("watched_request_p99_ms_of_{who}"), p99);
                }
                figures.insert(format!("watched_share_of_{who}"), share);
            }
        }
        Ok(figures)
    }

    async fn measure(&self, load: &mut Load, server: &Server) -> Result<Figures, Failure> {
        let span = Duration::from_secs_f64(self.seconds);
        load.saturate(Scenario::Flow, span / 4).await?;
        let before = process::cpu_micros(&server.pids());
        let full = load.saturate(Scenario::Flow, span).await?;
        let spent = process::cpu_micros(&server.pids()) - before;
        let rate = full.turns_per_second() * self.load;
        let open = load.offer(Scenario::Flow, rate, span).await?;
        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put("flow_requests_per_second", full.requests_per_second());
        put(
            "flow_cpu_us_per_request",
            spent as f64 / full.tally.answered() as f64,
        );
        put("flow_part_p50_ms", open.tally.turns.millis_at(0.5));
        put("flow_part_p99_ms", open.tally.turns.millis_at(0.99));
        let requests = &open.tally.requests;
        put("flow_part_request_p99_ms", requests.millis_at(0.99));
        put("flow_part_p999_ms", open.tally.turns.millis_at(0.999));
        put("flow_part_slowest_ms", open.tally.turns.slowest_millis());
        Ok(figures)
    }
}

/// Measures both sides so often, one after the other: what came of many live ones, and of few. Who is not measured
/// stands still, as a snapshot or a checkpoint of its would be in the other's way.
async fn in_turns<T>(
    sides: &mut [(&mut Load, &Server); 2],
    measure: impl AsyncFn(&mut Load, &Server) -> Result<T, Failure>,
) -> Result<Vec<[T; 2]>, Failure> {
    let [(many, of_many), (few, of_few)] = sides;
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        of_few.hold(true)?;
        let of_the_many = measure(many, of_many).await;
        of_few.hold(false)?;
        of_many.hold(true)?;
        let of_the_few = measure(few, of_few).await;
        of_many.hold(false)?;
        turns.push([of_the_many?, of_the_few?]);
    }
    Ok(turns)
}

fn sorted<T>(turns: &[[T; 2]], figure: impl Fn(&[T; 2]) -> f64) -> Vec<f64> {
    let mut figures: Vec<f64> = turns.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn middle<T>(turns: &[[T; 2]], figure: impl Fn(&[T; 2]) -> f64) -> f64 {
    sorted(turns, figure)[TURNS / 2]
}

/// Bytes that the server holds, and what its store does.
fn held(server: &Server) -> Vec<(&'static str, u64)> {
    let resident = process::resident_bytes(&server.pids());
    let store = server.store.held_bytes();
    let store = store.map(|bytes| ("store", bytes));
    std::iter::once(("resident", resident))
        .chain(store)
        .collect()
}
