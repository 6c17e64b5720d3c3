//! Where a path in a compose file leads.

/// What relative and absolute paths are relative to.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    /// The text of a file; its paths are relative to this folder of the project (empty: its root).
    Text(String),
    /// A resolved model; its paths are absolute, the project's below this one.
    Resolved(String),
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the project: the path from its root, empty for the root itself.
    Project(String),
    /// To this path of the host.
    Host(String),
    /// It depends on a variable.
    Variable,
}

impl Base {
    pub fn resolved(project_dir: &str) -> Self {
        Self::Resolved(project_dir.trim_end_matches('/').to_owned())
    }

    /// Where `path` leads, read as a file system does and without following links.
    pub fn place(&self, path: &str) -> Place {
        match self {
            Self::Text(_) if has_variable(path) => Place::Variable,
            Self::Text(_) if path.starts_with(['/', '~']) || is_windows(path) => {
                Place::Host(absolute(path))
            }
            Self::Text(folder) => normal(&format!("{folder}/{path}"))
                .map_or_else(|| Place::Host(path.to_owned()), Place::Project),
            Self::Resolved(root) => {
                let path = absolute(path);
                match path.strip_prefix(root.as_str()) {
                    Some("") => Place::Project(String::new()),
                    Some(inside) if inside.starts_with('/') => {
                        Place::Project(inside[1..].to_owned())
                    }
                    _ => Place::Host(path),
                }
            }
        }
    }
}

/// Whether compose would put a variable's value into the text (`$$` stands for a dollar sign).
pub(crate) fn has_variable(text: &str) -> bool {
    text.replace("$$", "").contains('$')
}

/// Whether `path` is `folder` or below it.
pub(crate) fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_windows(path: &str) -> bool {
    let bytes = path.as_bytes();
    path.starts_with('\\')
        || (bytes.len() > 1 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':')
}

fn absolute(path: &str) -> String {
    if !path.starts_with('/') {
        return path.to_owned();
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A relative path without `.` and `..`, or nothing if it leaves the folder it starts in.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_texts() {
        let root = Base::Text(String::new());
        let deeper = Base::Text("deploy/prod".into());
        let project = |path: &str| Place::Project(path.into());
        let host = |path: &str| Place::Host(path.into());
        let cases = [
            (&root, "./data", project("data")),
            (&root, ".", project("")),
            (&root, "a/../b//c/", project("b/c")),
            (&root, "..", host("..")),
            (&root, "./a/../../b", host("./a/../../b")),
            (&deeper, "../../www", project("www")),
            (&deeper, "../../../www", host("../../../www")),
            (
                &root,
                "/etc/../var/run/docker.sock",
                host("/var/run/docker.sock"),
            ),
            (&root, "~/.ssh", host("~/.ssh")),
            (&root, "C:\\data", host("C:\\data")),
            (&root, "${DATA}/x", Place::Variable),
            (&root, "a$$b", project("a$$b")),
        ];
        for (base, path, expected) in cases {
            assert_eq!(base.place(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_in_resolved_models() {
        let base = Base::resolved("/srv/shop/");
        assert_eq!(base.place("/srv/shop/www"), Place::Project("www".into()));
        assert_eq!(base.place("/srv/shop"), Place::Project(String::new()));
        assert_eq!(base.place("/srv/shop2"), Place::Host("/srv/shop2".into()));
        assert_eq!(base.place("/srv/shop/../x"), Place::Host("/srv/x".into()));
        assert_eq!(base.place("relative"), Place::Host("relative".into()));
    }
}
