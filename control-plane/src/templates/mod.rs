//! What projects begin from: the official templates, each a folder of `templates/` that the program carries, and the filling in of
//! their parameters.
//!
//! A folder has `template.toml` (the manifest) and the files of the project, its README among them. `{{name}}` of a parameter
//! stands in a file for its value, `{{project}}` for the project's name; values are held to a few plain characters,
//! so that they say nothing but themselves wherever they stand. Secrets are never in a file: a compose file names them, and
//! the project gets random ones.

mod manifest;
mod official;
mod values;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use towline_shared::spec::{FileMode, ProjectFile};

pub use manifest::{Category, GeneratedSecret, Kind, Manifest, Parameter, Published};
pub use values::InvalidValue;

/// The file of a folder that says what it is.
const MANIFEST: &str = "template.toml";
/// What stands for the project's name.
const PROJECT: &str = "project";

/// An official template.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub manifest: Manifest,
    /// The project's files, as they are before anything is put in, by path.
    pub files: Vec<(&'static str, &'static str)>,
}

/// All official templates, by name. One whose manifest cannot be read is missing; a test reads all.
pub fn official() -> &'static [Template] {
    static OFFICIAL: LazyLock<Vec<Template>> =
        LazyLock::new(|| official::FOLDERS.iter().filter_map(read).collect());
    &OFFICIAL
}

/// The official template of this name.
pub fn find(name: &str) -> Option<&'static Template> {
    official().iter().find(|template| template.name == name)
}

fn read(
    (name, files): &(&'static str, &'static [(&'static str, &'static str)]),
) -> Option<Template> {
    let (manifests, files): (Vec<_>, Vec<_>) = files
        .iter()
        .copied()
        .partition(|(path, _)| *path == MANIFEST);
    let manifest = toml::from_str(manifests.first()?.1).ok()?;
    Some(Template {
        name,
        manifest,
        files,
    })
}

impl Template {
    /// The files of a project of this name. What `given` does not say has its default.
    pub fn files(
        &self,
        project: &str,
        given: &BTreeMap<String, String>,
    ) -> Result<Vec<ProjectFile>, InvalidValue> {
        let mut values = values::complete(&self.manifest.parameters, given)?;
        values.insert(PROJECT, project.to_owned());
        let files = self.files.iter().map(|(path, text)| ProjectFile {
            path: (*path).to_owned(),
            content: filled(text, &values).into_bytes(),
            mode: FileMode::Regular,
        });
        Ok(files.collect())
    }

    /// What it is for people: its README.
    pub fn readme(&self) -> &'static str {
        let readme = self.files.iter().find(|(path, _)| *path == "README.md");
        readme.map_or("", |(_, text)| text)
    }
}

/// A text with values in the place of their names. Other braces stay as they are.
fn filled(text: &str, values: &BTreeMap<&str, String>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("{{") {
        filled.push_str(before);
        let value = behind
            .split_once("}}")
            .and_then(|(name, rest)| Some((values.get(name)?, rest)));
        let (text, after) = value.map_or(("{{", behind), |(value, after)| (value.as_str(), after));
        filled.push_str(text);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests;
