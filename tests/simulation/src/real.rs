//! The real store on SQLite, in a folder in memory, under the simulation's clock.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use tokio::runtime::Runtime;
use towline_pki::{AgentIdentity, AgentKey, PeerIdentity};
use towline_server::agents::conversation::Report;
use towline_server::domain::cluster::Insistence;
use towline_server::egress::Egress;
use towline_server::job::{JobState, sweep_expired};
use towline_server::ops::{self, NewDeployment, OpsError};
use towline_server::store::{
    Admission, Appended, Before, DatabaseConfig, NewEnrolmentToken, Reaction, Standing, Store,
    StoreError, Tenant,
};
use towline_server::vault::Vault;
use towline_shared::enrolment::EnrolRequest;
use towline_shared::failpoint;
use towline_shared::ids::{AgentId, DeploymentId, JobId, ProjectId};
use towline_shared::log::LogChunk;
use towline_shared::protocol::v1::{Attempt, Hello, Offer, Verdict};
use towline_shared::spec::{FileMode, ProjectFile};
use uuid::Uuid;

use crate::plane::{Entry, JobView, Plane, Secrets, Stored, Wish};

const COMPOSE: &str = "services:\n  web:\n    image: nginx:1.27\n";
/// More lines than any log of a run has.
const ALL: u32 = 10_000;

/// The real store.
pub struct Real {
    runtime: Runtime,
    config: DatabaseConfig,
    /// `None` only while it is opened anew.
    store: Option<Store>,
    tenant: Tenant,
    hosts: Vec<Registered>,
    plain: ProjectId,
    secretive: ProjectId,
    jobs: BTreeMap<JobId, DeploymentId>,
    /// What each host's handshake has seen; the simulation hands out the place in this list.
    tickets: Vec<Before>,
    backup: Option<BTreeMap<JobId, DeploymentId>>,
}

struct Registered {
    agent: AgentId,
    target: String,
    peer: PeerIdentity,
}

