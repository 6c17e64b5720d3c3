//! A store with a team, an agent and jobs, for the tests of logs and metrics: on SQLite, and on the
//! PostgreSQL server that `TOWLINE_TEST_POSTGRES` names by its URL.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;
use towline_shared::Fence;
use towline_shared::ids::{
    AgentId, ApiKeyId, DeploymentId, JobId, ProjectId, TargetId, TeamId, UserId,
};
use towline_shared::log::{LogLine, LogStream};
use towline_shared::protocol::v1::Attempt;
use uuid::Uuid;

use super::super::db::{execute, local_now};
use super::super::open::TELEMETRY_FILE;
use super::super::people::UserRole;
use super::super::tenant::{Credential, Grant, Person, RateLimits, Tenant};
use super::super::{DatabaseConfig, Store, stored};
use crate::domain::access::Access;
use crate::domain::permission::Role;
use crate::domain::scope::Scopes;
use crate::vault::Vault;

const FREE_PLAN: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);

pub(in crate::store) struct Fixture {
    pub(in crate::store) store: Store,
    pub(in crate::store) tenant: Tenant,
    pub(in crate::store) agent: AgentId,
    pub(in crate::store) target: TargetId,
    project: ProjectId,
    folder: TempDir,
    database: Option<String>,
}

/// A job under its first fence.
#[derive(Clone, Copy)]
pub(in crate::store) struct Job {
    pub(in crate::store) deployment: DeploymentId,
    pub(in crate::store) attempt: Attempt,
}

impl Fixture {
    /// One per database.
    pub(in crate::store) async fn each() -> Vec<Self> {
        let name = format!("towline_{}", Uuid::now_v7().simple());
        administer(format!("CREATE DATABASE {name}")).await;
        vec![Self::open(None).await, Self::open(Some(name)).await]
    }

    async fn open(database: Option<String>) -> Self {
        let folder = TempDir::new().unwrap();
        let vault = Vault::load_or_create(folder.path(), None).unwrap();
        let config = DatabaseConfig {
            data_dir: folder.path().to_owned(),
            url: database
                .as_ref()
                .map(|name| server().database(name).to_url_lossy().to_string()),
            connections: 8,
        };
        let store = Store::open(&config, vault).await.unwrap();
        let tenant = Self::stranger();
        let fixture = Self {
            store,
            tenant,
            agent: AgentId::new(),
            target: TargetId::new(),
            project: ProjectId::new(),
            folder,
            database,
        };
        fixture.populate().await;
        fixture
    }

