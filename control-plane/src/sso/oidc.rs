//! OpenID Connect, as the provider's own description says it is spoken there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreIdTokenClaims,
    CoreIdTokenVerifier, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreTokenResponse,
    CoreUserInfoClaims,
};
use openidconnect::{
    AccessTokenHash, AuthType, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret,
    CsrfToken, DiscoveryError, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl, Nonce,
    OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    UserInfoError,
};
use tokio::sync::Mutex;

use super::outside::{CallError, Outside, exchange_failed};
use super::{Begun, Client, STATE_BYTES, SsoError, unfit};
use crate::domain::identity::{AttemptSecrets, Proven, ProviderId, VerifiedEmail};

/// How long a provider's description of itself, with its keys, is taken for true. A key that it does not
/// hold is looked for at once.
const KNOWN_FOR: Duration = Duration::from_mins(10);
/// What words may be signed by: keys whose other half the provider alone has. Our secret, which HMAC would
/// take, is not among them.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// A client that knows where everything is.
type Speaking = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// A provider that speaks OpenID Connect.
#[derive(Debug)]
pub struct Oidc {
    issuer: String,
    client: Client,
    outside: Outside,
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    metadata: Arc<CoreProviderMetadata>,
    at: Instant,
}

impl Oidc {
    pub fn new(issuer: String, client: Client, outside: Outside) -> Self {
        Self {
            issuer,
            client,
            outside,
            known: Mutex::default(),
        }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub async fn begin(&self) -> Result<Begun, SsoError> {
        let metadata = self.metadata().await?;
        let client = self.speaking(&metadata)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new_random_len(STATE_BYTES),
                Nonce::new_random,
            )
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(challenge);
        Ok(Begun::of(request.url(), verifier))
    }

    pub async fn finish(
        &self,
        provider: ProviderId,
        code: &str,
        secrets: &AttemptSecrets,
    ) -> Result<Proven, SsoError> {
        let metadata = self.metadata().await?;
        let mut client = self.speaking(&metadata)?;
        let code = AuthorizationCode::new(code.to_owned());
        let exchange = client.exchange_code(code).map_err(unfit)?;
        let verifier = PkceCodeVerifier::new(secrets.verifier.as_str().to_owned());
        let exchanged = exchange.set_pkce_verifier(verifier);
        let exchanged = exchanged.request_async(&self.outside).await;
        let tokens: CoreTokenResponse = exchanged.map_err(exchange_failed)?;
        let token = tokens.extra_fields().id_token();
        let token = token.ok_or_else(|| SsoError::Unfit("there is no ID token".to_owned()))?;
        let nonce = Nonce::new(secrets.nonce.as_str().to_owned());
        let is_signed_anew = matches!(
            token.claims(&verifier_of(&client), &nonce),
            Err(ClaimsVerificationError::SignatureVerification(_))
        );
        if is_signed_anew {
            // It may have new keys since.
            let metadata = self.ask_anew().await?;
            client = self.speaking(&metadata)?;
        }
        let verifier = verifier_of(&client);
        let claims = token.claims(&verifier, &nonce);
        let claims = claims.map_err(|error| SsoError::Token(error.to_string()))?;
        check_access_token(&tokens, token, claims, &verifier)?;
        let person = Said::of_token(claims);
        let person = match person.email {
            Some(_) => person,
            None => self
                .user_info(&client, &tokens, claims)
                .await?
                .unwrap_or(person),
        };
        let email = person.email.filter(|_| person.email_verified);
        let email = email.as_deref().and_then(VerifiedEmail::vouched);
        let subject = claims.subject().as_str();
        Ok(Proven::new(
            provider,
            subject,
            email,
            person.name.as_deref(),
        )?)
    }

    /// What the provider says beside its token, which need not hold it. It is asked for the same person.
    async fn user_info(
        &self,
        client: &Speaking,
        tokens: &CoreTokenResponse,
        claims: &CoreIdTokenClaims,
    ) -> Result<Option<Said>, SsoError> {
        let subject = claims.subject().clone();
        let Ok(request) = client.user_info(tokens.access_token().clone(), Some(subject)) else {
            return Ok(None);
        };
        let said: Result<CoreUserInfoClaims, _> = request.request_async(&self.outside).await;
        match said {
            Ok(said) => Ok(Some(Said::beside_token(&said))),
            Err(UserInfoError::Request(error)) => Err(error.into()),
            Err(UserInfoError::ClaimsVerification(error)) => {
                Err(SsoError::Token(error.to_string()))
            }
            Err(_) => Err(SsoError::Unfit("its user information".to_owned())),
        }
    }

