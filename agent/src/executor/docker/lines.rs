//! From bytes to masked lines.

use towline_shared::log::MAX_LINE_BYTES;

use crate::mask::Masker;

/// Gathers bytes into lines. A line over [`MAX_LINE_BYTES`] is cut into several, never inside a
/// secret, so that masking sees each secret whole, nor inside a character.
#[derive(Debug)]
pub struct Lines {
    masker: Masker,
    pending: Vec<u8>,
}

impl Lines {
    /// Lines masked by this.
    pub fn new(masker: Masker) -> Self {
        let pending = Vec::new();
        Self { masker, pending }
    }

    /// Takes bytes; gives each line, and with those that end how many of these bytes it and the
    /// lines before it took.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<(String, Option<usize>)>) {
        let mut taken = 0;
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.pending.extend_from_slice(part);
            taken += part.len();
            if part.ends_with(b"\n") {
                self.pending.pop();
                if self.pending.last() == Some(&b'\r') {
                    self.pending.pop();
                }
                let line = std::mem::take(&mut self.pending);
                self.emit(&line, Some(taken), out);
            } else {
                self.cut(out);
            }
        }
    }

    /// The rest, when no more comes.
    pub fn finish(&mut self, out: &mut Vec<(String, Option<usize>)>) {
        if !self.pending.is_empty() {
            let line = std::mem::take(&mut self.pending);
            self.emit(&line, None, out);
        }
    }

    fn cut(&mut self, out: &mut Vec<(String, Option<usize>)>) {
        while self.pending.len() > MAX_LINE_BYTES + self.masker.longest() {
            let mut end = character_start(&self.pending, MAX_LINE_BYTES);
            let mut from = 0;
            while let Some((start, stop)) = self
                .masker
                .run(&self.pending, from)
                .filter(|found| found.0 < end)
            {
                if stop > end {
                    end = if start == 0 { stop } else { start };
                }
                from = stop;
            }
            let rest = self.pending.split_off(end);
            let piece = std::mem::replace(&mut self.pending, rest);
            self.emit(&piece, None, out);
        }
    }

    fn emit(&self, line: &[u8], taken: Option<usize>, out: &mut Vec<(String, Option<usize>)>) {
        let masked = self.masker.mask(line);
        let text = match String::from_utf8(masked.into_owned()) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let mut rest = text.as_str();
        if rest.len() <= MAX_LINE_BYTES {
            return out.push((text, taken));
        }
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(MAX_LINE_BYTES));
            out.push((piece.to_owned(), taken.filter(|_| after.is_empty())));
            rest = after;
        }
    }
}

/// The start of the character at `at`, which is there as UTF-8 has it: at most four bytes long.
fn character_start(bytes: &[u8], at: usize) -> usize {
    let starts = |at: &usize| bytes[*at] & 0b1100_0000 != 0b1000_0000;
    (at.saturating_sub(3)..=at).rev().find(starts).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use towline_shared::spec::Secret;

    use super::*;

    fn lines(secret: &str, parts: &[&[u8]]) -> Vec<String> {
        let secret = Secret {
            name: "S".into(),
            value: secret.into(),
        };
        let mut lines = Lines::new(Masker::new(&[secret]));
        let mut out = Vec::new();
        for part in parts {
            lines.push(part, &mut out);
        }
        lines.finish(&mut out);
        out.into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn lines_are_put_together_and_masked() {
        assert_eq!(
            lines("secret", &[b"a sec", b"ret\nb\r\n", b"\nc"]),
            ["a ***", "b", "", "c"]
        );
    }

    #[test]
    fn a_long_line_is_never_cut_inside_a_secret() {
        for before in MAX_LINE_BYTES - 12..MAX_LINE_BYTES + 4 {
            let text = [
                "x".repeat(before),
                "hunter2-secret".into(),
                "y".repeat(MAX_LINE_BYTES),
            ]
            .concat();
            let all = lines(
                "hunter2-secret",
                &[
                    &text.as_bytes()[..before + 3],
                    &text.as_bytes()[before + 3..],
                    b"\n",
                ],
            );
            let joined = all.concat();
            assert_eq!(
                joined,
                ["x".repeat(before), "***".into(), "y".repeat(MAX_LINE_BYTES)].concat()
            );
            assert!(all.iter().all(|line| line.len() <= MAX_LINE_BYTES));
        }
    }

    #[test]
    fn secrets_that_overlap_at_a_cut_stay_together() {
        let secret = |name: &str, value: &str| Secret {
            name: name.into(),
            value: value.into(),
        };
        let secrets = [
            secret("A", "first-half-mid"),
            secret("B", "mid-second-half"),
        ];
        for before in MAX_LINE_BYTES - 24..MAX_LINE_BYTES + 4 {
            let mut lines = Lines::new(Masker::new(&secrets));
            let text = ["x".repeat(before), "first-half-mid-second-half".into()].concat();
            let mut out = Vec::new();
            lines.push(text.as_bytes(), &mut out);
            lines.push("y".repeat(MAX_LINE_BYTES).as_bytes(), &mut out);
            lines.finish(&mut out);
            let joined: String = out.into_iter().map(|(text, _)| text).collect();
            assert!(
                joined.starts_with(&format!("{}***y", "x".repeat(before))),
                "{before}: {}",
                &joined[before..before + 40]
            );
        }
    }

    #[test]
    fn a_long_line_is_never_cut_inside_a_character() {
        for before in MAX_LINE_BYTES - 5..MAX_LINE_BYTES {
            for character in ["ä", "日", "🚀"] {
                let text = format!("{}{}", "x".repeat(before), character.repeat(9));
                assert_eq!(lines("secret", &[text.as_bytes()]).concat(), text);
            }
        }
    }

    #[test]
    fn what_is_no_text_is_shown_as_such() {
        assert_eq!(
            lines("secret", &[b"\xff\xfe ok\n"]),
            ["\u{fffd}\u{fffd} ok"]
        );
        let all = lines("secret", &[&[0xff; MAX_LINE_BYTES], b"\n"]);
        assert_eq!(
            all.iter().map(String::len).sum::<usize>(),
            3 * MAX_LINE_BYTES
        );
    }

    #[test]
    fn each_line_says_how_far_it_took_the_input() {
        let mut lines = Lines::new(Masker::default());
        let mut out = Vec::new();
        lines.push(b"ab\ncd\ne", &mut out);
        assert_eq!(out, [("ab".into(), Some(3)), ("cd".into(), Some(6))]);
    }
}
