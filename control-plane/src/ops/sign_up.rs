//! Making an account for oneself.

use super::OpsError;
use crate::domain::password::Password;
use crate::passwords::Passwords;
use crate::store::{Device, Means, NewSession, Store, User, people, sessions};

/// Who wants an account.
#[derive(Debug)]
pub struct SignUp {
    /// The e-mail address.
    pub email: String,
    /// The name.
    pub name: String,
    /// The password.
    pub password: Password,
}

/// Makes an account with a team of its own on the plan Free, and signs its person in.
///
/// # Errors
/// `Conflict` when the address has an account already. It cannot be kept from whoever signs up: the new
/// account is of use at once. It takes as long as to make one.
pub async fn sign_up(
    store: &Store,
    passwords: &Passwords,
    new: SignUp,
    device: &Device,
) -> Result<(User, NewSession), OpsError> {
    people::check_person(&new.email, &new.name)?;
    let password = passwords.hash("password", new.password, &new.email).await?;
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let user =
        people::create_newcomer(&mut tx, &new.email, &new.name, Some(&password), now).await?;
    let begun = sessions::begin(&mut tx, user.id, device, Means::Password, now).await?;
    tx.commit().await?;
    Ok((user, begun))
}
