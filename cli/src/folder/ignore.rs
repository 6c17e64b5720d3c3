//! `.towlineignore`: which files stay out of a project.
//!
//! A subset of what `.gitignore` means: one pattern per line; `#` begins a comment; `*` and `?`
//! match within a name, `**` across folders; a pattern with a `/` before its end counts from the
//! project's folder, others match at any depth; a `/` at the end means folders only; `!` takes
//! files in again. The last matching line decides. What is in a folder that stays out stays out.

/// Whether an entry is a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File,
}

/// Whether an entry is part of the project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Included,
    /// It is not.
    Ignored,
}

/// All rules of a folder.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    /// The pattern's parts between slashes.
    parts: Vec<String>,
    only: Only,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Folders,
    Anything,
}

impl Rules {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Self {
        Self(text.lines().filter_map(Rule::parse).collect())
    }

    /// What the rules say about an entry, by its `/`-separated path from the project's folder.
    pub fn verdict(&self, path: &str, kind: Kind) -> Verdict {
        let parts: Vec<&str> = path.split('/').collect();
        self.0
            .iter()
            .rev()
            .find(|rule| rule.matches(&parts, kind))
            .map_or(Verdict::Included, |rule| rule.verdict)
    }
}

impl Rule {
    fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (verdict, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (Verdict::Included, pattern),
            None => (Verdict::Ignored, line),
        };
        let pattern = pattern.strip_prefix('\\').unwrap_or(pattern);
        let (only, pattern) = match pattern.strip_suffix('/') {
            Some(pattern) => (Only::Folders, pattern),
            None => (Only::Anything, pattern),
        };
        let counted_from_top = pattern.contains('/');
        let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
        let pattern = pattern.strip_prefix("./").unwrap_or(pattern);
        if pattern.is_empty() {
            return None;
        }
        let anywhere = (!counted_from_top).then(|| "**".to_owned());
        let parts = anywhere
            .into_iter()
            .chain(pattern.split('/').map(str::to_owned))
            .collect();
        Some(Self {
            parts,
            only,
            verdict,
        })
    }

    fn matches(&self, path: &[&str], kind: Kind) -> bool {
        (self.only == Only::Anything || kind == Kind::Folder) && parts_match(&self.parts, path)
    }
}

/// `**` at the end of a pattern matches what is in a folder, not the folder itself.
fn parts_match(pattern: &[String], path: &[&str]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((first, [])) if first == "**" => !path.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=path.len()).any(|skipped| parts_match(rest, &path[skipped..]))
        }
        Some((first, rest)) => path
            .split_first()
            .is_some_and(|(name, deeper)| name_matches(first, name) && parts_match(rest, deeper)),
    }
}

/// `*` and `?` within one name; goes back to the last `*` only, so it takes no more than the product
/// of both lengths.
fn name_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at_pattern, mut at_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while at_name < name.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_name));
                at_pattern += 1;
                continue;
            }
            Some(wanted) if *wanted == '?' || *wanted == name[at_name] => {
                at_pattern += 1;
                at_name += 1;
                continue;
            }
            _ => {}
        }
        let Some((star_pattern, star_name)) = star else {
            return false;
        };
        star = Some((star_pattern, star_name + 1));
        (at_pattern, at_name) = (star_pattern + 1, star_name + 1);
    }
    pattern[at_pattern..].iter().all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_git_does() {
        use Kind::{File, Folder};
        use Verdict::{Ignored, Included};
        let table = [
            ("node_modules", "node_modules", Folder, Ignored),
            ("node_modules", "web/node_modules", Folder, Ignored),
            ("/node_modules", "web/node_modules", Folder, Included),
            ("*.log", "a/b/c.log", File, Ignored),
            ("*.log", "c.log.txt", File, Included),
            ("build/", "build", File, Included),
            ("build/", "a/build", Folder, Ignored),
            ("docs/*.md", "docs/a.md", File, Ignored),
            ("docs/*.md", "x/docs/a.md", File, Included),
            ("docs/*.md", "docs/x/a.md", File, Included),
            ("docs/**/*.md", "docs/a.md", File, Ignored),
            ("docs/**/*.md", "docs/x/y/a.md", File, Ignored),
            ("**/tmp", "a/b/tmp", Folder, Ignored),
            ("a/**", "a/b", File, Ignored),
            ("a/**", "a", Folder, Included),
            ("?.txt", "a.txt", File, Ignored),
            ("?.txt", "ab.txt", File, Included),
            ("*\n!keep", "keep", File, Included),
            ("*\n!keep", "drop", File, Ignored),
            ("!keep\n*", "keep", File, Ignored),
            ("# note\n\n  ", "# note", File, Included),
            ("\\#hash", "#hash", File, Ignored),
            ("./a", "a", File, Ignored),
            ("./a", "b/a", File, Included),
            ("/", "a", File, Included),
            ("*a*b*c", "xxaxxbxxc", File, Ignored),
            ("*a*b*c", "xxaxxbxx", File, Included),
        ];
        for (rules, path, kind, expected) in table {
            let verdict = Rules::parse(rules).verdict(path, kind);
            assert_eq!(verdict, expected, "{rules:?} on {path:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_matches_itself_and_a_star(name in "[a-zA-Z0-9._-]{1,30}", cut in 0_usize..30) {
            prop_assert!(name_matches(&name, &name));
            let cut = cut.min(name.len());
            let starred = format!("{}*{}", &name[..cut], &name[cut..]);
            prop_assert!(name_matches(&starred, &name));
            let longer = format!("{name}x");
            prop_assert!(!name_matches(&name, &longer));
        }
    }
}
