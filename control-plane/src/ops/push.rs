//! Pushes: what a forge tells is taken, and what is taken is deployed through the door that people use.

use chrono::{DateTime, Utc};
use towline_shared::ids::PushHookId;

use super::deploy::{NewDeployment, deploy_pushed};
use super::{OpsError, UNREAD};
use crate::domain::cluster::Insistence;
use crate::domain::forge::{Delivery, Message};
use crate::domain::permission::Permission;
use crate::egress::Egress;
use crate::store::{DuePush, PushEnd, Reception, Store, StoreError, Tenant};

/// A message of which it is sure that it is the forge's.
#[derive(Debug)]
pub struct VerifiedPush {
    hook: PushHookId,
    told: Delivery,
}

/// Looks whether a message is the forge's, and then what it says; nothing when it is not, or there is no such hook.
pub async fn verify_push(
    store: &Store,
    hook: PushHookId,
    message: &Message<'_>,
    now: DateTime<Utc>,
) -> Result<Option<VerifiedPush>, OpsError> {
    let known = store.push_secret(hook).await?;
    let known = known.filter(|known| known.forge.verify(&known.secret, message, now));
    Ok(known.map(|known| VerifiedPush {
        hook,
        told: known.forge.read(message),
    }))
}

/// Takes what a forge tells; nothing when the hook was deleted in this moment.
pub async fn take_push(store: &Store, push: VerifiedPush) -> Result<Option<Reception>, OpsError> {
    match store.take_push(push.hook, &push.told).await {
        Ok(reception) => Ok(Some(reception)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Deploys a push to one of its targets. Doing it again makes no other deployment.
pub async fn deploy_push(store: &Store, egress: &Egress, due: &DuePush) -> PushEnd {
    if due.is_late(Utc::now()) {
        let why = "it was too late when the control plane came to it; deploy the commit by hand, or push again";
        return PushEnd::Refused(why.to_owned());
    }
    let tenant = match store.push_tenant(due).await {
        Ok(tenant) => tenant.filter(|tenant| may_deploy(tenant, due)),
        Err(error) => return PushEnd::Again(error.to_string()),
    };
    let Some(tenant) = tenant else {
        let why = "who has set the hook may not deploy this project any more; somebody who may sets it again";
        return PushEnd::Refused(why.to_owned());
    };
    let new = NewDeployment {
        project: due.project,
        target: due.target.to_string(),
        environment: due.environment.clone(),
        settle_ms: None,
        deadline_s: None,
        interruption: None,
        branch: due.branch.clone(),
        commit: Some(due.commit.clone()),
        on_failure: Some(due.on_failure),
        build_on: None,
        insistence: Insistence::default(),
    };
    let key = format!("push-{}", due.id);
    match deploy_pushed(store, egress, &tenant, new, &key).await {
        Ok(deployment) => PushEnd::Deployed(deployment.id),
        Err(error) => ended(error),
    }
}

fn may_deploy(tenant: &Tenant, due: &DuePush) -> bool {
    let role = tenant.access().on(due.project);
    role.is_some_and(|role| role.may(Permission::Deploy))
}

/// What may pass is tried again. What the database says of itself is for the log alone.
fn ended(error: OpsError) -> PushEnd {
    match error {
        OpsError::Refused {
            message, remedy, ..
        } => PushEnd::Refused(both(&message, &remedy)),
        OpsError::Unread { message, .. } => PushEnd::Again(both(&message, UNREAD)),
        OpsError::PluginUnavailable { .. } => PushEnd::Again(error.to_string()),
        OpsError::Findings(findings) => {
            let first = findings.first().map(|one| one.message.clone());
            let first = first.unwrap_or_default();
            PushEnd::Refused(format!("the project's files cannot be deployed: {first}"))
        }
        OpsError::Store(
            StoreError::NotFound(_)
            | StoreError::Invalid { .. }
            | StoreError::Conflict { .. }
            | StoreError::QuotaExceeded(_)
            | StoreError::Forbidden { .. },
        )
        | OpsError::KeyReused
        | OpsError::Vetoed { .. } => PushEnd::Refused(error.to_string()),
        other => {
            tracing::warn!(error = %other, "a push could not be deployed; it is tried again");
            PushEnd::Again("the control plane failed at it, and tries again".to_owned())
        }
    }
}

fn both(message: &str, remedy: &str) -> String {
    format!("{message}; {remedy}")
}
