//! A node of a fleet: what stands between its callers and the store.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes::{self, Pigeon, SeededEntropy, SetClock};
use watchword_core::{
    AppId, Approved, BindingDigest, Channel, CheckError, CheckRequest, Clock, Code, NumberRules,
    Parts, Policy, Purpose, Recipient, ResendRequest, SendError, Sent, Source, StartRequest, Store,
    Terms, VerificationId, Verifier, Whose,
};

pub(crate) const WRONG: &str = "000000";

pub(crate) struct Node {
    pub(crate) verifier: Verifier,
    pub(crate) pigeon: Arc<Pigeon>,
    policy: Policy,
}

impl Node {
    /// Over a store; nodes of one seed draw the same codes.
    pub(crate) fn over(store: Arc<dyn Store>, seed: u64, clock: Arc<dyn Clock>) -> Self {
        let pigeon = Arc::new(Pigeon::default());
        let verifier = Verifier::new(Parts {
            store,
            messenger: Arc::clone(&pigeon) as Arc<_>,
            keys: Arc::new(fakes::keys(1)),
            clock,
            entropy: Arc::new(SeededEntropy::new(seed)),
            events: Arc::new(()),
            issuer: "https://otp.example.com".to_owned(),
            deadline: Duration::from_secs(10),
            fallback_after: std::collections::BTreeMap::new(),
            horizon: Duration::from_mins(10),
        });
        let policy = Policy {
            resend_cooldown: Duration::ZERO,
            ..Policy::default()
        };
        Self {
            verifier,
            pigeon,
            policy,
        }
    }

    pub(crate) fn of(store: Arc<dyn Store>, seed: u64) -> Self {
        Self::over(store, seed, Arc::new(SetClock::default()))
    }

    fn terms(&self, from: Option<&str>) -> Terms {
        Terms {
            policy: Arc::new(self.policy.clone()),
            source: from.map(|address| Source {
                surface: "native",
                address: address.to_owned(),
            }),
        }
    }

    pub(crate) async fn start(&self, to: &str, from: Option<&str>) -> Result<Sent, SendError> {
        let to = Recipient::parse(to, &NumberRules::default()).unwrap();
        let channel = match to {
            Recipient::Phone(_) => Channel::Sms,
            Recipient::Email(_) => Channel::Email,
        };
        let request = StartRequest {
            app: AppId::default(),
            to: Some(to),
            channels: vec![channel],
            purpose: Purpose::default(),
            locale: None,
            binding: BindingDigest::default(),
            metadata: Some(serde_json::json!({ "customer": "customer-4711" })),
            remember_me: false,
            terms: self.terms(from),
        };
        self.verifier.start(request).await
    }

    /// A verification that has to be started.
    pub(crate) async fn started(&self, to: &str) -> VerificationId {
        let sent = self.start(to, None).await.unwrap();
        sent.overview.verification.id
    }

    pub(crate) async fn resend(&self, id: VerificationId) -> Result<Sent, SendError> {
        self.resend_over(id, None).await
    }

    pub(crate) async fn resend_over(
        &self,
        id: VerificationId,
        channel: Option<Channel>,
    ) -> Result<Sent, SendError> {
        let request = ResendRequest {
            app: AppId::default(),
            id,
            channels: channel.map(|channel| vec![channel]),
            terms: self.terms(None),
        };
        self.verifier.resend(request).await
    }

    pub(crate) async fn check(
        &self,
        id: VerificationId,
        code: &str,
    ) -> Result<Approved, CheckError> {
        let request = CheckRequest {
            app: AppId::default(),
            whose: Whose::Handle(id),
            code: Code::parse(code).unwrap(),
            binding: BindingDigest::default(),
            failures: None,
        };
        self.verifier.check(request).await
    }

    pub(crate) fn code(&self, id: VerificationId) -> String {
        self.pigeon.code(id).unwrap().expose().to_owned()
    }
}
