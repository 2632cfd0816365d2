//! The load: a closed loop that finds the limit, and an open one that measures under it.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::scenario::{Client, Prepared, Scenario};
use crate::tally::{SharedTally, Tally};
use crate::wire::Connection;

/// Threads that carry connections. Each has a runtime of its own: nothing moves between them.
pub(crate) struct Crew {
    handles: Vec<Handle>,
    _ends: Vec<oneshot::Sender<()>>,
}

impl Crew {
    pub(crate) fn new(threads: usize) -> Result<Self, Failure> {
        let (mut handles, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..threads.max(1) {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (end, ended) = oneshot::channel();
            handles.push(runtime.handle().clone());
            ends.push(end);
            // Ends when the crew does: then the sender is dropped.
            std::thread::spawn(move || runtime.block_on(ended));
        }
        Ok(Self {
            handles,
            _ends: ends,
        })
    }

    pub(crate) fn threads(&self) -> usize {
        self.handles.len()
    }
}

/// Connections to one server.
pub(crate) struct Load {
    clients: Vec<(Handle, Client)>,
    /// What the clients of each thread saw.
    tallies: Vec<SharedTally>,
    /// The number of the next turn: each has a recipient of its own.
    next: Arc<AtomicU64>,
    stock: Option<Arc<Stock>>,
}

/// What one phase showed.
pub(crate) struct Phase {
    pub(crate) tally: Tally,
    pub(crate) elapsed: Duration,
}

impl Phase {
    fn sound(self) -> Result<Self, Failure> {
        let tally = self.tally.sound()?;
        Ok(Self { tally, ..self })
    }

    /// Turns that were begun and ended well.
    pub(crate) fn turns_done(&self) -> u64 {
        self.tally.turns.count() - self.tally.unserved
    }

    pub(crate) fn turns_per_second(&self) -> f64 {
        self.turns_done() as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.tally.requests.count() as f64 / self.elapsed.as_secs_f64()
    }
}

/// How often turns that are due are let go. Finer costs the server processor time.
const TICK: Duration = Duration::from_micros(200);

/// When turns are due.
#[derive(Clone)]
enum Pace {
    /// At once, until then.
    Until(Instant),
    /// At once, so many times in all.
    Times(Arc<AtomicU64>),
    /// Turn by turn at a rate, whether or not earlier ones are done.
    Rate(Arc<Schedule>),
}

impl Pace {
    /// Whether there is one more turn now, where none has to be waited for.
    fn has_next(&self) -> bool {
        match self {
            Self::Until(end) => Instant::now() < *end,
            Self::Times(left) => {
                let one_less = |left: u64| left.checked_sub(1);
                let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
                taken.is_ok()
            }
            Self::Rate(_) => false,
        }
    }
}

/// An open loop.
struct Schedule {
    begin: Instant,
    rate: f64,
    total: u64,
    taken: AtomicU64,
    /// Turns that are due and not taken.
    due: Semaphore,
    /// When to give up on those that are late.
    end: Instant,
    /// Turns that were given up.
    given_up: Mutex<Vec<Range<u64>>>,
}

impl Schedule {
    fn due_at(&self, turn: u64) -> Instant {
        self.begin + Duration::from_secs_f64(turn as f64 / self.rate)
    }

    /// How many turns are due by then: the first is when the schedule begins.
    fn due_by(&self, now: Instant) -> u64 {
        let elapsed = now.checked_duration_since(self.begin);
        elapsed.map_or(0, |elapsed| {
            (count(elapsed.as_secs_f64() * self.rate) + 1).min(self.total)
        })
    }

    /// Nobody will take this turn, and those after it that nobody has taken. They are told one by one when the
    /// phase is over: there may be half a million.
    fn give_up(&self, turn: u64) {
        let rest = self.taken.fetch_max(self.total, Ordering::Relaxed);
        let mut given_up = self.given_up();
        given_up.push(turn..turn + 1);
        given_up.push(rest..self.total);
    }

    fn given_up(&self) -> MutexGuard<'_, Vec<Range<u64>>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_given_up(&self, tally: &mut Tally) {
        let now = Instant::now();
        for turn in std::mem::take(&mut *self.given_up()).into_iter().flatten() {
            tally.unserved(now - self.due_at(turn));
        }
    }

    /// Lets turns go as they become due. A thread of its own: the timers of the runtime know
    /// milliseconds only.
    fn pace(&self, takers: usize) {
        let mut released = 0;
        while released < self.total {
            std::thread::sleep(TICK);
            let due = self.due_by(Instant::now());
            self.due
                .add_permits(usize::try_from(due - released).unwrap_or(0));
            released = due;
        }
        // Tells everybody that it is over.
        self.due.add_permits(takers);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count, far below 2^52"
)]
const fn count(turns: f64) -> u64 {
    turns as u64
}

