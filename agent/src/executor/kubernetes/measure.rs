//! What pods use, from metrics.k8s.io where the cluster has it.

use std::collections::HashMap;

use serde_json::Value;
use towline_shared::metrics::{ContainerSample, MAX_CONTAINERS};

use super::api::text;
use super::cluster::Cluster;
use super::error::ApiError;
use super::pods;

/// A sample of each container that the cluster measures; none where it measures nothing.
pub(super) async fn samples(cluster: &Cluster) -> Vec<ContainerSample> {
    read(cluster).await.unwrap_or_default()
}

async fn read(cluster: &Cluster) -> Result<Vec<ContainerSample>, ApiError> {
    let api = cluster.api().await?;
    let mut used = HashMap::new();
    for namespace in cluster.namespaces() {
        let within = namespace.map_or_else(String::new, |name| format!("/namespaces/{name}"));
        let path = format!("/apis/metrics.k8s.io/v1beta1{within}/pods");
        let answer = match api.read(&path).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            answer => answer?,
        };
        used.extend(usage(&answer));
    }
    let containers = pods::containers(cluster).await?;
    let running = containers.into_iter().filter_map(|container| {
        let (cpu_percent, memory_used) = *used.get(&container.id)?;
        Some(ContainerSample {
            id: container.id,
            name: container.name,
            project: container.project,
            service: container.service,
            cpu_percent,
            memory_used,
            health: container.health,
            ..ContainerSample::default()
        })
    });
    Ok(running.take(MAX_CONTAINERS).collect())
}

/// Percent of a core, and bytes of memory, by namespace, pod and container.
fn usage(answer: &Value) -> HashMap<String, (f32, u64)> {
    let mut found = HashMap::new();
    let pods = answer.get("items").and_then(Value::as_array);
    for pod in pods.into_iter().flatten() {
        let (namespace, name) = (
            text(pod, "/metadata/namespace"),
            text(pod, "/metadata/name"),
        );
        let containers = pod.get("containers").and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let id = format!("{namespace}/{name}/{}", text(container, "/name"));
            let cpu = quantity(&text(container, "/usage/cpu")).unwrap_or(0.0);
            let memory = quantity(&text(container, "/usage/memory")).unwrap_or(0.0);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share for people, and bytes that no machine has too many of"
            )]
            let measured = ((cpu * 100.0) as f32, memory as u64);
            found.insert(id, measured);
        }
    }
    found
}

/// A quantity as Kubernetes writes it (`250m`, `12Ki`, `1e3`).
pub(super) fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 13] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
    ];
    let suffix = SUFFIXES
        .into_iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    let (number, factor) = suffix.unwrap_or((text, 1.0));
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        let table = [
            ("250m", 0.25),
            ("12Ki", 12288.0),
            ("1", 1.0),
            ("5n", 5e-9),
            ("1e3", 1000.0),
            ("2G", 2e9),
        ];
        for (text, value) in table {
            let read = quantity(text).unwrap_or(f64::NAN);
            assert!((read - value).abs() <= value * 1e-9, "{text}: {read}");
        }
        for text in ["", "m", "-1", "x", "inf", "NaN"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
