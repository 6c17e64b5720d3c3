//! What happens, in the words that people are told, in the transaction in which it happens.

use chrono::{DateTime, SecondsFormat, Utc};
use towline_shared::ids::{AgentId, DeploymentId, NotificationChannelId, TargetId, TeamId, UserId};
use uuid::Uuid;

use super::agents::SEEN_WITHIN;
use super::db::{Tx, all, execute, one};
use super::notification_telling::{Audience, of_account, of_team, tell};
use super::quota::Nearing;
use super::{DeploymentKind, Device, Result, Store, deployments};
use crate::domain::notification::{Notice, NotificationEvent};
use crate::job::JobState;

/// Agents that are told of in one transaction.
const BATCH: i64 = 200;

macro_rules! absent {
    ($lock:literal) => {
        concat!(
            "SELECT id, team_id, name, last_seen_at FROM agents
             WHERE session_id IS NULL AND away_since IS NULL AND revoked_at IS NULL AND connected_at IS NOT NULL
                AND last_seen_at < $1 ORDER BY id LIMIT $2",
            $lock
        )
    };
}

#[derive(sqlx::FromRow)]
struct Absent {
    id: Uuid,
    team_id: Uuid,
    name: String,
    last_seen_at: DateTime<Utc>,
}

/// A deployment has ended.
pub(super) async fn deployment_ended(
    tx: &mut Tx,
    team: TeamId,
    deployment: DeploymentId,
    state: JobState,
    now: DateTime<Utc>,
) -> Result<()> {
    let (event, word) = match state {
        JobState::Succeeded => (NotificationEvent::DeploymentSucceeded, "has succeeded"),
        JobState::Failed => (NotificationEvent::DeploymentFailed, "has failed"),
        JobState::Cancelled => (NotificationEvent::DeploymentCancelled, "was cancelled"),
        _ => return Ok(()),
    };
    let shown = deployments::in_transaction(tx, deployment).await?;
    let project_id = shown.project.id.into();
    let owner = shown.triggered_by.as_ref().map(|by| UserId::from(by.id));
    let audience = of_team(tx, event, team, Some(project_id), owner).await?;
    if audience.is_empty() {
        return Ok(());
    }
    let (project, target) = (&shown.project.name, &shown.target.name);
    let what = match shown.kind {
        DeploymentKind::Deploy => "deployment to",
        DeploymentKind::Remove => "removal from",
        DeploymentKind::Build => "build on",
        // Who asked for it watches it.
        DeploymentKind::Preview => return Ok(()),
    };
    let message = format!("{project}: {what} {target} {word}");
    let by = shown.triggered_by.as_ref();
    let asked = by.map(|by| format!("Asked for by {}.", by.name));
    let pushed = shown.pushed_by.as_deref();
    let pushed = pushed.map(|by| format!("Pushed by {by}."));
    let detail: Vec<_> = shown
        .message
        .into_iter()
        .chain(asked)
        .chain(pushed)
        .collect();
    let notice = Notice::new(event.as_str(), &message, Some(&detail.join("\n")));
    let mut notice = notice.about("deployment", deployment.uuid());
    notice.team_id = Some(team);
    notice.project_id = Some(project_id);
    tell(tx, &audience, &mut notice, now).await
}

async fn agent_away(tx: &mut Tx, agent: &Absent, now: DateTime<Utc>) -> Result<()> {
    let sql = "UPDATE agents SET away_since = $2 WHERE id = $1";
    execute!(tx.conn(), sql, agent.id, now)?;
    let last = agent
        .last_seen_at
        .to_rfc3339_opts(SecondsFormat::Secs, true);
    let message = format!("The agent {} is out of reach", agent.name);
    let detail =
        format!("It was last heard of at {last}. Deployments to it wait until it is back.");
    let event = NotificationEvent::AgentOffline;
    let (team, words) = (
        agent.team_id.into(),
        (message.as_str(), Some(detail.as_str())),
    );
    tell_of_agent(tx, event, team, agent.id.into(), words, now).await
}

