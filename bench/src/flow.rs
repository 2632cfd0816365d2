//! One flow over one connection: start, read the code in the inbox, check it.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::Failure;

/// One kept-alive connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

#[derive(Deserialize)]
struct Started {
    id: String,
}

#[derive(Deserialize)]
struct Received {
    code: String,
}

#[derive(Deserialize)]
struct Checked {
    status: String,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            host: address.to_string(),
        })
    }

    /// Runs flow number `n`: a recipient and an end user of its own, so that no limit is met.
    pub(crate) async fn flow(&mut self, n: u64) -> Result<(), Failure> {
        let to = recipient(n);
        let [_, a, b, c] = u32::try_from(n % (1 << 24))?.to_be_bytes();
        let body = format!(r#"{{"to":"{to}","channel":"sms","end_user_ip":"10.{a}.{b}.{c}"}}"#);
        let answer = self
            .call(Method::POST, "/v1/verifications", body, StatusCode::CREATED)
            .await?;
        let started: Started = serde_json::from_slice(&answer)?;

        let path = format!("/dev/messages?to=%2B{}", &to[1..]);
        let answer = self
            .call(Method::GET, &path, String::new(), StatusCode::OK)
            .await?;
        let received: Vec<Received> = serde_json::from_slice(&answer)?;
        let code = &received
            .first()
            .ok_or("the inbox does not hold the message")?
            .code;

        let path = format!("/v1/verifications/{}/check", started.id);
        let body = format!(r#"{{"code":"{code}"}}"#);
        let answer = self.call(Method::POST, &path, body, StatusCode::OK).await?;
        let checked: Checked = serde_json::from_slice(&answer)?;
        if checked.status == "approved" {
            Ok(())
        } else {
            Err("not approved".into())
        }
    }

    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: String,
        expected: StatusCode,
    ) -> Result<Bytes, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status == expected {
            return Ok(body);
        }
        Err(format!(
            "{path} answered {status}: {}",
            String::from_utf8_lossy(&body)
        )
        .into())
    }
}

/// A number that can exist in the United States, another one for each of 64 million `n`.
fn recipient(n: u64) -> String {
    const AREAS: [u16; 8] = [212, 213, 312, 415, 503, 617, 702, 808];
    let area = AREAS[usize::try_from(n / 7_900_000).unwrap_or(0) % AREAS.len()];
    format!("+1{area}{}", 2_000_000 + n % 7_900_000)
}
