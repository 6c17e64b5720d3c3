//! What of a project's generated files its repository lacks, and how a pull request tells people of it. Pure.

use std::fmt::Write as _;

use sha1::{Digest as _, Sha1};
use sha2::{Digest as _, Sha256};
use towline_shared::git::{Entry, Kind};
use towline_shared::spec::{FileMode, ProjectFile};

use super::forge::Forge;
use super::hex::hex;
use super::push::kept;

/// The most notes of a detection that are repeated.
const MAX_NOTES: usize = 30;
/// The most characters of one.
const MAX_NOTE: usize = 200;
/// The most files of a delivery.
const MAX_FILES: usize = 100;
/// How many digits of a blob's name there are where a repository names by SHA-256.
const SHA256: usize = 64;

/// A file that a repository lacks, or has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its path from the root of the repository.
    pub path: String,
    /// What it is to have.
    pub content: Vec<u8>,
    /// Whether it may be run.
    pub mode: FileMode,
    /// What the repository has there.
    pub before: Before,
}

/// What a repository has of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Absent,
    /// A file of this mode.
    File(FileMode),
}

/// Whether it counts that a file may be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modes {
    /// It does.
    Count,
    /// The forge cannot be told of it.
    Ignored,
}

impl Modes {
    /// What a forge's way to write commits has.
    pub const fn at(forge: Forge) -> Self {
        match forge {
            Forge::Bitbucket => Self::Ignored,
            Forge::GitHub | Forge::GitLab | Forge::Generic => Self::Count,
        }
    }
}

/// Why files cannot be delivered. Each says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undeliverable {
    /// Something else is there.
    #[error("{path} of the repository is {what}; take it away there, or the file from the project")]
    Taken {
        /// Where.
        path: String,
        /// What.
        what: &'static str,
    },
    /// There are too many.
    #[error("{0} files; at most {MAX_FILES} are delivered at once")]
    TooMany(usize),
}

/// The files that a commit lacks, or has otherwise. Its entries are those of the folder in which the project is.
pub fn differing(
    files: &[ProjectFile],
    entries: &[Entry],
    folder: &str,
    modes: Modes,
) -> Result<Vec<Change>, Undeliverable> {
    let mut changes = Vec::new();
    for file in files {
        if let Some(before) = before(file, entries, modes)? {
            changes.push(Change {
                path: match folder {
                    "" => file.path.clone(),
                    folder => format!("{folder}/{}", file.path),
                },
                content: file.content.clone(),
                mode: file.mode,
                before,
            });
        }
    }
    if changes.len() > MAX_FILES {
        return Err(Undeliverable::TooMany(changes.len()));
    }
    Ok(changes)
}

/// What a commit has in a file's place, unless it is that file.
fn before(
    file: &ProjectFile,
    entries: &[Entry],
    modes: Modes,
) -> Result<Option<Before>, Undeliverable> {
    let taken = |entry: &Entry, what| {
        Err(Undeliverable::Taken {
            path: entry.path.clone(),
            what,
        })
    };
    for entry in entries {
        let is_above = file
            .path
            .strip_prefix(&entry.path)
            .is_some_and(|rest| rest.starts_with('/'));
        let is_below = entry
            .path
            .strip_prefix(&file.path)
            .is_some_and(|rest| rest.starts_with('/'));
        match entry.kind {
            _ if is_below => return taken(entry, "in a folder of the name that a file is to have"),
            Kind::Link if is_above || entry.path == file.path => return taken(entry, "a link"),
            Kind::Submodule if is_above || entry.path == file.path => {
                return taken(entry, "a submodule");
            }
            Kind::File(_) if is_above => return taken(entry, "a file where a folder is to be"),
            Kind::File(mode) if entry.path == file.path => {
                let is_mode = modes == Modes::Ignored || mode == file.mode;
                let is_same = is_mode && entry.blob == blob(&file.content, &entry.blob);
                return Ok((!is_same).then_some(Before::File(mode)));
            }
            _ => {}
        }
    }
    Ok(Some(Before::Absent))
}

/// What git calls a file of this content, where it calls another one `like` that.
fn blob(content: &[u8], like: &str) -> String {
    let head = format!("blob {}\0", content.len());
    if like.len() == SHA256 {
        let digest = Sha256::new().chain_update(head).chain_update(content);
        return hex(&digest.finalize());
    }
    let digest = Sha1::new().chain_update(head).chain_update(content);
    hex(&digest.finalize())
}

/// What a generated file is for.
fn purpose(path: &str) -> &'static str {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name {
        "Dockerfile" => "builds the image",
        ".dockerignore" => "keeps out of the image what does not belong there",
        "nginx.conf" => "serves the static files",
        "docker-compose.yml" => "runs the project on a Docker host",
        "deployment.yaml" => "runs the project on a Kubernetes cluster",
        ".gitlab-ci.yml" | "bitbucket-pipelines.yml" | "Jenkinsfile" => {
            "tests the project and builds its image at each push"
        }
        _ if path.contains(".github/workflows/") => {
            "tests the project and builds its image at each push"
        }
        _ => "a file of the project",
    }
}

/// What a pull request is called.
pub fn title(project: &str, changes: &[Change]) -> String {
    match changes {
        [one] => format!("Add {} for {project}", kept(&one.path, MAX_NOTE)),
        [] => format!("Files of Towline for {project}"),
        several => format!("Add {} files to build and run {project}", several.len()),
    }
}

