//! What the writer of the journal does beside its groups.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::SyncSender;

use rusqlite::Connection;
use tokio::sync::oneshot;

/// Something that has to be done on the writer's connection, and where.
pub(super) enum Chore {
    /// Inside the transaction of a group, which it shares the flush of the disk with.
    Inside(Box<dyn Job>),
    /// Between two groups, outside of any transaction.
    Outside(Box<dyn Job>),
}

/// Work in two steps: whether it counts is known only when its transaction has ended.
pub(super) trait Job: Send {
    /// Does it, once. A panic is an error here: it ends neither the thread nor the group.
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()>;

    /// Tells how it ended.
    fn end(self: Box<Self>, outcome: rusqlite::Result<()>);
}

/// Who waits for an answer. Hears nothing at all, if this is dropped before there is one.
pub(super) enum Waiting<T> {
    Task(oneshot::Sender<rusqlite::Result<T>>),
    Thread(SyncSender<rusqlite::Result<T>>),
}

impl<T> Waiting<T> {
    fn has_left(&self) -> bool {
        match self {
            Self::Task(tell) => tell.is_closed(),
            Self::Thread(_) => false,
        }
    }

    fn tell(self, answer: rusqlite::Result<T>) {
        // Whoever waited may have left.
        match self {
            Self::Task(tell) => drop(tell.send(answer)),
            Self::Thread(tell) => drop(tell.send(answer)),
        }
    }
}

/// A job whose answer somebody waits for. If they leave before it is begun, it is left undone.
pub(super) struct Errand<F, T> {
    work: Option<F>,
    answer: Option<T>,
    waiting: Waiting<T>,
}

impl<F, T> Errand<F, T> {
    pub(super) const fn new(work: F, waiting: Waiting<T>) -> Self {
        Self {
            work: Some(work),
            answer: None,
            waiting,
        }
    }
}

impl<F, T> Job for Errand<F, T>
where
    F: FnOnce(&Connection) -> rusqlite::Result<T> + Send,
    T: Send,
{
    fn run(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let work = self.work.take().filter(|_| !self.waiting.has_left());
        if let Some(work) = work {
            let done = catch_unwind(AssertUnwindSafe(|| work(connection)));
            self.answer = Some(done.unwrap_or(Err(rusqlite::Error::UnwindingPanic))?);
        }
        Ok(())
    }

    fn end(self: Box<Self>, outcome: rusqlite::Result<()>) {
        match (outcome, self.answer) {
            (Ok(()), Some(answer)) => self.waiting.tell(Ok(answer)),
            (Err(error), _) => self.waiting.tell(Err(error)),
            (Ok(()), None) => {}
        }
    }
}
