//! What each route asks of whoever comes: a scope of their key, a permission of their role, in the team or
//! on the project that the route is about.

use axum::extract::{FromRequestParts as _, MatchedPath, RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use http::Method;
use towline_shared::ids::ProjectId;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use super::openapi;
use super::problem::{Kind, Problem};
use super::state::Api;
use crate::domain::access::Reach;
use crate::domain::permission::{Permission, Role};
use crate::domain::scope::{Area, Scope, Scopes, Verb};
use crate::store::{Tenant, Thing};

/// What a route asks for.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    scope: Needed,
    permission: Permission,
    looking: Looking,
    about: About,
}

/// The scope that a key needs.
#[derive(Clone, Copy, Debug)]
enum Needed {
    /// One of an area.
    In(Area),
    /// All of them: a person's own account is no business of a key that was made for something else.
    All,
}

/// Who may see what the route changes.
#[derive(Clone, Copy, Debug)]
enum Looking {
    /// Every role.
    Everybody,
    /// Those who may change it.
    WhoMayChange,
}

/// Where the role counts.
#[derive(Clone, Copy, Debug)]
enum About {
    /// Nowhere: everybody has an account.
    Account,
    /// In the team.
    Team,
    /// A list of things of projects, which shows each asker their own; in the team, to change it.
    Projects,
    /// On the project of the thing whose id stands in the path.
    One(Thing),
}

impl Rule {
    /// About a part of the API: all may look, and who has the permission in the team may change.
    pub const fn of(area: Area, permission: Permission) -> Self {
        Self {
            scope: Needed::In(area),
            permission,
            looking: Looking::Everybody,
            about: About::Team,
        }
    }

    /// About the person's own account.
    pub const fn account() -> Self {
        Self {
            scope: Needed::All,
            permission: Permission::Look,
            looking: Looking::Everybody,
            about: About::Account,
        }
    }

    /// The same, and only who may change it may look.
    pub const fn even_to_look(self) -> Self {
        Self {
            looking: Looking::WhoMayChange,
            ..self
        }
    }

    /// The same, for a list of things of projects.
    pub const fn of_projects(self) -> Self {
        Self {
            about: About::Projects,
            ..self
        }
    }

    /// The same, on the project of a thing.
    pub const fn of_one(self, thing: Thing) -> Self {
        Self {
            about: About::One(thing),
            ..self
        }
    }

    /// Routes that ask for this.
    pub fn over(self, api: &Api, mut routes: OpenApiRouter<Api>) -> OpenApiRouter<Api> {
        openapi::need_scope(routes.get_openapi_mut(), |method| self.scope_for(method));
        routes.route_layer(from_fn_with_state((api.clone(), self), judge))
    }

    fn scope_for(self, method: &Method) -> String {
        match self.scope {
            Needed::In(area) => scope(area, method).to_string(),
            Needed::All => Scopes::All.to_string(),
        }
    }

    fn permission_for(self, method: &Method) -> Permission {
        match self.looking {
            Looking::Everybody if method.is_safe() => Permission::Look,
            _ => self.permission,
        }
    }

    fn allows_key(self, tenant: &Tenant, method: &Method) -> bool {
        match self.scope {
            Needed::In(area) => tenant.scopes().has(scope(area, method)),
            Needed::All => {
                *tenant.scopes() == Scopes::All && tenant.access().only_project().is_none()
            }
        }
    }

    /// The role that counts; nothing when the tenant has none here.
    async fn role(
        self,
        api: &Api,
        tenant: &Tenant,
        asked: &Asked,
    ) -> Result<Option<Role>, Problem> {
        let access = tenant.access();
        match self.about {
            About::One(thing) if access.depends_on_project(self.permission_for(&asked.method)) => {
                let absent = || Problem::not_found(thing.resource());
                let id = asked.id.ok_or_else(absent)?;
                let project = api.store.project_of(tenant, thing, id).await?;
                let role = access.on(project.ok_or_else(absent)?);
                role.map(Some).ok_or_else(absent)
            }
            About::Projects if !asked.method.is_safe() => Ok(access.in_team()),
            About::Account | About::Projects => Ok(access.anywhere()),
            About::Team | About::One(_) => Ok(access.in_team()),
        }
    }
}

