//! Every event in every phase of a job.
#![allow(clippy::unwrap_used)]

use towline_shared::Fence;
use towline_shared::ids::{JobId, TargetId};
use towline_shared::log::LogPosition;
use towline_shared::outcome::{FailureReason, Outcome, Step};
use towline_shared::protocol::v1::{Attempt, FromAgent, HeldPhase, MAX_HELD, Refusal, SecretsNeed};
use towline_shared::spec::Interruption;

use super::*;
use crate::ledger::SecretCount;

fn acceptance(target: TargetId, epoch: u64) -> Acceptance {
    Acceptance {
        attempt: Attempt {
            job: JobId::new(),
            fence: Fence::new(1, epoch),
        },
        target,
        interruption: Interruption::Resume,
        secrets: SecretCount::None,
        log: LogPosition::default(),
    }
}

fn done() -> Outcome {
    Outcome::Succeeded { images: Vec::new() }
}

fn stopped() -> Outcome {
    Outcome::Cancelled { left: "all".into() }
}

fn with(accepted: &Acceptance, phase: Phase) -> Machine {
    Machine {
        fences: BTreeMap::from([(accepted.target, accepted.attempt.fence)]),
        jobs: vec![Job {
            accepted: accepted.clone(),
            phase,
        }],
        intake: Intake::Open,
    }
}

/// The phases of a row, in the order of the columns below.
fn phases() -> Vec<Phase> {
    use Worker::{Idle, Live};
    vec![
        Phase::Accepting,
        Phase::Accepted(Live),
        Phase::Accepted(Idle),
        Phase::Beginning(Live),
        Phase::Beginning(Idle),
        Phase::Running(Live, Some(Step::Applying)),
        Phase::Running(Idle, Some(Step::Applying)),
        Phase::Stopping(Begun::Yes, Intent::Cancel),
        Phase::Finishing(done()),
        Phase::Finished(done(), Kept::Journal),
        Phase::Dropping,
    ]
}

/// A phase or an action in a few letters, to have the table on one page.
fn short_phase(machine: &Machine) -> String {
    let Some(job) = machine.jobs().first() else {
        return "gone".into();
    };
    let worker = |worker: &Worker| if *worker == Worker::Live { "+" } else { "" };
    match &job.phase {
        Phase::Accepting => "accepting".into(),
        Phase::Accepted(w) => format!("accepted{}", worker(w)),
        Phase::Beginning(w) => format!("beginning{}", worker(w)),
        Phase::Running(w, _) => format!("running{}", worker(w)),
        Phase::Stopping(Begun::No, _) => "stopping0".into(),
        Phase::Stopping(Begun::Yes, _) => "stopping".into(),
        Phase::Finishing(_) => "finishing".into(),
        Phase::Finished(_, Kept::Memory) => "finished*".into(),
        Phase::Finished(_, Kept::Journal) => "finished".into(),
        Phase::Dropping => "dropping".into(),
        Phase::Gone => "left over".into(),
    }
}

fn short_action(action: &Action) -> String {
    match action {
        Action::Journal(Record::Accepted(_)) => "J:accepted".into(),
        Action::Journal(Record::Begun(_)) => "J:begun".into(),
        Action::Journal(Record::Step(..)) => "J:step".into(),
        Action::Journal(Record::Finished(..)) => "J:finished".into(),
        Action::Journal(Record::Forgotten(_)) => "J:forgotten".into(),
        Action::Journal(Record::Fence(..) | Record::Spec(..)) => "J:other".into(),
        Action::Send(message) => format!("S:{}", message.name()),
        Action::Start(_, Start::Fresh, GateState::Shut) => "prepare".into(),
        Action::Start(_, Start::Fresh, GateState::Open) => "start".into(),
        Action::Start(_, Start::Resumed(_), _) => "resume".into(),
        Action::OpenGate(_) => "open".into(),
        Action::StopWork(_) => "stop".into(),
        Action::Conclude(..) => "conclude".into(),
        Action::AnswerStep(_, Ok(())) => "step".into(),
        Action::AnswerStep(_, Err(_)) => "no step".into(),
        Action::Report(..) => "report".into(),
        Action::Discard(_) => "discard".into(),
    }
}

