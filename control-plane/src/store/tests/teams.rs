//! Further teams of a person, and roles on single projects.

use futures_util::future::join_all;

use super::quotas::allow;
use super::world::{World, on_both};
use crate::domain::access::Reach;
use crate::domain::permission::Role;
use crate::store::{
    NewApiKey, NewLimit, Page, PlanChange, Quota, Resource, Result, StoreError, Tenant,
};

on_both!(
    a_crowd_makes_as_many_teams_as_the_plan_allows,
    a_team_is_named_given_and_deleted,
    a_role_on_a_project_lifts_the_one_in_the_team,
    somebody_is_there_for_one_project,
    who_manages_a_project_is_judged_in_the_action,
);

const PAGE: Page = Page {
    limit: 50,
    after: None,
};

fn teams(limit: u32) -> PlanChange {
    PlanChange {
        max_teams: NewLimit::AtMost(limit),
        ..PlanChange::default()
    }
}

fn is_over_quota<T: std::fmt::Debug>(result: &Result<T>) -> bool {
    matches!(result, Err(StoreError::QuotaExceeded(exceeded)) if exceeded.quota == Quota::Teams)
}

/// Somebody new comes in by an invitation.
pub(super) async fn newcomer(
    world: &World,
    role: Role,
    project: Option<&crate::store::Project>,
) -> Tenant {
    let invited = world
        .store
        .invite(&world.tenant, "bob@example.org", role, project)
        .await
        .unwrap();
    let here = "192.0.2.7".parse().unwrap();
    let joined = world
        .store
        .accept_invitation(&invited.token, "Bob", None, here)
        .await
        .unwrap();
    let bob = world.store.authenticate(&joined.api_key.key).await;
    bob.unwrap().unwrap()
}

async fn a_crowd_makes_as_many_teams_as_the_plan_allows(world: &World) {
    allow(world, teams(5)).await;
    let person = world.tenant.person();
    let names: Vec<_> = (0..30).map(|n| format!("team {n}")).collect();
    let made = join_all(
        names
            .iter()
            .map(|name| world.store.create_team(person, name)),
    )
    .await;
    // Their own team counts.
    assert_eq!(made.iter().filter(|one| one.is_ok()).count(), 4);
    assert_eq!(made.iter().filter(|one| is_over_quota(one)).count(), 26);
    let listed = world.store.list_teams(person).await.unwrap();
    assert_eq!(listed.len(), 5);
    assert!(
        listed
            .iter()
            .all(|team| team.holds_the_team && team.role == Some(Role::Owner))
    );
}

async fn a_team_is_named_given_and_deleted(world: &World) {
    let store = &world.store;
    let bob = newcomer(world, Role::Developer, None).await;
    // Bob's plan allows two, and one of them is his own.
    store.give_team(&world.tenant, bob.user()).await.unwrap();
    let further = store
        .create_team(world.tenant.person(), "further")
        .await
        .unwrap();
    let key = further.api_key.unwrap();
    let ada = store.authenticate(&key.key).await.unwrap().unwrap();
    assert_eq!(
        (ada.role(), ada.team()),
        (Some(Role::Owner), further.team.id)
    );
    let renamed = store.rename_team(&ada, "spare").await.unwrap();
    assert_eq!(renamed.name, "spare");
    assert!(matches!(
        store.rename_team(&ada, "").await,
        Err(StoreError::Invalid { field: "name", .. })
    ));

    let invited = store
        .invite(&ada, "bob@example.org", Role::Viewer, None)
        .await
        .unwrap();
    store.join_team(&bob, &invited.token).await.unwrap();
    let given = store.give_team(&ada, bob.user()).await;
    assert!(is_over_quota(&given), "{given:?}");

    let project = store.create_project(&ada, "shop").await.unwrap();
    let refused = store.delete_team(&ada).await;
    assert!(
        matches!(refused, Err(StoreError::Conflict { .. })),
        "{refused:?}"
    );
    store.delete_project(&ada, project.id).await.unwrap();
    store.delete_team(&ada).await.unwrap();
    assert!(store.authenticate(&key.key).await.unwrap().is_none());
    let left = store.list_teams(world.tenant.person()).await.unwrap();
    assert_eq!(left.len(), 1);
}

