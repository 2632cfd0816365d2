//! Tables that are put into partitions, and made one piece again: nothing that is in them or hangs
//! on them is lost.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use watchword_core::fakes::{self, SetClock};
use watchword_core::{
    CheckOutcome, CheckTarget, RecipientIndex, SourceIndex, StartOutcome, Store, VerificationId,
};
use watchword_stores::{
    OpenError, Partitioned, PostgresError, PostgresStore, PostgresTime, PostgresUrl,
    partition_postgres,
};

use crate::fixture::{Database, shared, url};
use crate::time::{T0, check_step, start_step};

/// Everything but the rows, as SQL.
fn shape(database: &Database) -> Vec<String> {
    let dump = database.server.dump(&database.name, &[]);
    let mut lines: Vec<_> = dump.lines().map(str::to_owned).collect();
    // Those differ in each dump.
    lines.retain(|line| !line.contains("restrict "));
    lines.sort_unstable();
    lines
}

async fn partition(database: &Database, count: u16) -> Partitioned {
    let done = partition_postgres(&database.url(), count).await;
    done.unwrap_or_else(|error| panic!("{error}"))
}

fn place(number: u8) -> (VerificationId, RecipientIndex, SourceIndex) {
    let bytes = [number.wrapping_mul(37); 16];
    (
        VerificationId::from_bytes(bytes),
        RecipientIndex::from_bytes(bytes),
        SourceIndex::from_bytes(bytes),
    )
}

async fn start(store: &PostgresStore, number: u8) {
    let (id, recipient, source) = place(number);
    let started = store.start(start_step(id, recipient, Some(source)), T0);
    let started = started.await.unwrap();
    assert!(matches!(started, StartOutcome::Started(_)), "{started:?}");
}

#[tokio::test]
async fn rows_indexes_rights_and_steps_are_kept_in_partitions_and_back() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    // A server that may change no table, as the documentation has it, and less than usual.
    let role = format!("spread_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA watchword TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA watchword TO {role};
         REVOKE EXECUTE ON FUNCTION watchword.keep_1 FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION watchword.keep_1 TO {role}"
    ));
    let text = database.server.socket_url(&database.name);
    let theirs = url(&text.replace("watchword@", &format!("{role}@")));
    let (keys, clock) = (fakes::keys(1), Arc::new(SetClock::default()));
    let store = PostgresStore::open(&theirs, &keys, clock, PostgresTime::Caller).await;
    let store = store.unwrap();
    for number in 0..60 {
        start(&store, number).await;
    }
    let before = shape(&database);
    let mut known = 1;
    for (round, count) in [16, 16, 4, 1].into_iter().enumerate() {
        let done = partition(&database, count).await;
        assert_eq!((&done.before, done.now), (&vec![known; 3], count));
        assert_eq!(done.as_before(), known == count);
        known = count;
        let rows = ["recipient", "source", "verification"].map(|table| (table.to_owned(), 60));
        assert_eq!(done.tables, rows);
        let pieces = "SELECT count(*) FROM pg_class WHERE relkind = 'r'
            AND relname ~ '^(recipient|source|verification)(_\\d+)?$'";
        assert_eq!(
            database.sql(pieces).trim(),
            (3 * count).to_string(),
            "nothing else is left there"
        );
        // Steps of a server that was there before, on what was there before.
        let wrong = CheckTarget::Id(place(7).0);
        let checked = store.check(check_step(wrong, "000000"), T0).await.unwrap();
        let left = 4 - u32::try_from(round).unwrap();
        let counted = matches!(
            checked,
            CheckOutcome::Incorrect { attempts_left, .. } if attempts_left == left
        );
        assert!(counted, "{checked:?}");
    }
    let undo = "DELETE FROM watchword.verification; DELETE FROM watchword.recipient;
         DELETE FROM watchword.source";
    let rows: Vec<_> = shape(&database);
    let own: Vec<_> = before.iter().filter(|line| !rows.contains(line)).collect();
    let new: Vec<_> = rows.iter().filter(|line| !before.contains(line)).collect();
    // The checks changed one verification, and its recipient.
    assert_eq!((own.len(), new.len()), (2, 2), "{own:?} {new:?}");
    // What has expired goes, from each partition, by the same rights.
    partition(&database, 16).await;
    let late = T0.plus(Duration::from_hours(24 * 365));
    assert_eq!(store.sweep(1000, late).await.unwrap(), 180);
    database.sql(undo);
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

async fn refused(url: &PostgresUrl) -> PostgresError {
    match partition_postgres(url, 4).await {
        Err(OpenError::Postgres { source, .. }) => *source,
        other => panic!("not refused by PostgreSQL: {other:?}"),
    }
}

#[tokio::test]
async fn what_somebody_added_is_refused_and_left() {
    if shared().is_none() {
        return;
    }
    for (add, remove) in [
        (
            "CREATE TRIGGER t AFTER UPDATE ON watchword.source EXECUTE FUNCTION watchword.api_key_changed()",
            "DROP TRIGGER t ON watchword.source",
        ),
        (
            "CREATE PUBLICATION p FOR TABLE watchword.recipient",
            "DROP PUBLICATION p",
        ),
        (
            "ALTER TABLE watchword.verification ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE watchword.verification DISABLE ROW LEVEL SECURITY",
        ),
    ] {
        let database = Database::migrated();
        database.sql(add);
        let before = shape(&database);
        let refused = refused(&database.url()).await;
        let own = matches!(refused, PostgresError::NotAsMade { .. });
        assert!(own, "{add}: {refused}");
        assert_eq!(before, shape(&database));
        database.sql(remove);
        partition(&database, 4).await;
    }
}

#[tokio::test]
async fn what_hangs_on_a_table_is_said_and_nothing_is_done() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    database.sql("CREATE VIEW public.live AS SELECT id FROM watchword.verification");
    let before = shape(&database);
    let refused = refused(&database.url()).await.to_string();
    assert!(refused.contains("other objects depend on it"), "{refused}");
    assert_eq!(before, shape(&database));
}

#[tokio::test]
async fn tables_that_are_used_are_left_alone() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let mut holder = database.server.psql(&database.name);
    let hold = "BEGIN; SELECT count(*) FROM watchword.source; SELECT pg_sleep(600)";
    let mut holder = holder
        .args(["-c", hold])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let held = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'
        AND datname = current_database()";
    while database.sql(held).trim() != "1" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let text = database.server.socket_url(&database.name);
    let hasty = PostgresUrl::parse(&format!("{text}?step_timeout=300")).unwrap();
    let refused = refused(&hasty).await;
    assert!(matches!(refused, PostgresError::InUse), "{refused}");
    holder.kill().unwrap();
    holder.wait().unwrap();
    database.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE wait_event = 'PgSleep' AND datname = current_database()",
    );
    partition(&database, 4).await;
}

#[tokio::test]
async fn a_role_that_does_not_own_the_tables_is_told_who_has_to() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let role = format!("other_{}", database.name);
    database.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA watchword TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA watchword TO {role}"
    ));
    let text = database.server.socket_url(&database.name);
    let theirs = url(&text.replace("watchword@", &format!("{role}@")));
    let refused = refused(&theirs).await;
    let own = matches!(refused, PostgresError::NotOwner { .. });
    assert!(own, "{refused}");
    database.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}
