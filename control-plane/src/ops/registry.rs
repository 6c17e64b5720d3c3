//! Registries that a team logs in to. Whether a login is taken is tried before it is kept, unless only agents reach the
//! registry.
//!
//! It is tried as the distribution specification has it: `GET /v2/`, and what that asks for, which is the password itself
//! or a token that the registry's own issuer gives for it. The issuer's address is the registry's word: that is the
//! protocol, which every engine follows; like any other it is judged before it is called.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Request, header};
use towline_shared::ids::RegistryId;
use zeroize::Zeroizing;

use super::OpsError;
use super::integration::may_use;
use crate::domain::registry::{
    ImageRepository, RegistryHost, check_note, check_password, check_user,
};
use crate::egress::{Answer, Egress, EgressError};
use crate::store::{NewRegistry, ProjectRegistry, Registry, Store, StoreError, Tenant};

/// Whether a login is tried before it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// From here, at once.
    #[default]
    Now,
    /// Not at all: the registry is reached by agents alone.
    Skip,
}

/// What a registry asks for at its door.
#[derive(Debug, PartialEq, Eq)]
enum Challenge {
    /// Nothing, or what it does not say.
    None,
    /// The password.
    Basic,
    /// A token of an issuer.
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

/// Keeps a login.
pub async fn add_registry(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    new: NewRegistry,
    check: Check,
) -> Result<Registry, OpsError> {
    check_user(&new.user).map_err(StoreError::from)?;
    check_password(&new.password).map_err(StoreError::from)?;
    check_note(&new.note).map_err(StoreError::from)?;
    if check == Check::Now {
        try_login(egress, &new.registry, &new.user, &new.password).await?;
    }
    Ok(store.add_registry(tenant, &new).await?)
}

/// Gives a login another password.
pub async fn set_registry_password(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: RegistryId,
    password: &str,
    check: Check,
) -> Result<Registry, OpsError> {
    check_password(password).map_err(StoreError::from)?;
    let known = store.registry(tenant, id).await?;
    if check == Check::Now {
        let registry = RegistryHost::parse(&known.registry).map_err(StoreError::from)?;
        try_login(egress, &registry, &known.user, password).await?;
    }
    Ok(store.set_registry_password(tenant, id, password).await?)
}

/// Has a project's built images pushed, or no longer. Whoever does so pushes by the team's login, and must be of the team.
pub async fn set_project_registry(
    store: &Store,
    tenant: &Tenant,
    project: towline_shared::ids::ProjectId,
    repository: Option<&ImageRepository>,
) -> Result<Option<ProjectRegistry>, OpsError> {
    store.project(tenant, project).await?;
    may_use(tenant)?;
    Ok(store
        .set_project_registry(tenant, project, repository)
        .await?)
}

async fn try_login(
    egress: &Egress,
    registry: &RegistryHost,
    user: &str,
    password: &str,
) -> Result<(), OpsError> {
    let (base, answer) = greet(egress, registry).await?;
    let challenge = Challenge::of(&answer);
    let answer = match &challenge {
        Challenge::None if answer.status == 200 => return Ok(()),
        Challenge::None => answer,
        Challenge::Basic => {
            let url = format!("{base}/v2/");
            ask(egress, registry, &url, Some((user, password))).await?
        }
        Challenge::Bearer { realm, service } => {
            let url = token_url(egress, registry, realm, service.as_deref(), user)?;
            ask(egress, registry, &url, Some((user, password))).await?
        }
    };
    match (answer.status, challenge) {
        (200..=299, _) => Ok(()),
        (401 | 403, Challenge::None) | (404, _) => Err(no_registry(registry, answer.status)),
        (401 | 403, _) => Err(OpsError::Refused {
            message: format!("{} does not take this user and password", registry.as_str()),
            remedy: "give those that `docker login` takes there; some registries want a token in place of the password"
                .to_owned(),
            field: Some("password"),
        }),
        (status, _) => Err(unreached(
            registry,
            &format!("it answers {status} when it is asked who this is"),
        )),
    }
}

/// Asks for the registry's door; where plain HTTP may be called, by that, too, as engines do on loopback.
async fn greet(egress: &Egress, registry: &RegistryHost) -> Result<(String, Answer), OpsError> {
    let base = |scheme: &str| format!("{scheme}://{}", registry.api());
    let (secure, plain) = (base("https"), base("http"));
    match call(egress, &format!("{secure}/v2/"), None).await {
        Ok(answer) => Ok((secure, answer)),
        Err(EgressError::Connect(_) | EgressError::Broken(_))
            if egress.check(&format!("{plain}/v2/")).is_ok() =>
        {
            let answer = ask(egress, registry, &format!("{plain}/v2/"), None).await?;
            Ok((plain, answer))
        }
        Err(error) => Err(unreached(registry, &error.to_string())),
    }
}

async fn ask(
    egress: &Egress,
    registry: &RegistryHost,
    url: &str,
    login: Option<(&str, &str)>,
) -> Result<Answer, OpsError> {
    let answer = call(egress, url, login).await;
    answer.map_err(|error| unreached(registry, &error.to_string()))
}

async fn call(
    egress: &Egress,
    url: &str,
    login: Option<(&str, &str)>,
) -> Result<Answer, EgressError> {
    let broken = |what: &str| EgressError::Broken(what.to_owned());
    let mut request = Request::builder().method(Method::GET).uri(url);
    if let Some((user, password)) = login {
        let pair = Zeroizing::new(format!("{user}:{password}"));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).map_err(|_| broken("no such header"))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Vec::new());
    egress
        .call(request.map_err(|_| broken("its address is no address"))?)
        .await
}

