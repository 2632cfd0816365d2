//! What is remembered of a recipient beyond any one code: sends, failures, the lock.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::VerificationId;
use crate::limit::{Quota, SlidingLog};
use crate::policy::FailureBudget;
use crate::purpose::Purpose;

/// How long a row of failures is remembered after the last one. Longer than anybody keeps trying
/// at 20 a day, and short enough that a store does not remember every number that ever mistyped.
pub const ROW_MEMORY: Duration = Duration::from_hours(24 * 180);

/// The newest verification of one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What its code authorises.
    pub purpose: Purpose,
    /// Its handle. It may have ended meanwhile.
    pub id: VerificationId,
    /// When its code was last sent; `None` if no provider could be reached.
    pub sent_at: Option<Timestamp>,
    /// Until when it has to be remembered: for as long as its verification and any cooldown.
    pub until: Timestamp,
}

/// How long a send is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// In the sliding window of sends: the longest window of any policy.
    pub send: Duration,
    /// As the newest verification of its purpose.
    pub slot: Duration,
}

/// The counters of one recipient of one app. They outlive every code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecipientLedger {
    /// When codes were sent.
    pub sends: SlidingLog,
    /// When checks failed.
    pub failures: SlidingLog,
    /// Failed checks since the last success.
    pub row: u32,
    /// Whether the row reached its end; only an unlock lifts it.
    pub locked: bool,
    /// The newest verification of each purpose.
    pub slots: Vec<Slot>,
}

/// A recipient that bears no check and no send at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked {
    /// How long until the budget admits a check again; `None` until somebody unlocks it.
    pub retry_after: Option<Duration>,
}

impl RecipientLedger {
    /// Whether the failure budget is used up.
    #[must_use]
    pub fn lock(&self, budget: FailureBudget, now: Timestamp) -> Option<Locked> {
        if self.locked {
            return Some(Locked { retry_after: None });
        }
        let wait = self.failures.wait(&budget.quotas(), now)?;
        Some(Locked {
            retry_after: Some(wait),
        })
    }

    /// Counts a failed check.
    pub fn count_failure(&mut self, budget: FailureBudget, now: Timestamp) {
        self.failures.forget(FailureBudget::HORIZON, now);
        self.failures.record(now);
        self.row = self.row.saturating_add(1);
        self.locked |= self.row >= budget.in_a_row;
    }

    /// Ends the row of failures. The windows of an hour and a day stay as they are: else every
    /// success of the owner would buy a stranger another ten guesses.
    pub fn count_success(&mut self) {
        self.row = 0;
    }

    /// Whether there is anything that an unlock would lift.
    #[must_use]
    pub fn holds_failures(&self, now: Timestamp) -> bool {
        let newest = self.failures.moments().last();
        let recent = newest.is_some_and(|newest| newest.plus(FailureBudget::HORIZON) > now);
        self.locked || self.row > 0 || recent
    }

    /// Lifts the lock and forgets the failures behind it, as somebody vouched for the recipient.
    pub fn unlock(&mut self) {
        self.failures.clear();
        self.row = 0;
        self.locked = false;
    }

