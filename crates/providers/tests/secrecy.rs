//! Nothing secret in a log, a delivery, an outcome or the health of a provider, however much an
//! upstream echoes. In a process of its own: it listens to every log line of every library.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tracing::field::{Field, Visit};
use tracing::span;
use watchword_core::fakes::{SeededEntropy, SetClock};
use watchword_core::routing::{Duplicates, Route};
use watchword_core::{
    AppId, Channel, Clock, Code, Envelope, Messenger, Purpose, Recipient, TemplateSettings,
    Templates, VerificationId,
};
use watchword_providers::{Builder, Courier, CourierParts, ProviderSettings};

const CODE: &str = "402718";
const NUMBER: &str = "+12015550123";
const ADDRESS: &str = "ann.lee@mail.example";
const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PASSWORD: &str = "hunter2";
const SID: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "t0ken-in-the-url";

/// A wait that nobody keeps within a dispatch.
const SLOW: &str = "429 Slow\r\nretry-after: 600";

/// A subscriber that keeps everything it is told, at every level, by everybody.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut Writer(&mut self.0.lock()));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Writer(&mut self.0.lock()));
    }

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Writer(&mut self.0.lock()));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Writer<'a>(&'a mut String);

impl Visit for Writer<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0, "{field}={value:?}");
    }
}

/// A receiver that answers with this status and everything it was sent.
#[allow(clippy::unwrap_used, reason = "a test")]
async fn echoing_http(status: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let mut read = 0;
            while !whole(&request[..read]) {
                match stream.read(&mut request[read..]).await {
                    Ok(0) | Err(_) => break,
                    Ok(more) => read += more,
                }
            }
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {read}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&request[..read]).await;
        }
    });
    port
}

/// Whether all of a request is there, as its `Content-Length` says.
fn whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = request.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    length.and_then(|length| length.trim().parse().ok()) == Some(body.len())
}

/// A mail server that takes any password, and refuses with the latest of what it was sent, and the
/// password and address from before.
#[allow(clippy::unwrap_used, reason = "a test")]
async fn echoing_smtp(refuses: &'static str, code: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let _ = stream.write_all(b"220 hello\r\n").await;
            let (mut line, mut all) = (String::new(), String::new());
            let mut mail = false;
            while stream.read_line(&mut line).await.is_ok_and(|n| n > 0) {
                // Clients take no reply line of more than 1000 bytes.
                if all.len() < 600 || line.contains(CODE) {
                    all.push_str(line.trim_end());
                }
                let command = line.get(..4).unwrap_or_default().to_owned();
                let reply = match &*command {
                    "EHLO" => "250-hello\r\n250 AUTH PLAIN\r\n".to_owned(),
                    "AUTH" => "235 2.7.0 OK\r\n".to_owned(),
                    _ if mail && line == ".\r\n" => format!("{code} <{all}>\r\n"),
                    _ if mail => String::new(),
                    _ if command == refuses => format!("{code} <{all}>\r\n"),
                    "DATA" => "354 go on\r\n".to_owned(),
                    _ => "250 2.0.0 OK\r\n".to_owned(),
                };
                mail |= reply.starts_with("354");
                let _ = stream.write_all(reply.as_bytes()).await;
                line.clear();
            }
        }
    });
    port
}

#[allow(clippy::unwrap_used, reason = "a test")]
fn envelope(to: &str, channel: Channel) -> Envelope {
    Envelope {
        verification: VerificationId::from_bytes([3; 16]),
        app: AppId::default(),
        to: Recipient::from_canonical(to),
        code: Code::parse(CODE).unwrap(),
        purpose: Purpose::default(),
        locale: Some("de".to_owned()),
        expires_at: SetClock::default().now().plus(Duration::from_mins(5)),
        channels: vec![channel],
    }
}

