//! `watchword audit`: reads the chain beside running servers or without one.

use std::sync::Arc;

use watchword_core::audit::{
    Anchor, AuditStore, Broken, Chain, Draft, Entry, Link, Page, Tail, Verified,
};
use watchword_core::keys::{KeyRing, SecretKey};
use watchword_core::{ApiKeyId, Clock as _, StoreError, Subject};
use watchword_stores::{Neighbour, StorageUrl};

use super::dev::{DATABASE, KEY_FILE};
use super::{given_to_serve, runtime};
use crate::audit::{Shelf, UNPROVEN};
use crate::cli::{AuditCommand, KeyStore};
use crate::config::{audit_place, read_private};
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::system::SystemClock;
use crate::telemetry::chain;

/// How many pages are in memory at a time.
const AT_ONCE: u32 = 16;

pub(super) fn run(command: AuditCommand) -> Result<(), Failure> {
    let runtime = runtime(false)?;
    match command {
        AuditCommand::Export { after, store } => runtime.block_on(async {
            let place = Place::open(&store).await?;
            place
                .each(after, |page| say(entries(page).trim_end()))
                .await
        }),
        AuditCommand::Verify { expect, store } => {
            let expected = expect.as_deref().map(link).transpose()?;
            let seen =
                runtime.block_on(async { Place::open(&store).await?.verify(expected).await })?;
            say(&in_order(&seen))
        }
    }
}

/// Takes note of what was done to an API key on the command line. The key works either way; where
/// the note cannot be made, the operator is told.
pub(super) async fn note_api_key(store: &KeyStore, event: &'static str, key: &ApiKeyId) {
    let noted = async {
        let place = match Place::find(store).await? {
            Some(place) => place,
            None => return Ok(()),
        };
        let mut entry = Entry::new(SystemClock.now(), event, "on the command line");
        entry.subject = Subject {
            by: Some(key),
            ..Subject::default()
        };
        let mut body = Vec::new();
        entry.write(&mut body);
        let draft = Draft {
            written_at: entry.at,
            writer: "command line".to_owned(),
            entries: 1,
            body,
        };
        let mut tail = Tail::default();
        let written = tail.append(&*place.store, &draft, &place.keys).await;
        if let Some(page) = tail.take_unproven() {
            complain(&format!("note: page {page}: {UNPROVEN}"));
        }
        written.map_err(|error| told(&error))
    };
    if let Err(failure) = noted.await {
        let why = failure.lines().join("; ");
        complain(&format!("note: this is not in the audit log: {why}"));
    }
}

/// Where the chain is, and whose it is.
struct Place {
    store: Arc<dyn AuditStore>,
    keys: KeyRing,
}

impl Place {
    async fn open(store: &KeyStore) -> Result<Self, Failure> {
        let found = Self::find(store).await?;
        found.ok_or_else(|| {
            Failure::refused(
                "there is no audit log: audit.enabled is false, or nothing in SQL is configured to \
                 keep it (audit.url)",
            )
        })
    }

    async fn find(store: &KeyStore) -> Result<Option<Self>, Failure> {
        if let Some(data) = &store.data {
            let key = read_private(&data.join(KEY_FILE)).map_err(Failure::refused)?;
            let key = SecretKey::parse(&key).map_err(|error| Failure::from_error(&error))?;
            let url = StorageUrl::Sqlite(data.join(DATABASE));
            let opened = watchword_stores::open_audit(&url, &Neighbour::elsewhere(&url)).await;
            let store = opened.map_err(|error| Failure::from_error(&error))?;
            let keys = KeyRing::new(&key, &[]);
            return Ok(Some(Self { store, keys }));
        }
        let given = given_to_serve(store.file.config.as_deref())?;
        let (keys, storage, settings) = audit_place(&given)?;
        let Some(mut shelf) = Shelf::of(&settings, Neighbour::elsewhere(&storage)) else {
            return Ok(None);
        };
        let store = shelf.open().await;
        let store = store.map_err(|error| Failure::from_error(&error))?;
        Ok(Some(Self { store, keys }))
    }

