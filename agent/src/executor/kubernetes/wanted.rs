//! What a release wants in the cluster: from its files to objects with their places.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value;
use towline_shared::manifest::{self, Manifest};
use towline_shared::outcome::FailureReason;
use towline_shared::policy::Violation;
use towline_shared::spec::{Deploy, PinnedImage};

use super::at::{At, Kind, Scope, is_name};
use super::compare;
use super::job::Job;
use super::secrets;
use crate::executor::stop::Stop;

/// How many findings a message tells.
const MAX_TOLD: usize = 20;
/// What the cluster keeps of an object, and no release says.
const NOT_OURS: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "uid",
    "creationTimestamp",
    "generation",
    "selfLink",
];

/// An object that a release wants.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub at: At,
    pub object: Value,
    /// The digest of the object.
    pub digest: String,
    /// Where it stands in the project; empty for what comes of its secrets.
    pub place: String,
    /// Whether the cluster can be asked about it before anything is applied.
    pub footing: Footing,
}

/// Whether what an object needs is there before the release is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    There,
    /// Its namespace or its kind comes with the release.
    Coming,
}

/// The objects of a release, resolved and judged.
pub(super) async fn of_release(
    job: &Job<'_>,
    deploy: &Deploy,
    pins: &[PinnedImage],
) -> Result<Vec<Wanted>, Stop> {
    let environment = job.task.terms.cluster().environment;
    let reading = manifest::read(&deploy.files, &deploy.compose_file, environment.as_deref());
    if !reading.findings.is_empty() {
        let findings = reading.findings.iter().map(ToString::to_string);
        return Err(invalid(told(findings)));
    }
    let mut manifests = reading.objects;
    for manifest in &mut manifests {
        clean(&mut manifest.object);
        pin(manifest, pins);
    }
    let coming = Coming::of(job, &manifests).await?;
    let mut wanted = Vec::new();
    let (mut unknown, mut forbidden) = (Vec::new(), Vec::new());
    for manifest in manifests {
        let place = format!("{}:{}", manifest.file, manifest.line);
        match place_of(job, &manifest, &coming).await? {
            Ok((at, footing)) => {
                let broken = judge(job, &at, &manifest.object);
                forbidden.extend(broken.iter().map(|broken| said(&place, &at, broken)));
                wanted.push(Wanted {
                    at,
                    object: manifest.object,
                    digest: String::new(),
                    place,
                    footing,
                });
            }
            Err(message) => unknown.push(format!("{place}: {message}")),
        }
    }
    if !unknown.is_empty() {
        return Err(invalid(told(unknown.into_iter())));
    }
    refuse_forbidden(forbidden)?;
    for warning in secrets::weave(job, &mut wanted)? {
        job.note(&warning).await;
    }
    finish(job, &mut wanted);
    Ok(wanted)
}

/// Objects that were kept of a former release, with their places as the cluster has them now.
pub(super) async fn of_kept(job: &Job<'_>, objects: Vec<Value>) -> Result<Vec<Wanted>, Stop> {
    let mut wanted = Vec::new();
    for object in objects {
        let kept = |what: &str| Stop::failed(FailureReason::Internal, what.to_owned());
        let name = manifest::ObjectName::of(&object)
            .ok_or_else(|| kept("what was kept of the release before is damaged"))?;
        let version = super::api::text(&object, "/apiVersion");
        let found = job.must(|| job.cluster.kind(&version, &name.kind)).await?;
        // A kind that is gone has taken its objects along.
        let Some(kind) = found else { continue };
        let at = At {
            kind,
            namespace: name.namespace,
            name: name.name,
        };
        wanted.push(Wanted {
            digest: compare::digest(&object),
            at,
            object,
            place: String::new(),
            footing: Footing::There,
        });
    }
    Ok(wanted)
}

