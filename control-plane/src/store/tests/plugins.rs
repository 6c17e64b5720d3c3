//! Plugins: asked before something is done, told afterwards.

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use towline_shared::ids::{PluginId, PluginRunId};
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::policy::Permission;
use towline_shared::protocol::v1::Progress;
use towline_shared::spec::VolumeFate;
use uuid::Uuid;

use super::world::{Host, World, deployment, finished, hello, on_both, succeeded};
use crate::domain::plugin::{FailurePolicy, Hook, MAX_PLUGINS};
use crate::domain::retry::{Pace, Verdict};
use crate::egress::Egress;
use crate::ops::{self, NewRemoval, OpsError};
use crate::store::db::execute;
use crate::store::{
    AskedRun, Attempted, Effect, Ended, NewPlugin, Page, PluginChange, PluginRun, PluginWithSecret,
    Store, StoreError, Tenant, WebhookAddress,
};

on_both!(
    what_happens_is_queued_for_those_who_are_told_of_it,
    a_telling_is_taken_once_and_its_answer_kept,
    what_is_switched_off_is_told_nothing,
    who_gives_no_answer_lets_pass_or_refuses,
    a_build_is_asked_about_where_a_deployment_begins_with_one,
    a_refused_project_is_told,
    a_plugin_that_is_deleted_while_it_is_asked_leaves_nothing,
    racers_make_no_plugin_too_many,
    old_runs_are_forgotten,
    another_team_finds_no_plugin,
);

fn wish(name: &str, hooks: &[Hook]) -> NewPlugin {
    NewPlugin {
        name: name.to_owned(),
        address: WebhookAddress {
            url: "https://a.example/hook".to_owned(),
            host: "a.example".to_owned(),
        },
        hooks: hooks.to_vec(),
        timeout_s: Some(1),
        failure_policy: FailurePolicy::Closed,
    }
}

async fn plugin(world: &World, name: &str, hooks: &[Hook]) -> PluginWithSecret {
    let made = world.store.create_plugin(&world.tenant, wish(name, hooks));
    made.await.unwrap()
}

/// The plugin's runs, the first one first.
async fn runs(world: &World, plugin: PluginId) -> Vec<PluginRun> {
    let listed = world
        .store
        .list_plugin_runs(&world.tenant, plugin, Page::default());
    let mut items = listed.await.unwrap().items;
    items.reverse();
    items
}

async fn end(world: &World, host: &Host, steps: &[Step], outcome: Outcome) {
    let attempt = world.start(host).await;
    for step in steps {
        let progress = Progress {
            attempt,
            step: *step,
        };
        world.store.progress(host.id, &progress).await.unwrap();
    }
    let end = finished(attempt, outcome);
    for _ in 0..2 {
        world.store.finished(host.id, &end).await.unwrap();
    }
}

fn failed() -> Outcome {
    Outcome::Failed {
        reason: FailureReason::ComposeFailed,
        message: "the image is not there".to_owned(),
    }
}

fn answered() -> Attempted {
    Attempted {
        verdict: Verdict::Delivered,
        answer: Some((200, b"{}".to_vec())),
        error: None,
        took: TimeDelta::milliseconds(7),
        pace: Pace {
            jitter: 0.5,
            wait: None,
        },
    }
}

async fn what_happens_is_queued_for_those_who_are_told_of_it(world: &World) {
    let told = [
        Hook::AfterDeploy,
        Hook::FailedDeploy,
        Hook::AfterBuild,
        Hook::FailedBuild,
        Hook::AfterProject,
    ];
    let all = plugin(world, "all", &told).await.plugin.id;
    let failures = plugin(world, "failures", &[Hook::FailedDeploy]).await;
    let theirs = world.stranger().await;
    let foreign = world.store.create_plugin(&theirs, wish("all", &told));
    let foreign = foreign.await.unwrap().plugin.id;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    let build = [Step::Building, Step::Building, Step::Applying];
    end(world, &host, &build, succeeded()).await;
    world.deploy(&project, &host).await;
    end(world, &host, &[Step::Building], failed()).await;
    world.deploy(&project, &host).await;
    end(
        world,
        &host,
        &[],
        Outcome::Cancelled {
            left: String::new(),
        },
    )
    .await;
    let removal = NewRemoval {
        project: project.id,
        target: host.target.to_string(),
        volumes: VolumeFate::Keep,
        deadline_s: None,
    };
    let removal = ops::remove(&world.store, &world.tenant, removal, None);
    removal.await.unwrap();
    end(world, &host, &[], succeeded()).await;
    let queued = runs(world, all).await;
    let hooks: Vec<_> = queued.iter().map(|run| run.hook.as_str()).collect();
    assert_eq!(
        hooks,
        [
            "after_project",
            "after_build",
            "after_deploy",
            "failed_build",
            "failed_deploy"
        ]
    );
    for run in &queued {
        assert_eq!(
            (run.state.as_str(), run.effect.as_str()),
            ("waiting", "told")
        );
        assert_eq!(run.project_id, Some(project.id));
    }
    assert_eq!(runs(world, failures.plugin.id).await.len(), 1);
    let page = Page::default();
    let foreign = world.store.list_plugin_runs(&theirs, foreign, page);
    assert!(foreign.await.unwrap().items.is_empty());
}

