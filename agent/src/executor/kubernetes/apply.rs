//! Applying what a release changes: wave by wave, at once within a wave.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use towline_shared::outcome::FailureReason;

use super::api::{Api, Force, Run, text};
use super::error::Why;
use super::job::Job;
use super::labels::Whose;
use super::many;
use super::order;
use super::ready::{self, Readiness};
use super::survey::{Change, Planned, force, objection};
use super::wanted::{self, Footing, Wanted};
use crate::executor::stop::Stop;

/// How often an object that others change at the same time is tried again.
const TRIES: usize = 10;
/// How long the service account of a new namespace may take to come.
const ACCOUNT: Duration = Duration::from_secs(10);
/// How often to look for what is to be there, or to be gone.
const LOOK: Duration = Duration::from_millis(100);

/// Applies all that changes. What each object is afterwards is put into its plan.
pub(super) async fn apply(job: &Job<'_>, api: &Api, planned: &mut [Planned]) -> Result<(), Stop> {
    for wave in 0..order::COUNT {
        let due: Vec<usize> = planned
            .iter()
            .enumerate()
            .filter(|(_, plan)| {
                plan.change != Change::Keep && order::wave(&plan.wanted.at.kind.kind) == wave
            })
            .map(|(index, _)| index)
            .collect();
        let mut applied = Vec::new();
        for &index in &due {
            let plan = &planned[index];
            applied.push(async move {
                let object = one(job, api, plan).await?;
                job.note(&format!("{} {}", plan.wanted.at, done(plan.change)))
                    .await;
                Ok((index, object))
            });
        }
        let applied = many::all(applied).await?;
        for (index, object) in applied {
            planned[index].live = Some(object);
        }
        stand(job, api, planned, &due).await?;
    }
    Ok(())
}

const fn done(change: Change) -> &'static str {
    match change {
        Change::Create => "created",
        Change::Update => "configured",
        Change::Keep => "unchanged",
        Change::Replace => "replaced",
    }
}

/// Applies one object.
pub(super) async fn one(job: &Job<'_>, api: &Api, plan: &Planned) -> Result<Value, Stop> {
    let wanted = &plan.wanted;
    if wanted.footing == Footing::Coming {
        ask_first(job, api, wanted).await?;
    }
    let mut live = plan.live.clone();
    if plan.change == Change::Replace
        && let Some(former) = live.take()
    {
        take_away(job, api, wanted, &former).await?;
    }
    let mut force = force(job);
    for _ in 0..TRIES {
        let mut object = wanted.object.clone();
        if let Some(live) = &live {
            object["metadata"]["resourceVersion"] = text(live, "/metadata/resourceVersion").into();
        }
        let applied = job
            .ask(|| api.apply(&wanted.at, &object, Run::Real, force))
            .await?;
        match applied {
            Ok(object) => return Ok(object),
            Err(error) if error.is_conflict() || (error.is_not_found() && live.is_some()) => {
                live = job.must(|| api.get(&wanted.at)).await?;
                refuse_another_s(job, wanted, live.as_ref())?;
            }
            Err(error) if error.is_by_hand() => force = Force::Yes,
            Err(error) => return Err(refused(wanted, &error)),
        }
    }
    Err(Stop::failed(
        FailureReason::ClusterRefused,
        format!(
            "{} is changed by others all the time; look at its managers (`kubectl get -o yaml --show-managed-fields`)",
            wanted.at
        ),
    ))
}

fn refused(wanted: &Wanted, error: &super::error::ApiError) -> Stop {
    let objection = objection(wanted, error);
    let hint = match error.why() {
        Why::Conflict => "; somebody has taken them since the deployment began. Deploy again",
        _ => "",
    };
    Stop::failed(objection.reason, format!("{}{hint}", objection.message))
}

fn refuse_another_s(job: &Job<'_>, wanted: &Wanted, live: Option<&Value>) -> Result<(), Stop> {
    match live.map(|live| job.owner.judge(live)) {
        None | Some(Whose::Ours | Whose::Nobodys) => Ok(()),
        Some(Whose::AnotherProjects | Whose::AnotherTargets) => Err(Stop::failed(
            FailureReason::ClusterRefused,
            format!(
                "{} was taken by another project of Towline meanwhile",
                wanted.at
            ),
        )),
    }
}

/// Asks the cluster what could not be asked before: the namespace or the kind has come with the release.
async fn ask_first(job: &Job<'_>, api: &Api, wanted: &Wanted) -> Result<(), Stop> {
    let force = force(job);
    let until = Instant::now() + ACCOUNT;
    let asked = loop {
        let asked = job
            .ask(|| api.apply(&wanted.at, &wanted.object, Run::Dry, force))
            .await?;
        match asked {
            Err(error) if error.why() == Why::NoAccount && Instant::now() < until => {
                job.bounded(tokio::time::sleep(LOOK)).await?;
            }
            asked => break asked,
        }
    };
    let would_be = asked.map_err(|error| refused(wanted, &error))?;
    let broken = wanted::judge(job, &wanted.at, &would_be);
    let said = broken
        .iter()
        .map(|broken| wanted::said(&wanted.place, &wanted.at, broken));
    wanted::refuse_forbidden(said.collect())
}

/// Deletes an object, and waits until it is gone.
async fn take_away(job: &Job<'_>, api: &Api, wanted: &Wanted, former: &Value) -> Result<(), Stop> {
    let uid = text(former, "/metadata/uid");
    job.must(|| api.delete(&wanted.at, &uid)).await?;
    job.wait_for(&format!("{} to be gone", wanted.at));
    loop {
        let there = job.must(|| api.get(&wanted.at)).await?;
        if there.is_none_or(|there| text(&there, "/metadata/uid") != uid) {
            return Ok(());
        }
        job.bounded(tokio::time::sleep(LOOK)).await?;
    }
}

/// Waits until the namespaces and kinds of a wave are there for the next.
async fn stand(job: &Job<'_>, api: &Api, planned: &[Planned], due: &[usize]) -> Result<(), Stop> {
    for &index in due {
        let wanted = &planned[index].wanted;
        if !matches!(
            wanted.at.kind.kind.as_str(),
            "CustomResourceDefinition" | "Namespace"
        ) {
            continue;
        }
        job.wait_for(&format!("{} to be there", wanted.at));
        loop {
            let there = job.must(|| api.get(&wanted.at)).await?;
            match there.as_ref().map(ready::judge) {
                Some(Readiness::Ready) => break,
                Some(Readiness::Failed(why)) => {
                    let message = format!("{}: {why}", wanted.at);
                    return Err(Stop::failed(FailureReason::ClusterRefused, message));
                }
                Some(Readiness::Waiting(_)) | None => job.bounded(tokio::time::sleep(LOOK)).await?,
            }
        }
    }
    Ok(())
}
