//! Sessions: begun by a password, ended by time, by hand and by a change of the password.

use std::net::{IpAddr, Ipv4Addr};

use chrono::TimeDelta;
use towline_shared::ids::{SessionId, TeamId};
use uuid::Uuid;

use super::world::{World, on_both};
use crate::domain::password::Password;
use crate::domain::permission::Role;
use crate::ops::{self, NotLetIn, OpsError, SignIn};
use crate::passwords::Passwords;
use crate::store::db::{Conn, execute, one};
use crate::store::{
    Asker, Device, Means, NewSession, Person, Resource, StoreError, Tenant, sessions,
};

on_both!(
    a_password_opens_a_session,
    a_session_ends_by_time,
    a_session_may_what_the_person_may_now,
    a_session_is_the_persons_alone,
    a_changed_password_ends_the_other_sessions,
    who_signs_in_while_the_password_changes_does_not_stay,
    a_person_has_so_many_sessions_and_no_more,
    authorizing_is_one_query_by_indexes,
);

pub(super) const PASSWORD: &str = "correct horse battery";
const NEW: &str = "a better horse battery";

pub(super) fn password(text: &str) -> Password {
    text.to_owned().into()
}

pub(super) fn device() -> Device {
    Device {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        user_agent: "Browser\0/1".to_owned(),
    }
}

/// Gives the world's first person a password, as a set-up with one does.
pub(super) async fn give_password(world: &World) -> Passwords {
    let passwords = Passwords::default();
    let hash = passwords.hash("password", password(PASSWORD), "");
    let hash = hash.await.unwrap();
    let mut tx = world.store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    crate::store::accounts::set_password(&mut tx, world.tenant.user(), &hash, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    passwords
}

pub(super) async fn sign_in(
    world: &World,
    passwords: &Passwords,
    email: &str,
    text: &str,
) -> Result<NewSession, OpsError> {
    let who = SignIn {
        email: email.to_owned(),
        password: password(text),
        code: None,
    };
    ops::sign_in(&world.store, passwords, who, &device()).await
}

/// Begins a session without the work of a password.
pub(super) async fn begin(world: &World, tenant: &Tenant) -> NewSession {
    let mut tx = world.store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    let begun = sessions::begin(&mut tx, tenant.user(), &device(), Means::Password, now).await;
    tx.commit().await.unwrap();
    begun.unwrap()
}

pub(super) async fn asker(
    world: &World,
    session: &NewSession,
    team: Option<TeamId>,
) -> Option<Asker> {
    let found = world.store.authenticate_session(&session.token, team).await;
    found.unwrap()
}

pub(super) async fn person(world: &World, session: &NewSession) -> Person {
    match asker(world, session, None).await.unwrap() {
        Asker::Member(tenant) => tenant.person().clone(),
        Asker::Alone(person) => person,
    }
}

async fn change_sessions(world: &World, sql: &'static str, by: TimeDelta) {
    let mut tx = world.store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    execute!(tx.conn(), sql, now + by).unwrap();
    tx.commit().await.unwrap();
}

async fn a_password_opens_a_session(world: &World) {
    let passwords = give_password(world).await;
    for (email, text) in [
        ("anna@example.org", "another horse battery"),
        ("anna@example.org", ""),
        ("eve@example.org", PASSWORD),
        ("", PASSWORD),
    ] {
        let refused = sign_in(world, &passwords, email, text).await.map(drop);
        let wrong = matches!(refused, Err(OpsError::NotLetIn(NotLetIn::Wrong)));
        assert!(wrong, "{email} {text}: {refused:?}");
    }
    let session = sign_in(world, &passwords, "ANNA@example.org", PASSWORD);
    let session = session.await.unwrap();
    let Some(Asker::Member(tenant)) = asker(world, &session, None).await else {
        panic!("the session opens nothing");
    };
    assert_eq!(
        (
            tenant.user(),
            tenant.team(),
            tenant.role(),
            tenant.user_role()
        ),
        (
            world.tenant.user(),
            world.tenant.team(),
            Some(Role::Owner),
            world.tenant.user_role()
        )
    );
    let listed = world.store.list_sessions(tenant.person()).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].address, "127.0.0.1");
    assert_eq!(listed[0].user_agent, "Browser\u{fffd}/1");
    let me = world.store.me(&tenant).await.unwrap();
    assert_eq!(me.session.unwrap().id, session.session.id);
    assert!(me.key.is_none());
    for token in [
        "",
        "twlc_",
        "twlk_x",
        &session.token[..40],
        &world.set_up.api_key.key,
    ] {
        let found = world.store.authenticate_session(token, None).await;
        assert!(found.unwrap().is_none(), "{token}");
    }
}