async fn a_telling_is_taken_once_and_its_answer_kept(world: &World) {
    let store = &world.store;
    let id = plugin(world, "told", &[Hook::AfterProject]).await.plugin.id;
    for name in ["one", "two"] {
        store.create_project(&world.tenant, name).await.unwrap();
    }
    let take = async |busy: &[String]| store.claim_plugin_run(busy).await.unwrap();
    assert!(
        take(&["a.example".to_owned()]).await.is_none(),
        "it is busy"
    );
    let (first, second) = tokio::join!(take(&[]), take(&[]));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.id, second.id);
    assert!(take(&[]).await.is_none());
    let note = async |due, said| {
        let answered = answered();
        let noted = store.plugin_attempted(due, &answered, said);
        noted.await.unwrap()
    };
    assert!(note(&first, Some("noted")).await);
    assert!(!note(&first, Some("again")).await, "it has ended");
    let shown = store.plugin_run(&world.tenant, first.id).await.unwrap();
    assert_eq!(shown.run.message.as_deref(), Some("noted"));
    assert_eq!(
        (shown.run.state.as_str(), shown.run.response_status),
        ("delivered", Some(200))
    );
    store.delete_plugin(&world.tenant, id).await.unwrap();
    assert!(!note(&second, None).await, "it is gone");
}

async fn what_is_switched_off_is_told_nothing(world: &World) {
    let store = &world.store;
    let id = plugin(world, "told", &[Hook::AfterProject]).await.plugin.id;
    store.create_project(&world.tenant, "one").await.unwrap();
    let off = PluginChange {
        enabled: Some(false),
        ..PluginChange::default()
    };
    let changed = store.change_plugin(&world.tenant, id, off).await.unwrap();
    assert_eq!((changed.state.as_str(), changed.timeout_s), ("disabled", 1));
    store.create_project(&world.tenant, "two").await.unwrap();
    let all = runs(world, id).await;
    assert_eq!((all.len(), all[0].state.as_str()), (1, "failed"));
    let asked = store.callees(&world.tenant, Hook::AfterProject).await;
    assert!(asked.unwrap().is_empty());
}

async fn who_gives_no_answer_lets_pass_or_refuses(world: &World) {
    let store = &world.store;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let id = plugin(world, "gate", &[Hook::BeforeDeploy]).await.plugin.id;
    let (way, new) = (Egress::closed(), || deployment(&project, &host));
    let refused = ops::deploy(store, &way, &world.tenant, new(), Some("key")).await;
    assert!(matches!(refused, Err(OpsError::PluginUnavailable { plugin, .. }) if plugin == "gate"));
    assert!(store.claim(host.id).await.unwrap().is_empty());
    let open = PluginChange {
        failure_policy: Some(FailurePolicy::Open),
        ..PluginChange::default()
    };
    store.change_plugin(&world.tenant, id, open).await.unwrap();
    let made = ops::deploy(store, &way, &world.tenant, new(), Some("key")).await;
    let again = ops::deploy(store, &way, &world.tenant, new(), Some("key")).await;
    assert_eq!(made.unwrap().id, again.unwrap().id);
    let effects: Vec<_> = runs(world, id)
        .await
        .into_iter()
        .map(|run| run.effect)
        .collect();
    assert_eq!(
        effects,
        ["refused", "allowed"],
        "the repeated request asks nobody"
    );
}

async fn a_build_is_asked_about_where_a_deployment_begins_with_one(world: &World) {
    let store = &world.store;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let mut builder = hello();
    builder.capabilities.policy.build = Permission::Allow;
    let before = world.before(&host).await;
    let connected = store.agent_connected(host.id, Uuid::now_v7(), before, &builder);
    connected.await.unwrap();
    let id = plugin(world, "gate", &[Hook::BeforeBuild]).await.plugin.id;
    world.deploy(&project, &host).await;
    assert!(runs(world, id).await.is_empty(), "nothing is built");
    world
        .upload(project.id, "services:\n  web:\n    build: .\n")
        .await;
    let (way, new) = (Egress::closed(), deployment(&project, &host));
    let refused = ops::deploy(store, &way, &world.tenant, new, None).await;
    assert!(matches!(refused, Err(OpsError::PluginUnavailable { .. })));
    let asked = runs(world, id).await;
    assert_eq!((asked.len(), asked[0].hook.as_str()), (1, "before_build"));
}

