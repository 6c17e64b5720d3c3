//! Detection held against small repositories, one file of `tests/detect` each: what is expected, then the files, as in
//! `-- package.json --`; `-- src/main.ts (path only) --` is a file that was not read.
//!
//! `TOWLINE_WRITE_EXPECTED=1` writes what is detected into the files, to be read before it is committed.
#![allow(clippy::unwrap_used)]

use std::{env, fmt::Write as _, fs, path::Path, time::Instant};

use towline_shared::spec::{FileMode, ProjectFile};

use super::{Detected, MAX_PATHS, MAX_READ_BYTES, Packing, Serving, Tree, detect, wanted};

/// A repository of the table.
struct Repository {
    name: String,
    expected: String,
    files: Vec<ProjectFile>,
    paths: Vec<String>,
}

impl Repository {
    fn read(name: &str, text: &str) -> Self {
        let mut repository = Self {
            name: name.to_owned(),
            expected: String::new(),
            files: Vec::new(),
            paths: Vec::new(),
        };
        for line in text.lines() {
            let marker = line
                .strip_prefix("-- ")
                .and_then(|line| line.strip_suffix(" --"));
            if let Some(path) = marker {
                match path.strip_suffix(" (path only)") {
                    Some(path) => repository.paths.push(path.to_owned()),
                    None => repository.files.push(file(path, b"")),
                }
                continue;
            }
            match repository.files.last_mut() {
                Some(file) => file.content.extend(format!("{line}\n").bytes()),
                None => repository.expected.extend([line, "\n"]),
            }
        }
        repository
    }

    fn detected(&self) -> Detected {
        detect(&Tree::new(
            &self.files,
            self.paths.iter().map(String::as_str),
        ))
    }
}

/// The names of all repositories of the table, and what is detected of each.
pub(crate) fn repositories() -> Vec<(String, Detected)> {
    let detected = |one: &Repository| (one.name.clone(), one.detected());
    table().iter().map(detected).collect()
}

/// All repositories of the table.
fn table() -> Vec<Repository> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/detect");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        Repository::read(name, &fs::read_to_string(path).unwrap())
    };
    paths.iter().map(read).collect()
}

fn file(path: &str, content: &[u8]) -> ProjectFile {
    ProjectFile {
        path: path.to_owned(),
        content: content.to_vec(),
        mode: FileMode::Regular,
    }
}

/// What was detected, one line for each thing that is known.
fn told(detected: &Detected) -> String {
    let app = &detected.app;
    let mut lines = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            writeln!(lines, "{name}: {value}").unwrap();
        }
    };
    line(
        "packed by",
        &match &detected.packing {
            Packing::Compose { file } | Packing::Dockerfile { file } => file.clone(),
            Packing::Generated => "generated files".to_owned(),
            Packing::Unknown => "nothing".to_owned(),
        },
    );
    line(
        "language",
        &[
            app.language.map(super::Language::label),
            app.version.as_deref(),
        ]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" "),
    );
    line(
        "framework",
        app.framework
            .map(super::Framework::label)
            .unwrap_or_default(),
    );
    line(
        "packages by",
        app.package_manager
            .map(super::PackageManager::label)
            .unwrap_or_default(),
    );
    line(
        "serving",
        match app.serving {
            Serving::Server => "",
            Serving::Static => "static files",
            Serving::Worker => "nobody",
        },
    );
    line(
        "port",
        &app.port.map(|port| port.to_string()).unwrap_or_default(),
    );
    line("manifests", &app.manifests.join(", "));
    line("copied with them", &app.local.join(", "));
    line("build", app.build.as_deref().unwrap_or_default());
    line("output", app.output.as_deref().unwrap_or_default());
    line("start", app.start.as_deref().unwrap_or_default());
    line("test", app.test.as_deref().unwrap_or_default());
    line("health", app.health.as_deref().unwrap_or_default());
    line("image needs", &app.packages.join(", "));
    for volume in &app.volumes {
        line("volume", &format!("{} at {}", volume.name, volume.path));
    }
    for evidence in &detected.evidence {
        line("because", &evidence.to_string());
    }
    for finding in &detected.findings {
        line("note", &finding.to_string());
    }
    lines
}

