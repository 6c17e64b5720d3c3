//! Under which terms a project's work is done.

use towline_shared::cluster::ClusterTerms;
use towline_shared::spec::{Term, Terms};

use crate::domain::cluster::Insistence;
use crate::store::{DeploymentKind, Project};

/// What a project asks of the host that applies its releases, beside what there is to say of registries.
pub(super) fn at_host(project: &Project, kind: DeploymentKind, at_registries: Vec<Term>) -> Terms {
    if kind != DeploymentKind::Deploy {
        return Terms::default();
    }
    let mut terms = at_registries;
    terms.push(Term::KeepReleases(project.keep_releases));
    Terms::new(terms)
}

/// The same of a cluster, which keeps images and builds as it does.
pub(super) fn at_cluster(at_registries: &[Term], asked: ClusterTerms) -> Terms {
    let mut terms = without_push(at_registries);
    terms.push(Term::Cluster(asked));
    Terms::new(terms)
}

/// What is asked of a cluster.
pub(super) fn of_cluster(
    project: &Project,
    environment: Option<&str>,
    insistence: Insistence,
) -> ClusterTerms {
    ClusterTerms {
        namespace: project.namespace.clone(),
        environment: environment.map(str::to_owned),
        conflicts: insistence.conflicts,
        immutable: insistence.immutable,
    }
}

/// Of who builds its images for another host.
pub(super) fn of_build(at_registries: Vec<Term>) -> Terms {
    Terms::new(at_registries)
}

/// The same for who runs what another host has built, and has nothing to push.
pub(super) fn without_push(at_registries: &[Term]) -> Vec<Term> {
    let is_kept = |term: &&Term| !matches!(term, Term::Push(_));
    at_registries.iter().filter(is_kept).cloned().collect()
}
