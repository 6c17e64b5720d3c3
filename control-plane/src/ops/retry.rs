//! Doing an ended deployment again: the same release to the same target on the same terms, with the
//! secrets of today: who rotates one means that the former value is used no more.

use towline_shared::ids::DeploymentId;
use towline_shared::spec::VolumeFate;

use super::deploy::judge;
use super::plugin::{about_deployment, ask, hooks_of};
use super::source::{self, At, Sourced};
use super::submit::{Submission, Wish, refuse_revoked, submit};
use super::{OpsError, refusal};
use crate::domain::plugin::Hook;
use crate::egress::Egress;
use crate::store::releases::Release;
use crate::store::{Deployment, Project, Store, StoreError, Tenant, counted, jobs};

/// Queues a new deployment like an ended one, if the team's plugins let it.
pub async fn retry(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: DeploymentId,
) -> Result<Deployment, OpsError> {
    let former = store.deployment_row(tenant, id).await?;
    let project = former.project.id.into();
    let result = submit_again(store, egress, tenant, former).await;
    refusal::note(store, tenant, project, result).await
}

async fn submit_again(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    former: Deployment,
) -> Result<Deployment, OpsError> {
    if !former.status.is_terminal() {
        return Err(OpsError::Refused {
            message: format!(
                "the deployment is {}; only one that has ended is done again",
                former.status
            ),
            remedy: "wait for its end, or cancel it".to_owned(),
            field: None,
        });
    }
    let terms = store.deployment_terms(tenant, former.id).await?;
    let project = store.project(tenant, former.project.id.into()).await?;
    let servant = store.servant(tenant, &former.target.id.to_string()).await?;
    refuse_revoked(&servant)?;
    let release = match former.release_id {
        Some(release) => Some(store.release(project.id, release).await?),
        None => None,
    };
    let compose_file;
    let mut hooks: &[Hook] = &[];
    let work = match release {
        Some(release) => {
            let sourced = again(store, egress, tenant, &project, &release).await?;
            let view = sourced
                .as_ref()
                .map_or(&release.files, |sourced| &sourced.view);
            judge(&project, &servant, view)?;
            hooks = hooks_of(view, &release.compose_file);
            compose_file = release.compose_file;
            Wish::Deploy {
                compose_file: &compose_file,
                files: release.files,
                settle_ms: duration(terms.settle_ms)?,
                commit: sourced.map(|sourced| sourced.commit),
            }
        }
        None => Wish::Remove(match terms.volumes.as_deref() {
            Some("delete") => VolumeFate::Delete,
            _ => VolumeFate::Keep,
        }),
    };
    let environment = terms.environment.as_deref();
    let said = match &work {
        Wish::Deploy { .. } => {
            let again = Some(former.id);
            let question = about_deployment(hooks, tenant, &project, &servant, environment, again);
            ask(store, egress, tenant, question).await?
        }
        Wish::Remove(_) => Vec::new(),
    };
    let submission = Submission {
        project: &project,
        target: servant.target.id,
        environment,
        work,
        deadline_s: duration(terms.deadline_s)?,
        interruption: jobs::interruption(&terms.interruption)?,
        retry_of: Some(former.id),
        said,
    };
    submit(store, tenant, submission, None, &servant).await
}

/// The commit of a release once more, where it has one.
async fn again(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    project: &Project,
    release: &Release,
) -> Result<Option<Sourced>, OpsError> {
    let Some(source) = &release.source else {
        return Ok(None);
    };
    let at = At::Commit(&source.commit);
    source::look(store, egress, tenant, project, &release.files, at).await
}

fn duration(stored: i64) -> Result<u32, OpsError> {
    let damaged = |_| StoreError::Damaged(format!("{stored} is no duration of a deployment"));
    Ok(u32::try_from(counted(stored)).map_err(damaged)?)
}
