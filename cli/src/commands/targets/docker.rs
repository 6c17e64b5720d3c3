//! Targets without an agent, whose engines are reached over TLS.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::json;

use super::{Session, details};
use crate::{
    api::{
        self, Client,
        targets::{self, Credentials, DockerTls, Target},
    },
    exit::{Exit, Failure},
    output::{style::Style, table::Field},
    prompt::confirm,
};

/// From here on the end of a certificate is worth a colour.
const SOON: TimeDelta = TimeDelta::days(30);
/// From here on it presses.
const PRESSING: TimeDelta = TimeDelta::days(7);

/// A host without an agent, to add.
#[derive(Debug, Args)]
pub struct AddDocker {
    /// What it is called
    name: String,
    /// Where its engine is, by a name or address that its certificate bears: tcp://10.0.0.5:2376
    #[arg(long, short = 'H', value_name = "URL")]
    host: String,
    /// The folder with ca.pem, cert.pem and key.pem, as DOCKER_CERT_PATH
    #[arg(long, env = "DOCKER_CERT_PATH", value_name = "DIR")]
    cert_path: PathBuf,
}

/// Another client's files for such a host.
#[derive(Debug, Args)]
pub struct RotateDocker {
    /// The target's name or id
    target: String,
    /// Where its engine is from now on; as it was, when left out
    #[arg(long, short = 'H', value_name = "URL")]
    host: Option<String>,
    /// The folder with ca.pem, cert.pem and key.pem, as DOCKER_CERT_PATH
    #[arg(long, env = "DOCKER_CERT_PATH", value_name = "DIR")]
    cert_path: PathBuf,
}

/// The three files.
struct Files {
    ca: String,
    cert: String,
    key: String,
}

impl Files {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|error| {
                Failure::new(
                    Exit::Usage,
                    format!("cannot read {}: {error}", path.display()),
                )
                .remedy("--cert-path takes a folder with ca.pem, cert.pem and key.pem")
            })
        };
        Ok(Self {
            ca: read("ca.pem")?,
            cert: read("cert.pem")?,
            key: read("key.pem")?,
        })
    }

    fn credentials<'a>(&'a self, host: Option<&'a str>) -> Credentials<'a> {
        Credentials {
            host,
            ca: &self.ca,
            cert: &self.cert,
            key: &self.key,
        }
    }
}

impl AddDocker {
    pub(super) async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let files = Files::read(&self.cert_path)?;
        let credentials = files.credentials(Some(&self.host));
        let added = targets::add(client, &self.name, &credentials).await?;
        warn_if_open(&added);
        session
            .output
            .result(&added, |surface| details(surface, &added))
    }
}

impl RotateDocker {
    pub(super) async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let target = api::find::<Target>(client, &self.target).await?;
        let files = Files::read(&self.cert_path)?;
        let credentials = files.credentials(self.host.as_deref());
        let rotated = targets::replace(client, target.id, &credentials).await?;
        warn_if_open(&rotated);
        session
            .output
            .result(&rotated, |surface| details(surface, &rotated))
    }
}

pub(super) async fn remove(
    session: &Session,
    client: &Client,
    target: &str,
    yes: bool,
) -> Result<(), Failure> {
    let target = api::find::<Target>(client, target).await?;
    let name = &target.name;
    let question = format!("Take {name} away? Its keys are forgotten; what runs there goes on.");
    confirm(yes.into(), &question)?;
    targets::remove(client, target.id).await?;
    let done = json!({ "id": target.id, "removed": true });
    session
        .output
        .result(&done, |_| format!("Took {name} away."))
}

/// It is no secret of the host's then, and nobody should overlook it.
fn warn_if_open(target: &Target) {
    let open = target
        .docker_tls
        .as_ref()
        .filter(|engine| engine.guard == "open");
    if let Some(engine) = open {
        eprintln!(
            "WARNING: {} lets anybody in who reaches its port, without a certificate: who does is root on that host. Set \
             \"tlsverify\": true in its daemon.json now, or run `towline-agent docker-tls enable` there.",
            engine.host
        );
    }
}

/// When the first certificate of a target ends.
pub(super) fn ending(target: &Target, now: DateTime<Utc>) -> Field {
    let Some(engine) = &target.docker_tls else {
        return "–".into();
    };
    if engine.guard == "open" {
        return Field::styled("not asked for: anybody is let in", Style::Bad);
    }
    let all = [&engine.client, &engine.authority, &engine.server];
    let first = all
        .map(|certificate| certificate.not_after)
        .into_iter()
        .min();
    let first = first.unwrap_or(now);
    let style = match first - now {
        left if left <= PRESSING => Style::Bad,
        left if left <= SOON => Style::Warning,
        _ => Style::Good,
    };
    Field::styled(words(first, now), style)
}

pub(super) fn facts_of(engine: &DockerTls, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let guard = match engine.guard.as_str() {
        "open" => "OPEN: anybody who reaches its port is root on the host",
        _ => "refuses who has no certificate",
    };
    let mut list = vec![("host", engine.host.clone()), ("guard", guard.to_owned())];
    for (name, certificate) in [
        ("client", &engine.client),
        ("authority", &engine.authority),
        ("server", &engine.server),
    ] {
        let subject = &certificate.subject;
        let text = format!(
            "{subject}, {}, sha256:{}",
            words(certificate.not_after, now),
            certificate.fingerprint
        );
        list.push((name, text));
    }
    list
}

fn words(not_after: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let left = not_after - now;
    let day = not_after.format("%Y-%m-%d");
    match left.num_days() {
        _ if left <= TimeDelta::zero() => format!("ended {day}"),
        0 => format!("ends within a day ({day})"),
        1 => format!("ends in 1 day ({day})"),
        days => format!("ends in {days} days ({day})"),
    }
}
