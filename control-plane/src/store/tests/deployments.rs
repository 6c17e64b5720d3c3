//! Asking for deployments: what is refused before it is queued, and idempotency.

use towline_shared::protocol::v1::{Engine, Plugin};
use towline_shared::spec::{VolumeFate, Work};

use super::world::{World, capabilities, deployment, finished, on_both, succeeded};
use crate::egress::Egress;
use crate::job::JobState;
use crate::ops::{self, NewDeployment, NewRemoval, OpsError};
use crate::store::db::execute;
use crate::store::{DeploymentFilter, DeploymentKind, Page, Resource, StoreError};

on_both!(
    a_deployment_is_queued_with_its_files,
    what_cannot_work_is_not_queued,
    a_revocation_leaves_nothing_queued,
    the_same_key_gives_the_same_deployment,
    a_repeated_request_is_not_judged_again,
    an_unreadable_secret_fails_its_job_alone,
    an_ended_deployment_is_done_again,
    an_unchanged_project_is_one_release,
    filters_and_pages_fit_together,
);

async fn a_deployment_is_queued_with_its_files(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    let mut waiter = world
        .store
        .wake()
        .subscribe(crate::wake::Topic::Agent(host.id));
    let queued = world.deploy(&project, &host).await;
    tokio::time::timeout(std::time::Duration::from_secs(5), waiter.woken())
        .await
        .expect("the agent is woken");
    assert_eq!(
        (queued.status, queued.kind, queued.attempts),
        (JobState::Queued, DeploymentKind::Deploy, 0)
    );
    assert_eq!(
        (queued.project.name.as_str(), queued.target.name.as_str()),
        ("web", "shop")
    );
    assert_eq!(queued.triggered_by.unwrap().name, "Anna");

    let offer = world.claim(&host).await;
    let spec = offer.spec.open().unwrap();
    assert_eq!(
        (spec.project, spec.target, offer.attempt.job),
        (project.id, host.target, queued.job)
    );
    let Work::Deploy(work) = spec.work else {
        panic!("a deploy")
    };
    assert_eq!(
        (work.compose_project.as_str(), work.compose_file.as_str()),
        ("web", "compose.yaml")
    );
    assert_eq!(
        work.files,
        world
            .store
            .read_files(&world.tenant, project.id)
            .await
            .unwrap()
    );
    assert_eq!(offer.secrets[0].value, "hunter2");
}

async fn what_cannot_work_is_not_queued(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let ask = async |new: NewDeployment| {
        ops::deploy(store, &Egress::closed(), tenant, new, None)
            .await
            .unwrap_err()
    };
    let wish = || deployment(&project, &host);

    let nowhere = ask(NewDeployment {
        target: "nowhere".to_owned(),
        ..wish()
    });
    assert!(matches!(
        nowhere.await,
        OpsError::Store(StoreError::NotFound(Resource::Target))
    ));
    let endless = ask(NewDeployment {
        deadline_s: Some(0),
        ..wish()
    });
    assert!(matches!(
        endless.await,
        OpsError::Store(StoreError::Invalid {
            field: "deadline_s",
            ..
        })
    ));
    let empty = store.create_project(tenant, "empty").await.unwrap();
    let no_files = ask(NewDeployment {
        project: empty.id,
        ..wish()
    });
    assert!(matches!(
        no_files.await,
        OpsError::Refused {
            field: Some("project"),
            ..
        }
    ));

    let mut lacking = capabilities();
    lacking.compose = Plugin::Missing("apt-get install docker-compose-plugin".to_owned());
    store.agent_capabilities(host.id, &lacking).await.unwrap();
    let OpsError::Refused { remedy, .. } = ask(wish()).await else {
        panic!("refused")
    };
    assert!(
        remedy.contains("apt-get install docker-compose-plugin"),
        "{remedy}"
    );
    lacking.engine = Engine::Missing("start dockerd".to_owned());
    store.agent_capabilities(host.id, &lacking).await.unwrap();
    let OpsError::Refused { remedy, .. } = ask(wish()).await else {
        panic!("refused")
    };
    assert!(remedy.contains("start dockerd"), "{remedy}");
    store
        .agent_capabilities(host.id, &capabilities())
        .await
        .unwrap();

    world
        .upload(
            project.id,
            "services:\n  web:\n    image: nginx\n    privileged: true\n",
        )
        .await;
    let OpsError::Findings(findings) = ask(wish()).await else {
        panic!("findings")
    };
    assert_eq!(
        (findings[0].file.as_str(), findings[0].line),
        ("compose.yaml", Some(4))
    );
    assert_eq!(world.store.count_jobs().await.unwrap(), []);

    ops::revoke(store, tenant, host.id).await.unwrap();
    world.upload(project.id, super::world::COMPOSE).await;
    assert!(matches!(
        ask(wish()).await,
        OpsError::Refused {
            field: Some("target"),
            ..
        }
    ));
}

