//! Building the images that the project brings the sources of.
//!
//! It is a call of its own, before anything runs: what builds print and how they fail is not mixed
//! with what compose says of containers. After an interruption it is done again, which costs
//! nothing where the engine has its steps in the cache.

use towline_shared::outcome::{FailureReason, Step};

use super::super::failure::{self, Failed};
use super::super::model::Source;
use super::super::push;
use super::super::stop::Stop;
use super::{Attention, Deployment, Images, Phase};

impl Deployment<'_, '_> {
    /// Has the images that are built here, and at the registry that they go to.
    pub(super) async fn build(&mut self) -> Result<Phase<()>, Stop> {
        if self.images == Images::Built {
            return Ok(Phase::Done(()));
        }
        if self.images == Images::Due
            && let Phase::Outage(words) = self.build_all().await?
        {
            return Ok(Phase::Outage(words));
        }
        self.images = Images::Unpushed;
        if let Phase::Outage(words) = self.push().await? {
            return Ok(Phase::Outage(words));
        }
        self.images = Images::Built;
        self.job.task.progress.begin(Step::Applying).await?;
        Ok(Phase::Done(()))
    }

    async fn build_all(&mut self) -> Result<Phase<()>, Stop> {
        self.job.task.progress.begin(Step::Building).await?;
        "`docker compose build` to end".clone_into(&mut self.job.waiting_for);
        let services = self.to_build();
        let mut arguments = vec!["--progress", "plain", "build"];
        arguments.extend(services.iter().map(String::as_str));
        let ended = self.compose(&arguments, Attention::Output).await?;
        if let Some(exit) = ended.failure() {
            return match failure::explain_build(&ended.last_lines, &exit) {
                Failed::Outage => Ok(Phase::Outage(ended.last_lines.last().cloned())),
                Failed::ImageMissing { image, words } => {
                    Err(failure::image_missing(&Vec::from_iter(image), &words))
                }
                // The engine's end ends the programs of a build, too.
                Failed::For(_) if self.is_engine_gone().await? => Ok(Phase::Outage(None)),
                Failed::For(stop) => Err(stop),
            };
        }
        Ok(Phase::Done(()))
    }

    async fn push(&mut self) -> Result<Phase<()>, Stop> {
        if self.job.task.terms.push().is_none() {
            return Ok(Phase::Done(()));
        }
        let mut built = Vec::new();
        for service in &self.model.services {
            if service.source != Source::Build {
                continue;
            }
            let id = self.job.host.engine.image_id(&service.image);
            match self.job.bounded(id).await? {
                Ok(Some(id)) => built.push(push::Built {
                    service: service.name.clone(),
                    reference: service.reference.clone(),
                    id,
                }),
                Ok(None) => return Err(taken_away(&service.image)),
                Err(error) if error.is_outage() => {
                    return Ok(Phase::Outage(Some(error.to_string())));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let tag = self.tag();
        Ok(match push::run(self.job, &tag, &built).await? {
            Ok(()) => Phase::Done(()),
            Err(outage) => Phase::Outage(Some(outage.to_string())),
        })
    }

    fn tag(&self) -> String {
        let commit = self.source.map(|source| source.commit.as_str());
        push::tag(commit, self.deploy.release)
    }

    /// What is built: nothing of what is settled. No name stands for all.
    fn to_build(&self) -> Vec<String> {
        if self.pins.is_empty() {
            return Vec::new();
        }
        let services = self.model.services.iter();
        let built = services.filter(|service| service.source == Source::Build);
        built.map(|service| service.name.clone()).collect()
    }
}

/// An image was built, and is gone.
pub(in super::super) fn taken_away(image: &str) -> Stop {
    Stop::failed(
        FailureReason::ComposeFailed,
        format!(
            "{image} was built, and the engine does not have it; somebody takes images away on this host"
        ),
    )
}
