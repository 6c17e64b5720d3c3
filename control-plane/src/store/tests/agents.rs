//! Agents: presence, supersession, revocation, readiness.

use towline_shared::ids::AgentId;
use towline_shared::protocol::v1::{Engine, Plugin};
use uuid::Uuid;

use super::world::{World, capabilities, hello, on_both};
use crate::job::JobState;
use crate::ops;
use crate::store::{Admission, AgentStatus, Page, Readiness, Standing};

on_both!(
    an_agent_comes_and_goes,
    a_newer_session_supersedes,
    a_hello_that_comes_late_takes_nothing_away,
    revoking_ends_everything,
    a_target_says_what_it_lacks,
    a_foreign_certificate_is_unknown,
);

async fn an_agent_comes_and_goes(world: &World) {
    let host = world.host("shop").await;
    let (store, tenant) = (&world.store, &world.tenant);
    let agent = store.agent(tenant, host.id).await.unwrap();
    assert_eq!(
        (agent.status, agent.name.as_str()),
        (AgentStatus::Online, "shop")
    );
    assert_eq!(
        (agent.engine.as_deref(), agent.compose.as_deref()),
        (Some("27.3.1"), Some("2.29.7"))
    );
    assert!(agent.certificate_expires_at.is_some());
    let session = Uuid::now_v7();
    world.connect(&host, session).await;
    let here = [(host.id, session), (AgentId::new(), Uuid::now_v7())];
    let outdated = store.sessions_seen(&here).await.unwrap();
    assert_eq!(outdated, [here[1].0], "nobody knows that agent");
    store.agent_disconnected(host.id, session).await.unwrap();
    assert_eq!(
        store.agent(tenant, host.id).await.unwrap().status,
        AgentStatus::Offline
    );
    assert_eq!(
        store
            .list_agents(tenant, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

async fn a_newer_session_supersedes(world: &World) {
    let host = world.host("shop").await;
    let store = &world.store;
    let (old, new) = (Uuid::now_v7(), Uuid::now_v7());
    world.connect(&host, old).await;
    assert_eq!(
        store.standing(host.id, old).await.unwrap(),
        Standing::Current
    );
    let mut waiter = store.wake().subscribe(crate::wake::Topic::Agent(host.id));
    world.connect(&host, new).await;
    tokio::time::timeout(std::time::Duration::from_secs(5), waiter.woken())
        .await
        .expect("the old session is woken");
    assert_eq!(
        store.standing(host.id, old).await.unwrap(),
        Standing::Superseded
    );
    for (session, outdated) in [(old, vec![host.id]), (new, vec![])] {
        let seen = store.sessions_seen(&[(host.id, session)]).await.unwrap();
        assert_eq!(seen, outdated);
    }
    store.agent_disconnected(host.id, old).await.unwrap();
    assert_eq!(
        store.standing(host.id, new).await.unwrap(),
        Standing::Current,
        "an old end does not end the new"
    );
    assert_eq!(
        store.standing(AgentId::new(), new).await.unwrap(),
        Standing::Revoked
    );
}

/// Of two connections the agent lives on the later one, whichever hello is read first.
async fn a_hello_that_comes_late_takes_nothing_away(world: &World) {
    let host = world.host("shop").await;
    let (abandoned, living) = (Uuid::now_v7(), Uuid::now_v7());
    let stale = world.before(&host).await;
    assert_eq!(world.connect(&host, living).await, Standing::Current);
    let store = &world.store;
    let late = store
        .agent_connected(host.id, abandoned, stale, &hello())
        .await;
    assert_eq!(late.unwrap(), Standing::Superseded);
    assert_eq!(
        store.standing(host.id, living).await.unwrap(),
        Standing::Current
    );
}

async fn revoking_ends_everything(world: &World) {
    let host = world.host("shop").await;
    let project = world.project("web").await;
    let running = world.deploy(&project, &host).await;
    world.start(&host).await;
    let queued = world.deploy(&project, &host).await;
    let session = Uuid::now_v7();
    world.connect(&host, session).await;
    let shaken = world.before(&host).await;

    let agent = ops::revoke(&world.store, &world.tenant, host.id)
        .await
        .unwrap();
    assert_eq!(agent.status, AgentStatus::Revoked);
    let late = world
        .store
        .agent_connected(host.id, Uuid::now_v7(), shaken, &hello())
        .await
        .unwrap();
    assert_eq!(
        late,
        Standing::Revoked,
        "between its handshake and its hello"
    );
    assert_eq!(
        world.store.standing(host.id, session).await.unwrap(),
        Standing::Revoked
    );
    assert_eq!(
        world.store.handshake(&host.peer).await.unwrap(),
        Admission::Revoked
    );
    for deployment in [&running, &queued] {
        let deployment = world.show(deployment).await;
        assert_eq!(
            (deployment.status, deployment.reason.as_deref()),
            (JobState::Failed, Some("agent_revoked"))
        );
    }
    let target = world
        .store
        .target(&world.tenant, host.target)
        .await
        .unwrap();
    assert_eq!(
        (target.status, target.ready),
        (AgentStatus::Revoked, Readiness::NotReady)
    );
    ops::revoke(&world.store, &world.tenant, host.id)
        .await
        .unwrap();
}

async fn a_target_says_what_it_lacks(world: &World) {
    let host = world.host("shop").await;
    let (store, tenant) = (&world.store, &world.tenant);
    assert_eq!(
        store.find_target(tenant, "shop").await.unwrap().ready,
        Readiness::Ready
    );
    let mut lacking = capabilities();
    lacking.compose = Plugin::Missing("apt-get install docker-compose-plugin".to_owned());
    store.agent_capabilities(host.id, &lacking).await.unwrap();
    let target = store.find_target(tenant, "shop").await.unwrap();
    assert_eq!(target.ready, Readiness::NotReady);
    assert!(target.reason.unwrap().contains("apt-get install"));
    lacking.engine = Engine::Missing("no socket".to_owned());
    store.agent_capabilities(host.id, &lacking).await.unwrap();
    assert!(
        store
            .find_target(tenant, "shop")
            .await
            .unwrap()
            .reason
            .unwrap()
            .contains("no socket")
    );
    assert_eq!(
        store
            .list_targets(tenant, Page::default())
            .await
            .unwrap()
            .items
            .len(),
        1
    );
}

async fn a_foreign_certificate_is_unknown(world: &World) {
    let host = world.host("shop").await;
    let mut other = host.peer.clone();
    other.agent = Uuid::now_v7();
    assert_eq!(
        world.store.handshake(&other).await.unwrap(),
        Admission::Unknown
    );
    let mut key = host.peer.clone();
    key.spki = towline_pki::AgentKey::generate().unwrap().spki();
    assert_eq!(
        world.store.handshake(&key).await.unwrap(),
        Admission::Unknown
    );
}

/// A full disk under the logs must not keep a revoked agent connected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_does_not_wait_for_logs() {
    let world = World::sqlite().await;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let queued = world.deploy(&project, &host).await;
    let mut waiter = world
        .store
        .wake()
        .subscribe(crate::wake::Topic::Agent(host.id));
    world.store.telemetry().close().await;
    let agent = ops::revoke(&world.store, &world.tenant, host.id)
        .await
        .unwrap();
    assert_eq!(agent.status, AgentStatus::Revoked);
    tokio::time::timeout(std::time::Duration::from_secs(5), waiter.woken())
        .await
        .expect("its session is woken");
    let row = world.store.deployment_row(&world.tenant, queued.id).await;
    assert_eq!(row.unwrap().status, JobState::Failed);
    world.end().await;
}
