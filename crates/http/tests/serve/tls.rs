//! TLS from files: served, reloaded, refused.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use watchword_http::serve::{
    BindError, ConnectionEvent, Listener, Stall, Timeouts, TlsError, TlsFiles,
};

use crate::harness::{SHORT, Server, patient, settings, soon};

/// A folder with `cert.pem` and `key.pem`.
struct Folder {
    dir: TempDir,
    files: TlsFiles,
}

impl Folder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        Self {
            dir,
            files: TlsFiles { certificate, key },
        }
    }

    fn fill(self) -> (Self, CertifiedKey<KeyPair>) {
        let made = self.renew();
        (self, made)
    }

    /// Puts a new certificate for `localhost` into the files.
    fn renew(&self) -> CertifiedKey<KeyPair> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&self.files.certificate, made.cert.pem()).unwrap();
        std::fs::write(&self.files.key, made.signing_key.serialize_pem()).unwrap();
        made
    }
}

async fn bind(files: &TlsFiles) -> Result<Listener, BindError> {
    Listener::bind("127.0.0.1:0".parse().unwrap(), Some(files.clone())).await
}

/// Connects, trusting `root` alone.
async fn connect(
    server: &Server,
    root: &CertifiedKey<KeyPair>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let tcp = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").unwrap();
    soon(TlsConnector::from(Arc::new(config)).connect(name, tcp)).await
}

