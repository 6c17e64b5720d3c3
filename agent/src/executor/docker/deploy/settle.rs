//! Images that are settled already: each is on the host, under a name that leads to it, before anything is applied.
//!
//! A reference that names the image still stays, so that compose finds the service unchanged. Otherwise the image runs
//! under a name of our own: a tag that somebody has moved is theirs, and other projects may want what it names today.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::json;
use towline_shared::outcome::FailureReason;
use towline_shared::spec::PinnedImage;

use super::super::engine::{EngineError, Observed};
use super::super::kept;
use super::super::model::Model;
use super::super::push::Pushed;
use super::super::stop::Stop;
use super::{Attention, Deployment, Phase, Settled};

/// How many digests of an image are told: it may have as many as names.
const TOLD_DIGESTS: usize = 8;

/// The model, judged as it was resolved, without builds of what is settled.
pub(super) fn judged(model: Arc<Model>, pins: &[PinnedImage]) -> Arc<Model> {
    if pins.is_empty() {
        return model;
    }
    let services = model.services.iter();
    let settled = services.filter(|service| pins.iter().any(|pin| pin.service == service.name));
    let names = settled.map(|service| (service.name.clone(), service.image.clone()));
    Arc::new(model.with_images(&names.collect()))
}

impl Deployment<'_, '_> {
    /// Brings the images that are settled to the host, as far as it does not have them.
    pub(super) async fn settle(&mut self) -> Result<Phase<()>, Stop> {
        if self.settled == Settled::Done {
            return Ok(Phase::Done(()));
        }
        let mut names = HashMap::new();
        for pin in self.pins {
            let services = &mut self.model.services.iter();
            let Some(service) = services.find(|service| service.name == pin.service) else {
                continue;
            };
            let reference = service.reference.clone();
            match self.name_of(pin, &reference).await? {
                Phase::Done(name) => names.insert(pin.service.clone(), name),
                Phase::Outage(words) => return Ok(Phase::Outage(words)),
            };
        }
        if !names.is_empty() {
            self.model = Arc::new(self.model.with_images(&names));
        }
        self.settled = Settled::Done;
        Ok(Phase::Done(()))
    }

    /// A name on this host that leads to the very image.
    async fn name_of(&mut self, pin: &PinnedImage, reference: &str) -> Result<Phase<String>, Stop> {
        match self.has(pin).await? {
            Phase::Done(true) => {}
            Phase::Done(false) => {
                if let Phase::Outage(words) = self.pull(pin, reference).await? {
                    return Ok(Phase::Outage(words));
                }
            }
            Phase::Outage(words) => return Ok(Phase::Outage(words)),
        }
        let engine = self.job.host.engine.clone();
        let named = match tried(self.job.bounded(engine.image_id(reference)).await?)? {
            Phase::Done(named) => named,
            Phase::Outage(words) => return Ok(Phase::Outage(words)),
        };
        if named.as_ref() == Some(&pin.id) {
            return Ok(Phase::Done(reference.to_owned()));
        }
        let (name, tag) = kept::name(self.job.project, &pin.service, &pin.id);
        let tagged = self.job.bounded(engine.tag(&pin.id, &name, &tag)).await?;
        if let Phase::Outage(words) = tried(tagged)? {
            return Ok(Phase::Outage(words));
        }
        let note = format!(
            "{} runs the image that {reference} named then ({}); today that names another",
            pin.service,
            short(&pin.id)
        );
        self.job.note(&note).await;
        Ok(Phase::Done(format!("{name}:{tag}")))
    }

    async fn has(&self, pin: &PinnedImage) -> Result<Phase<bool>, Stop> {
        let image = self.job.host.engine.image_id(&pin.id);
        Ok(match tried(self.job.bounded(image).await?)? {
            Phase::Done(image) => Phase::Done(image.is_some()),
            Phase::Outage(words) => Phase::Outage(words),
        })
    }

