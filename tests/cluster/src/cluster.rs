//! A cluster that runs in this process.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    access::Access,
    bootstrap, bulk,
    containers::Containers,
    controllers,
    controls::{Controls, Failure, RequestKind},
    kinds::Kinds,
    serve::serve,
    settings::{MetricsServer, Settings},
    state::{Shared, State},
    store::Store,
    tls,
};

/// A cluster; it ends when this is dropped.
#[derive(Debug)]
pub struct Cluster {
    shared: Arc<Shared>,
    url: String,
    authority: String,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Cluster {
    /// Starts one on this runtime; it listens when this returns.
    ///
    /// # Errors
    /// The address cannot be listened at, or no certificate can be made.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let (config, authority) = tls::make()?;
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("listening at {}", settings.listen))?;
        let url = format!("https://{}", listener.local_addr()?);
        let mut kinds = Kinds::built_in();
        if settings.metrics == MetricsServer::Present {
            kinds.add_metrics();
        }
        let shared = Arc::new(Shared::new(State {
            store: Store::default(),
            kinds,
            access: Access::new(),
            controls: Controls::default(),
            containers: Containers::default(),
            settings,
            authority: authority.clone(),
        }));
        shared.with(bootstrap::fill);
        let tasks = vec![
            tokio::spawn(serve(Arc::clone(&shared), listener, config)),
            tokio::spawn(controllers::run(Arc::clone(&shared))),
        ];
        Ok(Self {
            shared,
            url,
            authority,
            tasks,
        })
    }

    /// `https://127.0.0.1:…`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The certificate of the authority that the server's hangs on, as PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The token of the admin, who may do everything.
    pub fn admin_token(&self) -> String {
        self.shared.with(|state| state.access.admin().to_owned())
    }

    /// A kubeconfig (as JSON, which is YAML) of the admin.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig_of(&self.admin_token())
    }

    /// A kubeconfig of whoever has the token.
    pub fn kubeconfig_of(&self, token: &str) -> String {
        let authority = STANDARD.encode(&self.authority);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "preferences": {},
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority-data": authority}}],
            "users": [{"name": "test", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "default"}}],
        });
        format!("{config:#}\n")
    }

    /// A token of a service account, which ends with the account.
    pub fn service_account_token(&self, namespace: &str, name: &str) -> String {
        let issued = self.shared.with(|state| {
            state
                .access
                .issue(&state.store, namespace, name, &json!({}))
        });
        issued["token"].as_str().unwrap_or_default().to_owned()
    }

    /// Ends all tokens of a service account after so long.
    pub fn expire_tokens(&self, namespace: &str, name: &str, left: Duration) {
        self.shared
            .with(|state| state.access.expire(namespace, name, left));
    }

    /// The requests since the last mark.
    pub fn requests(&self) -> BTreeMap<RequestKind, usize> {
        self.shared.with(|state| state.controls.counts())
    }

    /// Counts requests from nothing again.
    pub fn mark(&self) {
        self.shared.with(|state| state.controls.mark());
    }

    /// Cuts all connections, and takes none for so long.
    pub fn away(&self, time: Duration) {
        self.shared.go_away(time);
    }

    /// Answers requests with a failure instead.
    pub fn fail(&self, failure: Failure) {
        self.shared.with(|state| state.controls.fail(failure));
    }

    /// Delays each request by so long.
    pub fn delay(&self, latency: Duration) {
        self.shared.with(|state| state.controls.delay(latency));
    }

    /// Forgets the history: watches end with 410, and older revisions are expired.
    pub fn compact(&self) {
        self.shared.with(|state| state.store.compact());
    }

    /// Adds lines to what a container has written.
    pub fn write_log(&self, namespace: &str, pod: &str, container: &str, words: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        self.shared.with(|state| state.containers.add(key, words));
        self.shared.wake();
    }

    /// Takes away what a container has written so far, as a rotation does.
    pub fn rotate_log(&self, namespace: &str, pod: &str, container: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        self.shared.with(|state| state.containers.rotate(&key));
    }

    /// Ends a container with code 1, so that it is started again.
    pub fn restart_container(&self, namespace: &str, pod: &str, container: &str) {
        let key = (namespace.to_owned(), pod.to_owned(), container.to_owned());
        self.shared.with(|state| state.containers.restart(key));
        self.shared.wake();
    }

    /// Serves `metrics.k8s.io` from now on.
    pub fn serve_metrics(&self) {
        self.shared.with(|state| state.kinds.add_metrics());
    }

    /// Sets what a node or pod uses: processor (`250m`) and memory (`64Mi`).
    pub fn use_resources(&self, name: &str, cpu: &str, memory: &str) {
        self.shared
            .with(|state| state.controls.use_resources(name, cpu, memory));
    }

    /// Makes so many pods `bulk-0` … that run, and that nothing simulates.
    ///
    /// # Errors
    /// There is no such namespace.
    pub fn fill(&self, namespace: &str, pods: usize) -> anyhow::Result<()> {
        let made = self.shared.with(|state| bulk::pods(state, namespace, pods));
        made.map_err(|refusal| anyhow::anyhow!(refusal.message))
    }
}
