//! What a source pays for a question that may end without a send.

use std::time::Duration;

use super::{Failure, SendError, Source, Verifier};
use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::details::Details;
use crate::digest::{CodeContext, RecipientIndex};
use crate::entropy::draw;
use crate::event::Subject;
use crate::id::VerificationId;
use crate::limit::Quota;
use crate::policy::{Policy, WhenPending};
use crate::purpose::Purpose;
use crate::step::{SendTerms, SourceCharge, StartOutcome, StartStep};

/// Long enough for a store that counts in seconds. Nobody learns the handle.
const LIFE: Duration = Duration::from_secs(1);

impl Verifier {
    /// Counts one request of `source` against `quotas`, whatever comes of it. Nothing is sent. The
    /// log is that of the source's name ([`Source::surface`]): one of its own does not touch its
    /// sends.
    ///
    /// For the store it is a start for nobody, so that it is as atomic and as durable as those of
    /// sends; what it leaves is dead after a second, and at most as many are made as `quotas` admit.
    ///
    /// # Errors
    /// [`SendError::Refused`] when the quotas are used up, and [`SendError::Failure`].
    pub async fn charge(
        &self,
        app: &AppId,
        source: &Source,
        quotas: Vec<Quota>,
    ) -> Result<(), SendError> {
        if quotas.is_empty() {
            return Ok(());
        }
        let step = self.charging(app, source, quotas)?;
        let outcome = self.parts.store.start(step, self.now()).await;
        match self.watch(outcome).map_err(Failure::from)? {
            StartOutcome::Started(_) => Ok(()),
            StartOutcome::Refused(refusal) => {
                let subject = Subject {
                    app: Some(app),
                    ..Subject::default()
                };
                Err(self.refused(refusal, &subject))
            }
        }
    }

    fn charging(
        &self,
        app: &AppId,
        source: &Source,
        quotas: Vec<Quota>,
    ) -> Result<StartStep, Failure> {
        let (keys, entropy) = (&self.parts.keys, self.entropy());
        let recipient = RecipientIndex::from_bytes(draw(entropy)?);
        let id = VerificationId::generate(&recipient, entropy)?;
        let (policy, purpose) = (Policy::default(), Purpose::unnamed_at("charge"));
        let channel = Channel::Sms;
        let mut details = Details {
            to: None,
            channels: Vec::new(),
            locale: None,
            binding: BindingDigest::none(),
            format: policy.code,
            ttl: LIFE,
            max_attempts: 1,
            metadata: None,
            remember_me: false,
            code: None,
        };
        let place = CodeContext {
            id,
            recipient,
            channel,
            purpose: &purpose,
        };
        let minted = self.mint(app, &mut details, place)?;
        let index = keys.source_index(source.surface, &source.address);
        Ok(StartStep {
            id,
            app: app.clone(),
            recipient,
            purpose: purpose.clone(),
            channel,
            digest: minted.digest,
            candidate: minted.candidate,
            max_attempts: details.max_attempts,
            ttl: details.ttl,
            details: details.seal(id, keys, entropy)?,
            when_pending: WhenPending::Replace,
            terms: SendTerms {
                cooldown: Duration::ZERO,
                recipient: Vec::new(),
                source: Some(SourceCharge { index, quotas }),
                failures: None,
                horizon: self.parts.horizon,
            },
        })
    }
}
