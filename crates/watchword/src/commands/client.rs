//! `watchword send`, `check` and `unlock`: talk to a running server as any program would.

use std::time::Duration;

use serde_json::{Value, json};

use super::runtime;
use crate::cli::{Check, Send, Server, Unlock};
use crate::failure::Failure;
use crate::output::say;
use crate::telemetry::chain;

/// Longer than a server takes to give up on its providers.
const PATIENCE: Duration = Duration::from_secs(40);

pub(super) fn send(args: &Send) -> Result<(), Failure> {
    let mut body = json!({ "to": args.to });
    for (name, value) in [
        (
            "channel",
            args.channel.map(|channel| channel.as_str().to_owned()),
        ),
        ("purpose", args.purpose.clone()),
        ("locale", args.locale.clone()),
    ] {
        if let Some(value) = value {
            body[name] = value.into();
        }
    }
    let answer = post(&args.server, "/v1/verifications", &body)?;
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
    ))
}

pub(super) fn check(args: &Check) -> Result<(), Failure> {
    let path = format!("/v1/verifications/{}/check", segment(&args.id)?);
    let answer = post(&args.server, &path, &json!({ "code": args.code }))?;
    say(&format!(
        "approved at {}\n  token  {}",
        answer["approved_at"].as_str().unwrap_or("?"),
        answer["token"].as_str().unwrap_or("?"),
    ))
}

pub(super) fn unlock(args: &Unlock) -> Result<(), Failure> {
    let answer = post(
        &args.server,
        "/v1/recipients/unlock",
        &json!({ "to": args.to }),
    )?;
    let to = answer["to"].as_str().unwrap_or("?");
    if answer["unlocked"].as_bool().unwrap_or_default() {
        say(&format!(
            "{to} is unlocked, and its failed checks are forgotten"
        ))
    } else {
        say(&format!("{to} was not locked and had no failed checks"))
    }
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

fn post(server: &Server, path: &str, body: &Value) -> Result<Value, Failure> {
    let base = server.url.trim_end_matches('/');
    let url = reqwest::Url::parse(&format!("{base}{path}"))
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Failure::refused("--url is not an address such as http://127.0.0.1:8080"))?;
    runtime(false)?.block_on(async {
        let unreachable = |error: reqwest::Error| {
            let reason = chain(&error.without_url());
            Failure::unreachable(format!(
                "no answer from {base}: {reason}; start a server with `watchword dev`, or name \
                 another one with --url"
            ))
        };
        let mut client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        let local = url.host_str().is_some_and(|host| {
            host == "localhost"
                || host
                    .trim_matches(['[', ']'])
                    .parse()
                    .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        });
        if local {
            client = client.no_proxy();
        }
        let mut request = client.build().map_err(unreachable)?.post(url).json(body);
        if let Some(key) = &server.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(unreachable)?;
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
            Err(refused(&answer, status.as_u16(), wait, server))
        }
    })
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
