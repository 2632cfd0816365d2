//! Getting the bytes of a body, and no more of them than allowed.

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;

/// The largest body of an API request, in bytes.
const MAX_BODY: usize = 16 * 1024;

/// Why there is no body to read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// More than the limit.
    #[error("the body is larger than {MAX_BODY} bytes")]
    TooLarge,
    /// It ended early, or was not well-formed HTTP.
    #[error("the body did not arrive whole")]
    Broken,
}

/// Reads a body of at most [`MAX_BODY`] bytes. One that announces more is not read at all.
pub(crate) async fn read_body(headers: &HeaderMap, mut body: Body) -> Result<Bytes, BodyError> {
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(BodyError::TooLarge);
    }
    // Most bodies come in one piece, which needs no copy.
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::Broken)?;
        let Ok(piece) = frame.into_data() else {
            continue; // trailers
        };
        if first.len() + whole.len() + piece.len() > MAX_BODY {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() && whole.is_empty() {
            first = piece;
        } else {
            if whole.is_empty() {
                whole.extend_from_slice(&first);
                first = Bytes::new();
            }
            whole.extend_from_slice(&piece);
        }
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

/// Whether a body may be read as JSON that does not say it is: the documents of some surfaces show
/// requests of which curl says that they are forms.
///
/// Not what a foreign web page had a browser send. A browser asks before it sends JSON elsewhere, and
/// is told no; but not before it sends a form or plain text. It does say then where the page is from.
pub(crate) fn may_be_json(headers: &HeaderMap) -> bool {
    if wants_json(headers) {
        return true;
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        Some(site) => matches!(site, b"same-origin" | b"none"),
        None => !headers.contains_key(ORIGIN),
    }
}

/// Whether the headers say that the body is JSON: `application/json` or `application/…+json`, in UTF-8.
pub(crate) fn wants_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(one), None) = (types.next(), types.next()) else {
        return false;
    };
    let Ok(media_type) = one.to_str() else {
        return false;
    };
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || essence.split_once('/').is_some_and(|(kind, subtype)| {
            let suffix = subtype
                .len()
                .checked_sub(5)
                .and_then(|at| subtype.get(at..));
            kind.eq_ignore_ascii_case("application")
                && subtype.len() > 5
                && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
        });
    is_json
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = value.trim_matches('"');
            !name.eq_ignore_ascii_case("charset") || value.eq_ignore_ascii_case("utf-8")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(content_type: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        wants_json(&headers)
    }

    #[test]
    fn json_in_utf_8_is_taken_and_nothing_else() {
        for yes in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/merge-patch+json",
            "application/json; version=1",
        ] {
            assert!(judged(yes), "{yes}");
        }
        for no in [
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "application/json; charset=latin1",
            "application/jsonp",
            "application/+json",
            "multipart/form-data",
            "application/json, text/plain",
        ] {
            assert!(!judged(no), "{no}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }

    #[test]
    fn a_body_of_another_type_is_taken_unless_a_foreign_page_sent_it() {
        let judged = |headers: &[(&'static str, &'static str)]| {
            let pairs = headers.iter().map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            });
            may_be_json(&pairs.collect())
        };
        let form = ("content-type", "application/x-www-form-urlencoded");
        assert!(judged(&[form]));
        assert!(judged(&[]));
        assert!(judged(&[
            form,
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://a.example")
        ]));
        for site in ["cross-site", "same-site", "", "same-origin, none"] {
            assert!(!judged(&[form, ("sec-fetch-site", site)]), "{site}");
        }
        for origin in ["https://evil.example", "null"] {
            assert!(!judged(&[form, ("origin", origin)]), "{origin}");
            assert!(judged(&[
                ("content-type", "application/json"),
                ("origin", origin)
            ]));
        }
    }

    #[tokio::test]
    async fn a_body_without_length_is_cut_off_at_the_limit() {
        let piece = || Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1000]));
        let endless = futures_util::stream::repeat_with(piece);
        let read = read_body(&HeaderMap::new(), Body::from_stream(endless)).await;
        assert!(matches!(read, Err(BodyError::TooLarge)));
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together() {
        let pieces = ["{\"a\"", ":", "1}"].map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        assert_eq!(
            read_body(&HeaderMap::new(), body).await.unwrap(),
            "{\"a\":1}"
        );
    }
}
