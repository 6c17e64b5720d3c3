//! Enrolment: a token and a certificate request become an agent with its target.

use chrono::{DateTime, Utc};
use towline_pki::{AGENT_LEAF_LIFETIME, AgentCsr, EnrollSecret};
use towline_shared::enrolment::{EnrolRequest, Enrolled};
use towline_shared::failpoint::reach;
use towline_shared::ids::{AgentId, TargetId};

use super::OpsError;
use super::revoke::end_jobs;
use crate::store::audit::{self, Actor, Entry};
use crate::store::db::Tx;
use crate::store::enrolment_tokens::{self, Consumed, EnrolmentTokenStatus, Found, name_taken};
use crate::store::jobs::Moved;
use crate::store::{Store, agents, certificates, docker_tls, notification_events, targets};

/// The most characters of what a host says of itself that are kept.
const MAX_HOST_TEXT: usize = 255;

/// Makes an agent. Token, agent, target, certificate and audit are one transaction: a token that
/// cannot be used for a reason of ours is not used up.
pub async fn enroll(
    store: &Store,
    request: &EnrolRequest,
    agent_address: &str,
) -> Result<Enrolled, OpsError> {
    let csr = AgentCsr::parse(request.csr.as_bytes())?;
    let secret: EnrollSecret = request.secret.parse().map_err(|_| unusable(None))?;
    let authority = store.agent_authority().await?;
    let roots = store.trust_roots().await?.to_pem();
    let agent = AgentId::new();

    let mut tx = store.main().begin().await?;
    let now = tx.now().await?;
    let Some(token) = enrolment_tokens::consume(&mut tx, &secret.hash(), now).await? else {
        let found = enrolment_tokens::find(&mut tx, &secret.hash(), now).await?;
        if let Some(found) = &found {
            write_refusal(&mut tx, found, now).await?;
            tx.commit().await?;
        }
        return Err(unusable(found.map(|found| found.status)));
    };
    let moves = make_room(&mut tx, &token, now).await?;
    let target = insert(&mut tx, agent, &token, request, now).await?;
    let leaf = authority.issue_agent(&csr, agent.uuid(), now, AGENT_LEAF_LIFETIME)?;
    certificates::insert(&mut tx, agent, &leaf, now).await?;
    enrolment_tokens::note_agent(&mut tx, token.id, agent).await?;
    notification_events::agent_enrolled(&mut tx, token.team, agent, &token.name, now).await?;
    write_audit(&mut tx, agent, target, &token, now).await?;
    tx.commit().await?;
    reach("plane: committed an enrolment");
    store.wake().outbox();
    for moved in &moves {
        store.announce(moved);
        store.try_end_log(moved.job).await;
    }
    Ok(Enrolled {
        agent,
        certificate: leaf.pem,
        roots,
        agent_address: agent_address.to_owned(),
    })
}

async fn insert(
    tx: &mut Tx,
    agent: AgentId,
    token: &Consumed,
    request: &EnrolRequest,
    now: DateTime<Utc>,
) -> Result<TargetId, OpsError> {
    let (hostname, version) = (printable(&request.hostname), printable(&request.version));
    let new = agents::NewAgent {
        id: agent,
        team: token.team.uuid(),
        name: &token.name,
        hostname: &hostname,
        version: &version,
    };
    if !agents::insert(tx, &new, now).await? {
        return Err(name_taken(&token.name).into());
    }
    if let Some(target) = token.target {
        let is_there = docker_tls::serve_by(tx, target, agent, now).await?;
        return is_there.then_some(target).ok_or_else(|| unusable(None));
    }
    let target = targets::serve_by(tx, token.team, &token.name, agent, now).await?;
    target.ok_or_else(|| OpsError::Refused {
        message: format!("a target named {:?} exists already", token.name),
        remedy: "make a token with another name".to_owned(),
        field: None,
    })
}

/// Ends the agent that a target over TLS had before: its server is gone, with what the agent knew.
async fn make_room(
    tx: &mut Tx,
    token: &Consumed,
    now: DateTime<Utc>,
) -> Result<Vec<Moved>, OpsError> {
    let former = match token.target {
        Some(target) => docker_tls::live_agent(tx, target).await?,
        None => None,
    };
    let Some(former) = former else {
        return Ok(Vec::new());
    };
    agents::end(tx, former, now).await?;
    end_jobs(tx, former, Actor::System, now).await
}

async fn write_audit(
    tx: &mut Tx,
    agent: AgentId,
    target: TargetId,
    token: &Consumed,
    now: DateTime<Utc>,
) -> Result<(), OpsError> {
    for (chain, subject) in [
        (target.uuid(), ("target", Some(target.uuid()))),
        (token.team.uuid(), ("agent", Some(agent.uuid()))),
    ] {
        let entry = Entry {
            chain,
            team: Some(token.team),
            actor: Actor::Agent(agent),
            action: "agent.enrol",
            subject,
            detail: serde_json::json!({ "token": token.id, "name": token.name, "agent": agent, "target": target }),
        };
        audit::append(tx, &entry, now).await?;
    }
    Ok(())
}

/// A stranger's guess leaves no trace, so that nobody can fill the disk; a known token that is used
/// twice may be a theft.
async fn write_refusal(tx: &mut Tx, found: &Found, now: DateTime<Utc>) -> Result<(), OpsError> {
    let entry = Entry {
        chain: found.team.uuid(),
        team: Some(found.team),
        actor: Actor::Anonymous,
        action: "agent.enrol_refused",
        subject: ("enrolment_token", Some(found.id.uuid())),
        detail: serde_json::json!({ "token": found.status }),
    };
    Ok(audit::append(tx, &entry, now).await?)
}

fn printable(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_HOST_TEXT)
        .collect()
}

fn unusable(status: Option<EnrolmentTokenStatus>) -> OpsError {
    let message = match status {
        Some(EnrolmentTokenStatus::Used) => {
            "the enrolment token was used already; a token enrols one agent"
        }
        Some(EnrolmentTokenStatus::Revoked) => "the enrolment token was revoked",
        Some(EnrolmentTokenStatus::Expired) => "the enrolment token has expired",
        Some(EnrolmentTokenStatus::Pending) | None => "the enrolment token is not known here",
    };
    OpsError::Enrolment {
        message: message.to_owned(),
        remedy: "make a new one with `towline agents token` and use it within its time".to_owned(),
    }
}
