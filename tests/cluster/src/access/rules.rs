//! Roles and their bindings, evaluated.

use serde_json::Value;

use crate::{
    access::{Attributes, User},
    api::request::{Asked, Place},
    document::{items, text},
    refusal::{Answer, Refusal},
    state::State,
    store::Store,
};

/// Paths that everybody may read.
const PUBLIC: [&str; 4] = ["/version", "/healthz", "/livez", "/readyz"];
/// Paths that everybody with a token may read.
const AUTHENTICATED: [&str; 3] = ["/api", "/apis", "/openapi"];

/// Refuses what the user may not do, in the words of the real server.
pub(crate) fn authorize(state: &State, asked: &Asked) -> Answer<()> {
    let attributes = attributes(asked);
    if allows(state, &asked.user, &attributes) {
        return Ok(());
    }
    let user = &asked.user.name;
    let verb = &attributes.verb;
    let Place::Resource(place) = &asked.place else {
        let message = format!(
            "forbidden: User {user:?} cannot {verb} path {:?}",
            attributes.path
        );
        let refusal = Refusal::plain(403, "Forbidden", message);
        return Err(Refusal {
            details: serde_json::json!({}),
            ..refusal
        });
    };
    let resource = match place.subresource.as_str() {
        "" => place.plural.clone(),
        subresource => format!("{}/{subresource}", place.plural),
    };
    let group = &place.group;
    let scope = match attributes.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let qualified = match group.as_str() {
        "" => place.plural.clone(),
        group => format!("{}.{group}", place.plural),
    };
    let which = match place.name.as_str() {
        "" => qualified,
        name => format!("{qualified} {name:?}"),
    };
    let message = format!(
        "{which} is forbidden: User {user:?} cannot {verb} resource {resource:?} in API group {group:?} {scope}"
    );
    Err(Refusal::about(
        403,
        "Forbidden",
        group,
        &place.plural,
        &place.name,
        message,
    ))
}

fn attributes(asked: &Asked) -> Attributes {
    match &asked.place {
        Place::NoResource(path) => Attributes {
            verb: asked.method.as_str().to_lowercase(),
            path: path.clone(),
            ..Attributes::default()
        },
        Place::Resource(place) => {
            let is_namespace = place.group.is_empty() && place.plural == "namespaces";
            let namespace = if is_namespace {
                &place.name
            } else {
                &place.namespace
            };
            Attributes {
                verb: asked.verb.name().to_owned(),
                group: place.group.clone(),
                resource: place.plural.clone(),
                subresource: place.subresource.clone(),
                namespace: namespace.clone(),
                name: place.name.clone(),
                path: String::new(),
            }
        }
    }
}

/// Whether the user may.
pub(crate) fn allows(state: &State, user: &User, attributes: &Attributes) -> bool {
    if user.is_master() {
        return true;
    }
    let is_known = user
        .groups
        .iter()
        .any(|group| group == "system:authenticated");
    if !attributes.path.is_empty() {
        let below = |root: &&str| {
            let rest = attributes.path.strip_prefix(*root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let public = PUBLIC.iter().any(below);
        let known = is_known && AUTHENTICATED.iter().any(below);
        return attributes.verb == "get" && (public || known);
    }
    let reviews_itself = attributes.group == "authorization.k8s.io"
        && attributes.resource.starts_with("selfsubject");
    if is_known && reviews_itself {
        return true;
    }
    let store = &state.store;
    let everywhere = store.list("clusterrolebindings.rbac.authorization.k8s.io", "");
    let mut bindings: Vec<&Value> = everywhere.map(AsRef::as_ref).collect();
    if !attributes.namespace.is_empty() {
        let here = store.list(
            "rolebindings.rbac.authorization.k8s.io",
            &attributes.namespace,
        );
        bindings.extend(here.map(AsRef::as_ref));
    }
    bindings
        .into_iter()
        .filter(|binding| binds(binding, user))
        .any(|binding| role_allows(store, binding, attributes))
}

fn binds(binding: &Value, user: &User) -> bool {
    let is_meant = |subject: &Value| {
        let name = text(subject, "name");
        match text(subject, "kind") {
            "User" => user.name == name,
            "Group" => user.groups.iter().any(|group| group == name),
            "ServiceAccount" => {
                let namespace = match text(subject, "namespace") {
                    "" => text(binding, "metadata/namespace"),
                    namespace => namespace,
                };
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    };
    items(binding, "subjects").iter().any(is_meant)
}

fn role_allows(store: &Store, binding: &Value, attributes: &Attributes) -> bool {
    let name = text(binding, "roleRef/name");
    let role = if text(binding, "roleRef/kind") == "ClusterRole" {
        if let Some(allowed) = built_in(name, attributes) {
            return allowed;
        }
        store.get("clusterroles.rbac.authorization.k8s.io", "", name)
    } else {
        let namespace = text(binding, "metadata/namespace");
        store.get("roles.rbac.authorization.k8s.io", namespace, name)
    };
    role.is_some_and(|role| {
        let rules = items(&role, "rules").iter();
        rules.into_iter().any(|rule| rule_allows(rule, attributes))
    })
}

/// The roles that each cluster has, roughly.
fn built_in(name: &str, attributes: &Attributes) -> Option<bool> {
    const READING: [&str; 3] = ["get", "list", "watch"];
    let is_of_rbac = attributes.group == "rbac.authorization.k8s.io";
    let is_secret = attributes.group.is_empty() && attributes.resource == "secrets";
    let is_for_admins = attributes.namespace.is_empty()
        || (attributes.group.is_empty()
            && ["resourcequotas", "limitranges", "namespaces"]
                .contains(&attributes.resource.as_str()));
    let reads = READING.contains(&attributes.verb.as_str());
    match name {
        "cluster-admin" => Some(true),
        "admin" => Some(reads || !is_for_admins),
        "edit" => Some(!is_of_rbac && (reads || !is_for_admins)),
        "view" => Some(reads && !is_secret && !is_of_rbac),
        _ => None,
    }
}

fn rule_allows(rule: &Value, attributes: &Attributes) -> bool {
    let lists = |field: &str, wanted: &str| {
        let mut words = items(rule, field).iter().filter_map(Value::as_str);
        words.any(|word| word == "*" || word == wanted)
    };
    let resource = match attributes.subresource.as_str() {
        "" => attributes.resource.clone(),
        subresource => format!("{}/{subresource}", attributes.resource),
    };
    let any_of = format!("*/{}", attributes.subresource);
    let names = items(rule, "resourceNames");
    lists("verbs", &attributes.verb)
        && lists("apiGroups", &attributes.group)
        && (lists("resources", &resource)
            || (!attributes.subresource.is_empty() && lists("resources", &any_of)))
        && (names.is_empty() || names.iter().any(|name| *name == *attributes.name))
}
