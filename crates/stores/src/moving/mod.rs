//! Moving everything from one storage to another, while no server uses either of them.
//!
//! The target is marked before the first row goes in, and marked otherwise when both sides were
//! counted and found equal. A server refuses a target whose copy was not finished, and takes the
//! mark away from one that it begins to use. So a target with a mark holds what a copy put there
//! and nothing else: the next copy may clear it and begin again.

mod mark;
mod shelf;

use std::sync::Arc;
use std::time::Duration;

use watchword_core::keys::KeyRing;
use watchword_core::moving::{self, Class, CopyError, Rows as _, Tally};
use watchword_core::{Clock, StoreError, Timestamp};

pub(crate) use self::mark::{Mark, Part, admit};
use self::mark::{clear, look, put};
use self::shelf::Shelf;
use crate::error::OpenError;
use crate::url::StorageUrl;

/// Clocks that differ by less lose nothing that still matters to one of them.
const CLOCKS_DIFFER: Duration = Duration::from_mins(1);

/// What to copy, and where to.
pub struct Move {
    /// Where verifications, counters, idempotency keys and API keys are.
    pub from: StorageUrl,
    /// Where they shall be.
    pub to: StorageUrl,
    /// What becomes of accounts.
    pub accounts: MoveAccounts,
    /// The keys of the server, the same on both sides.
    pub keys: Arc<KeyRing>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What becomes of accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveAccounts {
    /// They are copied too.
    Move {
        /// Where they are.
        from: StorageUrl,
        /// Where they shall be.
        to: StorageUrl,
    },
    /// They stay where they are.
    Stay,
    /// Nobody said so. Refused where some would be left behind.
    Unsaid,
}

/// What was found on both sides when all was copied.
#[derive(Debug)]
pub struct Moved {
    /// Of what.
    pub classes: Vec<Class>,
    /// What was read at the source.
    pub from: Tally,
    /// What was read back from the target.
    pub to: Tally,
    /// What was not the same any more when the source was read again.
    pub changed: Vec<Class>,
}

impl Moved {
    /// The kinds of rows of which the two sides hold different ones.
    #[must_use]
    pub fn differences(&self) -> Vec<Class> {
        self.from.differences(&self.to)
    }

    /// Whether the target holds exactly what the source holds.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.changed.is_empty() && self.differences().is_empty()
    }
}

/// Nothing was copied, or not everything. The source is as it was.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// Its rows live and end with a server.
    #[error("memory: cannot be copied: what is in it lives and ends with its server")]
    Memory,
    /// It would be copied onto itself.
    #[error("{0} is both source and target")]
    Same(String),
    /// There is no such file to read.
    #[error("{0} does not exist; name the file that the server used")]
    NoSource(String),
    /// The target is in use, or was.
    #[error(
        "{storage} already holds {found}, and no copy put them there; name an empty file, \
         database or namespace"
    )]
    Occupied {
        /// The target.
        storage: String,
        /// How many of what.
        found: String,
    },
    /// The source holds accounts and the target keeps none.
    #[error(
        "{from} holds accounts and {to} keeps none; say where they are to be kept (--accounts-to)"
    )]
    NoRoomForAccounts {
        /// The source.
        from: String,
        /// The target.
        to: String,
    },
    /// Accounts are only kept in SQL.
    #[error("{0} keeps no accounts; name a SQL database for them")]
    KeepsNoAccounts(String),
    /// One side does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One side failed on the way.
    #[error("{storage}")]
    Failed {
        /// Which storage, and what it did not do.
        storage: String,
        /// Why.
        #[source]
        source: StoreError,
    },
}

impl MoveError {
    fn of(storage: &StorageUrl, what: &str) -> impl FnOnce(StoreError) -> Self {
        let storage = format!("{storage} {what}");
        move |source| Self::Failed { storage, source }
    }
}

/// Copies, and counts both sides. `told` hears of the progress: how many rows were copied, of one
/// storage.
///
/// # Errors
/// [`MoveError`]. It may be run again, whenever it ended, also where it was killed.
pub async fn copy(wanted: &Move, told: &(dyn Fn(u64) + Sync)) -> Result<Moved, MoveError> {
    let mut parts = vec![(Part::Store, &wanted.from, &wanted.to)];
    match &wanted.accounts {
        MoveAccounts::Move { from, to } => parts.push((Part::Accounts, from, to)),
        MoveAccounts::Stay => {}
        MoveAccounts::Unsaid => refuse_to_lose_accounts(wanted).await?,
    }
    let mut moved = Moved {
        classes: Vec::new(),
        from: Tally::default(),
        to: Tally::default(),
        changed: Vec::new(),
    };
    // Nothing is touched before everything was looked at.
    for (part, from, to) in &parts {
        look_at(*part, from, to, wanted).await?;
    }
    for (part, from, to) in parts {
        let one = copy_part(part, from, to, wanted, told).await?;
        moved.classes.extend(one.classes);
        moved.from.extend(&one.from);
        moved.to.extend(&one.to);
        moved.changed.extend(one.changed);
    }
    Ok(moved)
}

