//! `Retry-After`: when a provider wants to be asked again (RFC 9110 section 10.2.3).

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap, HeaderValue, RETRY_AFTER};

/// How long a reply with these headers asks to wait: seconds, or the span until a date.
///
/// A date is taken against the reply's own `Date`, so that the two clocks need not agree, and
/// against `now` only where there is none. One that is past asks for no wait. The dates' two
/// obsolete forms are not read.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More seconds than fit are as good as the most that do.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = rfc2822::parse(value).ok()?.timestamp();
    let from = headers.get(DATE).and_then(date).unwrap_or(now);
    let seconds = until.as_second().saturating_sub(from.as_second());
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn date(value: &HeaderValue) -> Option<Timestamp> {
    let date = rfc2822::parse(value.to_str().ok()?.trim()).ok()?;
    Some(date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn read(value: &'static str, date: Option<&'static str>, now: i64) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_static(date));
        }
        let now = Timestamp::from_second(now).unwrap();
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_wait_is_a_number_of_seconds() {
        for (value, wait) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("7, 8", None),
        ] {
            assert_eq!(read(value, None, 0), wait, "{value:?}");
        }
        let none = retry_after(&HeaderMap::new(), Timestamp::UNIX_EPOCH);
        assert_eq!(none, None);
    }

    #[test]
    fn a_wait_is_the_span_between_the_two_dates_of_a_reply_whatever_our_clock_says() {
        for now in [0, 784_111_777, 4_000_000_000] {
            let wait = |date| read(DAY, Some(date), now);
            assert_eq!(wait("Sun, 06 Nov 1994 08:49:30 GMT"), Some(7));
            assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(0));
            assert_eq!(wait("Mon, 07 Nov 1994 08:49:37 GMT"), Some(0));
        }
        assert_eq!(read(DAY, None, 784_111_777 - 30), Some(30));
        assert_eq!(read(DAY, Some("yesterday"), 784_111_777 - 30), Some(30));
        for odd in [
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
        ] {
            assert_eq!(read(odd, None, 0), None, "{odd}");
        }
    }
}
