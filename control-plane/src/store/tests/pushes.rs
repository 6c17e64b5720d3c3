//! What forges tell of pushes: once each, in their order, by the right of who has set the hook.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use towline_shared::ids::{ProjectId, PushHookId};
use towline_shared::spec::OnFailure;

use super::world::{World, on_both};
use crate::domain::forge::{Delivery, Forge, Told};
use crate::domain::permission::Role;
use crate::domain::push::{Changes, Push, PushFilter};
use crate::egress::Egress;
use crate::ops;
use crate::store::db::{execute, one};
use crate::store::{
    DuePush, NewPushHook, NewSource, Page, Project, PushEnd, PushState, Received, Reception,
    RecordedPush, Store, StoreError,
};

on_both!(
    a_message_that_races_itself_counts_once,
    a_commit_under_many_ids_is_deployed_once,
    pushes_are_deployed_in_their_order_and_the_last_one_wins,
    a_dead_workers_push_is_taken_over_and_given_up_after_a_while,
    who_has_set_the_hook_must_still_be_allowed_to_deploy,
    the_list_is_bounded_and_tells_what_is_ignored,
    another_team_finds_nothing,
    a_hook_without_a_repository_or_a_target_is_refused,
);

const RACERS: usize = 24;

/// A project from a repository, whose pushes are deployed.
async fn hooked(world: &World, targets: &[&str]) -> (Project, PushHookId) {
    let project = world.project("web").await;
    sourced(world, project.id).await;
    let hook = set(world, project.id, hook(targets)).await.unwrap();
    (project, hook)
}

async fn sourced(world: &World, project: ProjectId) {
    let new = NewSource {
        url: "https://example.org/shop.git".to_owned(),
        branch: Some("main".to_owned()),
        folder: String::new(),
        submodules: crate::domain::repository::Submodules::Leave,
        login: None,
        integration: None,
        commit: "a".repeat(40),
        title: "Open the shop".to_owned(),
    };
    let set = world.store.set_source(&world.tenant, project, new);
    set.await.unwrap();
}

fn hook(targets: &[&str]) -> NewPushHook {
    NewPushHook {
        forge: Forge::GitHub,
        state: PushState::Enabled,
        targets: targets.iter().map(|name| (*name).to_owned()).collect(),
        filter: PushFilter::default(),
        environment: Some("production".to_owned()),
        on_failure: OnFailure::RollBack,
    }
}

async fn set(
    world: &World,
    project: ProjectId,
    new: NewPushHook,
) -> Result<PushHookId, StoreError> {
    let set = world.store.set_push_hook(&world.tenant, project, new);
    set.await.map(|(hook, _)| hook.id)
}

/// Sets a hook of a project that has a source, and tells it of a push.
pub(super) async fn told(world: &World, project: ProjectId, targets: &[&str]) {
    let hook = set(world, project, hook(targets)).await.unwrap();
    let taken = world.store.take_push(hook, &delivery("d-1", 1)).await;
    assert!(ignored(&taken.unwrap()).is_none());
}

fn commit(number: usize) -> String {
    format!("{number:040x}")
}

/// A message about a push of a commit to `main`.
fn delivery(id: &str, number: usize) -> Delivery {
    delivery_to(id, number, "refs/heads/main")
}

fn delivery_to(id: &str, number: usize, reference: &str) -> Delivery {
    let mut digest = [0; 32];
    digest[..id.len()].copy_from_slice(id.as_bytes());
    Delivery {
        id: id.to_owned(),
        digest,
        event: "push".to_owned(),
        told: Told::Pushes(vec![Push {
            reference: reference.to_owned(),
            commit: Some(commit(number)),
            message: "Open\0 the shop".to_owned(),
            sender: Some("ada".to_owned()),
            changes: Changes::Unknown,
            default_branch: None,
        }]),
    }
}

fn ignored(reception: &Reception) -> Option<String> {
    match reception {
        Reception::Repeated => Some("repeated".to_owned()),
        Reception::New(received) => received
            .iter()
            .find_map(|one: &Received| one.ignored.clone()),
    }
}

async fn take(world: &World, hook: PushHookId, delivery: Delivery) -> Option<String> {
    ignored(&world.store.take_push(hook, &delivery).await.unwrap())
}

