//! Services: an address from outside, where there is somebody who gives one; quotas: what is used.

use serde_json::{Value, json};

use crate::{
    admission::quota,
    controllers::desk::Desk,
    document::{at, items, put, text},
    settings::LoadBalancers,
    store::{Key, key_of},
};

pub(super) fn look(desk: &mut Desk, key: &Key) {
    if desk.state.settings.load_balancers == LoadBalancers::Never {
        return;
    }
    let Some(service) = desk.get("services", key) else {
        return;
    };
    if text(&service, "spec/type") != "LoadBalancer"
        || !items(&service, "status/loadBalancer/ingress").is_empty()
    {
        return;
    }
    let mut given = (*service).clone();
    let address = format!("203.0.113.{}", fastrand::u8(1..255));
    put(
        &mut given,
        "status/loadBalancer",
        json!({"ingress": [{"ip": address, "ipMode": "VIP"}]}),
    );
    desk.put_status("services", "cloud-controller-manager", given);
}

/// Says in each quota of a namespace what is used of it.
pub(super) fn count(desk: &mut Desk, namespace: &str) {
    let quotas: Vec<_> = desk
        .state
        .store
        .list("resourcequotas", namespace)
        .cloned()
        .collect();
    for there in quotas {
        let used = quota::usage(desk.state, &there);
        let status = json!({"hard": at(&there, "spec/hard"), "used": used});
        let mut told: Value = (*there).clone();
        put(&mut told, "status", status);
        if told != *there && desk.get("resourcequotas", &key_of(&there)).is_some() {
            desk.put_status("resourcequotas", "kube-controller-manager", told);
        }
    }
}
