//! `kill -9`, again and again, against what callers were told.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes::{self, Pigeon, SeededEntropy, SetClock};
use watchword_core::{
    AppId, BindingDigest, Channel, CheckError, CheckRequest, Code, Entropy, NumberRules, Parts,
    Policy, Purpose, Recipient, StartRequest, Status, Terms, VerificationId, Verifier, Whose,
};
use watchword_stores::{OpenError, OpenOptions};

const CHILD: &str = "WATCHWORD_TEST_KILL_CHILD";
const ROUNDS: u64 = 12;

fn options() -> OpenOptions {
    OpenOptions {
        // So that most of the kills meet a snapshot in the making.
        snapshot_after: 64 << 10,
        ..support::options()
    }
}

/// What one caller was told of a verification.
#[derive(Clone, Debug, Default)]
struct Told {
    attempts_left: Option<u32>,
    approved: bool,
    /// The right code was brought; the answer is not known.
    brought: bool,
    code: String,
}

/// Starts and checks until it is killed, and says aloud what it was told.
#[test]
fn child() {
    let Ok(path) = std::env::var(CHILD) else {
        return;
    };
    let (path, seed) = path.split_once('#').unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let url = support::url(Path::new(path));
        let opened = watchword_stores::open(&url, options()).await.unwrap();
        let seed: u64 = seed.parse().unwrap();
        let callers: Vec<_> = (0..16)
            .map(|number| tokio::spawn(caller(Arc::clone(&opened.store), seed * 100 + number)))
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
    });
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    // One write for one line: a kill cuts between lines, or in the last.
    out.write_all(format!("=={text}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

async fn caller(store: Arc<dyn watchword_core::Store>, seed: u64) {
    let pigeon = Arc::new(Pigeon::default());
    let verifier = verifier(store, Arc::clone(&pigeon), seed);
    let chance = SeededEntropy::new(seed);
    loop {
        let mut random = [0; 8];
        chance.fill(&mut random).unwrap();
        let to = format!("u{:x}@example.org", u64::from_be_bytes(random));
        let sent = verifier.start(start_request(&to)).await.unwrap();
        let id = sent.overview.verification.id;
        let code = sent.code.expose().to_owned();
        say(&format!("started {id} {code}"));
        let wrong = if code == "000000" { "111111" } else { "000000" };
        for _ in 0..random[0] % 4 {
            match verifier.check(check_request(id, wrong)).await {
                Err(CheckError::Incorrect { attempts_left }) => {
                    say(&format!("wrong {id} {attempts_left}"));
                }
                other => panic!("{other:?}"),
            }
        }
        if random[1].is_multiple_of(2) {
            say(&format!("bringing {id}"));
            verifier.check(check_request(id, &code)).await.unwrap();
            say(&format!("approved {id}"));
        }
    }
}

fn verifier(store: Arc<dyn watchword_core::Store>, pigeon: Arc<Pigeon>, seed: u64) -> Verifier {
    Verifier::new(Parts {
        store,
        messenger: pigeon,
        keys: Arc::new(fakes::keys(1)),
        clock: Arc::new(SetClock::default()),
        entropy: Arc::new(SeededEntropy::new(seed.wrapping_mul(0x9e37_79b9))),
        events: Arc::new(()),
        issuer: "https://otp.example.com".to_owned(),
        deadline: Duration::from_secs(10),
        fallback_after: std::collections::BTreeMap::new(),
        horizon: Duration::from_mins(10),
    })
}

fn start_request(to: &str) -> StartRequest {
    StartRequest {
        app: AppId::default(),
        to: Some(Recipient::parse(to, &NumberRules::default()).unwrap()),
        channels: vec![Channel::Email],
        purpose: Purpose::default(),
        locale: None,
        binding: BindingDigest::default(),
        metadata: None,
        remember_me: false,
        terms: Terms {
            policy: Arc::new(Policy::default()),
            source: None,
        },
    }
}

fn check_request(id: VerificationId, code: &str) -> CheckRequest {
    CheckRequest {
        app: AppId::default(),
        whose: Whose::Handle(id),
        code: Code::parse(code).unwrap(),
        binding: BindingDigest::default(),
        failures: None,
    }
}

fn spawn(path: &Path, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, format!("{}#{round}", path.display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Reads so many lines of what the child was told, kills it, and reads what else it had said.
fn listen_and_kill(mut child: Child, lines: usize, told: &mut BTreeMap<String, Told>) {
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let mut count = 0;
    loop {
        let mut line = String::new();
        if said.read_line(&mut line).unwrap() == 0 {
            break;
        }
        let Some(line) = line
            .strip_prefix("==")
            .and_then(|line| line.strip_suffix('\n'))
        else {
            continue;
        };
        note(line, told);
        count += 1;
        if count == lines {
            child.kill().unwrap();
        }
    }
    assert!(count >= lines, "the child ended by itself");
    child.wait().unwrap();
}

fn note(line: &str, told: &mut BTreeMap<String, Told>) {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["started", id, code] => {
            told.entry(id.to_owned()).or_default().code = code.to_owned();
        }
        ["wrong", id, left] => {
            told.get_mut(id).unwrap().attempts_left = Some(left.parse().unwrap());
        }
        ["bringing", id] => told.get_mut(id).unwrap().brought = true,
        ["approved", id] => told.get_mut(id).unwrap().approved = true,
        _ => panic!("{line}"),
    }
}

#[tokio::test]
async fn nothing_that_a_caller_was_told_is_lost_by_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchword.db");
    let mut told = BTreeMap::new();
    let chance = SeededEntropy::new(7);
    for round in 0..ROUNDS {
        let mut random = [0; 2];
        chance.fill(&mut random).unwrap();
        let lines = 50 + usize::from(u16::from_be_bytes(random)) % 3000;
        listen_and_kill(spawn(&path, round), lines, &mut told);
        if round % 3 == 2 {
            verify(&path, &told).await;
        }
    }
    assert!(told.values().any(|told| told.approved));
    approve_the_rest(&path, told).await;
}

/// Everything is there, and no further back than it was said to be.
async fn verify(path: &Path, told: &BTreeMap<String, Told>) {
    let opened = watchword_stores::open(&support::url(path), options())
        .await
        .unwrap();
    let now = watchword_core::Clock::now(&SetClock::default());
    for (id, told) in told {
        let handle = VerificationId::parse(id).unwrap();
        let found = opened
            .store
            .get(&AppId::default(), handle, now)
            .await
            .unwrap();
        let found = found.unwrap_or_else(|| panic!("{id} is lost: {told:?}"));
        if let Some(left) = told.attempts_left {
            assert!(found.attempts_left <= left, "{id}: {told:?}");
        }
        match found.status {
            Status::Approved => assert!(told.brought, "{id}: {told:?}"),
            Status::Pending => assert!(!told.approved, "{id}: {told:?}"),
            other => panic!("{id}: {other:?}"),
        }
    }
}

/// What was approved is not approved again; what was not, still is, once.
async fn approve_the_rest(path: &Path, told: BTreeMap<String, Told>) {
    let opened = watchword_stores::open(&support::url(path), options())
        .await
        .unwrap();
    let verifier = verifier(Arc::clone(&opened.store), Arc::default(), 1);
    for (id, told) in told {
        let id = VerificationId::parse(&id).unwrap();
        let first = verifier.check(check_request(id, &told.code)).await;
        if told.approved {
            assert!(
                matches!(first, Err(CheckError::NotFound)),
                "{id}: approved twice"
            );
        } else if !told.brought {
            assert!(first.is_ok(), "{id}: {first:?}");
        }
        let second = verifier.check(check_request(id, &told.code)).await;
        assert!(matches!(second, Err(CheckError::NotFound)), "{id}");
    }
}

#[tokio::test]
async fn a_second_process_is_refused_while_the_first_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchword.db");
    let mut child = spawn(&path, 1);
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    // It has the file once it was told of a start.
    assert!(said.any(|line| line.unwrap().starts_with("==started")));
    let refused = watchword_stores::open(&support::url(&path), options()).await;
    let refused = refused.err().unwrap();
    assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
    // Its API keys can be read and written meanwhile.
    let keys = watchword_stores::SqliteApiKeys::open(&path).unwrap();
    let key = watchword_core::ApiKey::generate(&SeededEntropy::new(3)).unwrap();
    let record = watchword_core::ApiKeyRecord::of(
        &key,
        "beside".to_owned(),
        AppId::default(),
        Vec::new(),
        watchword_core::Timestamp::default(),
        None,
    );
    watchword_core::ApiKeyStore::add(&keys, record)
        .await
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let opened = watchword_stores::open(&support::url(&path), options())
        .await
        .unwrap();
    assert!(opened.api_keys.find(key.id()).await.unwrap().is_some());
}