#[test]
fn the_table_of_repositories() {
    let table = table();
    assert!(table.len() >= 40, "{} repositories", table.len());
    let mut wrong = String::new();
    for repository in &table {
        let told = told(&repository.detected());
        if env::var_os("TOWLINE_WRITE_EXPECTED").is_some() {
            write_expected(repository, &told);
        } else if told != repository.expected {
            writeln!(
                wrong,
                "=== {}\n{told}--- expected\n{}",
                repository.name, repository.expected
            )
            .unwrap();
        }
        for file in &repository.files {
            assert!(
                wanted(&file.path),
                "{}: {} would not have been read",
                repository.name,
                file.path
            );
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn write_expected(repository: &Repository, told: &str) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/detect/{}.txt", repository.name));
    let text = fs::read_to_string(&path).unwrap();
    let files = text.strip_prefix(&repository.expected).unwrap();
    fs::write(path, format!("{told}{files}")).unwrap();
}

/// Every language, and every way of packing, is in the table.
#[test]
fn the_table_has_all_that_there_is() {
    let detected: Vec<Detected> = table().iter().map(Repository::detected).collect();
    for language in super::Language::ALL {
        assert!(
            detected
                .iter()
                .any(|one| one.app.language == Some(*language)),
            "{language:?}"
        );
    }
    for framework in super::Framework::ALL {
        assert!(
            detected
                .iter()
                .any(|one| one.app.framework == Some(*framework)),
            "{framework:?}"
        );
    }
    for manager in super::PackageManager::ALL {
        assert!(
            detected
                .iter()
                .any(|one| one.app.package_manager == Some(*manager)),
            "{manager:?}"
        );
    }
    for evidence in detected.iter().flat_map(|one| &one.evidence) {
        assert!(
            !evidence.file.is_empty()
                && !evidence.says.is_empty()
                && !evidence.therefore.is_empty(),
            "{evidence}"
        );
    }
}

/// Whatever stands in a file that detection reads: no panic, and a few notes at most.
#[test]
fn any_bytes_in_any_file() {
    let table = table();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for repository in &table {
        for at in 0..repository.files.len() {
            for _ in 0..20 {
                let mut files = repository.files.clone();
                let content = &mut files[at].content;
                for _ in 0..=next(4) {
                    let from = next(content.len().max(1)).min(content.len());
                    match next(4) {
                        0 => content.truncate(from),
                        1 => content.insert(from, b"\"\\{}[]$`\n\0\xff'<:=@"[next(16)]),
                        2 => {
                            let copy = content[from..].to_vec();
                            content.extend(copy);
                        }
                        _ => drop(content.drain(from..(from + next(8)).min(content.len()))),
                    }
                }
                let detected = detect(&Tree::new(
                    &files,
                    repository.paths.iter().map(String::as_str),
                ));
                assert!(detected.evidence.len() <= 40 && detected.findings.len() <= 40);
                let words = [
                    &detected.app.build,
                    &detected.app.start,
                    &detected.app.output,
                ];
                let plain = |word: &&String| !word.chars().any(char::is_control);
                assert!(
                    words.into_iter().flatten().all(|word| plain(&word)),
                    "{}: {:?}",
                    repository.name,
                    detected.app
                );
            }
        }
    }
}

/// What is too deep, too long, too much or not text is a finding, and the rest still counts.
#[test]
fn what_cannot_be_read_is_said() {
    let deep = "[".repeat(100_000);
    let long = format!("{{\"a\": \"{}\"}}", "x".repeat(MAX_READ_BYTES));
    let cases = [
        ("package.json", deep.as_bytes(), "is no JSON"),
        ("package.json", b"[]", "is no JSON object"),
        ("package.json", long.as_bytes(), "has more than 256 KiB"),
        ("package.json", b"\xff\xfe", "is no text in UTF-8"),
        ("pyproject.toml", deep.as_bytes(), "is no TOML"),
        ("Cargo.toml", b"a = ", "is no TOML"),
        ("compose.yaml", deep.as_bytes(), "is no YAML"),
        ("compose.yaml", b"services: {}", "has no services"),
        ("compose.yaml", b"a: &a [*a]", "is no YAML"),
        ("Dockerfile", b"RUN x", "has no FROM"),
    ];
    for (path, content, expected) in cases {
        let files = [
            file(path, content),
            file("go.mod", b"module m\ngo 1.24\n"),
            file("main.go", b"package main"),
        ];
        let detected = detect(&Tree::new(&files, []));
        let said = |finding: &super::Finding| {
            finding.file.as_deref() == Some(path) && finding.message.contains(expected)
        };
        assert!(
            detected.findings.iter().any(said),
            "{path} {expected}: {:?}",
            detected.findings
        );
        assert_eq!(
            detected.app.language,
            Some(super::Language::Go),
            "{path} {expected}"
        );
    }
}

#[test]
fn a_link_leads_nowhere_and_strange_paths_are_left_out() {
    let files = [
        file("cmd/$(reboot)/main.go", b"package main"),
        file("../go.mod", b"module m"),
        file("/go.mod", b"module m"),
    ];
    let detected = detect(&Tree::new(&files, ["Dockerfile"]));
    assert_eq!(
        (detected.packing, detected.app.language),
        (Packing::Unknown, None)
    );
    assert_eq!(
        detected.findings[0].to_string(),
        "Dockerfile: was not read: it is a link, or too large"
    );
}

#[test]
fn many_files_take_no_time() {
    let paths: Vec<String> = (0..MAX_PATHS * 2)
        .map(|at| format!("a/b{at}/main.go"))
        .collect();
    let start = Instant::now();
    let detected = detect(&Tree::new(&[], paths.iter().map(String::as_str)));
    assert!(
        detected.findings[0]
            .message
            .contains("more than 20000 files")
    );
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
