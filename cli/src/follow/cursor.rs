//! Which line of a log comes next.
//!
//! Lines are numbered without gaps, so a repeat and a loss both show. A repeat is dropped. At a
//! loss the stream is opened again from the missing line; when the control plane then gives the
//! same lines again, it really does not have the missing ones.

/// The number of the next line, and what is known about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    next: u64,
    asked: Asked,
}

/// Whether the next line was asked for by its number after it was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Not,
    ByNumber,
}

/// How a line fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is the next one.
    Next,
    /// It was there before.
    Repeat,
    /// Lines before it were missed: open the stream again.
    Missed,
    /// It is the next one that exists; this many before it do not.
    AfterLost(u64),
}

impl Cursor {
    /// Begins at a line.
    pub(super) const fn at(next: u64) -> Self {
        Self {
            next,
            asked: Asked::Not,
        }
    }

    /// The number of the next line.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The number of the last line that came, if one came.
    pub(super) const fn seen(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Takes a line.
    pub(super) fn take(&mut self, number: u64) -> Fit {
        if number < self.next {
            return Fit::Repeat;
        }
        let missing = number - self.next;
        match (missing, self.asked) {
            (0, _) | (_, Asked::ByNumber) => {}
            (_, Asked::Not) => {
                self.asked = Asked::ByNumber;
                return Fit::Missed;
            }
        }
        *self = Self::at(number + 1);
        if missing == 0 {
            Fit::Next
        } else {
            Fit::AfterLost(missing)
        }
    }

    /// Takes the end of a log with this many lines.
    pub(super) fn finish(&mut self, lines: u64) -> Fit {
        if lines <= self.next {
            return Fit::Next;
        }
        match self.asked {
            Asked::Not => {
                self.asked = Asked::ByNumber;
                Fit::Missed
            }
            Asked::ByNumber => {
                let missing = lines - self.next;
                *self = Self::at(lines);
                Fit::AfterLost(missing)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_fit_by_their_numbers() {
        let mut cursor = Cursor::at(5);
        assert_eq!((cursor.next(), cursor.seen()), (5, Some(4)));
        let story = [
            (4, Fit::Repeat),
            (5, Fit::Next),
            (5, Fit::Repeat),
            (8, Fit::Missed),
            (6, Fit::Next),
            (8, Fit::Missed),
            (8, Fit::AfterLost(1)),
            (9, Fit::Next),
            (12, Fit::Missed),
            (10, Fit::Next),
            (11, Fit::Next),
            (12, Fit::Next),
        ];
        for (step, (number, fit)) in story.into_iter().enumerate() {
            assert_eq!(cursor.take(number), fit, "step {step}");
        }
        assert_eq!(cursor.finish(13), Fit::Next);
        assert_eq!(cursor.finish(15), Fit::Missed);
        assert_eq!(cursor.finish(15), Fit::AfterLost(2));
        assert_eq!(Cursor::at(0).seen(), None);
    }

    proptest! {
        /// Streams that repeat and skip at will: every line is shown once and in order.
        #[test]
        fn no_line_is_shown_twice_or_left_out(
            total in 1_u64..60,
            streams in proptest::collection::vec((0_u64..70, 0_u64..5, proptest::collection::vec(1_u64..3, 1..30)), 1..30),
        ) {
            let mut cursor = Cursor::at(0);
            let mut shown = Vec::new();
            let honest = (0, 0, vec![1; 80]);
            for (cut, repeat, strides) in streams.into_iter().chain([honest.clone(), honest]) {
                let mut number = cursor.next().saturating_sub(repeat);
                let mut honest_once = cursor.asked == Asked::ByNumber;
                for (count, stride) in strides.into_iter().enumerate() {
                    if number >= total || (cut > 0 && count as u64 >= cut) {
                        break;
                    }
                    match cursor.take(number) {
                        Fit::Next => shown.push(number),
                        Fit::Repeat => {}
                        Fit::Missed => break,
                        Fit::AfterLost(lost) => prop_assert!(false, "{lost} lost that were there"),
                    }
                    // The control plane has every line: asked for one by its number, it gives it.
                    let step = if honest_once { 1 } else { stride };
                    honest_once = number + step <= cursor.next() && honest_once && cursor.asked == Asked::ByNumber;
                    number += step;
                }
            }
            prop_assert_eq!(shown, (0..total).collect::<Vec<_>>());
        }
    }
}
