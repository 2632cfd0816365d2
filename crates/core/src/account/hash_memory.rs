//! The memory that passwords are hashed in.

use std::fmt;

use argon2::{Block, Params};
use zeroize::Zeroize as _;

use super::password::HashError;

/// What a thread hashes passwords in, one after the other. It is kept: memory of this size that is taken anew for
/// each is mapped and cleared by the system again and again, or piles up in the allocator, as it happens.
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
            self.0 = Vec::new();
            self.0
                .try_reserve_exact(length)
                .map_err(|_| HashError::Failed)?;
            self.0.resize(length, Block::new());
        }
        let lent = Lent(self.0.get_mut(..length).ok_or(HashError::Failed)?);
        Ok(work(&mut *lent.0))
    }

    /// How much it is, in KiB: as much as the costliest hash so far.
    #[must_use]
    pub const fn kib(&self) -> usize {
        self.0.len()
    }
}

/// Wiped when it is given back, however that comes.
struct Lent<'a>(&'a mut [Block]);

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.0.iter_mut().zeroize();
    }
}

impl fmt::Debug for HashMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashMemory({} KiB)", self.kib())
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn params(kib: u32) -> Params {
        Params::new(kib, 1, 1, None).unwrap()
    }

    #[test]
    fn nothing_of_a_hash_stays_in_its_memory() {
        let mut memory = HashMemory::default();
        for (kib, kept) in [(64, 64), (128, 128), (32, 128)] {
            let lent = memory.lend(&params(kib), |blocks| {
                let clean = blocks
                    .iter()
                    .all(|block| *block.as_ref() == *Block::new().as_ref());
                blocks.iter_mut().for_each(|block| block.as_mut().fill(7));
                (clean, blocks.len())
            });
            assert_eq!(lent.unwrap(), (true, kib as usize));
            assert_eq!(memory.kib(), kept);
        }
        let left = memory.0.iter().flat_map(AsRef::as_ref);
        assert!(left.copied().all(|word| word == 0));
    }

    #[test]
    fn nothing_stays_of_a_hash_that_came_to_no_end_either() {
        let mut memory = HashMemory::default();
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let lent = memory.lend(&params(64), |blocks| {
                blocks[0].as_mut().fill(7);
                panic!("on purpose");
            });
            let _: Result<(), _> = lent;
        }));
        assert!(ended.is_err());
        assert_eq!(memory.kib(), 64);
        assert!(memory.0[0].as_ref().iter().all(|word| *word == 0));
    }
}
