//! What differs between two releases.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use similar::TextDiff;
use towline_shared::spec::{FileMode, PinnedImage, ProjectFile};
use utoipa::ToSchema;

/// A file longer than this is told to differ, and not how.
const MAX_COMPARED: usize = 256 * 1024;
/// The most bytes of all texts together.
const MAX_TEXT: usize = 256 * 1024;
/// How long one file is compared for the shortest difference; then a longer one does.
const PATIENCE: Duration = Duration::from_millis(200);

/// What a release is made of.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// The files.
    pub files: Vec<ProjectFile>,
    /// The images that ran, if it ever ran.
    pub images: Vec<PinnedImage>,
    /// The secrets it was given, with their versions.
    pub secrets: BTreeMap<String, i64>,
}

/// What differs between two releases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReleaseDiff {
    /// The files that differ, by path.
    pub files: Vec<FileChange>,
    /// The services whose images differ. Nothing when one of the two has never run.
    pub images: Vec<ImageChange>,
    /// The secrets of which the two were given different versions.
    pub secrets: Vec<SecretChange>,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// What has become of it.
    pub change: Change,
    /// How its text differs, as a unified diff; nothing for a file that is no text or is too long, or when only its
    /// permission differs.
    pub text: Option<String>,
    /// Why there is no text.
    pub note: Option<String>,
}

/// What has become of something from one release to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It has come.
    Added,
    /// It is another.
    Changed,
    /// It has gone.
    Removed,
}

/// A service that runs different images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImageChange {
    /// The service.
    pub service: String,
    /// What it ran.
    pub from: Option<RanImage>,
    /// What it runs.
    pub to: Option<RanImage>,
}

/// An image that a service ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RanImage {
    /// As the compose file names it.
    pub reference: String,
    /// The engine's id of it.
    pub id: String,
}

/// A secret of which two releases were given different versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SecretChange {
    /// Its name.
    pub key: String,
    /// The version that the one was given.
    pub from: Option<i64>,
    /// The version that the other was given.
    pub to: Option<i64>,
}

/// Compares two releases.
pub fn compare(from: &Side, to: &Side) -> ReleaseDiff {
    ReleaseDiff {
        files: files(&from.files, &to.files),
        images: images(&from.images, &to.images),
        secrets: secrets(&from.secrets, &to.secrets),
    }
}

fn files(from: &[ProjectFile], to: &[ProjectFile]) -> Vec<FileChange> {
    let (from, to) = (by_path(from), by_path(to));
    let paths: BTreeSet<&str> = from.keys().chain(to.keys()).copied().collect();
    let mut left = MAX_TEXT;
    let changes = paths.into_iter();
    changes
        .filter_map(|path| {
            file(
                path,
                from.get(path).copied(),
                to.get(path).copied(),
                &mut left,
            )
        })
        .collect()
}

fn by_path(files: &[ProjectFile]) -> BTreeMap<&str, &ProjectFile> {
    let files = files.iter();
    files.map(|file| (file.path.as_str(), file)).collect()
}

fn file(
    path: &str,
    from: Option<&ProjectFile>,
    to: Option<&ProjectFile>,
    left: &mut usize,
) -> Option<FileChange> {
    let change = match (from, to) {
        (None, _) => Change::Added,
        (_, None) => Change::Removed,
        (Some(from), Some(to)) if from.content == to.content && from.mode == to.mode => {
            return None;
        }
        _ => Change::Changed,
    };
    let told = text(path, from, to).and_then(|text| {
        *left = left
            .checked_sub(text.len())
            .ok_or_else(|| "too much differs to be shown; compare fewer changes".to_owned())?;
        Ok(text)
    });
    let (text, note) = match told {
        Ok(text) if text.is_empty() => (None, mode_note(from, to)),
        Ok(text) => (Some(text), mode_note(from, to)),
        Err(why) => (None, Some(why)),
    };
    Some(FileChange {
        path: path.to_owned(),
        change,
        text,
        note,
    })
}

fn mode_note(from: Option<&ProjectFile>, to: Option<&ProjectFile>) -> Option<String> {
    let words = |mode| match mode {
        FileMode::Regular => "not executable",
        FileMode::Executable => "executable",
    };
    let (from, to) = (from?.mode, to?.mode);
    (from != to).then(|| format!("it was {} and is {}", words(from), words(to)))
}

