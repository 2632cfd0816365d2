//! More than the server can take: what still gets done, and how the rest is told.

use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::idle::mib;
use crate::load::{Crew, Load, Phase};
use crate::matrix::Common;
use crate::process;
use crate::report::Report;
use crate::round::Figures;
use crate::scenario::Scenario;
use crate::server::{Product, Server};
use crate::stores::{Chosen, Stores};

/// Finds the peak of starts, then offers a multiple of it, in an open loop. Checks go on at a tenth of the peak
/// beside both, as a check costs more than a start: so what gets done is compared with the same mix.
#[derive(Args)]
pub(crate) struct Overload {
    #[command(flatten)]
    chosen: Chosen,
    /// How many times the peak is offered.
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// Connections that carry the starts.
    #[arg(long, default_value_t = 2048)]
    connections: usize,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Rounds; medians are shown.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

/// Connections that carry the checks.
const CHECKERS: usize = 64;
/// How far the numbers of the loads are apart, so that nobody is met twice.
const APART: u64 = 15_000_000;

impl Overload {
    pub(crate) async fn run(&self, common: &Common) -> Result<Report, Failure> {
        let mut report = Report::new(format!(
            "{} times the peak of starts over {} connections, {} s",
            self.times, self.connections, self.seconds
        ));
        let mut stores = Stores::default();
        let crew = Crew::new(common.threads)?;
        for _ in 0..self.rounds {
            let kept = self.kept_by_bare(&crew).await?;
            for kind in &self.chosen.store {
                let product = Product::usual(&common.binary);
                let server = Server::product(&product, stores.fresh(*kind)?).await?;
                let mut figures = self.measure(&server, &crew).await?;
                figures.insert("s_bare_with_so_many_connections".to_owned(), kept);
                report.push("overload", self.connections, &kind.name(), figures);
                server.kill().await?;
            }
        }
        Ok(report)
    }

    /// The part of its throughput over 64 connections that the bare server has over so many: what they
    /// cost the system and the load, whoever answers.
    async fn kept_by_bare(&self, crew: &Crew) -> Result<f64, Failure> {
        let span = Duration::from_secs_f64(self.seconds / 2.0);
        let bare = Server::bare().await?;
        let address = bare.address(false)?;
        let mut rates = Vec::new();
        for connections in [64, self.connections] {
            let mut load = Load::connect(crew, address, connections, 0).await?;
            load.saturate(Scenario::Start, span / 4).await?;
            let phase = load.saturate(Scenario::Start, span).await?;
            rates.push(phase.turns_per_second());
        }
        bare.kill().await?;
        Ok(rates[1] / rates[0])
    }

    async fn measure(&self, server: &Server, crew: &Crew) -> Result<Figures, Failure> {
        let span = Duration::from_secs_f64(self.seconds);
        let address = server.address(false)?;
        let mut usual = Load::connect(crew, address, 64, 0).await?;
        usual.saturate(Scenario::Start, span / 4).await?;
        let peak = usual.saturate(Scenario::Start, span).await?;
        let peak = peak.turns_per_second();

        let mut checks = Load::connect(crew, address, CHECKERS, APART).await?;
        let check_rate = peak / 10.0;
        checks.stock_up(Scenario::Right, span).await?;
        let calm = checks.overwhelm(Scenario::Right, check_rate, span).await?;
        checks.stock_up(Scenario::Right, span).await?;
        let (full, beside) = tokio::join!(
            usual.saturate(Scenario::Start, span),
            checks.overwhelm(Scenario::Right, check_rate, span),
        );
        let (full, beside) = (full?, beside?);
        let most_done = full.turns_per_second() + beside.turns_per_second();

        let before = process::resident_bytes(&server.pids());
        checks.stock_up(Scenario::Right, span).await?;
        // Last: a server does not wait for long for somebody to say something.
        let mut starts = Load::connect(crew, address, self.connections, 2 * APART).await?;
        let watch = Watch::start(server.pids());
        let (starts, stressed) = tokio::join!(
            starts.overwhelm(Scenario::Start, peak * self.times, span),
            checks.overwhelm(Scenario::Right, check_rate, span),
        );
        let most = watch.most();
        let (starts, stressed) = (starts?, stressed?);
        // Idle ones were closed meanwhile.
        let mut usual = Load::connect(crew, address, 64, 3 * APART).await?;
        let after = usual.saturate(Scenario::Start, span / 2).await?;

        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put("a_peak_starts_per_second", peak);
        put("b_offered_starts_per_second", peak * self.times);
        let rate = |count: u64, phase: &Phase| count as f64 / phase.elapsed.as_secs_f64();
        let tally = &starts.tally;
        put(
            "c_answered_starts_per_second",
            rate(tally.answered(), &starts),
        );
        let good = starts.turns_per_second() + stressed.turns_per_second();
        put("d_goodput_of_most_done", good / most_done);
        put("d_most_done_per_second", most_done);
        put("e_starts_done_per_second", starts.turns_per_second());
        put(
            "f_refused_per_second",
            rate(tally.refusals.count(), &starts),
        );
        put("g_refusal_p50_ms", tally.refusals.millis_at(0.5));
        put("h_refusal_p99_ms", tally.refusals.millis_at(0.99));
        put("i_given_up_by_clients", tally.unserved as f64);
        put("j_checks_offered_per_second", check_rate);
        put("k_checks_done_share", share(&stressed));
        put("l_check_p50_ms_calm", calm.tally.requests.millis_at(0.5));
        put("m_check_p99_ms_calm", calm.tally.requests.millis_at(0.99));
        let beside = &beside.tally.requests;
        put("m_check_p99_ms_at_peak", beside.millis_at(0.99));
        put("n_check_p50_ms", stressed.tally.requests.millis_at(0.5));
        put("o_check_p99_ms", stressed.tally.requests.millis_at(0.99));
        put("p_resident_mib_before", mib(before));
        put("q_resident_mib_most", mib(most));
        put("r_starts_per_second_afterwards", after.turns_per_second());
        if let Some(example) = starts.tally.example.or(stressed.tally.example) {
            println!("one of the refusals: {example}");
        }
        Ok(figures)
    }
}

/// The part of the turns that ended well.
fn share(phase: &Phase) -> f64 {
    let tally = &phase.tally;
    let done = tally.turns.count() - tally.unserved;
    done as f64 / (tally.turns.count() + tally.astray).max(1) as f64
}

/// Looks at memory ten times a second.
struct Watch(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<u64>);

impl Watch {
    fn start(pids: Vec<u32>) -> Self {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let watch = std::thread::spawn(move || {
            let mut most = 0;
            loop {
                most = most.max(process::resident_bytes(&pids));
                let waited = ended.recv_timeout(Duration::from_millis(100));
                if waited != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return most;
                }
            }
        });
        Self(end, watch)
    }

    fn most(self) -> u64 {
        drop(self.0);
        self.1.join().unwrap_or_default()
    }
}
