//! A folder with a compose file or Kubernetes manifests, read as a project.

mod archive;
pub mod ignore;
mod manifests;

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    exit::Failure,
    output::units::{bytes, counted},
};
use ignore::{Kind, Rules, Verdict};

pub use archive::archive;

/// The most bytes that the files of one project may have together.
pub const PROJECT_LIMIT: u64 = 4 * 1024 * 1024;
/// The most files one project may have.
pub const FILES_LIMIT: usize = 1000;
/// The names a compose file may have, the preferred one first.
pub const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];
/// Where the rules are; the file itself stays out.
const IGNORE_FILE: &str = ".towlineignore";
/// A folder with more entries than this is no project, but somebody's home.
const ENTRIES_LIMIT: usize = 100_000;

/// One file of the project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its `/`-separated path from the project's folder.
    pub path: String,
    /// Its place on this machine.
    pub place: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Whether it may be run.
    pub mode: Mode,
}

/// The permission of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// 0644.
    Regular,
    /// 0755.
    Executable,
}

/// Lists the files of a folder, sorted by path, within the limits of a project.
pub fn list(folder: &Path) -> Result<Vec<File>, Failure> {
    let mut walk = Walk {
        rules: read_rules(folder)?,
        files: Vec::new(),
        entries: 0,
    };
    walk.folder(folder, "")?;
    walk.files.sort_by(|a, b| a.path.cmp(&b.path));
    check(folder, &walk.files)?;
    Ok(walk.files)
}

/// A name for the project that a folder holds: what of the folder's own name may be in one.
pub fn project_name(folder: &Path) -> Result<String, Failure> {
    let full = fs::canonicalize(folder).map_err(|error| unreadable(folder, &error))?;
    let own = full
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase());
    let name: String = own
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name = name.trim_matches('-');
    let name = &name[..name.len().min(63)];
    if name.is_empty() {
        return Err(
            Failure::usage(format!("{} gives no name for a project", full.display()))
                .remedy("name it with --project NAME"),
        );
    }
    Ok(name.to_owned())
}

fn read_rules(folder: &Path) -> Result<Rules, Failure> {
    let path = folder.join(IGNORE_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Rules::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Rules::default()),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

struct Walk {
    rules: Rules,
    files: Vec<File>,
    entries: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str) -> Result<(), Failure> {
        let entries = fs::read_dir(folder).map_err(|error| unreadable(folder, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(folder, &error))?;
            self.entry(&entry, prefix)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &fs::DirEntry, prefix: &str) -> Result<(), Failure> {
        self.entries += 1;
        if self.entries > ENTRIES_LIMIT {
            return Err(Failure::usage(format!(
                "The folder has more than {ENTRIES_LIMIT} entries"
            ))
            .remedy("give the folder of one compose project"));
        }
        let place = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(
                Failure::usage(format!("The name of {} is not UTF-8", place.display()))
                    .remedy("rename the file"),
            );
        };
        let path = format!("{prefix}{name}");
        if name == ".git" || path == IGNORE_FILE {
            return Ok(());
        }
        let data = entry
            .metadata()
            .map_err(|error| unreadable(&place, &error))?;
        let kind = if data.is_dir() {
            Kind::Folder
        } else {
            Kind::File
        };
        if self.rules.verdict(&path, kind) == Verdict::Ignored {
            return Ok(());
        }
        if data.is_dir() {
            return self.folder(&place, &format!("{path}/"));
        }
        if !data.is_file() {
            return Err(not_a_file(&path, data.is_symlink()));
        }
        let executable = data.permissions().mode() & 0o111 != 0;
        self.files.push(File {
            path,
            place,
            bytes: data.len(),
            mode: if executable {
                Mode::Executable
            } else {
                Mode::Regular
            },
        });
        Ok(())
    }
}

fn not_a_file(path: &str, link: bool) -> Failure {
    let what = if link {
        "a symbolic link"
    } else {
        "neither a file nor a folder"
    };
    Failure::usage(format!("{path} is {what}"))
        .detail("a project has plain files only, so that it is the same on every host")
        .remedy(format!(
            "put a file in its place, or add a line `/{path}` to {IGNORE_FILE}"
        ))
}

