//! Jobs that wait for images which another host builds.

use chrono::{DateTime, Utc};
use sqlx::types::Json;

use super::audit::Actor;
use super::db::{Tx, optional};
use super::deployments::Image;
use super::jobs::{self, Detail, JobRow, Next};
use super::{Result, job_changes, relay};
use crate::job::state::{self, Change};
use crate::job::{Ending, Event};

/// A job has moved. When that ends a build, who waits for its images begins, or fails with it.
pub(super) async fn ended(
    tx: &mut Tx,
    row: &JobRow,
    change: Change,
    now: DateTime<Utc>,
) -> Result<Option<Next>> {
    let is_end = matches!(change, Change::End(_) | Change::CancelNow | Change::Fail(_));
    let (Some(_), true) = (row.builds_for, is_end) else {
        return Ok(None);
    };
    let Some(job) = relay::waiting(tx, row.asked_for()).await? else {
        // It was cancelled meanwhile.
        return Ok(None);
    };
    if change != Change::End(Ending::Succeeded) {
        fail(tx, row, job, now).await?;
    }
    Ok(Some(Next {
        job,
        deployment: row.asked_for(),
        agent: relay::agent_of(tx, job).await?,
    }))
}

/// What has run, with the digests under which the host that built it has pushed it.
pub(super) async fn with_digests(
    tx: &mut Tx,
    row: &JobRow,
    images: &[Image],
) -> Result<Vec<Image>> {
    let mut images = images.to_vec();
    let built = optional!(
        tx.conn(),
        (Option<Json<Vec<Image>>>,),
        "SELECT d.images FROM jobs b JOIN deployments d ON d.id = b.deployment_id
         WHERE b.builds_for = $1 AND d.status = 'succeeded'",
        row.deployment_id
    )?;
    let Some((Some(Json(built)),)) = built else {
        return Ok(images);
    };
    for image in &mut images {
        let mut same = built.iter();
        let same = same.find(|one| one.service == image.service && one.id == image.id);
        let digests = same.into_iter().flat_map(|one| &one.digests);
        for digest in digests {
            if !image.digests.contains(digest) {
                image.digests.push(digest.clone());
            }
        }
    }
    Ok(images)
}

async fn fail(
    tx: &mut Tx,
    build: &JobRow,
    job: towline_shared::ids::JobId,
    now: DateTime<Utc>,
) -> Result<()> {
    let Some(waiting) = jobs::lock(tx, job).await? else {
        return Ok(());
    };
    let message = format!(
        "its images were to be built elsewhere, and were not: see `towline logs {}`; then retry",
        build.deployment()
    );
    let step = state::step(&waiting.job()?, Event::BuildFailed);
    let detail = Detail::Message(&message);
    job_changes::write(tx, &waiting, step.change, Actor::System, detail, now).await
}
