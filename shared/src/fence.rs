//! The fence of an attempt: who may still act on a target.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Orders all attempts on one target. A higher fence outdates every lower one, for ever.
///
/// The epoch rises with each offer; the incarnation rises when the database was restored from a
/// backup, so that epochs given out after the backup was taken can never be met again.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Fence {
    /// Raised by a restore from backup.
    pub incarnation: u32,
    /// Raised by each offer on the target.
    pub epoch: u64,
}

impl Fence {
    /// The fence of the given incarnation and epoch.
    pub const fn new(incarnation: u32, epoch: u64) -> Self {
        Self { incarnation, epoch }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.incarnation, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::Fence;

    #[test]
    fn a_new_incarnation_outdates_every_epoch_of_the_old() {
        assert!(Fence::new(2, 0) > Fence::new(1, u64::MAX));
        assert!(Fence::new(1, 8) > Fence::new(1, 7));
    }
}
