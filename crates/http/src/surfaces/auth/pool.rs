//! The pool that hashes passwords: few at a time, some waiting, the rest refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use watchword_core::Entropy;
use watchword_core::account::{HashCost, HashError, Password, PasswordHash, PasswordHasher};

/// Hashes passwords on threads of its own, so that nobody who logs in by code waits for them.
///
/// The memory of hashing is bounded: that of one hash ([`HashCost::memory_kib`]) times `workers`.
pub struct PasswordPool {
    cost: HashCost,
    entropy: Arc<dyn Entropy>,
    workers: Arc<Semaphore>,
    /// Passwords that wait or are being hashed.
    held: Arc<AtomicUsize>,
    most: usize,
}

/// How full a [`PasswordPool`] is.
#[derive(Clone, Debug)]
pub struct PoolFill {
    held: Arc<AtomicUsize>,
    most: usize,
}

impl PoolFill {
    /// Passwords that wait or are being hashed now.
    #[must_use]
    pub fn held(&self) -> usize {
        // Whoever is about to be refused is counted for a moment.
        self.held.load(Ordering::Relaxed).min(self.most)
    }

    /// How many there may be.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }
}

/// A place in the pool, from the moment somebody waits until the hash is there.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl PasswordPool {
    /// A pool that hashes `workers` passwords at a time, at least one, while `waiting` others may
    /// wait.
    #[must_use]
    pub fn new(cost: HashCost, workers: usize, waiting: usize, entropy: Arc<dyn Entropy>) -> Self {
        let workers = workers.max(1);
        Self {
            cost,
            entropy,
            workers: Arc::new(Semaphore::new(workers)),
            held: Arc::default(),
            most: workers.saturating_add(waiting),
        }
    }

    /// How full it is, for as long as somebody wants to know.
    #[must_use]
    pub fn fill(&self) -> PoolFill {
        PoolFill {
            held: Arc::clone(&self.held),
            most: self.most,
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let before = self.held.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(&self.held));
        if before >= self.most {
            return Err(HashError::Busy);
        }
        let turn = Arc::clone(&self.workers).acquire_owned().await;
        let turn = turn.map_err(|_| HashError::Failed)?;
        let done = spawn_blocking(move || {
            // Held until the work is done, even if nobody waits for it any more.
            let (_turn, _place) = (turn, place);
            work()
        });
        done.await.map_err(|_| HashError::Failed)
    }
}

#[async_trait]
impl PasswordHasher for PasswordPool {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        let (cost, entropy) = (self.cost, Arc::clone(&self.entropy));
        self.run(move || cost.hash(&password, entropy.as_ref()))
            .await?
    }

    async fn matches(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.run(move || hash.is_of(&password)).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Poll;

    use futures_util::future::join_all;
    use watchword_core::fakes::SeededEntropy;

    use super::*;

    fn pool(workers: usize, waiting: usize) -> Arc<PasswordPool> {
        let entropy = Arc::new(SeededEntropy::new(1));
        Arc::new(PasswordPool::new(
            HashCost::default(),
            workers,
            waiting,
            entropy,
        ))
    }

    #[tokio::test]
    async fn what_the_pool_hashes_it_recognises() {
        let pool = pool(1, 0);
        let password = |text| Password::parse(text).unwrap();
        let hash = pool.hash(password("correct horse")).await.unwrap();
        let known = pool.matches(password("correct horse"), hash.clone()).await;
        assert!(known.unwrap());
        assert!(!pool.matches(password("correct pony"), hash).await.unwrap());
    }

    #[tokio::test]
    async fn whoever_finds_the_pool_full_is_refused_at_once_and_places_come_back() {
        let pool = pool(2, 3);
        let (open, gate) = mpsc::channel::<()>();
        let gate = Arc::new(parking_lot::Mutex::new(gate));
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let (pool, gate) = (Arc::clone(&pool), Arc::clone(&gate));
                tokio::spawn(async move { pool.run(move || gate.lock().recv()).await })
            })
            .collect();
        while pool.held.load(Ordering::Acquire) < 5 {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            let mut late = Box::pin(pool.run(|| ()));
            let answer = futures_util::poll!(&mut late);
            assert!(matches!(answer, Poll::Ready(Err(HashError::Busy))));
        }
        for _ in 0..5 {
            open.send(()).unwrap();
        }
        for task in tasks {
            assert!(task.await.unwrap().is_ok());
        }
        assert_eq!(pool.held.load(Ordering::Acquire), 0);
        assert!(pool.run(|| ()).await.is_ok());
    }

    #[tokio::test]
    async fn no_more_are_hashed_at_a_time_than_there_are_workers() {
        let pool = pool(2, 30);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            }
        };
        join_all((0..30).map(|_| pool.run(work()))).await;
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn who_hangs_up_while_waiting_gives_the_place_back() {
        let pool = pool(1, 1);
        let (open, gate) = mpsc::channel::<()>();
        let own = Arc::clone(&pool);
        let busy = tokio::spawn(async move { own.run(move || gate.recv()).await });
        while pool.workers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let own = Arc::clone(&pool);
        let waiting = tokio::spawn(async move { own.run(|| ()).await });
        while pool.held.load(Ordering::Acquire) < 2 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        assert_eq!(pool.held.load(Ordering::Acquire), 1);
        open.send(()).unwrap();
        assert!(busy.await.unwrap().is_ok());
    }
}
