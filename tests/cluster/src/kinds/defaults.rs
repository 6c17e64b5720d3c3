//! What an object is taken to say where it says nothing.

mod others;
mod pods;
mod workloads;

use serde_json::Value;

use crate::{
    document::at,
    kinds::{Kind, Origin},
};

/// Fills in what is left out.
pub(crate) fn fill(kind: &Kind, object: &mut Value, live: Option<&Value>) {
    if let Origin::Custom(schema) = &kind.origin {
        custom(schema, object);
        return;
    }
    match kind.kind.as_str() {
        "Pod" => pods::pod(object),
        "Deployment" => workloads::deployment(object),
        "StatefulSet" => workloads::stateful_set(object),
        "DaemonSet" => workloads::daemon_set(object),
        "ReplicaSet" => workloads::replica_set(object),
        "Job" => workloads::job(object),
        "CronJob" => workloads::cron_job(object),
        "Service" => others::service(object, live),
        "Namespace" => others::namespace(object),
        "Secret" => others::secret(object),
        "PersistentVolumeClaim" => others::claim(object),
        "HorizontalPodAutoscaler" => others::autoscaler(object),
        "StorageClass" => others::storage_class(object),
        "CustomResourceDefinition" => others::definition(object),
        "ValidatingWebhookConfiguration" => others::webhooks(object),
        "RoleBinding" | "ClusterRoleBinding" => others::binding(object),
        "NetworkPolicy" => others::network_policy(object),
        "ResourceQuota" => others::quota(object),
        _ => {}
    }
}

/// Defaults of a schema, where the map that they belong to is there.
fn custom(schema: &Value, object: &mut Value) {
    match object {
        Value::Object(map) => {
            for (name, schema) in at(schema, "properties").as_object().into_iter().flatten() {
                let default = &schema["default"];
                if !default.is_null() && !map.contains_key(name) {
                    map.insert(name.clone(), default.clone());
                }
                if let Some(value) = map.get_mut(name) {
                    custom(schema, value);
                }
            }
            if let Some(below) = schema
                .get("additionalProperties")
                .filter(|below| below.is_object())
            {
                map.values_mut().for_each(|value| custom(below, value));
            }
        }
        Value::Array(list) => {
            for value in list {
                custom(&schema["items"], value);
            }
        }
        _ => {}
    }
}
