//! What a repository says of its own pipeline, in `.towline/pipeline.yaml`: what becomes of a push to it. Pure.
//!
//! It narrows and refines what somebody with the right to deploy has set up; it gives no right. What it does not say stays as it
//! was set up.

use std::fmt::Write as _;

use towline_shared::spec::{OnFailure, ProjectFile};
use towline_shared::yaml::{Field, Tree, View, YamlError, YamlErrorKind};

use super::glob::Glob;
use super::push::{MAX_PATTERNS, MAX_TARGETS};

/// Where it is, below the project's folder.
pub const PATH: &str = ".towline/pipeline.yaml";
/// The largest.
pub const MAX_BYTES: usize = 64 * 1024;
/// The one version that there is.
const VERSION: &str = "1";
const KEYS: [&str; 4] = ["version", "on", "build", "deploy"];
const ON_KEYS: [&str; 1] = ["branches"];
const BUILD_KEYS: [&str; 1] = ["on"];
const DEPLOY_KEYS: [&str; 4] = ["targets", "on_failure", "settle_ms", "deadline_s"];

/// What it says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineFile {
    /// Pushes to these branches alone; to all that are set up, when there is none.
    pub branches: Vec<Glob>,
    /// The target whose host builds, or `label:` and a label.
    pub build_on: Option<String>,
    /// Deploys to these targets alone, by their names; to all that are set up, when there is none.
    pub targets: Vec<String>,
    /// What happens when it does not come up.
    pub on_failure: Option<OnFailure>,
    /// How long a service without a health check must stay up, in milliseconds.
    pub settle_ms: Option<u32>,
    /// How long the deployment may take, in seconds.
    pub deadline_s: Option<u32>,
}

/// What is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{PATH}, line {line}: {message}")]
pub struct Fault {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong there.
    pub message: String,
}

type Read<T> = Result<T, Fault>;

impl PipelineFile {
    /// What the files of a project say; nothing that matters, when they have none.
    pub fn of(files: &[ProjectFile]) -> Read<Self> {
        let Some(file) = files.iter().find(|file| file.path == PATH) else {
            return Ok(Self::default());
        };
        if file.content.len() > MAX_BYTES {
            return Err(fault(1, format!("it has more than {MAX_BYTES} bytes")));
        }
        let text = std::str::from_utf8(&file.content);
        Self::read(text.map_err(|_| fault(1, "it is no text in UTF-8"))?)
    }

    /// Reads its text; whatever is not known is refused.
    pub fn read(text: &str) -> Read<Self> {
        let tree = Tree::read(text).map_err(|error| of_yaml(&error))?;
        let mut roots = tree.roots();
        let root = roots.next().ok_or_else(|| fault(1, "it is empty"))?;
        if let Some(second) = roots.next() {
            return Err(fault(second.line(), "a second document begins here"));
        }
        let mut file = Self::default();
        let mut version = None;
        for field in fields(root, "the file", &KEYS)? {
            match field.key {
                "version" => version = Some(text_of(&field)?),
                "on" => file.read_on(&field)?,
                "build" => file.read_build(&field)?,
                _ => file.read_deploy(&field)?,
            }
        }
        match version {
            Some(VERSION) => Ok(file),
            Some(other) => {
                let line = root.field("version").map_or(1, |field| field.line);
                let message = format!("version {other} is not known; this one knows {VERSION}");
                Err(fault(line, message))
            }
            None => {
                let message = format!("it does not say `version: {VERSION}`");
                Err(fault(root.line(), message))
            }
        }
    }

    fn read_on(&mut self, on: &Field<'_>) -> Read<()> {
        for field in fields(on.value, "`on`", &ON_KEYS)? {
            for (line, pattern) in list(&field, MAX_PATTERNS)? {
                let glob = Glob::parse(pattern);
                self.branches
                    .push(glob.map_err(|error| fault(line, error.to_string()))?);
            }
        }
        Ok(())
    }

    fn read_build(&mut self, build: &Field<'_>) -> Read<()> {
        for field in fields(build.value, "`build`", &BUILD_KEYS)? {
            self.build_on = Some(text_of(&field)?.to_owned());
        }
        Ok(())
    }

