//! Idempotency keys: the same request sent twice makes one deployment.

use chrono::{DateTime, Utc};
use towline_shared::ids::{DeploymentId, TeamId};
use uuid::Uuid;

use super::Result;
use super::db::{Tx, execute, one};

/// What a key is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It is new, and now stands for the deployment of this transaction.
    New,
    /// It stands for this deployment, which the same request made.
    Same(DeploymentId),
    /// It stands for another request.
    Other,
}

/// Claims a key for a request. Of two at once the second waits for the first one's commit.
pub(crate) async fn claim(
    tx: &mut Tx,
    team: TeamId,
    key: &str,
    digest: &[u8; 32],
    deployment: DeploymentId,
    now: DateTime<Utc>,
) -> Result<Claimed> {
    let inserted = execute!(
        tx.conn(),
        "INSERT INTO idempotency_keys (id, team_id, key, request_digest, deployment_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (team_id, key) DO NOTHING",
        Uuid::now_v7(),
        team.uuid(),
        key,
        digest.as_slice(),
        deployment.uuid(),
        now
    )?;
    if inserted == 1 {
        return Ok(Claimed::New);
    }
    let (known, first) = one!(
        tx.conn(),
        (Vec<u8>, Uuid),
        "SELECT request_digest, deployment_id FROM idempotency_keys WHERE team_id = $1 AND key = $2",
        team.uuid(),
        key
    )?;
    Ok(if known.as_slice() == digest {
        Claimed::Same(first.into())
    } else {
        Claimed::Other
    })
}