async fn a_revocation_leaves_nothing_queued(world: &World) {
    let (store, tenant, way) = (&world.store, &world.tenant, &Egress::closed());
    let project = world.project("web").await;
    for number in 0..10 {
        let host = world.host(&format!("host-{number}")).await;
        let deploy = || ops::deploy(store, way, tenant, deployment(&project, &host), None);
        let (_, _, revoked) = tokio::join!(deploy(), deploy(), ops::revoke(store, tenant, host.id));
        revoked.unwrap();
    }
    assert_eq!(store.count_jobs().await.unwrap(), []);
}

async fn the_same_key_gives_the_same_deployment(world: &World) {
    let (store, tenant, way) = (&world.store, &world.tenant, &Egress::closed());
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let ask = |settle_ms| {
        let new = NewDeployment {
            settle_ms,
            ..deployment(&project, &host)
        };
        ops::deploy(store, way, tenant, new, Some("key-1"))
    };
    let (first, second) = tokio::join!(ask(None), ask(None));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(first.id, second.id);
    assert_eq!(ask(None).await.unwrap().id, first.id);
    assert!(matches!(ask(Some(1)).await, Err(OpsError::KeyReused)));
    let odd = ops::deploy(store, way, tenant, deployment(&project, &host), Some("")).await;
    assert!(matches!(
        odd,
        Err(OpsError::Store(StoreError::Invalid {
            field: "Idempotency-Key",
            ..
        }))
    ));
    assert_eq!(store.count_jobs().await.unwrap(), [(JobState::Queued, 1)]);
}

async fn a_repeated_request_is_not_judged_again(world: &World) {
    let (store, tenant, way) = (&world.store, &world.tenant, &Egress::closed());
    let (host, project) = (world.host("shop").await, world.project("web").await);
    limit_deployments(world, 1).await;
    let ask = |key| ops::deploy(store, way, tenant, deployment(&project, &host), Some(key));
    let (first, racer) = tokio::join!(ask("key"), ask("key"));
    let (first, racer) = (first.unwrap(), racer.unwrap());
    assert_eq!(first.id, racer.id, "both spent the plan's last deployment");
    assert!(
        ask("another").await.is_err(),
        "the plan allows one deployment"
    );
    assert_eq!(ask("key").await.unwrap().id, first.id);
    world.upload(project.id, "services: 7\n").await;
    assert_eq!(ask("key").await.unwrap().id, first.id);
    ops::revoke(store, tenant, host.id).await.unwrap();
    assert_eq!(ask("key").await.unwrap().id, first.id);
}

async fn limit_deployments(world: &World, limit: i64) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE plans SET max_deployments_per_day = $1";
    execute!(tx.conn(), sql, limit).unwrap();
    tx.commit().await.unwrap();
}

