//! GitHub, which speaks OAuth and not OpenID Connect: who somebody is, its API says.
//!
//! GitHub itself is out of the tests' reach. They run against a small server that answers as GitHub's
//! documentation has it, and checks what it is asked.

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreJsonWebKeySet};
use openidconnect::http::header::{ACCEPT, AUTHORIZATION};
use openidconnect::http::{Request, StatusCode};
use openidconnect::{
    AccessToken, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenUrl,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::outside::{Outside, exchange_failed};
use super::{Begun, Client, STATE_BYTES, SsoError, unfit};
use crate::domain::identity::{AttemptSecrets, Proven, ProviderId, VerifiedEmail};

const PUBLIC: &str = "https://github.com";
const PUBLIC_API: &str = "https://api.github.com";
/// The version of the API that is read here.
const VERSION: &str = "2022-11-28";

/// A client that knows where to send people and where to exchange codes.
type Speaking = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
    EndpointNotSet,
>;

/// GitHub, or an Enterprise Server.
#[derive(Debug)]
pub struct Github {
    address: String,
    api: String,
    client: Client,
    outside: Outside,
}

#[derive(Deserialize)]
struct User {
    id: u64,
    login: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Address {
    email: String,
    primary: bool,
    verified: bool,
}

impl Github {
    pub fn new(address: &str, client: Client, outside: Outside) -> Self {
        let address = address.trim_end_matches('/').to_owned();
        let api = if address == PUBLIC {
            PUBLIC_API.to_owned()
        } else {
            format!("{address}/api/v3")
        };
        Self {
            address,
            api,
            client,
            outside,
        }
    }

    pub fn begin(&self) -> Result<Begun, SsoError> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = self.speaking()?;
        // It has no use for a nonce: its word comes from its API, not by the browser.
        let request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new_random_len(STATE_BYTES),
                Nonce::new_random,
            )
            .add_scope(Scope::new("read:user".to_owned()))
            .add_scope(Scope::new("user:email".to_owned()))
            .set_pkce_challenge(challenge);
        Ok(Begun::of(request.url(), verifier))
    }

    pub async fn finish(
        &self,
        provider: ProviderId,
        code: &str,
        secrets: &AttemptSecrets,
    ) -> Result<Proven, SsoError> {
        let verifier = PkceCodeVerifier::new(secrets.verifier.as_str().to_owned());
        let client = self.speaking()?;
        let exchange = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let exchanged = exchange.set_pkce_verifier(verifier);
        let exchanged = exchanged.request_async(&self.outside).await;
        let tokens = exchanged.map_err(exchange_failed)?;
        let token = tokens.access_token();
        let user: User = self.look("/user", token).await?;
        let emails: Vec<Address> = self.look("/user/emails", token).await?;
        let primary = emails.iter().find(|one| one.primary && one.verified);
        let email = primary.and_then(|one| VerifiedEmail::vouched(&one.email));
        let name = user.name.as_deref().unwrap_or(&user.login);
        Ok(Proven::new(
            provider,
            &user.id.to_string(),
            email,
            Some(name),
        )?)
    }

    fn speaking(&self) -> Result<Speaking, SsoError> {
        let at = |path: &str| format!("{}{path}", self.address);
        let issuer = IssuerUrl::new(self.address.clone()).map_err(unfit)?;
        let id = ClientId::new(self.client.id.clone());
        let client = CoreClient::new(id, issuer, CoreJsonWebKeySet::new(Vec::new()));
        let secret = ClientSecret::new(self.client.secret.as_str().to_owned());
        let redirect = RedirectUrl::new(self.client.callback.clone()).map_err(unfit)?;
        Ok(client
            .set_client_secret(secret)
            .set_auth_type(AuthType::RequestBody)
            .disable_openid_scope()
            .set_redirect_uri(redirect)
            .set_auth_uri(AuthUrl::new(at("/login/oauth/authorize")).map_err(unfit)?)
            .set_token_uri(TokenUrl::new(at("/login/oauth/access_token")).map_err(unfit)?))
    }

    async fn look<T: DeserializeOwned>(
        &self,
        path: &str,
        token: &AccessToken,
    ) -> Result<T, SsoError> {
        let request = Request::get(format!("{}{path}", self.api))
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", VERSION)
            .header(AUTHORIZATION, format!("Bearer {}", token.secret()))
            .body(Vec::new());
        let response = self.outside.ask(request.map_err(unfit)?).await?;
        if response.status() != StatusCode::OK {
            return Err(SsoError::Unfit(format!("{path}: {}", response.status())));
        }
        serde_json::from_slice(response.body())
            .map_err(|_| SsoError::Unfit(format!("{path}: it is not what GitHub answers")))
    }
}
