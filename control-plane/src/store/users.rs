//! The people of the installation, for its administrators.

use chrono::{DateTime, Utc};
use towline_shared::ids::UserId;
use uuid::Uuid;

use super::db::all;
use super::page::{Listed, Page};
use super::people::User;
use super::{Result, Store};

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    email: String,
    name: String,
    role: String,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_user(self) -> User {
        User {
            id: UserId::from(self.id),
            email: self.email,
            name: self.name,
            role: self.role,
            created_at: self.created_at,
        }
    }
}

impl Store {
    /// All people. To be called only for administrators of the installation.
    pub async fn list_users(&self, page: Page) -> Result<Listed<User>> {
        let mut reader = self.main().read().await?;
        let rows = all!(
            reader.conn(),
            Row,
            "SELECT id, email, name, role, created_at FROM users WHERE id < $1 ORDER BY id DESC LIMIT $2",
            page.before(),
            page.fetch()
        )?;
        let users = rows.into_iter().map(Row::into_user).collect();
        Ok(page.cut(users, |user: &User| user.id.uuid()))
    }
}
