//! `towline logs`: of a deployment or of a container.

use clap::Args;
use uuid::Uuid;

use super::Session;
use crate::{
    api::{
        self, Client, containers, deployments,
        logs::{self, Line},
        targets::Target,
    },
    exit::{Exit, Failure},
    follow::{
        container::{self, Coverage},
        deployment,
    },
    output::lines::LineWriter,
};

/// Show the log of a deployment or of a container
///
/// With --json every line is one JSON object. The exit code says whether the log could be read, not
/// how the deployment ended.
#[derive(Debug, Args)]
pub struct Logs {
    /// The deployment's id, or a project's name for its newest one
    #[arg(required_unless_present = "container", conflicts_with = "container")]
    deployment: Option<String>,
    /// A container's name or id, instead of a deployment
    #[arg(long, value_name = "NAME", requires = "target")]
    container: Option<String>,
    /// The target that the container runs on
    #[arg(long, short, requires = "container")]
    target: Option<String>,
    /// Go on as the log grows
    #[arg(long, short)]
    follow: bool,
    /// Only the last lines, at most 10000
    #[arg(long, short = 'n', value_name = "COUNT", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    tail: Option<u32>,
    /// Only from this line of the deployment's log on; the first is 0
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["tail", "container"])]
    since_line: Option<u64>,
}

impl Logs {
    /// Shows the log.
    pub async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let client = session.client()?;
        let mut shown = Shown {
            session,
            writer: LineWriter::new(session.output.stdout, session.output.format),
        };
        match (&self.deployment, &self.container, &self.target) {
            (Some(deployment), _, _) => {
                let id = deployments::find(&client, deployment).await?.id;
                self.of_deployment(&client, id, &mut shown).await?;
            }
            (None, Some(container), Some(target)) => {
                let id = api::find::<Target>(&client, target).await?.id;
                self.of_container(&client, id, container, &mut shown)
                    .await?;
            }
            _ => {
                return Err(Failure::usage(
                    "Name a deployment, or a container and its target",
                ));
            }
        }
        Ok(Exit::Success)
    }

    async fn of_deployment(
        &self,
        client: &Client,
        id: Uuid,
        shown: &mut Shown<'_>,
    ) -> Result<(), Failure> {
        let mut next = self.since_line.unwrap_or(0);
        if let Some(count) = self.tail {
            // The API knows no tail of no lines, but its answer says where the log ends.
            let page = logs::tail(client, id, count.max(1)).await?;
            if count > 0 {
                shown.lines(&page.lines)?;
            }
            next = page.next;
        }
        if self.follow {
            return follow_deployment(client, id, next, shown).await;
        }
        if self.tail.is_some() {
            return Ok(());
        }
        loop {
            let page = logs::page(client, id, next).await?;
            if page.lines.is_empty() || page.next <= next {
                return Ok(());
            }
            shown.lines(&page.lines)?;
            next = page.next;
        }
    }

    async fn of_container(
        &self,
        client: &Client,
        target: Uuid,
        name: &str,
        shown: &mut Shown<'_>,
    ) -> Result<(), Failure> {
        if !self.follow {
            return shown.lines(&containers::log(client, target, name, self.tail).await?);
        }
        let mut follower = container::Follower::new(client, target, name, self.tail);
        loop {
            match follower.next().await? {
                container::News::Lines(lines) => shown.lines(&lines)?,
                container::News::Lost(why) => shown.lost(&why),
                container::News::Back(Coverage::Seamless) => shown.note("Connected again."),
                container::News::Back(Coverage::Torn) => {
                    shown.note("Connected again; lines in between may be missing.");
                }
                container::News::End => return Ok(()),
                container::News::Broken(why) => {
                    return Err(
                        Failure::new(Exit::Failed, "The container's log broke off").detail(why)
                    );
                }
            }
        }
    }
}

async fn follow_deployment(
    client: &Client,
    id: Uuid,
    from: u64,
    shown: &mut Shown<'_>,
) -> Result<(), Failure> {
    let mut follower = deployment::Follower::new(client, id, from);
    loop {
        match follower.next().await? {
            deployment::News::Lines(lines) => shown.lines(&lines)?,
            deployment::News::LinesLost(count) => {
                shown.note(&format!(
                    "{count} lines were lost by the control plane here"
                ));
            }
            deployment::News::Status(_) => {}
            deployment::News::Lost(why) => shown.lost(&why),
            deployment::News::Back => shown.note("Connected again."),
            deployment::News::End(_) => return Ok(()),
        }
    }
}

struct Shown<'s> {
    session: &'s Session,
    writer: LineWriter,
}

impl Shown<'_> {
    fn lines(&mut self, lines: &[Line]) -> Result<(), Failure> {
        let text = self.writer.render(lines)?;
        self.session.output.say(&text)
    }

    fn lost(&self, why: &str) {
        self.note(&format!("{why}; connecting again …"));
    }

    fn note(&self, text: &str) {
        self.session.output.note(text);
    }
}
