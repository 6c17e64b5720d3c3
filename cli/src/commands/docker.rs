//! `towline docker`: the Docker engine of a host from here, by the docker command line that you have.

mod bundle;

use std::time::Duration;

use chrono::Utc;
use clap::{Args, Subcommand};
use serde_json::json;

use super::{Session, period};
use crate::{
    api::{
        self, Client,
        docker::{self, Certificate, Grant},
        members::{self, Member},
        targets::Target,
    },
    exit::{Exit, Failure},
    output::{
        Surface,
        table::{Rows, optional, whole},
        units::age,
    },
};
use bundle::Bundle;

/// The Docker engines of hosts, from here
#[derive(Debug, Subcommand)]
pub enum Docker {
    /// Reach a host's engine by the docker command line: makes a certificate for at most 12 hours, and a docker context
    Context(Context),
    /// List who may use a host's engine
    Grants {
        /// The host's name or id
        host: String,
    },
    /// Let a member of the team use a host's engine, which is to be root there
    Grant {
        /// The host's name or id
        host: String,
        /// The member's address or id
        member: String,
    },
    /// Let somebody use a host's engine no longer; what they have open there is cut
    Ungrant {
        /// The host's name or id
        host: String,
        /// The member's address or id
        member: String,
    },
    /// List the certificates for a host's engine that count
    Certificates {
        /// The host's name or id
        host: String,
    },
    /// End a certificate, and cut what is open by it
    Revoke {
        /// The host's name or id
        host: String,
        /// The certificate's id
        certificate: uuid::Uuid,
    },
}

/// A host's engine from here.
#[derive(Debug, Args)]
pub struct Context {
    /// The host's name or id
    host: String,
    /// How long the certificate counts: 5m to 12h
    #[arg(long, value_name = "TIME", value_parser = period::parse, default_value = "12h")]
    valid: Duration,
    /// The docker context's name; towline- and the host's, unless this says
    #[arg(long)]
    name: Option<String>,
    /// Make no docker context; print what a shell evaluates instead (DOCKER_HOST, DOCKER_TLS_VERIFY, DOCKER_CERT_PATH)
    #[arg(long, conflicts_with = "name")]
    env: bool,
}

impl Docker {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let (client, out) = (session.client()?, &session.output);
        match self {
            Self::Context(context) => context.run(session, &client).await?,
            Self::Grants { host } => {
                let target = api::find::<Target>(&client, &host).await?;
                let grants = docker::grants(&client, target.id).await?;
                out.result(&grants, |surface| table(surface, &target.name, &grants))?;
            }
            Self::Grant { host, member } => {
                let target = api::find::<Target>(&client, &host).await?;
                let member = members::find::<Member>(&client, &member).await?;
                let grant = docker::grant(&client, target.id, member.id).await?;
                out.result(&grant, |_| granted(&target.name, &grant))?;
            }
            Self::Ungrant { host, member } => {
                let target = api::find::<Target>(&client, &host).await?;
                let member = members::find::<Member>(&client, &member).await?;
                docker::end_grant(&client, target.id, member.id).await?;
                let done =
                    json!({ "target_id": target.id, "user_id": member.id, "granted": false });
                out.result(&done, |_| {
                    format!(
                        "{} may not use the Docker engine of {} any more.",
                        member.email, target.name
                    )
                })?;
            }
            Self::Certificates { host } => {
                let target = api::find::<Target>(&client, &host).await?;
                let all = docker::certificates(&client, target.id).await?;
                out.result(&all, |surface| certificates(surface, &all))?;
            }
            Self::Revoke { host, certificate } => {
                let target = api::find::<Target>(&client, &host).await?;
                docker::revoke(&client, target.id, certificate).await?;
                let done = json!({ "id": certificate, "revoked": true });
                out.result(&done, |_| "Revoked. What was open by it is cut.".to_owned())?;
            }
        }
        Ok(Exit::Success)
    }
}

impl Context {
    async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let target = api::find::<Target>(client, &self.host).await?;
        let key = bundle::key()?;
        let csr = bundle::request(&key)?;
        let valid = Some(self.valid.as_secs());
        let issued = docker::issue(client, target.id, &csr, valid).await?;
        let bundle = Bundle::write(&session.config_file()?, &issued, &key)?;
        let name = match (self.env, self.name) {
            (true, _) => None,
            (false, Some(name)) => Some(name),
            (false, None) => Some(format!("towline-{}", issued.target)),
        };
        if let Some(name) = &name {
            bundle.make_context(name)?;
        }
        let done = json!({
            "context": name,
            "docker_host": bundle.docker_host(),
            "cert_path": bundle.folder(),
            "certificate_id": issued.id,
            "not_after": issued.not_after,
        });
        let until = issued.not_after.format("%F %H:%M UTC");
        session.output.result(&done, |_| match &name {
            Some(name) => format!(
                "The docker context {name} reaches the engine of {} until {until}:\n  docker --context {name} ps\nThe same \
                 command renews it.",
                issued.target
            ),
            None => bundle.environment(),
        })
    }
}

fn granted(host: &str, grant: &Grant) -> String {
    format!(
        "{} may use the Docker engine of {host} now, and so be root there. The host's owner must allow it, too: docker_api = \
         \"allow\" in the agent's policy file.\nThey run: towline docker context {host}",
        grant.email
    )
}

fn table(surface: Surface, host: &str, grants: &[Grant]) -> String {
    let columns = [
        whole("who"),
        whole("address"),
        optional("granted by"),
        optional("since"),
    ];
    let mut rows = Rows::new(surface, columns);
    let now = Utc::now();
    for grant in grants {
        rows.row([
            grant.name.as_str().into(),
            grant.email.as_str().into(),
            grant.granted_by.as_deref().into(),
            age(grant.created_at, now).into(),
        ]);
    }
    rows.finish(&format!(
        "Nobody may use the Docker engine of {host}. `towline docker grant {host} MEMBER` lets somebody."
    ))
}

fn certificates(surface: Surface, all: &[Certificate]) -> String {
    let columns = [whole("who"), whole("until"), whole("issued"), whole("id")];
    let mut rows = Rows::new(surface, columns);
    let now = Utc::now();
    for one in all {
        rows.row([
            one.name.as_str().into(),
            one.not_after.format("%F %H:%M UTC").to_string().into(),
            age(Some(one.created_at), now).into(),
            one.id.to_string().into(),
        ]);
    }
    rows.finish("No certificate counts. `towline docker context HOST` makes one.")
}
