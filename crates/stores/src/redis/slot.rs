//! Which of the slots of a cluster a key is in.

pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key: CRC-16 (XMODEM) of what is in its first braces, or of all of it
/// (Redis Cluster specification, "Hash tags").
pub(super) fn slot(key: &[u8]) -> u16 {
    let open = key.iter().position(|byte| *byte == b'{');
    let tag = open.and_then(|open| {
        let behind = &key[open + 1..];
        let close = behind.iter().position(|byte| *byte == b'}')?;
        behind.get(..close).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            let shifted = crc << 1;
            if crc & 0x8000 == 0 {
                shifted
            } else {
                shifted ^ 0x1021
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot(b"ww:{a7b3}v1"), slot(b"{a7b3}"));
        assert_eq!(slot(b"{}x"), crc16(b"{}x") % SLOTS);
        assert_eq!(slot(b"foo"), 12_182);
    }

    #[test]
    fn the_tags_of_recipients_are_spread_over_all_masters() {
        let mut per_master = [0_u32; 6];
        for tag in 0..=u16::MAX {
            let slot = slot(format!("ww:{{{tag:04x}}}r").as_bytes());
            per_master[usize::from(slot) * 6 / usize::from(SLOTS)] += 1;
        }
        let fair = 65_536 / 6;
        assert!(per_master.iter().all(|own| own.abs_diff(fair) < fair / 100));
    }
}
