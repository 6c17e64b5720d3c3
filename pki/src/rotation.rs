//! Changing the authority without losing an agent.
//!
//! While two roots overlap, both are trusted by everybody; agents' leaves are issued by the new
//! one, and each is handed out together with both roots. The listeners keep the old root's
//! certificate until the end, because an agent that has not renewed yet trusts nothing else. When
//! no leaf of the old root lives, every agent has the new root, and the old one goes.

use crate::{
    fingerprint::Fingerprint,
    roots::{Root, TrustRoots},
};

/// Where a rotation stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// One authority; nothing is being rotated.
    Single(Root),
    /// Two authorities are trusted.
    Overlap {
        /// The one that goes.
        old: Root,
        /// The one that comes.
        new: Root,
    },
}

/// What moves a rotation on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RotationEvent {
    /// A new authority has been made.
    Introduce(Root),
    /// The old one shall go, if nothing needs it.
    Retire {
        /// How many unexpired, unrevoked leaves of the old root there are, by
        /// [`IssuedLeaf::issuer`](crate::IssuedLeaf).
        live_leaves: u64,
    },
    /// The old one shall go, and agents that still live by it must enrol again: its key is known to
    /// a thief.
    ForceRetire,
}

/// Why a rotation does not move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationRefusal {
    /// The new authority is the one we have.
    #[error("the authority {0} is trusted already; make a new one to rotate to")]
    SameRoot(Fingerprint),
    /// One rotation at a time.
    #[error("a rotation to {to} is under way; retire {from} first")]
    UnderWay {
        /// The old root.
        from: Fingerprint,
        /// The new root.
        to: Fingerprint,
    },
    /// There is no old root.
    #[error("no rotation is under way; introduce a new authority first")]
    NotUnderWay,
    /// Agents would be cut off.
    #[error(
        "{live_leaves} live certificates were issued by the old authority {old}; wait until they are renewed, or force it and enrol those agents again"
    )]
    OldStillLive {
        /// The old root.
        old: Fingerprint,
        /// How many agents would be cut off.
        live_leaves: u64,
    },
}

impl Rotation {
    /// The next state, or why there is none.
    pub fn apply(&self, event: RotationEvent) -> Result<Self, RotationRefusal> {
        use RotationEvent::{ForceRetire, Introduce, Retire};
        match (self, event) {
            (Self::Single(root), Introduce(new)) if *root == new => {
                Err(RotationRefusal::SameRoot(root.fingerprint()))
            }
            (Self::Single(root), Introduce(new)) => Ok(Self::Overlap {
                old: root.clone(),
                new,
            }),
            (Self::Overlap { old, new }, Introduce(_)) => Err(RotationRefusal::UnderWay {
                from: old.fingerprint(),
                to: new.fingerprint(),
            }),
            (Self::Overlap { new, .. }, Retire { live_leaves: 0 } | ForceRetire) => {
                Ok(Self::Single(new.clone()))
            }
            (Self::Overlap { old, .. }, Retire { live_leaves }) => {
                Err(RotationRefusal::OldStillLive {
                    old: old.fingerprint(),
                    live_leaves,
                })
            }
            (Self::Single(_), Retire { .. } | ForceRetire) => Err(RotationRefusal::NotUnderWay),
        }
    }

    /// What the agent listener and every agent trust.
    pub fn trust_roots(&self) -> TrustRoots {
        match self {
            Self::Single(root) => TrustRoots::single(root.clone()),
            Self::Overlap { old, new } => TrustRoots::overlap(old.clone(), new.clone()),
        }
    }

    /// Whose key signs agents' certificates: the newest.
    pub fn agent_issuer(&self) -> &Root {
        match self {
            Self::Single(root) | Self::Overlap { new: root, .. } => root,
        }
    }

    /// Whose key signs the listeners' certificates, and whose fingerprint tokens carry: the one
    /// that every agent knows.
    pub fn server_issuer(&self) -> &Root {
        match self {
            Self::Single(root) | Self::Overlap { old: root, .. } => root,
        }
    }
}