/// Writes on all objects where they are and whose they are.
fn finish(job: &Job<'_>, wanted: &mut [Wanted]) {
    for wanted in wanted {
        if let Some(namespace) = &wanted.at.namespace {
            wanted.object["metadata"]["namespace"] = namespace.clone().into();
        }
        job.owner.label(&mut wanted.object);
        wanted.digest = compare::digest(&wanted.object);
    }
}

/// What the objects of a release bring that others of it need.
struct Coming {
    kinds: HashMap<(String, String), Arc<Kind>>,
    namespaces: Vec<String>,
}

impl Coming {
    /// A namespace that is there already is none that comes: whose objects are in it is to be looked at.
    async fn of(job: &Job<'_>, manifests: &[Manifest]) -> Result<Self, Stop> {
        let of_kind = |kind: &'static str| {
            manifests
                .iter()
                .filter(move |manifest| manifest.name.kind == kind)
        };
        let api = job.must(|| job.cluster.api()).await?;
        let mut namespaces = Vec::new();
        for manifest in of_kind("Namespace").filter(|manifest| is_name(&manifest.name.name)) {
            let at = At::namespace(&manifest.name.name);
            if job.must(|| api.get(&at)).await?.is_none() {
                namespaces.push(at.name);
            }
        }
        let kinds =
            of_kind("CustomResourceDefinition").flat_map(|manifest| defined(&manifest.object));
        Ok(Self {
            kinds: kinds.collect(),
            namespaces,
        })
    }
}

/// The kinds that a definition defines, one for each version.
fn defined(definition: &Value) -> Vec<((String, String), Arc<Kind>)> {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str);
    let (Some(group), Some(kind), Some(plural)) = (
        text("/spec/group"),
        text("/spec/names/kind"),
        text("/spec/names/plural"),
    ) else {
        return Vec::new();
    };
    let versions = definition
        .pointer("/spec/versions")
        .and_then(Value::as_array);
    let versions = versions.into_iter().flatten();
    let names = versions.filter_map(|version| version.get("name")?.as_str());
    names
        .map(|version| {
            let api_version = format!("{group}/{version}");
            let scope = if text("/spec/scope") == Some("Cluster") {
                Scope::Cluster
            } else {
                Scope::Namespace
            };
            let known = Kind {
                api_version: api_version.clone(),
                kind: kind.to_owned(),
                plural: plural.to_owned(),
                scope,
            };
            ((api_version, kind.to_owned()), Arc::new(known))
        })
        .collect()
}

/// Where an object belongs, or why it cannot be anywhere.
async fn place_of(
    job: &Job<'_>,
    manifest: &Manifest,
    coming: &Coming,
) -> Result<Result<(At, Footing), String>, Stop> {
    let version = super::api::text(&manifest.object, "/apiVersion");
    let name = &manifest.name;
    let defined = coming.kinds.get(&(version.clone(), name.kind.clone()));
    let served = match defined {
        Some(_) => job
            .ask(|| job.cluster.kind(&version, &name.kind))
            .await?
            .ok()
            .flatten(),
        None => job.must(|| job.cluster.kind(&version, &name.kind)).await?,
    };
    let (kind, mut footing) = match (served, defined) {
        (Some(kind), _) => (kind, Footing::There),
        (None, Some(kind)) => (Arc::clone(kind), Footing::Coming),
        (None, None) => {
            return Ok(Err(format!(
                "this cluster has no kind {} of {version}; install what brings it, or put its CustomResourceDefinition into the release",
                name.kind
            )));
        }
    };
    let namespace = match kind.scope {
        Scope::Cluster => None,
        Scope::Namespace => Some(
            name.namespace
                .clone()
                .unwrap_or_else(|| job.namespace.clone()),
        ),
    };
    for part in [Some(&name.name), namespace.as_ref()].into_iter().flatten() {
        if !is_name(part) {
            return Ok(Err(format!("{part:?} is no name that a cluster takes")));
        }
    }
    if namespace
        .as_ref()
        .is_some_and(|namespace| coming.namespaces.contains(namespace))
    {
        footing = Footing::Coming;
    }
    let at = At {
        kind,
        namespace,
        name: name.name.clone(),
    };
    Ok(Ok((at, footing)))
}

