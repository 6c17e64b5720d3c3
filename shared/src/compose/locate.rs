//! Finding the line of a place in a resolved model.

use crate::spec::ProjectFile;
use crate::yaml::{Tree, View};

/// A line of a project's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub file: String,
    /// The line in it, 1-based.
    pub line: u32,
}

/// The line in the compose file where a place of the resolved model (`services.web.volumes[0]`)
/// comes from, or the nearest thing around it that stands there. Services that come from included
/// files are not found.
pub fn locate(files: &[ProjectFile], compose_file: &str, path: &str) -> Option<Location> {
    let file = files.iter().find(|file| file.path == compose_file)?;
    let tree = Tree::read(std::str::from_utf8(&file.content).ok()?).ok()?;
    let line = tree.roots().find_map(|root| line_of(root, path))?;
    Some(Location {
        file: compose_file.to_owned(),
        line,
    })
}

fn line_of(root: View<'_>, path: &str) -> Option<u32> {
    let mut found = None;
    let mut node = root;
    for part in path.split('.') {
        let (key, index) = part
            .strip_suffix(']')
            .and_then(|part| part.split_once('['))
            .map_or((part, None), |(key, index)| {
                (key, index.parse::<usize>().ok())
            });
        let Some(field) = node.field(key) else { break };
        (found, node) = (Some(field.line), field.value);
        if let Some(item) = index.and_then(|index| node.items().nth(index)) {
            (found, node) = (Some(item.line()), item);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::FileMode;

    #[test]
    fn the_nearest_line_is_found() {
        let text = "services:\n  web:\n    image: a\n    volumes:\n      - data:/data\n      - /etc:/etc\n";
        let files = [ProjectFile {
            path: "compose.yaml".into(),
            content: text.into(),
            mode: FileMode::Regular,
        }];
        let line = |path| locate(&files, "compose.yaml", path).map(|location| location.line);
        assert_eq!(line("services.web.volumes[1]"), Some(6));
        assert_eq!(line("services.web.volumes[9]"), Some(4));
        assert_eq!(line("services.web.privileged"), Some(2));
        assert_eq!(line("networks.default"), None);
    }
}
