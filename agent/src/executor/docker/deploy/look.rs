//! Looking at the engine for what is left to do.

use std::collections::{HashMap, HashSet};

use chrono::Utc;
use towline_shared::failpoint::reach;

use super::super::engine::Observed;
use super::super::stop::Stop;
use super::super::survey::{self, Left, Past, Wanted};
use super::{Deployment, Phase, hashes};

impl Deployment<'_, '_> {
    /// Looks at the engine for what is left to do, as soon as it answers.
    pub(super) async fn look_again(&mut self) -> Result<Left, Stop> {
        loop {
            if self
                .job
                .bounded(self.job.host.engine.ping())
                .await?
                .is_err()
            {
                self.engine_lost.get_or_insert_with(Utc::now);
                self.job.engine_back().await?;
            }
            if let Phase::Done(left) = self.survey().await? {
                return Ok(left);
            }
        }
    }

    /// What is left to do. Images come first: what runs is compared with them.
    async fn survey(&mut self) -> Result<Phase<Left>, Stop> {
        if let Phase::Outage(words) = self.settle().await? {
            self.mind_outage(words).await?;
            return Ok(Phase::Outage(None));
        }
        if let Phase::Outage(words) = self.build().await? {
            self.mind_outage(words).await?;
            return Ok(Phase::Outage(None));
        }
        let (wanted, containers) = match self.compared().await? {
            Phase::Done(compared) => compared,
            Phase::Outage(words) => return Ok(Phase::Outage(words)),
        };
        Ok(Phase::Done(survey::left(
            &self.model.services,
            &wanted,
            &containers,
            self.past(&self.watch.stopped()),
        )))
    }

    /// What the services must be made of, and what there is.
    pub(super) async fn compared(
        &mut self,
    ) -> Result<Phase<(HashMap<String, Wanted>, Vec<Observed>)>, Stop> {
        let home = self.job.folder.files();
        let hashes = hashes(&self.compose, &home, &home, &self.model.text);
        let hashes = self.job.bounded(hashes).await??;
        reach("agent: hashed the services");
        let containers = match self.observe().await? {
            Ok(containers) => containers,
            Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
            Err(error) => return Err(error.into()),
        };
        let mut wanted = HashMap::new();
        for service in &self.model.services {
            let image_id = match self
                .job
                .bounded(self.job.host.engine.image_id(&service.image))
                .await?
            {
                Ok(image_id) => image_id,
                Err(error) if error.is_outage() => return Ok(Phase::Outage(None)),
                Err(error) => return Err(error.into()),
            };
            reach("agent: looked for an image");
            let hash = hashes.get(&service.name).cloned().unwrap_or_default();
            wanted.insert(service.name.clone(), Wanted { hash, image_id });
        }
        Ok(Phase::Done((wanted, containers)))
    }

    pub(super) fn past<'s>(&self, stopped: &'s HashSet<String>) -> Past<'s> {
        Past {
            began: self.job.limits.began,
            engine_lost: self.engine_lost,
            booted: survey::boot_time(),
            stopped,
        }
    }
}
