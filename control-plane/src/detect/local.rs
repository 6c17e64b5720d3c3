//! Dependencies that lie in the repository itself: they must be there when the others are installed.

use super::{
    notes::{Notes, quoted},
    tree::Tree,
};

/// The most of them; whoever has more names a folder above them.
const MAX_LOCAL: usize = 20;

/// Those files and folders of the repository that `file` names as dependencies: `./greeting`, `packages/*`. `.` is all of it.
pub(super) fn those<'s>(
    tree: &Tree<'_>,
    notes: &mut Notes,
    file: &str,
    named: impl IntoIterator<Item = &'s str>,
) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for path in named.into_iter().map(bare) {
        let there = path == "." || tree.has(path) || tree.has_folder(path);
        if there && found.len() < MAX_LOCAL && !found.iter().any(|known| known == path) {
            notes.found(
                file,
                format!("names {}", quoted(path)),
                "it is there when dependencies are installed",
            );
            found.push(path.to_owned());
        }
    }
    found
}

/// A path without what says that it is one, up to where a pattern begins.
fn bare(path: &str) -> &str {
    let path = path.trim().trim_start_matches("./");
    let path = path.split('*').next().unwrap_or_default();
    match path.trim_end_matches('/') {
        "" => ".",
        path => path,
    }
}

#[cfg(test)]
mod tests {
    use towline_shared::spec::{FileMode, ProjectFile};

    use super::*;

    #[test]
    fn only_what_is_there_counts() {
        let files = ["a/b.txt", "c"].map(|path| ProjectFile {
            path: path.to_owned(),
            content: b"x".to_vec(),
            mode: FileMode::Regular,
        });
        let tree = Tree::new(&files, []);
        let named = ["./a/", "a", "a/*", "./c", "../c", "/c", "$(x)", "d", "./"];
        let found = those(&tree, &mut Notes::default(), "x", named);
        assert_eq!(found, ["a", "c", "."]);
    }
}
