//! Connections: a few that are kept, made anew as they are needed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, Row};

use super::error::PostgresError;
use super::link::Mark;
pub(super) use super::link::{Link, Parameter};
use super::tls::Tls;
use super::url::PostgresUrl;

/// The server gives a statement up a little earlier than its caller, so that it does nothing that
/// nobody waits for. Where a pooler does not let this through, the lock timeout of each step's function
/// remains.
const AHEAD: Duration = Duration::from_millis(100);
/// A connection is replaced after so long, so that all of them follow when hosts change roles.
const LIFE: Duration = Duration::from_mins(30);

/// How long a server that takes connections may take to make one of them, if steps may not take
/// longer. A step that needs it waits no longer than steps do; the next one finds it made.
const MAKING: Duration = Duration::from_secs(5);

/// Up to so many connections to the host that writes.
pub(super) struct Pool {
    /// One a host.
    configs: Vec<Config>,
    step_timeout: Duration,
    /// The host that answered last.
    preferred: AtomicUsize,
    /// Whether the server takes settings with the connection. PgBouncer does not.
    settings: AtomicBool,
    tls: Tls,
    /// How many connections are kept at most.
    most: usize,
    permits: Semaphore,
    /// Whether too little time was left lately to ask on a connection that was just made. The next
    /// is left to a step that has all of its time.
    pressed: AtomicBool,
    /// Held while a connection is made.
    making: Arc<Semaphore>,
    idle: Mutex<Vec<Link>>,
    own: Weak<Self>,
}

impl Pool {
    pub(super) fn new(url: &PostgresUrl) -> Result<Arc<Self>, PostgresError> {
        let tls = Tls::new(&url.certificates).map_err(PostgresError::tls)?;
        let hosts = url.config.get_hosts().len();
        Ok(Arc::new_cyclic(|own| Self {
            configs: (0..hosts)
                .map(|host| single(&url.config, host, url.step_timeout))
                .collect(),
            step_timeout: url.step_timeout,
            preferred: AtomicUsize::new(0),
            settings: AtomicBool::new(true),
            tls,
            most: url.pool_size,
            permits: Semaphore::new(url.pool_size),
            pressed: AtomicBool::new(false),
            making: Arc::new(Semaphore::new(url.pool_size)),
            idle: Mutex::new(Vec::new()),
            own: Weak::clone(own),
        }))
    }

