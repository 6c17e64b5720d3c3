//! Targets that are reached over TLS: who has them, who becomes their agent, and when people are told of an end.

use chrono::{DateTime, TimeDelta, Utc};
use towline_pki::docker::CertificateFacts;
use towline_pki::{AgentKey, Fingerprint};
use uuid::Uuid;

use super::world::{World, on_both, request};
use crate::domain::docker_tls::{EngineAddress, Guard};
use crate::ops;
use crate::store::db::{execute, one};
use crate::store::docker_tls::{CheckedEngine, ClientPems, SeenEngine};
use crate::store::notifications::Wanted;
use crate::store::page::Page;
use crate::store::{Readiness, StoreError, Target};

on_both!(
    one_server_has_a_target_at_a_time,
    a_token_is_for_the_agent_of_its_target_alone,
    its_name_is_nobody_else_s,
    people_are_told_in_time_and_once,
);

fn facts(name: &str, not_after: DateTime<Utc>) -> CertificateFacts {
    CertificateFacts {
        subject: format!("CN={name}"),
        fingerprint: Fingerprint([7; 32]),
        not_after,
    }
}

/// An engine whose client's certificate ends in so many days.
pub(crate) fn engine(days: i64) -> CheckedEngine {
    let now = Utc::now();
    let late = now + TimeDelta::days(900);
    CheckedEngine {
        address: EngineAddress::parse("tcp://10.0.0.5").unwrap(),
        pems: ClientPems {
            ca: "an authority".to_owned(),
            cert: "a certificate".to_owned(),
            key: "a private key".to_owned(),
        },
        client: facts("ann", now + TimeDelta::days(days)),
        authority: facts("host", late),
        seen: SeenEngine {
            server: facts("host", late),
            guard: Guard::Closed,
        },
    }
}

pub(crate) async fn kept(world: &World, name: &str, days: i64) -> Target {
    let engine = engine(days);
    let added = world.store.add_docker_tls(&world.tenant, name, &engine);
    added.await.unwrap()
}

async fn one_server_has_a_target_at_a_time(world: &World) {
    let target = kept(world, "build-1", 90).await;
    assert_eq!(target.ready, Readiness::NotReady);
    let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
    let held = world.store.hold_docker_tls(one).await.unwrap();
    assert_eq!(held.len(), 1);
    assert_eq!((held[0].id, held[0].revision), (target.id, 1));
    assert!(world.store.hold_docker_tls(other).await.unwrap().is_empty());
    assert_eq!(world.store.hold_docker_tls(one).await.unwrap().len(), 1);
    let pems = world.store.docker_tls_pems(target.id).await.unwrap();
    assert_eq!(pems.unwrap().key, "a private key");
    let newer = engine(30);
    let changed = world
        .store
        .replace_docker_tls(&world.tenant, target.id, &newer);
    changed.await.unwrap();
    assert_eq!(
        world.store.hold_docker_tls(one).await.unwrap()[0].revision,
        2
    );
    // It is away for longer than its lease.
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE docker_tls_targets SET lease_expires_at = $1";
    execute!(tx.conn(), sql, Utc::now() - TimeDelta::minutes(1)).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.store.hold_docker_tls(other).await.unwrap().len(), 1);
    assert!(world.store.hold_docker_tls(one).await.unwrap().is_empty());
    let refused = world
        .store
        .docker_tls_token(one, target.id, "https://towline:8443");
    let token = refused.await.unwrap();
    let key = AgentKey::generate().unwrap();
    let asked = request(&token.secret.reveal(), &key);
    let enrolled = ops::enroll(&world.store, &asked, "towline:8444").await;
    assert!(enrolled.is_err(), "who has lost the target makes no agent");
}

async fn enrolled(world: &World, server: Uuid, target: &Target) -> Result<Uuid, ops::OpsError> {
    let token = world
        .store
        .docker_tls_token(server, target.id, "https://towline:8443");
    let token = token.await.unwrap();
    let key = AgentKey::generate().unwrap();
    let asked = request(&token.secret.reveal(), &key);
    let enrolled = ops::enroll(&world.store, &asked, "towline:8444").await?;
    Ok(enrolled.agent.uuid())
}

