//! Merging what people and Towline have each made of one text. Pure.
//!
//! Both began with the same text. What only one of them has changed is taken; what both have changed alike, once; where
//! they have changed the same or adjoining lines otherwise, both versions stand there between markers, as with git. So no
//! line that somebody has written gets lost.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// How long one comparison looks for the shortest difference; then a longer one does.
const PATIENCE: Duration = Duration::from_millis(200);
const YOURS: &str = "<<<<<<< yours\n";
const BETWEEN: &str = "=======\n";
const THEIRS: &str = ">>>>>>> generated\n";

/// Two versions of a text in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The text.
    pub text: String,
    /// How many places need somebody to choose; they are marked.
    pub conflicts: usize,
}

/// A change of some lines of the base into some of a side.
#[derive(Clone, Debug)]
struct Edit {
    base: Range<usize>,
    side: Range<usize>,
}

/// A text by its lines, and what was changed in it.
struct Side<'a> {
    lines: Vec<&'a str>,
    edits: Vec<Edit>,
}

/// Merges two versions of a text.
pub fn merge(base: &str, yours: &str, generated: &str) -> Merged {
    let base: Vec<&str> = base.split_inclusive('\n').collect();
    let (yours, theirs) = (Side::of(&base, yours), Side::of(&base, generated));
    let (mut text, mut conflicts) = (String::new(), 0);
    let (mut at, mut own, mut other) = (0, 0, 0);
    while let Some(begin) = next(&yours.edits[own..], &theirs.edits[other..]) {
        let (mut region, first) = (begin.clone(), (own, other));
        loop {
            let touches = |edits: &[Edit], from: usize| {
                edits
                    .get(from)
                    .is_some_and(|edit| edit.base.start <= region.end)
            };
            let grown = if touches(&yours.edits, own) {
                own += 1;
                &yours.edits[own - 1]
            } else if touches(&theirs.edits, other) {
                other += 1;
                &theirs.edits[other - 1]
            } else {
                break;
            };
            region.end = region.end.max(grown.base.end);
        }
        text.extend(base[at..region.start].iter().copied());
        at = region.end;
        let ours = yours.text(&base, &region, &yours.edits[first.0..own]);
        let their = theirs.text(&base, &region, &theirs.edits[first.1..other]);
        if first.1 == other || ours == their {
            text.push_str(&ours);
        } else if first.0 == own {
            text.push_str(&their);
        } else {
            conflicts += 1;
            for piece in [YOURS, &ours, BETWEEN, &their, THEIRS] {
                text.push_str(piece);
                if !piece.is_empty() && !piece.ends_with('\n') {
                    text.push('\n');
                }
            }
        }
    }
    text.extend(base[at..].iter().copied());
    Merged { text, conflicts }
}

/// Where the next change of either side begins.
fn next(yours: &[Edit], theirs: &[Edit]) -> Option<Range<usize>> {
    let starts = [yours.first(), theirs.first()].into_iter().flatten();
    let first = starts.map(|edit| edit.base.start).min()?;
    Some(first..first)
}

impl<'a> Side<'a> {
    fn of(base: &[&str], text: &'a str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let deadline = Some(Instant::now() + PATIENCE);
        let operations = capture_diff_slices_deadline(Algorithm::Myers, base, &lines, deadline);
        // What lies between lines that both have. Deletions and insertions do not tell it: where one meets the other, an
        // insertion may say that it comes first.
        let ends = DiffOp::Equal {
            old_index: base.len(),
            new_index: lines.len(),
            len: 0,
        };
        let (mut edits, mut at) = (Vec::new(), (0, 0));
        for operation in operations.iter().chain([&ends]) {
            let DiffOp::Equal { .. } = operation else {
                continue;
            };
            let (old, new) = (operation.old_range(), operation.new_range());
            let (base, side) = (at.0..old.start, at.1..new.start);
            if !(base.is_empty() && side.is_empty()) {
                edits.push(Edit { base, side });
            }
            at = (old.end, new.end);
        }
        Self { lines, edits }
    }

