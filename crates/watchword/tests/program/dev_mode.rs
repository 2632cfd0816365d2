//! `watchword dev`, as the README promises it.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::server::{Caller, Server, another, call, folder, program};

#[tokio::test]
async fn a_newcomer_starts_reads_the_inbox_and_verifies_once() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    let started = caller.start("+1 202 555 0123").await;
    assert_eq!(started.status, 201, "{}", started.text);
    let id = started.id();
    let code = caller.code("+12025550123").await;
    assert!(!started.text.contains(&code));
    let wrong = caller.check(&id, &another(&code)).await;
    assert_eq!(
        (wrong.status, wrong.json()["attempts_remaining"].as_u64()),
        (422, Some(4))
    );
    let right = caller.check(&id, &code).await;
    assert_eq!(right.status, 200, "{}", right.text);
    assert_eq!(right.json()["status"], "approved");
    assert_eq!(caller.check(&id, &code).await.status, 404);
    assert!(server.stop().success());
}

#[tokio::test]
async fn every_channel_is_served_by_the_inbox() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    for (channel, to) in [
        ("whatsapp", "+12025550121"),
        ("sms", "+12025550122"),
        ("voice", "+12025550123"),
        ("email", "ada@example.com"),
    ] {
        let body = json!({ "to": to, "channel": channel });
        let started = caller.post("/v1/verifications", body).await;
        assert_eq!(started.status, 201, "{}", started.text);
        assert_eq!(started.json()["channel"], channel);
        assert!(!caller.code(to).await.is_empty());
    }
}

/// What the first screen says to type is run as it stands, by a shell.
#[test]
fn the_curl_that_is_printed_works_as_printed() {
    use std::io::{BufRead as _, BufReader};
    let folder = folder();
    let mut child = program(folder.path())
        .args([
            "dev",
            "--bind",
            "127.0.0.1:0",
            "--whatsapp-bind",
            "127.0.0.1:0",
            "--admin-bind",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let curl = lines
        .find(|line| line.trim_start().starts_with("curl "))
        .unwrap();
    let ran = Command::new("sh").args(["-c", &curl]).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(answer["status"], "pending", "{curl}: {answer}");
}

#[tokio::test]
async fn a_code_survives_a_restart_because_the_key_is_kept() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    let id = caller.start("ada@example.com").await.id();
    let code = caller.code("ada@example.com").await;
    assert!(server.stop().success());
    let data = folder.path().join("data");
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(
        (mode(data.clone()), mode(data.join("secret.key"))),
        (0o700, 0o600)
    );
    let server = Server::dev(folder.path(), &[]);
    let approved = Caller::new(&server, None).check(&id, &code).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
}

#[test]
fn dev_mode_listens_to_this_machine_only() {
    let folder = folder();
    for (flag, address) in [
        ("--bind", "0.0.0.0:0"),
        ("--admin-bind", "192.0.2.1:0"),
        ("--whatsapp-bind", "[::]:0"),
    ] {
        let said = call(folder.path(), &["dev", flag, address]);
        assert_eq!(said.code, 1);
        assert!(
            said.err.contains("loopback") && said.err.contains(flag),
            "{}",
            said.err
        );
        assert!(!folder.path().join("watchword-data").exists());
    }
}

#[test]
fn a_taken_port_is_told_with_the_flag_that_chooses_another() {
    let folder = folder();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let flags = ["--bind", "--whatsapp-bind", "--admin-bind"];
    for flag in flags {
        let mut args = vec!["dev"];
        for other in flags {
            args.push(other);
            args.push(if other == flag {
                &address
            } else {
                "127.0.0.1:0"
            });
        }
        let said = call(folder.path(), &args);
        assert_eq!(said.code, 1);
        let last = said.err.lines().last().unwrap();
        assert!(
            last.contains(&format!("with {flag}")) && last.contains(&address),
            "{last}"
        );
    }
}

#[tokio::test]
async fn a_file_replaces_the_settings_of_dev_mode_and_needs_no_key() {
    let folder = folder();
    let settings = "[policy]\ncode_length = 8\n[channels]\nsms = [\"mine\"]\n[providers.mine]\nkind = \"inbox\"\n";
    std::fs::write(folder.path().join("w.toml"), settings).unwrap();
    let server = Server::dev(folder.path(), &["--config", "w.toml"]);
    let caller = Caller::new(&server, None);
    let started = caller.start("+12025550123").await.json();
    assert_eq!(started["deliveries"][0]["provider"], "mine");
    assert_eq!(caller.code("+12025550123").await.len(), 8);
}

#[tokio::test]
async fn the_client_commands_talk_to_a_running_server() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    let with = |args: &[&str]| {
        let mut all = args.to_vec();
        all.extend(["--url", &server.api]);
        call(folder.path(), &all)
    };
    let sent = with(&["send", "ada@example.com"]);
    assert_eq!(sent.code, 0, "{}", sent.err);
    let id = sent
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("id "))
        .unwrap()
        .trim();
    let early = with(&["send", "ada@example.com"]);
    assert_eq!(early.code, 1);
    assert!(early.err.contains("(try again in "), "{}", early.err);
    let nonsense = with(&["send", "nonsense"]);
    assert_eq!(nonsense.err.matches("/to ").count(), 1, "{}", nonsense.err);
    let code = caller.code("ada@example.com").await;
    let wrong = with(&["check", id, &another(&code)]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("4 attempts left"), "{}", wrong.err);
    let right = with(&["check", id, &code]);
    assert_eq!(right.code, 0, "{}", right.err);
    assert!(right.out.starts_with("approved at "));
    let unlocked = with(&["unlock", "ada@example.com"]);
    assert_eq!(unlocked.code, 0, "{}", unlocked.err);
    let nobody = call(
        folder.path(),
        &["send", "ada@example.com", "--url", "http://127.0.0.1:9"],
    );
    assert_eq!(nobody.code, 3);
    assert!(nobody.err.contains("watchword dev"), "{}", nobody.err);
}