/// Where the issuer is asked for a token that nothing is done with.
fn token_url(
    egress: &Egress,
    registry: &RegistryHost,
    realm: &str,
    service: Option<&str>,
    user: &str,
) -> Result<String, OpsError> {
    let mut url = egress.check(realm).map_err(|error| {
        let why = format!("it sends to {realm} for a token, and {error}");
        unreached(registry, &why)
    })?;
    let mut query = url.query_pairs_mut();
    query.append_pair("account", user);
    if let Some(service) = service {
        query.append_pair("service", service);
    }
    drop(query);
    Ok(url.into())
}

impl Challenge {
    fn of(answer: &Answer) -> Self {
        if answer.status != 401 {
            return Self::None;
        }
        let all = answer.headers.get_all(header::WWW_AUTHENTICATE);
        let all: Vec<&str> = all.iter().filter_map(|value| value.to_str().ok()).collect();
        let bearer = all.iter().find_map(|value| Self::bearer(value));
        let is_basic = |value: &&str| {
            let scheme = value.split(' ').next().unwrap_or_default();
            scheme.eq_ignore_ascii_case("basic")
        };
        match bearer {
            Some(bearer) => bearer,
            None if all.iter().any(is_basic) => Self::Basic,
            None => Self::None,
        }
    }

    fn bearer(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Self::Bearer {
            realm: parameter(rest, "realm")?,
            service: parameter(rest, "service"),
        })
    }
}

/// `name="value"` of a challenge.
fn parameter(text: &str, name: &str) -> Option<String> {
    text.split(',').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim().trim_matches('"');
        (key.trim().eq_ignore_ascii_case(name)).then(|| value.to_owned())
    })
}

fn unreached(registry: &RegistryHost, why: &str) -> OpsError {
    OpsError::Refused {
        message: format!("{} cannot be asked whether it takes this login: {why}", registry.as_str()),
        remedy: "check the registry's name and port; where only agents reach it, have the login kept unchecked (`check`: \
                 `skip`, `--no-check`)"
            .to_owned(),
        field: Some("registry"),
    }
}

fn no_registry(registry: &RegistryHost, status: u16) -> OpsError {
    unreached(
        registry,
        &format!("it answers {status} at /v2/, as no registry does"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::*;
    use crate::egress::BodyEnd;

    fn answer(status: u16, challenges: &[&'static str]) -> Answer {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        Answer {
            status,
            headers,
            body: Vec::new(),
            end: BodyEnd::Whole,
            took: Duration::ZERO,
        }
    }

    #[test]
    fn a_registry_says_what_it_asks_for() {
        let bearer = |service: Option<&str>| Challenge::Bearer {
            realm: "https://auth.example.com/token".to_owned(),
            service: service.map(str::to_owned),
        };
        let table: [(u16, &[&str], Challenge); 6] = [
            (200, &[], Challenge::None),
            (401, &[], Challenge::None),
            (401, &["Basic realm=\"Registry\""], Challenge::Basic),
            (
                401,
                &["Bearer realm=\"https://auth.example.com/token\",service=\"r\""],
                bearer(Some("r")),
            ),
            (
                401,
                &[
                    "Basic realm=x",
                    "bearer realm=\"https://auth.example.com/token\"",
                ],
                bearer(None),
            ),
            (401, &["Bearer service=\"r\""], Challenge::None),
        ];
        for (status, challenges, expected) in table {
            let found = Challenge::of(&answer(status, challenges));
            assert_eq!(found, expected, "{challenges:?}");
        }
    }
}
