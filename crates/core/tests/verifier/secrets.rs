//! What is printed and what is kept tells neither codes nor recipients.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use watchword_core::memory::{Journal, MemoryStore, SHARDS};
use watchword_core::{Store, StoreError, Verdict};

use crate::server::{NUMBER, Server, binding, generous, guess, request};

/// Everything that ever went to the disk.
#[derive(Default)]
struct Disk(Mutex<Vec<u8>>);

#[async_trait]
impl Journal for Disk {
    const KEEPS: bool = true;

    fn append(&self, record: &[u8]) -> u64 {
        let mut disk = self.0.lock();
        disk.extend(record);
        disk.len() as u64
    }
    fn position(&self) -> u64 {
        self.0.lock().len() as u64
    }
    async fn settle(&self, _position: u64) -> Result<(), StoreError> {
        Ok(())
    }
    fn ready(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[tokio::test]
async fn neither_print_nor_disk_holds_a_code_or_a_number() {
    let store = Arc::new(MemoryStore::new(Disk::default(), 1000));
    let kept: Arc<dyn Store> = store.clone();
    let server = Server::over(kept);
    let mut printed = String::new();
    for round in 0..20 {
        let mut asked = request(generous());
        asked.binding = binding("17");
        asked.metadata = Some(serde_json::json!({"phone": NUMBER}));
        write!(printed, "{asked:?}").unwrap();
        if round == 10 {
            server.pigeon.answer(Some(Verdict::Unavailable));
        }
        let started = server.verifier.start(asked).await;
        write!(printed, "{started:?}").unwrap();
        server.pigeon.answer(None);
        let Ok(sent) = started else { continue };
        let id = sent.overview.verification.id;
        write!(printed, "{:?}", server.resend(id).await).unwrap();
        let mut right = guess(id, server.code(id));
        write!(printed, "{:?}", server.verifier.check(right.clone()).await).unwrap();
        right.binding = binding("17");
        write!(printed, "{right:?}").unwrap();
        let approved = server.verifier.check(right).await;
        write!(printed, "{approved:?}").unwrap();
        let row = server.row(id).await;
        write!(printed, "{row:?} {:?} {:?}", server.keys, server.verifier).unwrap();
        server.clock.advance(std::time::Duration::from_hours(1));
    }
    for part in 0..SHARDS {
        let mut image = Vec::new();
        store.snapshot(part, &mut image);
        store.journal().append(&image);
    }
    let disk = store.journal().0.lock();
    let national = NUMBER.trim_start_matches("+1");
    assert!(disk.len() > 10_000 && printed.len() > 10_000);
    assert!(!holds(&disk, national) && !printed.contains(national));
    let codes = server.pigeon.codes();
    assert_eq!(codes.len(), 39);
    for code in &codes {
        // Six digits turn up by chance in so much hexadecimal and in times; not as a word.
        assert!(!holds(&disk, code.expose()), "a code on the disk");
        let quoted = format!("\"{}\"", code.expose());
        assert!(!printed.contains(&quoted), "a code in print");
    }
}
