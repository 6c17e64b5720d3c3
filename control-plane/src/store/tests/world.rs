//! An installation for a test, on either database.

use std::path::Path;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use towline_pki::{AgentKey, CertificateDer, PeerIdentity};
use towline_shared::enrolment::{EnrolRequest, Enrolled};
use towline_shared::ids::{AgentId, ProjectId, TargetId};
use towline_shared::outcome::Outcome;
use towline_shared::policy::HostPolicy;
use towline_shared::protocol::v1::{Attempt, Capabilities, Engine, Finished, Hello, Offer, Plugin};
use towline_shared::spec::{FileMode, ProjectFile};
use uuid::Uuid;

use crate::domain::cluster::Insistence;
use crate::egress::Egress;
use crate::ops::{self, NewDeployment};
use crate::store::people::SetUp;
use crate::store::{
    Admission, Before, DatabaseConfig, Deployment, NewEnrolmentToken, Project, Standing, Store,
    Tenant,
};
use crate::vault::Vault;

pub(crate) const COMPOSE: &str = "services:\n  web:\n    image: nginx:1.27\n";

/// Writes each test twice: once per database.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = $crate::store::tests::world::World::sqlite().await;
                super::$name(&world).await;
                world.end().await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let world = $crate::store::tests::world::World::postgres().await;
                super::$name(&world).await;
                world.end().await;
            })+
        }
    };
}
pub(crate) use on_both;

/// An installation with its first person.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) tenant: Tenant,
    pub(crate) set_up: SetUp,
    pub(crate) config: DatabaseConfig,
    pub(crate) dir: TempDir,
    database: Option<String>,
}

/// An enrolled agent, and what its host knows.
pub(crate) struct Host {
    pub(crate) id: AgentId,
    pub(crate) target: TargetId,
    pub(crate) key: AgentKey,
    pub(crate) peer: PeerIdentity,
    pub(crate) enrolled: Enrolled,
}

impl World {
    pub(crate) async fn sqlite() -> Self {
        Self::new(None).await
    }

    pub(crate) async fn postgres() -> Self {
        Self::new(Some(create_database().await)).await
    }

    async fn new(database: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = DatabaseConfig {
            data_dir: dir.path().to_owned(),
            url: database.as_deref().map(url_of),
            connections: 8,
        };
        let store = Store::open(&config, vault(dir.path())).await.unwrap();
        store.ensure_authority().await.unwrap();
        let link = store.ensure_setup_link().await.unwrap().unwrap();
        let set_up = ops::complete_setup(&store, &link, "anna@example.org", "Anna", None)
            .await
            .unwrap();
        let tenant = store
            .authenticate(&set_up.api_key.key)
            .await
            .unwrap()
            .unwrap();
        Self {
            store,
            tenant,
            set_up,
            config,
            dir,
            database,
        }
    }

    /// Another server on the same PostgreSQL database.
    pub(crate) async fn replica(&self) -> Store {
        Store::open(&self.config, vault(self.dir.path()))
            .await
            .unwrap()
    }