async fn a_refused_project_is_told(world: &World) {
    let id = plugin(world, "told", &[Hook::FailedProject])
        .await
        .plugin
        .id;
    world.project("web").await;
    assert!(runs(world, id).await.is_empty());
    let way = Egress::closed();
    let again = ops::create_project(&world.store, &way, &world.tenant, "web", None).await;
    assert!(matches!(
        again,
        Err(OpsError::Store(StoreError::Conflict { .. }))
    ));
    let gate = plugin(world, "gate", &[Hook::BeforeProject])
        .await
        .plugin
        .id;
    let refused = ops::create_project(&world.store, &way, &world.tenant, "shop", None).await;
    assert!(matches!(refused, Err(OpsError::PluginUnavailable { .. })));
    assert_eq!(runs(world, gate).await.len(), 1);
    let told = runs(world, id).await;
    assert_eq!(told.len(), 2);
    assert!(
        told.iter()
            .all(|run| run.hook == "failed_project" && run.project_id.is_none())
    );
    let run = world.store.plugin_run(&world.tenant, told[0].id).await;
    let body = run.unwrap().request_body;
    assert!(
        body.contains("exists already") && body.contains("\"web\""),
        "{body}"
    );
}

fn asked(plugin: PluginId) -> AskedRun {
    AskedRun {
        id: PluginRunId::new(),
        plugin,
        hook: Hook::BeforeDeploy.as_str(),
        project: None,
        body: "{}".to_owned(),
        at: Utc::now(),
        attempted: answered(),
        message: None,
        ended: Ended::Delivered,
        effect: Effect::Allowed,
    }
}

async fn a_plugin_that_is_deleted_while_it_is_asked_leaves_nothing(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    for _ in 0..10 {
        let id = plugin(world, "gate", &[Hook::BeforeDeploy]).await.plugin.id;
        let run = [asked(id), asked(id)];
        let (noted, deleted) = tokio::join!(
            store.note_asked(tenant, &run),
            store.delete_plugin(tenant, id)
        );
        noted.unwrap();
        deleted.unwrap();
        let gone = store.plugin_run(tenant, run[0].id).await;
        assert!(matches!(gone, Err(StoreError::NotFound(_))));
    }
}

async fn racers_make_no_plugin_too_many(world: &World) {
    let making = (0..MAX_PLUGINS + 5).map(|number| async move {
        let wish = wish(&format!("p{number}"), &[Hook::BeforeDeploy]);
        world.store.create_plugin(&world.tenant, wish).await.is_ok()
    });
    let made = join_all(making).await.into_iter().filter(|made| *made);
    assert_eq!(made.count(), MAX_PLUGINS);
}

async fn old_runs_are_forgotten(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let id = plugin(world, "gate", &[Hook::BeforeDeploy]).await.plugin.id;
    let run = [asked(id), asked(id)];
    store.note_asked(tenant, &run).await.unwrap();
    let mut tx = store.main().begin().await.unwrap();
    let sql = "UPDATE plugin_runs SET created_at = $2 WHERE id = $1";
    let past = Utc::now() - TimeDelta::days(31);
    execute!(tx.conn(), sql, run[0].id.uuid(), past).unwrap();
    tx.commit().await.unwrap();
    store.prune().await.unwrap();
    let left = runs(world, id).await;
    assert!(left.len() == 1 && left[0].id == run[1].id);
}

async fn another_team_finds_no_plugin(world: &World) {
    let (store, stranger) = (&world.store, &world.stranger().await);
    let id = plugin(world, "gate", &[Hook::BeforeDeploy]).await.plugin.id;
    let run = asked(id);
    store
        .note_asked(stranger, std::slice::from_ref(&run))
        .await
        .unwrap();
    assert!(runs(world, id).await.is_empty(), "a stranger writes none");
    store
        .note_asked(&world.tenant, std::slice::from_ref(&run))
        .await
        .unwrap();
    finds_nothing(store, stranger, id, run.id).await;
    let kept = runs(world, id).await;
    assert_eq!(kept.len(), 1);
    let asked = store.callees(stranger, Hook::BeforeDeploy).await;
    assert!(asked.unwrap().is_empty());
}

async fn finds_nothing(store: &Store, stranger: &Tenant, id: PluginId, run: PluginRunId) {
    let page = Page::default();
    assert!(
        store
            .list_plugins(stranger, page)
            .await
            .unwrap()
            .items
            .is_empty()
    );
    assert!(store.plugin(stranger, id).await.is_err());
    assert!(store.callee(stranger, id).await.is_err());
    assert!(store.list_plugin_runs(stranger, id, page).await.is_err());
    assert!(store.plugin_run(stranger, run).await.is_err());
    let change = store.change_plugin(stranger, id, PluginChange::default());
    assert!(change.await.is_err());
    assert!(store.rotate_plugin_secret(stranger, id).await.is_err());
    assert!(store.delete_plugin(stranger, id).await.is_err());
}
