//! Projects, their files and secrets.

use towline_shared::spec::{FileMode, KEPT_RELEASES, ProjectFile, Work};

use super::world::{COMPOSE, World, file, finished, on_both, succeeded};
use crate::ops::{self, NewRemoval};
use crate::store::{Page, ProjectChange, Resource, StoreError};

on_both!(
    files_are_replaced_as_a_whole,
    a_name_is_taken_once,
    secrets_are_written_and_not_read,
    a_project_in_use_is_not_deleted,
    hosts_are_told_how_many_releases_to_keep,
);

async fn files_are_replaced_as_a_whole(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let project = store.create_project(tenant, "web").await.unwrap();
    assert_eq!(project.status, "empty");
    let script = ProjectFile {
        mode: FileMode::Executable,
        ..file("bin/start", "#!/bin/true\n")
    };
    let files = vec![file("compose.yaml", COMPOSE), script];
    let set = store
        .put_files(tenant, project.id, files.clone())
        .await
        .unwrap();
    assert_eq!(set.compose_file.as_deref(), Some("compose.yaml"));
    let mut read = store.read_files(tenant, project.id).await.unwrap();
    read.sort_by(|one, other| other.path.cmp(&one.path));
    assert_eq!(read, files);
    let listed = store.list_files(tenant, project.id).await.unwrap();
    assert_eq!(
        (listed.files[0].path.as_str(), listed.files[0].bytes),
        ("bin/start", 12)
    );
    assert_eq!(listed.files, set.files);

    store
        .put_files(tenant, project.id, vec![file("stack.txt", "x")])
        .await
        .unwrap();
    let project = store.find_project(tenant, "web").await.unwrap();
    assert_eq!(
        (project.status.as_str(), project.compose_file),
        ("ready", None)
    );
    assert_eq!(store.read_files(tenant, project.id).await.unwrap().len(), 1);
}

async fn a_name_is_taken_once(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    store.create_project(tenant, "web").await.unwrap();
    assert!(matches!(
        store.create_project(tenant, "web").await,
        Err(StoreError::Conflict { .. })
    ));
    assert!(matches!(
        store.create_project(tenant, "Web!").await,
        Err(StoreError::Invalid { field: "name", .. })
    ));
    store
        .create_project(&world.stranger().await, "web")
        .await
        .unwrap();
    assert_eq!(
        store
            .list_projects(tenant, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

async fn secrets_are_written_and_not_read(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let project = world.project("web").await;
    let first = store
        .put_secret(tenant, project.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    let second = store
        .put_secret(tenant, project.id, "PASSWORD", "hunter3")
        .await
        .unwrap();
    assert_eq!((first.id, first.version, second.version), (second.id, 1, 2));
    let listed = store.list_secrets(tenant, project.id).await.unwrap();
    assert!(!serde_json::to_string(&listed).unwrap().contains("hunter"));
    for (key, value) in [
        ("1A", "x"),
        ("PATH", "x"),
        ("DOCKER_HOST", "x"),
        ("A", "a\0b"),
        ("A", &"x".repeat(70_000)),
    ] {
        assert!(
            matches!(
                store.put_secret(tenant, project.id, key, value).await,
                Err(StoreError::Invalid { .. })
            ),
            "{key}"
        );
    }
    store
        .delete_secret(tenant, project.id, "PASSWORD")
        .await
        .unwrap();
    let again = store.delete_secret(tenant, project.id, "PASSWORD").await;
    assert!(matches!(again, Err(StoreError::NotFound(Resource::Secret))));
}

async fn a_project_in_use_is_not_deleted(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    assert!(matches!(
        store.delete_project(tenant, project.id).await,
        Err(StoreError::Conflict { .. })
    ));
    let attempt = world.start(&host).await;
    store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    assert!(
        matches!(
            store.delete_project(tenant, project.id).await,
            Err(StoreError::Conflict { .. })
        ),
        "it runs there"
    );

    let removal = NewRemoval {
        project: project.id,
        target: "shop".to_owned(),
        volumes: towline_shared::spec::VolumeFate::Keep,
        deadline_s: None,
    };
    ops::remove(store, tenant, removal, None).await.unwrap();
    let attempt = world.start(&host).await;
    store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    store.delete_project(tenant, project.id).await.unwrap();
    assert!(matches!(
        store.project(tenant, project.id).await,
        Err(StoreError::NotFound(Resource::Project))
    ));
    assert!(
        store
            .list_deployments(
                tenant,
                &crate::store::DeploymentFilter::default(),
                Page::default()
            )
            .await
            .unwrap()
            .items
            .is_empty()
    );
    store.prune().await.unwrap();
}

fn keep(kept: u16) -> ProjectChange {
    ProjectChange {
        keep_releases: Some(kept),
        ..ProjectChange::default()
    }
}

async fn hosts_are_told_how_many_releases_to_keep(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (project, host) = (world.project("web").await, world.host("shop").await);
    assert_eq!(project.keep_releases, KEPT_RELEASES);
    for wrong in [0, 51] {
        let refused = store.change_project(tenant, project.id, keep(wrong)).await;
        assert!(
            matches!(
                refused,
                Err(StoreError::Invalid {
                    field: "keep_releases",
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    let stranger = world.stranger().await;
    let refused = store.change_project(&stranger, project.id, keep(7)).await;
    assert!(matches!(
        refused,
        Err(StoreError::NotFound(Resource::Project))
    ));
    let changed = store
        .change_project(tenant, project.id, keep(7))
        .await
        .unwrap();
    assert_eq!(changed.keep_releases, 7);
    world.deploy(&project, &host).await;
    let spec = world.claim(&host).await.spec.open().unwrap();
    assert!(matches!(spec.work, Work::Termed(_)));
    assert_eq!(spec.split().1.keep_releases(), 7);
}
