//! Calls to forges by the tokens of their users: GitHub, GitLab and Bitbucket, at their own addresses or elsewhere.
//!
//! Every call goes through the guarded way out, to the one address that the integration names: the token is put into the
//! header there and nowhere else, no redirect is followed, and no address that an answer gives is called. What an answer
//! says is bounded before it is read, and what is not needed of it is not looked at.

mod bitbucket;
mod caller;
mod error;
mod github;
mod gitlab;
mod key;
mod pull;

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::forge::Forge;
use crate::domain::integration::{CommitState, ForgeAccess, ForgeSite, RepositoryPath, Visibility};
use crate::egress::{Egress, Limits};
use caller::Caller;
pub use error::ForgeError;
pub use pull::{NewCommit, NewPull, Onto};

/// What a call may cost. A person waits for it.
pub const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(15),
    body: 2 * 1024 * 1024,
};

/// Repositories of one page.
const REPOSITORIES: u8 = 50;
/// Branches, hooks and workspaces of one page.
const ENTRIES: u8 = 100;

/// Whose token it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account's id.
    pub id: String,
    /// Its name.
    pub login: String,
    /// What the token may do, if the forge tells that.
    pub scopes: Option<Vec<String>>,
}

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Repository {
    /// What the forge calls it: `owner/name`.
    #[schema(example = "ada/shop")]
    pub name: String,
    /// Who may see it.
    pub visibility: Visibility,
    /// The branch that it shows first; absent while it is empty.
    #[schema(example = "main")]
    pub default_branch: Option<String>,
}

/// A branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Branch {
    /// Its name.
    #[schema(example = "main")]
    pub name: String,
    /// Its last commit.
    pub commit_sha: String,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Part<T> {
    /// What is in it.
    pub items: Vec<T>,
    /// The number of the next part; absent on the last one.
    pub next_page: Option<u32>,
}

/// What a commit is told to be.
#[derive(Clone, Copy, Debug)]
pub struct NewStatus<'a> {
    /// The commit.
    pub commit: &'a str,
    /// What becomes of it.
    pub state: CommitState,
    /// By what it is told from others.
    pub context: &'a str,
    /// In words.
    pub description: &'a str,
    /// Where there is more to see.
    pub url: &'a str,
}

/// Whom a forge is to tell of pushes.
#[derive(Clone, Copy)]
pub struct Hook<'a> {
    /// Where.
    pub url: &'a str,
    /// What it signs with.
    pub secret: &'a str,
}

/// Calls a forge.
#[derive(Clone, Debug)]
pub struct ForgeClient {
    caller: Caller,
}

impl ForgeClient {
    /// Where it is.
    pub const fn site(&self) -> &ForgeSite {
        self.caller.site()
    }

    /// By what is known of an integration.
    pub fn new(egress: &Egress, access: ForgeAccess) -> Self {
        Self {
            caller: Caller::new(egress.within(LIMITS), access),
        }
    }

    /// Whose token it is, and whether it may do what it is for.
    pub async fn account(&self) -> Result<Account, ForgeError> {
        let caller = &self.caller;
        let account = match caller.forge() {
            Forge::GitHub => github::account(caller).await,
            Forge::Bitbucket => bitbucket::account(caller).await,
            Forge::GitLab | Forge::Generic => gitlab::account(caller).await,
        }?;
        let scopes = account.scopes.as_deref();
        match scopes.and_then(|scopes| caller.site().missing_scope(scopes)) {
            Some(scope) => Err(ForgeError::LacksScope(scope.to_owned())),
            None => Ok(account),
        }
    }

    /// The repositories that the token reaches, those that were used last first. Bitbucket lists those of one workspace.
    pub async fn repositories(
        &self,
        page: u32,
        workspace: Option<&str>,
    ) -> Result<Part<Repository>, ForgeError> {
        match self.caller.forge() {
            Forge::GitHub => github::repositories(&self.caller, page).await,
            Forge::Bitbucket => bitbucket::repositories(&self.caller, page, workspace).await,
            Forge::GitLab | Forge::Generic => gitlab::repositories(&self.caller, page).await,
        }
    }

