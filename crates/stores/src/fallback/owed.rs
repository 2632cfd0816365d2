//! What the primary is owed, as the local store remembers it: under keys of idempotency that no
//! request can have.

use watchword_core::keys::Sealed;
use watchword_core::{RecipientIndex, Replay, ReplayKey, ReplayStore, StoreError, Timestamp};

/// Since when the primary is owed what was counted here.
pub(super) const OWED_SINCE: ReplayKey = ReplayKey(*b"owed to primary\0");

/// Whose locks the primary has to lift.
const LIFTED: ReplayKey = ReplayKey(*b"lifted locks\0\0\0\0");

/// One entry of [`LIFTED`] is so long.
const INDEX: usize = size_of::<RecipientIndex>();

const FOREVER: Timestamp = Timestamp::from_millis(u64::MAX);

/// Remembers since when the primary is owed what is counted here.
pub(super) async fn owe_since(local: &dyn ReplayStore, since: Timestamp) -> Result<(), StoreError> {
    write(local, OWED_SINCE, &since.as_millis().to_le_bytes(), since).await
}

/// Since when the primary is owed, if it is.
pub(super) async fn owed_since(
    local: &dyn ReplayStore,
    now: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let bytes = read(local, OWED_SINCE, now).await?;
    Ok(bytes.map(|bytes| {
        let bytes = bytes.as_slice().try_into().unwrap_or_default();
        Timestamp::from_millis(u64::from_le_bytes(bytes))
    }))
}

/// Whose locks were lifted here and are to be lifted at the primary.
pub(super) async fn lifted(
    local: &dyn ReplayStore,
    now: Timestamp,
) -> Result<Vec<RecipientIndex>, StoreError> {
    let bytes = read(local, LIFTED, now).await?.unwrap_or_default();
    let whole = bytes.chunks_exact(INDEX);
    let indexes = whole.filter_map(|index| index.try_into().ok());
    Ok(indexes.map(RecipientIndex::from_bytes).collect())
}

/// Remembers them.
pub(super) async fn remember_lifted(
    local: &dyn ReplayStore,
    all: &[RecipientIndex],
    now: Timestamp,
) -> Result<(), StoreError> {
    if all.is_empty() {
        return local.abandon(LIFTED).await;
    }
    let bytes: Vec<_> = all.iter().flat_map(|index| *index.as_bytes()).collect();
    write(local, LIFTED, &bytes, now).await
}

async fn write(
    local: &dyn ReplayStore,
    key: ReplayKey,
    bytes: &[u8],
    now: Timestamp,
) -> Result<(), StoreError> {
    local.claim(key, [0; 32], FOREVER, now).await?;
    local.finish(key, Sealed::from_bytes(bytes), FOREVER).await
}

async fn read(
    local: &dyn ReplayStore,
    key: ReplayKey,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, StoreError> {
    match local.claim(key, [0; 32], FOREVER, now).await? {
        Replay::Done(bytes) => Ok(Some(bytes.as_bytes().to_vec())),
        // Nothing; or it ended in the middle, before anything was done: then nothing is owed.
        Replay::Fresh | Replay::Running | Replay::Different => {
            local.abandon(key).await?;
            Ok(None)
        }
    }
}
