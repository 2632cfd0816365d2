//! The tables and functions, and how a database gets them.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, GenericClient, Transaction};
use watchword_core::keys::{KeyId, KeyRing};

use super::error::PostgresError;
use super::partitions;
use super::pool::Pool;
use crate::sqlite::Migrated;

/// One version of the schema.
#[derive(Clone, Copy)]
pub(super) struct Script {
    pub(super) version: u32,
    /// Releases that know at least this version can go on with the new one: nothing that they
    /// call was taken away.
    pub(super) oldest_reader: u32,
    pub(super) parts: &'static [&'static str],
}

/// Never changed once released; all that are missing become one transaction.
const SCRIPTS: [Script; 3] = [
    Script {
        version: 1,
        oldest_reader: 1,
        parts: &[
            include_str!("../../migrations/postgres/001/tables.sql"),
            include_str!("../../migrations/postgres/001/ledger.sql"),
            include_str!("../../migrations/postgres/001/sends.sql"),
            include_str!("../../migrations/postgres/001/checks.sql"),
            include_str!("../../migrations/postgres/001/receipts.sql"),
            include_str!("../../migrations/postgres/001/upkeep.sql"),
            include_str!("../../migrations/postgres/001/accounts.sql"),
            include_str!("../../migrations/postgres/001/audit.sql"),
        ],
    },
    Script {
        version: 2,
        oldest_reader: 1,
        parts: &[include_str!("../../migrations/postgres/002/steps.sql")],
    },
    Script {
        version: 3,
        oldest_reader: 1,
        parts: &[include_str!("../../migrations/postgres/003/endings.sql")],
    },
];

const NEWEST: u32 = SCRIPTS[SCRIPTS.len() - 1].version;

/// One lock for all who migrate: "Watchwor" in ASCII.
const LOCK: &str = "SELECT pg_advisory_xact_lock(6296441724343906162)";
/// A server that only has to be asked answers sooner.
const LOOK: Duration = Duration::from_secs(10);
/// Nobody waits longer for somebody else's migration.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

/// The oldest server that has all that the functions use.
const OLDEST: i32 = 140_000;

const KEYS: &str = "key_ids";
const INDEX: &str = "index_key_id";
/// How many keys are remembered. A fleet has nodes with the old and the new ring for a while.
const KEYS_REMEMBERED: usize = 16;

/// Looks whether this server can be used at all.
pub(super) async fn examine(client: &Client) -> Result<(), PostgresError> {
    let row = client
        .query_typed_one(
            "SELECT current_setting('server_version_num')::integer,
                current_setting('server_version'), current_setting('server_encoding'),
                current_setting('default_transaction_isolation'),
                current_setting('synchronous_commit'), current_setting('fsync')",
            &[],
        )
        .await?;
    let (number, version): (i32, String) = (row.try_get(0)?, row.try_get(1)?);
    if number < OLDEST {
        return Err(PostgresError::TooOld { found: version });
    }
    let encoding: String = row.try_get(2)?;
    if encoding != "UTF8" {
        return Err(PostgresError::Encoding { found: encoding });
    }
    let isolation: String = row.try_get(3)?;
    if isolation != "read committed" {
        return Err(PostgresError::Isolation { found: isolation });
    }
    let (commit, fsync): (String, String) = (row.try_get(4)?, row.try_get(5)?);
    if commit == "off" || fsync == "off" {
        tracing::warn!(
            synchronous_commit = commit,
            fsync,
            "the server forgets steps that were answered when it crashes"
        );
    }
    Ok(())
}

/// The version of the schema that is there, 0 for none, and that of this release. Changes nothing.
pub(super) async fn look(pool: &Pool) -> Result<(u32, u32), PostgresError> {
    let link = pool.link().await?;
    let looked = timeout(LOOK, async {
        examine(&link.client).await?;
        version(&link.client).await
    });
    let found = looked.await.unwrap_or(Err(PostgresError::Slow))?;
    Ok((found, NEWEST))
}

/// Brings the schema to the version of this release.
pub(super) async fn bring_up(pool: &Pool) -> Result<Migrated, PostgresError> {
    let mut link = pool.link().await?;
    let client = &mut link.client;
    // Most starts find all as it should be, and need no right to change anything.
    let looked = timeout(LOOK, async {
        examine(client).await?;
        version(client).await
    });
    let found = looked.await.unwrap_or(Err(PostgresError::Slow))?;
    if found >= NEWEST {
        return Ok(Migrated {
            from: found,
            to: found,
        });
    }
    let migrated = timeout(PATIENCE, migrate_with(client, &SCRIPTS)).await;
    match migrated.unwrap_or(Err(PostgresError::Slow)) {
        Err(PostgresError::Server(error))
            if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            Err(PostgresError::MayNotMigrate {
                found,
                wanted: NEWEST,
                reason: PostgresError::Server(error).to_string(),
            })
        }
        other => other,
    }
}

