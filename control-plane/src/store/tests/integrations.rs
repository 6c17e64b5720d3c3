//! Accounts at forges, and what these are told of commits: in its order, at least once, and of each state once.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use uuid::Uuid;

use super::world::{Host, World, finished, on_both, succeeded};
use crate::domain::forge::Forge;
use crate::domain::integration::{
    CommitState, ForgeAccess, ForgeSite, MAX_INTEGRATIONS, RepositoryPath,
};
use crate::domain::retry::Verdict;
use crate::job::JobState;
use crate::store::db::{execute, local_now};
use crate::store::{
    Attempted, CommitStatus, Deployment, DueStatus, Integration, NewIntegration, NewSource, Page,
    Project, SourceIntegration, StoreError, commit_statuses,
};

on_both!(
    a_team_has_its_integrations_and_no_other_sees_them,
    a_source_is_read_by_the_token_of_its_integration,
    statuses_are_told_once_and_in_their_order,
    a_forge_that_asks_to_wait_is_waited_for,
);

const RACERS: usize = 16;
const URL: &str = "https://github.com/ada/shop.git";

fn new(token: &str) -> NewIntegration {
    NewIntegration {
        access: ForgeAccess {
            site: ForgeSite::new(Forge::GitHub, None).unwrap(),
            user: None,
            token: token.to_owned().into(),
        },
        host: "api.github.com".to_owned(),
        account: "1".to_owned(),
        login: "ada".to_owned(),
        scopes: Some(vec!["repo".to_owned(), "gist".to_owned()]),
    }
}

/// An integration of the world's team.
pub(super) async fn connected(world: &World, name: &str) -> Integration {
    let new = new("a token");
    let made = world.store.connect_integration(&world.tenant, name, &new);
    made.await.unwrap()
}

async fn sourced(world: &World, integration: &Integration) -> Project {
    let project = world.project("shop").await;
    source(world, &project, integration).await;
    project
}

async fn source(world: &World, project: &Project, integration: &Integration) {
    let new = NewSource {
        url: URL.to_owned(),
        branch: None,
        folder: String::new(),
        submodules: crate::domain::repository::Submodules::Leave,
        login: None,
        integration: Some(SourceIntegration {
            id: integration.id,
            repository: RepositoryPath::parse(Forge::GitHub, "ada/shop").unwrap(),
            git_user: "x-access-token",
        }),
        commit: "a".repeat(40),
        title: "Open the shop".to_owned(),
    };
    let set = world.store.set_source(&world.tenant, project.id, new);
    set.await.unwrap();
}

/// A deployment of a commit, as if it had been read, of a project that comes from an integration, or from none.
async fn of_commit(
    world: &World,
    project: &Project,
    host: &Host,
    from: Option<&Integration>,
) -> Deployment {
    let forgotten = world.store.forget_source(&world.tenant, project.id);
    forgotten.await.unwrap();
    let deployment = world.deploy(project, host).await;
    if let Some(integration) = from {
        source(world, project, integration).await;
    }
    let (mut tx, now) = (world.store.main().begin().await.unwrap(), local_now());
    let sql = "UPDATE releases SET source_url = $2 WHERE id = $1";
    let release = deployment.release_id.unwrap();
    execute!(tx.conn(), sql, release.uuid(), URL).unwrap();
    execute!(
        tx.conn(),
        "INSERT INTO ci_pipelines (id, team_id, project_id, deployment_id, provider, status, commit_sha, title, created_at,
            updated_at) VALUES ($1, $2, $3, $4, 'towline', 'pending', $5, 'Open', $6, $6)",
        Uuid::now_v7(),
        world.tenant.team().uuid(),
        project.id.uuid(),
        deployment.id.uuid(),
        "a".repeat(40),
        now
    )
    .unwrap();
    for _ in 0..2 {
        commit_statuses::begin(&mut tx, deployment.id, now)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    deployment
}

async fn list(world: &World, integration: &Integration) -> Vec<CommitStatus> {
    let listed = world
        .store
        .list_commit_statuses(&world.tenant, integration.id, Page::default());
    listed.await.unwrap().items
}

async fn claim(world: &World) -> Option<DueStatus> {
    world.store.claim_commit_status(&[]).await.unwrap()
}

