//! The figures of a run, as a table and as JSON, and what changed since another run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::Failure;
use crate::process::Host;
use crate::round::Figures;

/// Everything that a run showed.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) title: String,
    pub(crate) cells: Vec<Cell>,
    #[serde(skip)]
    host: Host,
}

/// One subject under one load, round by round.
#[derive(Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) scenario: String,
    pub(crate) connections: usize,
    pub(crate) subject: String,
    pub(crate) rounds: Vec<Figures>,
}

/// The figures of a load that are compared; the JSON holds all.
const COMPARED: [&str; 6] = [
    "requests_per_second",
    "cpu_us_per_request",
    "store_cpu_us_per_request",
    "part_p50_ms",
    "part_p99_ms",
    "part_request_p99_ms",
];

/// The part of the processors' time that the host took in a round.
const STOLEN: &str = "stolen_share";
/// From here on latencies of a round are the host's.
const MUCH: f64 = 0.01;

impl Cell {
    /// The values of a figure, lowest first.
    fn sorted(&self, name: &str) -> Vec<f64> {
        self.sorted_of(name, |_| true)
    }

    fn sorted_of(&self, name: &str, which: impl Fn(&Figures) -> bool) -> Vec<f64> {
        let rounds = self.rounds.iter().filter(|round| which(round));
        let mut values: Vec<f64> = rounds
            .filter_map(|round| round.get(name).copied())
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }

    /// The median of the rounds that the host left alone, and how many those were.
    fn undisturbed(&self, name: &str) -> (Option<f64>, usize) {
        let values = self.sorted_of(name, |round| !is_disturbed(round));
        (middle(&values), values.len())
    }

    fn median(&self, name: &str) -> Option<f64> {
        middle(&self.sorted(name))
    }

    /// What was measured, in any round.
    fn names(&self) -> BTreeSet<&String> {
        self.rounds.iter().flat_map(BTreeMap::keys).collect()
    }

    fn key(&self) -> (&str, usize, &str) {
        (&self.scenario, self.connections, &self.subject)
    }
}

fn is_disturbed(round: &Figures) -> bool {
    round.get(STOLEN).is_some_and(|taken| *taken >= MUCH)
}

/// The median of values in their order.
fn middle(values: &[f64]) -> Option<f64> {
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (0, Some(upper)) => Some(f64::midpoint(values[middle - 1], *upper)),
        (_, middle) => middle.copied(),
    }
}

impl Report {
    /// From here on rounds are measured.
    pub(crate) fn begin(&mut self, title: String) {
        self.title = title;
        self.begin_round();
    }

