//! A project's secrets and its logins of registries, as Secrets of the cluster.
//!
//! Manifests name the Secret `NAME-secrets`. What is applied is an immutable Secret whose name has a digest of its values,
//! and all that names it names that: so a value that changes brings new pods, and a rollback finds the values of today.
//! Nothing of a value stands in a label, an annotation or the log.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use towline_shared::manifest::object_name;
use towline_shared::outcome::FailureReason;
use towline_shared::spec::{SOURCE_PASSWORD, Secret};

use super::api::text;
use super::at::{At, Kind};
use super::compare;
use super::job::Job;
use super::wanted::{Footing, Wanted, pod_spec_mut};
use crate::executor::registry_login::{self, Login};
use crate::executor::stop::Stop;

/// How many digits of a digest a name has.
const DIGITS: usize = 10;

/// Adds the Secrets that a release's objects name, and lets them name those. Tells what people should know.
pub(super) fn weave(job: &Job<'_>, wanted: &mut Vec<Wanted>) -> Result<Vec<String>, Stop> {
    let base = format!("{}-secrets", object_name(&job.owner.name));
    let own = own_secrets(&job.task.secrets);
    let mut used = Used::default();
    for wanted in wanted.iter() {
        if wanted.at.kind.kind == "Secret" && wanted.at.name == base {
            return Ok(Vec::new());
        }
        used.look(&wanted.object, &base, wanted.at.namespace.as_deref());
    }
    refuse_unknown_keys(&used, &own, &base)?;
    let mut warnings = Vec::new();
    let mut secrets = Vec::new();
    if !used.namespaces.is_empty() && own.is_empty() {
        warnings.push(format!(
            "warning: the manifests name the Secret {base}, and the project has no secrets; \
             if it is not in the cluster, `towline secrets set` makes one"
        ));
    } else if !used.namespaces.is_empty() {
        let data = own
            .iter()
            .map(|secret| (secret.name.clone(), Value::from(encoded(&secret.value))));
        let data = Value::Object(data.collect::<Map<_, _>>());
        let name = hashed(&base, &data);
        for wanted in wanted.iter_mut() {
            rename(&mut wanted.object, &base, &name);
        }
        for namespace in &used.namespaces {
            secrets.push(secret(job, namespace, &name, "Opaque", &data));
        }
    }
    let logins = registry_login::of(&job.task.terms, &job.task.secrets);
    secrets.extend(pull_secrets(job, wanted, &logins));
    secrets.append(wanted);
    *wanted = secrets;
    Ok(warnings)
}

/// The project's secrets. By what its repository and registries are read, nothing of it sees.
fn own_secrets(secrets: &[Secret]) -> Vec<&Secret> {
    secrets
        .iter()
        .filter(|secret| secret.name != SOURCE_PASSWORD && !registry_login::is_password(secret))
        .collect()
}

/// What names the project's Secret.
#[derive(Default)]
struct Used {
    namespaces: BTreeSet<String>,
    /// The keys that must be in it.
    keys: BTreeSet<String>,
}

impl Used {
    fn look(&mut self, value: &Value, base: &str, namespace: Option<&str>) {
        let mut found = Vec::new();
        references(value, &mut |reference| {
            if reference.name == base {
                found.push(reference.key.map(str::to_owned));
            }
        });
        if let Some(namespace) = namespace.filter(|_| !found.is_empty()) {
            self.namespaces.insert(namespace.to_owned());
        }
        self.keys.extend(found.into_iter().flatten());
    }
}

fn refuse_unknown_keys(used: &Used, own: &[&Secret], base: &str) -> Result<(), Stop> {
    let unknown = used
        .keys
        .iter()
        .find(|key| !own.is_empty() && !own.iter().any(|secret| secret.name == **key));
    match unknown {
        None => Ok(()),
        Some(key) => Err(Stop::failed(
            FailureReason::InvalidProject,
            format!(
                "a manifest takes `{key}` from the Secret {base}, and the project has no secret of that name; \
                 set it (`towline secrets set {key}`) or correct the manifest"
            ),
        )),
    }
}

/// A place that names a Secret.
struct Reference<'a> {
    name: &'a str,
    /// The key that must be in it.
    key: Option<&'a str>,
}

/// Tells all places of an object that name a Secret.
fn references<'a>(value: &'a Value, tell: &mut dyn FnMut(Reference<'a>)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let text = |name: &str| value.get(name).and_then(Value::as_str);
                match key.as_str() {
                    "secretKeyRef" | "secretRef" => {
                        let optional = value.get("optional") == Some(&Value::Bool(true));
                        if let Some(name) = text("name") {
                            let key = text("key").filter(|_| !optional);
                            tell(Reference { name, key });
                        }
                    }
                    "secret" => {
                        if let Some(name) = text("name").or_else(|| text("secretName")) {
                            tell(Reference { name, key: None });
                        }
                    }
                    "secretName" => {
                        if let Some(name) = value.as_str() {
                            tell(Reference { name, key: None });
                        }
                    }
                    _ => references(value, tell),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, tell)),
        _ => {}
    }
}

/// Lets all places that name one Secret name another.
fn rename(value: &mut Value, from: &str, to: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                match key.as_str() {
                    "secretKeyRef" | "secretRef" | "secret" => {
                        for name in ["name", "secretName"] {
                            if value.get(name).is_some_and(|name| name == from) {
                                value[name] = to.into();
                            }
                        }
                    }
                    "secretName" if value == from => *value = to.into(),
                    _ => rename(value, from, to),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename(item, from, to)),
        _ => {}
    }
}