/// Applies those that are missing.
pub(super) async fn migrate_with(
    client: &mut Client,
    scripts: &[Script],
) -> Result<Migrated, PostgresError> {
    // Everything in one transaction: a pooler may hand the next one to another session.
    let transaction = client.transaction().await?;
    transaction
        .batch_execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        .await?;
    transaction.batch_execute(LOCK).await?;
    // Somebody else may have been faster.
    let from = version(&transaction).await?;
    let mut to = from;
    if from == 0 {
        // The schema may be there already, made by somebody who may do that for us to fill.
        let exists = "SELECT 1 FROM pg_namespace WHERE nspname = 'watchword'";
        if transaction.query_typed_opt(exists, &[]).await?.is_none() {
            transaction.batch_execute("CREATE SCHEMA watchword").await?;
        }
    }
    for script in scripts.iter().filter(|script| script.version > from) {
        apply(&transaction, script).await?;
        to = script.version;
    }
    partitions::settle_plans(&transaction).await?;
    transaction.commit().await?;
    Ok(Migrated { from, to })
}

/// Keeps everybody else from changing the schema until the transaction ends.
///
/// # Errors
/// When it is not of this release.
pub(super) async fn hold(transaction: &Transaction<'_>) -> Result<(), PostgresError> {
    transaction.batch_execute(LOCK).await?;
    let (found, known) = (version(transaction).await?, NEWEST);
    if found > known {
        return Err(PostgresError::Newer { found, known });
    }
    Ok(())
}

async fn apply(transaction: &Transaction<'_>, script: &Script) -> Result<(), PostgresError> {
    for part in script.parts {
        transaction.batch_execute(part).await?;
    }
    let (version, oldest_reader) = (script.version, script.oldest_reader);
    transaction
        .batch_execute(&format!(
            "INSERT INTO watchword.schema_version (version, oldest_reader)
             VALUES ({version}, {oldest_reader})"
        ))
        .await?;
    Ok(())
}

/// The version of the schema; 0 where there is none.
///
/// # Errors
/// When it is somebody else's, or a later release's that left nothing for this one to use.
async fn version(client: &impl GenericClient) -> Result<u32, PostgresError> {
    let look = "SELECT to_regclass('watchword.schema_version') IS NOT NULL,
        EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname = 'watchword')";
    let row = client.query_typed(look, &[]).await?;
    let row = row.first().ok_or(PostgresError::Unreadable("no answer"))?;
    let (ours, taken): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !ours {
        return if taken {
            Err(PostgresError::Foreign)
        } else {
            Ok(0)
        };
    }
    let newest = "SELECT version, oldest_reader FROM watchword.schema_version
        ORDER BY version DESC LIMIT 1";
    let rows = client.query_typed(newest, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(0);
    };
    let (found, oldest): (i32, i32) = (row.try_get(0)?, row.try_get(1)?);
    let (found, oldest) = (found.unsigned_abs(), oldest.unsigned_abs());
    if found > NEWEST && oldest > NEWEST {
        let known = NEWEST;
        return Err(PostgresError::Newer { found, known });
    }
    if found > NEWEST {
        tracing::info!(
            found,
            known = NEWEST,
            "a later release has migrated the schema; going on with it"
        );
    }
    Ok(found)
}

/// Refuses a database that was used under another secret, and remembers the keys of this one.
/// Otherwise every code would be wrong and every recipient a stranger, without anybody knowing
/// why.
pub(super) async fn check_keys(pool: &Pool, keys: &KeyRing) -> Result<(), PostgresError> {
    let mut link = pool.link().await?;
    let checked = timeout(PATIENCE, remember(&mut link.client, keys)).await;
    checked.unwrap_or(Err(PostgresError::Slow))
}

async fn remember(client: &mut Client, keys: &KeyRing) -> Result<(), PostgresError> {
    let transaction = client.transaction().await?;
    // Two servers that start at once must not forget each other's keys.
    transaction.batch_execute(LOCK).await?;
    let rows = transaction
        .query_typed("SELECT name, value FROM watchword.meta", &[])
        .await?;
    let known = |wanted: &str| -> Result<Option<String>, PostgresError> {
        for row in &rows {
            if row.try_get::<_, &str>(0)? == wanted {
                return Ok(Some(row.try_get(1)?));
            }
        }
        Ok(None)
    };
    let (ids, index) = (known(KEYS)?, known(INDEX)?);
    let mut ours: Vec<String> = keys.ids().into_iter().map(hex).collect();
    if let Some(ids) = &ids {
        let before: Vec<&str> = ids.split(' ').collect();
        if !before.iter().any(|id| ours.iter().any(|own| own == id)) {
            return Err(PostgresError::WrongKey);
        }
        for id in before {
            if !ours.iter().any(|own| own == id) {
                ours.push(id.to_owned());
            }
        }
        ours.truncate(KEYS_REMEMBERED);
    }
    let own_index = hex(keys.index_id());
    if index.as_ref().is_some_and(|index| *index != own_index) {
        tracing::warn!(
            "the key that recipients were indexed under is not the last of secret_keys any more: \
             limits, failure counts and locks of recipients begin anew"
        );
    }
    if ids.as_deref() != Some(ours.join(" ").as_str()) || index != Some(own_index.clone()) {
        // Hexadecimal digits and spaces only.
        let ours = ours.join(" ");
        transaction
            .batch_execute(&format!(
                "INSERT INTO watchword.meta (name, value)
                 VALUES ('{KEYS}', '{ours}'), ('{INDEX}', '{own_index}')
                 ON CONFLICT (name) DO UPDATE SET value = excluded.value"
            ))
            .await?;
    }
    transaction.commit().await?;
    Ok(())
}

fn hex(id: KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(id.to_bytes()))
}
