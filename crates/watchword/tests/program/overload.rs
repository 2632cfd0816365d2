//! More sends than the server may have in flight: the rest is told at once, and checks go on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::redis::{self, RedisServer};
use crate::server::{Caller, Server, folder};

/// A provider that takes connections and never answers.
fn silent_provider() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!(
        "[http]\nsends_in_flight = 8\n[channels]\nsms = [\"hook\"]\nemail = [\"inbox\"]\n\
         [providers.inbox]\nkind = \"inbox\"\n[providers.hook]\nkind = \"webhook\"\n\
         url = \"http://{}/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n",
        listener.local_addr().unwrap()
    );
    (listener, settings)
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_that_wait_for_their_provider_keep_nobody_from_a_store_on_the_network() {
    if !redis::is_there() {
        return;
    }
    let (folder, store) = (
        folder(),
        tokio::task::block_in_place(|| RedisServer::start(&[])),
    );
    let (_provider, settings) = silent_provider();
    let storage = format!(
        "[policy]\nlimits = []\n[storage]\nurl = \"{}\"\naccounts_url = \"sqlite:accounts.db\"\n",
        store.url("")
    );
    let settings = storage + &settings.replace("sends_in_flight = 8", "sends_in_flight = 200");
    std::fs::write(folder.path().join("more.toml"), settings).unwrap();
    let server = Server::dev(folder.path(), &["--config", "more.toml"]);
    let caller = Caller::new(&server, None);
    // More than may be at the store at a time, so that the rest would wait for them.
    let held: Vec<_> = (0..80)
        .map(|n| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.start(&format!("+120155501{n:02}")).await.status })
        })
        .collect();
    let metrics = format!("{}/metrics", server.admin);
    let page = async || caller.get(&metrics).await.text;
    let all = "watchword_http_sends_in_flight 80";
    let within = Instant::now() + Duration::from_secs(60);
    loop {
        let page = page().await;
        if page.contains(all) && page.contains("watchword_http_sends_in_line 0") {
            break;
        }
        assert!(Instant::now() < within, "{page}");
    }
    let mail = caller.start("person@example.com").await;
    assert_eq!(mail.status, 201, "{}", mail.text);
    assert_eq!(refusals(&page().await), "0");
    for held in held {
        held.abort();
    }
}

fn refusals(page: &str) -> &str {
    let name = "watchword_http_requests_refused_total{kind=\"send\",reason=\"overload\"} ";
    page.lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap()
}

#[tokio::test]
async fn while_a_provider_holds_all_sends_more_are_refused_and_a_check_is_answered() {
    let folder = folder();
    let (_provider, settings) = silent_provider();
    std::fs::write(folder.path().join("more.toml"), settings).unwrap();
    let server = Server::dev(folder.path(), &["--config", "more.toml"]);
    let caller = Caller::new(&server, None);
    let mail = caller.start("person@example.com").await;
    assert_eq!(mail.status, 201, "{}", mail.text);
    let code = caller.code("person@example.com").await;

    let held: Vec<_> = (0..8)
        .map(|n| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.start(&format!("+1201555019{n}")).await.status })
        })
        .collect();
    let in_flight = "watchword_http_sends_in_flight 8";
    let metrics = format!("{}/metrics", server.admin);
    while !caller.get(&metrics).await.text.contains(in_flight) {}

    for _ in 0..5 {
        let refused = caller.start("+12015550177").await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert_eq!(refused.json()["code"], "overloaded");
        assert!(
            refused.headers.contains("\"retry-after\""),
            "{}",
            refused.headers
        );
    }
    let approved = caller.check(&mail.id(), &code).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    assert_eq!(refusals(&caller.get(&metrics).await.text), "5");
    let ready = caller.get(&format!("{}/readyz", server.admin)).await;
    assert_eq!(ready.status, 200);
    let log = server.log_text();
    let told = log.matches("requests are refused").count();
    assert_eq!(told, 1, "said once, not for each: {log}");
    assert!(!log.contains("request failed"), "{log}");
    for held in held {
        held.abort();
    }
}
