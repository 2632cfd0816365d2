//! A shard that is gone keeps back its own fallbacks and notes, and nobody else's.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;
use watchword_core::fakes::{SeededEntropy, SetClock};
use watchword_core::{
    AppId, Channel, Clock as _, Delivery, DeliveryId, DeliveryStatus, Dispatched, Fallback,
    MessageKey, Note, RecipientIndex, StartOutcome, Store as _, Timestamp, VerificationId,
};

use super::alike::start;
use super::fixture::{Fixture, HANGS, on};
use super::servers::{MASTERS, RedisCluster, is_there};

const WAIT: Duration = Duration::from_secs(60);

/// The master that goes.
const GONE: usize = MASTERS - 1;

/// A verification, the masters of its row and of its entry, and when its code was sent.
struct Started {
    number: u8,
    id: VerificationId,
    row: usize,
    entry: usize,
    sent_at: Timestamp,
}

impl Started {
    /// A note that plans its fallback, and names its message.
    fn planned(&self) -> Note {
        let delivery = DeliveryId(Uuid::from_bytes([self.number; 16]));
        Note {
            deliveries: vec![Delivery {
                id: delivery,
                channel: Channel::Sms,
                provider: "texts".to_owned(),
                status: DeliveryStatus::Accepted,
                at: self.sent_at,
                message_id: None,
                error: None,
            }],
            dispatched: Some(Dispatched {
                sent_at: self.sent_at,
                fallback: Some(Fallback {
                    next: 1,
                    due: Some(self.sent_at.plus(WAIT)),
                }),
            }),
            names: vec![(self.name(), delivery)],
        }
    }

    fn name(&self) -> MessageKey {
        MessageKey([self.number; 16])
    }
}

fn master_of(fixture: &Fixture<RedisCluster>, key: &str) -> usize {
    let mut raw = fixture.server.nodes[0].connect();
    let slot = raw.ask(&["CLUSTER", "KEYSLOT", key]).number();
    let ends = (1..=MASTERS).map(|place| 16_384 * place / MASTERS);
    let before = ends.filter(|end| usize::try_from(slot).unwrap() >= *end);
    before.count()
}

async fn started(fixture: &Fixture<RedisCluster>, number: u8) -> Started {
    let mut index = [number; 16];
    index[0] = 0;
    let mut step = start(number, number.into());
    step.recipient = RecipientIndex::from_bytes(index);
    let entropy = SeededEntropy::new(number.into());
    step.id = VerificationId::generate(&step.recipient, &entropy).unwrap();
    let id = step.id;
    let outcome = fixture.start(step, SetClock::default().now()).await;
    let Ok(StartOutcome::Started(charged)) = outcome else {
        panic!("{outcome:?}");
    };
    Started {
        number,
        id,
        row: master_of(fixture, &format!("{{00{number:02x}}}")),
        entry: master_of(fixture, &format!("{{{}}}", number % 16)),
        sent_at: charged.made_at,
    }
}

/// Verifications all over a cluster in which nobody takes the place of a server that is gone, and the others serve
/// on. Nothing where there is no Redis.
async fn all_over() -> Option<(Fixture<RedisCluster>, Vec<Started>)> {
    let cluster = is_there().then(RedisCluster::start)?;
    for node in &cluster.nodes {
        node.set("cluster-replica-no-failover", "yes");
        node.set("cluster-require-full-coverage", "no");
    }
    let url = cluster.url("?step_timeout=5400");
    let fixture = on(Arc::new(cluster), url).await;
    let mut all = Vec::new();
    for number in 0..64 {
        all.push(started(&fixture, number).await);
    }
    Some((fixture, all))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_shard_that_is_gone_keeps_no_fallback_of_the_others_back() {
    let Some((fixture, all)) = all_over().await else {
        return;
    };
    let now = SetClock::default().now();
    for started in &all {
        let noted = fixture.note(started.id, started.planned(), now).await;
        noted.unwrap();
    }
    let overdue = async || {
        let found = timeout(HANGS, fixture.overdue(256, now.plus(WAIT)));
        let found = found.await.expect("it hangs").unwrap();
        BTreeSet::from_iter(found)
    };
    let of = |met: &dyn Fn(&&Started) -> bool| -> BTreeSet<_> {
        all.iter().filter(met).map(|started| started.id).collect()
    };
    assert_eq!(overdue().await, of(&|_| true));
    let others = of(&|it| it.row != GONE && it.entry != GONE);
    assert!(all.iter().any(|it| it.row == GONE && it.entry != GONE));
    assert!(!others.is_empty());
    fixture.server.nodes[GONE].hang();
    assert_eq!(overdue().await, others);
    // Who wants a few goes through several pages, and waits once.
    let few = timeout(HANGS, fixture.overdue(2, now.plus(WAIT))).await;
    let few = few.expect("it hangs").unwrap();
    assert!(few.len() == 2 && few.iter().all(|id| others.contains(id)));
    fixture.server.nodes[GONE].go_on();
    fixture.server.nodes[GONE].kill();
    assert_eq!(overdue().await, others);
}

/// Whoever asks hears that not all of it was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_note_whose_entry_lies_on_a_shard_that_is_gone_is_written_all_the_same() {
    let Some((fixture, mut all)) = all_over().await else {
        return;
    };
    let now = SetClock::default().now();
    all.retain(|started| {
        let name = started.name().0.map(|byte| format!("{byte:02x}")).concat();
        let name = master_of(&fixture, &format!("ww:m{name}"));
        started.row != GONE && name != GONE
    });
    fixture.server.nodes[GONE].kill();
    let mut refused = 0;
    for started in &all {
        let noted = timeout(HANGS, fixture.note(started.id, started.planned(), now));
        let noted = noted.await.expect("it hangs");
        assert_eq!(noted.is_err(), started.entry == GONE, "{noted:?}");
        refused += usize::from(noted.is_err());
        let row = fixture.get(&AppId::default(), started.id, now).await;
        assert_eq!(row.unwrap().unwrap().deliveries.len(), 1);
        let named = fixture.locate(started.name(), now).await.unwrap();
        assert_eq!(named.map(|(id, _)| id), Some(started.id));
        let turn = fixture.fall_back(started.id, now.plus(WAIT)).await;
        assert!(turn.unwrap().is_some());
    }
    assert!(refused > 0 && refused < all.len());
}
