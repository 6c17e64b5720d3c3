//! The description of the API, made of the routes themselves.

use axum::Extension;
use axum::response::{IntoResponse, Response as HttpResponse};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};
use utoipa::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Content, Ref, RefOr, ResponseBuilder};

use super::problem::ProblemDocument;
use super::{cookie, examples};

/// The names of the schemes by which requests are authorized.
const API_KEY: &str = "api_key";
const SESSION: &str = "session";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Towline",
        description = "The public API of a Towline control plane. Errors are problem documents (RFC 9457); \
            lists are paged by `limit` and `cursor`; times are RFC 3339 in UTC.",
    ),
    components(schemas(ProblemDocument)),
    tags(
        (name = "setup", description = "The first user and their key"),
        (name = "sign-in", description = "Signing in by a password or at a provider, and what belongs to it"),
        (name = "team", description = "The people of the team, and those who are invited"),
        (name = "keys", description = "API keys of the team"),
        (name = "agents", description = "Enrolment and life of agents"),
        (name = "targets", description = "Where deploys go, and what runs there"),
        (name = "docker", description = "The Docker engines of hosts: who may use them, and by which certificates"),
        (name = "projects", description = "What a team deploys: its files and secrets"),
        (name = "templates", description = "What projects are made from"),
        (name = "deployments", description = "Bringing a project to a state on a target"),
        (name = "integrations", description = "Accounts at forges, what they reach, and what their forges are told"),
        (name = "registries", description = "Registries that the team logs in to, and where built images are pushed to"),
        (name = "pushes", description = "What forges tell of pushes, and what is deployed of them"),
        (name = "pipelines", description = "The ways of a project's commits to targets"),
        (name = "installation", description = "For administrators of the installation"),
        (name = "webhooks", description = "Who is told what happens to a project's deployments"),
        (name = "plugins", description = "What the team asks before something is done, and tells afterwards"),
        (name = "notifications", description = "What you are told of, and where"),
        (name = "plans", description = "What teams may use, and what they have used"),
        (name = "billing", description = "What people pay for, or were granted"),
        (name = "activity", description = "What was done, and the audit log"),
        (name = "metrics", description = "What agents measure"),
        (name = "process", description = "The control plane itself"),
    )
)]
struct Frame;

/// The description without any route.
pub fn frame() -> utoipa::openapi::OpenApi {
    let mut document = Frame::openapi();
    let components = document.components.get_or_insert_with(Components::default);
    let scheme = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("API key")
        .build();
    components.add_security_scheme(API_KEY, SecurityScheme::Http(scheme));
    let cookie = ApiKeyValue::with_description(
        cookie::NAME,
        "What POST /session sets. A change needs the headers Origin and Towline-Csrf, too; Towline-Team names the team.",
    );
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    document
}

/// Notes on each route the scope that an API key needs for it; a session needs none.
pub fn need_scope(document: &mut utoipa::openapi::OpenApi, scope: impl Fn(&Method) -> String) {
    for item in document.paths.paths.values_mut() {
        for (method, operation) in operations(item) {
            operation.security = Some(either(&[scope(&method)]));
        }
    }
}

/// Notes on each route that it needs an API key or a session, where nothing says so yet.
pub fn require_credential(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            operation.security.get_or_insert_with(|| either(&[]));
        }
    }
}

fn either(scopes: &[String]) -> Vec<SecurityRequirement> {
    vec![
        SecurityRequirement::new(API_KEY, scopes),
        SecurityRequirement::new::<_, [&str; 0], &str>(SESSION, []),
    ]
}

/// Notes on each route that it answers with a problem when it does not do what was asked.
pub fn may_refuse(document: &mut utoipa::openapi::OpenApi) {
    let problem = ResponseBuilder::new()
        .description("A refusal: what failed, and what to do")
        .content(
            "application/problem+json",
            Content::new(Some(RefOr::Ref(Ref::from_schema_name("Problem")))),
        )
        .build();
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            let responses = &mut operation.responses.responses;
            responses.insert("default".to_owned(), RefOr::T(problem.clone()));
        }
    }
}

/// Describes each answer that says nothing more than its status: OpenAPI 3.1 wants some words.
pub fn describe_answers(document: &mut utoipa::openapi::OpenApi) {
    for item in document.paths.paths.values_mut() {
        for (_, operation) in operations(item) {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    let known = StatusCode::from_bytes(status.as_bytes()).ok();
                    let reason = known.and_then(|status| status.canonical_reason());
                    reason
                        .unwrap_or("Success")
                        .clone_into(&mut response.description);
                }
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// The finished description, as it is sent.
#[derive(Clone, Debug)]
pub struct Description(Bytes);

impl Description {
    /// Writes a description down once, with examples.
    pub fn of(document: &utoipa::openapi::OpenApi) -> Result<Self, serde_json::Error> {
        let mut document = serde_json::to_value(document)?;
        examples::add(&mut document);
        Ok(Self(serde_json::to_vec(&document)?.into()))
    }
}

/// The description of the whole API.
#[utoipa::path(get, path = "/openapi.json", tag = "process", operation_id = "describe_api", responses((status = OK, body = serde_json::Value)))]
pub async fn describe(Extension(description): Extension<Description>) -> HttpResponse {
    ([(CONTENT_TYPE, "application/json")], description.0).into_response()
}