/// What the cluster's owner forbids of an object.
pub(super) fn judge(job: &Job<'_>, at: &At, object: &Value) -> Vec<Violation> {
    let config = &job.cluster.config;
    let mut broken = config.policy.check_object(&config.cluster, object);
    broken.extend(match &at.namespace {
        Some(namespace) => job.cluster.check_namespace(namespace),
        None => config
            .cluster
            .check_cluster_scoped(&at.kind.kind, &at.name, &config.namespace),
    });
    broken
}

/// A rule that is broken, for a person.
pub(super) fn said(place: &str, at: &At, broken: &Violation) -> String {
    let at = match place {
        "" => at.to_string(),
        place => format!("{place}: {at}"),
    };
    let Violation {
        path,
        rule,
        message,
    } = broken;
    format!("{at}: {path}: {message} (rule {rule})")
}

/// Ends a job that the cluster's owner forbids.
pub(super) fn refuse_forbidden(forbidden: Vec<String>) -> Result<(), Stop> {
    if forbidden.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the owner of this cluster forbids it, and nothing was changed:\n{}",
        told(forbidden.into_iter())
    );
    Err(Stop::failed(FailureReason::PolicyRefused, message))
}

/// The first of many findings, and how many there are beside.
pub(super) fn told(findings: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut more = 0;
    for (index, finding) in findings.enumerate() {
        if index >= MAX_TOLD {
            more += 1;
        } else {
            let newline = if index == 0 { "" } else { "\n" };
            let _ = write!(text, "{newline}{finding}");
        }
    }
    if more > 0 {
        let _ = write!(text, "\nand {more} more");
    }
    text
}

fn invalid(message: String) -> Stop {
    Stop::failed(FailureReason::InvalidProject, message)
}

/// Takes away what only the cluster says of an object.
fn clean(object: &mut Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            for key in NOT_OURS {
                metadata.remove(key);
            }
        }
    }
}

/// Puts the images that are settled in the place of their names.
fn pin(manifest: &mut Manifest, pins: &[PinnedImage]) {
    if pins.is_empty() {
        return;
    }
    let workload = format!("{}/{}", manifest.name.kind, manifest.name.name);
    let Some(spec) = pod_spec_mut(&mut manifest.object) else {
        return;
    };
    for list in ["initContainers", "containers"] {
        let containers = spec.get_mut(list).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = super::api::text(container, "/name");
            let image = super::api::text(container, "/image");
            let service = format!("{workload}/{name}");
            let pinned = pins
                .iter()
                .find(|pin| pin.service == service && pin.reference == image)
                .and_then(|pin| pin.digests.first());
            if let Some(digest) = pinned {
                container["image"] = digest.clone().into();
            }
        }
    }
}

/// Where a kind of Kubernetes describes its pods.
const POD_SPECS: [&str; 3] = [
    "/spec/template/spec",
    "/spec/jobTemplate/spec/template/spec",
    "/spec",
];

/// The description of the pods that an object makes, or is.
pub(super) fn pod_spec(object: &Value) -> Option<&Value> {
    let described = POD_SPECS.iter().filter_map(|at| object.pointer(at));
    described
        .into_iter()
        .find(|spec| spec.get("containers").is_some_and(Value::is_array))
}

/// The same, to be changed.
pub(super) fn pod_spec_mut(object: &mut Value) -> Option<&mut Value> {
    let at = POD_SPECS.into_iter().find(|at| {
        let spec = object.pointer(at);
        spec.is_some_and(|spec| spec.get("containers").is_some_and(Value::is_array))
    })?;
    object.pointer_mut(at)
}
