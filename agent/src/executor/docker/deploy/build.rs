//! Building the images that the project brings the sources of.
//!
//! It is a call of its own, before anything runs: what builds print and how they fail is not mixed
//! with what compose says of containers. After an interruption it is done again, which costs
//! nothing where the engine has its steps in the cache.

use towline_shared::outcome::Step;

use super::super::failure::{self, Failed};
use super::super::model::Source;
use super::super::stop::Stop;
use super::{Attention, Deployment, Images, Phase};

impl Deployment<'_, '_> {
    pub(super) async fn build(&mut self) -> Result<Phase<()>, Stop> {
        if self.images == Images::Built {
            return Ok(Phase::Done(()));
        }
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
        self.images = Images::Built;
        self.job.task.progress.begin(Step::Applying).await?;
        Ok(Phase::Done(()))
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
