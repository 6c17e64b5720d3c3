//! What of a commit is read.

use std::collections::HashMap;

use towline_shared::compose;
use towline_shared::git::{Entry, Kind};
use towline_shared::manifest;
use towline_shared::spec::{MAX_PROJECT_BYTES, MAX_PROJECT_FILES, ProjectFile};

use crate::detect;
use crate::domain::pipeline_file;

/// The most bytes of a file that is read because of its name.
const MAX_DESCRIBING: u64 = 1024 * 1024;
/// The most bytes of any other file that is read.
const MAX_OTHER: u64 = 64 * 1024;

/// What is read: first what describes a project, then what is small, the nearest to the root first.
pub(super) fn choose(entries: &[Entry]) -> Vec<&Entry> {
    let mut candidates: Vec<(u8, usize, &Entry)> = entries
        .iter()
        .filter(|entry| matches!(entry.kind, Kind::File(_)))
        .filter_map(|entry| {
            let rank = u8::from(!describes(&entry.path));
            let most = if rank == 0 { MAX_DESCRIBING } else { MAX_OTHER };
            let depth = entry.path.matches('/').count();
            (entry.bytes <= most).then_some((rank, depth, entry))
        })
        .collect();
    candidates.sort_by_key(|(rank, depth, entry)| (*rank, *depth, entry.path.as_str()));
    let (mut chosen, mut bytes) = (Vec::new(), 0);
    for (_, _, entry) in candidates {
        let size = usize::try_from(entry.bytes).unwrap_or(usize::MAX);
        if chosen.len() == MAX_PROJECT_FILES || bytes + size > MAX_PROJECT_BYTES {
            continue;
        }
        bytes += size;
        chosen.push(entry);
    }
    chosen
}

fn describes(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    detect::wanted(path)
        || compose::STANDARD_NAMES.contains(&name)
        || name == ".env"
        || path.ends_with(pipeline_file::PATH)
        || manifest::is_in_folder(path)
}

/// Reads `git cat-file --batch`: the contents of what was asked for, in the same order.
pub(super) fn contents(asked: &[&Entry], printed: &[u8]) -> Vec<ProjectFile> {
    let mut found = HashMap::new();
    let mut rest = printed;
    while let Some((head, content)) = next(&mut rest) {
        found.insert(head, content);
    }
    let file = |entry: &&Entry| {
        let Kind::File(mode) = entry.kind else {
            return None;
        };
        Some(ProjectFile {
            path: entry.path.clone(),
            content: found.get(entry.blob.as_str())?.to_vec(),
            mode,
        })
    };
    asked.iter().filter_map(file).collect()
}

/// `<name> blob <bytes>\n<content>\n`
fn next<'a>(rest: &mut &'a [u8]) -> Option<(&'a str, &'a [u8])> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let head = std::str::from_utf8(&rest[..end]).ok()?;
    let mut words = head.split(' ');
    let (name, _, bytes) = (words.next()?, words.next()?, words.next()?);
    let bytes: usize = bytes.parse().ok()?;
    let content = rest.get(end + 1..(end + 1).checked_add(bytes)?)?;
    *rest = rest.get(end + 2 + bytes..).unwrap_or_default();
    Some((name, content))
}

#[cfg(test)]
mod tests {
    use towline_shared::spec::FileMode;

    use super::*;

    fn entry(path: &str, bytes: u64) -> Entry {
        Entry {
            path: path.to_owned(),
            kind: Kind::File(FileMode::Regular),
            bytes,
            blob: path.to_owned(),
        }
    }

    #[test]
    fn what_describes_a_project_is_read_first_and_large_files_are_not() {
        let mut entries: Vec<Entry> = (0..1200)
            .map(|n| entry(&format!("src/{n}.rs"), 10))
            .collect();
        entries.push(entry("web/package.json", 500_000));
        entries.push(entry("logo.svg", MAX_OTHER + 1));
        entries.push(entry("notes", 10));
        let chosen = choose(&entries);
        assert_eq!(chosen.len(), MAX_PROJECT_FILES);
        let first: Vec<&str> = chosen[..2]
            .iter()
            .map(|entry| entry.path.as_str())
            .collect();
        assert_eq!(first, ["web/package.json", "notes"]);
        assert!(chosen.iter().all(|entry| entry.path != "logo.svg"));
        let large: Vec<Entry> = (0..8)
            .map(|n| entry(&format!("{n}/package.json"), 900_000))
            .collect();
        assert_eq!(choose(&large).len(), MAX_PROJECT_BYTES / 900_000);
    }

    #[test]
    fn contents_are_taken_by_their_length() {
        let (one, two) = (entry("aa", 3), entry("bb", 0));
        let printed = b"aa blob 3\nx\ny\nbb blob 0\n\ncc missing\n";
        let files = contents(&[&one, &two], printed);
        let told: Vec<(&str, &[u8])> = files
            .iter()
            .map(|file| (file.path.as_str(), file.content.as_slice()))
            .collect();
        assert_eq!(told, [("aa", &b"x\ny"[..]), ("bb", &b""[..])]);
    }
}
