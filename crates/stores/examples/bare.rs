//! How many flows a second Redis or PostgreSQL bears: through the store, or by the same calls from a
//! client that does nothing else.
//!
//! `cargo run --release -p watchword-stores --features bare --example bare -- WAY URL [TASKS]
//! [SECONDS] [CONNECTIONS]`, where WAY is `store`, `bare` or `redis-benchmark`.
//!
//! A flow is a start, the note of its hand-over and a check with the right code, one after the
//! other; each task has one under way. The bare client shares CONNECTIONS among all tasks, and
//! sends what it has to say without waiting for answers. With a bare client, the URL of Redis is
//! that of one server without a password.
//!
//! `redis-benchmark` (of Redis, or Debian's redis-tools) has the same many connections and calls under way, and
//! calls the script of a start only.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use watchword_core::{CheckOutcome, Clock, StartOutcome, Timestamp};
use watchword_stores::{OpenOptions, StorageUrl, bare, open};

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
        let millis = since.expect("after 1970").as_millis();
        Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// Hands out the numbers of flows, until the time is over.
struct Turns {
    next: AtomicU64,
    until: Instant,
}

impl Turns {
    fn next(&self) -> Option<u64> {
        (Instant::now() < self.until).then(|| self.next.fetch_add(1, Ordering::Relaxed))
    }
}

fn argument(number: usize, default: u64) -> u64 {
    let given = std::env::args().nth(number);
    given.map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::main]
async fn main() {
    let way = std::env::args().nth(1).expect("a way");
    let url = std::env::args().nth(2).expect("a URL");
    let (tasks, seconds) = (argument(3, 64), argument(4, 5));
    let connections = argument(5, 4).clamp(1, tasks);
    // Another range of flows in each run, so that no run meets what one before it left.
    let first = SystemClock.now().as_millis() << 20;
    let (began, span) = (Instant::now(), Duration::from_secs(seconds));
    let turns = Arc::new(Turns {
        next: AtomicU64::new(first),
        until: began + span,
    });
    let redis = url.starts_with("redis://");
    if way == "redis-benchmark" {
        return redis_benchmark(&url, tasks, connections, seconds).await;
    }
    match (way.as_str(), redis) {
        ("store", _) => through_the_store(&url, tasks, &turns).await,
        ("bare", true) => bare_redis(&url, tasks, connections, &turns).await,
        ("bare", false) => bare_postgres(&url, tasks, connections, &turns).await,
        _ => panic!("store, bare or redis-benchmark"),
    }
    let flows = turns.next.load(Ordering::Relaxed) - first;
    let rate = flows as f64 / began.elapsed().as_secs_f64();
    println!("{way}: {rate:.0} flows/s ({flows} flows, {tasks} tasks)");
}

async fn through_the_store(url: &str, tasks: u64, turns: &Arc<Turns>) {
    let url = StorageUrl::parse(url).expect("valid");
    let keys = Arc::new(bare::keys());
    let opened = open(&url, OpenOptions::new(keys, Arc::new(SystemClock))).await;
    let opened = opened.expect("opens");
    let running: Vec<_> = (0..tasks)
        .map(|_| {
            let (store, turns) = (Arc::clone(&opened.store), Arc::clone(turns));
            tokio::spawn(async move {
                while let Some(number) = turns.next() {
                    let flow = bare::flow(number);
                    let id = flow.start.id;
                    let started = store.start(flow.start, SystemClock.now()).await;
                    let started = started.expect("answers");
                    assert!(matches!(started, StartOutcome::Started(_)), "{started:?}");
                    let noted = store.note(id, flow.note, SystemClock.now()).await;
                    noted.expect("answers");
                    let checked = store.check(flow.check, SystemClock.now()).await;
                    let checked = checked.expect("answers");
                    assert!(matches!(checked, CheckOutcome::Approved(_)), "{checked:?}");
                }
            })
        })
        .collect();
    for task in running {
        task.await.expect("runs");
    }
    opened.close().await;
}

/// Host and port of a server.
fn host(url: &str) -> &str {
    let host = url.trim_start_matches("redis://");
    host.split(['/', '?']).next().expect("a host")
}

async fn bare_redis(url: &str, tasks: u64, connections: u64, turns: &Arc<Turns>) {
    let host = host(url).to_owned();
    let running: Vec<_> = (0..connections)
        .map(|connection| {
            let flows = tasks / connections + u64::from(connection < tasks % connections);
            tokio::spawn(one_connection(host.clone(), flows, Arc::clone(turns)))
        })
        .collect();
    for task in running {
        task.await.expect("runs");
    }
}

/// So many flows under way over one connection: what there is to say goes out together, and each
/// answer lets its flow say the next thing.
async fn one_connection(host: String, flows: u64, turns: Arc<Turns>) {
    let mut stream = TcpStream::connect(&host).await.expect("connects");
    stream.set_nodelay(true).expect("a socket");
    let (mut out, mut input) = (Vec::new(), Vec::with_capacity(1 << 16));
    for script in bare::redis::scripts() {
        out.extend(command(&["SCRIPT", "LOAD", script]));
    }
    let mut loaded = bare::redis::scripts().len();
    // The flows whose answers are awaited, in order: what they still have to say.
    let mut waiting: VecDeque<std::vec::IntoIter<Vec<u8>>> = VecDeque::new();
    for _ in 0..flows {
        begin(&turns, &mut waiting, &mut out);
    }
    loop {
        stream.write_all(&out).await.expect("writes");
        out.clear();
        if waiting.is_empty() && loaded == 0 {
            return;
        }
        let read = stream.read_buf(&mut input).await.expect("reads");
        assert!(read > 0, "the server hung up");
        let mut from = 0;
        while let Some(size) = answer(&input[from..]) {
            from += size;
            if loaded > 0 {
                loaded -= 1;
                continue;
            }
            let mut flow = waiting.pop_front().expect("somebody asked");
            if let Some(next) = flow.next() {
                out.extend(next);
                waiting.push_back(flow);
            } else {
                begin(&turns, &mut waiting, &mut out);
            }
        }
        input.drain(..from);
    }
}

