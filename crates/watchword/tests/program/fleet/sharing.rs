//! One truth: attempts, approvals, limits, locks, keys and turns, over all nodes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use watchword_stand_ins::{Family, Mode, Options, StandIn};

use super::{Fleet, POLICY, Storage, counts, kind, on_every_store, start_for, tally, until};
use crate::server::{Caller, another, call, make_key};

on_every_store! {
    right_codes_at_all_nodes_yield_one_approval
    wrong_codes_at_all_nodes_share_the_attempts
    starts_at_all_nodes_share_the_limit_of_the_recipient
    starts_at_all_nodes_share_the_limit_of_the_source
    a_lock_holds_at_every_node_until_one_lifts_it
    an_idempotency_key_is_good_once_in_the_fleet
    what_one_node_began_another_one_reads_resends_checks_and_cancels
    nodes_with_one_secret_publish_the_same_keys
    an_api_key_is_known_and_revoked_everywhere
    accounts_are_those_of_every_node
    silence_gives_the_next_channel_its_turn_once
    passwords_of_the_storage_are_never_told
    the_doctor_looks_at_the_storage
}

const NUMBER: &str = "+12015550123";

async fn right_codes_at_all_nodes_yield_one_approval(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    for round in 0..3 {
        let to = format!("+1201555012{round}");
        let (id, code) = fleet.begin(&to).await;
        let answers = fleet.at_once(24, |_, caller| {
            let (id, code) = (id.clone(), code.clone());
            async move { caller.check(&id, &code).await }
        });
        let expected = counts([("200", 1), ("404 not-found", 23)]);
        assert_eq!(tally(&answers.await), expected);
    }
}

async fn wrong_codes_at_all_nodes_share_the_attempts(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    let (id, code) = fleet.begin(NUMBER).await;
    let wrong = another(&code);
    let answers = fleet.at_once(24, |_, caller| {
        let (id, wrong) = (id.clone(), wrong.clone());
        async move { caller.check(&id, &wrong).await }
    });
    let answers = answers.await;
    let mut left: Vec<u64> = answers
        .iter()
        .filter(|answer| answer.status == 422)
        .map(|answer| answer.json()["attempts_remaining"].as_u64().unwrap())
        .collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1, 2, 3, 4], "{:?}", tally(&answers));
    for caller in &fleet.callers {
        let right = caller.check(&id, &code).await;
        assert_eq!(kind(&right), "410 attempts-exhausted");
    }
}

async fn starts_at_all_nodes_share_the_limit_of_the_recipient(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    let answers = fleet.at_once(24, |turn, caller| async move {
        let body = start_for(NUMBER, turn);
        caller.post("/v1/verifications", body).await
    });
    let expected = counts([("201", 3), ("429 rate-limited", 21)]);
    assert_eq!(tally(&answers.await), expected);
    assert_eq!(fleet.codes(NUMBER).len(), 3);
}

async fn starts_at_all_nodes_share_the_limit_of_the_source(storage: Storage) {
    let policy = "limits = [{ per = \"source\", max = 7, window = \"10m\" }]\n";
    let fleet = Fleet::with(storage, policy, "sms = [\"twilio\"]", 3).await;
    let answers = fleet.at_once(24, |turn, caller| async move {
        let body = json!({ "to": format!("+120155501{turn:02}"), "end_user_ip": "192.0.2.7" });
        caller.post("/v1/verifications", body).await
    });
    let expected = counts([("201", 7), ("429 rate-limited", 17)]);
    assert_eq!(tally(&answers.await), expected);
    assert_eq!(fleet.twilio.messages().len(), 7);
}

async fn a_lock_holds_at_every_node_until_one_lifts_it(storage: Storage) {
    let policy = "resend_cooldown = \"0s\"\nlimits = []\nfailures_in_a_row = 4\n";
    let fleet = Fleet::with(storage, policy, "sms = [\"twilio\"]", 3).await;
    let (id, code) = fleet.begin(NUMBER).await;
    for caller in fleet.callers.iter().cycle().take(4) {
        caller.check(&id, &another(&code)).await;
    }
    for caller in &fleet.callers {
        assert_eq!(kind(&caller.start(NUMBER).await), "429 recipient-locked");
    }
    let unlock = json!({ "to": NUMBER });
    let unlocked = fleet.callers[2].post("/v1/recipients/unlock", unlock).await;
    assert_eq!(unlocked.status, 200, "{}", unlocked.text);
    for caller in &fleet.callers {
        assert_eq!(kind(&caller.start(NUMBER).await), "201");
    }
}

