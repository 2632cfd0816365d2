//! Sends that a provider was reached for and declined, not because of the recipient.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes::{self, Pigeon, SeededEntropy, SetClock};
use watchword_core::memory::MemoryStore;
use watchword_core::{
    AppId, BindingDigest, Channel, CheckError, CheckRequest, Clock, LONGEST_WINDOW, NumberRules,
    Parts, Policy, Purpose, Recipient, Refusal, ResendRequest, SendError, StartRequest, Status,
    Store, Terms, Verdict, Verifier, Whose,
};

struct Server {
    verifier: Verifier,
    store: Arc<dyn Store>,
    pigeon: Arc<Pigeon>,
    clock: Arc<SetClock>,
}

fn server() -> Server {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let (pigeon, clock) = (Arc::new(Pigeon::default()), Arc::new(SetClock::default()));
    let verifier = Verifier::new(Parts {
        store: Arc::clone(&store),
        messenger: pigeon.clone(),
        keys: Arc::new(fakes::keys(1)),
        clock: clock.clone(),
        entropy: Arc::new(SeededEntropy::new(7)),
        events: Arc::new(()),
        issuer: "https://otp.example.com".to_owned(),
        deadline: Duration::from_secs(10),
        fallback_after: std::collections::BTreeMap::new(),
        horizon: LONGEST_WINDOW,
    });
    Server {
        verifier,
        store,
        pigeon,
        clock,
    }
}

fn terms() -> Terms {
    Terms {
        policy: Arc::new(Policy::default()),
        source: None,
    }
}

fn request() -> StartRequest {
    StartRequest {
        app: AppId::default(),
        to: Some(Recipient::parse("+14155550123", &NumberRules::default()).unwrap()),
        channels: vec![Channel::Sms],
        purpose: Purpose::default(),
        locale: None,
        binding: BindingDigest::none(),
        metadata: None,
        remember_me: false,
        terms: terms(),
    }
}

#[tokio::test]
async fn a_start_that_a_provider_declined_costs_a_slot_and_its_code_is_dead() {
    let server = server();
    server.pigeon.answer(Some(Verdict::Declined));
    for _ in 0..3 {
        let declined = server.verifier.start(request()).await;
        assert!(matches!(declined, Err(SendError::Undeliverable)));
        server.clock.advance(Duration::from_secs(30));
    }
    let code = server.pigeon.codes().pop().unwrap();
    let guess = CheckRequest {
        app: AppId::default(),
        whose: Whose::Recipient(request().to.unwrap(), Purpose::default()),
        code,
        binding: BindingDigest::none(),
        failures: Some(Policy::default().failures),
    };
    let outcome = server.verifier.check(guess).await;
    assert!(matches!(outcome, Err(CheckError::NotFound)), "{outcome:?}");
    let refused = server.verifier.start(request()).await;
    assert!(
        matches!(
            refused,
            Err(SendError::Refused(Refusal::RecipientLimit { .. }))
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_resend_that_a_provider_declined_costs_a_slot_and_the_verification_stays() {
    let server = server();
    let id = server.verifier.start(request()).await.unwrap();
    let id = id.overview.verification.id;
    let resend = || {
        server.clock.advance(Duration::from_secs(30));
        server.verifier.resend(ResendRequest {
            app: AppId::default(),
            id,
            channels: None,
            terms: terms(),
        })
    };
    server.pigeon.answer(Some(Verdict::Declined));
    for _ in 0..2 {
        assert!(matches!(resend().await, Err(SendError::Undeliverable)));
    }
    let now = server.clock.now();
    let row = server.store.get(&AppId::default(), id, now).await.unwrap();
    assert_eq!(row.unwrap().status, Status::Pending);
    server.pigeon.answer(None);
    let refused = resend().await;
    assert!(
        matches!(
            refused,
            Err(SendError::Refused(Refusal::RecipientLimit { .. }))
        ),
        "{refused:?}"
    );
}
