//! How a database comes to its schema, and which ones are left alone.

use std::sync::Arc;

use watchword_core::fakes::{self, SetClock};
use watchword_stores::{
    Migrated, OpenError, PostgresError, PostgresStore, PostgresTime, PostgresUrl, migrate_postgres,
};

use crate::fixture::{Database, shared, url};

async fn refused(database: &Database) -> PostgresError {
    match migrate_postgres(&database.url()).await {
        Err(OpenError::Postgres { source, .. }) => *source,
        other => panic!("not refused by PostgreSQL: {other:?}"),
    }
}

async fn open_with(database: &Database, seed: u64) -> Result<PostgresStore, OpenError> {
    let (keys, clock) = (fakes::keys(seed), Arc::new(SetClock::default()));
    PostgresStore::open(&database.url(), &keys, clock, PostgresTime::Server).await
}

#[tokio::test]
async fn an_empty_database_gets_the_schema_once_however_many_nodes_start_at_once() {
    if shared().is_none() {
        return;
    }
    let database = Database::empty();
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let url = database.url();
            tokio::spawn(async move { migrate_postgres(&url).await.unwrap() })
        })
        .collect();
    let mut fresh = 0;
    for node in nodes {
        let migrated = node.await.unwrap();
        fresh += usize::from(migrated == Migrated { from: 0, to: 3 });
    }
    assert_eq!(fresh, 1, "the others found it done");
    assert_eq!(
        database.sql("SELECT count(*) FROM watchword.schema_version"),
        "3\n"
    );
    open_with(&database, 1).await.unwrap();
}

#[tokio::test]
async fn a_schema_that_was_made_ready_is_filled() {
    if shared().is_none() {
        return;
    }
    let database = Database::empty();
    database.sql("CREATE SCHEMA watchword");
    let migrated = migrate_postgres(&database.url()).await.unwrap();
    assert_eq!(migrated, Migrated { from: 0, to: 3 });
}

#[tokio::test]
async fn the_schema_of_a_later_release_is_refused_unless_it_says_that_this_one_can_go_on() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let later = "INSERT INTO watchword.schema_version (version, oldest_reader) VALUES";
    database.sql(&format!("{later} (4, 1)"));
    let migrated = migrate_postgres(&database.url()).await.unwrap();
    assert_eq!(migrated, Migrated { from: 4, to: 4 });
    database.sql(&format!("{later} (5, 4)"));
    let refused = refused(&database).await;
    let newer = matches!(refused, PostgresError::Newer { found: 5, known: 3 });
    assert!(newer, "{refused}");
    assert!(refused.to_string().contains("later one"), "{refused}");
    assert!(open_with(&database, 1).await.is_err());
}

#[tokio::test]
async fn the_schema_of_another_program_is_left_alone() {
    if shared().is_none() {
        return;
    }
    let database = Database::empty();
    database.sql("CREATE SCHEMA watchword; CREATE TABLE watchword.clocks (id integer)");
    let refused = refused(&database).await;
    assert!(matches!(refused, PostgresError::Foreign), "{refused}");
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'watchword'";
    assert_eq!(database.sql(tables), "1\n");
}

#[tokio::test]
async fn a_role_that_may_not_migrate_is_told_who_has_to_and_serves_when_it_was_done() {
    if shared().is_none() {
        return;
    }
    let database = Database::empty();
    let role = format!("server_{}", database.name);
    database.sql(&format!("CREATE ROLE {role} LOGIN"));
    let text = database.server.socket_url(&database.name);
    let theirs = url(&text.replace("watchword@", &format!("{role}@")));
    let refused = migrate_postgres(&theirs).await.unwrap_err().to_string();
    assert!(refused.contains("watchword migrate"), "{refused}");
    migrate_postgres(&database.url()).await.unwrap();
    database.sql(&format!(
        "GRANT USAGE ON SCHEMA watchword TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA watchword TO {role}"
    ));
    let (keys, clock) = (fakes::keys(1), Arc::new(SetClock::default()));
    let store = PostgresStore::open(&theirs, &keys, clock, PostgresTime::Server).await;
    watchword_core::Store::ready(&store.unwrap()).await.unwrap();
    let dropping = format!("DROP OWNED BY {role}; DROP ROLE {role}");
    database.sql(&dropping);
}

#[tokio::test]
async fn a_database_that_was_used_with_another_secret_is_refused() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    open_with(&database, 1).await.unwrap();
    let refused = open_with(&database, 2).await.err().unwrap().to_string();
    assert!(refused.contains("secret_key"), "{refused}");
    open_with(&database, 1).await.unwrap();
}

#[tokio::test]
async fn what_would_make_steps_fail_is_said_at_the_start() {
    if shared().is_none() {
        return;
    }
    let database = Database::migrated();
    let name = &database.name;
    database.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    ));
    let refused = refused(&database).await;
    assert!(
        matches!(refused, PostgresError::Isolation { .. }),
        "{refused}"
    );
    let server = database.server;
    server.sql(
        "postgres",
        &format!("CREATE DATABASE latin_{name} ENCODING 'LATIN1' TEMPLATE template0"),
    );
    let latin = url(&server.socket_url(&format!("latin_{name}")));
    let refused = migrate_postgres(&latin).await.unwrap_err().to_string();
    assert!(refused.contains("UTF8"), "{refused}");
    server.sql(
        "postgres",
        &format!("DROP DATABASE latin_{name} WITH (FORCE)"),
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let nowhere = PostgresUrl::parse("postgres://u:geheim@127.0.0.1:1/db").unwrap();
    let refused = migrate_postgres(&nowhere).await.unwrap_err();
    let text = format!("{refused} {refused:?}");
    assert!(text.contains("127.0.0.1:1/db"), "{text}");
    assert!(!text.contains("geheim"), "{text}");
}
