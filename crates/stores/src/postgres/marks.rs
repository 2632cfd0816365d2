//! What a database says of a copy into it.

use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::PostgresUrl;
use super::error::PostgresError;
use super::pool::{Parameter, Pool};
use super::rows::read;
use super::schema::PATIENCE;
use crate::error::OpenError;
use crate::moving::{Mark, Part};

const LOOK: &str = "SELECT value FROM watchword.meta WHERE name = $1";
const PUT: &str = "INSERT INTO watchword.meta (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";
const REMOVE: &str = "DELETE FROM watchword.meta WHERE name = $1";

/// The mark, if there is one. A database without the schema has none.
pub(crate) async fn mark(url: &PostgresUrl, part: Part) -> Result<Option<Mark>, OpenError> {
    let looked = async {
        let pool = Pool::new(url)?;
        let there = "SELECT to_regclass('watchword.meta') IS NOT NULL";
        if !read::<bool>(&pool.row(there, &[]).await?, 0)? {
            return Ok(None);
        }
        let rows = pool.rows(LOOK, &[(&part.mark(), Type::TEXT)]).await?;
        let mark = rows.first().map(|row| read(row, 0).map(Mark::parse));
        mark.transpose()
    };
    looked.await.map_err(|error: PostgresError| error.at(url))
}

pub(crate) async fn put_mark(
    url: &PostgresUrl,
    part: Part,
    mark: Option<Mark>,
) -> Result<(), OpenError> {
    let put = async {
        let pool = Pool::new(url)?;
        let name: Parameter<'_> = (&part.mark(), Type::TEXT);
        match mark {
            Some(mark) => pool.rows(PUT, &[name, (&mark.as_str(), Type::TEXT)]).await,
            None => pool.rows(REMOVE, &[name]).await,
        }
    };
    put.await.map(drop).map_err(|error| error.at(url))
}

/// Removes everything that a copy puts in. Not by TRUNCATE, which takes a right of its own.
pub(crate) async fn clear(url: &PostgresUrl, part: Part) -> Result<(), OpenError> {
    let tables: &[&str] = match part {
        Part::Store => &[
            "verification",
            "recipient",
            "source",
            "message_name",
            "replay",
            "api_key",
        ],
        Part::Accounts => &["account_identifier", "account"],
    };
    let cleared = async {
        let pool = Pool::new(&url.patient())?;
        let mut link = pool.link().await?;
        let transaction = link.client.transaction().await?;
        transaction
            .batch_execute("SET LOCAL statement_timeout = 0")
            .await?;
        for table in tables {
            let delete = format!("DELETE FROM watchword.{table}");
            transaction.batch_execute(&delete).await?;
        }
        Ok(transaction.commit().await?)
    };
    let cleared = timeout(PATIENCE, cleared).await;
    let cleared = cleared.unwrap_or(Err(PostgresError::Slow));
    cleared.map_err(|error: PostgresError| error.at(url))
}
