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
use crate::watch::{Watch, Watching};

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
    #[command(flatten)]
    watching: Watching,
}

/// Connections that carry the checks.
const CHECKERS: usize = 64;
/// How far the numbers of the loads are apart, so that nobody is met twice.
const APART: u64 = 12_000_000;

impl Overload {
    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        report.begin(format!(
            "{} times the peak of starts over {} connections, {} s",
            self.times, self.connections, self.seconds
        ));
        let watch = self.watching.start()?;
        let mut stores = Stores::default();
        let crew = Crew::new(common.threads)?;
        for _ in 0..self.rounds {
            let kept = self.kept_by_bare(&crew).await?;
            for kind in &self.chosen.store {
                let product = Product::usual(&common.binary);
                let server = Server::product(&product, stores.fresh(*kind)?).await?;
                let mut figures = self.measure(&server, &crew, watch.as_ref()).await?;
                figures.insert("s_bare_with_so_many_connections".to_owned(), kept);
                report.push("overload", self.connections, &kind.name(), figures);
                server.kill().await?;
            }
        }
        Ok(())
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

    async fn measure(
        &self,
        server: &Server,
        crew: &Crew,
        watch: Option<&Watch>,
    ) -> Result<Figures, Failure> {
        let span = Duration::from_secs_f64(self.seconds);
        let address = server.address(false)?;
        let mut usual = Load::connect(crew, address, 64, 0).await?;
        usual.saturate(Scenario::Start, span / 4).await?;
        let peak = usual.saturate(Scenario::Start, span).await?;
        let peak = peak.turns_per_second();
        drop(usual);

        let check_rate = peak / 10.0;
        let mut checks = Load::connect(crew, address, CHECKERS, APART).await?;
        checks
            .stock_up_for(Scenario::Right, check_rate, span)
            .await?;
        let calm = checks.overwhelm(Scenario::Right, check_rate, span).await?;
        if watch.is_some() {
            checks.remember_each();
        }
        let mut beside = Beside {
            server,
            crew,
            checks,
            check_rate,
            span,
            is_watched: watch.is_some(),
        };
        let most = beside.mix(64, 2 * APART, None).await?;
        let offered = peak * self.times;
        let overload = beside.mix(self.connections, 3 * APART, Some(offered));
        let overload = overload.await?;
        let afterwards = beside.mix(64, 4 * APART, None).await?;

        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put("a_peak_starts_per_second", peak);
        put("b_offered_starts_per_second", offered);
        let Mix { starts, checks, .. } = &overload;
        let rate = |count: u64| count as f64 / starts.elapsed.as_secs_f64();
        let tally = &starts.tally;
        put("c_answered_starts_per_second", rate(tally.answered()));
        let good = overload.per_second();
        put("d_goodput_of_most_done", good / most.per_second());
        // There are as many live verifications by then as at the end of the overload.
        put(
            "d_goodput_of_most_done_afterwards",
            good / afterwards.per_second(),
        );
        put("d_most_done_per_second", most.per_second());
        put("d_most_done_per_second_afterwards", afterwards.per_second());
        if let Some(watch) = watch {
            let rate = |mix: &Mix| {
                let each = mix.starts.tally.each.iter().chain(&mix.checks.tally.each);
                watch.rate(each.flatten(), span)
            };
            let ((good, share), (before, _), (after, _)) =
                (rate(&overload), rate(&most), rate(&afterwards));
            put("watched_goodput_of_most_done", good / before);
            put("watched_goodput_of_most_done_afterwards", good / after);
            put("watched_share", share);
        }
        for (when, mix) in [
            ("", &overload),
            ("_at_most", &most),
            ("_afterwards", &afterwards),
        ] {
            put(
                &format!("d_server_cpu_us_each{when}"),
                mix.each(mix.server_cpu),
            );
            put(&format!("d_load_cpu_us_each{when}"), mix.each(mix.load_cpu));
        }
        put("e_starts_done_per_second", starts.turns_per_second());
        put("f_refused_per_second", rate(tally.refusals.count()));
        put("g_refusal_p50_ms", tally.refusals.millis_at(0.5));
        put("h_refusal_p99_ms", tally.refusals.millis_at(0.99));
        put("i_given_up_by_clients", tally.unserved as f64);
        put("j_checks_offered_per_second", check_rate);
        put("k_checks_done_share", share(checks));
        put("l_check_p50_ms_calm", calm.tally.requests.millis_at(0.5));
        put("m_check_p99_ms_calm", calm.tally.requests.millis_at(0.99));
        put(
            "m_check_p99_ms_at_peak",
            most.checks.tally.requests.millis_at(0.99),
        );
        put("n_check_p50_ms", checks.tally.requests.millis_at(0.5));
        put("o_check_p99_ms", checks.tally.requests.millis_at(0.99));
        put("p_resident_mib_before", mib(overload.resident.0));
        put("q_resident_mib_most", mib(overload.resident.1));
        if let Some(example) = starts
            .tally
            .example
            .as_ref()
            .or(checks.tally.example.as_ref())
        {
            println!("one of the refusals: {example}");
        }
        Ok(figures)
    }
}

