//! Kubernetes manifests in a folder. The control plane reads them; here it is only seen whether there are any.

use std::fs;

use super::File;

/// The folders that manifests are in.
pub const FOLDERS: [&str; 3] = ["kubernetes", "k8s", "manifests"];

/// Whether files are among these that a cluster could be given.
pub fn are_among(files: &[File]) -> bool {
    files.iter().any(|file| match file.path.split_once('/') {
        Some((folder, path)) => FOLDERS.contains(&folder) && is_manifest(path),
        // At the top many a file is for something else.
        None => is_manifest(&file.path) && holds_objects(file),
    })
}

fn is_manifest(path: &str) -> bool {
    let extension = path.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn holds_objects(file: &File) -> bool {
    let Ok(text) = fs::read_to_string(&file.place) else {
        return false;
    };
    text.contains("apiVersion") && text.contains("kind")
}
