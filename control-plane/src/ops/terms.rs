//! Under which terms a project's work is done.

use towline_shared::spec::{Term, Terms};

use crate::store::Project;

/// What a project asks for of who applies its releases, beside what there is to say of registries.
pub(super) fn of_deploy(project: &Project, at_registries: Vec<Term>) -> Terms {
    let mut terms = at_registries;
    terms.push(Term::KeepReleases(project.keep_releases));
    Terms::new(terms)
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
