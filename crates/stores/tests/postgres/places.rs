//! Every step names the tag of what it touches, so that the tables can be spread by it: where they
//! are partitioned, it keeps to the partition of its recipient.

use std::process::Stdio;
use std::time::Duration;

use watchword_core::{
    AppId, CheckTarget, Purpose, RecipientIndex, SourceIndex, Store, VerificationId,
};

use crate::fixture::{Database, open, shared};
use crate::time::{T0, check_step, resend_step, start_step};
use watchword_stores::{PostgresTime, PostgresUrl};

/// The partition that rows with this tag are in, of a table.
fn partition(database: &Database, table: &str, tag: u16) -> String {
    let partition = database.sql(&format!(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'watchword.{table}'::regclass AND satisfies_hash_partition(
                i.inhparent, 16, substring(c.relname FROM '\\d+$')::integer, {tag}::integer)"
    ));
    partition.trim().to_owned()
}

/// Somebody holds all partitions but those of one recipient and one source, for as long as this
/// lives. Whoever as much as looks at one of them waits, and fails.
fn hold_the_others(database: &Database, recipient: u16, source: u16) -> std::process::Child {
    let mine: Vec<_> = ["recipient", "verification"]
        .map(|table| partition(database, table, recipient))
        .into_iter()
        .chain([partition(database, "source", source)])
        .collect();
    let all = database.sql(
        "SELECT relname FROM unnest(ARRAY['watchword.recipient', 'watchword.verification',
            'watchword.source']::regclass[]) t, pg_partition_tree(t) JOIN pg_class c ON c.oid = relid
            WHERE isleaf",
    );
    let others: Vec<_> = all
        .lines()
        .filter(|table| !mine.iter().any(|own| own == table))
        .map(|table| format!("watchword.{table}"))
        .collect();
    assert_eq!(
        others.len(),
        45,
        "of 48, three are of this recipient and source"
    );
    let lock = format!(
        "BEGIN; LOCK TABLE {} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)",
        others.join(", ")
    );
    let mut holder = database.server.psql(&database.name);
    let holder = holder
        .args(["-c", &lock])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND relation IN (SELECT inhrelid FROM pg_inherits)";
    while database.sql(held).trim() != "45" {
        std::thread::sleep(Duration::from_millis(10));
    }
    holder
}

#[tokio::test]
async fn no_step_of_a_request_touches_a_partition_of_another_recipient() {
    if shared().is_none() {
        return;
    }
    let database = Database::partitioned();
    // Plans for the values at hand: only a statement that names the tag can be planned past the
    // other partitions. (Plans for any value lock all, and look into one.)
    database.sql(
        "DO $$ DECLARE step regprocedure; BEGIN
            FOR step IN SELECT oid FROM pg_proc WHERE pronamespace = 'watchword'::regnamespace
            LOOP EXECUTE format('ALTER FUNCTION %s RESET plan_cache_mode', step); END LOOP;
        END $$",
    );
    let text = database.server.socket_url(&database.name);
    let one = format!("{text}?options=-c%20plan_cache_mode%3Dforce_custom_plan");
    let store = open(&PostgresUrl::parse(&one).unwrap(), PostgresTime::Caller).await;
    let recipient = RecipientIndex::from_bytes([0xA7; 16]);
    let source = SourceIndex::from_bytes([0x31; 16]);
    let mut holder = hold_the_others(&database, recipient.tag(), 0x3131);
    for round in 0..12_u8 {
        let mut bytes = [0xA7; 16];
        bytes[15] = round;
        let id = VerificationId::from_bytes(bytes);
        let now = T0.plus(Duration::from_secs(60 * u64::from(round)));
        let (app, purpose) = (AppId::default(), Purpose::default());
        let started = store
            .start(start_step(id, recipient, Some(source)), now)
            .await;
        let started = started.unwrap();
        store
            .resend(resend_step(id, Some(source)), now)
            .await
            .unwrap();
        let target = CheckTarget::Id(id);
        store
            .check(check_step(target, "000000"), now)
            .await
            .unwrap();
        let target = CheckTarget::Recipient(recipient, purpose.clone());
        store
            .check(check_step(target, "000000"), now)
            .await
            .unwrap();
        store.get(&app, id, now).await.unwrap().unwrap();
        let newest = store.newest(&app, recipient, &purpose, now).await.unwrap();
        newest.unwrap();
        let note = crate::time::note(now);
        store.note(id, note, now).await.unwrap();
        store.fall_back(id, now).await.unwrap();
        store.unlock(recipient, now).await.unwrap();
        let charged = match started {
            watchword_core::StartOutcome::Started(charged) => charged,
            refused @ watchword_core::StartOutcome::Refused(_) => panic!("{refused:?}"),
        };
        let withdrawal = watchword_core::Withdrawal {
            id,
            charged,
            source: Some(source),
            ends: true,
        };
        store.cancel(&app, id, now).await.unwrap();
        store.fail(id, now, now).await.unwrap();
        store.withdraw(withdrawal, now).await.unwrap();
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let left = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE wait_event = 'PgSleep' AND datname = current_database()";
    database.sql(left);
    // What has expired is found in every partition.
    let late = T0.plus(Duration::from_hours(24 * 365));
    while database
        .sql("SELECT count(*) FROM watchword.verification")
        .trim()
        != "0"
    {
        let _ = store.sweep(1, late).await;
    }
}
