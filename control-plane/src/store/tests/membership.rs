//! Members, their roles, and invitations.

use std::net::{IpAddr, Ipv4Addr};

use towline_shared::ids::UserId;

use super::world::{World, on_both};
use crate::domain::permission::Role;
use crate::store::people::SetUp;
use crate::store::{Page, Resource, StoreError, Tenant, UserRole};

on_both!(
    somebody_new_joins_by_a_link_that_works_once,
    somebody_known_joins_with_their_own_account,
    an_invitation_is_replaced_and_taken_back,
    two_hundred_racers_accept_an_invitation_once,
    roles_are_changed_by_those_who_may,
    who_leaves_is_locked_out_at_once,
    a_team_is_given_away_and_never_without_an_owner,
);

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

async fn join(world: &World, by: &Tenant, email: &str, role: Role) -> (Tenant, SetUp) {
    let invited = world.store.invite(by, email, role, None).await.unwrap();
    let joined = world
        .store
        .accept_invitation(&invited.token, "Somebody", None, ADDRESS)
        .await
        .unwrap();
    let key = &joined.api_key.key;
    (
        world.store.authenticate(key).await.unwrap().unwrap(),
        joined,
    )
}

fn is_forbidden<T>(result: Result<T, StoreError>) {
    let result = result.map(drop);
    assert!(
        matches!(result, Err(StoreError::Forbidden { .. })),
        "{result:?}"
    );
}

fn is_conflict<T>(result: Result<T, StoreError>) {
    let result = result.map(drop);
    assert!(
        matches!(result, Err(StoreError::Conflict { .. })),
        "{result:?}"
    );
}

fn is_gone<T>(result: Result<T, StoreError>) {
    let result = result.map(drop);
    let gone = matches!(result, Err(StoreError::NotFound(Resource::Invitation)));
    assert!(gone, "{result:?}");
}

async fn roles(world: &World) -> Vec<(UserId, Role)> {
    let members = world
        .store
        .list_members(&world.tenant, Page::default())
        .await;
    let mut roles: Vec<_> = members
        .unwrap()
        .items
        .iter()
        .map(|one| (one.id, one.role))
        .collect();
    roles.sort();
    roles
}

async fn somebody_new_joins_by_a_link_that_works_once(world: &World) {
    let store = &world.store;
    let invited = store
        .invite(&world.tenant, "bob@example.org", Role::Developer, None)
        .await
        .unwrap();
    let listed = store
        .list_invitations(&world.tenant, Page::default())
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 1);
    assert_eq!(listed.items[0].email, "bob@example.org");
    is_gone(
        store
            .accept_invitation("twli_guess", "Bob", None, ADDRESS)
            .await,
    );
    let nameless = store
        .accept_invitation(&invited.token, " ", None, ADDRESS)
        .await;
    assert!(matches!(
        nameless,
        Err(StoreError::Invalid { field: "name", .. })
    ));

    let joined = store
        .accept_invitation(&invited.token, "Bob", None, ADDRESS)
        .await
        .unwrap();
    assert_eq!(joined.user.role, UserRole::User);
    assert_eq!(joined.team.id, world.tenant.team());
    let bob = store
        .authenticate(&joined.api_key.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (bob.role(), bob.team()),
        (Some(Role::Developer), world.tenant.team())
    );
    is_gone(
        store
            .accept_invitation(&invited.token, "Eve", None, ADDRESS)
            .await,
    );
    let listed = store
        .list_invitations(&world.tenant, Page::default())
        .await
        .unwrap();
    assert!(listed.items.is_empty());
    is_conflict(
        store
            .invite(&world.tenant, "BOB@example.org", Role::Viewer, None)
            .await,
    );
}

async fn somebody_known_joins_with_their_own_account(world: &World) {
    let store = &world.store;
    let stranger = world.stranger().await;
    let email = store.me(&stranger).await.unwrap().user.email;
    let invited = store
        .invite(&world.tenant, &email.to_uppercase(), Role::Viewer, None)
        .await
        .unwrap();
    is_conflict(
        store
            .accept_invitation(&invited.token, "Stranger", None, ADDRESS)
            .await,
    );
    is_conflict(store.join_team(&world.tenant, &invited.token).await);
    // What was refused has not used the link up.
    let joined = store.join_team(&stranger, &invited.token).await.unwrap();
    assert_eq!(
        (joined.user.id, joined.team.id),
        (stranger.user(), world.tenant.team())
    );
    let here = store
        .authenticate(&joined.api_key.key)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(here.role(), Some(Role::Viewer));
    // The own team is still theirs.
    assert_eq!(store.me(&stranger).await.unwrap().team.id, stranger.team());
}

