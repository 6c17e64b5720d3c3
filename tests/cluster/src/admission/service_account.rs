//! Each pod has a service account, which must be there.

use serde_json::Value;

use crate::{
    api::prepare::Task,
    document::{put, put_default, text},
    refusal::{Answer, Refusal},
    state::State,
};

pub(super) fn complete(state: &State, task: &Task, object: &mut Value) -> Answer<()> {
    if task.kind.kind != "Pod" {
        return Ok(());
    }
    put_default(object, "spec/serviceAccountName", "default");
    let account = text(object, "spec/serviceAccountName").to_owned();
    put(object, "spec/serviceAccount", account.clone());
    if state
        .store
        .get("serviceaccounts", &task.namespace, &account)
        .is_some()
    {
        return Ok(());
    }
    let (name, namespace) = (text(object, "metadata/name"), &task.namespace);
    let why = format!(
        "error looking up service account {namespace}/{account}: serviceaccount {account:?} not found"
    );
    Err(Refusal::forbidden(&task.kind, name, &why))
}
