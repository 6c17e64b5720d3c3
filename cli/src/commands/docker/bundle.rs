//! What the docker command line needs for an engine: an address, three files, and a context that knows both.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use towline_pki::AgentKey;

use crate::{
    api::docker::Issued,
    config::ConfigFile,
    exit::{Exit, Failure},
    private_files,
};

/// A key of one's own, which never leaves this machine.
pub fn key() -> Result<AgentKey, Failure> {
    AgentKey::generate().map_err(|error| no_key(&error))
}

/// A signing request for it.
pub fn request(key: &AgentKey) -> Result<String, Failure> {
    key.csr_pem().map_err(|error| no_key(&error))
}

fn no_key(error: &towline_pki::PkiError) -> Failure {
    Failure::usage("A key cannot be made").detail(error.to_string())
}

/// The files of one host, in a folder of their own.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    docker_host: String,
}

impl Bundle {
    /// Writes the files, in place of those before.
    pub fn write(place: &ConfigFile, issued: &Issued, key: &AgentKey) -> Result<Self, Failure> {
        let folder = place
            .folder()
            .join("docker")
            .join(file_name(&issued.target)?);
        let written = private_files::folder(&folder).and_then(|()| {
            private_files::replace(&folder.join("ca.pem"), &issued.ca)?;
            private_files::replace(&folder.join("cert.pem"), &issued.certificate)?;
            private_files::replace(&folder.join("key.pem"), &key.key_pem())
        });
        written.map_err(|error| {
            Failure::usage(format!("{} cannot be written", folder.display()))
                .detail(error.to_string())
                .remedy("make it yours and writable, or set TOWLINE_CONFIG_HOME to another folder")
        })?;
        Ok(Self {
            folder,
            docker_host: issued.docker_host.clone(),
        })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where clients of Docker connect.
    pub fn docker_host(&self) -> &str {
        &self.docker_host
    }

    /// What a shell evaluates.
    pub fn environment(&self) -> String {
        format!(
            "export DOCKER_HOST={}\nexport DOCKER_TLS_VERIFY=1\nexport DOCKER_CERT_PATH={}",
            quoted(&self.docker_host),
            quoted(&self.folder.display().to_string())
        )
    }

    /// Makes a docker context, or brings it up to date.
    pub fn make_context(&self, name: &str) -> Result<(), Failure> {
        let endpoint = self.endpoint()?;
        let known = docker(&["context", "inspect", name])?.status.success();
        let verb = if known { "update" } else { "create" };
        let done = docker(&["context", verb, name, "--docker", &endpoint])?;
        if done.status.success() {
            return Ok(());
        }
        let words = String::from_utf8_lossy(&done.stderr);
        Err(
            Failure::new(Exit::Failed, format!("docker context {verb} {name} failed"))
                .detail(words.trim().to_owned())
                .remedy("give another --name, or use --env"),
        )
    }

    fn endpoint(&self) -> Result<String, Failure> {
        let folder = self.folder.display().to_string();
        if folder.contains([',', '"']) {
            return Err(
                Failure::usage(format!("docker takes no such path: {folder}")).remedy(
                    "set TOWLINE_CONFIG_HOME to a folder without commas and quotes, or use --env",
                ),
            );
        }
        Ok(format!(
            "host={},ca={folder}/ca.pem,cert={folder}/cert.pem,key={folder}/key.pem",
            self.docker_host
        ))
    }
}

fn docker(arguments: &[&str]) -> Result<Output, Failure> {
    Command::new("docker")
        .args(arguments)
        .output()
        .map_err(|error| {
            let failure = Failure::usage("The docker command line cannot be run");
            let failure = match error.kind() {
                io::ErrorKind::NotFound => failure.detail("there is no `docker` on the PATH"),
                _ => failure.detail(error.to_string()),
            };
            failure.remedy("install it, or use --env for another client")
        })
}

/// A host's name as the name of a folder, which it is not taken for on trust.
fn file_name(host: &str) -> Result<&str, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !host.is_empty() && host.chars().all(plain) && !host.starts_with('.') {
        return Ok(host);
    }
    Err(Failure::new(
        Exit::Failed,
        format!("{host:?} cannot be the name of a folder"),
    ))
}

/// As shells take it literally.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_name_leads_nowhere_else() {
        assert!(file_name("web-1.example_2").is_ok());
        for name in ["", "..", "../x", "a/b", ".hidden", "a b"] {
            assert!(file_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_shell_takes_what_is_quoted_literally() {
        assert_eq!(quoted("/a b/$c"), "'/a b/$c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
