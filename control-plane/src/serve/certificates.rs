//! The listeners' certificates, exchanged while they run.
//!
//! Certificates of the built-in authority are made anew at each start and at half of their life, and
//! their keys never touch the disk. The operator's own files are read again when they change.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use towline_pki::tls::{self, LiveServerConfig};
use towline_pki::{Fingerprint, SERVER_LEAF_LIFETIME, ServerCertificate, TrustRoots};

use crate::config::{CertificateFiles, Config};
use crate::error::StartError;
use crate::store::Store;

/// The roots, for people and programs that want to trust this installation.
const CA_FILE: &str = "ca.pem";

/// By what clients know the public listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// By the fingerprint of the built-in authority.
    BuiltIn,
    /// By what the operator's certificate hangs on, which clients trust already.
    Operator,
}

/// The listeners' certificates.
#[derive(Debug)]
pub struct Certificates {
    names: Vec<String>,
    ca_file: std::path::PathBuf,
    operator: Option<(CertificateFiles, ServerCertificate)>,
    issued: Issued,
    public: Arc<LiveServerConfig>,
    agents: Arc<LiveServerConfig>,
    docker: Arc<LiveServerConfig>,
}

/// A certificate of the built-in authority, and what was true when it was made.
#[derive(Debug)]
struct Issued {
    certificate: ServerCertificate,
    issuer: Fingerprint,
    roots: TrustRoots,
    half_life: DateTime<Utc>,
}

impl Issued {
    async fn make(names: &[String], store: &Store) -> Result<Self, StartError> {
        let authority = store.server_authority().await?;
        let now = Utc::now();
        Ok(Self {
            certificate: authority.issue_server(names, now, SERVER_LEAF_LIFETIME)?,
            issuer: authority.fingerprint(),
            roots: store.trust_roots().await?,
            half_life: now + SERVER_LEAF_LIFETIME / 2,
        })
    }

    async fn is_outdated(&self, store: &Store) -> Result<bool, StartError> {
        let roots = store.trust_roots().await?;
        let issuer = store.server_authority().await?.fingerprint();
        Ok(Utc::now() >= self.half_life
            || issuer != self.issuer
            || roots.fingerprints() != self.roots.fingerprints())
    }
}

impl Certificates {
    /// Makes the built-in authority's certificate for `names`, and reads the operator's if there is one.
    pub async fn make(
        config: &Config,
        names: &[String],
        store: &Store,
    ) -> Result<Self, StartError> {
        let issued = Issued::make(names, store).await?;
        let operator = match config.public.certificate.clone() {
            Some(files) => Some((files.clone(), read(&files)?)),
            None => None,
        };
        let shown = operator
            .as_ref()
            .map_or(&issued.certificate, |(_, certificate)| certificate);
        let public = tls::public_server_config(shown).map_err(|error| match operator {
            Some(_) => StartError::Certificate(error),
            None => StartError::Pki(error),
        })?;
        let agents = tls::agent_listener_config(&issued.certificate, &issued.roots)?;
        let docker = tls::docker_listener_config(&issued.certificate, &issued.roots)?;
        let certificates = Self {
            names: names.to_vec(),
            ca_file: config.data_dir.join(CA_FILE),
            public: Arc::new(LiveServerConfig::new(public)),
            agents: Arc::new(LiveServerConfig::new(agents)),
            docker: Arc::new(LiveServerConfig::new(docker)),
            operator,
            issued,
        };
        certificates.write_roots()?;
        Ok(certificates)
    }

    /// The public listener's configuration.
    pub fn public(&self) -> Arc<LiveServerConfig> {
        Arc::clone(&self.public)
    }

    /// The agent listener's configuration.
    pub fn agents(&self) -> Arc<LiveServerConfig> {
        Arc::clone(&self.agents)
    }

    /// The Docker API listener's configuration.
    pub fn docker(&self) -> Arc<LiveServerConfig> {
        Arc::clone(&self.docker)
    }

    /// By what clients know the public listener.
    pub const fn pinning(&self) -> Pinning {
        match self.operator {
            Some(_) => Pinning::Operator,
            None => Pinning::BuiltIn,
        }
    }

    /// What a host that enrols finds at the end of the public listener's chain, unless that is the
    /// built-in authority.
    pub fn pin(&self) -> Option<Fingerprint> {
        let (_, certificate) = self.operator.as_ref()?;
        certificate.chain.last().map(Fingerprint::of)
    }

    /// Renews what is at half of its life, follows a rotation of the authority, and reads the
    /// operator's files again. What cannot be used is not published: the former stays.
    pub async fn refresh(&mut self, store: &Store) -> Result<(), StartError> {
        if self.issued.is_outdated(store).await? {
            let issued = Issued::make(&self.names, store).await?;
            self.agents.replace(tls::agent_listener_config(
                &issued.certificate,
                &issued.roots,
            )?);
            self.docker.replace(tls::docker_listener_config(
                &issued.certificate,
                &issued.roots,
            )?);
            if self.operator.is_none() {
                self.public
                    .replace(tls::public_server_config(&issued.certificate)?);
            }
            self.issued = issued;
            self.write_roots()?;
            tracing::info!("the listeners have a new certificate");
        }
        if let Some((files, current)) = &mut self.operator {
            let read = read(files)?;
            if read.chain != current.chain {
                self.public
                    .replace(tls::public_server_config(&read).map_err(StartError::Certificate)?);
                tracing::info!(not_after = %read.not_after, "the public listener has the operator's new certificate");
                *current = read;
            }
        }
        Ok(())
    }

    /// Whole or not at all: somebody may read the file at any time.
    fn write_roots(&self) -> Result<(), StartError> {
        let written = (|| {
            let beside = self.ca_file.with_extension("pem.new");
            let mut file = std::fs::File::create(&beside)?;
            file.write_all(self.issued.roots.to_pem().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(beside, &self.ca_file)
        })();
        written.map_err(|cause| StartError::File {
            path: self.ca_file.clone(),
            done: "written",
            cause,
            remedy: "make the data directory writable for this user, or free some space",
        })
    }
}

fn read(files: &CertificateFiles) -> Result<ServerCertificate, StartError> {
    let text = |path: &Path| {
        std::fs::read_to_string(path).map_err(|cause| StartError::File {
            path: path.to_owned(),
            done: "read",
            cause,
            remedy: "name the certificate's files with --tls-cert and --tls-key",
        })
    };
    let (chain, key) = (
        text(&files.tls_cert)?,
        zeroize::Zeroizing::new(text(&files.tls_key)?),
    );
    ServerCertificate::from_pem(&chain, &key).map_err(StartError::Certificate)
}

#[cfg(test)]
mod tests;