async fn an_idempotency_key_is_good_once_in_the_fleet(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    let same = |_: usize, caller: Caller| async move {
        let body = json!({ "to": NUMBER });
        let key = [("idempotency-key", "\"a-key-of-one-request\"")];
        let path = "/v1/verifications";
        caller
            .try_send("POST", path, Some(&body), &key)
            .await
            .unwrap()
    };
    let answers = fleet.at_once(12, same).await;
    let (done, busy): (Vec<_>, Vec<_>) = answers.iter().partition(|one| one.status == 201);
    assert!(
        busy.iter().all(|one| one.status == 409),
        "{:?}",
        tally(&answers)
    );
    let mut ids: BTreeSet<String> = done.iter().map(|one| one.id()).collect();
    for caller in &fleet.callers {
        ids.insert(same(0, caller.clone()).await.id());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(fleet.codes(NUMBER).len(), 1);
}

async fn what_one_node_began_another_one_reads_resends_checks_and_cancels(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    let (id, first) = fleet.begin(NUMBER).await;
    let path = format!("/v1/verifications/{id}");
    let [_, second, third] = &fleet.callers[..] else {
        panic!("three nodes")
    };
    let read = second.get(&path).await;
    assert_eq!(read.json()["status"], "pending", "{}", read.text);
    let resent = second.post(&format!("{path}/resend"), json!({})).await;
    assert_eq!(resent.status, 200, "{}", resent.text);
    let fresh = fleet.codes(NUMBER).pop().unwrap();
    assert_eq!(kind(&third.check(&id, &first).await), "422 incorrect-code");
    assert_eq!(third.check(&id, &fresh).await.status, 200);
    assert_eq!(second.get(&path).await.json()["status"], "approved");

    let (id, code) = fleet.begin("+12015550124").await;
    let path = format!("/v1/verifications/{id}");
    let canceled = third.try_send("DELETE", &path, None, &[]).await.unwrap();
    assert_eq!(canceled.json()["status"], "canceled", "{}", canceled.text);
    assert_eq!(second.check(&id, &code).await.status, 404);
}

async fn nodes_with_one_secret_publish_the_same_keys(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    let mut published = BTreeSet::new();
    for caller in &fleet.callers {
        published.insert(caller.get("/.well-known/jwks.json").await.text);
    }
    assert_eq!(published.len(), 1);
    let keys: Value = serde_json::from_str(published.first().unwrap()).unwrap();
    assert_eq!(keys["keys"][0]["crv"], "Ed25519");
}

async fn an_api_key_is_known_and_revoked_everywhere(storage: Storage) {
    let fleet = Fleet::of(storage).await;
    let folder = fleet.folder.path();
    let key = make_key(folder, &[]);
    let newcomers: Vec<_> = fleet
        .nodes
        .iter()
        .map(|node| Caller::new(node, Some(&key)))
        .collect();
    let path = "/v1/verifications/00000000-0000-8000-8000-000000000000";
    for caller in &newcomers {
        until(404, || caller.get(path)).await;
    }
    let listed = call(folder, &["apikey", "list", "--config", "watchword.toml"]);
    assert_eq!(listed.out.lines().count(), 3, "{}", listed.out);
    let revoked = call(
        folder,
        &["apikey", "revoke", &key, "--config", "watchword.toml"],
    );
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    for caller in &newcomers {
        until(401, || caller.get(path)).await;
    }
}

async fn accounts_are_those_of_every_node(storage: Storage) {
    let spawned = tokio::task::spawn_blocking(|| storage.with_accounts());
    let Some(storage) = spawned.await.unwrap() else {
        return;
    };
    let fleet = Fleet::of(storage).await;
    let register = |node: usize, email: &str| {
        let body = json!({ "email": email, "mobile": "2015550123", "password": "s3cret-pass" });
        let caller = fleet.callers[node].clone();
        async move { caller.post("/api/v1/auth/register", body).await }
    };
    assert_eq!(register(0, "a@example.com").await.status, 202);
    assert_eq!(register(1, "b@example.com").await.status, 409);
    let code = fleet.codes(NUMBER).pop().unwrap();
    let verify = fleet.at_once(6, |_, caller| {
        let body = json!({ "mobile": "2015550123", "otp": code });
        async move { caller.post("/api/v1/auth/verify-otp", body).await }
    });
    let answers = verify.await;
    let verified = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(verified.count(), 1, "{:?}", tally(&answers));
    for node in 0..3 {
        assert_eq!(register(node, "a@example.com").await.status, 409);
    }
}

async fn silence_gives_the_next_channel_its_turn_once(storage: Storage) {
    let meta = StandIn::start(Family::Meta, Options::default())
        .await
        .unwrap();
    meta.set_mode(Mode::AcceptWithoutReceipts);
    let channels = format!(
        "whatsapp = {{ default = [\"meta\"], fallback_after = \"1s\" }}\nsms = [\"twilio\"]\n\
         [providers.meta]\n{}",
        meta.settings("meta-whatsapp").unwrap()
    );
    let fleet = Fleet::with(storage, POLICY, &channels, 3).await;
    // So long that every node looks for what is due while another one is about it.
    fleet.twilio.set_mode(Mode::Slow { millis: 2500 });
    let begun = fleet.at_once(12, |turn, caller| async move {
        let to = format!("+120155501{turn:02}");
        let body = json!({ "to": to, "channel": ["whatsapp", "sms"] });
        caller.post("/v1/verifications", body).await
    });
    assert_eq!(tally(&begun.await), counts([("201", 12)]));
    fleet.twilio.wait_for_messages(12).await;
    // One that is due later: when it has come, others would have come twice.
    let later = json!({ "to": "+12015550199", "channel": ["whatsapp", "sms"] });
    let later = fleet.callers[1].post("/v1/verifications", later).await;
    assert_eq!(later.status, 201, "{}", later.text);
    fleet.twilio.wait_for_messages(13).await;
    let codes = |stand_in: &StandIn| {
        let messages = stand_in.messages().into_iter();
        let mut sent: Vec<_> = messages.map(|one| (one.to, one.code)).collect();
        sent.sort_unstable();
        sent
    };
    assert_eq!(codes(&fleet.twilio), codes(&meta));
}

/// The storage of the other tests has no password, and answers. This one has, and does not.
async fn passwords_of_the_storage_are_never_told(storage: Storage) {
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 1).await;
    let folder = fleet.folder.path();
    let file = folder.join("watchword.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (scheme, rest) = fleet.storage.url.split_once("://").unwrap();
    let place = rest.split_once('@').map_or(rest, |(_, place)| place);
    let (_, query) = place.split_once('?').unwrap();
    let wrong = format!("{scheme}://somebody:hunter2@127.0.0.1:1/?{query}");
    let wrong = wrong.replace("/?", if scheme == "postgres" { "/db?" } else { "?" });
    std::fs::write(&file, text.replace(&fleet.storage.url, &wrong)).unwrap();
    let shown = call(folder, &["config", "show"]);
    assert_eq!(shown.code, 0, "{}", shown.err);
    assert!(shown.out.contains("127.0.0.1:1"), "{}", shown.out);
    let mut said = vec![shown];
    for command in [&["serve"][..], &["apikey", "list"], &["doctor"]] {
        let refused = call(folder, command);
        assert_eq!(refused.code, 1, "{command:?}");
        let told = format!("{}{}", refused.out, refused.err);
        assert!(told.contains("127.0.0.1:1"), "{command:?} {told}");
        said.push(refused);
    }
    for one in said {
        let told = format!("{}{}", one.out, one.err);
        assert!(!told.contains("hunter2"), "{told}");
    }
    assert!(!fleet.logs().contains(NUMBER));
}

async fn the_doctor_looks_at_the_storage(storage: Storage) {
    let fleet = Fleet::with(storage, POLICY, "sms = [\"twilio\"]", 1).await;
    let folder = fleet.folder.path();
    for (command, line) in [
        ("doctor", "ok           storage.url (store): "),
        ("migrate", "nothing to do"),
    ] {
        let said = call(folder, &[command, "--config", "watchword.toml"]);
        let is_sql = fleet.storage.url.starts_with("postgres");
        let line = if is_sql && command == "migrate" {
            "has schema version"
        } else {
            line
        };
        assert!(said.out.contains(line), "{} {}", said.out, said.err);
    }
}
