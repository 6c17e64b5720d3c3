//! What differs between what runs and what would run: a pure judgement.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use towline_shared::preview::{
    KeyChange, Preview, PreviewedResource, PreviewedService, ResourceChange, ResourceKind,
    ServiceChange, shortened,
};

use super::super::engine::{Observed, Phase};
use super::super::labels;
use super::super::model::{Duty, Model, Service, Source};
use super::super::survey::Wanted;

/// What an engine has of a project.
#[derive(Debug, Default)]
pub(super) struct Engine {
    /// What each service's containers must be made of.
    pub wanted: HashMap<String, Wanted>,
    pub containers: Vec<Observed>,
    pub networks: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
}

/// What applying a model would change, given the model that was applied last, if that is known.
pub(super) fn compare(
    model: &Model,
    former: Option<&Model>,
    engine: &Engine,
    mask: &dyn Fn(&str) -> String,
) -> Preview {
    let now: Value = serde_json::from_slice(&model.text).unwrap_or_default();
    let before: Value = former
        .and_then(|former| serde_json::from_slice(&former.text).ok())
        .unwrap_or_default();
    let mut services: BTreeMap<String, PreviewedService> = BTreeMap::new();
    for service in &model.services {
        let mut previewed = preview_of(service, engine, |keys| {
            let sections = (
                &before["services"][&service.name],
                &now["services"][&service.name],
            );
            changed_keys(sections, keys);
        });
        for value in previewed
            .keys
            .iter_mut()
            .flat_map(|key| [&mut key.before, &mut key.after])
        {
            *value = value.take().map(|value| shortened(&mask(&value)));
        }
        services.insert(service.name.clone(), previewed);
    }
    for container in &engine.containers {
        services
            .entry(container.service.clone())
            .or_insert_with_key(|service| PreviewedService {
                service: service.clone(),
                change: ServiceChange::Removed,
                keys: Vec::new(),
            });
    }
    let networks = resources(&now["networks"], &engine.networks, ResourceKind::Network);
    let volumes = resources(&now["volumes"], &engine.volumes, ResourceKind::Volume);
    Preview {
        services: services.into_values().collect(),
        resources: networks.chain(volumes).collect(),
        left_out: 0,
    }
}

/// What would become of a service. `differ` adds the keys of its configuration that differ.
fn preview_of(
    service: &Service,
    engine: &Engine,
    differ: impl FnOnce(&mut Vec<KeyChange>),
) -> PreviewedService {
    let containers: Vec<&Observed> = engine
        .containers
        .iter()
        .filter(|container| container.service == service.name && container.phase != Phase::Gone)
        .collect();
    let wanted = engine.wanted.get(&service.name);
    let mut keys = Vec::new();
    let is_new = containers.is_empty() && service.replicas > 0;
    if is_new {
        let is_named = service.source == Source::Image;
        let image = is_named.then(|| key("image", None, Some(service.reference.clone())));
        keys.extend(image);
    } else {
        let hash = wanted
            .map(|wanted| wanted.hash.as_str())
            .unwrap_or_default();
        if containers
            .iter()
            .any(|container| container.config_hash != hash)
        {
            differ(&mut keys);
            if keys.is_empty() {
                // Secrets of today were given to what ran before, too.
                keys.push(key("a value that is not shown", None, None));
            }
        }
        keys.extend(
            image_change(&containers, wanted).filter(|_| keys.iter().all(|key| key.key != "image")),
        );
        keys.extend(state_changes(service, &containers));
    }
    let change = match (is_new, keys.is_empty(), service.source) {
        (true, ..) => ServiceChange::Added,
        (false, false, _) => ServiceChange::Changed,
        (false, true, Source::Build) => ServiceChange::Rebuilt,
        (false, true, Source::Image) => ServiceChange::Unchanged,
    };
    PreviewedService {
        service: service.name.clone(),
        change,
        keys,
    }
}

/// The name stays, and what it names has moved.
fn image_change(containers: &[&Observed], wanted: Option<&Wanted>) -> Option<KeyChange> {
    let wanted = wanted?.image_id.as_deref()?;
    let other = containers
        .iter()
        .find(|container| container.image_id != wanted)?;
    Some(key(
        "image",
        Some(other.image_id.clone()),
        Some(wanted.to_owned()),
    ))
}

fn state_changes(service: &Service, containers: &[&Observed]) -> Vec<KeyChange> {
    let mut changes = Vec::new();
    if containers.len() != service.replicas {
        let (before, after) = (containers.len().to_string(), service.replicas.to_string());
        changes.push(key("containers", Some(before), Some(after)));
    }
    let is_down =
        |container: &&&Observed| matches!(container.phase, Phase::Exited | Phase::Created);
    if let Some(down) = containers.iter().find(is_down)
        && service.duty == Duty::Serve
    {
        changes.push(key(
            "state",
            Some(down.phase.to_string()),
            Some("running".to_owned()),
        ));
    }
    changes
}