/// The Secrets by which images are pulled, in each namespace whose pods come from a registry that the team has a login of;
/// those pods name them afterwards.
fn pull_secrets(job: &Job<'_>, wanted: &mut [Wanted], logins: &[Login]) -> Vec<Wanted> {
    if logins.is_empty() {
        return Vec::new();
    }
    let auths: BTreeMap<&str, Value> = logins
        .iter()
        .map(|login| {
            let pair = encoded(&format!("{}:{}", login.user, login.password));
            (login.key(), json!({ "auth": pair }))
        })
        .collect();
    let data = json!({".dockerconfigjson": encoded(&json!({ "auths": auths }).to_string())});
    let name = hashed(
        &format!("{}-registries", object_name(&job.owner.name)),
        &data,
    );
    let mut namespaces = BTreeSet::new();
    for wanted in wanted {
        let Some(namespace) = wanted.at.namespace.clone() else {
            continue;
        };
        if let Some(spec) = pod_spec_mut(&mut wanted.object)
            && pulls_from(spec, logins)
        {
            let named = spec
                .as_object_mut()
                .map(|spec| spec.entry("imagePullSecrets").or_insert_with(|| json!([])));
            if let Some(Value::Array(named)) = named {
                named.push(json!({ "name": name }));
                namespaces.insert(namespace);
            }
        }
    }
    let kind = "kubernetes.io/dockerconfigjson";
    let secrets = namespaces.iter();
    secrets
        .map(|namespace| secret(job, namespace, &name, kind, &data))
        .collect()
}

/// Whether some image of a pod comes from one of these registries.
fn pulls_from(spec: &Value, logins: &[Login]) -> bool {
    let lists = ["initContainers", "containers"].into_iter();
    let containers = lists
        .filter_map(|list| spec.get(list)?.as_array())
        .flatten();
    let images = containers.map(|container| text(container, "/image"));
    images.into_iter().any(|image| {
        let registry = match image.split_once('/') {
            Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
            _ => "docker.io",
        };
        logins
            .iter()
            .any(|login| login.registry.split('/').next() == Some(registry))
    })
}

fn secret(job: &Job<'_>, namespace: &str, name: &str, kind: &str, data: &Value) -> Wanted {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": kind,
        "immutable": true,
        "data": data,
    });
    job.owner.label(&mut object);
    Wanted {
        at: At::new(Kind::secret(), namespace, name),
        digest: compare::digest(&object),
        object,
        place: String::new(),
        footing: Footing::There,
    }
}

fn hashed(base: &str, data: &Value) -> String {
    let digest: String = compare::digest(data).chars().take(DIGITS).collect();
    format!("{base}-{digest}")
}

fn encoded(value: &str) -> String {
    STANDARD.encode(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({"spec": {"containers": [{
            "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "shop-secrets", "key": "A"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "shop-secrets", "key": "B", "optional": true}}},
                    {"name": "C", "valueFrom": {"secretKeyRef": {"name": "other", "key": "C"}}}],
            "envFrom": [{"secretRef": {"name": "shop-secrets"}}]}],
            "volumes": [{"name": "x", "secret": {"secretName": "shop-secrets"}},
                        {"name": "y", "projected": {"sources": [{"secret": {"name": "shop-secrets"}}]}}]},
            "tls": [{"secretName": "shop-secrets"}], "data": {"name": "shop-secrets"}})
    }

    #[test]
    fn all_places_that_name_a_secret_are_found_and_renamed() {
        let mut used = Used::default();
        used.look(&pod(), "shop-secrets", Some("shop"));
        assert_eq!(used.keys.into_iter().collect::<Vec<_>>(), ["A"]);
        let mut renamed = pod();
        rename(&mut renamed, "shop-secrets", "shop-secrets-1");
        let mut names = Vec::new();
        references(&renamed, &mut |reference| names.push(reference.name));
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "other",
                "shop-secrets-1",
                "shop-secrets-1",
                "shop-secrets-1",
                "shop-secrets-1",
                "shop-secrets-1",
                "shop-secrets-1"
            ]
        );
        assert_eq!(renamed["data"]["name"], "shop-secrets");
    }

    #[test]
    fn a_value_that_changes_gives_another_name() {
        let data = |value: &str| json!({ "A": encoded(value) });
        assert_ne!(hashed("x", &data("1")), hashed("x", &data("2")));
        assert_eq!(hashed("x", &data("1")).len(), 2 + DIGITS);
    }

    #[test]
    fn pods_are_given_logins_of_the_registries_that_they_pull_from() {
        let login = |registry: &str| Login {
            registry: registry.into(),
            user: "ada".into(),
            password: "p".into(),
        };
        let spec = |image: &str| json!({"containers": [{"image": image}]});
        assert!(pulls_from(
            &spec("ghcr.io/acme/shop:1"),
            &[login("ghcr.io")]
        ));
        assert!(pulls_from(&spec("acme/shop"), &[login("docker.io")]));
        assert!(!pulls_from(
            &spec("quay.io/acme/shop:1"),
            &[login("ghcr.io"), login("docker.io")]
        ));
    }
}
