//! Taking away what a project has no more.
//!
//! Only what the inventory lists and bears our labels goes, the very object that was looked at; what was there before
//! Towline came stays. What others keep by finalizers is waited for, not forced.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use towline_shared::outcome::FailureReason;
use towline_shared::spec::VolumeFate;

use super::api::{Api, text};
use super::at::{At, Scope};
use super::inventory::{Entry, Origin};
use super::job::Job;
use super::labels::Whose;
use super::many;
use super::order;
use crate::executor::stop::Stop;

/// How often to look whether what was deleted is gone.
const LOOK: Duration = Duration::from_millis(200);

/// What became of an object that is wanted no more.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is gone, or was already.
    Gone,
    /// It is deleted, and finalizers hold it up: the uid of the very object.
    Going(String),
    /// It stays, and is ours no more; why.
    Left(&'static str),
}

/// Deletes objects, the last wave first, and waits until they are gone. Gives those that stay listed.
pub(super) async fn prune(
    job: &Job<'_>,
    api: &Api,
    entries: &[Entry],
    volumes: VolumeFate,
) -> Result<Vec<Entry>, Stop> {
    let mut waves: BTreeMap<usize, Vec<&Entry>> = BTreeMap::new();
    for entry in entries {
        waves
            .entry(order::wave(&entry.kind))
            .or_default()
            .push(entry);
    }
    let mut kept = Vec::new();
    for entries in waves.into_values().rev() {
        let mut fates = Vec::new();
        for entry in entries {
            fates.push(async move { Ok((entry, one(job, api, entry, volumes).await?)) });
        }
        let fates = many::all(fates).await?;
        for (entry, found) in fates {
            let Some((at, fate)) = found else { continue };
            match fate {
                Fate::Gone => job.note(&format!("{at} deleted")).await,
                Fate::Left(why) => {
                    job.note(&format!("{at} stays: {why}")).await;
                    if entry.kind == "PersistentVolumeClaim" && entry.origin == Origin::Made {
                        kept.push(entry.clone());
                    }
                }
                Fate::Going(uid) => {
                    gone(job, api, &at, &uid).await?;
                    job.note(&format!("{at} deleted")).await;
                }
            }
        }
    }
    Ok(kept)
}

async fn one(
    job: &Job<'_>,
    api: &Api,
    entry: &Entry,
    volumes: VolumeFate,
) -> Result<Option<(At, Fate)>, Stop> {
    // A kind that the cluster serves no more has taken its objects along.
    let kind = job
        .must(|| job.cluster.kind(&entry.api_version, &entry.kind))
        .await?;
    let Some(kind) = kind else { return Ok(None) };
    let at = At {
        kind,
        namespace: entry.namespace.clone(),
        name: entry.name.clone(),
    };
    let Some(live) = job.must(|| api.get(&at)).await? else {
        return Ok(None);
    };
    if let Some(why) = stays(job, entry, &at, &live, volumes) {
        return Ok(Some((at, Fate::Left(why))));
    }
    let uid = text(&live, "/metadata/uid");
    let deleted = job.ask(|| api.delete(&at, &uid)).await?;
    let answer = deleted.map_err(|error| {
        let message = format!("{at} cannot be deleted: {error}");
        Stop::failed(FailureReason::ClusterRefused, message)
    })?;
    // An object that goes on existing is answered as it is; otherwise by a status.
    let is_going =
        answer.is_some_and(|answer| answer.pointer("/metadata/deletionTimestamp").is_some());
    Ok(Some((
        at,
        if is_going {
            Fate::Going(uid)
        } else {
            Fate::Gone
        },
    )))
}

/// Why an object stays, if it does.
fn stays(
    job: &Job<'_>,
    entry: &Entry,
    at: &At,
    live: &Value,
    volumes: VolumeFate,
) -> Option<&'static str> {
    if job.owner.judge(live) != Whose::Ours {
        return Some("it does not bear this project's labels any more");
    }
    if entry.origin == Origin::Found {
        return Some("it was there before Towline deployed to it");
    }
    if entry.kind == "PersistentVolumeClaim" && volumes == VolumeFate::Keep {
        return Some(
            "volumes are kept with their data; delete it by hand, or remove the project with its volumes",
        );
    }
    let config = &job.cluster.config;
    if at.kind.scope == Scope::Cluster
        && config
            .cluster
            .check_cluster_scoped(&at.kind.kind, &at.name, &config.namespace)
            .is_some()
    {
        return Some(
            "it belongs to the whole cluster, and the cluster's owner lets jobs have none of its kind",
        );
    }
    None
}

/// Waits until an object is gone that finalizers hold up.
async fn gone(job: &Job<'_>, api: &Api, at: &At, uid: &str) -> Result<(), Stop> {
    let mut told = false;
    loop {
        let live = job.must(|| api.get(at)).await?;
        let Some(live) = live.filter(|live| text(live, "/metadata/uid") == uid) else {
            return Ok(());
        };
        let finalizers = live.pointer("/metadata/finalizers").map(Value::to_string);
        let finalizers = finalizers.unwrap_or_default();
        job.wait_for(&format!(
            "{at} to be gone, which its finalizers {finalizers} hold up"
        ));
        if !told {
            told = true;
            job.note(&format!(
                "{at} is deleted as soon as its finalizers {finalizers} are done"
            ))
            .await;
        }
        job.bounded(tokio::time::sleep(LOOK)).await?;
    }
}
