//! Which files a compose file makes compose read.
//!
//! Each must be one of the project's own, told by the text alone: these files are read while the
//! project is resolved, before its model can be judged.

use super::{Examiner, FileRole, Source};
use crate::policy::{Place, Rule};
use crate::yaml::View;

/// Whether a file may be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

impl Examiner<'_> {
    pub(super) fn references(&mut self, source: &Source<'_>, root: View<'_>) {
        for item in root.get("include").into_iter().flat_map(View::one_or_many) {
            self.include(source, item);
        }
        for service in root.get("services").into_iter().flat_map(View::fields) {
            let field = |key: &str| service.value.get(key);
            for item in field("env_file").into_iter().flat_map(View::one_or_many) {
                self.env_file(source, item);
            }
            for item in field("label_file").into_iter().flat_map(View::one_or_many) {
                self.reference(source, item, "label_file", Presence::Required);
            }
            if let Some(item) = field("credential_spec").and_then(|spec| spec.get("file")) {
                self.reference(source, item, "credential_spec.file", Presence::Required);
            }
            if let Some(item) = field("extends").and_then(|extends| extends.get("file")) {
                self.extends(source, item);
            }
        }
        for kind in ["secrets", "configs"] {
            for entry in root.get(kind).into_iter().flat_map(View::fields) {
                if let Some(item) = entry.value.get("file") {
                    self.mounted_file(source, item, kind);
                }
            }
        }
    }

    fn include(&mut self, source: &Source<'_>, item: View<'_>) {
        let paths: Vec<View<'_>> = item
            .get("path")
            .map_or_else(|| vec![item], |path| path.one_or_many().collect());
        for env_file in item.get("env_file").into_iter().flat_map(View::one_or_many) {
            self.reference(source, env_file, "include.env_file", Presence::Required);
        }
        let folder = match item.get("project_directory") {
            None => None,
            Some(folder) => match self.project_path(source, folder, "include.project_directory") {
                None => return,
                folder => folder,
            },
        };
        // All paths of one entry are merged, and relative to the folder of the first.
        let mut first = None;
        for path in paths {
            let Some(file) = self.reference(source, path, "include", Presence::Required) else {
                continue;
            };
            let folder = folder
                .clone()
                .or_else(|| first.clone())
                .unwrap_or_else(|| parent(&file).to_owned());
            first.get_or_insert_with(|| folder.clone());
            self.file(&file, &folder, FileRole::Included);
            self.dotenv(&folder);
        }
    }

    fn extends(&mut self, source: &Source<'_>, item: View<'_>) {
        if let Some(file) = self.reference(source, item, "extends.file", Presence::Required) {
            let folder = parent(&file).to_owned();
            self.file(&file, &folder, FileRole::Extended);
        }
    }

    fn env_file(&mut self, source: &Source<'_>, item: View<'_>) {
        let path = item.get("path").unwrap_or(item);
        let is_optional = item.get("required").is_some_and(|required| {
            required
                .text()
                .is_some_and(|text| text.eq_ignore_ascii_case("false"))
        });
        let presence = if is_optional {
            Presence::Optional
        } else {
            Presence::Required
        };
        self.reference(source, path, "env_file", presence);
    }

    /// Where a secret or config leads outside is judged with the mounts; here, that it exists.
    fn mounted_file(&mut self, source: &Source<'_>, item: View<'_>, kind: &str) {
        if let Some(Place::Project(path)) = item.text().map(|text| source.base.place(text))
            && !self.has_file(&path)
        {
            let message =
                format!("`{kind}` names {path}, which is not among the project's files; add it");
            self.error(source.path, item.line(), Rule::Files, message);
        }
    }

    /// A file of the project that compose will read; nothing if it is none.
    fn reference(
        &mut self,
        source: &Source<'_>,
        item: View<'_>,
        key: &str,
        presence: Presence,
    ) -> Option<String> {
        let path = self.project_path(source, item, key)?;
        if self.has_file(&path) {
            return Some(path);
        }
        if presence == Presence::Required {
            let message =
                format!("`{key}` names {path}, which is not among the project's files; add it");
            self.error(source.path, item.line(), Rule::Files, message);
        }
        None
    }

    fn project_path(&mut self, source: &Source<'_>, item: View<'_>, key: &str) -> Option<String> {
        let Some(text) = item.text() else {
            let message = format!("`{key}` must name a file of the project");
            self.error(source.path, item.line(), Rule::Structure, message);
            return None;
        };
        let is_remote = ["://", "git@", ".git"]
            .iter()
            .any(|mark| text.contains(mark));
        let why = match source.base.place(text) {
            _ if is_remote => "is fetched from elsewhere: put the file into the project".to_owned(),
            Place::Project(path) => return Some(path),
            Place::Host(_) => "leads outside the project: put the file into the project".to_owned(),
            Place::Variable => {
                "depends on a variable, so that it cannot be told whether it stays inside the project: write the path out".to_owned()
            }
        };
        let message = format!("`{key}: {text}` {why}");
        self.error(source.path, item.line(), Rule::Files, message);
        None
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
