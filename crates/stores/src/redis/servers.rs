//! The servers as one: a call goes to the one that keeps its key, and its answer is what happened.
//!
//! **Invariant:** a call is sent again only where the server said that it did not do it (it does
//! not know the script, or does not keep the slot). A lost answer is an error, never a second try.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::time::{sleep, timeout};
use watchword_core::StoreError;

use super::call::Call;
use super::inspect::inspect;
use super::refused::{RedisRefused, is_no_master};
use super::server::{Manner, Shared};
use super::topology::Topology;
use super::url::RedisUrl;

/// How often a call may be sent on: while slots move, once or twice.
const HOPS: usize = 5;
/// How long a server is left alone that says to come again.
const AGAIN: Duration = Duration::from_millis(20);

pub(super) struct Servers {
    pub(super) topology: Topology,
    /// How many replicas have to confirm what was written, and how long that may take.
    wait: Option<(u32, Duration)>,
    /// How long a step may take.
    longest: Duration,
}

/// Too few replicas confirmed a step in time. It was done, but may be undone by a failover.
#[derive(Debug, thiserror::Error)]
#[error("only {confirmed} of {wanted} replicas confirmed the step in time (wait_replicas)")]
struct TooFewReplicas {
    confirmed: i64,
    wanted: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("Redis did not answer within {0:?} (step_timeout)")]
pub(super) struct NoAnswer(Duration);

/// No answer came of a call.
enum Undelivered {
    /// No server was told of it, or none that did it.
    Untold(RedisError),
    /// A server was, and we cannot know.
    Lost(RedisError),
}

/// An answer of a script that is none of its own.
#[derive(Debug, thiserror::Error)]
#[error("Redis answered what no step of this release answers")]
pub(super) struct Unreadable;

impl Unreadable {
    pub(super) fn error() -> StoreError {
        StoreError::unavailable(Self)
    }
}

