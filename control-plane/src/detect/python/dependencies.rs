//! What a Python project depends on, by `requirements.txt` or `pyproject.toml`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::super::{app::PackageManager, notes::Notes, tree::Tree};

/// The dependencies by their normalised names, each with the version that is asked for.
pub(super) struct Dependencies {
    pub manager: PackageManager,
    /// The file that names them.
    pub file: &'static str,
    /// The constraint on Python.
    pub python: Option<String>,
    versions: BTreeMap<String, String>,
    extras: Vec<String>,
}

impl Dependencies {
    pub fn read(tree: &Tree<'_>, notes: &mut Notes) -> Option<Self> {
        let project = tree
            .has("pyproject.toml")
            .then(|| tree.toml("pyproject.toml", notes))
            .flatten();
        let requirements = tree
            .has("requirements.txt")
            .then(|| tree.text("requirements.txt", notes))
            .flatten();
        let tool = |name: &str| {
            project
                .as_ref()
                .is_some_and(|project| at(project, &["tool", name]).is_some())
        };
        let has_project = project
            .as_ref()
            .is_some_and(|project| project.contains_key("project"));
        let (manager, file, says) = if tree.has("uv.lock") || (tool("uv") && has_project) {
            (
                PackageManager::Uv,
                "pyproject.toml",
                if tree.has("uv.lock") {
                    "uv.lock"
                } else {
                    "pyproject.toml"
                },
            )
        } else if tree.has("poetry.lock") || tool("poetry") {
            (
                PackageManager::Poetry,
                "pyproject.toml",
                if tree.has("poetry.lock") {
                    "poetry.lock"
                } else {
                    "pyproject.toml"
                },
            )
        } else if requirements.is_some() {
            (PackageManager::Pip, "requirements.txt", "requirements.txt")
        } else if has_project {
            (PackageManager::Pip, "pyproject.toml", "pyproject.toml")
        } else {
            if tree.has("Pipfile") {
                notes.warn("Pipfile", "is Pipenv's, which is not known here: write requirements.txt (`pipenv requirements`)");
            }
            return None;
        };
        notes.found(says, "is there", manager.label());
        if manager == PackageManager::Uv && !tree.has("uv.lock") {
            notes.warn(
                "pyproject.toml",
                "has no uv.lock beside it, so that two builds may differ: commit it (`uv lock`)",
            );
        }
        let mut found = Self {
            manager,
            file,
            python: None,
            versions: BTreeMap::new(),
            extras: Vec::new(),
        };
        for line in requirements.into_iter().flat_map(str::lines).take(2000) {
            found.add(line);
        }
        if let Some(project) = &project {
            found.project(project);
        }
        Some(found)
    }

    /// The version that is asked for of a dependency; empty when any will do.
    pub fn of(&self, name: &str) -> Option<String> {
        self.versions.get(name).cloned()
    }

    /// Whether a dependency is asked for with extras (`fastapi[standard]`).
    pub fn has_extra(&self, name: &str) -> bool {
        self.extras.iter().any(|extra| extra == name)
    }

    /// One requirement as PEP 508 writes it.
    fn add(&mut self, requirement: &str) {
        let text = requirement
            .split(['#', ';'])
            .next()
            .unwrap_or_default()
            .trim();
        if text.is_empty() || text.starts_with('-') {
            return;
        }
        let end = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
            .unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = normalised(name);
        let version = rest.rsplit_once(']').map_or(rest, |(_, version)| version);
        if rest.trim_start().starts_with('[') {
            self.extras.push(name.clone());
        }
        self.versions.insert(name, bare(version));
    }

    fn project(&mut self, project: &Table) {
        let python = at(project, &["project", "requires-python"])
            .or_else(|| at(project, &["tool", "poetry", "dependencies", "python"]));
        self.python = python.and_then(Value::as_str).map(str::to_owned);
        let lists = [
            at(project, &["project", "dependencies"]),
            at(project, &["dependency-groups", "dev"]),
            at(project, &["project", "optional-dependencies", "dev"]),
            at(project, &["project", "optional-dependencies", "test"]),
        ];
        for requirement in lists
            .into_iter()
            .flatten()
            .filter_map(Value::as_array)
            .flatten()
        {
            self.add(requirement.as_str().unwrap_or_default());
        }
        let tables = [
            at(project, &["tool", "poetry", "dependencies"]),
            at(project, &["tool", "poetry", "group", "dev", "dependencies"]),
            at(project, &["tool", "poetry", "dev-dependencies"]),
        ];
        for (name, value) in tables
            .into_iter()
            .flatten()
            .filter_map(Value::as_table)
            .flatten()
        {
            let version = value.as_str().or_else(|| value.get("version")?.as_str());
            if value.get("extras").is_some() {
                self.extras.push(normalised(name));
            }
            self.versions
                .insert(normalised(name), bare(version.unwrap_or_default()));
        }
    }
}

fn at<'v>(table: &'v Table, path: &[&str]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(table.get(*first)?, |value, key| value.get(*key))
}

fn normalised(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// The first number of a constraint: `>=5.1,<6` → `5.1`.
fn bare(version: &str) -> String {
    let first = version.split(',').next().unwrap_or_default();
    let number = first.trim_start_matches(|c: char| !c.is_ascii_digit());
    number.trim_end().to_owned()
}
