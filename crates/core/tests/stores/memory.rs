//! The memory store as it is.

use std::sync::Arc;

use watchword_core::memory::MemoryStore;

watchword_core::store_conformance!(async { Arc::new(MemoryStore::default()) });
watchword_core::store_model!(async { Arc::new(MemoryStore::default()) });
