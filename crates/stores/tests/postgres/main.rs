//! The promises of every store, held by PostgreSQL; what becomes of them when it is away; and what
//! it takes in and gives away.
#![allow(clippy::unwrap_used, reason = "a test")]

mod answers;
mod failures;
mod fixture;
mod migrations;
mod partitions;
mod places;
mod privacy;
#[path = "../servers/postgres.rs"]
mod server;
mod time;
mod two_nodes;

mod one_node {
    use std::sync::Arc;

    use super::fixture::{Database, Fixture, fresh, if_installed};

    watchword_core::store_conformance!(fresh!(Fixture));

    #[test]
    fn random_histories_come_out_as_in_the_naive_model() {
        if_installed(|| {
            let database = Arc::new(Database::migrated());
            let fresh = || Fixture::on(Arc::clone(&database));
            watchword_core::conformance::model_histories_of(48, fresh);
        });
    }
}

mod one_node_with_partitions {
    use std::sync::Arc;

    use super::fixture::{Database, Fixture, if_installed, shared};

    watchword_core::store_conformance!({
        if shared().is_none() {
            return;
        }
        Fixture::partitioned()
    });

    #[test]
    fn random_histories_come_out_as_in_the_naive_model() {
        if_installed(|| {
            let database = Arc::new(Database::partitioned());
            let fresh = || Fixture::on(Arc::clone(&database));
            watchword_core::conformance::model_histories_of(16, fresh);
        });
    }
}

mod accounts {
    use super::fixture::{Accounts, fresh};

    watchword_core::account_conformance!(fresh!(Accounts));
}

mod audit {
    use std::sync::Arc;

    use watchword_core::audit::conformance;
    use watchword_stores::PostgresAudit;

    use super::fixture::{Database, shared};

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn an_audit_log_in_a_database_keeps_the_promises_of_a_store() {
        if shared().is_none() {
            return;
        }
        let database = Database::migrated();
        let store = PostgresAudit::open(&database.url()).await.unwrap();
        conformance::keeps_its_promises(Arc::new(store)).await;
    }

    /// A statement has its time, and what it does not get done in that is taken back.
    #[tokio::test]
    async fn what_was_removed_is_deleted_in_portions() {
        if shared().is_none() {
            return;
        }
        let database = Database::migrated();
        let store = PostgresAudit::open(&database.url()).await.unwrap();
        let left = async || {
            let count = database.sql("SELECT count(*) FROM watchword.audit_page");
            count.trim().parse().unwrap()
        };
        conformance::deletes_in_portions(&store, left).await;
    }
}