async fn a_session_ends_by_time(world: &World) {
    let session = begin(world, &world.tenant).await;
    let unused = "UPDATE sessions SET last_used_at = $1";
    change_sessions(world, unused, TimeDelta::days(-7) + TimeDelta::minutes(1)).await;
    assert!(asker(world, &session, None).await.is_some());
    // That was a use, and is noted sooner or later.
    let session = begin(world, &world.tenant).await;
    change_sessions(world, unused, TimeDelta::days(-7)).await;
    assert!(asker(world, &session, None).await.is_none());
    world.store.prune().await.unwrap();

    let session = begin(world, &world.tenant).await;
    change_sessions(
        world,
        "UPDATE sessions SET expires_at = $1",
        TimeDelta::seconds(-1),
    )
    .await;
    assert!(asker(world, &session, None).await.is_none());
    world.store.prune().await.unwrap();
    let mut reader = world.store.main().read().await.unwrap();
    let (left,) = one!(reader.conn(), (i64,), "SELECT COUNT(*) FROM sessions").unwrap();
    assert_eq!(left, 0, "what has ended is forgotten");
}

async fn a_session_may_what_the_person_may_now(world: &World) {
    let stranger = world.stranger().await;
    let session = begin(world, &stranger).await;
    let ours = Some(world.tenant.team());
    let foreign = world.store.authenticate_session(&session.token, ours).await;
    let absent = Some(TeamId::from(Uuid::now_v7()));
    let absent = world
        .store
        .authenticate_session(&session.token, absent)
        .await;
    for refused in [foreign, absent] {
        assert!(matches!(refused, Err(StoreError::NotFound(Resource::Team))));
    }

    let email = world.store.me(&stranger).await.unwrap().user.email;
    let invited = world
        .store
        .invite(&world.tenant, &email, Role::Viewer, None)
        .await;
    let token = invited.unwrap().token;
    world.store.join_team(&stranger, &token).await.unwrap();
    let role = async || match asker(world, &session, ours).await {
        Some(Asker::Member(tenant)) => (tenant.team(), tenant.role()),
        other => panic!("{other:?}"),
    };
    assert_eq!(role().await, (world.tenant.team(), Some(Role::Viewer)));
    let user = stranger.user();
    world
        .store
        .change_role(&world.tenant, user, Role::Admin)
        .await
        .unwrap();
    assert_eq!(role().await, (world.tenant.team(), Some(Role::Admin)));
    world
        .store
        .remove_member(&world.tenant, user)
        .await
        .unwrap();
    let gone = world.store.authenticate_session(&session.token, ours).await;
    assert!(matches!(gone, Err(StoreError::NotFound(Resource::Team))));
    let Some(Asker::Member(own)) = asker(world, &session, None).await else {
        panic!("the own team is gone");
    };
    assert_eq!(own.team(), stranger.team());
}

