//! Requests to whoever waits for receipts.

use std::net::IpAddr;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A callback, signed and ready to be posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// Where to, as it was configured.
    pub url: String,
    /// Its headers, the signature among them; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body, byte for byte as it was signed.
    pub body: Vec<u8>,
}

/// Why a callback did not come to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallbackFault {
    /// No message has this id.
    #[error("there is no message of this id")]
    NoMessage,
    /// Nobody said where receipts go.
    #[error("nobody said where receipts go")]
    NoAddress,
    /// Its address is no plain HTTP on loopback.
    #[error("receipts go to plain HTTP on loopback only")]
    NotLoopback,
    /// No connection, or no answer within 15 seconds.
    #[error("no answer came")]
    NoAnswer,
}

/// Calls loopback, once each time.
pub(crate) struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    via: Option<String>,
}

impl Caller {
    /// As long as Twilio waits for an answer.
    const PATIENCE: Duration = Duration::from_secs(15);
    /// No more of an answer is read, in bytes.
    const LONGEST: usize = 64 * 1024;

    pub(crate) fn new(via: Option<String>) -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            via,
        }
    }

    /// Posts a callback and gives the status that came back.
    pub(crate) async fn post(&self, callback: &Callback) -> Result<u16, CallbackFault> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.target(&callback.url)?);
        for (name, value) in &callback.headers {
            request = request.header(*name, value);
        }
        let body = Full::new(Bytes::from(callback.body.clone()));
        let request = request.body(body).map_err(|_| CallbackFault::NotLoopback)?;
        Ok(self.call(request).await?.0)
    }

    /// Gets an address: status and body.
    pub(crate) async fn get(&self, url: &str) -> Result<(u16, Bytes), CallbackFault> {
        let request = Request::builder()
            .uri(self.target(url)?)
            .body(Full::default())
            .map_err(|_| CallbackFault::NotLoopback)?;
        self.call(request).await
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), CallbackFault> {
        let answer = async {
            let answer = self.client.request(request).await.ok()?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), Self::LONGEST);
            Some((status, body.collect().await.ok()?.to_bytes()))
        };
        let answer = tokio::time::timeout(Self::PATIENCE, answer).await;
        answer.ok().flatten().ok_or(CallbackFault::NoAnswer)
    }

    /// Where a callback really goes: without its fragment, which is never sent.
    fn target(&self, url: &str) -> Result<Uri, CallbackFault> {
        let parse = |url: &str| {
            let url = url.split('#').next().unwrap_or_default();
            url.parse::<Uri>().map_err(|_| CallbackFault::NotLoopback)
        };
        let mut target = parse(url)?;
        if let Some(via) = &self.via {
            let mut parts = target.into_parts();
            let via = parse(via)?.into_parts();
            (parts.scheme, parts.authority) = (via.scheme, via.authority);
            target = Uri::from_parts(parts).map_err(|_| CallbackFault::NotLoopback)?;
        }
        let near =
            target.scheme() == Some(&Scheme::HTTP) && target.authority().is_some_and(is_loopback);
        near.then_some(target).ok_or(CallbackFault::NotLoopback)
    }
}

fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callbacks_go_to_loopback_only_and_by_another_way_if_told() {
        let direct = Caller::new(None);
        for url in [
            "http://127.0.0.1:8080/a?b=c#ct=1",
            "http://[::1]:1/",
            "http://localhost/x",
        ] {
            assert!(direct.target(url).is_ok(), "{url}");
        }
        for url in [
            "https://127.0.0.1/",
            "http://otp.example.com/",
            "http://127.0.0.1.example.com/",
            "http://10.0.0.7/",
            "/callbacks",
            "nonsense",
            "",
        ] {
            assert_eq!(direct.target(url), Err(CallbackFault::NotLoopback), "{url}");
        }
        let via = Caller::new(Some("http://127.0.0.1:8080".to_owned()));
        let target = via.target("https://otp.example.com/callbacks/x?y=z#rc=2");
        let near = "http://127.0.0.1:8080/callbacks/x?y=z".parse().unwrap();
        assert_eq!(target, Ok(near));
        let out = Caller::new(Some("http://otp.example.com".to_owned()));
        assert!(out.target("http://127.0.0.1/").is_err());
    }
}