    /// The newest verification of a purpose.
    #[must_use]
    pub fn slot(&self, purpose: &Purpose) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.purpose == *purpose)
    }

    /// How long the cooldown of a purpose still lasts.
    #[must_use]
    pub fn cooldown(
        &self,
        purpose: &Purpose,
        cooldown: Duration,
        now: Timestamp,
    ) -> Option<Duration> {
        let sent_at = self.slot(purpose)?.sent_at?;
        let free_at = sent_at.plus(cooldown);
        // Where the clock stepped back, the send is the present, as in the log of sends.
        (free_at > now.max(sent_at)).then(|| free_at.since(now))
    }

    /// Counts a send and makes `id` the newest verification of its purpose. Returns the moment
    /// that the send counts from.
    pub fn count_send(
        &mut self,
        purpose: &Purpose,
        id: VerificationId,
        memory: Memory,
        now: Timestamp,
    ) -> Timestamp {
        self.sends.forget(memory.send, now);
        let at = self.sends.record(now);
        // Purposes are free text, so their slots must not pile up.
        self.slots.retain(|slot| slot.until > now);
        let slot = Slot {
            purpose: purpose.clone(),
            id,
            sent_at: Some(at),
            until: at.plus(memory.slot),
        };
        match self.slots.iter_mut().find(|slot| slot.purpose == *purpose) {
            Some(old) => *old = slot,
            None => {
                // Mostly there is one purpose; a list that grows by itself makes room for four.
                self.slots.reserve_exact(1);
                self.slots.push(slot);
            }
        }
        at
    }

    /// Gives a send back that no provider could be reached for: its slot in the window, and the
    /// cooldown it began.
    pub fn take_back_send(&mut self, purpose: &Purpose, id: VerificationId, at: Timestamp) {
        self.sends.take_back(at);
        let slot = self
            .slots
            .iter_mut()
            .find(|slot| slot.purpose == *purpose && slot.id == id);
        if let Some(slot) = slot.filter(|slot| slot.sent_at == Some(at)) {
            slot.sent_at = None;
        }
    }

    /// Whether nothing in here can matter any more at `now`, where no limit looks further back
    /// than `horizon`.
    #[must_use]
    pub fn is_idle(&self, horizon: Duration, now: Timestamp) -> bool {
        self.idle_from(horizon).is_some_and(|end| end <= now)
    }

    /// From when on nothing in here can matter any more, where no limit looks further back than
    /// `horizon`; `None` while it is locked.
    #[must_use]
    pub fn idle_from(&self, horizon: Duration) -> Option<Timestamp> {
        if self.locked {
            return None;
        }
        let until = |log: &SlidingLog, memory| {
            let newest = log.moments().last();
            newest.map_or_else(Timestamp::default, |newest| newest.plus(memory))
        };
        let failures = if self.row > 0 {
            ROW_MEMORY
        } else {
            FailureBudget::HORIZON
        };
        let logs = until(&self.failures, failures).max(until(&self.sends, horizon));
        let slots = self.slots.iter().map(|slot| slot.until);
        Some(slots.fold(logs, Timestamp::max))
    }

    /// Sends that these quotas still admit, the fewest over all of them.
    #[must_use]
    pub fn sends_remaining(&self, quotas: &[Quota], now: Timestamp) -> Option<u32> {
        quotas
            .iter()
            .map(|quota| self.sends.remaining(*quota, now))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const T0: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const MEMORY: Memory = Memory {
        send: HOUR,
        slot: HOUR,
    };

    fn id(number: u8) -> VerificationId {
        VerificationId::from_bytes([number; 16])
    }

    #[test]
    fn the_slots_of_free_text_purposes_do_not_pile_up() {
        let mut ledger = RecipientLedger::default();
        for number in 0..100_u8 {
            let purpose = Purpose::parse(&format!("purpose {number}")).unwrap();
            let now = T0.plus(HOUR * u32::from(number));
            let at = ledger.count_send(&purpose, id(number), MEMORY, now);
            ledger.take_back_send(&purpose, id(number), at);
            assert_eq!(ledger.slots.len(), 1);
        }
    }

    #[test]
    fn a_row_of_failures_outlives_everything_else_by_half_a_year() {
        let mut ledger = RecipientLedger::default();
        ledger.count_failure(FailureBudget::default(), T0);
        assert!(!ledger.is_idle(HOUR, T0.plus(ROW_MEMORY).minus(Duration::from_millis(1))));
        assert!(ledger.is_idle(HOUR, T0.plus(ROW_MEMORY)));
        ledger.count_success();
        let day = FailureBudget::HORIZON;
        assert!(!ledger.is_idle(HOUR, T0.plus(day).minus(Duration::from_millis(1))));
        assert!(ledger.is_idle(HOUR, T0.plus(day)));
    }

    #[test]
    fn a_lock_is_never_forgotten() {
        let mut ledger = RecipientLedger::default();
        let budget = FailureBudget {
            in_a_row: 1,
            ..FailureBudget::default()
        };
        ledger.count_failure(budget, T0);
        let late = T0.plus(Duration::from_hours(24 * 365 * 50));
        assert!(!ledger.is_idle(HOUR, late));
        // Neither does a success lift it that was under way at the same time.
        ledger.count_success();
        assert_eq!(
            ledger.lock(budget, late),
            Some(Locked { retry_after: None })
        );
        ledger.unlock();
        assert!(ledger.is_idle(HOUR, late) && !ledger.holds_failures(late));
    }

    #[test]
    fn no_day_holds_more_failures_than_its_budget_however_they_are_spread() {
        let budget = FailureBudget::default();
        let mut ledger = RecipientLedger::default();
        let mut counted: Vec<Timestamp> = Vec::new();
        for minute in (0..3 * 24 * 60).step_by(7) {
            let now = T0.plus(Duration::from_mins(minute));
            if ledger.lock(budget, now).is_none() {
                ledger.count_failure(budget, now);
                counted.push(now);
                if counted.len().is_multiple_of(90) {
                    ledger.count_success();
                }
            }
        }
        for start in &counted {
            let within = |span| {
                let end = start.plus(span);
                counted
                    .iter()
                    .filter(|at| *at >= start && **at < end)
                    .count()
            };
            assert!(within(HOUR) <= 10 && within(FailureBudget::HORIZON) <= 20);
        }
        assert!(counted.len() >= 60, "and the budget is not wasted");
    }
}
