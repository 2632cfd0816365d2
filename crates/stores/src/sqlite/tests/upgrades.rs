//! Files that an earlier release made: each schema that there was, with what a server kept in it.

use rusqlite::params;

use super::*;
use crate::sqlite::schema::SCRIPTS;

/// A file as the release with this schema left it: its tables, and in them what `made` holds.
fn of_schema(version: u32, made: &Path, path: &Path) {
    DatabaseFile::find_or_create(path).unwrap();
    let connection = Connection::open(path).unwrap();
    for (number, script) in SCRIPTS.iter().filter(|(number, _)| *number <= version) {
        connection.execute_batch(script).unwrap();
        let applied = "INSERT INTO schema_version (version, applied_at) VALUES (?1, 'then')";
        connection.execute(applied, params![number]).unwrap();
    }
    let from = made.to_str().unwrap();
    connection.execute("ATTACH ?1 AS made", [from]).unwrap();
    for table in ["meta", "journal", "snapshot", "snapshot_head", "api_key"] {
        let copy = format!("INSERT OR REPLACE INTO main.{table} SELECT * FROM made.{table}");
        connection.execute(&copy, []).unwrap();
    }
}

#[tokio::test]
async fn a_file_of_each_earlier_schema_is_brought_up_with_everything_in_it() {
    let fixture = Fixture::new();
    fixture.start_all(0..100).await;
    let key =
        "INSERT INTO api_key VALUES ('k', 'shop', 'default', 'codes:read', x'01', 1, NULL, NULL)";
    fixture.connection().execute(key, []).unwrap();
    let rows = fixture.rows();
    let clock = Arc::clone(&fixture.clock);
    let (_folder, made, _) = fixture.abandon();
    for (version, _) in SCRIPTS {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        of_schema(version, &made, &path);
        let embedded = open(&path, &clock).unwrap();
        let fixture = Fixture {
            folder,
            embedded,
            clock: Arc::clone(&clock),
        };
        assert_eq!(fixture.rows(), rows, "schema {version}");
        assert_eq!(fixture.embedded.store.len(), 100);
        let connection = fixture.connection();
        let count = |sql: &str| -> u32 { connection.query_row(sql, [], |row| row.get(0)).unwrap() };
        assert_eq!(count("SELECT count(*) FROM api_key"), 1);
        assert_eq!(count("SELECT count(*) FROM account"), 0);
        let newest = SCRIPTS[SCRIPTS.len() - 1].0;
        assert_eq!(count("SELECT max(version) FROM schema_version"), newest);
        // And it goes on.
        fixture.start_all(100..110).await;
        assert_eq!(fixture.crash().embedded.store.len(), 110);
    }
}

/// Puts what an earlier server wrote into an empty file of this one: into its journal, or into a snapshot.
fn put_first_form(path: &Path, is_snapshot: bool) {
    let connection = Connection::open(path).unwrap();
    let body = fakes::record_of_first_form();
    let sql = "UPDATE meta SET value = '1' WHERE name = 'record_form'";
    connection.execute(sql, []).unwrap();
    if is_snapshot {
        let crc = snapshot::chunk_crc(1, 0, true, &body);
        let sql = "INSERT INTO snapshot VALUES (1, 0, 1, ?1, ?2)";
        connection.execute(sql, params![crc, body]).unwrap();
        let sql = "INSERT INTO snapshot_head
                   SELECT 1, generation, 1, length(body), 0 FROM snapshot";
        connection.execute(sql, []).unwrap();
    } else {
        let crc = writer::group_crc(1, &body);
        let sql = "INSERT INTO journal VALUES (1, ?1, ?2)";
        connection.execute(sql, params![crc, body]).unwrap();
    }
}

#[tokio::test]
async fn records_of_the_first_form_are_read_and_what_follows_them_has_the_present_one() {
    for is_snapshot in [false, true] {
        let (folder, path, clock) = Fixture::new().abandon();
        put_first_form(&path, is_snapshot);
        let embedded = open(&path, &clock).unwrap();
        let fixture = Fixture {
            folder,
            embedded,
            clock,
        };
        // A verification, its recipient, and the source of another.
        assert_eq!(fixture.rows().len(), 3);
        assert_eq!(fixture.embedded.store.len(), 1);
        let form = |file: &Fixture| guard::get(&file.connection(), "record_form").unwrap();
        let present = watchword_core::memory::FORMAT.to_string();
        assert_eq!(form(&fixture), Some(present));
        fixture.start_all(0..10).await;
        let after = fixture.crash();
        assert_eq!(after.rows(), fixture.rows());
        let (head, store) = (&after.embedded.head, &after.embedded.store);
        snapshot::make(store, &after.embedded.clock, head, |_| true).unwrap();
        assert_eq!(after.crash().rows(), fixture.rows());
    }
}
