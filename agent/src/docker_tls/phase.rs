//! How far it is, and what a wish makes of that: a table without any effect.

use serde::{Deserialize, Serialize};

/// How far the set-up of a host is. All but [`Phase::Absent`] is written down before what it names begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Nothing of it is there.
    Absent,
    /// Files are put in; the engine was not restarted for them.
    Preparing,
    /// The engine is restarted with them, and looked at.
    Starting,
    /// It is in use.
    Enabled,
    /// A new certificate takes the old one's place.
    Renewing,
    /// What was there before is put back.
    Leaving,
}

/// What somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// `enable`.
    Enable,
    /// `disable`.
    Disable,
    /// `renew`.
    Renew,
}

/// A part of the way there. Each ends in the phase that the next begins with, or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// From nothing to use.
    PutIn,
    /// Back to what was there before.
    TakeOut,
    /// A new certificate.
    Exchange,
    /// The certificate that was in use before a renewal that broke off.
    PutBack,
}

/// Why a wish cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// There is nothing to renew.
    #[error(
        "Docker's API over TLS is not enabled here; enable it by `towline-agent docker-tls enable`"
    )]
    Absent,
    /// Something has broken off.
    #[error(
        "an earlier enable or disable has broken off; finish it by `towline-agent docker-tls enable`, or undo it by `disable`"
    )]
    BrokenOff,
}

impl Phase {
    /// What is to be done for a wish, in this order; nothing, when it is so already.
    pub const fn plan(self, wish: Wish) -> Result<&'static [Work], NotNow> {
        match (wish, self) {
            (Wish::Enable, Self::Absent) => Ok(&[Work::PutIn]),
            (Wish::Enable, Self::Preparing | Self::Starting | Self::Leaving) => {
                Ok(&[Work::TakeOut, Work::PutIn])
            }
            (Wish::Enable, Self::Enabled) | (Wish::Disable, Self::Absent) => Ok(&[]),
            (Wish::Enable, Self::Renewing) => Ok(&[Work::PutBack]),
            (Wish::Disable, _) => Ok(&[Work::TakeOut]),
            (Wish::Renew, Self::Absent) => Err(NotNow::Absent),
            (Wish::Renew, Self::Preparing | Self::Starting | Self::Leaving) => {
                Err(NotNow::BrokenOff)
            }
            (Wish::Renew, Self::Enabled) => Ok(&[Work::Exchange]),
            (Wish::Renew, Self::Renewing) => Ok(&[Work::PutBack, Work::Exchange]),
        }
    }

    /// What it is called for people.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Absent => "disabled",
            Self::Preparing | Self::Starting => "enabling has broken off",
            Self::Enabled => "enabled",
            Self::Renewing => "renewing has broken off",
            Self::Leaving => "disabling has broken off",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 6] = [
        Phase::Absent,
        Phase::Preparing,
        Phase::Starting,
        Phase::Enabled,
        Phase::Renewing,
        Phase::Leaving,
    ];

    fn ends_in(work: Work) -> Phase {
        match work {
            Work::PutIn | Work::Exchange | Work::PutBack => Phase::Enabled,
            Work::TakeOut => Phase::Absent,
        }
    }

    #[test]
    fn every_wish_ends_where_it_leads_from_wherever_it_begins() {
        let table = [
            (Wish::Enable, Phase::Enabled, &[][..]),
            (Wish::Disable, Phase::Absent, &[]),
            (
                Wish::Renew,
                Phase::Enabled,
                &[
                    Phase::Absent,
                    Phase::Preparing,
                    Phase::Starting,
                    Phase::Leaving,
                ],
            ),
        ];
        for (wish, end, refused) in table {
            for phase in PHASES {
                match phase.plan(wish) {
                    Ok(works) => {
                        let reached = works.last().map_or(phase, |work| ends_in(*work));
                        assert_eq!(reached, end, "{wish:?} at {phase:?}");
                    }
                    Err(_) => assert!(refused.contains(&phase), "{wish:?} at {phase:?}"),
                }
            }
        }
    }

    #[test]
    fn nothing_is_put_in_upon_what_is_half_there() {
        for phase in PHASES {
            let works = phase.plan(Wish::Enable).unwrap_or_default();
            let at = works.iter().position(|work| *work == Work::PutIn);
            let before = at.map(|at| match at {
                0 => phase,
                at => ends_in(works[at - 1]),
            });
            assert!(
                before.is_none_or(|before| before == Phase::Absent),
                "{phase:?}"
            );
        }
    }
}
