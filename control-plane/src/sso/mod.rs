//! Providers of identities: where people are sent to show who they are, and what comes back.
//!
//! Each attempt goes by the authorization code with PKCE (S256), a state and a nonce. What a provider says
//! is fetched by this server itself, through [`Egress`], and never taken from what a browser brings. Which
//! account somebody is given by it is decided elsewhere (`ops`).

mod github;
mod oidc;
mod outside;

use std::sync::Arc;
use std::time::Duration;

use openidconnect::{CsrfToken, Nonce, PkceCodeVerifier, url::Url};
use zeroize::Zeroizing;

use crate::config::{IdentityProvider, ProviderKind, PublicUrl, SignUp};
use crate::domain::identity::{AttemptSecrets, Proven, ProviderId, UnfitSubject};
use crate::egress::{Egress, Limits, UrlError};
use github::Github;
use oidc::Oidc;
use outside::{CallError, Outside};

/// What a call may cost. A person waits for up to five of them.
pub const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(10),
    body: 256 * 1024,
};

/// Random bytes of a state.
const STATE_BYTES: u32 = 32;

/// All providers of an installation. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Providers(Arc<Vec<Provider>>);

/// Somebody who knows who people are.
#[derive(Debug)]
pub struct Provider {
    /// What it is called in addresses and rows.
    pub id: ProviderId,
    /// What people read.
    pub name: String,
    /// How it is spoken to.
    pub kind: ProviderKind,
    /// Whether it may bring people who have no account.
    pub sign_up: SignUp,
    /// Where people's verified addresses must lie.
    pub email_domains: Vec<String>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Oidc(Oidc),
    Github(Github),
}

/// What this installation is at a provider.
#[derive(Clone)]
struct Client {
    id: String,
    secret: Zeroizing<String>,
    /// Where the provider sends people back to.
    callback: String,
}

/// Somebody is about to be sent to a provider.
pub struct Begun {
    /// Where to send them.
    pub url: String,
    /// What comes back with them.
    pub state: Zeroizing<String>,
    /// What does not travel.
    pub secrets: AttemptSecrets,
}

/// Why a provider has shown nobody.
#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    /// It gave no answer.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[from] CallError),
    /// It answered with something that cannot be used.
    #[error("it gave an answer that cannot be used: {0}")]
    Unfit(String),
    /// It refused the code, or our secret.
    #[error("it refused the code: {0}")]
    Refused(String),
    /// Its word is not for us, not on this attempt, or not its own.
    #[error("its word on who it is does not hold: {0}")]
    Token(String),
}

/// A provider whose address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the provider {id} cannot be used: {cause}")]
pub struct ProviderError {
    /// Which.
    pub id: ProviderId,
    /// Why.
    pub cause: UrlError,
}

impl Providers {
    /// The providers of a configuration, with their secrets.
    pub fn new(
        configured: impl IntoIterator<Item = (IdentityProvider, Zeroizing<String>)>,
        egress: &Egress,
        url: &PublicUrl,
    ) -> Result<Self, ProviderError> {
        let made = configured.into_iter().map(|(provider, secret)| {
            let id = provider.id.clone();
            let made = Provider::new(provider, secret, egress, url);
            made.map_err(|cause| ProviderError { id, cause })
        });
        Ok(Self(Arc::new(made.collect::<Result<_, _>>()?)))
    }

    /// All, in the order in which they are shown.
    pub fn all(&self) -> &[Provider] {
        &self.0
    }

    /// The one with this id.
    pub fn find(&self, id: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.id.as_str() == id)
    }
}

impl Provider {
    fn new(
        configured: IdentityProvider,
        secret: Zeroizing<String>,
        egress: &Egress,
        url: &PublicUrl,
    ) -> Result<Self, UrlError> {
        egress.check(&configured.issuer)?;
        let (id, outside) = (configured.id, Outside::new(egress.clone()));
        let client = Client {
            id: configured.client_id,
            secret,
            callback: format!("{url}/api/v1/sign-in/providers/{id}/callback"),
        };
        let way = match configured.kind {
            ProviderKind::Github => Way::Github(Github::new(&configured.issuer, client, outside)),
            ProviderKind::Google | ProviderKind::Oidc => {
                Way::Oidc(Oidc::new(configured.issuer, client, outside))
            }
        };
        Ok(Self {
            id,
            name: configured.name,
            kind: configured.kind,
            sign_up: configured.sign_up,
            email_domains: configured.email_domains,
            way,
        })
    }

    /// Whether an answer that names its issuer (RFC 9207) can be this provider's.
    pub fn may_be_from(&self, issuer: Option<&str>) -> bool {
        match &self.way {
            Way::Oidc(oidc) => issuer.is_none_or(|issuer| issuer == oidc.issuer()),
            Way::Github(_) => true,
        }
    }

    /// Where to send somebody.
    pub async fn begin(&self) -> Result<Begun, SsoError> {
        match &self.way {
            Way::Oidc(oidc) => oidc.begin().await,
            Way::Github(github) => github.begin(),
        }
    }

    /// Who it is that came back with a code.
    pub async fn finish(&self, code: &str, secrets: &AttemptSecrets) -> Result<Proven, SsoError> {
        let id = self.id.clone();
        match &self.way {
            Way::Oidc(oidc) => oidc.finish(id, code, secrets).await,
            Way::Github(github) => github.finish(id, code, secrets).await,
        }
    }
}

impl Begun {
    fn of((url, state, nonce): (Url, CsrfToken, Nonce), verifier: PkceCodeVerifier) -> Self {
        Self {
            url: url.into(),
            state: Zeroizing::new(state.into_secret()),
            secrets: AttemptSecrets {
                verifier: Zeroizing::new(verifier.into_secret()),
                nonce: Zeroizing::new(nonce.secret().clone()),
            },
        }
    }
}

fn unfit(error: impl std::fmt::Display) -> SsoError {
    SsoError::Unfit(error.to_string())
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl From<UnfitSubject> for SsoError {
    fn from(error: UnfitSubject) -> Self {
        Self::Unfit(error.to_string())
    }
}
