//! The figures of a run, as a table and as JSON.

use serde_json::json;

use crate::load::Phase;
use crate::{Arguments, Failure};

/// What one server showed in one round.
pub(crate) struct Figures {
    pub(crate) full: Phase,
    pub(crate) open: Phase,
    pub(crate) rate: f64,
}

/// Both servers over all rounds.
pub(crate) struct Report {
    title: String,
    pub(crate) bare: Vec<Figures>,
    pub(crate) product: Vec<Figures>,
}

/// One row of the table: what it is called, how it is read off a round.
type Row = (&'static str, fn(&Figures) -> f64);

const ROWS: [Row; 6] = [
    ("flows per second, full load", |figures| {
        figures.full.flows_per_second()
    }),
    ("p50 in ms, full load", |figures| {
        figures.full.millis_at(0.5)
    }),
    ("p50 in ms, part load", |figures| {
        figures.open.millis_at(0.5)
    }),
    ("p99 in ms, part load", |figures| {
        figures.open.millis_at(0.99)
    }),
    ("p99.9 in ms, part load", |figures| {
        figures.open.millis_at(0.999)
    }),
    ("slowest in ms, part load", |figures| {
        figures.open.latencies.max() as f64 / 1000.0
    }),
];

impl Report {
    pub(crate) fn new(arguments: &Arguments) -> Self {
        let title = format!(
            "store {:?}, {} connections, {} s a phase, {} rounds, part load {:.0} %",
            arguments.store,
            arguments.connections,
            arguments.seconds,
            arguments.rounds,
            arguments.load * 100.0
        );
        Self {
            title,
            bare: Vec::new(),
            product: Vec::new(),
        }
    }

    pub(crate) fn print_round(&self, round: usize) {
        if let (Some(bare), Some(product)) = (self.bare.last(), self.product.last()) {
            let (theirs, ours) = (
                bare.full.flows_per_second(),
                product.full.flows_per_second(),
            );
            println!(
                "round {round}: bare {theirs:.0}/s, watchword {ours:.0}/s, offered {:.0}/s",
                product.rate
            );
        }
    }

    /// Medians over the rounds, and the ratio of the two; the spread is lowest to highest.
    pub(crate) fn print(&self) {
        println!(
            "\n{}\na flow is three requests: start, read the inbox, check\n",
            self.title
        );
        println!("| | bare | watchword | ratio | spread of watchword |");
        println!("| --- | --- | --- | --- | --- |");
        for (name, read) in ROWS {
            let (theirs, ours) = (sorted(&self.bare, read), sorted(&self.product, read));
            let (bare, product) = (median(&theirs), median(&ours));
            let ratio = product / bare;
            let (low, high) = (ours.first().unwrap_or(&0.0), ours.last().unwrap_or(&0.0));
            println!("| {name} | {bare:.2} | {product:.2} | {ratio:.2} | {low:.2}–{high:.2} |");
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, Failure> {
        let rows: Vec<_> = ROWS
            .iter()
            .map(|(name, read)| {
                let (bare, product) = (sorted(&self.bare, *read), sorted(&self.product, *read));
                json!({ "name": name, "bare": bare, "watchword": product })
            })
            .collect();
        Ok(serde_json::to_string_pretty(
            &json!({ "title": self.title, "rows": rows }),
        )?)
    }
}

fn sorted(rounds: &[Figures], read: fn(&Figures) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = rounds.iter().map(read).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
}
