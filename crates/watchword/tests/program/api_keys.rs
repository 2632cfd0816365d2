//! `watchword apikey`, beside a running server and without one.

use std::time::{Duration, Instant};

use crate::server::{Caller, Server, call, configure, folder, make_key};

/// A provider that nobody talks to: enough to start a server.
const HOOK: &str = "[channels]\nsms = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
    url = \"http://127.0.0.1:9/\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n";

const UNKNOWN: &str = "/v1/verifications/01968855-c8ee-88d9-9381-6ef5c1af4dc8";

/// Asks until the answer is `wanted`; how long that took.
async fn until(caller: &Caller, wanted: u16) -> Duration {
    let began = Instant::now();
    while caller.get(UNKNOWN).await.status != wanted {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "it is never {wanted}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn keys_are_made_and_revoked_while_the_server_runs_and_without_it() {
    let folder = folder();
    configure(folder.path(), HOOK);
    let before = make_key(folder.path(), &[]);
    let server = Server::serve(folder.path());
    assert_eq!(Caller::new(&server, None).get(UNKNOWN).await.status, 401);
    assert_eq!(
        Caller::new(&server, Some(&before))
            .get(UNKNOWN)
            .await
            .status,
        404
    );

    let meanwhile = make_key(folder.path(), &[]);
    let caller = Caller::new(&server, Some(&meanwhile));
    until(&caller, 404).await;
    let revoked = call(folder.path(), &["apikey", "revoke", &meanwhile[3..15]]);
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    until(&caller, 401).await;
    assert!(server.stop().success());

    let listed = call(folder.path(), &["apikey", "list"]);
    assert!(
        listed.out.contains(&before[3..15]) && listed.out.contains("revoked"),
        "{}",
        listed.out
    );
    assert!(!listed.out.contains(&before[15..]));
    let again = call(folder.path(), &["apikey", "revoke", &meanwhile[3..15]]);
    assert_eq!(again.code, 1);
    assert!(again.err.contains("already"), "{}", again.err);
}

#[tokio::test]
async fn a_key_may_do_what_its_scopes_say_and_ends_when_it_was_told_to() {
    let folder = folder();
    configure(folder.path(), HOOK);
    let reader = make_key(folder.path(), &["--scope", "verifications:read"]);
    let ended = make_key(folder.path(), &["--expires-in", "0s"]);
    let server = Server::serve(folder.path());
    let caller = Caller::new(&server, Some(&reader));
    assert_eq!(caller.get(UNKNOWN).await.status, 404);
    assert_eq!(caller.start("+12025550123").await.status, 403);
    assert_eq!(
        Caller::new(&server, Some(&ended)).get(UNKNOWN).await.status,
        401
    );
    let wrong = call(
        folder.path(),
        &["apikey", "create", "x", "--scope", "everything"],
    );
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("verifications:write"), "{}", wrong.err);
}

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let folder = folder();
    configure(folder.path(), HOOK);
    let _server = Server::serve(folder.path());
    let second = call(folder.path(), &["serve"]);
    assert_eq!(second.code, 1);
    let last = second.err.lines().last().unwrap();
    assert!(
        last.contains("another process is using") && last.contains("watchword.db"),
        "{last}"
    );
}

#[test]
fn a_file_made_with_another_key_is_refused() {
    let folder = folder();
    configure(folder.path(), HOOK);
    assert!(Server::serve(folder.path()).stop().success());
    configure(folder.path(), HOOK);
    let said = call(folder.path(), &["serve"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err.contains("secret_key is not the one"),
        "{}",
        said.err
    );
}
