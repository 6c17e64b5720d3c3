//! What a commit has.

use crate::spec::FileMode;

/// One entry of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its bytes; none for a submodule.
    pub bytes: u64,
    /// Under which name git has its content.
    pub blob: String,
}

/// What an entry of a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file with this mode.
    File(FileMode),
    /// A link.
    Link,
    /// Another repository.
    Submodule,
}

/// The files of a commit below a folder (empty: all), in the repository `folder`, for [`listed`] to read.
pub fn list(commit: &str, folder: &str) -> Vec<String> {
    let tree = format!("{commit}:{folder}");
    super::owned(&["ls-tree", "-r", "-z", "-l", "--full-tree", &tree])
}

/// Reads what [`list`] prints. A path that is no text is left out: nothing of ours could name it.
pub fn listed(printed: &[u8]) -> Vec<Entry> {
    let entries = printed.split(|&byte| byte == 0).filter_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let (head, path) = line.split_once('\t')?;
        let mut words = head.split_ascii_whitespace();
        let (mode, _, blob, bytes) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let kind = match mode {
            "100644" | "100664" => Kind::File(FileMode::Regular),
            "100755" => Kind::File(FileMode::Executable),
            "120000" => Kind::Link,
            "160000" => Kind::Submodule,
            _ => return None,
        };
        Some(Entry {
            path: path.to_owned(),
            kind,
            bytes: bytes.parse().unwrap_or(0),
            blob: blob.to_owned(),
        })
    });
    entries.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_read_whatever_stands_in_it() {
        let printed = b"100644 blob aa      5\tREADME.md\0\
            100755 blob bb   1000\tbin/a b\x00120000 blob cc 3\tlink\x00160000 commit dd -\tsub\0\
            100644 blob ee 1\t\xff\0rubbish\0";
        let entries = listed(printed);
        let told: Vec<(&str, Kind, u64)> = entries
            .iter()
            .map(|entry| (entry.path.as_str(), entry.kind, entry.bytes))
            .collect();
        assert_eq!(
            told,
            [
                ("README.md", Kind::File(FileMode::Regular), 5),
                ("bin/a b", Kind::File(FileMode::Executable), 1000),
                ("link", Kind::Link, 3),
                ("sub", Kind::Submodule, 0),
            ]
        );
    }
}