impl Servers {
    /// The servers of a URL, once they were looked at and found good.
    pub(super) async fn found(url: &RedisUrl) -> Result<Self, RedisRefused> {
        if url.is_tls() {
            // One provider for the whole program; whoever came first has chosen the same.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let servers = Self::new(url)?;
        inspect(&servers, url).await?;
        Ok(servers)
    }

    fn new(url: &RedisUrl) -> Result<Self, RedisRefused> {
        let manner = Manner::of(url)?;
        let topology = Topology::new(url, manner);
        let topology = topology.map_err(|source| RedisRefused::Unreachable {
            url: url.to_string(),
            source,
        })?;
        let wait = (url.wait_replicas > 0).then_some((url.wait_replicas, url.wait_timeout));
        Ok(Self {
            topology,
            wait,
            longest: url.step_timeout,
        })
    }

    /// Lets a step of several calls take no longer than one of one.
    ///
    /// Not an `async fn`, which would keep room for the step twice; a step is in two of these.
    pub(super) fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> impl Future<Output = Result<T, StoreError>> {
        let longest = self.longest;
        timeout(longest, step).map(move |done| {
            done.unwrap_or_else(|_| Err(StoreError::unavailable(NoAnswer(longest))))
        })
    }

    /// Whether a step that began then has no time left for another server that does not answer.
    pub(super) fn is_late(&self, began: Instant) -> bool {
        began.elapsed() > self.longest * 4 / 9
    }

    /// Calls a script.
    pub(super) async fn call(&self, call: &Call) -> Result<Value, StoreError> {
        let wait = self.wait.filter(|_| call.script.writes);
        let mut whole = false;
        let command = |whole| {
            let command = call.script.command(whole, &call.keys, &call.arguments);
            let mut commands = vec![command];
            commands.extend(wait.map(|(replicas, longest)| {
                let mut wait = redis::cmd("WAIT");
                let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
                wait.arg(replicas).arg(longest);
                wait
            }));
            commands
        };
        let mut answers = self
            .deliver(&call.keys[0], |unknown| {
                whole |= unknown;
                command(whole)
            })
            .await?;
        if let Some((wanted, _)) = wait {
            let confirmed = answers
                .pop()
                .and_then(|value| super::reply::integer(&value));
            let confirmed = confirmed.ok_or_else(Unreadable::error)?;
            if confirmed < i64::from(wanted) {
                let error = TooFewReplicas { confirmed, wanted };
                return Err(StoreError::unavailable(error));
            }
        }
        answers.pop().ok_or_else(Unreadable::error)
    }

    /// Runs one plain command on the server of `key`.
    pub(super) async fn run(&self, key: &[u8], command: &Cmd) -> Result<Value, StoreError> {
        let mut answers = self.deliver(key, |_| vec![command.clone()]).await?;
        answers.pop().ok_or_else(Unreadable::error)
    }

    /// Whether a server answers, as a master.
    pub(super) async fn ready(&self) -> Result<(), StoreError> {
        self.in_time(async {
            let answered = self.topology.answers().await;
            answered.map_err(StoreError::unavailable)
        })
        .await
    }

    /// Sends what `commands` makes to the server of `key`. It is told whether the server does not
    /// know the script.
    async fn deliver(
        &self,
        key: &[u8],
        commands: impl FnMut(bool) -> Vec<Cmd>,
    ) -> Result<Vec<Value>, StoreError> {
        self.in_time(async {
            let delivered = self.try_deliver(key, commands).await;
            delivered.map_err(|undelivered| match undelivered {
                Undelivered::Untold(error) => StoreError::not_reached(error),
                Undelivered::Lost(error) => StoreError::unavailable(error),
            })
        })
        .await
    }

    async fn try_deliver(
        &self,
        key: &[u8],
        mut commands: impl FnMut(bool) -> Vec<Cmd>,
    ) -> Result<Vec<Value>, Undelivered> {
        use Undelivered::{Lost, Untold};
        let mut server = self.topology.server_of(key).await.map_err(Untold)?;
        let (mut unknown, mut asking) = (false, false);
        for _ in 0..HOPS {
            let refusal = match self.send(&server, commands(unknown), asking).await {
                Ok(answers) => return Ok(answers),
                Err(Lost(refusal)) => refusal,
                Err(untold) => {
                    self.topology.doubt(&server);
                    return Err(untold);
                }
            };
            match refusal.kind() {
                ErrorKind::Server(ServerErrorKind::NoScript) => unknown = true,
                ErrorKind::Server(ServerErrorKind::Moved) => {
                    asking = false;
                    self.topology.doubt(&server);
                    server = self.redirected(&server, &refusal).map_err(Untold)?;
                }
                ErrorKind::Server(ServerErrorKind::Ask) => {
                    server = self.redirected(&server, &refusal).map_err(Untold)?;
                    asking = true;
                }
                ErrorKind::Server(ServerErrorKind::TryAgain) => sleep(AGAIN).await,
                ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm)
                | ErrorKind::Extension => return Err(Lost(refusal)),
                _ => {
                    self.topology.doubt(&server);
                    return Err(Lost(refusal));
                }
            }
        }
        let moves = (ErrorKind::Client, "the slot moves from server to server");
        Err(Lost(moves.into()))
    }

    fn redirected(&self, from: &Shared, refusal: &RedisError) -> Result<Shared, RedisError> {
        match refusal.redirect_node() {
            Some((to, _)) => self.topology.redirected(from, to),
            None => Err(refusal.clone()),
        }
    }

    /// The answers, if the server refused none of the commands; else the first refusal.
    async fn send(
        &self,
        server: &Shared,
        mut commands: Vec<Cmd>,
        asking: bool,
    ) -> Result<Vec<Value>, Undelivered> {
        if asking {
            commands.insert(0, redis::cmd("ASKING"));
        }
        let reached = server.reach().await.map_err(Undelivered::Untold)?;
        let answers = reached.send(&commands).await.map_err(Undelivered::Lost)?;
        // It comes before whatever stands behind it.
        let nothing_done = answers.get(usize::from(asking)).is_some_and(is_no_master);
        let answers = answers.into_iter().map(Value::extract_error);
        let answers = answers.collect::<Result<Vec<_>, _>>();
        let mut answers = answers.map_err(|refusal| match nothing_done {
            true => Undelivered::Untold(refusal),
            false => Undelivered::Lost(refusal),
        })?;
        if asking {
            answers.remove(0);
        }
        Ok(answers)
    }
}
