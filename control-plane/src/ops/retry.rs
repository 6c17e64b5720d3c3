//! Doing an ended deployment again: the same release to the same target on the same terms, with the
//! secrets of today: who rotates one means that the former value is used no more.

use towline_shared::ids::DeploymentId;
use towline_shared::spec::VolumeFate;

use super::judge::{Hosts, judge, refuse_moved};
use super::plugin::{about_deployment, ask, hooks_of};
use super::submit::{Apply, Submission, Wish, refuse_revoked, submit};
use super::{OpsError, refusal, rollback, source, terms as project_terms};
use crate::egress::Egress;
use crate::store::{Deployment, DeploymentKind, Store, StoreError, Tenant, counted, jobs};

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
    check_former(&former)?;
    let terms = store.deployment_terms(tenant, former.id).await?;
    let project = store.project(tenant, former.project.id.into()).await?;
    let servant = store.servant(tenant, &former.target.id.to_string()).await?;
    refuse_revoked(&servant)?;
    refuse_moved(&servant)?;
    let builder = match terms.built_on() {
        Some(target) => Some(store.servant(tenant, &target.to_string()).await?),
        None => None,
    };
    let hosts = Hosts {
        runs: &servant,
        builds: builder.as_ref(),
    };
    let release = match former.release_id {
        Some(release) => Some(store.release(project.id, release).await?),
        None => None,
    };
    let settle_ms = duration(terms.settle_ms)?;
    let work = match release {
        Some(release) => {
            let sourced = source::again(store, egress, tenant, &project, &release).await?;
            let view = sourced
                .as_ref()
                .map_or(&release.files, |sourced| &sourced.view);
            let environment = terms.environment.as_deref();
            let asked = project_terms::of_cluster(&project, environment, terms.insistence());
            judge(&project, hosts, &asked, view)?;
            let hooks = hooks_of(view, &release.compose_file);
            let commit = sourced.map(|sourced| sourced.commit);
            match terms.rollback_of() {
                Some(back) => rollback::again(store, tenant, back).await?.wish(
                    settle_ms,
                    terms.insistence(),
                    commit,
                ),
                None => Wish::Deploy(Box::new(Apply {
                    compose_file: release.compose_file,
                    files: release.files,
                    hooks,
                    images: Vec::new(),
                    settle_ms,
                    on_failure: terms.on_failure(),
                    insistence: terms.insistence(),
                    commit,
                })),
            }
        }
        None => Wish::Remove(match terms.volumes.as_deref() {
            Some("delete") => VolumeFate::Delete,
            _ => VolumeFate::Keep,
        }),
    };
    let environment = terms.environment.as_deref();
    let said = match work.hooks() {
        Some(hooks) => {
            let again = Some(former.id);
            let question = about_deployment(hooks, tenant, &project, &servant, environment, again);
            ask(store, egress, tenant, question).await?
        }
        None => Vec::new(),
    };
    let submission = Submission {
        project: &project,
        servant: &servant,
        environment,
        work,
        deadline_s: duration(terms.deadline_s)?,
        interruption: jobs::interruption(&terms.interruption)?,
        retry_of: Some(former.id),
        rollback_of: terms.rollback_of(),
        builder: builder.as_ref(),
        notes: Vec::new(),
        said,
    };
    submit(store, tenant, submission, None).await
}

fn duration(stored: i64) -> Result<u32, OpsError> {
    let damaged = |_| StoreError::Damaged(format!("{stored} is no duration of a deployment"));
    Ok(u32::try_from(counted(stored)).map_err(damaged)?)
}

/// Refuses what is not done again.
fn check_former(former: &Deployment) -> Result<(), OpsError> {
    if former.kind == DeploymentKind::Build {
        return Err(OpsError::Refused {
            message: "this is the build of another deployment's images".to_owned(),
            remedy: "retry the deployment that it was for: its images are built again".to_owned(),
            field: None,
        });
    }
    if former.kind == DeploymentKind::Preview {
        return Err(OpsError::Refused {
            message: "this is a preview, which has changed nothing".to_owned(),
            remedy: "ask for another one, or deploy".to_owned(),
            field: None,
        });
    }
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
    Ok(())
}
