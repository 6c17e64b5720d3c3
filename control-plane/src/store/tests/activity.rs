//! What people see of what was done, and what those who guard the team read.

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::world::{World, finished, on_both, succeeded};
use crate::ops;
use crate::store::{Activity, ActivityFilter, AuditExport, AuditFilter, Page, Span, Store, Tenant};

on_both!(
    what_is_done_is_seen_by_the_team_and_nobody_else,
    activity_is_cut_to_what_is_wanted,
    a_deleted_project_keeps_its_story,
    refused_access_is_in_the_audit_log_and_bounded,
    an_export_has_every_entry_once,
);

async fn seen(store: &Store, tenant: &Tenant, filter: ActivityFilter) -> Vec<Activity> {
    let page = Page {
        limit: 200,
        after: None,
    };
    let listed = store.list_activity(tenant, &filter, page).await.unwrap();
    listed.items
}

fn actions(listed: &[Activity]) -> Vec<&str> {
    listed.iter().map(|one| one.action.as_str()).collect()
}

async fn what_is_done_is_seen_by_the_team_and_nobody_else(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world.deploy(&project, &host).await;
    let end = finished(world.start(&host).await, succeeded());
    world.store.finished(host.id, &end).await.unwrap();
    let listed = seen(&world.store, &world.tenant, ActivityFilter::default()).await;
    assert_eq!(
        actions(&listed)[..4],
        [
            "job.finish",
            "deployment.create",
            "project.put_files",
            "project.create"
        ]
    );
    assert!(!actions(&listed).contains(&"job.offer"), "{listed:?}");
    let end = &listed[0];
    assert_eq!(
        (&end.metadata["to"], end.user.is_none()),
        (&json!("succeeded"), true)
    );
    for one in &listed[..4] {
        assert_eq!(one.project.as_ref().unwrap().name, "web", "{one:?}");
    }
    assert_eq!(listed[1].user.as_ref().unwrap().name, "Anna");
    assert!(actions(&listed).contains(&"agent.enrol"), "{listed:?}");

    let stranger = world.stranger().await;
    let theirs = seen(&world.store, &stranger, ActivityFilter::default()).await;
    assert!(theirs.iter().all(|one| one.project.is_none()), "{theirs:?}");
    let project = ActivityFilter {
        project: Some(project.id),
        ..ActivityFilter::default()
    };
    assert_eq!(
        actions(&seen(&world.store, &stranger, project).await),
        [""; 0]
    );
}

async fn activity_is_cut_to_what_is_wanted(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let (web, _api) = (world.project("web").await, world.project("api").await);
    let of = async |filter| {
        let listed = seen(store, tenant, filter).await;
        listed
            .iter()
            .map(|one| one.action.clone())
            .collect::<Vec<_>>()
    };
    let all = || ActivityFilter::default();
    let project = ActivityFilter {
        project: Some(web.id),
        ..all()
    };
    assert_eq!(
        of(project.clone()).await,
        ["project.put_files", "project.create"]
    );
    let action = ActivityFilter {
        action: Some("project.create".into()),
        ..all()
    };
    assert_eq!(of(action.clone()).await, ["project.create"; 2]);
    let both = ActivityFilter {
        project: Some(web.id),
        user: Some(tenant.user()),
        ..action
    };
    assert_eq!(of(both).await, ["project.create"]);
    let nobody = ActivityFilter {
        user: Some(towline_shared::ids::UserId::new()),
        ..all()
    };
    assert_eq!(of(nobody).await, [""; 0]);
    let now = Utc::now();
    let (hour, span) = (TimeDelta::hours(1), |since, until| ActivityFilter {
        span: Span { since, until },
        ..project.clone()
    });
    assert_eq!(of(span(Some(now - hour), Some(now + hour))).await.len(), 2);
    assert_eq!(of(span(Some(now + hour), None)).await, [""; 0]);
    assert_eq!(of(span(None, Some(now - hour))).await, [""; 0]);

    let first = Page {
        limit: 1,
        after: None,
    };
    let one = store.list_activity(tenant, &project, first).await.unwrap();
    let next = Page {
        after: one.next_cursor,
        ..first
    };
    let other = store.list_activity(tenant, &project, next).await.unwrap();
    assert_eq!(actions(&one.items), ["project.put_files"]);
    assert_eq!(
        (actions(&other.items), other.next_cursor),
        (vec!["project.create"], None)
    );
}

async fn a_deleted_project_keeps_its_story(world: &World) {
    let project = world.project("web").await;
    let deleted = world.store.delete_project(&world.tenant, project.id).await;
    deleted.unwrap();
    let listed = seen(&world.store, &world.tenant, ActivityFilter::default()).await;
    assert_eq!(
        actions(&listed)[..3],
        ["project.delete", "project.put_files", "project.create"]
    );
    assert_eq!(listed[0].metadata, json!({"name": "web"}));
    assert!(
        listed[..3].iter().all(|one| one.project.is_none()),
        "{listed:?}"
    );
}

async fn refused_access_is_in_the_audit_log_and_bounded(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    for _ in 0..200 {
        let noted = store.note_refused_access(tenant, "POST", "/api/v1/projects", "role viewer");
        noted.await.unwrap();
    }
    let refused = AuditFilter {
        action: Some("access.refuse".into()),
        ..AuditFilter::default()
    };
    let page = Page {
        limit: 200,
        after: None,
    };
    let listed = store.list_audit(tenant, &refused, page).await.unwrap();
    assert_eq!(listed.items.len(), 64);
    let entry = &listed.items[0];
    assert_eq!(entry.detail["route"], "/api/v1/projects");
    assert_eq!(entry.actor.id, Some(tenant.user().uuid()));
    let everything = seen(store, tenant, ActivityFilter::default()).await;
    assert!(!actions(&everything).contains(&"access.refuse"));
    let stranger = world.stranger().await;
    let theirs = store.list_audit(&stranger, &refused, page).await.unwrap();
    assert!(theirs.items.is_empty());
}

async fn an_export_has_every_entry_once(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let host = world.host("shop").await;
    for n in 0..260 {
        store
            .create_project(tenant, &format!("p{n}"))
            .await
            .unwrap();
        let project = store.find_project(tenant, &format!("p{n}")).await.unwrap();
        store.delete_project(tenant, project.id).await.unwrap();
    }
    ops::revoke(store, tenant, host.id).await.unwrap();
    let whole = async |mut export: AuditExport| {
        let mut entries = Vec::new();
        loop {
            let next = store.export_audit(&mut export).await.unwrap();
            if next.is_empty() {
                return entries;
            }
            entries.extend(next);
        }
    };
    let (ours, all) = (
        whole(AuditExport::of_team(tenant, Span::default())).await,
        whole(AuditExport::of_all(Span::default())).await,
    );
    assert!(ours.len() > 520 && ours.is_sorted_by(|one, next| one.id < next.id));
    assert_eq!(ours.last().unwrap().action, "agent.revoke");
    assert_eq!(all.len() as u64, store.verify_audit().await.unwrap().rows);
    assert!(
        all.len() > ours.len(),
        "the installation's own entries, too"
    );
    let later = Span {
        since: Some(Utc::now() + TimeDelta::hours(2)),
        until: None,
    };
    assert_eq!(whole(AuditExport::of_team(tenant, later)).await.len(), 0);
}
