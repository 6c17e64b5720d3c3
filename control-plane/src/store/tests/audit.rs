//! The audit log finds every change.

use uuid::Uuid;

use super::world::World;
use crate::egress::Egress;
use crate::store::Store;
use crate::store::db::{all, execute};

async fn broken(store: &Store) -> usize {
    store.verify_audit().await.unwrap().broken.len()
}

async fn run(store: &Store, sql: &'static str) {
    let mut tx = store.main().begin().await.unwrap();
    assert!(execute!(tx.conn(), sql).unwrap() > 0, "{sql}");
    tx.commit().await.unwrap();
}

/// Each on a world of its own: a broken chain stays broken.
async fn every_tampering_shows(make: impl AsyncFn() -> World) {
    for sql in [
        "UPDATE audit_logs SET detail = '{}' WHERE action = 'project.create'",
        "UPDATE audit_logs SET actor_type = 'system' WHERE action = 'project.create'",
        "UPDATE audit_logs SET created_at = (SELECT MIN(created_at) FROM audit_logs) WHERE action = 'project.create'",
        "DELETE FROM audit_logs WHERE action = 'project.create'",
        "DELETE FROM audit_logs WHERE action = 'agent.revoke'",
        "DELETE FROM audit_heads",
        "DELETE FROM audit_logs",
        "UPDATE audit_heads SET seq = seq - 1 WHERE seq > 1",
        "UPDATE audit_logs SET seq = seq + 100 WHERE action = 'project.create'",
    ] {
        let world = make().await;
        world.project("web").await;
        let host = world.host("shop").await;
        crate::ops::revoke(&world.store, &world.tenant, host.id)
            .await
            .unwrap();
        assert_eq!(broken(&world.store).await, 0);
        run(&world.store, sql).await;
        assert!(broken(&world.store).await > 0, "{sql}");
        world.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tampering_shows_on_sqlite() {
    every_tampering_shows(World::sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_tampering_shows_on_postgres() {
    every_tampering_shows(World::postgres).await;
}

super::world::on_both!(
    what_people_and_agents_do_is_written_down,
    what_is_refused_is_written_down,
);

async fn what_people_and_agents_do_is_written_down(world: &World) {
    let host = world.host("shop").await;
    let project = world.project("web").await;
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let end = super::world::finished(attempt, super::world::succeeded());
    world.store.finished(host.id, &end).await.unwrap();
    let mut reader = world.store.main().read().await.unwrap();
    let rows = all!(
        reader.conn(),
        (String, String, Option<Uuid>),
        "SELECT action, actor_type, team_id FROM audit_logs WHERE subject_id = $1 ORDER BY seq",
        deployment.id.uuid()
    )
    .unwrap();
    let actions: Vec<_> = rows
        .iter()
        .map(|(action, actor, _)| (action.as_str(), actor.as_str()))
        .collect();
    assert_eq!(
        actions,
        [
            ("deployment.create", "user"),
            ("job.offer", "agent"),
            ("job.accept", "agent"),
            ("job.run", "agent"),
            ("job.finish", "agent"),
        ]
    );
    assert!(
        rows.iter()
            .all(|(_, _, team)| *team == Some(world.tenant.team().uuid()))
    );
}

async fn what_is_refused_is_written_down(world: &World) {
    let host = world.host("shop").await;
    let empty = world
        .store
        .create_project(&world.tenant, "empty")
        .await
        .unwrap();
    let wish = super::world::deployment(&empty, &host);
    let refused =
        crate::ops::deploy(&world.store, &Egress::closed(), &world.tenant, wish, None).await;
    assert!(refused.is_err());
    let token = world.token("twice").await;
    for _ in 0..2 {
        let request = super::world::request(&token.secret.reveal(), &host.key);
        let _ = crate::ops::enroll(&world.store, &request, "towline:7443").await;
    }
    let mut reader = world.store.main().read().await.unwrap();
    let rows = all!(
        reader.conn(),
        (String, String),
        "SELECT action, actor_type FROM audit_logs
         WHERE action IN ('deployment.refuse', 'agent.enrol_refused') ORDER BY seq"
    )
    .unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|(action, actor)| (action.as_str(), actor.as_str()))
        .collect();
    assert_eq!(
        rows,
        [
            ("deployment.refuse", "user"),
            ("agent.enrol_refused", "anonymous")
        ]
    );
}