async fn race(world: &World, hook: PushHookId, deliveries: Vec<Delivery>) -> Vec<Option<String>> {
    let start = Arc::new(tokio::sync::Barrier::new(deliveries.len()));
    let racers = deliveries.into_iter().map(|delivery| {
        let (store, start) = (world.store.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            ignored(&store.take_push(hook, &delivery).await.unwrap())
        })
    });
    let ended = join_all(racers).await;
    ended.into_iter().map(Result::unwrap).collect()
}

async fn list(world: &World, project: &Project) -> Vec<RecordedPush> {
    let listed = world
        .store
        .list_pushes(&world.tenant, project.id, Page::default());
    listed.await.unwrap().items
}

async fn count(store: &Store) -> (i64, i64) {
    let mut reader = store.main().read().await.unwrap();
    let sql = "SELECT (SELECT COUNT(*) FROM pushes), (SELECT COUNT(*) FROM push_deploys)";
    one!(reader.conn(), (i64, i64), sql).unwrap()
}

async fn claim(store: &Store) -> Option<DuePush> {
    store.claim_push().await.unwrap()
}

/// As if all that waits were due.
async fn later(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE push_deploys SET next_attempt_at = $1 WHERE next_attempt_at IS NOT NULL";
    execute!(tx.conn(), sql, Utc::now() - TimeDelta::seconds(1)).unwrap();
    tx.commit().await.unwrap();
}

async fn a_message_that_races_itself_counts_once(world: &World) {
    world.host("shop").await;
    world.host("blog").await;
    let (project, hook) = hooked(world, &["shop", "blog", "shop"]).await;
    let ended = race(world, hook, vec![delivery("d-1", 1); RACERS]).await;
    let taken = ended.iter().filter(|why| why.is_none()).count();
    assert_eq!((taken, ended.len()), (1, RACERS), "{ended:?}");
    assert_eq!(count(&world.store).await, (1, 2));
    // Who repeats it under another id says the same words.
    let again = Delivery {
        id: "d-2".to_owned(),
        ..delivery("d-1", 1)
    };
    assert_eq!(take(world, hook, again).await.as_deref(), Some("repeated"));
    let listed = list(world, &project).await;
    assert_eq!((listed.len(), listed[0].deploys.len()), (1, 2));
    assert_eq!(listed[0].sender.as_deref(), Some("ada"));
    assert_eq!(listed[0].title.as_deref(), Some("Open the shop"));
    // Workers race as well: each way is taken by one.
    let claimed = join_all((0..RACERS).map(|_| claim(&world.store))).await;
    let mut ids: Vec<_> = claimed.into_iter().flatten().map(|due| due.id).collect();
    assert_eq!(ids.len(), 2);
    ids.dedup();
    assert_eq!(ids.len(), 2);
}

async fn a_commit_under_many_ids_is_deployed_once(world: &World) {
    world.host("shop").await;
    let (_, hook) = hooked(world, &["shop"]).await;
    let deliveries = (0..RACERS).map(|number| delivery(&format!("d-{number}"), 1));
    let ended = race(world, hook, deliveries.collect()).await;
    let taken = ended.iter().filter(|why| why.is_none()).count();
    assert_eq!(taken, 1, "{ended:?}");
    let told = |why: &&String| why.contains("a moment ago");
    assert_eq!(ended.iter().flatten().filter(told).count(), RACERS - 1);
    assert_eq!(count(&world.store).await.1, 1);
    // Another commit, and then the first again, are two more pushes.
    assert_eq!(take(world, hook, delivery("e", 2)).await, None);
    assert_eq!(take(world, hook, delivery("f", 1)).await, None);
}