    /// Runs one statement, within the step timeout altogether.
    ///
    /// Nothing is ever tried twice: of a statement whose answer was lost, nobody knows whether it
    /// was run.
    pub(super) async fn rows(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Vec<Row>, PostgresError> {
        // Whether the server may have been told, and on a connection that was made for this.
        let (mut told, mut made) = (false, false);
        let within = timeout(self.step_timeout, async {
            let permit = self.permits.acquire().await;
            let _permit = permit.map_err(|_| PostgresError::Closed)?;
            let link = match self.kept() {
                Some(link) => link,
                None => {
                    made = true;
                    self.made_for_step().await.map_err(PostgresError::untold)?
                }
            };
            told = true;
            let rows = link.rows(statement, parameters).await;
            let rows = rows.map_err(PostgresError::from);
            self.put_back(link, rows.as_ref().err());
            rows
        });
        if let Ok(ended) = within.await {
            if ended.is_ok() && self.pressed.load(Ordering::Relaxed) {
                self.pressed.store(false, Ordering::Relaxed);
            }
            return ended;
        }
        if !told {
            // Who waited for a connection knows nothing of those that there are.
            return Err(PostgresError::Slow.untold());
        }
        if made {
            self.pressed.store(true, Ordering::Relaxed);
        }
        // What hangs for one hangs for all.
        self.idle.lock().clear();
        self.pass_over(self.preferred.load(Ordering::Relaxed));
        Err(PostgresError::Slow)
    }

    /// [`Self::rows`] of a statement that answers with exactly one.
    pub(super) async fn row(
        &self,
        statement: &str,
        parameters: &[Parameter<'_>],
    ) -> Result<Row, PostgresError> {
        let mut rows = self.rows(statement, parameters).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => Err(PostgresError::Unreadable("not one answer")),
        }
    }

    /// A connection of its own, for work that takes its time.
    pub(super) async fn link(&self) -> Result<Link, PostgresError> {
        match self.kept() {
            Some(link) => Ok(link),
            None => self.connect().await,
        }
    }

    fn kept(&self) -> Option<Link> {
        let mut idle = self.idle.lock();
        while let Some(link) = idle.pop() {
            if !link.client.is_closed() && link.age() <= LIFE {
                return Some(link);
            }
        }
        None
    }

    /// A connection that is made in a task of its own. A step that has no time left leaves it to the
    /// next. Were it given up with the step, a server that is slow to make connections, as one is
    /// that has just come back under load, would never be reached, however fast it answers then.
    async fn made_for_step(&self) -> Result<Link, PostgresError> {
        let making = Arc::clone(&self.making).acquire_owned().await;
        let making = making.map_err(|_| PostgresError::Closed)?;
        // Somebody may have given up on theirs meanwhile.
        if let Some(link) = self.kept() {
            return Ok(link);
        }
        let (give, made) = oneshot::channel();
        let own = Weak::clone(&self.own);
        tokio::spawn(async move {
            let Some(pool) = own.upgrade() else { return };
            let mut made = pool.connect().await;
            if let Ok(link) = &mut made {
                link.prepare().await;
            }
            if let Err(Ok(link)) = give.send(made) {
                pool.put_back(link, None);
            }
            drop(making);
        });
        let link = made.await.unwrap_or(Err(PostgresError::Closed))?;
        if self.pressed.load(Ordering::Relaxed) {
            self.put_back(link, None);
            return Err(PostgresError::Slow);
        }
        Ok(link)
    }

    fn put_back(&self, link: Link, error: Option<&PostgresError>) {
        let mut idle = self.idle.lock();
        if error.is_some_and(PostgresError::ends_connection) {
            idle.clear();
        } else if !self.permits.is_closed() {
            // Nobody needs more; one that came late may be one too many.
            idle.truncate(self.most - 1);
            idle.push(link);
        }
    }

    /// Ends every connection, and lets nobody have another one.
    pub(super) fn close(&self) {
        self.permits.close();
        self.making.close();
        self.idle.lock().clear();
    }

    async fn connect(&self) -> Result<Link, PostgresError> {
        let hosts = self.configs.len();
        // So that the next one is reached before the step is over; the last is waited for.
        let each = self.step_timeout / u32::try_from(hosts.min(3)).unwrap_or(1);
        let first = self.preferred.load(Ordering::Relaxed);
        let mut refused = PostgresError::Closed;
        let mut slow = None;
        for host in (first..first + hosts).map(|host| host % hosts) {
            let patience = match hosts {
                1 => MAKING.max(self.step_timeout),
                _ => each,
            };
            let attempt = timeout(patience, self.connect_to(host)).await;
            match attempt.unwrap_or(Err(PostgresError::Slow)) {
                Ok(link) => {
                    self.preferred.store(host, Ordering::Relaxed);
                    return Ok(link);
                }
                Err(error) => {
                    self.pass_over(host);
                    if matches!(error, PostgresError::Slow) && slow.is_none() {
                        slow = Some(host);
                    }
                    refused = error;
                }
            }
        }
        // None of them writes, and one did not come to say so. Not for long: another may write soon.
        let Some(host) = slow.filter(|_| hosts > 1) else {
            return Err(refused);
        };
        let link = timeout(self.step_timeout, self.connect_to(host)).await;
        let link = link.unwrap_or(Err(PostgresError::Slow))?;
        self.preferred.store(host, Ordering::Relaxed);
        Ok(link)
    }

    /// Begins with the next host from now on.
    fn pass_over(&self, host: usize) {
        let next = (host + 1) % self.configs.len();
        let order = Ordering::Relaxed;
        let _ = self.preferred.compare_exchange(host, next, order, order);
    }

    async fn connect_to(&self, host: usize) -> Result<Link, PostgresError> {
        let mut config = self.configs[host].clone();
        let mut mark = None;
        if self.settings.load(Ordering::Relaxed) {
            let own = config.get_options().unwrap_or_default();
            // The operator's own come later, and win.
            let limit = self.step_timeout.saturating_sub(AHEAD).as_millis();
            let said = mark.insert(Mark::new());
            let options = format!("-c statement_timeout={limit} {said} {own}");
            config.options(options.trim_end());
        }
        match self.open(&config, mark).await {
            Err(error)
                if error.refuses_settings() && self.settings.swap(false, Ordering::Relaxed) =>
            {
                tracing::info!(
                    "the server takes no settings with a connection, as poolers do not: set \
                     statement_timeout for the role"
                );
                self.open(&self.configs[host], None).await
            }
            other => other,
        }
    }

    async fn open(&self, config: &Config, mark: Option<Mark>) -> Result<Link, PostgresError> {
        let (client, connection) = config.connect(self.tls.clone()).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %PostgresError::from(error), "a connection ended");
            }
        });
        Ok(Link::over(client, task.abort_handle(), mark))
    }
}

/// The same for one of the hosts.
fn single(all: &Config, host: usize, patience: Duration) -> Config {
    use tokio_postgres::config::Host;
    let mut config = Config::new();
    match &all.get_hosts()[host] {
        Host::Tcp(name) => config.host(name),
        Host::Unix(path) => config.host_path(path),
    };
    if let Some(address) = all.get_hostaddrs().get(host) {
        config.hostaddr(*address);
    }
    let ports = all.get_ports();
    if let Some(port) = ports.get(host).or_else(|| ports.first()) {
        config.port(*port);
    }
    if let Some(user) = all.get_user() {
        config.user(user);
    }
    if let Some(password) = all.get_password() {
        config.password(password);
    }
    if let Some(name) = all.get_dbname() {
        config.dbname(name);
    }
    if let Some(options) = all.get_options() {
        config.options(options);
    }
    if let Some(name) = all.get_application_name() {
        config.application_name(name);
    }
    config
        .ssl_mode(all.get_ssl_mode())
        .ssl_negotiation(all.get_ssl_negotiation())
        .channel_binding(all.get_channel_binding())
        .load_balance_hosts(all.get_load_balance_hosts())
        .target_session_attrs(all.get_target_session_attrs())
        // For taking the connection; what comes then may take longer.
        .connect_timeout(patience)
        .keepalives(all.get_keepalives())
        .keepalives_idle(all.get_keepalives_idle().min(Duration::from_secs(30)))
        .tcp_user_timeout(Duration::from_secs(5));
    config
}

impl PostgresError {
    /// Whether the connection must not be used again.
    fn ends_connection(&self) -> bool {
        let Self::Server(error) = self else {
            return !matches!(self, Self::Unreadable(_));
        };
        let Some(code) = error.code().map(SqlState::code) else {
            return true;
        };
        // Connection trouble, a shutdown, a host that became a standby, or a session that lost what
        // was prepared in it.
        ["08", "57P", "25006", "26000"]
            .iter()
            .any(|class| code.starts_with(class))
    }

    /// Whether a pooler stands before the server that knows better than the client.
    fn refuses_settings(&self) -> bool {
        let Self::Server(error) = self else {
            return false;
        };
        error.as_db_error().is_some_and(|error| {
            *error.code() == SqlState::PROTOCOL_VIOLATION && error.message().contains("options")
        })
    }
}
