//! `watchword apikey`: works on the database, beside running servers or without one.

use std::sync::Arc;
use std::time::Duration;

use watchword_core::{
    ApiKey, ApiKeyId, ApiKeyRecord, ApiKeyStore, AppId, Clock as _, Scope, StoreError, Timestamp,
};
use watchword_stores::{StorageUrl, open_api_keys};

use super::audit::note_api_key;
use super::dev::DATABASE;
use super::{given_to_serve, runtime};
use crate::cli::{ApiKeyCommand, KeyStore};
use crate::config::storage_url;
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::system::{SystemClock, SystemEntropy};
use crate::telemetry::chain;

pub(super) fn run(command: ApiKeyCommand) -> Result<(), Failure> {
    let runtime = runtime(false)?;
    match command {
        ApiKeyCommand::Create {
            name,
            scope,
            app,
            expires_in,
            store,
        } => {
            let keys = runtime.block_on(open(&store))?;
            let wanted = Wanted {
                name,
                scopes: scope,
                app,
                expires_in,
            };
            let id = runtime.block_on(create(&*keys, wanted))?;
            runtime.block_on(note_api_key(&store, "api_key.created", &id));
            Ok(())
        }
        ApiKeyCommand::List { store } => {
            runtime.block_on(async { list(&*open(&store).await?).await })
        }
        ApiKeyCommand::Revoke { id, store } => {
            let id = runtime.block_on(async { revoke(&*open(&store).await?, &id).await })?;
            runtime.block_on(note_api_key(&store, "api_key.revoked", &id));
            Ok(())
        }
    }
}

async fn open(store: &KeyStore) -> Result<Arc<dyn ApiKeyStore>, Failure> {
    let url = match &store.data {
        Some(data) => StorageUrl::Sqlite(data.join(DATABASE)),
        None => storage_url(&given_to_serve(store.file.config.as_deref())?)?,
    };
    let opened = open_api_keys(&url).await;
    opened.map_err(|error| Failure::from_error(&error))?.ok_or_else(|| {
        Failure::refused(
            "storage.url is memory:, whose keys live and end with the server; keep them in a file \
             (storage.url = \"sqlite:watchword.db\")",
        )
    })
}

struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    app: AppId,
    expires_in: Option<Duration>,
}

async fn create(keys: &dyn ApiKeyStore, wanted: Wanted) -> Result<ApiKeyId, Failure> {
    let name = wanted.name.trim();
    if name.is_empty() || name.chars().count() > 64 || name.chars().any(char::is_control) {
        return Err(Failure::refused(
            "NAME has to be 1 to 64 characters that can be seen",
        ));
    }
    let mut scopes = if wanted.scopes.is_empty() {
        Scope::USUAL.to_vec()
    } else {
        wanted.scopes
    };
    scopes.sort_unstable();
    scopes.dedup();
    let key = ApiKey::generate(&SystemEntropy).map_err(|error| Failure::from_error(&error))?;
    let now = SystemClock.now();
    let ends = wanted.expires_in.map(|span| now.plus(span));
    let listed = listed(&scopes);
    let record = ApiKeyRecord::of(&key, name.to_owned(), wanted.app.clone(), scopes, now, ends);
    keys.add(record).await.map_err(|error| told(&error))?;
    complain(&format!(
        "API key `{name}` ({}) of app {} may: {listed}. It {}. It is shown only now:",
        key.id(),
        wanted.app,
        ends.map_or_else(
            || "does not end by itself".to_owned(),
            |ends| format!("ends at {ends}")
        ),
    ));
    say(key.expose())?;
    Ok(key.id().clone())
}

async fn list(keys: &dyn ApiKeyStore) -> Result<(), Failure> {
    let records = keys.list().await.map_err(|error| told(&error))?;
    if records.is_empty() {
        complain("there are no API keys; make one with `watchword apikey create NAME`");
        return Ok(());
    }
    let now = SystemClock.now();
    let rows = records.iter().map(|record| {
        [
            record.id.to_string(),
            record.name.clone(),
            record.app.to_string(),
            state(record, now),
            record.created_at.to_string(),
            listed(&record.scopes),
        ]
    });
    let head = ["ID", "NAME", "APP", "STATE", "CREATED", "SCOPES"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut lines = Vec::with_capacity(rows.len());
    for row in &rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0);
            format!("{cell:width$}")
        });
        lines.push(cells.collect::<Vec<_>>().join("  ").trim_end().to_owned());
    }
    say(&lines.join("\n"))
}

async fn revoke(keys: &dyn ApiKeyStore, text: &str) -> Result<ApiKeyId, Failure> {
    let whole = ApiKey::parse(text).ok().map(|key| key.id().clone());
    let bare = text.strip_prefix("wk_").unwrap_or(text);
    let Some(id) = whole.or_else(|| ApiKeyId::parse(bare)) else {
        return Err(Failure::refused(
            "that is no id of an API key: 12 characters, as `watchword apikey list` shows them",
        ));
    };
    let revoked = keys
        .revoke(&id, SystemClock.now())
        .await
        .map_err(|error| told(&error))?;
    if revoked {
        say(&format!(
            "API key {id} is revoked; a running server knows within a second"
        ))?;
        return Ok(id);
    }
    let line = match keys.find(&id).await.map_err(|error| told(&error))? {
        None => format!("there is no API key {id}; `watchword apikey list` shows all"),
        Some(record) => format!(
            "API key {id} is {} already",
            state(&record, SystemClock.now())
        ),
    };
    Err(Failure::refused(line))
}

fn state(record: &ApiKeyRecord, now: Timestamp) -> String {
    match (record.revoked_at, record.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(end)) if end <= now => format!("expired {end}"),
        (None, Some(end)) => format!("until {end}"),
        (None, None) => "works".to_owned(),
    }
}

fn listed(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(|scope| scope.as_str())
        .collect::<Vec<_>>()
        .join(",")
}

fn told(error: &StoreError) -> Failure {
    Failure::refused(format!("storage.url: {}", chain(error)))
}
