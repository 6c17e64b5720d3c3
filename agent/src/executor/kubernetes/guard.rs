//! Who may work on a project of a cluster: the inventory, taken under a fence and watched while the job works.

use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towline_shared::Fence;
use towline_shared::outcome::FailureReason;

use super::api::{Api, Seen, text};
use super::at::At;
use super::error::ApiError;
use super::inventory::{Damaged, Entry, Inventory};
use super::job::{Effects, Job};
use super::labels::Whose;
use crate::executor::stop::Stop;

/// How soon a watch that has broken off is begun again.
const RETRY: Duration = Duration::from_secs(1);

/// Reads a project's inventory; an empty one where there is none.
pub(super) async fn read(job: &Job<'_>, api: &Api) -> Result<Inventory, Stop> {
    let at = Inventory::at(&job.owner, &job.namespace);
    match job.must(|| api.get(&at)).await? {
        None => Ok(Inventory::default()),
        Some(object) => of_object(job, &object),
    }
}

fn of_object(job: &Job<'_>, object: &Value) -> Result<Inventory, Stop> {
    if job.owner.judge(object) != Whose::Ours {
        let message = format!(
            "the ConfigMap {} in {} is that of another target, which has deployed this project there; remove it there first, or \
             set another namespace (`towline projects set --namespace`)",
            text(object, "/metadata/name"),
            job.namespace
        );
        return Err(Stop::failed(FailureReason::ClusterRefused, message));
    }
    let inventory = Inventory::read(object).map_err(|Damaged(what)| {
        let message = format!(
            "{what} in {} cannot be read; somebody has changed it. Restore it, or delete it: then objects of former releases \
             stay until somebody deletes them",
            job.namespace
        );
        Stop::failed(FailureReason::ClusterRefused, message)
    })?;
    if inventory.fence > job.task.attempt.fence {
        return Err(outdated(inventory.fence, job.task.attempt.fence));
    }
    Ok(inventory)
}

fn outdated(theirs: Fence, ours: Fence) -> Stop {
    let message = format!("fence {ours} on this project of the cluster is outdated by {theirs}");
    Stop::failed(FailureReason::Superseded, message)
}

/// Writes what is about to be touched, under the job's fence. What others have written meanwhile under a lower fence is kept.
pub(super) async fn take(
    job: &mut Job<'_>,
    api: &Api,
    mut inventory: Inventory,
    touched: &[Entry],
) -> Result<Inventory, Stop> {
    loop {
        let mut next = with(&inventory, touched);
        next.fence = job.task.attempt.fence;
        next.release.clear();
        job.effects = Effects::Made;
        match write(job, api, &next).await? {
            Ok(version) => {
                next.version = version;
                return Ok(next);
            }
            Err(error)
                if error.is_conflict() || error.is_there_already() || error.is_not_found() =>
            {
                let there = read(job, api).await?;
                if there.version == inventory.version {
                    return Err(error.into());
                }
                inventory = there;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Writes the inventory as it is when a release is up. Who has it meanwhile under a later fence keeps it.
pub(super) async fn keep(job: &Job<'_>, api: &Api, inventory: &mut Inventory) -> Result<(), Stop> {
    loop {
        match write(job, api, inventory).await? {
            Ok(version) => {
                inventory.version = version;
                return Ok(());
            }
            Err(error) if error.is_conflict() => {
                // An answer that was lost looks like this, too.
                let there = read(job, api).await?;
                if there.fence != job.task.attempt.fence {
                    return Err(outdated(there.fence, job.task.attempt.fence));
                }
                inventory.version = there.version;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn write(
    job: &Job<'_>,
    api: &Api,
    inventory: &Inventory,
) -> Result<Result<String, ApiError>, Stop> {
    let at = Inventory::at(&job.owner, &job.namespace);
    let object = inventory.write(&job.owner, &job.namespace);
    let written = job
        .ask(|| async {
            if inventory.version.is_empty() {
                api.create(&at, &object).await
            } else {
                api.replace(&at, &object).await
            }
        })
        .await?;
    Ok(written.map(|object| text(&object, "/metadata/resourceVersion")))
}

/// The inventory with these entries in the place of its own of the same objects.
fn with(inventory: &Inventory, touched: &[Entry]) -> Inventory {
    let is_touched = |entry: &Entry| touched.iter().any(|other| other.is_same(entry));
    let mut next = inventory.clone();
    next.entries.retain(|entry| !is_touched(entry));
    next.entries.extend(touched.iter().cloned());
    next
}

/// Watches the inventory while a job works, until it is dropped.
pub(super) struct Watch(JoinHandle<()>);

impl Watch {
    /// Trips `superseded` as soon as a later fence is seen.
    pub fn start(
        api: Api,
        at: At,
        fence: Fence,
        version: String,
        superseded: CancellationToken,
    ) -> Self {
        Self(tokio::spawn(async move {
            let mut version = version;
            loop {
                match look(&api, &at, fence, &mut version).await {
                    Ok(Found::Later) => return superseded.cancel(),
                    Ok(Found::End) => {}
                    Err(_) => {
                        tokio::time::sleep(RETRY).await;
                        match api.get(&at).await {
                            Ok(Some(object)) if is_later(&object, fence) => {
                                return superseded.cancel();
                            }
                            Ok(Some(object)) => {
                                version = text(&object, "/metadata/resourceVersion");
                            }
                            Ok(None) | Err(_) => {}
                        }
                    }
                }
            }
        }))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Found {
    Later,
    /// The watch has ended as watches do.
    End,
}

async fn look(api: &Api, at: &At, fence: Fence, version: &mut String) -> Result<Found, ApiError> {
    let selector = format!("&fieldSelector=metadata.name={}", at.name);
    let events = api
        .watch(&at.kind, at.namespace.as_deref(), &selector, version)
        .await?;
    pin_mut!(events);
    while let Some(event) = events.next().await {
        match event? {
            Seen::Object(object) if is_later(&object, fence) => return Ok(Found::Later),
            Seen::Object(object) | Seen::Gone(object) => {
                *version = text(&object, "/metadata/resourceVersion");
            }
            Seen::Mark(at) => *version = at,
        }
    }
    Ok(Found::End)
}

fn is_later(object: &Value, fence: Fence) -> bool {
    Inventory::read(object).is_ok_and(|inventory| inventory.fence > fence)
}
