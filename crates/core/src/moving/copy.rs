//! Going through all rows: to put them elsewhere, and to count them.

use super::tally::Tally;
use super::{Pages, Row, Rows};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// Which side failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Rows cannot be read.
    #[error("the rows of the source cannot be read")]
    Read(#[source] StoreError),
    /// Rows cannot be put in.
    #[error("the target does not take the rows")]
    Put(#[source] StoreError),
}

async fn page(
    pages: &mut dyn Pages,
    at: Timestamp,
    tally: &mut Tally,
) -> Result<Option<Vec<Row>>, StoreError> {
    let Some(rows) = pages.next().await? else {
        return Ok(None);
    };
    let kept = rows.into_iter().filter(|row| row.matters(at));
    let kept: Vec<Row> = kept.map(Row::canonical).collect();
    kept.iter().for_each(|row| tally.add(row));
    Ok(Some(kept))
}

/// Puts every row of `from` that matters at `at` into `to`, and says what they were. `told` hears
/// now and then how many there were so far.
///
/// # Errors
/// [`CopyError`]. A part of them may have been put in then.
pub async fn copy(
    from: &dyn Rows,
    to: &dyn Rows,
    at: Timestamp,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Tally, CopyError> {
    let mut tally = Tally::default();
    let mut pages = from.pages();
    let mut done = 0;
    while let Some(rows) = page(&mut *pages, at, &mut tally)
        .await
        .map_err(CopyError::Read)?
    {
        if rows.is_empty() {
            continue;
        }
        done += rows.len() as u64;
        to.put(rows, at).await.map_err(CopyError::Put)?;
        told(done);
    }
    Ok(tally)
}

/// Counts every row that matters at `at`.
///
/// # Errors
/// When they cannot be read.
pub async fn count(rows: &dyn Rows, at: Timestamp) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let mut pages = rows.pages();
    while page(&mut *pages, at, &mut tally).await?.is_some() {}
    Ok(tally)
}
