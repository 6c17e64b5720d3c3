//! Bringing a project of a cluster to the state of a release.
//!
//! Prepare (read, judge, ask the cluster what applying would do) → the gate → take the inventory → apply → verify → prune →
//! keep. Each of it looks at the cluster first, so that a job that was interrupted begins at the beginning and does what is
//! left.

use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{Deploy, GitSource, OnFailure, PinnedImage, VolumeFate};

use super::api::Api;
use super::apply;
use super::guard::{self, Watch};
use super::images;
use super::inventory::{Entry, Inventory, Origin};
use super::job::{Effects, Job};
use super::kept;
use super::moved;
use super::prune::prune;
use super::survey::{Change, Planned, survey};
use super::verify::verify;
use super::wanted;
use crate::executor::limits::Limits;
use crate::executor::stop::Stop;

/// Does a deploy to its end, with the images that are settled already.
pub(super) async fn run(
    job: &mut Job<'_>,
    (deploy, source): (&Deploy, Option<&GitSource>),
    pins: &[PinnedImage],
    on_failure: OnFailure,
) -> Result<Vec<PinnedImage>, Stop> {
    let turn = job.cluster.turn(&job.owner.project.to_string());
    let _turn = job.bounded(turn.lock()).await?;
    let deploy = &job.files(deploy, source).await?;
    job.task.progress.begin(Step::Preparing).await?;
    let api = job.must(|| job.cluster.api()).await?;
    let release = deploy.release.to_string();
    let done = async {
        let wanted = wanted::of_release(job, deploy, pins).await?;
        let inventory = guard::read(job, &api).await?;
        let planned = survey(job, &api, &inventory, wanted).await?;
        job.open().await?;
        bring(job, &api, &release, planned, inventory).await
    };
    match done.await {
        Err(stop) if on_failure == OnFailure::RollBack && job.effects == Effects::Made => {
            Err(give_way(job, &api, stop).await)
        }
        done => done,
    }
}

/// Brings the cluster to what is planned, and takes away what is not.
async fn bring(
    job: &mut Job<'_>,
    api: &Api,
    release: &str,
    mut planned: Vec<Planned>,
    inventory: Inventory,
) -> Result<Vec<PinnedImage>, Stop> {
    let stale: Vec<Entry> = unwanted(&inventory, &planned);
    let touched: Vec<Entry> = planned
        .iter()
        .filter(|plan| plan.change != Change::Keep || inventory.entry(&plan.wanted.at).is_none())
        .map(|plan| Entry::of(&plan.wanted.at, String::new(), plan.origin))
        .collect();
    let is_as_it_is_listed = touched.is_empty() && stale.iter().all(is_volume);
    if is_as_it_is_listed && inventory.release == release {
        job.note("nothing has changed").await;
        let pods = verify(job, api, &planned).await?;
        return Ok(images::of(&planned, &pods));
    }
    job.task.progress.begin(Step::Applying).await?;
    found(job, api, &mut planned).await?;
    let mut inventory = guard::take(job, api, inventory, &touched).await?;
    let _watch = Watch::start(
        api.clone(),
        Inventory::at(&job.owner, &job.namespace),
        job.task.attempt.fence,
        inventory.version.clone(),
        job.superseded.clone(),
    );
    apply::apply(job, api, &mut planned).await?;
    let kept = planned
        .iter()
        .filter(|plan| plan.change == Change::Keep)
        .count();
    if kept > 0 {
        job.note(&format!("{kept} of {} objects unchanged", planned.len()))
            .await;
    }
    let pods = verify(job, api, &planned).await?;
    let mut left = Vec::new();
    if !stale.is_empty() {
        job.task.progress.begin(Step::Pruning).await?;
        left = prune(job, api, &stale, VolumeFate::Keep).await?;
    }
    moved::clear(job, api).await?;
    release.clone_into(&mut inventory.release);
    let entries = planned
        .iter()
        .map(|plan| Entry::of(&plan.wanted.at, plan.wanted.digest.clone(), plan.origin));
    inventory.entries = entries.chain(left).collect();
    kept::keep(job, api, release, &planned).await?;
    guard::keep(job, api, &mut inventory).await?;
    Ok(images::of(&planned, &pods))
}

/// What is listed and not planned.
fn unwanted(inventory: &Inventory, planned: &[Planned]) -> Vec<Entry> {
    let is_planned = |entry: &Entry| planned.iter().any(|plan| entry.is_at(&plan.wanted.at));
    inventory
        .entries
        .iter()
        .filter(|entry| !is_planned(entry))
        .cloned()
        .collect()
}

/// A volume that stays after its release has gone.
fn is_volume(entry: &Entry) -> bool {
    entry.kind == "PersistentVolumeClaim" && entry.origin == Origin::Made
}

/// Makes the namespace of the inventory, where it comes with the release: nothing can be guarded before.
async fn found(job: &mut Job<'_>, api: &Api, planned: &mut [Planned]) -> Result<(), Stop> {
    let home = planned.iter_mut().find(|plan| {
        plan.wanted.at.kind.kind == "Namespace"
            && plan.wanted.at.name == job.namespace
            && plan.change == Change::Create
    });
    if let Some(plan) = home {
        job.effects = Effects::Made;
        plan.live = Some(apply::one(job, api, plan).await?);
        job.note(&format!("{} created", plan.wanted.at)).await;
        plan.change = Change::Keep;
    }
    Ok(())
}

/// Brings back what came up last, by the same job and under the same fence.
async fn give_way(job: &mut Job<'_>, api: &Api, stop: Stop) -> Stop {
    let (reason, message) = match stop {
        Stop::Cancelled
        | Stop::Failed {
            reason: FailureReason::Superseded,
            ..
        } => return stop,
        Stop::Told { reason, message } => (reason, message),
        Stop::Failed { reason, message } => {
            job.note(&message).await;
            (reason, message)
        }
        Stop::Deadline => {
            let message = job.overdue();
            job.note(&message).await;
            (FailureReason::Deadline, message)
        }
    };
    job.begin_again(Limits::fresh(job.task));
    let back = match back(job, api).await {
        Ok(Some(release)) => format!("what ran before runs again (release {release})"),
        Ok(None) => "nothing of this project came up before that could be brought back".to_owned(),
        Err(Stop::Cancelled) => return Stop::Cancelled,
        Err(Stop::Deadline) => format!("what ran before was not brought back: {}", job.overdue()),
        Err(Stop::Failed { message, .. } | Stop::Told { message, .. }) => {
            format!("what ran before was not brought back: {message}")
        }
    };
    job.note(&back).await;
    Stop::Told {
        reason,
        message: format!("{message}\n{back}"),
    }
}

async fn back(job: &mut Job<'_>, api: &Api) -> Result<Option<String>, Stop> {
    let Some((release, objects)) = kept::last(job, api).await? else {
        return Ok(None);
    };
    job.note("the release does not come up; bringing back what ran before")
        .await;
    let wanted = wanted::of_kept(job, objects).await?;
    let inventory = guard::read(job, api).await?;
    let planned = survey(job, api, &inventory, wanted).await?;
    Box::pin(bring(job, api, &release, planned, inventory)).await?;
    Ok(Some(release))
}
