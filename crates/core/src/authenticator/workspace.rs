//! The memory that Argon2 fills: worth keeping from one hash to the next, and cleared when it goes.
//!
//! Taken from the system for every hash it is thousands of page faults, each under a lock on the process's memory map: a thread of low
//! priority that loses its processor while it holds that lock stops every other thread that wants it.

use argon2::Block;
use zeroize::Zeroize as _;

use super::password::HashingFailed;

/// Memory for one hash at a time. Empty until it is first used.
#[derive(Default)]
pub struct Workspace(Vec<Block>);

impl Workspace {
    /// `count` blocks of 1 KiB, with what an earlier hash left in them: Argon2 writes each before it reads it (RFC 9106 §3.2).
    pub(super) fn blocks(&mut self, count: usize) -> Result<&mut [Block], HashingFailed> {
        if self.0.len() < count {
            self.clear();
            self.0.try_reserve_exact(count).map_err(|_| HashingFailed)?;
            self.0.resize(count, Block::new());
        }
        Ok(&mut self.0[..count])
    }

    /// Gives back what is more than `kib`: an imported hash may have taken much more than our own ever will.
    pub fn shrink_to(&mut self, kib: u32) {
        if self.0.len() > usize::try_from(kib).unwrap_or(usize::MAX) {
            self.clear();
        }
    }

    /// Overwrites it and gives it all back.
    pub fn clear(&mut self) {
        // From the last blocks the hash of a password can be worked out.
        self.0.iter_mut().for_each(Block::zeroize);
        self.0 = Vec::new();
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_more_than_it_may_keep_goes() {
        let mut workspace = Workspace::default();
        assert_eq!(workspace.blocks(64).map(|blocks| blocks.len()), Ok(64));
        workspace.shrink_to(64);
        assert_eq!(workspace.0.len(), 64);
        workspace.shrink_to(63);
        assert_eq!(workspace.0.capacity(), 0);
        assert_eq!(workspace.blocks(8).map(|blocks| blocks.len()), Ok(8));
        workspace.clear();
        assert_eq!(workspace.0.capacity(), 0);
    }
}
