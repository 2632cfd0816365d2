//! What wakes a connection.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

thread_local! {
    /// The bell that this thread does not let ring just now, and whether somebody tried.
    static MUTED: Cell<(*const Bell, bool)> = const { Cell::new((std::ptr::null(), false)) };
}

/// Wakes the task of a connection, unless the connection itself is the cause.
///
/// hyper wakes whoever feeds a body when a part of it is taken. That is the task that takes it, so each request
/// with a body would cost a second turn for nothing, and at part load another thread that is woken to help.
#[derive(Default)]
pub(super) struct Bell {
    task: OnceLock<Waker>,
}

impl Bell {
    /// The waker that rings this bell, for `task`. A bell keeps its first task.
    pub(super) fn waker(self: &Arc<Self>, task: &Waker) -> Waker {
        self.task.get_or_init(|| task.clone());
        Waker::from(Arc::clone(self))
    }

    pub(super) fn ring(&self) {
        if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }

    /// Does `work`, and says whether it rang. Other threads ring as usual meanwhile.
    pub(super) fn muted<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        /// What was muted before is muted again, whatever comes of the work.
        struct Unmute((*const Bell, bool));
        impl Drop for Unmute {
            fn drop(&mut self) {
                MUTED.set(self.0);
            }
        }
        let _unmute = Unmute(MUTED.replace((self, false)));
        let done = work();
        (done, MUTED.get().1)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let (muted, _) = MUTED.get();
        if std::ptr::eq(muted, Arc::as_ptr(self)) {
            MUTED.set((muted, true));
        } else {
            self.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_muted_bell_is_silent_on_its_own_thread_and_nowhere_else() {
        let (count, bell, other) = (
            Arc::<Count>::default(),
            Arc::<Bell>::default(),
            Arc::<Bell>::default(),
        );
        let task = Waker::from(Arc::clone(&count));
        let (waker, others) = (bell.waker(&task), other.waker(&task));
        let rung = || count.0.load(SeqCst);

        let ((), rang) = bell.muted(|| waker.wake_by_ref());
        assert_eq!((rang, rung()), (true, 0));
        let ((), rang) = bell.muted(|| others.wake_by_ref());
        assert_eq!((rang, rung()), (false, 1), "another bell rings");
        let elsewhere = waker.clone();
        let ((), rang) = bell.muted(|| std::thread::spawn(|| elsewhere.wake()).join().unwrap());
        assert_eq!((rang, rung()), (false, 2), "another thread rings");
        let broken = std::panic::AssertUnwindSafe(|| bell.muted(|| panic!("on purpose")));
        assert!(std::panic::catch_unwind(broken).is_err());
        waker.wake();
        assert_eq!(rung(), 3, "it rings again, also after a panic");
    }
}
