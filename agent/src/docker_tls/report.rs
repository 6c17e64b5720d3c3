//! What the commands tell.

use std::fmt::Write as _;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::certificates;
use super::error::Result;
use super::journal::{Journal, Settings};
use super::phase::Phase;
use super::restart::Validation;
use super::settings::CLIENT;
use super::survey::{Containers, Plan};
use super::work::Secured;

/// How it is.
#[derive(Debug, Serialize)]
pub struct Status {
    /// How far it is.
    pub state: Phase,
    /// The engine's configuration.
    pub daemon_json: PathBuf,
    /// What is there, when something is.
    #[serde(flatten)]
    pub details: Option<Details>,
}

/// What is there.
#[derive(Debug, Serialize)]
pub struct Details {
    /// Where the engine listens.
    pub listen: String,
    /// The names and addresses of its certificate.
    pub names: Vec<String>,
    /// The folder that `DOCKER_CERT_PATH` takes.
    pub client_folder: PathBuf,
    /// What restarts the engine.
    pub restart: String,
    /// The ends of the certificates; none, if they are not there.
    #[serde(flatten)]
    pub validity: Option<Validity>,
}

/// The ends of the certificates.
#[derive(Debug, Serialize)]
pub struct Validity {
    /// Of the engine's.
    pub server_expires_at: DateTime<Utc>,
    /// Of the client's.
    pub client_expires_at: DateTime<Utc>,
    /// From when on `renew --if-due` renews.
    pub renew_from: DateTime<Utc>,
}

impl Status {
    /// Reads it, without touching anything.
    pub fn read(daemon_json: PathBuf) -> Result<Self> {
        let journal = Journal::read(&daemon_json)?;
        Ok(Self {
            state: journal
                .as_ref()
                .map_or(Phase::Absent, |journal| journal.phase),
            daemon_json,
            details: journal.map(|journal| Details::of(&journal.settings)),
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut rows = vec![
            ("docker tls", self.state.words().to_owned()),
            ("configuration", self.daemon_json.display().to_string()),
        ];
        if let Some(details) = &self.details {
            rows.extend(details.rows());
        }
        table(&rows)
    }
}

impl Details {
    fn of(settings: &Settings) -> Self {
        let folder = settings.folder();
        Self {
            listen: settings.listen.to_string(),
            names: settings.names.clone(),
            restart: settings.restart.words(),
            validity: Validity::of(settings).ok(),
            client_folder: folder.join(CLIENT),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![
            ("listens on", self.listen.clone()),
            ("names", self.names.join(", ")),
            ("client files", self.client_folder.display().to_string()),
            ("restarted by", self.restart.clone()),
        ];
        let moment = |at: DateTime<Utc>| at.format("%F %T UTC").to_string();
        if let Some(validity) = &self.validity {
            rows.extend([
                ("server until", moment(validity.server_expires_at)),
                ("client until", moment(validity.client_expires_at)),
                (
                    "to be renewed",
                    format!("from {}", moment(validity.renew_from)),
                ),
            ]);
        }
        rows
    }
}

impl Validity {
    /// By the certificates of the folder.
    pub fn of(settings: &Settings) -> Result<Self> {
        let folder = settings.folder();
        let (server, client) = (
            certificates::server(&folder)?,
            certificates::client(&folder)?,
        );
        Ok(Self {
            server_expires_at: server.not_after,
            client_expires_at: client.not_after,
            renew_from: server.renew_from().min(client.renew_from()),
        })
    }
}

/// What was done.
#[derive(Debug, Serialize)]
pub struct Done {
    /// What, in a word.
    pub did: Did,
    /// The engine's version, as it answered to the client's certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// What the engine's own check said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// How it is now.
    #[serde(flatten)]
    pub status: Status,
}

/// What was done, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// It is enabled now.
    Enabled,
    /// It is disabled now.
    Disabled,
    /// The certificates are new.
    Renewed,
    /// Those that were in use before a renewal that broke off are so again.
    PutBack,
    /// It was so already.
    Nothing,
}

impl Did {
    const fn word(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::Renewed => "Renewed",
            Self::PutBack => {
                "The certificates before the renewal that had broken off were put back"
            }
            Self::Nothing => "Nothing was changed",
        }
    }
}

impl Done {
    /// What was done, and how it is now.
    pub fn new(
        did: Did,
        secured: Option<Secured>,
        validation: Option<Validation>,
        daemon_json: PathBuf,
    ) -> Result<Self> {
        Ok(Self {
            did,
            engine: secured.map(|secured| secured.version),
            validation,
            status: Status::read(daemon_json)?,
        })
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = match (self.did, &self.engine) {
            (Did::Nothing, _) => "Nothing was changed: it is so already.\n".to_owned(),
            (Did::Disabled, _) => {
                "Docker's API is local again; all files are as they were.\n".to_owned()
            }
            (did, engine) => {
                let word = did.word();
                let engine = engine.as_deref().unwrap_or_default();
                format!(
                    "{word}: Docker {engine} answers to the client's certificate, and to nobody without one.\n"
                )
            }
        };
        if let Some(validation) = self.validation {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "The configuration: {}.", validation.words());
        }
        text.push_str(&self.status.text());
        if let (Did::Enabled | Did::Renewed, Some(details)) = (self.did, &self.status.details) {
            text.push_str(&next(details));
        }
        text
    }
}

fn next(details: &Details) -> String {
    let folder = details.client_folder.display();
    let host = details.names.first().map_or("HOST", String::as_str);
    let port = details.listen.rsplit(':').next().unwrap_or_default();
    format!(
        "\nCopy {folder} to the client, readable by its person alone, then there:\n  \
         docker context create NAME --docker 'host=tcp://{host}:{port},ca=ca.pem,cert=cert.pem,key=key.pem'\n"
    )
}

/// What would be done.
#[derive(Debug, Serialize)]
pub struct Intent {
    /// The names and addresses of the certificate.
    names: Vec<String>,
    /// The engine's hosts.
    hosts: Vec<String>,
    /// Where the certificates would lie.
    folder: PathBuf,
    /// The files that would change, each with its new text.
    files: Vec<Written>,
    /// What would restart the engine.
    restart: String,
}

#[derive(Debug, Serialize)]
struct Written {
    path: PathBuf,
    text: String,
}

impl Intent {
    /// Of a plan.
    pub fn of(plan: &Plan) -> Self {
        let files = plan.changes.iter().map(|change| Written {
            path: change.path.clone(),
            text: String::from_utf8_lossy(&change.ours.0).into_owned(),
        });
        Self {
            names: plan.settings.names.clone(),
            hosts: plan.settings.hosts.clone(),
            folder: plan.settings.folder(),
            files: files.collect(),
            restart: plan.settings.restart.words(),
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = table(&[
            ("would issue for", self.names.join(", ")),
            ("into", self.folder.display().to_string()),
            ("listens on", self.hosts.join(", ")),
            ("restarted by", self.restart.clone()),
        ]);
        for file in &self.files {
            let _ = write!(text, "\n--- {} ---\n{}", file.path.display(), file.text);
        }
        text
    }
}

/// What has to be said before anything is done.
pub fn warnings(containers: Containers) -> Vec<&'static str> {
    let mut warnings =
        vec!["whoever holds the client's key, or that of the authority, is root on this host"];
    if containers == Containers::Stop {
        warnings.push(
            "the engine restarts now and at each renewal, and without \"live-restore\": true in daemon.json its containers stop meanwhile",
        );
    }
    warnings
}

fn table(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, value) in rows {
        let _ = writeln!(text, "{name:width$}{value}");
    }
    text
}