/// A unified diff, or why there is none.
fn text(
    path: &str,
    from: Option<&ProjectFile>,
    to: Option<&ProjectFile>,
) -> Result<String, String> {
    let from_bytes = from.map_or(&[][..], |file| &file.content);
    let to_bytes = to.map_or(&[][..], |file| &file.content);
    if from_bytes.len().max(to_bytes.len()) > MAX_COMPARED {
        return Err(format!("it is longer than {MAX_COMPARED} bytes"));
    }
    let (Some(from_text), Some(to_text)) = (plain(from_bytes), plain(to_bytes)) else {
        return Err("it is no text".to_owned());
    };
    let name = |side: &str, file: Option<&ProjectFile>| match file {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    let names = (name("a", from), name("b", to));
    Ok(unified((&names.0, from_text), (&names.1, to_text)))
}

/// A unified diff of two texts, each with its name.
pub fn unified(from: (&str, &str), to: (&str, &str)) -> String {
    let mut comparing = TextDiff::configure();
    let diff = comparing.timeout(PATIENCE).diff_lines(from.1, to.1);
    let mut unified = diff.unified_diff();
    unified.context_radius(3).header(from.0, to.0).to_string()
}

fn plain(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

fn images(from: &[PinnedImage], to: &[PinnedImage]) -> Vec<ImageChange> {
    if from.is_empty() || to.is_empty() {
        return Vec::new();
    }
    let of = |images: &[PinnedImage], service: &str| {
        let image = images.iter().find(|image| image.service == service)?;
        Some(RanImage {
            reference: image.reference.clone(),
            id: image.id.clone(),
        })
    };
    let services: BTreeSet<&str> = from
        .iter()
        .chain(to)
        .map(|image| image.service.as_str())
        .collect();
    let changes = services.into_iter().map(|service| ImageChange {
        service: service.to_owned(),
        from: of(from, service),
        to: of(to, service),
    });
    changes.filter(|change| change.from != change.to).collect()
}

fn secrets(from: &BTreeMap<String, i64>, to: &BTreeMap<String, i64>) -> Vec<SecretChange> {
    let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
    let changes = keys.into_iter().map(|key| SecretChange {
        key: key.clone(),
        from: from.get(key).copied(),
        to: to.get(key).copied(),
    });
    changes.filter(|change| change.from != change.to).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8], mode: FileMode) -> ProjectFile {
        ProjectFile {
            path: path.to_owned(),
            content: content.to_vec(),
            mode,
        }
    }

    fn side(files: &[ProjectFile], image: &str) -> Side {
        let image = PinnedImage {
            service: "web".to_owned(),
            reference: "nginx:latest".to_owned(),
            id: image.to_owned(),
            digests: Vec::new(),
        };
        Side {
            files: files.to_vec(),
            images: vec![image],
            secrets: [("KEY".to_owned(), 1)].into(),
        }
    }

    #[test]
    fn files_images_and_secrets_are_compared() {
        use FileMode::{Executable, Regular};
        let from = side(
            &[
                file("a.txt", b"one\ntwo\n", Regular),
                file("gone", b"x\n", Regular),
                file("logo.png", b"\x89PNG\0", Regular),
                file("run", b"#!/bin/x\n", Regular),
                file("same", b"same", Regular),
            ],
            "sha256:1",
        );
        let mut to = side(
            &[
                file("a.txt", b"one\nzwei\n", Regular),
                file("logo.png", b"\x89PNG\0\0", Regular),
                file("new", b"y\n", Regular),
                file("run", b"#!/bin/x\n", Executable),
                file("same", b"same", Regular),
            ],
            "sha256:2",
        );
        to.secrets = [("KEY".to_owned(), 3)].into();
        let diff = compare(&from, &to);
        let told: Vec<_> = diff
            .files
            .iter()
            .map(|file| (file.path.as_str(), file.change, file.text.is_some()))
            .collect();
        let expected = [
            ("a.txt", Change::Changed, true),
            ("gone", Change::Removed, true),
            ("logo.png", Change::Changed, false),
            ("new", Change::Added, true),
            ("run", Change::Changed, false),
        ];
        assert_eq!(told, expected);
        let text = diff.files[0].text.as_deref();
        assert_eq!(
            text,
            Some("--- a/a.txt\n+++ b/a.txt\n@@ -1,2 +1,2 @@\n one\n-two\n+zwei\n")
        );
        assert_eq!(diff.files[2].note.as_deref(), Some("it is no text"));
        let note = diff.files[4].note.as_deref();
        assert_eq!(note, Some("it was not executable and is executable"));
        let ids = |change: &ImageChange| {
            [&change.from, &change.to].map(|image| image.clone().map(|image| image.id))
        };
        assert_eq!(
            ids(&diff.images[0]),
            [Some("sha256:1".to_owned()), Some("sha256:2".to_owned())]
        );
        let secret = &diff.secrets[0];
        assert_eq!(
            (secret.key.as_str(), secret.from, secret.to),
            ("KEY", Some(1), Some(3))
        );
        assert_eq!(compare(&from, &from), ReleaseDiff::default());
    }

    #[test]
    fn what_is_long_is_bounded() {
        let line = |word: &str| format!("{word}\n").repeat(20_000).into_bytes();
        let files = |word: &str| -> Vec<ProjectFile> {
            let content = line(word);
            let names = ["1", "2", "3", "4"].into_iter();
            names
                .map(|name| file(name, &content, FileMode::Regular))
                .collect()
        };
        let diff = compare(&side(&files("a"), "x"), &side(&files("b"), "x"));
        let told: usize = diff
            .files
            .iter()
            .filter_map(|file| Some(file.text.as_ref()?.len()))
            .sum();
        assert!(told <= MAX_TEXT, "{told}");
        assert!(
            diff.files[3]
                .note
                .as_deref()
                .is_some_and(|note| note.contains("too much"))
        );
        let long = [file(
            "long",
            &vec![b'a'; MAX_COMPARED + 1],
            FileMode::Regular,
        )];
        let note = compare(&side(&long, "x"), &side(&[], "x")).files[0]
            .note
            .clone();
        assert!(note.is_some_and(|note| note.contains("longer")));
    }
}
