//! What came up last, kept in the cluster: the objects as they were applied, so that they can be brought back.
//!
//! It is a Secret, for objects may hold what is secret, beside the inventory; compressed, and left out where it is too
//! large for one object: then nothing is brought back by itself, and a rollback from the control plane still works.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use towline_shared::ids::ProjectId;

use super::api::{Api, Force, Run, text};
use super::at::{At, Kind};
use super::error::ApiError;
use super::job::Job;
use super::labels::{PART, RELEASE, annotation};
use super::survey::Planned;
use crate::executor::stop::Stop;

/// Where the objects stand in the Secret.
const OBJECTS: &str = "objects.json.zst";
/// The most compressed bytes that are kept.
const MAX_BYTES: usize = 700_000;
/// The most bytes that are read of it.
const MAX_PLAIN: usize = 64 * 1024 * 1024;

fn at(namespace: &str, project: ProjectId) -> At {
    At::new(
        Kind::secret(),
        namespace,
        &format!("towline-release-{project}"),
    )
}

/// Keeps what has come up.
pub(super) async fn keep(
    job: &Job<'_>,
    api: &Api,
    release: &str,
    planned: &[Planned],
) -> Result<(), Stop> {
    let objects: Vec<&Value> = planned.iter().map(|plan| &plan.wanted.object).collect();
    let text = serde_json::to_vec(&objects).unwrap_or_default();
    let packed = zstd::bulk::compress(&text, 3).unwrap_or_default();
    let data = if packed.len() > MAX_BYTES {
        job.note("this release is too large to be kept in the cluster: if the next one fails, it is not brought back by itself")
            .await;
        json!({})
    } else {
        json!({OBJECTS: STANDARD.encode(packed)})
    };
    let at = at(&job.namespace, job.owner.project);
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "towline.io/release",
        "metadata": {"name": at.name, "namespace": job.namespace, "labels": {PART: "release"}, "annotations": {RELEASE: release}},
        "data": data,
    });
    job.owner.label(&mut object);
    job.must(|| api.apply(&at, &object, Run::Real, Force::Yes))
        .await?;
    Ok(())
}

/// What came up last, with the release that it was; nothing where none is kept.
pub(super) async fn last(job: &Job<'_>, api: &Api) -> Result<Option<(String, Vec<Value>)>, Stop> {
    job.must(|| read(api, &job.namespace, job.owner.project))
        .await
}

/// The same, of any project.
pub(super) async fn read(
    api: &Api,
    namespace: &str,
    project: ProjectId,
) -> Result<Option<(String, Vec<Value>)>, ApiError> {
    let Some(kept) = api.get(&at(namespace, project)).await? else {
        return Ok(None);
    };
    let packed = kept
        .get("data")
        .and_then(|data| data.get(OBJECTS)?.as_str());
    let packed = packed.and_then(|packed| STANDARD.decode(packed).ok());
    let plain = packed.and_then(|packed| zstd::bulk::decompress(&packed, MAX_PLAIN).ok());
    let objects = plain.and_then(|plain| serde_json::from_slice(&plain).ok());
    let release = annotation(&kept, RELEASE).unwrap_or_default().to_owned();
    Ok(objects.map(|objects| (release, objects)))
}

/// Takes it away with the project.
pub(super) async fn forget(job: &Job<'_>, api: &Api) -> Result<(), Stop> {
    let at = at(&job.namespace, job.owner.project);
    if let Some(kept) = job.must(|| api.get(&at)).await? {
        let uid = text(&kept, "/metadata/uid");
        job.must(|| api.delete(&at, &uid)).await?;
    }
    Ok(())
}
