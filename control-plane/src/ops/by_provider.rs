//! Signing in at a provider of identities, and linking what one is there to one's account.
//!
//! Somebody is let into an account by an identity that its person has linked while signed in, and by
//! nothing else: that an address at a provider is an account's address is not enough, whoever says so.

use zeroize::Zeroizing;

use super::sign_in::{confirmed, let_in};
use super::{NotLetIn, OpsError, second_factor};
use crate::config::SignUp;
use crate::domain::identity::Proven;
use crate::domain::password::Password;
use crate::passwords::Passwords;
use crate::sso::{Provider, SsoError};
use crate::store::{
    Device, Means, NewSession, Person, Purpose, Resource, Store, StoreError, accounts, identities,
    people, sessions,
};

/// Somebody who has been sent to a provider.
pub struct Sent {
    /// Where the browser goes now.
    pub url: String,
    /// What the browser keeps until it comes back.
    pub browser: Zeroizing<String>,
}

/// What a browser came back with.
#[derive(Clone, Copy, Debug)]
pub struct Returned<'a> {
    /// What it was sent with.
    pub state: &'a str,
    /// What it has kept.
    pub browser: &'a str,
    /// What the provider has given it; nothing, if the provider refused.
    pub code: Option<&'a str>,
    /// Who the provider says to be.
    pub issuer: Option<&'a str>,
}

/// What came of it.
pub enum Came {
    /// Somebody is signed in.
    In(NewSession),
    /// A code of the second factor is missing. The browser keeps this until then.
    ToCode(Zeroizing<String>),
    /// An identity was linked.
    Linked,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum NotByProvider {
    /// Nobody was sent so by this browser, or it is too long ago, or it was used.
    #[error("this attempt is over, was used, or was begun in another browser")]
    Over,
    /// The provider, or the person there, said no.
    #[error("the provider did not agree")]
    Denied,
    /// The provider could not show who it is.
    #[error("the provider could not show who it is: {0}")]
    Provider(#[from] SsoError),
    /// Who wanted to link something is not signed in any more.
    #[error("to link it, one must be signed in, as at the beginning")]
    NotSignedIn,
    /// The identity is linked already.
    #[error("the identity is linked already")]
    Taken,
    /// An account has the address, and the identity is not linked to it.
    #[error("there is an account with this address, to which this identity is not linked")]
    Unlinked,
    /// The provider has not verified any address.
    #[error("the provider has verified no address of the person")]
    NoEmail,
    /// The address lies elsewhere.
    #[error("people with such an address are not let in by this provider")]
    Domain,
    /// Nobody comes in unasked.
    #[error("nobody has an account by this identity, and people come in by invitation alone")]
    Closed,
    /// The account is shut out.
    #[error("the account is suspended")]
    Suspended,
    /// The store failed.
    #[error(transparent)]
    Failed(OpsError),
}

impl NotByProvider {
    /// What the page is told.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Over => "over",
            Self::Denied => "denied",
            Self::Provider(SsoError::Unreachable(_)) => "unreachable",
            Self::Provider(_) => "unproven",
            Self::NotSignedIn => "not-signed-in",
            Self::Taken => "taken",
            Self::Unlinked => "unlinked",
            Self::NoEmail => "no-email",
            Self::Domain => "domain",
            Self::Closed => "closed",
            Self::Suspended => "suspended",
            Self::Failed(_) => "failed",
        }
    }
}

impl From<OpsError> for NotByProvider {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::NotLetIn(NotLetIn::Suspended) => Self::Suspended,
            error => Self::Failed(error),
        }
    }
}

