//! Masking of secrets in what jobs print.
//!
//! A secret is found as it is, in base64 at any of the three alignments (both alphabets), in URL
//! encoding and as a JSON string; a secret of several lines also line by line. Values shorter than
//! [`SHORTEST`] bytes are not masked: they would match ordinary text all over.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use towline_shared::spec::Secret;

/// Values shorter than this many bytes are not masked.
pub const SHORTEST: usize = 4;
/// What stands in the place of a secret.
const MASK: &[u8] = b"***";

/// Masks the secrets of one task.
#[derive(Clone, Default)]
pub struct Masker {
    /// By their first byte, the longest first.
    patterns: Vec<Vec<u8>>,
    /// For each byte, the range of patterns that begin with it.
    starts: Vec<(u32, u32)>,
    longest: usize,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Masker({} patterns, redacted)", self.patterns.len())
    }
}

impl Masker {
    /// A masker of these secrets.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut patterns: Vec<Vec<u8>> = secrets
            .iter()
            .flat_map(|secret| patterns_of(&secret.value))
            .collect();
        patterns.sort_by(|one, other| {
            one[0]
                .cmp(&other[0])
                .then(other.len().cmp(&one.len()))
                .then(one.cmp(other))
        });
        patterns.dedup();
        let mut starts = vec![(0, 0); 256];
        for (index, pattern) in (0_u32..).zip(&patterns) {
            let start = &mut starts[usize::from(pattern[0])];
            *start = if start.1 == 0 {
                (index, index + 1)
            } else {
                (start.0, index + 1)
            };
        }
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        Self {
            patterns,
            starts,
            longest,
        }
    }

    /// The bytes of the longest thing that is masked.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// The first secret at or after `from`: where it starts and ends.
    fn find(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        if self.patterns.is_empty() {
            return None;
        }
        (from..text.len()).find_map(|at| {
            let (first, end) = self.starts[usize::from(text[at])];
            let candidates = &self.patterns[first as usize..end as usize];
            let found = candidates
                .iter()
                .find(|pattern| text[at..].starts_with(pattern))?;
            Some((at, at + found.len()))
        })
    }

    /// Whether a secret stands in a text.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.find(text, 0).is_some()
    }

    /// The next run of secrets that overlap, at or after `from`: where it starts and ends.
    pub fn run(&self, text: &[u8], from: usize) -> Option<(usize, usize)> {
        let found = self.find(text, from)?;
        Some((found.0, self.extend(text, found)))
    }

    /// The text with every secret replaced. Overlapping secrets are replaced together.
    pub fn mask<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        if !self.is_in(text) {
            return Cow::Borrowed(text);
        }
        let mut masked = Vec::with_capacity(text.len());
        let mut done = 0;
        while let Some((start, end)) = self.run(text, done) {
            masked.extend_from_slice(&text[done..start]);
            masked.extend_from_slice(MASK);
            done = end;
        }
        masked.extend_from_slice(&text[done..]);
        Cow::Owned(masked)
    }

    /// Masks a text.
    pub fn mask_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.mask(text.as_bytes())).into_owned()
    }

    /// The end of a run of secrets that overlap the one found.
    fn extend(&self, text: &[u8], (start, mut end): (usize, usize)) -> usize {
        let mut at = start + 1;
        while at < end {
            match self.find(&text[..text.len().min(end + self.longest)], at) {
                Some((next, next_end)) if next < end => {
                    end = end.max(next_end);
                    at = next + 1;
                }
                _ => break,
            }
        }
        end
    }
}

/// All the forms in which a value is masked.
fn patterns_of(value: &str) -> Vec<Vec<u8>> {
    let mut patterns = Vec::new();
    let trimmed = value.trim_end_matches(['\n', '\r']);
    for value in [value, trimmed] {
        patterns.push(json_escaped(value));
        patterns.extend(url_encoded(value));
        for shift in 0..3 {
            patterns.extend(base64_inside(value.as_bytes(), shift));
        }
    }
    patterns.extend(value.lines().map(|line| line.trim().as_bytes().to_vec()));
    patterns.extend(value.lines().map(|line| json_escaped(line.trim())));
    patterns.retain(|pattern| pattern.len() >= SHORTEST && !pattern.contains(&b'\n'));
    patterns
}

