//! The program and its providers: receipts, fallback and failover, with stand-ins that hold every request
//! against the providers' contracts.

use serde_json::{Value, json};
use watchword_stand_ins::{Family, Mode, Options, Receipt, StandIn, Taken};

use crate::server::{Answer, Caller, Server, configure, folder, make_key};

const PUBLIC: &str = "https://otp.example.com";
const NUMBER: &str = "+12015550123";

/// The three providers, and a folder with a configuration that sends to them.
struct Stage {
    folder: tempfile::TempDir,
    meta: StandIn,
    gupshup: StandIn,
    twilio: StandIn,
    key: String,
}

async fn stand_in(family: Family, name: &str) -> StandIn {
    let options = Options {
        callbacks: Some(format!("{PUBLIC}/callbacks/{name}")),
        ..Options::default()
    };
    let stand_in = StandIn::start(family, options).await.unwrap();
    // Receipts come when a test says so.
    stand_in.set_mode(Mode::AcceptWithoutReceipts);
    stand_in
}

impl Stage {
    /// `channels` is the table of routes; the providers are `meta`, `gupshup` and `twilio_sms`.
    async fn set(channels: &str) -> Self {
        let meta = stand_in(Family::Meta, "meta").await;
        let gupshup = stand_in(Family::Gupshup, "gupshup").await;
        let twilio = stand_in(Family::Twilio, "twilio_sms").await;
        let folder = folder();
        let providers = [
            ("meta", &meta, "meta-whatsapp"),
            ("gupshup", &gupshup, "gupshup-whatsapp"),
            ("twilio_sms", &twilio, "twilio-sms"),
        ];
        let tables = providers.map(|(name, stand_in, kind)| {
            let settings = stand_in.settings(kind).unwrap();
            format!("[providers.{name}]\n{settings}timeout = \"1s\"\n")
        });
        let more = format!(
            "public_url = \"{PUBLIC}\"\n[log]\nlevel = \"trace\"\n[policy]\ncode_length = 10\nresend_cooldown = \"0s\"\n\
             [channels]\n{channels}\n{}",
            tables.concat()
        );
        configure(folder.path(), &more);
        let key = make_key(folder.path(), &[]);
        Self {
            folder,
            meta,
            gupshup,
            twilio,
            key,
        }
    }

    fn serve(&self) -> (Server, Caller) {
        let server = Server::serve(self.folder.path());
        let caller = Caller::new(&server, Some(&self.key));
        (server, caller)
    }
}

async fn start(caller: &Caller, to: &str) -> Answer {
    let body = json!({"to": to, "channel": ["whatsapp", "sms"]});
    caller.post("/v1/verifications", body).await
}

/// The only message that a stand-in got.
fn only(stand_in: &StandIn) -> Taken {
    let messages = stand_in.messages();
    assert_eq!(messages.len(), 1);
    messages.into_iter().next().unwrap()
}

/// Posts a receipt to the server, as a proxy in front of it would, and gives the status.
async fn tell(server: &Server, stand_in: &StandIn, id: &str, receipt: &Receipt) -> u16 {
    let mut callback = stand_in.callback(id, receipt).unwrap();
    callback.url = callback.url.replace(PUBLIC, &server.api);
    stand_in.post(&callback).await.unwrap()
}