async fn pushes_are_deployed_in_their_order_and_the_last_one_wins(world: &World) {
    let host = world.host("shop").await;
    let (project, hook) = hooked(world, &["shop"]).await;
    take(world, hook, delivery("d-1", 1)).await;
    let first = claim(&world.store).await.unwrap();
    assert_eq!(
        (&first.commit, first.branch.as_deref()),
        (&commit(1), Some("main"))
    );
    assert_eq!(first.target, host.target);
    take(world, hook, delivery("d-2", 2)).await;
    assert!(
        claim(&world.store).await.is_none(),
        "the first is under way"
    );
    take(world, hook, delivery("d-3", 3)).await;
    // The first may be tried again, but later ones came.
    let again = PushEnd::Again("the repository is out of reach".to_owned());
    assert!(world.store.push_attempted(&first, &again).await.unwrap());
    let third = claim(&world.store).await.unwrap();
    assert_eq!(third.commit, commit(3));
    let states: Vec<_> = list(world, &project).await;
    let states = states.iter().map(|push| push.deploys[0].state.as_str());
    assert_eq!(
        states.collect::<Vec<_>>(),
        ["starting", "superseded", "superseded"]
    );
    let refused = PushEnd::Refused("not on a \0 Friday".to_owned());
    assert!(world.store.push_attempted(&third, &refused).await.unwrap());
    assert!(!world.store.push_attempted(&third, &refused).await.unwrap());
    let shown = list(world, &project).await.remove(0);
    assert_eq!(shown.deploys[0].state, "refused");
    // Who switches the hook off ends what waits, and is told of what comes.
    take(world, hook, delivery("d-4", 4)).await;
    let mut off = super::pushes::hook(&["shop"]);
    off.state = PushState::Disabled;
    set(world, project.id, off).await.unwrap();
    assert!(claim(&world.store).await.is_none());
    let why = take(world, hook, delivery("d-5", 5)).await;
    assert_eq!(why.as_deref(), Some("the hook is switched off"));
}

async fn a_dead_workers_push_is_taken_over_and_given_up_after_a_while(world: &World) {
    world.host("shop").await;
    let (project, hook) = hooked(world, &["shop"]).await;
    take(world, hook, delivery("d-1", 1)).await;
    let dead = claim(&world.store).await.unwrap();
    assert!(claim(&world.store).await.is_none());
    later(world).await;
    let heir = claim(&world.store).await.unwrap();
    assert_eq!(heir.id, dead.id);
    let again = PushEnd::Again("out of reach".to_owned());
    assert!(!world.store.push_attempted(&dead, &again).await.unwrap());
    assert!(world.store.push_attempted(&heir, &again).await.unwrap());
    let shown = list(world, &project).await.remove(0);
    assert_eq!(shown.deploys[0].state, "waiting");
    assert_eq!(shown.deploys[0].message.as_deref(), Some("out of reach"));
    give_up_at(world, Utc::now()).await;
    later(world).await;
    let last = claim(&world.store).await.unwrap();
    assert!(world.store.push_attempted(&last, &again).await.unwrap());
    let shown = list(world, &project).await.remove(0);
    assert_eq!(shown.deploys[0].state, "refused");
    assert_eq!(world.store.next_push().await.unwrap(), None);
    // As after a backup was put back: what is long over is not deployed.
    take(world, hook, delivery("d-2", 2)).await;
    give_up_at(world, Utc::now() - TimeDelta::hours(1)).await;
    let late = claim(&world.store).await.unwrap();
    let end = ops::deploy_push(&world.store, &Egress::closed(), &late).await;
    assert!(
        matches!(&end, PushEnd::Refused(why) if why.contains("too late")),
        "{end:?}"
    );
}

async fn give_up_at(world: &World, at: DateTime<Utc>) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE push_deploys SET give_up_at = $1 WHERE next_attempt_at IS NOT NULL";
    execute!(tx.conn(), sql, at).unwrap();
    tx.commit().await.unwrap();
}

async fn who_has_set_the_hook_must_still_be_allowed_to_deploy(world: &World) {
    world.host("shop").await;
    let (project, hook_id) = hooked(world, &["shop"]).await;
    take(world, hook_id, delivery("d-1", 1)).await;
    let due = claim(&world.store).await.unwrap();
    let tenant = world.store.push_tenant(&due).await.unwrap().unwrap();
    assert_eq!((tenant.push(), tenant.hand()), (Some(due.push), None));
    assert_eq!(tenant.access().only_project(), Some(project.id));
    // Somebody else sets it, and leaves.
    let email = "bob@example.org";
    let invited = world
        .store
        .invite(&world.tenant, email, Role::Developer, None);
    let invited = invited.await.unwrap();
    let address = "203.0.113.7".parse().unwrap();
    let made = world
        .store
        .accept_invitation(&invited.token, "Bob", None, address);
    let made = made.await.unwrap();
    let bob = world
        .store
        .authenticate(&made.api_key.key)
        .await
        .unwrap()
        .unwrap();
    let set = world.store.set_push_hook(&bob, project.id, hook(&["shop"]));
    let (shown, secret) = set.await.unwrap();
    assert_eq!(shown.set_by.unwrap().name, "Bob");
    assert!(secret.is_none(), "it is the same secret");
    let tenant = world.store.push_tenant(&due).await.unwrap().unwrap();
    assert_eq!(tenant.user(), bob.user());
    let removed = world.store.remove_member(&world.tenant, bob.user());
    removed.await.unwrap();
    assert!(world.store.push_tenant(&due).await.unwrap().is_none());
}

