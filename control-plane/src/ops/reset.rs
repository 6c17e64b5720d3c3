//! A new password by a link.

use super::OpsError;
use crate::domain::password::Password;
use crate::passwords::Passwords;
use crate::store::{Device, Store};

/// Gives whoever has the link this password, and ends their sessions. Signing in is a step of its own:
/// a second factor is still asked for.
pub async fn use_reset(
    store: &Store,
    passwords: &Passwords,
    token: &str,
    password: Password,
    device: &Device,
) -> Result<(), OpsError> {
    let account = store.account_of_reset(token).await?;
    let password = passwords.hash("password", password, &account.email).await?;
    Ok(store.use_reset(token, &password, device).await?)
}
