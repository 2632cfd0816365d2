//! A storage that could not be reached at the start, and is opened when it can be: with every look
//! at it that a start takes. Until then it refuses everything.

use std::future::Future;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::RwLock;
use watchword_core::account::{AccountId, AccountRecord, AccountStore, CreateOutcome, Identifier};
use watchword_core::keys::{KeyId, Sealed};
use watchword_core::{
    ApiKeyId, ApiKeyRecord, ApiKeyStore, AppId, CancelOutcome, CheckOutcome, CheckStep, DeliveryId,
    MessageKey, Note, Purpose, RecipientIndex, Remembered, Replay, ReplayKey, ReplayStore,
    ResendOutcome, ResendStep, StartOutcome, StartStep, Store, StoreError, Timestamp, Turn,
    Verification, VerificationId, Withdrawal,
};

use super::{ASK_EVERY, Watch, with_causes};
use crate::error::OpenError;
use crate::open::Opened;

/// A storage, once it is open.
pub(crate) struct Late<T>(RwLock<Option<Arc<T>>>);

/// What came of the first try to open a storage.
pub(crate) struct Reached<T> {
    pub(crate) storage: Arc<Late<T>>,
    /// Why it is not open yet, and the task that goes on trying.
    pub(crate) missed: Option<(OpenError, Watch)>,
}

/// Opens a storage, or goes on trying if that is away.
///
/// # Errors
/// When it answers, or is configured, in a way that only a person can change.
pub(crate) async fn reach<T, F>(
    open: impl Fn() -> F + Send + Sync + 'static,
) -> Result<Reached<T>, OpenError>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<T, OpenError>> + Send + 'static,
{
    let (opened, missed) = match open().await {
        Ok(opened) => (Some(Arc::new(opened)), None),
        Err(error) if error.is_away() => (None, Some(error)),
        Err(error) => return Err(error),
    };
    let storage = Arc::new(Late(RwLock::new(opened)));
    let missed = missed.map(|error| {
        let task = tokio::spawn(go_on_trying(Arc::downgrade(&storage), open));
        (error, Watch(task.abort_handle()))
    });
    Ok(Reached { storage, missed })
}

async fn go_on_trying<T, F>(storage: Weak<Late<T>>, open: impl Fn() -> F)
where
    F: Future<Output = Result<T, OpenError>>,
{
    let mut told = None;
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        match open().await {
            Ok(opened) => {
                if let Some(storage) = storage.upgrade() {
                    *storage.0.write() = Some(Arc::new(opened));
                }
                return;
            }
            Err(error) if error.is_away() => {}
            Err(error) => {
                let reason = with_causes(&error);
                if told.as_ref() != Some(&reason) {
                    tracing::error!(
                        reason,
                        "a storage that was away at the start answers, and is not used as it is"
                    );
                }
                told = Some(reason);
            }
        }
    }
}

impl<T> Late<T> {
    fn get(&self) -> Result<Arc<T>, StoreError> {
        let opened = self.0.read().clone();
        opened.ok_or_else(|| {
            StoreError::not_reached("the storage has not been opened since the start")
        })
    }

    /// Lets go of it.
    pub(crate) fn close(&self) {
        *self.0.write() = None;
    }
}

/// Each call goes to a port of what is open.
macro_rules! late {
    ($port:ident of $opened:ty as $field:tt {
        $($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)+
    }) => {
        #[async_trait]
        impl $port for Late<$opened> {
            $(async fn $name(&self, $($argument: $kind),*) -> Result<$answer, StoreError> {
                self.get()?.$field.$name($($argument),*).await
            })+
        }
    };
}

late!(Store of Opened as store {
    start(step: StartStep, now: Timestamp) -> StartOutcome;
    resend(step: ResendStep, now: Timestamp) -> ResendOutcome;
    check(step: CheckStep, now: Timestamp) -> CheckOutcome;
    get(app: &AppId, id: VerificationId, now: Timestamp) -> Option<Verification>;
    newest(
        app: &AppId, recipient: RecipientIndex, purpose: &Purpose, now: Timestamp
    ) -> Option<Verification>;
    cancel(app: &AppId, id: VerificationId, now: Timestamp) -> CancelOutcome;
    withdraw(step: Withdrawal, now: Timestamp) -> ();
    fail(id: VerificationId, sent_at: Timestamp, now: Timestamp) -> ();
    note(id: VerificationId, note: Note, now: Timestamp) -> Option<Turn>;
    locate(name: MessageKey, now: Timestamp) -> Option<(VerificationId, DeliveryId)>;
    overdue(most: usize, now: Timestamp) -> Vec<VerificationId>;
    fall_back(id: VerificationId, now: Timestamp) -> Option<Turn>;
    unlock(recipient: RecipientIndex, now: Timestamp) -> bool;
    remembered(recipient: RecipientIndex, now: Timestamp) -> Remembered;
    erase(recipient: RecipientIndex, now: Timestamp) -> u64;
    ready() -> ();
});

late!(ReplayStore of Opened as replays {
    claim(
        key: ReplayKey, fingerprint: [u8; 32], running_until: Timestamp, now: Timestamp
    ) -> Replay;
    finish(key: ReplayKey, answer: Sealed, keep_until: Timestamp) -> ();
    abandon(key: ReplayKey) -> ();
});

late!(ApiKeyStore of Opened as api_keys {
    find(id: &ApiKeyId) -> Option<ApiKeyRecord>;
    add(record: ApiKeyRecord) -> ();
    list() -> Vec<ApiKeyRecord>;
    revoke(id: &ApiKeyId, now: Timestamp) -> bool;
});

late!(AccountStore of Opened as accounts {
    create(record: AccountRecord) -> CreateOutcome;
    find(any_of: &[Identifier]) -> Option<AccountRecord>;
    outdated(newest: KeyId, after: Option<AccountId>, limit: u32) -> Vec<AccountRecord>;
    renew(record: AccountRecord) -> bool;
    remove(id: AccountId) -> bool;
});

/// Accounts by themselves.
pub(crate) struct Alone(pub(crate) Arc<dyn AccountStore>);

late!(AccountStore of Alone as 0 {
    create(record: AccountRecord) -> CreateOutcome;
    find(any_of: &[Identifier]) -> Option<AccountRecord>;
    outdated(newest: KeyId, after: Option<AccountId>, limit: u32) -> Vec<AccountRecord>;
    renew(record: AccountRecord) -> bool;
    remove(id: AccountId) -> bool;
});
