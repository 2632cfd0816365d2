//! What is held about a recipient, from outside: shown whole, and erased for good.

use serde_json::{Value, json};

use crate::server::{Caller, Server, another, call, files, folder};

const MOBILE: &str = "+14155550123";
const EMAIL: &str = "applicant@example.com";

fn start(folder: &std::path::Path) -> Server {
    Server::dev_with(folder, &[], &[("WATCHWORD__DEFAULT_REGION", "US")])
}

fn command(folder: &std::path::Path, server: &Server, what: &str, to: &str) -> String {
    let said = call(folder, &["recipient", what, to, "--url", &server.api]);
    assert_eq!(said.code, 0, "{}", said.err);
    said.out
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_about_a_recipient_is_shown_and_erased_but_for_its_counters() {
    let folder = folder();
    let path = folder.path();
    let mut server = start(path);
    let caller = Caller::new(&server, None);
    // An account, and a code that is out.
    let body = json!({ "email": EMAIL, "mobile": MOBILE, "password": "s3cret-pass" });
    let sent = caller.post("/api/v1/auth/register", body.clone()).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    let signup = caller.code(MOBILE).await;
    let verify = json!({ "mobile": MOBILE, "otp": signup });
    let verified = caller.post("/api/v1/auth/verify-otp", verify).await;
    assert_eq!(verified.status, 200, "{}", verified.text);
    let start_body = json!({ "to": MOBILE, "purpose": "pay", "metadata": { "order": 17 } });
    let started = caller.post("/v1/verifications", start_body).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let (id, code) = (started.id(), caller.code(MOBILE).await);
    assert_eq!(caller.check(&id, &another(&code)).await.status, 422);

    let shown = command(path, &server, "show", MOBILE);
    for secret in [&code, &signup, "s3cret-pass", "argon2"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    let held: Value = serde_json::from_str(&shown).unwrap();
    let purposes: Vec<_> = held["verifications"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["purpose"].clone(), one["status"].clone()))
        .collect();
    assert_eq!(
        purposes,
        [
            (json!("signup"), json!("approved")),
            (json!("pay"), json!("pending"))
        ]
    );
    let pay = &held["verifications"][1];
    assert_eq!(pay["metadata"], json!({ "order": 17 }));
    assert_eq!(pay["deliveries"].as_array().unwrap().len(), 1, "{pay}");
    assert_eq!(held["counters"]["sends"].as_array().unwrap().len(), 2);
    assert_eq!(held["counters"]["failures_in_a_row"], 1);
    assert_eq!(held["account"]["email"], EMAIL);
    assert_eq!(held["account"]["mobile"], MOBILE);

    let erased = command(path, &server, "erase", MOBILE);
    assert!(
        erased.starts_with("2 verifications of +1••••••0123"),
        "{erased}"
    );
    assert!(erased.contains("its account was erased"), "{erased}");
    // For good: a kill brings nothing back.
    for life in 0..2 {
        let caller = Caller::new(&server, None);
        let read = caller.get(&format!("/v1/verifications/{id}")).await;
        assert_eq!(read.status, 404, "life {life}: {}", read.text);
        assert_eq!(caller.check(&id, &code).await.status, 404);
        let shown = command(path, &server, "show", MOBILE);
        let after: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(after["verifications"], json!([]));
        assert_eq!(after["counters"], held["counters"]);
        assert_eq!(after["account"], Value::Null);
        assert_eq!(after["recipient"], held["recipient"]);
        server.kill();
        server = start(path);
    }
    command(path, &server, "show", MOBILE);
    let nothing = command(path, &server, "erase", MOBILE);
    assert!(nothing.starts_with("0 verifications"), "{nothing}");
    // The number and the address are free again.
    let caller = Caller::new(&server, None);
    let again = caller.post("/api/v1/auth/register", body).await;
    assert_eq!(again.status, 202, "{}", again.text);
    assert!(server.stop().success());
    let exported = call(path, &["audit", "export", "--data", "data"]);
    let entries = exported
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let entries: Vec<Value> = entries.collect();
    let about = |event: &str| {
        let all = entries.iter().filter(|entry| entry["event"] == event);
        all.filter(|entry| entry["recipient"] == held["recipient"])
            .count()
    };
    // What was noted in the moment before a kill may be lost; the last life ended well.
    let (erased, shown) = (about("recipient.erased"), about("recipient.shown"));
    assert!(erased >= 1 && shown >= 1, "{}", exported.out);
    for (file, bytes) in files(&path.join("data")) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&MOBILE[1..]), "{}", file.display());
    }
}
