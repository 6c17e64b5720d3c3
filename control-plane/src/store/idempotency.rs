//! Idempotency keys: the same request sent twice makes one deployment.

use chrono::{DateTime, Utc};
use towline_shared::ids::{DeploymentId, TeamId};
use uuid::Uuid;

use super::Result;
use super::db::{Conn, Tx, execute, optional};

/// What a key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// This deployment, which the same request made.
    Same(DeploymentId),
    /// Another request.
    Other,
}

/// Looks a key up; nothing if it is new.
pub(crate) async fn find(
    conn: Conn<'_>,
    team: TeamId,
    key: &str,
    digest: &[u8; 32],
) -> Result<Option<Known>> {
    let row = optional!(
        conn,
        (Vec<u8>, Uuid),
        "SELECT request_digest, deployment_id FROM idempotency_keys WHERE team_id = $1 AND key = $2",
        team.uuid(),
        key
    )?;
    Ok(row.map(|(known, first)| {
        if known.as_slice() == digest {
            Known::Same(first.into())
        } else {
            Known::Other
        }
    }))
}

/// Claims a new key for the deployment of this transaction; false if somebody else has it. Of two at
/// once the second waits for the first one's commit.
pub(crate) async fn claim(
    tx: &mut Tx,
    team: TeamId,
    key: &str,
    digest: &[u8; 32],
    deployment: DeploymentId,
    now: DateTime<Utc>,
) -> Result<bool> {
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
    Ok(inserted == 1)
}
