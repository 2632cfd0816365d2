//! A server with a router of small handlers, an observer that remembers, and a raw client.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use watchword_http::client_address::ClientAddress;
use watchword_http::serve::{
    ConnectionEvent, Drained, Finished, Listener, Observer, RequestId, Settings, Shutdown, Timeouts,
};

/// Bounds a failing test. A passing one never waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, what).await {
        Ok(done) => done,
        Err(_) => panic!("it did not happen within {PATIENCE:?}"),
    }
}

/// What an observer was told of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) route: Option<String>,
    pub(crate) method: String,
    pub(crate) status: u16,
    pub(crate) complete: bool,
    pub(crate) body_bytes: u64,
    pub(crate) request_id: String,
    pub(crate) client: String,
    pub(crate) cause: Option<Cause>,
}

/// What a handler leaves for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause(pub(crate) &'static str);

/// An observer that remembers.
#[derive(Default)]
pub(crate) struct Memory {
    seen: Mutex<Vec<Seen>>,
    events: Mutex<Vec<ConnectionEvent>>,
    changed: Notify,
}

impl Observer for Memory {
    fn finished(&self, exchange: &Finished<'_>) {
        self.seen.lock().push(Seen {
            route: exchange.route.map(str::to_owned),
            method: exchange.method.to_string(),
            status: exchange.status.as_u16(),
            complete: exchange.complete,
            body_bytes: exchange.body_bytes,
            request_id: exchange.request_id.to_string(),
            client: exchange.client.to_string(),
            cause: exchange.extensions.get().cloned(),
        });
        self.changed.notify_waiters();
    }

    fn connection(&self, event: ConnectionEvent) {
        self.events.lock().push(event);
        self.changed.notify_waiters();
    }
}

impl Memory {
    async fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        soon(async {
            loop {
                let changed = self.changed.notified();
                if let Some(found) = look(self) {
                    return found;
                }
                changed.await;
            }
        })
        .await
    }

    /// Waits for `count` requests to have ended, and returns all that did.
    pub(crate) async fn requests(&self, count: usize) -> Vec<Seen> {
        self.until(|this| {
            let seen = this.seen.lock();
            (seen.len() >= count).then(|| seen.clone())
        })
        .await
    }

    /// Waits for `event` to have happened `times`.
    pub(crate) async fn events(&self, event: ConnectionEvent, times: usize) {
        self.until(|this| (this.count(event) >= times).then_some(()))
            .await;
    }

    pub(crate) fn count(&self, event: ConnectionEvent) -> usize {
        self.events
            .lock()
            .iter()
            .filter(|&&seen| seen == event)
            .count()
    }

    pub(crate) fn finished(&self) -> usize {
        self.seen.lock().len()
    }
}

/// What the handlers share with the test.
pub(crate) struct Stage {
    /// How many handlers began.
    pub(crate) reached: AtomicUsize,
    /// Told whenever a handler begins.
    pub(crate) entered: Notify,
    /// Lets one `/gated` request through per permit.
    pub(crate) gate: Semaphore,
}

impl Default for Stage {
    fn default() -> Self {
        Self {
            reached: AtomicUsize::new(0),
            entered: Notify::new(),
            gate: Semaphore::new(0),
        }
    }
}

impl Stage {
    fn enter(&self) {
        self.reached.fetch_add(1, Ordering::SeqCst);
        self.entered.notify_waiters();
    }

    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// Waits until `count` handlers began.
    pub(crate) async fn entered(&self, count: usize) {
        soon(async {
            loop {
                let entered = self.entered.notified();
                if self.reached() >= count {
                    return;
                }
                entered.await;
            }
        })
        .await;
    }
}

/// The size of `/big`: more than any socket buffers.
pub(crate) const BIG: usize = 64 * 1024 * 1024;

