//! The labels of containers: compose's own, and Towline's.

/// The compose project.
pub(super) const PROJECT: &str = "com.docker.compose.project";
/// The compose service.
pub(super) const SERVICE: &str = "com.docker.compose.service";
/// The number of a container within its service.
pub(super) const NUMBER: &str = "com.docker.compose.container-number";
/// The hash of the configuration that the container was made from.
pub(super) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
/// `True` for containers of `docker compose run`.
pub(super) const ONE_OFF: &str = "com.docker.compose.oneoff";

/// Towline's project: what bears it is Towline's.
pub(super) const OWNER: &str = "io.towline.project";
/// The target it was deployed to.
pub(super) const TARGET: &str = "io.towline.target";
/// The content of the project's files that the service mounts: when it changes, compose makes the
/// container anew, so that it sees the new files.
pub(super) const FILES: &str = "io.towline.files";

/// The engine's filter for the containers, networks and volumes of a compose project.
pub(super) fn of_project(project: &str) -> String {
    format!("{PROJECT}={project}")
}

/// What a container's lines are called in the log.
pub(super) fn source(service: &str, number: &str) -> String {
    format!("{service}-{number}")
}
