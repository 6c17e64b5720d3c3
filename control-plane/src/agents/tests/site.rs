//! A control plane of one test: a store in a folder of its own, a listener, a team with a project.

use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use towline_pki::tls::{LiveServerConfig, agent_listener_config};
use towline_pki::{AgentCsr, AgentIdentity, AgentKey, TrustRoots};
use towline_shared::enrolment::EnrolRequest;
use towline_shared::ids::{AgentId, DeploymentId, JobId, ProjectId};
use towline_shared::spec::{FileMode, ProjectFile};

use super::super::listener::serve_at;
use super::super::registry::Registry;
use super::super::session::House;
use super::{KERNEL_BUFFER, Pace};
use crate::domain::cluster::Insistence;
use crate::egress::Egress;
use crate::install::Binaries;
use crate::job::JobState;
use crate::ops::{self, NewDeployment};
use crate::relay::{self, Layers};
use crate::store::db::one;
use crate::store::{
    AgentStatus, DatabaseConfig, Deployment, NewEnrolmentToken, Store, StoreError, Tenant, agents,
    certificates,
};
use crate::vault::Vault;

pub struct Site {
    pub store: Store,
    pub registry: Registry,
    pub address: SocketAddr,
    pub tls: Arc<LiveServerConfig>,
    pub tenant: Tenant,
    pub stop: CancellationToken,
    project: ProjectId,
    folder: Arc<tempfile::TempDir>,
}

/// A host that was enrolled.
#[derive(Clone)]
pub struct Host {
    pub agent: AgentId,
    pub name: &'static str,
    pub identity: AgentIdentity,
    pub roots: TrustRoots,
}

impl Site {
    pub async fn open() -> Self {
        Self::open_at(Pace::default()).await
    }

    pub async fn open_at(pace: Pace) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::load_or_create(folder.path(), None).unwrap();
        let config = DatabaseConfig {
            data_dir: folder.path().to_owned(),
            url: None,
            connections: 4,
        };
        let store = Store::open(&config, vault).await.unwrap();
        store.ensure_authority().await.unwrap();
        let secret = store
            .ensure_setup_link()
            .await
            .unwrap()
            .expect("nobody is set up");
        let set_up = ops::complete_setup(&store, &secret, "ada@example.com", "Ada", None)
            .await
            .unwrap();
        let tenant = store
            .authenticate(&set_up.api_key.key)
            .await
            .unwrap()
            .expect("the first key");
        let project = store.create_project(&tenant, "shop").await.unwrap().id;
        store
            .put_files(&tenant, project, vec![compose_file()])
            .await
            .unwrap();

