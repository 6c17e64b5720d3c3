//! A release that is more than its files.
//!
//! When it does not come up, and is to give way, what ran before is brought back by the same job: under the same fence,
//! into the same log, with the images that it ran. That this has begun stands in the job's folder, with why: an agent
//! that dies on the way goes on with that, and not with the release that has failed.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use towline_shared::outcome::FailureReason;
use towline_shared::spec::{DeployRelease, OnFailure, PinnedImage};

use super::deploy;
use super::job::{Effects, Job, Limits};
use super::kept::{self, Last};
use super::stop::Stop;
use crate::state_dir::write_durably;
use crate::task::Start;

const MARK: &str = "bringing-back.json";

/// Why a release has failed, and by when what ran before must run again.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Failure {
    reason: FailureReason,
    message: String,
    limits: Limits,
}

/// Brings a release up.
pub(super) async fn run(
    job: &mut Job<'_>,
    release: &DeployRelease,
) -> Result<Vec<PinnedImage>, Stop> {
    if let Some(failure) = begun(job) {
        return Err(bring_back(job, failure, job.task.start).await);
    }
    let source = release.source.as_ref();
    match deploy::run(job, &release.deploy, &release.images, source).await {
        Ok(images) => Ok(images),
        Err(stop) if release.on_failure == OnFailure::RollBack => Err(give_way(job, stop).await),
        Err(stop) => Err(stop),
    }
}

/// What becomes of a release that has failed. One that has changed nothing leaves nothing to bring back.
async fn give_way(job: &mut Job<'_>, stop: Stop) -> Stop {
    if job.effects == Effects::None {
        return stop;
    }
    let (reason, message) = match stop {
        Stop::Cancelled => return stop,
        Stop::Told { reason, message } => (reason, message),
        Stop::Failed { reason, message } => {
            job.note(&message).await;
            (reason, message)
        }
        Stop::Deadline => {
            let message = job.overdue().await;
            job.note(&message).await;
            (FailureReason::Deadline, message)
        }
    };
    let failure = Failure {
        reason,
        message: job.masker.mask_text(&message),
        limits: job.fresh_limits(),
    };
    let written = serde_json::to_vec(&failure)
        .map_err(std::io::Error::other)
        .and_then(|text| write_durably(&mark(job), &text));
    match written {
        Ok(()) => bring_back(job, failure, Start::Fresh).await,
        Err(error) => {
            not_back(
                job,
                failure,
                &format!("cannot write the job's folder: {error}"),
            )
            .await
        }
    }
}

async fn bring_back(job: &mut Job<'_>, failure: Failure, start: Start) -> Stop {
    let Some(Last { deploy, images }) = kept::last(job) else {
        return not_back(
            job,
            failure,
            "nothing of this project ran on this host before",
        )
        .await;
    };
    job.begin_again(failure.limits, start);
    let note = "the release does not come up; bringing back what ran before";
    job.note(note).await;
    match Box::pin(deploy::run(job, &deploy, &images, None)).await {
        Ok(_) => {
            let back = format!("what ran before runs again (release {})", deploy.release);
            job.note(&back).await;
            Stop::Told {
                reason: failure.reason,
                message: format!("{}\n{back}", failure.message),
            }
        }
        Err(Stop::Cancelled) => Stop::Cancelled,
        Err(Stop::Deadline) => {
            let why = job.overdue().await;
            not_back(job, failure, &why).await
        }
        Err(Stop::Told { message, .. } | Stop::Failed { message, .. }) => {
            not_back(job, failure, &message).await
        }
    }
}

async fn not_back(job: &Job<'_>, failure: Failure, why: &str) -> Stop {
    let why = format!("what ran before is not brought back: {why}");
    job.note(&why).await;
    Stop::Told {
        reason: failure.reason,
        message: format!("{}\n{why}", failure.message),
    }
}

fn mark(job: &Job<'_>) -> PathBuf {
    job.task.dir.join(MARK)
}

/// What a former process of the agent was about to bring back.
fn begun(job: &Job<'_>) -> Option<Failure> {
    serde_json::from_slice(&std::fs::read(mark(job)).ok()?).ok()
}
