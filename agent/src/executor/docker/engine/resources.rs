//! What a compose project leaves in the engine, and taking it away.

use std::collections::HashMap;
use std::time::Duration;

use bollard::query_parameters::{
    ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, StartContainerOptions, StopContainerOptions,
};

use super::super::labels;
use super::{Engine, EngineError};

/// The longest time that an engine may take to stop a container: its project may want it to have very long.
const STOP_TIMEOUT: Duration = Duration::from_hours(1);

/// A network or volume of a project.
#[derive(Clone, Debug)]
pub(in crate::executor::docker) struct Resource {
    pub name: String,
    pub labels: HashMap<String, String>,
}

impl Engine {
    pub async fn networks(&self, project: &str) -> Result<Vec<Resource>, EngineError> {
        let filters = HashMap::from([("label", vec![labels::of_project(project)])]);
        let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
        let client = self.client().await?;
        let networks = self.call(client.list_networks(Some(options))).await?;
        let resource = |network: bollard::models::Network| Resource {
            name: network.name.unwrap_or_default(),
            labels: network.labels.unwrap_or_default(),
        };
        Ok(networks.into_iter().map(resource).collect())
    }

    pub async fn volumes(&self, project: &str) -> Result<Vec<Resource>, EngineError> {
        let filters = HashMap::from([("label", vec![labels::of_project(project)])]);
        let options = ListVolumesOptionsBuilder::new().filters(&filters).build();
        let client = self.client().await?;
        let volumes = self.call(client.list_volumes(Some(options))).await?;
        let resource = |volume: bollard::models::Volume| Resource {
            name: volume.name,
            labels: volume.labels,
        };
        Ok(volumes
            .volumes
            .unwrap_or_default()
            .into_iter()
            .map(resource)
            .collect())
    }

    pub async fn start_container(&self, id: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        self.call(client.start_container(id, None::<StartContainerOptions>))
            .await
    }

    /// Stops a container as it wants to be stopped: by its own signal, within its own time.
    pub async fn stop_container(&self, id: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        let stopped = client.stop_container(id, None::<StopContainerOptions>);
        absent_is_fine(self.limited(STOP_TIMEOUT, stopped).await)
    }

    pub async fn remove_container(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let client = self.client().await?;
        absent_is_fine(self.call(client.remove_container(id, Some(options))).await)
    }

    pub async fn remove_network(&self, name: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        absent_is_fine(self.call(client.remove_network(name)).await)
    }

    pub async fn remove_volume(&self, name: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        absent_is_fine(
            self.call(client.remove_volume(name, None::<RemoveVolumeOptions>))
                .await,
        )
    }
}

fn absent_is_fine(result: Result<(), EngineError>) -> Result<(), EngineError> {
    match result {
        Err(error) if error.is_absent() => Ok(()),
        result => result,
    }
}