fn check(folder: &Path, files: &[File]) -> Result<(), Failure> {
    let is_compose = |file: &File| COMPOSE_FILES.contains(&file.path.as_str());
    if !files.iter().any(is_compose) && !manifests::are_among(files) {
        return Err(Failure::usage(format!(
            "There is no compose file in {}, and no manifest",
            folder.display()
        ))
        .detail(format!(
            "looked for {}, and for YAML or JSON in {}",
            COMPOSE_FILES.join(", "),
            manifests::FOLDERS.join(", ")
        ))
        .remedy(format!(
            "give the folder that has it; {IGNORE_FILE} may leave it out"
        )));
    }
    let total: u64 = files.iter().map(|file| file.bytes).sum();
    if total > PROJECT_LIMIT {
        return Err(Failure::usage(format!(
            "The folder has {}, a project may have {}",
            bytes(total),
            bytes(PROJECT_LIMIT)
        ))
        .detail(format!("the largest are\n{}", largest(files)))
        .remedy(format!(
            "leave out what the containers do not mount, in {IGNORE_FILE}; large files belong into images or volumes"
        )));
    }
    if files.len() > FILES_LIMIT {
        return Err(Failure::usage(format!(
            "The folder has {}, a project may have {FILES_LIMIT}",
            counted(files.len(), "file")
        ))
        .remedy(format!(
            "leave out what the containers do not mount, in {IGNORE_FILE}"
        )));
    }
    Ok(())
}

fn largest(files: &[File]) -> String {
    let mut files: Vec<_> = files.iter().collect();
    files.sort_by_key(|file| std::cmp::Reverse(file.bytes));
    let lines: Vec<_> = files
        .iter()
        .take(5)
        .map(|file| format!("{:>10}  {}", bytes(file.bytes), file.path))
        .collect();
    lines.join("\n")
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("{} cannot be read", path.display())).detail(error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let place = folder.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, text).unwrap();
        }
        folder
    }

    fn refusal(folder: &Path) -> String {
        list(folder).unwrap_err().sentence().into_owned()
    }

    #[test]
    fn a_project_is_its_files_without_what_is_ignored() {
        let folder = folder(&[
            ("compose.yaml", "services: {}"),
            (".git/HEAD", "x"),
            (".env", "A=1"),
            (".towlineignore", "*.log\n/data/\n"),
            ("app.log", "x"),
            ("data/big", "x"),
            ("web/data/index.html", "x"),
            ("web/run.sh", "#!"),
        ]);
        let script = folder.path().join("web/run.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
        let files = list(folder.path()).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_str(), file.mode))
            .collect();
        assert_eq!(
            names,
            [
                (".env", Mode::Regular),
                ("compose.yaml", Mode::Regular),
                ("web/data/index.html", Mode::Regular),
                ("web/run.sh", Mode::Executable),
            ]
        );
    }

    #[test]
    fn what_is_no_project_says_why() {
        assert!(refusal(Path::new("/nowhere")).contains("/nowhere cannot be read"));
        assert!(refusal(folder(&[("a", "x")]).path()).contains("docker-compose.yml"));
        let hidden = folder(&[("compose.yaml", "x"), (".towlineignore", "*.yaml")]);
        assert!(refusal(hidden.path()).contains("no compose file"));
        let other = folder(&[
            ("ci.yaml", "on: push"),
            ("src/kubernetes/a.yaml", "kind: Pod"),
        ]);
        assert!(refusal(other.path()).contains("no manifest"));

        let linked = folder(&[("compose.yaml", "x")]);
        std::os::unix::fs::symlink("/etc/passwd", linked.path().join("link")).unwrap();
        assert!(refusal(linked.path()).contains("link is a symbolic link"));
        fs::write(linked.path().join(IGNORE_FILE), "/link").unwrap();
        assert_eq!(list(linked.path()).unwrap().len(), 1);

        let large = folder(&[("compose.yaml", "x"), ("small", "x")]);
        let content = vec![b'x'; 5 * 1024 * 1024];
        fs::write(large.path().join("film.mp4"), content).unwrap();
        let said = refusal(large.path());
        assert!(
            said.contains("may have 4.0 MiB") && said.contains("5.0 MiB  film.mp4"),
            "{said}"
        );

        let many = folder(&[("compose.yaml", "x")]);
        for number in 0..FILES_LIMIT {
            fs::write(many.path().join(number.to_string()), "").unwrap();
        }
        assert!(refusal(many.path()).contains("1001 files"));
    }

    #[test]
    fn manifests_are_a_project_too() {
        for (path, text) in [
            ("kubernetes/web.yaml", "kind: Deployment"),
            ("k8s/base/web.json", "{}"),
            ("web.yml", "apiVersion: v1\nkind: Service\n"),
        ] {
            let folder = folder(&[(path, text)]);
            assert_eq!(list(folder.path()).unwrap().len(), 1, "{path}");
        }
    }

    #[test]
    fn a_folder_names_its_project() {
        let folder = tempfile::tempdir().unwrap();
        for (own, expected) in [("My Shop", "my-shop"), ("shop_v2.", "shop-v2"), ("a", "a")] {
            let place = folder.path().join(own);
            fs::create_dir(&place).unwrap();
            assert_eq!(project_name(&place).unwrap(), expected);
        }
        assert!(project_name(Path::new("/")).is_err());
    }
}