    /// One repository.
    pub async fn repository(&self, path: &RepositoryPath) -> Result<Repository, ForgeError> {
        match self.caller.forge() {
            Forge::GitHub => github::repository(&self.caller, path).await,
            Forge::Bitbucket => bitbucket::repository(&self.caller, path).await,
            Forge::GitLab | Forge::Generic => gitlab::repository(&self.caller, path).await,
        }
    }

    /// Its branches.
    pub async fn branches(
        &self,
        path: &RepositoryPath,
        page: u32,
    ) -> Result<Part<Branch>, ForgeError> {
        match self.caller.forge() {
            Forge::GitHub => github::branches(&self.caller, path, page).await,
            Forge::Bitbucket => bitbucket::branches(&self.caller, path, page).await,
            Forge::GitLab | Forge::Generic => gitlab::branches(&self.caller, path, page).await,
        }
    }

    /// Tells what becomes of a commit. Telling it again changes nothing.
    pub async fn set_status(
        &self,
        path: &RepositoryPath,
        status: NewStatus<'_>,
    ) -> Result<(), ForgeError> {
        match self.caller.forge() {
            Forge::GitHub => github::set_status(&self.caller, path, status).await,
            Forge::Bitbucket => bitbucket::set_status(&self.caller, path, status).await,
            Forge::GitLab | Forge::Generic => gitlab::set_status(&self.caller, path, status).await,
        }
    }

    /// Has the forge tell of pushes: by the hook that is known, by one that calls the same address, or by a new one.
    /// Gives the hook's id.
    pub async fn install_hook(
        &self,
        path: &RepositoryPath,
        known: Option<&str>,
        hook: Hook<'_>,
    ) -> Result<String, ForgeError> {
        let known = match known {
            Some(id) => Some(id.to_owned()),
            None => self.hook_at(path, hook.url).await?,
        };
        if let Some(id) = known {
            match self.change_hook(path, &id, hook).await {
                Err(error) if error.is_absent() => {}
                changed => return changed.map(|()| id),
            }
        }
        match self.caller.forge() {
            Forge::GitHub => github::make_hook(&self.caller, path, hook).await,
            Forge::Bitbucket => bitbucket::make_hook(&self.caller, path, hook).await,
            Forge::GitLab | Forge::Generic => gitlab::make_hook(&self.caller, path, hook).await,
        }
    }

    /// Has the forge tell of pushes no longer. One that is gone already is as good.
    pub async fn remove_hook(&self, path: &RepositoryPath, id: &str) -> Result<(), ForgeError> {
        let removed = match self.caller.forge() {
            Forge::GitHub => github::remove_hook(&self.caller, path, id).await,
            Forge::Bitbucket => bitbucket::remove_hook(&self.caller, path, id).await,
            Forge::GitLab | Forge::Generic => gitlab::remove_hook(&self.caller, path, id).await,
        };
        match removed {
            Err(error) if error.is_absent() => Ok(()),
            removed => removed,
        }
    }

    async fn hook_at(
        &self,
        path: &RepositoryPath,
        url: &str,
    ) -> Result<Option<String>, ForgeError> {
        let hooks = match self.caller.forge() {
            Forge::GitHub => github::hooks(&self.caller, path).await,
            Forge::Bitbucket => bitbucket::hooks(&self.caller, path).await,
            Forge::GitLab | Forge::Generic => gitlab::hooks(&self.caller, path).await,
        }?;
        let found = hooks.into_iter().find(|(_, address)| address == url);
        Ok(found.map(|(id, _)| id))
    }

    async fn change_hook(
        &self,
        path: &RepositoryPath,
        id: &str,
        hook: Hook<'_>,
    ) -> Result<(), ForgeError> {
        match self.caller.forge() {
            Forge::GitHub => github::change_hook(&self.caller, path, id, hook).await,
            Forge::Bitbucket => bitbucket::change_hook(&self.caller, path, id, hook).await,
            Forge::GitLab | Forge::Generic => {
                gitlab::change_hook(&self.caller, path, id, hook).await
            }
        }
    }
}

const fn visibility(is_private: bool) -> Visibility {
    if is_private {
        Visibility::Private
    } else {
        Visibility::Public
    }
}
