//! What administrators of the installation see and do.

use super::second_factors::{enable, is_refused};
use super::sessions::{PASSWORD, asker, begin, give_password, sign_in};
use super::world::{World, on_both};
use crate::ops::NotLetIn;
use crate::store::second_factors::FactorState;
use crate::store::{
    DatabaseSize, KnownUser, Page, Resource, Result, StoreError, Tenant, UserChange, UserRole,
    UserState,
};

on_both!(
    who_is_suspended_is_shut_out_and_comes_back_whole,
    an_administrator_always_stays,
    two_who_take_it_from_each_other_do_not_both,
    a_lost_second_factor_is_turned_off_by_another,
    everything_is_listed_over_all_teams,
    storage_tells_what_is_there,
);

fn state(state: UserState) -> UserChange {
    UserChange {
        state: Some(state),
        ..UserChange::default()
    }
}

fn role(role: UserRole) -> UserChange {
    UserChange {
        role: Some(role),
        ..UserChange::default()
    }
}

async fn change(world: &World, by: &Tenant, of: &Tenant, change: UserChange) -> Result<KnownUser> {
    let changed = world.store.change_user(by.person(), of.user(), change);
    changed.await
}

async fn known(world: &World, tenant: &Tenant) -> KnownUser {
    let all = world.store.list_users(Page::default()).await.unwrap().items;
    let mut all = all.into_iter();
    all.find(|known| known.user.id == tenant.user()).unwrap()
}

async fn who_is_suspended_is_shut_out_and_comes_back_whole(world: &World) {
    let (anna, admin) = (&world.tenant, world.stranger().await);
    let passwords = give_password(world).await;
    let session = begin(world, anna).await;
    let key = &world.set_up.api_key.key;
    let suspended = change(world, &admin, anna, state(UserState::Suspended)).await;
    let suspended = suspended.unwrap();
    assert_eq!(suspended.state, UserState::Suspended);
    assert!(asker(world, &session, None).await.is_none());
    assert!(world.store.authenticate(key).await.unwrap().is_none());
    let email = "anna@example.org";
    let shown = sign_in(world, &passwords, email, PASSWORD).await;
    is_refused(shown, NotLetIn::Suspended);
    let guessed = sign_in(world, &passwords, email, "wrong horse battery").await;
    is_refused(guessed, NotLetIn::Wrong);
    // What the one who was let in a moment ago still asks for is judged again.
    let late = change(world, anna, &admin, role(UserRole::User)).await;
    assert!(
        matches!(late, Err(StoreError::Forbidden { .. })),
        "{late:?}"
    );

    // Once more changes nothing of it.
    let again = change(world, &admin, anna, state(UserState::Suspended)).await;
    assert_eq!(again.unwrap().suspended_at, suspended.suspended_at);
    change(world, &admin, anna, state(UserState::Active))
        .await
        .unwrap();
    assert!(
        asker(world, &session, None).await.is_none(),
        "the session has ended for good"
    );
    assert!(world.store.authenticate(key).await.unwrap().is_some());
    sign_in(world, &passwords, email, PASSWORD).await.unwrap();
}

async fn an_administrator_always_stays(world: &World) {
    let (anna, bob) = (&world.tenant, world.stranger().await);
    let changed = change(world, anna, &bob, role(UserRole::User)).await;
    assert_eq!(changed.unwrap().user.role, UserRole::User);
    for last in [role(UserRole::User), state(UserState::Suspended)] {
        let refused = change(world, anna, anna, last).await;
        assert!(
            matches!(&refused, Err(StoreError::Conflict { .. })),
            "{refused:?}"
        );
    }
    // Somebody who is suspended counts for nothing, whatever they may do.
    let both = UserChange {
        role: Some(UserRole::Admin),
        state: Some(UserState::Suspended),
    };
    change(world, anna, &bob, both).await.unwrap();
    let refused = change(world, anna, anna, role(UserRole::User)).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    change(world, anna, &bob, state(UserState::Active))
        .await
        .unwrap();
    change(world, anna, anna, role(UserRole::User))
        .await
        .unwrap();
    let absent = towline_shared::ids::UserId::new();
    let absent = world
        .store
        .change_user(bob.person(), absent, UserChange::default());
    let absent = absent.await;
    assert!(matches!(absent, Err(StoreError::NotFound(Resource::User))));
}

