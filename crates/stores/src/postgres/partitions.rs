//! Spreading the tables whose keys begin with the tag over partitions, and making them one piece
//! again.

use tokio_postgres::Transaction;
use tokio_postgres::error::SqlState;

use super::PostgresUrl;
use super::error::PostgresError;
use super::pool::Pool;
use super::schema;
use crate::error::OpenError;

const SHAPE: &str = include_str!("../../migrations/postgres/partition/shape.sql");
const TABLES: &str = include_str!("../../migrations/postgres/partition/tables.sql");
/// How functions plan, as the tables are now.
const PLANS: &str = include_str!("../../migrations/postgres/partition/plans.sql");

/// The only thing that partitions are made by.
const KEY: &str = "HASH (tag)";
const TAKE: &str = "LOCK TABLE watchword.source, watchword.recipient, watchword.verification
    IN ACCESS EXCLUSIVE MODE";
const ROWS: &str = "SELECT (SELECT count(*) FROM watchword.recipient),
    (SELECT count(*) FROM watchword.source), (SELECT count(*) FROM watchword.verification)";

/// What became of the tables that are spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitioned {
    /// The tables, and how many rows each has.
    pub tables: Vec<(String, u64)>,
    /// How many partitions each of them had before; 1 for a table of one piece.
    pub before: Vec<u16>,
    /// How many it has now.
    pub now: u16,
}

impl Partitioned {
    /// How many partitions there may be.
    pub const MOST: u16 = 64;

    /// Whether there was nothing to do.
    #[must_use]
    pub fn as_before(&self) -> bool {
        self.before.iter().all(|before| *before == self.now)
    }
}

struct Shape {
    table: String,
    partitions: u16,
}

/// Puts the rows of `recipient`, `verification` and `source` into so many partitions each, by hash
/// of the tag, or with 1 into tables of one piece; makes the schema first where there is none. In
/// one transaction: it is done as a whole or not at all. Doing it twice is harmless.
///
/// Steps wait meanwhile, and fail when that takes longer than they may: it is for a time at which
/// no server runs.
///
/// # Errors
/// [`OpenError`], above all when somebody has added to the tables what would be lost, when they are
/// used, and when the role does not own them.
pub async fn partition_postgres(
    url: &PostgresUrl,
    partitions: u16,
) -> Result<Partitioned, OpenError> {
    let done = async {
        let wanted = partitions.clamp(1, Partitioned::MOST);
        let pool = Pool::new(&url.patient())?;
        schema::bring_up(&pool).await?;
        let mut link = pool.link().await?;
        let transaction = link.client.transaction().await?;
        // Moving may take long, but not waiting for those who use the tables.
        let patience = url.step_timeout.as_millis();
        let limits =
            format!("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{patience}ms'");
        transaction.batch_execute(&limits).await?;
        let done = spread(&transaction, wanted).await.map_err(refused);
        match &done {
            Ok(_) => transaction.commit().await?,
            // Nobody waits for what was not done.
            Err(_) => transaction.rollback().await?,
        }
        done
    };
    done.await.map_err(|error: PostgresError| error.at(url))
}

async fn spread(transaction: &Transaction<'_>, wanted: u16) -> Result<Partitioned, PostgresError> {
    schema::hold(transaction).await?;
    transaction.batch_execute(TAKE).await?;
    let shapes = shapes(transaction).await?;
    let before = rows(transaction).await?;
    let mut done = Partitioned {
        tables: Vec::new(),
        before: shapes.iter().map(|shape| shape.partitions).collect(),
        now: wanted,
    };
    if !done.as_before() {
        let many = format!("SET LOCAL watchword.partitions = '{wanted}'");
        transaction.batch_execute(&many).await?;
        transaction.batch_execute(TABLES).await?;
    }
    settle_plans(transaction).await?;
    let after = rows(transaction).await?;
    if before != after {
        return Err(PostgresError::Unreadable(
            "not all rows are in the partitions",
        ));
    }
    done.tables = shapes
        .into_iter()
        .map(|shape| shape.table)
        .zip(after)
        .collect();
    Ok(done)
}

