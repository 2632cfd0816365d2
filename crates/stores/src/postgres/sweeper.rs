//! Removes what has expired, a little at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::types::Type;

use super::error::PostgresError;
use super::pool::Pool;
use super::rows::read;

/// Rows of one kind that are removed in one statement.
const MOST: u32 = 1000;
/// Between two rounds.
const PAUSE: Duration = Duration::from_secs(2);
/// After a statement that removed as much as it may: there is more.
const SHORT_PAUSE: Duration = Duration::from_millis(10);
/// After a failure.
const LONG_PAUSE: Duration = Duration::from_secs(2);

/// Sweeps up to so many rows of each kind; how many went.
pub(super) async fn sweep(pool: &Pool, now: Option<i64>, most: u32) -> Result<u64, PostgresError> {
    let row = pool
        .row(
            "SELECT watchword.sweep_1($1, $2)",
            &[(&now, Type::INT8), (&i64::from(most), Type::INT8)],
        )
        .await;
    Ok(read::<i64>(&row?, 0)?.unsigned_abs())
}

/// About how many verifications there are, as the server last counted them for its planner.
async fn estimate(pool: &Pool) -> Result<usize, PostgresError> {
    let row = pool
        .row(
            "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
                WHERE relkind = 'r' AND (oid = 'watchword.verification'::regclass OR oid IN (
                    SELECT inhrelid FROM pg_inherits
                    WHERE inhparent = 'watchword.verification'::regclass))",
            &[],
        )
        .await?;
    Ok(usize::try_from(read::<i64>(&row, 0)?).unwrap_or_default())
}

/// Sweeps round after round, by the server's clock, until it is aborted; says in `live` what is
/// left.
pub(super) async fn run(pool: Arc<Pool>, live: Arc<AtomicUsize>) {
    let mut failing = false;
    loop {
        let swept = sweep(&pool, None, MOST).await;
        // Once, not each time: the steps of requests say it, too.
        if let (Err(error), false) = (&swept, failing) {
            tracing::warn!(%error, "what has expired is not removed");
        }
        failing = swept.is_err();
        match swept {
            Ok(gone) if gone >= u64::from(MOST) => sleep(SHORT_PAUSE).await,
            Ok(_) => {
                if let Ok(left) = estimate(&pool).await {
                    live.store(left, Ordering::Relaxed);
                }
                sleep(PAUSE).await;
            }
            Err(_) => sleep(LONG_PAUSE).await,
        }
    }
}
