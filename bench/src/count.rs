//! What a turn costs in instructions and allocations: figures that a busy machine does not move, held to
//! those that were kept.
//!
//! The server runs under callgrind, with one worker, and answers one connection. Valgrind counts what
//! runs outside the kernel; so a store's waiting for the disk is not in it, and neither is the work of
//! the network. What the clock moves is left out: the audit log, and threads that look after things now and then.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::process::Command;

use crate::Failure;
use crate::matrix::Common;
use crate::profile::Cost;
use crate::scenario::{Client, Scenario};
use crate::server::{Product, Server};
use crate::stores::{Chosen, StoreKind, Stores};
use crate::tally::SharedTally;
use crate::wire::Connection;

/// Counts instructions and allocations of the hot paths.
#[derive(Args)]
pub(crate) struct Count {
    #[command(flatten)]
    chosen: Chosen,
    /// What is counted.
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "flow,start,right,wrong,auth"
    )]
    scenario: Vec<Scenario>,
    /// Turns of each.
    #[arg(long, default_value_t = 40)]
    turns: u64,
    /// Figures to hold these to. Ends with an error where one is further away than its tolerance.
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// Write the figures to that file instead.
    #[arg(long, requires = "expected")]
    record: bool,
    /// Keep callgrind's own files in this folder, for `callgrind_annotate`.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

/// The figures that are kept.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Whose build they are of.
    compiler: String,
    /// How far away a figure may be, in percent of the kept one.
    tolerance: Tolerance,
    /// By store and scenario.
    costs: Costs,
}

#[derive(Serialize, Deserialize)]
struct Tolerance {
    instructions: f64,
    allocations: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self {
            instructions: 8.0,
            allocations: 5.0,
        }
    }
}

type Costs = BTreeMap<String, BTreeMap<String, Cost>>;

/// Turns before those that are counted: tables are made and buffers grow.
const WARM_UP: u64 = 20;

