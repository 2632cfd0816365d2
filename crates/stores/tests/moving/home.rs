//! Stores that histories move between.

use std::any::Any;
use std::sync::Arc;

use watchword_core::Store;
use watchword_core::fakes::{self, SetClock};
use watchword_core::moving::Rows;
use watchword_stores::{OpenOptions, StorageUrl};

use crate::fixture::Database;

/// A store, as steps and as rows, and what keeps it open.
pub(crate) struct Home {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) rows: Arc<dyn Rows>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Home {
    /// In a file of its own.
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = StorageUrl::Sqlite(folder.path().join("watchword.db"));
        let options = OpenOptions::new(Arc::new(fakes::keys(1)), Arc::new(SetClock::default()));
        let opened = watchword_stores::open(&url, options).await.unwrap();
        Self {
            store: Arc::clone(&opened.store),
            rows: opened.rows.clone().unwrap(),
            _kept: Box::new((opened, folder)),
        }
    }

    /// In a database that has been used before, and is empty again.
    pub(crate) async fn postgres(database: Arc<Database>) -> Self {
        database.clear();
        let store = Arc::new(database.store().await);
        Self {
            store: Arc::clone(&store) as Arc<dyn Store>,
            rows: store,
            _kept: Box::new(database),
        }
    }
}
