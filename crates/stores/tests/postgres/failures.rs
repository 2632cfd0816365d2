//! The server dies, hangs, comes back, changes roles, and stands behind a pooler or in TLS.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use watchword_core::fakes::{self, SetClock};
use watchword_core::{
    AppId, CheckOutcome, CheckTarget, RecipientIndex, StartOutcome, Status, Store, StoreError,
    Timestamp, VerificationId,
};
use watchword_stores::{
    OpenOptions, Opened, PostgresStore, PostgresTime, PostgresUrl, StorageUrl, migrate_postgres,
};

use crate::fixture::{Database, open, shared, url};
use crate::server::{Installed, Pooler, Server};
use crate::time::{T0, check_step, start_step};

/// What the documents promise: an error within two seconds. And some, for a machine that tests.
const PROMISED: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_millis(1500);

fn handle(number: u8) -> (VerificationId, RecipientIndex) {
    let bytes = [number; 16];
    let index = RecipientIndex::from_bytes(bytes);
    (VerificationId::from_bytes(bytes), index)
}

async fn start(store: &dyn Store, number: u8) -> Result<StartOutcome, StoreError> {
    let (id, recipient) = handle(number);
    store.start(start_step(id, recipient, None), T0).await
}

async fn status(store: &dyn Store, number: u8) -> Option<Status> {
    let found = store.get(&AppId::default(), handle(number).0, T0).await;
    found.unwrap().map(|found| found.status)
}

