#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use towline_shared::compose::{self, find_compose_file};
use towline_shared::policy::{HostPolicy, Permission};
use towline_shared::spec::ProjectFile;
use towline_shared::yaml;
use towline_tests::checkers;
use towline_tests::scratch::Scratch;

use super::{PROJECT, Template, filled, official};
use crate::detect::{self, Tree};
use crate::generate::{self, Plan};

/// Stands for the name in what the generator writes.
const NAME: &str = "name-of-the-project";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("templates")
}

fn paths_below(folder: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = paths_below(&entry.path());
            paths.extend(below.iter().map(|path| format!("{name}/{path}")));
        } else {
            paths.insert(name);
        }
    }
    paths
}

fn rendered(template: &Template) -> Vec<ProjectFile> {
    template.files("shop", &BTreeMap::new()).unwrap()
}

fn text<'f>(files: &'f [ProjectFile], path: &str) -> &'f str {
    let file = files.iter().find(|file| file.path == path);
    std::str::from_utf8(&file.unwrap_or_else(|| panic!("no {path}")).content).unwrap()
}

/// What lies in the folders is what the program carries, to the last file.
#[test]
fn every_file_is_carried() {
    let carried: BTreeSet<String> = official()
        .iter()
        .flat_map(|template| {
            let all = template.files.iter().map(|(path, _)| *path);
            all.chain([super::MANIFEST])
                .map(|path| format!("{}/{path}", template.name))
        })
        .collect();
    assert_eq!(carried, paths_below(&folder()), "list them in official.rs");
    assert!(official().len() >= 12);
}

/// What the manifest says is so: parameters are used, secrets are asked for, ports and volumes are there.
#[test]
fn manifests_say_what_the_files_have() {
    for template in official() {
        let (name, manifest) = (template.name, &template.manifest);
        let all: String = template.files.iter().map(|(_, text)| *text).collect();
        for parameter in &manifest.parameters {
            assert!(
                all.contains(&format!("{{{{{}}}}}", parameter.name)),
                "{name}: {}",
                parameter.name
            );
            assert_ne!(parameter.name, PROJECT);
        }
        let files = rendered(template);
        let compose = text(&files, "docker-compose.yml");
        for secret in &manifest.secrets {
            let asked = format!("${{{0}:?set the secret {0}}}", secret.name);
            assert!(compose.contains(&asked), "{name}: {asked}");
        }
        let document = yaml::Tree::read(compose).unwrap();
        let root = document.roots().next().unwrap();
        for published in &manifest.ports {
            let parameter = manifest
                .parameters
                .iter()
                .find(|one| one.name == published.parameter);
            let service = root.get("services").unwrap().get(&published.service);
            let start = format!("{}:", parameter.unwrap().default);
            let port = service.unwrap_or_else(|| panic!("{name}: {}", published.service));
            let port = port.get("ports").unwrap().items().next().unwrap();
            assert!(port.text().unwrap().starts_with(&start), "{name}");
        }
        for volume in &manifest.volumes {
            assert!(
                root.get("volumes").unwrap().get(volume).is_some(),
                "{name}: {volume}"
            );
        }
        assert!(text(&files, "README.md").starts_with("# shop\n"), "{name}");
        assert!(!all.contains("{{ "), "{name}");
        for file in &files {
            assert!(
                !text(&files, &file.path).contains("{{"),
                "{name}: {}",
                file.path
            );
        }
    }
}

/// A project of any template can be deployed as it is, on a host that builds and forbids all else.
#[test]
fn files_are_what_a_careful_host_takes() {
    let host = HostPolicy {
        build: Permission::Allow,
        ..HostPolicy::default()
    };
    for template in official() {
        let files = rendered(template);
        let compose_file = find_compose_file(&files).unwrap();
        let findings = compose::examine(&files, compose_file, &host);
        assert!(findings.is_empty(), "{}: {findings:?}", template.name);
    }
}

/// The application's folder, whose Dockerfile is the generator's.
fn application(template: &Template) -> &'static str {
    let nested = template
        .files
        .iter()
        .any(|(path, _)| *path == "app/Dockerfile")
        || Path::new(&folder())
            .join(template.name)
            .join("app")
            .is_dir();
    if nested { "app/" } else { "" }
}

