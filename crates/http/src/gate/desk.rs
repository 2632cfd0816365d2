//! The line before a store that is reached over the network.
//!
//! Such a store takes its steps in the order in which they come, so that a check waits behind every send that
//! was let in before it, and a step that waits for a connection may run out of time. So only so many sends are
//! at it at a time. The others stand in line here, where checks pass them, and leave it as soon as their client
//! does: nothing was done for them yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::rush::{Rush, Turn};

/// Sends that may be at the store at a time: enough to keep one busy, few enough to be waited for.
const AT_ONCE: usize = 64;
/// Who stood in line for so long is refused. A client that is still there has waited long enough, and a store
/// that hangs is not waited for by everybody in turn.
const PATIENCE: Duration = Duration::from_secs(1);

tokio::task_local! {
    /// What the request at hand gives back when the store is done with it.
    static TICKET: Ticket;
}

/// Says that the store has made the code of the request at hand, or refused to: the next send may go to it. Where
/// no request is at hand, or there is no line, this does nothing.
pub fn leave_store() {
    let _ = TICKET.try_with(|ticket| drop(ticket.0.lock().take()));
}

/// Lets its holder go to the store.
#[derive(Default)]
pub(crate) struct Ticket(Mutex<Option<OwnedSemaphorePermit>>);

impl Ticket {
    /// Has `work` hold it until that says that it leaves the store, or ends.
    pub(crate) fn held_by<F: Future>(self, work: F) -> impl Future<Output = F::Output> + use<F> {
        TICKET.scope(self, work)
    }
}

pub(super) struct Desk {
    turns: Arc<Semaphore>,
    rush: Mutex<Rush>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            rush: Mutex::default(),
        }
    }

    /// How many stand in line.
    pub(super) fn in_line(&self) -> usize {
        self.rush.lock().in_line()
    }

    /// A send has arrived. Nothing if it is refused.
    pub(super) async fn turn(&self) -> Option<Ticket> {
        // Nobody passes those who stand in line: what becomes free is theirs.
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Some(Ticket(Mutex::new(Some(turn))));
        }
        let since = Instant::now();
        if self.rush.lock().stand(since) == Turn::Refused {
            return None;
        }
        let standing = Standing(&self.rush);
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = timeout(PATIENCE, turn).await.ok()?.ok()?;
        standing.enter(since);
        Some(Ticket(Mutex::new(Some(turn))))
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

    fn full() -> (Desk, Vec<Ticket>) {
        let desk = Desk::new();
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
    async fn nobody_waits_for_long() {
        let (desk, _tickets) = full();
        let since = tokio::time::Instant::now();
        assert!(desk.turn().await.is_none());
        assert_eq!(since.elapsed(), PATIENCE);
        assert_eq!(desk.in_line(), 0);
    }

    #[test]
    fn without_a_line_there_is_nothing_to_leave() {
        leave_store();
    }
}
