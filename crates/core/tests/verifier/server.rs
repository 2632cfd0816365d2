//! A server in miniature, and what callers say to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use watchword_core::fakes::{self, Pigeon, SeededEntropy, SetClock};
use watchword_core::keys::KeyRing;
use watchword_core::memory::MemoryStore;
use watchword_core::{
    AppId, Approved, BindingDigest, Channel, CheckError, CheckRequest, Clock, Code, Entropy, Event,
    Events, LONGEST_WINDOW, NumberRules, Parts, Policy, Purpose, Recipient, ResendRequest,
    SendError, Sent, Source, StartRequest, Store, Subject, Terms, Verification, VerificationId,
    Verifier, Whose,
};

/// Whom most codes go to, as it is typed.
pub(crate) const NUMBER: &str = "+14155550123";

/// How long a WhatsApp message may go without a word of its arrival.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Remembers what happened.
#[derive(Default)]
pub(crate) struct Diary(Mutex<Vec<Event>>);

impl Diary {
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Events for Diary {
    fn note(&self, event: Event, _: &Subject<'_>) {
        self.0.lock().push(event);
    }
}

pub(crate) struct Server {
    pub(crate) verifier: Verifier,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) pigeon: Arc<Pigeon>,
    pub(crate) clock: Arc<SetClock>,
    pub(crate) diary: Arc<Diary>,
    pub(crate) keys: Arc<KeyRing>,
}

impl Server {
    pub(crate) fn new() -> Arc<Self> {
        Self::over(Arc::new(MemoryStore::default()))
    }

    pub(crate) fn over(store: Arc<dyn Store>) -> Arc<Self> {
        Self::with(store, Arc::new(SeededEntropy::new(7)), fakes::keys(1))
    }

    pub(crate) fn with(
        store: Arc<dyn Store>,
        entropy: Arc<dyn Entropy>,
        keys: KeyRing,
    ) -> Arc<Self> {
        Self::of(store, entropy, keys, Arc::default())
    }

    /// One more server over the same store, with the same carrier.
    pub(crate) fn beside(&self) -> Arc<Self> {
        let entropy = Arc::new(SeededEntropy::new(8));
        let (store, pigeon) = (Arc::clone(&self.store), Arc::clone(&self.pigeon));
        Self::of(store, entropy, fakes::keys(1), pigeon)
    }

    fn of(
        store: Arc<dyn Store>,
        entropy: Arc<dyn Entropy>,
        keys: KeyRing,
        pigeon: Arc<Pigeon>,
    ) -> Arc<Self> {
        let keys = Arc::new(keys);
        let diary = Arc::new(Diary::default());
        let clock = Arc::new(SetClock::default());
        let verifier = Verifier::new(Parts {
            store: Arc::clone(&store),
            messenger: pigeon.clone(),
            keys: Arc::clone(&keys),
            clock: clock.clone(),
            entropy,
            events: diary.clone(),
            issuer: "https://otp.example.com".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: BTreeMap::from([(Channel::Whatsapp, PATIENCE)]),
            horizon: LONGEST_WINDOW,
        });
        Arc::new(Self {
            verifier,
            store,
            pigeon,
            clock,
            diary,
            keys,
        })
    }

    /// The code that went out last for this verification.
    pub(crate) fn code(&self, id: VerificationId) -> Code {
        self.pigeon.code(id).expect("a code was sent")
    }

    /// A code that is not the one that went out.
    pub(crate) fn wrong(&self, id: VerificationId) -> Code {
        match self.code(id).expose() {
            "000000" => code("000001"),
            _ => code("000000"),
        }
    }

    pub(crate) async fn start(&self, request: StartRequest) -> VerificationId {
        let sent = self.verifier.start(request).await;
        sent.expect("the start is admitted")
            .overview
            .verification
            .id
    }

    pub(crate) async fn resend(&self, id: VerificationId) -> Result<Sent, SendError> {
        let request = ResendRequest {
            app: AppId::default(),
            id,
            channels: None,
            terms: generous(),
        };
        self.verifier.resend(request).await
    }

    pub(crate) async fn check(
        &self,
        id: VerificationId,
        code: Code,
    ) -> Result<Approved, CheckError> {
        self.verifier.check(guess(id, code)).await
    }

    pub(crate) async fn row(&self, id: VerificationId) -> Option<Verification> {
        let found = self
            .store
            .get(&AppId::default(), id, self.clock.now())
            .await;
        found.expect("the store works")
    }
}

pub(crate) fn code(digits: &str) -> Code {
    Code::parse(digits).expect("a code")
}

pub(crate) fn number(raw: &str) -> Recipient {
    Recipient::parse(raw, &NumberRules::default()).expect("a number")
}

pub(crate) fn binding(json: &str) -> BindingDigest {
    BindingDigest::of_json(json).expect("JSON")
}

/// The default policy without a cooldown and without limits, so that a test sets its own.
pub(crate) fn generous() -> Terms {
    let policy = Policy {
        resend_cooldown: Duration::ZERO,
        limits: Vec::new(),
        ..Policy::default()
    };
    Terms {
        policy: Arc::new(policy),
        source: None,
    }
}

/// The default policy, asked from an address.
pub(crate) fn strict(address: &str) -> Terms {
    Terms {
        policy: Arc::new(Policy::default()),
        source: Some(Source {
            surface: "native",
            address: address.to_owned(),
        }),
    }
}

/// A login code for [`NUMBER`] by SMS.
pub(crate) fn request(terms: Terms) -> StartRequest {
    StartRequest {
        app: AppId::default(),
        to: Some(number(NUMBER)),
        channels: vec![Channel::Sms],
        purpose: Purpose::parse("login").expect("a purpose"),
        locale: None,
        binding: BindingDigest::none(),
        metadata: None,
        remember_me: false,
        terms,
    }
}

/// A guess by handle under the default budget.
pub(crate) fn guess(id: VerificationId, code: Code) -> CheckRequest {
    CheckRequest {
        app: AppId::default(),
        whose: Whose::Handle(id),
        code,
        binding: BindingDigest::none(),
        failures: Some(Policy::default().failures),
    }
}

/// Lets `count` callers loose at the same moment.
pub(crate) async fn crowd<F, T>(count: usize, caller: impl Fn(usize) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let gate = Arc::new(tokio::sync::Barrier::new(count));
    let callers: Vec<_> = (0..count)
        .map(|number| {
            let (gate, call) = (Arc::clone(&gate), caller(number));
            tokio::spawn(async move {
                gate.wait().await;
                call.await
            })
        })
        .collect();
    futures_util::future::join_all(callers)
        .await
        .into_iter()
        .map(|joined| joined.expect("no caller panics"))
        .collect()
}
