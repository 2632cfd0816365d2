//! Recipients and clients by number, so that every turn has its own and meets no limit.

/// A number that can exist in the United States, another one for each of 63 million `n`.
pub(crate) fn recipient(n: u64) -> u64 {
    const AREAS: [u64; 8] = [212, 213, 312, 415, 503, 617, 702, 808];
    let area = usize::try_from(n / 7_900_000).unwrap_or(0) % AREAS.len();
    10_000_000_000 + AREAS[area] * 10_000_000 + 2_000_000 + n % 7_900_000
}

/// The same number as it is dialled within the United States: ten digits.
pub(crate) fn at_home(n: u64) -> u64 {
    recipient(n) % 10_000_000_000
}

/// The address of an end user, another one for each of 16 million `n`.
pub(crate) fn source(n: u64) -> [u8; 4] {
    let [.., a, b, c] = n.to_be_bytes();
    [10, a, b, c]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_american_numbers_that_differ() {
        assert_eq!(recipient(0), 12_122_000_000);
        assert_eq!(recipient(7_900_000), 12_132_000_000);
        assert_eq!(at_home(7_900_000), 2_132_000_000);
    }

    #[test]
    fn sources_differ() {
        assert_eq!(source(0x01_02_03), [10, 1, 2, 3]);
    }
}
