//! The resolved model of a project: what is judged, and then applied as it was judged.

mod succession;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use towline_shared::ids::{ProjectId, TargetId};
use towline_shared::spec::ProjectFile;

use super::folder::{Access, Mount};
use super::labels;
pub(super) use succession::Succession;

/// A project, resolved and ready to be applied.
#[derive(Clone, Debug)]
pub(super) struct Model {
    /// What compose reads: JSON, which is YAML.
    pub text: Vec<u8>,
    /// The services, by name.
    pub services: Vec<Service>,
    /// What of the project's folder is mounted.
    pub mounts: Vec<Mount>,
}

/// A service as it should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub name: String,
    /// How many containers it has.
    pub replicas: usize,
    /// Its name on the engine; what is built without a name is named by compose.
    pub image: String,
    /// What its project calls the image, whatever name it runs under.
    pub reference: String,
    pub source: Source,
    /// What it waits for before it starts.
    pub needs: Vec<Need>,
    pub duty: Duty,
    pub succession: Succession,
}

/// What a service is for, as far as its project says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duty {
    /// To stay up, or nothing is said.
    Serve,
    /// To end: others wait for it to complete.
    Complete,
}

/// A service that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub service: String,
    pub condition: Condition,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Started,
    Healthy,
    Completed,
}

/// Where a service's image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Image,
    Build,
}

/// Where a project was resolved, and where it will live.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move<'a> {
    pub from: &'a Path,
    pub to: &'a Path,
}

impl Model {
    /// Prepares what compose resolved: paths lead to where the files will live, and everything the
    /// project creates bears Towline's labels.
    pub fn prepare(
        mut resolved: Value,
        files: &[ProjectFile],
        folders: Move<'_>,
        owner: (ProjectId, TargetId),
    ) -> Self {
        let services = services(&resolved);
        let mounts = all_mounts(&resolved, folders.from);
        let digests = file_digests(&resolved, files, folders.from);
        relocate(&mut resolved, folders);
        for (_, service) in entries_mut(&mut resolved, "services") {
            // What was resolved is what is meant to run; compose would sort it out once more.
            service
                .as_object_mut()
                .map(|service| service.remove("profiles"));
        }
        let (project, target) = owner;
        let ours = [
            (labels::OWNER, project.to_string()),
            (labels::TARGET, target.to_string()),
        ];
        for section in ["services", "networks", "volumes"] {
            for (name, entry) in entries_mut(&mut resolved, section) {
                let is_foreign = entry
                    .get("external")
                    .is_some_and(|external| !matches!(external, Value::Null | Value::Bool(false)));
                if is_foreign {
                    continue;
                }
                label(entry, &ours);
                if let Some(digest) = digests.get(name.as_str()).filter(|_| section == "services") {
                    label(entry, &[(labels::FILES, digest.clone())]);
                }
            }
        }
        Self {
            text: resolved.to_string().into_bytes(),
            services,
            mounts,
        }
    }

    /// The same where these services run images that are there already: each under its name.
    ///
    /// Compose's hash of a service stays what it was as long as the name does, so that a container that has the image
    /// already is left alone.
    pub fn with_images(&self, names: &HashMap<String, String>) -> Self {
        let mut value: Value = serde_json::from_slice(&self.text).unwrap_or_default();
        let mut services = self.services.clone();
        for service in &mut services {
            let Some(name) = names.get(&service.name) else {
                continue;
            };
            service.source = Source::Image;
            if let Some(entry) = value["services"][&service.name].as_object_mut() {
                entry.insert("pull_policy".into(), "never".into());
                if *name != service.image {
                    entry.remove("build");
                    entry.insert("image".into(), name.as_str().into());
                }
            }
            service.image.clone_from(name);
        }
        Self {
            text: value.to_string().into_bytes(),
            services,
            mounts: self.mounts.clone(),
        }
    }

    pub fn has_builds(&self) -> bool {
        self.services
            .iter()
            .any(|service| service.source == Source::Build)
    }

