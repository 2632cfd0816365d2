//! Questions that change nothing at a provider.

use std::time::Duration;

use jiff::fmt::rfc2822;
use reqwest::header::{ACCEPT, DATE, HeaderValue};
use tokio::time::{Instant, timeout_at};
use watchword_core::Timestamp;

use super::{Sender, read, retry_after, tls_fault};
use crate::http::Reply;
use crate::probe::{Question, Silence};

impl Sender {
    /// Asks a question, once. Follows no redirect. Gives the reply, and what its `Date` says.
    ///
    /// # Errors
    /// Why there is no reply within `limit`.
    pub(crate) async fn ask(
        &self,
        question: &Question,
        limit: Duration,
    ) -> Result<(Reply, Option<Timestamp>), Silence> {
        if !Self::admits(&question.url) {
            return Err(Silence::Insecure);
        }
        let client = match question.url.scheme() {
            "http" => &self.local,
            _ => &self.outward,
        };
        let deadline = Instant::now() + limit;
        let request = client
            .request(question.method.clone(), question.url.clone())
            .headers(question.headers.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        let response = match timeout_at(deadline, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(silence(&error)),
            Err(_) => return Err(Silence::Timeout),
        };
        let date = response.headers().get(DATE).and_then(date);
        let status = response.status().as_u16();
        let retry_after = retry_after(&response);
        let body = timeout_at(deadline, read(response)).await.ok().flatten();
        let reply = Reply {
            status,
            retry_after,
            body,
        };
        Ok((reply, date))
    }
}

/// The moment that a `Date` header names (RFC 9110 section 5.6.7). Its older forms are not read.
fn date(value: &HeaderValue) -> Option<Timestamp> {
    let moment = rfc2822::parse(value.to_str().ok()?).ok()?.timestamp();
    let millis = u64::try_from(moment.as_millisecond()).ok()?;
    Some(Timestamp::from_millis(millis))
}

fn silence(error: &reqwest::Error) -> Silence {
    match tls_fault(error) {
        Some("certificate") => Silence::Certificate,
        Some(_) => Silence::Tls,
        None if error.is_timeout() => Silence::Timeout,
        None if error.is_dns() => Silence::Dns,
        None if error.is_connect() => Silence::Connect,
        None => Silence::Lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        let read = |text: &'static str| date(&HeaderValue::from_static(text));
        let moment = Timestamp::from_millis(784_111_777_000);
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(moment));
        assert_eq!(read("yesterday"), None);
        assert_eq!(read("Wed, 01 Jan 1958 00:00:00 GMT"), None);
    }
}
