//! `watchword doctor` against stand-ins of providers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::server::{Said, Server, call, configure, folder, keygen};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const CONTENT: &str = "HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Every secret in these configurations.
const SECRETS: [&str; 5] = [
    "tw-hunter2",
    "meta-hunter2",
    "gup-hunter2",
    "mail-hunter2",
    "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
];

/// What the stand-in of all HTTP providers does, and what it was asked.
struct Upstream {
    twilio_token: &'static str,
    approval: &'static str,
    meta_status: &'static str,
    /// Minutes in the templates' footers.
    minutes: u64,
    /// Paths that begin so are never answered.
    hangs: &'static str,
    date: Option<&'static str>,
    asked: Mutex<Vec<String>>,
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            twilio_token: "tw-hunter2",
            approval: "approved",
            meta_status: "APPROVED",
            minutes: 5,
            hangs: "/nothing",
            date: None,
            asked: Mutex::default(),
        }
    }
}

impl Upstream {
    async fn start(self) -> (String, Arc<Self>) {
        let upstream = Arc::new(self);
        let router = Router::new()
            .fallback(Self::answer)
            .with_state(Arc::clone(&upstream));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (url, upstream)
    }

    async fn answer(State(upstream): State<Arc<Self>>, request: Request) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let line = format!("{} {path}", request.method());
        upstream.asked.lock().unwrap().push(line);
        if path.starts_with(upstream.hangs) {
            std::future::pending::<()>().await;
        }
        let given = request.headers().get("authorization");
        let given = given.map_or("", |value| value.to_str().unwrap());
        let (status, body) = upstream.reply(&path, given);
        let mut response = Response::builder().status(status);
        if let Some(date) = upstream.date {
            response = response.header("date", date);
        }
        response.body(Body::from(body.to_string())).unwrap()
    }

    fn reply(&self, path: &str, given: &str) -> (u16, Value) {
        let pair = format!("{SID}:{}", self.twilio_token);
        let twilio = given == format!("Basic {}", STANDARD.encode(pair));
        let minutes = self.minutes;
        match path {
            path if path.starts_with("/2010-04-01/") || path.starts_with("/v1/Content") => {
                if !twilio {
                    return (401, json!({"code": 20003, "message": "tw-hunter2"}));
                }
                (
                    200,
                    json!({
                        "status": "active", "type": "Full", "sid": CONTENT,
                        "incoming_phone_numbers": [{"capabilities": {"sms": true}}],
                        "whatsapp": {"status": self.approval, "category": "AUTHENTICATION"},
                        "types": {"whatsapp/authentication": {"code_expiration_minutes": minutes}},
                    }),
                )
            }
            "/v25.0/106540352242922" => (
                200,
                json!({"id": "106540352242922", "health_status": {
                    "can_send_message": "AVAILABLE", "entities": [{"entity_type": "WABA",
                    "id": "102290129340398", "can_send_message": "AVAILABLE"}]}}),
            ),
            "/v25.0/102290129340398/message_templates" => (
                200,
                json!({"data": [{"name": "verification_code", "language": "en_US",
                    "status": self.meta_status, "category": "AUTHENTICATION", "components": [
                        {"type": "FOOTER", "code_expiration_minutes": minutes}]}]}),
            ),
            _ => (404, json!({})),
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// A mail server that lets in whoever brings `password`, and what it was told.
fn mail_server(password: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&told);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut answer = stream.try_clone().unwrap();
            answer.write_all(b"220 mail.example ESMTP\r\n").unwrap();
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let verb = line.split(' ').next().unwrap().to_owned();
                let reply = match verb.as_str() {
                    "EHLO" => "250-mail.example\r\n250 AUTH PLAIN\r\n",
                    "AUTH" => {
                        let right = STANDARD.encode(format!("\0me\0{password}"));
                        match line.ends_with(&right) {
                            true => "235 2.7.0 welcome\r\n",
                            false => "535 5.7.8 mail-hunter2 is wrong\r\n",
                        }
                    }
                    "QUIT" => "221 bye\r\n",
                    _ => "250 well\r\n",
                };
                heard.lock().unwrap().push(verb);
                if answer.write_all(reply.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    (port, told)
}

fn everything(url: &str, mail: u16) -> String {
    format!(
        "[channels]\nsms = [\"tw\"]\nwhatsapp = [\"wa\", \"meta\", \"gup\"]\nemail = [\"mail\"]\n\
         voice = [\"hook\"]\n\
         [providers.tw]\nkind = \"twilio-sms\"\naccount_sid = \"{SID}\"\n\
         auth_token = \"tw-hunter2\"\nfrom = \"+12015550100\"\nbase_url = \"{url}\"\n\
         [providers.wa]\nkind = \"twilio-whatsapp\"\naccount_sid = \"{SID}\"\n\
         auth_token = \"tw-hunter2\"\nfrom = \"+12015550100\"\ncontent_sid = \"{CONTENT}\"\n\
         base_url = \"{url}\"\n\
         [providers.meta]\nkind = \"meta-whatsapp\"\nphone_number_id = \"106540352242922\"\n\
         access_token = \"meta-hunter2\"\ntemplate = \"verification_code\"\nlanguage = \"en_US\"\n\
         base_url = \"{url}\"\n\
         [providers.gup]\nkind = \"gupshup-whatsapp\"\napi_key = \"gup-hunter2\"\n\
         source = \"12015550100\"\napp_name = \"ours\"\ntemplate_id = \"t\"\nbase_url = \"{url}\"\n\
         [providers.hook]\nkind = \"webhook\"\nurl = \"{url}/otp?token=gup-hunter2\"\n\
         secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n\
         [providers.mail]\nkind = \"smtp\"\nurl = \"smtp://me:mail-hunter2@127.0.0.1:{mail}\"\n\
         from = \"codes@example.com\"\n"
    )
}

async fn doctor(folder: &Path, more: &[&str]) -> Said {
    let folder = folder.to_owned();
    let mut args = vec!["doctor".to_owned()];
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let run = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        call(&folder, &args)
    });
    let said = run.await.unwrap();
    for secret in SECRETS {
        assert!(!said.out.contains(secret), "{}", said.out);
        assert!(!said.err.contains(secret), "{}", said.err);
    }
    said
}

