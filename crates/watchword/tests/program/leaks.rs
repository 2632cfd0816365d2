//! Nothing that is written anywhere holds a code, a key, a secret or a full recipient.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::{Caller, Server, another, configure, files, folder, make_key};

/// An HTTP server that takes everything and keeps the bodies.
pub(crate) struct Sink {
    pub(crate) port: u16,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, told) = (Arc::clone(&bodies), Arc::clone(&heads));
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (kept, told) = (Arc::clone(&kept), Arc::clone(&told));
                std::thread::spawn(move || Self::take(&socket, &kept, &told));
            }
        });
        Self {
            port,
            bodies,
            heads,
        }
    }

    fn take(socket: &TcpStream, kept: &Mutex<Vec<Vec<u8>>>, told: &Mutex<Vec<String>>) {
        let mut reader = BufReader::new(socket);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            let head = line.trim_end().to_ascii_lowercase();
            if let Some(value) = head.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
            told.lock().unwrap().push(head.clone());
            if !head.is_empty() {
                continue;
            }
            let mut body = vec![0; length];
            if reader.read_exact(&mut body).is_err() {
                return;
            }
            kept.lock().unwrap().push(body);
            let mut writer = socket;
            if writer
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .is_err()
            {
                return;
            }
        }
    }

    /// The lines of all heads so far, in lower case.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().unwrap().clone()
    }
}