/// What of a service's configuration differs. How it is built decides nothing about a container but its image.
fn changed_keys((before, after): (&Value, &Value), keys: &mut Vec<KeyChange>) {
    if before.is_null() {
        return;
    }
    let (before, after) = (flat(before), flat(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        if old == new {
            continue;
        }
        if *name == format!("labels.{}", labels::FILES) {
            keys.push(key("content of mounted files", None, None));
        } else {
            keys.push(key(name, old.cloned(), new.cloned()));
        }
    }
}

/// The leaves of a configuration by their path. Lists are leaves: what is in them has no names.
fn flat(section: &Value) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let mut open: Vec<(String, &Value)> = vec![(String::new(), section)];
    while let Some((path, value)) = open.pop() {
        match value {
            Value::Null => {}
            Value::Object(fields) => open.extend(
                fields
                    .iter()
                    .filter(|(name, _)| !path.is_empty() || *name != "build")
                    .map(|(name, field)| (join(&path, name), field)),
            ),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(shortly).collect();
                leaves.insert(path, items.join(", "));
            }
            other => {
                leaves.insert(path, plainly(other));
            }
        }
    }
    leaves
}

/// An item of a list as people write it; compose has made ports and mounts long.
fn shortly(item: &Value) -> String {
    let part = |name: &str| Some(plainly(&item[name])).filter(|text| text != "null");
    match (part("published"), part("source"), part("target")) {
        (Some(published), None, Some(target)) => {
            let host = part("host_ip").map(|host| format!("{host}:"));
            let protocol = part("protocol").filter(|protocol| protocol != "tcp");
            let protocol = protocol.map(|protocol| format!("/{protocol}"));
            let (host, protocol) = (host.unwrap_or_default(), protocol.unwrap_or_default());
            format!("{host}{published}:{target}{protocol}")
        }
        (None, Some(source), Some(target)) => {
            let access = if item["read_only"] == true { ":ro" } else { "" };
            format!("{source}:{target}{access}")
        }
        _ => plainly(item),
    }
}

