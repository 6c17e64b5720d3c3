//! Jobs from their offer to their end: reports, cancels, leases.

use std::time::Duration;

use tokio::time::timeout;
use towline_shared::Fence;
use towline_shared::ids::JobId;
use towline_shared::log::{LogChunk, LogLine, LogPosition, LogStream};
use towline_shared::outcome::{FailureReason, Outcome, ServiceImage, Step};
use towline_shared::protocol::v1::{Attempt, Finished, Progress, Refusal, Refused};

use super::world::{World, finished, hello, on_both, succeeded};
use crate::job::{JobState, sweep_expired};
use crate::ops;
use crate::store::db::execute;
use crate::store::{Appended, Reaction};
use crate::wake::Topic;

on_both!(
    a_deployment_runs_to_its_end,
    a_result_waits_for_its_log,
    a_cancel_before_acceptance_is_final,
    a_cancel_afterwards_is_an_intent,
    an_agent_that_refuses_is_asked_again,
    leases_run_out,
    a_lease_of_a_broken_row_keeps_no_other_alive,
    a_lost_wake_up_is_made_up_for,
    reports_of_others_change_nothing,
    an_outdated_result_ends_nothing,
    failures_are_told,
    a_nul_in_a_report_is_no_obstacle,
);

async fn a_deployment_runs_to_its_end(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.claim(&host).await.attempt;
    assert_eq!(world.show(&deployment).await.status, JobState::Offered);
    assert_eq!(
        store.accepted(host.id, attempt).await.unwrap(),
        Reaction::Go
    );
    assert_eq!(
        store.accepted(host.id, attempt).await.unwrap(),
        Reaction::Go,
        "a repeated word gets the same answer"
    );
    assert_eq!(
        store.started(host.id, attempt).await.unwrap(),
        Reaction::Nothing
    );
    let progress = Progress {
        attempt,
        step: Step::Applying,
    };
    assert_eq!(
        store.progress(host.id, &progress).await.unwrap(),
        Reaction::Nothing
    );
    let running = world.show(&deployment).await;
    assert_eq!(
        (running.status, running.step.as_deref(), running.attempts),
        (JobState::Running, Some("applying"), 1)
    );
    assert!(running.started_at.is_some());

    let outcome = Outcome::Succeeded {
        images: vec![ServiceImage {
            service: "web".to_owned(),
            reference: "nginx:1.27".to_owned(),
            id: "sha256:1".to_owned(),
        }],
    };
    assert_eq!(
        store
            .finished(host.id, &finished(attempt, outcome.clone()))
            .await
            .unwrap(),
        Reaction::Forget
    );
    assert_eq!(
        store
            .finished(host.id, &finished(attempt, outcome))
            .await
            .unwrap(),
        Reaction::Forget
    );
    let ended = world.show(&deployment).await;
    assert_eq!(
        (ended.status, ended.step, ended.log_lines),
        (JobState::Succeeded, None, Some(0))
    );
    assert_eq!(ended.images[0].reference, "nginx:1.27");
    assert!(ended.finished_at.is_some());
    assert_eq!(
        ops::cancel(store, &world.tenant, deployment.id)
            .await
            .unwrap()
            .status,
        JobState::Succeeded
    );
}

fn chunk(position: LogPosition, text: &str) -> (LogChunk, LogPosition) {
    let line = LogLine {
        at_us: 1,
        stream: LogStream::Stdout,
        source: "compose".to_owned(),
        text: text.to_owned(),
    };
    LogChunk::encode(position, &[line]).unwrap()
}

async fn a_result_waits_for_its_log(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let (first, position) = chunk(LogPosition::default(), "pulling");
    let (second, position) = chunk(position, "done");
    let end = Finished {
        attempt,
        outcome: succeeded(),
        log: position,
    };
    assert!(
        matches!(world.store.append_log(host.id, attempt, &first).await.unwrap(), Appended::Ack(ack) if ack.next_line == 1)
    );
    assert_eq!(
        world.store.finished(host.id, &end).await.unwrap(),
        Reaction::Nothing
    );
    assert_eq!(world.show(&deployment).await.status, JobState::Running);
    world
        .store
        .append_log(host.id, attempt, &second)
        .await
        .unwrap();
    assert_eq!(
        world.store.finished(host.id, &end).await.unwrap(),
        Reaction::Forget
    );
    let ended = world.show(&deployment).await;
    assert_eq!(
        (ended.status, ended.log_lines),
        (JobState::Succeeded, Some(2))
    );
    assert_eq!(
        world
            .store
            .append_log(host.id, attempt, &second)
            .await
            .unwrap(),
        Appended::Forget
    );
}