    /// Another person with a team of their own.
    pub(crate) async fn stranger(&self) -> Tenant {
        let mut tx = self.store.main().begin().await.unwrap();
        let now = tx.now().await.unwrap();
        let email = format!("{}@example.org", Uuid::now_v7().simple());
        let made = crate::store::people::create_first_user(&mut tx, &email, "Stranger", None, now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        self.store
            .authenticate(&made.api_key.key)
            .await
            .unwrap()
            .unwrap()
    }

    /// Checks that the mess is gone.
    pub(crate) async fn end(self) {
        let report = self.store.verify_audit().await.unwrap();
        assert_eq!(report.broken, Vec::<String>::new());
        self.store.close().await;
        if let Some(database) = &self.database {
            drop_database(database).await;
        }
    }

    pub(crate) async fn token(&self, name: &str) -> towline_pki::EnrollToken {
        let new = NewEnrolmentToken {
            name: name.to_owned(),
            ttl: chrono::TimeDelta::minutes(5),
            address: "https://towline.example.org".to_owned(),
        };
        self.store
            .create_enrolment_token(&self.tenant, new)
            .await
            .unwrap()
            .token
    }

    /// Enrols a host and connects it once, with everything a deploy needs.
    pub(crate) async fn host(&self, name: &str) -> Host {
        let token = self.token(name).await;
        let key = AgentKey::generate().unwrap();
        let enrolled = ops::enroll(
            &self.store,
            &request(&token.secret.reveal(), &key),
            "towline:7443",
        )
        .await
        .unwrap();
        let leaf = pem(&enrolled.certificate);
        let peer = PeerIdentity::from_leaf(&leaf).unwrap();
        let agent = self
            .store
            .agent(&self.tenant, enrolled.agent)
            .await
            .unwrap();
        let host = Host {
            id: enrolled.agent,
            target: agent.target_id.unwrap(),
            key,
            peer,
            enrolled,
        };
        self.connect(&host, Uuid::now_v7()).await;
        host
    }

    /// A session of a host's agent begins.
    pub(crate) async fn connect(&self, host: &Host, session: Uuid) -> Standing {
        let before = self.before(host).await;
        let connected = self
            .store
            .agent_connected(host.id, session, before, &hello())
            .await;
        connected.unwrap()
    }

    /// A host's agent shakes hands.
    pub(crate) async fn before(&self, host: &Host) -> Before {
        match self.store.handshake(&host.peer).await.unwrap() {
            Admission::Admitted { before, .. } => before,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn project(&self, name: &str) -> Project {
        let project = self.store.create_project(&self.tenant, name).await.unwrap();
        self.upload(project.id, COMPOSE).await;
        self.store.project(&self.tenant, project.id).await.unwrap()
    }

    pub(crate) async fn upload(&self, project: ProjectId, compose: &str) {
        let files = vec![file("compose.yaml", compose)];
        self.store
            .put_files(&self.tenant, project, files)
            .await
            .unwrap();
    }

    pub(crate) async fn deploy(&self, project: &Project, host: &Host) -> Deployment {
        ops::deploy(
            &self.store,
            &Egress::closed(),
            &self.tenant,
            deployment(project, host),
            None,
        )
        .await
        .unwrap()
    }

    /// Takes the one job that waits for a host.
    pub(crate) async fn claim(&self, host: &Host) -> Offer {
        let mut offers = self.store.claim(host.id).await.unwrap();
        assert_eq!(offers.len(), 1, "one job is due");
        offers.remove(0)
    }

    /// Brings a deployment to the point where its agent works.
    pub(crate) async fn start(&self, host: &Host) -> Attempt {
        let attempt = self.claim(host).await.attempt;
        self.store.accepted(host.id, attempt).await.unwrap();
        self.store.started(host.id, attempt).await.unwrap();
        attempt
    }

    pub(crate) async fn show(&self, deployment: &Deployment) -> Deployment {
        self.store
            .deployment(&self.tenant, deployment.id)
            .await
            .unwrap()
    }
}

pub(crate) fn vault(dir: &Path) -> Vault {
    Vault::load_or_create(dir, None).unwrap()
}

pub(crate) fn request(secret: &str, key: &AgentKey) -> EnrolRequest {
    EnrolRequest {
        secret: secret.to_owned(),
        csr: key.csr_pem().unwrap(),
        hostname: "build-7".to_owned(),
        version: "0.1.0".to_owned(),
    }
}

pub(crate) fn pem(text: &str) -> CertificateDer<'static> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(text.as_bytes()).unwrap()
}

pub(crate) fn file(path: &str, content: &str) -> ProjectFile {
    ProjectFile {
        path: path.to_owned(),
        content: content.as_bytes().to_vec(),
        mode: FileMode::Regular,
    }
}

pub(crate) fn deployment(project: &Project, host: &Host) -> NewDeployment {
    NewDeployment {
        project: project.id,
        target: host.target.to_string(),
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

pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
        hostname: "build-7".to_owned(),
        os: "Debian GNU/Linux 12".to_owned(),
        arch: "amd64".to_owned(),
        cores: 4,
        memory: 8 << 30,
        engine: Engine::Docker {
            version: "27.3.1".to_owned(),
            api: "1.47".to_owned(),
        },
        compose: Plugin::Version("2.29.7".to_owned()),
        policy: HostPolicy::default(),
    }
}

pub(crate) fn hello() -> Hello {
    Hello {
        version: "0.1.0".to_owned(),
        at_ms: 0,
        capabilities: capabilities(),
        fences: Vec::new(),
        held: Vec::new(),
    }
}

/// The end of a job without a log line.
pub(crate) fn finished(attempt: Attempt, outcome: Outcome) -> Finished {
    Finished {
        attempt,
        outcome,
        log: towline_shared::log::LogPosition::default(),
    }
}

pub(crate) fn succeeded() -> Outcome {
    Outcome::Succeeded { images: Vec::new() }
}

fn superuser() -> String {
    std::env::var("TOWLINE_TEST_POSTGRES").expect(
        "TOWLINE_TEST_POSTGRES names the PostgreSQL server of the tests; run through ./dev test",
    )
}

pub(crate) async fn drop_database(name: &str) {
    let mut connection = PgConnection::connect(&superuser()).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

pub(crate) async fn create_database() -> String {
    let name = format!("towline_{}", Uuid::now_v7().simple());
    let mut connection = PgConnection::connect(&superuser()).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    name
}

pub(crate) fn url_of(database: &str) -> String {
    use sqlx::ConnectOptions as _;
    PgConnectOptions::from_str(&superuser())
        .unwrap()
        .database(database)
        .to_url_lossy()
        .to_string()
}
