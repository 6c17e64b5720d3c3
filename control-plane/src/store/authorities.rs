//! The installation's certificate authorities. Their keys are sealed; their certificates are not
//! secret. While they are rotated there are two.

use chrono::{DateTime, Utc};
use towline_pki::renew::EXPIRED_RENEWAL_WINDOW;
use towline_pki::{Authority, Rotation, RotationEvent, RotationRefusal, TrustRoots};
use uuid::Uuid;

use super::audit::{self, Actor, Entry};
use super::db::{Tx, all, execute, local_now, one};
use super::{Result, Store, StoreError, counted, installation};
use crate::vault::Place;

const COMMON_NAME: &str = "Towline authority";

/// An agent that would be cut off if the old authority went now.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Dependent {
    /// Its name.
    pub agent: String,
    /// Its team's name.
    pub team: String,
    /// When its newest certificate of the old authority ends.
    pub certificate_ends: DateTime<Utc>,
}

/// When an old authority may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// When no agent lives by it any more.
    WhenUnused,
    /// At once; agents that still live by it must enrol again.
    Forced,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    certificate: String,
    key_encrypted: Vec<u8>,
    key_version: i64,
}

/// The current one, and during a rotation the one that goes.
struct Trusted {
    current: Row,
    retiring: Option<Row>,
}

