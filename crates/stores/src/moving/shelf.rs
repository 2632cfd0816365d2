//! One part of a storage, opened for a copy: as rows, at a moment that stands still.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::spawn_blocking;
use watchword_core::keys::KeyRing;
use watchword_core::moving::{Class, Pages, Row, Rows};
use watchword_core::{Clock, StoreError, Timestamp};

use super::Part;
use crate::api_keys::ApiKeyRows;
use crate::error::OpenError;
use crate::postgres::{PostgresAccounts, PostgresApiKeys, PostgresStore, PostgresTime};
use crate::redis::{RedisStorage, Time};
use crate::sqlite::{Embedded, Neighbour, Settings, SqliteAccounts, SqliteApiKeys};
use crate::url::StorageUrl;

/// A clock that stands still, so that nothing ends by itself meanwhile.
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// Opened rows, and what keeps them open.
pub(super) struct Shelf {
    rows: Vec<Arc<dyn Rows>>,
    classes: Vec<Class>,
    embedded: Option<Embedded>,
}

impl Shelf {
    /// Opens one, and makes it where there is none.
    pub(super) async fn open(
        part: Part,
        url: &StorageUrl,
        keys: &Arc<KeyRing>,
        at: Timestamp,
    ) -> Result<Self, OpenError> {
        let mut shelf = Self {
            rows: Vec::new(),
            classes: Vec::new(),
            embedded: None,
        };
        let clock: Arc<dyn Clock> = Arc::new(Still(at));
        match (part, url) {
            (_, StorageUrl::Memory) | (Part::Accounts, StorageUrl::Redis(_)) => {}
            (Part::Store, StorageUrl::Sqlite(path)) => {
                let (path, keys) = (path.clone(), Arc::clone(keys));
                let (embedded, api_keys) = blocking(path, move |path| {
                    let settings = Settings {
                        max_live: usize::MAX,
                        // One at the end, in place of many on the way.
                        snapshot_after: u64::MAX,
                        keys: &keys,
                        clock,
                    };
                    let embedded = Embedded::open(path, settings)?;
                    Ok((embedded, SqliteApiKeys::open(path)?))
                })
                .await?;
                shelf.rows.push(embedded.memory());
                shelf.rows.push(Arc::new(ApiKeyRows(Arc::new(api_keys))));
                shelf.embedded = Some(embedded);
            }
            (Part::Accounts, StorageUrl::Sqlite(path)) => {
                let opened = blocking(path.clone(), |path| {
                    SqliteAccounts::open(path, &Neighbour::none())
                });
                shelf.rows.push(Arc::new(opened.await?));
            }
            (Part::Store, StorageUrl::Postgres(url)) => {
                let url = url.patient();
                let store = PostgresStore::open(&url, keys, clock, PostgresTime::Caller).await?;
                let api_keys = PostgresApiKeys::open(&url).await?;
                shelf.rows.push(Arc::new(store));
                shelf.rows.push(Arc::new(ApiKeyRows(Arc::new(api_keys))));
            }
            (Part::Store, StorageUrl::Redis(url)) => {
                let storage = RedisStorage::open(url, keys, clock, Time::Server).await?;
                shelf.rows.push(storage.both());
                shelf.rows.push(Arc::new(ApiKeyRows(storage.api_keys())));
            }
            (Part::Accounts, StorageUrl::Postgres(url)) => {
                let accounts = PostgresAccounts::open(&url.patient()).await?;
                shelf.rows.push(Arc::new(accounts));
            }
        }
        let each = shelf.rows.iter();
        shelf.classes = each.flat_map(|rows| rows.classes().to_vec()).collect();
        Ok(shelf)
    }

    /// Writes what is left, and lets go.
    pub(super) async fn close(self) {
        let Self { rows, embedded, .. } = self;
        drop(rows);
        if let Some(embedded) = embedded
            && spawn_blocking(move || embedded.close()).await.is_err()
        {
            tracing::error!("closing the storage panicked");
        }
    }
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    open: impl FnOnce(&Path) -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    let own = path.clone();
    let opened = spawn_blocking(move || open(&own)).await;
    opened.map_err(|error| OpenError::Io {
        file: path,
        source: error.into(),
    })?
}

/// One after the other.
struct Chain<'a> {
    rest: std::slice::Iter<'a, Arc<dyn Rows>>,
    pages: Option<Box<dyn Pages + 'a>>,
}

#[async_trait]
impl Pages for Chain<'_> {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, StoreError> {
        loop {
            let Some(pages) = &mut self.pages else {
                return Ok(None);
            };
            if let Some(rows) = pages.next().await? {
                return Ok(Some(rows));
            }
            self.pages = self.rest.next().map(|rows| rows.pages());
        }
    }
}

#[async_trait]
impl Rows for Shelf {
    fn classes(&self) -> &[Class] {
        &self.classes
    }

    fn pages(&self) -> Box<dyn Pages + '_> {
        let mut rest = self.rows.iter();
        let pages = rest.next().map(|rows| rows.pages());
        Box::new(Chain { rest, pages })
    }

    async fn put(&self, mut rows: Vec<Row>, at: Timestamp) -> Result<(), StoreError> {
        for taker in &self.rows {
            let takes = |row: &Row| taker.classes().contains(&row.class());
            let (own, others): (Vec<_>, Vec<_>) = rows.into_iter().partition(takes);
            if !own.is_empty() {
                taker.put(own, at).await?;
            }
            rows = others;
        }
        Ok(())
    }
}
