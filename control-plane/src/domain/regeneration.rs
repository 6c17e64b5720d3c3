//! What becomes of a project's file when it is generated anew. Pure.

use serde::Serialize;

use super::merge::merge;

/// How a generated file and the project's own of that path go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileState {
    /// The project has none of this path.
    New,
    /// The project has this very one.
    Same,
    /// The project has what was generated before, and gets this one.
    Updated,
    /// Somebody has changed what was generated before; those changes stay, in what is generated now.
    Merged,
    /// Somebody has changed the same lines otherwise.
    Conflict,
    /// The project or its repository has another of this path, which was not generated, and stays.
    Kept,
}

/// A file of a project as it is, and what was generated under its path before.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// What it has now.
    pub content: &'a [u8],
    /// What was generated last; nothing when nothing ever was.
    pub base: Option<&'a [u8]>,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How the two go together.
    pub state: FileState,
    /// What it has then. With conflicts: both versions of those places, between markers.
    pub text: String,
}

/// Decides what becomes of a file when `generated` is generated under its path.
pub fn regenerate(present: Option<Present<'_>>, generated: &str) -> Outcome {
    let outcome = |state, text: &str| Outcome {
        state,
        text: text.to_owned(),
    };
    let Some(present) = present else {
        return outcome(FileState::New, generated);
    };
    if present.content == generated.as_bytes() {
        return outcome(FileState::Same, generated);
    }
    let Some(base) = present.base else {
        let text = String::from_utf8_lossy(present.content);
        return outcome(FileState::Kept, &text);
    };
    if present.content == base {
        return outcome(FileState::Updated, generated);
    }
    let texts = (
        std::str::from_utf8(base),
        std::str::from_utf8(present.content),
    );
    let (Ok(base), Ok(yours)) = texts else {
        // What is no text is somebody's own by now.
        return outcome(FileState::Kept, &String::from_utf8_lossy(present.content));
    };
    let merged = merge(base, yours, generated);
    let state = match merged.conflicts {
        0 if merged.text == yours => FileState::Same,
        0 => FileState::Merged,
        _ => FileState::Conflict,
    };
    outcome(state, &merged.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_file() {
        use FileState::{Conflict, Kept, Merged, New, Same, Updated};
        type Row = (
            Option<(&'static str, Option<&'static str>)>,
            &'static str,
            FileState,
            &'static str,
        );
        let before = "a\nb\nc\nd\n";
        let table: [Row; 8] = [
            (None, "a\n", New, "a\n"),
            (Some(("a\n", None)), "a\n", Same, "a\n"),
            (Some(("mine\n", None)), "a\n", Kept, "mine\n"),
            (
                Some((before, Some(before))),
                "a\nb\nc\nD\n",
                Updated,
                "a\nb\nc\nD\n",
            ),
            (
                Some(("A\nb\nc\nd\n", Some(before))),
                "a\nb\nc\nD\n",
                Merged,
                "A\nb\nc\nD\n",
            ),
            (
                Some(("A\nb\nc\nd\n", Some(before))),
                before,
                Same,
                "A\nb\nc\nd\n",
            ),
            (
                Some(("a\nb\nc\nD\n", Some(before))),
                "a\nb\nc\nD\n",
                Same,
                "a\nb\nc\nD\n",
            ),
            (
                Some(("a\nb\nc\nmine\n", Some(before))),
                "a\nb\nc\nD\n",
                Conflict,
                "a\nb\nc\n<<<<<<< yours\nmine\n=======\nD\n>>>>>>> generated\n",
            ),
        ];
        for (present, generated, state, text) in table {
            let present = present.map(|(content, base)| Present {
                content: content.as_bytes(),
                base: base.map(str::as_bytes),
            });
            let outcome = regenerate(present, generated);
            assert_eq!(
                (outcome.state, outcome.text.as_str()),
                (state, text),
                "{present:?}"
            );
        }
        let binary = Present {
            content: b"\xff",
            base: Some(b"a\n"),
        };
        assert_eq!(regenerate(Some(binary), "b\n").state, Kept);
    }
}
