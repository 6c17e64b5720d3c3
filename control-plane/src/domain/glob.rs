//! Patterns of branches and paths: `*` and `?` stay within a folder, `**` does not. Matching costs the text's length
//! times the number of wildcards, whatever the two are.

use std::fmt;

/// The longest pattern, in characters.
pub const MAX_PATTERN: usize = 128;
/// The most wildcards of one pattern.
pub const MAX_WILDCARDS: usize = 8;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// This character.
    Just(char),
    /// Any one but a slash.
    Any,
    /// Any number of any but a slash.
    Many,
    /// Any number of any.
    Deep,
    /// Any number of folders, each with the slash behind it.
    Folders,
}

/// Text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern: it has 1 to {MAX_PATTERN} characters, at most {MAX_WILDCARDS} of them wildcards, and does not begin with a slash"
)]
pub struct NoGlob(String);

impl Glob {
    /// Reads a pattern. One that ends with a slash means all below that folder.
    pub fn parse(text: &str) -> Result<Self, NoGlob> {
        let fits = (1..=MAX_PATTERN).contains(&text.chars().count())
            && !text.starts_with('/')
            && !text.contains(char::is_control);
        let parts = parts(text);
        let wildcards = parts.iter().filter(|part| !matches!(part, Part::Just(_)));
        if fits && wildcards.count() <= MAX_WILDCARDS {
            Ok(Self {
                text: text.to_owned(),
                parts,
            })
        } else {
            Err(NoGlob(text.chars().take(MAX_PATTERN).collect()))
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether all of a text is of this pattern.
    pub fn matches(&self, text: &str) -> bool {
        let mut at = Places::new(self.parts.len());
        at.come_to(&self.parts, 0);
        for character in text.chars() {
            let mut next = Places::new(self.parts.len());
            for place in at.all() {
                match self.parts.get(place) {
                    Some(Part::Just(wanted)) if *wanted == character => {
                        next.come_to(&self.parts, place + 1);
                    }
                    Some(Part::Any) if character != '/' => next.come_to(&self.parts, place + 1),
                    Some(Part::Many) if character != '/' => next.come_to(&self.parts, place),
                    Some(Part::Deep) => next.come_to(&self.parts, place),
                    Some(Part::Folders) => {
                        next.stay(place);
                        if character == '/' {
                            next.come_to(&self.parts, place + 1);
                        }
                    }
                    _ => {}
                }
            }
            if next.is_nowhere() {
                return false;
            }
            at = next;
        }
        at.has(self.parts.len())
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn parts(text: &str) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let begins_folder = matches!(parts.last(), None | Some(Part::Just('/') | Part::Folders));
        let (part, length) = match first {
            '*' if begins_folder && rest.starts_with("**/") => (Part::Folders, 3),
            '*' if rest.starts_with("**") => (Part::Deep, 2),
            '*' => (Part::Many, 1),
            '?' => (Part::Any, 1),
            other => (Part::Just(other), other.len_utf8()),
        };
        parts.push(part);
        rest = &rest[length..];
    }
    if text.ends_with('/') {
        parts.push(Part::Deep);
    }
    parts
}

/// Where in a pattern a text may be by now, all at once.
struct Places(Vec<bool>);

impl Places {
    fn new(parts: usize) -> Self {
        Self(vec![false; parts + 1])
    }

    /// Comes to a part anew; what may be of no characters is passed as well.
    fn come_to(&mut self, parts: &[Part], mut place: usize) {
        self.stay(place);
        while matches!(
            parts.get(place),
            Some(Part::Many | Part::Deep | Part::Folders)
        ) {
            place += 1;
            self.stay(place);
        }
    }

    fn stay(&mut self, place: usize) {
        self.0[place] = true;
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        let places = self.0.iter().enumerate();
        places.filter_map(|(place, is_here)| is_here.then_some(place))
    }

    fn has(&self, place: usize) -> bool {
        self.0[place]
    }

    fn is_nowhere(&self) -> bool {
        !self.0.contains(&true)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_star_stays_in_its_folder_and_two_do_not() {
        let table = [
            ("main", "main", true),
            ("main", "main2", false),
            ("main", "amain", false),
            ("release/*", "release/1.0", true),
            ("release/*", "release/1/0", false),
            ("release/**", "release/1/0", true),
            ("*", "feature", true),
            ("*", "feature/x", false),
            ("**", "feature/x", true),
            ("v?", "v1", true),
            ("v?", "v10", false),
            ("?", "/", false),
            ("docs/", "docs/a/b.md", true),
            ("docs/", "docs", false),
            ("docs/**", "docs/a.md", true),
            ("**/*.md", "README.md", true),
            ("**/*.md", "docs/a/b.md", true),
            ("**/b", "ab", false),
            ("**/b", "a/b", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a**b", "a/x/b", true),
            ("*.rs", "lib.rs", true),
            ("*.rs", "src/lib.rs", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbY", false),
            ("größe?", "größe€", true),
            ("[ab]", "a", false),
        ];
        for (pattern, text, expected) in table {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(glob.matches(text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_is_short_and_has_few_wildcards() {
        let long = "a".repeat(MAX_PATTERN + 1);
        let wild = "*a".repeat(MAX_WILDCARDS + 1);
        for text in ["", "/docs", "a\nb", &long, &wild] {
            assert!(Glob::parse(text).is_err(), "{text:?}");
        }
        for text in ["a".repeat(MAX_PATTERN), "*a".repeat(MAX_WILDCARDS)] {
            assert!(Glob::parse(&text).is_ok(), "{text:?}");
        }
    }

    #[test]
    fn the_worst_pattern_costs_little() {
        let glob = Glob::parse(&"**a".repeat(MAX_WILDCARDS)).unwrap();
        let began = std::time::Instant::now();
        assert!(!glob.matches(&"a".repeat(100_000).replace("aa", "ab")));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