/// An agent is back of whose absence people know.
pub(super) async fn agent_back(
    tx: &mut Tx,
    team: TeamId,
    agent: AgentId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let sql = "UPDATE agents SET away_since = NULL WHERE id = $1";
    execute!(tx.conn(), sql, agent.uuid())?;
    let message = format!("The agent {name} is back");
    let event = NotificationEvent::AgentOnline;
    tell_of_agent(tx, event, team, agent, (&message, None), now).await
}

/// A host has enrolled.
pub(crate) async fn agent_enrolled(
    tx: &mut Tx,
    team: TeamId,
    agent: AgentId,
    name: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let message = format!("The host {name} has enrolled");
    let detail = "If nobody of the team did that, revoke it: `towline agents revoke`, and see who made the token.";
    let event = NotificationEvent::AgentEnrolled;
    tell_of_agent(tx, event, team, agent, (&message, Some(detail)), now).await
}

/// A certificate by which a target is reached ends soon, or has ended.
pub(super) async fn certificate_expiring(
    tx: &mut Tx,
    team: TeamId,
    target: TargetId,
    (message, detail): (&str, &str),
    now: DateTime<Utc>,
) -> Result<()> {
    let event = NotificationEvent::TargetCertificateExpiring;
    let notice = Notice::new(event.as_str(), message, Some(detail));
    tell_team(tx, event, team, notice.about("target", target.uuid()), now).await
}

async fn tell_of_agent(
    tx: &mut Tx,
    event: NotificationEvent,
    team: TeamId,
    agent: AgentId,
    (message, detail): (&str, Option<&str>),
    now: DateTime<Utc>,
) -> Result<()> {
    let notice = Notice::new(event.as_str(), message, detail).about("agent", agent.uuid());
    tell_team(tx, event, team, notice, now).await
}

async fn tell_team(
    tx: &mut Tx,
    event: NotificationEvent,
    team: TeamId,
    mut notice: Notice,
    now: DateTime<Utc>,
) -> Result<()> {
    let audience = of_team(tx, event, team, None, None).await?;
    if audience.is_empty() {
        return Ok(());
    }
    notice.team_id = Some(team);
    tell(tx, &audience, &mut notice, now).await
}

/// Somebody has joined the team. To be called before they are in it: it is no news to them.
pub(super) async fn member_joins(
    tx: &mut Tx,
    team: TeamId,
    place: &str,
    (name, email, role): (&str, &str, &str),
    now: DateTime<Utc>,
) -> Result<()> {
    let event = NotificationEvent::MemberJoined;
    let message = format!("{name} ({email}) has joined {place} as {role}");
    tell_team(
        tx,
        event,
        team,
        Notice::new(event.as_str(), &message, None),
        now,
    )
    .await
}

/// Most of what a plan allows is used, or all of it.
pub(crate) async fn quota_nearly_reached(
    tx: &mut Tx,
    team: TeamId,
    nearing: &Nearing,
    now: DateTime<Utc>,
) -> Result<()> {
    let event = NotificationEvent::QuotaNearlyReached;
    let detail = nearing.resets_at.map(|at| {
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        format!("The count begins anew at {at}.")
    });
    let notice = Notice::new(event.as_str(), &nearing.to_string(), detail.as_deref());
    tell_team(tx, event, team, notice, now).await
}

