//! The audit log on the command line and in a running server.

use std::path::Path;

use serde_json::Value;

use crate::server::{Caller, Said, Server, another, call, configure, folder, keygen};

const NUMBER: &str = "+12025550123";

fn audit(folder: &Path, more: &[&str]) -> Said {
    let data = folder.join("data");
    let data = data.to_str().unwrap();
    let args: Vec<_> = [&["audit"], more, &["--data", data]].concat();
    call(folder, &args)
}

fn entries(folder: &Path) -> Vec<Value> {
    let exported = audit(folder, &["export"]);
    assert_eq!(exported.code, 0, "{}", exported.err);
    let lines = exported.out.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn dev(folder: &Path) -> Server {
    Server::dev(folder, &[])
}

/// Uses a server for everything that is recorded; gives what must not be in the log.
async fn use_it(server: &Server) -> Vec<String> {
    let caller = Caller::new(server, None);
    let started = caller.start(NUMBER).await;
    let (id, code) = (started.id(), caller.code(NUMBER).await);
    assert_eq!(caller.check(&id, &another(&code)).await.status, 422);
    assert_eq!(caller.start(NUMBER).await.status, 429);
    assert_eq!(caller.check(&id, &code).await.status, 200);
    assert_eq!(caller.check(&id, &code).await.status, 404);
    vec![code, NUMBER.to_owned(), NUMBER[1..].to_owned()]
}

#[tokio::test]
async fn security_events_are_exported_in_order_and_name_nobody() {
    let folder = folder();
    let server = dev(folder.path());
    let secrets = use_it(&server).await;
    assert!(server.stop().success());
    let data = folder.path().join("data");
    let data = data.to_str().unwrap();
    let made = call(folder.path(), &["apikey", "create", "shop", "--data", data]);
    assert_eq!(
        (made.code, made.err.contains("not in the audit log")),
        (0, false)
    );

    let entries = entries(folder.path());
    let told = |name: &str| {
        entries
            .iter()
            .map(|entry| entry[name].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let events: Vec<_> = told("event").into_iter().flatten().collect();
    assert_eq!(
        events,
        [
            "server.started",
            "configuration.loaded",
            "verification.started",
            "check.refused",
            "send.refused",
            "verification.approved",
            "check.refused",
            "server.stopped",
            "api_key.created"
        ]
    );
    let reasons = told("reason");
    assert_eq!(reasons[3].as_deref(), Some("incorrect"));
    assert_eq!(reasons[4].as_deref(), Some("cooldown"));
    assert_eq!(reasons[6].as_deref(), Some("not_found"));
    assert_eq!(entries[2]["verification"], entries[5]["verification"]);
    assert_eq!(entries[2]["recipient"], entries[4]["recipient"]);
    assert_eq!(entries[8]["by"], made.out.trim()[3..15]);
    let text = audit(folder.path(), &["export"]).out;
    let key = made.out.trim()[15..].to_owned();
    for secret in secrets.into_iter().chain([key]) {
        assert!(!text.contains(&secret), "{secret} in {text}");
    }
    let verified = audit(folder.path(), &["verify"]);
    assert!(
        verified
            .out
            .starts_with("the audit log is in order: 9 entries"),
        "{}",
        verified.out
    );
}

#[tokio::test]
async fn an_edit_in_the_database_shows() {
    let folder = folder();
    let server = dev(folder.path());
    use_it(&server).await;
    assert!(server.stop().success());
    // A page each, at least.
    for _ in 0..2 {
        assert!(dev(folder.path()).stop().success());
    }
    let verified = audit(folder.path(), &["verify"]);
    assert_eq!(verified.code, 0, "{}", verified.err);
    let newest = verified
        .out
        .lines()
        .find_map(|line| line.strip_prefix("newest page: "));
    let newest = newest.unwrap().to_owned();

    let database = folder.path().join("data/watchword.db");
    let edit = |statement: &str| {
        let connection = rusqlite::Connection::open(&database).unwrap();
        assert_eq!(connection.execute(statement, []).unwrap(), 1, "{statement}");
    };
    edit(
        "UPDATE audit_page SET body = CAST(replace(CAST(body AS TEXT), 'incorrect', 'INCORRECT') AS BLOB) WHERE number = (SELECT min(number) FROM audit_page WHERE instr(CAST(body AS TEXT), 'incorrect') > 0)",
    );
    let broken = audit(folder.path(), &["verify"]);
    assert_eq!(broken.code, 1);
    assert!(
        broken.err.contains("was changed after it was written"),
        "{}",
        broken.err
    );
    edit(
        "UPDATE audit_page SET body = CAST(replace(CAST(body AS TEXT), 'INCORRECT', 'incorrect') AS BLOB) WHERE number = (SELECT min(number) FROM audit_page WHERE instr(CAST(body AS TEXT), 'INCORRECT') > 0)",
    );
    // Only whoever remembers it sees that the newest page is gone.
    edit("DELETE FROM audit_page WHERE number = (SELECT max(number) FROM audit_page)");
    let cut = audit(folder.path(), &["verify", "--expect", &newest]);
    assert_eq!(cut.code, 1);
    assert!(cut.err.contains("cut off"), "{}", cut.err);
    edit("DELETE FROM audit_page WHERE number = 1");
    let broken = audit(folder.path(), &["verify"]);
    assert_eq!(broken.code, 1, "{}", broken.out);
}

#[tokio::test]
async fn entries_that_were_written_outlive_a_kill() {
    let folder = folder();
    let mut server = dev(folder.path());
    use_it(&server).await;
    let began = std::time::Instant::now();
    while entries(folder.path()).len() < 7 {
        assert!(began.elapsed().as_secs() < 60, "they are never written");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.kill();
    let server = dev(folder.path());
    assert!(server.stop().success());
    let verified = audit(folder.path(), &["verify"]);
    assert!(
        verified.out.contains(": 10 entries"),
        "{} {}",
        verified.out,
        verified.err
    );
}

/// Seen to fail where only the keys in use are asked.
#[tokio::test]
async fn pages_under_a_key_that_other_nodes_use_already_are_in_order() {
    let folder = folder();
    let more = "[channels]\nsms = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
                url = \"http://127.0.0.1:9/in\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";
    let old = configure(folder.path(), more);
    let file = folder.path().join("watchword.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let new = keygen(folder.path());
    let say = |keys: &str| {
        let first = format!("secret_key = \"{old}\"");
        assert!(text.starts_with(&first));
        std::fs::write(&file, text.replacen(&first, keys, 1)).unwrap();
    };
    let verify = || {
        call(
            folder.path(),
            &["audit", "verify", "--config", "watchword.toml"],
        )
    };
    say(&format!("secret_keys = [\"{new}\", \"{old}\"]"));
    assert!(Server::serve(folder.path()).stop().success());
    say(&format!(
        "secret_key = \"{old}\"\nnext_secret_key = \"{new}\""
    ));
    let verified = verify();
    assert_eq!(verified.code, 0, "{}", verified.err);
    assert!(verified.out.starts_with("the audit log is in order"));
    say(&format!("secret_key = \"{old}\""));
    let unknown = verify();
    assert_eq!(unknown.code, 1, "{}", unknown.out);
}
