//! Plans that are granted or paid for: what they give, until when, and what a provider's words make of them.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use towline_shared::ids::{PlanId, SubscriptionId, UserId};
use uuid::Uuid;

use super::world::{World, on_both};
use crate::domain::billing::{BillingEvent, GRACE, News, Picture, SubscriptionStatus};
use crate::store::db::{execute, one};
use crate::store::{
    NewGrant, Page, PayerStanding, Resource, StoreError, Subscription, Took, UserRole, Wanted,
};

on_both!(
    a_grant_lapses_by_itself_and_what_is_there_stays,
    a_grant_ends_early_and_once,
    an_impossible_grant_is_refused_by_name,
    in_whatever_order_events_come_the_end_is_one,
    two_at_once_make_one_subscription,
    a_payer_is_known_by_the_customer,
);

const PAGE: Page = Page {
    limit: 50,
    after: None,
};

async fn plan(world: &World, name: &str) -> PlanId {
    let plans = world.store.list_plans().await.unwrap();
    plans.iter().find(|plan| plan.name == name).unwrap().id
}

/// Somebody with a team of their own, whom the plan Free holds to two teams.
async fn on_free(world: &World) -> crate::store::Tenant {
    let tenant = world.stranger().await;
    let free = plan(world, "Free").await;
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE users SET plan_id = $2 WHERE id = $1";
    execute!(tx.conn(), sql, tenant.user().uuid(), free.uuid()).unwrap();
    tx.commit().await.unwrap();
    tenant
}

async fn plan_of(world: &World, tenant: &crate::store::Tenant) -> String {
    world
        .store
        .billing(tenant.person())
        .await
        .unwrap()
        .plan
        .name
}

async fn grant(world: &World, user: UserId, name: &str) -> Subscription {
    let new = NewGrant {
        user,
        plan: plan(world, name).await,
        until: Utc::now() + TimeDelta::days(1),
    };
    let made = world.store.grant_plan(world.tenant.person(), new).await;
    made.unwrap()
}

/// The end of a subscription comes.
async fn pass(world: &World, id: SubscriptionId) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE billing_subscriptions SET gives_until = $2 WHERE id = $1";
    let past = Utc::now() - TimeDelta::milliseconds(1);
    execute!(tx.conn(), sql, id.uuid(), past).unwrap();
    tx.commit().await.unwrap();
}

async fn audited(world: &World, action: &str) -> i64 {
    let mut reader = world.store.main().read().await.unwrap();
    let sql = "SELECT COUNT(*) FROM audit_logs WHERE action = $1";
    let (rows,) = one!(reader.conn(), (i64,), sql, action).unwrap();
    rows
}