    fn read_deploy(&mut self, deploy: &Field<'_>) -> Read<()> {
        for field in fields(deploy.value, "`deploy`", &DEPLOY_KEYS)? {
            match field.key {
                "targets" => {
                    let named = list(&field, MAX_TARGETS)?;
                    self.targets = named.iter().map(|(_, name)| (*name).to_owned()).collect();
                }
                "on_failure" => self.on_failure = Some(on_failure(&field)?),
                "settle_ms" => self.settle_ms = Some(number(&field)?),
                _ => self.deadline_s = Some(number(&field)?),
            }
        }
        Ok(())
    }

    /// Why it does not want a push to a branch deployed to a target, if it does not.
    pub fn refuses(&self, branch: Option<&str>, target: &str) -> Option<String> {
        let matches = |branch: &str| self.branches.iter().any(|glob| glob.matches(branch));
        if let Some(branch) = branch.filter(|branch| !self.branches.is_empty() && !matches(branch))
        {
            let wanted: Vec<&str> = self.branches.iter().map(Glob::as_str).collect();
            let wanted = wanted.join(", ");
            return Some(format!(
                "{PATH} of this commit deploys pushes to {wanted} alone, and not to {branch}"
            ));
        }
        let is_named = self.targets.is_empty() || self.targets.iter().any(|name| name == target);
        (!is_named).then(|| {
            let wanted = self.targets.join(", ");
            format!("{PATH} of this commit deploys to {wanted} alone, and not to {target}")
        })
    }
}

fn fault(line: u32, message: impl Into<String>) -> Fault {
    Fault {
        line: line.max(1),
        message: message.into(),
    }
}

fn of_yaml(error: &YamlError) -> Fault {
    let message = match &error.kind {
        YamlErrorKind::Syntax(what) => format!("it is no YAML: {what}"),
        YamlErrorKind::DuplicateKey { key, first } => {
            format!("`{key}` stands here a second time, after line {first}")
        }
        YamlErrorKind::Budget(what) => (*what).to_owned(),
    };
    fault(error.line, message)
}

/// The fields of a mapping, all of which are known.
fn fields<'a>(of: View<'a>, name: &str, known: &[&str]) -> Read<Vec<Field<'a>>> {
    if !of.is_mapping() {
        let message = format!("{name} is no mapping; it has the keys {}", known.join(", "));
        return Err(fault(of.line(), message));
    }
    let fields: Vec<Field<'a>> = of.fields().collect();
    match fields.iter().find(|field| !known.contains(&field.key)) {
        None => Ok(fields),
        Some(field) => {
            let mut message = format!("`{}` is no key of {name}", shown(field.key));
            let _ = write!(message, "; it has {}", known.join(", "));
            Err(fault(field.line, message))
        }
    }
}

fn text_of<'a>(field: &Field<'a>) -> Read<&'a str> {
    let text = field.value.text().filter(|text| !text.is_empty());
    text.ok_or_else(|| fault(field.line, format!("`{}` is no text", field.key)))
}

fn number(field: &Field<'_>) -> Read<u32> {
    let text = text_of(field)?;
    let message = || format!("`{}` is no whole number: {}", field.key, shown(text));
    text.parse().map_err(|_| fault(field.line, message()))
}

fn on_failure(field: &Field<'_>) -> Read<OnFailure> {
    match text_of(field)? {
        "leave" => Ok(OnFailure::Leave),
        "roll_back" => Ok(OnFailure::RollBack),
        other => {
            let message = format!("`on_failure` is leave or roll_back, not {}", shown(other));
            Err(fault(field.line, message))
        }
    }
}