impl Real {
    /// A new installation in this folder, with so many hosts, at this time.
    pub fn new(folder: &Path, hosts: usize, now_ms: i64) -> Self {
        failpoint::set_clock(Some(now_ms));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let config = DatabaseConfig {
            data_dir: folder.join("server"),
            url: None,
            connections: 2,
        };
        let (store, tenant) = runtime.block_on(install(&config));
        let hosts = (0..hosts).map(|number| runtime.block_on(register(&store, &tenant, number)));
        let hosts = hosts.collect();
        let plain = runtime.block_on(project(&store, &tenant, "plain"));
        let secretive = runtime.block_on(project(&store, &tenant, "secretive"));
        let secret = store.put_secret(&tenant, secretive, "PASSWORD", "correct horse");
        runtime.block_on(secret).expect("a secret");
        Self {
            runtime,
            config,
            store: Some(store),
            tenant,
            hosts,
            plain,
            secretive,
            jobs: BTreeMap::new(),
            tickets: Vec::new(),
            backup: None,
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    fn reopen(&mut self, between: impl FnOnce(&Path)) {
        if let Some(store) = self.store.take() {
            self.runtime.block_on(store.close());
        }
        between(&self.config.data_dir);
        let vault = Vault::load_or_create(&self.config.data_dir, None).expect("the master key");
        let opened = self.runtime.block_on(Store::open(&self.config, vault));
        self.store = Some(opened.expect("the store opens"));
    }

    fn agent(&self, host: usize) -> AgentId {
        self.hosts[host].agent
    }

    fn queued(
        &mut self,
        result: Result<towline_server::store::Deployment, OpsError>,
    ) -> Option<JobId> {
        match result {
            Ok(deployment) => {
                self.jobs.insert(deployment.job, deployment.id);
                Some(deployment.job)
            }
            Err(OpsError::Refused { .. }) => None,
            Err(error) => panic!("the store fails: {error}"),
        }
    }
}

async fn install(config: &DatabaseConfig) -> (Store, Tenant) {
    fs::create_dir_all(&config.data_dir).expect("a folder");
    let vault = Vault::load_or_create(&config.data_dir, None).expect("a master key");
    let store = Store::open(config, vault).await.expect("a store");
    store.ensure_authority().await.expect("an authority");
    let link = store
        .ensure_setup_link()
        .await
        .expect("a store")
        .expect("nobody is set up");
    let set_up = ops::complete_setup(&store, &link, "ada@example.com", "Ada", None)
        .await
        .expect("a user");
    let tenant = store
        .authenticate(&set_up.api_key.key)
        .await
        .expect("a store")
        .expect("the first key");
    (store, tenant)
}

async fn register(store: &Store, tenant: &Tenant, number: usize) -> Registered {
    let name = format!("host-{number}");
    let new = NewEnrolmentToken {
        name: name.clone(),
        ttl: TimeDelta::minutes(5),
        address: "https://towline.example.org".into(),
    };
    let minted = store
        .create_enrolment_token(tenant, new)
        .await
        .expect("a token");
    let key = AgentKey::generate().expect("a key");
    let request = EnrolRequest {
        secret: minted.token.secret.reveal().to_string(),
        csr: key.csr_pem().expect("a request"),
        hostname: name.clone(),
        version: "simulation".into(),
    };
    let enrolled = ops::enroll(store, &request, "towline:7443")
        .await
        .expect("an agent");
    let identity = AgentIdentity::new(&enrolled.certificate, &key).expect("a certificate");
    Registered {
        agent: enrolled.agent,
        target: name,
        peer: identity.peer().expect("an agent's certificate"),
    }
}

async fn project(store: &Store, tenant: &Tenant, name: &str) -> ProjectId {
    let project = store
        .create_project(tenant, name)
        .await
        .expect("a project")
        .id;
    let file = ProjectFile {
        path: "compose.yaml".into(),
        content: COMPOSE.into(),
        mode: FileMode::Regular,
    };
    store
        .put_files(tenant, project, vec![file])
        .await
        .expect("a file");
    project
}

impl Plane for Real {
    fn submit(&mut self, wish: Wish) -> Option<JobId> {
        let new = NewDeployment {
            project: match wish.secrets {
                Secrets::None => self.plain,
                Secrets::One => self.secretive,
            },
            target: self.hosts[wish.host].target.clone(),
            environment: None,
            settle_ms: None,
            deadline_s: None,
            interruption: Some(wish.interruption),
            branch: None,
            commit: None,
            on_failure: None,
            build_on: None,
            insistence: Insistence::default(),
        };
        let result = self.runtime.block_on(ops::deploy(
            self.store(),
            &Egress::closed(),
            &self.tenant,
            new,
            None,
        ));
        self.queued(result)
    }

    fn retry(&mut self, job: JobId) -> Option<JobId> {
        let deployment = *self.jobs.get(&job)?;
        let result = self.runtime.block_on(ops::retry(
            self.store(),
            &Egress::closed(),
            &self.tenant,
            deployment,
        ));
        self.queued(result)
    }

    fn cancel(&mut self, job: JobId) -> JobState {
        let deployment = self.jobs[&job];
        let cancelled = self
            .runtime
            .block_on(ops::cancel(self.store(), &self.tenant, deployment));
        cancelled.expect("a cancel").status
    }

    fn revoke(&mut self, host: usize) {
        let revoked = ops::revoke(self.store(), &self.tenant, self.agent(host));
        self.runtime.block_on(revoked).expect("an agent");
    }

    fn admit(&mut self, host: usize) -> Entry {
        let admitted = self
            .runtime
            .block_on(self.store().handshake(&self.hosts[host].peer));
        match admitted.expect("a store") {
            Admission::Admitted { before, .. } => {
                self.tickets.push(before);
                Entry::Open(i64::try_from(self.tickets.len() - 1).unwrap_or_default())
            }
            Admission::Revoked => Entry::Revoked,
            Admission::Unknown => panic!("an enrolled agent is not known"),
        }
    }

    fn connect(&mut self, host: usize, session: Uuid, ticket: i64, hello: &Hello) -> Standing {
        let before = self.tickets[usize::try_from(ticket).unwrap_or_default()];
        let connected = self
            .store()
            .agent_connected(self.agent(host), session, before, hello);
        self.runtime.block_on(connected).expect("a store")
    }

    fn judge(&mut self, host: usize, hello: &Hello) -> Vec<(Attempt, Verdict)> {
        let judged = self.store().hello(self.agent(host), hello);
        self.runtime.block_on(judged).expect("a store")
    }

    fn disconnect(&mut self, host: usize, session: Uuid) {
        let gone = self.store().agent_disconnected(self.agent(host), session);
        self.runtime.block_on(gone).expect("a store");
    }

    fn standing(&mut self, host: usize, session: Uuid) -> Standing {
        let standing = self.store().standing(self.agent(host), session);
        self.runtime.block_on(standing).expect("a store")
    }

    fn claim(&mut self, host: usize) -> Vec<Offer> {
        let claimed = self.store().claim(self.agent(host));
        self.runtime.block_on(claimed).expect("a store")
    }

    fn cancels(&mut self, host: usize) -> Vec<Attempt> {
        let cancels = self.store().pending_cancels(self.agent(host));
        self.runtime.block_on(cancels).expect("a store")
    }

    fn report(&mut self, host: usize, report: &Report) -> Reaction {
        let (store, agent) = (self.store(), self.agent(host));
        let reaction = self.runtime.block_on(async {
            match report {
                Report::Accepted(attempt) => store.accepted(agent, *attempt).await,
                Report::Refused(refused) => store.refused(agent, refused).await,
                Report::Started(attempt) => store.started(agent, *attempt).await,
                Report::Progress(progress) => store.progress(agent, progress).await,
                Report::Finished(finished) => store.finished(agent, finished).await,
            }
        });
        reaction.expect("a store")
    }

    fn append(
        &mut self,
        host: usize,
        attempt: Attempt,
        chunk: &LogChunk,
    ) -> Result<Appended, String> {
        let appended = self.store().append_log(self.agent(host), attempt, chunk);
        match self.runtime.block_on(appended) {
            Ok(appended) => Ok(appended),
            Err(StoreError::Chunk(error)) => Err(error.to_string()),
            Err(error) => panic!("the store fails: {error}"),
        }
    }

    fn renew_leases(&mut self, host: usize, session: Uuid) {
        let renewed = self.store().renew_leases(self.agent(host), session);
        self.runtime.block_on(renewed).expect("a store");
    }

    fn sweep(&mut self) {
        self.runtime
            .block_on(sweep_expired(self.store()))
            .expect("a store");
    }

    fn set_clock(&mut self, now_ms: i64) {
        failpoint::set_clock(Some(now_ms));
    }

    fn restart(&mut self) {
        self.reopen(|_| {});
    }

    /// The files as they are: nothing writes meanwhile.
    fn back_up(&mut self) {
        let (from, to) = (
            self.config.data_dir.clone(),
            backup_of(&self.config.data_dir),
        );
        copy(&from, &to);
        self.backup = Some(self.jobs.clone());
    }

    fn restore(&mut self) -> bool {
        let Some(jobs) = self.backup.clone() else {
            return false;
        };
        self.jobs = jobs;
        self.reopen(|folder| copy(&backup_of(folder), folder));
        true
    }

    fn view(&mut self, job: JobId) -> Option<JobView> {
        let found = self
            .runtime
            .block_on(self.store().played_job(job))
            .expect("a store");
        found.map(|(state, fence)| JobView { state, fence })
    }

    fn log(&mut self, job: JobId) -> Vec<Stored> {
        let Some(deployment) = self.jobs.get(&job) else {
            return Vec::new();
        };
        let page = self.store().log_range(&self.tenant, *deployment, 0, ALL);
        let page = self.runtime.block_on(page).expect("a store");
        let mut next = 0;
        let mut entries = Vec::with_capacity(page.lines.len());
        for (number, line) in page.lines {
            entries.push(if line.source.is_empty() {
                Stored::Line(line.text)
            } else {
                Stored::Gap(number + 1 - next)
            });
            next = number + 1;
        }
        entries
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            let audit = self.runtime.block_on(store.verify_audit());
            self.runtime.block_on(store.close());
            if !std::thread::panicking() {
                assert_eq!(
                    audit.expect("a store").broken,
                    Vec::<String>::new(),
                    "the audit log is whole"
                );
            }
        }
        failpoint::set_clock(None);
    }
}

fn backup_of(folder: &Path) -> PathBuf {
    folder.with_extension("backup")
}

/// Puts the database's files, and no others of theirs, from one folder into another.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for name in ["control.db", "telemetry.db"] {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(to.join(format!("{name}{suffix}")));
        }
        for suffix in ["", "-wal"] {
            let file = format!("{name}{suffix}");
            if from.join(&file).exists() {
                fs::copy(from.join(&file), to.join(&file)).expect("a copy");
            }
        }
    }
}