    /// Takes an image from a registry by its digest, which stands for its content; what comes must be it.
    async fn pull(&mut self, pin: &PinnedImage, reference: &str) -> Result<Phase<()>, Stop> {
        let policy = &self.job.host.policy;
        let digests = pin.digests.iter();
        let allowed: Vec<String> = digests
            .filter(|digest| digest.contains("@sha256:") && policy.allows_image(digest))
            .cloned()
            .collect();
        for digest in &allowed {
            let note = format!(
                "{} ran {reference} as {digest}, which this host has no more; pulling it",
                pin.service
            );
            self.job.note(&note).await;
            "`docker compose pull` to end".clone_into(&mut self.job.waiting_for);
            let model = json!({
                "name": self.job.project,
                "services": { &pin.service: { "image": digest } },
            });
            let model = model.to_string().into_bytes();
            let ended = self
                .compose_on(&model, &["pull"], Attention::Output)
                .await?;
            if ended.failure().is_some() && self.is_engine_gone().await? {
                return Ok(Phase::Outage(None));
            }
            match self.has(pin).await? {
                Phase::Done(true) => return Ok(Phase::Done(())),
                Phase::Done(false) => {}
                Phase::Outage(words) => return Ok(Phase::Outage(words)),
            }
        }
        Err(absent(pin, reference, &allowed))
    }

    /// Refuses what runs if it is not what is settled: a tag may be moved while compose works.
    pub(super) fn check_images(&self, containers: &[Observed]) -> Result<(), Stop> {
        let pinned = self.pins.iter().flat_map(|pin| {
            let of_service = containers
                .iter()
                .filter(|container| container.service == pin.service);
            of_service.map(move |container| (pin, container))
        });
        let mut others = pinned.filter(|(pin, container)| pin.id != container.image_id);
        match others.next() {
            None => Ok(()),
            Some((pin, container)) => Err(Stop::failed(
                FailureReason::ComposeFailed,
                format!(
                    "{} runs {} and not {}, which the release has for {}: somebody has moved that name meanwhile; try again",
                    container.source, container.image_id, pin.id, pin.reference
                ),
            )),
        }
    }

    /// The image that each service runs, with all by which it is known.
    pub(super) async fn ran(&self, containers: &[Observed]) -> Result<Vec<PinnedImage>, Stop> {
        let mut ran = Vec::new();
        for service in &self.model.services {
            let mut of_service = containers.iter();
            let container = of_service.find(|container| container.service == service.name);
            let Some(container) = container else { continue };
            let image = self.job.host.engine.image(&container.image_id);
            // Without them a later release still finds the image on this host.
            let found = self.job.bounded(image).await?.ok().flatten();
            let found = found.map(|image| image.digests).unwrap_or_default();
            let pins = self.pins.iter().filter(|pin| pin.id == container.image_id);
            let known = pins.flat_map(|pin| pin.digests.iter().cloned());
            let mut digests: Vec<String> = found.into_iter().chain(known).collect();
            digests.retain(|digest| !kept::is_ours(digest));
            digests.sort();
            digests.dedup();
            digests.truncate(TOLD_DIGESTS - 1);
            ran.push(PinnedImage {
                service: service.name.clone(),
                reference: service.reference.clone(),
                id: container.image_id.clone(),
                digests,
            });
        }
        Pushed::of(self.job).tell(&mut ran);
        Ok(ran)
    }
}

/// An answer of the engine; that it is away is no failure yet.
fn tried<T>(answer: Result<T, EngineError>) -> Result<Phase<T>, Stop> {
    match answer {
        Ok(answer) => Ok(Phase::Done(answer)),
        Err(error) if error.is_outage() => Ok(Phase::Outage(Some(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

fn absent(pin: &PinnedImage, reference: &str, asked: &[String]) -> Stop {
    let known = match (pin.digests.as_slice(), asked) {
        ([], _) => "it was built here or loaded by hand, so that no registry has it; build it again from the files of \
                    then, and deploy them"
            .to_owned(),
        (digests, []) => format!(
            "and the host's policy allows no registry that has it ({}; rule registries)",
            digests.join(", ")
        ),
        (_, asked) => format!(
            "and {} did not give it (see above); push it there again and retry, or deploy the present files",
            asked.join(", ")
        ),
    };
    let message = format!(
        "the image of service `{}` is not to be had any more: {reference} was {} then, which this host has no more; {known}",
        pin.service, pin.id
    );
    Stop::failed(FailureReason::ComposeFailed, message)
}

fn short(id: &str) -> &str {
    let end = id.len().min("sha256:".len() + 12);
    id.get(..end).unwrap_or(id)
}