fn row(accepted: &Acceptance, event: &Event) -> Vec<String> {
    let step = |phase| {
        let mut machine = with(accepted, phase);
        let actions = machine.step(event.clone());
        let actions: Vec<_> = actions.iter().map(short_action).collect();
        [vec![short_phase(&machine)], actions].concat().join(" ")
    };
    phases().into_iter().map(step).collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn every_event_in_every_phase() {
    let job = acceptance(TargetId::new(), 7);
    let at = job.attempt;
    let log = LogPosition::default();
    let record = |record| Event::Journalled(record);
    let table: Vec<(Event, [&str; 11])> = vec![
        (
            Event::Offered(job.clone()),
            [
                "accepting",
                "accepted+ S:Accepted",
                "accepted S:Accepted",
                "beginning+ S:Accepted",
                "beginning S:Accepted",
                "running+ S:Accepted",
                "running S:Accepted",
                "stopping S:Accepted",
                "finishing S:Accepted",
                "finished S:Accepted",
                "dropping",
            ],
        ),
        (
            Event::Go(at),
            [
                "accepting",
                "beginning+ J:begun",
                "accepted",
                "beginning+",
                "beginning",
                "running+ S:Started",
                "running",
                "stopping",
                "finishing",
                "finished",
                "dropping",
            ],
        ),
        (
            Event::Continue(at),
            [
                "accepting",
                "beginning+ J:begun",
                "beginning J:begun",
                "beginning+",
                "beginning",
                "running+ S:Started S:Progress",
                "running+ resume S:Started",
                "stopping",
                "finishing",
                "finished",
                "dropping",
            ],
        ),
        (
            Event::Cancel(at),
            [
                "accepting",
                "stopping0 stop",
                "stopping0 conclude",
                "stopping0 stop",
                "stopping0 conclude",
                "stopping stop",
                "stopping resume stop",
                "stopping",
                "finishing",
                "finished",
                "dropping",
            ],
        ),
        (
            Event::Forget(at),
            [
                "accepting",
                "dropping stop",
                "gone discard J:forgotten",
                "dropping stop",
                "gone discard J:forgotten",
                "dropping stop",
                "dropping resume stop",
                "dropping",
                "gone discard J:forgotten",
                "gone discard J:forgotten",
                "dropping",
            ],
        ),
        (
            record(Record::Accepted(job.clone())),
            [
                "accepted+ S:Accepted prepare",
                "accepted+",
                "accepted",
                "beginning+",
                "beginning",
                "running+",
                "running",
                "stopping",
                "finishing",
                "finished",
                "dropping",
            ],
        ),
        (
            record(Record::Begun(at)),
            [
                "accepting",
                "accepted+",
                "accepted",
                "running+ open S:Started",
                "running+ start S:Started",
                "running+",
                "running",
                "stopping",
                "finishing",
                "finished",
                "dropping",
            ],
        ),
        (
            Event::NotJournalled(Record::Begun(at), "full".into()),
            [
                "accepting",
                "accepted+",
                "accepted",
                "stopping0 stop",
                "stopping0 conclude",
                "running+",
                "running",
                "stopping",
                "finishing",
                "finished",
                "dropping",
            ],
        ),
        (
            Event::NotJournalled(Record::Accepted(job.clone()), "full".into()),
            ["gone S:Refused"; 11],
        ),
        (
            Event::StepBegun(at, Step::Verifying),
            [
                "accepting step",
                "accepted+ step S:Progress",
                "accepted step S:Progress",
                "beginning+ step S:Progress",
                "beginning step S:Progress",
                "running+ J:step",
                "running step",
                "stopping step",
                "finishing step",
                "finished step",
                "dropping step",
            ],
        ),
        (
            record(Record::Step(at, Step::Verifying)),
            [
                "accepting step",
                "accepted+ step",
                "accepted step",
                "beginning+ step",
                "beginning step",
                "running+ step S:Progress",
                "running step S:Progress",
                "stopping step",
                "finishing step",
                "finished step",
                "dropping step",
            ],
        ),
        (
            Event::Ended(at, done(), log),
            [
                "accepting",
                "finishing J:finished",
                "finishing J:finished",
                "finishing J:finished",
                "finishing J:finished",
                "finishing J:finished",
                "finishing J:finished",
                "finishing J:finished",
                "finishing",
                "finished",
                "gone discard J:forgotten",
            ],
        ),
        (
            record(Record::Finished(at, done(), log)),
            [
                "accepting",
                "accepted+",
                "accepted",
                "beginning+",
                "beginning",
                "running+",
                "running",
                "stopping",
                "finished report",
                "finished",
                "dropping",
            ],
        ),
        (
            Event::NotJournalled(Record::Finished(at, done(), log), "full".into()),
            [
                "accepting",
                "accepted+",
                "accepted",
                "beginning+",
                "beginning",
                "running+",
                "running",
                "stopping",
                "finished* report",
                "finished",
                "dropping",
            ],
        ),
    ];
    for (event, expected) in table {
        // A refused acceptance is only ever heard of while it is being journalled.
        let columns = if matches!(event, Event::NotJournalled(Record::Accepted(_), _)) {
            1
        } else {
            11
        };
        assert_eq!(
            row(&job, &event)[..columns],
            expected[..columns],
            "{event:?}"
        );
    }
}

#[test]
fn an_offer_is_judged_by_fence_then_target_then_room() {
    let (target, other) = (TargetId::new(), TargetId::new());
    let running = acceptance(target, 7);
    let machine = with(&running, Phase::Running(Worker::Live, None));
    let mut full = machine.clone();
    full.jobs = (0..MAX_HELD)
        .map(|_| Job {
            accepted: acceptance(other, 1),
            phase: Phase::Finished(done(), Kept::Journal),
        })
        .collect();
    let mut stopping = machine.clone();
    stopping.step(Event::Stopping);
    for (machine, target, epoch, expected) in [
        (&machine, target, 6, Some(Refusal::StaleFence)),
        (&machine, target, 7, Some(Refusal::StaleFence)),
        (&machine, target, 8, Some(Refusal::Busy)),
        (&machine, other, 1, None),
        (&full, TargetId::new(), 1, Some(Refusal::Busy)),
        (&stopping, other, 1, Some(Refusal::Stopping)),
    ] {
        let mut machine = machine.clone();
        let offer = acceptance(target, epoch);
        let actions = machine.step(Event::Offered(offer.clone()));
        match (&actions[..], expected) {
            ([Action::Send(FromAgent::Refused(refused))], Some(reason)) => {
                assert_eq!(refused.reason, reason);
            }
            ([Action::Journal(Record::Accepted(accepted))], None) => assert_eq!(accepted, &offer),
            (actions, expected) => panic!("{epoch}: {actions:?} instead of {expected:?}"),
        }
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn after_a_restart_each_job_goes_on_as_its_policy_and_secrets_say() {
    use Interruption::{Fail, RequeueIfNotStarted, Resume};
    let failed = "failed interrupted";
    for (interruption, secrets, begun, at_once, on_continue, end) in [
        (
            Resume,
            SecretCount::None,
            false,
            "accepted",
            "beginning J:begun",
            "",
        ),
        (
            Fail,
            SecretCount::Some,
            false,
            "accepted",
            "beginning J:begun",
            "",
        ),
        (
            Resume,
            SecretCount::None,
            true,
            "running+ resume",
            "running+ S:Started S:Progress",
            "cancelled",
        ),
        (
            Resume,
            SecretCount::Some,
            true,
            "running",
            "running+ resume S:Started",
            "cancelled",
        ),
        (
            Fail,
            SecretCount::None,
            true,
            "stopping resume stop",
            "stopping",
            failed,
        ),
        (
            RequeueIfNotStarted,
            SecretCount::Some,
            true,
            "running",
            "stopping resume stop S:Started",
            failed,
        ),
    ] {
        let mut accepted = acceptance(TargetId::new(), 3);
        accepted.interruption = interruption;
        accepted.secrets = secrets;
        let attempt = accepted.attempt;
        let mut ledger = LedgerState::default();
        ledger.apply(&Record::Accepted(accepted));
        if begun {
            ledger.apply(&Record::Step(attempt, Step::Applying));
        }
        let mut machine = Machine::restore(&ledger);
        let [held] = machine.held()[..] else {
            panic!("{:?}", machine.held())
        };
        assert_eq!(
            held.phase,
            if begun {
                HeldPhase::Running
            } else {
                HeldPhase::Accepted
            }
        );
        assert_eq!(
            held.secrets == SecretsNeed::Lost,
            secrets == SecretCount::Some
        );
        for (event, expected) in [
            (Event::Restored, at_once),
            (Event::Continue(attempt), on_continue),
        ] {
            let actions: Vec<_> = machine.step(event).iter().map(short_action).collect();
            assert_eq!(
                [vec![short_phase(&machine)], actions].concat().join(" "),
                expected
            );
        }
        let actions = machine.step(Event::Ended(attempt, stopped(), LogPosition::default()));
        match (&actions[..], end) {
            (
                [Action::Journal(Record::Finished(_, Outcome::Cancelled { .. }, _))],
                "cancelled" | "",
            ) => {}
            (
                [Action::Journal(Record::Finished(_, Outcome::Failed { reason, .. }, _))],
                "failed interrupted",
            ) => {
                assert_eq!(*reason, FailureReason::Interrupted);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn after_a_restart_an_outdated_job_is_only_brought_to_rest() {
    let target = TargetId::new();
    let outdated = acceptance(target, 3);
    let mut ledger = LedgerState::default();
    ledger.apply(&Record::Accepted(outdated.clone()));
    ledger.apply(&Record::Begun(outdated.attempt));
    ledger.apply(&Record::Fence(target, Fence::new(1, 9)));
    let mut machine = Machine::restore(&ledger);
    let actions: Vec<_> = machine
        .step(Event::Restored)
        .iter()
        .map(short_action)
        .collect();
    assert_eq!(
        (short_phase(&machine).as_str(), &actions[..]),
        ("dropping", &["resume".to_owned(), "stop".to_owned()][..])
    );
}

#[test]
fn a_beginning_that_cannot_be_journalled_fails_without_an_effect() {
    let accepted = acceptance(TargetId::new(), 3);
    let attempt = accepted.attempt;
    let mut machine = with(&accepted, Phase::Beginning(Worker::Live));
    machine.step(Event::NotJournalled(
        Record::Begun(attempt),
        "No space left on device".into(),
    ));
    let actions = machine.step(Event::Ended(attempt, stopped(), LogPosition::default()));
    let [Action::Journal(Record::Finished(_, Outcome::Failed { reason, message }, _))] =
        &actions[..]
    else {
        panic!("{actions:?}");
    };
    assert_eq!(*reason, FailureReason::DiskFull);
    assert!(
        message.contains("No space left on device") && message.contains("nothing was changed"),
        "{message}"
    );
}
