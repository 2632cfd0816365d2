//! Fakes for the ports: a clock that is set, chance that repeats, a messenger that remembers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::clock::{Clock, Timestamp};
use crate::code::Code;
use crate::delivery::{Delivery, DeliveryId, DeliveryStatus};
use crate::digest::{CodeContext, CodeDigest, RecipientIndex};
use crate::entropy::{Entropy, EntropyError};
use crate::id::VerificationId;
use crate::keys::{KeyRing, Sealed, SecretKey};
use crate::messenger::{Dispatch, Envelope, Messenger, Verdict};
use crate::purpose::Purpose;
use crate::verification::{Status, Verification};

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct SetClock(AtomicU64);

impl SetClock {
    /// A clock that stands at `at`.
    #[must_use]
    pub const fn new(at: Timestamp) -> Self {
        Self(AtomicU64::new(at.as_millis()))
    }

    /// Moves it forward.
    pub fn advance(&self, span: Duration) {
        self.set(self.now().plus(span));
    }

    /// Sets it, back too.
    pub fn set(&self, at: Timestamp) {
        self.0.store(at.as_millis(), Ordering::SeqCst);
    }
}

/// Stands at a moment in 2026.
impl Default for SetClock {
    fn default() -> Self {
        Self::new(Timestamp::from_millis(1_790_000_000_000))
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

/// Bytes that look random and repeat with the seed.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    block: AtomicU64,
}

impl SeededEntropy {
    /// A source whose bytes follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            block: AtomicU64::new(0),
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in dest.chunks_mut(32) {
            let block = self.block.fetch_add(1, Ordering::SeqCst);
            let mut hash = Sha256::new();
            hash.update(self.seed.to_be_bytes());
            hash.update(block.to_be_bytes());
            chunk.copy_from_slice(&hash.finalize()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A source of randomness that is broken.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokenEntropy;

impl Entropy for BrokenEntropy {
    fn fill(&self, _dest: &mut [u8]) -> Result<(), EntropyError> {
        Err(EntropyError)
    }
}

/// A messenger that keeps what it was given, and can be told to refuse.
#[derive(Default)]
pub struct Pigeon {
    sent: Mutex<Vec<Envelope>>,
    verdict: Mutex<Option<Verdict>>,
    deaf: AtomicBool,
    naming: AtomicBool,
}

impl Pigeon {
    /// From now on, end every dispatch like this; `None` takes everything again.
    pub fn answer(&self, verdict: Option<Verdict>) {
        *self.verdict.lock() = verdict;
    }

    /// Whether any channel has a provider.
    pub fn serve(&self, serves: bool) {
        self.deaf.store(!serves, Ordering::SeqCst);
    }

    /// From now on, name each message `pigeon-1`, `pigeon-2` and so on by the count of messages, and
    /// let receipts bring nothing else.
    pub fn name_messages(&self) {
        self.naming.store(true, Ordering::SeqCst);
    }

    /// The hand-over of a verification's message of this number, counted from 1.
    #[must_use]
    pub fn delivery(verification: VerificationId, number: u128) -> DeliveryId {
        let first = verification.as_uuid().as_u128();
        DeliveryId(uuid::Uuid::from_u128(first.wrapping_add(number - 1)))
    }

    /// The channels that each message could have taken, oldest first.
    #[must_use]
    pub fn channels(&self) -> Vec<Vec<Channel>> {
        let sent = self.sent.lock();
        sent.iter()
            .map(|envelope| envelope.channels.clone())
            .collect()
    }

    /// How many messages were handed over.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sent.lock().len()
    }

    /// The code of the newest message for a verification.
    #[must_use]
    pub fn code(&self, id: VerificationId) -> Option<Code> {
        let sent = self.sent.lock();
        sent.iter()
            .rev()
            .find(|envelope| envelope.verification == id)
            .map(|found| found.code.clone())
    }

    /// Every code that was sent, oldest first.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        self.sent
            .lock()
            .iter()
            .map(|envelope| envelope.code.clone())
            .collect()
    }
}

#[async_trait]
impl Messenger for Pigeon {
    fn serves(&self, _channel: Channel) -> bool {
        !self.deaf.load(Ordering::SeqCst)
    }

