//! Whether hashing passwords gets in the way of checking codes.

use std::time::{Duration, Instant};

use clap::Args;

use crate::Failure;
use crate::load::{Crew, Load};
use crate::matrix::Common;
use crate::report::Report;
use crate::round::Figures;
use crate::scenario::Scenario;
use crate::server::{Product, Server};
use crate::stores::{Chosen, Stores};
use crate::watch::{Watch, Watching};

/// Checks codes at a steady rate, without and with many registrations at once. The bare server takes part, which
/// hashes nothing: what so many requests at once do to the machine and the load, whoever answers.
///
/// A round is short, and so are the chances of the host to disturb it.
#[derive(Args)]
pub(crate) struct Argon2 {
    #[command(flatten)]
    chosen: Chosen,
    /// Registrations in parallel, each on a connection of its own.
    #[arg(long, default_value_t = 1000)]
    registrations: usize,
    /// Checks a second.
    #[arg(long, default_value_t = 3000.0)]
    rate: f64,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Rounds, in which each server has its turn; medians are shown.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    #[command(flatten)]
    watching: Watching,
}

/// How far the numbers of two rounds are apart, and where those begin of who warms the servers and of who registers:
/// nobody is met twice.
const A_ROUND: u64 = 1_000_000;
const WARM: u64 = 40_000_000;
const APART: u64 = 50_000_000;

impl Argon2 {
    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        report.begin(format!(
            "{} checks a second, {} registrations at once",
            self.rate, self.registrations
        ));
        let watch = self.watching.start()?;
        let mut stores = Stores::default();
        let crew = Crew::new(common.threads)?;
        // So that no check waits in the load behind those who register.
        let crowd = Crew::new(1)?;
        let product = Product::usual(&common.binary);
        let mut servers = vec![("bare".to_owned(), Server::bare().await?)];
        for kind in &self.chosen.store {
            let server = Server::product(&product, stores.fresh(*kind)?).await?;
            servers.push((kind.name(), server));
        }
        for (_, server) in &servers {
            let mut load = Load::connect(&crew, server.address(false)?, 64, WARM).await?;
            load.saturate(Scenario::Right, self.span() / 4).await?;
        }
        for round in 0..self.rounds as u64 {
            for (name, server) in &servers {
                report.begin_round();
                let figures = self.measure(server, &crew, &crowd, round, watch.as_ref());
                let figures = figures.await?;
                report.push("argon2", 64, name, figures);
            }
        }
        for (_, server) in servers {
            server.kill().await?;
        }
        Ok(())
    }

    fn span(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    async fn measure(
        &self,
        server: &Server,
        crew: &Crew,
        crowd: &Crew,
        round: u64,
        watch: Option<&Watch>,
    ) -> Result<Figures, Failure> {
        let (rate, span) = (self.rate, self.span());
        let address = server.address(false)?;
        let mut checks = Load::connect(crew, address, 64, round * A_ROUND).await?;
        if watch.is_some() {
            checks.remember_each();
        }
        checks.stock_up_for(Scenario::Right, rate, span).await?;
        let calm = checks.offer(Scenario::Right, rate, span).await?;

        checks.stock_up_for(Scenario::Right, rate, span).await?;
        // Only now: a server does not wait for long for somebody to say something.
        let first = APART + round * self.registrations as u64;
        let mut people = Load::connect(crowd, address, self.registrations, first).await?;
        let registering = async {
            let began = Instant::now();
            // All of them within the first hundredth of a second, one a connection.
            let rate = self.registrations as f64 * 100.0;
            let patience = Duration::from_secs(60);
            let span = Duration::from_millis(10);
            let registered = people
                .overwhelm_patiently(Scenario::Register, rate, span, patience)
                .await?;
            Ok::<_, Failure>((registered, began.elapsed()))
        };
        let (stressed, registered) =
            tokio::join!(checks.offer(Scenario::Right, rate, span), registering);
        let (stressed, (registered, took)) = (stressed?, registered?);

        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        let (without, with) = (&calm.tally.requests, &stressed.tally.requests);
        put("checks_done_per_second", stressed.turns_per_second());
        put("check_p50_ms_without", without.millis_at(0.5));
        put("check_p50_ms_with", with.millis_at(0.5));
        put("check_p99_ms_without", without.millis_at(0.99));
        put("check_p99_ms_with", with.millis_at(0.99));
        put(
            "check_p99_with_to_without",
            with.millis_at(0.99) / without.millis_at(0.99),
        );
        if let (Some(watch), Some(calm), Some(stressed)) =
            (watch, &calm.tally.each, &stressed.tally.each)
        {
            let ((without, before), (with, share)) =
                (watch.p99_millis(calm), watch.p99_millis(stressed));
            put("watched_share_without", before);
            put("watched_share_with", share);
            if let (Some(without), Some(with)) = (without, with) {
                put("watched_check_p99_ms_without", without);
                put("watched_check_p99_ms_with", with);
                put("watched_check_p99_with_to_without", with / without);
            }
        }
        put(
            "registrations_taken",
            registered.tally.requests.count() as f64,
        );
        put(
            "registrations_refused",
            registered.tally.refusals.count() as f64,
        );
        let refusals = &registered.tally.refusals;
        put("registrations_refused_p99_ms", refusals.millis_at(0.99));
        put("registrations_took_ms", took.as_secs_f64() * 1000.0);
        if let Some(example) = registered.tally.example {
            println!("one of the refused registrations: {example}");
        }
        Ok(figures)
    }
}
