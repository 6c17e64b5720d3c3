//! `towline cluster`: what a project has in a Kubernetes cluster.

use std::str::FromStr;

use chrono::Utc;
use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{
    Session,
    deploy::detached,
    rollback::announce,
    watch::{OnInterrupt, watch},
};
use crate::{
    api::{
        self, Client,
        clusters::{self, Drift, Event, NewAction},
        projects::Project,
        targets::Target,
    },
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        style::Style,
        table::{Field, Rows, optional, whole, wraps},
        units::{age, counted},
    },
};

/// The most pods that a workload can be given.
const MAX_REPLICAS: i64 = 1000;

/// What a project has in a Kubernetes cluster
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Show what happened to it, the latest first
    Events {
        #[command(flatten)]
        place: Place,
    },
    /// Show what is not as it was deployed; ends with code 6 where something is not
    Drift {
        #[command(flatten)]
        place: Place,
    },
    /// Deploy again what came up last, to take back what others have changed
    Correct {
        #[command(flatten)]
        place: Place,
        /// Do not watch: end as soon as it is queued
        #[arg(long, short)]
        detach: bool,
    },
    /// Give a workload new pods, in the way of its own updates
    Restart {
        #[command(flatten)]
        place: Place,
        /// Such as deployment/web, statefulset/db or daemonset/logs
        workload: Workload,
        /// Its namespace [default: the project's, or else that of the target's agent]
        #[arg(long, short)]
        namespace: Option<String>,
    },
    /// Give a workload another number of pods, until it is deployed again
    Scale {
        #[command(flatten)]
        place: Place,
        /// Such as deployment/web or statefulset/db
        workload: Workload,
        /// How many, at most 1000
        #[arg(long, short, value_parser = clap::value_parser!(u32).range(0..=MAX_REPLICAS))]
        replicas: u32,
        /// Its namespace [default: the project's, or else that of the target's agent]
        #[arg(long, short)]
        namespace: Option<String>,
    },
    /// Delete a pod; what it belongs to makes another
    DeletePod {
        #[command(flatten)]
        place: Place,
        /// Its name
        pod: String,
        /// Its namespace [default: the project's, or else that of the target's agent]
        #[arg(long, short)]
        namespace: Option<String>,
    },
}

/// A project in a cluster.
#[derive(Debug, Args)]
pub struct Place {
    /// The project's name or id
    project: String,
    /// The target's name or id [default: the only cluster that the project was deployed to]
    #[arg(long, short)]
    target: Option<String>,
}

/// What makes pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    kind: &'static str,
    name: String,
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no workload; write it like deployment/web, statefulset/db or daemonset/logs"
            )
        };
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        let kind = match kind.to_ascii_lowercase().as_str() {
            "deployment" | "deployments" | "deploy" => "deployment",
            "statefulset" | "statefulsets" | "stateful_set" | "sts" => "stateful_set",
            "daemonset" | "daemonsets" | "daemon_set" | "ds" => "daemon_set",
            _ => return Err(wrong()),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

impl Place {
    async fn find(&self, client: &Client) -> Result<(Uuid, Option<Uuid>), Failure> {
        let project = api::find::<Project>(client, &self.project).await?.id;
        let target = match &self.target {
            Some(target) => Some(api::find::<Target>(client, target).await?.id),
            None => None,
        };
        Ok((project, target))
    }
}

impl Cluster {
    /// Talks to the API.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        match self {
            Self::Events { place } => events(session, &place).await,
            Self::Drift { place } => drift(session, &place).await,
            Self::Correct { place, detach } => correct(session, &place, detach).await,
            Self::Restart {
                place,
                workload,
                namespace,
            } => {
                let action = action("restart", Some(workload.kind), &workload.name);
                act(session, &place, namespace.as_deref(), action).await
            }
            Self::Scale {
                place,
                workload,
                replicas,
                namespace,
            } => {
                let action = NewAction {
                    replicas: Some(replicas),
                    ..action("scale", Some(workload.kind), &workload.name)
                };
                act(session, &place, namespace.as_deref(), action).await
            }
            Self::DeletePod {
                place,
                pod,
                namespace,
            } => {
                let action = action("delete_pod", None, &pod);
                act(session, &place, namespace.as_deref(), action).await
            }
        }
    }
}

