//! Which value of a secret a deployment is given, and who is told that it is a former one.

use towline_shared::protocol::v1::{Attempt, Held, HeldPhase, Hello, SecretsNeed, Verdict};
use towline_shared::spec::Secret;

use super::world::{Host, World, deployment, finished, hello, on_both, succeeded};
use crate::domain::secrets::{SecretName, SecretScope};
use crate::egress::Egress;
use crate::ops::{self, NewDeployment};
use crate::store::db::{all, execute, one};
use crate::store::secrets::MAX_FORMER;
use crate::store::{Deployment, Project, Resource, SecretEntry, StoreError};

on_both!(
    the_secret_of_the_environment_outdoes_the_one_for_all,
    what_is_made_of_a_commit_is_given_the_secrets_of_pipelines,
    a_rotation_shows_what_runs_with_the_former_value,
    a_job_keeps_the_values_it_was_given,
    a_retry_takes_todays_values,
    former_values_are_few_and_can_be_restored,
    a_value_in_use_outlives_the_others,
);

fn of(environment: Option<&'static str>) -> SecretName<'static> {
    SecretName {
        environment,
        ..SecretName::from("PASSWORD")
    }
}

async fn put(world: &World, project: &Project, name: SecretName<'_>, value: &str) -> SecretEntry {
    let put = world
        .store
        .put_secret(&world.tenant, project.id, name, value);
    put.await.unwrap()
}

async fn deploy_to(
    world: &World,
    project: &Project,
    host: &Host,
    environment: Option<&str>,
) -> Deployment {
    let new = NewDeployment {
        environment: environment.map(str::to_owned),
        ..deployment(project, host)
    };
    ops::deploy(&world.store, &Egress::closed(), &world.tenant, new, None)
        .await
        .unwrap()
}

async fn finish(world: &World, host: &Host, attempt: Attempt) {
    for report in [
        world.store.accepted(host.id, attempt).await,
        world.store.started(host.id, attempt).await,
    ] {
        report.unwrap();
    }
    let done = finished(attempt, succeeded());
    world.store.finished(host.id, &done).await.unwrap();
}

fn values(secrets: &[Secret]) -> Vec<(&str, &str)> {
    secrets
        .iter()
        .map(|secret| (secret.name.as_str(), secret.value.as_str()))
        .collect()
}

async fn the_secret_of_the_environment_outdoes_the_one_for_all(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    put(world, &project, of(None), "for all").await;
    put(world, &project, of(Some("production")), "for production").await;
    put(world, &project, "OTHER".into(), "other").await;
    let scoped = |scope| SecretName {
        scope,
        ..SecretName::from("ELSEWHERE")
    };
    for scope in [SecretScope::Build, SecretScope::Pipeline] {
        put(world, &project, scoped(scope), "not for deployments").await;
    }
    for (environment, expected) in [
        (None, "for all"),
        (Some("staging"), "for all"),
        (Some("production"), "for production"),
    ] {
        let deployed = deploy_to(world, &project, &host, environment).await;
        assert_eq!(deployed.environment.as_deref(), environment);
        let offer = world.claim(&host).await;
        assert_eq!(
            values(&offer.secrets),
            [("OTHER", "other"), ("PASSWORD", expected)]
        );
        finish(world, &host, offer.attempt).await;
    }
    let wrong = NewDeployment {
        environment: Some("Production".to_owned()),
        ..deployment(&project, &host)
    };
    let refused = ops::deploy(&world.store, &Egress::closed(), &world.tenant, wrong, None).await;
    assert!(
        matches!(
            &refused,
            Err(ops::OpsError::Store(StoreError::Invalid {
                field: "environment",
                ..
            }))
        ),
        "{refused:?}"
    );
}

async fn what_is_made_of_a_commit_is_given_the_secrets_of_pipelines(world: &World) {
    let host = world.host("web-1").await;
    let project = world.project("shop").await;
    for (key, scope, environment, value) in [
        ("PIPELINE", SecretScope::Pipeline, None, "all"),
        ("BUILD", SecretScope::Build, None, "builds"),
        ("NEARER", SecretScope::Pipeline, None, "all"),
        (
            "NEARER",
            SecretScope::Pipeline,
            Some("production"),
            "production",
        ),
        ("OWN", SecretScope::Deploy, None, "deploys"),
        (
            "OWN",
            SecretScope::Pipeline,
            Some("production"),
            "pipelines",
        ),
    ] {
        let name = SecretName {
            key,
            scope,
            environment,
        };
        put(world, &project, name, value).await;
    }
    let from_files = [("OWN", "deploys")];
    let from_a_commit = [
        ("NEARER", "production"),
        ("OWN", "deploys"),
        ("PIPELINE", "all"),
    ];
    for (source, given) in [(None, &from_files[..]), (Some(vec![0]), &from_a_commit)] {
        let deployment = deploy_to(world, &project, &host, Some("production")).await;
        let mut tx = world.store.main().begin().await.unwrap();
        let sql = "UPDATE releases SET source = $2 WHERE id = $1";
        let release = deployment.release_id.unwrap();
        execute!(tx.conn(), sql, release.uuid(), source).unwrap();
        tx.commit().await.unwrap();
        let offer = world.claim(&host).await;
        assert_eq!(values(&offer.secrets), given);
        finish(world, &host, offer.attempt).await;
    }
}

async fn a_rotation_shows_what_runs_with_the_former_value(world: &World) {
    let project = world.project("web").await;
    let (first, second) = (world.host("first").await, world.host("second").await);
    assert_eq!(
        put(world, &project, of(None), "one")
            .await
            .set_by
            .unwrap()
            .name,
        "Anna"
    );
    let mut running = Vec::new();
    for host in [&first, &second] {
        running.push(deploy_to(world, &project, host, None).await.id);
        let offer = world.claim(host).await;
        finish(world, host, offer.attempt).await;
    }
    let outdated = async || {
        let listed = world.store.list_secrets(&world.tenant, project.id);
        let uses = listed.await.unwrap().remove(0).outdated;
        uses.into_iter()
            .map(|old| (old.target.name, old.deployment_id, old.version))
            .collect::<Vec<_>>()
    };
    assert_eq!(outdated().await, []);
    let rotated = put(world, &project, of(None), "two").await;
    assert_eq!((rotated.version, rotated.outdated.len()), (2, 2));
    let both = [
        ("first".to_owned(), running[0], 1),
        ("second".to_owned(), running[1], 1),
    ];
    assert_eq!(outdated().await, both);

    // What is under way counts, what has not begun does not.
    let next = deploy_to(world, &project, &first, None).await;
    assert_eq!(outdated().await, both);
    let offer = world.claim(&first).await;
    put(world, &project, of(None), "three").await;
    let under_way = ("first".to_owned(), next.id, 2);
    assert_eq!(
        outdated().await,
        [both[0].clone(), under_way.clone(), both[1].clone()]
    );
    finish(world, &first, offer.attempt).await;
    assert_eq!(outdated().await, [under_way, both[1].clone()]);

    // What was taken away runs no more.
    let removal = ops::NewRemoval {
        project: project.id,
        target: "second".to_owned(),
        volumes: towline_shared::spec::VolumeFate::Keep,
        deadline_s: None,
    };
    ops::remove(&world.store, &world.tenant, removal, None)
        .await
        .unwrap();
    let offer = world.claim(&second).await;
    finish(world, &second, offer.attempt).await;
    assert_eq!(outdated().await.len(), 1);
    let sql = "SELECT version FROM deployment_secrets ORDER BY version";
    let mut reader = world.store.main().read().await.unwrap();
    let rows = all!(reader.conn(), (i64,), sql).unwrap();
    drop(reader);
    assert_eq!(rows, [(1,), (1,), (2,), (3,)]);

    // The record stays when the secret goes.
    let gone = world
        .store
        .delete_secret(&world.tenant, project.id, "PASSWORD");
    gone.await.unwrap();
    let sql =
        "SELECT COUNT(*) FROM deployment_secrets WHERE secret_id IS NULL AND key = 'PASSWORD'";
    let mut reader = world.store.main().read().await.unwrap();
    assert_eq!(one!(reader.conn(), (i64,), sql).unwrap(), (4,));
}

/// An agent that restarts in the middle must not go on with other values than it began with.
async fn a_job_keeps_the_values_it_was_given(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    put(world, &project, of(None), "one").await;
    deploy_to(world, &project, &host, None).await;
    put(world, &project, of(None), "two").await;
    let attempt = world.start(&host).await;
    for value in ["three", "four"] {
        put(world, &project, of(None), value).await;
    }
    let held = Held {
        attempt,
        phase: HeldPhase::Running,
        secrets: SecretsNeed::Lost,
        log_from: towline_shared::log::LogPosition::default(),
    };
    let hello = Hello {
        held: vec![held],
        ..hello()
    };
    let verdicts = world.store.hello(host.id, &hello).await.unwrap();
    let [(_, Verdict::Continue { secrets, .. })] = verdicts.as_slice() else {
        panic!("{verdicts:?}")
    };
    assert_eq!(values(secrets), [("PASSWORD", "two")]);
}

async fn a_retry_takes_todays_values(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    put(world, &project, of(Some("production")), "one").await;
    let first = deploy_to(world, &project, &host, Some("production")).await;
    let offer = world.claim(&host).await;
    finish(world, &host, offer.attempt).await;
    put(world, &project, of(Some("production")), "two").await;
    let again = ops::retry(&world.store, &Egress::closed(), &world.tenant, first.id)
        .await
        .unwrap();
    assert_eq!(again.environment.as_deref(), Some("production"));
    let offer = world.claim(&host).await;
    assert_eq!(values(&offer.secrets), [("PASSWORD", "two")]);
}

async fn former_values_are_few_and_can_be_restored(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    for number in 1..=MAX_FORMER + 3 {
        put(world, &project, of(None), &format!("value {number}")).await;
    }
    let versions = async || {
        let kept = store.secret_versions(tenant, project.id, of(None)).await;
        let kept = kept.unwrap().into_iter();
        kept.map(|kept| kept.version).collect::<Vec<_>>()
    };
    let newest = MAX_FORMER + 3;
    assert_eq!(
        versions().await,
        (3..=newest).rev().collect::<Vec<_>>(),
        "the present one and ten former ones"
    );
    let restored = store
        .restore_secret(tenant, project.id, of(None), 3)
        .await
        .unwrap();
    assert_eq!(restored.version, newest + 1);
    for absent in [1, 3, newest + 1, newest + 2] {
        let refused = store
            .restore_secret(tenant, project.id, of(None), absent)
            .await;
        assert!(
            matches!(refused, Err(StoreError::NotFound(Resource::SecretVersion))),
            "{absent}: {refused:?}"
        );
    }
    deploy_to(world, &project, &host, None).await;
    let offer = world.claim(&host).await;
    assert_eq!(values(&offer.secrets), [("PASSWORD", "value 3")]);
    let absent = store
        .secret_versions(tenant, project.id, of(Some("staging")))
        .await;
    assert!(matches!(
        absent,
        Err(StoreError::NotFound(Resource::Secret))
    ));
}

async fn a_value_in_use_outlives_the_others(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    put(world, &project, of(None), "one").await;
    deploy_to(world, &project, &host, None).await;
    let offer = world.claim(&host).await;
    finish(world, &host, offer.attempt).await;
    for number in 0..MAX_FORMER + 3 {
        put(world, &project, of(None), &format!("value {number}")).await;
    }
    let kept = async || {
        let kept = world
            .store
            .secret_versions(&world.tenant, project.id, of(None));
        kept.await.unwrap().pop().unwrap().version
    };
    assert_eq!(kept().await, 1, "it runs with it");
    deploy_to(world, &project, &host, None).await;
    let offer = world.claim(&host).await;
    finish(world, &host, offer.attempt).await;
    put(world, &project, of(None), "last").await;
    assert_ne!(kept().await, 1, "nothing does any more");
}
