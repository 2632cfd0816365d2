//! Serving: the accept loop, and everything between a socket and the router.
//!
//! One [`Listener`] accepts connections (HTTP/1.1, and HTTP/2 by ALPN or prior knowledge, plain or TLS),
//! keeps slow and greedy peers within [`Timeouts`] and [`Limits`], says who is calling
//! ([`ClientAddress`](crate::client_address::ClientAddress), [`RequestId`]), hands
//! requests to its [`Routes`], and reports each end to an [`Observer`].
//!
//! **Invariant:** neither path nor query nor body of a request is logged or reported here; codes can
//! be in them.

mod admission;
mod connection;
mod exchange;
mod head;
mod last_call;
mod observer;
mod progress;
mod refusal;
mod request_id;
mod route;
mod settings;
mod stream;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use observer::{ConnectionEvent, Finished, Observer, Stall};
pub use request_id::{RequestId, X_REQUEST_ID};
pub use settings::{Limits, Settings, Timeouts};
pub use tls::{Certificates, TlsError, TlsFiles};

use admission::{Phase, Serving};
use connection::Connection;
use route::RouteMark;

use crate::direct::Routes;

/// Connections that the system queues for this process before it is asked for them.
const BACKLOG: u32 = 4096;
/// How long accepting pauses when the system cannot give a connection, for instance for want of file
/// descriptors. Connections that close meanwhile free some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often one kind of trouble with connections is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// How long connections that were cut off at the drain deadline get to disappear.
const CUT_OFF: Duration = Duration::from_secs(1);

/// A bound socket, perhaps with certificates, that does not accept yet.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    local_address: SocketAddr,
    certificates: Option<Arc<Certificates>>,
}

/// Why a listener could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The address is taken, not this machine's, or not allowed.
    #[error("could not listen on {address}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The certificates cannot be served from.
    #[error("could not serve TLS on {address}")]
    Tls {
        /// The address asked for.
        address: SocketAddr,
        /// Which file, and what is wrong.
        #[source]
        source: TlsError,
    },
}

/// How a listener is told to end: first that it is left, then that it closes.
///
/// Between the two everything is accepted and answered, but each answer over HTTP/1 carries
/// `Connection: close` and each HTTP/2 connection is told to go away once its streams are done. So
/// clients move without a request that crosses the end of its connection.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Cancelled when peers are to go elsewhere.
    pub leaving: CancellationToken,
    /// Cancelled when nothing is to be accepted any more.
    pub closing: CancellationToken,
}

impl Shutdown {
    /// Closes without notice.
    pub fn at_once(&self) {
        self.leaving.cancel();
        self.closing.cancel();
    }
}

