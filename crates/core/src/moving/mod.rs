//! Moving everything that one store keeps to another one.
//!
//! Rows travel as typed values, a page at a time: what a row is in SQLite, SQL or Redis is known
//! to that store alone. All moments stay what they are, so that limits, locks and codes end at
//! the target when they would have ended at the source. Secrets are not needed for it and nothing
//! is opened: digests and sealed values travel as they are, and are good under the same keys.

mod copy;
mod row;
mod tally;

use async_trait::async_trait;

pub use self::copy::{CopyError, copy, count};
pub use self::row::{Class, RecipientRow, Row, SourceRow};
pub use self::tally::Tally;
use crate::clock::Timestamp;
use crate::store::StoreError;

/// A store as rows that can be read one page after the other, and put in.
///
/// Not for a store that somebody works on: what is changed meanwhile may be met or missed.
#[async_trait]
pub trait Rows: Send + Sync {
    /// The kinds of rows that it keeps.
    fn classes(&self) -> &[Class];

    /// Goes through everything that is kept, from the beginning. A row is met once. What has lost
    /// its meaning and was not removed yet may be met too.
    fn pages(&self) -> Box<dyn Pages + '_>;

    /// Puts rows in, whatever was under their names before. When it has answered, they are as
    /// durable as steps are. `at` is the present, for those that forget by the clock.
    ///
    /// # Errors
    /// When it did not, or it is not known whether it did. Putting them in again is harmless.
    async fn put(&self, rows: Vec<Row>, at: Timestamp) -> Result<(), StoreError>;
}

/// Where somebody is who goes through the rows of a store.
#[async_trait]
pub trait Pages: Send {
    /// The next rows, some thousands at most; nothing after the last ones. May be empty before.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError>;
}
