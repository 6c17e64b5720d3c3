//! Doing what is left to do.

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::failpoint::reach;
use towline_shared::outcome::FailureReason;

use super::super::engine::{EngineError, Observed};
use super::super::failure::{self, Failed};
use super::super::model::Source;
use super::super::stop::Stop;
use super::super::survey::{self, Left};
use super::super::verdict::{self, Failure, Standing};
use super::hand_over::Handed;
use super::{Attention, Deployment, Phase};

impl Deployment<'_, '_> {
    pub(super) async fn apply(&mut self, left: &Left) -> Result<Phase<()>, Stop> {
        match left {
            Left::Nothing => Ok(Phase::Done(())),
            Left::Start(containers) => self.start(containers).await,
            Left::Everything | Left::Make => match (self.hand_over().await?, left) {
                (Phase::Outage(words), _) => Ok(Phase::Outage(words)),
                (Phase::Done(Handed::Nothing), Left::Everything) => self.apply_all().await,
                (Phase::Done(_), _) => self.make_and_start().await,
            },
        }
    }

    /// Compose would give up at once where something waits for a service that is unhealthy already;
    /// this deploy may bring what that one lacks.
    async fn apply_all(&mut self) -> Result<Phase<()>, Stop> {
        let began = self.job.limits.began;
        match self.observe().await? {
            Ok(containers)
                if containers
                    .iter()
                    .any(|container| container.was_unhealthy_before(began)) =>
            {
                self.make_and_start().await
            }
            Ok(_) => {
                self.have_compose(&["up", "--detach", "--remove-orphans"])
                    .await
            }
            Err(error) if error.is_outage() => Ok(Phase::Outage(None)),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes what is missing by compose, and starts here what has not run yet, each in its turn.
    async fn make_and_start(&mut self) -> Result<Phase<()>, Stop> {
        if let Phase::Outage(words) = self.have_compose(&["create", "--remove-orphans"]).await? {
            return Ok(Phase::Outage(words));
        }
        let containers = match self.observe().await? {
            Ok(containers) => containers,
            Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
            Err(error) => return Err(error.into()),
        };
        let stopped = self.watch.stopped();
        let made = survey::made(&self.model.services, &containers, self.past(&stopped));
        self.start(&made).await
    }

    /// Has compose make containers, or make and start them.
    pub(super) async fn have_compose(&mut self, what: &[&str]) -> Result<Phase<()>, Stop> {
        self.job.waiting_for = format!("`docker compose {}` to end", what[0]);
        let arguments = [what, &["--no-build"]].concat();
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
        match self.failure(&own, Utc::now()) {
            Some(failure) if self.watch.stopped().contains(&failure.container) => {
                Ok(Phase::Outage(Some(failure.message)))
            }
            Some(failure) => Err(self.tell(failure).await),
            None => Err(stop),
        }
    }

    /// What cannot come up any more, given that the project is waited for since then.
    fn failure(&self, containers: &[Observed], since: DateTime<Utc>) -> Option<Failure> {
        let terms = self.terms(TimeDelta::zero(), since);
        match verdict::judge(&self.model.services, containers, terms) {
            Standing::Failed(failure) => Some(failure),
            Standing::Ready | Standing::Wait { .. } => None,
        }
    }

    /// Starts containers that are made already, each when what it needs is there.
    pub(super) async fn start(&mut self, containers: &[String]) -> Result<Phase<()>, Stop> {
        let since = self.recovering_since().await?;
        let mut left = containers.to_vec();
        while !left.is_empty() {
            let observed = match self.standing().await? {
                Phase::Done(observed) => observed,
                Phase::Outage(words) => return Ok(Phase::Outage(words)),
            };
            self.watch.follow(&observed);
            let others: Vec<Observed> = observed
                .iter()
                .filter(|container| !left.contains(&container.id))
                .cloned()
                .collect();
            if let Some(failure) = self.failure(&others, since) {
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
                Ok(()) => {
                    reach("agent: started a container");
                    left.retain(|id| *id != next.id);
                }
                Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
                Err(error) => return start_refused(&error),
            }
        }
        Ok(Phase::Done(()))
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
