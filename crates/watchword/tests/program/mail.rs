//! From a configuration with a mail server to a verified address, over a real SMTP server.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};

use crate::peers::python;
use crate::server::{Caller, Server, configure, folder, make_key};

/// aiosmtpd in a process of its own. It ends with this value.
pub(crate) struct MailServer {
    child: Child,
    lines: Box<dyn Iterator<Item = Value>>,
    pub(crate) port: u64,
}

impl MailServer {
    pub(crate) fn start(told: &Value) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../providers/tests/peers/smtp.py");
        let mut child = Command::new(python("mail server")?)
            .arg(script)
            .arg(told.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line).unwrap());
        let port = lines.next().unwrap()["port"].as_u64().unwrap();
        Some(Self {
            child,
            lines: Box::new(lines),
            port,
        })
    }

    /// The next mail that it took.
    pub(crate) fn mail(&mut self) -> Value {
        self.lines.find(|event| event["event"] == "mail").unwrap()
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_code_travels_by_mail_and_is_verified() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(at("cert.pem"), cert.pem()).unwrap();
    std::fs::write(at("key.pem"), signing_key.serialize_pem()).unwrap();
    let told = json!({
        "tls": "starttls", "cert": at("cert.pem"), "key": at("key.pem"), "auth": ["me", "p@ss/word"],
    });
    let Some(mut mail_server) = MailServer::start(&told) else {
        return;
    };
    let more = format!(
        "[templates]\nservice = \"Example\"\n[channels]\nemail = [\"mail\"]\n[providers.mail]\n\
         kind = \"smtp\"\nurl = \"smtp://me:p%40ss%2Fword@localhost:{}?tls=required\"\n\
         from = \"Example <codes@example.com>\"\nca_file = \"cert.pem\"\n",
        mail_server.port
    );
    configure(folder.path(), &more);
    let key = make_key(folder.path(), &[]);
    let server = Server::serve(folder.path());
    let caller = Caller::new(&server, Some(&key));
    let started = caller.start("Ada@EXAMPLE.com").await;
    assert_eq!(started.status, 201, "{}", started.text);
    let mail = mail_server.mail();
    assert_eq!((&mail["tls"], &mail["user"]), (&json!(true), &json!("me")));
    assert_eq!(mail["to"], json!(["Ada@example.com"]));
    let content = mail["content"].as_str().unwrap();
    let code = six_digits(content);
    let subject = content
        .lines()
        .find(|line| line.starts_with("Subject:"))
        .unwrap();
    assert!(!subject.contains(&code), "{subject}");
    assert!(!started.text.contains(&code));
    let approved = caller.check(&started.id(), &code).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    assert_eq!(caller.check(&started.id(), &code).await.status, 404);
    assert!(server.stop().success());
}

/// The first word of six digits in the text part of a mail.
pub(crate) fn six_digits(content: &str) -> String {
    let (_, body) = content
        .split_once("\r\n\r\n")
        .or_else(|| content.split_once("\n\n"))
        .unwrap();
    let mut words = body.split(|c: char| !c.is_ascii_alphanumeric());
    let code = words.find(|word| word.len() == 6 && word.bytes().all(|b| b.is_ascii_digit()));
    code.unwrap().to_owned()
}