impl Count {
    pub(crate) async fn run(&self, common: &Common) -> Result<(), Failure> {
        if !on_path("valgrind") || !on_path("vgdb") {
            return Err("valgrind is not installed (Debian: apt-get install valgrind)".into());
        }
        common.check()?;
        let mut costs = Costs::new();
        println!(
            "{:8} {:8} {:>14} {:>12}   a turn, of {}",
            "store", "", "instructions", "allocations", self.turns
        );
        for store in &self.chosen.store {
            let of_store = costs.entry(store.name()).or_default();
            self.count(common, *store, of_store).await?;
        }
        let Some(path) = &self.expected else {
            return Ok(());
        };
        let compiler = compiler();
        let kept: Option<Kept> = match std::fs::read(path) {
            Ok(text) => Some(serde_json::from_slice(&text)?),
            Err(_) if self.record => None,
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        if self.record {
            let mut kept = kept.unwrap_or_default();
            for (store, costs) in costs {
                kept.costs.entry(store).or_default().extend(costs);
            }
            kept.compiler = compiler;
            let text = serde_json::to_string_pretty(&kept)? + "\n";
            return Ok(std::fs::write(path, text)?);
        }
        let kept = kept.unwrap_or_default();
        let faults = kept.faults(&costs);
        if faults.is_empty() {
            return Ok(());
        }
        println!("\n{}", faults.join("\n"));
        if kept.compiler != compiler {
            let kept = kept.compiler;
            println!("The kept figures are of {kept}, these of {compiler}: that may be all.");
        }
        let path = path.display();
        println!("If it is meant to be so, the same command with --record puts these into {path}.");
        Err("the hot paths do not cost what was kept".into())
    }

    /// Counts every scenario on one server.
    async fn count(
        &self,
        common: &Common,
        store: StoreKind,
        costs: &mut BTreeMap<String, Cost>,
    ) -> Result<(), Failure> {
        let folder = TempDir::new()?;
        let (counts, prefix) = (folder.path().join("counts"), folder.path().join("vgdb"));
        let mut valgrind = Command::new("valgrind");
        valgrind
            .args(["-q", "--tool=callgrind", "--instr-atstart=no"])
            .arg("--separate-threads=yes")
            .arg(format!("--callgrind-out-file={}", counts.display()))
            .arg(format!("--vgdb-prefix={}", prefix.display()))
            // More would take turns by chance.
            .env("TOKIO_WORKER_THREADS", "1");
        let product = Product {
            binary: &common.binary,
            // Its pages are written by the clock, so that a slow machine would have more of them a turn.
            settings: "[audit]\nenabled = false\n",
            expose_codes: false,
        };
        let store_server = Stores::default().fresh(store)?;
        let server = Server::product_under(valgrind, &product, store_server).await?;
        let callgrind = Callgrind {
            pid: *server.pids().first().ok_or("the server has ended")?,
            prefix,
            counts,
        };
        let connection = Connection::open(server.address(false)?).await?;
        let mut client = Client::new(connection, SharedTally::default());
        callgrind.tell("instrumentation on").await?;
        let mut recipients = 0..;
        for (number, scenario) in self.scenario.iter().enumerate() {
            let turns = self.turns;
            play(&mut client, *scenario, &mut recipients, WARM_UP, None).await?;
            play(
                &mut client,
                *scenario,
                &mut recipients,
                turns,
                Some(&callgrind),
            )
            .await?;
            let written = callgrind.dump(number + 1)?;
            let mut cost = Cost::default();
            let mut left_out = 0;
            for thread in &written {
                match Cost::read(thread)? {
                    Some(of_it) => cost = cost + of_it,
                    None => left_out += 1,
                }
            }
            // Its checkpoints never wait for long.
            if store == StoreKind::Sqlite && left_out == 0 {
                return Err("no thread is known by its name as one that works by the clock".into());
            }
            let cost = cost.per_turn(turns);
            println!(
                "{:8} {:8} {:14.0} {:12.1}",
                store.name(),
                scenario.name(),
                cost.instructions,
                cost.allocations
            );
            if let Some(folder) = &self.keep {
                for (place, thread) in written.iter().enumerate() {
                    let (store, scenario) = (store.name(), scenario.name());
                    let name = format!("{store}-{scenario}-{}.callgrind", place + 1);
                    std::fs::copy(thread, folder.join(name))?;
                }
            }
            costs.insert(scenario.name(), cost);
        }
        server.kill().await?;
        Ok(())
    }
}

/// Plays turns one after the other, and has those counted alone.
async fn play(
    client: &mut Client,
    scenario: Scenario,
    recipients: &mut std::ops::RangeFrom<u64>,
    turns: u64,
    callgrind: Option<&Callgrind>,
) -> Result<(), Failure> {
    let mut prepared = Vec::new();
    let uses = scenario.uses().unwrap_or(0);
    while prepared.len() * uses < usize::try_from(turns)? && uses > 0 {
        let n = recipients.next().unwrap_or_default();
        let one = client.prepare(scenario, n).await?;
        prepared.push((n, one.ok_or("a verification could not be prepared")?));
    }
    if let Some(callgrind) = callgrind {
        callgrind.tell("zero").await?;
    }
    let before = client.tally.open().turns.count();
    let mut prepared = prepared
        .iter()
        .flat_map(|one| std::iter::repeat_n(one, uses));
    for _ in 0..turns {
        let (n, prepared) = match prepared.next() {
            Some((n, prepared)) => (*n, Some(prepared)),
            None => (recipients.next().unwrap_or_default(), None),
        };
        let due = std::time::Instant::now();
        client.turn(scenario, n, prepared, due).await?;
    }
    if client.tally.open().turns.count() != before + turns {
        return Err(format!("a turn of `{}` was refused", scenario.name()).into());
    }
    match callgrind {
        Some(callgrind) => callgrind.tell("dump").await,
        None => Ok(()),
    }
}

/// A program that is being counted.
struct Callgrind {
    pid: u32,
    prefix: PathBuf,
    counts: PathBuf,
}

impl Callgrind {
    async fn tell(&self, command: &str) -> Result<(), Failure> {
        let mut vgdb = Command::new("vgdb");
        vgdb.arg(format!("--pid={}", self.pid))
            .arg(format!("--vgdb-prefix={}", self.prefix.display()))
            .args(command.split(' '));
        let told = tokio::time::timeout(crate::server::PATIENCE, vgdb.output()).await??;
        if told.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&told.stderr);
        Err(format!("valgrind did not take `{command}`: {said}").into())
    }

