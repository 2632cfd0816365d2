//! The calls of a flow as the stores make them, without the stores: what a server could reach that
//! did nothing else. For load generators; see `examples/bare.rs`.
//!
//! A flow is what a request to start, its hand-over and a check with the right code cost a store
//! under the default policy of the native surface: the source is charged where that is a call of
//! its own, the verification is started, its delivery is noted, and the code is checked. Each
//! number is another recipient and another source, so that no limit is ever met.

pub mod postgres;
pub mod redis;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use watchword_core::keys::{KeyRing, Sealed, SecretKey};
use watchword_core::{
    AppId, BindingDigest, Channel, CheckStep, CheckTarget, Code, CodeContext, CodeDigest, Delivery,
    DeliveryId, DeliveryStatus, Entropy, EntropyError, FailureBudget, Note, Purpose, Quota,
    RecipientIndex, SendTerms, SourceCharge, SourceIndex, StartStep, Timestamp, VerificationId,
    WhenPending,
};

/// Numbers that look drawn, and are the same each time (SplitMix64).
struct Numbers(AtomicU64);

impl Entropy for Numbers {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in bytes.chunks_mut(8) {
            let step = 0x9E37_79B9_7F4A_7C15;
            let state = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// The steps of one flow.
pub struct Flow {
    /// The start.
    pub start: StartStep,
    /// The end of its hand-over.
    pub note: Note,
    /// A check with the right code.
    pub check: CheckStep,
}

/// The steps of the flow of this number.
///
/// # Panics
/// Never: its numbers are not drawn from anywhere that could fail.
#[must_use]
#[allow(
    clippy::expect_used,
    reason = "the numbers never fail, and the code is one"
)]
pub fn flow(number: u64) -> Flow {
    let numbers = Numbers(AtomicU64::new(number.wrapping_mul(0xD134_2543_DE82_EF95)));
    let draw = || {
        let mut bytes = [0; 16];
        numbers.fill(&mut bytes).expect("never fails");
        bytes
    };
    let recipient = RecipientIndex::from_bytes(draw());
    let id = VerificationId::generate(&recipient, &numbers).expect("never fails");
    let (app, purpose, channel) = (AppId::default(), Purpose::default(), Channel::Sms);
    let code = Code::parse("123456").expect("six digits");
    let candidates = KEYS.with(|keys| keys.candidates(&app, &BindingDigest::none(), &code));
    let place = CodeContext {
        id,
        recipient,
        channel,
        purpose: &purpose,
    };
    let window = Duration::from_mins(10);
    let failures = Some(FailureBudget::default());
    Flow {
        note: Note {
            deliveries: vec![Delivery {
                id: DeliveryId::generate(&numbers).expect("never fails"),
                channel,
                provider: "inbox".to_owned(),
                status: DeliveryStatus::Accepted,
                at: Timestamp::from_millis(1_790_000_000_000),
                message_id: None,
                error: None,
            }],
            ..Note::default()
        },
        check: CheckStep {
            app: app.clone(),
            target: CheckTarget::Id(id),
            candidates: candidates.clone(),
            failures,
        },
        start: StartStep {
            id,
            app,
            recipient,
            channel,
            digest: CodeDigest::bind(&candidates[0], place),
            candidate: candidates[0].clone(),
            purpose,
            max_attempts: 5,
            ttl: Duration::from_mins(5),
            // As long as those of a phone number are.
            details: Sealed::from_bytes(&[9; 60]),
            when_pending: WhenPending::Replace,
            terms: SendTerms {
                cooldown: Duration::from_secs(30),
                recipient: vec![Quota { max: 3, window }],
                source: Some(SourceCharge {
                    index: SourceIndex::from_bytes(draw()),
                    quotas: vec![Quota { max: 30, window }],
                }),
                failures,
                horizon: window,
            },
        },
    }
}

thread_local! {
    static KEYS: KeyRing = keys();
}

/// The keys that the codes of flows are digested under: no secret at all.
///
/// # Panics
/// Never: its numbers are not drawn from anywhere that could fail.
#[must_use]
#[allow(clippy::expect_used, reason = "the numbers never fail")]
pub fn keys() -> KeyRing {
    let secret = SecretKey::generate(&Numbers(AtomicU64::new(1)));
    KeyRing::new(&secret.expect("never fails"), &[])
}
