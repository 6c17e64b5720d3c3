//! What makes objects invalid, in the words of the real server.

mod configuration;
mod custom;
mod metadata;
mod pods;
mod words;
mod workloads;

use serde_json::Value;

use crate::{
    kinds::{Kind, Origin},
    refusal::Cause,
};

/// All that is wrong with an object, and with how it changes.
pub(crate) fn check(kind: &Kind, object: &Value, live: Option<&Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    metadata::check(kind, object, live, &mut causes);
    if let Origin::Custom(schema) = &kind.origin {
        custom::check(schema, object, "", &mut causes);
        return causes;
    }
    match kind.kind.as_str() {
        "Pod" => pods::pod(object, live, &mut causes),
        "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" => {
            workloads::with_selector(kind, object, live, &mut causes);
        }
        "Job" => workloads::job(object, live, &mut causes),
        "CronJob" => workloads::cron_job(object, &mut causes),
        "Service" => configuration::service(object, live, &mut causes),
        "ConfigMap" => configuration::config_map(object, live, &mut causes),
        "Secret" => configuration::secret(object, live, &mut causes),
        "PersistentVolumeClaim" => configuration::claim(object, live, &mut causes),
        "Ingress" => configuration::ingress(object, &mut causes),
        "RoleBinding" | "ClusterRoleBinding" => configuration::binding(object, live, &mut causes),
        _ => {}
    }
    causes
}

/// A field that does not change once it is set.
fn immutable(object: &Value, live: Option<&Value>, path: &str, causes: &mut Vec<Cause>) {
    let Some(live) = live else { return };
    let now = crate::document::at(object, path);
    if now != crate::document::at(live, path) {
        causes.push(Cause::invalid(
            &path.replace('/', "."),
            now,
            "field is immutable",
        ));
    }
}
