//! Deploy keys at forges: read-only, each in one repository.

use super::{ForgeClient, ForgeError, bitbucket, github, gitlab};
use crate::domain::forge::Forge;
use crate::domain::integration::RepositoryPath;

impl ForgeClient {
    /// Has a key read a repository, and nothing more: the one that is known, if it is there still, or a new one. Gives its id.
    pub async fn install_key(
        &self,
        path: &RepositoryPath,
        known: Option<&str>,
        (title, key): (&str, &str),
    ) -> Result<String, ForgeError> {
        if let Some(id) = known {
            match self.has_key(path, id).await {
                Err(error) if error.is_absent() => {}
                there => return there.map(|()| id.to_owned()),
            }
        }
        let made = match self.caller.forge() {
            Forge::GitHub => github::make_key(&self.caller, path, title, key).await,
            Forge::Bitbucket => bitbucket::make_key(&self.caller, path, title, key).await,
            Forge::GitLab | Forge::Generic => {
                gitlab::make_key(&self.caller, path, title, key).await
            }
        };
        made.map_err(|error| error.for_want_of(self.right_to_keys()))
    }

    /// Takes a key away. One that is gone already is as good.
    pub async fn remove_key(&self, path: &RepositoryPath, id: &str) -> Result<(), ForgeError> {
        let removed = match self.caller.forge() {
            Forge::GitHub => github::remove_key(&self.caller, path, id).await,
            Forge::Bitbucket => bitbucket::remove_key(&self.caller, path, id).await,
            Forge::GitLab | Forge::Generic => gitlab::remove_key(&self.caller, path, id).await,
        };
        match removed {
            Err(error) if error.is_absent() => Ok(()),
            removed => removed.map_err(|error| error.for_want_of(self.right_to_keys())),
        }
    }

    async fn has_key(&self, path: &RepositoryPath, id: &str) -> Result<(), ForgeError> {
        match self.caller.forge() {
            Forge::GitHub => github::has_key(&self.caller, path, id).await,
            Forge::Bitbucket => bitbucket::has_key(&self.caller, path, id).await,
            Forge::GitLab | Forge::Generic => gitlab::has_key(&self.caller, path, id).await,
        }
    }

    const fn right_to_keys(&self) -> &'static str {
        match self.caller.forge() {
            Forge::GitHub => "administration: write (of a classic token: repo)",
            Forge::Bitbucket => "admin:repository:bitbucket (repositories: admin)",
            Forge::GitLab | Forge::Generic => "the scope api, and the role Maintainer",
        }
    }
}
