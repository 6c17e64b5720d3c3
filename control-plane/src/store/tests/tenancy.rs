//! What belongs to another team is not there.

use towline_shared::spec::VolumeFate;

use super::world::{COMPOSE, World, deployment, file, on_both};
use crate::egress::Egress;
use crate::ops::{self, NewRemoval, OpsError};
use crate::store::{DeploymentFilter, Page, StoreError};

on_both!(a_stranger_finds_nothing);

fn is_absent<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NotFound(_)))
}

fn is_absent_too<T>(result: Result<T, OpsError>) -> bool {
    matches!(result, Err(OpsError::Store(StoreError::NotFound(_))))
}

async fn a_stranger_finds_nothing(world: &World) {
    let (store, stranger) = (&world.store, &world.stranger().await);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    let shown = world.deploy(&project, &host).await;
    world.token("next").await;
    let token = store
        .list_enrolment_tokens(&world.tenant, Page::default())
        .await
        .unwrap()
        .items[0]
        .id;
    let key = world.set_up.api_key.about.id;

    assert!(is_absent(store.agent(stranger, host.id).await));
    assert!(is_absent(store.target(stranger, host.target).await));
    assert!(is_absent(store.find_target(stranger, "shop").await));
    assert!(is_absent(store.project(stranger, project.id).await));
    assert!(is_absent(store.find_project(stranger, "web").await));
    assert!(is_absent(store.delete_project(stranger, project.id).await));
    assert!(is_absent(
        store
            .put_files(stranger, project.id, vec![file("compose.yaml", COMPOSE)])
            .await
    ));
    assert!(is_absent(store.list_files(stranger, project.id).await));
    assert!(
        store
            .read_files(stranger, project.id)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(is_absent(store.list_secrets(stranger, project.id).await));
    assert!(is_absent(
        store
            .put_secret(stranger, project.id, "PASSWORD", "mine")
            .await
    ));
    assert!(is_absent(
        store.delete_secret(stranger, project.id, "PASSWORD").await
    ));
    let name = "PASSWORD".into();
    assert!(is_absent(
        store.secret_versions(stranger, project.id, name).await
    ));
    assert!(is_absent(
        store.restore_secret(stranger, project.id, name, 1).await
    ));
    assert!(is_absent(store.deployment(stranger, shown.id).await));
    assert!(is_absent(store.log_range(stranger, shown.id, 0, 10).await));
    assert!(is_absent(store.log_tail(stranger, shown.id, 10).await));
    assert!(is_absent(store.revoke_api_key(stranger, key).await));
    assert!(is_absent(
        store.revoke_enrolment_token(stranger, token).await
    ));
    let now = store.now().await.unwrap();
    assert!(is_absent(
        store
            .metrics_range(stranger, host.target, now, now, None)
            .await
    ));

    assert!(is_absent_too(
        ops::deploy(
            store,
            &Egress::closed(),
            stranger,
            deployment(&project, &host),
            None
        )
        .await
    ));
    let removal = NewRemoval {
        project: project.id,
        target: host.target.to_string(),
        volumes: VolumeFate::Delete,
        deadline_s: None,
    };
    assert!(is_absent_too(
        ops::remove(store, stranger, removal, None).await
    ));
    assert!(is_absent_too(ops::cancel(store, stranger, shown.id).await));
    assert!(is_absent_too(
        ops::retry(store, &Egress::closed(), stranger, shown.id).await
    ));
    assert!(is_absent_too(ops::revoke(store, stranger, host.id).await));

    let all = Page::default();
    assert!(
        store
            .list_agents(stranger, all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        store
            .list_targets(stranger, all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        store
            .list_projects(stranger, all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        store
            .list_enrolment_tokens(stranger, all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(
        store
            .list_deployments(stranger, &DeploymentFilter::default(), all)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert_eq!(
        store
            .list_api_keys(stranger, all)
            .await
            .unwrap()
            .items
            .len(),
        1,
        "the stranger's own"
    );
    assert!(store.metrics_latest(stranger).await.unwrap().is_empty());

    // Their own project cannot go to our target either.
    let theirs = store.create_project(stranger, "web").await.unwrap();
    store
        .put_files(stranger, theirs.id, vec![file("compose.yaml", COMPOSE)])
        .await
        .unwrap();
    assert!(is_absent_too(
        ops::deploy(
            store,
            &Egress::closed(),
            stranger,
            deployment(&theirs, &host),
            None
        )
        .await
    ));
}
