//! A cluster, as all its jobs share it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;
use towline_shared::policy::{Rule, Violation};

use super::KubernetesConfig;
use super::api::Api;
use super::at::Kind;
use super::error::ApiError;

/// What all jobs of a cluster share.
pub(super) struct Cluster {
    pub config: KubernetesConfig,
    api: OnceCell<Api>,
    /// The kinds that it serves, by group and version, as far as they were asked for.
    kinds: Mutex<HashMap<String, Vec<Arc<Kind>>>>,
    /// One job at a time works on a project.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Cluster {
    pub fn new(config: KubernetesConfig) -> Self {
        Self {
            config,
            api: OnceCell::new(),
            kinds: Mutex::default(),
            busy: Mutex::default(),
        }
    }

    /// Its API. How it is reached is read when it is first needed, and again while that fails.
    pub async fn api(&self) -> Result<Api, ApiError> {
        let api = self.api.get_or_try_init(|| async {
            let (api, _) = Api::new(&self.config.access).await?;
            Ok::<_, ApiError>(api)
        });
        Ok(api.await?.clone())
    }

    /// A kind that it serves; nothing where it serves none of that name.
    pub async fn kind(&self, api_version: &str, kind: &str) -> Result<Option<Arc<Kind>>, ApiError> {
        if let Some(known) = self.known(api_version, kind) {
            return Ok(Some(known));
        }
        let listed = self.api().await?.kinds(api_version).await?;
        let listed = listed.into_iter().map(Arc::new).collect();
        self.lock().insert(api_version.to_owned(), listed);
        Ok(self.known(api_version, kind))
    }

    fn known(&self, api_version: &str, kind: &str) -> Option<Arc<Kind>> {
        let kinds = self.lock();
        let listed = kinds.get(api_version)?;
        listed.iter().find(|known| known.kind == kind).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Arc<Kind>>>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether jobs may work in a namespace, or why not.
    pub fn check_namespace(&self, namespace: &str) -> Option<Violation> {
        if self.config.home.as_deref() == Some(namespace) {
            return Some(Violation {
                path: "metadata.namespace".to_owned(),
                rule: Rule::Namespaces,
                message: format!(
                    "the namespace {namespace} is the agent's own, in which no job works; take another"
                ),
            });
        }
        let own = &self.config.namespace;
        self.config.cluster.check_namespace(own, namespace)
    }

    /// The namespaces that jobs may work in; one that is none stands for all.
    pub fn namespaces(&self) -> Vec<Option<String>> {
        let listed = &self.config.cluster.namespaces;
        if listed.iter().any(|name| name == "*") {
            return vec![None];
        }
        let mut names: Vec<String> = listed.clone();
        names.push(self.config.namespace.clone());
        names.sort();
        names.dedup();
        names.into_iter().map(Some).collect()
    }

    /// What a job holds while it works on a project.
    pub fn turn(&self, project: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(busy.entry(project.to_owned()).or_default())
    }
}