async fn an_unreadable_secret_fails_its_job_alone(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let host = world.host("shop").await;
    let (broken, sound) = (world.project("broken").await, world.project("sound").await);
    store
        .put_secret(tenant, broken.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    let mut tx = store.main().begin().await.unwrap();
    let sql = "UPDATE secrets SET value_encrypted = $1";
    execute!(tx.conn(), sql, b"damaged".as_slice()).unwrap();
    tx.commit().await.unwrap();
    let failing = world.deploy(&broken, &host).await;
    let working = world.deploy(&sound, &host).await;

    assert_eq!(store.claim(host.id).await.unwrap(), []);
    let failed = world.show(&failing).await;
    assert_eq!(
        (failed.status, failed.reason.as_deref()),
        (JobState::Failed, Some("internal"))
    );
    let message = failed.message.unwrap();
    assert!(
        message.contains("set the project's secrets again"),
        "{message}"
    );
    assert_eq!(world.claim(&host).await.attempt.job, working.job);
}

async fn an_ended_deployment_is_done_again(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let first = world.deploy(&project, &host).await;
    assert!(matches!(
        ops::retry(store, &Egress::closed(), tenant, first.id).await,
        Err(OpsError::Refused { .. })
    ));
    let attempt = world.start(&host).await;
    store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    world
        .upload(project.id, "services:\n  web:\n    image: nginx:1.28\n")
        .await;

    let again = ops::retry(store, &Egress::closed(), tenant, first.id)
        .await
        .unwrap();
    assert_eq!(
        (again.release_id, again.status),
        (first.release_id, JobState::Queued)
    );
    assert_ne!(again.id, first.id);
    let Work::Deploy(work) = world.claim(&host).await.spec.open().unwrap().work else {
        panic!("a deploy")
    };
    assert!(
        String::from_utf8_lossy(&work.files[0].content).contains("1.27"),
        "the release as it was"
    );
    ops::cancel(store, tenant, again.id).await.unwrap();

    let removal = NewRemoval {
        project: project.id,
        target: "shop".to_owned(),
        volumes: VolumeFate::Delete,
        deadline_s: Some(30),
    };
    let removal = ops::remove(store, tenant, removal, None).await.unwrap();
    ops::cancel(store, tenant, removal.id).await.unwrap();
    let again = ops::retry(store, &Egress::closed(), tenant, removal.id)
        .await
        .unwrap();
    assert_eq!(again.kind, DeploymentKind::Remove);
    let spec = world.claim(&host).await.spec.open().unwrap();
    let Work::Remove(work) = spec.work else {
        panic!("a removal")
    };
    assert_eq!((work.volumes, spec.deadline_s), (VolumeFate::Delete, 30));
}

async fn an_unchanged_project_is_one_release(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let first = world.deploy(&project, &host).await;
    let second = world.deploy(&project, &host).await;
    assert_eq!(first.release_id, second.release_id);
    world
        .upload(project.id, "services:\n  web:\n    image: nginx:1.28\n")
        .await;
    assert_ne!(
        world.deploy(&project, &host).await.release_id,
        first.release_id
    );
}

async fn filters_and_pages_fit_together(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, other) = (world.host("shop").await, world.host("depot").await);
    let (web, api) = (world.project("web").await, world.project("api").await);
    for _ in 0..3 {
        world.deploy(&web, &host).await;
        world.deploy(&api, &other).await;
    }
    let filter = DeploymentFilter {
        project: Some(web.id),
        target: Some(host.target),
        status: Some(JobState::Queued),
    };
    let first = store
        .list_deployments(
            tenant,
            &filter,
            Page {
                limit: 2,
                after: None,
            },
        )
        .await
        .unwrap();
    let page = Page {
        limit: 2,
        after: first.next_cursor,
    };
    let second = store.list_deployments(tenant, &filter, page).await.unwrap();
    assert_eq!(
        (first.items.len(), second.items.len(), second.next_cursor),
        (2, 1, None)
    );
    let none = DeploymentFilter {
        target: Some(other.target),
        ..filter
    };
    assert!(
        store
            .list_deployments(tenant, &none, Page::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}
