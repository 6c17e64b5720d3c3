//! `towline agents rollout`: all agents become another version of themselves, a few at a time.
//!
//! It is a walk over the single upgrades, and keeps nothing: who has the new program already is passed over, so that a
//! rollout that was halted, by a failure or by a person, is resumed by the same command.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::sleep;

use super::{
    Session,
    agent_upgrade::{self, Stage},
    period,
};
use crate::{
    api::{
        self, Client,
        agents::{self, Agent, Upgrade},
    },
    exit::{Exit, Failure},
    output::{
        Surface, plain,
        table::{Rows, optional, whole},
    },
};

/// Have all agents become the ones that the control plane has, a few at a time; the first failure halts it
///
/// Each stage ends when all of its agents run the new program and still do after a while. Agents that are offline are
/// passed over, and told of. Run it again to go on: who runs the new program already stays as it is.
#[derive(Debug, Args)]
pub struct Rollout {
    /// How many agents, or how many in a hundred of all, have it after each stage; the last is all of them
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = share,
        default_value = "1,10%,50%,100%",
        value_name = "STAGES"
    )]
    stages: Vec<Share>,
    /// How long the agents of a stage must be well before the next begins
    #[arg(long, default_value = "1m", value_parser = period::parse)]
    settle: Duration,
    /// How many agents may fail before it halts
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    tolerate: usize,
}

/// How many agents have it after a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Share {
    Agents(usize),
    Percent(usize),
}

impl Share {
    fn of(self, all: usize) -> usize {
        match self {
            Self::Agents(number) => number.min(all),
            Self::Percent(percent) => (all * percent).div_ceil(100),
        }
    }
}

fn share(text: &str) -> Result<Share, String> {
    let refuse = || format!("{text:?} is no stage: a number of agents, or 1% to 100%");
    let (digits, share): (&str, fn(usize) -> Share) = match text.strip_suffix('%') {
        Some(digits) => (digits, Share::Percent),
        None => (text, Share::Agents),
    };
    let number: usize = digits.parse().map_err(|_| refuse())?;
    match share(number) {
        Share::Percent(1..=100) | Share::Agents(1..) => Ok(share(number)),
        _ => Err(refuse()),
    }
}

/// Where each stage ends among so many agents: later ones never before earlier ones, and the last at their end.
fn ends(stages: &[Share], all: usize) -> Vec<usize> {
    let mut ends: Vec<usize> = Vec::new();
    for end in stages.iter().map(|share| share.of(all)).chain([all]) {
        if ends.last().is_none_or(|last| *last < end) {
            ends.push(end);
        }
    }
    ends
}

/// What became of one agent.
#[derive(Debug, Serialize)]
struct Row {
    agent: String,
    result: Became,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Became {
    Upgraded,
    Failed,
    Offline,
    Untouched,
}

impl Became {
    const fn word(self) -> &'static str {
        match self {
            Self::Upgraded => "upgraded",
            Self::Failed => "failed",
            Self::Offline => "offline",
            Self::Untouched => "untouched",
        }
    }
}

impl Rollout {
    /// Talks to the API.
    pub async fn run(self, session: &Session, client: &Client) -> Result<Exit, Failure> {
        let agents = api::list::<Agent>(client).await?;
        let living = agents.into_iter().filter(|agent| agent.status != "revoked");
        // One beside the control plane becomes another version with it, and one in a cluster by its image.
        let living = living.filter(|agent| !matches!(&*agent.kind, "docker_tls" | "kubernetes"));
        let (online, offline): (Vec<Agent>, Vec<Agent>) =
            living.partition(|agent| agent.status == "online");
        let mut rows: Vec<Row> = Vec::new();
        let mut failed = 0;
        let mut from = 0;
        for end in ends(&self.stages, online.len()) {
            let stage = &online[from..end];
            session.output.note(&format!(
                "Agents {} to {end} of {}.",
                from + 1,
                online.len()
            ));
            for agent in stage {
                let row = one(session, client, agent).await?;
                failed += usize::from(row.result == Became::Failed);
                rows.push(row);
                if failed > self.tolerate {
                    break;
                }
            }
            if failed <= self.tolerate && end < online.len() {
                sleep(self.settle).await;
            }
            failed += look_again(client, &mut rows[from..]).await?;
            from = end;
            if failed > self.tolerate {
                break;
            }
        }
        let halted = failed > self.tolerate;
        let rest = online
            .iter()
            .skip(rows.len())
            .map(|agent| (agent, Became::Untouched));
        let rest = rest.chain(offline.iter().map(|agent| (agent, Became::Offline)));
        let rest: Vec<Row> = rest
            .map(|(agent, result)| row(agent, result, None))
            .collect();
        rows.extend(rest);
        session
            .output
            .result(&rows, |surface| table(surface, &rows))?;
        if halted {
            let text = "It was halted; the agents that are untouched stay as they are. Run it again to go on.";
            session.output.note(text);
        }
        Ok(if failed > 0 {
            Exit::Failed
        } else {
            Exit::Success
        })
    }
}