fn plainly(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn resources(
    declared: &Value,
    present: &BTreeSet<String>,
    kind: ResourceKind,
) -> impl Iterator<Item = PreviewedResource> + use<> {
    let entries = declared.as_object().into_iter().flatten();
    let ours = entries.filter(|(_, entry)| !entry["external"].as_bool().unwrap_or_default());
    let names: BTreeSet<String> = ours
        .map(|(name, entry)| entry["name"].as_str().unwrap_or(name).to_owned())
        .collect();
    let resource = move |change| {
        move |name: &String| PreviewedResource {
            kind,
            name: name.clone(),
            change,
        }
    };
    let added = names
        .difference(present)
        .map(resource(ResourceChange::Added));
    let unused = present
        .difference(&names)
        .map(resource(ResourceChange::Unused));
    added.chain(unused).collect::<Vec<_>>().into_iter()
}

fn key(key: &str, before: Option<String>, after: Option<String>) -> KeyChange {
    KeyChange {
        key: shortened(key),
        before,
        after,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use towline_shared::preview::MAX_VALUE;

    use super::super::super::verdict::tests::{container, service};
    use super::*;

    fn model(services: Vec<Service>, text: &Value) -> Model {
        Model {
            text: text.to_string().into_bytes(),
            services,
            mounts: Vec::new(),
        }
    }

    /// An engine on which `web` runs as it should.
    fn running() -> Engine {
        let web = container(|_| {});
        let wanted = Wanted {
            hash: web.config_hash.clone(),
            image_id: Some(web.image_id.clone()),
        };
        Engine {
            wanted: HashMap::from([("web".to_owned(), wanted)]),
            containers: vec![web],
            networks: BTreeSet::from(["shop_default".to_owned()]),
            volumes: BTreeSet::new(),
        }
    }

    fn web(environment: &Value) -> Value {
        json!({
            "services": { "web": { "image": "nginx:1", "environment": environment, "build": { "context": environment } } },
            "networks": { "default": { "name": "shop_default" } },
        })
    }

    fn changes(preview: &Preview) -> Vec<(&str, ServiceChange, Vec<&str>)> {
        let services = preview.services.iter();
        services
            .map(|one| {
                let keys = one.keys.iter().map(|key| key.key.as_str()).collect();
                (one.service.as_str(), one.change, keys)
            })
            .collect()
    }

    fn plain(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn what_runs_as_it_should_is_unchanged_whatever_the_former_model_was() {
        let now = model(vec![service("web", 1)], &web(&json!({ "A": "1" })));
        let former = model(vec![service("web", 1)], &web(&json!({ "A": "2" })));
        let preview = compare(&now, Some(&former), &running(), &plain);
        assert_eq!(
            changes(&preview),
            [("web", ServiceChange::Unchanged, vec![])]
        );
        assert_eq!(preview.resources, []);
    }

    #[test]
    fn the_keys_that_differ_are_named_with_masked_and_short_values() {
        let long = "x".repeat(MAX_VALUE + 1);
        let now = model(
            vec![service("web", 1)],
            &web(&json!({ "A": "hunter2", "LONG": long, "NEW": "" })),
        );
        let former = model(
            vec![service("web", 1)],
            &web(&json!({ "A": "1", "GONE": "x" })),
        );
        let mut engine = running();
        engine.wanted.get_mut("web").unwrap().hash = "another".to_owned();
        let mask = |text: &str| text.replace("hunter2", "***");
        let preview = compare(&now, Some(&former), &engine, &mask);
        let keys = &preview.services[0].keys;
        let table: Vec<_> = keys
            .iter()
            .map(|key| {
                (
                    key.key.as_str(),
                    key.before.as_deref(),
                    key.after.as_deref(),
                )
            })
            .collect();
        let shown = format!("{}…", "x".repeat(MAX_VALUE));
        let expected = [
            ("environment.A", Some("1"), Some("***")),
            ("environment.GONE", Some("x"), None),
            ("environment.LONG", None, Some(shown.as_str())),
            ("environment.NEW", None, Some("")),
        ];
        assert_eq!(table, expected);
        assert_eq!(preview.services[0].change, ServiceChange::Changed);
        let same = compare(&now, Some(&now), &engine, &plain);
        assert_eq!(
            changes(&same),
            [(
                "web",
                ServiceChange::Changed,
                vec!["a value that is not shown"]
            )]
        );
        let unknown = compare(&now, None, &engine, &plain);
        assert_eq!(changes(&unknown), changes(&same));
    }

    #[test]
    fn a_moved_tag_a_dead_container_and_another_number_are_changes() {
        let text = web(&json!({}));
        let now = model(vec![service("web", 2)], &text);
        let mut engine = running();
        engine.wanted.get_mut("web").unwrap().image_id = Some("sha256:new".to_owned());
        engine.containers[0].phase = Phase::Exited;
        let preview = compare(&now, Some(&now), &engine, &plain);
        assert_eq!(
            changes(&preview),
            [(
                "web",
                ServiceChange::Changed,
                vec!["image", "containers", "state"]
            )]
        );
        assert_eq!(
            preview.services[0].keys[0].after.as_deref(),
            Some("sha256:new")
        );
        assert_eq!(
            preview.services[0].keys[2].before.as_deref(),
            Some("exited")
        );
    }

    #[test]
    fn services_and_resources_come_and_go() {
        let text = json!({
            "services": { "api": { "image": "api:1" } },
            "networks": { "default": { "name": "shop_default" }, "out": { "external": true, "name": "bridge" } },
            "volumes": { "data": { "name": "shop_data" } },
        });
        let now = model(vec![service("api", 1)], &text);
        let mut engine = running();
        engine.volumes.insert("shop_old".to_owned());
        let preview = compare(&now, None, &engine, &plain);
        let expected = [
            ("api", ServiceChange::Added, vec!["image"]),
            ("web", ServiceChange::Removed, vec![]),
        ];
        assert_eq!(changes(&preview), expected);
        let resources: Vec<_> = preview
            .resources
            .iter()
            .map(|resource| (resource.kind, resource.name.as_str(), resource.change))
            .collect();
        let expected = [
            (ResourceKind::Volume, "shop_data", ResourceChange::Added),
            (ResourceKind::Volume, "shop_old", ResourceChange::Unused),
        ];
        assert_eq!(resources, expected);
    }

    #[test]
    fn items_of_lists_are_written_as_people_write_them() {
        let table = [
            (
                json!({"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"}),
                "8080:80",
            ),
            (
                json!({"target": 53, "published": "53", "protocol": "udp", "host_ip": "::1"}),
                "::1:53:53/udp",
            ),
            (
                json!({"type": "volume", "source": "data", "target": "/data"}),
                "data:/data",
            ),
            (
                json!({"type": "bind", "source": "/a", "target": "/b", "read_only": true}),
                "/a:/b:ro",
            ),
            (json!({"target": 80}), r#"{"target":80}"#),
            (json!("echo"), "echo"),
        ];
        for (item, expected) in table {
            assert_eq!(shortly(&item), expected);
        }
    }

    #[test]
    fn what_is_built_may_change() {
        let mut built = service("web", 1);
        built.source = Source::Build;
        let now = model(vec![built], &web(&json!({})));
        let preview = compare(&now, None, &running(), &plain);
        assert_eq!(changes(&preview), [("web", ServiceChange::Rebuilt, vec![])]);
    }
}
