//! Work that is finished even if whoever asked for it leaves.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tracing::Instrument as _;

/// Runs `work` where it is awaited. Dropped half-way, because the client hung up or the time of the
/// request was over, it goes on in a task of its own.
///
/// So the usual request pays for no task: a task costs its switch, and wakes another thread that looks for it.
pub(crate) struct Errand<F>(Option<Pin<Box<F>>>)
where
    F: Future<Output: Send> + Send + 'static;

impl<F> Errand<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    pub(crate) fn new(work: F) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<F> Future for Errand<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that work which panics is not begun again by the drop that follows.
        let Some(mut work) = self.0.take() else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<F> Drop for Errand<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn drop(&mut self) {
        // Without a runtime there is nothing that it could go on in: the process ends.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            let rest = async move { drop(work.await) };
            runtime.spawn(rest.in_current_span());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use futures_util::{FutureExt as _, poll};
    use tokio::sync::oneshot;

    use super::*;

    /// Work that waits for word, counts, and tells that it has ended.
    fn work(
        steps: &Arc<AtomicU32>,
    ) -> (
        oneshot::Sender<()>,
        oneshot::Receiver<()>,
        impl Future<Output = ()> + use<>,
    ) {
        let ((go, gone), (end, ended)) = (oneshot::channel::<()>(), oneshot::channel());
        let steps = Arc::clone(steps);
        let work = async move {
            steps.fetch_add(1, SeqCst);
            let _ = gone.await;
            steps.fetch_add(1, SeqCst);
            let _ = end.send(());
        };
        (go, ended, work)
    }

    #[tokio::test]
    async fn an_errand_that_is_dropped_half_way_goes_on() {
        let steps = Arc::default();
        let (go, ended, work) = work(&steps);
        let mut errand = Errand::new(work);
        assert!(poll!(&mut errand).is_pending());
        drop(errand);
        go.send(()).unwrap();
        ended.await.unwrap();
        assert_eq!(steps.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn an_errand_that_is_done_is_done_once() {
        let steps = Arc::default();
        let (go, ended, work) = work(&steps);
        go.send(()).unwrap();
        Errand::new(work).await;
        ended.await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(steps.load(SeqCst), 2);
    }

    #[tokio::test]
    async fn an_errand_that_panics_is_over() {
        let steps = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&steps);
        let errand = Errand::new(async move {
            tokio::task::yield_now().await;
            counted.fetch_add(1, SeqCst);
            panic!("on purpose");
        });
        let errand = std::panic::AssertUnwindSafe(errand);
        assert!(errand.catch_unwind().await.is_err());
        tokio::task::yield_now().await;
        assert_eq!(steps.load(SeqCst), 1);
    }
}
