//! The memory that passwords are hashed in.

use std::fmt;

use argon2::{Block, Params};
use zeroize::Zeroize as _;

use super::password::HashError;

/// What a thread hashes passwords in, one after the other. With memory from the system for each, a third of the
/// work was the system's: pages to map and to clear, and to take back while all threads of the process wait.
///
/// It is wiped after each: what argon2 leaves behind can be unwound, and guesses checked against the beginning
/// at no cost.
#[derive(Default)]
pub struct HashMemory(Vec<Block>);

impl HashMemory {
    /// Lends as much as one hash takes, and wipes it afterwards.
    pub(super) fn lend<T>(
        &mut self,
        params: &Params,
        work: impl FnOnce(&mut [Block]) -> T,
    ) -> Result<T, HashError> {
        let length = params.block_count();
        if self.0.len() < length {
            self.release();
            self.0
                .try_reserve_exact(length)
                .map_err(|_| HashError::Failed)?;
            self.0.resize(length, Block::new());
        }
        let blocks = self.0.get_mut(..length).ok_or(HashError::Failed)?;
        let done = work(blocks);
        blocks.iter_mut().zeroize();
        Ok(done)
    }

    /// Whether it holds any. It does after the first hash, until it is released.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        !self.0.is_empty()
    }

    /// Gives it back to the system.
    pub fn release(&mut self) {
        self.0 = Vec::new();
    }
}

impl fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashMemory({} KiB)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(kib: u32) -> Params {
        Params::new(kib, 1, 1, None).unwrap()
    }

    #[test]
    fn nothing_of_a_hash_stays_in_its_memory() {
        let mut memory = HashMemory::default();
        for kib in [64, 128, 32] {
            let lent = memory.lend(&params(kib), |blocks| {
                let clean = blocks
                    .iter()
                    .all(|block| *block.as_ref() == *Block::new().as_ref());
                blocks.iter_mut().for_each(|block| block.as_mut().fill(7));
                (clean, blocks.len())
            });
            assert_eq!(lent.unwrap(), (true, kib as usize));
        }
        let left = memory.0.iter().flat_map(AsRef::as_ref);
        assert!(left.copied().all(|word| word == 0));
    }

    #[test]
    fn it_is_held_between_hashes_and_not_once_it_is_released() {
        let mut memory = HashMemory::default();
        assert!(!memory.is_held());
        memory.lend(&params(64), |_| ()).unwrap();
        assert!(memory.is_held());
        memory.release();
        assert!(!memory.is_held());
        assert_eq!(memory.0.capacity(), 0);
    }
}
