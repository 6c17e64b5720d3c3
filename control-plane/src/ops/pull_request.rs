//! Delivering a project's generated files to its repository, as a pull request.

use serde::Serialize;
use towline_shared::git::Kind;
use towline_shared::ids::{IntegrationId, ProjectId};
use utoipa::ToSchema;
use uuid::Uuid;

use super::OpsError;
use super::generate::seen;
use super::integration::{client, may_use, reaching};
use super::source::{At, snapshot};
use crate::domain::delivery::{self, Change, Modes, Undeliverable};
use crate::domain::integration::RepositoryPath;
use crate::domain::push::kept;
use crate::egress::Egress;
use crate::forges::{ForgeClient, NewCommit, NewPull, Onto};
use crate::repository::Snapshot;
use crate::store::{Project, ProjectSource, PullRequest, Store, Tenant};

/// How many digits tell one branch of a project from another.
const DIGITS: usize = 8;
/// The longest branch of which a pull request goes into another.
const MAX_BRANCH: usize = 255;

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A pull request was opened.
    Opened,
    /// The one that was open has another commit.
    Updated,
    /// The one that is open has all of it already.
    Unchanged,
    /// The repository has all of it already.
    Nothing,
}

/// What was delivered.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// `opened`; `updated`: the pull request that was open has another commit; `unchanged`: it has all of it already; `nothing`:
    /// the repository has all of it already.
    #[schema(value_type = String, example = "opened")]
    pub outcome: Outcome,
    /// Where people see the pull request; absent when there is nothing to deliver.
    #[schema(example = "https://github.com/ada/shop/pull/7")]
    pub url: Option<String>,
    /// Its number.
    #[schema(example = 7)]
    pub number: Option<u64>,
    /// Its branch.
    #[schema(example = "towline/shop-1a2b3c4d")]
    pub branch: Option<String>,
    /// The paths of the files that this delivery has changed, from the root of the repository.
    pub files: Vec<String>,
}

/// Where a delivery goes.
struct Way<'a> {
    store: &'a Store,
    egress: &'a Egress,
    tenant: &'a Tenant,
    project: Project,
    source: ProjectSource,
    integration: IntegrationId,
    repository: RepositoryPath,
    forge: ForgeClient,
}

/// What a delivery is compared with.
struct Compared {
    snapshot: Snapshot,
    onto: Onto,
}

/// Has the repository of a project be given its generated files, as far as it has others or none: by one commit on a branch
/// of Towline's own, and a pull request. While that is open, it is the one that is changed.
pub async fn deliver_files(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: ProjectId,
) -> Result<Delivery, OpsError> {
    may_use(tenant)?;
    let project = store.project(tenant, project).await?;
    let Some(source) = store.source(tenant, project.id).await? else {
        return Err(refused(
            format!("the project {} comes from no repository", project.name),
            "set one first (`towline source set`)",
        ));
    };
    let files = store.generated_files(tenant, project.id).await?;
    if files.is_empty() {
        return Err(refused(
            "the project has no generated files".to_owned(),
            "generate them first (`towline generate PROJECT --write`)",
        ));
    }
    let (integration, repository) = reaching(store, tenant, project.id, &source.url, None).await?;
    let way = Way {
        forge: client(store, egress, tenant, integration).await?,
        store,
        egress,
        tenant,
        project,
        source,
        integration,
        repository,
    };
    let former = store.pull_request(tenant, way.project.id).await?;
    let known = former.clone().filter(|former| way.is_there(former));
    let open = match &known {
        None => None,
        Some(known) => way.forge.open_pull(&way.repository, &known.branch).await?,
    };
    // One that was open, and is no longer, was merged or refused: its branch is done with.
    let known = known.filter(|known| open.is_some() || known.number.is_none());
    let compared = way.compared(known.as_ref(), open).await?;
    let (entries, folder) = (&compared.snapshot.entries, &way.source.folder);
    let modes = Modes::at(way.forge.site().forge());
    let changes =
        delivery::differing(&files, entries, folder, modes).map_err(|error| unfit(&error))?;
    match (changes.as_slice(), open, compared.onto) {
        ([], Some(number), _) => Ok(way.told(Outcome::Unchanged, known, Some(number), &[])),
        ([], None, Onto::NewBranch) => Ok(way.told(Outcome::Nothing, None, None, &[])),
        _ => way.deliver(former, known, open, &compared, &changes).await,
    }
}

