//! A repository as detection sees it: its paths, and the contents of the small files that were read.

use std::{
    collections::{BTreeMap, BTreeSet},
    vec::IntoIter,
};

use serde_json::Value;
use towline_shared::spec::ProjectFile;

use super::notes::{Notes, quoted};

/// The most bytes of a file that is read.
pub const MAX_READ_BYTES: usize = 256 * 1024;
/// The most paths that are looked at.
pub const MAX_PATHS: usize = 20_000;
/// The longest path that is looked at, in bytes.
const MAX_PATH: usize = 256;

/// Files that are read wherever they lie within the first folders.
const WANTED: [&str; 66] = [
    ".bun-version",
    ".deno-version",
    ".go-version",
    ".java-version",
    ".node-version",
    ".nvmrc",
    ".php-version",
    ".python-version",
    ".ruby-version",
    ".tool-versions",
    ".yarnrc.yml",
    "Cargo.toml",
    "Dockerfile",
    "Containerfile",
    "Gemfile",
    "Gemfile.lock",
    "Procfile",
    "__init__.py",
    "angular.json",
    "api.py",
    "app.js",
    "app.mjs",
    "app.py",
    "app.rb",
    "app.ts",
    "application.properties",
    "application.yaml",
    "application.yml",
    "asgi.py",
    "astro.config.mjs",
    "astro.config.ts",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "config.ru",
    "deno.json",
    "deno.jsonc",
    "global.json",
    "go.mod",
    "index.js",
    "index.mjs",
    "index.ts",
    "launchSettings.json",
    "main.go",
    "main.js",
    "main.py",
    "main.rs",
    "main.ts",
    "mix.exs",
    "next.config.js",
    "next.config.mjs",
    "next.config.ts",
    "package.json",
    "pom.xml",
    "pyproject.toml",
    "requirements.txt",
    "runtime.txt",
    "rust-toolchain",
    "rust-toolchain.toml",
    "server.js",
    "server.mjs",
    "server.py",
    "server.ts",
    "settings.py",
    "wsgi.py",
    "manage.py",
];
/// How deep a wanted file may lie: `src/Web/Properties/launchSettings.json`.
const WANTED_DEPTH: usize = 4;

/// Whether detection would like to read the file at `path`; of all others it needs the path only.
pub fn wanted(path: &str) -> bool {
    let (depth, name) = (depth(path), name(path));
    let by_ending = [".csproj", ".fsproj"].iter().any(|end| name.ends_with(end));
    let own = depth == 1 && super::own::COMPOSE_FILES.contains(&name);
    is_plain(path) && (own || (depth <= WANTED_DEPTH && (by_ending || WANTED.contains(&name))))
}

/// A repository's files.
#[derive(Debug, Default)]
pub struct Tree<'t> {
    paths: BTreeSet<&'t str>,
    contents: BTreeMap<&'t str, &'t [u8]>,
    cut: bool,
}

impl<'t> Tree<'t> {
    /// A tree of the files that were read, and the paths of those that were not.
    ///
    /// A path with characters that no manifest's path has (`$`, quotes, brackets, control characters, `..`) is left out: what
    /// is detected stands in commands.
    pub fn new(read: &'t [ProjectFile], others: impl IntoIterator<Item = &'t str>) -> Self {
        let mut tree = Self::default();
        for file in read {
            if tree.add(&file.path) {
                tree.contents.insert(&file.path, &file.content);
            }
        }
        for path in others {
            tree.add(path);
        }
        tree
    }

    fn add(&mut self, path: &'t str) -> bool {
        if !is_plain(path) {
            return false;
        }
        self.cut |= self.paths.len() >= MAX_PATHS;
        !self.cut && {
            self.paths.insert(path);
            true
        }
    }

