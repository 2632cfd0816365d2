//! Moments as they lie in memory: by how far they are from one that this process met early.
//!
//! That takes four bytes for a day and five for a year, where a moment by itself takes six.

use std::sync::OnceLock;

use crate::clock::Timestamp;
use crate::compact::{Reader, number};

/// So much before the first moment, in milliseconds: some that are met later are earlier.
const LEEWAY: u64 = 1 << 26;

/// What moments are told from, in milliseconds. The first call decides, by the moment that it brings.
pub(super) fn origin(met: Timestamp) -> u64 {
    static ORIGIN: OnceLock<u64> = OnceLock::new();
    *ORIGIN.get_or_init(|| met.as_millis().wrapping_sub(LEEWAY))
}

pub(super) fn write(out: &mut Vec<u8>, at: Timestamp) {
    number(out, at.as_millis().wrapping_sub(origin(at)));
}

/// What was written by this process.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Timestamp> {
    let origin = origin(Timestamp::default());
    let millis = origin.wrapping_add(reader.number()?);
    Some(Timestamp::from_millis(millis))
}
