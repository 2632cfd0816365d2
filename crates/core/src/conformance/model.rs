//! A verification server as naive as can be: plain lists of everything that ever happened, read
//! from the beginning for every answer. Written from the promises, not from the rule it judges.

mod hand_overs;

use std::time::Duration;

use super::desk::Order;
use crate::app::AppId;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::delivery::DeliveryStatus;
use crate::limit::Quota;
use crate::policy::{FailureBudget, WhenPending};
use crate::verification::{RETENTION, Status};

/// What a step came to, for stores and model alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A send was admitted: when its code was made, when it counts from for the recipient, and
    /// for the source.
    Sent(Timestamp, Timestamp, Option<Timestamp>),
    SourceLimit(Duration),
    RecipientLimit(Duration),
    Cooldown(Duration),
    Locked(Option<Duration>),
    Live,
    Approved(Seen),
    /// Guesses left, and whether the recipient is locked from now on.
    Incorrect(u32, bool),
    Exhausted,
    NotFound,
    Canceled(Seen),
    Ended(Status),
    Unlocked(bool),
    /// The turn of the next channel, or nobody's.
    Turn(Option<(u8, Seen)>),
    /// Whose fallbacks are due, in the order of their starts.
    Due(Vec<usize>),
    Found(Seen),
}

/// What a caller sees of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) status: Status,
    pub(super) channel: Channel,
    pub(super) attempts_left: u32,
    pub(super) created_at: Timestamp,
    pub(super) sent_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) deliveries: Vec<(u8, DeliveryStatus)>,
    pub(super) next: Option<Next>,
}

/// Which channel is next, and when at the latest.
pub(super) type Next = (u8, Option<Timestamp>);

/// A person, as an app knows it.
type Person = (AppId, u32);

#[derive(Clone)]
pub(super) struct Row {
    person: Person,
    purpose: &'static str,
    addressed: bool,
    code: &'static str,
    binding: &'static str,
    seen: Seen,
    /// When its latest send counts from, unless that was withdrawn.
    cooling: Option<Timestamp>,
    /// How many codes it had before the present one.
    renewed: i32,
    /// Of each delivery, how many codes came before the one that it carried.
    carried: Vec<i32>,
}

#[derive(Default)]
pub(super) struct Model {
    /// Every verification, in the order of their starts. Its place is its handle.
    rows: Vec<Row>,
    sends: Vec<(Person, Timestamp)>,
    charges: Vec<(u8, Timestamp)>,
    failures: Vec<(Person, Timestamp)>,
    /// Every failure, and every success as `false`, to count the row.
    results: Vec<(Person, bool)>,
    barred: Vec<Person>,
}

/// How long until another entry fits: by trying every moment at which one leaves the window.
fn wait(entries: &[Timestamp], quotas: &[Quota], now: Timestamp) -> Option<Duration> {
    let inside = |window, moment| {
        let later = entries.iter().filter(|at| at.plus(window) > moment);
        later.count()
    };
    // Where the clock stepped back, the last entry's moment is the present.
    let present = entries.iter().fold(now, |latest, at| latest.max(*at));
    let full: Vec<_> = quotas
        .iter()
        .filter(|quota| inside(quota.window, present) >= quota.max as usize)
        .collect();
    let mut waits: Vec<_> = full
        .iter()
        .map(|quota| {
            let mut ends: Vec<_> = entries.iter().map(|at| at.plus(quota.window)).collect();
            ends.sort();
            let fits = |end: &&Timestamp| inside(quota.window, **end) < quota.max as usize;
            let free = ends.iter().find(fits).expect("all of them end");
            free.since(now)
        })
        .collect();
    waits.sort();
    waits.pop()
}

/// When a new entry counts from.
fn counted(entries: &[Timestamp], now: Timestamp) -> Timestamp {
    entries.iter().fold(now, |latest, at| latest.max(*at))
}

fn of<K: PartialEq>(list: &[(K, Timestamp)], key: &K) -> Vec<Timestamp> {
    let own = list.iter().filter(|(owner, _)| owner == key);
    own.map(|(_, at)| *at).collect()
}

fn remove<K: PartialEq>(list: &mut Vec<(K, Timestamp)>, entry: &(K, Timestamp)) {
    let found = list.iter().position(|other| other == entry);
    if let Some(place) = found {
        list.remove(place);
    }
}

impl Row {
    fn status(&self, now: Timestamp) -> Status {
        if self.seen.status == Status::Pending && now >= self.seen.expires_at {
            Status::Expired
        } else {
            self.seen.status
        }
    }

    fn forgotten(&self, now: Timestamp) -> bool {
        now >= self.seen.expires_at.plus(RETENTION)
    }

    fn end(&mut self, status: Status, now: Timestamp) {
        if self.status(now) == Status::Pending {
            self.seen.status = status;
            self.seen.ended_at = Some(now);
        }
    }

