//! What may come into the cluster beside what is valid: namespaces that are there and stay, quotas, webhooks.

mod namespaces;
pub(crate) mod quota;
mod service_account;
mod webhooks;

pub(crate) use namespaces::{lives_on, takes as namespace_takes};
pub(crate) use webhooks::{Question, questions, questions_of_deletion};

use serde_json::Value;

use crate::{access::User, api::prepare::Task, refusal::Answer, state::State};

/// Refuses, or completes, what a client writes.
pub(crate) fn admit(
    state: &State,
    task: &Task,
    user: &User,
    object: &mut Value,
    live: Option<&Value>,
) -> Answer<()> {
    let _ = user;
    if live.is_none() {
        let name = object["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        namespaces::takes(state, task, &name)?;
        service_account::complete(state, task, object)?;
        quota::fits(state, task, object)?;
    }
    Ok(())
}
