//! Servers that are not used, and what is said of them; logins and TLS.

use std::error::Error as _;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use watchword_core::fakes::{self, SetClock};
use watchword_stores::{OpenOptions, RedisRefused, RedisStorage, RedisTime, RedisUrl, StorageUrl};

use super::fixture::{on_a_cluster, on_a_server, on_its_own, open};
use super::node::Node;
use super::servers::{Answer, RedisServer, is_there};

async fn refused(url: &str) -> RedisRefused {
    match open(url, RedisTime::Server).await {
        Ok(_) => panic!("{url} was taken"),
        Err(refused) => refused,
    }
}

#[tokio::test]
async fn a_server_that_throws_keys_away_is_refused() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let mut raw = fixture.server.connect();
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        raw.ask(&["CONFIG", "SET", "maxmemory-policy", policy]);
        let refused = refused(&fixture.url).await;
        assert!(
            matches!(refused, RedisRefused::Evicts { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains(policy));
    }
    // Managed servers forbid CONFIG; what they are is still known.
    raw.ask(&[
        "ACL", "SETUSER", "shop", "on", ">pass", "~*", "+@all", "-config",
    ]);
    let port = fixture.server.port;
    let url = format!("redis://shop:pass@127.0.0.1:{port}");
    assert!(matches!(refused(&url).await, RedisRefused::Evicts { .. }));
    raw.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    open(&url, RedisTime::Server).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_full_is_an_error_and_forgets_nothing() {
    let Some(fixture) = on_its_own(&[]).await else {
        return;
    };
    let node = Node::of(fixture.port(), 1);
    let id = node.started("+14155552671").await;
    let mut raw = fixture.server.connect();
    raw.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(node.start("+14155552672", None).await.is_err());
    assert!(node.check(id, &node.code(id)).await.is_err());
    raw.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(node.check(id, &node.code(id)).await.is_ok());
}

#[tokio::test]
async fn another_secret_is_refused_and_a_rotated_one_is_taken() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let url: RedisUrl = fixture.url.parse().unwrap();
    let clock = Arc::new(SetClock::default());
    let keys = fakes::keys(2);
    let opened = RedisStorage::open(&url, &keys, clock, RedisTime::Server).await;
    let Err(refused) = opened else {
        panic!("a foreign secret was taken");
    };
    assert!(
        matches!(refused, RedisRefused::WrongKey { .. }),
        "{refused:?}"
    );
    open(&fixture.url, RedisTime::Server).await.unwrap();
}

/// What the program does with `storage.url`.
#[tokio::test]
async fn the_door_of_every_storage_opens_it_and_keeps_no_accounts_there() {
    let Some(fixture) = on_a_server().await else {
        return;
    };
    let url = StorageUrl::parse(&fixture.url).unwrap();
    let (keys, clock) = (Arc::new(fakes::keys(1)), Arc::new(SetClock::default()));
    let opened = watchword_stores::open(&url, OpenOptions::new(keys, clock)).await;
    let opened = opened.unwrap();
    let node = Node::of(Arc::clone(&opened.store), 1);
    let id = node.started("+14155552671").await;
    assert!(node.check(id, &node.code(id)).await.is_ok());
    // None is there to be found, and none can be kept.
    assert_eq!(opened.accounts.find(&[]).await.unwrap(), None);
    let record = watchword_core::account::AccountRecord {
        id: watchword_core::account::AccountId::from_bytes([1; 16]),
        app: watchword_core::AppId::default(),
        email_status: watchword_core::account::EmailStatus::Unverified,
        created_at: watchword_core::Timestamp::default(),
        key: fakes::keys(1).ids()[0],
        sealed: watchword_core::keys::Sealed::from_bytes(&[]),
        identifiers: Vec::new(),
    };
    assert!(opened.accounts.create(record).await.is_err());
    let keys = watchword_stores::open_api_keys(&url).await.unwrap();
    assert_eq!(keys.unwrap().list().await.unwrap(), []);
    drop(node);
    opened.close().await;
}

#[tokio::test]
async fn a_cluster_and_a_server_are_told_apart() {
    let (Some(single), Some(cluster)) = (on_a_server().await, on_a_cluster().await) else {
        return;
    };
    let port = single.server.port;
    let as_cluster = refused(&format!("redis-cluster://127.0.0.1:{port}")).await;
    assert!(!as_cluster.to_string().is_empty());
    let port = cluster.server.nodes[0].port;
    let as_single = refused(&format!("redis://127.0.0.1:{port}")).await;
    assert!(
        matches!(as_single, RedisRefused::IsCluster { .. }),
        "{as_single:?}"
    );
}

#[tokio::test]
async fn nobody_there_and_a_wrong_password_are_said_without_the_password() {
    if !is_there() {
        return;
    }
    let server = RedisServer::start(&["--requirepass", "open-sesame"]);
    let port = server.port;
    let right = server.url("").replace("//", "//:open-sesame@");
    open(&right, RedisTime::Server).await.unwrap();
    for url in [
        "redis://user:hush@127.0.0.1:1".to_owned(),
        "redis-sentinel://:hush@127.0.0.1:1/m".to_owned(),
        "redis-cluster://:hush@127.0.0.1:1".to_owned(),
        format!("redis://:hush@127.0.0.1:{port}"),
    ] {
        let refused = refused(&url).await;
        assert!(matches!(refused, RedisRefused::Unreachable { .. }));
        let mut said = refused.to_string();
        let mut cause = refused.source();
        while let Some(deeper) = cause {
            said += &format!(": {deeper}");
            cause = deeper.source();
        }
        assert!(!said.contains("hush"), "{said}");
    }
}

/// The certificate has to be one of the authority that the URL names, and the user one of the
/// server's.
#[tokio::test]
async fn tls_and_acl_users_open_the_door() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, issuer.pem()).unwrap();
        (issuer, file.display().to_string())
    };
    let (ours, ca) = authority("ca.pem");
    let (_, other_ca) = authority("other.pem");
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let certificate = file("certificate.pem", certificate.pem());
    let key = file("key.pem", key.serialize_pem());
    let options = [
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let (server, tls_port) = RedisServer::start_with(&options, Some("--tls-port"));
    let mut raw = server.connect();
    // As docs/storage.md has it.
    let rights = "ACL SETUSER shop on >p@ss/word ~shop:* +@read +@write -@dangerous +@scripting \
                  +@connection +time +wait +role +info +config|get +cluster|slots +asking";
    let rights: Vec<_> = rights.split_ascii_whitespace().collect();
    assert_eq!(raw.ask(&rights), Answer::Text(b"OK".to_vec()));
    let url =
        |who: &str, ca: &str| format!("rediss://{who}@localhost:{tls_port}?namespace=shop&ca={ca}");
    let storage = open(&url("shop:p%40ss%2Fword", &ca), RedisTime::Server).await;
    let storage = match storage {
        Ok(storage) => storage,
        Err(refused) => {
            let log = std::fs::read_to_string(server.folder().join("redis.log"));
            panic!("{refused:?} {log:?}");
        }
    };
    let node = Node::of(storage.store(), 1);
    let id = node.started("+14155552671").await;
    assert!(node.check(id, &node.code(id)).await.is_ok());
    for url in [
        url("shop:p%40ss%2Fword", &other_ca),
        url("shop:wrong", &ca),
        format!("rediss://shop:p%40ss%2Fword@localhost:{tls_port}?namespace=shop"),
        format!("rediss://shop:p%40ss%2Fword@localhost:{tls_port}?ca={ca}"),
    ] {
        refused(&url).await;
    }
}