async fn a_role_on_a_project_lifts_the_one_in_the_team(world: &World) {
    let store = &world.store;
    let (shop, blog) = (world.project("shop").await, world.project("blog").await);
    let bob = newcomer(world, Role::Viewer, None).await;
    let set = store
        .set_project_role(&world.tenant, shop.id, bob.user(), Role::Developer)
        .await
        .unwrap();
    assert_eq!(
        (set.role, set.team_role),
        (Role::Developer, Some(Role::Viewer))
    );
    let key = store
        .create_api_key(&bob, NewApiKey::named("bob"))
        .await
        .unwrap()
        .key;
    let bob = store.authenticate(&key).await.unwrap().unwrap();
    let access = bob.access();
    assert_eq!(
        (access.in_team(), access.on(shop.id), access.on(blog.id)),
        (
            Some(Role::Viewer),
            Some(Role::Developer),
            Some(Role::Viewer)
        )
    );
    assert_eq!(access.seen(), Reach::Team);
    let owner = store
        .set_project_role(&world.tenant, shop.id, bob.user(), Role::Owner)
        .await;
    assert!(matches!(
        owner,
        Err(StoreError::Invalid { field: "role", .. })
    ));

    // Who leaves the team has the project no more.
    store.remove_member(&bob, bob.user()).await.unwrap();
    assert!(store.authenticate(&key).await.unwrap().is_none());
    let there = store
        .list_project_members(&world.tenant, shop.id, PAGE)
        .await
        .unwrap();
    assert!(there.items.is_empty());
}

async fn somebody_is_there_for_one_project(world: &World) {
    let store = &world.store;
    let (shop, blog) = (world.project("shop").await, world.project("blog").await);
    let bob = newcomer(world, Role::Developer, Some(&shop)).await;
    assert_eq!((bob.team(), bob.role()), (world.tenant.team(), None));
    assert_eq!(bob.access().seen(), Reach::Projects(vec![shop.id]));
    let members = store.list_members(&world.tenant, PAGE).await.unwrap();
    assert_eq!(members.items.len(), 1, "he is no member of the team");
    let there = store
        .list_project_members(&world.tenant, shop.id, PAGE)
        .await
        .unwrap();
    assert_eq!(
        (there.items[0].email.as_str(), there.items[0].team_role),
        ("bob@example.org", None)
    );
    let teams = store.list_teams(bob.person()).await.unwrap();
    assert_eq!(
        teams.iter().map(|team| team.role).collect::<Vec<_>>(),
        [None, Some(Role::Owner)]
    );

    // A second project, then none.
    store
        .set_project_role(&world.tenant, blog.id, bob.user(), Role::Viewer)
        .await
        .unwrap();
    store
        .remove_project_member(&world.tenant, shop.id, bob.user())
        .await
        .unwrap();
    let key = store
        .create_api_key(&bob, NewApiKey::named("bob"))
        .await
        .unwrap()
        .key;
    let now = store.authenticate(&key).await.unwrap().unwrap();
    assert_eq!(now.access().seen(), Reach::Projects(vec![blog.id]));
    store
        .remove_project_member(&now, blog.id, now.user())
        .await
        .unwrap();
    assert!(
        store.authenticate(&key).await.unwrap().is_none(),
        "he has nothing of the team"
    );
    let again = store
        .set_project_role(&world.tenant, shop.id, bob.user(), Role::Viewer)
        .await;
    assert!(
        matches!(again, Err(StoreError::NotFound(Resource::Member))),
        "others are invited"
    );
}

async fn who_manages_a_project_is_judged_in_the_action(world: &World) {
    let store = &world.store;
    let (shop, blog) = (world.project("shop").await, world.project("blog").await);
    let bob = newcomer(world, Role::Admin, Some(&shop)).await;
    let anna = world.tenant.user();
    store
        .set_project_role(&bob, shop.id, anna, Role::Viewer)
        .await
        .unwrap();
    for refused in [
        store
            .set_project_role(&bob, blog.id, anna, Role::Viewer)
            .await
            .map(|_| ()),
        store.remove_project_member(&bob, blog.id, anna).await,
    ] {
        assert!(
            matches!(refused, Err(StoreError::Forbidden { .. })),
            "{refused:?}"
        );
    }
    // The request was authorized while he was admin.
    store
        .set_project_role(&world.tenant, shop.id, bob.user(), Role::Developer)
        .await
        .unwrap();
    let late = store.remove_project_member(&bob, shop.id, anna).await;
    assert!(
        matches!(late, Err(StoreError::Forbidden { .. })),
        "{late:?}"
    );
    let stranger = world.stranger().await;
    let foreign = store
        .set_project_role(&stranger, shop.id, anna, Role::Viewer)
        .await;
    assert!(matches!(
        foreign,
        Err(StoreError::NotFound(Resource::Project))
    ));
    let foreign = store.list_project_members(&stranger, shop.id, PAGE).await;
    assert!(matches!(
        foreign,
        Err(StoreError::NotFound(Resource::Project))
    ));
}