        Self::serve(store, tenant, project, pace, Arc::new(folder)).await
    }

    /// Another listener with a registry of its own, on the same store.
    pub async fn replica(&self) -> Self {
        let (store, tenant) = (self.store.clone(), self.tenant.clone());
        let folder = Arc::clone(&self.folder);
        Self::serve(store, tenant, self.project, Pace::default(), folder).await
    }

    async fn serve(
        store: Store,
        tenant: Tenant,
        project: ProjectId,
        pace: Pace,
        folder: Arc<tempfile::TempDir>,
    ) -> Self {
        let listener = listener().unwrap();
        let address = listener.local_addr().unwrap();
        let authority = store.server_authority().await.unwrap();
        let day = TimeDelta::days(1);
        let certificate = authority
            .issue_server(&["127.0.0.1"], Utc::now(), day)
            .unwrap();
        let roots = store.trust_roots().await.unwrap();
        let config = agent_listener_config(&certificate, &roots).unwrap();
        let tls = Arc::new(LiveServerConfig::new(config));
        let (registry, stop) = (Registry::new(), CancellationToken::new());
        let house = House {
            store: store.clone(),
            registry: registry.clone(),
            relay: relay::Door::new(
                Layers::new(folder.path()),
                Binaries::new(folder.path().join("agents")),
                stop.clone(),
            ),
            pace,
        };
        tokio::spawn(serve_at(listener, Arc::clone(&tls), house, stop.clone()));
        Self {
            store,
            registry,
            address,
            tls,
            tenant,
            stop,
            project,
            folder,
        }
    }

    pub async fn enrol(&self, name: &'static str) -> Host {
        let new = NewEnrolmentToken {
            name: name.into(),
            ttl: TimeDelta::minutes(5),
            address: "https://127.0.0.1:8443".into(),
        };
        let minted = self
            .store
            .create_enrolment_token(&self.tenant, new)
            .await
            .unwrap();
        let key = AgentKey::generate().unwrap();
        let request = EnrolRequest {
            secret: minted.token.secret.reveal().to_string(),
            csr: key.csr_pem().unwrap(),
            hostname: name.into(),
            version: "0.1.0".into(),
        };
        let enrolled = ops::enroll(&self.store, &request, &self.address.to_string())
            .await
            .unwrap();
        Host {
            agent: enrolled.agent,
            name,
            identity: AgentIdentity::new(&enrolled.certificate, &key).unwrap(),
            roots: TrustRoots::from_pem(&enrolled.roots).unwrap(),
        }
    }

    /// Another certificate for a host, valid as long as wished, in the database or not.
    pub async fn certify(&self, host: &Host, lifetime: TimeDelta, recorded: Recorded) -> Host {
        let key = AgentKey::generate().unwrap();
        let csr = AgentCsr::parse(&key.csr_der().unwrap()).unwrap();
        let authority = self.store.agent_authority().await.unwrap();
        let leaf = authority
            .issue_agent(&csr, host.agent.uuid(), Utc::now(), lifetime)
            .unwrap();
        if recorded == Recorded::Yes {
            let mut tx = self.store.main().begin().await.unwrap();
            certificates::insert(&mut tx, host.agent, &leaf, Utc::now())
                .await
                .unwrap();
            tx.commit().await.unwrap();
        }
        Host {
            identity: AgentIdentity::new(&leaf.pem, &key).unwrap(),
            ..host.clone()
        }
    }

    fn wish(&self, host: &Host) -> NewDeployment {
        NewDeployment {
            project: self.project,
            target: host.name.into(),
            environment: None,
            settle_ms: None,
            deadline_s: None,
            interruption: None,
            branch: None,
            commit: None,
            on_failure: None,
            build_on: None,
            insistence: Insistence::default(),
        }
    }

    pub async fn deploy(&self, host: &Host) -> DeploymentId {
        let new = self.wish(host);
        ops::deploy(&self.store, &Egress::closed(), &self.tenant, new, None)
            .await
            .unwrap()
            .id
    }

    /// Asks for a deployment whose images another host builds.
    pub async fn deploy_built(&self, host: &Host, builder: &Host) -> Deployment {
        let text = "services:\n  web:\n    build: .\n";
        let file = ProjectFile {
            content: text.into(),
            ..compose_file()
        };
        let put = self.store.put_files(&self.tenant, self.project, vec![file]);
        put.await.unwrap();
        let new = NewDeployment {
            build_on: Some(builder.name.into()),
            ..self.wish(host)
        };
        ops::deploy(&self.store, &Egress::closed(), &self.tenant, new, None)
            .await
            .unwrap()
    }

    /// Gives the project a large file besides.
    pub async fn grow_project(&self, bytes: usize) {
        let file = ProjectFile {
            path: "data".into(),
            content: vec![7; bytes],
            mode: FileMode::Regular,
        };
        self.store
            .put_files(&self.tenant, self.project, vec![compose_file(), file])
            .await
            .unwrap();
    }

    pub async fn deployment(&self, id: DeploymentId) -> Deployment {
        self.store.deployment(&self.tenant, id).await.unwrap()
    }

    pub async fn state(&self, id: DeploymentId) -> JobState {
        self.deployment(id).await.status
    }

    pub async fn status(&self, host: &Host) -> AgentStatus {
        self.store
            .agent(&self.tenant, host.agent)
            .await
            .unwrap()
            .status
    }

    pub async fn revoke(&self, host: &Host) {
        ops::revoke(&self.store, &self.tenant, host.agent)
            .await
            .unwrap();
    }

    /// As another server does it whose word does not get through.
    pub async fn revoke_in_silence(&self, host: &Host) {
        let mut tx = self.store.main().begin().await.unwrap();
        let now = tx.now().await.unwrap();
        agents::revoke(&mut tx, &self.tenant, host.agent, now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// When a job's lease ends.
    pub async fn lease(&self, job: JobId) -> Option<DateTime<Utc>> {
        let mut reader = self.store.main().read().await.unwrap();
        let sql = "SELECT lease_expires_at FROM jobs WHERE id = $1";
        let read = async {
            Ok::<_, StoreError>(one!(
                reader.conn(),
                (Option<DateTime<Utc>>,),
                sql,
                job.uuid()
            )?)
        };
        read.await.unwrap().0
    }

    pub async fn log_texts(&self, id: DeploymentId) -> Vec<String> {
        let page = self
            .store
            .log_range(&self.tenant, id, 0, 1000)
            .await
            .unwrap();
        page.lines.into_iter().map(|(_, line)| line.text).collect()
    }
}

fn compose_file() -> ProjectFile {
    let compose = "services:\n  web:\n    image: shop:1\n";
    ProjectFile {
        path: "compose.yaml".into(),
        content: compose.into(),
        mode: FileMode::Regular,
    }
}

/// Whether the database knows a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    Yes,
    No,
}

/// When a host's certificate ends.
pub fn expiry(host: &Host) -> DateTime<Utc> {
    host.identity.peer().unwrap().not_after
}

/// A listener whose kernel holds little of what a peer does not read; else it takes megabytes.
fn listener() -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_send_buffer_size(KERNEL_BUFFER)?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(64)
}
