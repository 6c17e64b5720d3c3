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
use super::rule::Rule;
use super::state::Api;
use super::{
    activity, agent_upgrades, agents, api_keys, audit, auth, billing, cluster, containers,
    deploy_keys, deployment_log, deployments, docker_access, enrolment, enrolment_tokens, exec,
    file, files, generation, health, identities, install, installation, integrations, invitations,
    linger, me, members, metrics, notification_channels, notification_rules, notifications,
    openapi, password_resets, plans, plugins, previews, project_members, projects, pull_requests,
    pushes, reference, registries, releases, request, secrets, sessions, setup, sign_in_providers,
    sign_up, source, subscriptions, targets, teams, templates, totp, usage, users, webhooks,
};
use crate::domain::archive::MAX_ARCHIVE_BYTES;
use crate::domain::forge::MAX_MESSAGE;
use crate::domain::permission::Permission;
use crate::domain::scope::Area;
use crate::store::Thing;

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
        .layer(from_fn(linger::linger))
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
        .routes(routes!(install::script))
        .routes(routes!(install::agent))
        .routes(routes!(install::signature))
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
    let stripe_events =
        routes!(billing::take_event).layer(DefaultBodyLimit::max(billing::MAX_EVENT));
    let told_pushes = routes!(pushes::take).layer(DefaultBodyLimit::max(MAX_MESSAGE));
    OpenApiRouter::new()
        .routes(routes!(setup::complete))
        .routes(routes!(invitations::accept))
        .routes(routes!(sessions::begin))
        .routes(routes!(sign_up::sign_up))
        .routes(routes!(sign_in_providers::list))
        .routes(routes!(sign_in_providers::begin))
        .routes(routes!(sign_in_providers::come_back))
        .routes(routes!(sign_in_providers::give_code))
        .routes(routes!(password_resets::ask))
        .routes(routes!(password_resets::finish))
        .routes(stripe_events)
        .routes(told_pushes)
        .routes(routes!(enrolment::enroll))
        .routes(routes!(enrolment::renew))
        .routes(routes!(openapi::describe))
}

/// Everything else: an API key or a session is checked before anything of the request is read, then what the
/// route asks of it.
fn private_api(api: &Api) -> OpenApiRouter<Api> {
    let mut private = OpenApiRouter::new()
        .routes(routes!(me::show))
        .merge(Rule::account().over(api, account()))
        .merge(for_the_team(api))
        .merge(for_the_installation(api))
        .merge(projects_and_files(api))
        .merge(hooks(api))
        .merge(deploys(api));
    openapi::require_credential(private.get_openapi_mut());
    private
}

/// A person's own account, in whatever team, or in none.
fn account() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::revoke))
        .routes(routes!(sessions::change_password))
        .routes(routes!(identities::list, identities::link))
        .routes(routes!(identities::unlink))
        .routes(routes!(totp::show, totp::propose))
        .routes(routes!(totp::enable))
        .routes(routes!(totp::disable))
        .routes(routes!(teams::list, teams::create))
        .routes(routes!(billing::show))
        .routes(routes!(billing::buy))
        .routes(routes!(billing::portal))
        // A person's own act, whatever their role in the team of the key.
        .routes(routes!(invitations::join))
        .routes(routes!(notifications::list))
        .routes(routes!(notifications::unread))
        .routes(routes!(notifications::read))
        .routes(routes!(notifications::read_all))
        .routes(routes!(
            notification_channels::list,
            notification_channels::create
        ))
        .routes(routes!(
            notification_channels::change,
            notification_channels::delete
        ))
        .routes(routes!(notification_channels::test))
        .routes(routes!(notification_channels::deliveries))
        .routes(routes!(
            notification_rules::list,
            notification_rules::choose
        ))
}

fn for_the_team(api: &Api) -> OpenApiRouter<Api> {
    let over = |rule: Rule, routes| rule.over(api, routes);
    let all = |area| Rule::of(area, Permission::Look);
    OpenApiRouter::new()
        .merge(forge_accounts(api))
        .merge(over(
            all(Area::Usage),
            OpenApiRouter::new().routes(routes!(usage::show)),
        ))
        .merge(over(
            all(Area::Activity).of_projects(),
            OpenApiRouter::new().routes(routes!(activity::list)),
        ))
        .merge(over(all(Area::Targets).of_projects(), targets()))
        .merge(over(all(Area::Targets), running()))
        .merge(over(all(Area::Metrics), measured()))
        .merge(over(
            Rule::of(Area::Agents, Permission::ManageHosts),
            hosts(),
        ))
        .merge(over(
            Rule::of(Area::Targets, Permission::ManageHosts),
            managed_targets(),
        ))
        .merge(over(
            Rule::of(Area::Targets, Permission::Deploy),
            OpenApiRouter::new().routes(routes!(exec::exec)),
        ))
        .merge(engines(api))
        .merge(over(
            Rule::of(Area::ApiKeys, Permission::ManageKeys),
            keys(),
        ))
        .merge(over(
            Rule::of(Area::Plugins, Permission::ManagePlugins),
            asked(),
        ))
        .merge(over(
            Rule::of(Area::Audit, Permission::ReadAudit).even_to_look(),
            audit_log(),
        ))
        .merge(over(
            Rule::of(Area::Members, Permission::ManageMembers),
            people(),
        ))
        .merge(over(
            Rule::of(Area::Members, Permission::ManageOwners),
            OpenApiRouter::new().routes(routes!(teams::rename, teams::delete)),
        ))
        // Everybody may leave; who may take others out is judged with the member's role at hand.
        .merge(over(
            all(Area::Members),
            OpenApiRouter::new().routes(routes!(members::remove)),
        ))
}

