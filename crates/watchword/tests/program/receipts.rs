//! The program and its providers: receipts, fallback and failover, with stand-ins that hold every request
//! against the providers' contracts.

use serde_json::{Value, json};
use watchword_stand_ins::{Family, Mode, Options, Receipt, StandIn, Taken};

use crate::leaks::{Sink, holds};
use crate::server::{Answer, Caller, Server, configure, files, folder, make_key};

const PUBLIC: &str = "https://otp.example.com";
const NUMBER: &str = "+12015550123";

/// The three providers, and a folder with a configuration that sends to them.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    pub(crate) meta: StandIn,
    pub(crate) gupshup: StandIn,
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
    pub(crate) async fn set(channels: &str) -> Self {
        Self::set_with(channels, "").await
    }

    /// With more tables.
    async fn set_with(channels: &str, tables: &str) -> Self {
        let meta = stand_in(Family::Meta, "meta").await;
        let gupshup = stand_in(Family::Gupshup, "gupshup").await;
        let twilio = stand_in(Family::Twilio, "twilio_sms").await;
        let folder = folder();
        let providers = [
            ("meta", &meta, "meta-whatsapp"),
            ("gupshup", &gupshup, "gupshup-whatsapp"),
            ("twilio_sms", &twilio, "twilio-sms"),
        ];
        let provider_tables = providers.map(|(name, stand_in, kind)| {
            let settings = stand_in.settings(kind).unwrap();
            format!("[providers.{name}]\n{settings}timeout = \"1s\"\n")
        });
        let more = format!(
            "public_url = \"{PUBLIC}\"\n[log]\nlevel = \"trace\"\n[policy]\ncode_length = 10\nresend_cooldown = \"0s\"\n\
             {tables}[channels]\n{channels}\n{}",
            provider_tables.concat()
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

    pub(crate) fn serve(&self) -> (Server, Caller) {
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
        "watchword_receipts_total{provider=\"meta\",status=\"failed\"} 3",
        "watchword_receipts_total{provider=\"twilio_sms\",status=\"delivered\"} 1",
        "watchword_verifications_started_total{channel=\"whatsapp\",provider=\"meta\",country=\"US\"} 1",
        "watchword_verifications_approved_total{channel=\"sms\",provider=\"twilio_sms\",country=\"US\"} 1",
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

/// Class and number of each delivery that is known not to have arrived, or not known to.
fn errors(verification: &Value) -> Vec<Option<&str>> {
    let all = verification["deliveries"].as_array().unwrap().iter();
    all.map(|one| one["error"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_needs_an_operator_says_so_in_health_metric_log_and_answer() {
    let stage = Stage::set("whatsapp = [\"meta\", \"gupshup\"]\nsms = [\"twilio_sms\"]").await;
    stage.meta.set_mode(Mode::Refuse {
        code: Some(190),
        status: None,
    });
    stage.gupshup.set_mode(Mode::Throttle { retry_after: 600 });
    let (server, caller) = stage.serve();
    let health = format!("{}/health/providers", server.admin);
    let standing = async || {
        let answer = caller.get(&health).await;
        assert_eq!(answer.status, 200);
        let mut report = answer.json();
        report["providers"].as_array_mut().unwrap().split_off(0)
    };
    for provider in standing().await {
        assert_eq!(provider["state"], "available", "{provider}");
        assert_eq!(provider["failure"], Value::Null, "{provider}");
    }

    let started = start(&caller, NUMBER).await;
    assert_eq!(started.status, 201, "{}", started.text);
    let body = started.json();
    let [meta, gupshup, taken] = errors(&body)[..] else {
        panic!("{}", started.text);
    };
    assert_eq!((meta, taken), (Some("misconfigured: 190"), None));
    assert!(gupshup.unwrap().starts_with("throttled"), "{gupshup:?}");
    let failed = |error: Option<&str>| {
        let error = error.unwrap();
        error
            .chars()
            .all(|sign| sign.is_ascii_alphanumeric() || "_: ".contains(sign))
    };
    assert!(failed(meta) && failed(gupshup), "a class and a number only");

    let providers = standing().await;
    let named = |name: &str| providers.iter().find(|one| one["name"] == name).unwrap();
    let meta = named("meta");
    assert_eq!(
        (&meta["kind"], &meta["state"]),
        (&json!("meta-whatsapp"), &json!("open"))
    );
    assert_eq!(meta["channels"], json!(["whatsapp"]));
    assert_eq!(meta["failure"], "misconfigured: 190");
    assert!(
        (1..=30).contains(&meta["retry_in"].as_u64().unwrap()),
        "{meta}"
    );
    let gupshup = named("gupshup");
    assert_eq!(gupshup["state"], "held");
    assert!(
        (1..=600).contains(&gupshup["held_for"].as_u64().unwrap()),
        "{gupshup}"
    );
    assert_eq!(named("twilio_sms")["state"], "available");
    let ready = caller.get(&format!("{}/readyz", server.admin)).await;
    assert_eq!(ready.status, 200, "no provider makes a server unready");

    let metrics = caller.get(&format!("{}/metrics", server.admin)).await.text;
    for line in [
        "watchword_provider_available{provider=\"meta\"} 0",
        "watchword_provider_available{provider=\"gupshup\"} 1",
        "watchword_provider_failure{provider=\"meta\",class=\"misconfigured\"} 1",
        "watchword_provider_failure{provider=\"gupshup\",class=\"throttled\"} 1",
        "watchword_provider_held_seconds{provider=\"meta\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let held = "watchword_provider_held_seconds{provider=\"gupshup\"} ";
    let held = metrics
        .lines()
        .find_map(|line| line.strip_prefix(held))
        .unwrap();
    let held: f64 = held.parse().unwrap();
    assert!(held > 0.0 && held <= 600.0, "{held}");
    assert!(!metrics.contains("watchword_provider_failure{provider=\"twilio_sms\""));
    let log = server.log_text();
    assert!(log.contains("the provider needs an operator"), "{log}");
    assert!(log.contains("breaker opened"), "{log}");
}

/// Refusals, failover, receipts right and forged, and a fallback, at the most verbose log level and with
/// traces: what of it is written anywhere.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_written_of_failover_receipts_and_fallback_holds_a_secret() {
    let collector = Sink::start();
    let endpoint = format!("http://127.0.0.1:{}", collector.port);
    let stage = Stage::set_with(
        "whatsapp = [\"meta\", \"gupshup\"]\nsms = [\"twilio_sms\"]",
        &format!("[telemetry]\notlp_endpoint = \"{endpoint}\"\n"),
    )
    .await;
    let (server, caller) = stage.serve();
    let mut places = Vec::new();
    let mut codes = Vec::new();
    // One that is taken, one whose recipient is refused, one that goes to the next provider.
    let modes = [
        Mode::AcceptWithoutReceipts,
        Mode::ErrorInside { code: None },
        Mode::Refuse {
            code: Some(190),
            status: None,
        },
    ];
    for (nth, mode) in modes.into_iter().enumerate() {
        stage.meta.set_mode(mode);
        let started = start(&caller, &format!("+1201555012{nth}")).await;
        assert_eq!(started.status, 201, "{}", started.text);
        places.push(("an answer".to_owned(), started.text.into_bytes()));
    }
    for (stand_in, number) in [(&stage.meta, 131_026), (&stage.gupshup, 1013)] {
        let failed = Receipt::failed("failed", number);
        for message in stand_in.messages().into_iter().filter(|one| one.accepted) {
            codes.extend(message.code);
            let mut forged = stand_in.callback(&message.id, &failed).unwrap();
            forged.url = forged.url.replace(PUBLIC, &server.api);
            forged.url = forged.url.replace("token=", "token=x");
            forged.headers.clear();
            assert_eq!(stand_in.post(&forged).await.unwrap(), 401);
            assert_eq!(tell(&server, stand_in, &message.id, &failed).await, 200);
        }
    }
    stage.twilio.wait_for_messages(3).await;
    for message in stage.twilio.messages() {
        codes.extend(message.code.clone());
        let delivered = Receipt::new("delivered");
        assert_eq!(
            tell(&server, &stage.twilio, &message.id, &delivered).await,
            200
        );
    }
    assert!(
        codes.len() == 5 && codes.iter().all(|code| code.len() == 10),
        "{codes:?}"
    );
    for path in ["metrics", "health/providers"] {
        let page = caller.get(&format!("{}/{path}", server.admin)).await;
        places.push((path.to_owned(), page.text.into_bytes()));
    }
    assert!(server.stop().success());

    let spans = collector.bodies();
    let of_callbacks = |body: &Vec<u8>| body.windows(11).any(|part| part == b"/callbacks/");
    assert!(spans.iter().any(of_callbacks), "callbacks have spans");
    places.extend(spans.into_iter().map(|body| ("a trace".to_owned(), body)));
    let written = files(stage.folder.path()).into_iter();
    // The configuration itself holds secrets.
    let written = written.filter(|(path, _)| !path.ends_with("watchword.toml"));
    places.extend(written.map(|(path, bytes)| (path.display().to_string(), bytes)));
    assert!(
        places
            .iter()
            .any(|(name, bytes)| name.ends_with("log") && !bytes.is_empty())
    );
    let mut secrets = vec![
        "+12015550120".to_owned(),
        "12015550121".to_owned(),
        "12015550122".to_owned(),
        stage.key[15..67].to_owned(),
    ];
    let kinds = [
        "access-token",
        "app-secret",
        "verify-token",
        "auth-token",
        "api-key",
        "callback-token",
    ];
    secrets.extend(kinds.map(|kind| format!("stand-in-{kind}")));
    secrets.extend(codes);
    for (name, bytes) in &places {
        for secret in &secrets {
            assert!(!holds(bytes, secret), "{secret} is in {name}");
        }
    }
}