impl Store {
    /// Makes the authority at the first start.
    pub async fn ensure_authority(&self) -> Result<()> {
        if self.trusted().await?.is_some() {
            return Ok(());
        }
        let mut tx = self.main().begin().await?;
        // Another replica may be here at the same time.
        let conn = tx.conn();
        let sql = conn.pick(
            "SELECT id FROM installation",
            "SELECT id FROM installation FOR UPDATE",
        );
        one!(conn, (Uuid,), sql)?;
        let (count,) = one!(tx.conn(), (i64,), "SELECT COUNT(*) FROM authorities")?;
        if count == 0 {
            let now = local_now();
            let authority = Authority::generate(COMMON_NAME, now)?;
            self.insert_authority(&mut tx, &authority, now).await?;
            write_audit(
                &mut tx,
                "authority.create",
                &authority.fingerprint().to_string(),
                now,
            )
            .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// What the listeners and every agent trust.
    pub async fn trust_roots(&self) -> Result<TrustRoots> {
        Ok(self.rotation().await?.trust_roots())
    }

    /// Where the rotation of the authority stands.
    pub async fn rotation(&self) -> Result<Rotation> {
        let trusted = self.trusted().await?.ok_or_else(missing)?;
        let current = self.open_authority(&trusted.current).await?;
        Ok(match trusted.retiring {
            None => Rotation::Single(current.root().clone()),
            Some(row) => Rotation::Overlap {
                old: self.open_authority(&row).await?.root().clone(),
                new: current.root().clone(),
            },
        })
    }

    /// The authority that signs agents.
    pub async fn agent_authority(&self) -> Result<Authority> {
        let trusted = self.trusted().await?.ok_or_else(missing)?;
        self.open_authority(&trusted.current).await
    }

    /// The authority that signs the listeners, and whose fingerprint tokens carry: the one that
    /// every agent knows.
    pub async fn server_authority(&self) -> Result<Authority> {
        let trusted = self.trusted().await?.ok_or_else(missing)?;
        self.open_authority(trusted.retiring.as_ref().unwrap_or(&trusted.current))
            .await
    }

    /// The agents that still live by the authority that goes, at most `limit`, those first that will
    /// renew last; none when no rotation is under way.
    ///
    /// An agent lives by it while a certificate of it is good, even if the agent has been given a newer
    /// one: that may never have reached it. One that sleeps lives by it while it may renew.
    pub async fn dependents(&self, limit: u32) -> Result<Vec<Dependent>> {
        let Rotation::Overlap { old, .. } = self.rotation().await? else {
            return Ok(Vec::new());
        };
        let now = local_now();
        let mut reader = self.main().read().await?;
        Ok(all!(
            reader.conn(),
            Dependent,
            "SELECT a.name AS agent, t.name AS team, MAX(c.not_after) AS certificate_ends
             FROM certificates c JOIN agents a ON a.id = c.agent_id JOIN teams t ON t.id = a.team_id
             WHERE c.issuer = $1 AND c.revoked_at IS NULL AND a.revoked_at IS NULL AND (c.not_after > $2
                OR (c.not_after > $3 AND NOT EXISTS (SELECT 1 FROM certificates n
                    WHERE n.agent_id = a.id AND n.issuer <> $1 AND n.revoked_at IS NULL)))
             GROUP BY a.id, a.name, t.name ORDER BY certificate_ends DESC, a.id LIMIT $4",
            old.fingerprint().to_string(),
            now,
            now - EXPIRED_RENEWAL_WINDOW,
            i64::from(limit)
        )?)
    }

    /// Begins a rotation: makes a new authority, trusted beside the old one.
    pub async fn introduce_authority(&self) -> Result<Rotation> {
        let now = local_now();
        let authority = Authority::generate(COMMON_NAME, now)?;
        let rotation = self.rotation().await?;
        let rotation = rotation
            .apply(RotationEvent::Introduce(authority.root().clone()))
            .map_err(|refusal| refused(&refusal))?;
        let mut tx = self.main().begin().await?;
        move_authority(&mut tx, "current", "retiring", now).await?;
        self.insert_authority(&mut tx, &authority, now).await?;
        write_audit(
            &mut tx,
            "authority.introduce",
            &authority.fingerprint().to_string(),
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(rotation)
    }

    /// Ends a rotation: the old authority is trusted no more.
    pub async fn retire_authority(&self, retirement: Retirement) -> Result<Rotation> {
        let rotation = self.rotation().await?;
        let old = rotation.server_issuer().fingerprint().to_string();
        let now = local_now();
        let mut tx = self.main().begin().await?;
        let event = match retirement {
            Retirement::Forced => RotationEvent::ForceRetire,
            Retirement::WhenUnused => RotationEvent::Retire {
                live_leaves: live_leaves(&mut tx, &old, now).await?,
            },
        };
        let rotation = rotation.apply(event).map_err(|refusal| refused(&refusal))?;
        move_authority(&mut tx, "retiring", "retired", now).await?;
        write_audit(&mut tx, "authority.retire", &old, now).await?;
        tx.commit().await?;
        Ok(rotation)
    }

    async fn trusted(&self) -> Result<Option<Trusted>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT id, certificate, key_encrypted, key_version FROM authorities WHERE state <> 'retired'
             ORDER BY CASE state WHEN 'current' THEN 0 ELSE 1 END"
        )?;
        let mut rows = rows.into_iter();
        Ok(rows.next().map(|current| Trusted {
            current,
            retiring: rows.next(),
        }))
    }

    async fn open_authority(&self, row: &Row) -> Result<Authority> {
        let key = self
            .unseal(place(row.id), row.key_version, &row.key_encrypted)
            .await?;
        let key = std::str::from_utf8(&key)
            .map_err(|_| StoreError::Damaged("an authority's key is no text".to_owned()))?;
        Ok(Authority::from_pem(&row.certificate, key)?)
    }

    async fn insert_authority(
        &self,
        tx: &mut Tx,
        authority: &Authority,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let id = Uuid::now_v7();
        let key = self
            .seal(tx, place(id), authority.key_pem().as_bytes())
            .await?;
        execute!(
            tx.conn(),
            "INSERT INTO authorities (id, fingerprint, certificate, key_encrypted, key_version, state, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, 'current', $6, $6)",
            id,
            authority.fingerprint().to_string(),
            authority.cert_pem(),
            key.bytes.as_slice(),
            key.key_version,
            now
        )?;
        Ok(())
    }
}

async fn move_authority(tx: &mut Tx, from: &str, to: &str, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE authorities SET state = $2, updated_at = $3 WHERE state = $1";
    if execute!(tx.conn(), sql, from, to, now)? == 1 {
        return Ok(());
    }
    Err(StoreError::Conflict {
        message: "the authority was rotated by somebody else in this moment".to_owned(),
        remedy: "look at its state and try again".to_owned(),
    })
}

/// By the same rule as [`Store::dependents`].
async fn live_leaves(tx: &mut Tx, issuer: &str, now: DateTime<Utc>) -> Result<u64> {
    let (count,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM certificates c JOIN agents a ON a.id = c.agent_id
         WHERE c.issuer = $1 AND c.revoked_at IS NULL AND a.revoked_at IS NULL AND (c.not_after > $2
            OR (c.not_after > $3 AND NOT EXISTS (SELECT 1 FROM certificates n
                WHERE n.agent_id = a.id AND n.issuer <> $1 AND n.revoked_at IS NULL)))",
        issuer,
        now,
        now - EXPIRED_RENEWAL_WINDOW
    )?;
    Ok(counted(count))
}

async fn write_audit(
    tx: &mut Tx,
    action: &str,
    fingerprint: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let entry = Entry {
        chain: installation::id(tx).await?,
        team: None,
        actor: Actor::System,
        action,
        subject: ("authority", None),
        detail: serde_json::json!({ "fingerprint": fingerprint }),
    };
    audit::append(tx, &entry, now).await
}

fn missing() -> StoreError {
    StoreError::Damaged("the installation has no certificate authority".to_owned())
}

fn refused(refusal: &RotationRefusal) -> StoreError {
    let remedy = match refusal {
        RotationRefusal::OldStillLive { .. } => {
            "wait until all agents have renewed, within seven days, start those that sleep, and revoke those that never come back; `towline-server admin rotate-ca status` names them"
        }
        RotationRefusal::UnderWay { .. } => {
            "finish that rotation first: `towline-server admin rotate-ca finish`"
        }
        RotationRefusal::NotUnderWay | RotationRefusal::SameRoot(_) => {
            "begin one: `towline-server admin rotate-ca start`"
        }
    };
    StoreError::Conflict {
        message: refusal.to_string(),
        remedy: remedy.to_owned(),
    }
}

const fn place(id: Uuid) -> Place<'static> {
    Place {
        table: "authorities",
        id,
        version: 1,
    }
}
