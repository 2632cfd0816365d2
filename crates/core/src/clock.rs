//! Time as an argument: what a moment is, and where the program gets one.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Never before the epoch and never later than 9999-12-30T22:00:00.000Z, so that it always has an
/// RFC 3339 form.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    const MAX_MILLIS: u64 = 253_402_207_200_000;

    /// The moment so many milliseconds after the epoch; later than the last one becomes that.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > Self::MAX_MILLIS {
            Self::MAX_MILLIS
        } else {
            millis
        })
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `span` later, or the last one.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(millis(span)))
    }

    /// The moment `span` earlier, or the epoch.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long it takes from `earlier` until this moment; nothing if it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// A span in whole milliseconds, rounded down.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with milliseconds, such as `2026-01-02T03:04:05.678Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).map_err(|_| fmt::Error)?;
        let moment = jiff::Timestamp::from_millisecond(millis).map_err(|_| fmt::Error)?;
        write!(f, "{moment:.3}")
    }
}

/// Where the program gets the time.
pub trait Clock: Send + Sync + 'static {
    /// The moment now. May step back; rules that count must not trust it to be monotonic.
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_reads_as_rfc_3339_with_milliseconds() {
        assert_eq!(
            Timestamp::from_millis(1_767_323_045_678).to_string(),
            "2026-01-02T03:04:05.678Z"
        );
        assert_eq!(
            Timestamp::from_millis(0).to_string(),
            "1970-01-01T00:00:00.000Z"
        );
        assert_eq!(
            Timestamp::from_millis(u64::MAX).to_string(),
            "9999-12-30T22:00:00.000Z"
        );
    }

    #[test]
    fn arithmetic_stays_inside_the_range() {
        let end = Timestamp::from_millis(u64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert_eq!(
            Timestamp::default().minus(Duration::from_secs(1)),
            Timestamp::default()
        );
        assert_eq!(Timestamp::default().since(end), Duration::ZERO);
    }
}