/// What a commit says.
pub fn message(project: &str, changes: &[Change]) -> String {
    let mut text = format!("{}\n\nGenerated by Towline.\n", title(project, changes));
    for change in changes {
        // Writing to a text does not fail.
        let _ = write!(text, "\n{}: {}", change.path, purpose(&change.path));
    }
    text
}

/// What a pull request says: what each file is for, and what was detected. Words of the repository stand there as code,
/// so that they are neither a link nor somebody's name.
pub fn body(project: &str, evidence: &[String], changes: &[Change]) -> String {
    let mut text = format!(
        "Towline has looked at this repository and generated the files by which {project} is built and run. Edit them as you \
         like: what you change stays when they are generated again.\n\n| file | | what it is for |\n|---|---|---|\n"
    );
    for change in changes {
        let what = match change.before {
            Before::Absent => "new",
            Before::File(_) => "changed",
        };
        let (path, purpose) = (code(&change.path), purpose(&change.path));
        let _ = writeln!(text, "| {path} | {what} | {purpose} |");
    }
    if !evidence.is_empty() {
        text.push_str("\nWhat was detected:\n\n");
    }
    for note in evidence.iter().take(MAX_NOTES) {
        let _ = writeln!(text, "- {}", code(note));
    }
    text
}

fn code(text: &str) -> String {
    format!(
        "`{}`",
        kept(text, MAX_NOTE).replace('`', "'").replace('|', "¦")
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(path: &str, content: &str, mode: FileMode) -> ProjectFile {
        ProjectFile {
            path: path.to_owned(),
            content: content.as_bytes().to_vec(),
            mode,
        }
    }

    fn entry(path: &str, kind: Kind, blob: &str) -> Entry {
        Entry {
            path: path.to_owned(),
            kind,
            bytes: 5,
            blob: blob.to_owned(),
        }
    }

    /// `git hash-object` says so.
    const HELLO: &str = "ce013625030ba8dba906f756967f9e9ca394464a";

    #[test]
    fn only_what_differs_is_delivered() {
        use FileMode::{Executable, Regular};
        let there = [
            entry("same", Kind::File(Regular), HELLO),
            entry("other", Kind::File(Regular), &"a".repeat(40)),
            entry("run.sh", Kind::File(Regular), HELLO),
            entry(
                "by-sha256",
                Kind::File(Regular),
                "2cf8d83d9ee29543b34a87727421fdecb7e3f3a183d337639025de576db9ebb4",
            ),
        ];
        let files = [
            file("same", "hello\n", Regular),
            file("by-sha256", "hello\n", Regular),
            file("other", "hello\n", Regular),
            file("run.sh", "hello\n", Executable),
            file("a/new", "hello\n", Regular),
        ];
        let changes = differing(&files, &there, "apps/web", Modes::Count).unwrap();
        let told: Vec<_> = changes
            .iter()
            .map(|change| (change.path.as_str(), change.before, change.mode))
            .collect();
        assert_eq!(
            told,
            [
                ("apps/web/other", Before::File(Regular), Regular),
                ("apps/web/run.sh", Before::File(Regular), Executable),
                ("apps/web/a/new", Before::Absent, Regular),
            ]
        );
        let ignored = differing(&files[3..4], &there, "", Modes::Ignored);
        assert_eq!(ignored.unwrap(), []);
        assert_eq!(
            differing(&files[..2], &there, "", Modes::Count).unwrap(),
            []
        );
    }

    #[test]
    fn what_else_is_there_is_not_overwritten() {
        let table = [
            (entry("Dockerfile", Kind::Link, "x"), "Dockerfile"),
            (entry("deploy", Kind::Link, "x"), "deploy/a.yaml"),
            (entry("deploy", Kind::Submodule, "x"), "deploy/a.yaml"),
            (
                entry("deploy", Kind::File(FileMode::Regular), "x"),
                "deploy/a.yaml",
            ),
            (
                entry("Dockerfile/x", Kind::File(FileMode::Regular), "x"),
                "Dockerfile",
            ),
        ];
        for (entry, path) in table {
            let files = [file(path, "x", FileMode::Regular)];
            let refused =
                differing(&files, std::slice::from_ref(&entry), "", Modes::Count).unwrap_err();
            assert!(refused.to_string().starts_with(&entry.path), "{refused}");
        }
        let many: Vec<_> = (0..=MAX_FILES)
            .map(|number| file(&number.to_string(), "x", FileMode::Regular))
            .collect();
        let refused = differing(&many, &[], "", Modes::Count);
        assert_eq!(refused, Err(Undeliverable::TooMany(MAX_FILES + 1)));
    }

    #[test]
    fn people_are_told_what_each_file_is_for() {
        let files = [
            file("Dockerfile", "x", FileMode::Regular),
            file(".github/workflows/ci.yml", "x", FileMode::Regular),
        ];
        let changes = differing(&files, &[], "", Modes::Count).unwrap();
        let evidence = ["package.json has `next` | @ada\n → Next.js, port 3000".to_owned()];
        let body = body("shop", &evidence, &changes);
        for part in [
            "| `Dockerfile` | new | builds the image |",
            "| `.github/workflows/ci.yml` | new | tests the project",
            "- `package.json has 'next' ¦ @ada → Next.js, port 3000`",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        assert_eq!(title("shop", &changes), "Add 2 files to build and run shop");
        assert_eq!(title("shop", &changes[..1]), "Add Dockerfile for shop");
        assert!(message("shop", &changes).contains("\nDockerfile: builds the image"));
    }
}
