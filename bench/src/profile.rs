//! Callgrind's files, as far as they are read here.

use std::collections::HashSet;
use std::ops::Add;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Instructions outside the kernel.
    pub(crate) instructions: f64,
    /// Pieces of memory that were asked for, or asked to grow.
    pub(crate) allocations: f64,
}

/// The functions of the C library that everything is allocated by.
const ALLOCATORS: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
];

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            instructions: self.instructions + other.instructions,
            allocations: self.allocations + other.allocations,
        }
    }
}

/// Whether a thread waits for its next look, as those that stores have for what is to be done now and then.
fn works_by_the_clock(text: &str) -> bool {
    text.lines()
        .any(|line| line.contains("worker::Pulse") && line.ends_with("::wait"))
}

impl Cost {
    /// What a thread cost, or nothing if it works by the clock: on a slow machine that is more of it a turn.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        // Names of functions may hold anything.
        let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
        if works_by_the_clock(&text) {
            return Ok(None);
        }
        let cost = Self::parse(&text);
        let cost = cost.ok_or_else(|| format!("{} holds no totals", path.display()))?;
        Ok(Some(cost))
    }

    pub(crate) fn per_turn(self, turns: u64) -> Self {
        Self {
            instructions: (self.instructions / turns as f64).round(),
            allocations: (self.allocations * 10.0 / turns as f64).round() / 10.0,
        }
    }

    /// A function is named once, `fn=(7) malloc` or `cfn=(7) malloc`, and goes by its number then. After
    /// `cfn` comes how often it was called from the function at hand: `calls=3 …`.
    fn parse(text: &str) -> Option<Self> {
        let mut allocators = HashSet::new();
        let mut calls_one = false;
        let (mut instructions, mut allocations) = (None, 0);
        for line in text.lines() {
            if let Some(calls) = line.strip_prefix("calls=") {
                let count = calls.split(' ').next()?.parse::<u64>().ok()?;
                allocations += if calls_one { count } else { 0 };
            } else if let Some(totals) = line.strip_prefix("totals: ") {
                instructions = Some(totals.trim().parse::<u64>().ok()?);
            } else if let Some((kind @ ("fn" | "cfn"), function)) = line.split_once('=') {
                let (number, name) = function.split_once(')')?;
                // A function that is called again from within has an apostrophe and a number.
                let name = name.trim().split('\'').next()?;
                if ALLOCATORS.contains(&name) {
                    allocators.insert(number);
                }
                calls_one = kind == "cfn" && allocators.contains(number);
            }
        }
        Some(Self {
            instructions: instructions? as f64,
            allocations: f64::from(u32::try_from(allocations).ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_allocators_are_added_up() {
        let text = "events: Ir\n\nfn=(1) main\n1 10\ncfn=(2) malloc\ncalls=3 1\n1 30\n\
            cfn=(3) free\ncalls=5 1\n1 50\n\nfn=(2)\n1 30\n\nfn=(4) other\ncfn=(2)\ncalls=4 1\n1 40\n\
            cfn=(5) realloc'2\ncalls=1 1\n1 9\n\ntotals: 139\n";
        let cost = Cost {
            instructions: 139.0,
            allocations: 8.0,
        };
        assert_eq!(Cost::parse(text), Some(cost));
        assert_eq!(Cost::parse("fn=(1) main\n"), None);
    }

    #[test]
    fn threads_that_wait_for_their_next_look_are_known() {
        let thread = "fn=(1) main\n1 10\ncfn=(2) watchword_stores::worker::Pulse::wait\n";
        assert!(works_by_the_clock(thread));
        let newer = thread.replace("worker::Pulse::", "worker::Pulse>::");
        assert!(works_by_the_clock(&newer));
        assert!(!works_by_the_clock(
            "fn=(1) main\ncfn=(2) tokio::time::Pulse\nfn=(3) wait\n"
        ));
    }
}
