//! Tokens, enrolment and renewal.

use chrono::TimeDelta;
use towline_pki::{AgentKey, PeerIdentity};
use towline_shared::enrolment::RenewRequest;

use super::world::{World, on_both, pem, request};
use crate::ops::{self, OpsError};
use crate::store::db::execute;
use crate::store::{Admission, EnrolmentTokenStatus, NewEnrolmentToken, Page, StoreError};

on_both!(
    of_two_hundred_racers_one_enrols,
    a_token_says_why_it_cannot_be_used,
    a_refused_enrolment_leaves_the_token,
    a_host_enrols_again_under_its_name,
    a_live_agent_renews,
    an_expired_certificate_renews_by_its_key,
);

async fn of_two_hundred_racers_one_enrols(world: &World) {
    let token = world.token("racer").await;
    let secret = token.secret.reveal();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let store = world.store.clone();
        let request = request(&secret, &AgentKey::generate().unwrap());
        racers.spawn(async move { ops::enroll(&store, &request, "towline:7443").await });
    }
    let results = racers.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for result in results {
        match result {
            Ok(_) => {}
            Err(OpsError::Enrolment { message, .. }) => {
                assert!(message.contains("used already"), "{message}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    let agents = world
        .store
        .list_agents(&world.tenant, Page::default())
        .await
        .unwrap();
    assert_eq!(agents.items.len(), 1);
    let tokens = world
        .store
        .list_enrolment_tokens(&world.tenant, Page::default())
        .await
        .unwrap();
    assert_eq!(tokens.items[0].status, EnrolmentTokenStatus::Used);
    assert_eq!(tokens.items[0].agent_id, Some(agents.items[0].id));
}

async fn a_token_says_why_it_cannot_be_used(world: &World) {
    let store = &world.store;
    let enrol = async |secret: &str| {
        let key = AgentKey::generate().unwrap();
        match ops::enroll(store, &request(secret, &key), "towline:7443").await {
            Err(OpsError::Enrolment { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    };
    assert!(enrol("garbage").await.contains("not known"));
    let foreign = towline_pki::EnrollSecret::generate().unwrap();
    assert!(enrol(&foreign.reveal()).await.contains("not known"));

    let late = world.token("late").await;
    let mut tx = store.main().begin().await.unwrap();
    let past = tx.now().await.unwrap() - TimeDelta::seconds(1);
    execute!(
        tx.conn(),
        "UPDATE enrolment_tokens SET expires_at = $1",
        past
    )
    .unwrap();
    tx.commit().await.unwrap();
    assert!(enrol(&late.secret.reveal()).await.contains("expired"));

    let withdrawn = world.token("withdrawn").await;
    let id = store
        .list_enrolment_tokens(&world.tenant, Page::default())
        .await
        .unwrap()
        .items[0]
        .id;
    store
        .revoke_enrolment_token(&world.tenant, id)
        .await
        .unwrap();
    assert!(enrol(&withdrawn.secret.reveal()).await.contains("revoked"));

    let forever = NewEnrolmentToken {
        name: "forever".to_owned(),
        ttl: TimeDelta::minutes(16),
        address: "https://towline.example.org".to_owned(),
    };
    let refused = store.create_enrolment_token(&world.tenant, forever).await;
    assert!(matches!(
        refused,
        Err(StoreError::Invalid {
            field: "ttl_minutes",
            ..
        })
    ));
}

async fn a_refused_enrolment_leaves_the_token(world: &World) {
    let store = &world.store;
    let first = world.token("shop").await;
    let second = world.token("shop").await;
    let key = AgentKey::generate().unwrap();
    ops::enroll(
        store,
        &request(&first.secret.reveal(), &key),
        "towline:7443",
    )
    .await
    .unwrap();
    let taken = ops::enroll(
        store,
        &request(&second.secret.reveal(), &key),
        "towline:7443",
    )
    .await;
    assert!(matches!(
        taken,
        Err(OpsError::Store(StoreError::Conflict { .. }))
    ));
    let tokens = store
        .list_enrolment_tokens(&world.tenant, Page::default())
        .await
        .unwrap();
    assert_eq!(tokens.items[0].status, EnrolmentTokenStatus::Pending);

    let mut bad = request(&second.secret.reveal(), &key);
    bad.csr =
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n".to_owned();
    assert!(matches!(
        ops::enroll(store, &bad, "towline:7443").await,
        Err(OpsError::Csr(_))
    ));
}

async fn a_host_enrols_again_under_its_name(world: &World) {
    let first = world.host("shop").await;
    let project = world.project("web").await;
    world.deploy(&project, &first).await;
    let old = world.claim(&first).await.attempt.fence;
    ops::revoke(&world.store, &world.tenant, first.id)
        .await
        .unwrap();
    let second = world.host("shop").await;
    assert_eq!(
        second.target, first.target,
        "the target stays, with its history"
    );
    assert_ne!(second.id, first.id);
    world.deploy(&project, &second).await;
    let new = world.claim(&second).await.attempt.fence;
    assert!(new.incarnation > old.incarnation, "{new} outdates {old}");
    assert!(world.store.claim(first.id).await.unwrap().is_empty());
}

async fn a_live_agent_renews(world: &World) {
    let host = world.host("shop").await;
    let renewed = ops::renew_live(&world.store, &host.peer, &host.key.csr_der().unwrap())
        .await
        .unwrap();
    let peer = PeerIdentity::from_leaf(&pem(&renewed.certificate)).unwrap();
    assert_eq!((peer.agent, peer.spki), (host.peer.agent, host.key.spki()));
    assert_ne!(peer.serial, host.peer.serial);
    for peer in [&peer, &host.peer] {
        assert!(matches!(
            world.store.handshake(peer).await.unwrap(),
            Admission::Admitted { .. }
        ));
    }
    ops::revoke(&world.store, &world.tenant, host.id)
        .await
        .unwrap();
    for peer in [&peer, &host.peer] {
        assert_eq!(
            world.store.handshake(peer).await.unwrap(),
            Admission::Revoked
        );
        let refused = ops::renew_live(&world.store, peer, &host.key.csr_der().unwrap()).await;
        assert!(matches!(refused, Err(OpsError::Enrolment { .. })));
    }
}

async fn an_expired_certificate_renews_by_its_key(world: &World) {
    let host = world.host("shop").await;
    let authority = world.store.agent_authority().await.unwrap();
    let csr = towline_pki::AgentCsr::parse(&host.key.csr_der().unwrap()).unwrap();
    let before = chrono::Utc::now() - TimeDelta::days(10);
    let expired = authority
        .issue_agent(&csr, host.id.uuid(), before, TimeDelta::days(7))
        .unwrap();
    let ask = |certificate: &str, key: &AgentKey| RenewRequest {
        certificate: certificate.to_owned(),
        csr: key.csr_pem().unwrap(),
    };
    let unknown = ops::renew(&world.store, &ask(&expired.pem, &host.key)).await;
    assert!(
        matches!(unknown, Err(OpsError::Enrolment { .. })),
        "the store never issued it"
    );

    let mut tx = world.store.main().begin().await.unwrap();
    crate::store::certificates::insert(&mut tx, host.id, &expired, before)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let renewed = ops::renew(&world.store, &ask(&expired.pem, &host.key))
        .await
        .unwrap();
    let peer = PeerIdentity::from_leaf(&pem(&renewed.certificate)).unwrap();
    assert!(matches!(
        world.store.handshake(&peer).await.unwrap(),
        Admission::Admitted { .. }
    ));

    let thief = AgentKey::generate().unwrap();
    assert!(
        ops::renew(&world.store, &ask(&expired.pem, &thief))
            .await
            .is_err()
    );
    assert!(
        ops::renew(&world.store, &ask(&host.enrolled.certificate, &host.key))
            .await
            .is_err(),
        "it is valid still"
    );
    assert!(
        ops::renew(&world.store, &ask("no certificate", &host.key))
            .await
            .is_err()
    );
}