/// Verifications that turns use up.
struct Stock {
    items: Vec<Prepared>,
    uses: usize,
    taken: AtomicU64,
}

impl Stock {
    fn take(&self) -> Option<&Prepared> {
        let turn = self.taken.fetch_add(1, Ordering::Relaxed);
        self.items.get(usize::try_from(turn).ok()? / self.uses)
    }
}

impl Load {
    /// Opens so many connections. `first` is the number of the first turn.
    pub(crate) async fn connect(
        crew: &Crew,
        address: SocketAddr,
        connections: usize,
        first: u64,
    ) -> Result<Self, Failure> {
        let mut clients = Vec::with_capacity(connections);
        let tallies: Vec<SharedTally> = crew
            .handles
            .iter()
            .map(|_| SharedTally::default())
            .collect();
        let threads = crew.handles.iter().zip(&tallies);
        for (handle, tally) in threads.cycle().take(connections) {
            // Where it is opened is where it is driven.
            let connection = handle.spawn(Connection::open(address)).await??;
            clients.push((handle.clone(), Client::new(connection, tally.clone())));
        }
        Ok(Self {
            clients,
            tallies,
            next: Arc::new(AtomicU64::new(first)),
            stock: None,
        })
    }

    /// Remembers the requests of each phase one by one from now on.
    pub(crate) fn remember_each(&self) {
        self.tallies.iter().for_each(SharedTally::remember_each);
    }

    /// Remembers none from now on.
    pub(crate) fn forget_each(&self) {
        self.tallies.iter().for_each(SharedTally::forget_each);
    }

