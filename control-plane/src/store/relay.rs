//! Images that were built on one host for another: who may bring and fetch them, and what they are made of.

use chrono::{DateTime, Utc};
use towline_shared::ids::{AgentId, DeploymentId, JobId, TeamId};
use towline_shared::protocol::v1::Attempt;
use towline_shared::relay::{Digest, Image, Images, layers_of};
use uuid::Uuid;

use super::db::{Tx, all, execute, optional};
use super::{Result, Store, StoreError, counted, jobs, stored};

#[derive(sqlx::FromRow)]
struct Row {
    service: String,
    reference: String,
    image_id: String,
    config: Vec<u8>,
    size: i64,
}

impl TryFrom<Row> for Image {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self> {
        let damaged = |_| StoreError::Damaged(format!("the image of service {}", row.service));
        Ok(Self {
            id: row.image_id.parse().map_err(damaged)?,
            layers: layers_of(&row.config).map_err(damaged)?,
            service: row.service,
            reference: row.reference,
            config: row.config,
            size: counted(row.size),
        })
    }
}

impl Store {
    /// The team of a job by which this agent builds images now.
    pub(crate) async fn builder(&self, agent: AgentId, attempt: Attempt) -> Result<Option<TeamId>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid,),
            "SELECT j.team_id FROM jobs j JOIN agents a ON a.id = j.agent_id
             WHERE j.id = $1 AND j.agent_id = $2 AND j.fence_incarnation = $3 AND j.fence_epoch = $4
                AND j.builds_for IS NOT NULL AND j.state IN ('accepted', 'running', 'unknown') AND a.revoked_at IS NULL",
            attempt.job.uuid(),
            agent.uuid(),
            stored(attempt.fence.incarnation.into()),
            stored(attempt.fence.epoch)
        )?;
        Ok(row.map(|(team,)| team.into()))
    }

    /// The team of a job that this agent does now, and the job that has built its images.
    pub(crate) async fn runner(
        &self,
        agent: AgentId,
        attempt: Attempt,
    ) -> Result<Option<(TeamId, JobId)>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid, Uuid),
            "SELECT j.team_id, b.id FROM jobs j JOIN agents a ON a.id = j.agent_id
             JOIN jobs b ON b.builds_for = j.deployment_id
             WHERE j.id = $1 AND j.agent_id = $2 AND j.fence_incarnation = $3 AND j.fence_epoch = $4
                AND j.state IN ('accepted', 'running', 'unknown') AND b.state = 'succeeded' AND a.revoked_at IS NULL",
            attempt.job.uuid(),
            agent.uuid(),
            stored(attempt.fence.incarnation.into()),
            stored(attempt.fence.epoch)
        )?;
        Ok(row.map(|(team, build)| (team.into(), build.into())))
    }

    /// Those of these images whose configuration is known, by an earlier build of the team.
    pub(crate) async fn known_images(&self, team: TeamId, ids: &[Digest]) -> Result<Vec<Digest>> {
        let mut known = Vec::new();
        for id in ids {
            let mut reader = self.main().read().await?;
            let found = optional!(
                reader.conn(),
                (Uuid,),
                "SELECT id FROM built_images WHERE team_id = $1 AND image_id = $2 LIMIT 1",
                team.uuid(),
                id.to_string()
            )?;
            known.extend(found.map(|_| *id));
        }
        Ok(known)
    }

    /// The configuration of an image, if an earlier build of the team has brought it.
    pub(crate) async fn image_config(&self, team: TeamId, id: Digest) -> Result<Option<Vec<u8>>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Vec<u8>,),
            "SELECT config FROM built_images WHERE team_id = $1 AND image_id = $2 LIMIT 1",
            team.uuid(),
            id.to_string()
        )?;
        Ok(row.map(|(config,)| config))
    }

    /// Notes what a job has built, instead of what an earlier attempt has noted. False when the job is not, or no
    /// longer, this agent's.
    pub(crate) async fn put_images(
        &self,
        agent: AgentId,
        attempt: Attempt,
        images: &Images,
    ) -> Result<bool> {
        let mut tx = self.main().begin().await?;
        let Some(row) = jobs::lock(&mut tx, attempt.job).await? else {
            return Ok(false);
        };
        let is_held = row.state()?.is_live() && row.builds_for.is_some();
        if row.agent() != Some(agent) || row.fence()? != attempt.fence || !is_held {
            return Ok(false);
        }
        let now = tx.now().await?;
        let sql = "DELETE FROM built_images WHERE job_id = $1";
        execute!(tx.conn(), sql, row.id)?;
        for image in &images.0 {
            insert(&mut tx, row.id, row.team_id, image, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// What a job has built.
    pub(crate) async fn built_images(&self, build: JobId) -> Result<Images> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT service, reference, image_id, config, size FROM built_images WHERE job_id = $1 ORDER BY service",
            build.uuid()
        )?;
        let images = rows.into_iter().map(Image::try_from);
        Ok(Images(images.collect::<Result<_>>()?))
    }
}

async fn insert(
    tx: &mut Tx,
    job: Uuid,
    team: Uuid,
    image: &Image,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "INSERT INTO built_images (id, job_id, team_id, service, reference, image_id, config, size, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9)",
        Uuid::now_v7(),
        job,
        team,
        image.service.as_str(),
        image.reference.as_str(),
        image.id.to_string(),
        image.config.as_slice(),
        stored(image.size),
        now
    )?;
    Ok(())
}

/// The job that waits for what a deployment's build brings, as long as it waits.
pub(super) async fn waiting(tx: &mut Tx, deployment: DeploymentId) -> Result<Option<JobId>> {
    let row = optional!(
        tx.conn(),
        (Uuid,),
        "SELECT id FROM jobs WHERE deployment_id = $1 AND state = 'queued'",
        deployment.uuid()
    )?;
    Ok(row.map(|(id,)| id.into()))
}

/// The agent of the target that a job is for.
pub(super) async fn agent_of(tx: &mut Tx, job: JobId) -> Result<Option<AgentId>> {
    let row = optional!(
        tx.conn(),
        (Option<Uuid>,),
        "SELECT t.agent_id FROM jobs j JOIN deployment_targets t ON t.id = j.target_id WHERE j.id = $1",
        job.uuid()
    )?;
    Ok(row.and_then(|(agent,)| agent).map(Into::into))
}
