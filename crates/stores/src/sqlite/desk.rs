//! A connection to a file, on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use rusqlite::Connection;
use tokio::sync::oneshot;
use watchword_core::StoreError;

type Errand = Box<dyn FnOnce(&mut Connection) + Send>;

/// Does what it is asked to, one after the other, off the runtime's threads.
///
/// A crowd stands in line without threads, and nobody in it waits for a thread of the runtime to hand the
/// connection on: under load that took longer than the work.
pub(super) struct Desk {
    errands: Option<mpsc::Sender<Errand>>,
    clerk: Option<JoinHandle<()>>,
}

impl Desk {
    /// Starts the thread. It ends when this is dropped, and closes the connection then.
    pub(super) fn open(connection: Connection) -> std::io::Result<Self> {
        let (errands, line) = mpsc::channel();
        let clerk = thread::Builder::new()
            .name("watchword-tables".to_owned())
            .spawn(move || serve(connection, &line))?;
        Ok(Self {
            errands: Some(errands),
            clerk: Some(clerk),
        })
    }

    /// Has something done. Whoever goes away before it was begun has it left undone.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the work panicked.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let errand: Errand = Box::new(move |connection| {
            if !tell.is_closed() {
                let _ = tell.send(work(connection));
            }
        });
        if let Some(errands) = &self.errands {
            // Should there be nobody, nobody tells either.
            let _ = errands.send(errand);
        }
        told.await.map_err(StoreError::unavailable)
    }
}

fn serve(mut connection: Connection, line: &mpsc::Receiver<Errand>) {
    for errand in line {
        // Whoever waits for it hears that it ended; a transaction that it had begun is taken back.
        let _ = catch_unwind(AssertUnwindSafe(|| errand(&mut connection)));
    }
}

/// Waits for the end of what is being done, so that the file is closed.
impl Drop for Desk {
    fn drop(&mut self) {
        drop(self.errands.take());
        if let Some(clerk) = self.clerk.take() {
            let _ = clerk.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use tokio::task::JoinSet;

    use super::*;

    fn desk() -> Arc<Desk> {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE one (n)").unwrap();
        Arc::new(Desk::open(connection).unwrap())
    }

    fn rows(connection: &mut Connection) -> i64 {
        let count = connection.query_row("SELECT count(*) FROM one", [], |row| row.get(0));
        count.unwrap()
    }

    #[tokio::test]
    async fn a_crowd_is_served_one_after_the_other_by_one_thread() {
        let (desk, inside) = (desk(), Arc::new(AtomicUsize::new(0)));
        let mut crowd = JoinSet::new();
        for _ in 0..200 {
            let (desk, inside) = (Arc::clone(&desk), Arc::clone(&inside));
            crowd.spawn(async move {
                let work = move |_: &mut Connection| {
                    let most = inside.fetch_add(1, SeqCst) + 1;
                    thread::yield_now();
                    inside.fetch_sub(1, SeqCst);
                    (most, thread::current().id())
                };
                desk.ask(work).await.unwrap()
            });
        }
        let seen = crowd.join_all().await;
        let (_, clerk) = seen[0];
        assert!(seen.iter().all(|one| *one == (1, clerk)));
        assert_ne!(clerk, thread::current().id());
    }

    #[tokio::test]
    async fn work_that_panics_is_told_is_taken_back_and_hinders_nobody() {
        let desk = desk();
        for _ in 0..3 {
            let failed = desk.ask(|connection| {
                let begun = connection.transaction().unwrap();
                begun.execute("INSERT INTO one VALUES (1)", []).unwrap();
                panic!("on purpose");
            });
            let failed: Result<(), _> = failed.await;
            assert!(matches!(failed, Err(StoreError::Unavailable(_))));
        }
        assert_eq!(desk.ask(rows).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn who_goes_away_while_in_line_has_nothing_done() {
        let desk = desk();
        let (open, gate) = mpsc::channel::<()>();
        let mut first = Box::pin(desk.ask(move |_| gate.recv()));
        assert!(futures_util::poll!(&mut first).is_pending());
        let insert = |connection: &mut Connection| {
            connection
                .execute("INSERT INTO one VALUES (1)", [])
                .unwrap()
        };
        let mut gone = Box::pin(desk.ask(insert));
        assert!(futures_util::poll!(&mut gone).is_pending());
        drop(gone);
        open.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(desk.ask(rows).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_file_is_closed_when_the_desk_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        let connection = Connection::open(&path).unwrap();
        connection
            .pragma_update(None, "journal_mode", "wal")
            .unwrap();
        connection.execute_batch("CREATE TABLE one (n)").unwrap();
        let wal = folder.path().join("db-wal");
        let desk = Desk::open(connection).unwrap();
        assert!(wal.exists());
        drop(desk);
        // Whoever closes a file last clears that away.
        assert!(!wal.exists());
    }
}
