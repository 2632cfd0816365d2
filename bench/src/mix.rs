//! Starts, as many as get done or as are offered, with checks beside them.

use std::thread::JoinHandle;
use std::time::Duration;

use crate::Failure;
use crate::load::{Crew, Load, Phase};
use crate::process;
use crate::scenario::Scenario;
use crate::server::Server;

/// One server under loads that follow each other. Checks go on at a steady rate beside all of them, as a check
/// costs more than a start: so what gets done is compared with the same mix.
pub(crate) struct Mixer<'a> {
    pub(crate) server: &'a Server,
    crew: &'a Crew,
    check_rate: f64,
    span: Duration,
    /// The numbers of the next start and of the next check.
    next: [u64; 2],
    /// Whether requests are remembered one by one.
    remembers: bool,
}

/// So often it is looked how many starts get done, for the rate of the checks; the middle counts.
const LOOKS: usize = 5;
/// Connections that carry the checks.
const CHECKERS: usize = 64;
/// Where the numbers of the checks begin, so that nobody is met twice.
const CHECKED: u64 = 30_000_000;

impl<'a> Mixer<'a> {
    /// Warms the server up and finds how many starts it does a second over so many connections: a tenth of that is
    /// what it gets of checks.
    pub(crate) async fn new(
        server: &'a Server,
        crew: &'a Crew,
        connections: usize,
        span: Duration,
    ) -> Result<Self, Failure> {
        let address = server.address(false)?;
        let mut starts = Load::connect(crew, address, connections, 0).await?;
        starts.saturate(Scenario::Start, span / 2).await?;
        let mut looks = Vec::new();
        for _ in 0..LOOKS {
            let look = starts.saturate(Scenario::Start, span / 4).await?;
            looks.push(look.turns_per_second());
        }
        looks.sort_by(f64::total_cmp);
        Ok(Self {
            server,
            crew,
            check_rate: looks[LOOKS / 2] / 10.0,
            span,
            next: [starts.turns_begun(), CHECKED],
            remembers: false,
        })
    }

    /// Remembers requests one by one from now on.
    pub(crate) const fn remember_each(&mut self) {
        self.remembers = true;
    }

    pub(crate) const fn check_rate(&self) -> f64 {
        self.check_rate
    }

    /// The checks alone.
    pub(crate) async fn checks(&mut self) -> Result<Phase, Failure> {
        let mut checks = self.stocked_up().await?;
        let phase = checks.overwhelm(Scenario::Right, self.check_rate, self.span);
        let phase = phase.await?;
        self.next[1] = checks.turns_begun();
        Ok(phase)
    }

    /// Connections of their own in each phase, and what they use up in it: a server does not wait for long for
    /// somebody to say something, and others have their turn between two phases.
    async fn stocked_up(&self) -> Result<Load, Failure> {
        let mut checks = self.connect(CHECKERS, self.next[1]).await?;
        let (rate, span) = (self.check_rate, self.span);
        checks.stock_up_for(Scenario::Right, rate, span).await?;
        Ok(checks)
    }

    async fn connect(&self, connections: usize, first: u64) -> Result<Load, Failure> {
        let address = self.server.address(false)?;
        let load = Load::connect(self.crew, address, connections, first).await?;
        if self.remembers {
            load.remember_each();
        }
        Ok(load)
    }

    /// The starts that get done over so many connections, when so many a second are offered, or as many as can be.
    pub(crate) async fn mix(
        &mut self,
        connections: usize,
        offered: Option<f64>,
    ) -> Result<Mix, Failure> {
        let (server, span) = (self.server, self.span);
        let mut check_load = self.stocked_up().await?;
        let resident_before = process::resident_bytes(&server.pids());
        let mut load = self.connect(connections, self.next[0]).await?;
        let starts = async {
            match offered {
                Some(rate) => load.overwhelm(Scenario::Start, rate, span).await,
                None => load.saturate(Scenario::Start, span).await,
            }
        };
        let cpu = || {
            let load = process::cpu_micros(&[std::process::id()]);
            (process::cpu_micros(&server.pids()), load)
        };
        let before = cpu();
        let memory = Memory::start(server.pids());
        let checks = check_load.overwhelm(Scenario::Right, self.check_rate, span);
        let (starts, checks) = tokio::join!(starts, checks);
        let after = cpu();
        self.next = [load.turns_begun(), check_load.turns_begun()];
        Ok(Mix {
            starts: starts?,
            checks: checks?,
            server_cpu: after.0 - before.0,
            load_cpu: after.1 - before.1,
            resident: (resident_before, memory.most()),
        })
    }
}

/// What one such load showed.
pub(crate) struct Mix {
    pub(crate) starts: Phase,
    pub(crate) checks: Phase,
    /// Microseconds of processor time that the server took meanwhile.
    pub(crate) server_cpu: u64,
    /// Those of the load.
    pub(crate) load_cpu: u64,
    /// Bytes of the server, before and at most.
    pub(crate) resident: (u64, u64),
}

impl Mix {
    /// How much got done.
    pub(crate) fn per_second(&self) -> f64 {
        self.starts.turns_per_second() + self.checks.turns_per_second()
    }

    pub(crate) fn done(&self) -> u64 {
        self.starts.turns_done() + self.checks.turns_done()
    }

    /// The part of the checks that got done.
    pub(crate) fn checks_done(&self) -> f64 {
        let tally = &self.checks.tally;
        self.checks.turns_done() as f64 / (tally.turns.count() + tally.astray).max(1) as f64
    }
}

/// Looks at memory ten times a second.
struct Memory(std::sync::mpsc::Sender<()>, JoinHandle<u64>);

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