fn action<'a>(action: &'static str, kind: Option<&'static str>, name: &'a str) -> NewAction<'a> {
    NewAction {
        target: None,
        namespace: None,
        action,
        kind,
        name,
        replicas: None,
    }
}

async fn act<'a>(
    session: &Session,
    place: &Place,
    namespace: Option<&'a str>,
    action: NewAction<'a>,
) -> Result<Exit, Failure> {
    let client = session.client()?;
    let (project, target) = place.find(&client).await?;
    let action = NewAction {
        target,
        namespace,
        ..action
    };
    let acted = clusters::act(&client, project, &action).await?;
    session.output.result(&acted, |surface| {
        let said = format!("{}: {}", acted.target.name, acted.message);
        plain::for_reader(&said, surface.reader).into_owned()
    })?;
    Ok(Exit::Success)
}

async fn events(session: &Session, place: &Place) -> Result<Exit, Failure> {
    let client = session.client()?;
    let (project, target) = place.find(&client).await?;
    let events = clusters::events(&client, project, target).await?;
    session
        .output
        .result(&events, |surface| happened(&events, surface))?;
    Ok(Exit::Success)
}

async fn drift(session: &Session, place: &Place) -> Result<Exit, Failure> {
    let client = session.client()?;
    let (project, target) = place.find(&client).await?;
    let drift = clusters::drift(&client, project, target).await?;
    session
        .output
        .result(&drift, |surface| drifted(&drift, surface))?;
    Ok(if drift.drifted.is_empty() {
        Exit::Success
    } else {
        Exit::Drifted
    })
}

async fn correct(session: &Session, place: &Place, detach: bool) -> Result<Exit, Failure> {
    let client = session.client()?;
    let (project, target) = place.find(&client).await?;
    let key = Uuid::now_v7().to_string();
    let deployment = clusters::correct(&client, project, target, &key).await?;
    announce(session, &deployment);
    if detach {
        return detached(session, &deployment);
    }
    watch(session, &client, deployment, OnInterrupt::Leave).await
}

fn happened(events: &[Event], surface: Surface) -> String {
    let now = Utc::now();
    let mut rows = Rows::new(
        surface,
        [
            whole("when"),
            whole("object"),
            optional("namespace"),
            whole("reason"),
            optional("times"),
            wraps("message"),
        ],
    );
    for event in events {
        let style = match event.weight.as_str() {
            "warning" => Style::Warning,
            _ => Style::Quiet,
        };
        rows.row([
            age(event.at, now).into(),
            event.object.as_str().into(),
            event.namespace.as_str().into(),
            Field::styled(event.reason.as_str(), style),
            event.count.to_string().into(),
            event.message.as_str().into(),
        ]);
    }
    rows.finish("Nothing has happened that the cluster still tells of.")
}

fn drifted(drift: &Drift, surface: Surface) -> String {
    let mut rows = Rows::new(
        surface,
        [
            whole("object"),
            optional("namespace"),
            whole("drift"),
            wraps("fields"),
            wraps("by"),
        ],
    );
    for one in &drift.drifted {
        let style = match one.drift.as_str() {
            "gone" => Style::Bad,
            _ => Style::Warning,
        };
        rows.row([
            one.object.as_str().into(),
            one.namespace.as_str().into(),
            Field::styled(one.drift.as_str(), style),
            one.fields.join(", ").into(),
            one.managers.join(", ").into(),
        ]);
    }
    rows.finish(&match drift.release {
        None => format!(
            "Nothing to compare: a deployment is at work on {0}, or none has come up there.",
            drift.target.name
        ),
        Some(_) => format!(
            "All is as it was deployed to {}: {} compared.",
            drift.target.name,
            counted(drift.compared as usize, "object")
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_named_as_kubectl_names_them() {
        let table = [
            ("deployment/web", Some(("deployment", "web"))),
            ("Deployment/web", Some(("deployment", "web"))),
            ("deploy/web", Some(("deployment", "web"))),
            ("statefulset/db", Some(("stateful_set", "db"))),
            ("sts/db", Some(("stateful_set", "db"))),
            ("daemonset/logs", Some(("daemon_set", "logs"))),
            ("ds/logs", Some(("daemon_set", "logs"))),
            ("pod/web", None),
            ("web", None),
            ("deployment/", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(kind, name)| Workload {
                kind,
                name: name.to_owned(),
            });
            assert_eq!(text.parse::<Workload>().ok(), expected, "{text}");
        }
    }
}
