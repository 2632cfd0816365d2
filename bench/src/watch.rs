//! When the host took a processor away, to the fraction of a millisecond.
//!
//! The kernel counts stolen time in hundredths of a second, and a round is seldom free of it where others share the
//! host. A thread that comes before all others on its processor and is late all the same was kept from it by the
//! host, whatever runs here; requests of such moments say nothing of the server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::Failure;
use crate::tally::{Latencies, Seen};

/// How often each looks whether it is late.
const STEP: Duration = Duration::from_micros(400);
/// By so much: nothing of the kernel's own takes as long.
const LATE: Duration = Duration::from_micros(300);
/// What was delayed is worked off so long afterwards. A request that took longer while nobody was away did so by the
/// server's own doing, whatever came later.
const AFTER: Duration = Duration::from_millis(10);

/// A p99 is of at least so many requests.
const ENOUGH: u64 = 500;

/// What is answered is counted in such spans.
const BIN: Duration = Duration::from_millis(5);

/// A span of the clock, in nanoseconds.
type Span = (u128, u128);

/// Whether to watch.
#[derive(clap::Args)]
pub(crate) struct Watching {
    /// Also shows figures without the moments in which a processor was away, as one process of the highest
    /// priority on each sees. Needs root, or CAP_SYS_NICE, and util-linux.
    #[arg(long)]
    watch_host: bool,
}

impl Watching {
    /// Begins to, if so.
    ///
    /// # Errors
    /// As for [`Watch::start`].
    pub(crate) fn start(&self) -> Result<Option<Watch>, Failure> {
        self.watch_host.then(Watch::start).transpose()
    }
}

/// A process for each processor, of the highest priority of real time.
pub(crate) struct Watch {
    lookouts: Vec<Child>,
    late: Arc<Mutex<Vec<Span>>>,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// Without the right to such a priority, or `chrt` and `taskset` (util-linux).
    pub(crate) fn start() -> Result<Self, Failure> {
        let mut watch = Self {
            lookouts: Vec::new(),
            late: Arc::default(),
        };
        for processor in 0..thread::available_parallelism()?.get() {
            let mut lookout = Command::new("chrt")
                .args(["--fifo", "99", "taskset", "--cpu-list"])
                .arg(processor.to_string())
                .arg(std::env::current_exe()?)
                .arg("lookout")
                .stdout(Stdio::piped())
                .spawn()
                .map_err(|error| format!("chrt does not start ({error}); it is in util-linux"))?;
            let told = lookout.stdout.take();
            watch.lookouts.push(lookout);
            let mut told = BufReader::new(told.ok_or("no pipe")?);
            // It says when it begins.
            if span(&mut told).is_none() {
                return Err(
                    "--watch-host needs the right to a priority of real time: be root, or have \
                            CAP_SYS_NICE"
                        .into(),
                );
            }
            let late = Arc::clone(&watch.late);
            thread::spawn(move || {
                while let Some(span) = span(&mut told) {
                    late.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(span);
                }
            });
        }
        Ok(watch)
    }

    /// The 99th percentile of latencies while all processors were there, in ms, and what share of all requests those
    /// were. None if they are so few that it would be of the worst ones alone.
    pub(crate) fn p99_millis(&self, each: &[Seen]) -> (Option<f64>, f64) {
        let (left, share) = self.undisturbed(each);
        let p99 = (left.count() >= ENOUGH).then(|| left.millis_at(0.99));
        (p99, share)
    }

    /// The latencies of requests while all processors were there, and what share of all they are. Longer ones are not
    /// left out more readily: only what happened until [`AFTER`] from when they were due counts.
    fn undisturbed(&self, each: &[Seen]) -> (Latencies, f64) {
        let (late, clock) = (self.late(), Moments::now());
        let mut left = Latencies::default();
        for Seen { due, took } in each {
            let due = clock.of(*due);
            let within = due + took.min(&AFTER).as_nanos();
            if !late.touches(due.saturating_sub(AFTER.as_nanos()), within) {
                left.record(*took);
            }
        }
        let share = left.count() as f64 / each.len().max(1) as f64;
        (left, share)
    }