    /// From here on a round is measured, if it is not from the end of the one before.
    pub(crate) fn begin_round(&mut self) {
        self.host = Host::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Adds a round of a subject, and what the host took meanwhile.
    pub(crate) fn push(
        &mut self,
        scenario: &str,
        connections: usize,
        subject: &str,
        mut figures: Figures,
    ) {
        figures.insert(STOLEN.to_owned(), self.host.stolen_share());
        let key = (scenario, connections, subject);
        if let Some(cell) = self.cells.iter_mut().find(|cell| cell.key() == key) {
            cell.rounds.push(figures);
            return;
        }
        self.cells.push(Cell {
            scenario: scenario.to_owned(),
            connections,
            subject: subject.to_owned(),
            rounds: vec![figures],
        });
    }

    /// The loads, in the order in which they were measured.
    fn loads(&self) -> Vec<(&str, usize)> {
        let mut loads = Vec::new();
        for cell in &self.cells {
            let load = (cell.scenario.as_str(), cell.connections);
            if !loads.contains(&load) {
                loads.push(load);
            }
        }
        loads
    }

    /// Medians over the rounds; the spread is from the lowest to the highest.
    pub(crate) fn print(&self) {
        println!("\n{}", self.title);
        self.print_figures();
        if let Some(disturbed) = self.disturbed() {
            println!("\n{disturbed}");
        }
    }

    /// Says that the host took so much that the figures are of it, too.
    fn disturbed(&self) -> Option<String> {
        let rounds: Vec<_> = self.cells.iter().flat_map(|cell| &cell.rounds).collect();
        let much = rounds.iter().filter(|round| is_disturbed(round)).count();
        let taken = rounds.iter().filter_map(|round| round.get(STOLEN));
        let most = taken.copied().fold(0.0, f64::max);
        (much > 0).then(|| {
            format!(
                "Disturbed: the host took 1 % of the processors' time or more in {much} of {} rounds, {:.0} % in the \
                 worst. Only ratios within a round mean anything, and latencies there are the host's.",
                rounds.len(),
                most * 100.0
            )
        })
    }

    fn print_figures(&self) {
        let of_load = |cell: &Cell| cell.median("turns_per_second").is_some();
        if !self.cells.iter().any(of_load) {
            return self.print_plainly();
        }
        for load in self.loads() {
            let (scenario, connections) = load;
            println!("\n{scenario}, {connections} connections\n");
            println!(
                "| | requests/s | spread | of bare | CPU µs/request | of bare | of the store | p50 | p99 | p99.9 | slowest | of requests | full p99 | MiB | load busy |"
            );
            println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
            let cells: Vec<_> = self
                .cells
                .iter()
                .filter(|cell| (cell.scenario.as_str(), cell.connections) == load)
                .collect();
            let bare = cells.iter().find(|cell| cell.subject == "bare").copied();
            for cell in cells {
                println!("{}", row(cell, bare));
            }
        }
        println!(
            "\nLatencies are of whole turns, in ms, at part load, from when a turn was due; of requests: the p99 of single ones, the first of a turn from then, too; full p99: of turns, at full load. Load busy: how much of their time the load's threads used; at 1.00 they, not the server, were the limit."
        );
    }

    /// Prints what other commands than the main one found: a figure a line, and what the rounds that the host left
    /// alone say of it, where it did not leave alone all.
    fn print_plainly(&self) {
        for cell in &self.cells {
            println!("\n{}, {}:", cell.scenario, cell.subject);
            for name in cell.names() {
                let median = cell.median(name).unwrap_or_default();
                let alone = match cell.undisturbed(name) {
                    (Some(value), count) if count < cell.sorted(name).len() => {
                        format!("  {value:.2} in {count} undisturbed")
                    }
                    _ => String::new(),
                };
                println!(
                    "  {name:<44} {median:>12.2}{}{alone}",
                    spread(cell, name, " ")
                );
            }
        }
    }

    /// Prints the change against an earlier run, for what both hold.
    pub(crate) fn compare(&self, earlier: &Self) {
        println!("\nagainst: {}\n", earlier.title);
        println!("| | figure | before | now | change |\n|---|---|---|---|---|");
        let old: BTreeMap<_, _> = earlier
            .cells
            .iter()
            .map(|cell| (cell.key(), cell))
            .collect();
        for cell in &self.cells {
            let Some(before) = old.get(&cell.key()) else {
                continue;
            };
            let (scenario, connections, subject) = cell.key();
            let of_load = cell.median("turns_per_second").is_some();
            for name in cell.names() {
                if of_load && !COMPARED.contains(&name.as_str()) {
                    continue;
                }
                let (Some(was), Some(is)) = (before.median(name), cell.median(name)) else {
                    continue;
                };
                if was == 0.0 && is == 0.0 {
                    continue;
                }
                let change = (is / was - 1.0) * 100.0;
                println!(
                    "| {scenario}, {connections}, {subject} | {name} | {was:.2} | {is:.2} | {change:+.1} % |"
                );
            }
        }
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        Ok(std::fs::write(path, serde_json::to_string_pretty(self)?)?)
    }

    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

fn row(cell: &Cell, bare: Option<&Cell>) -> String {
    let show = |name: &str, digits: usize| match cell.median(name) {
        Some(value) => format!("{value:.digits$}"),
        None => "–".to_owned(),
    };
    let ratio = |name: &str| {
        let theirs = bare.filter(|bare| bare.subject != cell.subject);
        match (cell.median(name), theirs.and_then(|it| it.median(name))) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "–".to_owned(),
        }
    };
    [
        format!("| {}", cell.subject),
        show("requests_per_second", 0),
        spread(cell, "requests_per_second", ""),
        ratio("requests_per_second"),
        show("cpu_us_per_request", 1),
        ratio("cpu_us_per_request"),
        show("store_cpu_us_per_request", 1),
        show("part_p50_ms", 2),
        show("part_p99_ms", 2),
        show("part_p999_ms", 2),
        show("part_slowest_ms", 1),
        show("part_request_p99_ms", 2),
        show("full_p99_ms", 2),
        show("resident_mib", 0),
        show("generator_busy", 2) + " |",
    ]
    .join(" | ")
}

fn spread(cell: &Cell, name: &str, before: &str) -> String {
    let values = cell.sorted(name);
    match (values.first(), values.last()) {
        (Some(low), Some(high)) if values.len() > 1 => {
            let digits = usize::from(*high < 100.0) * 2;
            format!("{before}{low:.digits$}–{high:.digits$}")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(values: &[f64]) -> Report {
        let mut report = Report::default();
        for value in values {
            let figures = Figures::from([("x".to_owned(), *value)]);
            report.push("flow", 64, "memory", figures);
        }
        report
    }

    #[test]
    fn rounds_of_one_load_stand_together_and_their_median_is_in_the_middle() {
        let report = report(&[3.0, 1.0, 2.0]);
        assert_eq!(report.cells.len(), 1);
        assert_eq!(report.cells[0].median("x"), Some(2.0));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        assert_eq!(report(&[1.0, 4.0]).cells[0].median("x"), Some(2.5));
        assert_eq!(report(&[]).cells.len(), 0);
    }

    #[test]
    fn a_report_says_when_the_host_took_the_machine_away() {
        let mut report = report(&[1.0, 7.0, 3.0]);
        let mut taken = [0.0, 0.42, MUCH / 2.0].into_iter();
        for round in &mut report.cells[0].rounds {
            let measured = round.insert(STOLEN.to_owned(), taken.next().unwrap());
            assert!(measured.is_some_and(|share| (0.0..=1.0).contains(&share)));
        }
        let cell = &report.cells[0];
        assert_eq!(cell.median("x"), Some(3.0));
        assert_eq!(cell.undisturbed("x"), (Some(2.0), 2), "of 1 and 3");
        let said = report.disturbed().unwrap();
        assert!(said.contains("in 1 of 3 rounds, 42 %"), "{said}");
        report.cells[0].rounds.remove(1);
        assert_eq!(report.disturbed(), None);
    }
}
