//! Reading compose files with their line numbers.
//!
//! [`examine`] tells early, before anything is queued, what will not work or is forbidden on a host,
//! and names the line. It sees the text only: variables are not known, so what depends on them is
//! judged later, by the agent, on the resolved model. What it alone can judge is which files
//! resolving would *read*: an `env_file` outside the project would leak the host's files into a
//! container, so the agent refuses a project with any such finding before it resolves it.

mod environment;
mod finding;
pub(crate) mod keys;
mod locate;
mod references;
mod shape;

use std::collections::BTreeSet;

use crate::policy::{Base, HostPolicy, Judge, Permission, Rule};
use crate::spec::{MAX_COMPOSE_BYTES, ProjectFile};
use crate::yaml::{Tree, View, YamlError, YamlErrorKind};

pub use environment::is_reserved_variable;
pub use finding::{Finding, Severity};
pub use locate::{Location, locate};

/// The names compose looks for, in its own order.
pub const STANDARD_NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
];
/// How many files one project may include or extend from.
const MAX_READ_FILES: usize = 50;

/// The compose file among a project's files, by the names that compose itself looks for.
pub fn find_compose_file(files: &[ProjectFile]) -> Option<&str> {
    let named = |name: &&str| files.iter().find(|file| file.path == *name);
    STANDARD_NAMES
        .iter()
        .find_map(named)
        .map(|file| file.path.as_str())
}

/// Examines a project as far as its text allows: what is wrong with it, and what the policy of a
/// host forbids. It may be deployed when no finding is an error.
pub fn examine(files: &[ProjectFile], compose_file: &str, policy: &HostPolicy) -> Vec<Finding> {
    let mut examiner = Examiner {
        files,
        policy,
        read: BTreeSet::new(),
        findings: Vec::new(),
    };
    let folder = compose_file
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    examiner.file(compose_file, folder, FileRole::Main);
    examiner.dotenv(folder);
    examiner.override_files(folder, compose_file);
    examiner.findings
}

/// Whether some service's image is built from the project, as far as its text tells.
pub fn builds(files: &[ProjectFile], compose_file: &str) -> bool {
    let nothing_is_built = HostPolicy {
        build: Permission::Deny,
        ..HostPolicy::default()
    };
    let findings = examine(files, compose_file, &nothing_is_built);
    findings.iter().any(|finding| finding.rule == Rule::Build)
}

/// The named volumes of a project, as far as the text of its compose file tells.
pub fn named_volumes(files: &[ProjectFile], compose_file: &str) -> Vec<String> {
    let file = files.iter().find(|file| file.path == compose_file);
    let text = file
        .filter(|file| file.content.len() <= MAX_COMPOSE_BYTES)
        .and_then(|file| std::str::from_utf8(&file.content).ok());
    let Some(Ok(tree)) = text.map(Tree::read) else {
        return Vec::new();
    };
    let volumes = tree.roots().filter_map(|root| root.get("volumes"));
    let names = volumes.flat_map(|volumes| volumes.fields().map(|field| field.key.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

/// Why a compose file is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FileRole {
    /// It is the project's own.
    Main,
    /// Another one includes it.
    Included,
    /// A service of another one extends one of its services.
    Extended,
}

struct Examiner<'a> {
    files: &'a [ProjectFile],
    policy: &'a HostPolicy,
    /// The files read so far, each with the folder its paths are relative to.
    read: BTreeSet<(String, String)>,
    findings: Vec<Finding>,
}

/// A compose file that is being examined.
struct Source<'a> {
    path: &'a str,
    base: Base,
    role: FileRole,
}

