//! What people are told: queued with what happens, sent once by one, seen by who may see it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use chrono::{DateTime, TimeDelta, Utc};
use towline_shared::ids::NotificationDeliveryId;
use towline_shared::outcome::{FailureReason, Outcome};
use uuid::Uuid;

use super::teams::newcomer;
use super::world::{Host, World, finished, on_both, succeeded};
use crate::domain::notification::{NotificationEvent, Tell};
use crate::domain::notification_channel::ChannelSettings;
use crate::domain::permission::Role;
use crate::domain::retry::{Pace, Verdict};
use crate::ops;
use crate::store::db::execute;
use crate::store::{
    Attempted, Channel, ChannelAddress, ChannelChange, ChannelRule, Choice, Device, DueNotice,
    NewRule, Notification, NotificationDelivery, Page, Store, Tenant, Wanted, notification_events,
};

on_both!(
    who_chose_nothing_is_told_by_the_defaults,
    what_is_chosen_holds_until_it_is_taken_back,
    exactly_what_is_due_is_taken_and_by_one,
    a_dead_senders_message_is_taken_over,
    attempts_follow_the_schedule_of_webhooks,
    a_channel_that_fails_for_good_is_switched_off_and_that_is_told,
    who_has_left_the_team_is_told_nothing,
    who_is_there_for_one_project_is_told_of_that_alone,
    absent_agents_are_told_of_once_and_when_they_are_back,
    what_guards_an_account_is_told_and_mailed,
    a_plan_that_is_nearly_used_up_is_told_twice,
    old_notifications_are_forgotten_and_the_newest_stay,
    nobody_finds_what_is_another_persons,
);

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

async fn member(world: &World, name: &str) -> Tenant {
    let email = format!("{name}@example.org");
    let invited = world
        .store
        .invite(&world.tenant, &email, Role::Viewer, None)
        .await;
    let token = invited.unwrap().token;
    let joined = world.store.accept_invitation(&token, name, None, ADDRESS);
    let key = joined.await.unwrap().api_key.key;
    world.store.authenticate(&key).await.unwrap().unwrap()
}

async fn channel(store: &Store, tenant: &Tenant, name: &str) -> Channel {
    let address = ChannelAddress {
        settings: ChannelSettings::Slack {
            url: format!("https://hooks.slack.com/services/{name}"),
        },
        host: format!("{name}.example"),
    };
    let made = store.create_channel(tenant.person(), name, &address);
    made.await.unwrap()
}

async fn choose(
    store: &Store,
    tenant: &Tenant,
    event: NotificationEvent,
    in_product: Tell,
    channels: &[(&Channel, Tell)],
) {
    let channels = channels.iter().map(|(channel, tell)| ChannelRule {
        channel_id: channel.id,
        tell: *tell,
    });
    let choice = Choice {
        in_product,
        channels: channels.collect(),
    };
    let rule = NewRule {
        event,
        choice: Some(choice),
    };
    let chosen = store.choose_notification_rules(tenant.person(), vec![rule]);
    chosen.await.unwrap();
}

async fn told(store: &Store, tenant: &Tenant) -> Vec<Notification> {
    let listed = store.list_notifications(tenant.person(), Wanted::All, Page::default());
    let mut items = listed.await.unwrap().items;
    items.reverse();
    items
}

