//! Waiting until the services run.

use std::sync::Arc;

use chrono::TimeDelta;
use towline_shared::outcome::Step;

use super::super::engine::Observed;
use super::super::model::Service;
use super::super::stop::Stop;
use super::super::survey;
use super::super::verdict::{self, Standing};
use super::{Deployment, Phase};

impl Deployment<'_, '_> {
    /// Waits for the verdict; success needs every service to run as it should.
    pub(super) async fn verify(&mut self) -> Result<Phase<Vec<Observed>>, Stop> {
        self.job.task.progress.begin(Step::Verifying).await?;
        let model = Arc::clone(&self.model);
        let standing = self.stand(&model.services).await?;
        if let Phase::Done(containers) = &standing {
            self.job.bounded(self.watch.drain(containers)).await?;
        }
        Ok(standing)
    }

    /// Waits for the verdict on these services. What gives way is not judged.
    pub(super) async fn stand(
        &mut self,
        services: &[Service],
    ) -> Result<Phase<Vec<Observed>>, Stop> {
        let since = self.recovering_since().await?;
        let settle = TimeDelta::milliseconds(i64::from(self.deploy.settle_ms));
        loop {
            let containers = match self.standing().await? {
                Phase::Done(containers) => containers,
                Phase::Outage(words) => return Ok(Phase::Outage(words)),
            };
            self.watch.follow(&containers);
            if let Some(source) = self.stopped(&containers) {
                return Ok(Phase::Outage(Some(format!(
                    "{source} was stopped by somebody else during the deploy"
                ))));
            }
            let terms = self.terms(settle, since);
            match verdict::judge(services, &containers, terms) {
                Standing::Ready => return Ok(Phase::Done(containers)),
                Standing::Failed(failure) => return Err(self.tell(failure).await),
                Standing::Wait { until, what } => {
                    self.job.waiting_for = what;
                    self.wait(until).await?;
                }
            }
        }
    }

    /// A container that has ended, but not by itself: so an engine that ends treats them all.
    fn stopped(&self, containers: &[Observed]) -> Option<String> {
        let stopped = self.watch.stopped();
        let is_stopped = |container: &&Observed| {
            let service = self
                .model
                .services
                .iter()
                .find(|service| service.name == container.service);
            service.is_some_and(|service| survey::was_stopped(container, service.duty, &stopped))
        };
        containers
            .iter()
            .find(is_stopped)
            .map(|container| container.source.clone())
    }
}
