//! What serving writes to the log, at the finest level, with everything underneath it.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;
use watchword_http::client_address::{ForwardingHeader, TrustedProxies};
use watchword_http::serve::Settings;

use crate::harness::Server;

/// Collects what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(log.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

#[tokio::test]
async fn no_path_query_body_or_panic_is_logged() {
    let (log, _guard) = Log::start();
    let server = Server::start(Settings::default()).await;
    for request in [
        "POST /echo/402718?code=402718 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\n402718",
        "POST /echo/402718 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n402718\r\n0\r\n\r\n",
        "GET /nowhere/402718 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /panic?402718 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /402718 HTTP/1.1\nHost: a\r\n\r\n",
        "402718\r\n\r\n",
    ] {
        server.send(request).await;
    }
    let text = log.text();
    assert!(
        text.contains("a handler panicked"),
        "the log was captured: {text}"
    );
    assert!(
        text.contains("route=\"/panic\""),
        "the template may be known: {text}"
    );
    assert!(!text.contains("402718"), "{text}");
}

#[tokio::test]
async fn a_forwarding_header_from_a_stranger_is_warned_of_once() {
    let (log, _guard) = Log::start();
    let server = Server::start(Settings::default()).await;
    for name in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        let request = format!(
            "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{name}: 1.2.3.4\r\n\r\n"
        );
        server.send(request).await;
    }
    let text = log.text();
    assert_eq!(
        text.matches("a forwarding header came from a peer").count(),
        1,
        "{text}"
    );
    assert!(
        !text.contains("1.2.3.4"),
        "what it says is a stranger's word: {text}"
    );
}

#[tokio::test]
async fn a_forwarding_header_from_our_proxy_is_not_warned_of() {
    let (log, _guard) = Log::start();
    let proxies = TrustedProxies::parse(ForwardingHeader::XForwardedFor, ["127.0.0.1"]).unwrap();
    let settings = Settings {
        proxies,
        ..Settings::default()
    };
    let server = Server::start(settings).await;
    let request =
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n";
    server.send(request).await;
    assert!(!log.text().contains("WARN"), "{}", log.text());
}
