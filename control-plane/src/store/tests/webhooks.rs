//! Messages to webhooks: queued with what they tell of, taken once, tried for a day.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::outcome::{FailureReason, Outcome};

use super::world::{Host, World, finished, on_both, succeeded};
use crate::domain::retry::{Pace, Verdict};
use crate::domain::webhook::WebhookEvent;
use crate::ops;
use crate::store::db::execute;
use crate::store::{
    Attempted, DueDelivery, NewWebhook, Page, Project, Store, WebhookAddress, WebhookChange,
    WebhookDelivery, WebhookWithSecret,
};

on_both!(
    what_a_webhook_is_told_is_queued_with_what_happens,
    exactly_what_is_due_is_taken_and_by_one,
    busy_hosts_wait,
    a_dead_senders_message_is_taken_over,
    attempts_follow_the_schedule_and_end_after_a_day,
    a_receiver_that_is_gone_ends_all_that_waits,
    what_is_switched_off_is_told_nothing,
    old_messages_are_forgotten,
    another_team_finds_no_webhook,
);

async fn hook(world: &World, project: &Project, events: &[WebhookEvent]) -> WebhookWithSecret {
    hook_at(world, project, "a.example", events).await
}

async fn hook_at(
    world: &World,
    project: &Project,
    host: &str,
    events: &[WebhookEvent],
) -> WebhookWithSecret {
    let new = NewWebhook {
        address: WebhookAddress {
            url: format!("https://{host}/hook"),
            host: host.to_owned(),
        },
        events: events.to_vec(),
    };
    let made = world.store.create_webhook(&world.tenant, project.id, new);
    made.await.unwrap()
}

async fn deliveries(world: &World, webhook: &WebhookWithSecret) -> Vec<WebhookDelivery> {
    let id = webhook.webhook.id;
    let listed = world
        .store
        .list_webhook_deliveries(&world.tenant, id, Page::default());
    let mut items = listed.await.unwrap().items;
    items.reverse();
    items
}

async fn take(store: &Store) -> Option<DueDelivery> {
    store.claim_webhook_delivery(&[]).await.unwrap()
}

fn answered(status: u16) -> Attempted {
    Attempted {
        verdict: match status {
            200..=299 => Verdict::Delivered,
            410 => Verdict::Gone,
            _ => Verdict::Again,
        },
        answer: Some((status, b"so be it\0".to_vec())),
        error: None,
        took: TimeDelta::milliseconds(7),
        pace: Pace {
            jitter: 0.5,
            wait: None,
        },
    }
}

/// As if so much time had passed for a message.
async fn later(world: &World, due: &DueDelivery, column: &str, at: DateTime<Utc>) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = match column {
        "next_attempt_at" => "UPDATE webhook_deliveries SET next_attempt_at = $2 WHERE id = $1",
        "give_up_at" => "UPDATE webhook_deliveries SET give_up_at = $2 WHERE id = $1",
        other => panic!("{other}"),
    };
    execute!(tx.conn(), sql, due.id.uuid(), at).unwrap();
    tx.commit().await.unwrap();
}

async fn end(world: &World, host: &Host, outcome: Outcome) {
    let end = finished(world.start(host).await, outcome);
    world.store.finished(host.id, &end).await.unwrap();
}

async fn what_a_webhook_is_told_is_queued_with_what_happens(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let other = world.project("api").await;
    let all = hook(world, &project, &WebhookEvent::ALL).await;
    let failures = hook(world, &project, &[WebhookEvent::DeploymentFailed]).await;
    let foreign = hook(world, &other, &WebhookEvent::ALL).await;
    world.deploy(&project, &host).await;
    end(world, &host, succeeded()).await;
    let failing = world.deploy(&project, &host).await;
    let failed = Outcome::Failed {
        reason: FailureReason::ComposeFailed,
        message: "the image is not there".to_owned(),
    };
    end(world, &host, failed).await;
    let cancelled = world.deploy(&project, &host).await;
    ops::cancel(&world.store, &world.tenant, cancelled.id)
        .await
        .unwrap();
    let told: Vec<_> = deliveries(world, &all)
        .await
        .into_iter()
        .map(|one| one.event_type)
        .collect();
    assert_eq!(
        told,
        [
            "deployment.created",
            "deployment.succeeded",
            "deployment.created",
            "deployment.failed",
            "deployment.created",
            "deployment.cancelled"
        ]
    );
    let queued = deliveries(world, &failures).await;
    assert_eq!(queued.len(), 1);
    assert!(deliveries(world, &foreign).await.is_empty());
    let shown = world.store.webhook_delivery(&world.tenant, queued[0].id);
    let body: serde_json::Value = serde_json::from_str(&shown.await.unwrap().request_body).unwrap();
    assert_eq!(body["type"], "deployment.failed");
    assert_eq!(body["data"]["id"], failing.id.to_string());
    assert_eq!(body["data"]["message"], "the image is not there");
    assert_eq!(body["data"]["status"], "failed");
}

