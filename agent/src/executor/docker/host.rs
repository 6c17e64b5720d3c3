//! This host, as all its jobs share it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use towline_shared::policy::HostPolicy;
use towline_shared::protocol::v1::Plugin;

use super::engine::Engine;
use super::plugin::{ComposePlugin, install_hint};
use super::resolve::Models;
use super::{DockerConfig, EnginePlace};
use crate::access::Access;
use crate::relay::Relay;

/// What all jobs of this host share.
pub(super) struct Host {
    pub engine: Engine,
    pub place: EnginePlace,
    pub policy: HostPolicy,
    pub access: Access,
    pub state_dir: PathBuf,
    pub docker_config: PathBuf,
    pub relay: Relay,
    pub models: Models,
    /// One job at a time works on a compose project.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The plugin that was asked for its version, and its answer.
    asked: Mutex<Option<(Program, Plugin)>>,
}

/// A program at one state of its file.
type Program = (ComposePlugin, Option<SystemTime>);

impl Host {
    pub fn new(config: DockerConfig) -> Self {
        let shown = match &config.place {
            EnginePlace::Here => config.host.as_str(),
            EnginePlace::Elsewhere { url } => url,
        };
        Self {
            engine: Engine::new(&config.host, shown),
            place: config.place,
            policy: config.policy,
            access: config.access,
            state_dir: config.state_dir,
            docker_config: config.docker_config,
            relay: config.relay,
            models: Models::default(),
            busy: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// The compose plugin, looked for anew: it may be installed while the agent runs.
    pub fn plugin(&self) -> Option<ComposePlugin> {
        match &self.place {
            EnginePlace::Here => ComposePlugin::find(&self.docker_config),
            // The plugin is this machine's, its logins are not the host's.
            EnginePlace::Elsewhere { .. } => {
                ComposePlugin::find(&DockerConfig::default_docker_config())
            }
        }
    }

    /// The plugin's version; it is run only when its file has changed.
    pub async fn plugin_version(&self) -> Plugin {
        let Some(plugin) = self.plugin() else {
            return Plugin::Missing(format!(
                "docker compose is not installed; {}",
                install_hint()
            ));
        };
        let changed = plugin
            .path
            .metadata()
            .and_then(|metadata| metadata.modified())
            .ok();
        let program = (plugin, changed);
        let known = self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some((_, answer)) = known
            .filter(|(known, answer)| *known == program && matches!(answer, Plugin::Version(_)))
        {
            return answer;
        }
        let answer = program.0.version().await;
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((program, answer.clone()));
        answer
    }

    /// What a job holds while it works on a compose project.
    pub fn turn(&self, project: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(busy.entry(project.to_owned()).or_default())
    }
}
