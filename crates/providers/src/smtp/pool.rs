//! Connections that are kept between mails.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use watchword_core::routing::{Class, Detail, Outcome};

use super::connection::{Connection, Progress, Trouble};
use super::mail::Mail;
use super::reply::Stage;
use super::server::Server;

/// Hands mails over, on at most [`Pool::SEATS`] connections at once.
pub(super) struct Pool {
    server: Server,
    seats: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// Mail services allow few connections from one client; 20 is a common bound.
    const SEATS: usize = 16;
    /// Servers hang up on idle clients after minutes (RFC 5321 section 4.5.3.2.7 wants five);
    /// busy ones sooner.
    const IDLE: Duration = Duration::from_secs(30);

    pub(super) const fn new(server: Server) -> Self {
        Self {
            server,
            seats: Semaphore::const_new(Self::SEATS),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Hands over one mail, once. Safe to drop: the connection in use is closed then.
    pub(super) async fn send(&self, mail: &Mail, progress: &Progress) -> Outcome {
        let Ok(_seat) = self.seats.acquire().await else {
            return Outcome::new(Class::Unavailable).with(Detail::Word("busy"));
        };
        let mut connection = match self.connect(progress).await {
            Ok(connection) => connection,
            Err(trouble) => return trouble.outcome(),
        };
        match connection.hand_over(mail, progress).await {
            Ok(outcome) => {
                self.keep(connection);
                outcome
            }
            Err(trouble) => {
                // After a plain refusal the connection is as good as before.
                if trouble.is_refusal() {
                    self.keep(connection);
                }
                trouble.outcome()
            }
        }
    }

    /// Connects, authenticates and says goodbye. Gives whether the connection was encrypted, and
    /// whether there were credentials to present.
    pub(super) async fn look(&self, progress: &Progress) -> Result<(bool, bool), Trouble> {
        let connection = Connection::open(&self.server, progress).await?;
        let seen = (connection.is_encrypted(), self.server.credentials.is_some());
        connection.quit().await;
        Ok(seen)
    }

    /// A kept connection that still answers, or a new one.
    async fn connect(&self, progress: &Progress) -> Result<Connection, Trouble> {
        while let Some(mut kept) = self.take() {
            progress.reach(Stage::Reset);
            if kept.reset().await {
                return Ok(kept);
            }
        }
        Connection::open(&self.server, progress).await
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        idle.retain(|kept| now.duration_since(kept.since) < Self::IDLE);
        idle.pop().map(|kept| kept.connection)
    }

    fn keep(&self, connection: Connection) {
        let since = Instant::now();
        self.idle.lock().push(Idle { connection, since });
    }
}