async fn the_list_is_bounded_and_tells_what_is_ignored(world: &World) {
    world.host("shop").await;
    let (project, hook) = hooked(world, &["shop"]).await;
    let tag = take(world, hook, delivery_to("t", 1, "refs/tags/v1")).await;
    assert_eq!(tag.as_deref(), Some("the tag v1 is no branch"));
    let nothing = Delivery {
        told: Told::Nothing("it is no push".to_owned()),
        ..delivery("ping", 1)
    };
    assert_eq!(
        take(world, hook, nothing).await.as_deref(),
        Some("it is no push")
    );
    let listed = list(world, &project).await;
    assert_eq!(listed[0].reason.as_deref(), Some("it is no push"));
    assert_eq!(
        (listed[0].outcome.as_str(), &listed[0].reference),
        ("ignored", &None)
    );
    assert_eq!(listed[1].reference.as_deref(), Some("refs/tags/v1"));
    for number in 0..205 {
        take(
            world,
            hook,
            delivery_to(&format!("d-{number}"), number, "refs/heads/dev"),
        )
        .await;
    }
    assert_eq!(count(&world.store).await, (200, 0));
    assert_eq!(list(world, &project).await[0].delivery_id, "d-204");
}

async fn another_team_finds_nothing(world: &World) {
    world.host("shop").await;
    let (project, hook_id) = hooked(world, &["shop"]).await;
    take(world, hook_id, delivery("d-1", 1)).await;
    let (store, eve) = (&world.store, world.stranger().await);
    let absent = |error: StoreError| assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    absent(store.push_hook(&eve, project.id).await.unwrap_err());
    absent(
        store
            .list_pushes(&eve, project.id, Page::default())
            .await
            .unwrap_err(),
    );
    absent(
        store
            .set_push_hook(&eve, project.id, hook(&["shop"]))
            .await
            .unwrap_err(),
    );
    absent(
        store
            .rotate_push_secret(&eve, project.id)
            .await
            .unwrap_err(),
    );
    absent(store.delete_push_hook(&eve, project.id).await.unwrap_err());
    let before = store.push_secret(hook_id).await.unwrap().unwrap().secret;
    let (_, rotated) = store
        .rotate_push_secret(&world.tenant, project.id)
        .await
        .unwrap();
    let after = store.push_secret(hook_id).await.unwrap().unwrap().secret;
    assert!(before != after && after == rotated);
    store
        .delete_push_hook(&world.tenant, project.id)
        .await
        .unwrap();
    assert!(store.push_secret(hook_id).await.unwrap().is_none());
    absent(
        store
            .take_push(hook_id, &delivery("d-2", 2))
            .await
            .unwrap_err(),
    );
    assert_eq!(count(store).await, (0, 0));
}

async fn a_hook_without_a_repository_or_a_target_is_refused(world: &World) {
    world.host("shop").await;
    let project = world.project("web").await;
    let refused = set(world, project.id, hook(&["shop"])).await.unwrap_err();
    assert!(refused.to_string().contains("no repository"), "{refused}");
    sourced(world, project.id).await;
    for targets in [vec![], vec!["other"], vec!["shop"; 11]] {
        let refused = set(world, project.id, hook(&targets)).await.unwrap_err();
        let StoreError::Invalid { field, .. } = refused else {
            panic!("{refused}");
        };
        assert_eq!(field, "targets");
    }
    let id = set(world, project.id, hook(&["shop"])).await.unwrap();
    world
        .store
        .forget_source(&world.tenant, project.id)
        .await
        .unwrap();
    let why = take(world, id, delivery("d-1", 1)).await;
    assert!(why.unwrap().contains("no repository any more"));
}