/// Where only one application is, all is as it would be generated for it: what people read in a template is what they get for
/// their own repository. `TOWLINE_WRITE_EXPECTED=1` writes it.
#[test]
fn dockerfiles_are_the_generators() {
    for template in official() {
        let prefix = application(template);
        let made = [
            "Dockerfile",
            ".dockerignore",
            "nginx.conf",
            "docker-compose.yml",
        ];
        let sources: Vec<ProjectFile> = rendered(template)
            .into_iter()
            .filter_map(|mut file| {
                file.path = file.path.strip_prefix(prefix)?.to_owned();
                (!made.contains(&file.path.as_str())).then_some(file)
            })
            .collect();
        let detected = detect::detect(&Tree::new(&sources, []));
        let plan = Plan::new(NAME, &detected);
        let files = generate::generate(&plan)
            .unwrap_or_else(|error| panic!("{}: {error} {detected:?}", template.name));
        for file in files {
            if !prefix.is_empty() && file.path == "docker-compose.yml" {
                continue;
            }
            let mut content = String::from_utf8(file.content)
                .unwrap()
                .replace(NAME, "{{project}}");
            if let (Some(port), "docker-compose.yml") = (detected.app.port, file.path.as_str()) {
                content = content.replace(
                    &format!("\"{port}:{port}\""),
                    &format!("\"{{{{port}}}}:{port}\""),
                );
            }
            let path = folder().join(template.name).join(prefix).join(&file.path);
            if std::env::var_os("TOWLINE_WRITE_EXPECTED").is_some() {
                fs::write(&path, &content).unwrap();
            }
            let carried = fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(carried, content, "{}", path.display());
        }
    }
}

/// The public checkers of generated files have nothing to say, either.
#[test]
fn files_pass_public_checkers() {
    let scratch = Scratch::new("templates");
    let (mut dockerfiles, mut compose_files) = (Vec::new(), Vec::new());
    let mut images = BTreeSet::new();
    for template in official() {
        for file in rendered(template) {
            let path = scratch.path().join(template.name).join(&file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.content).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            if name.ends_with("Dockerfile") {
                images.extend(towline_tests::base_images::named_in(
                    std::str::from_utf8(&file.content).unwrap(),
                ));
                dockerfiles.push(path);
            } else if name == "docker-compose.yml" {
                compose_files.push(path);
            }
        }
    }
    checkers::hadolint(&dockerfiles);
    checkers::schema("vendor.compose-spec", &compose_files);
    let secrets: Vec<&str> = official()
        .iter()
        .flat_map(|one| {
            one.manifest
                .secrets
                .iter()
                .map(|secret| secret.name.as_str())
        })
        .collect();
    let secrets: Vec<(&str, &str)> = secrets.into_iter().map(|name| (name, "x")).collect();
    checkers::compose_config(&compose_files, &secrets);
    let images: Vec<String> = images.into_iter().collect();
    checkers::buildkit(scratch.path(), &dockerfiles, &images);
}

#[test]
fn values_are_put_in_and_other_braces_stay() {
    let values = BTreeMap::from([("port", "80".to_owned())]);
    for (text, expected) in [
        ("a {{port}} b", "a 80 b"),
        ("{{ port }} {{other}} {{", "{{ port }} {{other}} {{"),
        ("{{{port}}}", "{{{port}}}"),
        ("${{port}}{{port}}", "$8080"),
    ] {
        assert_eq!(filled(text, &values), expected, "{text}");
    }
}

/// A value is refused by the rule of its kind, an unknown name by its name.
#[test]
fn values_are_held_to_their_kinds() {
    let template = super::find("postgres-app").unwrap();
    let with = |name: &str, value: &str| {
        let given = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        template.files("shop", &given)
    };
    for (name, value) in [
        ("port", "0"),
        ("port", "65536"),
        ("port", "08"),
        ("port", "80:80"),
        ("port", ""),
        ("database", "Shop"),
        ("database", "a b"),
        ("database", "$x"),
        ("database", "1a"),
    ] {
        let refused = with(name, value).unwrap_err();
        assert!(refused.message.contains(name), "{refused}");
    }
    let refused = with("prot", "80").unwrap_err();
    assert!(
        refused.remedy.contains("port, database") || refused.remedy.contains("database, port"),
        "{refused}"
    );
    let files = with("port", "65535").unwrap();
    assert!(text(&files, "docker-compose.yml").contains("\"65535:8000\""));
    for value in ["a\nb", "<b>", "it's", "$(x)", "{{port}}", " a", "a "] {
        let given = BTreeMap::from([("greeting".to_owned(), value.to_owned())]);
        let refused = super::find("node-server").unwrap().files("shop", &given);
        assert!(refused.is_err(), "{value:?}");
    }
}
