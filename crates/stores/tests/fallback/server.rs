//! A server over a store, and what its callers do.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes::{self, Pigeon, SeededEntropy};
use watchword_core::{
    AppId, Approved, BindingDigest, Channel, CheckError, CheckRequest, Clock, Code, Failure, Limit,
    NumberRules, Parts, Per, Policy, Purpose, Recipient, Refusal, ResendRequest, SendError, Sent,
    Source, StartRequest, Store, Terms, VerificationId, Verifier, Whose,
};

use super::site::Site;

pub(crate) const WRONG: &str = "000000";
const MINUTE: Duration = Duration::from_mins(1);

/// A server over a store. Three codes in ten minutes for each recipient and each source.
pub(crate) struct Server {
    pub(crate) verifier: Verifier,
    pub(crate) pigeon: Arc<Pigeon>,
    pub(crate) policy: Policy,
}

impl Server {
    pub(crate) fn over(store: Arc<dyn Store>, clock: Arc<dyn Clock>, seed: u64) -> Self {
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
            horizon: MINUTE * 10,
        });
        let limit = |per| Limit {
            per,
            max: 3,
            window: MINUTE * 10,
        };
        let policy = Policy {
            resend_cooldown: Duration::ZERO,
            limits: vec![limit(Per::Recipient), limit(Per::Source)],
            ..Policy::default()
        };
        Self {
            verifier,
            pigeon,
            policy,
        }
    }

    pub(crate) fn of(site: &Site) -> Self {
        let (store, clock) = (Arc::clone(&site.store), Arc::clone(&site.clock));
        Self::over(store, clock, 1)
    }

    /// Another node, which has no stand-in.
    pub(crate) fn beside(site: &Site) -> Self {
        let (store, clock) = (Arc::clone(&site.primary), Arc::clone(&site.clock));
        Self::over(store, clock, 2)
    }

    pub(crate) fn terms(&self, from: &str) -> Terms {
        Terms {
            policy: Arc::new(self.policy.clone()),
            source: Some(Source {
                surface: "native",
                address: from.to_owned(),
            }),
        }
    }

    pub(crate) async fn start_from(&self, to: &str, from: &str) -> Result<Sent, SendError> {
        let request = StartRequest {
            app: AppId::default(),
            to: Some(recipient(to)),
            channels: vec![Channel::Sms],
            purpose: Purpose::default(),
            locale: None,
            binding: BindingDigest::default(),
            metadata: None,
            remember_me: false,
            terms: self.terms(from),
        };
        self.verifier.start(request).await
    }

    /// From a source that has not asked before.
    pub(crate) async fn start(&self, to: &str) -> Result<Sent, SendError> {
        let from = format!("source {}", self.pigeon.count());
        self.start_from(to, &from).await
    }

    pub(crate) async fn started(&self, to: &str) -> VerificationId {
        self.start(to).await.unwrap().overview.verification.id
    }

    pub(crate) async fn resend(&self, id: VerificationId) -> Result<Sent, SendError> {
        let request = ResendRequest {
            app: AppId::default(),
            id,
            channels: None,
            terms: self.terms(&format!("source {}", self.pigeon.count())),
        };
        self.verifier.resend(request).await
    }

    pub(crate) async fn check_of(&self, whose: Whose, code: &str) -> Result<Approved, CheckError> {
        let request = CheckRequest {
            app: AppId::default(),
            whose,
            code: Code::parse(code).unwrap(),
            binding: BindingDigest::default(),
            failures: None,
        };
        self.verifier.check(request).await
    }

    pub(crate) async fn check(
        &self,
        id: VerificationId,
        code: &str,
    ) -> Result<Approved, CheckError> {
        self.check_of(Whose::Handle(id), code).await
    }

    pub(crate) async fn check_newest(&self, to: &str, code: &str) -> Result<Approved, CheckError> {
        let whose = Whose::Recipient(recipient(to), Purpose::default());
        self.check_of(whose, code).await
    }

    pub(crate) fn code(&self, id: VerificationId) -> String {
        self.pigeon.code(id).unwrap().expose().to_owned()
    }

    /// Spends this many failed checks on fresh codes of a recipient, ten minutes apart so that no
    /// limit of sends matters.
    pub(crate) async fn fail(&self, site: &Site, to: &str, failures: usize) {
        for _ in 0..failures {
            site.clock.advance(MINUTE * 4);
            let id = self.started(to).await;
            let outcome = self.check(id, WRONG).await;
            assert!(
                matches!(outcome, Err(CheckError::Incorrect { .. })),
                "{outcome:?}"
            );
        }
    }
}

pub(crate) fn recipient(to: &str) -> Recipient {
    Recipient::parse(to, &NumberRules::default()).unwrap()
}

pub(crate) fn is_limited(outcome: &Result<Sent, SendError>) -> bool {
    matches!(
        outcome,
        Err(SendError::Refused(
            Refusal::RecipientLimit { .. } | Refusal::SourceLimit { .. }
        ))
    )
}

pub(crate) fn is_unavailable(outcome: &Result<Approved, CheckError>) -> bool {
    matches!(outcome, Err(CheckError::Failure(Failure::Store(_))))
}
