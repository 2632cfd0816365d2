//! Documents and files that do not depend on who asks.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

/// How long an answer may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caching {
    /// Not at all: it is different every time.
    No,
    /// When the server says it is still the same.
    Checked,
    /// For five minutes.
    FiveMinutes,
}

/// What an answer may load when it is shown by a browser. Foreign hosts are in none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing: it is data.
    Data,
    /// Styles, scripts, images and requests of this server.
    Page,
    /// As a page; the viewers of API documents also set styles in place, make images from data and start
    /// a worker from a blob, to search.
    Viewer,
}

impl Shown {
    const fn policy(self) -> &'static str {
        match self {
            Self::Data => "default-src 'none'; frame-ancestors 'none'",
            Self::Page => {
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                 connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            }
            Self::Viewer => {
                "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                 img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; \
                 worker-src 'self' blob:; child-src blob:; base-uri 'none'; form-action 'self'; \
                 frame-ancestors 'none'"
            }
        }
    }
}

/// A document.
#[derive(Clone)]
pub(crate) struct Asset {
    media_type: HeaderValue,
    body: Bytes,
    caching: Caching,
    shown: Shown,
    gzipped: bool,
}

impl Asset {
    pub(crate) fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            media_type: HeaderValue::from_static(media_type),
            body: body.into(),
            caching: Caching::Checked,
            shown: Shown::Data,
            gzipped: false,
        }
    }

    pub(crate) fn html(body: impl Into<Bytes>) -> Self {
        Self::new("text/html; charset=utf-8", body).shown(Shown::Page)
    }

    pub(crate) fn cached(self, caching: Caching) -> Self {
        Self { caching, ..self }
    }

    pub(crate) fn shown(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    pub(crate) fn gzipped(self, gzipped: bool) -> Self {
        Self { gzipped, ..self }
    }

    /// The answer, or 304 where the client has it already.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = (self.caching != Caching::No).then(|| self.tag()).flatten();
        let known = headers.get(IF_NONE_MATCH);
        let same = tag.as_ref().is_some_and(|tag| matches(known, tag));
        let mut response = Response::new(if same {
            axum::body::Body::empty()
        } else {
            self.body.clone().into()
        });
        if same {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let caching = match self.caching {
            Caching::No => "no-store",
            Caching::Checked => "no-cache",
            Caching::FiveMinutes => "public, max-age=300",
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        if let Some(tag) = tag {
            headers.insert(ETAG, tag);
        }
        if same {
            return response;
        }
        headers.insert(CONTENT_TYPE, self.media_type.clone());
        if self.gzipped {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let policy = HeaderValue::from_static(self.shown.policy());
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    /// Tells one body from another. Nobody who could choose bodies gains by a collision.
    fn tag(&self) -> Option<HeaderValue> {
        let mut hash = DefaultHasher::new();
        self.body.hash(&mut hash);
        HeaderValue::try_from(format!("\"{:016x}\"", hash.finish())).ok()
    }
}

/// `If-None-Match` compares weakly (RFC 9110 section 13.1.2).
fn matches(known: Option<&HeaderValue>, tag: &HeaderValue) -> bool {
    let (Some(Ok(known)), Ok(tag)) = (known.map(HeaderValue::to_str), tag.to_str()) else {
        return false;
    };
    let mut listed = known.split(',').map(str::trim);
    listed.any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
