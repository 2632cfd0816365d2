//! More than the server can take: what still gets done, and how the rest is told.

use std::time::Duration;

use clap::Args;

use crate::Failure;
use crate::idle::mib;
use crate::load::Crew;
use crate::matrix::Common;
use crate::mix::{Mix, Mixer};
use crate::report::Report;
use crate::round::Figures;
use crate::server::{Product, Server};
use crate::stores::{Chosen, Stores};
use crate::watch::{Watch, Watching};

/// Finds what gets done at most, then offers a multiple of it, in an open loop, then looks at the most again.
/// Servers stay up and take turns in short rounds, the bare one among them: what so many connections and such a load
/// cost whoever answers.
#[derive(Args)]
pub(crate) struct Overload {
    #[command(flatten)]
    chosen: Chosen,
    /// How many times the most is offered.
    #[arg(long, default_value_t = 3.0)]
    times: f64,
    /// Connections that carry the starts then.
    #[arg(long, default_value_t = 2048)]
    connections: usize,
    /// Connections that carry them when as much gets done as can be.
    #[arg(long, default_value_t = 64)]
    most: usize,
    /// Seconds of each phase.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds, in which each server has its turn; medians are shown.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    #[command(flatten)]
    watching: Watching,
}

/// With less of a phase left, what gets done in the rest says nothing.
const LEAST_WATCHED: f64 = 0.25;

impl Overload {
    pub(crate) async fn run(&self, common: &Common, report: &mut Report) -> Result<(), Failure> {
        report.begin(format!(
            "{} times the most over {} connections, {} s",
            self.times, self.connections, self.seconds
        ));
        let watch = self.watching.start()?;
        let mut stores = Stores::default();
        let crew = Crew::new(common.threads)?;
        let product = Product::usual(&common.binary);
        let mut servers = vec![("bare".to_owned(), Server::bare().await?)];
        for kind in &self.chosen.store {
            let server = Server::product(&product, stores.fresh(*kind)?).await?;
            servers.push((kind.name(), server));
        }
        let span = Duration::from_secs_f64(self.seconds);
        let mut mixers = Vec::new();
        for (name, server) in &servers {
            let mut mixer = Mixer::new(server, &crew, self.most, span).await?;
            if watch.is_some() {
                mixer.remember_each();
            }
            mixers.push((name, mixer));
        }
        for _ in 0..self.rounds {
            for (name, mixer) in &mut mixers {
                report.begin_round();
                let figures = self.measure(mixer, watch.as_ref()).await?;
                report.push("overload", self.connections, name, figures);
            }
        }
        drop(mixers);
        for (_, server) in servers {
            server.kill().await?;
        }
        Ok(())
    }

    async fn measure(
        &self,
        mixer: &mut Mixer<'_>,
        watch: Option<&Watch>,
    ) -> Result<Figures, Failure> {
        let calm = mixer.checks().await?;
        let before = mixer.mix(self.most, None).await?;
        let offered = before.per_second() * self.times;
        let overload = mixer.mix(self.connections, Some(offered)).await?;
        let after = mixer.mix(self.most, None).await?;

        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        let Mix { starts, checks, .. } = &overload;
        let rate = |count: u64| count as f64 / starts.elapsed.as_secs_f64();
        let tally = &starts.tally;
        // The same live verifications on average, and what the machine gave before and afterwards.
        let most = f64::midpoint(before.per_second(), after.per_second());
        put("a_most_done_per_second", most);
        put("a_most_done_per_second_before", before.per_second());
        put("a_most_done_per_second_after", after.per_second());
        put("b_offered_starts_per_second", offered);
        put("c_answered_starts_per_second", rate(tally.answered()));
        put("d_goodput", overload.per_second() / most);
        if let Some(watch) = watch {
            let span = Duration::from_secs_f64(self.seconds);
            let rate = |mix: &Mix| {
                let each = mix.starts.tally.each.iter().chain(&mix.checks.tally.each);
                watch.rate(each.flatten(), span)
            };
            let ((good, share), (before, before_share), (after, after_share)) =
                (rate(&overload), rate(&before), rate(&after));
            let least = share.min(before_share).min(after_share);
            if least >= LEAST_WATCHED {
                put("d_watched_goodput", good / f64::midpoint(before, after));
            }
            put("d_watched_share", least);
            for (name, phase) in [
                ("m_watched_check_p99_ms_calm", &calm),
                ("o_watched_check_p99_ms", checks),
            ] {
                let each = phase.tally.each.as_deref().unwrap_or_default();
                if let (Some(p99), _) = watch.p99_millis(each) {
                    put(name, p99);
                }
            }
        }
        let each = |micros: u64, done: u64| micros as f64 / done.max(1) as f64;
        let usual =
            |of: fn(&Mix) -> u64| each(of(&before) + of(&after), before.done() + after.done());
        let server = each(overload.server_cpu, overload.done());
        let load = each(overload.load_cpu, overload.done());
        let server_at_most = usual(|mix| mix.server_cpu);
        let load_at_most = usual(|mix| mix.load_cpu);
        put(
            "e_cpu_us_each_of_at_most",
            (server + load) / (server_at_most + load_at_most),
        );
        put("e_server_cpu_us_each", server);
        put("e_server_cpu_us_each_at_most", server_at_most);
        put("e_load_cpu_us_each", load);
        put("e_load_cpu_us_each_at_most", load_at_most);
        put("f_refused_per_second", rate(tally.refusals.count()));
        put("g_refusal_p50_ms", tally.refusals.millis_at(0.5));
        put("h_refusal_p99_ms", tally.refusals.millis_at(0.99));
        let due = tally.turns.count() + tally.astray;
        put(
            "i_share_given_up_by_clients",
            tally.unserved as f64 / due.max(1) as f64,
        );
        put("j_checks_offered_per_second", mixer.check_rate());
        put("k_checks_done_share", overload.checks_done());
        put("l_check_p50_ms_calm", calm.tally.requests.millis_at(0.5));
        put("m_check_p99_ms_calm", calm.tally.requests.millis_at(0.99));
        let at_most = &before.checks.tally.requests;
        put("m_check_p99_ms_at_most", at_most.millis_at(0.99));
        put("n_check_p50_ms", checks.tally.requests.millis_at(0.5));
        put("o_check_p99_ms", checks.tally.requests.millis_at(0.99));
        put("p_resident_mib_before", mib(overload.resident.0));
        put("q_resident_mib_most", mib(overload.resident.1));
        let examples = [&tally.example, &checks.tally.example];
        if let Some(example) = examples.into_iter().flatten().next() {
            println!("one of the refusals: {example}");
        }
        Ok(figures)
    }
}