    /// Turns that were begun so far, counted from the first number: that of the next one.
    pub(crate) fn turns_begun(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Every connection does one turn after the other: as much as the server can take.
    pub(crate) async fn saturate(
        &mut self,
        scenario: Scenario,
        span: Duration,
    ) -> Result<Phase, Failure> {
        if self.stock.is_none() {
            self.stock_up(scenario, span).await?;
        }
        let pace = Pace::Until(Instant::now() + span);
        self.run(scenario, &pace).await?.sound()
    }

    /// So many turns, as fast as the server takes them.
    pub(crate) async fn repeat(
        &mut self,
        scenario: Scenario,
        times: u64,
    ) -> Result<Phase, Failure> {
        let pace = Pace::Times(Arc::new(AtomicU64::new(times)));
        self.run(scenario, &pace).await?.sound()
    }

    /// Turns are due at a fixed rate, whether or not earlier ones are done, and their latency counts from
    /// then: a server that stalls cannot hide it.
    pub(crate) async fn offer(
        &mut self,
        scenario: Scenario,
        rate: f64,
        span: Duration,
    ) -> Result<Phase, Failure> {
        let grace = span.max(Duration::from_secs(1));
        let phase = self
            .overwhelm_patiently(scenario, rate, span, grace)
            .await?;
        phase.sound()
    }

    /// The same for a server that is expected to refuse. What is late when the time is up is given up.
    pub(crate) async fn overwhelm(
        &mut self,
        scenario: Scenario,
        rate: f64,
        span: Duration,
    ) -> Result<Phase, Failure> {
        let none = Duration::ZERO;
        self.overwhelm_patiently(scenario, rate, span, none).await
    }

    /// The same, with more time for what is late.
    pub(crate) async fn overwhelm_patiently(
        &mut self,
        scenario: Scenario,
        rate: f64,
        span: Duration,
        grace: Duration,
    ) -> Result<Phase, Failure> {
        let mut total = count(rate * span.as_secs_f64());
        if let Some(stock) = &self.stock {
            total = total.min((stock.items.len() * stock.uses) as u64);
        }
        let begin = Instant::now() + Duration::from_millis(5);
        let schedule = Arc::new(Schedule {
            begin,
            rate,
            total,
            taken: AtomicU64::new(0),
            due: Semaphore::new(0),
            end: begin + span + grace,
            given_up: Mutex::default(),
        });
        let (pacer, takers) = (Arc::clone(&schedule), self.clients.len());
        let pacer = std::thread::spawn(move || pacer.pace(takers));
        let phase = self.run(scenario, &Pace::Rate(Arc::clone(&schedule))).await;
        let _ = pacer.join();
        let mut phase = phase?;
        schedule.tell_given_up(&mut phase.tally);
        Ok(phase)
    }

    /// Prepares what turns of the scenario use up in a phase, in about the time of that. A phase without any left
    /// ends early.
    pub(crate) async fn stock_up(
        &mut self,
        scenario: Scenario,
        span: Duration,
    ) -> Result<(), Failure> {
        let Some(uses) = scenario.uses() else {
            return Ok(());
        };
        let span = span.mul_f64(1.5) / u32::try_from(uses)?;
        let pace = Pace::Until(Instant::now() + span);
        self.stock_at(scenario, uses, &pace).await
    }

    /// Prepares what a phase at this rate uses up, and no more.
    pub(crate) async fn stock_up_for(
        &mut self,
        scenario: Scenario,
        rate: f64,
        span: Duration,
    ) -> Result<(), Failure> {
        let Some(uses) = scenario.uses() else {
            return Ok(());
        };
        let turns = count((rate * span.as_secs_f64()).ceil());
        let items = turns.div_ceil(uses as u64);
        let pace = Pace::Times(Arc::new(AtomicU64::new(items)));
        self.stock_at(scenario, uses, &pace).await
    }

    async fn stock_at(
        &mut self,
        scenario: Scenario,
        uses: usize,
        pace: &Pace,
    ) -> Result<(), Failure> {
        let items = self.prepare(scenario, pace).await?;
        let taken = AtomicU64::new(0);
        self.stock = Some(Arc::new(Stock { items, uses, taken }));
        Ok(())
    }

    async fn prepare(&mut self, scenario: Scenario, pace: &Pace) -> Result<Vec<Prepared>, Failure> {
        let working: Vec<_> = std::mem::take(&mut self.clients)
            .into_iter()
            .map(|(handle, mut client)| {
                let (next, home) = (Arc::clone(&self.next), handle.clone());
                let pace = pace.clone();
                handle.spawn(async move {
                    let mut items = Vec::new();
                    while pace.has_next() {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        items.extend(client.prepare(scenario, n).await?);
                    }
                    Ok::<_, Failure>((home, client, items))
                })
            })
            .collect();
        let mut all = Vec::new();
        for working in working {
            let (home, client, items) = working.await??;
            self.clients.push((home, client));
            all.extend(items);
        }
        self.seen()?.sound()?;
        Ok(all)
    }

    async fn run(&mut self, scenario: Scenario, pace: &Pace) -> Result<Phase, Failure> {
        // What is left of it is no good for the next phase.
        let stock = self.stock.take();
        let begin = Instant::now();
        let working: Vec<JoinHandle<Result<(Handle, Client), Failure>>> =
            std::mem::take(&mut self.clients)
                .into_iter()
                .map(|(handle, client)| {
                    let (next, stock) = (Arc::clone(&self.next), stock.clone());
                    let (pace, home) = (pace.clone(), handle.clone());
                    handle.spawn(async move {
                        let client = work(client, scenario, &pace, &next, stock.as_deref()).await?;
                        Ok((home, client))
                    })
                })
                .collect();
        for working in working {
            self.clients.push(working.await??);
        }
        let elapsed = begin.elapsed();
        let tally = self.seen()?;
        Ok(Phase { tally, elapsed })
    }

    /// What all clients saw since this was asked last.
    fn seen(&self) -> Result<Tally, Failure> {
        let mut all = Tally::default();
        for tally in &self.tallies {
            all.add(&tally.take())?;
        }
        Ok(all)
    }
}

/// One connection's part of a phase.
async fn work(
    mut client: Client,
    scenario: Scenario,
    pace: &Pace,
    next: &AtomicU64,
    stock: Option<&Stock>,
) -> Result<Client, Failure> {
    loop {
        let due = match pace {
            Pace::Rate(schedule) => {
                schedule.due.acquire().await?.forget();
                let turn = schedule.taken.fetch_add(1, Ordering::Relaxed);
                if turn >= schedule.total {
                    break;
                }
                if Instant::now() > schedule.end {
                    schedule.give_up(turn);
                    break;
                }
                schedule.due_at(turn)
            }
            pace if pace.has_next() => Instant::now(),
            _ => break,
        };
        let prepared = match stock {
            Some(stock) => match stock.take() {
                Some(prepared) => Some(prepared),
                None => break,
            },
            None => None,
        };
        let n = next.fetch_add(1, Ordering::Relaxed);
        client.turn(scenario, n, prepared, due).await?;
    }
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_let_go_when_it_is_due() {
        let schedule = Schedule {
            begin: Instant::now(),
            rate: 36.0,
            total: 100,
            taken: AtomicU64::new(0),
            due: Semaphore::new(0),
            end: Instant::now(),
            given_up: Mutex::default(),
        };
        let moment = Duration::from_micros(1);
        for turn in 0..100 {
            let at = schedule.due_at(turn);
            assert_eq!(schedule.due_by(at - moment), turn);
            assert_eq!(schedule.due_by(at + moment), turn + 1);
        }
        assert_eq!(schedule.due_by(schedule.due_at(200)), 100);
    }
}