/// The ways in which a secret may be written down.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let percent: String = secret
        .bytes()
        .map(|byte| match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(&b) => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut all = vec![
        secret.as_bytes().to_vec(),
        percent.to_lowercase().into_bytes(),
        percent.into_bytes(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ];
    // In base64 a text looks different at each of three places; the ends mix with their
    // neighbours and are left out.
    for before in 0..3 {
        let padded = format!("{}{secret}", "\0".repeat(before));
        let encoded = STANDARD.encode(padded);
        let from = (before * 8).div_ceil(6);
        let to = (before + secret.len()) * 8 / 6;
        all.push(encoded.as_bytes()[from..to].to_vec());
    }
    all
}

pub(crate) fn holds(haystack: &[u8], secret: &str) -> bool {
    let spelled = spellings(secret);
    spelled.iter().any(|needle| {
        haystack
            .windows(needle.len())
            .any(|window| window == needle)
    })
}

#[test]
fn the_search_finds_a_secret_however_it_is_spelled() {
    let secret = "+12025550123";
    for written in [
        "to=+12025550123;".to_owned(),
        "to=%2B12025550123".to_owned(),
        "to=%2b12025550123".to_owned(),
        STANDARD.encode("x+12025550123y"),
        STANDARD.encode("xy+12025550123z"),
        STANDARD.encode("+12025550123"),
        "2b3132303235353530313233".to_owned(),
    ] {
        assert!(holds(written.as_bytes(), secret), "{written}");
    }
    assert!(!holds(b"+1202555012", secret));
}

/// The example of W3C Trace Context, and its trace id.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: [u8; 16] = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();

/// Every kind of request there is, with right and wrong codes, resends, repeats and refusals, at
/// the most verbose log level, with traces. Codes have ten digits here, so that none of them is
/// in a time stamp by chance.
#[tokio::test]
async fn nothing_written_holds_a_code_a_key_or_a_full_recipient() {
    let folder = folder();
    let (hook, collector) = (Sink::start(), Sink::start());
    let webhook_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let more = format!(
        "[policy]\ncode_length = 10\nresend_cooldown = \"0s\"\n[log]\nlevel = \"trace\"\n\
         access = true\nformat = \"json\"\n[telemetry]\notlp_endpoint = \"http://127.0.0.1:{}\"\n\
         [channels]\nsms = [\"hook\"]\nemail = [\"hook\"]\n[providers.hook]\nkind = \"webhook\"\n\
         url = \"http://127.0.0.1:{}/in\"\nsecret = \"{webhook_secret}\"\n",
        collector.port, hook.port
    );
    let secret_key = configure(folder.path(), &more);
    let all = "verifications:write,verifications:read,verifications:check,recipients:unlock";
    let api_key = make_key(folder.path(), &["--scope", all]);
    let server = Server::serve(folder.path());
    let caller = Caller::new(&server, Some(&api_key));
    let (mut answers, mut tokens) = (Vec::new(), Vec::new());
    let recipients = ["+12025550123", "+442079460958", "ada.lovelace@example.com"];

    for (nth, to) in recipients.into_iter().enumerate() {
        let body = json!({ "to": to, "binding": { "amount": 10 }, "metadata": { "order": 7 } });
        let named = format!("\"start-of-recipient-{nth}\"");
        let once = [("idempotency-key", named.as_str())];
        let path = "/v1/verifications";
        let started = caller
            .try_send("POST", path, Some(&body), &once)
            .await
            .unwrap();
        assert_eq!(started.status, 201, "{}", started.text);
        let fresh = caller.post(path, body.clone()).await;
        assert_eq!(fresh.status, 201, "{}", fresh.text);
        let id = fresh.id();
        let first = newest_code(&hook);
        let resent = caller.post(&format!("{path}/{id}/resend"), json!({})).await;
        assert_eq!(resent.status, 200, "{}", resent.text);
        let code = newest_code(&hook);
        let check = format!("{path}/{id}/check");
        for wrong in [&another(&code), &first, "0", "../sms"] {
            let guess = json!({ "code": wrong, "binding": { "amount": 10 } });
            if *wrong != code {
                answers.push(caller.post(&check, guess).await);
            }
        }
        let right = json!({ "code": code, "binding": { "amount": 10.0 } });
        let named = format!("\"check-of-recipient-{nth}\"");
        let once = [
            ("idempotency-key", named.as_str()),
            ("traceparent", PARENT),
            ("x-request-id", to),
        ];
        // The second is the same answer again, kept sealed meanwhile.
        for _ in 0..2 {
            let approved = caller.try_send("POST", &check, Some(&right), &once).await;
            let approved = approved.unwrap();
            assert_eq!(approved.status, 200, "{}", approved.text);
            answers.push(approved);
        }
        if let Some(token) = answers.last().unwrap().json()["token"].as_str() {
            tokens.push(token.to_owned());
        }
        answers.push(caller.get(&format!("{path}/{id}")).await);
        answers.push(caller.get(&format!("{path}/{code}")).await);
        answers.push(caller.get(&format!("/{to}/{code}?code={code}")).await);
        answers.push(
            caller
                .post("/v1/recipients/unlock", json!({ "to": to }))
                .await,
        );
        answers.push(
            caller
                .post(path, json!({ "to": to, "unknown": code }))
                .await,
        );
        answers.push(
            caller
                .post(path, json!({ "to": format!("{to}\u{1b}[2J\r\n") }))
                .await,
        );
        answers.extend([started, fresh, resent]);
    }
    assert!(!tokens.is_empty());
    let wrong_key = Caller::new(
        &server,
        Some(&format!("{}0000", &api_key[..api_key.len() - 4])),
    );
    answers.push(wrong_key.start("+12025550123").await);
    let metrics = caller.get(&format!("{}/metrics", server.admin)).await;
    let in_use = files(folder.path());
    let log = server.log.clone();
    assert!(server.stop().success());

    let sent: Vec<Value> = hook
        .bodies()
        .iter()
        .map(|body| serde_json::from_slice(body).unwrap())
        .collect();
    let codes: Vec<_> = sent
        .iter()
        .map(|message| message["data"]["code"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        codes.len() == 9 && codes.iter().all(|code| code.len() == 10),
        "{codes:?}"
    );
    let spans = collector.bodies();
    let continued = |span: &Vec<u8>| span.windows(16).any(|id| id == TRACE);
    assert!(
        spans.iter().any(continued),
        "the caller's trace was not continued"
    );

    // The configuration itself holds secrets, and the log is looked at when it is complete.
    let skipped = |path: &std::path::Path| path.ends_with("watchword.toml");
    let mut places: Vec<(String, Vec<u8>)> = Vec::new();
    for (when, files) in [("running", in_use), ("stopped", files(folder.path()))] {
        let files = files.into_iter().filter(|(path, _)| !skipped(path));
        places.extend(files.map(|(path, bytes)| (format!("{} {when}", path.display()), bytes)));
    }
    assert!(
        places
            .iter()
            .any(|(name, bytes)| name.contains(".db") && !bytes.is_empty())
    );
    places.push(("metrics".to_owned(), metrics.text.into_bytes()));
    places.extend(spans.into_iter().map(|span| ("a trace".to_owned(), span)));
    // Tokens are what a check answers with, so they are looked for everywhere else.
    for (name, bytes) in &places {
        for token in &tokens {
            assert!(!holds(bytes, token), "a token is in {name}");
        }
    }
    for answer in answers {
        let text = format!("{}\n{}", answer.headers, answer.text);
        places.push((format!("an answer: {text}"), text.into_bytes()));
    }
    let (key_secret, webhook) = (
        &api_key[15..67],
        webhook_secret.trim_start_matches("whsec_"),
    );
    let mut secrets: Vec<&str> = vec![&secret_key, key_secret, webhook];
    secrets.extend(recipients);
    secrets.extend(codes.iter().map(String::as_str));
    for (name, bytes) in &places {
        for secret in &secrets {
            assert!(!holds(bytes, secret), "{secret} is in {name}");
        }
    }
    let text = std::fs::read_to_string(log).unwrap();
    assert!(text.contains("\"level\":\"TRACE\"") || text.contains("\"level\":\"DEBUG\""));
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(record["timestamp"].is_string(), "{line}");
    }
}

fn newest_code(hook: &Sink) -> String {
    let body = hook.bodies().pop().unwrap();
    let message: Value = serde_json::from_slice(&body).unwrap();
    message["data"]["code"].as_str().unwrap().to_owned()
}
