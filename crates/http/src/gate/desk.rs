//! The line before a store that is reached over the network.
//!
//! Such a store takes its steps in the order in which they come, so that a check waits behind every send that
//! was let in before it, and a step that waits for a connection may run out of time. So only so many sends are
//! at it at a time. The others stand in line here, where checks pass them, and leave it as soon as their client
//! does: nothing was done for them yet.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::rush::{Rush, Turn};

/// How long a send keeps its place from others. A part of the store that hangs has the places of those that asked
/// it for no longer.
const HELD: Duration = Duration::from_millis(250);
/// Who stood in line for so long is refused: a client that is still there has waited long enough. Unless nobody
/// had an answer meanwhile: then it is the store who has to say so, or what stands in for it.
const PATIENCE: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// What the request at hand gives back when the store is done with it.
    static TICKET: Ticket;
}

/// What comes next takes longer than the store, which others are not to wait for: the next send may go there. Where
/// no request is at hand, or there is no line, this does nothing.
pub(crate) fn leave_store() {
    with_pass(Pass::leave);
}

/// Says that the store has done what the request at hand asked for: it does not hang for all.
pub fn store_answered() {
    with_pass(|pass| *pass.line.answered.lock() = Some(Instant::now()));
}

fn with_pass(act: impl FnOnce(&Pass)) {
    let _ = TICKET.try_with(|ticket| ticket.0.as_ref().map(act));
}

/// Lets its holder go to the store. Holds nothing where there is no line.
#[derive(Default)]
pub(crate) struct Ticket(Option<Pass>);

struct Pass {
    /// Its place at the store; none for those who go there all the same.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
    line: Arc<Line>,
}

impl Pass {
    fn leave(&self) {
        drop(self.turn.lock().take());
    }
}

impl Ticket {
    /// Has `work` hold it until that says that it leaves the store, or ends, or has held it for long.
    pub(crate) fn held_by<F: Future>(self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let counts = self.0.is_some();
        TICKET.scope(self, async move {
            let (mut work, mut limit) = (pin!(work), pin!(counts.then(|| sleep(HELD))));
            poll_fn(|cx| {
                let polled = work.as_mut().poll(cx);
                if polled.is_pending()
                    && let Some(held) = limit.as_mut().as_pin_mut()
                    && held.poll(cx).is_ready()
                {
                    leave_store();
                    limit.set(None);
                }
                polled
            })
            .await
        })
    }
}

pub(super) struct Desk {
    turns: Arc<Semaphore>,
    line: Arc<Line>,
}

#[derive(Default)]
struct Line {
    rush: Mutex<Rush>,
    /// When the store last answered a send.
    answered: Mutex<Option<Instant>>,
}

impl Desk {
    /// Lets so many sends be at the store at a time, at least one.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once.max(1))),
            line: Arc::default(),
        }
    }

    /// How many stand in line.
    pub(super) fn in_line(&self) -> usize {
        self.line.rush.lock().in_line()
    }

    /// A send has arrived. Nothing if it is refused.
    pub(super) async fn turn(&self) -> Option<Ticket> {
        // Nobody passes those who stand in line: what becomes free is theirs.
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Some(self.ticket(Some(turn)));
        }
        let since = Instant::now();
        if self.line.rush.lock().stand(since) == Turn::Refused {
            return None;
        }
        let standing = Standing(&self.line.rush);
        let turn = Arc::clone(&self.turns).acquire_owned();
        match timeout(PATIENCE, turn).await {
            Ok(turn) => {
                standing.enter(since);
                turn.ok().map(|turn| self.ticket(Some(turn)))
            }
            Err(_) => {
                let answered = self.line.answered.lock().is_some_and(|at| at >= since);
                (!answered).then(|| self.ticket(None))
            }
        }
    }

    fn ticket(&self, turn: Option<OwnedSemaphorePermit>) -> Ticket {
        Ticket(Some(Pass {
            turn: Mutex::new(turn),
            line: Arc::clone(&self.line),
        }))
    }
}

