//! The reconnect conversation.

use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::log::LogPosition;
use towline_shared::protocol::v1::{Attempt, Held, HeldPhase, Hello, SecretsNeed, Verdict};
use towline_shared::spec::Interruption;

use super::world::{World, deployment, finished, hello, on_both, succeeded};
use crate::egress::Egress;
use crate::job::JobState;
use crate::ops::{self, NewDeployment};
use crate::store::db::all;
use crate::store::{LogEnd, Reaction};

on_both!(
    a_held_job_goes_on,
    going_on_is_no_transition,
    a_lost_go_is_given_again,
    a_cancel_meets_the_agent_when_it_is_back,
    what_is_not_the_agents_is_forgotten,
    a_lost_job_is_met_by_its_policy,
    a_job_held_under_another_fence_is_lost,
    a_restored_database_outdates_what_it_forgot,
    lost_lines_are_a_gap,
);

fn held(attempt: Attempt, phase: HeldPhase) -> Held {
    Held {
        attempt,
        phase,
        secrets: SecretsNeed::Known,
        log_from: LogPosition::default(),
    }
}

fn holding(held: Held) -> Hello {
    Hello {
        held: vec![held],
        ..hello()
    }
}

async fn going_on_is_no_transition(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let running = holding(held(attempt, HeldPhase::Running));
    for _ in 0..3 {
        world.store.hello(host.id, &running).await.unwrap();
    }
    let mut reader = world.store.main().read().await.unwrap();
    let sql = "SELECT action FROM audit_logs WHERE subject_id = $1 ORDER BY seq";
    let written = all!(reader.conn(), (String,), sql, deployment.id.uuid()).unwrap();
    let written: Vec<_> = written.iter().map(|(action,)| action.as_str()).collect();
    assert_eq!(
        written,
        ["deployment.create", "job.offer", "job.accept", "job.run"]
    );
}

/// After a restore an agent may hold a job under a fence that the database does not know.
async fn a_job_held_under_another_fence_is_lost(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let other = Attempt {
        fence: Fence::new(attempt.fence.incarnation, attempt.fence.epoch + 1),
        ..attempt
    };
    let stranger = holding(held(other, HeldPhase::Running));
    let verdicts = world.store.hello(host.id, &stranger).await.unwrap();
    assert_eq!(verdicts, [(other, Verdict::Forget)]);
    assert_eq!(world.show(&deployment).await.status, JobState::Queued);
}

async fn a_held_job_goes_on(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    world
        .store
        .put_secret(&world.tenant, project.id, "PASSWORD", "hunter2")
        .await
        .unwrap();
    assert!(
        world
            .store
            .hello(host.id, &hello())
            .await
            .unwrap()
            .is_empty()
    );
    let shown = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let needy = Held {
        secrets: SecretsNeed::Lost,
        ..held(attempt, HeldPhase::Running)
    };
    let verdicts = world.store.hello(host.id, &holding(needy)).await.unwrap();
    let [(of, Verdict::Continue { log, secrets })] = verdicts.as_slice() else {
        panic!("{verdicts:?}")
    };
    assert_eq!(
        (*of, *log, secrets[0].value.as_str()),
        (attempt, LogPosition::default(), "hunter2")
    );
    let known = world
        .store
        .hello(host.id, &holding(held(attempt, HeldPhase::Running)))
        .await
        .unwrap();
    assert!(matches!(&known[0].1, Verdict::Continue { secrets, .. } if secrets.is_empty()));
    let ended = world
        .store
        .hello(host.id, &holding(held(attempt, HeldPhase::Finished)))
        .await
        .unwrap();
    assert!(matches!(ended[0].1, Verdict::Resend { .. }));
    world
        .store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    let over = world
        .store
        .hello(host.id, &holding(held(attempt, HeldPhase::Finished)))
        .await
        .unwrap();
    assert_eq!(over[0].1, Verdict::Forget);
    assert_eq!(world.show(&shown).await.status, JobState::Succeeded);
}

async fn a_lost_go_is_given_again(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let shown = world.deploy(&project, &host).await;
    let attempt = world.claim(&host).await.attempt;
    let verdicts = world
        .store
        .hello(host.id, &holding(held(attempt, HeldPhase::Accepted)))
        .await
        .unwrap();
    assert!(matches!(verdicts[0].1, Verdict::Continue { .. }));
    assert_eq!(world.show(&shown).await.status, JobState::Accepted);
}

