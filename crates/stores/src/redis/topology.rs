//! Which server keeps a key: the only one, the one that Sentinels name, or that of a slot.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, select_ok};
use parking_lot::RwLock;
use redis::{ErrorKind, RedisError, Value};
use tokio::sync::Mutex;

use super::reply::{bytes, integer, list, text};
use super::server::{Manner, Server, Shared};
use super::slot::{SLOTS, slot};
use super::url::{Address, RedisUrl, Shape};

/// Servers are asked for the slots no more often than that.
const ASKED_ANEW: Duration = Duration::from_millis(100);

pub(super) struct Topology {
    manner: Manner,
    kind: Kind,
}

enum Kind {
    Single(Shared),
    Sentinel {
        sentinels: Vec<Shared>,
        master: String,
        current: RwLock<Option<Shared>>,
        asking: Mutex<()>,
    },
    Cluster(Cluster),
}

#[derive(Default)]
struct Cluster {
    seeds: Vec<Address>,
    map: RwLock<Arc<Vec<Range>>>,
    servers: RwLock<HashMap<Address, Shared>>,
    /// Somebody met an answer that does not fit the map.
    stale: AtomicBool,
    /// Held by whoever asks for the slots. When they were last asked for.
    asking: Mutex<Option<Instant>>,
}

/// The slots from one to another, and their master.
struct Range {
    first: u16,
    last: u16,
    master: Address,
}

fn nowhere(detail: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, detail))
}

impl Topology {
    pub(super) fn new(url: &RedisUrl, manner: Manner) -> Result<Self, RedisError> {
        let kind = match &url.shape {
            Shape::Single => Kind::Single(Arc::new(Server::new(url.hosts[0].clone(), &manner)?)),
            Shape::Sentinel { master } => {
                let manner = manner.for_sentinels(&url.sentinel_login);
                let sentinels = url.hosts.iter().map(|host| {
                    let server = Server::new(host.clone(), &manner)?;
                    Ok(Arc::new(server))
                });
                Kind::Sentinel {
                    sentinels: sentinels.collect::<Result<_, RedisError>>()?,
                    master: master.clone(),
                    current: RwLock::default(),
                    asking: Mutex::default(),
                }
            }
            Shape::Cluster => Kind::Cluster(Cluster {
                seeds: url.hosts.clone(),
                ..Cluster::default()
            }),
        };
        Ok(Self { manner, kind })
    }

    /// Whether all keys are on one server, so that a script may have any of them.
    pub(super) const fn is_one_server(&self) -> bool {
        !matches!(self.kind, Kind::Cluster(_))
    }

    /// The server that keeps this key, as far as we know.
    pub(super) async fn server_of(&self, key: &[u8]) -> Result<Shared, RedisError> {
        match &self.kind {
            Kind::Single(server) => Ok(Arc::clone(server)),
            Kind::Sentinel { .. } => self.master().await,
            Kind::Cluster(cluster) => {
                let slot = slot(key);
                let find = || {
                    let map = cluster.map.read();
                    let range = map.partition_point(|range| range.last < slot);
                    let range = map.get(range).filter(|range| range.first <= slot);
                    range.map(|range| range.master.clone())
                };
                let known = find();
                if known.is_none() || cluster.stale.load(Ordering::Relaxed) {
                    let asked = self.ask_for_slots(cluster).await;
                    if known.is_none() {
                        asked?;
                    }
                }
                let master = find().ok_or_else(|| nowhere("no server keeps this slot"))?;
                self.server_at(&master)
            }
        }
    }

    /// Every server that keeps keys.
    pub(super) async fn masters(&self) -> Result<Vec<Shared>, RedisError> {
        match &self.kind {
            Kind::Single(server) => Ok(vec![Arc::clone(server)]),
            Kind::Sentinel { .. } => Ok(vec![self.master().await?]),
            Kind::Cluster(cluster) => {
                if cluster.map.read().is_empty() || cluster.stale.load(Ordering::Relaxed) {
                    self.ask_for_slots(cluster).await?;
                }
                let mut masters: Vec<_> = {
                    let map = cluster.map.read();
                    map.iter().map(|range| range.master.clone()).collect()
                };
                masters.sort_by_key(ToString::to_string);
                masters.dedup();
                masters.iter().map(|at| self.server_at(at)).collect()
            }
        }
    }

    /// The server did not answer, or answered that it is not the right one.
    pub(super) fn doubt(&self, server: &Shared) {
        match &self.kind {
            // Who is behind its name is found out with the next connection.
            Kind::Single(_) => {}
            Kind::Sentinel { current, .. } => {
                let mut current = current.write();
                if current
                    .as_ref()
                    .is_some_and(|known| Arc::ptr_eq(known, server))
                {
                    *current = None;
                }
            }
            Kind::Cluster(cluster) => cluster.stale.store(true, Ordering::Relaxed),
        }
    }

    /// The server that another one named as `HOST:PORT`. Without a host, it is on the same one.
    pub(super) fn redirected(&self, from: &Shared, to: &str) -> Result<Shared, RedisError> {
        let (host, port) = to
            .rsplit_once(':')
            .ok_or_else(|| nowhere("no such server"))?;
        let port = port.parse().map_err(|_| nowhere("no such server"))?;
        self.server_at(&Address {
            host: host_or(host, &from.address),
            port,
        })
    }

