//! Hashing of passwords: argon2id, on threads of its own, a few at once.
//!
//! A hash takes 64 MiB of memory and a tenth of a second of a processor, so that a thief of the
//! database guesses slowly. A flood of sign-ins must not make that the machine's: half of the
//! processors work on hashes, a bounded number wait for them, and whoever comes on top is told so.

use std::sync::Arc;
use std::thread::available_parallelism;

use argon2::password_hash::{
    Error as HashError, PasswordHash as Phc, PasswordHasher as _, PasswordVerifier as _, SaltString,
};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::Semaphore;

use crate::domain::names::InvalidName;
use crate::domain::password::{Password, PasswordHash};

/// The second recommended parameters of RFC 9106: KiB of memory, passes, lanes.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// Of salt, as the RFC recommends.
const SALT_BYTES: usize = 16;
/// So many wait for their turn: some seconds' worth.
const WAITING: usize = 32;

/// Hashes and checks passwords. Clones share their turns.
#[derive(Clone, Debug)]
pub struct Passwords(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    at_work: Arc<Semaphore>,
    /// At work or waiting.
    taken_in: Semaphore,
}

/// What a password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The person's.
    Right,
    /// Another.
    Wrong,
}

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// It is none that may be chosen.
    #[error(transparent)]
    Unfit(#[from] InvalidName),
    /// Too many wait already.
    #[error("too many sign in at this moment")]
    Busy,
    /// The hashing failed.
    #[error("a password cannot be hashed: {0}")]
    Failed(String),
}

impl Default for Passwords {
    fn default() -> Self {
        let processors = available_parallelism().map_or(1, usize::from);
        Self::new((processors / 2).max(1), WAITING)
    }
}

impl Passwords {
    fn new(at_work: usize, waiting: usize) -> Self {
        Self(Arc::new(Turns {
            at_work: Arc::new(Semaphore::new(at_work)),
            taken_in: Semaphore::new(at_work + waiting),
        }))
    }

    /// The hash of a password that somebody with this address chooses, if they do.
    pub async fn chosen(
        &self,
        field: &'static str,
        password: Option<Password>,
        email: &str,
    ) -> Result<Option<PasswordHash>, PasswordError> {
        let Some(password) = password else {
            return Ok(None);
        };
        self.hash(field, password, email).await.map(Some)
    }

    /// The hash of a password that somebody with this address chooses.
    pub async fn hash(
        &self,
        field: &'static str,
        password: Password,
        email: &str,
    ) -> Result<PasswordHash, PasswordError> {
        password.check_new(field, email)?;
        self.in_turn(move || hash(&password)).await
    }

    /// Whether a password is the one that was hashed. It takes as long when nothing was: who asks
    /// learns nothing of whether there is an account.
    pub async fn check(
        &self,
        password: Password,
        stored: Option<PasswordHash>,
    ) -> Result<Verdict, PasswordError> {
        self.in_turn(move || match stored {
            Some(stored) => compare(&password, &stored),
            None => hash(&password).map(|_| Verdict::Wrong),
        })
        .await
    }

    /// The turn ends with the work, also when nobody waits for it any more.
    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let _place = self
            .0
            .taken_in
            .try_acquire()
            .map_err(|_| PasswordError::Busy)?;
        let turn = Arc::clone(&self.0.at_work).acquire_owned().await;
        let turn = turn.map_err(|_| PasswordError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await
            .map_err(|error| PasswordError::Failed(error.to_string()))?
    }
}

fn hasher() -> Result<Argon2<'static>, PasswordError> {
    let parameters = Params::new(MEMORY, PASSES, LANES, None)
        .map_err(|error| PasswordError::Failed(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters))
}

fn hash(password: &Password) -> Result<PasswordHash, PasswordError> {
    let failed = |error: HashError| PasswordError::Failed(error.to_string());
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|error| PasswordError::Failed(error.to_string()))?;
    let salt = SaltString::encode_b64(&salt).map_err(failed)?;
    let hashed = hasher()?
        .hash_password(password.reveal(), &salt)
        .map_err(failed)?;
    Ok(PasswordHash::new(hashed.to_string()))
}

fn compare(password: &Password, stored: &PasswordHash) -> Result<Verdict, PasswordError> {
    let failed = |error: HashError| PasswordError::Failed(error.to_string());
    let stored = Phc::new(stored.as_str()).map_err(failed)?;
    match hasher()?.verify_password(password.reveal(), &stored) {
        Ok(()) => Ok(Verdict::Right),
        Err(HashError::Password) => Ok(Verdict::Wrong),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn password(text: &str) -> Password {
        text.to_owned().into()
    }

    #[tokio::test]
    async fn a_password_opens_by_its_hash_alone() {
        let passwords = Passwords::default();
        let chosen = password("correct horse battery");
        let one = passwords
            .hash("password", chosen.clone(), "")
            .await
            .unwrap();
        let other = passwords
            .hash("password", chosen.clone(), "")
            .await
            .unwrap();
        assert_ne!(one, other, "each has a salt of its own");
        assert!(
            one.as_str().starts_with("$argon2id$v=19$m=65536,t=3,p=4$"),
            "{}",
            one.as_str()
        );
        for (text, stored, verdict) in [
            ("correct horse battery", Some(one.clone()), Verdict::Right),
            ("correct horse batterz", Some(one.clone()), Verdict::Wrong),
            ("", Some(one), Verdict::Wrong),
            ("correct horse battery", None, Verdict::Wrong),
        ] {
            let checked = passwords.check(password(text), stored).await.unwrap();
            assert_eq!(checked, verdict, "{text}");
        }
        let damaged = PasswordHash::new("nonsense".to_owned());
        let refused = passwords.check(chosen, Some(damaged)).await;
        assert!(matches!(refused, Err(PasswordError::Failed(_))));
    }

    #[tokio::test]
    async fn a_flood_waits_and_what_goes_beyond_is_told() {
        let passwords = Passwords::new(1, 2);
        let busy = passwords.in_turn(|| {
            std::thread::sleep(Duration::from_millis(200));
            Ok(())
        });
        let later = || passwords.in_turn(|| Ok(()));
        let (busy, one, two, three) = tokio::join!(busy, later(), later(), later());
        assert!(busy.is_ok() && one.is_ok() && two.is_ok());
        assert!(matches!(three, Err(PasswordError::Busy)));
        assert!(later().await.is_ok(), "the turns are given back");
    }
}
