//! What people are at providers of identities, and by which they may sign in.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::json;
use towline_pki::{hash_token, random_token};
use towline_shared::ids::{IdentityId, UserId};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::audit::{self, Actor};
use super::db::{Tx, all, execute, local_now, optional};
use super::sign_in_attempts::{BROWSER_PREFIX, LASTS};
use super::tenant::Person;
use super::text::storable;
use super::{Resource, Result, Store, StoreError, accounts};
use crate::domain::identity::{Proven, ProviderId, VerifiedEmail};

/// The most identities of a person.
const MOST: i64 = 20;

/// What a person is at a provider.
#[derive(Clone, Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Identity {
    /// The identity's id.
    #[schema(value_type = Uuid)]
    #[sqlx(try_from = "Uuid")]
    pub id: IdentityId,
    /// The provider's id.
    pub provider: String,
    /// By what the provider knows the person.
    pub subject: String,
    /// The person's address there, if the provider has verified it.
    pub email: Option<String>,
    /// When it was linked.
    pub created_at: DateTime<Utc>,
    /// When the person last signed in by it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// Somebody whom a provider has shown, and of whom a code is asked for.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The person.
    pub user: UserId,
    /// The account's address.
    pub email: String,
    /// The provider.
    pub provider: String,
}

#[derive(sqlx::FromRow)]
struct WaitingRow {
    id: Uuid,
    email: String,
    provider: String,
}

impl From<WaitingRow> for Waiting {
    fn from(row: WaitingRow) -> Self {
        Self {
            user: row.id.into(),
            email: row.email,
            provider: row.provider,
        }
    }
}

impl Store {
    /// The person's identities, newest first.
    pub async fn list_identities(&self, person: &Person) -> Result<Vec<Identity>> {
        let mut reader = self.main().read().await?;
        Ok(all!(
            reader.conn(),
            Identity,
            "SELECT id, provider, subject, email, created_at, last_used_at FROM oauth_identities
             WHERE user_id = $1 ORDER BY id DESC LIMIT $2",
            person.user().uuid(),
            MOST
        )?)
    }

    /// Takes an identity from the person's account. The last way to sign in is not taken: a password, or an
    /// identity at one of the providers that are `known` today.
    pub async fn unlink_identity(
        &self,
        person: &Person,
        id: IdentityId,
        known: &[ProviderId],
    ) -> Result<()> {
        let (user, now) = (person.user(), local_now());
        let mut tx = self.main().begin().await?;
        let account = accounts::lock(&mut tx, user).await?;
        let own = all!(
            tx.conn(),
            (Uuid, String),
            "SELECT id, provider FROM oauth_identities WHERE user_id = $1 ORDER BY id LIMIT $2",
            user.uuid(),
            MOST
        )?;
        let found = own.iter().find(|(own, _)| *own == id.uuid());
        let (_, provider) = found.ok_or(StoreError::NotFound(Resource::Identity))?;
        let is_way = |(other, provider): &(Uuid, String)| {
            *other != id.uuid() && known.iter().any(|known| known.as_str() == provider)
        };
        if account.password.is_none() && !own.iter().any(is_way) {
            return Err(StoreError::Conflict {
                message: "it is your last way to sign in".to_owned(),
                remedy: "choose a password by a link first, as if you had forgotten it, or link another identity".to_owned(),
            });
        }
        let sql = "DELETE FROM oauth_identities WHERE id = $1";
        execute!(tx.conn(), sql, id.uuid())?;
        let (subject, detail) = (("identity", id.uuid()), json!({ "provider": provider }));
        let (actor, action) = (person.actor(), "identity.unlink");
        audit::append_to_account(&mut tx, user, actor, action, subject, detail, now).await?;
        tx.commit().await
    }

