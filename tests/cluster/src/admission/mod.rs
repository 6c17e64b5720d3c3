//! What may come into the cluster beside what is valid: namespaces that are there and stay, quotas, webhooks.

mod namespaces;
pub(crate) mod quota;
mod service_account;
mod webhooks;

pub(crate) use namespaces::{lives_on, takes as namespace_takes};
pub(crate) use webhooks::{Question, questions, questions_of_deletion};

use serde_json::Value;

use crate::{api::prepare::Task, document::text, refusal::Answer, state::State};

/// Before an object that is created is validated: its namespace takes it, and what it leaves out is filled in.
pub(crate) fn complete(state: &State, task: &Task, object: &mut Value) -> Answer<()> {
    namespaces::takes(state, task, text(object, "metadata/name"))?;
    service_account::complete(state, task, object)
}

/// After it is validated: quotas have room for it.
pub(crate) fn admit(state: &State, task: &Task, object: &Value) -> Answer<()> {
    quota::fits(state, task, object)
}