/// Checks at a steady rate, beside which starts are measured.
struct Beside<'a> {
    server: &'a Server,
    crew: &'a Crew,
    checks: Load,
    check_rate: f64,
    span: Duration,
    is_watched: bool,
}

impl Beside<'_> {
    /// The starts that get done over so many connections when so many a second are offered, or as many as can
    /// be. `from` is the first of their numbers.
    async fn mix(
        &mut self,
        connections: usize,
        from: u64,
        offered: Option<f64>,
    ) -> Result<Mix, Failure> {
        let (server, span) = (self.server, self.span);
        self.checks
            .stock_up_for(Scenario::Right, self.check_rate, span)
            .await?;
        let resident_before = process::resident_bytes(&server.pids());
        // Only now: a server does not wait for long for somebody to say something.
        let address = server.address(false)?;
        let mut starts = Load::connect(self.crew, address, connections, from).await?;
        if self.is_watched {
            starts.remember_each();
        }
        let starts = async {
            match offered {
                Some(rate) => starts.overwhelm(Scenario::Start, rate, span).await,
                None => starts.saturate(Scenario::Start, span).await,
            }
        };
        let cpu = || {
            let load = process::cpu_micros(&[std::process::id()]);
            (process::cpu_micros(&server.pids()), load)
        };
        let before = cpu();
        let memory = Memory::start(server.pids());
        let checks = self
            .checks
            .overwhelm(Scenario::Right, self.check_rate, span);
        let (starts, checks) = tokio::join!(starts, checks);
        let after = cpu();
        Ok(Mix {
            starts: starts?,
            checks: checks?,
            server_cpu: after.0 - before.0,
            load_cpu: after.1 - before.1,
            resident: (resident_before, memory.most()),
        })
    }
}

/// Starts, and checks beside them.
struct Mix {
    starts: Phase,
    checks: Phase,
    /// Microseconds of processor time that the server took meanwhile.
    server_cpu: u64,
    /// Those of the load.
    load_cpu: u64,
    /// Bytes of the server, before and at most.
    resident: (u64, u64),
}

impl Mix {
    /// How much got done.
    fn per_second(&self) -> f64 {
        self.starts.turns_per_second() + self.checks.turns_per_second()
    }

    /// The part of these microseconds that each of them took.
    fn each(&self, micros: u64) -> f64 {
        micros as f64 / (self.starts.turns_done() + self.checks.turns_done()).max(1) as f64
    }
}

/// The part of the turns that ended well.
fn share(phase: &Phase) -> f64 {
    let tally = &phase.tally;
    phase.turns_done() as f64 / (tally.turns.count() + tally.astray).max(1) as f64
}

/// Looks at memory ten times a second.
struct Memory(std::sync::mpsc::Sender<()>, std::thread::JoinHandle<u64>);

impl Memory {
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
