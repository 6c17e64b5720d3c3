//! The way of a commit to a target: its steps, and how they go on. Pure.

use towline_shared::outcome::Step as WorkStep;

use super::named::named;

/// A part of the way, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The commit is fetched.
    Clone,
    /// Images are built.
    Build,
    /// Images that another host has built come to the target.
    Relay,
    /// The project is brought up.
    Deploy,
}

/// Where a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartStatus {
    /// It has not begun.
    Pending,
    /// It is at work.
    Running,
    /// It is done.
    Succeeded,
    /// It is not done.
    Failed,
    /// It was stopped.
    Cancelled,
    /// It was not needed, or not come to.
    Skipped,
}

/// How the whole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineEnd {
    /// All is done.
    Succeeded,
    /// A part failed.
    Failed,
    /// It was stopped.
    Cancelled,
}

named!(Part {
    Clone: "clone",
    Build: "build",
    Relay: "relay",
    Deploy: "deploy",
});

named!(PartStatus {
    Pending: "pending",
    Running: "running",
    Succeeded: "succeeded",
    Failed: "failed",
    Cancelled: "cancelled",
    Skipped: "skipped",
});

named!(PipelineEnd {
    Succeeded: "succeeded",
    Failed: "failed",
    Cancelled: "cancelled",
});

/// Lines of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineRange {
    /// The number of the first.
    pub from: u64,
    /// The number behind the last; none, when they go to the end of the log.
    pub to: Option<u64>,
}

/// Who goes a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The host that builds, which may be the target.
    Builder,
    /// The host that runs what was built.
    Target,
}

impl Part {
    /// The parts of a way, in their order; with a relay where images are built on another host.
    pub const fn all(is_built_elsewhere: bool) -> &'static [Self] {
        if is_built_elsewhere {
            &[Self::Clone, Self::Build, Self::Relay, Self::Deploy]
        } else {
            &[Self::Clone, Self::Build, Self::Deploy]
        }
    }

    /// Who goes it.
    pub const fn place(self) -> Place {
        match self {
            Self::Clone | Self::Build => Place::Builder,
            Self::Relay | Self::Deploy => Place::Target,
        }
    }

    /// The part that an agent is at, where a step of its work tells.
    pub const fn of(step: WorkStep) -> Option<Self> {
        match step {
            WorkStep::Cloning => Some(Self::Clone),
            WorkStep::Building => Some(Self::Build),
            WorkStep::Publishing | WorkStep::Receiving => Some(Self::Relay),
            WorkStep::Applying | WorkStep::Verifying | WorkStep::Pruning => Some(Self::Deploy),
            WorkStep::Preparing | WorkStep::Removing => None,
        }
    }
}

/// The parts when the one at `at` is at work. An agent that was interrupted may come to an earlier one again.
pub fn come_to(parts: &[PartStatus], at: usize) -> Vec<PartStatus> {
    use PartStatus::{Pending, Running, Skipped, Succeeded};
    let now = |(place, status): (usize, &PartStatus)| match (place.cmp(&at), status) {
        (std::cmp::Ordering::Less, Succeeded | Running) => Succeeded,
        (std::cmp::Ordering::Less, _) => Skipped,
        (std::cmp::Ordering::Equal, _) => Running,
        (std::cmp::Ordering::Greater, _) => Pending,
    };
    parts.iter().enumerate().map(now).collect()
}

/// The parts when the whole has ended. What failed or was stopped is the part at work, or the first that had not
/// begun; nothing after it was come to.
pub fn end(parts: &[PartStatus], how: PipelineEnd) -> Vec<PartStatus> {
    use PartStatus::{Cancelled, Failed, Pending, Running, Skipped, Succeeded};
    let is_open = |status: &PartStatus| matches!(status, Running | Pending);
    let at = parts
        .iter()
        .position(|status| *status == Running)
        .or_else(|| parts.iter().position(is_open));
    let now = |(place, status): (usize, &PartStatus)| match (status, how) {
        (Running | Pending, PipelineEnd::Failed) if Some(place) == at => Failed,
        (Running | Pending, PipelineEnd::Cancelled) if Some(place) == at => Cancelled,
        (Running, PipelineEnd::Succeeded) => Succeeded,
        (Running | Pending, _) => Skipped,
        (ended, _) => *ended,
    };
    parts.iter().enumerate().map(now).collect()
}

/// Where in one log its parts begin, when the one at `at` begins at `line`. What stands before all is the first part's. One that
/// is come to again has the lines since its first beginning, and those of the parts behind it that had begun meanwhile.
pub fn begin_log(begins: &[Option<u64>], at: usize, line: u64) -> Vec<Option<u64>> {
    let earlier = begins.iter().take(at).flatten().max();
    let line = line.max(earlier.copied().unwrap_or(0));
    let now = |(place, begin): (usize, &Option<u64>)| match place.cmp(&at) {
        _ if place == 0 => Some(begin.unwrap_or(0)),
        std::cmp::Ordering::Less => *begin,
        std::cmp::Ordering::Equal => Some(begin.unwrap_or(line)),
        std::cmp::Ordering::Greater => None,
    };
    begins.iter().enumerate().map(now).collect()
}

