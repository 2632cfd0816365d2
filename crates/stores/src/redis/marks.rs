//! What a namespace says of a copy into it.

use redis::Value;
use watchword_core::StoreError;

use super::call::{Call, Names};
use super::refused::RedisRefused;
use super::reply::text;
use super::scan::Scan;
use super::script;
use super::servers::Servers;
use super::url::RedisUrl;
use crate::error::OpenError;
use crate::moving::Mark;

async fn on<T>(
    url: &RedisUrl,
    work: impl AsyncFnOnce(&Servers, &Names) -> Result<T, StoreError>,
) -> Result<T, OpenError> {
    let servers = Servers::found(url).await?;
    let worked = work(&servers, &Names::new(url.namespace())).await;
    Ok(worked.map_err(|source| RedisRefused::Unwritable {
        url: url.to_string(),
        source,
    })?)
}

/// The mark, if there is one.
pub(crate) async fn mark(url: &RedisUrl) -> Result<Option<Mark>, OpenError> {
    on(url, async |servers, names| {
        let key = names.copy();
        let mut command = redis::cmd("GET");
        command.arg(&key);
        let found = servers.run(&key, &command).await?;
        Ok(text(&found).as_deref().map(Mark::parse))
    })
    .await
}

pub(crate) async fn put_mark(url: &RedisUrl, mark: Option<Mark>) -> Result<(), OpenError> {
    on(url, async |servers, names| {
        let call = Call::new(&script::MARK, names.copy());
        let call = call.text(mark.map_or("", Mark::as_str));
        servers.call(&call).await.map(drop)
    })
    .await
}
/// Removes everything that a copy puts in: what holds rows, and what leads to them.
pub(crate) async fn clear(url: &RedisUrl) -> Result<(), OpenError> {
    on(url, async |servers, names| {
        let mut scan = Scan::of(servers, names).await?;
        while let Some((server, keys)) = scan.next().await? {
            let gone = keys.iter().filter(|key| names.kind(key).is_some());
            let commands: Vec<_> = gone
                .map(|key| {
                    let mut command = redis::cmd("UNLINK");
                    command.arg(key);
                    command
                })
                .collect();
            if commands.is_empty() {
                continue;
            }
            let answers = server.send(&commands).await;
            for answer in answers.map_err(StoreError::unavailable)? {
                Value::extract_error(answer).map_err(StoreError::unavailable)?;
            }
        }
        Ok(())
    })
    .await
}
