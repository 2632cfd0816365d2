//! What is kept, and for how long.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use memchr::memmem;
use watchword_core::fakes::{SeededEntropy, SetClock};
use watchword_core::keys::Sealed;
use watchword_core::{
    ApiKey, ApiKeyRecord, ApiKeyStore as _, AppId, Clock as _, ReplayKey, ReplayStore as _, Scope,
};

use super::fixture::{Fixture, on_its_own};
use super::node::{Node, WRONG};
use super::servers::{Answer, RedisServer};

/// Something of everything; the secrets that went through it.
async fn history(fixture: &Fixture<RedisServer>) -> Vec<String> {
    let node = Node::of(fixture.port(), 1);
    let mut secrets = Vec::new();
    for number in 0..30 {
        let phone = format!("+1415555{:04}", 2600 + number);
        let email = format!("user{number}@example.org");
        for to in [phone, email] {
            let sent = node.start(&to, Some("198.51.100.7")).await;
            secrets.push(to.trim_start_matches('+').to_owned());
            let Ok(sent) = sent else { continue };
            let id = sent.overview.verification.id;
            node.check(id, WRONG).await.unwrap_err();
            node.resend(id).await.unwrap();
            match number % 3 {
                0 => drop(node.check(id, &node.code(id)).await.unwrap()),
                1 => {
                    for _ in 0..5 {
                        node.check(id, WRONG).await.unwrap_err();
                    }
                }
                _ => {}
            }
        }
    }
    node.pigeon
        .answer(Some(watchword_core::Verdict::Unavailable));
    node.start("+14155559999", None).await.unwrap_err();
    node.pigeon.answer(None);
    node.pigeon.name_messages();
    node.start("+14155559998", None).await.unwrap();
    let now = SetClock::default().now();
    let until = now.plus(Duration::from_mins(1));
    let claim = |number| fixture.claim(ReplayKey([number; 16]), [1; 32], until, now);
    claim(1).await.unwrap();
    claim(2).await.unwrap();
    let answer = Sealed::from_bytes(b"sealed");
    let finished = fixture.finish(ReplayKey([2; 16]), answer, until).await;
    finished.unwrap();
    let key = ApiKey::generate(&SeededEntropy::new(9)).unwrap();
    let (name, scopes) = ("the shop".to_owned(), Scope::USUAL.to_vec());
    let record = ApiKeyRecord::of(&key, name, AppId::default(), scopes, now, None);
    fixture.storage.api_keys().add(record).await.unwrap();
    let visible = format!("wk_{}", key.id());
    secrets.push(key.expose().trim_start_matches(&visible).to_owned());
    let codes = node.pigeon.codes();
    secrets.extend(codes.iter().map(|code| code.expose().to_owned()));
    secrets.extend(["198.51.100.7".to_owned(), "customer-4711".to_owned()]);
    secrets
}

/// Counts what is there by what it holds: a lock and an API key for a century, all else for days.
#[tokio::test]
async fn every_key_has_a_time_to_live() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    history(&fixture).await;
    let mut raw = fixture.server.connect();
    let keys = raw.ask(&["KEYS", "*"]).list();
    assert!(keys.len() > 60, "{}", keys.len());
    let mut kinds = std::collections::BTreeSet::new();
    for key in &keys {
        let life = raw.ask(&[b"PTTL".as_slice(), key.bytes()]).number();
        let name = String::from_utf8_lossy(key.bytes()).into_owned();
        assert!(life > 0, "{name} lives for ever");
        let behind = name.split_once(':').unwrap().1;
        let kind = match behind.strip_prefix('{') {
            Some(tagged) if !behind.contains("{api") && !behind.contains("{sec") => {
                tagged.split_once('}').unwrap().1.chars().next().unwrap()
            }
            Some(_) => 'k',
            None => behind.chars().next().unwrap(),
        };
        let half_a_year = 181 * 86_400_000;
        assert!(kind == 'k' || life < half_a_year, "{name} lives for {life}");
        kinds.insert(kind);
    }
    let kinds: String = kinds.into_iter().collect();
    assert_eq!(kinds, "fikmps", "the history left something of everything");
}

/// Neither in the dump of the server, nor in what was said to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_code_recipient_or_key_reaches_the_server_in_clear() {
    let Some(fixture) = on_its_own(&["--rdbcompression", "no"]).await else {
        return;
    };
    let heard = Arc::new(Mutex::new(Vec::new()));
    let (mut monitor, own) = (fixture.server.connect(), Arc::clone(&heard));
    assert_eq!(monitor.ask(&["MONITOR"]), Answer::Text(b"OK".to_vec()));
    let listening = std::thread::spawn(move || {
        while let Some(line) = monitor.line() {
            own.lock().unwrap().extend(line);
        }
    });
    let secrets = history(&fixture).await;
    let mut raw = fixture.server.connect();
    raw.ask(&["SAVE"]);
    let mut dump = std::fs::read(fixture.server.folder().join("dump.rdb")).unwrap();
    fixture.server.kill();
    listening.join().unwrap();
    dump.make_ascii_lowercase();
    let mut heard = heard.lock().unwrap();
    heard.make_ascii_lowercase();
    let holds = |all: &[u8], text: &str| {
        let text = text.to_ascii_lowercase();
        memmem::find(all, text.as_bytes()).is_some()
    };
    assert!(holds(&dump, "the shop"), "the search finds what is there");
    assert!(holds(&heard, "the shop"), "and what was said");
    for secret in secrets {
        assert!(!holds(&dump, &secret), "{secret} is in the dump");
        // Moments are said in digits, and among them may be those of a code.
        let said = match secret.len() {
            6 => format!("\"{secret}\""),
            _ => secret.clone(),
        };
        assert!(!holds(&heard, &said), "{secret} was said to the server");
    }
}

/// However often nobody could be reached, the limit admits as many as before.
#[tokio::test]
async fn what_nobody_took_is_given_back_to_recipient_and_source() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    let (to, from) = ("+14155552671", Some("198.51.100.7"));
    node.pigeon
        .answer(Some(watchword_core::Verdict::Unavailable));
    for _ in 0..40 {
        node.start(to, from).await.unwrap_err();
    }
    node.pigeon.answer(None);
    for _ in 0..3 {
        node.start(to, from).await.unwrap();
    }
    node.start(to, from).await.unwrap_err();
}
