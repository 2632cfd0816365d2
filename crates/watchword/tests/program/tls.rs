//! Serving over TLS, and taking new certificates without a restart.

use std::path::Path;

use rcgen::{CertifiedKey, generate_simple_self_signed};

use crate::server::{Server, configure, folder};

/// Puts a fresh certificate in place, and gives a client that trusts it and no other.
fn certify(folder: &Path) -> reqwest::Client {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([trusted]);
    // Each request shakes hands anew.
    client.pool_max_idle_per_host(0).build().unwrap()
}

#[tokio::test]
async fn sighup_takes_new_certificates_and_keeps_the_old_ones_when_they_cannot_be_used() {
    let folder = folder();
    let first = certify(folder.path());
    let hook = "[channels]\nsms = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
        url = \"http://127.0.0.1:9/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    configure(folder.path(), hook);
    let config = folder.path().join("watchword.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let tls = "bind = \"127.0.0.1:0\"\ntls = { cert = \"cert.pem\", key = \"key.pem\" }\n[admin]";
    std::fs::write(
        &config,
        text.replace("bind = \"127.0.0.1:0\"\n[admin]", tls),
    )
    .unwrap();
    let server = Server::serve(folder.path());
    assert!(server.api.starts_with("https://"));
    let keys = format!("{}/.well-known/jwks.json", server.api);
    assert_eq!(first.get(&keys).send().await.unwrap().status(), 200);

    std::fs::write(folder.path().join("cert.pem"), "not a certificate").unwrap();
    server.signal("HUP");
    while !server.log_text().contains("the old ones stay in use") {
        tokio::task::yield_now().await;
    }
    assert_eq!(first.get(&keys).send().await.unwrap().status(), 200);

    let second = certify(folder.path());
    server.signal("HUP");
    while second.get(&keys).send().await.is_err() {
        tokio::task::yield_now().await;
    }
    assert!(first.get(&keys).send().await.is_err());
    assert!(server.stop().success());
}
