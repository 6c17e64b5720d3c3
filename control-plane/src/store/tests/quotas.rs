//! Plans and their quotas, which hold exactly.

use chrono::TimeDelta;
use futures_util::future::join_all;
use towline_shared::ids::PlanId;
use towline_shared::spec::VolumeFate;

use super::world::{Host, World, deployment, finished, on_both, succeeded};
use crate::egress::Egress;
use crate::ops::{self, NewRemoval, OpsError};
use crate::store::db::{all, one};
use crate::store::plans::MAX_LIMIT;
use crate::store::usage::Day;
use crate::store::{
    NewLimit, Page, PastDays, Plan, PlanChange, Project, Quota, QuotaExceeded, Resource,
    StoreError, Usage, quota,
};

on_both!(
    two_hundred_projects_at_a_quota_of_ten_make_ten,
    two_hundred_deployments_at_a_quota_of_ten_make_ten,
    a_repeated_request_counts_once,
    the_day_ends_at_midnight,
    deleting_a_project_gives_no_deployment_back,
    a_change_of_a_plan_holds_at_once_and_is_written_down,
    an_impossible_plan_is_refused,
);

const CROWD: usize = 200;
const LIMIT: u32 = 10;

/// Changes the plan of the world's first person.
pub(super) async fn allow(world: &World, change: PlanChange) -> Plan {
    let plan = usage(world).await.plan.id;
    let changed = world.store.change_plan(&world.tenant, plan, change).await;
    changed.unwrap()
}

pub(super) async fn usage(world: &World) -> Usage {
    let past = PastDays {
        limit: 50,
        before: None,
    };
    world.store.usage(&world.tenant, past).await.unwrap()
}

fn deployments(limit: u32) -> PlanChange {
    PlanChange {
        max_deployments_per_day: NewLimit::AtMost(limit),
        ..PlanChange::default()
    }
}

fn projects(limit: u32) -> PlanChange {
    PlanChange {
        max_projects: NewLimit::AtMost(limit),
        ..PlanChange::default()
    }
}

async fn deploy(world: &World, project: &Project, host: &Host, key: Option<&str>) -> Outcome {
    let wanted = deployment(project, host);
    let made = ops::deploy(&world.store, &Egress::closed(), &world.tenant, wanted, key).await;
    made.map(|_| ()).map_err(exceeded)
}

type Outcome = Result<(), QuotaExceeded>;

fn exceeded(error: OpsError) -> QuotaExceeded {
    match error {
        OpsError::Store(StoreError::QuotaExceeded(exceeded)) => exceeded,
        other => panic!("{other}"),
    }
}

/// How many of a crowd came through; all others met the same limit, which was used up.
fn made(outcomes: &[Outcome], quota: Quota) -> usize {
    let refused: Vec<_> = outcomes
        .iter()
        .filter_map(|one| one.as_ref().err())
        .collect();
    for refusal in &refused {
        let limit = u64::from(LIMIT);
        assert_eq!(
            (refusal.quota, refusal.limit, refusal.used),
            (quota, limit, limit)
        );
        assert_eq!(refusal.resets_at.is_none(), quota == Quota::Projects);
    }
    outcomes.len() - refused.len()
}

async fn two_hundred_projects_at_a_quota_of_ten_make_ten(world: &World) {
    allow(world, projects(LIMIT)).await;
    let create = async |number: usize| {
        let name = format!("project-{number}");
        let made = world.store.create_project(&world.tenant, &name).await;
        made.map(|_| ()).map_err(|error| exceeded(error.into()))
    };
    let outcomes = join_all((0..CROWD).map(create)).await;
    assert_eq!(made(&outcomes, Quota::Projects), LIMIT as usize);
    let page = Page {
        limit: 200,
        after: None,
    };
    let listed = world
        .store
        .list_projects(&world.tenant, page)
        .await
        .unwrap();
    assert_eq!(listed.items.len(), LIMIT as usize);
    assert_eq!(usage(world).await.projects, u64::from(LIMIT));
    assert_eq!(
        actions(world, "project.refuse").await,
        CROWD - LIMIT as usize
    );

    // A place that becomes free is free.
    let gone = listed.items[0].id;
    world
        .store
        .delete_project(&world.tenant, gone)
        .await
        .unwrap();
    assert_eq!(create(CROWD).await, Ok(()));
    assert!(create(CROWD + 1).await.is_err());
}