/// The lines that begin with a verdict.
fn lines<'a>(said: &'a Said, verdict: &str) -> Vec<&'a str> {
    let verdict = format!("{verdict:<12} ");
    let lines = said.out.lines();
    lines
        .filter_map(|line| line.strip_prefix(&verdict))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn good_accounts_are_told_as_such_and_nobody_is_sent_anything() {
    let folder = folder();
    let (url, upstream) = Upstream::default().start().await;
    let (mail, told) = mail_server("mail-hunter2");
    configure(folder.path(), &everything(&url, mail));
    let said = doctor(folder.path(), &[]).await;
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    for line in [
        "configuration (settings): a server would start with it",
        "storage.url (store): watchword.db is not there yet; the first start makes it",
        "providers.tw (credentials): `auth_token` is good",
        "providers.tw (number): `from` is a number of the account",
        "providers.wa (template): HXaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa is approved",
        "providers.meta (account): Meta says that it can send messages",
        "providers.meta (template): `verification_code` in `en_US` is approved",
        "providers.mail (login): the mail server answers without TLS; the login is right",
    ] {
        let found = lines(&said, "ok").contains(&line);
        assert!(found, "{line}\n{}", said.out);
    }
    let unknown = lines(&said, "cannot tell");
    assert_eq!(unknown.len(), 1, "{}", said.out);
    assert!(unknown[0].starts_with("providers.gup (credentials): not checkable"));
    // What receipts need is not there.
    let warned = lines(&said, "warning");
    for part in [
        "providers.meta (receipts): without `app_secret` and `verify_token`",
        "providers.gup (receipts): without `callback_token`",
        "public_url (address): is not set, so gup, meta, tw, wa cannot report",
    ] {
        let found = warned.iter().any(|line| line.starts_with(part));
        assert!(found, "{part}\n{}", said.out);
    }
    let asked = upstream.asked();
    assert!(asked.len() >= 8, "{asked:?}");
    for line in &asked {
        let reads = line.starts_with("GET ") || line == "HEAD /";
        assert!(reads && !line.contains("Messages"), "{line}");
    }
    assert_eq!(*told.lock().unwrap(), ["EHLO", "AUTH", "QUIT"]);
    assert!(!folder.path().join("watchword.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_problems_that_name_the_setting() {
    let folder = folder();
    let (url, _upstream) = Upstream {
        twilio_token: "another",
        ..Upstream::default()
    }
    .start()
    .await;
    let (mail, _told) = mail_server("another");
    configure(folder.path(), &everything(&url, mail));
    let said = doctor(folder.path(), &[]).await;
    assert_eq!(said.code, 1);
    assert_eq!(said.err, "watchword: there are 3 problems\n");
    assert_eq!(
        lines(&said, "problem"),
        [
            "providers.mail (login): the login was refused (535); correct user and password in \
             `url`; they are percent-encoded there",
            "providers.tw (credentials): `auth_token` refused (HTTP 401, error 20003); copy \
             `auth_token` anew from the provider's console",
            "providers.wa (credentials): `auth_token` refused (HTTP 401, error 20003); copy \
             `auth_token` anew from the provider's console",
        ]
    );
    let good = "providers.meta (credentials): `access_token` is good for the number of \
                `phone_number_id`";
    assert!(lines(&said, "ok").contains(&good), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_that_are_not_approved_or_promise_other_minutes_are_told() {
    let folder = folder();
    let (mail, _told) = mail_server("mail-hunter2");
    let (url, _upstream) = Upstream {
        approval: "pending",
        meta_status: "REJECTED",
        ..Upstream::default()
    }
    .start()
    .await;
    configure(folder.path(), &everything(&url, mail));
    let said = doctor(folder.path(), &[]).await;
    assert_eq!(said.code, 1);
    let problems = lines(&said, "problem");
    assert_eq!(problems.len(), 2, "{}", said.out);
    assert!(problems[0].contains("`verification_code` in `en_US` is not approved: REJECTED"));
    assert!(problems[1].contains(&format!("{CONTENT} is not approved for WhatsApp: pending")));

    let (url, _upstream) = Upstream {
        minutes: 10,
        ..Upstream::default()
    }
    .start()
    .await;
    configure(folder.path(), &everything(&url, mail));
    let said = doctor(folder.path(), &[]).await;
    assert_eq!(said.code, 0, "{}", said.out);
    let other = "says that codes expire in 10 min, and they live 300 s";
    let warned = lines(&said, "warning");
    let warned = warned.iter().filter(|line| line.contains(other)).count();
    assert_eq!(warned, 2, "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_hangs_is_one_line_and_the_others_are_told() {
    let folder = folder();
    let (url, _upstream) = Upstream {
        hangs: "/v25.0/",
        ..Upstream::default()
    }
    .start()
    .await;
    let (mail, _told) = mail_server("mail-hunter2");
    configure(folder.path(), &everything(&url, mail));
    let said = doctor(folder.path(), &["--timeout", "3s"]).await;
    assert_eq!(said.code, 1);
    let problems = lines(&said, "problem");
    assert_eq!(problems.len(), 1, "{}", said.out);
    assert!(problems[0].starts_with("providers.meta (connection): no answer within 3 s"));
    for name in ["tw", "wa", "gup", "hook", "mail"] {
        let told = format!("providers.{name} (");
        let good = lines(&said, "ok");
        assert!(good.iter().any(|line| line.starts_with(&told)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_one_document_with_the_clock_in_it() {
    let folder = folder();
    let (url, _upstream) = Upstream {
        date: Some("Mon, 01 Jan 2001 00:00:00 GMT"),
        ..Upstream::default()
    }
    .start()
    .await;
    let (mail, _told) = mail_server("another");
    configure(folder.path(), &everything(&url, mail));
    let said = doctor(folder.path(), &["--json"]).await;
    assert_eq!(said.code, 1);
    let document: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(document["problems"], 1);
    let checks = document["checks"].as_array().unwrap();
    let find = |subject: &str| {
        let found = checks.iter().find(|check| check["subject"] == subject);
        found.unwrap_or_else(|| panic!("{subject} in {document}"))
    };
    let mail = find("providers.mail");
    assert_eq!(
        (&mail["verdict"], &mail["about"]),
        (&json!("problem"), &json!("login"))
    );
    assert!(mail["advice"].as_str().unwrap().contains("`url`"));
    let clock = find("clock");
    assert_eq!(clock["verdict"], "warning");
    assert!(
        clock["said"]
            .as_str()
            .unwrap()
            .contains(" s ahead of that of ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_refused_is_a_problem_and_the_rest_is_told() {
    let folder = folder();
    std::fs::write(folder.path().join("watchword.toml"), "defualt_region = 1\n").unwrap();
    let said = doctor(folder.path(), &[]).await;
    assert_eq!(said.code, 1);
    let problems = lines(&said, "problem");
    assert!(
        problems
            .iter()
            .any(|line| line.contains("did you mean `default_region`?"))
    );

    let (url, _upstream) = Upstream::default().start().await;
    let (mail, _told) = mail_server("mail-hunter2");
    let wrong = everything(&url, mail).replace("language = \"en_US\"", "language = \"English!\"");
    configure(folder.path(), &wrong);
    let said = doctor(folder.path(), &[]).await;
    let problems = lines(&said, "problem");
    assert_eq!(problems.len(), 1, "{}", said.out);
    assert!(
        problems[0].contains("providers.meta.language: "),
        "{}",
        problems[0]
    );
    assert!(
        said.out
            .contains("providers.tw (credentials): `auth_token` is good")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_recognised_by_its_file_and_at_its_address() {
    let folder = folder();
    let (url, _upstream) = Upstream::default().start().await;
    let (mail, _told) = mail_server("mail-hunter2");
    // Free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .unwrap()
        .port();
    let key = keygen(folder.path());
    let text = format!(
        "secret_key = \"{key}\"\npublic_url = \"http://127.0.0.1:{port}\"\n{}\n\
         [[listeners]]\nbind = \"127.0.0.1:{port}\"\n[admin]\nbind = \"none\"\n",
        everything(&url, mail)
    );
    std::fs::write(folder.path().join("watchword.toml"), text).unwrap();
    let stopped = doctor(folder.path(), &[]).await;
    assert!(
        stopped.out.contains("nobody answers; start the server"),
        "{}",
        stopped.out
    );

    let server = Server::serve(folder.path());
    let said = doctor(folder.path(), &[]).await;
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(
        said.out
            .contains("watchword.db is in use by a running server"),
        "{}",
        said.out
    );
    assert!(
        said.out.contains("public_url/callbacks/tw (receipts): "),
        "{}",
        said.out
    );
    assert!(!said.out.contains("something else"), "{}", said.out);
    assert!(
        said.out.contains("public_url (address): is this machine"),
        "{}",
        said.out
    );
    assert!(server.stop().success());
    let said = doctor(folder.path(), &[]).await;
    assert!(
        said.out
            .contains("watchword.db is there and can be written"),
        "{}",
        said.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_waits_for_receipts_which_cannot_come_is_told() {
    let folder = folder();
    let (url, _upstream) = Upstream::default().start().await;
    let (mail, _told) = mail_server("mail-hunter2");
    let routes = everything(&url, mail).replace(
        "sms = [\"tw\"]",
        "sms = { default = [\"tw\"], fallback_after = \"20s\" }",
    );
    let waits = "channels.sms (fallback): nothing tells whether messages of tw arrived, so after \
                 20 s the next channel is used every time";
    configure(folder.path(), &routes);
    let said = doctor(folder.path(), &[]).await;
    let warned = lines(&said, "warning");
    assert!(
        warned.iter().any(|line| line.starts_with(waits)),
        "{}",
        said.out
    );

    let public = format!("public_url = \"http://127.0.0.1:9\"\n{routes}");
    configure(folder.path(), &public);
    let said = doctor(folder.path(), &[]).await;
    let good = "channels.sms (fallback): after 20 s without a receipt the next channel is used";
    assert!(lines(&said, "ok").contains(&good), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_place_where_something_is_kept_is_looked_at() {
    let folder = folder();
    let (mail, _told) = mail_server("mail-hunter2");
    let apart = "[storage]\naccounts_url = \"sqlite:a.db\"\n[audit]\nurl = \"sqlite:log.db\"\n";
    configure(
        folder.path(),
        &(everything("http://127.0.0.1:9", mail) + apart),
    );
    std::fs::write(folder.path().join("log.db"), "a diary").unwrap();
    let said = doctor(folder.path(), &[]).await;
    let good = lines(&said, "ok").join("\n");
    assert!(good.contains("storage.accounts_url (store): a.db is not there yet"));
    let wrong = "audit.url (store): log.db is not a database of this program";
    assert!(lines(&said, "problem").join("\n").contains(wrong));
}
