//! The store that keeps everything in this process.
//!
//! As it is (`memory:`), nothing outlives the process. With a [`Journal`] under it, every change
//! is durable before it is answered: the embedded store is this one plus a file. So both share
//! one implementation of every step.

mod bundles;
mod fallbacks;
mod first_form;
mod journal;
mod ledgers;
mod moment;
mod names;
mod packed;
mod place;
mod recipients;
mod record;
mod replays;
mod restore;
mod rows;
mod second_form;
mod sends;
mod shard;
mod sources;
mod standby;
mod store;

pub use journal::{Journal, NoJournal};
pub use names::NamedMessage;
pub use record::{CorruptRecord, FORMAT, Lane, READABLE};
pub use replays::ReplayEntry;
pub(crate) use rows::write;
pub use standby::{Counted, CountedRecipient, Elsewhere};
pub use store::{MemoryStore, SHARDS};
