//! One server, and the connections to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, TlsCertificates, Value,
};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::refused::{RedisRefused, is_no_master};
use super::reply::{list, text};
use super::url::{Address, Login, RedisUrl};

/// A `WAIT` blocks its connection, so that steps share several where there is one.
const LANES_THAT_WAIT: usize = 16;

/// Once connections were left because no master is behind them, so long passes before the next: who
/// tries again with each step would use up the ports of the machine.
const BREATH: Duration = Duration::from_millis(100);

/// How servers are connected to. The same for all of a cluster.
pub(super) struct Manner {
    tls: bool,
    certificates: TlsCertificates,
    login: Login,
    db: i64,
    lanes: usize,
    /// A server that takes longer to be reached, or to answer, is as good as gone; a step takes well
    /// under a millisecond.
    patience: Duration,
}

impl Manner {
    pub(super) fn of(url: &RedisUrl) -> Result<Self, RedisRefused> {
        let ca = url.ca.as_ref().map(|file| {
            let read = std::fs::read(file);
            read.map_err(|source| RedisRefused::Ca {
                file: file.clone(),
                source,
            })
        });
        Ok(Self {
            tls: url.tls,
            certificates: TlsCertificates {
                client_tls: None,
                root_cert: ca.transpose()?,
            },
            login: url.login.clone(),
            db: url.db,
            lanes: if url.wait_replicas > 0 {
                LANES_THAT_WAIT
            } else {
                1
            },
            // Room for a second server within one step: a second of the usual 1.8.
            patience: url.step_timeout * 5 / 9,
        })
    }

    /// The same for Sentinels, which have logins and no databases of their own.
    pub(super) fn for_sentinels(&self, login: &Login) -> Self {
        Self {
            tls: self.tls,
            certificates: self.certificates.clone(),
            login: login.clone(),
            db: 0,
            lanes: 1,
            patience: self.patience,
        }
    }

    fn client(&self, address: &Address) -> Result<Client, RedisError> {
        let Address { host, port } = address.clone();
        let connection = if self.tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let mut settings = RedisConnectionInfo::default().set_db(self.db);
        if let Some(user) = &self.login.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.login.password {
            settings = settings.set_password(password.as_str());
        }
        let info = connection
            .into_connection_info()?
            // A step is small and waits for nothing.
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        if self.tls && self.certificates.root_cert.is_some() {
            return Client::build_with_tls(info, self.certificates.clone());
        }
        Client::open(info)
    }
}

/// One server. Connections are made when they are needed, and again when they broke.
pub(super) struct Server {
    pub(super) address: Address,
    client: Client,
    lanes: Vec<Lane>,
    turn: AtomicUsize,
    /// How often all connections were left. Those that were made before are not used any more.
    left: AtomicU64,
    left_at: RwLock<Option<Instant>>,
    patience: Duration,
}

impl Server {
    pub(super) fn new(address: Address, manner: &Manner) -> Result<Self, RedisError> {
        Ok(Self {
            client: manner.client(&address)?,
            address,
            lanes: (0..manner.lanes).map(|_| Lane::default()).collect(),
            turn: AtomicUsize::new(0),
            left: AtomicU64::new(0),
            left_at: RwLock::default(),
            patience: manner.patience,
        })
    }

    /// A connection. An error says that there is none, so that the server was told nothing.
    pub(super) async fn reach(&self) -> Result<Reached<'_>, RedisError> {
        let lane = &self.lanes[self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes.len()];
        let open = lane.connection(self).await?;
        let server = self;
        Ok(Reached { server, lane, open })
    }

    /// Reaches it, and sends commands.
    pub(super) async fn send(&self, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
        self.reach().await?.send(commands).await
    }

    /// Sends one command, whose refusal is an error.
    pub(super) async fn ask(&self, command: Cmd) -> Result<Value, RedisError> {
        let mut answers = self.send(&[command]).await?;
        answers.pop().unwrap_or_default().extract_error()
    }

    /// Asks whether it is there and takes what is written: a replica would answer, too.
    pub(super) async fn serves(&self) -> Result<(), RedisError> {
        let reached = self.reach().await?;
        let open = reached.open.clone();
        // Who may not ask for the role, or asks a proxy, hears an error: then an answer has to do.
        let asked = [redis::cmd("PING"), redis::cmd("ROLE")];
        let mut answers = reached.send(&asked).await?.into_iter();
        answers.next().unwrap_or_default().extract_error()?;
        let role = answers.next().and_then(list).unwrap_or_default();
        match role.first().and_then(text) {
            Some(role) if role != "master" => {
                self.leave(&open);
                Err(RedisError::from((
                    ErrorKind::Client,
                    "the server is a replica, which takes nothing that is written; name the \
                     master (storage.url)",
                )))
            }
            _ => Ok(()),
        }
    }

    /// Behind this connection is no master. The next step connects again, as another one may be
    /// behind the name or the proxy by now.
    fn leave(&self, open: &Open) {
        // Many hear it at once, and some may be connected again already.
        let (from, to) = (open.leave, open.leave + 1);
        let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
        let left = self.left.compare_exchange(from, to, success, failure);
        if left.is_ok() {
            *self.left_at.write() = Some(Instant::now());
        }
    }

    /// How long it is until the next connection may be made.
    fn breath(&self) -> Duration {
        let left_at = *self.left_at.read();
        left_at.map_or(Duration::ZERO, |at| BREATH.saturating_sub(at.elapsed()))
    }
}

