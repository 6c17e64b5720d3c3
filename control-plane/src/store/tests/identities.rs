//! What people are at providers of identities, and the attempts to show it.

use chrono::TimeDelta;
use towline_shared::ids::UserId;
use zeroize::Zeroizing;

use super::sessions::{asker, device, give_password};
use super::world::{World, on_both};
use crate::domain::identity::{AttemptSecrets, Proven, ProviderId, VerifiedEmail};
use crate::ops::{self, OpsError};
use crate::store::db::{execute, one};
use crate::store::{Identity, Purpose, Resource, Store, StoreError, Tenant, accounts, identities};

on_both!(
    an_attempt_is_found_by_its_browser_once,
    two_hundred_racers_find_an_attempt_once,
    attempts_end_and_are_bounded,
    an_identity_is_one_accounts,
    two_hundred_racers_link_an_identity_once,
    the_last_way_to_sign_in_stays,
    whoever_waits_for_a_code_waits_in_one_browser_for_a_while,
);

fn acme() -> ProviderId {
    "acme".parse().unwrap()
}

fn proven(subject: &str) -> Proven {
    let email = VerifiedEmail::vouched("anna@acme.example");
    Proven::new(acme(), subject, email, None).unwrap()
}

fn secrets() -> AttemptSecrets {
    AttemptSecrets {
        verifier: Zeroizing::new("a-verifier".to_owned()),
        nonce: Zeroizing::new("a-nonce".to_owned()),
    }
}

async fn attempt(store: &Store, purpose: Purpose, state: &str) -> Zeroizing<String> {
    let (provider, secrets) = (acme(), secrets());
    let begun = store.begin_attempt(&provider, purpose, state, &secrets);
    begun.await.unwrap()
}

async fn link(store: &Store, of: &Tenant, subject: &str) -> Result<(), StoreError> {
    let mut tx = store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    let (user, actor) = (of.user(), of.person().actor());
    accounts::lock(&mut tx, user).await.unwrap();
    identities::link(&mut tx, user, actor, &proven(subject), now).await?;
    tx.commit().await
}

async fn change(world: &World, sql: &'static str, by: TimeDelta) {
    let mut tx = world.store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    execute!(tx.conn(), sql, now + by).unwrap();
    tx.commit().await.unwrap();
}

async fn count(world: &World, sql: &'static str) -> i64 {
    let mut reader = world.store.main().read().await.unwrap();
    one!(reader.conn(), (i64,), sql).unwrap().0
}

async fn an_attempt_is_found_by_its_browser_once(world: &World) {
    let store = &world.store;
    let user = world.tenant.user();
    let browser = attempt(store, Purpose::Link(user), "a-state").await;
    let other = attempt(store, Purpose::SignIn, "another").await;
    let elsewhere: ProviderId = "other".parse().unwrap();
    for (provider, state, browser) in [
        (&acme(), "guess", &browser),
        (&acme(), "a-state", &other),
        (&acme(), "a-state", &Zeroizing::new(String::new())),
        (&elsewhere, "a-state", &browser),
    ] {
        let found = store.take_attempt(provider, state, browser).await.unwrap();
        assert!(found.is_none(), "{provider} {state}");
    }
    let found = store.take_attempt(&acme(), "a-state", &browser).await;
    let (purpose, found) = found.unwrap().unwrap();
    assert_eq!(purpose, Purpose::Link(user));
    assert_eq!(found.to_text(), secrets().to_text());
    let again = store.take_attempt(&acme(), "a-state", &browser).await;
    assert!(again.unwrap().is_none());
    let (purpose, _) = store
        .take_attempt(&acme(), "another", &other)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(purpose, Purpose::SignIn);
}

