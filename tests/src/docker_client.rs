//! A client of Docker with a certificate for a host, which reaches that host's engine through the control plane.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

use crate::{
    cli::Cli,
    parts::{EngineKind, Parts, clean_command},
    process::guarded,
    scratch::Scratch,
};

/// It knows an address and a folder of three files.
#[derive(Debug)]
pub struct DockerClient {
    kind: EngineKind,
    host: String,
    certificates: PathBuf,
    /// The certificate's id.
    pub certificate: String,
    folder: Scratch,
}

impl DockerClient {
    /// By a certificate of its own, for the person of this `towline`.
    pub fn new(cli: &Cli, target: &str, kind: EngineKind) -> Self {
        let made = cli
            .run(&["docker", "context", target, "--env", "--json"])
            .json();
        let folder = Scratch::new("docker-client");
        let from = PathBuf::from(text(&made["cert_path"]));
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::copy(from.join(name), folder.join(name)).expect("the file is there");
        }
        Self {
            kind,
            host: text(&made["docker_host"]),
            certificates: folder.path().to_owned(),
            certificate: text(&made["certificate_id"]),
            folder,
        }
    }

    /// Of an engine at another address (`tcp://…`), with the files of a folder.
    pub fn at(host: &str, certificates: &Path, kind: EngineKind) -> Self {
        Self {
            kind,
            host: host.to_owned(),
            certificates: certificates.to_owned(),
            certificate: String::new(),
            folder: Scratch::new("docker-client"),
        }
    }

    /// The same with the files of another folder.
    #[must_use]
    pub fn with_certificates(&self, certificates: PathBuf) -> Self {
        Self {
            kind: self.kind,
            host: self.host.clone(),
            certificates,
            certificate: self.certificate.clone(),
            folder: Scratch::new("docker-client"),
        }
    }

    /// `host:port` of the Docker API's listener.
    pub fn address(&self) -> String {
        self.host.trim_start_matches("tcp://").to_owned()
    }

    /// Where its three files are.
    pub fn certificates(&self) -> PathBuf {
        self.certificates.clone()
    }

    /// The docker command line.
    pub fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = clean_command("docker", self.kind);
        self.point(&mut command);
        command.args(arguments);
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.docker(arguments);
        command.stdin(Stdio::null());
        command.output().expect("docker starts")
    }

    /// A program of Python with the Docker SDK.
    pub fn python(&self, program: &str) -> Command {
        let mut command = guarded(Parts::locate().checker("checkers/python/bin/python"));
        self.point(&mut command);
        // The SDK would trust these before the authority that it is given.
        command
            .env_remove("REQUESTS_CA_BUNDLE")
            .env_remove("CURL_CA_BUNDLE");
        command.args(["-c", program]);
        command
    }

    fn point(&self, command: &mut Command) {
        command
            .env("DOCKER_HOST", &self.host)
            .env("DOCKER_TLS_VERIFY", "1")
            .env("DOCKER_CERT_PATH", &self.certificates)
            // Sessions of buildx leave something there.
            .env("BUILDX_CONFIG", self.folder.join("buildx"));
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