    fn speaking(&self, metadata: &CoreProviderMetadata) -> Result<Speaking, SsoError> {
        let redirect = RedirectUrl::new(self.client.callback.clone()).map_err(unfit)?;
        let client = CoreClient::from_provider_metadata(
            metadata.clone(),
            ClientId::new(self.client.id.clone()),
            Some(ClientSecret::new(self.client.secret.as_str().to_owned())),
        );
        let client = client.set_redirect_uri(redirect);
        Ok(client.set_auth_type(auth_type(metadata)))
    }

    async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>, SsoError> {
        let mut known = self.known.lock().await;
        match &*known {
            Some(known) if known.at.elapsed() < KNOWN_FOR => Ok(Arc::clone(&known.metadata)),
            _ => self.discover(&mut known).await,
        }
    }

    async fn ask_anew(&self) -> Result<Arc<CoreProviderMetadata>, SsoError> {
        let mut known = self.known.lock().await;
        self.discover(&mut known).await
    }

    async fn discover(
        &self,
        known: &mut Option<Known>,
    ) -> Result<Arc<CoreProviderMetadata>, SsoError> {
        let issuer = IssuerUrl::new(self.issuer.clone()).map_err(unfit)?;
        let found = CoreProviderMetadata::discover_async(issuer, &self.outside).await;
        let metadata = found.map_err(discovery_failed)?;
        // A browser is sent there.
        self.outside
            .check(metadata.authorization_endpoint().as_str())?;
        let metadata = Arc::new(metadata);
        *known = Some(Known {
            metadata: Arc::clone(&metadata),
            at: Instant::now(),
        });
        Ok(metadata)
    }
}

/// What a provider says of a person.
struct Said {
    email: Option<String>,
    email_verified: bool,
    name: Option<String>,
}

macro_rules! said {
    ($claims:expr) => {
        Said {
            email: $claims.email().map(|email| email.as_str().to_owned()),
            email_verified: $claims.email_verified() == Some(true),
            name: $claims
                .name()
                .and_then(|name| name.get(None))
                .map(|name| name.as_str().to_owned()),
        }
    };
}

impl Said {
    fn of_token(claims: &CoreIdTokenClaims) -> Self {
        said!(claims)
    }

    fn beside_token(claims: &CoreUserInfoClaims) -> Self {
        said!(claims)
    }
}

fn verifier_of(client: &Speaking) -> CoreIdTokenVerifier<'_> {
    client.id_token_verifier().set_allowed_algs(SIGNATURES)
}

/// The token that was given beside the provider's word belongs to it.
fn check_access_token(
    tokens: &CoreTokenResponse,
    token: &CoreIdToken,
    claims: &CoreIdTokenClaims,
    verifier: &CoreIdTokenVerifier<'_>,
) -> Result<(), SsoError> {
    let Some(expected) = claims.access_token_hash() else {
        return Ok(());
    };
    let wrong = |why: String| SsoError::Token(why);
    let algorithm = token
        .signing_alg()
        .map_err(|error| wrong(error.to_string()))?;
    let key = token
        .signing_key(verifier)
        .map_err(|error| wrong(error.to_string()))?;
    let actual = AccessTokenHash::from_token(tokens.access_token(), algorithm, key);
    if actual.map_err(|error| wrong(error.to_string()))? == *expected {
        Ok(())
    } else {
        Err(wrong("the access token is another's".to_owned()))
    }
}

/// By the header, unless the provider takes our secret in the body alone.
fn auth_type(metadata: &CoreProviderMetadata) -> AuthType {
    let methods = metadata.token_endpoint_auth_methods_supported();
    let takes = |method| methods.is_none_or(|methods| methods.contains(&method));
    if !takes(CoreClientAuthMethod::ClientSecretBasic)
        && takes(CoreClientAuthMethod::ClientSecretPost)
    {
        AuthType::RequestBody
    } else {
        AuthType::BasicAuth
    }
}

fn discovery_failed(error: DiscoveryError<CallError>) -> SsoError {
    match error {
        DiscoveryError::Request(error) => error.into(),
        DiscoveryError::Response(status, _, why) => SsoError::Unfit(format!("{status}: {why}")),
        other => SsoError::Unfit(other.to_string()),
    }
}