async fn an_invitation_is_replaced_and_taken_back(world: &World) {
    let store = &world.store;
    let first = store
        .invite(&world.tenant, "bob@example.org", Role::Viewer, None)
        .await
        .unwrap();
    let second = store
        .invite(&world.tenant, "Bob@example.org", Role::Admin, None)
        .await
        .unwrap();
    is_gone(
        store
            .accept_invitation(&first.token, "Bob", None, ADDRESS)
            .await,
    );
    let stranger = world.stranger().await;
    is_gone(
        store
            .revoke_invitation(&stranger, second.invitation.id)
            .await,
    );
    store
        .revoke_invitation(&world.tenant, second.invitation.id)
        .await
        .unwrap();
    is_gone(
        store
            .revoke_invitation(&world.tenant, second.invitation.id)
            .await,
    );
    is_gone(
        store
            .accept_invitation(&second.token, "Bob", None, ADDRESS)
            .await,
    );
    let nonsense = store.invite(&world.tenant, "bob", Role::Viewer, None).await;
    assert!(matches!(
        nonsense,
        Err(StoreError::Invalid { field: "email", .. })
    ));
}

async fn two_hundred_racers_accept_an_invitation_once(world: &World) {
    let invited = world
        .store
        .invite(&world.tenant, "bob@example.org", Role::Viewer, None)
        .await
        .unwrap();
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let (store, token) = (world.store.clone(), invited.token.clone());
        racers.spawn(async move { store.accept_invitation(&token, "Bob", None, ADDRESS).await });
    }
    let mut won = 0;
    while let Some(done) = racers.join_next().await {
        match done.unwrap() {
            Ok(_) => won += 1,
            Err(error) => is_gone::<()>(Err(error)),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(roles(world).await.len(), 2);
}

async fn roles_are_changed_by_those_who_may(world: &World) {
    let store = &world.store;
    let (admin, _) = join(world, &world.tenant, "admin@example.org", Role::Admin).await;
    let (viewer, _) = join(world, &admin, "viewer@example.org", Role::Viewer).await;
    is_forbidden(
        store
            .invite(&viewer, "eve@example.org", Role::Viewer, None)
            .await,
    );
    is_forbidden(
        store
            .invite(&admin, "eve@example.org", Role::Owner, None)
            .await,
    );
    is_forbidden(store.change_role(&viewer, viewer.user(), Role::Admin).await);
    is_forbidden(store.change_role(&admin, admin.user(), Role::Owner).await);
    is_forbidden(
        store
            .change_role(&admin, world.tenant.user(), Role::Viewer)
            .await,
    );
    is_conflict(
        store
            .change_role(&world.tenant, world.tenant.user(), Role::Admin)
            .await,
    );
    let stranger = world.stranger().await;
    let foreign = store
        .change_role(&stranger, viewer.user(), Role::Admin)
        .await;
    assert!(matches!(
        foreign,
        Err(StoreError::NotFound(Resource::Member))
    ));

    let changed = store
        .change_role(&admin, viewer.user(), Role::Developer)
        .await
        .unwrap();
    assert_eq!(changed.role, Role::Developer);
    // What a tenant was when the request came does not count any more.
    store
        .change_role(&world.tenant, admin.user(), Role::Viewer)
        .await
        .unwrap();
    is_forbidden(store.change_role(&admin, viewer.user(), Role::Viewer).await);
    is_forbidden(store.remove_member(&admin, viewer.user()).await);
}

async fn who_leaves_is_locked_out_at_once(world: &World) {
    let store = &world.store;
    let (bob, joined) = join(world, &world.tenant, "bob@example.org", Role::Viewer).await;
    let (eve, by_eve) = join(world, &world.tenant, "eve@example.org", Role::Developer).await;
    is_forbidden(store.remove_member(&bob, eve.user()).await);
    store.remove_member(&bob, bob.user()).await.unwrap();
    assert!(
        store
            .authenticate(&joined.api_key.key)
            .await
            .unwrap()
            .is_none()
    );
    store
        .remove_member(&world.tenant, eve.user())
        .await
        .unwrap();
    assert!(
        store
            .authenticate(&by_eve.api_key.key)
            .await
            .unwrap()
            .is_none()
    );
    let again = store.remove_member(&world.tenant, eve.user()).await;
    assert!(matches!(again, Err(StoreError::NotFound(Resource::Member))));
    is_forbidden(
        store
            .change_role(&eve, world.tenant.user(), Role::Viewer)
            .await,
    );
    assert_eq!(roles(world).await, [(world.tenant.user(), Role::Owner)]);
}

async fn a_team_is_given_away_and_never_without_an_owner(world: &World) {
    let store = &world.store;
    let (bob, _) = join(world, &world.tenant, "bob@example.org", Role::Viewer).await;
    is_conflict(
        store
            .remove_member(&world.tenant, world.tenant.user())
            .await,
    );
    is_forbidden(store.give_team(&bob, bob.user()).await);
    let given = store.give_team(&world.tenant, bob.user()).await.unwrap();
    assert!(given.holds_the_team);
    is_conflict(store.remove_member(&world.tenant, bob.user()).await);
    is_conflict(
        store
            .change_role(&world.tenant, bob.user(), Role::Admin)
            .await,
    );
    store
        .remove_member(&world.tenant, world.tenant.user())
        .await
        .unwrap();
    let left = store
        .list_members(&bob, Page::default())
        .await
        .unwrap()
        .items;
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].role, left[0].id), (Role::Owner, bob.user()));
}