    /// Whether there were more paths than are looked at.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether there is no file at all.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Whether there is a file at `path`.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// The first of `paths` that is there.
    pub(super) fn first<'p>(&self, paths: &[&'p str]) -> Option<&'p str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    /// Those of `paths` that are there.
    pub(super) fn those(&self, paths: &[&str]) -> Vec<String> {
        let there = paths.iter().filter(|path| self.has(path));
        there.map(|path| (*path).to_owned()).collect()
    }

    /// The files called `name`, at most `depth` parts deep, in the order of their depth.
    pub(super) fn named(&self, name: &str, depth: usize) -> IntoIter<&'t str> {
        self.matching(depth, |path| self::name(path) == name)
    }

    /// The files whose names end like this, in the order of their depth.
    pub(super) fn ending(&self, end: &str, depth: usize) -> IntoIter<&'t str> {
        self.matching(depth, |path| path.ends_with(end))
    }

    fn matching(&self, most: usize, test: impl Fn(&str) -> bool) -> IntoIter<&'t str> {
        let found = self.paths.iter().copied();
        let found = found.filter(|path| depth(path) <= most && !is_foreign(path) && test(path));
        let mut found: Vec<&'t str> = found.collect();
        found.sort_by_key(|path| depth(path));
        found.into_iter()
    }

    /// Whether there is a file below `folder`.
    pub(super) fn has_folder(&self, folder: &str) -> bool {
        let start = format!("{folder}/");
        let first = self.paths.range(start.as_str()..).next();
        first.is_some_and(|path| path.starts_with(&start))
    }

    /// The text of a file that was read; one that is none is a finding.
    pub(super) fn text(&self, path: &str, notes: &mut Notes) -> Option<&'t str> {
        let Some(content) = self.contents.get(path) else {
            if self.has(path) {
                notes.warn(path, "was not read: it is a link, or too large");
            }
            return None;
        };
        if content.len() > MAX_READ_BYTES {
            let most = MAX_READ_BYTES / 1024;
            notes.warn(
                path,
                format!("has more than {most} KiB and was not looked at"),
            );
            return None;
        }
        let Ok(text) = std::str::from_utf8(content) else {
            notes.warn(
                path,
                "is no text in UTF-8 and was not looked at: save it as UTF-8",
            );
            return None;
        };
        Some(text.strip_prefix('\u{feff}').unwrap_or(text))
    }

    /// A file's text if it was read; for files that may well be something else.
    pub(super) fn glance(&self, path: &str) -> Option<&'t str> {
        self.text(path, &mut Notes::default())
    }

    /// A JSON object; a file that is none is a finding.
    pub(super) fn json(&self, path: &str, notes: &mut Notes) -> Option<Value> {
        let text = self.text(path, notes)?;
        match serde_json::from_str::<Value>(text) {
            Ok(value) if value.is_object() => Some(value),
            Ok(_) => {
                notes.warn(path, "is no JSON object and was not looked at");
                None
            }
            Err(error) => {
                notes.warn(
                    path,
                    format!(
                        "is no JSON, so it was not looked at: {}",
                        quoted(&error.to_string())
                    ),
                );
                None
            }
        }
    }

    /// A TOML document; a file that is none is a finding.
    pub(super) fn toml(&self, path: &str, notes: &mut Notes) -> Option<toml::Table> {
        let text = self.text(path, notes)?;
        match text.parse::<toml::Table>() {
            Ok(table) => Some(table),
            Err(error) => {
                notes.warn(
                    path,
                    format!(
                        "is no TOML, so it was not looked at: {}",
                        quoted(error.message())
                    ),
                );
                None
            }
        }
    }
}

/// Whether a path is relative, stays in its tree, and has nothing in it that a command would take for more than a name.
fn is_plain(path: &str) -> bool {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '@' | ' ' | '/');
    let inner = |part: &str| !matches!(part, "" | "." | "..") && !part.starts_with([' ', '-']);
    path.len() <= MAX_PATH && path.chars().all(plain) && path.split('/').all(inner)
}

/// Folders whose files are not the repository's own.
fn is_foreign(path: &str) -> bool {
    const FOREIGN: [&str; 9] = [
        "node_modules",
        "vendor",
        "target",
        "dist",
        "testdata",
        "fixtures",
        "examples",
        "tests",
        "test",
    ];
    path.rsplit_once('/')
        .is_some_and(|(folder, _)| folder.split('/').any(|part| FOREIGN.contains(&part)))
}

fn depth(path: &str) -> usize {
    path.split('/').count()
}

/// The last part of a path.
pub(super) fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}
