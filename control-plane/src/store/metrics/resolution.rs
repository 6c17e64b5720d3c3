//! The lengths of the intervals that rows stand for.

use std::time::Duration;

/// The length of the interval that a row stands for, and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Resolution {
    TenSeconds,
    Minute,
    Hour,
}

impl Resolution {
    /// From the finest.
    pub(super) const ALL: [Self; 3] = [Self::TenSeconds, Self::Minute, Self::Hour];

    /// The length of an interval, in seconds; also what the database calls it.
    pub(super) const fn seconds(self) -> i64 {
        match self {
            Self::TenSeconds => 10,
            Self::Minute => 60,
            Self::Hour => 3600,
        }
    }

    /// How long rows are kept, in seconds.
    pub(super) const fn kept(self) -> i64 {
        let time = match self {
            Self::TenSeconds => Duration::from_hours(2),
            Self::Minute => Duration::from_hours(48),
            Self::Hour => Duration::from_hours(90 * 24),
        };
        time.as_secs().cast_signed()
    }

    /// What this one's rows are made from.
    pub(super) const fn finer(self) -> Option<Self> {
        match self {
            Self::TenSeconds => None,
            Self::Minute => Some(Self::TenSeconds),
            Self::Hour => Some(Self::Minute),
        }
    }

    /// What is made from this one's rows.
    pub(super) const fn coarser(self) -> Option<Self> {
        match self {
            Self::TenSeconds => Some(Self::Minute),
            Self::Minute => Some(Self::Hour),
            Self::Hour => None,
        }
    }

    /// The start of the interval that a moment lies in, both in Unix seconds.
    pub(super) const fn start_of(self, at: i64) -> i64 {
        at - at.rem_euclid(self.seconds())
    }
}