impl From<CancellationToken> for Shutdown {
    fn from(at_once: CancellationToken) -> Self {
        Self {
            leaving: at_once.clone(),
            closing: at_once,
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Connections that were still busy at the drain deadline and were cut off.
    pub cut_off: usize,
}

impl Drained {
    /// Whether everything in flight was finished.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self.cut_off == 0
    }
}

impl Listener {
    /// Binds `address`, whose port 0 means any free one, and reads the certificates. Must be called
    /// within a Tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] names the address, and the file if it is about certificates.
    #[allow(
        clippy::unused_async,
        reason = "needs the runtime that an async caller has"
    )]
    pub async fn bind(address: SocketAddr, tls: Option<TlsFiles>) -> Result<Self, BindError> {
        let certificates = tls
            .map(|files| Certificates::load(files).map(Arc::new))
            .transpose()
            .map_err(|source| BindError::Tls { address, source })?;
        let listen = || {
            let socket = match address {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            // A restarted server must not wait for the connections of the one before to be forgotten.
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            let tcp = socket.listen(BACKLOG)?;
            let local_address = tcp.local_addr()?;
            Ok((tcp, local_address))
        };
        let (tcp, local_address) =
            listen().map_err(|source| BindError::Socket { address, source })?;
        Ok(Self {
            tcp,
            local_address,
            certificates,
        })
    }

    /// The address that is listened on, with the port the system chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_address
    }

    /// The certificates, to reload them on a signal. They are also re-read within seconds of a change of
    /// their files while the listener serves.
    #[must_use]
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.certificates.clone()
    }

    /// Serves `routes`, a router at least, until `shutdown` says so, then lets what is in flight finish within
    /// [`Timeouts::drain`]. From then on nothing is accepted and idle connections are closed. A token
    /// alone is a [`Shutdown`] without notice.
    ///
    /// Dropping this future cuts off every connection.
    pub async fn serve(
        self,
        routes: impl Into<Routes>,
        settings: Settings,
        observer: Arc<dyn Observer>,
        shutdown: impl Into<Shutdown>,
    ) -> Drained {
        let Shutdown { leaving, closing } = shutdown.into();
        let routes = routes
            .into()
            .map_router(|router| match router.has_routes() {
                true => router.route_layer(RouteMark),
                false => router,
            });
        let serving = Arc::new(Serving::new(routes, settings, observer));
        let _end = EndOnDrop(Arc::clone(&serving));
        let certificates = self.certificates;
        let follow = async {
            match &certificates {
                Some(certificates) => Arc::clone(certificates).follow().await,
                None => std::future::pending().await,
            }
        };
        let leave = async {
            leaving.cancelled().await;
            serving.enter(Phase::Leaving);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = closing.cancelled() => {}
            () = leave => {}
            () = accept_all(&self.tcp, &serving, certificates.as_deref()) => {}
            () = follow => {}
        }

        // Closing takes a moment. What is answered meanwhile is the last on its connection, notice or none.
        serving.enter(Phase::Leaving);
        // Who is already in the queue was told by the system that it is connected.
        if let Ok(tcp) = self.tcp.into_std() {
            let admit = |tcp, peer| {
                admit(tcp, peer, &serving, certificates.as_deref());
            };
            last_call::last_call(tcp, admit).await;
        }
        serving.enter(Phase::Draining);
        let drain = serving.settings.timeouts.drain;
        if tokio::time::timeout(drain, serving.emptied()).await.is_ok() {
            return Drained { cut_off: 0 };
        }
        let cut_off = serving.open_connections();
        serving.enter(Phase::Ended);
        if tokio::time::timeout(CUT_OFF, serving.emptied())
            .await
            .is_err()
        {
            tracing::warn!("some connections did not close in time");
        }
        Drained { cut_off }
    }
}

/// Ends what is left when serving is given up.
struct EndOnDrop(Arc<Serving>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.enter(Phase::Ended);
    }
}

/// Accepts for ever. Trouble with one connection, or with all of them, never ends it.
async fn accept_all(
    tcp: &TcpListener,
    serving: &Arc<Serving>,
    certificates: Option<&Certificates>,
) {
    let mut complained = Complaints::default();
    loop {
        match tcp.accept().await {
            Ok((tcp, peer)) => {
                if let Some(refused) = admit(tcp, peer, serving, certificates)
                    && complained.may_now()
                {
                    tracing::warn!(
                        ?refused,
                        "connections are refused (said every 10 s at most)"
                    );
                }
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                serving.observer.connection(ConnectionEvent::AcceptFailed);
                if complained.may_now() {
                    tracing::error!(%error, "accepting failed; trying on (said every 10 s at most)");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Starts a connection, or closes it and says why.
fn admit(
    tcp: TcpStream,
    peer: SocketAddr,
    serving: &Arc<Serving>,
    certificates: Option<&Certificates>,
) -> Option<ConnectionEvent> {
    let peer = crate::client_address::ClientAddress::new(peer.ip());
    let is_proxy = serving.settings.proxies.trusts(peer.ip());
    let admitted = match serving.admit((!is_proxy).then(|| peer.source())) {
        Ok(admitted) => admitted,
        Err(refused) => {
            serving.observer.connection(refused);
            return Some(refused);
        }
    };
    // Without it a small answer can wait for the acknowledgement of the one before.
    let _ = tcp.set_nodelay(true);
    let acceptor = certificates.map(Certificates::acceptor);
    tokio::spawn(Connection::new(
        tcp,
        acceptor.as_ref(),
        peer,
        is_proxy,
        admitted,
    ));
    None
}

/// Errors that `accept` passes on from a connection that is gone already.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    let kind = error.kind();
    matches!(
        kind,
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Keeps a flood from filling the log.
#[derive(Default)]
struct Complaints(Option<Instant>);

impl Complaints {
    fn may_now(&mut self) -> bool {
        let now = Instant::now();
        let may = self.0.is_none_or(|last| now - last >= COMPLAIN_EVERY);
        if may {
            self.0 = Some(now);
        }
        may
    }
}
