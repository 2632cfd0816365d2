//! The surface auth, from outside: accounts that outlive the process, and what is kept of them.

use std::path::Path;

use serde_json::{Value, json};

use crate::server::{Answer, Caller, Server, files, folder, keygen};

const MOBILE: &str = "4155550123";
const EMAIL: &str = "applicant@example.com";
const PASSWORD: &str = "s3cret-pass";

/// `watchword dev` in a country, on free ports.
fn start(folder: &Path, more: &[&str]) -> Server {
    Server::dev_with(folder, more, &[("WATCHWORD__DEFAULT_REGION", "US")])
}

async fn newest_code(caller: &Caller) -> String {
    let messages = caller.get("/dev/messages").await.json();
    messages[0]["code"].as_str().unwrap_or("000000").to_owned()
}

async fn register(caller: &Caller) -> Answer {
    let body = json!({ "email": EMAIL, "mobile": MOBILE, "password": PASSWORD });
    caller.post("/api/v1/auth/register", body).await
}

/// Registers and verifies; what came back.
async fn account(caller: &Caller) -> Value {
    let sent = register(caller).await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    let body = json!({ "mobile": MOBILE, "otp": newest_code(caller).await });
    let verified = caller.post("/api/v1/auth/verify-otp", body).await;
    assert_eq!(verified.status, 200, "{}", verified.text);
    verified.json()
}

/// Logs in; the `sub` of the token.
async fn login(caller: &Caller) -> Value {
    let body = json!({ "mobile_number": MOBILE });
    let sent = caller.post("/api/v1/auth/request-otp", body).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let body = json!({ "mobile": MOBILE, "otp": newest_code(caller).await });
    let verified = caller.post("/api/v1/auth/verify-otp", body).await;
    let token = verified.json()["access_token"].as_str().unwrap().to_owned();
    subject(&token)
}

fn subject(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    let claims: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
    claims["sub"].clone()
}

#[tokio::test]
async fn an_account_that_was_answered_outlives_a_kill_and_so_does_a_pending_registration() {
    let folder = folder();
    let mut server = start(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    let made = account(&caller).await;
    let body = json!({ "email": "b@example.com", "mobile": "4155550124", "password": PASSWORD });
    let pending = caller.post("/api/v1/auth/register", body.clone()).await;
    assert_eq!(pending.status, 202);
    let code = newest_code(&caller).await;
    server.kill();
    let server = start(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    assert_eq!(register(&caller).await.status, 409);
    assert_eq!(login(&caller).await, made["id"]);
    let body = json!({ "mobile": "4155550124", "otp": code });
    let verified = caller.post("/api/v1/auth/verify-otp", body).await;
    assert_eq!(
        verified.json()["email"],
        "b@example.com",
        "{}",
        verified.text
    );
}

/// Two thieves: one of the files, one of the log.
#[tokio::test]
async fn neither_files_nor_log_show_who_registered_and_with_what() {
    let folder = folder();
    let server = start(folder.path(), &[]);
    let caller = Caller::new(&server, None);
    let made = account(&caller).await;
    let body = json!({ "email": "b@example.com", "mobile": "4155550124", "password": PASSWORD });
    caller.post("/api/v1/auth/register", body).await;
    let token = made["access_token"].as_str().unwrap().to_owned();
    assert!(server.stop().success());
    let kept = files(folder.path());
    let database = kept.iter().find(|(path, _)| path.ends_with("watchword.db"));
    assert!(database.is_some());
    let account = uuid_bytes(&made["id"]);
    let has = |bytes: &[u8], wanted: &[u8]| bytes.windows(wanted.len()).any(|w| w == wanted);
    // The search would find what is there.
    assert!(kept.iter().any(|(_, bytes)| has(bytes, &account)));
    for secret in [
        EMAIL,
        "b@example.com",
        "4155550123",
        "4155550124",
        PASSWORD,
        "$argon2id$",
        token.as_str(),
    ] {
        for (path, bytes) in &kept {
            assert!(
                !has(bytes, secret.as_bytes()),
                "{secret} in {}",
                path.display()
            );
        }
    }
}

fn uuid_bytes(id: &Value) -> Vec<u8> {
    let digits: String = id.as_str().unwrap().replace('-', "");
    let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap();
    (0..16).map(byte).collect()
}

/// Accounts outlive the key that they were sealed under, if both keys were listed once.
#[tokio::test]
async fn accounts_outlive_a_change_of_keys() {
    let folder = folder();
    let (old, new) = (keygen(folder.path()), keygen(folder.path()));
    let config = folder.path().join("watchword.toml");
    let serve = |keys: &[&str]| {
        std::fs::write(&config, format!("secret_keys = {keys:?}\n")).unwrap();
        start(folder.path(), &["--config", "watchword.toml"])
    };
    let server = serve(&[&old]);
    let made = account(&Caller::new(&server, None)).await;
    assert!(server.stop().success());
    let server = serve(&[&new, &old]);
    assert_eq!(register(&Caller::new(&server, None)).await.status, 409);
    assert!(server.stop().success());
    let server = serve(&[&new]);
    let caller = Caller::new(&server, None);
    assert_eq!(register(&caller).await.status, 409);
    assert_eq!(login(&caller).await, made["id"]);
}

#[tokio::test]
async fn accounts_can_be_kept_in_a_file_of_their_own() {
    let folder = folder();
    let config = "[storage]\nurl = \"memory:\"\naccounts_url = \"sqlite:accounts.db\"\n\
                  [accounts]\naccess_token_ttl = \"5m\"\n";
    std::fs::write(folder.path().join("watchword.toml"), config).unwrap();
    let server = start(folder.path(), &["--config", "watchword.toml"]);
    let made = account(&Caller::new(&server, None)).await;
    assert_eq!(made["expires_in"], 300);
    assert!(server.stop().success());
    let server = start(folder.path(), &["--config", "watchword.toml"]);
    let caller = Caller::new(&server, None);
    assert_eq!(register(&caller).await.status, 409);
    assert!(folder.path().join("accounts.db").exists());
}

#[tokio::test]
async fn the_code_is_shown_for_testing_only_where_codes_are_exposed() {
    let folder = folder();
    let server = start(folder.path(), &["--expose-codes"]);
    let caller = Caller::new(&server, None);
    let sent = register(&caller).await;
    assert_eq!(sent.json()["otp_for_testing"], newest_code(&caller).await);
}