async fn events(store: &Store, tenant: &Tenant) -> Vec<String> {
    let told = told(store, tenant).await.into_iter();
    told.map(|one| one.r#type).collect()
}

async fn sent(store: &Store, tenant: &Tenant, channel: &Channel) -> Vec<NotificationDelivery> {
    let listed = store.list_notification_deliveries(tenant.person(), channel.id, Page::default());
    let mut items = listed.await.unwrap().items;
    items.reverse();
    items
}

async fn take(store: &Store) -> Option<DueNotice> {
    store.claim_notice(&[]).await.unwrap()
}

fn answered(status: u16, verdict: Verdict) -> Attempted {
    Attempted {
        verdict,
        answer: Some((status, b"so be it\0".to_vec())),
        error: (verdict != Verdict::Delivered).then(|| format!("the receiver answered {status}")),
        took: TimeDelta::milliseconds(7),
        pace: Pace {
            jitter: 0.5,
            wait: None,
        },
    }
}

async fn due_at(world: &World, id: NotificationDeliveryId, at: DateTime<Utc>) {
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE notification_deliveries SET next_attempt_at = $2 WHERE id = $1";
    execute!(tx.conn(), sql, id.uuid(), at).unwrap();
    tx.commit().await.unwrap();
}

async fn fails(world: &World, host: &Host) {
    let outcome = Outcome::Failed {
        reason: FailureReason::ComposeFailed,
        message: "the image is not there".to_owned(),
    };
    let end = finished(world.start(host).await, outcome);
    world.store.finished(host.id, &end).await.unwrap();
}

/// So many messages over a channel: quota warnings, which nobody else is told of.
async fn queue(world: &World, channel: &Channel, count: usize) {
    let event = NotificationEvent::MemberJoined;
    choose(
        &world.store,
        &world.tenant,
        event,
        Tell::None,
        &[(channel, Tell::All)],
    )
    .await;
    for number in 0..count {
        member(world, &format!("m{number}")).await;
    }
}

async fn who_chose_nothing_is_told_by_the_defaults(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let eve = member(world, "Eve").await;
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    let end = finished(world.start(&host).await, succeeded());
    store.finished(host.id, &end).await.unwrap();
    let failing = world.deploy(&project, &host).await;
    fails(world, &host).await;
    let cancelled = world.deploy(&project, &host).await;
    ops::cancel(store, anna, cancelled.id).await.unwrap();
    assert_eq!(
        events(store, anna).await,
        [
            "member.joined",
            "agent.enrolled",
            "deployment.succeeded",
            "deployment.failed",
            "deployment.cancelled"
        ]
    );
    let hers = told(store, &eve).await;
    let types: Vec<_> = hers.iter().map(|one| one.r#type.as_str()).collect();
    assert_eq!(
        types,
        ["agent.enrolled", "deployment.failed"],
        "others' successes are not hers"
    );
    let failed = &hers[1];
    assert_eq!(failed.message, "web: deployment to shop has failed");
    let detail = failed.detail.as_deref().unwrap();
    assert_eq!(detail, "the image is not there\nAsked for by Anna.");
    assert_eq!(failed.subject.as_ref().unwrap().id, failing.id.uuid());
    assert_eq!(failed.project_id, Some(project.id));
    assert_eq!(store.count_unread(eve.person()).await.unwrap(), 2);
    let read = store
        .read_notification(eve.person(), failed.id)
        .await
        .unwrap();
    assert!(read.is_read && read.read_at.is_some());
    let unread = store.list_notifications(eve.person(), Wanted::Unread, Page::default());
    assert_eq!(unread.await.unwrap().items.len(), 1);
    assert_eq!(
        store.read_notifications(eve.person(), None).await.unwrap(),
        1
    );
    assert_eq!(store.count_unread(eve.person()).await.unwrap(), 0);
    assert_eq!(store.count_unread(anna.person()).await.unwrap(), 5);
}

async fn what_is_chosen_holds_until_it_is_taken_back(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let (ops, own) = (
        channel(store, anna, "ops").await,
        channel(store, anna, "own").await,
    );
    let eve = member(world, "Eve").await;
    let hers = channel(store, &eve, "hers").await;
    let event = NotificationEvent::DeploymentFailed;
    let to = [(&ops, Tell::All), (&own, Tell::Own)];
    choose(store, anna, event, Tell::None, &to).await;
    choose(store, &eve, event, Tell::Own, &[(&hers, Tell::Own)]).await;
    world.deploy(&project, &host).await;
    fails(world, &host).await;
    let is_told = |events: Vec<String>| events.contains(&"deployment.failed".to_owned());
    assert!(!is_told(events(store, anna).await), "not in the product");
    assert!(!is_told(events(store, &eve).await), "it was not hers");
    assert_eq!(sent(store, anna, &ops).await.len(), 1);
    assert_eq!(sent(store, anna, &own).await.len(), 1);
    assert_eq!(sent(store, &eve, &hers).await.len(), 0);
    let off = ChannelChange {
        enabled: Some(false),
        ..ChannelChange::default()
    };
    let changed = store.change_channel(anna.person(), ops.id, off).await;
    assert_eq!(changed.unwrap().state, "disabled");
    assert_eq!(sent(store, anna, &ops).await[0].state, "failed");
    world.deploy(&project, &host).await;
    fails(world, &host).await;
    assert_eq!(sent(store, anna, &ops).await.len(), 1, "it is off");
    assert_eq!(sent(store, anna, &own).await.len(), 2);
    store.delete_channel(anna.person(), own.id).await.unwrap();
    let rules = store.notification_rules(anna.person()).await.unwrap();
    let rule = rules.iter().find(|rule| rule.event == event.as_str());
    let rule = rule.unwrap();
    assert_eq!((rule.in_product, rule.channels.len()), (Tell::None, 1));
    let back = NewRule {
        event,
        choice: None,
    };
    let rules = store.choose_notification_rules(anna.person(), vec![back]);
    let rules = rules.await.unwrap();
    let rule = rules.iter().find(|rule| rule.event == event.as_str());
    assert!(rule.unwrap().is_default);
    world.deploy(&project, &host).await;
    fails(world, &host).await;
    assert!(is_told(events(store, anna).await));
}

async fn exactly_what_is_due_is_taken_and_by_one(world: &World) {
    let ops = channel(&world.store, &world.tenant, "ops").await;
    queue(world, &ops, 8).await;
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
    assert_eq!((taken.len(), distinct.len()), (8, 8));
}

async fn a_dead_senders_message_is_taken_over(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let ops = channel(store, anna, "ops").await;
    queue(world, &ops, 1).await;
    let dead = take(store).await.unwrap();
    assert!(take(store).await.is_none(), "it has a sender");
    due_at(world, dead.id, Utc::now() - TimeDelta::seconds(1)).await;
    let second = take(store).await.unwrap();
    assert_eq!((second.id, second.event_id), (dead.id, dead.event_id));
    let late = answered(500, Verdict::Again);
    assert!(!store.notice_attempted(&dead, &late).await.unwrap());
    let taken = answered(200, Verdict::Delivered);
    assert!(store.notice_attempted(&second, &taken).await.unwrap());
    assert!(!store.notice_attempted(&second, &late).await.unwrap());
    let shown = &sent(store, anna, &ops).await[0];
    assert_eq!((shown.state.as_str(), shown.attempts), ("delivered", 2));
    assert_eq!(
        shown.message,
        "m0 (m0@example.org) has joined the team as viewer"
    );
    let settings = store.channel_settings(&second).await.unwrap();
    let expected = ChannelSettings::Slack {
        url: "https://hooks.slack.com/services/ops".to_owned(),
    };
    assert_eq!(settings, Some(expected));
}

async fn attempts_follow_the_schedule_of_webhooks(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let ops = channel(store, anna, "ops").await;
    queue(world, &ops, 1).await;
    for delay in [5, 30, 120] {
        let due = take(store).await.unwrap();
        let before = store.now().await.unwrap();
        let failed = answered(503, Verdict::Again);
        assert!(store.notice_attempted(&due, &failed).await.unwrap());
        let shown = &sent(store, anna, &ops).await[0];
        let gap = shown.next_attempt_at.unwrap() - before;
        assert!((delay..delay + 5).contains(&gap.num_seconds()), "{gap}");
        due_at(world, due.id, Utc::now() - TimeDelta::seconds(1)).await;
    }
    let shown = store.channel(anna.person(), ops.id).await.unwrap();
    assert_eq!((shown.failures, shown.state.as_str()), (0, "enabled"));
    assert_eq!(
        shown.last_error.as_deref(),
        Some("the receiver answered 503")
    );
}

async fn a_channel_that_fails_for_good_is_switched_off_and_that_is_told(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let (slow, gone) = (
        channel(store, anna, "slow").await,
        channel(store, anna, "gone").await,
    );
    queue(world, &slow, 6).await;
    for failures in 1..=5 {
        let due = take(store).await.unwrap();
        let refused = answered(400, Verdict::Refused);
        assert!(store.notice_attempted(&due, &refused).await.unwrap());
        let shown = store.channel(anna.person(), slow.id).await.unwrap();
        let state = if failures == 5 { "broken" } else { "enabled" };
        assert_eq!((shown.failures, shown.state.as_str()), (failures, state));
    }
    assert!(
        sent(store, anna, &slow)
            .await
            .iter()
            .all(|one| one.state == "failed"),
        "what waited is given up"
    );
    let last = told(store, anna).await.pop().unwrap();
    assert_eq!(last.message, "Your channel slow was switched off");
    assert!(last.detail.unwrap().contains("answered 400"));
    let mail = take(store).await.expect("it is mailed");
    assert_eq!(
        (mail.notice.event.as_str(), mail.email.as_str()),
        ("channel.broken", "anna@example.org")
    );
    assert!(store.channel_settings(&mail).await.unwrap().is_none());

    let event = NotificationEvent::MemberJoined;
    choose(store, anna, event, Tell::None, &[(&gone, Tell::All)]).await;
    member(world, "late").await;
    let due = take(store).await.unwrap();
    let answer = answered(404, Verdict::Gone);
    assert!(store.notice_attempted(&due, &answer).await.unwrap());
    let shown = store.channel(anna.person(), gone.id).await.unwrap();
    assert_eq!(shown.state, "broken");
    let on = ChannelChange {
        enabled: Some(true),
        ..ChannelChange::default()
    };
    let shown = store
        .change_channel(anna.person(), gone.id, on)
        .await
        .unwrap();
    assert_eq!((shown.state.as_str(), shown.failures), ("enabled", 0));
}

async fn who_has_left_the_team_is_told_nothing(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let eve = member(world, "Eve").await;
    let hers = channel(store, &eve, "hers").await;
    let event = NotificationEvent::MemberJoined;
    choose(store, &eve, event, Tell::All, &[(&hers, Tell::All)]).await;
    member(world, "late").await;
    assert_eq!(store.count_unread(eve.person()).await.unwrap(), 1);
    store.remove_member(anna, eve.user()).await.unwrap();
    assert!(take(store).await.is_none());
    let shown = &sent(store, &eve, &hers).await[0];
    assert_eq!(shown.state, "failed");
    assert!(shown.error.as_deref().unwrap().contains("not in the team"));
    assert_eq!(store.count_unread(eve.person()).await.unwrap(), 0);
    assert!(told(store, &eve).await.is_empty());
    member(world, "later").await;
    assert_eq!(
        sent(store, &eve, &hers).await.len(),
        1,
        "it is not queued any more"
    );
}

async fn who_is_there_for_one_project_is_told_of_that_alone(world: &World) {
    let (store, host) = (&world.store, world.host("shop").await);
    let (web, other) = (world.project("web").await, world.project("other").await);
    let bob = newcomer(world, Role::Viewer, Some(&web)).await;
    let his = channel(store, &bob, "his").await;
    let event = NotificationEvent::DeploymentFailed;
    choose(store, &bob, event, Tell::All, &[(&his, Tell::All)]).await;
    for project in [&other, &web] {
        world.deploy(project, &host).await;
        fails(world, &host).await;
    }
    let seen = told(store, &bob).await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(seen[0].message.starts_with("web:"), "{seen:?}");
    assert_eq!(take(store).await.unwrap().channel, his.id);

    world.deploy(&web, &host).await;
    fails(world, &host).await;
    let removed = store.remove_project_member(&world.tenant, web.id, bob.user());
    removed.await.unwrap();
    assert!(take(store).await.is_none());
    let shown = &sent(store, &bob, &his).await[1];
    assert!(shown.error.as_deref().unwrap().contains("not in the team"));
    assert!(told(store, &bob).await.is_empty());
}

async fn absent_agents_are_told_of_once_and_when_they_are_back(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let host = world.host("shop").await;
    let session = Uuid::now_v7();
    world.connect(&host, session).await;
    store.agent_disconnected(host.id, session).await.unwrap();
    assert_eq!(
        store.tell_of_absent_agents().await.unwrap(),
        0,
        "it may be back in a moment"
    );
    let mut tx = store.main().begin().await.unwrap();
    let sql = "UPDATE agents SET last_seen_at = $2 WHERE id = $1";
    execute!(
        tx.conn(),
        sql,
        host.id.uuid(),
        Utc::now() - TimeDelta::minutes(3)
    )
    .unwrap();
    tx.commit().await.unwrap();
    let (first, second) =
        tokio::join!(store.tell_of_absent_agents(), store.tell_of_absent_agents());
    assert_eq!(first.unwrap() + second.unwrap(), 1);
    assert_eq!(store.tell_of_absent_agents().await.unwrap(), 0);
    world.connect(&host, Uuid::now_v7()).await;
    world.connect(&host, Uuid::now_v7()).await;
    assert_eq!(
        events(store, anna).await,
        ["agent.enrolled", "agent.offline", "agent.online"]
    );
}

async fn signs_in(world: &World, agent: &str) {
    let device = Device {
        address: ADDRESS,
        user_agent: agent.to_owned(),
    };
    let mut tx = world.store.main().begin().await.unwrap();
    let (user, now) = (world.tenant.user(), tx.now().await.unwrap());
    notification_events::signs_in(&mut tx, user, &device, now)
        .await
        .unwrap();
    crate::store::sessions::begin(&mut tx, user, &device, crate::store::Means::Password, now)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn what_guards_an_account_is_told_and_mailed(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    signs_in(world, "Firefox").await;
    signs_in(world, "Firefox").await;
    signs_in(world, "curl").await;
    let told = told(store, anna).await;
    assert_eq!(
        told.len(),
        2,
        "a browser that is known is no news: {told:?}"
    );
    assert!(told[0].detail.as_deref().unwrap().contains("192.0.2.7"));
    assert!(told[0].team.is_none());
    let mail = take(store).await.unwrap();
    assert_eq!(
        (mail.email.as_str(), mail.host.as_str()),
        ("anna@example.org", "")
    );
    let unsent = Attempted::unanswered(Verdict::Refused, "no mail server".to_owned());
    assert!(store.notice_attempted(&mail, &unsent).await.unwrap());
    let channels = store.list_channels(anna.person()).await.unwrap();
    assert_eq!((channels.len(), channels[0].failures), (1, 1));
    assert!(
        store
            .delete_channel(anna.person(), channels[0].id)
            .await
            .is_err()
    );
}

async fn a_plan_that_is_nearly_used_up_is_told_twice(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let mut tx = store.main().begin().await.unwrap();
    let sql = "UPDATE plans SET max_projects = 5 WHERE name = 'Enterprise'";
    execute!(tx.conn(), sql).unwrap();
    tx.commit().await.unwrap();
    for name in ["a", "b", "c", "d", "e"] {
        store.create_project(anna, name).await.unwrap();
    }
    assert!(store.create_project(anna, "f").await.is_err());
    let messages: Vec<_> = told(store, anna)
        .await
        .into_iter()
        .map(|one| one.message)
        .collect();
    assert_eq!(
        messages,
        [
            "4 of the 5 projects that the plan allows are there",
            "5 of the 5 projects that the plan allows are there"
        ]
    );
}

async fn old_notifications_are_forgotten_and_the_newest_stay(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let ops = channel(store, anna, "ops").await;
    queue(world, &ops, 1).await;
    world.host("shop").await;
    let mut tx = store.main().begin().await.unwrap();
    let now = Utc::now();
    let fill = "INSERT INTO notifications (id, user_id, type, message, is_read, created_at)
        VALUES ($1, $2, 'x', 'filler', 0, $3)";
    let user = anna.user().uuid();
    for at in [now - TimeDelta::days(91), now] {
        execute!(tx.conn(), fill, Uuid::now_v7(), user, at).unwrap();
    }
    for _ in 0..1000 {
        execute!(tx.conn(), fill, Uuid::now_v7(), user, now).unwrap();
    }
    let sql = "UPDATE notification_deliveries SET created_at = $1";
    execute!(tx.conn(), sql, now - TimeDelta::days(31)).unwrap();
    tx.commit().await.unwrap();
    store.prune().await.unwrap();
    assert_eq!(store.count_unread(anna.person()).await.unwrap(), 1000);
    assert!(sent(store, anna, &ops).await.is_empty());
}

async fn nobody_finds_what_is_another_persons(world: &World) {
    let (store, anna) = (&world.store, &world.tenant);
    let eve = member(world, "Eve").await;
    let ops = channel(store, anna, "ops").await;
    world.host("shop").await;
    let theirs = told(store, anna).await.pop().unwrap();
    let stranger = eve.person();
    assert!(store.read_notification(stranger, theirs.id).await.is_err());
    assert!(store.channel(stranger, ops.id).await.is_err());
    let change = ChannelChange::default();
    assert!(
        store
            .change_channel(stranger, ops.id, change)
            .await
            .is_err()
    );
    assert!(store.delete_channel(stranger, ops.id).await.is_err());
    assert!(store.begin_test(stranger, ops.id).await.is_err());
    let listed = store.list_notification_deliveries(stranger, ops.id, Page::default());
    assert!(listed.await.is_err());
    let rule = NewRule {
        event: NotificationEvent::MemberJoined,
        choice: Some(Choice {
            in_product: Tell::All,
            channels: vec![ChannelRule {
                channel_id: ops.id,
                tell: Tell::All,
            }],
        }),
    };
    let refused = store.choose_notification_rules(stranger, vec![rule]).await;
    assert!(refused.unwrap_err().to_string().contains("none of yours"));
    assert!(!told(store, anna).await[0].is_read);
}