    fn server_at(&self, address: &Address) -> Result<Shared, RedisError> {
        let Kind::Cluster(cluster) = &self.kind else {
            return Err(nowhere("only a cluster sends from one server to another"));
        };
        if let Some(server) = cluster.servers.read().get(address) {
            return Ok(Arc::clone(server));
        }
        let mut servers = cluster.servers.write();
        if let Some(server) = servers.get(address) {
            return Ok(Arc::clone(server));
        }
        let server = Arc::new(Server::new(address.clone(), &self.manner)?);
        servers.insert(address.clone(), Arc::clone(&server));
        Ok(server)
    }

    async fn ask_for_slots(&self, cluster: &Cluster) -> Result<(), RedisError> {
        let came = Instant::now();
        let mut asking = cluster.asking.lock().await;
        if let Some(at) = *asking
            && (at >= came || at.elapsed() < ASKED_ANEW)
        {
            return Ok(());
        }
        let mut known: Vec<Address> = cluster.servers.read().keys().cloned().collect();
        known.extend(
            cluster
                .seeds
                .iter()
                .filter(|seed| !known.contains(seed))
                .cloned()
                .collect::<Vec<_>>(),
        );
        // Of all at once, as any of them may hang.
        let answers = known.iter().map(|address| {
            Box::pin(async move {
                let server = self.server_at(address)?;
                let mut command = redis::cmd("CLUSTER");
                command.arg("SLOTS");
                let answer = server.ask(command).await?;
                let map = ranges(answer, &server.address)
                    .ok_or_else(|| nowhere("the slots of the cluster cannot be read"))?;
                if map.is_empty() {
                    return Err(nowhere("the cluster has no slots"));
                }
                Ok(map)
            })
        });
        let (map, _) = select_ok(answers).await?;
        let masters: Vec<_> = map.iter().map(|range| range.master.clone()).collect();
        *cluster.map.write() = Arc::new(map);
        cluster.stale.store(false, Ordering::Relaxed);
        let seeds = &cluster.seeds;
        let kept = |address: &Address| masters.contains(address) || seeds.contains(address);
        cluster.servers.write().retain(|address, _| kept(address));
        *asking = Some(Instant::now());
        Ok(())
    }

    /// The master that the Sentinels name, once it says so itself.
    async fn master(&self) -> Result<Shared, RedisError> {
        let Kind::Sentinel {
            sentinels,
            master,
            current,
            asking,
        } = &self.kind
        else {
            return Err(nowhere("there are no Sentinels"));
        };
        let known = || current.read().clone();
        if let Some(known) = known() {
            return Ok(known);
        }
        let _asking = asking.lock().await;
        if let Some(known) = known() {
            return Ok(known);
        }
        let answers = sentinels.iter().map(|sentinel| {
            Box::pin(async move {
                let mut command = redis::cmd("SENTINEL");
                command.arg("get-master-addr-by-name").arg(master);
                let answer = sentinel.ask(command).await?;
                let named = list(answer).unwrap_or_default();
                let [host, port] = named.as_slice() else {
                    return Err(nowhere("the Sentinels know no master of this name"));
                };
                let host = bytes(host).and_then(|host| String::from_utf8(host).ok());
                let port = text(port).and_then(|port| port.parse().ok());
                let (Some(host), Some(port)) = (host, port) else {
                    return Err(nowhere("the Sentinels name no address"));
                };
                let server = Arc::new(Server::new(Address { host, port }, &self.manner)?);
                // A Sentinel that was cut off may name one that is no master any more.
                let role = list(server.ask(redis::cmd("ROLE")).await?).unwrap_or_default();
                let role = role.first().and_then(text);
                if role.as_deref() != Some("master") {
                    return Err(nowhere("the server that Sentinels name is no master"));
                }
                Ok(server)
            })
        });
        let (server, _) = select_ok(answers).await?;
        *current.write() = Some(Arc::clone(&server));
        Ok(server)
    }

    /// Whether any server answers, as a master.
    pub(super) async fn answers(&self) -> Result<(), RedisError> {
        let masters = self.masters().await?;
        let answers = masters.iter().map(|server| server.serves());
        let answers = join_all(answers).await;
        for (server, answer) in masters.iter().zip(&answers) {
            if answer.is_err() {
                self.doubt(server);
            }
        }
        // A shard that is gone takes its own recipients along, not those of the others.
        let first = answers.into_iter().reduce(Result::or);
        first.unwrap_or_else(|| Err(nowhere("there are no servers")))?;
        Ok(())
    }
}

/// A server that does not know its own name leaves it out.
fn host_or(host: &str, asked: &Address) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host == "?" {
        asked.host.clone()
    } else {
        host.to_owned()
    }
}

fn ranges(answer: Value, asked: &Address) -> Option<Vec<Range>> {
    let mut map = Vec::new();
    for range in list(answer)? {
        let range = list(range)?;
        let [first, last, master, ..] = range.as_slice() else {
            return None;
        };
        let Value::Array(master) = master else {
            return None;
        };
        let host = master.first().and_then(text).unwrap_or_default();
        let number = |value: &Value| u16::try_from(integer(value)?).ok();
        map.push(Range {
            first: number(first)?,
            last: number(last).filter(|last| *last < SLOTS)?,
            master: Address {
                host: host_or(&host, asked),
                port: number(master.get(1)?)?,
            },
        });
    }
    map.sort_by_key(|range| range.first);
    Some(map)
}