async fn get_hello(mut tls: TlsStream<TcpStream>) -> String {
    let request = "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    soon(tls.write_all(request.as_bytes())).await.unwrap();
    let mut answer = String::new();
    soon(tls.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test]
async fn both_protocols_are_offered_and_served() {
    let (folder, root) = Folder::new().fill();
    let server = Server::on(bind(&folder.files).await.unwrap(), settings(patient()));
    let tls = connect(&server, &root, "http/1.1").await.unwrap();
    let answer = get_hello(tls).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("hello"),
        "{answer}"
    );

    let tls = connect(&server, &root, "h2").await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (client, connection) = h2::client::handshake(tls).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://localhost/hello")
        .body(())
        .unwrap();
    let mut client = soon(client.ready()).await.unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    assert_eq!(soon(response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_is_noticed() {
    let (folder, root) = Folder::new().fill();
    let server = Server::on(bind(&folder.files).await.unwrap(), settings(patient()));
    let mut tls = connect(&server, &root, "http/1.1").await.unwrap();
    let request = "GET /forever HTTP/1.1\r\nHost: a\r\n\r\n";
    soon(tls.write_all(request.as_bytes())).await.unwrap();
    server.stage.entered(1).await;
    soon(tls.shutdown()).await.unwrap(); // says goodbye, and keeps the connection
    assert_eq!(server.memory.requests(1).await[0].status, 499);
}

#[tokio::test]
async fn new_certificates_are_used_after_a_reload_and_bad_ones_are_not() {
    let (folder, old) = Folder::new().fill();
    let listener = bind(&folder.files).await.unwrap();
    let certificates = listener.certificates().unwrap();
    let server = Server::on(listener, settings(patient()));
    let open = connect(&server, &old, "http/1.1").await.unwrap();

    let new = folder.renew();
    certificates.reload().unwrap();
    assert!(
        connect(&server, &old, "http/1.1").await.is_err(),
        "the old one is gone"
    );
    let tls = connect(&server, &new, "http/1.1").await.unwrap();
    assert!(get_hello(tls).await.ends_with("hello"));
    assert!(
        get_hello(open).await.ends_with("hello"),
        "open connections go on"
    );

    for (path, content) in [
        (&folder.files.certificate, "rubbish"),
        (&folder.files.key, ""),
    ] {
        let good = std::fs::read(path).unwrap();
        std::fs::write(path, content).unwrap();
        let error = certificates.reload().unwrap_err();
        let file = path.file_name().unwrap().to_str().unwrap();
        assert!(error.to_string().contains(file), "{error}");
        let tls = connect(&server, &new, "http/1.1").await.unwrap();
        assert!(
            get_hello(tls).await.ends_with("hello"),
            "the last good ones stay"
        );
        std::fs::write(path, good).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn changed_files_are_noticed_without_a_signal() {
    let (folder, _old) = Folder::new().fill();
    let listener = bind(&folder.files).await.unwrap();
    let server = Server::on(listener, settings(patient()));
    let new = folder.renew();
    // The clock is paused, and moves on whenever nothing else happens.
    for _ in 0..100 {
        if connect(&server, &new, "http/1.1").await.is_ok() {
            return;
        }
        tokio::time::sleep(SHORT).await;
    }
    panic!("the new certificate was not noticed in half a minute");
}

#[tokio::test]
async fn a_start_up_error_names_the_file() {
    let chain = |error: BindError| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    };
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let expect = async |folder: &Folder, path: &Path, words: &str| {
        let error = chain(bind(&folder.files).await.unwrap_err());
        assert!(
            error.contains(&name(path)) && error.contains(words),
            "{error}"
        );
        assert!(
            !error.contains("MIG") && !error.contains("SECRET"),
            "the file is not quoted: {error}"
        );
    };

    let folder = Folder::new();
    expect(&folder, &folder.files.certificate, "could not be read").await;

    let (folder, _) = Folder::new().fill();
    std::fs::remove_file(&folder.files.key).unwrap();
    expect(&folder, &folder.files.key, "could not be read").await;

    let (folder, _) = Folder::new().fill();
    std::fs::write(&folder.files.key, "SECRET").unwrap();
    expect(&folder, &folder.files.key, "no PEM private key").await;
    std::fs::write(
        &folder.files.key,
        "-----BEGIN PRIVATE KEY-----\nSECRET!\n-----END PRIVATE KEY-----\n",
    )
    .unwrap();
    expect(&folder, &folder.files.key, "damaged").await;

    let (folder, _) = Folder::new().fill();
    std::fs::write(&folder.files.certificate, "SECRET").unwrap();
    expect(&folder, &folder.files.certificate, "no PEM certificate").await;

    let (folder, _) = Folder::new().fill();
    let other = Folder::new().fill().0;
    std::fs::copy(&other.files.key, &folder.files.key).unwrap();
    expect(&folder, &folder.files.key, "cannot be used together").await;
    let error = bind(&folder.files).await.unwrap_err();
    assert!(matches!(
        error,
        BindError::Tls {
            source: TlsError::Unusable { .. },
            ..
        }
    ));
    drop(folder.dir);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let server = Server::start(settings(patient())).await;
    let error = Listener::bind(server.address, None).await.unwrap_err();
    assert!(
        error.to_string().contains(&server.address.to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_let_go() {
    let (folder, _) = Folder::new().fill();
    let timeouts = Timeouts {
        handshake: SHORT,
        ..patient()
    };
    let server = Server::on(bind(&folder.files).await.unwrap(), settings(timeouts));
    let mut silent = server.connect().await;
    assert_eq!(silent.rest().await, "");
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Handshake), 1)
        .await;
}

#[tokio::test]
async fn a_client_silent_after_its_handshake_is_let_go() {
    let (folder, root) = Folder::new().fill();
    let timeouts = Timeouts {
        header: SHORT,
        ..patient()
    };
    let server = Server::on(bind(&folder.files).await.unwrap(), settings(timeouts));
    let mut tls = connect(&server, &root, "http/1.1").await.unwrap();
    let mut rest = Vec::new();
    let _ = soon(tls.read_to_end(&mut rest)).await;
    assert!(rest.is_empty());
    server
        .memory
        .events(ConnectionEvent::TimedOut(Stall::Head), 1)
        .await;
}

#[tokio::test]
async fn plain_http_on_a_tls_port_gets_no_answer_in_the_clear() {
    let (folder, _) = Folder::new().fill();
    let server = Server::on(bind(&folder.files).await.unwrap(), settings(patient()));
    let mut client = server.connect().await;
    client.write("GET /hello HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!client.rest().await.contains("HTTP/1.1"));
    server.memory.events(ConnectionEvent::TlsFailed, 1).await;
    assert_eq!(server.stage.reached(), 0);
}