async fn a_cancel_before_acceptance_is_final(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let queued = world.deploy(&project, &host).await;
    let cancelled = ops::cancel(store, &world.tenant, queued.id).await.unwrap();
    assert_eq!(cancelled.status, JobState::Cancelled);
    assert!(store.claim(host.id).await.unwrap().is_empty());

    let offered = world.deploy(&project, &host).await;
    let attempt = world.claim(&host).await.attempt;
    assert_eq!(
        ops::cancel(store, &world.tenant, offered.id)
            .await
            .unwrap()
            .status,
        JobState::Cancelled
    );
    assert_eq!(
        store.accepted(host.id, attempt).await.unwrap(),
        Reaction::Forget,
        "it never gets its Go"
    );
    assert_eq!(
        store.started(host.id, attempt).await.unwrap(),
        Reaction::Forget
    );
    assert_eq!(
        store
            .finished(host.id, &finished(attempt, succeeded()))
            .await
            .unwrap(),
        Reaction::Forget
    );
    assert_eq!(world.show(&offered).await.status, JobState::Cancelled);
}

async fn a_cancel_afterwards_is_an_intent(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    assert!(store.pending_cancels(host.id).await.unwrap().is_empty());
    let mut waiter = store.wake().subscribe(crate::wake::Topic::Agent(host.id));
    let asked = ops::cancel(store, &world.tenant, deployment.id)
        .await
        .unwrap();
    assert_eq!(asked.status, JobState::Running);
    assert!(asked.cancel_requested_at.is_some());
    tokio::time::timeout(std::time::Duration::from_secs(5), waiter.woken())
        .await
        .expect("the session is woken");
    assert_eq!(store.pending_cancels(host.id).await.unwrap(), [attempt]);
    let again = ops::cancel(store, &world.tenant, deployment.id)
        .await
        .unwrap();
    assert_eq!(again.cancel_requested_at, asked.cancel_requested_at);
    let outcome = Outcome::Cancelled {
        left: "the old containers run".to_owned(),
    };
    store
        .finished(host.id, &finished(attempt, outcome))
        .await
        .unwrap();
    let ended = world.show(&deployment).await;
    assert_eq!(
        (ended.status, ended.message.as_deref()),
        (JobState::Cancelled, Some("the old containers run"))
    );
    assert!(store.pending_cancels(host.id).await.unwrap().is_empty());
}

async fn an_agent_that_refuses_is_asked_again(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let deployment = world.deploy(&project, &host).await;
    let refuse = async |attempt, reason| {
        let refused = Refused {
            attempt,
            reason,
            message: "because".to_owned(),
        };
        store.refused(host.id, &refused).await.unwrap()
    };
    let first = world.claim(&host).await.attempt;
    assert_eq!(refuse(first, Refusal::StaleFence).await, Reaction::Nothing);
    let second = world.claim(&host).await.attempt;
    assert!(second.fence.incarnation > first.fence.incarnation);
    assert_eq!(
        refuse(first, Refusal::Busy).await,
        Reaction::Nothing,
        "an old word changes nothing"
    );
    assert_eq!(world.show(&deployment).await.status, JobState::Offered);

    refuse(second, Refusal::Busy).await;
    assert_eq!(world.show(&deployment).await.status, JobState::Queued);
    assert!(
        store.claim(host.id).await.unwrap().is_empty(),
        "not at once"
    );
    let mut tx = store.main().begin().await.unwrap();
    let now = tx.now().await.unwrap();
    execute!(
        tx.conn(),
        "UPDATE jobs SET not_before = $1 WHERE not_before IS NOT NULL",
        now
    )
    .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(sweep_expired(store).await.unwrap().woken, 1);
    let third = world.claim(&host).await.attempt;
    refuse(third, Refusal::Unreadable).await;
    let failed = world.show(&deployment).await;
    assert_eq!(
        (failed.status, failed.reason.as_deref(), failed.attempts),
        (JobState::Failed, Some("internal"), 3)
    );
    assert_eq!(failed.message.as_deref(), Some("because"));
}

async fn expire(world: &World) {
    let mut tx = world.store.main().begin().await.unwrap();
    let past = tx.now().await.unwrap() - chrono::TimeDelta::seconds(1);
    execute!(
        tx.conn(),
        "UPDATE jobs SET lease_expires_at = $1 WHERE lease_expires_at IS NOT NULL",
        past
    )
    .unwrap();
    tx.commit().await.unwrap();
}