    fn tracks(&self, _provider: &str) -> bool {
        self.naming.load(Ordering::SeqCst)
    }

    async fn dispatch(&self, envelope: Envelope, _deadline: Duration) -> Dispatch {
        let channel = envelope.channels.first().copied().unwrap_or(Channel::Sms);
        let verdict = self.verdict.lock().unwrap_or(Verdict::Taken(channel));
        let status = match verdict {
            Verdict::Taken(_) => DeliveryStatus::Accepted,
            Verdict::Unavailable | Verdict::Refused | Verdict::Declined => DeliveryStatus::Failed,
        };
        let mut sent = self.sent.lock();
        let own = |other: &&Envelope| other.verification == envelope.verification;
        let number = sent.iter().filter(own).count() + 1;
        let naming = self.naming.load(Ordering::SeqCst);
        let delivery = Delivery {
            id: Self::delivery(envelope.verification, number as u128),
            channel,
            provider: "pigeon".to_owned(),
            status,
            at: envelope.expires_at.minus(Duration::from_secs(300)),
            message_id: naming.then(|| format!("pigeon-{}", sent.len() + 1)),
            error: None,
        };
        sent.push(envelope);
        Dispatch {
            deliveries: vec![delivery],
            verdict,
        }
    }
}

/// A ring of one seeded key.
#[must_use]
pub fn keys(seed: u64) -> KeyRing {
    #[allow(clippy::expect_used, reason = "the seeded source never fails")]
    let secret = SecretKey::generate(&SeededEntropy::new(seed)).expect("seeded");
    KeyRing::new(&secret, &[])
}

/// A pending verification of nobody in particular whose code is 123456.
#[must_use]
#[allow(
    clippy::missing_panics_doc,
    clippy::expect_used,
    reason = "fixed, valid inputs"
)]
pub fn pending(at: Timestamp) -> Verification {
    let app = AppId::default();
    let recipient = RecipientIndex::from_bytes([7; 16]);
    let id = VerificationId::generate(&recipient, &SeededEntropy::new(1)).expect("seeded");
    let code = Code::parse("123456").expect("six digits");
    let purpose = Purpose::default();
    let candidate = keys(1).candidate(&app, &BindingDigest::default(), &code);
    let place = CodeContext {
        id,
        recipient,
        channel: Channel::Sms,
        purpose: &purpose,
    };
    let digest = CodeDigest::bind(&candidate, place);
    Verification {
        id,
        app,
        recipient,
        addressed: true,
        channel: Channel::Sms,
        status: Status::Pending,
        digest,
        attempts_left: 5,
        created_at: at,
        sent_at: at,
        expires_at: at.plus(Duration::from_mins(5)),
        ended_at: None,
        details: Sealed::from_bytes(b"sealed elsewhere"),
        deliveries: vec![Delivery {
            id: DeliveryId(id.as_uuid()),
            channel: Channel::Sms,
            provider: "pigeon".to_owned(),
            status: DeliveryStatus::Accepted,
            at,
            message_id: Some("m-1".to_owned()),
            error: None,
        }],
        outdated: 0,
        fallback: None,
        purpose,
    }
}

/// What a server wrote whose records had the first form ([`crate::memory::READABLE`]), of one flow: a start,
/// the ledger of its recipient, the note of its hand-over, its check, the ledger again, and the source of
/// another.
#[must_use]
pub fn record_of_first_form() -> Vec<u8> {
    let digits = include_str!("memory/first_form.hex").chars();
    let digits: Vec<u32> = digits.filter_map(|digit| digit.to_digit(16)).collect();
    let bytes = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]);
    bytes.map(|byte| byte.to_le_bytes()[0]).collect()
}
