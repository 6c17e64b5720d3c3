//! The repository's files, and how a rule is held against them.

use std::{fs, path::Path};

use towline_tests::parts::repository;

/// Folders that are not sources.
const FOREIGN: [&str; 7] = [
    "target",
    ".git",
    ".towline",
    ".test-parts",
    "node_modules",
    "corpus",
    "artifacts",
];

/// What users' projects begin with is theirs, and no source of ours.
const OF_PROJECTS: [&str; 2] = ["control-plane/templates", "tests/samples"];

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It goes into a program.
    Product,
    /// It is compiled for tests only.
    Tests,
}

/// A file of the repository.
#[derive(Debug)]
pub struct Source {
    /// From the repository's root.
    pub path: String,
    /// All of it.
    pub text: String,
    purpose: Purpose,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let of_tests = path.starts_with("tests/") || path.contains("/tests/");
        let purpose = if of_tests {
            Purpose::Tests
        } else {
            Purpose::Product
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            purpose,
        }
    }

    pub fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    /// The lines of product code: no tests, no comments, each with its number.
    pub fn product(&self) -> Vec<(usize, &str)> {
        if self.purpose == Purpose::Tests || !self.is_rust() {
            return Vec::new();
        }
        let lines: Vec<&str> = self.text.lines().collect();
        let tests = |at: &usize| {
            lines[*at].starts_with("#[cfg(test)]")
                && module_at(&lines, at + 1).is_some_and(|(_, end)| end == '{')
        };
        let end = (0..lines.len()).find(tests).unwrap_or(lines.len());
        let code = lines[..end]
            .iter()
            .enumerate()
            .map(|(at, line)| (at + 1, *line));
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
            .collect()
    }

    /// The files, or folders, of the modules that this file has for tests only.
    fn test_modules(&self) -> Vec<String> {
        let lines: Vec<&str> = self.text.lines().collect();
        let marked =
            (0..lines.len()).filter(|at| lines[*at].trim_start().starts_with("#[cfg(test)]"));
        let modules = marked
            .filter_map(|at| module_at(&lines, at + 1))
            .filter(|(_, end)| *end == ';');
        let own = self.path.trim_end_matches(".rs");
        let root = ["/mod", "/lib", "/main"]
            .iter()
            .find_map(|name| own.strip_suffix(name));
        modules
            .map(|(name, _)| format!("{}/{name}", root.unwrap_or(own)))
            .collect()
    }

    pub fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// The module declared at line `at`, below its attributes, and how its line ends.
fn module_at<'l>(lines: &[&'l str], at: usize) -> Option<(&'l str, char)> {
    let line = lines
        .get(at..)?
        .iter()
        .map(|line| line.trim())
        .find(|line| !line.starts_with("#["))?;
    let (visibility, name) = line.split_once("mod ")?;
    if !visibility.is_empty() && !visibility.starts_with("pub") {
        return None;
    }
    let end = name.chars().next_back()?;
    Some((name.trim_end_matches([' ', '{', ';']), end))
}

/// Says a rule's faults, all at once.
pub fn assert_none(faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    collect(repository(), &mut found);
    let of_tests: Vec<String> = found.iter().flat_map(Source::test_modules).collect();
    let is_one = |path: &str| {
        of_tests
            .iter()
            .any(|module| path == format!("{module}.rs") || path.starts_with(&format!("{module}/")))
    };
    for source in found.iter_mut().filter(|source| is_one(&source.path)) {
        source.purpose = Purpose::Tests;
    }
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    for entry in entries.filter(|entry| !FOREIGN.iter().any(|name| entry.file_name() == *name)) {
        let path = entry.path();
        if OF_PROJECTS
            .iter()
            .any(|folder| path == repository().join(folder))
        {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            collect(&path, found);
        } else if let Ok(text) = fs::read_to_string(&path) {
            let path = path.strip_prefix(repository()).unwrap();
            found.push(Source::new(&path.display().to_string(), &text));
        }
    }
}

/// Shows all files, one after the other.
pub fn each(look: impl FnMut(&Source)) {
    sources().iter().for_each(look);
}

pub fn check(rule: impl Fn(&Source) -> Vec<String>) {
    let faults: Vec<String> = sources().iter().flat_map(rule).collect();
    assert_none(&faults);
}

/// Each planted fault is found, the innocent ones are not.
pub fn finds(
    rule: impl Fn(&Source) -> Vec<String>,
    faulty: &[(&str, &str)],
    innocent: &[(&str, &str)],
) {
    for (path, text) in faulty {
        assert_eq!(rule(&Source::new(path, text)).len(), 1, "{path}: {text}");
    }
    for (path, text) in innocent {
        assert_eq!(
            rule(&Source::new(path, text)),
            Vec::<String>::new(),
            "{path}: {text}"
        );
    }
}

#[test]
fn modules_for_tests_are_told_from_product_code() {
    let text = "mod a;\n#[cfg(test)]\npub(in crate::a) mod b;\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod c;\nfn f() {}\n#[cfg(test)]\nmod tests {\n    mod d;\n}\n";
    let files = [
        ("x/src/lib.rs", ["x/src/b", "x/src/c"]),
        ("x/src/y.rs", ["x/src/y/b", "x/src/y/c"]),
    ];
    for (path, modules) in files {
        let source = Source::new(path, text);
        assert_eq!(source.test_modules(), modules);
        assert_eq!(source.product().len(), 7, "{:?}", source.product());
    }
}
