//! What a store needs that stands in for another one: to count what was counted there, and to
//! tell what was counted here.

use std::time::Duration;

use super::journal::Journal;
use super::record::Change;
use super::store::MemoryStore;
use crate::clock::Timestamp;
use crate::digest::{RecipientIndex, SourceIndex};
use crate::id::VerificationId;
use crate::ledger::RecipientLedger;
use crate::limit::SlidingLog;
use crate::policy::FailureBudget;
use crate::purpose::Purpose;
use crate::step::{SendTerms, StartStep};
use crate::verification::Verification;

/// What was counted for one recipient since some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedRecipient {
    /// Who.
    pub index: RecipientIndex,
    /// When something was sent, in order, and for which purpose where that is its newest code, made
    /// here.
    pub sends: Vec<(Timestamp, Option<Purpose>)>,
    /// When checks failed, in order.
    pub failures: Vec<Timestamp>,
    /// Whether the row of failures ended in a lock.
    pub locked: bool,
}

/// What was counted in one part of the store since some moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// For whom something was.
    pub recipients: Vec<CountedRecipient>,
    /// When sources asked for sends, in order.
    pub sources: Vec<(SourceIndex, Vec<Timestamp>)>,
}

/// A send that was charged elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    /// The verification, which is kept there.
    pub id: VerificationId,
    /// Of whom.
    pub recipient: RecipientIndex,
    /// What its code authorises.
    pub purpose: &'a Purpose,
    /// How long its code lives.
    pub ttl: Duration,
    /// What the send had to pay.
    pub terms: &'a SendTerms,
}

impl<'a> From<&'a StartStep> for Elsewhere<'a> {
    fn from(step: &'a StartStep) -> Self {
        Self {
            id: step.id,
            recipient: step.recipient,
            purpose: &step.purpose,
            ttl: step.ttl,
            terms: &step.terms,
        }
    }
}

/// The store as the stand-in of another one, the primary. Its ledgers mirror the counters of the
/// primary; its verifications are its own.
///
/// What is mirrored is counted at once and journaled in order, but not waited for: a crash forgets
/// at most what the journal had not written, some milliseconds of it.
impl<J: Journal> MemoryStore<J> {
    /// Whether a verification is kept here.
    pub fn holds(&self, id: VerificationId, now: Timestamp) -> bool {
        self.shard(id.tag()).remembers(id, now)
    }

    /// The verification that was kept under this handle, whosever it is.
    pub fn held(&self, id: VerificationId) -> Option<Verification> {
        self.shard(id.tag()).verification(id)
    }

    /// The handle of the newest verification of a recipient and purpose that is known of, wherever
    /// it is kept.
    pub fn newest_known(
        &self,
        recipient: RecipientIndex,
        purpose: &Purpose,
    ) -> Option<VerificationId> {
        let shard = self.shard(recipient.tag());
        let ledger = shard.ledger(recipient)?;
        Some(ledger.slot(purpose)?.id)
    }

    /// Whose verification it is, if it is the newest of its recipient and purpose that is known of.
    pub fn recipient_of(&self, id: VerificationId) -> Option<RecipientIndex> {
        let shard = self.shard(id.tag());
        let of = |(index, ledger): (RecipientIndex, RecipientLedger)| {
            let newest = ledger.slots.iter().any(|slot| slot.id == id);
            newest.then_some(index)
        };
        shard.ledgers().find_map(of)
    }

    /// How far back a limit may look.
    pub fn look_back_of_limits(&self) -> Duration {
        self.horizon()
    }

    /// Whether a recipient is locked until somebody unlocks it.
    pub fn is_locked(&self, recipient: RecipientIndex) -> bool {
        let shard = self.shard(recipient.tag());
        shard.ledger(recipient).is_some_and(|ledger| ledger.locked)
    }

    /// Counts a send that the primary admitted at `now`. A code of the same recipient and purpose
    /// that is kept here is dead from then on. Answers with the moments that it counts from, for the
    /// recipient and for the source.
    pub fn mirror_send(
        &self,
        send: Elsewhere<'_>,
        now: Timestamp,
    ) -> (Option<Timestamp>, Option<Timestamp>) {
        self.look_back(send.terms);
        let mut asked_at = None;
        if let Some(charge) = &send.terms.source {
            let mut sources = self.source(charge.index);
            sources.change(charge.index, |log| {
                log.forget(send.terms.horizon(), now);
                asked_at = Some(log.record(now));
                self.append(|out| Change::put_source(out, charge.index, log));
            });
        }
        if send.terms.failures.is_none() {
            return (None, asked_at);
        }
        let mut shard = self.shard(send.recipient.tag());
        let mut ledger = shard.ledger(send.recipient).unwrap_or_default();
        let before = ledger.slot(send.purpose).map(|slot| slot.id);
        let before = before.filter(|before| *before != send.id);
        let old = before.and_then(|id| shard.verification(id));
        if let Some(mut old) = old
            && old.end(crate::verification::Status::Superseded, now)
        {
            shard.put(&old);
            self.append(|out| Change::put(out, &old));
        }
        let memory = send.terms.memory(send.ttl);
        let sent_at = ledger.count_send(send.purpose, send.id, memory, now);
        shard.put_ledger(send.recipient, &ledger);
        self.append(|out| Change::put_ledger(out, send.recipient, &ledger));
        (Some(sent_at), asked_at)
    }