/// Channel, provider and status of each delivery.
async fn deliveries(caller: &Caller, id: &str) -> Vec<String> {
    let answer = caller.get(&format!("/v1/verifications/{id}")).await.json();
    let all = answer["deliveries"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.map(|one| ["channel", "provider", "status"].map(|name| text(&one[name])))
        .map(|words| words.join(" "))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_failed_is_followed_by_the_same_code_over_the_next_channel() {
    let stage = Stage::set("whatsapp = [\"meta\"]\nsms = [\"twilio_sms\"]").await;
    let (server, caller) = stage.serve();
    let started = start(&caller, NUMBER).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let id = started.id();
    let first = only(&stage.meta);
    let code = first.code.unwrap();
    assert_eq!(
        tell(&server, &stage.meta, &first.id, &Receipt::new("sent")).await,
        200
    );
    assert_eq!(deliveries(&caller, &id).await, ["whatsapp meta sent"]);
    assert_eq!(stage.twilio.messages().len(), 0);

    let failed = Receipt::failed("failed", 131_026);
    for _ in 0..3 {
        assert_eq!(tell(&server, &stage.meta, &first.id, &failed).await, 200);
    }
    stage.twilio.wait_for_messages(1).await;
    let second = only(&stage.twilio);
    assert_eq!(second.code.as_deref(), Some(code.as_str()));
    assert_eq!(
        tell(
            &server,
            &stage.twilio,
            &second.id,
            &Receipt::new("delivered")
        )
        .await,
        200
    );
    assert_eq!(
        deliveries(&caller, &id).await,
        ["whatsapp meta failed", "sms twilio_sms delivered"]
    );
    assert_eq!(caller.check(&id, &code).await.status, 200);

    let metrics = caller.get(&format!("{}/metrics", server.admin)).await.text;
    for line in [
        "watchword_fallbacks_sent_total{channel=\"sms\"} 1",
        "watchword_receipts_total{status=\"failed\"} 3",
        "watchword_receipts_total{status=\"delivered\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let log = server.log_text();
    for secret in [
        code.as_str(),
        &NUMBER[1..],
        "stand-in-access-token",
        "stand-in-app-secret",
        "stand-in-auth-token",
        "stand-in-callback-token",
    ] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_followed_by_the_next_channel_once_though_the_server_was_killed_meanwhile() {
    let channels = "whatsapp = { default = [\"meta\"], fallback_after = \"2s\" }\n\
                    sms = [\"twilio_sms\"]";
    let stage = Stage::set(channels).await;
    let (mut server, caller) = stage.serve();
    let id = start(&caller, NUMBER).await.id();
    let code = only(&stage.meta).code.unwrap();
    server.kill();

    let (mut server, _) = stage.serve();
    stage.twilio.wait_for_messages(1).await;
    assert_eq!(only(&stage.twilio).code.as_deref(), Some(code.as_str()));
    server.kill();

    // Another one that is due later: when it has come, the first would have come again.
    let (server, caller) = stage.serve();
    start(&caller, "+12015550124").await;
    stage.twilio.wait_for_messages(2).await;
    let to: Vec<_> = stage
        .twilio
        .messages()
        .into_iter()
        .map(|one| one.to)
        .collect();
    assert_eq!(to, [NUMBER, "+12015550124"]);
    assert_eq!(caller.check(&id, &code).await.status, 200);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_brings_only_a_name_finds_its_message_after_a_restart() {
    let stage = Stage::set("whatsapp = [\"gupshup\"]\nsms = [\"twilio_sms\"]").await;
    let (mut server, caller) = stage.serve();
    let id = start(&caller, NUMBER).await.id();
    let first = only(&stage.gupshup);
    server.kill();
    let (server, caller) = stage.serve();
    for status in ["delivered", "sent", "delivered"] {
        let told = tell(&server, &stage.gupshup, &first.id, &Receipt::new(status)).await;
        assert_eq!(told, 200);
    }
    assert_eq!(
        deliveries(&caller, &id).await,
        ["whatsapp gupshup delivered"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_proven_is_401_and_changes_nothing() {
    let stage = Stage::set("whatsapp = [\"meta\"]\nsms = [\"twilio_sms\"]").await;
    let (server, caller) = stage.serve();
    let id = start(&caller, NUMBER).await.id();
    let message = only(&stage.meta).id;
    let failed = Receipt::failed("failed", 131_026);
    let mut forged = stage.meta.callback(&message, &failed).unwrap();
    forged.url = forged.url.replace(PUBLIC, &server.api);
    let at = forged.body.len() / 2;
    forged.body[at] ^= 1;
    assert_eq!(stage.meta.post(&forged).await.unwrap(), 401);
    forged.headers.clear();
    assert_eq!(stage.meta.post(&forged).await.unwrap(), 401);
    assert_eq!(deliveries(&caller, &id).await, ["whatsapp meta accepted"]);
    assert_eq!(stage.twilio.messages().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_provider_costs_its_timeout_and_the_next_one_takes_the_message() {
    let stage = Stage::set("whatsapp = [\"meta\", \"gupshup\"]").await;
    stage.meta.set_mode(Mode::Hang);
    let (_server, caller) = stage.serve();
    let body = json!({"to": NUMBER, "channel": "whatsapp"});
    let started = caller.post("/v1/verifications", body).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let id = started.id();
    let expected = ["whatsapp meta unknown", "whatsapp gupshup accepted"];
    assert_eq!(deliveries(&caller, &id).await, expected);
    assert_eq!(only(&stage.meta).code, only(&stage.gupshup).code);
}

async fn sms(caller: &Caller) -> (u16, String) {
    let body = json!({"to": NUMBER, "channel": "sms"});
    let answer = caller.post("/v1/verifications", body).await;
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_no_provider_could_take_costs_no_slot() {
    let stage = Stage::set("sms = [\"twilio_sms\"]").await;
    let (_server, caller) = stage.serve();
    stage.twilio.shutdown().await;
    for _ in 0..4 {
        assert_eq!(sms(&caller).await, (503, "delivery-failed".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_the_provider_refuses_has_had_its_slot() {
    let stage = Stage::set("sms = [\"twilio_sms\"]").await;
    stage.twilio.set_mode(Mode::Refuse {
        code: Some(21_211),
        status: None,
    });
    let (_server, caller) = stage.serve();
    for _ in 0..3 {
        assert_eq!(
            sms(&caller).await,
            (422, "recipient-unreachable".to_owned())
        );
    }
    assert_eq!(sms(&caller).await, (429, "rate-limited".to_owned()));
}