    /// How many of these were answered a second while all processors were there, and for what share of the time
    /// that was: for servers and loads that are never idle, as what was delayed is made up for then.
    pub(crate) fn rate<'a>(
        &self,
        each: impl Iterator<Item = &'a Seen> + Clone,
        span: Duration,
    ) -> (f64, f64) {
        let (late, clock) = (self.late(), Moments::now());
        let Some(begin) = each.clone().map(|seen| seen.due).min() else {
            return (0.0, 0.0);
        };
        let begin = clock.of(begin);
        let bins = span.as_nanos() / BIN.as_nanos();
        let is_whole = |bin: u128| {
            let from = begin + bin * BIN.as_nanos();
            !late.touches(from.saturating_sub(AFTER.as_nanos()), from + BIN.as_nanos())
        };
        let whole: Vec<bool> = (0..bins).map(is_whole).collect();
        let answered = each.filter(|Seen { due, took }| {
            let at = clock.of(*due) + took.as_nanos();
            let bin = usize::try_from((at.max(begin) - begin) / BIN.as_nanos());
            bin.is_ok_and(|bin| whole.get(bin) == Some(&true))
        });
        let answered = answered.count() as f64;
        let seconds = whole.iter().filter(|whole| **whole).count() as f64 * BIN.as_secs_f64();
        let share = seconds / span.as_secs_f64();
        (
            if seconds > 0.0 {
                answered / seconds
            } else {
                0.0
            },
            share,
        )
    }

    fn late(&self) -> Late {
        // Whatever was late by now is told by now.
        thread::sleep(AFTER);
        Late::of(&self.late.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a moment of this process is on the clock.
struct Moments {
    clock: u128,
    now: Instant,
}

impl Moments {
    fn now() -> Self {
        Self {
            clock: clock(),
            now: Instant::now(),
        }
    }

    fn of(&self, moment: Instant) -> u128 {
        self.clock.saturating_sub((self.now - moment).as_nanos())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        for lookout in &mut self.lookouts {
            let _ = lookout.kill();
            let _ = lookout.wait();
        }
    }
}

/// Spans in order, none of which touches another.
struct Late(Vec<Span>);

impl Late {
    fn of(spans: &[Span]) -> Self {
        let mut spans = spans.to_vec();
        spans.sort_unstable();
        spans.dedup_by(|next, before| {
            let touches = next.0 <= before.1;
            if touches {
                before.1 = before.1.max(next.1);
            }
            touches
        });
        Self(spans)
    }

    fn touches(&self, from: u128, to: u128) -> bool {
        let begun = self.0.partition_point(|(begin, _)| *begin <= to);
        self.0[..begun].last().is_some_and(|(_, end)| *end >= from)
    }
}

fn clock() -> u128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_nanos()
}

fn span(told: &mut BufReader<ChildStdout>) -> Option<Span> {
    let mut line = String::new();
    told.read_line(&mut line).ok()?;
    let (from, to) = line.trim_end().split_once(' ')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// Tells of each time that it was late, as long as somebody listens.
///
/// # Errors
/// When nobody listens any more.
pub(crate) fn look_out() -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let began = clock();
    writeln!(out, "{began} {began}")?;
    out.flush()?;
    loop {
        let due = clock() + STEP.as_nanos();
        thread::sleep(STEP);
        let now = clock();
        if now > due + LATE.as_nanos() {
            writeln!(out, "{due} {now}")?;
            out.flush()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_a_late_moment_is_told_from_what_does_not() {
        let late = Late::of(&[(50, 60), (10, 20), (15, 30), (30, 40)]);
        assert_eq!(late.0, [(10, 40), (50, 60)]);
        for (from, to, touches) in [
            (0, 9, false),
            (0, 10, true),
            (20, 25, true),
            (40, 45, true),
            (41, 49, false),
            (41, 70, true),
            (60, 70, true),
            (61, 70, false),
        ] {
            assert_eq!(late.touches(from, to), touches, "{from} to {to}");
        }
        assert!(!Late::of(&[]).touches(0, 10));
    }

    #[test]
    fn requests_of_a_late_moment_and_right_after_it_are_left_out() {
        let (now, clock) = (Instant::now(), clock());
        let ago = |millis| now.checked_sub(Duration::from_millis(millis)).unwrap();
        let late = (clock - 500_000_000, clock - 490_000_000);
        let watch = Watch {
            lookouts: Vec::new(),
            late: Arc::new(Mutex::new(vec![late])),
        };
        let seen = |millis, took| Seen {
            due: ago(millis),
            took: Duration::from_millis(took),
        };
        // Over before it, slow before it and longer than it, begun before it, begun in it, begun right after, long after.
        let each = [
            seen(600, 50),
            seen(550, 80),
            seen(505, 15),
            seen(495, 1),
            seen(485, 1),
            seen(400, 7),
        ];
        let (left, share) = watch.undisturbed(&each);
        assert_eq!(left.count(), 3);
        assert!((left.slowest_millis() - 80.0).abs() < 0.1);
        assert!((share - 0.5).abs() < 1e-9);

        assert_eq!(watch.p99_millis(&each), (None, share), "of three");
        let many = vec![seen(400, 7); 500];
        assert_eq!(watch.p99_millis(&many[1..]), (None, 1.0));
        let (p99, _) = watch.p99_millis(&many);
        assert!((p99.unwrap() - 7.0).abs() < 0.1, "{p99:?}");
    }

    #[test]
    fn a_rate_is_that_of_the_moments_when_nobody_was_late() {
        let (now, clock) = (Instant::now(), clock());
        let late = (clock - 700_000_000, clock - 600_000_000);
        let watch = Watch {
            lookouts: Vec::new(),
            late: Arc::new(Mutex::new(vec![late])),
        };
        // One a millisecond for a second, and none in the late tenth of it.
        let each: Vec<_> = (1..=1000)
            .filter(|millis| !(600..700).contains(millis))
            .map(|millis| Seen {
                due: now.checked_sub(Duration::from_millis(millis)).unwrap(),
                took: Duration::from_micros(100),
            })
            .collect();
        let (rate, share) = watch.rate(each.iter(), Duration::from_secs(1));
        assert!((rate - 1000.0).abs() < 15.0, "{rate}");
        assert!((share - 0.885).abs() < 0.02, "{share}");
    }
}