/// How often somebody was told of something.
async fn told(world: &World, tenant: &crate::store::Tenant, event: &str) -> usize {
    let page = Page {
        limit: 200,
        after: None,
    };
    let all = world
        .store
        .list_notifications(tenant.person(), Wanted::All, page);
    let all = all.await.unwrap().items;
    all.iter().filter(|one| one.r#type == event).count()
}

async fn a_grant_lapses_by_itself_and_what_is_there_stays(world: &World) {
    let bob = on_free(world).await;
    let create = async |n: usize| {
        let made = world.store.create_project(&bob, &format!("p{n}")).await;
        made.map(|_| ())
    };
    for n in 0..3 {
        create(n).await.unwrap();
    }
    assert!(matches!(create(3).await, Err(StoreError::QuotaExceeded(over)) if over.plan == "Free"));

    let pro = grant(world, bob.user(), "Pro").await;
    assert_eq!(
        (pro.plan.as_deref(), pro.status.as_str()),
        (Some("Pro"), "active")
    );
    create(3).await.unwrap();
    // The dearer of two counts; the other one's turn comes.
    let enterprise = grant(world, bob.user(), "Enterprise").await;
    assert_eq!(plan_of(world, &bob).await, "Enterprise");
    pass(world, enterprise.id).await;
    assert_eq!(plan_of(world, &bob).await, "Pro");

    // Nobody has noted the end: it is the end all the same.
    pass(world, pro.id).await;
    assert_eq!(plan_of(world, &bob).await, "Free");
    assert!(matches!(create(4).await, Err(StoreError::QuotaExceeded(over)) if over.used == 4));
    let limits = world.store.usage(
        &bob,
        crate::store::PastDays {
            limit: 1,
            before: None,
        },
    );
    assert_eq!(limits.await.unwrap().plan.name, "Free");
    let kept = world.store.list_projects(&bob, PAGE).await.unwrap();
    assert_eq!(kept.items.len(), 4);

    assert_eq!(audited(world, "billing.lapse").await, 0);
    assert_eq!(world.store.note_lapsed_plans().await.unwrap(), 2);
    assert_eq!(world.store.note_lapsed_plans().await.unwrap(), 0);
    assert_eq!(
        (
            audited(world, "billing.grant").await,
            audited(world, "billing.lapse").await
        ),
        (2, 2)
    );
    let shown = world.store.billing(bob.person()).await.unwrap();
    for one in &shown.subscriptions {
        assert_eq!((one.status.as_str(), one.gives_until), ("canceled", None));
        assert!(one.renew_at.is_some(), "what was granted is still told");
    }
    assert_eq!(told(world, &bob, "plan.ended").await, 2);
    // Whose own plan is dear keeps it.
    assert_eq!(plan_of(world, &world.tenant).await, "Enterprise");
}

async fn a_grant_ends_early_and_once(world: &World) {
    let bob = on_free(world).await;
    let (store, admin) = (&world.store, world.tenant.person());
    assert_eq!(admin.role(), UserRole::Admin);
    let pro = grant(world, bob.user(), "Pro").await;
    let ended = join_all((0..4).map(|_| store.end_grant(admin, pro.id))).await;
    let conflicts = ended
        .iter()
        .filter(|end| matches!(end, Err(StoreError::Conflict { .. })));
    assert_eq!(
        (conflicts.count(), audited(world, "billing.end").await),
        (3, 1)
    );
    assert_eq!(plan_of(world, &bob).await, "Free");
    let absent = store.end_grant(admin, SubscriptionId::new()).await;
    assert!(matches!(
        absent,
        Err(StoreError::NotFound(Resource::Subscription))
    ));
    store
        .take_billing_event(&events(world, bob.user()).await[1])
        .await
        .unwrap();
    let all = store
        .list_subscriptions(Some(bob.user()), PAGE)
        .await
        .unwrap()
        .items;
    let paid = all.iter().find(|one| one.provider == "stripe").unwrap();
    let refused = store.end_grant(admin, paid.id).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));

    let first = Page {
        limit: 1,
        after: None,
    };
    let listed = store.list_subscriptions(None, first).await.unwrap();
    assert_eq!(listed.items[0].id, paid.id);
    let next = Page {
        after: listed.next_cursor,
        ..first
    };
    let listed = store.list_subscriptions(None, next).await.unwrap();
    assert_eq!((listed.items[0].id, listed.next_cursor), (pro.id, None));
    let of_another = store
        .list_subscriptions(Some(world.tenant.user()), PAGE)
        .await
        .unwrap();
    assert_eq!(of_another.items, []);
}

async fn an_impossible_grant_is_refused_by_name(world: &World) {
    let bob = on_free(world).await;
    let good = NewGrant {
        user: bob.user(),
        plan: plan(world, "Pro").await,
        until: Utc::now() + TimeDelta::days(1),
    };
    let free = plan(world, "Free").await;
    for (new, named) in [
        (
            NewGrant {
                user: UserId::new(),
                ..good
            },
            "user",
        ),
        (
            NewGrant {
                plan: PlanId::new(),
                ..good
            },
            "plan",
        ),
        (NewGrant { plan: free, ..good }, "plan"),
        (
            NewGrant {
                user: world.tenant.user(),
                ..good
            },
            "plan",
        ),
        (
            NewGrant {
                until: Utc::now(),
                ..good
            },
            "until",
        ),
        (
            NewGrant {
                until: Utc::now() + TimeDelta::days(3661),
                ..good
            },
            "until",
        ),
        (
            NewGrant {
                until: DateTime::<Utc>::MAX_UTC,
                ..good
            },
            "until",
        ),
    ] {
        let refused = world.store.grant_plan(world.tenant.person(), new).await;
        assert!(
            matches!(refused, Err(StoreError::Invalid { field, .. }) if field == named),
            "{new:?}"
        );
    }
    assert_eq!(
        world
            .store
            .list_subscriptions(None, PAGE)
            .await
            .unwrap()
            .items,
        []
    );
}

/// A subscription to Pro: bought, made, paid, a payment that fails, and its end.
pub(super) async fn events(world: &World, user: UserId) -> Vec<BillingEvent> {
    let pro = plan(world, "Pro").await;
    let began = DateTime::from_timestamp(Utc::now().timestamp() - 1000, 0).unwrap();
    let event = |id: &str, seconds: i64, whose: Option<UserId>, news| BillingEvent {
        id: id.to_owned(),
        at: began + TimeDelta::seconds(seconds),
        subscription: "sub_1".to_owned(),
        customer: Some("cus_1".to_owned()),
        user: whose,
        news,
    };
    let stands = |id: &str, seconds: i64, status| {
        let picture = Picture {
            status,
            price: Some("price_pro".to_owned()),
            plan: Some(pro),
            started_at: began,
            renew_at: Some(began + TimeDelta::days(30)),
            at: began + TimeDelta::seconds(seconds),
            event: id.to_owned(),
        };
        event(id, seconds, Some(user), News::Stands(picture))
    };
    vec![
        stands("evt_1", 0, SubscriptionStatus::Incomplete),
        stands("evt_2", 0, SubscriptionStatus::Active),
        event("evt_3", 100, None, News::PaymentFailed),
        stands("evt_4", 100, SubscriptionStatus::PastDue),
        stands("evt_5", 200, SubscriptionStatus::Canceled),
    ]
}

fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let put = |order: &Vec<usize>| {
            let places = 0..=order.len();
            let at = |place| {
                let mut order = order.clone();
                order.insert(place, next);
                order
            };
            places.map(at).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(put).collect();
    }
    all
}

async fn in_whatever_order_events_come_the_end_is_one(world: &World) {
    let bob = on_free(world).await;
    let events = events(world, bob.user()).await;
    let mut tried = 0;
    // Without its end, and with it.
    for (count, status, plan) in [(4, "past_due", "Pro"), (5, "canceled", "Free")] {
        let mut first: Option<Subscription> = None;
        let orders = orders(count);
        assert_eq!(orders.len(), (1..=count).product::<usize>());
        // A third of them, which is enough to show that rows keep what the rule says; the rule is tried on all.
        for order in orders.iter().step_by(3) {
            let mut effects = 0;
            tried += 1;
            for index in order.iter().chain(order) {
                let took = world
                    .store
                    .take_billing_event(&events[*index])
                    .await
                    .unwrap();
                effects += usize::from(took == Took::Effect);
            }
            assert!(effects <= count, "{order:?}: what is repeated does nothing");
            assert_eq!(plan_of(world, &bob).await, plan, "{order:?}");
            let shown = world
                .store
                .billing(bob.person())
                .await
                .unwrap()
                .subscriptions;
            let [shown] = &shown[..] else {
                panic!("{shown:?}")
            };
            assert_eq!(
                (shown.status.as_str(), shown.payment_failed_at),
                (status, Some(events[2].at))
            );
            let until = (plan == "Pro").then(|| shown.renew_at.unwrap() + GRACE);
            assert_eq!(shown.gives_until, until);
            let same = Subscription {
                id: Uuid::nil().into(),
                ..shown.clone()
            };
            assert_eq!(
                first.get_or_insert_with(|| same.clone()),
                &same,
                "{order:?}"
            );
            forget(world).await;
        }
    }
    assert_eq!(told(world, &bob, "payment.failed").await, tried);
}

async fn forget(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    execute!(tx.conn(), "DELETE FROM billing_subscriptions").unwrap();
    tx.commit().await.unwrap();
}

async fn two_at_once_make_one_subscription(world: &World) {
    let bob = on_free(world).await;
    let events = events(world, bob.user()).await;
    for _ in 0..5 {
        let twice = events.iter().chain(&events);
        let told = join_all(twice.map(|event| world.store.take_billing_event(event))).await;
        assert!(told.iter().all(Result::is_ok), "{told:?}");
        let shown = world.store.billing(bob.person()).await.unwrap();
        assert_eq!(
            (shown.subscriptions.len(), shown.plan.name.as_str()),
            (1, "Free")
        );
        assert_eq!(shown.subscriptions[0].status, "canceled");
        forget(world).await;
    }
}

async fn a_payer_is_known_by_the_customer(world: &World) {
    let bob = on_free(world).await;
    let store = &world.store;
    let payer = async || store.payer(bob.person()).await.unwrap();
    assert_eq!(
        (payer().await.customer, payer().await.standing),
        (None, PayerStanding::MayBuy)
    );
    let mut event = events(world, bob.user()).await.remove(1);
    let first = event.clone();
    store.take_billing_event(&event).await.unwrap();
    let known = (payer().await.customer, payer().await.standing);
    assert_eq!(known, (Some("cus_1".to_owned()), PayerStanding::Pays));

    // The same customer, without our note; and somebody who is not here.
    event.subscription = "sub_2".to_owned();
    event.user = None;
    store.take_billing_event(&event).await.unwrap();
    event.subscription = "sub_3".to_owned();
    event.customer = Some("cus_2".to_owned());
    event.user = Some(UserId::new());
    store.take_billing_event(&event).await.unwrap();
    let all = store.list_subscriptions(None, PAGE).await.unwrap().items;
    let whose: Vec<_> = all
        .iter()
        .map(|one| one.user_id.map(UserId::from))
        .collect();
    assert_eq!(whose, [None, Some(bob.user()), Some(bob.user())]);

    // Stripe says nothing more: the plan is not kept for ever, nor given again by what it said before.
    for one in &all[1..] {
        pass(world, one.id).await;
    }
    assert_eq!(plan_of(world, &bob).await, "Free");
    store.note_lapsed_plans().await.unwrap();
    store.take_billing_event(&first).await.unwrap();
    assert_eq!(
        (plan_of(world, &bob).await.as_str(), payer().await.standing),
        ("Free", PayerStanding::MayBuy)
    );
}