/// The part of the base64 text that the value alone decides, when `shift` bytes stand before it in
/// its group of three.
fn base64_inside(value: &[u8], shift: usize) -> [Vec<u8>; 2] {
    let bytes = [&[0; 2][..shift], value].concat();
    let first = (shift * 8).div_ceil(6);
    let end = bytes.len() * 8 / 6;
    [
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ]
    .map(|text| text.as_bytes().get(first..end).unwrap_or_default().to_vec())
}

fn url_encoded(value: &str) -> [Vec<u8>; 4] {
    let encode = |space: &str, upper: bool| {
        let mut text = String::with_capacity(value.len() * 3);
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    text.push(char::from(byte));
                }
                b' ' => text.push_str(space),
                byte => {
                    let _ = if upper {
                        write!(text, "%{byte:02X}")
                    } else {
                        write!(text, "%{byte:02x}")
                    };
                }
            }
        }
        text.into_bytes()
    };
    [
        encode("%20", true),
        encode("+", true),
        encode("%20", false),
        encode("+", false),
    ]
}

fn json_escaped(value: &str) -> Vec<u8> {
    let quoted = serde_json::Value::from(value).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn masker(values: &[&str]) -> Masker {
        let secret = |value: &&str| Secret {
            name: "S".into(),
            value: (*value).to_owned(),
        };
        Masker::new(&values.iter().map(secret).collect::<Vec<_>>())
    }

    #[test]
    fn secrets_are_replaced_in_all_their_forms() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&["hunter2"], "password=hunter2;", "password=***;"),
            (&["hunter2"], "hunter2hunter2", "******"),
            (&["hunter2"], "nothing here", "nothing here"),
            (&[], "anything", "anything"),
            (
                &["abc"],
                "abc is too short to be masked",
                "abc is too short to be masked",
            ),
            (
                &["hunter2", "hunter2-long"],
                "hunter2-long hunter2",
                "*** ***",
            ),
            (&["abcdef", "defghi"], "xabcdefghix", "x***x"),
            (
                &["p@ss w/rd"],
                "url p%40ss%20w%2Frd p%40ss+w%2frd",
                "url *** ***",
            ),
            (&["quo\"te\\d"], r#"{"a":"quo\"te\\d"}"#, r#"{"a":"***"}"#),
            (&["line one\nline two\n"], "a line two b", "a *** b"),
            (
                &["line one\nline two"],
                r"a line one\nline two b",
                "a *** b",
            ),
            (&["with newline\n"], "with newline", "***"),
        ];
        for (secrets, text, expected) in cases {
            assert_eq!(masker(secrets).mask_text(text), *expected, "{text}");
        }
    }

    #[test]
    fn base64_is_found_at_any_alignment() {
        let masker = masker(&["correct horse"]);
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "x", "xy", "xyz"] {
                let text = STANDARD.encode(format!("{before}correct horse{after}"));
                let result = masker.mask_text(&format!("Authorization: Basic {text}"));
                assert!(result.contains("***"), "{before}/{after}: {result}");
                let left = result
                    .trim_start_matches("Authorization: Basic ")
                    .replace("***", "");
                assert!(left.len() <= text.len() - 15, "{before}/{after}: {result}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_secret_stays(secret in "[a-zA-Z0-9+/ %\"]{4,20}", before in "\\PC{0,30}", after in "\\PC{0,30}") {
            let masker = masker(&[&secret]);
            let masked = masker.mask_text(&format!("{before}{secret}{after}"));
            if !secret.contains('*') && secret.trim() == secret {
                prop_assert!(!masked.contains(&secret), "{masked}");
            }
        }
    }
}