#[tokio::test]
async fn what_happens_is_counted_where_prometheus_finds_it() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    let id = caller.start("ada@example.com").await.id();
    let code = caller.code("ada@example.com").await;
    caller.check(&id, &another(&code)).await;
    caller.check(&id, &code).await;
    caller.get("/nothing/here/at/all").await;
    let page = caller.get(&format!("{}/metrics", server.admin)).await;
    assert_eq!(page.status, 200);
    let checks = "route=\"/v1/verifications/{id}/check\",method=\"POST\"";
    for line in [
        "watchword_verifications_started_total{channel=\"email\",provider=\"inbox\",country=\"none\"} 1".to_owned(),
        "watchword_verifications_approved_total{channel=\"email\",provider=\"inbox\",country=\"none\"} 1".to_owned(),
        "watchword_checks_failed_total{reason=\"incorrect\"} 1".to_owned(),
        format!("watchword_http_requests_total{{surface=\"native\",{checks},status=\"2xx\"}} 1"),
        format!("watchword_http_requests_total{{surface=\"native\",{checks},status=\"4xx\"}} 1"),
        "watchword_http_requests_total{surface=\"unmatched\",route=\"unmatched\",method=\"GET\",status=\"4xx\"} 1".to_owned(),
        "watchword_deliveries_total{provider=\"inbox\",channel=\"email\",outcome=\"accepted\"} 1".to_owned(),
        "watchword_provider_available{provider=\"inbox\"} 1".to_owned(),
        "watchword_store_verifications 1".to_owned(),
        format!("watchword_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(page.text.lines().any(|found| found == line), "{line} is not in\n{}", page.text);
    }
    assert!(page.text.ends_with("# EOF\n"));
    for (path, word) in [("livez", "alive"), ("readyz", "ready")] {
        let answer = caller.get(&format!("{}/{path}", server.admin)).await;
        assert_eq!((answer.status, answer.text.trim()), (200, word));
    }
}

#[tokio::test]
async fn a_request_is_counted_for_the_surface_that_answered_it_whoever_else_is_at_the_path() {
    let folder = folder();
    let server = Server::dev(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    assert_eq!(caller.get("/").await.status, 200);
    assert_eq!(caller.post("/", json!({})).await.status, 200);
    for api in [&server.api, &server.second] {
        assert_eq!(caller.get(&format!("{api}/health")).await.status, 200);
    }
    let page = caller.get(&format!("{}/metrics", server.admin)).await;
    for (surface, route, method) in [
        ("dev", "/", "GET"),
        ("uuid", "/", "POST"),
        ("uuid", "/health", "GET"),
        ("whatsapp", "/health", "GET"),
    ] {
        let line = format!(
            "watchword_http_requests_total{{surface=\"{surface}\",route=\"{route}\",method=\"{method}\",status=\"2xx\"}} 1"
        );
        assert!(
            page.text.lines().any(|found| found == line),
            "{line} is not in\n{}",
            page.text
        );
    }
}
