//! The team's logins of registries, for one job.
//!
//! They lie in a folder of the job's own, which compose takes for the docker command line's: the host's own logins,
//! helpers, plugins and builders are in it, too, and the team's login wins at its registry. The folder goes when the
//! job's work ends; a compose that outlives the agent finds it until then.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::folder::create_private;
pub(super) use crate::executor::registry_login::{Login, is_password, of};

const FOLDER: &str = "docker-config";
const CONFIG: &str = "config.json";
/// The folder of a job with logins; the host's own where there are none.
pub(super) fn folder(job_dir: &Path, host: &Path, logins: &[Login]) -> io::Result<PathBuf> {
    if logins.is_empty() {
        return Ok(host.to_path_buf());
    }
    let folder = job_dir.join(FOLDER);
    create_private(&folder)?;
    link_what_else_is_there(&folder, host)?;
    let known = std::fs::read(host.join(CONFIG)).unwrap_or_default();
    let config = merged(serde_json::from_slice(&known).unwrap_or_default(), logins);
    write_private(&folder, config.to_string().as_bytes())?;
    Ok(folder)
}

/// Takes the logins away.
pub(super) fn forget(job_dir: &Path) {
    match std::fs::remove_dir_all(job_dir.join(FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "a job's logins of registries go with its folder");
        }
        _ => {}
    }
}

/// The host's plugins, contexts and builders.
fn link_what_else_is_there(folder: &Path, host: &Path) -> io::Result<()> {
    // A host without a folder of the docker command line has plugins of the system's.
    let entries = std::fs::read_dir(host).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name() != CONFIG) {
        match symlink(entry.path(), folder.join(entry.file_name())) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whole at every moment: compose may read it while the agent is started again.
fn write_private(folder: &Path, content: &[u8]) -> io::Result<()> {
    let half = folder.join("config.json.half-written");
    match std::fs::remove_file(&half) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&half)?;
    file.write_all(content)?;
    std::fs::rename(half, folder.join(CONFIG))
}

/// The host's configuration with these logins in it, which win over its own.
fn merged(mut config: Map<String, Value>, logins: &[Login]) -> Value {
    let has_store = config.get("credsStore").is_some_and(|store| store != "");
    for login in logins {
        let host = host_of(login.key());
        let auths = object(&mut config, "auths");
        auths.retain(|key, _| host_of(key) != host);
        let pair = STANDARD.encode(format!("{}:{}", login.user, login.password));
        auths.insert(login.key().to_owned(), json!({ "auth": pair }));
        let helpers = object(&mut config, "credHelpers");
        helpers.retain(|key, _| host_of(key) != host);
        if has_store {
            // No helper is what docker takes this for: the login stands here.
            helpers.insert(login.key().to_owned(), json!(""));
        }
    }
    Value::Object(config)
}

fn object<'m>(config: &'m mut Map<String, Value>, name: &str) -> &'m mut Map<String, Value> {
    let entry = config.entry(name).or_insert_with(|| json!({}));
    if !entry.is_object() {
        *entry = json!({});
    }
    match entry {
        Value::Object(map) => map,
        _ => unreachable!("it is an object now"),
    }
}

/// The registry that a key means, which people write in several ways.
fn host_of(key: &str) -> &str {
    let bare = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    let host = bare.unwrap_or(key).split('/').next().unwrap_or_default();
    match host {
        "docker.io" | "registry-1.docker.io" => "index.docker.io",
        host => host,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn login(registry: &str) -> Login {
        Login {
            registry: registry.into(),
            user: "ada".into(),
            password: "hunter2:x".into(),
        }
    }

    #[test]
    fn a_team_s_login_wins_over_the_host_s() {
        let host = json!({
            "auths": { "https://ghcr.io/v2/": {"auth": "old"}, "quay.io": {"auth": "kept"},
                "https://index.docker.io/v1/": {"auth": "old"} },
            "credHelpers": { "ghcr.io": "pass", "ecr.example.com": "ecr" },
            "credsStore": "secretservice",
            "proxies": { "default": {} },
        });
        let Value::Object(host) = host else { panic!() };
        let auth = STANDARD.encode("ada:hunter2:x");
        let logins = [login("ghcr.io"), login("docker.io")];
        let expected = json!({
            "auths": { "ghcr.io": {"auth": auth}, "quay.io": {"auth": "kept"},
                "https://index.docker.io/v1/": {"auth": auth} },
            "credHelpers": { "ghcr.io": "", "https://index.docker.io/v1/": "", "ecr.example.com": "ecr" },
            "credsStore": "secretservice",
            "proxies": { "default": {} },
        });
        assert_eq!(merged(host, &logins), expected);
        let plain = merged(Map::new(), &logins[..1]);
        let expected = json!({ "auths": { "ghcr.io": {"auth": auth} }, "credHelpers": {} });
        assert_eq!(plain, expected);
    }

    #[test]
    fn the_folder_is_private_and_has_what_the_host_s_has() {
        let dir = tempfile::tempdir().unwrap();
        let (job, host) = (dir.path().join("job"), dir.path().join("host"));
        std::fs::create_dir_all(host.join("cli-plugins")).unwrap();
        std::fs::write(host.join(CONFIG), r#"{"auths":{"quay.io":{"auth":"x"}}}"#).unwrap();
        std::fs::create_dir(&job).unwrap();
        assert_eq!(folder(&job, &host, &[]).unwrap(), host);
        assert!(!job.join(FOLDER).exists());
        for _ in 0..2 {
            let own = folder(&job, &host, &[login("ghcr.io")]).unwrap();
            let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&own), mode(&own.join(CONFIG))), (0o700, 0o600));
            assert!(own.join("cli-plugins").is_dir());
            let config: Value =
                serde_json::from_slice(&std::fs::read(own.join(CONFIG)).unwrap()).unwrap();
            assert_eq!(config["auths"]["quay.io"]["auth"], "x");
            assert!(config["auths"]["ghcr.io"].is_object());
        }
        forget(&job);
        forget(&job);
        assert!(!job.join(FOLDER).exists() && host.join("cli-plugins").is_dir());
    }
}
