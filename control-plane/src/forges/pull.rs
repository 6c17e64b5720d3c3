//! Commits on branches of Towline's own, and pull requests of them.

use super::caller::Caller;
use super::{ForgeClient, ForgeError, bitbucket, github, gitlab};
use crate::domain::delivery::Change;
use crate::domain::forge::Forge;
use crate::domain::integration::RepositoryPath;

/// A commit to make.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// On which branch.
    pub branch: &'a str,
    /// Whether the branch is there, or is made of the parent.
    pub onto: Onto,
    /// The commit before it.
    pub parent: &'a str,
    /// What it says.
    pub message: &'a str,
    /// What it changes.
    pub changes: &'a [Change],
}

/// Where a commit goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// A branch that is made.
    NewBranch,
    /// One that is there, and ends with the commit's parent.
    Branch,
}

/// A pull request to open.
#[derive(Clone, Copy, Debug)]
pub struct NewPull<'a> {
    /// What is to be merged.
    pub branch: &'a str,
    /// Into what.
    pub base: &'a str,
    /// What it is called.
    pub title: &'a str,
    /// What it says, as Markdown.
    pub body: &'a str,
}

impl ForgeClient {
    /// Makes a commit on a branch.
    pub async fn commit(
        &self,
        path: &RepositoryPath,
        commit: NewCommit<'_>,
    ) -> Result<(), ForgeError> {
        let made = match self.caller.forge() {
            Forge::GitHub => github::commit(&self.caller, path, commit).await,
            Forge::Bitbucket => bitbucket::commit(&self.caller, path, commit).await,
            Forge::GitLab | Forge::Generic => gitlab::commit(&self.caller, path, commit).await,
        };
        let is_workflow = |change: &Change| change.path.starts_with(".github/workflows/");
        let right = match self.caller.forge() {
            // GitHub takes workflows by a right of their own, and says "not found" where it is missing.
            Forge::GitHub if commit.changes.iter().any(is_workflow) => {
                "contents: write and workflows: write (of a classic token: repo and workflow)"
            }
            Forge::GitHub => "contents: write (of a classic token: repo)",
            Forge::Bitbucket => "write:repository:bitbucket (repositories: write)",
            Forge::GitLab | Forge::Generic => "the scope api, and the role Developer",
        };
        made.map_err(|error| error.for_want_of(right))
    }

    /// The number of the pull request of a branch that is open.
    pub async fn open_pull(
        &self,
        path: &RepositoryPath,
        branch: &str,
    ) -> Result<Option<u64>, ForgeError> {
        let found = match self.caller.forge() {
            Forge::GitHub => github::open_pull(&self.caller, path, branch).await,
            Forge::Bitbucket => bitbucket::open_pull(&self.caller, path, branch).await,
            Forge::GitLab | Forge::Generic => gitlab::open_pull(&self.caller, path, branch).await,
        };
        found.map_err(|error| error.for_want_of(right(&self.caller)))
    }

    /// Opens one; gives its number.
    pub async fn make_pull(
        &self,
        path: &RepositoryPath,
        pull: NewPull<'_>,
    ) -> Result<u64, ForgeError> {
        let made = match self.caller.forge() {
            Forge::GitHub => github::make_pull(&self.caller, path, pull).await,
            Forge::Bitbucket => bitbucket::make_pull(&self.caller, path, pull).await,
            Forge::GitLab | Forge::Generic => gitlab::make_pull(&self.caller, path, pull).await,
        };
        made.map_err(|error| error.for_want_of(right(&self.caller)))
    }
}

fn right(caller: &Caller) -> &'static str {
    match caller.forge() {
        Forge::GitHub => "pull_requests: write (of a classic token: repo)",
        Forge::Bitbucket => "write:pullrequest:bitbucket (pull requests: write)",
        Forge::GitLab | Forge::Generic => "the scope api, and the role Developer",
    }
}