async fn a_lease_of_a_broken_row_keeps_no_other_alive(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let other = world.host("depot").await;
    let broken = world.deploy(&project, &host).await;
    let sound = world.deploy(&project, &other).await;
    world.start(&host).await;
    world.start(&other).await;
    expire(world).await;
    let mut tx = world.store.main().begin().await.unwrap();
    let sql = "UPDATE jobs SET fence_incarnation = $2 WHERE id = $1";
    execute!(tx.conn(), sql, broken.job.uuid(), i64::MAX).unwrap();
    tx.commit().await.unwrap();
    assert_eq!(sweep_expired(&world.store).await.unwrap().unknown, 1);
    assert_eq!(world.show(&sound).await.status, JobState::Unknown);
    assert_eq!(world.show(&broken).await.status, JobState::Running);
}

/// A server that dies between its commit and its NOTIFY wakes nobody.
async fn a_lost_wake_up_is_made_up_for(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let deployment = world.deploy(&project, &host).await;
    let woken = async |expected: u64, why: &str| {
        let mut waiter = store.wake().subscribe(Topic::Agent(host.id));
        assert_eq!(sweep_expired(store).await.unwrap().woken, expected, "{why}");
        let woken = timeout(Duration::from_millis(50), waiter.woken()).await;
        assert_eq!(woken.is_ok(), expected > 0, "{why}");
    };
    woken(1, "a job waits for a connected agent").await;
    let waiting = world.deploy(&project, &host).await;
    world.start(&host).await;
    woken(0, "the target is busy").await;
    ops::cancel(store, &world.tenant, deployment.id)
        .await
        .unwrap();
    woken(1, "a job at work shall stop").await;
    let session = uuid::Uuid::now_v7();
    world.connect(&host, session).await;
    store.agent_disconnected(host.id, session).await.unwrap();
    woken(0, "nobody is there to be woken").await;
    assert_eq!(world.show(&waiting).await.status, JobState::Queued);
}

async fn leases_run_out(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let session = uuid::Uuid::now_v7();
    world.connect(&host, session).await;
    let deployment = world.deploy(&project, &host).await;
    let first = world.claim(&host).await.attempt;
    assert_eq!(
        sweep_expired(store).await.unwrap().requeued,
        0,
        "the lease is young"
    );
    assert_eq!(
        store.renew_leases(host.id, session).await.unwrap(),
        0,
        "an offer is not renewed"
    );
    expire(world).await;
    assert_eq!(sweep_expired(store).await.unwrap().requeued, 1);
    assert_eq!(
        store.accepted(host.id, first).await.unwrap(),
        Reaction::Forget,
        "too late"
    );

    let attempt = world.start(&host).await;
    expire(world).await;
    assert_eq!(
        store
            .renew_leases(host.id, uuid::Uuid::now_v7())
            .await
            .unwrap(),
        0,
        "another session"
    );
    assert_eq!(store.renew_leases(host.id, session).await.unwrap(), 1);
    assert_eq!(
        sweep_expired(store).await.unwrap().unknown,
        0,
        "renewed in time"
    );
    expire(world).await;
    assert_eq!(sweep_expired(store).await.unwrap().unknown, 1);
    let unknown = world.show(&deployment).await;
    assert_eq!(unknown.status, JobState::Unknown);
    assert!(unknown.agent_offline_since.is_some());
    let stranger = uuid::Uuid::now_v7();
    assert_eq!(store.renew_leases(host.id, stranger).await.unwrap(), 0);
    assert_eq!(world.show(&deployment).await.status, JobState::Unknown);
    assert_eq!(store.renew_leases(host.id, session).await.unwrap(), 1);
    let found = world.show(&deployment).await;
    assert_eq!(found.status, JobState::Running, "its session lives");
    assert_eq!(found.agent_offline_since, None);
    expire(world).await;
    assert_eq!(sweep_expired(store).await.unwrap().unknown, 1);
    assert!(
        store.claim(host.id).await.unwrap().is_empty(),
        "the host may still be working"
    );
    store
        .finished(host.id, &finished(attempt, succeeded()))
        .await
        .unwrap();
    let ended = world.show(&deployment).await;
    assert_eq!(
        (ended.status, ended.agent_offline_since),
        (JobState::Succeeded, None)
    );
}

