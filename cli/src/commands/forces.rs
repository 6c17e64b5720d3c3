//! What stands in a release's way in a cluster, and is done all the same.

use clap::Args;

use crate::api::deployments::Forces;

/// The options of all commands that apply a release, or show what one would do.
#[derive(Debug, Args)]
pub struct ForceOptions {
    /// On a cluster: take fields that belong to another manager from it, instead of changing nothing
    #[arg(long)]
    force_conflicts: bool,
    /// On a cluster: delete objects whose change it does not take, with all that belongs to them, and make them anew,
    /// instead of changing nothing
    #[arg(long)]
    replace_immutable: bool,
}

impl ForceOptions {
    /// What is asked of the API.
    pub fn asked(&self) -> Forces {
        Forces {
            conflicts: self.force_conflicts.then_some("force"),
            immutable: self.replace_immutable.then_some("replace"),
        }
    }
}