async fn one(session: &Session, client: &Client, agent: &Agent) -> Result<Row, Failure> {
    let upgraded = match agents::upgrade(client, agent.id).await {
        Ok(upgrade) => agent_upgrade::watch(session, client, agent, upgrade).await,
        Err(failure) => Err(failure),
    };
    match upgraded {
        Ok(upgrade) if agent_upgrade::stage(&upgrade) == Stage::Done => {
            Ok(row(agent, Became::Upgraded, Some(upgrade)))
        }
        Ok(upgrade) => Ok(row(agent, Became::Failed, Some(upgrade))),
        // What the control plane says of this agent; without a control plane there is no going on.
        Err(failure) if failure.http_status().is_some() => Ok(Row {
            why: Some(failure.sentence().into_owned()),
            ..row(agent, Became::Failed, None)
        }),
        Err(failure) => Err(failure),
    }
}

/// Who was upgraded must still be there; how many are not.
async fn look_again(client: &Client, rows: &mut [Row]) -> Result<usize, Failure> {
    let agents = api::list::<Agent>(client).await?;
    let mut lost = 0;
    for row in rows.iter_mut().filter(|row| row.result == Became::Upgraded) {
        let agent = agents.iter().find(|agent| agent.name == row.agent);
        if agent.is_none_or(|agent| agent.status != "online") {
            row.result = Became::Failed;
            row.why = Some("it was upgraded, and is not online any more".to_owned());
            lost += 1;
        }
    }
    Ok(lost)
}

fn row(agent: &Agent, result: Became, upgrade: Option<Upgrade>) -> Row {
    let (version, why) = upgrade.map_or((None, None), |upgrade| (upgrade.version, upgrade.why));
    Row {
        agent: agent.name.clone(),
        result,
        version,
        why,
    }
}

fn table(surface: Surface, rows: &[Row]) -> String {
    let mut table = Rows::new(
        surface,
        [
            whole("agent"),
            whole("result"),
            optional("version"),
            optional("why"),
        ],
    );
    for row in rows {
        let why = row.why.as_deref();
        table.row([
            row.agent.as_str().into(),
            row.result.word().into(),
            row.version.as_deref().into(),
            why.map(|why| plain::for_reader(why, surface.reader).into_owned())
                .into(),
        ]);
    }
    table.finish("There are no agents.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn stages_grow_to_all_agents_and_none_is_empty() {
        let usual = ["1", "10%", "50%", "100%"].map(|text| share(text).unwrap());
        for (all, expected) in [
            (0, vec![0]),
            (1, vec![1]),
            (2, vec![1, 2]),
            (10, vec![1, 5, 10]),
            (100, vec![1, 10, 50, 100]),
        ] {
            assert_eq!(ends(&usual, all), expected, "{all}");
        }
        assert_eq!(ends(&[Share::Agents(3)], 5), [3, 5], "all, in the end");
        assert_eq!(ends(&[Share::Percent(50), Share::Agents(1)], 4), [2, 4]);
        for text in ["", "0", "0%", "101%", "-1", "x%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
