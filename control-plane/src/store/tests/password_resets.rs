//! Links to a new password.

use chrono::TimeDelta;
use towline_shared::ids::UserId;

use super::sessions::{asker, begin, device, give_password, password, sign_in};
use super::world::{World, on_both};
use crate::passwords::Passwords;
use crate::store::db::execute;
use crate::store::password_resets::Maker;
use crate::store::{Resource, StoreError};

on_both!(
    a_link_gives_a_new_password_and_ends_all_sessions,
    two_hundred_racers_use_a_link_once,
    a_link_ends_after_an_hour_and_with_another,
);

const NEW: &str = "a better horse battery";

fn is_gone<T>(result: Result<T, StoreError>) {
    let result = result.map(drop);
    let gone = matches!(result, Err(StoreError::NotFound(Resource::PasswordReset)));
    assert!(gone, "{result:?}");
}

async fn a_link_gives_a_new_password_and_ends_all_sessions(world: &World) {
    let (store, passwords) = (&world.store, give_password(world).await);
    let session = begin(world, &world.tenant).await;
    let by = Maker::Administrator(world.tenant.person());
    let absent = store.make_reset(UserId::new(), by).await.map(drop);
    assert!(matches!(absent, Err(StoreError::NotFound(Resource::User))));
    let made = store.make_reset(world.tenant.user(), by).await.unwrap();
    assert_eq!(made.email, "anna@example.org");
    let new = passwords.hash("password", password(NEW), "").await.unwrap();
    is_gone(store.use_reset("twlr_guess", &new, &device()).await);
    assert!(asker(world, &session, None).await.is_some());

    store.use_reset(&made.token, &new, &device()).await.unwrap();
    assert!(asker(world, &session, None).await.is_none());
    assert!(
        store
            .authenticate(&world.set_up.api_key.key)
            .await
            .unwrap()
            .is_some()
    );
    let opened = sign_in(world, &passwords, "anna@example.org", NEW).await;
    let opened = opened.unwrap();
    is_gone(store.use_reset(&made.token, &new, &device()).await);
    is_gone(store.account_of_reset(&made.token).await);
    assert!(asker(world, &opened, None).await.is_some());
}

async fn two_hundred_racers_use_a_link_once(world: &World) {
    let made = world.store.make_reset(world.tenant.user(), Maker::Operator);
    let token = made.await.unwrap().token;
    let passwords = Passwords::default();
    let new = passwords.hash("password", password(NEW), "").await.unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (store, token, new) = (world.store.clone(), token.clone(), new.clone());
        racers.spawn(async move { store.use_reset(&token, &new, &device()).await });
    }
    let mut won = 0;
    while let Some(raced) = racers.join_next().await {
        match raced.unwrap() {
            Ok(()) => won += 1,
            lost => is_gone(lost),
        }
    }
    assert_eq!(won, 1);
}

async fn a_link_ends_after_an_hour_and_with_another(world: &World) {
    let (store, user) = (&world.store, world.tenant.user());
    let one = store.make_reset(user, Maker::Operator).await.unwrap();
    let other = store.make_reset(user, Maker::Operator).await.unwrap();
    let passwords = Passwords::default();
    let hash = passwords.hash("password", password(NEW), "").await.unwrap();
    let age = async |by: TimeDelta| {
        let mut tx = store.main().begin().await.unwrap();
        let sql = "UPDATE password_resets SET expires_at = $1";
        execute!(tx.conn(), sql, one.expires_at - by).unwrap();
        tx.commit().await.unwrap();
    };
    age(TimeDelta::hours(1)).await;
    is_gone(store.use_reset(&one.token, &hash, &device()).await);
    age(TimeDelta::minutes(59)).await;
    store.use_reset(&one.token, &hash, &device()).await.unwrap();
    is_gone(store.use_reset(&other.token, &hash, &device()).await);
    age(TimeDelta::days(31)).await;
    store.prune().await.unwrap();
    let mut tx = store.main().begin().await.unwrap();
    let (left,) =
        crate::store::db::one!(tx.conn(), (i64,), "SELECT COUNT(*) FROM password_resets").unwrap();
    assert_eq!(left, 0);
}