    async fn each(
        &self,
        mut after: u64,
        mut see: impl FnMut(&Page) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        loop {
            let pages = self.store.pages(after, AT_ONCE).await;
            let pages = pages.map_err(|error| told(&error))?;
            let Some(last) = pages.last() else {
                return Ok(());
            };
            after = last.link.number;
            pages.iter().try_for_each(&mut see)?;
        }
    }

    async fn anchor(&self) -> Result<Option<Anchor>, Failure> {
        self.store.anchor().await.map_err(|error| told(&error))
    }

    async fn verify(&self, expected: Option<Link>) -> Result<Verified, Failure> {
        loop {
            let anchor = self.anchor().await?;
            let seen = self.verify_behind(anchor, expected).await;
            // What the retention removed meanwhile is not missing.
            if seen.is_ok() || self.anchor().await? == anchor {
                return seen;
            }
        }
    }

    async fn verify_behind(
        &self,
        anchor: Option<Anchor>,
        expected: Option<Link>,
    ) -> Result<Verified, Failure> {
        let broken =
            |broken: Broken| Failure::refused(format!("the audit log is not in order: {broken}"));
        let removed = anchor.map_or(0, |anchor| anchor.link.number);
        let mut chain = Chain::new(anchor, &self.keys)
            .map_err(broken)?
            .expecting(expected);
        self.each(removed, |page| chain.follow(page).map_err(broken))
            .await?;
        chain.end().map_err(broken)
    }
}

fn in_order(seen: &Verified) -> String {
    let mut text = format!(
        "the audit log is in order: {} entries on {} pages",
        seen.entries, seen.pages
    );
    if seen.removed > 0 {
        text += &format!("; pages up to {} were removed by age", seen.removed);
    }
    if let Some(last) = seen.last {
        text += &format!("\nnewest page: {}", shown(last));
    }
    text
}

/// The entries of a page, each with the number of the page before everything else.
fn entries(page: &Page) -> String {
    let body = String::from_utf8_lossy(&page.draft.body);
    let writer = &page.draft.writer;
    let start = format!("{{\"page\":{},\"writer\":\"{writer}\",", page.link.number);
    let lines = body.lines().map(|line| match line.strip_prefix('{') {
        Some(rest) => format!("{start}{rest}\n"),
        None => format!("{line}\n"),
    });
    lines.collect()
}

/// `NUMBER:HASH`.
fn shown(link: Link) -> String {
    let hash = link.hash.iter().map(|byte| format!("{byte:02x}"));
    format!("{}:{}", link.number, hash.collect::<String>())
}

fn link(text: &str) -> Result<Link, Failure> {
    let read = || {
        let (number, digits) = text.trim().split_once(':')?;
        let mut hash = [0; 32];
        if digits.len() != 64 || !digits.is_ascii() {
            return None;
        }
        for (place, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
        }
        let number = number.parse().ok()?;
        Some(Link { number, hash })
    };
    read().ok_or_else(|| {
        Failure::refused(
            "--expect: is no page; it looks like 12:64 hexadecimal digits, as `watchword audit \
             verify` prints it",
        )
    })
}

fn told(error: &StoreError) -> Failure {
    Failure::refused(format!("audit.url: {}", chain(error)))
}

#[cfg(test)]
mod tests {
    use watchword_core::Timestamp;
    use watchword_core::fakes;

    use super::*;
    use crate::audit::tests::Slow;

    #[tokio::test]
    async fn pages_that_the_retention_removes_meanwhile_are_not_missing() {
        let (store, keys) = (Arc::new(Slow::default()), fakes::keys(1));
        let mut tail = Tail::default();
        let mut links = Vec::new();
        for _ in 0..=AT_ONCE * 2 {
            let draft = Draft {
                written_at: Timestamp::default(),
                writer: "node".to_owned(),
                entries: 1,
                body: b"{}\n".to_vec(),
            };
            tail.append(&store.kept, &draft, &keys).await.unwrap();
            links.extend(store.kept.last().await.unwrap());
        }
        *store.removes.lock() = Some(Anchor::at(links[AT_ONCE as usize + 1], &keys));
        let place = Place { store, keys };
        let seen = place.verify(None).await;
        let seen = seen.unwrap_or_else(|failure| panic!("{:?}", failure.lines()));
        assert_eq!(seen.removed, u64::from(AT_ONCE) + 2);
        assert_eq!(seen.last, links.last().copied());
    }
}
