//! Doing what is left to do.

use chrono::{TimeDelta, Utc};
use towline_shared::outcome::FailureReason;

use super::super::engine::{EngineError, Observed};
use super::super::failure::{self, Failed};
use super::super::model::Source;
use super::super::stop::Stop;
use super::super::survey::{self, Left};
use super::super::verdict::{self, Failure, Standing};
use super::{Attention, Deployment, Phase};

impl Deployment<'_, '_> {
    pub(super) async fn apply(&mut self, left: &Left) -> Result<Phase<()>, Stop> {
        match left {
            Left::Nothing => Ok(Phase::Done(())),
            Left::Everything => self.up(&[]).await,
            Left::Start(containers) => self.start(containers).await,
            Left::Only(services) => match self.await_needs(services).await? {
                Phase::Done(()) => self.up(services).await,
                Phase::Outage(words) => Ok(Phase::Outage(words)),
            },
        }
    }

    /// Has compose apply all services, or these alone.
    async fn up(&mut self, only: &[String]) -> Result<Phase<()>, Stop> {
        "`docker compose up` to end".clone_into(&mut self.job.waiting_for);
        let mut arguments = vec!["up", "--detach", "--remove-orphans", "--no-build"];
        if !only.is_empty() {
            arguments.push("--no-deps");
            arguments.extend(only.iter().map(String::as_str));
        }
        let ended = self.compose(&arguments, Attention::Containers).await?;
        let Some(exit) = ended.failure() else {
            return Ok(Phase::Done(()));
        };
        match failure::explain(&ended.last_lines, &exit) {
            Failed::Outage => Ok(Phase::Outage(ended.last_lines.last().cloned())),
            Failed::ImageMissing { image, words } => Err(self.image_missing(image, &words).await),
            Failed::For(stop) => self.blame(stop).await,
        }
    }

    /// Names the images that the engine does not have.
    async fn image_missing(&self, named: Option<String>, words: &str) -> Stop {
        let mut missing = Vec::new();
        let pulled = self
            .model
            .services
            .iter()
            .filter(|service| service.source == Source::Image);
        for service in pulled {
            if let Ok(None) = self.job.host.engine.image_id(&service.image).await {
                missing.push(service.image.clone());
            }
        }
        if missing.is_empty() {
            missing.extend(named);
        }
        missing.sort();
        missing.dedup();
        failure::image_missing(&missing, words)
    }

    /// A container's own failure says more than compose's words about it; unless it was stopped from
    /// outside, as by an engine that ends.
    async fn blame(&mut self, stop: Stop) -> Result<Phase<()>, Stop> {
        let containers = match self.job.host.engine.observe(self.job.project).await {
            Ok(containers) => containers,
            Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
            Err(_) => return Err(stop),
        };
        let began = self.job.limits.began;
        let own: Vec<Observed> = containers
            .into_iter()
            .filter(|container| container.started_at >= began)
            .collect();
        match self.failure(&own) {
            Some(failure) if self.watch.stopped().contains(&failure.container) => {
                Ok(Phase::Outage(Some(failure.message)))
            }
            Some(failure) => Err(self.tell(failure).await),
            None => Err(stop),
        }
    }

    fn failure(&self, containers: &[Observed]) -> Option<Failure> {
        match verdict::judge(
            &self.model.services,
            containers,
            &self.before,
            TimeDelta::zero(),
            Utc::now(),
        ) {
            Standing::Failed(failure) => Some(failure),
            Standing::Ready | Standing::Wait { .. } => None,
        }
    }

    /// Starts containers that are made already, each when what it needs is there.
    async fn start(&mut self, containers: &[String]) -> Result<Phase<()>, Stop> {
        let mut left = containers.to_vec();
        while !left.is_empty() {
            let observed = match self.observe().await? {
                Ok(observed) => observed,
                Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
                Err(error) => return Err(error.into()),
            };
            self.watch.follow(&observed);
            let others: Vec<Observed> = observed
                .iter()
                .filter(|container| !left.contains(&container.id))
                .cloned()
                .collect();
            if let Some(failure) = self.failure(&others) {
                return Err(self.tell(failure).await);
            }
            let Some(next) = survey::startable(&self.model.services, &left, &observed) else {
                "containers to start in their order".clone_into(&mut self.job.waiting_for);
                self.wait(None).await?;
                continue;
            };
            self.job.note(&format!("starting {}", next.source)).await;
            match self
                .job
                .bounded(self.job.host.engine.start_container(&next.id))
                .await?
            {
                Ok(()) => left.retain(|id| *id != next.id),
                Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
                Err(error) => return start_refused(&error),
            }
        }
        Ok(Phase::Done(()))
    }

    /// Waits for what these services need of those that compose will leave alone.
    async fn await_needs(&mut self, only: &[String]) -> Result<Phase<()>, Stop> {
        loop {
            let containers = match self.observe().await? {
                Ok(containers) => containers,
                Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
                Err(error) => return Err(error.into()),
            };
            self.watch.follow(&containers);
            let Some(what) = survey::awaited(&self.model.services, only, &containers) else {
                return Ok(Phase::Done(()));
            };
            let others: Vec<Observed> = containers
                .into_iter()
                .filter(|container| !only.contains(&container.service))
                .collect();
            if let Some(failure) = self.failure(&others) {
                return Err(self.tell(failure).await);
            }
            self.job.waiting_for = what;
            self.wait(None).await?;
        }
    }
}

/// What an engine says when it does not start a container means what it means in compose's output.
fn start_refused(error: &EngineError) -> Result<Phase<()>, Stop> {
    let words = error.to_string();
    match failure::explain(std::slice::from_ref(&words), "with an error") {
        Failed::Outage => Ok(Phase::Outage(Some(words))),
        Failed::ImageMissing { .. } => Err(Stop::failed(FailureReason::ComposeFailed, words)),
        Failed::For(Stop::Failed { reason, .. })
            if reason == FailureReason::ComposeFailed && !words.contains("already") =>
        {
            Err(Stop::failed(reason, words))
        }
        Failed::For(stop) => Err(stop),
    }
}
