//! Every route, once.

use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use http::Uri;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use super::input::MAX_JSON;
use super::openapi::Description;
use super::problem::{Kind, Problem};
use super::state::Api;
use super::{
    activity, agents, api_keys, audit, auth, containers, deployment_log, deployments, enrolment,
    enrolment_tokens, files, health, invitations, me, members, metrics, openapi, password_resets,
    plans, projects, reference, request, secrets, sessions, setup, sign_up, targets, totp, usage,
    users, webhooks,
};
use crate::domain::archive::MAX_ARCHIVE_BYTES;
use crate::domain::permission::Permission;

/// Below this path is the API.
pub const API: &str = "/api/v1";

/// The whole of the public listener.
pub fn router(api: Api) -> Result<Router, serde_json::Error> {
    let check = from_fn_with_state(api.clone(), auth::authorize);
    let (router, document) = routes(private_api(&api).route_layer(check)).split_for_parts();
    Ok(router
        .fallback(nothing_here)
        .method_not_allowed_fallback(no_such_method)
        .layer(Extension(Description::of(&document)?))
        .layer(DefaultBodyLimit::max(MAX_JSON))
        .layer(from_fn_with_state(
            api.clone(),
            request::refuse_when_stopping,
        ))
        .layer(from_fn(request::in_time))
        .layer(from_fn_with_state(api.clone(), request::observe))
        .with_state(api))
}

fn routes(private: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
    let mut all = OpenApiRouter::with_openapi(openapi::frame())
        .merge(beside_the_api())
        .nest(API, public_api().merge(private));
    openapi::may_refuse(all.get_openapi_mut());
    openapi::describe_answers(all.get_openapi_mut());
    all
}

/// Beside the API; no credentials.
fn beside_the_api() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(health::alive))
        .routes(routes!(health::ready))
        .routes(routes!(health::process_metrics))
        .routes(routes!(setup::page))
        .routes(routes!(setup::join_page))
        .routes(routes!(setup::reset_page))
        .routes(routes!(setup::sign_in_page))
        .routes(routes!(setup::sign_in_script))
        .routes(routes!(setup::script))
        .routes(routes!(setup::style))
        .routes(routes!(reference::page))
        .routes(routes!(reference::script))
        .routes(routes!(reference::style))
}

/// The API's few routes without an API key or a session; each checks a credential of its own.
fn public_api() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(setup::complete))
        .routes(routes!(invitations::accept))
        .routes(routes!(sessions::begin))
        .routes(routes!(sign_up::sign_up))
        .routes(routes!(password_resets::ask))
        .routes(routes!(password_resets::finish))
        .routes(routes!(enrolment::enroll))
        .routes(routes!(enrolment::renew))
        .routes(routes!(openapi::describe))
}

/// Everything else: an API key or a session is checked before anything of the request is read. What changes
/// something stands under the permission that it needs; all may look.
fn private_api(api: &Api) -> OpenApiRouter<Api> {
    let needs = |permission| from_fn_with_state((api.clone(), permission), auth::require);
    let mut private = OpenApiRouter::new()
        .merge(for_oneself())
        .merge(for_all())
        .merge(for_the_installation().route_layer(from_fn(auth::installation_admins_change)))
        .merge(for_administrators().route_layer(from_fn(auth::installation_admins)))
        .merge(hosts().route_layer(needs(Permission::ManageHosts)))
        .merge(keys().route_layer(needs(Permission::ManageKeys)))
        .merge(audit_log().route_layer(from_fn_with_state(
            (api.clone(), Permission::ReadAudit),
            auth::require_even_to_look,
        )))
        .merge(people().route_layer(needs(Permission::ManageMembers)))
        .merge(projects_and_files().route_layer(needs(Permission::ChangeProjects)))
        .merge(hooks().route_layer(needs(Permission::ChangeProjects)))
        .merge(deploys().route_layer(needs(Permission::Deploy)));
    openapi::require_credential(private.get_openapi_mut());
    private
}

/// A person's own account, in whatever team, or in none.
fn for_oneself() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::revoke))
        .routes(routes!(sessions::change_password))
        .routes(routes!(totp::show, totp::propose))
        .routes(routes!(totp::enable))
        .routes(routes!(totp::disable))
}

/// For every role.
fn for_all() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(me::show))
        .routes(routes!(usage::show))
        .routes(routes!(activity::list))
        .routes(routes!(targets::list))
        .routes(routes!(targets::show))
        .routes(routes!(containers::list))
        .routes(routes!(containers::logs))
        .routes(routes!(metrics::range))
        .routes(routes!(metrics::latest))
        .routes(routes!(metrics::prometheus))
        // A person's own act, whatever their role in the team of the key.
        .routes(routes!(invitations::join))
        // Everybody may leave; who may take others out is judged with the member's role at hand.
        .routes(routes!(members::remove))
}

/// For everybody to see, for administrators of the installation to change.
fn for_the_installation() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(plans::list))
        .routes(routes!(plans::change))
}

/// For administrators of the installation alone.
fn for_administrators() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(users::list))
        .routes(routes!(users::reset_link))
}

fn hosts() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(enrolment_tokens::list, enrolment_tokens::create))
        .routes(routes!(enrolment_tokens::revoke))
        .routes(routes!(agents::list))
        .routes(routes!(agents::show))
        .routes(routes!(agents::revoke))
}

fn keys() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
}

fn audit_log() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
}

fn people() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(members::list))
        .routes(routes!(members::change))
        .routes(routes!(members::give))
        .routes(routes!(invitations::list, invitations::create))
        .routes(routes!(invitations::revoke))
}

fn projects_and_files() -> OpenApiRouter<Api> {
    let files =
        routes!(files::list, files::replace).layer(DefaultBodyLimit::max(MAX_ARCHIVE_BYTES));
    let secret =
        routes!(secrets::put, secrets::delete).layer(DefaultBodyLimit::max(secrets::MAX_BODY));
    OpenApiRouter::new()
        .routes(routes!(projects::list, projects::create))
        .routes(routes!(projects::show, projects::delete))
        .routes(files)
        .routes(routes!(secrets::list))
        .routes(secret)
        .routes(routes!(secrets::versions))
        .routes(routes!(secrets::restore))
}

fn hooks() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::deliveries))
        .routes(routes!(webhooks::delivery))
        .routes(routes!(webhooks::replay))
}

fn deploys() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(deployments::create))
        .routes(routes!(deployments::remove))
        .routes(routes!(deployments::list))
        .routes(routes!(deployments::show))
        .routes(routes!(deployments::cancel))
        .routes(routes!(deployments::retry))
        .routes(routes!(deployment_log::range))
        .routes(routes!(deployment_log::stream))
}

async fn nothing_here(uri: Uri) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no route {}", uri.path()))
        .remedy(format!("see {API}/openapi.json for all routes"))
}

async fn no_such_method(uri: Uri) -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        format!("{} does not know this method", uri.path()),
    )
    .remedy("see the Allow header for those it knows")
}
