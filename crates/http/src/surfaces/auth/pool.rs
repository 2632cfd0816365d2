//! The pool that hashes passwords: few at a time, some waiting, the rest refused.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use watchword_core::Entropy;
use watchword_core::account::{
    Announced, HashCost, HashError, HashMemory, Password, PasswordHash, PasswordHasher,
};

use crate::gate::leave_store;

/// Hashes passwords on threads of its own, at the lowest priority (on Linux), so that who logs in by code
/// hardly waits for them.
///
/// The memory of hashing is bounded: that of one hash ([`HashCost::memory_kib`]) times `workers`. Each thread has its
/// own from its first password on.
pub struct PasswordPool {
    cost: HashCost,
    entropy: Arc<dyn Entropy>,
    workers: Arc<Semaphore>,
    crew: Crew,
    /// Passwords that wait or are being hashed.
    held: Arc<AtomicUsize>,
    /// Those who will bring one, and those who have brought it: no more of them either.
    announced: Arc<AtomicUsize>,
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

impl Place {
    fn among(taken: &Arc<AtomicUsize>, most: usize) -> Result<Self, HashError> {
        let before = taken.fetch_add(1, Ordering::AcqRel);
        let place = Self(Arc::clone(taken));
        if before < most {
            Ok(place)
        } else {
            Err(HashError::Busy)
        }
    }
}

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
            crew: Crew::new(workers),
            held: Arc::default(),
            announced: Arc::default(),
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
        work: impl FnOnce(&mut HashMemory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let place = Place::among(&self.held, self.most)?;
        // What comes takes longer than any step of a store, which others are not to wait for.
        leave_store();
        let turn = Arc::clone(&self.workers).acquire_owned().await;
        let turn = turn.map_err(|_| HashError::Failed)?;
        let (tell, done) = oneshot::channel();
        self.crew.begin(Box::new(move |memory| {
            let done = work(memory);
            // Held until the work is done, even if nobody waits for it any more.
            drop((turn, place));
            // Nobody may.
            let _ = tell.send(done);
        }));
        done.await.map_err(|_| HashError::Failed)
    }
}

type Work = Box<dyn FnOnce(&mut HashMemory) + Send>;

/// Threads that take work one by one. Those of the runtime would come back to it with the priority that
/// they were given here: a thread may not raise its own.
struct Crew {
    work: mpsc::Sender<Work>,
    rest: Arc<Mutex<mpsc::Receiver<Work>>>,
    threads: AtomicUsize,
    most: usize,
}

impl Crew {
    fn new(most: usize) -> Self {
        let (work, rest) = mpsc::channel();
        Self {
            work,
            rest: Arc::new(Mutex::new(rest)),
            threads: AtomicUsize::new(0),
            most,
        }
    }

    /// Has this done by the next thread that is free. Whoever calls has seen to it that one is, or will
    /// be: what waits here has no bound of its own.
    fn begin(&self, work: Work) {
        // A thread for each piece of work until there are all: most servers hash nothing.
        let one_more = |threads| (threads < self.most).then_some(threads + 1);
        if self
            .threads
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
        {
            let rest = Arc::clone(&self.rest);
            let thread = std::thread::Builder::new().name("passwords".to_owned());
            if let Err(error) = thread.spawn(move || take(&rest)) {
                self.threads.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(%error, "there is no thread to hash passwords on");
            }
        }
        // Its receiver is ours, too, so there is one.
        let _ = self.work.send(work);
    }
}

/// Does what comes, until nobody can send more.
fn take(rest: &Mutex<mpsc::Receiver<Work>>) {
    step_back();
    let mut memory = HashMemory::default();
    loop {
        let next = rest.lock().recv();
        let Ok(work) = next else {
            return;
        };
        // Whoever waits for it hears that it ended.
        let _ = catch_unwind(AssertUnwindSafe(|| work(&mut memory)));
    }
}

/// Gives the thread the lowest priority. On Linux, where "the process" of this call is a thread.
#[cfg(target_os = "linux")]
fn step_back() {
    if let Err(error) = rustix::process::setpriority_process(None, LOWEST) {
        tracing::warn!(%error, "passwords are hashed with the priority of everything else");
    }
}

#[cfg(not(target_os = "linux"))]
fn step_back() {}

/// The nicest that a thread can be.
#[cfg(target_os = "linux")]
const LOWEST: i32 = 19;

#[async_trait]
impl PasswordHasher for PasswordPool {
    fn announce(&self) -> Result<Announced, HashError> {
        Ok(Box::new(Place::among(&self.announced, self.most)?))
    }

