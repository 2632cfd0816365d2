//! Gives the next channel its turn when the time has come.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use watchword_core::{TRACE, Verifier};

/// How often the store is asked what is due: a second more is nothing to who waits for a code.
const EVERY: Duration = Duration::from_secs(1);

/// How many turns are under way at once. The others stay due meanwhile.
const AT_ONCE: usize = 1024;

/// Looks after what is due until `stop`, and then until the hand-overs under way have ended.
/// Several servers of one store share the work: each turn is given once.
pub(super) async fn look_after(verifier: Arc<Verifier>, stop: CancellationToken) {
    let mut under_way = JoinSet::new();
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = tick.tick() => {}
        }
        while under_way.try_join_next().is_some() {}
        if under_way.len() >= AT_ONCE {
            continue;
        }
        match verifier.overdue().await {
            Ok(turns) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("due fallbacks are looked after again");
                }
                for turn in turns {
                    let verifier = Arc::clone(&verifier);
                    let sent = async move {
                        if let Err(error) = verifier.fall_back(turn).await {
                            tracing::error!(%error, "a fallback came to nothing");
                        }
                    };
                    // Nobody asked for it just now: a trace of its own.
                    let span = tracing::info_span!(target: TRACE, "fallback");
                    under_way.spawn(sent.instrument(span));
                }
            }
            Err(error) if !failing => {
                failing = true;
                tracing::warn!(%error, "due fallbacks cannot be looked after; trying on");
            }
            Err(_) => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}
