//! Each configuration in `examples/`, started as its page says and asked what its page asks, with local
//! peers in place of providers.

use std::path::{Path, PathBuf};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tempfile::TempDir;
use watchword_stand_ins::{Family, Options, StandIn, account};

use crate::mail::{MailServer, six_digits};
use crate::server::{Answer, Caller, Server, another, folder, keygen, program, run};
use crate::{postgres, redis};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// A copy of an example, with its environment file as `.env`.
struct Example {
    folder: TempDir,
    /// What is set in the environment, above the `.env`: where peers are, and what they know.
    variables: Vec<(String, String)>,
}

impl Example {
    /// The copy, whose one empty line in the environment file is filled in.
    fn of(name: &str) -> Self {
        let folder = folder();
        let text = |file: &str| std::fs::read_to_string(examples().join(name).join(file)).unwrap();
        let key = keygen(folder.path());
        let filled = |line: &str| match line.ends_with("SECRET_KEY=") {
            true => format!("{line}{key}\n"),
            false => format!("{line}\n"),
        };
        let dotenv: String = text("env.example").lines().map(filled).collect();
        assert!(dotenv.contains(&key), "{name}");
        std::fs::write(folder.path().join(".env"), dotenv).unwrap();
        std::fs::write(folder.path().join("watchword.toml"), text("watchword.toml")).unwrap();
        let variables = Vec::new();
        Self { folder, variables }
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// With the account of a stand-in under the names of the example, and its address.
    fn with_twilio(self, names: &str, provider: &str, twilio: &StandIn) -> Self {
        self.with(&format!("{names}_ACCOUNT_SID"), account::TWILIO_ACCOUNT_SID)
            .with(&format!("{names}_AUTH_TOKEN"), account::TWILIO_AUTH_TOKEN)
            .with(&format!("{names}_SENDER"), account::TWILIO_NUMBER)
            .with(
                &format!("WATCHWORD__PROVIDERS__{provider}__BASE_URL"),
                twilio.base_url(),
            )
    }

    fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = program(self.folder.path());
        command.args(args).envs(self.variables.iter().cloned());
        command
    }

    /// Says what `config check` says of it as it is.
    fn checks(self) -> Self {
        let checked = run(&mut self.command(&["config", "check"]));
        assert_eq!(checked.code, 0, "{}", checked.err);
        self
    }

    /// Starts it, on free ports.
    fn serve(&self) -> (Server, Caller) {
        let mut command = self.command(&["serve"]);
        command
            .env("WATCHWORD__LISTENERS__0__BIND", "127.0.0.1:0")
            .env("WATCHWORD__ADMIN__BIND", "127.0.0.1:0");
        let server = Server::start(command, self.folder.path());
        let caller = Caller::new(&server, None);
        (server, caller)
    }
}

async fn stand_in(family: Family) -> StandIn {
    StandIn::start(family, Options::default()).await.unwrap()
}

/// The code in the newest message.
fn newest(stand_in: &StandIn) -> String {
    let messages = stand_in.messages();
    messages.last().unwrap().code.clone().unwrap()
}