async fn shapes(transaction: &Transaction<'_>) -> Result<Vec<Shape>, PostgresError> {
    let mut shapes = Vec::new();
    for row in transaction.query_typed(SHAPE, &[]).await? {
        let table: String = row.try_get(0)?;
        let key: Option<String> = row.try_get(2)?;
        let added: bool = row.try_get(3)?;
        if added || key.is_some_and(|key| key != KEY) {
            return Err(PostgresError::NotAsMade { table });
        }
        let partitions: i64 = row.try_get(1)?;
        let partitions = u16::try_from(partitions.max(1)).unwrap_or(u16::MAX);
        shapes.push(Shape { table, partitions });
    }
    Ok(shapes)
}

async fn rows(transaction: &Transaction<'_>) -> Result<[u64; 3], PostgresError> {
    let counted = transaction.query_typed_one(ROWS, &[]).await?;
    let mut rows = [0; 3];
    for (place, rows) in rows.iter_mut().enumerate() {
        *rows = counted.try_get::<_, i64>(place)?.unsigned_abs();
    }
    Ok(rows)
}

/// Has the functions plan as suits the tables; also after a migration brought new ones.
pub(super) async fn settle_plans(transaction: &Transaction<'_>) -> Result<(), PostgresError> {
    Ok(transaction.batch_execute(PLANS).await?)
}

/// Says what to do about what the server refused.
fn refused(error: PostgresError) -> PostgresError {
    let PostgresError::Server(cause) = &error else {
        return error;
    };
    let busy = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ];
    match cause.code() {
        Some(code) if busy.contains(code) => PostgresError::InUse,
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => PostgresError::NotOwner {
            reason: error.to_string(),
        },
        _ => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test")]
mod tests {
    use super::super::schema::{Script, migrate_with};
    use super::super::server;
    use super::*;

    /// As a later release could have it.
    const LATER: Script = Script {
        version: 1000,
        oldest_reader: 1,
        parts: &[
            "ALTER TABLE watchword.verification ADD COLUMN later bigint NOT NULL DEFAULT 7",
            "CREATE INDEX verification_later ON watchword.verification (later)",
            "CREATE FUNCTION watchword.look_2(_now bigint, _tag integer, _id uuid)
            RETURNS SETOF watchword.verification LANGUAGE plpgsql AS $$ BEGIN
                RETURN QUERY SELECT * FROM watchword.verification v WHERE v.tag = _tag AND v.id = _id;
            END $$",
        ],
    };

    #[tokio::test]
    async fn what_a_later_release_adds_to_tables_in_partitions_plans_as_the_rest_does() {
        let Some(installed) = server::Installed::find() else {
            return;
        };
        let server = tokio::task::spawn_blocking(|| server::Server::start(installed));
        let server = server.await.unwrap();
        let text = format!("{}?step_timeout=30000", server.url("postgres"));
        let url = PostgresUrl::parse(&text).unwrap();
        let done = partition_postgres(&url, 4).await.unwrap();
        assert_eq!((done.before, done.now), (vec![1, 1, 1], 4));
        let pool = Pool::new(&url).unwrap();
        let mut link = pool.link().await.unwrap();
        migrate_with(&mut link.client, &[LATER]).await.unwrap();
        let row = link
            .client
            .query_one(
                "SELECT (SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%(later)'),
                    (SELECT proconfig = '{plan_cache_mode=force_generic_plan}' FROM pg_proc
                        WHERE proname = 'look_2')",
                &[],
            )
            .await
            .unwrap();
        assert_eq!(
            row.get::<_, i64>(0),
            5,
            "one for all, and one of each partition"
        );
        assert_eq!(row.get::<_, Option<bool>>(1), Some(true));
        // Its own release's work: another may not know what there is.
        let refused = partition_postgres(&url, 1).await.unwrap_err().to_string();
        assert!(
            refused.contains("use the release that last migrated it"),
            "{refused}"
        );
    }
}
