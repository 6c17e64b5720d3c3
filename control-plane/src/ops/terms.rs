//! Under which terms a project's work is done.

use towline_shared::spec::{Term, Terms};

use crate::store::Project;

/// What a project asks for of who applies its releases.
pub(super) fn of(project: &Project) -> Terms {
    Terms::new(vec![Term::KeepReleases(project.keep_releases)])
}
