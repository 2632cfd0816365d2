//! Whoever steals the files learns no code and no recipient.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use memchr::memmem;
use watchword_core::fakes::{self, Pigeon, SeededEntropy, SetClock};
use watchword_core::{
    ApiKey, ApiKeyRecord, AppId, BindingDigest, Channel, CheckRequest, Clock, Code, NumberRules,
    Parts, Policy, Purpose, Recipient, ResendRequest, Scope, StartRequest, Terms, Verifier, Whose,
};
use watchword_stores::OpenOptions;

struct Run {
    verifier: Verifier,
    pigeon: Arc<Pigeon>,
}

impl Run {
    async fn all_of_it(&self, number: u32, channel: Channel, to: &Recipient) {
        let terms = Terms {
            policy: Arc::new(Policy {
                resend_cooldown: Duration::ZERO,
                ..Policy::default()
            }),
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

    async fn check(&self, id: watchword_core::VerificationId, code: Code) {
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

/// Every file of the folder in one, without regard to case.
fn everything(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        all.extend(fs::read(file.unwrap().path()).unwrap());
        // Nothing is found across the seam.
        all.push(0);
    }
    all.make_ascii_lowercase();
    all
}

fn holds(files: &[u8], text: &str) -> bool {
    memmem::find(files, text.to_ascii_lowercase().as_bytes()).is_some()
}

#[tokio::test]
async fn no_code_recipient_or_key_is_in_the_files_in_clear() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("watchword.db");
    let options = OpenOptions {
        snapshot_after: 16 << 10,
        ..support::options()
    };
    let opened = watchword_stores::open(&support::url(&path), options)
        .await
        .unwrap();
    let pigeon = Arc::new(Pigeon::default());
    let run = Run {
        verifier: Verifier::new(Parts {
            store: Arc::clone(&opened.store),
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
    for number in 0..40 {
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
    let now = SetClock::default().now();
    let scopes = Scope::USUAL.to_vec();
    let record = ApiKeyRecord::of(
        &key,
        "the shop".to_owned(),
        AppId::default(),
        scopes,
        now,
        None,
    );
    opened.api_keys.add(record).await.unwrap();
    secrets.push(
        key.expose()
            .trim_start_matches(&format!("wk_{}", key.id()))
            .to_owned(),
    );
    let codes: Vec<_> = run.pigeon.codes();
    secrets.extend(codes.iter().map(|code| code.expose().to_owned()));
    assert_eq!(codes.len(), 160);

    // A snapshot is due; a copy of everything is in it too.
    while opened.stats.read().snapshots == 0 {
        tokio::task::yield_now().await;
    }
    let mut files = everything(folder.path());
    opened.close().await;
    files.extend(everything(folder.path()));
    assert!(holds(&files, "the shop"), "the search finds what is there");
    for secret in &secrets {
        assert!(!holds(&files, secret), "{secret} is in the files");
        let hidden = STANDARD_NO_PAD.encode(secret);
        assert!(
            !holds(&files, &hidden),
            "{secret} is in the files as base64"
        );
    }
}