async fn two_who_take_it_from_each_other_do_not_both(world: &World) {
    let anna = &world.tenant;
    for _ in 0..5 {
        let bob = world.stranger().await;
        let (one, other) = tokio::join!(
            change(world, anna, &bob, role(UserRole::User)),
            change(world, &bob, anna, role(UserRole::User)),
        );
        assert_eq!(
            [&one, &other]
                .map(Result::is_ok)
                .map(usize::from)
                .iter()
                .sum::<usize>(),
            1,
            "{one:?} {other:?}"
        );
        if other.is_ok() {
            change(world, &bob, anna, role(UserRole::Admin))
                .await
                .unwrap();
            change(world, anna, &bob, role(UserRole::User))
                .await
                .unwrap();
        }
    }
}

async fn a_lost_second_factor_is_turned_off_by_another(world: &World) {
    let (anna, admin) = (&world.tenant, world.stranger().await);
    let passwords = give_password(world).await;
    enable(world, &passwords).await;
    assert_eq!(known(world, anna).await.second_factor, FactorState::On);
    let own = world.store.remove_second_factor(anna.person(), anna.user());
    assert!(matches!(own.await, Err(StoreError::Conflict { .. })));
    let removed = world
        .store
        .remove_second_factor(admin.person(), anna.user());
    removed.await.unwrap();
    assert_eq!(known(world, anna).await.second_factor, FactorState::Off);
    let email = "anna@example.org";
    sign_in(world, &passwords, email, PASSWORD).await.unwrap();
    let again = world
        .store
        .remove_second_factor(admin.person(), anna.user());
    assert!(matches!(again.await, Err(StoreError::Conflict { .. })));
    let wanted = crate::store::Wanted::default();
    let told = world
        .store
        .list_notifications(anna.person(), wanted, Page::default());
    let told = told.await.unwrap().items;
    assert!(
        told.iter()
            .any(|told| told.r#type == "account.second_factor_off"),
        "{told:?}"
    );
}

async fn everything_is_listed_over_all_teams(world: &World) {
    let bob = world.stranger().await;
    world.project("shop").await;
    let host = world.host("web-1").await;
    let one = Page {
        limit: 1,
        after: None,
    };
    let first = world.store.list_all_teams(one).await.unwrap();
    assert_eq!(first.items[0].team.id, bob.team());
    assert_eq!(
        (
            first.items[0].members,
            first.items[0].projects,
            first.items[0].agents
        ),
        (1, 0, 0)
    );
    let rest = Page {
        limit: 1,
        after: first.next_cursor,
    };
    let rest = world.store.list_all_teams(rest).await.unwrap();
    let team = &rest.items[0];
    assert_eq!(team.team.id, world.tenant.team());
    assert_eq!(
        (team.owner.as_str(), team.plan.as_str()),
        ("anna@example.org", "Enterprise")
    );
    assert_eq!((team.members, team.projects, team.agents), (1, 1, 1));
    assert!(rest.next_cursor.is_none());

    let agents = world.store.list_all_agents(Page::default()).await.unwrap();
    assert_eq!(agents.items.len(), 1);
    assert_eq!(agents.items[0].agent.id, host.id);
    assert_eq!(agents.items[0].team.id, world.tenant.team());
}

async fn storage_tells_what_is_there(world: &World) {
    let storage = world.store.storage().await.unwrap();
    let names: Vec<_> = storage.databases.iter().map(|one| one.name).collect();
    let expected = match world.config.url {
        Some(_) => vec!["all"],
        None => vec!["main", "telemetry"],
    };
    assert_eq!(names, expected);
    for DatabaseSize {
        bytes,
        reusable_bytes,
        name,
        ..
    } in storage.databases
    {
        assert!(
            bytes > 4096 && reusable_bytes.unwrap_or(0) < bytes,
            "{name}: {bytes}"
        );
    }
    let disk = storage.data_dir;
    assert_eq!(disk.path, world.config.data_dir);
    assert!(
        disk.available_bytes > 0 && disk.available_bytes < disk.disk_bytes,
        "{disk:?}"
    );
}