async fn two_hundred_deployments_at_a_quota_of_ten_make_ten(world: &World) {
    let host = world.host("shop").await;
    let names = ["one", "two", "three", "four"];
    let shops = join_all(names.map(|name| world.project(name))).await;
    allow(world, deployments(LIMIT)).await;
    let wish = |number: usize| deploy(world, &shops[number % shops.len()], &host, None);
    let outcomes = join_all((0..CROWD).map(wish)).await;
    assert_eq!(made(&outcomes, Quota::DeploymentsPerDay), LIMIT as usize);
    let mut reader = world.store.main().read().await.unwrap();
    let (rows,) = one!(reader.conn(), (i64,), "SELECT COUNT(*) FROM deployments").unwrap();
    drop(reader);
    assert_eq!(rows, i64::from(LIMIT));
    assert_eq!(usage(world).await.current.deployments, u64::from(LIMIT));
    assert_eq!(
        actions(world, "deployment.refuse").await,
        CROWD - LIMIT as usize
    );
}

async fn actions(world: &World, action: &str) -> usize {
    let mut reader = world.store.main().read().await.unwrap();
    let sql = "SELECT COUNT(*) FROM audit_logs WHERE action = $1";
    let (rows,) = one!(reader.conn(), (i64,), sql, action).unwrap();
    usize::try_from(rows).unwrap()
}

async fn a_repeated_request_counts_once(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    allow(world, deployments(2)).await;
    let wish = |key| deploy(world, &project, &host, Some(key));
    let crowd = join_all((0..20).map(|_| wish("first"))).await;
    assert_eq!(crowd, vec![Ok(()); 20]);
    assert_eq!(usage(world).await.current.deployments, 1);
    assert_eq!(wish("second").await, Ok(()));
    let refused = wish("third").await.unwrap_err();
    assert_eq!((refused.limit, refused.used), (2, 2));
    // What was done before is answered at the limit, too; what was refused has used nothing.
    assert_eq!(wish("first").await, Ok(()));
    assert_eq!(usage(world).await.current.deployments, 2);
    allow(world, deployments(3)).await;
    assert_eq!(wish("third").await, Ok(()));
    assert_eq!(usage(world).await.current.deployments, 3);
}

async fn the_day_ends_at_midnight(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    allow(world, deployments(1)).await;
    assert_eq!(deploy(world, &project, &host, None).await, Ok(()));
    let today = Day::of(world.store.now().await.unwrap());
    let tick = TimeDelta::microseconds(1);
    for (at, is_refused) in [
        (today.start() - tick, false),
        (today.start(), true),
        (today.end() - tick, true),
        (today.end(), false),
    ] {
        let mut tx = world.store.main().begin().await.unwrap();
        let checked = quota::check_deployments(&mut tx, world.tenant.team(), at).await;
        tx.roll_back().await.unwrap();
        match checked {
            Ok(_) => assert!(!is_refused, "{at}"),
            Err(error) => {
                let refusal = exceeded(error.into());
                assert!(is_refused, "{at}");
                assert_eq!(refusal.resets_at, Some(today.end()), "{at}");
                let midnight = today.end().format("%Y-%m-%dT00:00:00Z").to_string();
                assert!(refusal.remedy().contains(&midnight), "{}", refusal.remedy());
            }
        }
    }
    allow(world, deployments(0)).await;
    let refused = deploy(world, &project, &host, None).await.unwrap_err();
    assert_eq!((refused.limit, refused.used), (0, 1));
    assert_eq!(refused.remedy(), "change the plan");
}