async fn a_session_is_the_persons_alone(world: &World) {
    let stranger = world.stranger().await;
    let (ours, theirs) = (
        begin(world, &world.tenant).await,
        begin(world, &stranger).await,
    );
    let me = person(world, &ours).await;
    for id in [theirs.session.id, SessionId::new()] {
        let refused = world.store.end_session(&me, id).await;
        assert!(matches!(
            refused,
            Err(StoreError::NotFound(Resource::Session))
        ));
    }
    assert!(asker(world, &theirs, None).await.is_some());
    world.store.end_session(&me, ours.session.id).await.unwrap();
    assert!(asker(world, &ours, None).await.is_none());
}

async fn a_changed_password_ends_the_other_sessions(world: &World) {
    let (store, passwords) = (&world.store, Passwords::default());
    let session = begin(world, &world.tenant).await;
    let me = person(world, &session).await;
    let change = async |present: &str, new: &str| {
        ops::change_password(store, &passwords, &me, password(present), password(new)).await
    };
    let none = change(PASSWORD, NEW).await;
    assert!(matches!(
        none,
        Err(OpsError::NotLetIn(NotLetIn::NoPassword))
    ));
    give_password(world).await;
    let other = begin(world, &world.tenant).await;
    let wrong = change(NEW, NEW).await;
    assert!(matches!(
        wrong,
        Err(OpsError::NotLetIn(NotLetIn::WrongPassword))
    ));
    let unfit = change(PASSWORD, "short").await;
    assert!(matches!(unfit, Err(OpsError::Password(_))), "{unfit:?}");
    assert!(asker(world, &other, None).await.is_some());

    change(PASSWORD, NEW).await.unwrap();
    assert!(asker(world, &other, None).await.is_none());
    assert!(asker(world, &session, None).await.is_some());
    assert!(
        store
            .authenticate(&world.set_up.api_key.key)
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        sign_in(world, &passwords, "anna@example.org", PASSWORD)
            .await
            .is_err()
    );
    sign_in(world, &passwords, "anna@example.org", NEW)
        .await
        .unwrap();
    // By a key all sessions end: none of them asks.
    let by_key = world.tenant.person();
    ops::change_password(store, &passwords, by_key, password(NEW), password(PASSWORD))
        .await
        .unwrap();
    assert!(asker(world, &session, None).await.is_none());
}

async fn who_signs_in_while_the_password_changes_does_not_stay(world: &World) {
    let passwords = give_password(world).await;
    let mut tries = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let (store, passwords) = (world.store.clone(), passwords.clone());
        tries.spawn(async move {
            let who = SignIn {
                email: "anna@example.org".to_owned(),
                password: password(PASSWORD),
                code: None,
            };
            ops::sign_in(&store, &passwords, who, &device()).await.ok()
        });
    }
    let person = world.tenant.person();
    let (present, new) = (password(PASSWORD), password(NEW));
    ops::change_password(&world.store, &passwords, person, present, new)
        .await
        .unwrap();
    while let Some(tried) = tries.join_next().await {
        if let Some(session) = tried.unwrap() {
            assert!(asker(world, &session, None).await.is_none());
        }
    }
}

async fn a_person_has_so_many_sessions_and_no_more(world: &World) {
    let first = begin(world, &world.tenant).await;
    let mut last = None;
    for _ in 0..50 {
        last = Some(begin(world, &world.tenant).await);
    }
    assert!(asker(world, &first, None).await.is_none());
    let person = person(world, &last.unwrap()).await;
    assert_eq!(world.store.list_sessions(&person).await.unwrap().len(), 50);
}

async fn authorizing_is_one_query_by_indexes(world: &World) {
    let mut reader = world.store.main().read().await.unwrap();
    let Conn::Sqlite(connection) = reader.conn() else {
        return;
    };
    let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", sessions::AUTHENTICATE));
    let steps: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(plan).fetch_all(connection).await.unwrap();
    for (.., step) in &steps {
        assert!(!step.starts_with("SCAN"), "{steps:?}");
    }
    assert!(steps.len() >= 4, "{steps:?}");
}