impl From<StoreError> for NotByProvider {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Begins to sign somebody in.
pub async fn send_to_provider(store: &Store, provider: &Provider) -> Result<Sent, NotByProvider> {
    send(store, provider, Purpose::SignIn).await
}

/// Who has a password shows it before something is linked: that lets in for good, and a session alone must
/// not become that.
pub async fn confirm_to_link(
    store: &Store,
    passwords: &Passwords,
    person: &Person,
    password: Option<Password>,
) -> Result<(), OpsError> {
    if store.account(person).await?.password.is_some() {
        let password = password.ok_or_else(|| StoreError::Invalid {
            field: "password",
            message: "your password is needed, because the identity will stand beside it"
                .to_owned(),
            remedy: "give the password that you sign in with".to_owned(),
        })?;
        confirmed(store, passwords, person, password).await?;
    }
    Ok(())
}

/// Begins to link an identity to the account of somebody who was [confirmed](confirm_to_link).
pub async fn send_to_link(
    store: &Store,
    provider: &Provider,
    person: &Person,
) -> Result<Sent, NotByProvider> {
    send(store, provider, Purpose::Link(person.user())).await
}

async fn send(store: &Store, provider: &Provider, purpose: Purpose) -> Result<Sent, NotByProvider> {
    let begun = provider.begin().await?;
    let (state, secrets) = (&begun.state, &begun.secrets);
    let browser = store.begin_attempt(&provider.id, purpose, state, secrets);
    Ok(Sent {
        browser: browser.await?,
        url: begun.url,
    })
}

/// Takes somebody back from a provider. `person` is who is signed in in this browser.
pub async fn return_from_provider(
    store: &Store,
    provider: &Provider,
    installation: SignUp,
    returned: Returned<'_>,
    person: Option<&Person>,
    device: &Device,
) -> Result<Came, NotByProvider> {
    let taken = store.take_attempt(&provider.id, returned.state, returned.browser);
    let (purpose, secrets) = taken.await?.ok_or(NotByProvider::Over)?;
    if !provider.may_be_from(returned.issuer) {
        let why = "it came back from another provider".to_owned();
        return Err(SsoError::Token(why).into());
    }
    let code = returned.code.ok_or(NotByProvider::Denied)?;
    match purpose {
        Purpose::Link(user) => {
            let person = person.filter(|person| person.user() == user);
            let person = person.ok_or(NotByProvider::NotSignedIn)?;
            let proven = provider.finish(code, &secrets).await?;
            link(store, provider, person, &proven).await
        }
        Purpose::SignIn => {
            let proven = provider.finish(code, &secrets).await?;
            let doors = if installation == SignUp::Open {
                provider.sign_up
            } else {
                SignUp::Closed
            };
            let came = sign_in(store, provider, &proven, doors, device).await;
            if let Err(error) = &came {
                note_refusal(store, &proven, error, device).await?;
            }
            came
        }
    }
}

fn check_domain(provider: &Provider, proven: &Proven) -> Result<(), NotByProvider> {
    match proven.is_of(&provider.email_domains) {
        true => Ok(()),
        false if proven.email.is_none() => Err(NotByProvider::NoEmail),
        false => Err(NotByProvider::Domain),
    }
}

async fn link(
    store: &Store,
    provider: &Provider,
    person: &Person,
    proven: &Proven,
) -> Result<Came, NotByProvider> {
    check_domain(provider, proven)?;
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    accounts::lock(&mut tx, person.user()).await?;
    let linked = identities::link(&mut tx, person.user(), person.actor(), proven, now).await;
    match linked {
        Ok(_) => {}
        Err(StoreError::Conflict { .. }) => return Err(NotByProvider::Taken),
        Err(error) => return Err(error.into()),
    }
    tx.commit().await?;
    Ok(Came::Linked)
}

async fn sign_in(
    store: &Store,
    provider: &Provider,
    proven: &Proven,
    doors: SignUp,
    device: &Device,
) -> Result<Came, NotByProvider> {
    check_domain(provider, proven)?;
    let Some(user) = store.user_of_identity(proven).await? else {
        return join(store, proven, doors, device).await;
    };
    let means = Means::Provider(provider.id.as_str());
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    accounts::lock(&mut tx, user).await?;
    let identity = identities::find(&mut tx, user, proven).await?;
    let identity = identity.ok_or(NotByProvider::Unlinked)?;
    match second_factor::check(store, &mut tx, user, None, now).await {
        Ok(()) => {
            identities::note_use(&mut tx, identity, proven, now).await?;
            let begun = let_in(&mut tx, user, device, means, now).await?;
            tx.commit().await?;
            store.wake().outbox();
            Ok(Came::In(begun))
        }
        Err(OpsError::NotLetIn(NotLetIn::CodeRequired)) => {
            identities::note_use(&mut tx, identity, proven, now).await?;
            let browser = identities::wait_for_code(&mut tx, identity, now).await?;
            tx.commit().await?;
            Ok(Came::ToCode(browser))
        }
        Err(error) => Err(error.into()),
    }
}

/// Makes an account for somebody who has none, where people may come in unasked.
async fn join(
    store: &Store,
    proven: &Proven,
    doors: SignUp,
    device: &Device,
) -> Result<Came, NotByProvider> {
    let email = proven.email.as_ref().ok_or(NotByProvider::NoEmail)?;
    if store.account_by_email(email.as_str()).await?.is_some() {
        return Err(NotByProvider::Unlinked);
    }
    if doors == SignUp::Closed {
        return Err(NotByProvider::Closed);
    }
    let (email, name) = (email.as_str(), proven.shown_name());
    people::check_person(email, name)?;
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let made = people::create_newcomer(&mut tx, email, name, None, now).await;
    let user = match made {
        Ok(user) => user.id,
        // Somebody was a moment faster.
        Err(StoreError::Conflict { .. }) => return Err(NotByProvider::Unlinked),
        Err(error) => return Err(error.into()),
    };
    let actor = device.actor(user);
    let identity = match identities::link(&mut tx, user, actor, proven, now).await {
        Ok(identity) => identity,
        Err(StoreError::Conflict { .. }) => return Err(NotByProvider::Taken),
        Err(error) => return Err(error.into()),
    };
    identities::note_use(&mut tx, identity, proven, now).await?;
    let means = Means::Provider(proven.provider.as_str());
    let begun = sessions::begin(&mut tx, user, device, means, now).await?;
    tx.commit().await?;
    Ok(Came::In(begun))
}

/// Writes down that somebody was not let into an account, as with a wrong password.
async fn note_refusal(
    store: &Store,
    proven: &Proven,
    error: &NotByProvider,
    device: &Device,
) -> Result<(), NotByProvider> {
    let why = match error {
        NotByProvider::Unlinked => "an identity that is not linked",
        NotByProvider::Domain | NotByProvider::NoEmail => "an address that is not let in",
        _ => return Ok(()),
    };
    let mut user = store.user_of_identity(proven).await?;
    if let (None, NotByProvider::Unlinked, Some(email)) = (user, error, &proven.email) {
        let account = store.account_by_email(email.as_str()).await?;
        user = account.map(|account| account.user);
    }
    if let Some(user) = user {
        store.note_refused_sign_in(user, device, why);
    }
    Ok(())
}

/// Signs somebody in whom a provider has shown, by the code of the second factor that was missing.
pub async fn give_code(
    store: &Store,
    browser: &str,
    code: &str,
    device: &Device,
) -> Result<NewSession, OpsError> {
    let over = StoreError::NotFound(Resource::WaitingSignIn);
    let waiting = store.waiting_sign_in(browser).await?;
    let Some(waiting) = waiting else {
        return Err(over.into());
    };
    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    accounts::lock(&mut tx, waiting.user).await?;
    if !identities::end_waiting(&mut tx, browser, now).await? {
        return Err(over.into());
    }
    let user = waiting.user;
    if let Err(error) = second_factor::check(store, &mut tx, user, Some(code), now).await {
        if matches!(error, OpsError::NotLetIn(NotLetIn::WrongCode)) {
            store.note_refused_sign_in(user, device, "code");
        }
        return Err(error);
    }
    let means = Means::Provider(&waiting.provider);
    let begun = let_in(&mut tx, user, device, means, now).await?;
    tx.commit().await?;
    store.wake().outbox();
    Ok(begun)
}
