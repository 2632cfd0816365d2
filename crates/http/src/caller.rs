//! Who calls: API keys, and dev mode's caller without one.

use std::borrow::Cow;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, HeaderValue, Uri};
use watchword_core::{ApiKey, ApiKeyId, AppId, Scope, StoreError};

use crate::app::{App, SurfaceKind};

/// Whoever made a request, and what they may do.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// For which app they act.
    pub(crate) app: AppId,
    /// Which key they showed; `None` is the caller of dev mode, or of a surface without keys.
    pub(crate) key: Option<ApiKeyId>,
    scopes: Cow<'static, [Scope]>,
}

/// Why nobody knows who calls.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthenticationError {
    /// No `Authorization` header.
    #[error("no API key was sent; send it as `Authorization: Bearer wk_…`")]
    Missing,
    /// In dev mode, a call that came under a foreign host name: perhaps a web page that had its own
    /// name resolved to this machine.
    #[error("calls without an API key are taken only at localhost and loopback addresses")]
    ForeignHost,
    /// Not a bearer token of the form of a key.
    #[error("the Authorization header holds no API key of the form wk_…")]
    Malformed,
    /// Unknown, wrong, revoked or expired: one answer.
    #[error("the API key is not valid")]
    Refused,
    /// We cannot know.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Caller {
    /// The caller of a request. Keys are read from the `Authorization` header only.
    pub(crate) async fn identify(
        app: &App,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, AuthenticationError> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let Some(credentials) = sent.next() else {
            return if app.dev.is_none() {
                Err(AuthenticationError::Missing)
            } else if is_local(uri, headers) {
                Ok(Self::of_dev_mode())
            } else {
                Err(AuthenticationError::ForeignHost)
            };
        };
        if sent.next().is_some() {
            return Err(AuthenticationError::Malformed);
        }
        let key = credentials.to_str().ok().and_then(bearer);
        let key = key.ok_or(AuthenticationError::Malformed)?;
        let record = app.api_keys.find(key.id()).await?;
        let record = record
            .filter(|record| record.admits(&key, app.now()))
            .ok_or(AuthenticationError::Refused)?;
        Ok(Self {
            app: record.app,
            key: Some(record.id),
            scopes: record.scopes.into(),
        })
    }

    /// The caller of a surface that need not need a key. Where it needs none, whoever shows a key is
    /// its owner all the same; an `Authorization` header that holds something else is none of ours.
    pub(crate) async fn at_surface(
        app: &App,
        kind: SurfaceKind,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Self, AuthenticationError> {
        let mut sent = headers.get_all(AUTHORIZATION).iter();
        let shown = |value: &HeaderValue| value.to_str().ok().and_then(bearer).is_some();
        if app.surface(kind).require_api_key || sent.any(shown) {
            return Self::identify(app, uri, headers).await;
        }
        if app.dev.is_some() && !is_local(uri, headers) {
            return Err(AuthenticationError::ForeignHost);
        }
        Ok(Self {
            app: AppId::default(),
            key: None,
            scopes: Cow::Borrowed(&[Scope::WriteVerifications, Scope::CheckVerifications]),
        })
    }

    /// Everything but codes, for the default app.
    fn of_dev_mode() -> Self {
        const SCOPES: [Scope; Scope::ALL.len() - 1] = [
            Scope::WriteVerifications,
            Scope::ReadVerifications,
            Scope::CheckVerifications,
            Scope::UnlockRecipients,
            Scope::ManageRecipients,
            Scope::AssertEndUserIp,
        ];
        Self {
            app: AppId::default(),
            key: None,
            scopes: Cow::Borrowed(&SCOPES),
        }
    }

    /// Whether the caller may do this.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Names the caller among those of one app.
    pub(crate) fn name(&self) -> &str {
        self.key.as_ref().map_or("dev", ApiKeyId::as_str)
    }
}

/// The key in `Bearer wk_…`. The scheme's case does not count (RFC 9110 section 11.1).
fn bearer(credentials: &str) -> Option<ApiKey> {
    let (scheme, token) = credentials.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    ApiKey::parse(token.trim_matches(' ')).ok()
}

/// Whether the request was made to this very machine by one of its own names. A browser always says
/// which name it used; what says none is no browser.
pub(crate) fn is_local(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => match headers.get(HOST) {
            Some(host) => host.to_str().ok().or(Some("unreadable")),
            None => None,
        },
    };
    let Some(host) = host else {
        return true;
    };
    let name = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').map_or("", |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let address = name.parse::<std::net::IpAddr>();
    let loopback = address.is_ok_and(|address| address.to_canonical().is_loopback());
    loopback || is_localhost(name)
}

/// `localhost`, or a name below it.
fn is_localhost(name: &str) -> bool {
    let labels = name.as_bytes();
    let last = labels.rsplit(|byte| *byte == b'.').next();
    last.is_some_and(|last| last.eq_ignore_ascii_case(b"localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let judged = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            is_local(&Uri::from_static("/"), &headers)
        };
        for yes in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "app.localhost:80",
        ] {
            assert!(judged(yes), "{yes}");
        }
        for no in [
            "evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:80",
            "[::2]",
            "",
            "[::1",
        ] {
            assert!(!judged(no), "{no}");
        }
        let absolute = Uri::from_static("http://evil.example/");
        assert!(!is_local(&absolute, &HeaderMap::new()));
    }
}
