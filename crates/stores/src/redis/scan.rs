//! Going through all keys of a namespace, on all servers.

use redis::{Cmd, Value};
use watchword_core::StoreError;

use super::call::Names;
use super::reply::{Parts, bytes, list, text};
use super::server::Shared;
use super::servers::{Servers, Unreadable};

/// So many keys are asked for at a time.
const PAGE: u32 = 1000;

/// Where somebody is. A key that is there all the time is met, and may be met again.
pub(super) struct Scan {
    pattern: Vec<u8>,
    servers: Vec<Shared>,
    cursor: String,
}

/// Where a scan begins, and where it has ended.
const EDGE: &str = "0";

impl Scan {
    pub(super) async fn of(servers: &Servers, names: &Names) -> Result<Self, StoreError> {
        let masters = servers.topology.masters().await;
        Ok(Self {
            pattern: names.pattern(),
            servers: masters.map_err(StoreError::unavailable)?,
            cursor: EDGE.to_owned(),
        })
    }

    /// The next keys and the server that keeps them; nothing after the last ones.
    pub(super) async fn next(&mut self) -> Result<Option<(Shared, Vec<Vec<u8>>)>, StoreError> {
        let Some(server) = self.servers.last().cloned() else {
            return Ok(None);
        };
        let answer = server.ask(self.command()).await;
        let answer = answer.map_err(StoreError::unavailable)?;
        let mut parts = Parts::of(answer).ok_or_else(Unreadable::error)?;
        let cursor = parts.value().as_ref().and_then(text);
        self.cursor = cursor.ok_or_else(Unreadable::error)?;
        if self.cursor == EDGE {
            self.servers.pop();
        }
        let keys = parts.value().and_then(list).ok_or_else(Unreadable::error)?;
        let keys = keys.iter().map(|key: &Value| bytes(key));
        let keys = keys.collect::<Option<_>>();
        Ok(Some((server, keys.ok_or_else(Unreadable::error)?)))
    }

    fn command(&self) -> Cmd {
        let mut command = redis::cmd("SCAN");
        command.arg(&self.cursor).arg("MATCH").arg(&self.pattern);
        command.arg("COUNT").arg(PAGE);
        command
    }
}
