//! `watchword send`, `check`, `unlock` and `recipient`: talk to a running server as any program would.

mod follow;

use std::io::IsTerminal as _;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::runtime;
use crate::cli::{Check, RecipientCommand, Send, Server, Unlock};
use crate::failure::Failure;
use crate::output::{complain, say};
use crate::telemetry::chain;
use follow::Following;

/// Longer than a server takes to give up on its providers.
const PATIENCE: Duration = Duration::from_secs(40);
/// How long a person is taken to look at what becomes of a message.
const FOLLOWED: Duration = Duration::from_secs(30);
/// How often the server is asked.
const PACE: Duration = Duration::from_millis(500);

pub(super) fn send(args: &Send) -> Result<(), Failure> {
    let mut body = json!({ "to": args.to });
    let channels: Vec<_> = args.channel.iter().map(|one| one.as_str()).collect();
    match channels[..] {
        [] => {}
        [only] => body["channel"] = only.into(),
        _ => body["channel"] = json!(channels),
    }
    for (name, value) in [("purpose", &args.purpose), ("locale", &args.locale)] {
        if let Some(value) = value {
            body[name] = value.as_str().into();
        }
    }
    let client = Client::new(&args.server)?;
    runtime(false)?.block_on(async {
        let answer = client.post("/v1/verifications", &body).await?;
        let text = |name: &str| answer[name].as_str().unwrap_or("?").to_owned();
        let provider = answer["deliveries"].as_array().and_then(|all| all.last());
        let provider = provider
            .and_then(|delivery| delivery["provider"].as_str())
            .unwrap_or("?");
        let id = text("id");
        say(&format!(
            "sent to {} by {} through {provider}\n  id       {id}\n  expires  {}\n\
             check it with: watchword check {id} CODE",
            text("to"),
            text("channel"),
            text("expires_at"),
        ))?;
        let mut following = Following::new(channels.last().map(|last| (*last).to_owned()));
        let seen = following.take(&answer);
        for line in &seen.lines {
            say(line)?;
        }
        match wait(args) {
            Some(wait) if !seen.done => client.follow(segment(&id)?, following, wait).await,
            _ => Ok(()),
        }
    })
}

/// How long to follow. A program that reads what is printed waits only when it says so.
fn wait(args: &Send) -> Option<Duration> {
    let unasked = (!args.no_wait && std::io::stdout().is_terminal()).then_some(FOLLOWED);
    args.wait.or(unasked)
}

pub(super) fn check(args: &Check) -> Result<(), Failure> {
    let path = format!("/v1/verifications/{}/check", segment(&args.id)?);
    let client = Client::new(&args.server)?;
    let answer = runtime(false)?.block_on(client.post(&path, &json!({ "code": args.code })))?;
    say(&format!(
        "approved at {}\n  token  {}",
        answer["approved_at"].as_str().unwrap_or("?"),
        answer["token"].as_str().unwrap_or("?"),
    ))
}

pub(super) fn unlock(args: &Unlock) -> Result<(), Failure> {
    let client = Client::new(&args.server)?;
    let body = json!({ "to": args.to });
    let answer = runtime(false)?.block_on(client.post("/v1/recipients/unlock", &body))?;
    let to = answer["to"].as_str().unwrap_or("?");
    if answer["unlocked"].as_bool().unwrap_or_default() {
        say(&format!(
            "{to} is unlocked, and its failed checks are forgotten"
        ))
    } else {
        say(&format!("{to} was not locked and had no failed checks"))
    }
}

pub(super) fn recipient(command: &RecipientCommand) -> Result<(), Failure> {
    let (args, path) = match command {
        RecipientCommand::Show(args) => (args, "/v1/recipients/show"),
        RecipientCommand::Erase(args) => (args, "/v1/recipients/erase"),
    };
    let client = Client::new(&args.server)?;
    let answer = runtime(false)?.block_on(client.post(path, &json!({ "to": args.to })))?;
    if let RecipientCommand::Show(_) = command {
        return say(&format!("{answer:#}"));
    }
    let account = if answer["account"].as_bool().unwrap_or_default() {
        "its account was"
    } else {
        "there was no account to be"
    };
    say(&format!(
        "{} verifications of {} and what hung on them were erased; {account} erased; what is \
         counted of it stays, under a keyed index",
        answer["verifications"],
        answer["to"].as_str().unwrap_or("?"),
    ))
}