    /// Gives back a send that the primary gave back. Where it is not known any more, it stays
    /// counted.
    pub fn mirror_withdrawal(&self, id: VerificationId, source: Option<SourceIndex>) {
        let mut shard = self.shard(id.tag());
        let mut sent_at = None;
        let charged = |(index, ledger): (RecipientIndex, RecipientLedger)| {
            let slot = ledger.slots.iter().find(|slot| slot.id == id)?;
            let (purpose, at) = (slot.purpose.clone(), slot.sent_at?);
            Some((index, ledger, purpose, at))
        };
        let found = shard.ledgers().find_map(charged);
        if let Some((index, mut ledger, purpose, at)) = found {
            ledger.take_back_send(&purpose, id, at);
            shard.put_ledger(index, &ledger);
            self.append(|out| Change::put_ledger(out, index, &ledger));
            sent_at = Some(at);
        }
        drop(shard);
        if let Some((index, at)) = source.zip(sent_at) {
            self.give_back(index, at);
        }
    }

    /// Counts a failed check that the primary counted. Answers with the moment that it counts from.
    pub fn mirror_failure(
        &self,
        recipient: RecipientIndex,
        budget: FailureBudget,
        now: Timestamp,
    ) -> Timestamp {
        let mut failed_at = now;
        self.mirror(recipient, |ledger| {
            if ledger.locked {
                // It was compared, so somebody lifted the lock meanwhile.
                ledger.unlock();
            }
            ledger.count_failure(budget, now);
            failed_at = ledger.failures.moments().last().copied().unwrap_or(now);
        });
        failed_at
    }

    /// Ends the row of failures, as the primary approved.
    pub fn mirror_success(&self, recipient: RecipientIndex) {
        self.mirror(recipient, |ledger| {
            ledger.locked = false;
            ledger.count_success();
        });
    }

    /// Locks a recipient that is locked at the primary.
    pub fn mirror_lock(&self, recipient: RecipientIndex) {
        self.mirror(recipient, |ledger| ledger.locked = true);
    }

    fn mirror(&self, recipient: RecipientIndex, change: impl FnOnce(&mut RecipientLedger)) {
        let mut shard = self.shard(recipient.tag());
        let before = shard.ledger(recipient).unwrap_or_default();
        let mut ledger = before.clone();
        change(&mut ledger);
        if ledger != before {
            shard.put_ledger(recipient, &ledger);
            self.append(|out| Change::put_ledger(out, recipient, &ledger));
        }
    }

    /// What one of [`super::SHARDS`] parts counted from `since` on and before `until`.
    pub fn counted(&self, part: usize, since: Timestamp, until: Timestamp) -> Counted {
        let within = |at: Timestamp| at >= since && at < until;
        let moments = |log: &SlidingLog| -> Vec<Timestamp> {
            let moments = log.moments().iter().copied();
            moments.filter(|at| within(*at)).collect()
        };
        let mut counted = Counted::default();
        {
            let shard = self.part(part);
            for (index, ledger) in shard.ledgers() {
                let (sends, failures) = (moments(&ledger.sends), moments(&ledger.failures));
                if sends.is_empty() && failures.is_empty() {
                    continue;
                }
                let own = ledger.slots.iter().filter_map(|slot| {
                    let sent_at = slot.sent_at.filter(|at| within(*at))?;
                    shard.has(slot.id).then_some((sent_at, &slot.purpose))
                });
                counted.recipients.push(CountedRecipient {
                    index,
                    sends: with_purposes(sends, own.collect()),
                    locked: ledger.locked && !failures.is_empty(),
                    failures,
                });
            }
        }
        if let Some(sources) = self.source_part(part) {
            for (index, log) in sources.all() {
                let sends = moments(&log);
                if !sends.is_empty() {
                    counted.sources.push((index, sends));
                }
            }
        }
        counted
    }
}

/// Sends with the purposes whose newest one they are. A purpose may be remembered for longer than
/// its send.
fn with_purposes(
    sends: Vec<Timestamp>,
    mut own: Vec<(Timestamp, &Purpose)>,
) -> Vec<(Timestamp, Option<Purpose>)> {
    let sends = sends.into_iter().map(|at| {
        let found = own.iter().position(|(sent_at, _)| *sent_at == at);
        (at, found.map(|place| own.remove(place).1.clone()))
    });
    let mut sends: Vec<_> = sends.collect();
    let rest = own.into_iter();
    sends.extend(rest.map(|(at, purpose)| (at, Some(purpose.clone()))));
    sends.sort_by_key(|(at, _)| *at);
    sends
}
