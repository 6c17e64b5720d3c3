//! In which order objects come and go: what others need comes first, and goes last.

/// The kinds of Kubernetes that have a place of their own, wave by wave.
const WAVES: [&[&str]; 6] = [
    &[
        "Namespace",
        "CustomResourceDefinition",
        "PriorityClass",
        "RuntimeClass",
    ],
    &[
        "ResourceQuota",
        "LimitRange",
        "NetworkPolicy",
        "StorageClass",
        "PersistentVolume",
        "IngressClass",
    ],
    &[
        "ServiceAccount",
        "Secret",
        "ConfigMap",
        "ClusterRole",
        "Role",
    ],
    &[
        "PersistentVolumeClaim",
        "ClusterRoleBinding",
        "RoleBinding",
        "Service",
    ],
    // What runs, and kinds that are not known here.
    &[],
    &[
        "PodDisruptionBudget",
        "HorizontalPodAutoscaler",
        "Ingress",
        "APIService",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    ],
];
/// The wave of what is not listed.
const RUNNING: usize = 4;

/// The wave in which objects of a kind are applied; they go in the reverse order.
pub(super) fn wave(kind: &str) -> usize {
    let listed = WAVES.iter().position(|kinds| kinds.contains(&kind));
    listed.unwrap_or(RUNNING)
}

/// How many waves there are.
pub(super) const COUNT: usize = WAVES.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_need_comes_first() {
        let order = [
            "Namespace",
            "ResourceQuota",
            "ConfigMap",
            "Service",
            "Deployment",
            "Ingress",
        ];
        let waves: Vec<usize> = order.into_iter().map(wave).collect();
        assert_eq!(waves, [0, 1, 2, 3, 4, 5]);
        assert_eq!(wave("Widget"), wave("Deployment"));
    }
}
