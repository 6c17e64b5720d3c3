//! Which rows answer a question about a span of time: pure arithmetic on Unix seconds.

use super::resolution::Resolution;

/// Points of a curve when no step is asked for: what a screen shows.
const POINTS: i64 = 360;
/// The most points of an answer.
const MAX_POINTS: i64 = 1440;

/// A span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first moment.
    pub(super) from: i64,
    /// The moment behind the last.
    pub(super) to: i64,
}

/// Up to where roll-ups are complete; what is younger stands in finer rows only.
#[derive(Clone, Copy, Debug)]
pub(super) struct RolledUp {
    pub(super) minutes: i64,
    pub(super) hours: i64,
}

/// Rows to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) resolution: Resolution,
    pub(super) span: Span,
}

/// What to read, and the length of the intervals to answer with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Seconds.
    pub(super) step: i64,
    /// In the order of time, without overlap.
    pub(super) pieces: Vec<Piece>,
}

impl Plan {
    /// Plans the answer to a question asked at `now`.
    pub(super) fn new(span: Span, step: Option<i64>, now: i64, done: RolledUp) -> Self {
        let length = span.to - span.from;
        let step = step
            .unwrap_or(length.div_ceil_by(POINTS))
            .max(length.div_ceil_by(MAX_POINTS));
        let resolution = by_step(step).max(by_age(now - span.from));
        let step = step.max(1).div_ceil_by(resolution.seconds()) * resolution.seconds();
        let span = Span {
            from: span.from - span.from.rem_euclid(step),
            ..span
        };
        Self {
            step,
            pieces: pieces(resolution, span, done),
        }
    }
}

/// The coarsest rows of which whole ones make a step.
fn by_step(step: i64) -> Resolution {
    let fitting = Resolution::ALL
        .into_iter()
        .rev()
        .find(|resolution| resolution.seconds() <= step);
    fitting.unwrap_or(Resolution::TenSeconds)
}

/// The finest rows that still stand at this age.
fn by_age(age: i64) -> Resolution {
    let standing = Resolution::ALL
        .into_iter()
        .find(|resolution| age <= resolution.kept());
    standing.unwrap_or(Resolution::Hour)
}

fn pieces(resolution: Resolution, span: Span, done: RolledUp) -> Vec<Piece> {
    let ends = [
        (Resolution::Hour, done.hours),
        (Resolution::Minute, done.minutes),
        (Resolution::TenSeconds, i64::MAX),
    ];
    let mut from = span.from;
    let mut pieces = Vec::new();
    for (finer, end) in ends.into_iter().filter(|(finer, _)| *finer <= resolution) {
        let to = end.min(span.to);
        if to > from {
            pieces.push(Piece {
                resolution: finer,
                span: Span { from, to },
            });
            from = to;
        }
    }
    pieces
}

/// Division that rounds up; the standard library has it for unsigned numbers only.
trait DivCeil {
    fn div_ceil_by(self, by: i64) -> i64;
}

impl DivCeil for i64 {
    fn div_ceil_by(self, by: i64) -> i64 {
        -(-self).div_euclid(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;
    const DONE: RolledUp = RolledUp {
        minutes: NOW - 100,
        hours: NOW - 3200,
    };
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    /// The step, and per piece its resolution and how long before now it ends.
    fn plan(back: i64, step: Option<i64>) -> (i64, Vec<(i64, i64)>) {
        let span = Span {
            from: NOW - back,
            to: NOW,
        };
        let plan = Plan::new(span, step, NOW, DONE);
        assert_eq!(
            plan.pieces[0].span.from.rem_euclid(plan.step),
            0,
            "whole steps"
        );
        assert!(plan.pieces[0].span.from <= span.from);
        for pair in plan.pieces.windows(2) {
            assert_eq!(
                pair[0].span.to, pair[1].span.from,
                "without hole or overlap"
            );
        }
        let pieces = plan
            .pieces
            .iter()
            .map(|piece| (piece.resolution.seconds(), NOW - piece.span.to));
        (plan.step, pieces.collect())
    }

    #[test]
    fn span_step_and_age_choose_the_rows() {
        let fine = vec![(10, 0)];
        let minutes = vec![(60, 100), (10, 0)];
        let hours = vec![(3600, 3200), (60, 100), (10, 0)];
        for (back, step, want) in [
            (600, None, (10, fine.clone())),
            (HOUR, None, (10, fine.clone())),
            (2 * HOUR, None, (20, fine.clone())),
            (HOUR, Some(25), (30, fine.clone())),
            (HOUR, Some(60), (60, minutes.clone())),
            (DAY, None, (240, minutes.clone())),
            (DAY, Some(1), (60, minutes.clone())),
            (3 * HOUR, Some(10), (60, minutes)),
            (7 * DAY, None, (HOUR, hours.clone())),
            (90 * DAY, None, (6 * HOUR, hours.clone())),
            (DAY, Some(HOUR), (HOUR, hours.clone())),
            (2000 * DAY, Some(10), (34 * HOUR, hours)),
        ] {
            assert_eq!(plan(back, step), want, "{back} s back, step {step:?}");
        }
    }

    #[test]
    fn what_is_not_rolled_up_yet_is_read_finely() {
        let done = RolledUp {
            minutes: 0,
            hours: 0,
        };
        let span = Span {
            from: NOW - DAY,
            to: NOW,
        };
        let plan = Plan::new(span, None, NOW, done);
        assert_eq!(plan.pieces.len(), 1);
        assert_eq!(plan.pieces[0].resolution, Resolution::TenSeconds);
    }
}
