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
