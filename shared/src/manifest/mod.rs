//! Kubernetes manifests of a project: found among its files, read with their lines, and judged.
//!
//! [`read`] gives the objects of a release: all documents of all manifests, with the overlay of an environment merged
//! over them. [`examine`] tells early, before anything is queued, what a cluster will not take or its owner forbids. What
//! permits anything is the agent's own judgement of the objects as the cluster would store them.
//!
//! Manifests are all YAML and JSON files in the folder `kubernetes`, `k8s` or `manifests` and below it, or, where there
//! is none of these, the files at the top that hold Kubernetes objects. Overlays lie in `overlays/NAME` of either.

mod check;
mod find;
mod json;
mod object;
mod overlay;
mod scope;

use serde_json::Value;

use crate::cluster::{ClusterPolicy, ClusterTerms};
use crate::compose::{Finding, Severity};
use crate::policy::{HostPolicy, Rule};
use crate::spec::ProjectFile;

pub use find::{ENTRY_AT_THE_TOP, find_manifests, is_in_folder};
pub use object::{ObjectName, object_name};
pub use scope::is_cluster_scoped;

/// The most bytes that one manifest may have.
pub const MAX_MANIFEST_BYTES: usize = 1024 * 1024;
/// The most objects that one release may have.
pub const MAX_OBJECTS: usize = 5000;
/// The most bytes of one object, as JSON: the API server's own store takes no more.
pub const MAX_OBJECT_BYTES: usize = 1_500_000;

/// One object of a release, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// The project's file.
    pub file: String,
    /// The line in it, 1-based.
    pub line: u32,
    /// Which object it is; its namespace only when it names one.
    pub name: ObjectName,
    /// The object.
    pub object: Value,
}

/// What the manifests of a project hold.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// The objects, in the order of the files.
    pub objects: Vec<Manifest>,
    /// What is wrong with them, and what may not be as meant.
    pub findings: Vec<Finding>,
}

/// Reads all objects of a release; `entry` is what [`find_manifests`] has found.
pub fn read(files: &[ProjectFile], entry: &str, environment: Option<&str>) -> Reading {
    let mut reading = Reading::default();
    for file in find::manifests(files, entry) {
        check::file(&mut reading, file);
    }
    let mut over = Reading::default();
    if let Some(environment) = environment {
        for file in find::overlay(files, entry, environment) {
            check::file(&mut over, file);
        }
    }
    reading.findings.append(&mut over.findings);
    overlay::lay_over(&mut reading, over.objects);
    check::whole(&mut reading);
    reading
}

/// All that can be told of a project's manifests before a cluster sees them. `own` is the namespace of objects that name
/// none.
pub fn examine(
    files: &[ProjectFile],
    entry: &str,
    terms: &ClusterTerms,
    own: &str,
    policy: (&HostPolicy, &ClusterPolicy),
) -> Vec<Finding> {
    let Reading {
        objects,
        mut findings,
    } = read(files, entry, terms.environment.as_deref());
    let usual = terms.namespace.as_deref().unwrap_or(own);
    for manifest in &objects {
        let scoped = is_cluster_scoped(&manifest.name.kind);
        let mut verdicts = policy.0.check_object(policy.1, &manifest.object);
        let namespace = manifest.name.namespace.as_deref().unwrap_or(usual);
        verdicts.extend(if scoped {
            policy
                .1
                .check_cluster_scoped(&manifest.name.kind, &manifest.name.name, own)
        } else {
            policy.1.check_namespace(own, namespace)
        });
        findings.extend(verdicts.into_iter().map(|verdict| Finding {
            severity: Severity::Error,
            file: manifest.file.clone(),
            line: Some(manifest.line),
            rule: verdict.rule,
            message: format!("{}: {}", manifest.name, verdict.message),
        }));
    }
    findings
}

/// A finding in a file.
fn finding(file: &str, line: u32, rule: Rule, message: String) -> Finding {
    Finding {
        severity: Severity::Error,
        file: file.to_owned(),
        line: (line > 0).then_some(line),
        rule,
        message,
    }
}

#[cfg(test)]
mod tests;