/// Accounts that nobody spoke of would be left behind where the target keeps none.
async fn refuse_to_lose_accounts(wanted: &Move) -> Result<(), MoveError> {
    let (from, to) = (&wanted.from, &wanted.to);
    if !keeps_accounts(from) || keeps_accounts(to) {
        return Ok(());
    }
    if missing(from) {
        return Err(MoveError::NoSource(from.to_string()));
    }
    let at = wanted.clock.now();
    let shelf = Shelf::open(Part::Accounts, from, &wanted.keys, at).await?;
    let counted = moving::count(&shelf, at).await;
    shelf.close().await;
    let counted = counted.map_err(MoveError::of(from, "cannot be read"))?;
    if counted.is_empty() {
        return Ok(());
    }
    Err(MoveError::NoRoomForAccounts {
        from: from.to_string(),
        to: to.to_string(),
    })
}

/// Whether accounts can be kept there.
#[must_use]
pub const fn keeps_accounts(url: &StorageUrl) -> bool {
    matches!(url, StorageUrl::Sqlite(_) | StorageUrl::Postgres(_))
}

fn missing(url: &StorageUrl) -> bool {
    url.path().is_some_and(|path| !path.is_file())
}

async fn look_at(
    part: Part,
    from: &StorageUrl,
    to: &StorageUrl,
    wanted: &Move,
) -> Result<(), MoveError> {
    if [from, to].contains(&&StorageUrl::Memory) {
        return Err(MoveError::Memory);
    }
    let same_file = match (from.path(), to.path()) {
        (Some(from), Some(to)) => from.canonicalize().ok() == to.canonicalize().ok() && to.exists(),
        _ => false,
    };
    if from == to || same_file {
        return Err(MoveError::Same(from.to_string()));
    }
    if part == Part::Accounts
        && let Some(url) = [from, to].into_iter().find(|url| !keeps_accounts(url))
    {
        return Err(MoveError::KeepsNoAccounts(url.to_string()));
    }
    if missing(from) {
        return Err(MoveError::NoSource(from.to_string()));
    }
    // A source that was never finished would be taken for a whole one.
    admit_source(part, from).await?;
    if look(part, to).await?.is_some() {
        return Ok(());
    }
    let at = wanted.clock.now();
    let shelf = Shelf::open(part, to, &wanted.keys, at).await?;
    let counted = moving::count(&shelf, at).await;
    shelf.close().await;
    let counted = counted.map_err(MoveError::of(to, "cannot be read"))?;
    if counted.is_empty() {
        return Ok(());
    }
    let found = Class::ALL
        .into_iter()
        .filter(|class| counted.rows(*class) > 0);
    let found = found.map(|class| format!("{} {}", counted.rows(class), class.as_str()));
    Err(MoveError::Occupied {
        storage: to.to_string(),
        found: found.collect::<Vec<_>>().join(", "),
    })
}

async fn admit_source(part: Part, from: &StorageUrl) -> Result<(), MoveError> {
    if look(part, from).await? == Some(Mark::UnderWay) {
        return Err(OpenError::HalfCopied {
            storage: from.to_string(),
        }
        .into());
    }
    Ok(())
}

async fn copy_part(
    part: Part,
    from: &StorageUrl,
    to: &StorageUrl,
    wanted: &Move,
    told: &(dyn Fn(u64) + Sync),
) -> Result<Moved, MoveError> {
    // One moment for everything, so that nothing ends while it is copied and counted; and early
    // enough for the clocks of both sides.
    let at = wanted.clock.now().minus(CLOCKS_DIFFER);
    let keys = &wanted.keys;
    let source = Shelf::open(part, from, keys, at).await?;
    // Which also brings its schema up.
    Shelf::open(part, to, keys, at).await?.close().await;
    put(part, to, Some(Mark::UnderWay)).await?;
    clear(part, to).await?;
    let target = Shelf::open(part, to, keys, at).await?;
    let copied = moving::copy(&source, &target, at, told).await;
    target.close().await;
    let copied = copied.map_err(|error| match error {
        CopyError::Read(error) => MoveError::of(from, "cannot be read")(error),
        CopyError::Put(error) => MoveError::of(to, "cannot be written to")(error),
    })?;
    // What the target has kept, not what it was given.
    let target = Shelf::open(part, to, keys, at).await?;
    let counted = moving::count(&target, at).await;
    let counted = counted.map_err(MoveError::of(to, "cannot be read back"))?;
    let again = moving::count(&source, at).await;
    let again = again.map_err(MoveError::of(from, "cannot be read again"))?;
    let moved = Moved {
        classes: source.classes().to_vec(),
        changed: again.changes(&copied, later(at, wanted.clock.now())),
        from: copied,
        to: counted,
    };
    target.close().await;
    source.close().await;
    if moved.is_good() {
        put(part, to, Some(Mark::Done)).await?;
    }
    Ok(moved)
}

/// Rows may end by themselves until now. Clocks that went back have ended nothing.
fn later(at: Timestamp, now: Timestamp) -> Timestamp {
    at.max(now)
}