/// Stands in line, and leaves when it is dropped.
struct Standing<'a>(&'a Mutex<Rush>);

impl Standing<'_> {
    /// Goes to the store.
    fn enter(self, since: Instant) {
        let now = Instant::now();
        let wait = now.saturating_duration_since(since);
        self.0.lock().enter(now, wait);
        std::mem::forget(self);
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.lock().leave();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, poll};

    use super::*;

    const AT_ONCE: usize = 64;

    fn full() -> (Desk, Vec<Ticket>) {
        let desk = Desk::new(AT_ONCE);
        let turn = || desk.turn().now_or_never().flatten();
        let tickets = (0..AT_ONCE).map(|_| turn().unwrap()).collect();
        (desk, tickets)
    }

    #[tokio::test]
    async fn when_one_leaves_the_store_the_next_in_line_goes_there() {
        let (desk, mut tickets) = full();
        let (mut first, mut second) = (Box::pin(desk.turn()), Box::pin(desk.turn()));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert_eq!(desk.in_line(), 2);
        let at_store = tickets.pop().unwrap();
        let mut work = Box::pin(at_store.held_by(async {
            tokio::task::yield_now().await;
            leave_store();
            std::future::pending::<()>().await;
        }));
        assert!(poll!(&mut work).is_pending());
        assert!(poll!(&mut first).is_pending(), "it is at the store yet");
        assert!(poll!(&mut work).is_pending());
        let first = poll!(&mut first);
        assert!(first.is_ready() && poll!(&mut second).is_pending());
        drop(first);
        assert!(poll!(&mut second).is_ready());
        assert_eq!(desk.in_line(), 0);
    }

    #[tokio::test]
    async fn who_hangs_up_leaves_the_line() {
        let (desk, mut tickets) = full();
        let (mut first, mut second) = (Box::pin(desk.turn()), Box::pin(desk.turn()));
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(desk.in_line(), 1);
        drop(tickets.pop());
        assert!(poll!(&mut second).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_long_while_others_are_answered() {
        let (desk, _tickets) = full();
        let began = tokio::time::Instant::now();
        let mut last = Box::pin(desk.turn());
        assert!(poll!(&mut last).is_pending());
        *desk.line.answered.lock() = Some(Instant::now());
        assert!(last.await.is_none());
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(desk.in_line(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn while_nobody_is_answered_the_store_is_asked_in_the_end() {
        let (desk, _tickets) = full();
        let began = tokio::time::Instant::now();
        assert!(desk.turn().await.is_some());
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(desk.in_line(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_answers_late_has_answered() {
        let (desk, mut tickets) = full();
        let refused = async { 422 };
        assert_eq!(tickets.pop().unwrap().held_by(refused).await, 422);
        let late = || async {
            sleep(HELD * 2).await;
            store_answered();
        };
        // One without a place, one that has lost it.
        for ticket in [desk.ticket(None), tickets.pop().unwrap()] {
            *desk.line.answered.lock() = None;
            ticket.held_by(late()).await;
            assert!(desk.line.answered.lock().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_for_one_holds_others_up_for_a_quarter_of_a_second() {
        let (desk, mut tickets) = full();
        let began = tokio::time::Instant::now();
        let hanging = tickets.pop().unwrap();
        let hanging = tokio::spawn(hanging.held_by(std::future::pending::<()>()));
        assert!(desk.turn().await.is_some());
        assert_eq!(began.elapsed(), HELD);
        hanging.abort();
    }

    #[tokio::test]
    async fn a_crowd_that_stands_is_refused_by_the_rules_of_a_rush() {
        let (desk, _tickets) = full();
        let before = Instant::now().checked_sub(PATIENCE).unwrap();
        {
            let mut rush = desk.line.rush.lock();
            for _ in 0..2000 {
                assert_eq!(rush.stand(before), Turn::InLine);
            }
            for _ in 0..100 {
                rush.enter(before, PATIENCE);
            }
        }
        assert!(desk.turn().now_or_never().unwrap().is_none());
    }
}