    /// The services whose images are built.
    pub fn built(&self) -> BTreeSet<String> {
        let services = self.services.iter();
        services
            .filter(|service| service.source == Source::Build)
            .map(|service| service.name.clone())
            .collect()
    }
}

fn entries<'a>(model: &'a Value, section: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    model
        .get(section)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn entries_mut<'a>(
    model: &'a mut Value,
    section: &str,
) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    model
        .get_mut(section)
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
}

fn services(model: &Value) -> Vec<Service> {
    let mut services: Vec<Service> = entries(model, "services")
        .map(|(name, service)| service_of(model, name, service))
        .collect();
    let needs = services.iter().flat_map(|service| &service.needs);
    let completing: Vec<String> = needs
        .filter(|need| need.condition == Condition::Completed)
        .map(|need| need.service.clone())
        .collect();
    for service in services
        .iter_mut()
        .filter(|service| completing.contains(&service.name))
    {
        service.duty = Duty::Complete;
    }
    services
}

fn service_of(model: &Value, name: &str, service: &Value) -> Service {
    let replicas = [&service["deploy"]["replicas"], &service["scale"]]
        .into_iter()
        .find_map(Value::as_u64)
        .unwrap_or(1);
    let built = || format!("{}-{name}", model["name"].as_str().unwrap_or_default());
    let image = service["image"].as_str().map_or_else(built, str::to_owned);
    Service {
        name: name.to_owned(),
        replicas: usize::try_from(replicas).unwrap_or(usize::MAX),
        reference: image.clone(),
        image,
        source: if service["build"].is_null() {
            Source::Image
        } else {
            Source::Build
        },
        duty: Duty::Serve,
        succession: succession::of(model, name, service),
        needs: service["depends_on"]
            .as_object()
            .into_iter()
            .flatten()
            .map(need_of)
            .collect(),
    }
}

fn need_of((service, need): (&String, &Value)) -> Need {
    Need {
        service: service.clone(),
        condition: match need["condition"].as_str() {
            Some("service_healthy") => Condition::Healthy,
            Some("service_completed_successfully") => Condition::Completed,
            _ => Condition::Started,
        },
    }
}

/// The path within the project, if it leads there.
fn inside<'a>(path: &'a str, root: &Path) -> Option<&'a str> {
    let rest = path.strip_prefix(root.to_str()?)?;
    if rest.is_empty() {
        Some("")
    } else {
        rest.strip_prefix('/')
    }
}

/// What of the project a service mounts: by its volumes, secrets and configs.
fn mounts_of(model: &Value, service: &Value, root: &Path) -> Vec<Mount> {
    let volumes = service["volumes"].as_array().into_iter().flatten();
    let binds = volumes
        .filter(|volume| volume["type"] == "bind")
        .filter_map(|volume| {
            let access = if volume["read_only"] == true {
                Access::ReadOnly
            } else {
                Access::Write
            };
            let path = inside(volume["source"].as_str()?, root)?.to_owned();
            Some(Mount { path, access })
        });
    let files = ["secrets", "configs"].into_iter().flat_map(|kind| {
        let used = service[kind].as_array().into_iter().flatten();
        used.filter_map(move |used| {
            let name = used.as_str().or_else(|| used["source"].as_str())?;
            let path = inside(model[kind][name]["file"].as_str()?, root)?.to_owned();
            Some(Mount {
                path,
                access: Access::ReadOnly,
            })
        })
    });
    binds.chain(files).collect()
}

pub(super) fn all_mounts(model: &Value, root: &Path) -> Vec<Mount> {
    let of_services =
        entries(model, "services").flat_map(|(_, service)| mounts_of(model, service, root));
    let of_volumes = entries(model, "volumes").filter_map(|(_, volume)| {
        let path = inside(volume["driver_opts"]["device"].as_str()?, root)?.to_owned();
        Some(Mount {
            path,
            access: Access::Write,
        })
    });
    let mut mounts: Vec<Mount> = of_services.chain(of_volumes).collect();
    mounts.sort();
    mounts.dedup();
    mounts
}