/// Somebody signs in. A browser that is signed in already from that address is no news.
pub(crate) async fn signs_in(
    tx: &mut Tx,
    user: UserId,
    device: &Device,
    now: DateTime<Utc>,
) -> Result<()> {
    let address = device.address.to_string();
    let (known,) = one!(
        tx.conn(),
        (i64,),
        "SELECT COUNT(*) FROM sessions WHERE user_id = $1 AND address = $2 AND user_agent = $3",
        user.uuid(),
        address.as_str(),
        device.kept_user_agent()
    )?;
    if known > 0 {
        return Ok(());
    }
    let event = NotificationEvent::AccountSignedIn;
    let message = "Somebody has signed in to your account";
    let detail = format!(
        "From {address}, with {}.\n{}",
        device.kept_user_agent(),
        IF_NOT_YOU
    );
    tell_of_account(
        tx,
        event,
        user,
        Notice::new(event.as_str(), message, Some(&detail)),
        now,
    )
    .await
}

const IF_NOT_YOU: &str =
    "If it was not you, ask for a new password, and end the sessions: `towline sessions`.";

/// What guards an account has changed.
pub(crate) async fn account_changed(
    tx: &mut Tx,
    user: UserId,
    event: NotificationEvent,
    now: DateTime<Utc>,
) -> Result<()> {
    let message = match event {
        NotificationEvent::AccountPasswordChanged => "Your account has another password",
        NotificationEvent::AccountSecondFactorOn => "A second factor guards your account",
        _ => "Your account's second factor was turned off",
    };
    let notice = Notice::new(event.as_str(), message, Some(IF_NOT_YOU));
    tell_of_account(tx, event, user, notice, now).await
}

/// Somebody has a plan no more.
pub(super) async fn plan_ended(
    tx: &mut Tx,
    user: UserId,
    plan: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let event = NotificationEvent::PlanEnded;
    let message = format!("Your plan {plan} has ended");
    let detail =
        "What your teams have stays. New work is held to the limits of the plan that you have now.";
    let notice = Notice::new(event.as_str(), &message, Some(detail));
    tell_of_account(tx, event, user, notice, now).await
}

/// What somebody pays for was not paid.
pub(super) async fn payment_failed(tx: &mut Tx, user: UserId, now: DateTime<Utc>) -> Result<()> {
    let event = NotificationEvent::PaymentFailed;
    let detail = "Look at your way of paying: `towline billing portal` gives the page for it.";
    let notice = Notice::new(
        event.as_str(),
        "A payment for your plan has failed",
        Some(detail),
    );
    tell_of_account(tx, event, user, notice, now).await
}

/// A channel was switched off because messages failed.
pub(super) async fn channel_broken(
    tx: &mut Tx,
    user: UserId,
    channel: NotificationChannelId,
    name: &str,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let event = NotificationEvent::ChannelBroken;
    let message = format!("Your channel {name} was switched off");
    let detail = format!("{why}.\nMend it and switch it on: `towline channels enable`.");
    let notice = Notice::new(event.as_str(), &message, Some(&detail));
    let notice = notice.about("channel", channel.uuid());
    tell_of_account(tx, event, user, notice, now).await
}

async fn tell_of_account(
    tx: &mut Tx,
    event: NotificationEvent,
    user: UserId,
    mut notice: Notice,
    now: DateTime<Utc>,
) -> Result<()> {
    let audience: Audience = of_account(tx, event, user).await?;
    tell(tx, &audience, &mut notice, now).await
}

impl Store {
    /// Tells teams of agents that are out of reach for longer than a restart takes. To be asked now and then, and not
    /// before a server has run for so long: its agents have to find it first.
    pub(crate) async fn tell_of_absent_agents(&self) -> Result<usize> {
        let mut tx = self.main().begin().await?;
        let now = tx.now().await?;
        let conn = tx.conn();
        // Of two replicas one tells.
        let sql = conn.pick(absent!(""), absent!(" FOR NO KEY UPDATE SKIP LOCKED"));
        let absent = all!(conn, Absent, sql, now - SEEN_WITHIN, BATCH)?;
        for agent in &absent {
            agent_away(&mut tx, agent, now).await?;
        }
        if absent.is_empty() {
            tx.roll_back().await?;
        } else {
            tx.commit().await?;
            self.wake().outbox();
        }
        Ok(absent.len())
    }
}
