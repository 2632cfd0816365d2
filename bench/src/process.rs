//! What processes cost: processor time and memory, as the kernel counts them.

use std::fs;
use std::time::Instant;

/// The kernel tells processor time in hundredths of a second, on every Linux of our day.
const MICROS_PER_TICK: u64 = 10_000;

/// A process and all that come from it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace();
            found.extend(children.filter_map(|child| child.parse::<u32>().ok()));
        }
        next += 1;
    }
    found
}

/// Processor time in microseconds that these processes used so far, in the kernel and outside.
pub(crate) fn cpu_micros(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
        .sum::<u64>()
        * MICROS_PER_TICK
}

/// The 14th to 17th field of `/proc/PID/stat`: user and system time, of the process and of its children that
/// ended. The second field, the name, may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let fields = fields.split_whitespace().skip(11).take(4);
    fields.map(|field| field.parse::<u64>().ok()).sum()
}

/// Bytes of memory that these processes hold.
pub(crate) fn resident_bytes(pids: &[u32]) -> u64 {
    let resident = |pid: &u32| -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    pids.iter().filter_map(resident).sum()
}

/// What the host takes from this machine, if it is a guest: time in which its processors could have run and
/// others did.
pub(crate) struct Host {
    since: Instant,
    stolen: u64,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            stolen: stolen_micros(),
        }
    }
}

impl Host {
    /// The part of all processors' time that was taken since this was asked last.
    pub(crate) fn stolen_share(&mut self) -> f64 {
        let before = std::mem::take(self);
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let all = (self.since - before.since).as_micros() as f64 * processors as f64;
        share(self.stolen.saturating_sub(before.stolen), all)
    }
}

/// A part of a whole, at most all of it: the kernel counts whole ticks, and one that ends in a span shorter than
/// itself is more than the span.
fn share(taken: u64, all: f64) -> f64 {
    (taken as f64 / all.max(1.0)).min(1.0)
}

fn stolen_micros() -> u64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    stolen_ticks(&stat).unwrap_or(0) * MICROS_PER_TICK
}

/// The eighth figure of the first line of `/proc/stat`: of all processors together.
fn stolen_ticks(stat: &str) -> Option<u64> {
    let all = stat.lines().next()?.strip_prefix("cpu ")?;
    all.split_whitespace().nth(7)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_past_a_name_with_brackets() {
        let stat = "7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 10 1 1 20";
        assert_eq!(ticks(stat), Some(42));
    }

    #[test]
    fn what_the_host_took_is_read_of_all_processors() {
        let stat = "cpu  10 20 30 40 50 60 70 80 90 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(stolen_ticks(stat), Some(80));
        assert_eq!(stolen_ticks("intr 1 2 3 4 5 6 7 8 9"), None);
    }

    #[test]
    fn a_tick_that_ends_in_a_shorter_span_is_not_more_than_all_of_it() {
        assert_eq!(share(MICROS_PER_TICK, 3.0), 1.0);
        assert_eq!(share(MICROS_PER_TICK, 40_000.0), 0.25);
        assert_eq!(share(0, 0.0), 0.0);
    }

    #[test]
    fn this_process_holds_memory() {
        assert!(resident_bytes(&[std::process::id()]) > 0);
    }
}