pub(crate) fn router(stage: &Arc<Stage>) -> Router {
    let enter = |stage: &Arc<Stage>| {
        let stage = Arc::clone(stage);
        move || {
            stage.enter();
            Arc::clone(&stage)
        }
    };
    let (hello, echo, gated, forever) = (enter(stage), enter(stage), enter(stage), enter(stage));
    let (who, unread) = (enter(stage), enter(stage));
    Router::new()
        .route(
            "/hello",
            get(async move || {
                hello();
                "hello"
            }),
        )
        .route(
            "/echo/{name}",
            post(async move |body: Bytes| {
                echo();
                body
            }),
        )
        .route(
            "/unread",
            post(async move || {
                unread();
                "ok"
            }),
        )
        .route(
            "/gated",
            get(async move || {
                let stage = gated();
                stage.gate.acquire().await.unwrap().forget();
                "through"
            }),
        )
        .route(
            "/forever",
            any(async move || {
                forever();
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/who",
            get(async move |client: ClientAddress, id: RequestId| {
                who();
                format!("{client} {id}")
            }),
        )
        .route(
            "/unfinished",
            get(async || {
                let first = stream::iter([Ok::<_, std::io::Error>("first")]);
                Body::from_stream(first.chain(stream::pending()))
            }),
        )
        .route("/big", get(async || Body::from(vec![b'x'; BIG])))
        .route(
            "/panic",
            get(async || -> &'static str { panic!("code 402718") }),
        )
        .route(
            "/failing",
            get(async || {
                let cached = [("cache-control", "max-age=60")];
                (
                    StatusCode::CONFLICT,
                    axum::Extension(Cause("kept")),
                    cached,
                    "no",
                )
            }),
        )
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) memory: Arc<Memory>,
    pub(crate) stage: Arc<Stage>,
    /// Says that the server is left, before `shutdown` says that it closes.
    pub(crate) leaving: CancellationToken,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Drained>,
}

impl Server {
    pub(crate) async fn start(settings: Settings) -> Self {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), None)
            .await
            .unwrap();
        Self::on(listener, settings)
    }

    pub(crate) fn on(listener: Listener, settings: Settings) -> Self {
        let (memory, stage) = (Arc::new(Memory::default()), Arc::new(Stage::default()));
        let (address, told) = (listener.local_addr(), Shutdown::default());
        let observer = Arc::clone(&memory) as Arc<dyn Observer>;
        let serving = listener.serve(router(&stage), settings, observer, told.clone());
        Self {
            address,
            memory,
            stage,
            leaving: told.leaving,
            shutdown: told.closing,
            task: tokio::spawn(serving),
        }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// A connection, unless the server listens no more.
    pub(crate) async fn connect_if_open(&self) -> Option<Client> {
        TcpStream::connect(self.address).await.ok().map(Client)
    }

    /// Sends `bytes` on a connection of its own and returns all that comes back until it closes.
    pub(crate) async fn send(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.write(bytes).await;
        client.rest().await
    }

    /// The server still works.
    pub(crate) async fn is_alive(&self) {
        let mut client = self.connect().await;
        client
            .write("GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// A raw HTTP/1 client.
pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    /// Writes what the server takes; one that has closed already is no error here.
    pub(crate) async fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        soon(self.0.write_all(bytes.as_ref())).await.is_ok()
    }

    /// Everything until the server closes.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = soon(self.0.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// One response with `Content-Length`, or what came of it if the server closes.
    pub(crate) async fn response(&mut self) -> String {
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = header(head, "content-length").map_or(0, |n| n.parse().unwrap());
                if body.len() >= length {
                    assert_eq!(body.len(), length, "more than one response");
                    return text.into_owned();
                }
            }
            match soon(self.0.read_buf(&mut bytes)).await {
                Ok(0) | Err(_) => return String::from_utf8_lossy(&bytes).into_owned(),
                Ok(_) => {}
            }
        }
    }
}

/// A header of a response.
pub(crate) fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let head = response.split("\r\n\r\n").next()?;
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Timeouts so long that none of them plays a part, for tests to shorten one.
pub(crate) fn patient() -> Timeouts {
    let long = Duration::from_secs(600);
    Timeouts {
        handshake: long,
        header: long,
        body: long,
        request: long,
        write_stall: long,
        idle: long,
        drain: long,
    }
}

pub(crate) const SHORT: Duration = Duration::from_millis(300);

pub(crate) fn settings(timeouts: Timeouts) -> Settings {
    Settings {
        timeouts,
        ..Settings::default()
    }
}