#[tokio::test]
async fn no_log_delivery_outcome_or_health_holds_a_secret() {
    let everything = Everything::default();
    tracing::subscriber::set_global_default(everything.clone()).unwrap();

    let clock: Arc<dyn Clock> = Arc::new(SetClock::default());
    let mut builder = Builder::new(Arc::clone(&clock), None);
    let mut providers = Vec::new();
    let (mut hooks, mut mails) = (Vec::new(), Vec::new());
    for status in ["400 Bad", "401 No", SLOW, "500 Oops"] {
        let port = echoing_http(status).await;
        let url = format!("http://127.0.0.1:{port}/{TOKEN}");
        let toml = format!("kind = 'webhook'\nurl = '{url}'\nsecret = '{KEY}'");
        let settings: ProviderSettings = toml::from_str(&toml).unwrap();
        hooks.push(format!("hook{}", hooks.len()));
        providers.push(builder.build(hooks.last().unwrap(), &settings).unwrap());
    }
    for (command, code) in [
        ("MAIL", "451"),
        ("RCPT", "450"),
        ("DATA", "554"),
        ("none", "451 4.3.0"),
        ("none", "550 5.7.1"),
    ] {
        let port = echoing_smtp(command, code).await;
        let url = format!("smtp://ann:{PASSWORD}@127.0.0.1:{port}");
        let toml = format!("kind = 'smtp'\nurl = '{url}'\nfrom = 'codes@example.com'");
        let settings: ProviderSettings = toml::from_str(&toml).unwrap();
        mails.push(format!("mail{}", mails.len()));
        providers.push(builder.build(mails.last().unwrap(), &settings).unwrap());
    }
    // Providers with an API of their own: they get everything back that they sent.
    let twilio = format!("account_sid = '{SID}'\nauth_token = '{PASSWORD}'\nfrom = '+12015550100'");
    let mut routes = BTreeMap::from([(Channel::Sms, hooks), (Channel::Email, mails)]);
    for status in ["400 Bad", "401 No", SLOW, "500 Oops"] {
        for (kind, more, channel) in [
            ("twilio-sms", twilio.clone(), Channel::Sms),
            (
                "twilio-whatsapp",
                format!("{twilio}\ncontent_sid = 'HX0123456789abcdef0123456789abcdef'"),
                Channel::Whatsapp,
            ),
            ("twilio-voice", twilio.clone(), Channel::Voice),
            (
                "meta-whatsapp",
                format!(
                    "phone_number_id = '1'\naccess_token = '{PASSWORD}'\ntemplate = 'code'
                     language = 'en'\napp_secret = '{PASSWORD}'"
                ),
                Channel::Whatsapp,
            ),
            (
                "gupshup-whatsapp",
                format!(
                    "api_key = '{PASSWORD}'\nsource = '12015550100'\napp_name = 'x'
                     template_id = 'x'"
                ),
                Channel::Whatsapp,
            ),
        ] {
            let port = echoing_http(status).await;
            let toml = format!("kind = '{kind}'\nbase_url = 'http://127.0.0.1:{port}'\n{more}");
            let settings: ProviderSettings = toml::from_str(&toml).unwrap();
            let names = routes.entry(channel).or_default();
            let name = format!("{kind}{}", names.len());
            providers.push(builder.build(&name, &settings).unwrap());
            names.push(name);
        }
    }
    let courier = Courier::new(CourierParts {
        providers,
        routes: routes
            .into_iter()
            .map(|(channel, names)| (channel, Route::new(names)))
            .collect(),
        templates: Templates::new(&TemplateSettings::default()).unwrap(),
        app_templates: BTreeMap::new(),
        duplicates: Duplicates::default(),
        clock,
        entropy: Arc::new(SeededEntropy::new(1)),
        observer: Arc::new(()),
    })
    .unwrap();

    let mut shown = String::new();
    let mut tried = 0;
    for (to, channel) in [
        (NUMBER, Channel::Sms),
        (ADDRESS, Channel::Email),
        (NUMBER, Channel::Whatsapp),
        (NUMBER, Channel::Voice),
    ] {
        let deadline = Duration::from_secs(60);
        let dispatch = courier.dispatch(envelope(to, channel), deadline).await;
        tried += dispatch.deliveries.len();
        let _ = writeln!(shown, "{dispatch:?}");
    }
    assert_eq!(tried, 4 + 5 + 4 * 5, "{shown}");
    let _ = writeln!(shown, "{:?}", courier.health());
    let logged = everything.0.lock().clone();
    for expected in ["misconfigured", "hook1", "451 4.3.0", "mail3"] {
        assert!(logged.contains(expected), "{expected}: {logged}");
    }
    let number = NUMBER.trim_start_matches('+');
    // AUTH PLAIN carries the password like this.
    let plain = "AGFubgBodW50ZXIy";
    // As calls say it, and as forms carry it.
    let spoken = "4, 0, 2, 7, 1, 8";
    let encoded = "4%2C+0%2C+2";
    // `Basic` carries SID and password like this.
    let basic = "ZjpodW50ZXIy";
    for secret in [
        CODE,
        number,
        ADDRESS,
        TOKEN,
        &KEY[6..],
        PASSWORD,
        plain,
        spoken,
        encoded,
        basic,
    ] {
        assert!(!logged.contains(secret), "{secret} in {logged}");
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}