impl Examiner<'_> {
    fn has_file(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    fn file(&mut self, path: &str, folder: &str, role: FileRole) {
        if !self.read.insert((path.to_owned(), folder.to_owned())) {
            return;
        }
        if self.read.len() > MAX_READ_FILES {
            return self.error(
                path,
                0,
                Rule::Yaml,
                format!("more than {MAX_READ_FILES} files are included; include fewer"),
            );
        }
        let Some(text) = self.text(path) else { return };
        let tree = match Tree::read(&text) {
            Ok(tree) => tree,
            Err(error) => return self.findings.push(yaml_finding(path, error)),
        };
        let source = Source {
            path,
            base: Base::Text(folder.to_owned()),
            role,
        };
        let mut documents = 0;
        for root in tree.roots() {
            documents += 1;
            self.document(&source, root);
        }
        if documents == 0 {
            self.error(
                path,
                1,
                Rule::Structure,
                "the file is empty; describe at least one service".into(),
            );
        }
    }

    fn text(&mut self, path: &str) -> Option<String> {
        let Some(file) = self.files.iter().find(|file| file.path == path) else {
            self.error(
                path,
                0,
                Rule::Files,
                "there is no such file in the project; add it or name another".into(),
            );
            return None;
        };
        if file.content.len() > MAX_COMPOSE_BYTES {
            let message = format!(
                "the file has {} bytes, a compose file may have at most {MAX_COMPOSE_BYTES}; split it by `include`",
                file.content.len()
            );
            self.error(path, 0, Rule::Yaml, message);
            return None;
        }
        match std::str::from_utf8(&file.content) {
            Ok(text) => Some(text.to_owned()),
            Err(error) => {
                let before = &file.content[..error.valid_up_to()];
                let line = before.split(|&byte| byte == b'\n').count();
                let message = "the file is no text in UTF-8; save it as UTF-8".into();
                self.error(
                    path,
                    u32::try_from(line).unwrap_or(u32::MAX),
                    Rule::Yaml,
                    message,
                );
                None
            }
        }
    }

    fn document(&mut self, source: &Source<'_>, root: View<'_>) {
        if !root.is_mapping() {
            let message = "a compose file is a mapping with `services`; this is none".into();
            return self.error(source.path, root.line().max(1), Rule::Structure, message);
        }
        self.shape(source, root);
        self.references(source, root);
        let mut judge = Judge::new(self.policy, source.base.clone());
        judge.project(root);
        for verdict in judge.verdicts {
            self.error(source.path, verdict.line, verdict.rule, verdict.message);
        }
    }

    /// Compose merges an override file by itself; a release names one file.
    fn override_files(&mut self, folder: &str, compose_file: &str) {
        for name in STANDARD_NAMES {
            let (stem, ending) = name.split_once('.').unwrap_or((name, ""));
            let name = format!("{stem}.override.{ending}");
            let path = if folder.is_empty() {
                name
            } else {
                format!("{folder}/{name}")
            };
            if path != compose_file && self.has_file(&path) {
                let message = format!(
                    "{path} is not applied: only {compose_file} is; `include` it if it belongs to the deploy"
                );
                self.warn(compose_file, 0, Rule::Obsolete, message);
            }
        }
    }

    fn error(&mut self, file: &str, line: u32, rule: Rule, message: String) {
        self.find(Severity::Error, file, line, rule, message);
    }

    fn warn(&mut self, file: &str, line: u32, rule: Rule, message: String) {
        self.find(Severity::Warning, file, line, rule, message);
    }

    fn find(&mut self, severity: Severity, file: &str, line: u32, rule: Rule, message: String) {
        self.findings.push(Finding {
            severity,
            file: file.to_owned(),
            line: (line != 0).then_some(line),
            rule,
            message,
        });
    }
}

fn yaml_finding(path: &str, error: YamlError) -> Finding {
    let (rule, message) = match error.kind {
        YamlErrorKind::Syntax(what) => (Rule::Yaml, format!("the file is no YAML: {what}")),
        YamlErrorKind::DuplicateKey { key, first } => {
            let message = format!(
                "the key `{key}` stands here again, first on line {first}; keep one of them"
            );
            (Rule::DuplicateKey, message)
        }
        YamlErrorKind::Budget(what) => (Rule::Yaml, format!("the file is over the limits: {what}")),
    };
    Finding {
        severity: Severity::Error,
        file: path.to_owned(),
        line: Some(error.line.max(1)),
        rule,
        message,
    }
}

#[cfg(test)]
mod tests;
