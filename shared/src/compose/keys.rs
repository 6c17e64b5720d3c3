//! The keys of the Compose Specification.

const TOP_LEVEL: [&str; 9] = [
    "version", "name", "include", "services", "networks", "volumes", "secrets", "configs", "models",
];

const SERVICE: [&str; 93] = [
    "annotations",
    "attach",
    "blkio_config",
    "build",
    "cap_add",
    "cap_drop",
    "cgroup",
    "cgroup_parent",
    "command",
    "configs",
    "container_name",
    "cpu_count",
    "cpu_percent",
    "cpu_period",
    "cpu_quota",
    "cpu_rt_period",
    "cpu_rt_runtime",
    "cpu_shares",
    "cpus",
    "cpuset",
    "credential_spec",
    "depends_on",
    "deploy",
    "develop",
    "device_cgroup_rules",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "domainname",
    "entrypoint",
    "env_file",
    "environment",
    "expose",
    "extends",
    "external_links",
    "extra_hosts",
    "gpus",
    "group_add",
    "healthcheck",
    "hostname",
    "image",
    "init",
    "ipc",
    "isolation",
    "label_file",
    "labels",
    "links",
    "logging",
    "mac_address",
    "mem_limit",
    "mem_reservation",
    "mem_swappiness",
    "memswap_limit",
    "models",
    "network_mode",
    "networks",
    "oom_kill_disable",
    "oom_score_adj",
    "pid",
    "pids_limit",
    "platform",
    "ports",
    "post_start",
    "pre_start",
    "pre_stop",
    "privileged",
    "profiles",
    "provider",
    "pull_policy",
    "pull_refresh_after",
    "read_only",
    "restart",
    "runtime",
    "scale",
    "secrets",
    "security_opt",
    "shm_size",
    "stdin_open",
    "stop_grace_period",
    "stop_signal",
    "storage_opt",
    "sysctls",
    "tmpfs",
    "tty",
    "ulimits",
    "use_api_socket",
    "user",
    "userns_mode",
    "uts",
    "volumes",
    "volumes_from",
    "working_dir",
];

/// Whether a key may stand at the top level.
pub(crate) fn is_top_level_key(key: &str) -> bool {
    key.starts_with("x-") || TOP_LEVEL.contains(&key)
}

/// Whether a key may stand in a service.
pub(crate) fn is_service_key(key: &str) -> bool {
    key.starts_with("x-") || SERVICE.contains(&key)
}

/// The key of the top level that was probably meant.
pub(crate) fn nearest_top_level(key: &str) -> Option<&'static str> {
    nearest(&TOP_LEVEL, key)
}

/// The key of a service that was probably meant.
pub(crate) fn nearest_service(key: &str) -> Option<&'static str> {
    nearest(&SERVICE, key)
}

fn nearest(known: &[&'static str], key: &str) -> Option<&'static str> {
    let worst = if key.len() < 4 { 1 } else { 2 };
    let near = known
        .iter()
        .map(|known| (distance(known, key), *known))
        .min()?;
    (key.len() < 64 && near.0 <= worst).then_some(near.1)
}

/// How many letters must be added, dropped or changed to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = above + 1;
        for (index, against) in other.iter().enumerate() {
            let changed = corner + usize::from(letter != *against);
            corner = row[index + 1];
            row[index + 1] = changed.min(corner + 1).min(row[index] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_are_recognised() {
        assert_eq!(nearest_service("enviroment"), Some("environment"));
        assert_eq!(nearest_service("port"), Some("ports"));
        assert_eq!(nearest_service("restrat"), Some("restart"));
        assert_eq!(nearest_service("kubernetes"), None);
        assert_eq!(nearest_top_level("service"), Some("services"));
    }

    #[test]
    fn the_specification_and_extensions_are_known() {
        assert!(
            is_top_level_key("services")
                && is_top_level_key("x-logging")
                && !is_top_level_key("web")
        );
        assert!(is_service_key("image") && is_service_key("x-a") && !is_service_key("images"));
    }
}