async fn a_cancel_meets_the_agent_when_it_is_back(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let shown = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    ops::cancel(&world.store, &world.tenant, shown.id)
        .await
        .unwrap();
    let verdicts = world
        .store
        .hello(host.id, &holding(held(attempt, HeldPhase::Running)))
        .await
        .unwrap();
    assert!(matches!(verdicts[0].1, Verdict::Cancel { .. }));
}

async fn what_is_not_the_agents_is_forgotten(world: &World) {
    let (host, thief, project) = (
        world.host("shop").await,
        world.host("thief").await,
        world.project("web").await,
    );
    let shown = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let needy = Held {
        secrets: SecretsNeed::Lost,
        ..held(attempt, HeldPhase::Running)
    };
    assert_eq!(
        world.store.hello(thief.id, &holding(needy)).await.unwrap(),
        [(attempt, Verdict::Forget)]
    );
    let unknown = Attempt {
        job: JobId::new(),
        ..attempt
    };
    let verdicts = world
        .store
        .hello(thief.id, &holding(held(unknown, HeldPhase::Running)))
        .await
        .unwrap();
    assert_eq!(verdicts, [(unknown, Verdict::Forget)]);
    assert_eq!(world.show(&shown).await.status, JobState::Running);
}

async fn a_lost_job_is_met_by_its_policy(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    for (policy, expected) in [
        (Interruption::Resume, JobState::Queued),
        (Interruption::RequeueIfNotStarted, JobState::Failed),
        (Interruption::Fail, JobState::Failed),
    ] {
        let new = NewDeployment {
            interruption: Some(policy),
            on_failure: None,
            build_on: None,
            ..deployment(&project, &host)
        };
        let shown = ops::deploy(&world.store, &Egress::closed(), &world.tenant, new, None)
            .await
            .unwrap();
        let attempt = world.start(&host).await;
        world.store.hello(host.id, &hello()).await.unwrap();
        let lost = world.show(&shown).await;
        assert_eq!(lost.status, expected, "{policy:?}");
        assert_eq!(
            world
                .store
                .finished(host.id, &finished(attempt, succeeded()))
                .await
                .unwrap(),
            Reaction::Forget
        );
        if expected == JobState::Failed {
            assert_eq!(lost.reason.as_deref(), Some("journal_lost"));
        }
        ops::cancel(&world.store, &world.tenant, shown.id)
            .await
            .unwrap();
    }
}

async fn a_restored_database_outdates_what_it_forgot(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let seen = Fence::new(3, 41);
    let greeting = Hello {
        fences: vec![(host.target, seen)],
        ..hello()
    };
    world.store.hello(host.id, &greeting).await.unwrap();
    world.deploy(&project, &host).await;
    let fence = world.claim(&host).await.attempt.fence;
    assert_eq!(fence, Fence::new(4, 1));
    world.store.hello(host.id, &greeting).await.unwrap();
    assert_eq!(
        world.claim(&host).await.attempt.fence,
        Fence::new(4, 2),
        "raised once"
    );
    let incarnation = world.store.raise_incarnation().await.unwrap();
    assert_eq!(incarnation, 2);
    world.store.hello(host.id, &hello()).await.unwrap();
    assert_eq!(
        world.claim(&host).await.attempt.fence,
        Fence::new(5, 1),
        "above all that were given out"
    );
}

async fn lost_lines_are_a_gap(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let shown = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let from = LogPosition {
        next_line: 7,
        chain: [9; 32],
    };
    let behind = Held {
        log_from: from,
        ..held(attempt, HeldPhase::Running)
    };
    let verdicts = world.store.hello(host.id, &holding(behind)).await.unwrap();
    assert!(matches!(verdicts[0].1, Verdict::Continue { log, .. } if log == from));
    let page = world
        .store
        .log_range(&world.tenant, shown.id, 0, 100)
        .await
        .unwrap();
    assert_eq!(
        (page.lines.len(), page.next, page.end),
        (1, 7, LogEnd::Open)
    );
    assert_eq!(page.lines[0].1.stream, towline_shared::log::LogStream::Gap);
}
