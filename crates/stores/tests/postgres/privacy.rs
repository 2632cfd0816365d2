//! Whoever steals the database, or reads what the server logs of every statement, learns no code
//! and no recipient.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem;
use watchword_core::fakes::{self, Pigeon, SeededEntropy, SetClock};
use watchword_core::{
    ApiKey, ApiKeyRecord, ApiKeyStore, AppId, BindingDigest, Channel, CheckRequest, Clock, Code,
    NumberRules, Parts, Policy, Purpose, Recipient, ResendRequest, Scope, StartRequest, Terms,
    VerificationId, Verifier, Whose,
};
use watchword_stores::PostgresApiKeys;

use crate::fixture::{Fixture, shared};

struct Run {
    verifier: Verifier,
    pigeon: Arc<Pigeon>,
}

impl Run {
    async fn all_of_it(&self, number: u32, channel: Channel, to: &Recipient) {
        let policy = Policy {
            resend_cooldown: Duration::ZERO,
            ..Policy::default()
        };
        let terms = Terms {
            policy: Arc::new(policy),
            source: None,
        };
        let request = StartRequest {
            app: AppId::default(),
            to: Some(to.clone()),
            channels: vec![channel],
            purpose: Purpose::default(),
            locale: None,
            binding: BindingDigest::default(),
            metadata: Some(serde_json::json!({ "customer": format!("customer-{number}") })),
            remember_me: false,
            terms: terms.clone(),
        };
        let sent = self.verifier.start(request).await.unwrap();
        let id = sent.overview.verification.id;
        let wrong = if sent.code.expose() == "000000" {
            "111111"
        } else {
            "000000"
        };
        self.check(id, Code::parse(wrong).unwrap()).await;
        let again = ResendRequest {
            app: AppId::default(),
            id,
            channels: None,
            terms,
        };
        self.verifier.resend(again).await.unwrap();
        if number.is_multiple_of(2) {
            self.check(id, self.pigeon.code(id).unwrap()).await;
        }
    }

    async fn check(&self, id: VerificationId, code: Code) {
        let request = CheckRequest {
            app: AppId::default(),
            whose: Whose::Handle(id),
            code,
            binding: BindingDigest::default(),
            failures: None,
        };
        let _ = self.verifier.check(request).await;
    }
}

fn holds(text: &str, part: &str) -> bool {
    memmem::find(text.as_bytes(), part.to_ascii_lowercase().as_bytes()).is_some()
}

#[tokio::test]
async fn no_code_recipient_or_key_is_in_the_database_or_the_log_in_clear() {
    if shared().is_none() {
        return;
    }
    let fixture = Fixture::new().await;
    let database = &fixture.database;
    // From the next connections on, the server logs every statement and its parameters.
    database.sql(&format!(
        "ALTER DATABASE {} SET log_statement = 'all'",
        database.name
    ));
    let pigeon = Arc::new(Pigeon::default());
    let run = Run {
        verifier: Verifier::new(Parts {
            store: Arc::new(database.store().await),
            messenger: Arc::clone(&pigeon) as Arc<_>,
            keys: Arc::new(fakes::keys(1)),
            clock: Arc::new(SetClock::default()),
            entropy: Arc::new(SeededEntropy::new(1)),
            events: Arc::new(()),
            issuer: "https://otp.example.com".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: std::collections::BTreeMap::new(),
            horizon: Duration::from_mins(10),
        }),
        pigeon,
    };
    let mut secrets = Vec::new();
    for number in 0..12 {
        let (phone, email) = (
            format!("+1415555{:04}", 2600 + number),
            format!("user{number}@example.org"),
        );
        for (channel, to) in [(Channel::Sms, phone), (Channel::Email, email)] {
            let recipient = Recipient::parse(&to, &NumberRules::default()).unwrap();
            run.all_of_it(number, channel, &recipient).await;
            secrets.push(to.trim_start_matches('+').to_owned());
        }
        secrets.push(format!("customer-{number}"));
    }
    let key = ApiKey::generate(&SeededEntropy::new(9)).unwrap();
    let (name, app) = ("the shop".to_owned(), AppId::default());
    let (scopes, now) = (Scope::USUAL.to_vec(), SetClock::default().now());
    let record = ApiKeyRecord::of(&key, name, app, scopes, now, None);
    let api_keys = PostgresApiKeys::open(&database.url()).await.unwrap();
    api_keys.add(record.clone()).await.unwrap();
    let prefix = format!("wk_{}", key.id());
    secrets.push(key.expose().trim_start_matches(&prefix).to_owned());

    let dump = database
        .server
        .dump(&database.name, &[])
        .to_ascii_lowercase();
    let log = database.server.log().to_ascii_lowercase();
    assert!(holds(&dump, "the shop"), "the search finds what is there");
    assert!(holds(&log, "watchword.start_2"), "the log has the steps");
    let codes: Vec<_> = run.pigeon.codes();
    assert_eq!(codes.len(), 48);
    let hex = |text: &str| -> String { text.bytes().map(|byte| format!("{byte:02x}")).collect() };
    for text in [dump, log] {
        for secret in &secrets {
            for form in [secret.clone(), STANDARD_NO_PAD.encode(secret), hex(secret)] {
                assert!(!holds(&text, &form), "{secret} is there");
            }
        }
        // Six digits may be a part of some longer number by chance, but not by themselves.
        for code in &codes {
            assert!(!stands_alone(&text, code.expose()), "a code is there");
            assert!(!stands_alone(&text, &hex(code.expose())), "a code is there");
        }
    }
}

fn stands_alone(text: &str, word: &str) -> bool {
    let part = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    memmem::find_iter(bytes, word).any(|at| {
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !part(before) && !part(bytes.get(at + word.len()))
    })
}

#[tokio::test]
async fn a_key_that_one_node_adds_or_revokes_is_known_to_the_other() {
    if shared().is_none() {
        return;
    }
    let fixture = Fixture::new().await;
    let url = fixture.database.url();
    let one = PostgresApiKeys::open(&url).await.unwrap();
    let other = PostgresApiKeys::open(&url).await.unwrap();
    let key = ApiKey::generate(&SeededEntropy::new(9)).unwrap();
    let (name, app) = ("the shop".to_owned(), AppId::default());
    let (scopes, now) = (Scope::ALL.to_vec(), SetClock::default().now());
    let later = now.plus(Duration::from_mins(1));
    let record = ApiKeyRecord::of(&key, name, app, scopes, now, Some(later));
    one.add(record.clone()).await.unwrap();
    assert!(one.add(record.clone()).await.is_err(), "its id is taken");
    assert_eq!(one.list().await.unwrap(), std::slice::from_ref(&record));
    while other.find(&record.id).await.unwrap() != Some(record.clone()) {
        tokio::task::yield_now().await;
    }
    assert!(other.revoke(&record.id, now).await.unwrap());
    assert!(!other.revoke(&record.id, now).await.unwrap());
    let revoked = async || one.find(&record.id).await.unwrap().unwrap().revoked_at;
    while revoked().await != Some(now) {
        tokio::task::yield_now().await;
    }
}