fn begin(turns: &Turns, waiting: &mut VecDeque<std::vec::IntoIter<Vec<u8>>>, out: &mut Vec<u8>) {
    let Some(number) = turns.next() else { return };
    let mut calls = bare::redis::flow(number).into_iter();
    out.extend(calls.next().expect("a call"));
    waiting.push_back(calls);
}

/// A command as it goes over the wire.
fn command(parts: &[&str]) -> Vec<u8> {
    let mut wire = format!("*{}\r\n", parts.len());
    for part in parts {
        wire += &format!("${}\r\n{part}\r\n", part.len());
    }
    wire.into_bytes()
}

/// Has `redis-benchmark` call the script of a start, for as long as its first calls say.
async fn redis_benchmark(url: &str, tasks: u64, connections: u64, seconds: u64) {
    const KEY: &str = "ww:{0000}p__rand_int__";
    const TRIAL: u64 = 5_000;
    let host = host(url);
    let script = bare::redis::start_script();
    let hash = ask(host, &["SCRIPT", "LOAD", &script]).await;
    let key = KEY.replace("__rand_int__", "000000000000");
    let started = ask(host, &["EVALSHA", &hash, "1", &key]).await;
    // It takes errors for answers, too.
    assert!(started.starts_with("started "), "{started}");
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "6379"));
    let run = |calls: u64| {
        let output = std::process::Command::new("redis-benchmark")
            .args(["-h", name, "-p", port, "-r", "1000000000", "--csv"])
            .args(["-c", &connections.to_string()])
            .args(["-P", &(tasks / connections).to_string()])
            .args(["-n", &calls.to_string()])
            .args(["EVALSHA", &hash, "1", KEY])
            .output();
        let output = output.expect("redis-benchmark is installed (Debian: redis-tools)");
        let said = String::from_utf8(output.stdout).expect("text");
        // "test","rps",…  and a line of these for the calls.
        let rate = said.lines().last().and_then(|line| line.split(',').nth(1));
        let rate = rate.and_then(|rate| rate.trim_matches('"').parse::<f64>().ok());
        rate.unwrap_or_else(|| panic!("redis-benchmark said {said:?}"))
    };
    let calls = (run(TRIAL) as u64 * seconds).max(1);
    let rate = run(calls);
    let all = calls + TRIAL;
    println!("redis-benchmark: {rate:.0} starts/s ({all} starts, {tasks} at a time)");
}

/// What a server answers to one command, a text.
async fn ask(host: &str, parts: &[&str]) -> String {
    let mut stream = TcpStream::connect(host).await.expect("connects");
    stream.write_all(&command(parts)).await.expect("writes");
    let mut input = Vec::new();
    while answer(&input).is_none() {
        let read = stream.read_buf(&mut input).await.expect("reads");
        assert!(read > 0, "the server hung up");
    }
    let body = input
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a line")
        + 1;
    String::from_utf8_lossy(&input[body..])
        .trim_end()
        .to_owned()
}

/// How long the first answer is, a text, if all of it is there.
fn answer(input: &[u8]) -> Option<usize> {
    let end = input.windows(2).position(|pair| pair == b"\r\n")?;
    let line = std::str::from_utf8(&input[1..end]).expect("a line");
    assert!(input[0] == b'$', "{}{line}", char::from(input[0]));
    let size = end + 4 + line.parse::<usize>().expect("a size");
    (input.len() >= size).then_some(size)
}

async fn bare_postgres(url: &str, tasks: u64, connections: u64, turns: &Arc<Turns>) {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("connects");
        tokio::spawn(connection);
        clients.push(Arc::new(client));
    }
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let place = usize::try_from(task % connections).expect("small");
            let (client, turns) = (Arc::clone(&clients[place]), Arc::clone(turns));
            tokio::spawn(async move {
                let mut prepared = Vec::new();
                while let Some(number) = turns.next() {
                    for (step, call) in bare::postgres::flow(number).into_iter().enumerate() {
                        if prepared.len() == step {
                            let types: Vec<_> =
                                call.values.iter().map(|(_, kind)| kind.clone()).collect();
                            let statement = client.prepare_typed(call.text, &types).await;
                            prepared.push(statement.expect("prepares"));
                        }
                        let values: Vec<_> = call
                            .values
                            .iter()
                            .map(|(value, _)| {
                                let value: &(dyn tokio_postgres::types::ToSql + Sync) = &**value;
                                value
                            })
                            .collect();
                        let rows = client.query(&prepared[step], &values).await;
                        assert_eq!(rows.expect("answers").len(), 1);
                    }
                }
            })
        })
        .collect();
    for task in running {
        task.await.expect("runs");
    }
}