/// For each service that mounts files of the project: a digest of those files.
fn file_digests(model: &Value, files: &[ProjectFile], root: &Path) -> BTreeMap<String, String> {
    let digest = |mounts: &[Mount]| {
        let is_mounted = |file: &&ProjectFile| {
            mounts
                .iter()
                .any(|mount| is_at_or_below(&file.path, &mount.path))
        };
        let mut mounted: Vec<&ProjectFile> = files.iter().filter(is_mounted).collect();
        mounted.sort_by(|one, other| one.path.cmp(&other.path));
        let mut hash = Sha256::new();
        for file in &mounted {
            hash.update((file.path.len() as u64).to_le_bytes());
            hash.update(&file.path);
            hash.update((file.content.len() as u64).to_le_bytes());
            hash.update(&file.content);
            hash.update([file.mode as u8]);
        }
        (!mounted.is_empty()).then(|| hex(&hash.finalize()))
    };
    let of_service = |(name, service): (&String, &Value)| {
        Some((name.clone(), digest(&mounts_of(model, service, root))?))
    };
    entries(model, "services").filter_map(of_service).collect()
}

pub(super) fn is_at_or_below(path: &str, folder: &str) -> bool {
    folder.is_empty()
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Paths into the folder of resolving become paths into the folder of living. Builds stay: what they
/// read is exactly what was uploaded, and containers cannot reach it.
fn relocate(value: &mut Value, folders: Move<'_>) {
    match value {
        Value::String(text) => {
            if let Some(rest) = inside(text, folders.from) {
                let moved = if rest.is_empty() {
                    folders.to.to_path_buf()
                } else {
                    folders.to.join(rest)
                };
                *text = moved.display().to_string();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| relocate(item, folders)),
        Value::Object(fields) => {
            for (_, field) in fields.iter_mut().filter(|(key, _)| key.as_str() != "build") {
                relocate(field, folders);
            }
        }
        _ => {}
    }
}

/// Adds labels to an entry of the model, in whichever of its forms they are.
fn label(entry: &mut Value, labels: &[(&str, String)]) {
    if entry.is_null() {
        *entry = json!({});
    }
    let Some(entry) = entry.as_object_mut() else {
        return;
    };
    let old = entry.remove("labels").unwrap_or_default();
    let mut all: Map<String, Value> = match old {
        Value::Object(all) => all,
        Value::Array(items) => items
            .iter()
            .filter_map(Value::as_str)
            .map(split_label)
            .collect(),
        _ => Map::new(),
    };
    all.extend(
        labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))),
    );
    entry.insert("labels".into(), Value::Object(all));
}