async fn tests(world: &World, webhook: &WebhookWithSecret, count: usize) {
    for _ in 0..count {
        let queued = world.store.test_webhook(&world.tenant, webhook.webhook.id);
        queued.await.unwrap();
    }
}

async fn exactly_what_is_due_is_taken_and_by_one(world: &World) {
    let project = world.project("web").await;
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 12).await;
    let waiting = take(&world.store).await.unwrap();
    later(
        world,
        &waiting,
        "next_attempt_at",
        Utc::now() + TimeDelta::hours(1),
    )
    .await;
    let race = (0..4).map(|_| {
        let store = world.store.clone();
        tokio::spawn(async move {
            let mut taken = Vec::new();
            while let Some(due) = take(&store).await {
                taken.push(due.id);
            }
            taken
        })
    });
    let mut taken = Vec::new();
    for racer in race.collect::<Vec<_>>() {
        taken.extend(racer.await.unwrap());
    }
    let distinct: BTreeSet<_> = taken.iter().copied().collect();
    assert_eq!((taken.len(), distinct.len()), (11, 11));
    assert!(!distinct.contains(&waiting.id));
    let next = world.store.next_webhook_delivery().await.unwrap().unwrap();
    assert!(next > Utc::now() + TimeDelta::seconds(30), "the leases");
}

async fn busy_hosts_wait(world: &World) {
    let project = world.project("web").await;
    let slow = hook_at(world, &project, "slow.example", &WebhookEvent::ALL).await;
    let quick = hook_at(world, &project, "quick.example", &WebhookEvent::ALL).await;
    tests(world, &slow, 2).await;
    tests(world, &quick, 1).await;
    let busy = ["slow.example".to_owned()];
    let due = world.store.claim_webhook_delivery(&busy).await.unwrap();
    assert_eq!(due.unwrap().host, "quick.example");
    assert!(
        world
            .store
            .claim_webhook_delivery(&busy)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(take(&world.store).await.unwrap().host, "slow.example");
}

async fn a_dead_senders_message_is_taken_over(world: &World) {
    let store = &world.store;
    let project = world.project("web").await;
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 1).await;
    let dead = take(store).await.unwrap();
    assert!(take(store).await.is_none(), "it has a sender");
    later(
        world,
        &dead,
        "next_attempt_at",
        Utc::now() - TimeDelta::seconds(1),
    )
    .await;
    let second = take(store).await.unwrap();
    assert_eq!((second.id, second.attempt), (dead.id, 2));
    assert!(
        !store
            .webhook_attempted(&dead, &answered(500))
            .await
            .unwrap()
    );
    assert!(
        store
            .webhook_attempted(&second, &answered(204))
            .await
            .unwrap()
    );
    assert!(
        !store
            .webhook_attempted(&second, &answered(500))
            .await
            .unwrap()
    );
    let shown = &deliveries(world, &webhook).await[0];
    assert_eq!(
        (shown.state.as_str(), shown.response_status),
        ("delivered", Some(204))
    );
    let secret = store.webhook_secret(&second).await.unwrap();
    assert_eq!(secret.as_slice(), webhook.secret.as_bytes());
}

