//! Claims by many workers at once.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Mutex;
use towline_shared::ids::TargetId;

use super::world::{World, finished, on_both, succeeded};
use crate::job::JobState;
use crate::store::db::all;
use crate::store::{DeploymentFilter, Page, Reaction};

on_both!(
    eight_workers_claim_two_hundred_jobs_once,
    jobs_of_a_target_come_in_order_one_at_a_time
);

const HOSTS: usize = 10;
const JOBS: usize = 200;

async fn eight_workers_claim_two_hundred_jobs_once(world: &World) {
    let project = world.project("web").await;
    let mut hosts = Vec::new();
    for number in 0..HOSTS {
        hosts.push(world.host(&format!("host-{number}")).await);
    }
    for number in 0..JOBS {
        world.deploy(&project, &hosts[number % HOSTS]).await;
    }
    let agents: Arc<Vec<_>> = Arc::new(hosts.iter().map(|host| host.id).collect());
    let busy: Arc<Mutex<HashSet<TargetId>>> = Arc::default();
    let done: Arc<Mutex<Vec<_>>> = Arc::default();
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let (store, agents, busy, done) = (
            world.store.clone(),
            agents.clone(),
            busy.clone(),
            done.clone(),
        );
        workers.spawn(async move {
            let mut idle = 0;
            let mut turn = worker;
            while idle < 3 * HOSTS {
                turn += 1;
                let agent = agents[turn % HOSTS];
                let Some(offer) = store.claim(agent).await.unwrap().pop() else {
                    idle += 1;
                    tokio::task::yield_now().await;
                    continue;
                };
                idle = 0;
                let target = offer.spec.open().unwrap().target;
                assert!(
                    busy.lock().await.insert(target),
                    "two jobs at once on {target}"
                );
                assert_eq!(
                    store.accepted(agent, offer.attempt).await.unwrap(),
                    Reaction::Go
                );
                store.started(agent, offer.attempt).await.unwrap();
                done.lock().await.push(offer.attempt.job);
                busy.lock().await.remove(&target);
                let end = finished(offer.attempt, succeeded());
                assert_eq!(store.finished(agent, &end).await.unwrap(), Reaction::Forget);
            }
        });
    }
    while let Some(result) = workers.join_next().await {
        result.unwrap();
    }
    let done = done.lock().await;
    assert_eq!(done.len(), JOBS);
    assert_eq!(
        done.iter().collect::<HashSet<_>>().len(),
        JOBS,
        "no job was done twice"
    );
    let mut reader = world.store.main().read().await.unwrap();
    let attempts = all!(
        reader.conn(),
        (i64, i64),
        "SELECT COUNT(*), COUNT(DISTINCT job_id) FROM job_attempts WHERE ending = 'succeeded'"
    )
    .unwrap();
    assert_eq!(attempts, [(200, 200)]);
    assert_eq!(
        world.store.count_jobs().await.unwrap(),
        [],
        "all have ended"
    );
}

async fn jobs_of_a_target_come_in_order_one_at_a_time(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(world.deploy(&project, &host).await.job);
    }
    let mut last = towline_shared::Fence::default();
    for job in expected {
        let offer = world.claim(&host).await;
        assert_eq!(offer.attempt.job, job);
        assert!(offer.attempt.fence > last);
        last = offer.attempt.fence;
        assert!(
            world.store.claim(host.id).await.unwrap().is_empty(),
            "one at a time"
        );
        world.store.accepted(host.id, offer.attempt).await.unwrap();
        assert!(
            world.store.claim(host.id).await.unwrap().is_empty(),
            "one at a time"
        );
        world
            .store
            .finished(host.id, &finished(offer.attempt, succeeded()))
            .await
            .unwrap();
    }
    let filter = DeploymentFilter {
        status: Some(JobState::Succeeded),
        ..DeploymentFilter::default()
    };
    let listed = world
        .store
        .list_deployments(&world.tenant, &filter, Page::default())
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 3);
}
