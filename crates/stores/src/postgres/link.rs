//! One connection, and what is prepared in its session.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::task::AbortHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::store::OFTEN;

/// A value for a statement, and its type.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A setting that a connection begins its session with, and that no other session has.
///
/// A pooler refuses such settings or drops them, and deals out sessions of its own, in which nothing
/// may be prepared: under the same name, another node's statement may stand there.
#[derive(PartialEq, Eq)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new() -> Self {
        // Keyed at random, so that no two are the same.
        Self(RandomState::new().build_hasher().finish().to_string())
    }
}

/// As an option of a connection.
impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "-c watchword.session={}", self.0)
    }
}

/// One connection. It ends when it is dropped, whatever it is waiting for.
pub(super) struct Link {
    pub(super) client: Client,
    task: AbortHandle,
    born: Instant,
    mark: Option<Mark>,
    /// Statements that stand ready in the session.
    prepared: Vec<(&'static str, Statement)>,
}

impl Link {
    /// A connection that was made with this setting, if with any.
    pub(super) fn over(client: Client, task: AbortHandle, mark: Option<Mark>) -> Self {
        Self {
            client,
            task,
            born: Instant::now(),
            mark,
            prepared: Vec::new(),
        }
    }

    /// How long ago it was made.
    pub(super) fn age(&self) -> Duration {
        self.born.elapsed()
    }

    /// Prepares the statements of requests, if the session is this connection's alone: reading and
    /// planning one takes the server a quarter of the time of a step. What does not come to be
    /// prepared is asked without.
    pub(super) async fn prepare(&mut self) {
        let Some(mark) = &self.mark else { return };
        let look = "SELECT current_setting('watchword.session', true)";
        let found = self.client.query_typed_one(look, &[]).await;
        let found = found.and_then(|row| row.try_get::<_, Option<String>>(0));
        if !found.is_ok_and(|found| found.as_ref() == Some(&mark.0)) {
            return;
        }
        let preparing = OFTEN.map(|statement| self.client.prepare(statement));
        if let Ok(prepared) = try_join_all(preparing).await {
            self.prepared = OFTEN.into_iter().zip(prepared).collect();
        }
    }

    /// Runs one statement in one round trip: one that was prepared, or without a name and with its
    /// types said, so that nothing of it is left in the session.
    pub(super) async fn rows(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let mut prepared = self.prepared.iter();
        let Some((_, prepared)) = prepared.find(|(text, _)| *text == statement) else {
            return self.client.query_typed(statement, parameters).await;
        };
        let values: Vec<_> = parameters.iter().map(|(value, _)| *value).collect();
        self.client.query(prepared, &values).await
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::super::server::{Installed, Pooler, Server};
    use super::super::{PostgresUrl, migrate_postgres, pool::Pool};

    #[tokio::test]
    async fn the_steps_of_requests_are_prepared_unless_a_pooler_deals_out_the_sessions() {
        let Some(installed) = Installed::find() else {
            return;
        };
        let server = tokio::task::spawn_blocking(|| Server::start(installed));
        let server = server.await.unwrap();
        let prepared = async |url: &str| {
            let pool = Pool::new(&PostgresUrl::parse(url).unwrap()).unwrap();
            let count = "SELECT count(*) FROM pg_prepared_statements";
            pool.row(count, &[]).await.unwrap().get::<_, i64>(0)
        };
        let direct = server.url("postgres");
        assert_eq!(prepared(&direct).await, 0, "without a schema");
        migrate_postgres(&PostgresUrl::parse(&direct).unwrap())
            .await
            .unwrap();
        assert_eq!(prepared(&direct).await, 5);
        // It refuses the settings that connections begin with, or takes and drops them.
        for dropped in ["", "options"] {
            let Some(pooler) = Pooler::that_drops(&server, dropped) else {
                return;
            };
            assert_eq!(prepared(&pooler.url("postgres")).await, 0, "{dropped}");
        }
    }
}