    fn show(&self, now: Timestamp) -> Seen {
        let status = self.status(now);
        Seen {
            status,
            ..self.seen.clone()
        }
    }
}

impl Model {
    fn person(order: &Order) -> Person {
        (order.app.clone(), order.to)
    }

    /// The row of an app, while it is remembered.
    fn find(&self, app: &AppId, place: usize, now: Timestamp) -> Option<usize> {
        let row = self.rows.get(place)?;
        (row.person.0 == *app && !row.forgotten(now)).then_some(place)
    }

    fn newest(&self, order: &Order) -> Option<usize> {
        let person = Self::person(order);
        let same =
            |row: &Row| row.addressed && row.person == person && row.purpose == order.purpose;
        self.rows.iter().rposition(same)
    }

    fn locked(&self, person: &Person, budget: FailureBudget, now: Timestamp) -> Option<Answer> {
        if self.barred.contains(person) {
            return Some(Answer::Locked(None));
        }
        let hour = Quota {
            max: budget.per_hour,
            window: Duration::from_hours(1),
        };
        let day = Quota {
            max: budget.per_day,
            window: Duration::from_hours(24),
        };
        let wait = wait(&of(&self.failures, person), &[hour, day], now)?;
        Some(Answer::Locked(Some(wait)))
    }

    fn source_refuses(&self, order: &Order, now: Timestamp) -> Option<Answer> {
        let (who, quotas) = order.source.as_ref()?;
        let wait = wait(&of(&self.charges, who), quotas, now)?;
        Some(Answer::SourceLimit(wait))
    }

    /// Whether lock, cooldown and limits of the recipient let a send pass.
    fn recipient_refuses(&self, order: &Order, now: Timestamp) -> Option<Answer> {
        let person = Self::person(order);
        let locked = order
            .failures
            .and_then(|budget| self.locked(&person, budget, now));
        if locked.is_some() {
            return locked;
        }
        let cooling = self
            .newest(order)
            .and_then(|place| self.rows[place].cooling);
        if let Some(at) = cooling
            && at.plus(order.cooldown) > at.max(now)
        {
            return Some(Answer::Cooldown(at.plus(order.cooldown).since(now)));
        }
        let wait = wait(&of(&self.sends, &person), &order.limits, now)?;
        Some(Answer::RecipientLimit(wait))
    }

    /// Charges what was admitted; when it counts from.
    fn charge(&mut self, order: &Order, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
        let source_at = order.source.as_ref().map(|(who, _)| {
            let at = counted(&of(&self.charges, who), now);
            self.charges.push((*who, at));
            at
        });
        if order.failures.is_none() {
            return (now, source_at);
        }
        let person = Self::person(order);
        let at = counted(&of(&self.sends, &person), now);
        self.sends.push((person, at));
        (at, source_at)
    }

    pub(super) fn start(&mut self, order: &Order, now: Timestamp) -> Answer {
        if let Some(refused) = self.source_refuses(order, now) {
            return refused;
        }
        let newest = self.newest(order);
        let live = newest.filter(|place| self.rows[*place].status(now) == Status::Pending);
        if live.is_some() && order.when_pending == WhenPending::Refuse {
            return Answer::Live;
        }
        if let Some(refused) = self.recipient_refuses(order, now) {
            return refused;
        }
        if let Some(place) = live {
            self.rows[place].end(Status::Superseded, now);
        } else if let Some(place) = newest
            && self.rows[place].seen.status == Status::Pending
        {
            self.rows[place].seen.status = Status::Expired;
        }
        let (at, source_at) = self.charge(order, now);
        self.rows.push(Row {
            person: Self::person(order),
            purpose: order.purpose,
            addressed: order.failures.is_some(),
            code: order.code,
            binding: order.binding,
            seen: Seen {
                status: Status::Pending,
                channel: order.channel,
                attempts_left: order.attempts,
                created_at: now,
                sent_at: now,
                expires_at: now.plus(order.ttl),
                ended_at: None,
                deliveries: Vec::new(),
                next: None,
            },
            cooling: order.failures.is_some().then_some(at),
            renewed: 0,
            carried: Vec::new(),
        });
        Answer::Sent(now, at, source_at)
    }

    pub(super) fn resend(&mut self, place: usize, order: &Order, now: Timestamp) -> Answer {
        if let Some(refused) = self.source_refuses(order, now) {
            return refused;
        }
        let Some(place) = self.find(&order.app, place, now) else {
            return Answer::NotFound;
        };
        match self.rows[place].status(now) {
            Status::Pending => {}
            Status::Exhausted => return Answer::Exhausted,
            _ => return Answer::NotFound,
        }
        if let Some(refused) = self.recipient_refuses(order, now) {
            return refused;
        }
        let (at, source_at) = self.charge(order, now);
        let row = &mut self.rows[place];
        row.code = order.code;
        row.binding = order.binding;
        row.cooling = row.addressed.then_some(at);
        row.seen.channel = order.channel;
        row.seen.attempts_left = order.attempts;
        row.seen.sent_at = now;
        row.seen.expires_at = now.plus(order.ttl);
        row.seen.next = None;
        row.renewed += 1;
        Answer::Sent(now, at, source_at)
    }