    /// What this side has of a region of the base, in which these are its changes.
    fn text(&self, base: &[&str], region: &Range<usize>, edits: &[Edit]) -> String {
        let (mut text, mut at) = (String::new(), region.start);
        for edit in edits {
            text.extend(base[at..edit.base.start].iter().copied());
            text.extend(self.lines[edit.side.clone()].iter().copied());
            at = edit.base.end;
        }
        text.extend(base[at..region.end].iter().copied());
        text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(base: &str, yours: &str, generated: &str) -> String {
        let merged = merge(base, yours, generated);
        assert_eq!(merged.conflicts, 0, "{}", merged.text);
        merged.text
    }

    #[test]
    fn what_one_side_has_changed_is_taken() {
        let base = "a\nb\nc\nd\ne\nf\n";
        assert_eq!(
            clean(base, "a\nB\nc\nd\ne\nf\n", "a\nb\nc\nd\ne\nF\n"),
            "a\nB\nc\nd\ne\nF\n"
        );
        assert_eq!(
            clean(base, "0\na\nb\nc\nd\ne\nf\n", "a\nb\nc\nd\nf\n"),
            "0\na\nb\nc\nd\nf\n"
        );
        assert_eq!(
            clean(base, "", base),
            "",
            "that somebody has emptied it is a change"
        );
        assert_eq!(clean("", "", "new\n"), "new\n");
        assert_eq!(
            clean("a\nb\n", "a\nb\nc\n", "a\nb\nc\n"),
            "a\nb\nc\n",
            "both alike"
        );
    }

    #[test]
    fn what_both_have_changed_is_marked_and_nothing_is_lost() {
        let merged = merge("a\nb\nc\n", "a\nmine\nc\n", "a\ntheirs\nc\n");
        assert_eq!(merged.conflicts, 1);
        let expected = "a\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> generated\nc\n";
        assert_eq!(merged.text, expected);
        let taken_away = merge("a\nb\n", "a\n", "a\nB\n");
        assert_eq!(
            taken_away.text,
            "a\n<<<<<<< yours\n=======\nB\n>>>>>>> generated\n"
        );
        let without_an_end = merge("a\nb", "a\nmine", "a\ntheirs");
        assert_eq!(
            without_an_end.text,
            "a\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> generated\n"
        );
        // Where one has put something beside what the other has changed, it is not known which is meant to be first.
        assert_eq!(
            merge("a\nb\nc\n", "a\nB\nc\n", "a\nb\nnew\nc\n").conflicts,
            1
        );
    }

    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![Just("a\n"), Just("b\n"), Just("c\n"), Just("\n")];
        proptest::collection::vec(line, 0..12).prop_map(|lines| lines.concat())
    }

    proptest! {
        #[test]
        fn one_side_alone_is_what_it_made(base in text(), other in text()) {
            prop_assert_eq!(clean(&base, &other, &base), other.clone());
            prop_assert_eq!(clean(&base, &base, &other), other.clone());
            prop_assert_eq!(clean(&base, &other, &other), other);
        }

        #[test]
        fn every_line_that_somebody_has_written_is_there(base in text(), yours in text(), theirs in text()) {
            let mark = |text: &str, mark: &str| -> String {
                text.split_inclusive('\n').enumerate().map(|(at, line)| if at % 3 == 0 { format!("{mark}{at}{line}") } else { line.to_owned() }).collect()
            };
            let (yours, theirs) = (mark(&yours, "y"), mark(&theirs, "t"));
            let merged = merge(&base, &yours, &theirs).text;
            let lines: Vec<&str> = merged.split_inclusive('\n').collect();
            for line in yours.split_inclusive('\n').chain(theirs.split_inclusive('\n')) {
                if line.starts_with(['y', 't']) {
                    prop_assert!(lines.contains(&line), "{line:?} is lost:\n{merged}");
                }
            }
        }
    }
}