async fn ended(world: &World, due: &DueStatus, verdict: Verdict, wait: Option<Duration>) -> bool {
    let mut attempted = Attempted::unanswered(verdict, "the forge answers 500".to_owned());
    attempted.pace.wait = wait;
    let noted = world.store.status_attempted(due, &attempted);
    noted.await.unwrap()
}

/// As if all that waits were due.
async fn later(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE commit_statuses SET next_attempt_at = $1 WHERE next_attempt_at IS NOT NULL";
    execute!(tx.conn(), sql, Utc::now() - TimeDelta::seconds(1)).unwrap();
    tx.commit().await.unwrap();
}

async fn a_team_has_its_integrations_and_no_other_sees_them(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let tried = join_all((0..RACERS).map(|_| {
        let (store, tenant) = (store.clone(), tenant.clone());
        async move {
            store
                .connect_integration(&tenant, "hub", &new("a token"))
                .await
        }
    }))
    .await;
    let made: Vec<_> = tried.into_iter().filter_map(Result::ok).collect();
    assert_eq!(made.len(), 1, "a name is taken once");
    let one = &made[0];
    assert_eq!(one.scopes.as_deref().unwrap(), ["repo", "gist"]);
    let access = store.integration_access(tenant, one.id).await.unwrap();
    assert_eq!(access.token.as_str(), "a token");
    assert!(!format!("{access:?}").contains("a token"));
    let changed = store.replace_token(tenant, one.id, &new("another")).await;
    assert_eq!(changed.unwrap().id, one.id);
    let access = store.integration_access(tenant, one.id).await.unwrap();
    assert_eq!(access.token.as_str(), "another");

    let stranger = world.stranger().await;
    let absent = |error: StoreError| matches!(error, StoreError::NotFound(_));
    assert!(absent(
        store.integration(&stranger, one.id).await.unwrap_err()
    ));
    assert!(absent(
        store
            .integration_access(&stranger, one.id)
            .await
            .unwrap_err()
    ));
    assert!(absent(
        store
            .replace_token(&stranger, one.id, &new("theirs"))
            .await
            .unwrap_err()
    ));
    assert!(absent(
        store
            .delete_integration(&stranger, one.id)
            .await
            .unwrap_err()
    ));
    let listed = store.list_integrations(&stranger, Page::default()).await;
    assert!(listed.unwrap().items.is_empty());

    for number in 1..MAX_INTEGRATIONS {
        connected(world, &format!("hub-{number}")).await;
    }
    let full = store
        .connect_integration(tenant, "one-more", &new("t"))
        .await;
    assert!(matches!(full, Err(StoreError::Conflict { .. })), "{full:?}");
    store.delete_integration(tenant, one.id).await.unwrap();
    assert!(absent(store.integration(tenant, one.id).await.unwrap_err()));
    connected(world, "one-more").await;
}