impl Way<'_> {
    fn is_there(&self, known: &PullRequest) -> bool {
        known.integration == self.integration && known.repository == self.repository
    }

    /// The branch of the delivery as it is, or the commit that a new one is made of.
    async fn compared(
        &self,
        known: Option<&PullRequest>,
        open: Option<u64>,
    ) -> Result<Compared, OpsError> {
        if let Some(known) = known {
            match (self.read(Some(&known.branch)).await, open) {
                // It was to be made, and was not.
                (
                    Err(OpsError::Unread {
                        field: "branch", ..
                    }),
                    None,
                ) => {}
                (read, _) => {
                    return Ok(Compared {
                        snapshot: read?,
                        onto: Onto::Branch,
                    });
                }
            }
        }
        Ok(Compared {
            snapshot: self.read(self.source.branch.as_deref()).await?,
            onto: Onto::NewBranch,
        })
    }

    async fn read(&self, branch: Option<&str>) -> Result<Snapshot, OpsError> {
        let (store, project) = (self.store, &self.project);
        snapshot(
            store,
            self.egress,
            self.tenant,
            project,
            &self.source,
            At::Branch(branch),
        )
        .await
    }

    async fn deliver(
        &self,
        former: Option<PullRequest>,
        known: Option<PullRequest>,
        open: Option<u64>,
        compared: &Compared,
        changes: &[Change],
    ) -> Result<Delivery, OpsError> {
        let (store, tenant, id) = (self.store, self.tenant, self.project.id);
        let going = if let Some(known) = known {
            known
        } else {
            let new = self.new_branch();
            store
                .begin_pull_request(tenant, id, former.as_ref(), &new)
                .await?
        };
        if !changes.is_empty() {
            let commit = NewCommit {
                branch: &going.branch,
                onto: compared.onto,
                parent: &compared.snapshot.commit,
                message: &delivery::message(&self.project.name, changes),
                changes,
            };
            self.forge.commit(&self.repository, commit).await?;
        }
        let (number, outcome) = if let Some(number) = open {
            (number, Outcome::Updated)
        } else {
            let opened = self.open(&going.branch, compared, changes).await?;
            (opened, Outcome::Opened)
        };
        let going = PullRequest {
            number: Some(number),
            ..going
        };
        let told = self.told(outcome, Some(going.clone()), Some(number), changes);
        store
            .note_pull_request(tenant, id, &going, &told.files)
            .await?;
        Ok(told)
    }

    async fn open(
        &self,
        branch: &str,
        compared: &Compared,
        changes: &[Change],
    ) -> Result<u64, OpsError> {
        let base = if let Some(branch) = &self.source.branch {
            branch.clone()
        } else {
            let found = self.forge.repository(&self.repository).await?;
            found.default_branch.unwrap_or_else(|| "main".to_owned())
        };
        let detected = self.detected(compared).await?;
        let pull = NewPull {
            branch,
            base: &kept(&base, MAX_BRANCH),
            title: &delivery::title(&self.project.name, changes),
            body: &delivery::body(&self.project.name, &detected, changes),
        };
        Ok(self.forge.make_pull(&self.repository, pull).await?)
    }

    /// Why the files are what they are. What was generated says nothing of that.
    async fn detected(&self, compared: &Compared) -> Result<Vec<String>, OpsError> {
        let bases = self
            .store
            .generated_bases(self.tenant, self.project.id)
            .await?;
        let snapshot = &compared.snapshot;
        let is_read = |path: &str| snapshot.files.iter().any(|file| file.path == path);
        let files = snapshot
            .entries
            .iter()
            .filter(|entry| matches!(entry.kind, Kind::File(_)) && !is_read(&entry.path));
        let named: Vec<_> = files.map(|entry| entry.path.clone()).collect();
        let detected = seen(&snapshot.files, &named, &bases);
        Ok(detected.evidence.iter().map(ToString::to_string).collect())
    }

    fn new_branch(&self) -> PullRequest {
        let random = Uuid::now_v7().simple().to_string();
        let digits = &random[random.len() - DIGITS..];
        PullRequest {
            integration: self.integration,
            repository: self.repository.clone(),
            branch: format!("towline/{}-{digits}", self.project.name),
            number: None,
        }
    }

    fn told(
        &self,
        outcome: Outcome,
        pull: Option<PullRequest>,
        number: Option<u64>,
        changes: &[Change],
    ) -> Delivery {
        let site = self.forge.site();
        Delivery {
            outcome,
            url: number.map(|number| site.pull_page(&self.repository, number)),
            number,
            branch: pull.map(|pull| pull.branch),
            files: changes.iter().map(|change| change.path.clone()).collect(),
        }
    }
}

fn refused(message: String, remedy: &str) -> OpsError {
    OpsError::Refused {
        message,
        remedy: remedy.to_owned(),
        field: None,
    }
}

fn unfit(error: &Undeliverable) -> OpsError {
    refused(error.to_string(), "nothing was changed in the repository")
}