    pub(super) fn check(
        &mut self,
        place: Option<usize>,
        order: &Order,
        code: &str,
        now: Timestamp,
    ) -> Answer {
        let place = place.or_else(|| self.newest(order));
        let Some(place) = place.and_then(|place| self.find(&order.app, place, now)) else {
            return Answer::NotFound;
        };
        match self.rows[place].status(now) {
            Status::Pending => {}
            Status::Exhausted => return Answer::Exhausted,
            _ => return Answer::NotFound,
        }
        let person = self.rows[place].person.clone();
        let budget = order.failures.unwrap_or_default();
        let addressed = self.rows[place].addressed;
        if addressed && let Some(locked) = self.locked(&person, budget, now) {
            return locked;
        }
        let row = &mut self.rows[place];
        row.seen.attempts_left -= 1;
        if row.code == code && row.binding == order.binding {
            row.end(Status::Approved, now);
            let seen = row.show(now);
            self.results.push((person, false));
            return Answer::Approved(seen);
        }
        let left = row.seen.attempts_left;
        if left == 0 {
            row.end(Status::Exhausted, now);
        }
        let mut locks = false;
        if addressed {
            let at = counted(&of(&self.failures, &person), now);
            self.failures.push((person.clone(), at));
            self.results.push((person.clone(), true));
            locks = self.row(&person) >= budget.in_a_row;
            if locks {
                self.barred.push(person);
            }
        }
        Answer::Incorrect(left, locks)
    }

    /// Failures since the last success.
    fn row(&self, person: &Person) -> u32 {
        let own = self.results.iter().rev().filter(|(who, _)| who == person);
        let row = own.take_while(|(_, failed)| *failed).count();
        u32::try_from(row).expect("short histories")
    }

    pub(super) fn cancel(&mut self, place: usize, app: &AppId, now: Timestamp) -> Answer {
        let Some(place) = self.find(app, place, now) else {
            return Answer::NotFound;
        };
        self.rows[place].end(Status::Canceled, now);
        match self.rows[place].status(now) {
            Status::Canceled => Answer::Canceled(self.rows[place].show(now)),
            Status::Expired | Status::Superseded => Answer::NotFound,
            other => Answer::Ended(other),
        }
    }

    /// Takes a send back: `sent` is what the start or resend answered.
    pub(super) fn withdraw(
        &mut self,
        place: usize,
        order: &Order,
        sent: &Answer,
        ends: bool,
        now: Timestamp,
    ) {
        let Answer::Sent(made_at, at, source_at) = sent else {
            return;
        };
        if let (Some((who, _)), Some(at)) = (&order.source, source_at) {
            remove(&mut self.charges, &(*who, *at));
        }
        remove(&mut self.sends, &(self.rows[place].person.clone(), *at));
        if self.rows[place].cooling == Some(*at) {
            self.rows[place].cooling = None;
        }
        if ends {
            self.fail(place, *made_at, now);
        }
    }

    /// Ends it, if no other code was sent since `sent_at`.
    pub(super) fn fail(&mut self, place: usize, sent_at: Timestamp, now: Timestamp) {
        if self.sent_at(place) == sent_at {
            self.rows[place].end(Status::Failed, now);
        }
    }

    pub(super) fn unlock(&mut self, order: &Order, now: Timestamp) -> Answer {
        let person = Self::person(order);
        let failures = of(&self.failures, &person);
        let recent = failures
            .iter()
            .any(|at| at.plus(Duration::from_hours(24)) > now);
        let held = self.barred.contains(&person) || self.row(&person) > 0 || recent;
        self.barred.retain(|who| *who != person);
        self.failures.retain(|(who, _)| *who != person);
        self.results.retain(|(who, _)| *who != person);
        Answer::Unlocked(held)
    }

    pub(super) fn get(&self, place: usize, app: &AppId, now: Timestamp) -> Answer {
        match self.find(app, place, now) {
            Some(place) => Answer::Found(self.rows[place].show(now)),
            None => Answer::NotFound,
        }
    }

    pub(super) fn latest(&self, order: &Order, now: Timestamp) -> Answer {
        match self.newest(order) {
            Some(place) => self.get(place, &order.app, now),
            None => Answer::NotFound,
        }
    }

    /// When the code of a verification dies.
    pub(super) fn expiry(&self, place: usize) -> Timestamp {
        self.rows[place].seen.expires_at
    }

    /// The newest moment up to `now` at which something was forgotten.
    pub(super) fn forgot(&self, now: Timestamp) -> Timestamp {
        let edges = self
            .rows
            .iter()
            .map(|row| row.seen.expires_at.plus(RETENTION));
        edges.filter(|edge| *edge <= now).max().unwrap_or_default()
    }
}