/// Texts, one or several, with their lines.
fn list<'a>(field: &Field<'a>, most: usize) -> Read<Vec<(u32, &'a str)>> {
    let texts = field.value.one_or_many().map(|item| {
        let text = item.text().filter(|text| !text.is_empty());
        let message = || format!("`{}` is a list of texts", field.key);
        text.map(|text| (item.line(), text))
            .ok_or_else(|| fault(item.line(), message()))
    });
    let texts: Vec<(u32, &str)> = texts.collect::<Read<_>>()?;
    if texts.is_empty() || texts.len() > most {
        let message = format!("`{}` has 1 to {most} entries", field.key);
        return Err(fault(field.line, message));
    }
    Ok(texts)
}

/// A word of the file's, as much as is told.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WHOLE: &str = "version: 1\non:\n  branches: [main, 'release/*']\nbuild:\n  on: label:builder\ndeploy:\n  targets:\n    - web-1\n    - web-2\n  \
        on_failure: roll_back\n  settle_ms: 500\n  deadline_s: 900\n";

    #[test]
    fn all_of_it_is_read() {
        let file = PipelineFile::read(WHOLE).unwrap();
        let branches: Vec<&str> = file.branches.iter().map(Glob::as_str).collect();
        assert_eq!(branches, ["main", "release/*"]);
        assert_eq!(file.build_on.as_deref(), Some("label:builder"));
        assert_eq!(file.targets, ["web-1", "web-2"]);
        assert_eq!(file.on_failure, Some(OnFailure::RollBack));
        assert_eq!((file.settle_ms, file.deadline_s), (Some(500), Some(900)));
        assert_eq!(
            PipelineFile::read("version: 1\n"),
            Ok(PipelineFile::default())
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let table = [
            ("", 1, "empty"),
            ("version: 2\n", 1, "version 2 is not known"),
            (
                "# a word\non:\n  branches: main\n",
                2,
                "does not say `version: 1`",
            ),
            ("- version: 1\n", 1, "no mapping"),
            (
                "version: 1\nsteps: []\n",
                2,
                "`steps` is no key of the file; it has version, on, build, deploy",
            ),
            (
                "version: 1\non:\n  branch: main\n",
                3,
                "`branch` is no key of `on`; it has branches",
            ),
            ("version: 1\non: [push]\n", 2, "`on` is no mapping"),
            (
                "version: 1\non:\n  branches:\n    - main\n    - {a: b}\n",
                5,
                "list of texts",
            ),
            ("version: 1\non:\n  branches: []\n", 3, "1 to 16 entries"),
            ("version: 1\nbuild:\n  on: [a]\n", 3, "`on` is no text"),
            (
                "version: 1\ndeploy:\n  on_failure: retry\n",
                3,
                "leave or roll_back, not retry",
            ),
            (
                "version: 1\ndeploy:\n  settle_ms: soon\n",
                3,
                "no whole number: soon",
            ),
            (
                "version: 1\ndeploy:\n  deadline_s: -1\n",
                3,
                "no whole number: -1",
            ),
            ("version: 1\nversion: 1\n", 2, "a second time, after line 1"),
            ("version: 1\n---\nversion: 1\n", 3, "second document"),
            ("version: [1\n", 2, "no YAML"),
        ];
        for (text, line, says) in table {
            let fault = PipelineFile::read(text).unwrap_err();
            assert!(fault.message.contains(says), "{text:?}: {fault}");
            assert_eq!(fault.line, line, "{text:?}: {fault}");
        }
    }

    #[test]
    fn it_narrows_what_is_set_up() {
        let file = PipelineFile::read(WHOLE).unwrap();
        let table = [
            (Some("main"), "web-1", None),
            (Some("release/1"), "web-2", None),
            (None, "web-1", None),
            (
                Some("dev"),
                "web-1",
                Some("main, release/* alone, and not to dev"),
            ),
            (
                Some("main"),
                "db-1",
                Some("web-1, web-2 alone, and not to db-1"),
            ),
        ];
        for (branch, target, says) in table {
            let refused = file.refuses(branch, target);
            match (refused, says) {
                (None, None) => {}
                (Some(refused), Some(says)) => assert!(refused.contains(says), "{refused}"),
                other => panic!("{branch:?} {target}: {other:?}"),
            }
        }
        let open = PipelineFile::default();
        assert_eq!(open.refuses(Some("dev"), "db-1"), None);
    }
}
