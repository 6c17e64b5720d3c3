//! `towline agents upgrade`: an agent becomes another version of itself.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Session;
use crate::{
    api::{
        Client,
        agents::{self, Agent, Upgrade},
    },
    exit::{Exit, Failure},
    output::{Surface, plain, table::facts},
};

/// How often it is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long an agent may be gone while it changes over, goes back, and connects again.
const GONE: Duration = Duration::from_mins(5);

/// Whether the end is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is.
    UntilItEnds,
    /// It is not.
    No,
}

/// How an upgrade has come out, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is not over.
    UnderWay,
    /// The new agent runs.
    Done,
    /// It was refused or taken back.
    Failed,
    /// The agent was restarted before it had begun.
    Forgotten,
}

/// Asks for an upgrade, and waits for its end.
pub async fn run(
    session: &Session,
    client: &Client,
    agent: &Agent,
    wait: Wait,
) -> Result<Exit, Failure> {
    let mut upgrade = agents::upgrade(client, agent.id).await?;
    if wait == Wait::UntilItEnds {
        upgrade = watch(session, client, agent, upgrade).await?;
    }
    session
        .output
        .result(&upgrade, |surface| sentence(surface, agent, &upgrade))?;
    Ok(match stage(&upgrade) {
        Stage::Done => Exit::Success,
        Stage::UnderWay if wait == Wait::No => Exit::Success,
        Stage::UnderWay => Exit::Undecided,
        Stage::Failed | Stage::Forgotten => Exit::Failed,
    })
}

/// Shows how far the last one is.
pub async fn show(session: &Session, client: &Client, agent: &Agent) -> Result<Exit, Failure> {
    let upgrade = agents::upgrade_state(client, agent.id).await?;
    session.output.result(&upgrade, |surface| {
        let list = [
            ("agent", agent.name.clone()),
            ("running", upgrade.running.clone().unwrap_or_default()),
            ("asked for", upgrade.version.clone().unwrap_or_default()),
            ("state", upgrade.state.clone()),
            ("why", upgrade.why.clone().unwrap_or_default()),
        ];
        facts(surface, &list)
    })?;
    Ok(Exit::Success)
}

/// Waits for the end of an upgrade. An agent that changes over is out of reach for a while.
pub async fn watch(
    session: &Session,
    client: &Client,
    agent: &Agent,
    mut upgrade: Upgrade,
) -> Result<Upgrade, Failure> {
    let mut heard = Instant::now();
    while stage(&upgrade) == Stage::UnderWay {
        sleep(EVERY).await;
        match agents::upgrade_state(client, agent.id).await {
            Ok(next) => {
                if next.state != upgrade.state && stage(&next) == Stage::UnderWay {
                    session.output.note(words(&next.state));
                }
                heard = Instant::now();
                upgrade = next;
            }
            Err(failure) if failure.http_status().is_some_and(is_of_a_gone_agent) => {
                if heard.elapsed() > GONE {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(upgrade)
}

const fn is_of_a_gone_agent(status: u16) -> bool {
    matches!(status, 503 | 504)
}

/// How an upgrade has come out.
pub fn stage(upgrade: &Upgrade) -> Stage {
    match upgrade.state.as_str() {
        "done" => Stage::Done,
        "refused" | "rolled_back" => Stage::Failed,
        "idle" => Stage::Forgotten,
        _ => Stage::UnderWay,
    }
}

fn words(state: &str) -> &'static str {
    match state {
        "waiting" => "The new agent is good; it waits until the host's jobs have ended.",
        "proving" => "The new agent has started.",
        _ => "The new agent is fetched, verified and tried.",
    }
}

fn sentence(surface: Surface, agent: &Agent, upgrade: &Upgrade) -> String {
    let version = upgrade.version.as_deref().unwrap_or("another version");
    let why = upgrade.why.as_deref().unwrap_or("it did not say why");
    let text = match stage(upgrade) {
        Stage::Done => format!("The agent {:?} runs {version}.", agent.name),
        Stage::UnderWay => format!(
            "The agent {:?} becomes {version}: {}",
            agent.name,
            words(&upgrade.state)
        ),
        Stage::Forgotten => format!(
            "The agent {:?} was restarted before it became {version}; nothing was changed. Ask again.",
            agent.name
        ),
        Stage::Failed if upgrade.state == "refused" => {
            format!("The agent {:?} was not upgraded: {why}.", agent.name)
        }
        Stage::Failed => format!(
            "The agent {:?} went back from {version}: {why}.",
            agent.name
        ),
    };
    plain::for_reader(&text, surface.reader).into()
}