    async fn populate(&self) {
        let (team, user, now) = (
            self.tenant.team().uuid(),
            self.tenant.user().uuid(),
            local_now(),
        );
        let mut tx = self.store.main().begin().await.unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO users (id, email, name, role, plan_id, created_at, updated_at)
             VALUES ($1, 'ada@example.org', 'Ada', 'user', $2, $3, $3)",
            user,
            FREE_PLAN,
            now
        )
        .unwrap();
        let team_sql = "INSERT INTO teams (id, name, owner_id, created_at, updated_at) VALUES ($1, 'Ada', $2, $3, $3)";
        execute!(tx.conn(), team_sql, team, user, now).unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO agents (id, team_id, name, hostname, version, created_at, updated_at)
             VALUES ($1, $2, 'host', 'host', '0', $3, $3)",
            self.agent.uuid(),
            team,
            now
        )
        .unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO projects (id, team_id, name, source_type, status, created_at, updated_at)
             VALUES ($1, $2, 'shop', 'upload', 'ready', $3, $3)",
            self.project.uuid(),
            team,
            now
        )
        .unwrap();
        tx.commit().await.unwrap();
        self.add_target(self.target).await;
    }

    async fn add_target(&self, target: TargetId) {
        let mut tx = self.store.main().begin().await.unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO deployment_targets
                (id, team_id, name, type, host, agent_id, fence_incarnation, fence_epoch, created_at, updated_at)
             VALUES ($1, $2, $3, 'docker_agent', 'host', $4, 1, 1, $5, $5)",
            target.uuid(),
            self.tenant.team().uuid(),
            target.to_string(),
            self.agent.uuid(),
            local_now()
        )
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// A running job of the agent, on a target of its own.
    pub(in crate::store) async fn job(&self) -> Job {
        let (deployment, job, target, now) = (
            DeploymentId::new(),
            JobId::new(),
            TargetId::new(),
            local_now(),
        );
        let team = self.tenant.team().uuid();
        self.add_target(target).await;
        let mut tx = self.store.main().begin().await.unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO deployments (id, team_id, project_id, target_id, platform, kind, status, log, settle_ms,
                deadline_s, interruption, attempts, created_at, updated_at)
             VALUES ($1, $2, $3, $4, 'docker', 'deploy', 'running', $5, 500, 600, 'resume', 1, $6, $6)",
            deployment.uuid(),
            team,
            self.project.uuid(),
            target.uuid(),
            job.uuid(),
            now
        )
        .unwrap();
        execute!(
            tx.conn(),
            "INSERT INTO jobs (id, deployment_id, team_id, target_id, agent_id, state, fence_incarnation, fence_epoch,
                interruption, spec_digest, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, 'running', 1, 1, 'resume', $6, $7, $7)",
            job.uuid(),
            deployment.uuid(),
            team,
            target.uuid(),
            self.agent.uuid(),
            [0_u8; 32].as_slice(),
            now
        )
        .unwrap();
        tx.commit().await.unwrap();
        let attempt = Attempt {
            job,
            fence: Fence::new(1, 1),
        };
        Job {
            deployment,
            attempt,
        }
    }

    /// Brings a job to a state.
    pub(in crate::store) async fn set_state(&self, job: &Job, state: &str) {
        let mut tx = self.store.main().begin().await.unwrap();
        execute!(
            tx.conn(),
            "UPDATE jobs SET state = $2 WHERE id = $1",
            job.attempt.job.uuid(),
            state
        )
        .unwrap();
        let sql = "UPDATE deployments SET status = $2 WHERE id = $1";
        execute!(tx.conn(), sql, job.deployment.uuid(), state).unwrap();
        tx.commit().await.unwrap();
    }

    /// Offers a job anew: its next attempt.
    pub(in crate::store) async fn offer_again(&self, job: &Job) -> Attempt {
        let Attempt { job, fence } = job.attempt;
        let fence = Fence::new(fence.incarnation, fence.epoch + 1);
        let mut tx = self.store.main().begin().await.unwrap();
        let sql = "UPDATE jobs SET fence_epoch = $2, state = 'offered' WHERE id = $1";
        execute!(tx.conn(), sql, job.uuid(), stored(fence.epoch)).unwrap();
        tx.commit().await.unwrap();
        Attempt { job, fence }
    }

    /// Deletes a deployment and its job, as the deletion of its project does.
    pub(in crate::store) async fn delete(&self, job: &Job) {
        let mut tx = self.store.main().begin().await.unwrap();
        execute!(
            tx.conn(),
            "DELETE FROM deployments WHERE id = $1",
            job.deployment.uuid()
        )
        .unwrap();
        tx.commit().await.unwrap();
    }

    /// Another team's member.
    pub(in crate::store) fn stranger() -> Tenant {
        let credential = Credential::Key(ApiKeyId::new());
        let person = Person::new(UserId::new(), UserRole::User, credential);
        Tenant::new(
            person,
            TeamId::new(),
            Grant {
                access: Access::new(Some(Role::Owner), Vec::new()),
                scopes: Scopes::All,
                rates: RateLimits::default(),
            },
        )
    }

    /// The file of logs and metrics; none on PostgreSQL.
    pub(in crate::store) fn telemetry_file(&self) -> Option<PathBuf> {
        self.database
            .is_none()
            .then(|| self.folder.path().join(TELEMETRY_FILE))
    }

    /// Closes the store and removes its database.
    pub(in crate::store) async fn end(self) {
        self.store.close().await;
        if let Some(name) = &self.database {
            administer(format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

fn server() -> PgConnectOptions {
    let server = std::env::var("TOWLINE_TEST_POSTGRES");
    let server = server.expect(
        "TOWLINE_TEST_POSTGRES names the PostgreSQL server of the tests; run through ./dev test",
    );
    PgConnectOptions::from_str(&server).unwrap()
}

async fn administer(sql: String) {
    let mut connection = server().connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

/// A line as web servers write them.
pub(in crate::store) fn line(number: u64) -> LogLine {
    let scattered = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let paths = [
        "/api/items",
        "/api/carts",
        "/static/app.js",
        "/login",
        "/health",
        "/api/orders",
    ];
    let path = paths[usize::try_from(scattered % 6).unwrap()];
    let stream = if scattered.is_multiple_of(50) {
        LogStream::Stderr
    } else {
        LogStream::Stdout
    };
    let text = format!(
        "10.0.{}.{} - - [22/Nov/2026:20:{:02}:{:02} +0000] \"GET {path}/{} HTTP/1.1\" {} {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" {}ms",
        scattered % 4,
        scattered % 251,
        number / 6000 % 60,
        number / 100 % 60,
        scattered % 10_000,
        if scattered.is_multiple_of(20) {
            404
        } else {
            200
        },
        scattered % 50_000,
        scattered % 300
    );
    LogLine {
        at_us: 1_795_000_000_000_000 + i64::try_from(number * 10_000 + scattered % 1000).unwrap(),
        stream,
        source: format!("web-{}", scattered % 3),
        text,
    }
}