async fn a_token_is_for_the_agent_of_its_target_alone(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let target = kept(world, "build-1", 90).await;
    let server = Uuid::now_v7();
    store.hold_docker_tls(server).await.unwrap();
    let first = enrolled(world, server, &target).await.unwrap();
    let shown = store.agent(tenant, first.into()).await.unwrap();
    assert_eq!(
        (&*shown.kind, shown.target_id),
        ("docker_tls", Some(target.id))
    );
    assert_eq!(
        store.hold_docker_tls(server).await.unwrap()[0].home,
        Some(server)
    );
    let listed = store.list_enrolment_tokens(tenant, Page::default());
    assert!(listed.await.unwrap().items.is_empty(), "nobody made one");
    // Its folder was lost: the one that comes in its place ends it.
    let second = enrolled(world, server, &target).await.unwrap();
    let former = store.agent(tenant, first.into()).await.unwrap();
    assert_eq!(former.status, crate::store::agents::AgentStatus::Revoked);
    let now_by = store.target(tenant, target.id).await.unwrap();
    assert_eq!(now_by.agent_id, Some(second.into()));
    ops::forget_docker_tls(store, tenant, target.id)
        .await
        .unwrap();
    assert!(store.docker_tls_pems(target.id).await.unwrap().is_none());
    assert!(store.hold_docker_tls(server).await.unwrap().is_empty());
    let gone = store.target(tenant, target.id).await.unwrap();
    assert!(gone.reason.unwrap().contains("keys were taken away"));
    // It comes back under its name, with what it knew outdated.
    let back = kept(world, "build-1", 90).await;
    assert_eq!(back.id, target.id);
}

async fn its_name_is_nobody_else_s(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let host = world.host("shop").await;
    let refused = store.add_docker_tls(tenant, "shop", &engine(90)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    let refused = ops::forget_docker_tls(store, tenant, host.target).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("an agent on its host")
    );
    let target = kept(world, "build-1", 90).await;
    let token = world.token("build-1").await;
    let key = AgentKey::generate().unwrap();
    let asked = request(&token.secret.reveal(), &key);
    let enrolled = ops::enroll(store, &asked, "towline:8444").await;
    assert!(enrolled.unwrap_err().to_string().contains("exists already"));
    ops::forget_docker_tls(store, tenant, target.id)
        .await
        .unwrap();
    let gone = store.target(tenant, target.id).await.unwrap();
    assert!(gone.reason.unwrap().contains("keys were taken away"));
    assert_eq!(kept(world, "build-1", 90).await.id, target.id);
}

async fn people_are_told_in_time_and_once(world: &World) {
    let store = &world.store;
    let target = kept(world, "build-1", 40).await;
    let told = async || {
        let listed = store.list_notifications(world.tenant.person(), Wanted::All, Page::default());
        let items = listed.await.unwrap().items.into_iter();
        let of = items.filter(|one| one.r#type == "target.certificate_expiring");
        of.map(|one| one.message).collect::<Vec<_>>()
    };
    let ends_in = async |hours: i64| {
        let mut tx = store.main().begin().await.unwrap();
        let sql = "UPDATE docker_tls_targets SET first_not_after = $1, client_not_after = $1";
        execute!(tx.conn(), sql, Utc::now() + TimeDelta::hours(hours)).unwrap();
        tx.commit().await.unwrap();
        store.tell_of_expiring_certificates().await.unwrap()
    };
    assert_eq!(store.tell_of_expiring_certificates().await.unwrap(), 0);
    // Days by hours: to each step once, however often it is looked.
    let steps = [(29, 1), (29, 0), (13, 1), (6, 1), (5, 0)];
    for (days, expected) in steps {
        assert_eq!(ends_in(days * 24).await, expected, "{days}");
    }
    assert_eq!(
        (ends_in(20).await, ends_in(-1).await, ends_in(-48).await),
        (1, 1, 0)
    );
    let all = told().await;
    assert_eq!(all.len(), 5, "{all:?}");
    assert!(
        all.iter().all(|message| message.contains("build-1")),
        "{all:?}"
    );
    assert!(
        all.iter().any(|message| message.contains("within 14 days")),
        "{all:?}"
    );
    // Renewed by other files, and soon due again.
    let newer = engine(90);
    let changed = store.replace_docker_tls(&world.tenant, target.id, &newer);
    changed.await.unwrap();
    assert_eq!(store.tell_of_expiring_certificates().await.unwrap(), 0);
    assert_eq!(ends_in(29 * 24).await, 1, "people are told anew");
    let mut reader = store.main().read().await.unwrap();
    let sql = "SELECT told_days FROM docker_tls_targets";
    assert_eq!(
        one!(reader.conn(), (Option<i64>,), sql).unwrap(),
        (Some(30),)
    );
}
