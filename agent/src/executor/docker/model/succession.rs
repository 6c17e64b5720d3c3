//! How the new containers of a service follow the old ones.

use serde_json::Value;

use super::entries;

/// How new containers come in the place of old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) enum Succession {
    /// The old ones stop first, as compose does it.
    StopFirst,
    /// The new ones run before the old ones stop: `deploy.update_config.order: start-first`.
    StartFirst,
    /// So its project wants it, and it cannot be, because of this.
    Hindered(String),
}

/// What a service of a model asks for, and can have.
pub(super) fn of(model: &Value, name: &str, service: &Value) -> Succession {
    if service["deploy"]["update_config"]["order"] != "start-first" {
        return Succession::StopFirst;
    }
    own_hindrance(service)
        .or_else(|| guest(model, name))
        .map_or(Succession::StartFirst, Succession::Hindered)
}

/// What of a service only one container can have at a time.
fn own_hindrance(service: &Value) -> Option<String> {
    if let Some(name) = service["container_name"].as_str() {
        return Some(format!(
            "only one container can have the name {name} (container_name)"
        ));
    }
    let ports = service["ports"].as_array();
    let published = ports.into_iter().flatten().find_map(|port| {
        let published = &port["published"];
        let text = published.as_str().map(str::to_owned);
        let text = text.or_else(|| published.as_u64().map(|port| port.to_string()))?;
        (!matches!(text.as_str(), "" | "0")).then_some(text)
    });
    if let Some(port) = published {
        return Some(format!(
            "only one container can have port {port} of the host; publish it by a proxy before the service"
        ));
    }
    let mode = service["network_mode"].as_str().unwrap_or_default();
    if mode == "host" || mode.starts_with("service:") || mode.starts_with("container:") {
        return Some(format!(
            "two containers would share one network (network_mode: {mode})"
        ));
    }
    let mut networks = entries(service, "networks");
    let fixed = networks.find_map(|(_, network)| {
        let addresses = ["ipv4_address", "ipv6_address", "mac_address"];
        addresses.into_iter().find(|key| network[key].is_string())
    });
    fixed.map(|key| format!("only one container can have an address of its own ({key})"))
}

/// Another service that lives in a container of this one, and would lose it.
fn guest(model: &Value, host: &str) -> Option<String> {
    let inside = format!("service:{host}");
    let lives_in = |service: &Value| {
        let keys = ["network_mode", "ipc", "pid"];
        let mut volumes = service["volumes_from"].as_array().into_iter().flatten();
        keys.iter().any(|key| service[key] == inside.as_str())
            || volumes.any(|from| {
                let from = from.as_str().unwrap_or_default();
                from.split(':').next() == Some(host)
            })
    };
    let (name, _) = entries(model, "services").find(|(_, service)| lives_in(service))?;
    Some(format!(
        "the service {name} uses what belongs to one of its containers"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn asked(more: &Value) -> Succession {
        let mut web = json!({"deploy": {"update_config": {"order": "start-first"}}});
        let (fields, others) = (web.as_object_mut(), more["others"].clone());
        if let (Some(fields), Some(more)) = (fields, more["web"].as_object()) {
            fields.extend(more.clone());
        }
        let mut model = json!({"services": {"web": web}});
        if let (Some(services), Some(others)) =
            (model["services"].as_object_mut(), others.as_object())
        {
            services.extend(others.clone());
        }
        of(&model, "web", &model["services"]["web"])
    }

    #[test]
    fn new_containers_come_first_where_two_can_be() {
        let plain = json!({"web": {"ports": [{"target": 80, "published": "0"}, {"target": 81}],
            "networks": {"default": null, "front": {"aliases": ["www"]}}},
            "others": {"db": {"volumes_from": ["webs"], "network_mode": "bridge"}}});
        assert_eq!(asked(&plain), Succession::StartFirst);
        let table = [
            (json!({"web": {"container_name": "shop"}}), "the name shop"),
            (
                json!({"web": {"ports": [{"target": 80, "published": "8080"}]}}),
                "port 8080",
            ),
            (
                json!({"web": {"ports": [{"target": 80, "published": 8080}]}}),
                "port 8080",
            ),
            (
                json!({"web": {"ports": [{"target": 80, "published": "80-90"}]}}),
                "port 80-90",
            ),
            (
                json!({"web": {"network_mode": "host"}}),
                "network_mode: host",
            ),
            (
                json!({"web": {"network_mode": "service:db"}}),
                "network_mode: service:db",
            ),
            (
                json!({"web": {"networks": {"n": {"ipv4_address": "10.0.0.2"}}}}),
                "ipv4_address",
            ),
            (
                json!({"others": {"side": {"network_mode": "service:web"}}}),
                "service side",
            ),
            (
                json!({"others": {"side": {"volumes_from": ["web:ro"]}}}),
                "service side",
            ),
        ];
        for (model, why) in table {
            let Succession::Hindered(told) = asked(&model) else {
                panic!("{model}")
            };
            assert!(told.contains(why), "{told}");
        }
        let silent =
            json!({"services": {"web": {"deploy": {"update_config": {"order": "stop-first"}}}}});
        assert_eq!(
            of(&silent, "web", &silent["services"]["web"]),
            Succession::StopFirst
        );
    }
}