/// What holds for all teams. All may see the plans; the rest is for administrators of the installation.
fn for_the_installation(api: &Api) -> OpenApiRouter<Api> {
    let rule = Rule::of(Area::Installation, Permission::Look);
    let plan = OpenApiRouter::new().routes(routes!(plans::change));
    let administered = OpenApiRouter::new()
        .routes(routes!(users::list))
        .routes(routes!(users::change))
        .routes(routes!(users::reset_link))
        .routes(routes!(users::remove_second_factor))
        .routes(routes!(subscriptions::list, subscriptions::grant))
        .routes(routes!(subscriptions::end))
        .routes(routes!(installation::teams))
        .routes(routes!(installation::agents))
        .routes(routes!(installation::storage))
        .routes(routes!(installation::configuration));
    let plans = OpenApiRouter::new().routes(routes!(plans::list));
    OpenApiRouter::new()
        .merge(
            Rule::of(Area::Usage, Permission::Look)
                .of_projects()
                .over(api, plans),
        )
        .merge(rule.over(
            api,
            plan.route_layer(from_fn(auth::installation_admins_change)),
        ))
        .merge(rule.over(
            api,
            administered.route_layer(from_fn(auth::installation_admins)),
        ))
}

fn targets() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(targets::list))
        .routes(routes!(targets::show))
}

fn managed_targets() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(targets::add))
        .routes(routes!(targets::remove))
        .routes(routes!(targets::replace_credentials))
        .routes(routes!(targets::set_labels))
}

fn running() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(containers::list))
        .routes(routes!(containers::logs))
}

fn measured() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(metrics::range))
        .routes(routes!(metrics::latest))
        .routes(routes!(metrics::prometheus))
}

fn hosts() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(enrolment_tokens::list, enrolment_tokens::create))
        .routes(routes!(enrolment_tokens::revoke))
        .routes(routes!(agents::list))
        .routes(routes!(agents::show))
        .routes(routes!(agents::revoke))
        .routes(routes!(agent_upgrades::begin, agent_upgrades::show))
}

/// The Docker engines of hosts. Who may use one was granted it; that is looked at in the action.
fn engines(api: &Api) -> OpenApiRouter<Api> {
    let of = |permission| Rule::of(Area::Docker, permission);
    let granted = OpenApiRouter::new()
        .routes(routes!(docker_access::list_grants))
        .routes(routes!(docker_access::grant, docker_access::end_grant));
    let used = OpenApiRouter::new()
        .routes(routes!(
            docker_access::list_certificates,
            docker_access::issue
        ))
        .routes(routes!(docker_access::revoke));
    OpenApiRouter::new()
        .merge(of(Permission::ManageHosts).over(api, granted))
        .merge(of(Permission::Look).over(api, used))
}

fn keys() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::revoke))
}

fn asked() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(plugins::list, plugins::create))
        .routes(routes!(plugins::show, plugins::change, plugins::delete))
        .routes(routes!(plugins::rotate_secret))
        .routes(routes!(plugins::test))
        .routes(routes!(plugins::runs))
        .routes(routes!(plugins::run))
}