fn is(answer: &Answer, status: u16, expected: Value) {
    assert_eq!((answer.status, answer.json()), (status, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_auth_logs_in_by_whatsapp() {
    let meta = stand_in(Family::Meta).await;
    let provider = |name: &str| format!("WATCHWORD__PROVIDERS__META__{name}");
    let example = Example::of("auth")
        .checks()
        .with(&provider("PHONE_NUMBER_ID"), account::META_PHONE_NUMBER_ID)
        .with(&provider("ACCESS_TOKEN"), account::META_ACCESS_TOKEN)
        .with(&provider("APP_SECRET"), account::META_APP_SECRET)
        .with(&provider("BASE_URL"), meta.base_url());
    let (_server, caller) = example.serve();
    let asked = json!({"mobile_number": "+1 202 555 0123", "remember_me": true});
    let sent = caller.post("/api/v1/auth/request-otp", asked).await;
    let expected = json!({"message": "OTP sent successfully", "expires_in": 300});
    is(&sent, 200, expected);
    let typed = json!({"mobile_number": "+12025550123", "otp": newest(&meta)});
    let verified = caller.post("/api/v1/auth/verify-otp", typed).await;
    assert_eq!(verified.status, 200, "{}", verified.text);
    assert_eq!(verified.json()["expires_in"], json!(30 * 24 * 3600));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_auth_sms_registers_and_lives_by_its_own_names() {
    let twilio = stand_in(Family::Twilio).await;
    let example = Example::of("auth-sms")
        .checks()
        .with("SECRET_KEY", "9c1d03b7e5f2a8460b7d1e9f3c5a8264")
        .with("ACCESS_TOKEN_EXPIRE_MINUTES", "7")
        .with("OTP_EXPIRY_MINUTES", "4")
        .with_twilio("SMS_TWILIO", "SMS_ENV", &twilio);
    let (server, caller) = example.serve();
    let details =
        json!({"email": "ada@example.com", "mobile": "2025550123", "password": "correct horse"});
    let sent = caller.post("/api/v1/auth/register", details.clone()).await;
    let expected = json!({"message": "OTP sent to your mobile number for verification."});
    is(&sent, 202, expected);
    let message = twilio.messages().pop().unwrap();
    assert_eq!(message.to, "+12025550123");
    assert!(message.text.unwrap().contains("4 minutes"));
    let typed = json!({"mobile": "2025550123", "otp": newest(&twilio)});
    let verified = caller.post("/api/v1/auth/verify-otp", typed).await;
    assert_eq!(verified.status, 200, "{}", verified.text);
    assert_eq!(verified.json()["expires_in"], json!(7 * 60));
    // The account is in the file that DATABASE_URL names, and the same secret opens it again.
    assert!(server.stop().success());
    assert!(example.folder.path().join("app.db").exists());
    let (_server, caller) = example.serve();
    let again = caller.post("/api/v1/auth/register", details).await;
    assert_eq!(again.status, 409, "{}", again.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_otp_sends_by_mail_sms_and_whatsapp() {
    let twilio = stand_in(Family::Twilio).await;
    let example = Example::of("otp").checks();
    let at = |name: &str| example.folder.path().join(name);
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(at("cert.pem"), cert.pem()).unwrap();
    std::fs::write(at("key.pem"), signing_key.serialize_pem()).unwrap();
    let told = json!({
        "tls": "starttls", "cert": at("cert.pem"), "key": at("key.pem"),
        "auth": ["codes@example.com", "p@ss/word"],
    });
    let Some(mut mail_server) = MailServer::start(&told) else {
        return;
    };
    let example = example
        .with("EMAIL_HOST", "localhost")
        .with("EMAIL_PORT", mail_server.port.to_string())
        .with("EMAIL_HOST_PASSWORD", "p@ss/word")
        .with("WATCHWORD__PROVIDERS__EMAIL_ENV__CA_FILE", "cert.pem")
        .with_twilio("SMS_TWILIO", "SMS_ENV", &twilio)
        .with_twilio("WA_TWILIO", "WA_ENV", &twilio)
        .with("WA_TWILIO_CONTENT_SID", account::TWILIO_CONTENT_SID);
    let (_server, caller) = example.serve();
    let generate = async |channel: &str, identifier: &str| {
        let body = json!({"channel": channel, "identifier": identifier});
        let sent = caller.post("/api/otp/generate", body).await;
        assert_eq!(sent.status, 200, "{}", sent.text);
        assert_eq!(sent.json()["detail"], json!("OTP sent"));
    };
    let verify = async |channel: &str, identifier: &str, code: &str| {
        let body = json!({"channel": channel, "identifier": identifier, "code": code});
        let verified = caller.post("/api/otp/verify", body).await;
        is(&verified, 200, json!({"detail": "Verified"}));
    };
    generate("email", "ada@example.com").await;
    let mail = mail_server.mail();
    assert_eq!(
        (&mail["tls"], &mail["user"]),
        (&json!(true), &json!("codes@example.com"))
    );
    let content = mail["content"].as_str().unwrap();
    assert!(
        content.contains("Subject: Your verification code"),
        "{content}"
    );
    let code = six_digits(content);
    assert!(
        content.contains(&format!("Your OTP code is: {code}")),
        "{content}"
    );
    verify("email", "ada@example.com", &code).await;
    for (channel, number) in [("sms", "+12025550123"), ("whatsapp", "+12025550124")] {
        generate(channel, number).await;
        assert_eq!(twilio.messages().pop().unwrap().channel, channel);
        verify(channel, number, &newest(&twilio)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_whatsapp_keeps_codes_in_the_database_of_its_own_name() {
    let Some(installed) = postgres::Installed::find() else {
        return;
    };
    let mut database = postgres::Server::start(installed);
    let gupshup = stand_in(Family::Gupshup).await;
    let example = Example::of("whatsapp")
        .checks()
        .with("GUPSHUP_API_KEY", account::GUPSHUP_API_KEY)
        .with("GUPSHUP_SOURCE", account::GUPSHUP_SOURCE)
        .with("GUPSHUP_TEMPLATE_ID", account::GUPSHUP_TEMPLATE_ID)
        .with("GUPSHUP_SRC_NAME", account::GUPSHUP_APP_NAME)
        .with(
            "GUPSHUP_API_URL",
            format!("{}/wa/api/v1/template/msg", gupshup.base_url()),
        )
        .with("SUPABASE_DB_URL", database.url("postgres"));
    let (server, caller) = example.serve();
    let number = json!({"phone_number": "+1234567890"});
    let sent = caller.post("/send-otp", number.clone()).await;
    let expected = json!({"success": true, "message": "OTP sent successfully", "data": number});
    is(&sent, 200, expected);
    // The code outlives this process: it is in the database.
    assert!(server.stop().success());
    assert!(!example.folder.path().join("watchword.db").exists());
    let (_server, caller) = example.serve();
    let typed = json!({"phone_number": "+1234567890", "otp": newest(&gupshup)});
    let verified = caller.post("/verify-otp", typed).await;
    let expected = json!({"success": true, "message": "OTP verified successfully", "data": number});
    is(&verified, 200, expected);
    let health = caller.get("/health").await;
    let healthy = json!({"status": "healthy", "message": "WhatsApp OTP API is running"});
    is(&health, 200, healthy.clone());

    // And while that is away, in the file of the same folder.
    tokio::task::block_in_place(|| database.kill());
    let is_degraded = async || caller.get("/health").await.json()["status"] == "degraded";
    while !is_degraded().await {}
    is(
        &caller.post("/send-otp", number.clone()).await,
        200,
        sent.json(),
    );
    tokio::task::block_in_place(|| assert!(database.run(), "{}", database.log()));
    while is_degraded().await {}
    is(&caller.get("/health").await, 200, healthy);
    let typed = json!({"phone_number": "+1234567890", "otp": newest(&gupshup)});
    is(
        &caller.post("/verify-otp", typed).await,
        200,
        verified.json(),
    );
    assert!(example.folder.path().join("watchword-fallback.db").exists());
}

/// As the replaced service does, when no database is named.
#[test]
fn the_example_whatsapp_needs_no_database() {
    let example = Example::of("whatsapp");
    let dotenv = example.folder.path().join(".env");
    let text = std::fs::read_to_string(&dotenv).unwrap();
    let kept = text.lines().filter(|line| !line.starts_with("SUPABASE_"));
    std::fs::write(&dotenv, kept.collect::<Vec<_>>().join("\n")).unwrap();
    let shown = run(&mut example.checks().command(&["config", "show"])).out;
    assert!(shown.contains("sqlite:watchword.db"), "{shown}");
    assert!(!shown.contains("fallback_path"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_uuid_hands_codes_to_those_who_may_read_them() {
    if !redis::is_there() {
        return;
    }
    let password = "p@ss/word";
    let database = redis::RedisServer::start(&["--requirepass", password]);
    let example = Example::of("uuid")
        .checks()
        .with("REDIS_PORT", database.port.to_string())
        .with("REDIS_PASSWORD", password);
    let scopes = "verifications:write,verifications:check,codes:read";
    let made = run(&mut example.command(&["apikey", "create", "app", "--scope", scopes]));
    assert_eq!(made.code, 0, "{}", made.err);
    let (server, nobody) = example.serve();
    let body = json!({"ttl": 120, "retry_limit": 3, "code_length": 8, "strict_validation": true,
                      "use_alpha_numeric": true});
    assert_eq!(nobody.post("/", body.clone()).await.status, 401);
    let caller = Caller::new(&server, Some(made.out.trim()));
    let generated = caller.post("/", body.clone()).await;
    assert_eq!(generated.status, 200, "{}", generated.text);
    let generated = generated.json();
    assert_eq!(generated["message"], json!("OTP_GENERATED"));
    let text = |name: &str| generated["info"][name].as_str().unwrap().to_owned();
    assert_eq!(text("otp").len(), 8);
    let path = format!("/{}/{}", text("uuid"), text("otp"));
    let verified = caller
        .try_send("GET", &path, Some(&body), &[])
        .await
        .unwrap();
    let expected = json!({"status": 200, "message": "OTP_VERIFIED"});
    is(&verified, 200, expected);
    let health = caller.get("/health").await;
    let expected =
        json!({"status": 200, "message": "SERVICE_HEALTH", "info": {"redis_status": "OK"}});
    is(&health, 200, expected);
    assert!(!example.folder.path().join("watchword.db").exists());
}

#[test]
fn codes_by_handle_that_could_reach_nobody_are_refused() {
    let example = Example::of("uuid").with("WATCHWORD__SURFACES__UUID__REQUIRE_API_KEY", "false");
    let said = run(&mut example.command(&["config", "check"]));
    assert_eq!(
        (said.code, said.err.lines().count()),
        (1, 1),
        "{}",
        said.err
    );
    assert!(said.err.contains("scope codes:read"), "{}", said.err);
}

/// Without any file, the names of the replaced service, the surface and the secret key are enough.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_alone_is_a_server() {
    let twilio = stand_in(Family::Twilio).await;
    let folder = folder();
    let example = Example {
        variables: Vec::new(),
        folder,
    };
    let key = keygen(example.folder.path());
    let example = example
        .with("WATCHWORD__SECRET_KEY", key)
        .with("WATCHWORD__LISTENERS__0__SURFACES", "otp")
        .with("OTP_CODE_LENGTH", "8")
        .with("OTP_TTL_SECONDS", "90")
        .with("OTP_MAX_ATTEMPTS", "2")
        .with("OTP_RESEND_COOLDOWN_SECONDS", "7")
        .with_twilio("SMS_TWILIO", "SMS_ENV", &twilio)
        // Not enough for WhatsApp, and no reason not to start.
        .with("WA_TWILIO_ACCOUNT_SID", account::TWILIO_ACCOUNT_SID)
        .with("WA_TWILIO_AUTH_TOKEN", account::TWILIO_AUTH_TOKEN)
        .with("WA_TWILIO_SENDER", account::TWILIO_NUMBER);
    let (server, caller) = example.serve();
    assert!(server.log_text().contains("set WA_TWILIO_CONTENT_SID"));
    let body = json!({"channel": "sms", "identifier": "+12025550123"});
    let sent = caller.post("/api/otp/generate", body.clone()).await;
    assert_eq!(sent.status, 200, "{}", sent.text);
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let lives = sent.json()["expires_at"].as_u64().unwrap() - now;
    assert!((60..=90).contains(&lives), "{lives}");
    let code = newest(&twilio);
    assert_eq!(code.len(), 8);
    let again = caller.post("/api/otp/generate", body.clone()).await;
    assert_eq!(again.status, 429);
    assert!(
        !again.headers.contains("\"retry-after\": \"30\""),
        "{}",
        again.headers
    );
    let mut wrong = body.clone();
    wrong["code"] = json!(another(&code));
    let mut right = body;
    right["code"] = json!(code);
    for _ in 0..2 {
        let refused = caller.post("/api/otp/verify", wrong.clone()).await;
        is(&refused, 400, json!({"detail": "Invalid or expired code"}));
    }
    // The attempts are used up.
    let late = caller.post("/api/otp/verify", right).await;
    is(&late, 400, json!({"detail": "Invalid or expired code"}));
    let whatsapp = json!({"channel": "whatsapp", "identifier": "+12025550124"});
    let refused = caller.post("/api/otp/generate", whatsapp).await;
    is(
        &refused,
        500,
        json!({"detail": "WhatsApp provider not configured"}),
    );

    let strict = example
        .with("WATCHWORD__LISTENERS__0__BIND", "127.0.0.1:0")
        .with("OTP_REQUIRE_PROVIDER_CONFIG", "false");
    let said = run(&mut strict.command(&["config", "check"]));
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("surfaces.otp.require_provider_config: is false"),
        "{}",
        said.err
    );
}

/// Nobody starts a server with values that are to be replaced.
#[test]
fn every_example_has_its_page_and_no_secret() {
    for entry in std::fs::read_dir(examples()).unwrap().flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        let text = |file: &str| std::fs::read_to_string(entry.path().join(file)).unwrap();
        let page = text("README.md");
        assert!(page.contains("watchword serve") && page.contains("curl -s http://127.0.0.1:"));
        let bind = text("watchword.toml");
        let bind = bind.lines().find_map(|line| line.strip_prefix("bind = \""));
        let bind = bind.unwrap().trim_end_matches('"');
        assert!(page.contains(&format!("curl -s http://{bind}/")), "{page}");
        let said = run(program(entry.path().as_path()).args(["config", "check"]));
        assert_eq!(said.code, 1);
        for line in text("env.example").lines() {
            let Some((name, value)) = line.split_once('=') else {
                continue;
            };
            let secret = ["TOKEN", "PASSWORD", "API_KEY", "_SECRET"];
            if !name.starts_with('#') && secret.iter().any(|part| name.ends_with(part)) {
                assert_eq!(value, "change-me", "{name}");
            }
        }
    }
}
