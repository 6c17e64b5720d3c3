//! The fence of an attempt: who may still act on a target.

use std::fmt;
use std::str::FromStr;

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

/// Text that is no fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no fence: one is `incarnation.epoch`")]
pub struct NoFence;

impl FromStr for Fence {
    type Err = NoFence;

    fn from_str(text: &str) -> Result<Self, NoFence> {
        let (incarnation, epoch) = text.split_once('.').ok_or(NoFence)?;
        Ok(Self {
            incarnation: incarnation.parse().map_err(|_| NoFence)?,
            epoch: epoch.parse().map_err(|_| NoFence)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Fence, NoFence};

    #[test]
    fn a_fence_is_written_and_read() {
        let fence = Fence::new(3, 41);
        assert_eq!(fence.to_string().parse(), Ok(fence));
        for text in ["", "3", "3.", ".41", "3.4.1", "-1.2", "a.b"] {
            assert_eq!(text.parse::<Fence>(), Err(NoFence), "{text}");
        }
    }

    #[test]
    fn a_new_incarnation_outdates_every_epoch_of_the_old() {
        assert!(Fence::new(2, 0) > Fence::new(1, u64::MAX));
        assert!(Fence::new(1, 8) > Fence::new(1, 7));
    }
}