    /// What was written the nth time, a file for each thread: `counts.2-01`.
    fn dump(&self, number: usize) -> Result<Vec<PathBuf>, Failure> {
        let name = self.counts.with_extension(format!("{number}-"));
        let (folder, name) = (name.parent(), name.file_name());
        let name = name.unwrap_or_default().as_encoded_bytes();
        let mut written = Vec::new();
        for entry in std::fs::read_dir(folder.unwrap_or(Path::new(".")))? {
            let path = entry?.path();
            let of_it = path.file_name().unwrap_or_default();
            if of_it.as_encoded_bytes().starts_with(name) {
                written.push(path);
            }
        }
        if written.is_empty() {
            return Err("callgrind wrote nothing".into());
        }
        written.sort();
        Ok(written)
    }
}

impl Kept {
    /// Whatever is further away than its tolerance, each in a line.
    fn faults(&self, costs: &Costs) -> Vec<String> {
        let mut faults = Vec::new();
        for (store, costs) in costs {
            for (scenario, cost) in costs {
                let place = format!("{store}, {scenario}");
                let kept = self.costs.get(store).and_then(|costs| costs.get(scenario));
                let Some(kept) = kept else {
                    faults.push(format!("{place}: no figures are kept"));
                    continue;
                };
                let Tolerance {
                    instructions,
                    allocations,
                } = self.tolerance;
                for (what, now, kept, tolerance) in [
                    (
                        "instructions",
                        cost.instructions,
                        kept.instructions,
                        instructions,
                    ),
                    (
                        "allocations",
                        cost.allocations,
                        kept.allocations,
                        allocations,
                    ),
                ] {
                    let change = (now / kept - 1.0) * 100.0;
                    if change.abs() <= tolerance {
                        continue;
                    }
                    let better = if change < 0.0 { "; keep it so" } else { "" };
                    faults.push(format!(
                        "{place}: {now:.0} {what} where {kept:.0} are kept: \
                         {change:+.1} %, and {tolerance} % are let pass{better}"
                    ));
                }
            }
        }
        faults
    }
}

/// The compiler on the path, which builds what is counted.
fn compiler() -> String {
    let said = std::process::Command::new("rustc")
        .arg("--version")
        .output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_else(|_| "an unknown compiler".to_owned())
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| Path::new(&folder).join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(instructions: f64, allocations: f64) -> Costs {
        let cost = Cost {
            instructions,
            allocations,
        };
        let flow = BTreeMap::from([("flow".to_owned(), cost)]);
        BTreeMap::from([("memory".to_owned(), flow)])
    }

    fn faults(instructions: f64, allocations: f64) -> Vec<String> {
        let kept = Kept {
            costs: costs(1000.0, 100.0),
            ..Kept::default()
        };
        kept.faults(&costs(instructions, allocations))
    }

    #[test]
    fn a_tenth_more_of_either_is_a_fault() {
        assert!(faults(1000.0, 100.0).is_empty());
        assert!(faults(1079.0, 104.0).is_empty());
        assert_eq!(
            faults(1100.0, 100.0),
            ["memory, flow: 1100 instructions where 1000 are kept: +10.0 %, and 8 % are let pass"]
        );
        assert_eq!(
            faults(1000.0, 110.0),
            ["memory, flow: 110 allocations where 100 are kept: +10.0 %, and 5 % are let pass"]
        );
    }

    #[test]
    fn a_tenth_less_is_one_too_until_it_is_kept() {
        let faults = faults(900.0, 100.0);
        assert!(faults[0].ends_with("; keep it so"), "{faults:?}");
    }

    #[test]
    fn what_has_no_figure_is_a_fault() {
        let faults = Kept::default().faults(&costs(1.0, 1.0));
        assert_eq!(faults, ["memory, flow: no figures are kept"]);
    }
}
