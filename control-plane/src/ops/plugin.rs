//! Asking a team's plugins before something is done: all at once, each for as long as it may take, and while no
//! transaction is open.

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use towline_shared::compose;
use towline_shared::ids::{DeploymentId, PluginId, PluginRunId, ProjectId};
use towline_shared::spec::ProjectFile;

use super::OpsError;
use crate::domain::plugin::{Answer, Decision, Hook, Said, decide};
use crate::egress::Egress;
use crate::plugins::{Heard, call};
use crate::store::plugin_events::request;
use crate::store::targets::Servant;
use crate::store::{AskedRun, Callee, Effect, Ended, PluginExchange, Project, Store, Tenant};

/// What plugins are asked.
pub(super) struct Question {
    /// One after the other.
    hooks: &'static [Hook],
    project: Option<ProjectId>,
    data: Value,
}

/// What is asked before a deployment of these files: before a build, too, where it begins with one.
pub(super) fn hooks_of(files: &[ProjectFile], compose_file: &str) -> &'static [Hook] {
    if compose::builds(files, compose_file) {
        &[Hook::BeforeDeploy, Hook::BeforeBuild]
    } else {
        &[Hook::BeforeDeploy]
    }
}

/// Whether a deployment may be.
pub(super) fn about_deployment(
    hooks: &'static [Hook],
    tenant: &Tenant,
    project: &Project,
    servant: &Servant,
    environment: Option<&str>,
    retry_of: Option<DeploymentId>,
) -> Question {
    Question {
        hooks,
        project: Some(project.id),
        data: json!({
            "project": { "id": project.id, "name": project.name },
            "target": { "id": servant.target.id, "name": servant.target.name },
            "environment": environment,
            "retry_of": retry_of,
            "user_id": tenant.user(),
        }),
    }
}

/// Whether a rollback may be.
pub(super) fn about_rollback(
    tenant: &Tenant,
    project: &Project,
    servant: &Servant,
    environment: Option<&str>,
    to: DeploymentId,
) -> Question {
    let hooks = &[Hook::BeforeDeploy];
    let mut question = about_deployment(hooks, tenant, project, servant, environment, None);
    question.data["rollback_of"] = json!(to);
    question
}

/// Whether a project may be.
pub(super) fn about_project(tenant: &Tenant, name: &str) -> Question {
    Question {
        hooks: &[Hook::BeforeProject],
        project: None,
        data: json!({ "project": { "name": name }, "user_id": tenant.user() }),
    }
}

/// A plugin with what came of asking it.
struct Asked {
    callee: Callee,
    run: AskedRun,
    decision: Decision,
    answer: Option<Answer>,
}

/// Asks the plugins of each hook, and gives what they say if none is against it.
pub(super) async fn ask(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    question: Question,
) -> Result<Vec<Said>, OpsError> {
    let mut said = Vec::new();
    for hook in question.hooks {
        said.extend(ask_at(store, egress, tenant, *hook, &question).await?);
    }
    Ok(said)
}

/// Asks the plugins of a hook, and writes down what they were asked.
async fn ask_at(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    hook: Hook,
    question: &Question,
) -> Result<Vec<Said>, OpsError> {
    let callees = store.callees(tenant, hook).await?;
    if callees.is_empty() {
        return Ok(Vec::new());
    }
    let now = Utc::now();
    let body = request(hook.as_str(), now, question.data.clone());
    let asking = callees.into_iter().map(|callee| async {
        let asked = called(store, egress, &callee, hook.as_str(), body.clone(), now);
        let (mut run, heard) = asked.await;
        run.project = question.project;
        judge(callee, run, heard)
    });
    let asked = join_all(asking).await;
    let runs: Vec<_> = asked.iter().map(|one| one.run.clone()).collect();
    store.note_asked(tenant, &runs).await?;
    verdict(asked)
}

/// Calls a plugin to see whether it works.
pub async fn test_plugin(
    store: &Store,
    egress: &Egress,
    tenant: &Tenant,
    id: PluginId,
) -> Result<PluginExchange, OpsError> {
    let (callee, now) = (store.callee(tenant, id).await?, Utc::now());
    let body = request("plugin.test", now, json!({ "plugin_id": id }));
    let (run, _) = called(store, egress, &callee, "test", body, now).await;
    Ok(store.note_plugin_test(tenant, &run).await?)
}

async fn called(
    store: &Store,
    egress: &Egress,
    callee: &Callee,
    hook: &'static str,
    body: String,
    at: DateTime<Utc>,
) -> (AskedRun, Heard) {
    let id = PluginRunId::new();
    let heard = call(store, egress, callee, &id.to_string(), body.clone()).await;
    let run = AskedRun {
        id,
        plugin: callee.id,
        hook,
        project: None,
        body,
        at,
        attempted: heard.attempted.clone(),
        message: heard.answer.clone().and_then(Answer::words),
        ended: match &heard.answer {
            None => Ended::Failed,
            Some(Answer { veto: Some(_), .. }) => Ended::Vetoed,
            Some(_) => Ended::Delivered,
        },
        effect: Effect::Told,
    };
    (run, heard)
}

fn judge(callee: Callee, mut run: AskedRun, heard: Heard) -> Asked {
    let decision = decide(heard.answer.as_ref(), callee.policy);
    run.effect = match decision {
        Decision::GoOn => Effect::Allowed,
        Decision::Vetoed(_) | Decision::Unanswered => Effect::Refused,
    };
    Asked {
        callee,
        run,
        decision,
        answer: heard.answer,
    }
}

/// A veto counts before a silence: it will be the same the next time.
fn verdict(asked: Vec<Asked>) -> Result<Vec<Said>, OpsError> {
    let (mut said, mut silent) = (Vec::new(), None);
    for one in asked {
        let plugin = one.callee.name;
        match one.decision {
            Decision::Vetoed(reason) => return Err(OpsError::Vetoed { plugin, reason }),
            Decision::Unanswered => {
                let why = one.run.attempted.error.unwrap_or_default();
                silent.get_or_insert(OpsError::PluginUnavailable { plugin, why });
            }
            Decision::GoOn => {
                let message = one.answer.and_then(|answer| answer.message);
                said.extend(message.map(|message| Said { plugin, message }));
            }
        }
    }
    silent.map_or(Ok(said), Err)
}