/// A server of its own, with a database, through the door that the program takes.
async fn served(server: &Server) -> Opened {
    let url = StorageUrl::parse(&server.url("postgres")).unwrap();
    let clock = Arc::new(SetClock::new(now()));
    let options = OpenOptions::new(Arc::new(fakes::keys(1)), clock);
    watchword_stores::open(&url, options).await.unwrap()
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::default().plus(since.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_an_error_at_once_and_serves_again_by_itself() {
    let Some(installed) = Installed::find() else {
        return;
    };
    let mut server = Server::start(installed);
    let opened = served(&server).await;
    start(&*opened.store, 1).await.unwrap();
    opened.store.ready().await.unwrap();
    for _ in 0..3 {
        server.kill();
        let began = Instant::now();
        for number in 2..6 {
            assert!(start(&*opened.store, number).await.is_err());
        }
        assert!(opened.store.ready().await.is_err());
        assert!(began.elapsed() < PROMISED + SLACK, "{:?}", began.elapsed());
        assert!(server.run(), "{}", server.log());
        // The first call that finds the new server is served.
        while opened.store.ready().await.is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(status(&*opened.store, 1).await, Some(Status::Pending));
        assert_eq!(
            status(&*opened.store, 2).await,
            None,
            "nothing of the error was done"
        );
    }
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_an_error_within_two_seconds_and_goes_on_when_it_does() {
    let Some(installed) = Installed::find() else {
        return;
    };
    let server = Server::start(installed);
    let opened = served(&server).await;
    start(&*opened.store, 1).await.unwrap();
    server.hang();
    let began = Instant::now();
    let calls: Vec<_> = (2..40)
        .map(|number| {
            let store = Arc::clone(&opened.store);
            tokio::spawn(async move { start(&*store, number).await.is_err() })
        })
        .collect();
    for call in calls {
        assert!(
            call.await.unwrap(),
            "nothing was started by a server that hangs"
        );
    }
    assert!(began.elapsed() < PROMISED + SLACK, "{:?}", began.elapsed());
    server.go_on();
    while opened.store.ready().await.is_err() {
        tokio::task::yield_now().await;
    }
    start(&*opened.store, 50).await.unwrap();
    opened.close().await;
}

/// A way to a server on which every answer takes its time from when it is told to.
async fn slow_way(to: u16, slowly: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let far = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let (mut near_out, mut near_in) = near.into_split();
            let (mut far_out, mut far_in) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut near_out, &mut far_in).await });
            let slowly = Arc::clone(&slowly);
            tokio::spawn(async move {
                let mut bytes = vec![0; 16 * 1024];
                while let Ok(read @ 1..) = far_out.read(&mut bytes).await {
                    if slowly.load(Ordering::Relaxed) {
                        tokio::time::sleep(Duration::from_millis(400)).await;
                    }
                    if near_in.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// A connection and a step on it take longer than a step may; a step on a connection that there is
/// does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_slow_to_make_connections_is_reached_all_the_same() {
    let Some(installed) = Installed::find() else {
        return;
    };
    let server = Server::start(installed);
    let slowly = Arc::new(AtomicBool::new(false));
    let port = slow_way(server.port, Arc::clone(&slowly)).await;
    let url = server.url("postgres");
    let url = url.replace(&server.port.to_string(), &port.to_string());
    let url = StorageUrl::parse(&format!("{url}?sslmode=disable&step_timeout=1000")).unwrap();
    let clock = Arc::new(SetClock::new(now()));
    let options = OpenOptions::new(Arc::new(fakes::keys(1)), clock);
    let opened = watchword_stores::open(&url, options).await.unwrap();
    opened.store.ready().await.unwrap();
    slowly.store(true, Ordering::Relaxed);
    let all = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE client_port IS NOT NULL \
               AND pid <> pg_backend_pid() AND application_name = 'watchword'";
    server.sql("postgres", all);
    let mut tries = 0;
    while opened.store.ready().await.is_err() {
        tries += 1;
        assert!(tries < 30, "it was never reached");
    }
    opened.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_caller_was_told_is_lost_by_kill_9() {
    let Some(installed) = Installed::find() else {
        return;
    };
    // As it comes: with fsync, and with synchronous_commit.
    let mut server = Server::start_with(installed, &[]);
    // Killed in the midst of it, however long the disk takes for that many answers.
    for (round, answers) in [(0_u8, 20), (1, 60), (2, 300)] {
        let url = url(&server.url("postgres"));
        let store = Arc::new(open(&url, PostgresTime::Caller).await);
        let (tell_us, mut answered) = mpsc::unbounded_channel();
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            callers.spawn(tell(
                Arc::clone(&store),
                round * 8 + caller,
                tell_us.clone(),
            ));
        }
        drop(tell_us);
        let mut told = HashMap::new();
        while told.len() < answers {
            let (id, attempts_left) = answered.recv().await.expect("it was not killed yet");
            told.insert(id, attempts_left);
        }
        server.kill();
        while let Some((id, attempts_left)) = answered.recv().await {
            told.insert(id, attempts_left);
        }
        callers.join_all().await;
        assert!(server.run(), "{}", server.log());
        let store = open(&url, PostgresTime::Caller).await;
        for (id, attempts_left) in told {
            let found = store.get(&AppId::default(), id, T0).await.unwrap();
            let found = found.unwrap_or_else(|| panic!("{id} is lost"));
            assert!(
                found.attempts_left <= attempts_left,
                "{id} has attempts again"
            );
        }
    }
}

/// Starts and checks until the server is gone, and says what it was told: the attempts that are
/// left of each.
async fn tell(
    store: Arc<PostgresStore>,
    caller: u8,
    told: mpsc::UnboundedSender<(VerificationId, u32)>,
) {
    for number in 0_u32.. {
        let mut bytes = [caller; 16];
        bytes[4..8].copy_from_slice(&number.to_be_bytes());
        let (id, recipient) = (
            VerificationId::from_bytes(bytes),
            RecipientIndex::from_bytes(bytes),
        );
        let started = store.start(start_step(id, recipient, None), T0).await;
        if started.is_err() {
            return;
        }
        told.send((id, 5)).unwrap();
        let step = check_step(CheckTarget::Id(id), "000000");
        match store.check(step, T0).await {
            Ok(CheckOutcome::Incorrect { attempts_left, .. }) => {
                told.send((id, attempts_left)).unwrap();
            }
            Ok(other) => panic!("{other:?}"),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_hosts_the_one_that_writes_is_found_whoever_it_is() {
    let (Some(one), Some(two)) = (Installed::find(), Installed::find()) else {
        return;
    };
    let (standby, primary) = (Server::start(one), Server::start(two));
    standby.sql(
        "postgres",
        "ALTER DATABASE postgres SET default_transaction_read_only = on",
    );
    // Nobody listens on the first port.
    let hosts = format!(
        "127.0.0.1:1,127.0.0.1:{},127.0.0.1:{}",
        standby.port, primary.port
    );
    let url = PostgresUrl::parse(&format!("postgres://watchword@{hosts}/postgres")).unwrap();
    let store = open(&url, PostgresTime::Caller).await;
    start(&store, 1).await.unwrap();
    let looked = "SELECT count(*) FROM pg_namespace WHERE nspname = 'watchword'";
    assert_eq!(standby.sql("postgres", looked), "0\n");
    // They change roles, and the connections that are there notice.
    let mut promotion = standby.psql("postgres");
    let promoted = promotion
        .args(["-c", "SET default_transaction_read_only = off"])
        .args([
            "-c",
            "ALTER DATABASE postgres RESET default_transaction_read_only",
        ])
        .status();
    assert!(promoted.unwrap().success());
    let promoted = PostgresUrl::parse(&standby.url("postgres")).unwrap();
    migrate_postgres(&promoted).await.unwrap();
    primary.sql(
        "postgres",
        "ALTER SYSTEM SET default_transaction_read_only = on",
    );
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let mut numbers = 2..;
    let there = "SELECT count(*) FROM watchword.verification";
    while standby.sql("postgres", there) == "0\n" {
        // Refused by the old one, or done by the new one.
        let _ = start(&store, numbers.next().unwrap()).await;
    }
    store.ready().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_deals_out_transactions_is_no_hindrance() {
    if shared().is_none() {
        return;
    }
    // It refuses the settings that connections begin with, or takes and drops them.
    for dropped in ["", "options"] {
        let database = Database::empty();
        let Some(pooler) = Pooler::that_drops(database.server, dropped) else {
            return;
        };
        let text = format!(
            "{}?pgbouncer=true&step_timeout=20000",
            pooler.url(&database.name)
        );
        let url = PostgresUrl::parse(&text).unwrap();
        migrate_postgres(&url).await.unwrap();
        let store = Arc::new(open(&url, PostgresTime::Caller).await);
        // Many more at once than it has connections.
        let calls: Vec<_> = (1..100)
            .map(|number| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    start(&*store, number).await.unwrap();
                    let step = check_step(CheckTarget::Id(handle(number).0), "402718");
                    store.check(step, T0).await.unwrap()
                })
            })
            .collect();
        for call in calls {
            let outcome = call.await.unwrap();
            assert!(matches!(outcome, CheckOutcome::Approved(_)), "{outcome:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_and_certificates_are_looked_at_as_sslmode_says() {
    let Some(installed) = Installed::find() else {
        return;
    };
    let mut server = Server::start(installed);
    let issuer = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, others) = (issuer(), issuer());
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ours).unwrap();
    server.give("server.pem", &certificate.pem());
    server.give("server.key", &key.serialize_pem());
    let ours = server.give("ours.pem", &ours.pem());
    let others = server.give("others.pem", &others.pem());
    let port = server.port;
    server.stop();
    server.set(&[
        "ssl=on",
        "ssl_cert_file=../server.pem",
        "ssl_key_file=../server.key",
    ]);
    assert!(server.run(), "{}", server.log());
    let url = |host: &str, query: &str| {
        let text = format!("postgres://watchword@{host}:{port}/postgres?{query}");
        PostgresUrl::parse(&text).unwrap()
    };
    let ca =
        |query: &str, file: &std::path::Path| format!("{query}&sslrootcert={}", file.display());
    let full = "sslmode=verify-full";
    for (host, query) in [
        ("localhost", ca(full, &ours)),
        ("127.0.0.1", ca("sslmode=verify-ca", &ours)),
        ("127.0.0.1", "sslmode=require".to_owned()),
    ] {
        let store = open(&url(host, &query), PostgresTime::Caller).await;
        store.ready().await.unwrap();
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'watchword'";
        assert_eq!(server.sql("postgres", encrypted), "t\n", "{query}");
    }
    for (host, query) in [
        ("127.0.0.1", ca(full, &ours)),
        ("localhost", ca(full, &others)),
        ("localhost", ca("sslmode=verify-ca", &others)),
        ("localhost", ca("sslmode=require", &others)),
        ("localhost", full.to_owned()),
    ] {
        let refused = migrate_postgres(&url(host, &query)).await.unwrap_err();
        assert!(refused.to_string().contains("certificate"), "{refused}");
    }
    // Where it is not on, nothing goes on without it that was told not to.
    server.stop();
    server.set(&["ssl=off"]);
    assert!(server.run(), "{}", server.log());
    assert!(
        migrate_postgres(&url("localhost", "sslmode=require"))
            .await
            .is_err()
    );
    migrate_postgres(&url("localhost", "sslmode=prefer"))
        .await
        .unwrap();
}
