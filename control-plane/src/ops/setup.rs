//! The first set-up: the one-time link becomes the first person.

use super::OpsError;
use crate::domain::password::PasswordHash;
use crate::store::Store;
use crate::store::people::{SetUp, check_person, consume_setup_link, create_first_user, is_set_up};

/// Uses up the set-up link. Of two who hold it one becomes the first person.
pub async fn complete_setup(
    store: &Store,
    token: &str,
    email: &str,
    name: &str,
    password: Option<&PasswordHash>,
) -> Result<SetUp, OpsError> {
    check_person(email, name)?;
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    if !consume_setup_link(&mut tx, token, now).await? || is_set_up(&mut tx).await? {
        return Err(OpsError::SetUpDone);
    }
    let set_up = create_first_user(&mut tx, email, name, password, now).await?;
    tx.commit().await?;
    Ok(set_up)
}