    /// Who must yet give a code in this browser.
    pub async fn waiting_sign_in(&self, browser: &str) -> Result<Option<Waiting>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            WaitingRow,
            "SELECT u.id, u.email, i.provider FROM waiting_sign_ins w
             JOIN oauth_identities i ON i.id = w.identity_id JOIN users u ON u.id = i.user_id
             WHERE w.browser_hash = $1 AND w.expires_at > $2",
            hash_token(browser),
            local_now()
        )?;
        Ok(row.map(Waiting::from))
    }

    /// The account that an identity signs in to.
    pub async fn user_of_identity(&self, proven: &Proven) -> Result<Option<UserId>> {
        let mut reader = self.main().read().await?;
        let row = optional!(
            reader.conn(),
            (Uuid,),
            "SELECT user_id FROM oauth_identities WHERE provider = $1 AND subject = $2",
            proven.provider.as_str(),
            proven.subject.as_str()
        )?;
        Ok(row.map(|(user,)| user.into()))
    }
}

/// The identity of somebody in an account that has been locked; nothing, when it was unlinked meanwhile.
pub(crate) async fn find(tx: &mut Tx, user: UserId, proven: &Proven) -> Result<Option<IdentityId>> {
    let row = optional!(
        tx.conn(),
        (Uuid,),
        "SELECT id FROM oauth_identities WHERE provider = $1 AND subject = $2 AND user_id = $3",
        proven.provider.as_str(),
        proven.subject.as_str(),
        user.uuid()
    )?;
    Ok(row.map(|(id,)| id.into()))
}

/// Links an identity to an account that has been locked.
///
/// # Errors
/// `Conflict` when it is linked already, be it to this account or another.
pub(crate) async fn link(
    tx: &mut Tx,
    user: UserId,
    actor: Actor,
    proven: &Proven,
    now: DateTime<Utc>,
) -> Result<IdentityId> {
    let id = IdentityId::new();
    let linked = execute!(
        tx.conn(),
        "INSERT INTO oauth_identities (id, user_id, provider, subject, email, created_at, updated_at)
         SELECT $1, $2, $3, $4, $5, $6, $6 WHERE (SELECT COUNT(*) FROM oauth_identities WHERE user_id = $2) < $7
         ON CONFLICT (provider, subject) DO NOTHING",
        id.uuid(),
        user.uuid(),
        proven.provider.as_str(),
        proven.subject.as_str(),
        proven.email.as_ref().map(VerifiedEmail::as_str),
        now,
        MOST
    )?;
    if linked == 0 {
        return Err(StoreError::Conflict {
            message: "this identity is linked already, or you have as many as there may be"
                .to_owned(),
            remedy: "sign in by it to see whose it is; unlink it there first".to_owned(),
        });
    }
    let subject = ("identity", id.uuid());
    let detail = json!({ "provider": proven.provider, "subject": storable(&proven.subject) });
    audit::append_to_account(tx, user, actor, "identity.link", subject, detail, now).await?;
    Ok(id)
}

/// Notes that somebody has signed in by an identity.
pub(crate) async fn note_use(
    tx: &mut Tx,
    id: IdentityId,
    proven: &Proven,
    now: DateTime<Utc>,
) -> Result<()> {
    execute!(
        tx.conn(),
        "UPDATE oauth_identities SET last_used_at = $2, email = $3, updated_at = $2 WHERE id = $1",
        id.uuid(),
        now,
        proven.email.as_ref().map(VerifiedEmail::as_str)
    )?;
    Ok(())
}

/// Notes that a code of the second factor is missing, and gives the secret for the browser. An identity waits
/// in one browser at a time.
pub(crate) async fn wait_for_code(
    tx: &mut Tx,
    id: IdentityId,
    now: DateTime<Utc>,
) -> Result<Zeroizing<String>> {
    let browser = random_token(BROWSER_PREFIX)?;
    let sql = "DELETE FROM waiting_sign_ins WHERE identity_id = $1";
    execute!(tx.conn(), sql, id.uuid())?;
    execute!(
        tx.conn(),
        "INSERT INTO waiting_sign_ins (id, identity_id, browser_hash, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        id.uuid(),
        hash_token(&browser),
        now + LASTS,
        now
    )?;
    Ok(browser)
}

/// Uses up that somebody waits; false if they do not, or not any more.
pub(crate) async fn end_waiting(tx: &mut Tx, browser: &str, now: DateTime<Utc>) -> Result<bool> {
    let ended = execute!(
        tx.conn(),
        "DELETE FROM waiting_sign_ins WHERE browser_hash = $1 AND expires_at > $2",
        hash_token(browser),
        now
    )?;
    Ok(ended == 1)
}
