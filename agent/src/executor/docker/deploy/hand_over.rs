//! Handing over: new containers run, and are well, before the old ones stop.
//!
//! Only what asks for it (`deploy.update_config.order: start-first`) and what can have two containers at a time. All that
//! is known of it is what the engine shows, so that an agent that died on the way goes on by looking: what is outdated
//! serves until what is wanted does. When that does not come up, it goes, and the old containers serve on.

use towline_shared::failpoint::reach;

use super::super::engine::Observed;
use super::super::handover::{self, Handover};
use super::super::model::{Service, Succession};
use super::super::stop::Stop;
use super::super::survey;
use super::{Deployment, Phase};

/// Whether a service has handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    Nothing,
    Over,
}

impl Deployment<'_, '_> {
    /// Replaces what serves, where that is asked for, without a moment in which nothing does.
    pub(super) async fn hand_over(&mut self) -> Result<Phase<Handed>, Stop> {
        let is_plain = |service: &Service| service.succession == Succession::StopFirst;
        if self.model.services.iter().all(is_plain) {
            return Ok(Phase::Done(Handed::Nothing));
        }
        let (wanted, containers) = match self.compared().await? {
            Phase::Done(compared) => compared,
            Phase::Outage(words) => return Ok(Phase::Outage(words)),
        };
        for why in handover::hindered(&self.model.services, &wanted, &containers) {
            self.job.note(&why).await;
        }
        let due = handover::due(&self.model.services, &wanted, &containers);
        if due.is_empty() {
            return Ok(Phase::Done(Handed::Nothing));
        }
        self.giving_way = due.iter().flat_map(|one| one.old.clone()).collect();
        let handed = self.hand_over_these(&due).await;
        let handed = match handed {
            Err(stop) => Err(self.serve_on(&due, stop).await),
            handed => handed,
        };
        self.giving_way.clear();
        handed
    }

    async fn hand_over_these(&mut self, due: &[Handover]) -> Result<Phase<Handed>, Stop> {
        let idle = due.iter().flat_map(|one| one.idle.clone()).collect();
        if let Phase::Outage(words) = self.take_away(idle).await? {
            return Ok(Phase::Outage(words));
        }
        if let Phase::Outage(words) = self.lay_foundations(due).await? {
            return Ok(Phase::Outage(words));
        }
        if let Phase::Outage(words) = self.make_beside(due).await? {
            return Ok(Phase::Outage(words));
        }
        let services: Vec<Service> = due.iter().map(|one| one.service.clone()).collect();
        if let Phase::Outage(words) = self.stand(&services).await? {
            return Ok(Phase::Outage(words));
        }
        let names: Vec<&str> = due.iter().map(|one| one.service.name.as_str()).collect();
        let note = format!(
            "the new containers of {} are up; stopping the old ones",
            names.join(", ")
        );
        self.job.note(&note).await;
        for id in self.giving_way.clone() {
            let stopped = self.job.host.engine.stop_container(&id);
            match self.job.bounded(stopped).await? {
                Ok(()) => reach("agent: stopped a former container"),
                Err(error) if error.is_outage() => {
                    return Ok(Phase::Outage(Some(error.to_string())));
                }
                Err(error) => return Err(error.into()),
            }
            if let Phase::Outage(words) = self.take_away(vec![id]).await? {
                return Ok(Phase::Outage(words));
            }
        }
        Ok(Phase::Done(Handed::Over))
    }

    /// Brings up what the new containers need, as usual.
    async fn lay_foundations(&mut self, due: &[Handover]) -> Result<Phase<()>, Stop> {
        let foundations = handover::foundations(&self.model.services, due);
        if foundations.is_empty() {
            return Ok(Phase::Done(()));
        }
        let mut arguments = vec!["create"];
        arguments.extend(foundations.iter().map(String::as_str));
        if let Phase::Outage(words) = self.have_compose(&arguments).await? {
            return Ok(Phase::Outage(words));
        }
        self.start_made(foundations).await
    }

    /// Makes the new containers beside the old ones, and starts them.
    async fn make_beside(&mut self, due: &[Handover]) -> Result<Phase<()>, Stop> {
        let scales: Vec<String> = due.iter().map(Handover::scale).collect();
        let names: Vec<String> = due.iter().map(|one| one.service.name.clone()).collect();
        let mut arguments = vec!["create", "--no-recreate"];
        arguments.extend(scales.iter().flat_map(|scale| ["--scale", scale]));
        arguments.extend(names.iter().map(String::as_str));
        if let Phase::Outage(words) = self.have_compose(&arguments).await? {
            return Ok(Phase::Outage(words));
        }
        let needs = handover::needs_of(&self.model.services, &names);
        self.start_made([names, needs].concat()).await
    }

    /// Starts what is made of these services.
    async fn start_made(&mut self, names: Vec<String>) -> Result<Phase<()>, Stop> {
        let containers = match self.standing().await? {
            Phase::Done(containers) => containers,
            Phase::Outage(words) => return Ok(Phase::Outage(words)),
        };
        let services = self.model.services.iter();
        let services = services.filter(|service| names.contains(&service.name));
        let services: Vec<Service> = services.cloned().collect();
        let made = survey::made(&services, &containers, self.past(&self.watch.stopped()));
        self.start(&made).await
    }

    async fn take_away(&self, containers: Vec<String>) -> Result<Phase<()>, Stop> {
        for id in containers {
            let removed = self.job.host.engine.remove_container(&id);
            match self.job.bounded(removed).await? {
                Ok(()) => reach("agent: took a former container away"),
                Err(error) if error.is_outage() => {
                    return Ok(Phase::Outage(Some(error.to_string())));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Phase::Done(()))
    }

    /// Takes away what has not come up, whatever has ended it; what served before does so still.
    async fn serve_on(&self, due: &[Handover], stop: Stop) -> Stop {
        let engine = &self.job.host.engine;
        let is_new = |container: &&Observed| {
            let mut due = due.iter();
            due.any(|one| one.service.name == container.service)
                && !self.giving_way.contains(&container.id)
        };
        let mut result = Ok(());
        match engine.observe(self.job.project).await {
            Ok(containers) => {
                for container in containers.iter().filter(is_new) {
                    result = result.and(engine.remove_container(&container.id).await);
                }
            }
            Err(error) => result = Err(error),
        }
        let serving = "the old containers keep serving";
        let note = match result {
            Ok(()) => format!("{serving}; the new ones were taken away"),
            Err(error) => format!("{serving}; the new ones could not be taken away: {error}"),
        };
        self.job.note(&note).await;
        stop
    }
}
