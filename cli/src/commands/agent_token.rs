//! `towline agents token`: what makes a host, or a cluster, an agent's.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::Utc;
use clap::Args;

use super::{Session, period};
use crate::{
    api::{
        Client,
        enrolment_tokens::{self, ClusterInstall, Enrolment, InCluster, NewToken},
    },
    exit::Failure,
    output::{Surface, plain, units::age},
};

/// What ends the objects in the command. No line of them is this.
const END: &str = "TOWLINE";

/// Make a single-use token with which a host enrols, or an agent in a cluster
#[derive(Debug, Args)]
pub struct Token {
    /// The name that the agent and its target will have
    name: String,
    /// How long the token is valid, at most 15m
    #[arg(long, default_value = "15m", value_parser = period::parse)]
    ttl: Duration,
    /// For an agent in a Kubernetes cluster: show the command that makes it there
    #[arg(long)]
    kubernetes: bool,
    /// The namespace that jobs work in, which must be there [default: default]
    #[arg(long, requires = "kubernetes")]
    namespace: Option<String>,
    /// The agent's image, as the cluster's nodes know it [default: towline-agent with the control plane's version]
    #[arg(long, requires = "kubernetes")]
    image: Option<String>,
    /// Show the command of Helm instead
    #[arg(long, requires = "kubernetes")]
    helm: bool,
    /// Show the objects alone, for `kubectl apply --server-side -f -`
    #[arg(long, requires = "kubernetes", conflicts_with = "helm")]
    print: bool,
}

/// What is shown of an agent in a cluster.
#[derive(Clone, Copy, Debug)]
enum Shown {
    Command,
    Helm,
    Objects,
}

impl Token {
    /// Makes it, and says what to do with it.
    pub async fn run(self, session: &Session, client: &Client) -> Result<(), Failure> {
        let shown = match (self.helm, self.print) {
            (true, _) => Shown::Helm,
            (false, true) => Shown::Objects,
            (false, false) => Shown::Command,
        };
        let in_cluster = InCluster {
            namespace: self.namespace,
            image: self.image,
        };
        let new = NewToken {
            name: &self.name,
            ttl_minutes: u32::try_from(self.ttl.as_secs().div_ceil(60)).unwrap_or(u32::MAX),
            kubernetes: self.kubernetes.then_some(in_cluster),
        };
        let token = enrolment_tokens::create(client, &new).await?;
        session
            .output
            .result(&token, |surface| match &token.kubernetes {
                Some(install) => for_cluster(surface, &token, install, shown),
                None => instructions(surface, &token),
            })
    }
}

fn for_cluster(
    surface: Surface,
    token: &Enrolment,
    install: &ClusterInstall,
    shown: Shown,
) -> String {
    let lines = |text: &str| -> String {
        text.lines().fold(String::new(), |mut lines, line| {
            let _ = writeln!(lines, "{}", plain::for_reader(line, surface.reader));
            lines
        })
    };
    let ends = age(Some(token.expires_at), Utc::now());
    let name = plain::for_reader(&token.name, surface.reader);
    let (tool, command) = match shown {
        Shown::Objects => return lines(&install.manifest),
        Shown::Helm => ("Helm", lines(&install.helm)),
        Shown::Command => (
            "kubectl",
            format!(
                "kubectl apply --server-side -f - <<'{END}'\n{}{END}\n",
                lines(&install.manifest)
            ),
        ),
    };
    format!(
        "Run this where {tool} reaches the cluster that shall become {name}; the token in it works once and ends {ends}:\n\n{command}"
    )
}

fn instructions(surface: Surface, token: &Enrolment) -> String {
    let command = token
        .command
        .clone()
        .unwrap_or_else(|| format!("towline-agent enroll --token {}", token.token));
    let ends = age(Some(token.expires_at), Utc::now());
    let text = format!(
        "Run this as root on the host that shall become {}; the token works once and ends {ends}:",
        token.name,
    );
    let (first, second) = match &token.install {
        Some(install) => (install, Some(&command)),
        None => (&command, None),
    };
    let mut text = format!(
        "{}\n\n  {}\n",
        plain::for_reader(&text, surface.reader),
        plain::for_reader(first, surface.reader)
    );
    if let Some(second) = second {
        let second = plain::for_reader(second, surface.reader);
        let _ = write!(
            text,
            "\nIt installs the agent and starts it; add --install-docker where Docker is missing, or --dry-run to see what it would do.\n\
             Where the agent is installed already:\n\n  {second}\n"
        );
    }
    text
}
