//! Taking a deployed compose project away.
//!
//! Everything is found by its labels, so that it works without the project's files, twice, and on
//! what a half-done deploy left. Nothing without Towline's label is touched.

use towline_shared::failpoint::reach;
use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{Remove, VolumeFate};

use super::child;
use super::engine::EngineError;
use super::failure::{self, Failed};
use super::folder;
use super::job::{FALSE_OUTAGES, Interrupted, Job};
use super::kept;
use super::labels;
use super::stop::Stop;

/// Removes a project; gives what was removed, for a person.
pub(super) async fn run(job: &mut Job<'_>, remove: &Remove) -> Result<(), Stop> {
    let turn = job.host.turn(job.project);
    let _turn = job.bounded(turn.lock()).await?;
    job.open().await?;
    job.engine_at_start().await?;
    take_over(job).await?;
    job.alone().await?;
    refuse_foreign(job).await?;
    job.task.progress.begin(Step::Removing).await?;
    let mut false_outages = 0;
    loop {
        let words = match down_and_sweep(job, remove).await {
            Err(Trouble::Outage(words)) => words,
            Err(Trouble::Stop(stop)) => return Err(stop),
            Ok(()) => break,
        };
        if job.bounded(job.host.engine.ping()).await?.is_err() {
            job.engine_back().await?;
            continue;
        }
        false_outages += 1;
        if false_outages > FALSE_OUTAGES {
            return Err(Stop::failed(FailureReason::ComposeFailed, words));
        }
    }
    kept::forget(job, remove.volumes).await;
    let files = job.folder.clone();
    let fate = remove.volumes;
    let removed = tokio::task::spawn_blocking(move || match fate {
        VolumeFate::Keep => files.remove_files(),
        VolumeFate::Delete => files.remove_all(),
    });
    removed
        .await
        .map_err(|error| Stop::failed(FailureReason::Internal, error.to_string()))??;
    reach("agent: removed a project's files");
    Ok(())
}

/// Why removing does not go on.
enum Trouble {
    /// The engine went away, or seems to; the words that say so.
    Outage(String),
    Stop(Stop),
}

impl From<Stop> for Trouble {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<EngineError> for Trouble {
    fn from(error: EngineError) -> Self {
        if error.is_outage() {
            Self::Outage(error.to_string())
        } else {
            Self::Stop(error.into())
        }
    }
}

/// Waits for the compose process that a former process of the agent left at this job.
async fn take_over(job: &Job<'_>) -> Result<(), Stop> {
    let Some(running) = child::left_by(job.task.attempt.job) else {
        return Ok(());
    };
    match job.attend(running, None).await {
        Ok(_) => Ok(()),
        Err(Interrupted::Stop(stop)) => Err(stop),
        Err(Interrupted::Crashed(failure)) => Err(Stop::failed(failure.reason, failure.message)),
    }
}

async fn refuse_foreign(job: &Job<'_>) -> Result<(), Stop> {
    let engine = &job.host.engine;
    let (containers, networks, volumes) = job
        .bounded(async {
            let containers = engine.containers(Some(job.project)).await?;
            let networks = engine.networks(job.project).await?;
            let volumes = engine.volumes(job.project).await?;
            Ok::<_, EngineError>((containers, networks, volumes))
        })
        .await??;
    let owner =
        |labels: &std::collections::HashMap<String, String>| labels.get(labels::OWNER).cloned();
    for container in &containers {
        let name = format!("the container {}", container.summary.name);
        job.refuse_foreign(owner(&container.labels).as_deref(), &name)?;
    }
    for resource in networks.iter().chain(&volumes) {
        job.refuse_foreign(
            owner(&resource.labels).as_deref(),
            &format!("the network or volume {}", resource.name),
        )?;
    }
    if containers.is_empty() && networks.is_empty() && volumes.is_empty() {
        job.note("nothing of the project is on this host").await;
    }
    Ok(())
}

async fn down_and_sweep(job: &Job<'_>, remove: &Remove) -> Result<(), Trouble> {
    down(job, remove).await?;
    job.bounded(sweep(job, remove)).await??;
    Ok(())
}

/// Compose stops services in the order of their dependencies.
async fn down(job: &Job<'_>, remove: &Remove) -> Result<(), Trouble> {
    let Ok(compose) = job.compose() else {
        return Ok(());
    };
    // A folder without any compose file: the project is known by its labels.
    let folder = job.task.dir.join("down");
    folder::create_private(&folder)
        .map_err(|error| Stop::internal("cannot write the job's folder", &error))?;
    folder::create_private(&job.host.state_dir.join("projects").join(job.project))
        .map_err(|error| Stop::internal("cannot write the project's folder", &error))?;
    let mut arguments = vec!["down", "--remove-orphans"];
    if remove.volumes == VolumeFate::Delete {
        arguments.push("--volumes");
    }
    let ended = match job
        .run_compose(&compose, &folder, &arguments, b"", None)
        .await
    {
        Ok(ended) => ended,
        Err(Interrupted::Stop(stop)) => return Err(stop.into()),
        Err(Interrupted::Crashed(failure)) => {
            return Err(Stop::failed(failure.reason, failure.message).into());
        }
    };
    match ended.failure() {
        None => Ok(()),
        Some(exit) => match failure::explain(&ended.last_lines, &exit) {
            Failed::Outage => Err(Trouble::Outage(
                ended.last_lines.last().cloned().unwrap_or_default(),
            )),
            Failed::ImageMissing { words, .. } => {
                Err(Stop::failed(FailureReason::ComposeFailed, words).into())
            }
            Failed::For(stop) => Err(stop.into()),
        },
    }
}

/// Removes what compose left: containers of `docker compose run`, what has lost its service.
async fn sweep(job: &Job<'_>, remove: &Remove) -> Result<(), EngineError> {
    let engine = &job.host.engine;
    let project = job.project;
    for container in engine.containers(Some(project)).await? {
        engine.remove_container(&container.summary.id).await?;
        reach("agent: removed a container");
    }
    for network in engine.networks(project).await? {
        engine.remove_network(&network.name).await?;
        reach("agent: removed a network");
    }
    if remove.volumes == VolumeFate::Delete {
        for volume in engine.volumes(project).await? {
            engine.remove_volume(&volume.name).await?;
            reach("agent: removed a volume");
        }
    }
    Ok(())
}