/// A server that there is a connection to.
pub(super) struct Reached<'a> {
    server: &'a Server,
    lane: &'a Lane,
    open: Open,
}

impl Reached<'_> {
    /// Sends commands, one behind the other and nothing between them. What the server refuses is
    /// an answer; an error says that we cannot know whether it did them.
    pub(super) async fn send(self, commands: &[Cmd]) -> Result<Vec<Value>, RedisError> {
        let Self {
            server,
            lane,
            mut open,
        } = self;
        let connection = &mut open.connection;
        let sent = match commands {
            [command] => connection
                .send_packed_command(command)
                .await
                .map(|answer| vec![answer]),
            commands => {
                let mut pipeline = redis::pipe();
                for command in commands {
                    pipeline.add_command(command.clone());
                }
                connection
                    .send_packed_commands(&pipeline, 0, commands.len())
                    .await
            }
        };
        match &sent {
            // Whatever it was, answers may be out of step now.
            Err(_) => lane.forget(open.number),
            Ok(answers) if answers.iter().any(is_no_master) => server.leave(&open),
            Ok(_) => {}
        }
        sent
    }
}

/// A connection that was made, the how manieth of its lane.
#[derive(Clone)]
struct Open {
    number: u64,
    /// How often all connections of its server had been left before.
    leave: u64,
    connection: MultiplexedConnection,
    life: Arc<Life>,
}

/// Ends a connection when nobody needs it any more.
#[derive(Default)]
struct Life {
    /// Whether the server hung up. Nothing is sent then any more.
    ended: Arc<AtomicBool>,
    driver: Option<AbortHandle>,
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// Connects. Of a connection over TLS nobody says that the server hung up, until it is used.
async fn connect(
    client: &Client,
    patience: Duration,
) -> Result<(MultiplexedConnection, Life), RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(patience))
        .set_response_timeout(Some(patience));
    let info = client.get_connection_info();
    let ConnectionAddr::Tcp(host, port) = info.addr() else {
        let connected = client
            .get_multiplexed_async_connection_with_config(&config)
            .await;
        return Ok((connected?, Life::default()));
    };
    let connecting = async {
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        // A step is small and waits for nothing.
        stream.set_nodelay(true)?;
        let made = MultiplexedConnection::new_with_config(info.redis_settings(), stream, config);
        let (connection, driver) = made.await?;
        let ended = Arc::new(AtomicBool::new(false));
        let own = Arc::clone(&ended);
        let driver = tokio::spawn(async move {
            driver.await;
            own.store(true, Ordering::Relaxed);
        });
        let driver = Some(driver.abort_handle());
        Ok((connection, Life { ended, driver }))
    };
    let connected = timeout(patience, connecting).await;
    connected.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

/// One connection, which many steps share.
#[derive(Default)]
struct Lane {
    open: RwLock<Option<Open>>,
    /// Held by whoever connects. The last failure, and how many connections there were.
    connecting: Mutex<(Option<(Instant, RedisError)>, u64)>,
}

impl Lane {
    async fn connection(&self, server: &Server) -> Result<Open, RedisError> {
        // On one that has ended nothing is sent any more, so that another may take its place unasked.
        let open = || {
            let left = server.left.load(Ordering::Acquire);
            let open = self.open.read().clone();
            open.filter(|open| open.leave >= left && !open.life.ended.load(Ordering::Relaxed))
        };
        if let Some(open) = open() {
            return Ok(open);
        }
        let asked = Instant::now();
        let mut connecting = self.connecting.lock().await;
        if let Some(open) = open() {
            return Ok(open);
        }
        // Whoever came first has tried for all who waited.
        if let (Some((at, error)), _) = &*connecting
            && *at >= asked
        {
            return Err(error.clone());
        }
        sleep(server.breath()).await;
        let leave = server.left.load(Ordering::Acquire);
        match connect(&server.client, server.patience).await {
            Ok((connection, life)) => {
                let open = Open {
                    number: connecting.1 + 1,
                    leave,
                    connection,
                    life: Arc::new(life),
                };
                *connecting = (None, open.number);
                *self.open.write() = Some(open.clone());
                Ok(open)
            }
            Err(error) => {
                connecting.0 = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The next step connects again, unless somebody did already.
    fn forget(&self, number: u64) {
        let mut open = self.open.write();
        if open.as_ref().is_some_and(|open| open.number == number) {
            *open = None;
        }
    }
}

/// A server that others use too.
pub(super) type Shared = Arc<Server>;