/// Accounts at forges and registries. All see which there are; what their tokens reach is for those who may change projects.
fn forge_accounts(api: &Api) -> OpenApiRouter<Api> {
    let rule = Rule::of(Area::Integrations, Permission::ChangeProjects);
    let kept = OpenApiRouter::new()
        .routes(routes!(integrations::list, integrations::connect))
        .routes(routes!(integrations::show, integrations::delete))
        .routes(routes!(integrations::replace_token))
        .routes(routes!(integrations::statuses));
    let reached = OpenApiRouter::new()
        .routes(routes!(integrations::repositories))
        .routes(routes!(integrations::branches));
    let registries = OpenApiRouter::new()
        .routes(routes!(registries::list, registries::add))
        .routes(routes!(registries::show, registries::remove))
        .routes(routes!(registries::set_password));
    OpenApiRouter::new()
        .merge(rule.over(api, kept))
        .merge(rule.over(api, registries))
        .merge(rule.even_to_look().over(api, reached))
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

fn projects_and_files(api: &Api) -> OpenApiRouter<Api> {
    let of = |area| Rule::of(area, Permission::ChangeProjects);
    let of_one = |area| of(area).of_one(Thing::Project);
    let all = OpenApiRouter::new().routes(routes!(projects::list, projects::create));
    let files =
        routes!(files::list, files::replace).layer(DefaultBodyLimit::max(MAX_ARCHIVE_BYTES));
    let file =
        routes!(file::read, file::write, file::delete).layer(DefaultBodyLimit::max(file::MAX_BODY));
    let one = OpenApiRouter::new()
        .routes(file)
        .routes(routes!(projects::show, projects::change, projects::delete))
        .routes(routes!(source::show, source::set, source::forget))
        .routes(routes!(deploy_keys::show, deploy_keys::renew))
        .routes(routes!(deploy_keys::accept_host_keys))
        .routes(routes!(deploy_keys::install, deploy_keys::uninstall))
        .routes(routes!(pull_requests::deliver))
        .routes(routes!(generation::generate))
        .routes(routes!(
            registries::show_of_project,
            registries::set_of_project,
            registries::forget_of_project
        ))
        .routes(files);
    let secret =
        routes!(secrets::put, secrets::delete).layer(DefaultBodyLimit::max(secrets::MAX_BODY));
    let secrets = OpenApiRouter::new()
        .routes(routes!(secrets::list))
        .routes(secret)
        .routes(routes!(secrets::versions))
        .routes(routes!(secrets::restore));
    let templates = OpenApiRouter::new()
        .routes(routes!(templates::list, templates::create))
        .routes(routes!(templates::show, templates::delete));
    OpenApiRouter::new()
        .merge(of(Area::Projects).of_projects().over(api, all))
        .merge(of(Area::Projects).over(api, templates))
        .merge(of_one(Area::Projects).over(api, one))
        .merge(of_one(Area::Secrets).over(api, secrets))
        .merge(project_people(api))
}

/// Who has a role on one project.
fn project_people(api: &Api) -> OpenApiRouter<Api> {
    let of = |permission| Rule::of(Area::Members, permission).of_one(Thing::Project);
    let given = OpenApiRouter::new()
        .routes(routes!(project_members::list))
        .routes(routes!(project_members::put));
    // Everybody may give up their own; who may take others' is judged in the action.
    let taken = OpenApiRouter::new().routes(routes!(project_members::remove));
    OpenApiRouter::new()
        .merge(of(Permission::ManageMembers).over(api, given))
        .merge(of(Permission::Look).over(api, taken))
}

fn hooks(api: &Api) -> OpenApiRouter<Api> {
    let of = |thing| Rule::of(Area::Webhooks, Permission::ChangeProjects).of_one(thing);
    let of_project = OpenApiRouter::new().routes(routes!(webhooks::list, webhooks::create));
    let one = OpenApiRouter::new()
        .routes(routes!(webhooks::change, webhooks::delete))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::deliveries));
    let delivery = OpenApiRouter::new()
        .routes(routes!(webhooks::delivery))
        .routes(routes!(webhooks::replay));
    OpenApiRouter::new()
        .merge(of(Thing::Project).over(api, of_project))
        .merge(of(Thing::Webhook).over(api, one))
        .merge(of(Thing::WebhookDelivery).over(api, delivery))
}

fn deploys(api: &Api) -> OpenApiRouter<Api> {
    let rule = Rule::of(Area::Deployments, Permission::Deploy);
    let of_project = OpenApiRouter::new()
        .routes(routes!(deployments::create))
        .routes(routes!(deployments::remove))
        .routes(routes!(previews::create))
        .routes(routes!(releases::roll_back))
        .routes(routes!(releases::list))
        .routes(routes!(releases::show))
        .routes(routes!(releases::diff));
    let all = OpenApiRouter::new().routes(routes!(deployments::list));
    let one = OpenApiRouter::new()
        .routes(routes!(deployments::show))
        .routes(routes!(deployments::cancel))
        .routes(routes!(deployments::retry))
        .routes(routes!(deployment_log::range))
        .routes(routes!(deployment_log::stream));
    let ways = OpenApiRouter::new()
        .routes(routes!(pushes::show, pushes::set, pushes::delete))
        .routes(routes!(pushes::rotate_secret))
        .routes(routes!(pushes::install, pushes::uninstall))
        .routes(routes!(pushes::list))
        .routes(routes!(source::pipelines))
        .routes(routes!(source::pipeline));
    OpenApiRouter::new()
        .merge(rule.of_one(Thing::Project).over(api, of_project))
        .merge(rule.of_one(Thing::Project).over(api, ways))
        .merge(rule.of_one(Thing::Project).over(api, in_clusters()))
        .merge(rule.of_projects().over(api, all))
        .merge(rule.of_one(Thing::Deployment).over(api, one))
}

/// What a project has in a cluster.
fn in_clusters() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(cluster::events))
        .routes(routes!(cluster::drift))
        .routes(routes!(cluster::act))
        .routes(routes!(cluster::correct))
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