    fn has_room(&self) -> bool {
        self.announced.load(Ordering::Acquire) < self.most
    }

    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        let (cost, entropy) = (self.cost, Arc::clone(&self.entropy));
        self.run(move |memory| cost.hash(&password, entropy.as_ref(), memory))
            .await?
    }

    async fn matches(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        self.run(move |memory| hash.is_of(&password, memory))
            .await?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::task::Poll;

    use futures_util::future::join_all;
    use watchword_core::fakes::SeededEntropy;

    use super::*;
    use crate::gate::Gate;

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
                tokio::spawn(async move { pool.run(move |_| gate.lock().recv()).await })
            })
            .collect();
        while pool.held.load(Ordering::Acquire) < 5 {
            tokio::task::yield_now().await;
        }
        for _ in 0..10 {
            let mut late = Box::pin(pool.run(|_| ()));
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
        assert!(pool.run(|_| ()).await.is_ok());
    }

    #[test]
    fn no_more_are_on_their_way_than_there_are_places() {
        let pool = pool(2, 3);
        let all: Vec<_> = (0..5).map(|_| pool.announce().unwrap()).collect();
        for _ in 0..10 {
            assert!(!pool.has_room());
            assert!(matches!(pool.announce(), Err(HashError::Busy)));
        }
        drop(all);
        assert!(pool.has_room());
        assert!(pool.announce().is_ok());
    }

    #[tokio::test]
    async fn no_more_are_hashed_at_a_time_than_there_are_workers() {
        let pool = pool(2, 30);
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            move |_: &mut HashMemory| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::yield_now();
                now.fetch_sub(1, Ordering::SeqCst);
            }
        };
        join_all((0..30).map(|_| pool.run(work()))).await;
        assert!(most.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn work_that_panics_is_told_and_takes_no_thread_along() {
        let pool = pool(1, 0);
        for _ in 0..3 {
            let failed = pool.run(|_| panic!("on purpose")).await;
            assert!(matches!(failed, Err::<(), _>(HashError::Failed)));
        }
        assert!(pool.run(|_| ()).await.is_ok());
        assert_eq!(pool.held.load(Ordering::Acquire), 0);
    }

    #[tokio::test]
    async fn the_memory_of_a_hash_is_kept_for_the_next_one() {
        let pool = pool(1, 0);
        let password = Password::parse("correct horse").unwrap();
        let kib = |memory: &mut HashMemory| memory.kib();
        assert_eq!(pool.run(kib).await.unwrap(), 0);
        for _ in 0..2 {
            let hash = pool.hash(password.clone()).await.unwrap();
            assert!(pool.matches(password.clone(), hash).await.unwrap());
            assert_eq!(pool.run(kib).await.unwrap(), 19 * 1024);
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn hashing_gives_way_to_everything_else() {
        let priority = |_: &mut HashMemory| rustix::process::getpriority_process(None).unwrap();
        let before = priority(&mut HashMemory::default());
        assert_eq!(pool(1, 0).run(priority).await.unwrap(), LOWEST);
        assert_eq!(
            priority(&mut HashMemory::default()),
            before,
            "of this thread"
        );
    }

    #[tokio::test]
    async fn who_hangs_up_while_waiting_gives_the_place_back() {
        let pool = pool(1, 1);
        let (open, gate) = mpsc::channel::<()>();
        let own = Arc::clone(&pool);
        let busy = tokio::spawn(async move { own.run(move |_| gate.recv()).await });
        while pool.workers.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let own = Arc::clone(&pool);
        let waiting = tokio::spawn(async move { own.run(|_| ()).await });
        while pool.held.load(Ordering::Acquire) < 2 {
            tokio::task::yield_now().await;
        }
        waiting.abort();
        assert!(waiting.await.is_err());
        assert_eq!(pool.held.load(Ordering::Acquire), 1);
        open.send(()).unwrap();
        assert!(busy.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_waits_for_a_password_holds_nobody_up_before_the_store() {
        let gate = Gate::new(10).before_remote_store(1);
        let (own, (_open, never)) = (pool(1, 0), mpsc::channel::<()>());
        let ticket = gate.turn_at_store().await.unwrap();
        let mut hashing =
            Box::pin(ticket.held_by(async move { own.run(move |_| never.recv()).await }));
        let mut next = Box::pin(gate.turn_at_store());
        assert!(futures_util::poll!(&mut next).is_pending());
        assert!(futures_util::poll!(&mut hashing).is_pending());
        assert!(futures_util::poll!(&mut next).is_ready());
    }
}
