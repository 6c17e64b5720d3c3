//! Which of a project's files are manifests.

use serde_json::Value;

use super::json;
use crate::spec::ProjectFile;
use crate::yaml::Tree;

/// The folders that manifests are looked for in.
const FOLDERS: [&str; 3] = ["kubernetes", "k8s", "manifests"];
/// Where overlays lie, in the folder of the manifests.
const OVERLAYS: &str = "overlays";
/// What stands for the manifests at the top of a project.
pub const ENTRY_AT_THE_TOP: &str = ".";

/// Whether a file is a manifest by its path alone: a YAML or JSON file in one of the folders.
pub fn is_in_folder(path: &str) -> bool {
    let folder = path.split('/').next().unwrap_or_default();
    FOLDERS.contains(&folder) && folder != path && is_manifest(path)
}

fn is_manifest(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("yaml" | "yml" | "json"))
}

/// Where a project's manifests are: one of the folders, or [`ENTRY_AT_THE_TOP`].
pub fn find_manifests(files: &[ProjectFile]) -> Option<&str> {
    let in_folder = |folder: &&str| manifests(files, folder).next().is_some();
    if let Some(folder) = FOLDERS.into_iter().find(|folder| in_folder(folder)) {
        return Some(folder);
    }
    let mut at_the_top = manifests(files, ENTRY_AT_THE_TOP);
    at_the_top.next().map(|_| ENTRY_AT_THE_TOP)
}

/// The manifests of an entry, without overlays, by path.
pub(super) fn manifests<'a>(
    files: &'a [ProjectFile],
    entry: &str,
) -> impl Iterator<Item = &'a ProjectFile> {
    let prefix = prefix_of(entry);
    let overlays = format!("{prefix}{OVERLAYS}/");
    let at_the_top = entry == ENTRY_AT_THE_TOP;
    sorted(files, move |file| {
        let Some(rest) = file.path.strip_prefix(&prefix) else {
            return false;
        };
        if at_the_top {
            !rest.contains('/') && holds_objects(file)
        } else {
            !file.path.starts_with(&overlays)
        }
    })
}

/// The files of an environment's overlay, by path.
pub(super) fn overlay<'a>(
    files: &'a [ProjectFile],
    entry: &str,
    environment: &str,
) -> impl Iterator<Item = &'a ProjectFile> {
    let folder = format!("{}{OVERLAYS}/{environment}/", prefix_of(entry));
    sorted(files, move |file| file.path.starts_with(&folder))
}

fn prefix_of(entry: &str) -> String {
    match entry {
        ENTRY_AT_THE_TOP => String::new(),
        folder => format!("{folder}/"),
    }
}

fn sorted(
    files: &[ProjectFile],
    takes: impl Fn(&ProjectFile) -> bool,
) -> impl Iterator<Item = &ProjectFile> {
    let mut found: Vec<&ProjectFile> = files
        .iter()
        .filter(|file| is_manifest(&file.path))
        .filter(|file| takes(file))
        .collect();
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found.into_iter()
}

/// Whether a file at the top, where many a YAML file is for something else, holds objects of Kubernetes.
fn holds_objects(file: &ProjectFile) -> bool {
    let Ok(text) = std::str::from_utf8(&file.content) else {
        return false;
    };
    if let Ok(tree) = Tree::read(text) {
        return tree.roots().any(|root| {
            let version = root.get("apiVersion").map(json::of);
            matches!(version, Some(Ok(Value::String(_)))) && root.get("kind").is_some()
        });
    }
    // One that was meant to be is to be named in what is found.
    let has_key = |key| text.lines().any(|line| line.starts_with(key));
    has_key("apiVersion:") && has_key("kind:")
}