async fn reports_of_others_change_nothing(world: &World) {
    let (host, thief, project) = (
        world.host("shop").await,
        world.host("thief").await,
        world.project("web").await,
    );
    let store = &world.store;
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let older = Attempt {
        fence: Fence::new(attempt.fence.incarnation, attempt.fence.epoch - 1),
        ..attempt
    };
    let unknown = Attempt {
        job: JobId::new(),
        ..attempt
    };
    let (piece, _) = chunk(LogPosition::default(), "x");
    for (agent, attempt) in [(thief.id, attempt), (host.id, older), (host.id, unknown)] {
        assert_eq!(
            store.accepted(agent, attempt).await.unwrap(),
            Reaction::Forget
        );
        assert_eq!(
            store.started(agent, attempt).await.unwrap(),
            Reaction::Forget
        );
        assert_eq!(
            store
                .finished(agent, &finished(attempt, succeeded()))
                .await
                .unwrap(),
            Reaction::Forget
        );
        assert_eq!(
            store.append_log(agent, attempt, &piece).await.unwrap(),
            Appended::Forget
        );
    }
    assert!(store.pending_cancels(thief.id).await.unwrap().is_empty());
    assert!(store.claim(thief.id).await.unwrap().is_empty());
    assert_eq!(world.show(&deployment).await.status, JobState::Running);
}

async fn an_outdated_result_ends_nothing(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let store = &world.store;
    let deployment = world.deploy(&project, &host).await;
    let first = world.start(&host).await;
    store.hello(host.id, &hello()).await.unwrap();
    let second = world.start(&host).await;
    assert!(second.fence > first.fence);
    let end = finished(first, succeeded());
    assert_eq!(
        store.finished(host.id, &end).await.unwrap(),
        Reaction::Forget
    );
    assert_eq!(world.show(&deployment).await.status, JobState::Running);
    let (piece, position) = chunk(LogPosition::default(), "still here");
    let appended = store.append_log(host.id, second, &piece).await.unwrap();
    assert!(
        matches!(appended, Appended::Ack(ack) if ack.next_line == 1),
        "{appended:?}"
    );
    let end = Finished {
        attempt: second,
        outcome: succeeded(),
        log: position,
    };
    store.finished(host.id, &end).await.unwrap();
    assert_eq!(world.show(&deployment).await.attempts, 2);
}

async fn failures_are_told(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let deployment = world.deploy(&project, &host).await;
    let attempt = world.start(&host).await;
    let outcome = Outcome::Failed {
        reason: FailureReason::CrashLoop,
        message: "web exits with 1".to_owned(),
    };
    world
        .store
        .finished(host.id, &finished(attempt, outcome))
        .await
        .unwrap();
    let failed = world.show(&deployment).await;
    assert_eq!(failed.status, JobState::Failed);
    assert_eq!(
        (failed.reason.as_deref(), failed.message.as_deref()),
        (Some("crash_loop"), Some("web exits with 1"))
    );
}

/// PostgreSQL keeps no NUL; a report that fails by it would be sent again for ever.
async fn a_nul_in_a_report_is_no_obstacle(world: &World) {
    let (host, project) = (world.host("shop").await, world.project("web").await);
    let mut odd = hello();
    odd.version = "0.1\0".to_owned();
    odd.capabilities.hostname = "build\0-7".to_owned();
    odd.capabilities.policy.registries = vec!["\0".to_owned()];
    let session = uuid::Uuid::now_v7();
    let before = world.before(&host).await;
    world
        .store
        .agent_connected(host.id, session, before, &odd)
        .await
        .unwrap();
    world
        .store
        .agent_capabilities(host.id, &odd.capabilities)
        .await
        .unwrap();
    let agent = world.store.agent(&world.tenant, host.id).await.unwrap();
    assert_eq!(agent.hostname, "build\u{fffd}-7");
    world
        .store
        .agent_capabilities(host.id, &hello().capabilities)
        .await
        .unwrap();

    let image = ServiceImage {
        service: "web".to_owned(),
        reference: "nginx\0".to_owned(),
        id: "sha256:1".to_owned(),
    };
    let failed = Outcome::Failed {
        reason: FailureReason::Internal,
        message: "broken\0".to_owned(),
    };
    let done = Outcome::Succeeded {
        images: vec![image],
    };
    for outcome in [failed, done] {
        let deployment = world.deploy(&project, &host).await;
        let attempt = world.start(&host).await;
        let end = finished(attempt, outcome);
        world.store.finished(host.id, &end).await.unwrap();
        let ended = world.show(&deployment).await;
        assert!(ended.status.is_terminal());
        let told = ended
            .message
            .or_else(|| Some(ended.images[0].reference.clone()));
        assert!(told.unwrap().ends_with('\u{fffd}'));
    }
}
