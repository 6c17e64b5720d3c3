//! Building a project's images for another host.
//!
//! All of it happens in the job's own folder: the project may run on this host, too, and nothing of that is touched but
//! the names that its built images have.

use towline_shared::outcome::{FailureReason, Step};
use towline_shared::spec::{Build, PinnedImage};

use super::child::Compose;
use super::deploy::build::taken_away;
use super::deploy::{on_model, prepare, private_dotenv};
use super::failure::{self, Failed};
use super::job::{Effects, FALSE_OUTAGES, Interrupted, Job};
use super::model::{Model, Source};
use super::publish::{self, Built};
use super::push::{self, Pushed};
use super::source;
use super::stop::Stop;

/// Builds the images and brings them to the control plane.
pub(super) async fn run(job: &mut Job<'_>, build: &Build) -> Result<Vec<PinnedImage>, Stop> {
    let turn = job.host.turn(job.project);
    let _turn = job.bounded(turn.lock()).await?;
    push::refuse(job)?;
    let (deploy, tree) = source::over(job, &build.deploy, build.source.as_ref()).await?;
    job.task.progress.begin(Step::Preparing).await?;
    let mut compose = job.compose()?;
    let resolved = prepare(job, &deploy, &compose, tree.as_ref()).await?;
    job.open().await?;
    for warning in &resolved.warnings {
        job.note(warning).await;
    }
    job.engine_at_start().await?;
    job.folder.create()?;
    compose.env_file = Some(private_dotenv(job, &deploy)?);
    job.task.progress.begin(Step::Building).await?;
    job.effects = Effects::Made;
    build_all(job, &compose, &resolved.model).await?;
    job.builds = resolved.model.built();
    let images = built(job, &resolved.model).await?;
    push_all(job, build, &images).await?;
    job.task.progress.begin(Step::Publishing).await?;
    let mut images = publish::run(job, &images).await?;
    Pushed::of(job).tell(&mut images);
    Ok(images)
}

/// Pushes them, where the project says so. An engine that went away meanwhile is waited for.
async fn push_all(job: &mut Job<'_>, build: &Build, images: &[Built]) -> Result<(), Stop> {
    let commit = build.source.as_ref().map(|source| source.commit.as_str());
    let tag = push::tag(commit, build.deploy.release);
    let images: Vec<push::Built> = images
        .iter()
        .map(|built| push::Built {
            service: built.service.clone(),
            reference: built.reference.clone(),
            id: built.image.id.clone(),
        })
        .collect();
    let mut outages = 0;
    while let Err(error) = push::run(job, &tag, &images).await? {
        outages += 1;
        if outages > FALSE_OUTAGES {
            return Err(error.into());
        }
        job.engine_back().await?;
    }
    Ok(())
}

/// Has compose build whatever the model builds. An engine that went away meanwhile is waited for.
async fn build_all(job: &mut Job<'_>, compose: &Compose, model: &Model) -> Result<(), Stop> {
    "`docker compose build` to end".clone_into(&mut job.waiting_for);
    let folder = job.folder.files();
    let folder_text = folder.display().to_string();
    let arguments = [
        &on_model(&folder_text)[..],
        &["--progress", "plain", "build"],
    ]
    .concat();
    let mut outages = 0;
    loop {
        let ended = job
            .run_compose(compose, &folder, &arguments, &model.text, None)
            .await;
        let ended = ended.map_err(|interrupted| match interrupted {
            Interrupted::Stop(stop) => stop,
            Interrupted::Crashed(failure) => Stop::failed(failure.reason, failure.message),
        })?;
        let Some(exit) = ended.failure() else {
            return Ok(());
        };
        let is_gone = job.bounded(job.host.engine.ping()).await?.is_err();
        let failed = match failure::explain_build(&ended.last_lines, &exit) {
            Failed::ImageMissing { image, words } => {
                failure::image_missing(&Vec::from_iter(image), &words)
            }
            Failed::For(stop) if !is_gone => stop,
            Failed::For(_) | Failed::Outage => {
                outages += 1;
                if is_gone {
                    job.engine_back().await?;
                }
                if outages <= FALSE_OUTAGES {
                    continue;
                }
                let words = ended.last_lines.last().cloned().unwrap_or(exit);
                Stop::failed(FailureReason::ComposeFailed, words)
            }
        };
        return Err(failed);
    }
}

/// The images that were built, as the engine has them.
async fn built(job: &Job<'_>, model: &Model) -> Result<Vec<Built>, Stop> {
    let services = model.services.iter();
    let mut built = Vec::new();
    for service in services.filter(|service| service.source == Source::Build) {
        let image = job.bounded(job.host.engine.image(&service.image)).await??;
        let Some(image) = image else {
            return Err(taken_away(&service.image));
        };
        built.push(Built {
            service: service.name.clone(),
            reference: service.reference.clone(),
            image,
        });
    }
    Ok(built)
}