async fn attempts_follow_the_schedule_and_end_after_a_day(world: &World) {
    let store = &world.store;
    let project = world.project("web").await;
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 1).await;
    for delay in [5, 30, 120, 600] {
        let due = take(store).await.unwrap();
        let before = store.now().await.unwrap();
        assert!(store.webhook_attempted(&due, &answered(503)).await.unwrap());
        let shown = &deliveries(world, &webhook).await[0];
        let gap = shown.next_attempt_at.unwrap() - before;
        assert!(
            (delay..delay + 5).contains(&gap.num_seconds()),
            "{gap} after attempt {}",
            due.attempt
        );
        assert_eq!(shown.state, "waiting");
        assert!(take(store).await.is_none(), "not before its time");
        later(
            world,
            &due,
            "next_attempt_at",
            Utc::now() - TimeDelta::seconds(1),
        )
        .await;
    }
    let due = take(store).await.unwrap();
    later(
        world,
        &due,
        "next_attempt_at",
        Utc::now() - TimeDelta::seconds(1),
    )
    .await;
    later(
        world,
        &due,
        "give_up_at",
        Utc::now() + TimeDelta::seconds(60),
    )
    .await;
    let last = take(store).await.unwrap();
    assert!(
        store
            .webhook_attempted(&last, &answered(503))
            .await
            .unwrap()
    );
    let shown = &deliveries(world, &webhook).await[0];
    assert_eq!((shown.state.as_str(), shown.attempts), ("failed", 6));
    assert!(shown.next_attempt_at.is_none() && shown.finished_at.is_some());
}

async fn a_receiver_that_is_gone_ends_all_that_waits(world: &World) {
    let store = &world.store;
    let project = world.project("web").await;
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 3).await;
    let due = take(store).await.unwrap();
    assert!(store.webhook_attempted(&due, &answered(410)).await.unwrap());
    let all = deliveries(world, &webhook).await;
    assert!(all.iter().all(|one| one.state == "failed"), "{all:?}");
    assert!(take(store).await.is_none());
    let listed = store.list_webhooks(&world.tenant, project.id, Page::default());
    assert_eq!(listed.await.unwrap().items[0].state, "gone");
}

async fn what_is_switched_off_is_told_nothing(world: &World) {
    let store = &world.store;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 1).await;
    let off = WebhookChange {
        enabled: Some(false),
        ..WebhookChange::default()
    };
    let changed = store.change_webhook(&world.tenant, webhook.webhook.id, off);
    assert_eq!(changed.await.unwrap().state, "disabled");
    world.deploy(&project, &host).await;
    let all = deliveries(world, &webhook).await;
    assert_eq!((all.len(), all[0].state.as_str()), (1, "failed"));
    let refused = store.replay_webhook_delivery(&world.tenant, all[0].id);
    assert!(refused.await.is_err());
}

async fn old_messages_are_forgotten(world: &World) {
    let project = world.project("web").await;
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 2).await;
    let old = deliveries(world, &webhook).await[0].id;
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE webhook_deliveries SET created_at = $2 WHERE id = $1";
    let past = Utc::now() - TimeDelta::days(31);
    execute!(tx.conn(), sql, old.uuid(), past).unwrap();
    tx.commit().await.unwrap();
    world.store.prune().await.unwrap();
    let left = deliveries(world, &webhook).await;
    assert!(left.len() == 1 && left[0].id != old);
}

async fn another_team_finds_no_webhook(world: &World) {
    let (store, stranger) = (&world.store, &world.stranger().await);
    let project = world.project("web").await;
    let webhook = hook(world, &project, &WebhookEvent::ALL).await;
    tests(world, &webhook, 1).await;
    let (id, delivery) = (webhook.webhook.id, deliveries(world, &webhook).await[0].id);
    let change = WebhookChange::default();
    assert!(
        store
            .list_webhooks(stranger, project.id, Page::default())
            .await
            .is_err()
    );
    assert!(store.change_webhook(stranger, id, change).await.is_err());
    assert!(store.delete_webhook(stranger, id).await.is_err());
    assert!(store.test_webhook(stranger, id).await.is_err());
    assert!(
        store
            .list_webhook_deliveries(stranger, id, Page::default())
            .await
            .is_err()
    );
    assert!(store.webhook_delivery(stranger, delivery).await.is_err());
    assert!(
        store
            .replay_webhook_delivery(stranger, delivery)
            .await
            .is_err()
    );
    assert_eq!(deliveries(world, &webhook).await.len(), 1);
    store.delete_webhook(&world.tenant, id).await.unwrap();
    assert!(
        store
            .webhook_delivery(&world.tenant, delivery)
            .await
            .is_err()
    );
}
