//! A damaged file is named, with the place, and nothing of it is used.

use super::*;

/// A closed file with a snapshot and a journal after it.
async fn written() -> (TempDir, PathBuf, Arc<SetClock>) {
    let fixture = Fixture::new();
    fixture.start_all(0..2000).await;
    let head = &fixture.embedded.head;
    snapshot::make(
        &fixture.embedded.store,
        &fixture.embedded.clock,
        head,
        |_| true,
    )
    .unwrap();
    // One after the other, so that each is a group of its own.
    for number in 2000..2010 {
        fixture.start(number).await.unwrap();
    }
    fixture.abandon()
}

/// What was refused: table, row, and the whole text.
type Refused = (&'static str, i64, String);

/// Opens after `damage`, which is made for the first row of the journal after the snapshot, there
/// being nine more; that row, and what was refused.
async fn damaged(damage: impl Fn(i64) -> String) -> (i64, Refused) {
    let (_folder, path, clock) = written().await;
    let connection = Connection::open(&path).unwrap();
    let first = connection
        .query_row("SELECT max(seq) - 9 FROM journal", [], |row| row.get(0))
        .unwrap();
    connection.execute_batch(&damage(first)).unwrap();
    drop(connection);
    match open(&path, &clock) {
        Err(error @ OpenError::Corrupt { table, row, .. }) => {
            (first, (table, row, error.to_string()))
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the damage was not noticed"),
    }
}

async fn refused(damage: &str) -> Refused {
    damaged(|_| damage.to_owned()).await.1
}

#[tokio::test]
async fn a_changed_group_is_named_by_its_row() {
    let (first, (table, row, text)) = damaged(|first| {
        let at = first + 3;
        format!("UPDATE journal SET body = zeroblob(length(body)) WHERE seq = {at}")
    })
    .await;
    assert_eq!((table, row), ("journal", first + 3));
    assert!(
        text.contains("checksum") && text.contains("Restore the file"),
        "{text}"
    );
    assert!(text.contains("watchword.db"), "{text}");
}

#[tokio::test]
async fn a_torn_group_is_named_by_its_row() {
    let (first, (table, row, _)) = damaged(|first| {
        let last = first + 9;
        format!("UPDATE journal SET body = substr(body, 1, length(body) - 20) WHERE seq = {last}")
    })
    .await;
    assert_eq!((table, row), ("journal", first + 9));
}

#[tokio::test]
async fn a_missing_group_is_named_by_its_row() {
    for place in [0, 4] {
        let (first, (table, row, text)) = damaged(|first| {
            let at = first + place;
            format!("DELETE FROM journal WHERE seq = {at}")
        })
        .await;
        assert_eq!((table, row), ("journal", first + place));
        assert!(text.contains("missing"), "{text}");
    }
}

#[tokio::test]
async fn two_groups_that_changed_places_are_noticed() {
    let (first, (table, row, _)) = damaged(|first| {
        let (a, b) = (first, first + 1);
        format!(
            "UPDATE journal SET seq = -1 WHERE seq = {a};
             UPDATE journal SET seq = {a} WHERE seq = {b};
             UPDATE journal SET seq = {b} WHERE seq = -1;"
        )
    })
    .await;
    assert_eq!((table, row), ("journal", first));
}

#[tokio::test]
async fn a_group_whose_checksum_fits_but_whose_records_do_not_is_refused() {
    let (_folder, path, clock) = written().await;
    let connection = Connection::open(&path).unwrap();
    let last: i64 = connection
        .query_row("SELECT max(seq) FROM journal", [], |row| row.get(0))
        .unwrap();
    let body = b"\x63 no such kind";
    let crc = writer::group_crc(last.unsigned_abs(), body);
    connection
        .execute(
            "UPDATE journal SET body = ?1, crc = ?2 WHERE seq = ?3",
            rusqlite::params![&body[..], crc, last],
        )
        .unwrap();
    drop(connection);
    let refused = open(&path, &clock).err().unwrap();
    let OpenError::Corrupt { table, row, .. } = refused else {
        panic!("{refused}");
    };
    assert_eq!((table, row), ("journal", last));
}

#[tokio::test]
async fn damage_to_the_snapshot_is_named_by_its_chunk() {
    for damage in [
        "UPDATE snapshot SET body = zeroblob(length(body)) WHERE chunk = 1",
        "UPDATE snapshot SET last = 1 - last WHERE chunk = 1",
        "DELETE FROM snapshot WHERE chunk = 1",
        "UPDATE snapshot SET chunk = 100 WHERE chunk = 1",
    ] {
        let (table, row, _) = refused(damage).await;
        assert_eq!((table, row), ("snapshot", 1), "{damage}");
    }
}

#[tokio::test]
async fn a_snapshot_that_lacks_its_end_is_refused() {
    let (_folder, path, clock) = written().await;
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("DELETE FROM snapshot WHERE chunk = (SELECT max(chunk) FROM snapshot)")
        .unwrap();
    drop(connection);
    assert!(matches!(
        open(&path, &clock),
        Err(OpenError::Corrupt {
            table: "snapshot",
            ..
        })
    ));
}

#[tokio::test]
async fn records_of_a_foreign_form_are_refused() {
    let (_folder, path, clock) = written().await;
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("UPDATE meta SET value = '999' WHERE name = 'record_form'")
        .unwrap();
    drop(connection);
    let refused = open(&path, &clock).err().unwrap();
    assert!(
        matches!(refused, OpenError::ForeignForm { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn a_file_that_was_overwritten_in_the_middle_is_refused() {
    let (_folder, path, clock) = written().await;
    // The log is empty, so that the file is all there is.
    open(&path, &clock).unwrap().close();
    let mut bytes = fs::read(&path).unwrap();
    let quarter = bytes.len() / 4;
    for byte in &mut bytes[quarter..3 * quarter] {
        *byte = 0xa5;
    }
    fs::write(&path, bytes).unwrap();
    let refused = open(&path, &clock).err().unwrap();
    assert!(matches!(refused, OpenError::Corrupt { .. }), "{refused}");
}

#[tokio::test]
async fn a_refused_file_can_be_opened_again_once_it_is_repaired() {
    let (_folder, path, clock) = written().await;
    let connection = Connection::open(&path).unwrap();
    let set = |value: &str| {
        let sql = "UPDATE meta SET value = ?1 WHERE name = 'record_form'";
        connection.execute(sql, [value]).unwrap();
    };
    set("999");
    assert!(open(&path, &clock).is_err());
    set(&watchword_core::memory::FORMAT.to_string());
    assert_eq!(open(&path, &clock).unwrap().store.len(), 2010);
}
