//! Which provider is played.

use serde::Serialize;

/// A family of providers: one API, one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Messages, WhatsApp and calls of Twilio.
    Twilio,
    /// Meta's WhatsApp Cloud API.
    Meta,
    /// Gupshup's WhatsApp API.
    Gupshup,
}

impl Family {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Twilio, Self::Meta, Self::Gupshup];

    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Twilio => "twilio",
            Self::Meta => "meta",
            Self::Gupshup => "gupshup",
        }
    }

    /// Its digit in the numbers that say what to do, see [`Mode::of_number`](crate::Mode::of_number).
    pub(crate) const fn digit(self) -> u8 {
        match self {
            Self::Twilio => b'1',
            Self::Meta => b'2',
            Self::Gupshup => b'3',
        }
    }

    /// The number of "this recipient cannot be reached".
    pub(crate) const fn unreachable(self) -> u32 {
        match self {
            Self::Twilio => 21_211,
            Self::Meta => 131_026,
            Self::Gupshup => 1002,
        }
    }

    /// The number of "these credentials are wrong".
    pub(crate) const fn unauthorized(self) -> u32 {
        match self {
            Self::Twilio => 20_003,
            Self::Meta => 190,
            Self::Gupshup => 401,
        }
    }

    /// The number of "down, try later".
    pub(crate) const fn down(self) -> u32 {
        match self {
            Self::Twilio => 20_503,
            Self::Meta => 131_000,
            Self::Gupshup => 500,
        }
    }

    /// The number of "too fast".
    pub(crate) const fn too_fast(self) -> u32 {
        match self {
            Self::Twilio => 20_429,
            Self::Meta => 130_429,
            Self::Gupshup => 429,
        }
    }

    /// The HTTP status that an error number usually comes with.
    pub(crate) const fn status(self, code: u32) -> u16 {
        match (self, code) {
            (Self::Twilio, 20_003 | 20_101) | (Self::Meta, 0 | 190) | (Self::Gupshup, 401) => 401,
            (Self::Meta, 10 | 200..=299 | 131_005 | 131_031 | 368) => 403,
            (Self::Twilio, 20_404) => 404,
            (Self::Twilio, 20_429) | (Self::Meta, 130_429 | 80_007) | (Self::Gupshup, 429) => 429,
            (Self::Twilio, 20_500) | (Self::Meta, 1 | 131_000) | (Self::Gupshup, 500) => 500,
            (Self::Twilio, 20_503) | (Self::Meta, 2 | 131_016) => 503,
            _ => 400,
        }
    }
}