fn scope(area: Area, method: &Method) -> Scope {
    let verb = if method.is_safe() {
        Verb::Read
    } else {
        Verb::Write
    };
    Scope { area, verb }
}

/// What somebody asked for.
struct Asked {
    method: Method,
    /// With the names of its variables, not their values.
    route: String,
    /// What stands in the path, if it is an id.
    id: Option<Uuid>,
}

async fn judge(State((api, rule)): State<(Api, Rule)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Some(tenant) = parts.extensions.get::<Tenant>().cloned() else {
        // Somebody in no team: what is a team's is refused where it is asked for.
        return next.run(Request::from_parts(parts, body)).await;
    };
    let params = RawPathParams::from_request_parts(&mut parts, &())
        .await
        .ok();
    let id = params.and_then(|params| {
        params
            .iter()
            .find_map(|(name, value)| (name == "id").then(|| value.parse().ok())?)
    });
    let route = parts.extensions.get::<MatchedPath>();
    let asked = Asked {
        method: parts.method.clone(),
        route: route.map_or_else(String::new, |route| route.as_str().to_owned()),
        id,
    };
    match refusal(&api, rule, &tenant, &asked).await {
        Ok(None) => next.run(Request::from_parts(parts, body)).await,
        Ok(Some(problem)) | Err(problem) => problem.into_response(),
    }
}

/// Why it is not allowed. What was tried is written down.
async fn refusal(
    api: &Api,
    needed: Rule,
    tenant: &Tenant,
    asked: &Asked,
) -> Result<Option<Problem>, Problem> {
    let (why, problem) = if needed.allows_key(tenant, &asked.method) {
        let permission = needed.permission_for(&asked.method);
        match needed.role(api, tenant, asked).await? {
            Some(role) if role.may(permission) => return Ok(None),
            Some(role) => (
                format!("role {role}"),
                role_does_not_allow(role, permission),
            ),
            None => (
                "no role in the whole team".to_owned(),
                not_the_whole_team(tenant),
            ),
        }
    } else {
        let scope = needed.scope_for(&asked.method);
        (
            format!("no scope {scope}"),
            key_has_no_scope(tenant, &scope),
        )
    };
    api.store
        .note_refused_access(tenant, asked.method.as_str(), &asked.route, &why)
        .await?;
    Ok(Some(problem))
}

fn role_does_not_allow(role: Role, permission: Permission) -> Problem {
    let detail = format!(
        "the role {role} in this team does not allow to {}",
        permission.words()
    );
    let remedy = format!(
        "it needs the role {} or more; ask an owner or admin of the team",
        permission.least()
    );
    Problem::new(Kind::Forbidden, detail).remedy(remedy)
}

fn not_the_whole_team(tenant: &Tenant) -> Problem {
    if tenant.access().only_project().is_some() {
        return Problem::new(
            Kind::Forbidden,
            "this API key is for one project, and this is the whole team's",
        )
        .remedy("use a key that is for the team, or sign in");
    }
    Problem::new(
        Kind::Forbidden,
        "you are here for single projects, and this is the whole team's",
    )
    .remedy("ask an owner or admin of the team for a role in it")
}

fn key_has_no_scope(tenant: &Tenant, scope: &str) -> Problem {
    let project = match tenant.access().only_project() {
        Some(_) => " on one project",
        None => "",
    };
    let detail = format!(
        "this API key is for {}{project}, and not for {scope}",
        tenant.scopes()
    );
    Problem::new(Kind::Forbidden, detail)
        .remedy("make a key with that scope (`towline keys create --scope`), or sign in")
}

/// The project that a list is narrowed to: what the tenant asks for, within what they see.
pub fn narrow(tenant: &Tenant, asked: Option<ProjectId>) -> Result<Option<ProjectId>, Problem> {
    match (tenant.access().seen(), asked) {
        (Reach::Team, asked) => Ok(asked),
        (Reach::Projects(seen), Some(asked)) if seen.contains(&asked) => Ok(Some(asked)),
        (Reach::Projects(_), Some(_)) => Err(Problem::not_found(crate::store::Resource::Project)),
        (Reach::Projects(seen), None) => match seen.as_slice() {
            [one] => Ok(Some(*one)),
            _ => Err(Problem::invalid(
                "project",
                "you see single projects of this team, and must name one",
            )
            .remedy("see GET /projects for those")),
        },
    }
}
