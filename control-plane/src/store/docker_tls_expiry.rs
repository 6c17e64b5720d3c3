//! The ends of certificates by which targets are reached: their people are told in time.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use towline_shared::ids::TargetId;
use uuid::Uuid;

use super::db::{Tx, all, execute};
use super::{Result, Store, notification_events};
use crate::domain::docker_tls::{Due, ENDED, NOTICES, due};

/// Targets that are looked at in one transaction.
const BATCH: i64 = 200;

/// A target with the ends of its certificates.
#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    team_id: Uuid,
    name: String,
    client_not_after: DateTime<Utc>,
    authority_not_after: DateTime<Utc>,
    server_not_after: DateTime<Utc>,
    first_not_after: DateTime<Utc>,
    told_days: Option<i64>,
}

macro_rules! expiring {
    ($lock:literal) => {
        concat!(
            "SELECT d.id, t.team_id, t.name, d.client_not_after, d.authority_not_after, d.server_not_after, d.first_not_after,
                d.told_days
             FROM docker_tls_targets d JOIN deployment_targets t ON t.id = d.id
             WHERE d.first_not_after < $1 AND (d.told_days IS NULL OR d.told_days > 0)
             ORDER BY d.first_not_after LIMIT $2",
            $lock
        )
    };
}

impl Store {
    /// Tells teams of certificates that end soon, each time once; tells how many teams were told. To be asked now and then.
    pub(crate) async fn tell_of_expiring_certificates(&self) -> Result<usize> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        forget_renewed(&mut tx, now).await?;
        let conn = tx.conn();
        // Of two replicas one tells.
        let sql = conn.pick(
            expiring!(""),
            expiring!(" FOR NO KEY UPDATE OF d SKIP LOCKED"),
        );
        let mut told = 0;
        for row in all!(conn, Row, sql, now + furthest(), BATCH)? {
            if let Due::Tell(days) = due(row.first_not_after, row.told_days, now) {
                tell(&mut tx, &row, days, now).await?;
                told += 1;
            }
        }
        tx.commit().await?;
        if told > 0 {
            self.wake().outbox();
        }
        Ok(told)
    }
}

fn furthest() -> TimeDelta {
    TimeDelta::days(NOTICES.into_iter().max().unwrap_or_default())
}

/// Where the certificates were renewed, people are to be told once more before the new ones end.
async fn forget_renewed(tx: &mut Tx, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE docker_tls_targets SET told_days = NULL WHERE first_not_after > $1 AND told_days IS NOT NULL";
    execute!(tx.conn(), sql, now + furthest())?;
    Ok(())
}

async fn tell(tx: &mut Tx, row: &Row, days: i64, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE docker_tls_targets SET told_days = $2, updated_at = $3 WHERE id = $1";
    execute!(tx.conn(), sql, row.id, days, now)?;
    let certificates = [
        ("the client's certificate", row.client_not_after),
        ("the authority", row.authority_not_after),
        ("the engine's certificate", row.server_not_after),
    ];
    let ending: Vec<String> = certificates
        .into_iter()
        .filter(|(_, not_after)| *not_after < now + furthest())
        .map(|(what, not_after)| {
            let verb = if not_after <= now {
                "has ended"
            } else {
                "ends"
            };
            let at = not_after.to_rfc3339_opts(SecondsFormat::Secs, true);
            format!("{what} {verb} at {at}")
        })
        .collect();
    let message = match days {
        ENDED => format!("A certificate of the target {} has ended", row.name),
        1 => format!("A certificate of the target {} ends within a day", row.name),
        days => format!(
            "A certificate of the target {} ends within {days} days",
            row.name
        ),
    };
    let detail = format!(
        "Of {}: {}. Renew them on the host (`towline-agent docker-tls renew`, `towline pki docker`), and give the client's new \
         files to the control plane: `towline targets rotate-docker {}`.",
        row.name,
        ending.join(", "),
        row.name
    );
    let target = TargetId::from(row.id);
    let words = (message.as_str(), detail.as_str());
    notification_events::certificate_expiring(tx, row.team_id.into(), target, words, now).await
}