async fn two_hundred_racers_find_an_attempt_once(world: &World) {
    let browser = attempt(&world.store, Purpose::SignIn, "a-state").await;
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (store, browser) = (world.store.clone(), browser.clone());
        racers.spawn(async move { store.take_attempt(&acme(), "a-state", &browser).await });
    }
    let found = racers.join_all().await.into_iter();
    assert_eq!(
        found
            .filter(|found| found.as_ref().unwrap().is_some())
            .count(),
        1
    );
}

async fn attempts_end_and_are_bounded(world: &World) {
    let store = &world.store;
    let late = attempt(store, Purpose::SignIn, "late").await;
    let age = "UPDATE oauth_attempts SET expires_at = $1";
    change(world, age, TimeDelta::seconds(-1)).await;
    let found = store.take_attempt(&acme(), "late", &late).await.unwrap();
    assert!(found.is_none());
    store.prune().await.unwrap();
    let all = "SELECT COUNT(*) FROM oauth_attempts";
    assert_eq!(count(world, all).await, 0);

    let oldest = attempt(store, Purpose::SignIn, "oldest").await;
    change(world, age, TimeDelta::seconds(60)).await;
    let mut tx = store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    for number in 0..4095_i32 {
        execute!(
            tx.conn(),
            "INSERT INTO oauth_attempts (id, provider, state_hash, browser_hash, secrets_encrypted, key_version, expires_at, created_at)
             SELECT $1, provider, $2, $2, secrets_encrypted, key_version, $3, created_at FROM oauth_attempts LIMIT 1",
            uuid::Uuid::now_v7(),
            number.to_string(),
            now + TimeDelta::seconds(61 + i64::from(number))
        )
        .unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(count(world, all).await, 4096);
    let newest = attempt(store, Purpose::SignIn, "newest").await;
    assert_eq!(count(world, all).await, 4096);
    let found = store
        .take_attempt(&acme(), "oldest", &oldest)
        .await
        .unwrap();
    assert!(found.is_none(), "it has made room");
    let found = store
        .take_attempt(&acme(), "newest", &newest)
        .await
        .unwrap();
    assert!(found.is_some());
}

async fn an_identity_is_one_accounts(world: &World) {
    let (store, stranger) = (&world.store, world.stranger().await);
    link(store, &world.tenant, "7").await.unwrap();
    for (who, subject) in [(&world.tenant, "7"), (&stranger, "7")] {
        let again = link(store, who, subject).await;
        assert!(
            matches!(again, Err(StoreError::Conflict { .. })),
            "{again:?}"
        );
    }
    let whose = store.user_of_identity(&proven("7")).await.unwrap();
    assert_eq!(whose, Some(world.tenant.user()));
    assert_eq!(store.user_of_identity(&proven("8")).await.unwrap(), None);
    let mut elsewhere = proven("7");
    elsewhere.provider = "other".parse().unwrap();
    assert_eq!(store.user_of_identity(&elsewhere).await.unwrap(), None);
    assert_eq!(own(store, &stranger).await.len(), 0);
    let id = own(store, &world.tenant).await[0].id;
    let foreign = store
        .unlink_identity(stranger.person(), id, &[acme()])
        .await;
    let absent = matches!(foreign, Err(StoreError::NotFound(Resource::Identity)));
    assert!(absent, "{foreign:?}");
    for number in 10..29 {
        link(store, &world.tenant, &number.to_string())
            .await
            .unwrap();
    }
    let too_many = link(store, &world.tenant, "30").await;
    assert!(matches!(too_many, Err(StoreError::Conflict { .. })));
    assert_eq!(own(store, &world.tenant).await.len(), 20);
}

async fn own(store: &Store, who: &Tenant) -> Vec<Identity> {
    store.list_identities(who.person()).await.unwrap()
}

async fn two_hundred_racers_link_an_identity_once(world: &World) {
    let stranger = world.stranger().await;
    let mut racers = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = world.store.clone();
        let who = if number % 2 == 0 {
            world.tenant.clone()
        } else {
            stranger.clone()
        };
        racers.spawn(async move { link(&store, &who, "7").await });
    }
    let linked = racers.join_all().await.into_iter();
    assert_eq!(linked.flatten().count(), 1);
    assert_eq!(
        count(world, "SELECT COUNT(*) FROM oauth_identities").await,
        1
    );
}