async fn deleting_a_project_gives_no_deployment_back(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let other = world.project("other").await;
    allow(world, deployments(2)).await;
    for _ in 0..2 {
        assert_eq!(deploy(world, &project, &host, None).await, Ok(()));
        end_job(world, &host).await;
    }
    // At the limit, it can still be taken away, which is no deployment.
    let removal = NewRemoval {
        project: project.id,
        target: "shop".to_owned(),
        volumes: VolumeFate::Keep,
        deadline_s: None,
    };
    ops::remove(&world.store, &world.tenant, removal, None)
        .await
        .unwrap();
    end_job(world, &host).await;
    assert_eq!(usage(world).await.current.deployments, 2);
    world
        .store
        .delete_project(&world.tenant, project.id)
        .await
        .unwrap();
    assert_eq!(usage(world).await.current.deployments, 2);
    let refused = deploy(world, &other, &host, None).await.unwrap_err();
    assert_eq!((refused.limit, refused.used), (2, 2));

    // Another team has a day of its own.
    let stranger = world.stranger().await;
    let theirs = PastDays {
        limit: 1,
        before: None,
    };
    let theirs = world.store.usage(&stranger, theirs).await.unwrap();
    assert_eq!((theirs.projects, theirs.current.deployments), (0, 0));
}

async fn end_job(world: &World, host: &Host) {
    let attempt = world.start(host).await;
    let end = finished(attempt, succeeded());
    world.store.finished(host.id, &end).await.unwrap();
}

async fn a_change_of_a_plan_holds_at_once_and_is_written_down(world: &World) {
    for name in ["one", "two"] {
        world.project(name).await;
    }
    let before = usage(world).await.plan;
    assert_eq!(
        (before.max_projects, before.max_deployments_per_day),
        (None, None)
    );
    let after = allow(world, projects(1)).await;
    assert_eq!(
        (after.max_projects, after.max_deployments_per_day),
        (Some(1), None)
    );
    assert_eq!((after.id, after.price), (before.id, before.price));
    assert_eq!(usage(world).await.projects, 2, "what there is stays");
    let refused = world.store.create_project(&world.tenant, "three").await;
    let refused = exceeded(refused.unwrap_err().into());
    assert_eq!((refused.limit, refused.used), (1, 2));
    let free = PlanChange {
        price: Some(7),
        max_projects: NewLimit::Unlimited,
        ..PlanChange::default()
    };
    assert_eq!(allow(world, free).await.price, 7);
    world.project("three").await;

    let mut reader = world.store.main().read().await.unwrap();
    let rows = all!(
        reader.conn(),
        (String, Option<uuid::Uuid>),
        "SELECT detail, team_id FROM audit_logs WHERE action = 'plan.change' ORDER BY seq"
    );
    let rows = rows.unwrap();
    let detail: serde_json::Value = serde_json::from_str(&rows[1].0).unwrap();
    assert_eq!((rows.len(), rows[1].1), (2, None));
    assert_eq!(
        (&detail["before"]["max_projects"], &detail["after"]["price"]),
        (&1.into(), &7.into())
    );
    assert!(detail["after"]["max_projects"].is_null());
}

async fn an_impossible_plan_is_refused(world: &World) {
    let (store, tenant) = (&world.store, &world.tenant);
    let plans = store.list_plans().await.unwrap();
    let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
    assert_eq!(names, ["Free", "Pro", "Enterprise"]);
    let price = PlanChange {
        price: Some(u32::MAX),
        ..PlanChange::default()
    };
    for (change, field) in [
        (projects(MAX_LIMIT + 1), "max_projects"),
        (deployments(MAX_LIMIT + 1), "max_deployments_per_day"),
        (price, "price"),
    ] {
        let refused = store.change_plan(tenant, plans[0].id, change).await;
        assert!(
            matches!(refused, Err(StoreError::Invalid { field: at, .. }) if at == field),
            "{refused:?}"
        );
    }
    let absent = store.change_plan(tenant, PlanId::new(), projects(1)).await;
    assert!(matches!(absent, Err(StoreError::NotFound(Resource::Plan))));
}