/// The lines of each part of one log: from its beginning to that of the next which has begun, or to the log's end.
pub fn log_parts(begins: &[Option<u64>]) -> Vec<Option<LineRange>> {
    let part = |(place, begin): (usize, &Option<u64>)| {
        let to = begins.iter().skip(place + 1).flatten().next().copied();
        begin.map(|from| LineRange { from, to })
    };
    begins.iter().enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::PartStatus::{Cancelled, Failed, Pending, Running, Skipped, Succeeded};
    use super::*;

    #[test]
    fn a_commit_is_cloned_built_and_deployed() {
        let way = Part::all(false);
        let mut parts = vec![Pending; way.len()];
        let told = [
            (WorkStep::Cloning, [Running, Pending, Pending]),
            (WorkStep::Preparing, [Running, Pending, Pending]),
            // Files are placed before anything is built.
            (WorkStep::Applying, [Succeeded, Skipped, Running]),
            (WorkStep::Building, [Succeeded, Running, Pending]),
            (WorkStep::Applying, [Succeeded, Succeeded, Running]),
            (WorkStep::Verifying, [Succeeded, Succeeded, Running]),
        ];
        for (step, expected) in told {
            if let Some(part) = Part::of(step) {
                let at = way.iter().position(|one| *one == part).unwrap();
                parts = come_to(&parts, at);
            }
            assert_eq!(parts, expected, "{step:?}");
        }
        assert_eq!(end(&parts, PipelineEnd::Succeeded), [Succeeded; 3]);
    }

    #[test]
    fn what_is_built_elsewhere_comes_over_a_relay() {
        let way = Part::all(true);
        let mut parts = vec![Pending; way.len()];
        let told = [
            WorkStep::Cloning,
            WorkStep::Building,
            WorkStep::Publishing,
            WorkStep::Receiving,
            WorkStep::Applying,
        ];
        for step in told {
            let at = way.iter().position(|one| Some(*one) == Part::of(step));
            parts = come_to(&parts, at.unwrap());
        }
        assert_eq!(parts, [Succeeded, Succeeded, Succeeded, Running]);
        let places: Vec<_> = way.iter().map(|part| part.place()).collect();
        assert_eq!(
            places,
            [Place::Builder, Place::Builder, Place::Target, Place::Target]
        );
    }

    #[test]
    fn each_line_is_in_one_part() {
        // Which part begins at which line, as agents tell it; and where the parts begin then.
        type Told = &'static [(usize, u64)];
        type Begins = [Option<u64>; 3];
        let table: [(Told, Begins); 7] = [
            (&[], [Some(0), None, None]),
            (&[(0, 2)], [Some(0), None, None]),
            (&[(0, 2), (1, 9), (2, 40)], [Some(0), Some(9), Some(40)]),
            // Nothing is built.
            (&[(0, 2), (2, 4)], [Some(0), None, Some(4)]),
            // Files are placed before anything is built.
            (
                &[(0, 2), (2, 4), (1, 5), (2, 30)],
                [Some(0), Some(5), Some(30)],
            ),
            // The agent died in the middle, and built again.
            (
                &[(0, 2), (1, 9), (2, 40), (1, 44)],
                [Some(0), Some(9), None],
            ),
            // One that has no idea of its own log.
            (&[(1, 9), (2, 3)], [Some(0), Some(9), Some(9)]),
        ];
        for (told, expected) in table {
            let mut begins = vec![Some(0), None, None];
            for (at, line) in told {
                begins = begin_log(&begins, *at, *line);
            }
            assert_eq!(begins, expected, "{told:?}");
            let parts = log_parts(&begins);
            for line in 0..100 {
                let has = |part: &&Option<LineRange>| {
                    part.is_some_and(|part| part.from <= line && part.to.is_none_or(|to| line < to))
                };
                assert_eq!(parts.iter().filter(has).count(), 1, "{told:?}: {line}");
            }
        }
    }

    #[test]
    fn what_failed_is_the_part_at_work() {
        let table = [
            (
                [Pending, Pending, Pending],
                PipelineEnd::Failed,
                [Failed, Skipped, Skipped],
            ),
            (
                [Running, Pending, Pending],
                PipelineEnd::Failed,
                [Failed, Skipped, Skipped],
            ),
            (
                [Succeeded, Running, Pending],
                PipelineEnd::Cancelled,
                [Succeeded, Cancelled, Skipped],
            ),
            (
                [Succeeded, Skipped, Running],
                PipelineEnd::Failed,
                [Succeeded, Skipped, Failed],
            ),
            (
                [Succeeded, Skipped, Running],
                PipelineEnd::Succeeded,
                [Succeeded, Skipped, Succeeded],
            ),
            (
                [Pending, Pending, Pending],
                PipelineEnd::Succeeded,
                [Skipped, Skipped, Skipped],
            ),
        ];
        for (parts, how, expected) in table {
            assert_eq!(end(&parts, how), expected, "{parts:?} {how:?}");
        }
    }
}