async fn the_last_way_to_sign_in_stays(world: &World) {
    let (store, person) = (&world.store, world.tenant.person());
    link(store, &world.tenant, "7").await.unwrap();
    link(store, &world.tenant, "8").await.unwrap();
    let all = own(store, &world.tenant).await;
    let unlink = async |at: usize, known: &[ProviderId]| {
        store.unlink_identity(person, all[at].id, known).await
    };
    let by_none = unlink(0, &[]).await;
    assert!(
        matches!(by_none, Err(StoreError::Conflict { .. })),
        "its provider is gone: {by_none:?}"
    );
    // Of two who unlink at once one is the last.
    let (one, other) = (acme(), acme());
    let both = tokio::join!(
        unlink(0, std::slice::from_ref(&one)),
        unlink(1, std::slice::from_ref(&other))
    );
    let (kept, gone) = match both {
        (Ok(()), Err(StoreError::Conflict { .. })) => (1, 0),
        (Err(StoreError::Conflict { .. }), Ok(())) => (0, 1),
        other => panic!("{other:?}"),
    };
    let again = unlink(gone, &[acme()]).await;
    assert!(matches!(
        again,
        Err(StoreError::NotFound(Resource::Identity))
    ));
    give_password(world).await;
    unlink(kept, &[acme()]).await.unwrap();
    assert_eq!(own(store, &world.tenant).await.len(), 0);
}

async fn wait(world: &World, subject: &str) -> Zeroizing<String> {
    let mut tx = world.store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    let (user, proven) = (world.tenant.user(), proven(subject));
    let found = identities::find(&mut tx, user, &proven).await;
    let id = found.unwrap().unwrap();
    let browser = identities::wait_for_code(&mut tx, id, now).await.unwrap();
    tx.commit().await.unwrap();
    browser
}

async fn whoever_waits_for_a_code_waits_in_one_browser_for_a_while(world: &World) {
    let store = &world.store;
    link(store, &world.tenant, "7").await.unwrap();
    let former = wait(world, "7").await;
    let browser = wait(world, "7").await;
    for gone in [former.as_str(), "twlo_guess"] {
        let over = ops::give_code(store, gone, "123456", &device())
            .await
            .map(drop);
        let gone = matches!(over, Err(OpsError::Store(StoreError::NotFound(_))));
        assert!(gone, "{over:?}");
    }
    let waiting = store.waiting_sign_in(&browser).await.unwrap().unwrap();
    let user: UserId = world.tenant.user();
    assert_eq!((waiting.user, waiting.provider.as_str()), (user, "acme"));
    // The second factor was turned off meanwhile: then the identity is enough.
    let begun = ops::give_code(store, &browser, "123456", &device())
        .await
        .unwrap();
    assert!(asker(world, &begun, None).await.is_some());
    assert!(store.waiting_sign_in(&browser).await.unwrap().is_none());

    let late = wait(world, "7").await;
    change(
        world,
        "UPDATE waiting_sign_ins SET expires_at = $1",
        TimeDelta::seconds(-1),
    )
    .await;
    assert!(store.waiting_sign_in(&late).await.unwrap().is_none());
    let over = ops::give_code(store, &late, "123456", &device()).await;
    assert!(over.is_err());
    let unlinked = wait(world, "7").await;
    give_password(world).await;
    let id = own(store, &world.tenant).await[0].id;
    store
        .unlink_identity(world.tenant.person(), id, &[])
        .await
        .unwrap();
    assert!(store.waiting_sign_in(&unlinked).await.unwrap().is_none());
    store.prune().await.unwrap();
    assert_eq!(
        count(world, "SELECT COUNT(*) FROM waiting_sign_ins").await,
        0
    );
}