/// An id is a UUID, so nothing else may get into the path.
fn segment(id: &str) -> Result<&str, Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if id.is_empty() || !id.bytes().all(plain) {
        return Err(Failure::refused(
            "ID is not one that `watchword send` printed",
        ));
    }
    Ok(id)
}

/// Talks to one server.
struct Client<'a> {
    server: &'a Server,
    base: &'a str,
    http: reqwest::Client,
}

impl<'a> Client<'a> {
    fn new(server: &'a Server) -> Result<Self, Failure> {
        let base = server.url.trim_end_matches('/');
        let url = Url::parse(base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| {
                Failure::refused("--url is not an address such as http://127.0.0.1:8080")
            })?;
        let mut http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        if url
            .host_str()
            .is_some_and(watchword_providers::http::is_loopback)
        {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| unreachable(base, error))?;
        Ok(Self { server, base, http })
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let base = self.base;
        let mut request = self.http.request(method, format!("{base}{path}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = &self.server.key {
            request = request.bearer_auth(key);
        }
        let response = request
            .send()
            .await
            .map_err(|error| unreachable(base, error))?;
        let status = response.status();
        let wait = response.headers().get(reqwest::header::RETRY_AFTER);
        let wait = wait.and_then(|value| value.to_str().ok()?.parse().ok());
        let answer: Value = response.json().await.map_err(|_| {
            Failure::unreachable(format!(
                "{base} answered {status} and is no Watchword server"
            ))
        })?;
        if status.is_success() {
            Ok(answer)
        } else {
            Err(refused(&answer, status.as_u16(), wait, self.server))
        }
    }

    /// Prints what becomes of a verification's deliveries until nothing more is to be expected,
    /// or `wait` is over. The message is sent already, so nothing here makes the command fail.
    async fn follow(
        &self,
        id: &str,
        mut following: Following,
        wait: Duration,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + wait;
        let path = format!("/v1/verifications/{id}");
        while Instant::now() + PACE <= deadline {
            sleep(PACE).await;
            match timeout_at(deadline, self.call(Method::GET, &path, None)).await {
                Ok(Ok(verification)) => {
                    let seen = following.take(&verification);
                    for line in &seen.lines {
                        say(line)?;
                    }
                    if seen.done {
                        return Ok(());
                    }
                }
                Ok(Err(failure)) => {
                    for line in failure.lines() {
                        complain(&format!("not followed any further: {line}"));
                    }
                    return Ok(());
                }
                Err(_) => break,
            }
        }
        complain(&format!("nothing more within {} s", wait.as_secs_f32()));
        Ok(())
    }
}

fn unreachable(base: &str, error: reqwest::Error) -> Failure {
    let reason = chain(&error.without_url());
    Failure::unreachable(format!(
        "no answer from {base}: {reason}; start a server with `watchword dev`, or name another one \
         with --url"
    ))
}

/// A problem (RFC 9457) in a person's words.
fn refused(problem: &Value, status: u16, wait: Option<u64>, server: &Server) -> Failure {
    let text = |name: &str| problem[name].as_str();
    let mut line = match (text("title"), text("detail")) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        (Some(one), None) | (None, Some(one)) => one.to_owned(),
        (None, None) => format!("the server answered {status}"),
    };
    for error in problem["errors"].as_array().into_iter().flatten() {
        let pointer = error["pointer"].as_str().unwrap_or_default();
        let detail = error["detail"].as_str().unwrap_or_default();
        let fault = format!("{pointer} {detail}");
        // The problem's own sentence names the first of them already.
        if !line.contains(&fault) {
            line.push_str(&format!("; {fault}"));
        }
    }
    if let Some(left) = problem["attempts_remaining"].as_u64() {
        line.push_str(&format!(" ({left} attempts left)"));
    }
    if let Some(wait) = wait {
        line.push_str(&format!(" (try again in {wait} s)"));
    }
    if status == 401 && server.key.is_none() {
        line.push_str(
            "; make a key with `watchword apikey create NAME` and give it as WATCHWORD_API_KEY",
        );
    }
    Failure::refused(line)
}
