//! What happens in the engine, as it happens.

use std::collections::HashMap;

use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::{Stream, StreamExt as _};

use super::super::labels;
use super::{Engine, EngineError};

/// Something happened to a container of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) struct EngineEvent {
    pub container: String,
    /// What its lines are called in the log.
    pub source: String,
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) enum EventKind {
    Started,
    /// It was sent a signal, by the engine's own end too.
    Signalled,
    /// Its health, or something else that is worth a look.
    Changed,
}

impl Engine {
    /// The events of a compose project's containers from `since` (Unix seconds) on. It ends, with
    /// an error or without, when the engine goes away.
    pub async fn events(
        &self,
        project: &str,
        since: i64,
    ) -> Result<impl Stream<Item = Result<EngineEvent, EngineError>> + Send + use<>, EngineError>
    {
        let filters = HashMap::from([
            ("type", vec!["container".to_owned()]),
            ("label", vec![labels::of_project(project)]),
            (
                "event",
                ["start", "die", "kill", "health_status", "oom", "destroy"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
        ]);
        let options = EventsOptionsBuilder::new()
            .since(&since.to_string())
            .filters(&filters)
            .build();
        let client = self.client().await?;
        let engine = self.clone();
        Ok(client.events(Some(options)).map(move |event| {
            let event = event.map_err(|error| engine.explain(&error))?;
            let actor = event.actor.unwrap_or_default();
            let attributes = actor.attributes.unwrap_or_default();
            let attribute = |name: &str| attributes.get(name).map_or("", String::as_str);
            Ok(EngineEvent {
                container: actor.id.unwrap_or_default(),
                source: labels::source(attribute(labels::SERVICE), attribute(labels::NUMBER)),
                kind: match event.action.as_deref() {
                    Some("start") => EventKind::Started,
                    Some("kill") => EventKind::Signalled,
                    _ => EventKind::Changed,
                },
            })
        }))
    }
}