async fn a_source_is_read_by_the_token_of_its_integration(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let hub = connected(world, "hub").await;
    let project = sourced(world, &hub).await;
    let shown = store.source(tenant, project.id).await.unwrap().unwrap();
    assert_eq!(shown.integration.as_deref(), Some("hub"));
    assert_eq!(shown.login.as_deref(), Some("x-access-token"));
    let (user, token) = store
        .source_login(tenant, project.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (user.as_str(), token.as_str()),
        ("x-access-token", "a token")
    );
    // No copy of it is kept: another token counts at once.
    store
        .replace_token(tenant, hub.id, &new("another"))
        .await
        .unwrap();
    let (_, token) = store
        .source_login(tenant, project.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(token.as_str(), "another");
    let refused = store.delete_integration(tenant, hub.id).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    let stranger = world.stranger().await;
    let theirs = store.create_project(&stranger, "theirs").await.unwrap();
    let new = NewSource {
        url: URL.to_owned(),
        branch: None,
        folder: String::new(),
        submodules: crate::domain::repository::Submodules::Leave,
        login: None,
        integration: Some(SourceIntegration {
            id: hub.id,
            repository: RepositoryPath::parse(Forge::GitHub, "ada/shop").unwrap(),
            git_user: "x-access-token",
        }),
        commit: "a".repeat(40),
        title: String::new(),
    };
    let foreign = store.set_source(&stranger, theirs.id, new).await;
    assert!(
        matches!(foreign, Err(StoreError::NotFound(_))),
        "{foreign:?}"
    );
    store.forget_source(tenant, project.id).await.unwrap();
    store.delete_integration(tenant, hub.id).await.unwrap();
}

async fn statuses_are_told_once_and_in_their_order(world: &World) {
    let (host, hub) = (world.host("web-1").await, connected(world, "hub").await);
    let project = world.project("shop").await;
    of_commit(world, &project, &host, Some(&hub)).await;
    let listed = list(world, &hub).await;
    assert_eq!(listed.len(), 1, "pending is told once");
    assert_eq!(listed[0].context, "towline/shop/web-1");
    let claimed = join_all((0..RACERS).map(|_| claim(world))).await;
    let mut claimed: Vec<_> = claimed.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1, "one sender takes it");
    let pending = claimed.remove(0);
    assert_eq!(
        (pending.state, pending.host.as_str()),
        (CommitState::Pending, "api.github.com")
    );
    let access = world.store.status_access(&pending).await.unwrap();
    assert_eq!(access.token.as_str(), "a token");

    // While it is being sent, the deployment ends: that is told afterwards, and never before.
    let attempt = world.start(&host).await;
    let end = finished(attempt, succeeded());
    world.store.finished(host.id, &end).await.unwrap();
    assert_eq!(list(world, &hub).await.len(), 2);
    assert!(claim(world).await.is_none(), "a later one waits");
    // Its sender has died; another one takes the same again.
    later(world).await;
    let again = claim(world).await.unwrap();
    assert_eq!((again.id, again.attempt), (pending.id, 2));
    assert!(
        !ended(world, &pending, Verdict::Delivered, None).await,
        "the dead change nothing"
    );
    // What failed is not tried again when there is something later to tell.
    assert!(ended(world, &again, Verdict::Again, None).await);
    let success = claim(world).await.unwrap();
    assert_eq!(success.state, CommitState::Success);
    assert!(ended(world, &success, Verdict::Delivered, None).await);
    let states: Vec<_> = list(world, &hub)
        .await
        .into_iter()
        .map(|one| one.state)
        .collect();
    assert_eq!(states, ["delivered", "superseded"]);

    // Of the next deployment of the same commit the beginning is not told when it has ended before it was sent.
    let next = of_commit(world, &project, &host, Some(&hub)).await;
    let mut tx = world.store.main().begin().await.unwrap();
    for _ in 0..2 {
        commit_statuses::end(&mut tx, next.id, JobState::Failed, local_now())
            .await
            .unwrap();
    }
    commit_statuses::end(&mut tx, next.id, JobState::Unknown, local_now())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let failure = claim(world).await.unwrap();
    assert_eq!(
        (failure.state, failure.deployment),
        (CommitState::Failure, next.id)
    );
    assert!(ended(world, &failure, Verdict::Refused, None).await);
    assert!(claim(world).await.is_none());
    let shown = world
        .store
        .integration(&world.tenant, hub.id)
        .await
        .unwrap();
    assert_eq!(shown.last_error.as_deref(), Some("the forge answers 500"));
}

async fn a_forge_that_asks_to_wait_is_waited_for(world: &World) {
    let (host, hub) = (world.host("web-1").await, connected(world, "hub").await);
    let project = world.project("shop").await;
    of_commit(world, &project, &host, Some(&hub)).await;
    let due = claim(world).await.unwrap();
    let wait = Duration::from_mins(50);
    assert!(ended(world, &due, Verdict::Again, Some(wait)).await);
    let waits = list(world, &hub).await.remove(0);
    assert_eq!(waits.state, "waiting");
    let at = waits.next_attempt_at.unwrap() - Utc::now();
    assert!((2900..=3000).contains(&at.num_seconds()), "{at}");
    // Longer than it is tried at all is no reason to try it sooner or later than planned.
    later(world).await;
    let due = claim(world).await.unwrap();
    let day = Duration::from_hours(48);
    assert!(ended(world, &due, Verdict::Again, Some(day)).await);
    let waits = list(world, &hub).await.remove(0);
    assert!(waits.next_attempt_at.unwrap() - Utc::now() < TimeDelta::minutes(5));
    // Nothing is told of a project that comes from elsewhere, nor of what was uploaded.
    of_commit(world, &project, &host, None).await;
    assert_eq!(list(world, &hub).await.len(), 1);
    world
        .store
        .delete_integration(&world.tenant, hub.id)
        .await
        .unwrap();
    assert!(claim(world).await.is_none());
}