fn split_label(label: &str) -> (String, Value) {
    let (name, value) = label.split_once('=').unwrap_or((label, ""));
    (name.to_owned(), Value::from(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use towline_shared::spec::FileMode;

    use super::*;

    fn file(path: &str, content: &str) -> ProjectFile {
        ProjectFile {
            path: path.into(),
            content: content.into(),
            mode: FileMode::Regular,
        }
    }

    fn prepared(files: &[ProjectFile]) -> (Model, Value) {
        let resolved = json!({
            "name": "shop",
            "services": {
                "web": {
                    "image": "nginx", "deploy": {"replicas": 3}, "build": {"context": "/job/project/app"},
                    "volumes": [{"type": "bind", "source": "/job/project/www", "target": "/www", "read_only": true},
                                {"type": "bind", "source": "/job/project", "target": "/all"}],
                },
                "db": {"image": "db", "profiles": ["data"], "labels": {"a": "b"}, "secrets": [{"source": "password"}], "environment": {"X": "/job/project2"}},
                "plain": {"image": "plain", "scale": 0, "depends_on": {"db": {"condition": "service_completed_successfully"}}},
            },
            "networks": {"default": {"name": "shop_default"}, "outer": {"external": true, "name": "x"}},
            "volumes": {"data": null},
            "secrets": {"password": {"file": "/job/project/password.txt"}},
        });
        let folders = Move {
            from: Path::new("/job/project"),
            to: Path::new("/state/projects/shop/files"),
        };
        let owner = (
            ProjectId::from(uuid::Uuid::nil()),
            TargetId::from(uuid::Uuid::nil()),
        );
        let model = Model::prepare(resolved, files, folders, owner);
        let value = serde_json::from_slice(&model.text).unwrap();
        (model, value)
    }

    #[test]
    fn paths_move_and_builds_stay() {
        let (model, value) = prepared(&[]);
        assert_eq!(
            value["services"]["web"]["volumes"][0]["source"],
            "/state/projects/shop/files/www"
        );
        assert_eq!(
            value["services"]["web"]["volumes"][1]["source"],
            "/state/projects/shop/files"
        );
        assert_eq!(
            value["services"]["web"]["build"]["context"],
            "/job/project/app"
        );
        assert_eq!(value["services"]["db"]["environment"]["X"], "/job/project2");
        assert_eq!(
            value["secrets"]["password"]["file"],
            "/state/projects/shop/files/password.txt"
        );
        let mount = |path: &str, access| Mount {
            path: path.into(),
            access,
        };
        assert_eq!(
            model.mounts,
            [
                mount("", Access::Write),
                mount("password.txt", Access::ReadOnly),
                mount("www", Access::ReadOnly)
            ]
        );
        let replicas: Vec<_> = model
            .services
            .iter()
            .map(|service| (service.name.as_str(), service.replicas))
            .collect();
        assert_eq!(replicas, [("db", 1), ("plain", 0), ("web", 3)]);
        let duties: Vec<_> = model.services.iter().map(|service| service.duty).collect();
        assert_eq!(duties, [Duty::Complete, Duty::Serve, Duty::Serve]);
        assert!(model.has_builds());
    }

    #[test]
    fn all_that_is_made_is_labelled_and_what_is_foreign_is_not() {
        let (_, value) = prepared(&[]);
        for entry in [
            &value["services"]["web"],
            &value["services"]["db"],
            &value["networks"]["default"],
            &value["volumes"]["data"],
        ] {
            assert_eq!(
                entry["labels"][labels::OWNER],
                "00000000-0000-0000-0000-000000000000"
            );
        }
        assert_eq!(value["services"]["db"]["labels"]["a"], "b");
        assert!(value["services"]["db"].get("profiles").is_none());
        assert!(value["networks"]["outer"].get("labels").is_none());
    }

    #[test]
    fn a_settled_image_is_neither_built_nor_pulled() {
        let (model, _) = prepared(&[]);
        let names = [("web", "nginx"), ("db", "towline/shop/db:1f")];
        let names = names.map(|(service, name)| (service.to_owned(), name.to_owned()));
        let settled = model.with_images(&names.into());
        let value: Value = serde_json::from_slice(&settled.text).unwrap();
        let (web, db) = (&value["services"]["web"], &value["services"]["db"]);
        assert_eq!(
            (&web["image"], &web["pull_policy"]),
            (&json!("nginx"), &json!("never"))
        );
        assert!(web["build"].is_object(), "what compose hashes stays");
        assert_eq!(db["image"], "towline/shop/db:1f");
        assert!(value["services"]["plain"].get("pull_policy").is_none());
        assert!(!settled.has_builds());
        let of_db = settled.services.iter().find(|service| service.name == "db");
        let of_db = of_db.map(|service| (service.image.as_str(), service.reference.as_str()));
        assert_eq!(of_db, Some(("towline/shop/db:1f", "db")));
    }

    #[test]
    fn a_service_changes_with_the_files_it_mounts_and_with_no_others() {
        let digest = |files: &[ProjectFile], service: &str| {
            prepared(files).1["services"][service]["labels"][labels::FILES].clone()
        };
        let before = [file("password.txt", "a"), file("other", "b")];
        let after = [file("password.txt", "a"), file("other", "c")];
        assert_eq!(digest(&before, "db"), digest(&after, "db"));
        assert_ne!(digest(&before, "web"), digest(&after, "web"));
        assert!(digest(&before, "plain").is_null());
        assert_eq!(
            digest(&before, "web"),
            digest(&[file("other", "b"), file("password.txt", "a")], "web")
        );
    }
}
