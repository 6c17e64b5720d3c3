//! Every state meets every event.

use towline_shared::Fence;
use towline_shared::outcome::FailureReason;
use towline_shared::protocol::v1::{HeldPhase, Refusal};
use towline_shared::spec::Interruption;

use super::JobState::{Accepted, Cancelled, Failed, Offered, Queued, Running, Succeeded, Unknown};
use super::*;

const NOW: Fence = Fence::new(1, 7);
const OLD: Fence = Fence::new(1, 6);
const NEXT: Fence = Fence::new(1, 8);

const fn job(state: JobState) -> Job {
    Job {
        state,
        fence: NOW,
        cancel: Cancel::No,
        begun: match state {
            Queued | Offered | Accepted => Begun::No,
            _ => Begun::Yes,
        },
        interruption: Interruption::Resume,
    }
}

const NOTHING: Step = quiet(Change::None);
const FORGET: Step = answer(Change::None, Reply::Forget);

/// Runs an event against all eight states in their order.
fn check(event: Event, expected: [Step; 8]) {
    for (state, expected) in JobState::ALL.into_iter().zip(expected) {
        assert_eq!(
            step(&job(state), event),
            expected,
            "{state} meets {event:?}"
        );
    }
}

#[test]
fn every_state_meets_every_event() {
    let to = |state| quiet(Change::Go(state));
    let gone = [FORGET; 3];
    let four = |queued, offered, accepted, running, unknown, terminal: [Step; 3]| {
        let [succeeded, failed, cancelled] = terminal;
        [
            queued, offered, accepted, running, unknown, succeeded, failed, cancelled,
        ]
    };
    let silent = [NOTHING; 3];

    let mut claim = [NOTHING; 8];
    claim[0] = quiet(Change::Offer(NEXT));
    check(Event::Claim(NEXT), claim);

    let go = answer(Change::None, Reply::Go);
    check(
        Event::Accepted(NOW),
        four(
            FORGET,
            answer(Change::Go(Accepted), Reply::Go),
            go,
            go,
            go,
            gone,
        ),
    );

    for (refusal, change) in [
        (Refusal::Busy, Change::Requeue(Requeue::Later)),
        (Refusal::Stopping, Change::Requeue(Requeue::Later)),
        (Refusal::Journal, Change::Requeue(Requeue::Later)),
        (Refusal::StaleFence, Change::Requeue(Requeue::RaisedFence)),
        (Refusal::Unreadable, Change::Fail(FailureReason::Internal)),
    ] {
        let mut refused = [NOTHING; 8];
        refused[1] = quiet(change);
        check(Event::Refused(NOW, refusal), refused);
    }

    check(
        Event::Started(NOW),
        four(FORGET, FORGET, to(Running), NOTHING, to(Running), gone),
    );
    let note = quiet(Change::Note);
    check(
        Event::Progress(NOW),
        four(FORGET, FORGET, note, note, to(Running), gone),
    );

    for ending in [Ending::Succeeded, Ending::Failed, Ending::Cancelled] {
        let end = answer(Change::End(ending), Reply::Forget);
        check(
            Event::Finished(NOW, ending),
            four(FORGET, FORGET, end, end, end, gone),
        );
    }

    let now = answer(Change::CancelNow, Reply::Forget);
    let later = answer(Change::RequestCancel, Reply::Cancel);
    check(
        Event::CancelRequested,
        four(now, now, later, later, later, silent),
    );

    let again = quiet(Change::Requeue(Requeue::Now));
    let lose_sight = to(Unknown);
    check(
        Event::LeaseExpired,
        four(NOTHING, again, lose_sight, lose_sight, NOTHING, silent),
    );
    check(
        Event::Lost,
        four(NOTHING, again, again, again, again, silent),
    );

    let held = |state| answer(Change::Go(state), Reply::Continue);
    let accepted = Event::Held(NOW, HeldPhase::Accepted);
    check(
        accepted,
        four(
            FORGET,
            held(Accepted),
            held(Accepted),
            held(Running),
            held(Running),
            gone,
        ),
    );
    let running = Event::Held(NOW, HeldPhase::Running);
    check(
        running,
        four(
            FORGET,
            held(Running),
            held(Running),
            held(Running),
            held(Running),
            gone,
        ),
    );
    let resend = answer(Change::None, Reply::Resend);
    let offered = answer(Change::Go(Accepted), Reply::Resend);
    check(
        Event::Held(NOW, HeldPhase::Finished),
        four(FORGET, offered, resend, resend, resend, gone),
    );

    let fail = answer(Change::Fail(FailureReason::AgentRevoked), Reply::Forget);
    check(
        Event::AgentRevoked,
        four(fail, fail, fail, fail, fail, silent),
    );
}

#[test]
fn nothing_under_another_fence_changes_anything() {
    let phases = [HeldPhase::Accepted, HeldPhase::Running, HeldPhase::Finished];
    for state in JobState::ALL {
        for fence in [OLD, NEXT] {
            let reports = [
                Event::Accepted(fence),
                Event::Started(fence),
                Event::Progress(fence),
                Event::Finished(fence, Ending::Succeeded),
            ];
            for event in reports
                .into_iter()
                .chain(phases.map(|phase| Event::Held(fence, phase)))
            {
                assert_eq!(step(&job(state), event), FORGET, "{state} meets {event:?}");
            }
            assert_eq!(
                step(&job(state), Event::Refused(fence, Refusal::Busy)),
                NOTHING
            );
        }
    }
}

#[test]
fn terminal_states_absorb() {
    for state in [Succeeded, Failed, Cancelled] {
        for event in every_event() {
            assert_eq!(
                step(&job(state), event).change,
                Change::None,
                "{state} meets {event:?}"
            );
        }
    }
}

#[test]
fn a_requested_cancel_reaches_the_agent_whatever_it_says() {
    for state in [Accepted, Running, Unknown] {
        let job = Job {
            cancel: Cancel::Requested,
            ..job(state)
        };
        assert_eq!(
            step(&job, Event::Accepted(NOW)),
            answer(Change::None, Reply::Cancel)
        );
        assert_eq!(
            step(&job, Event::CancelRequested),
            answer(Change::None, Reply::Cancel)
        );
        for phase in [HeldPhase::Accepted, HeldPhase::Running] {
            assert_eq!(
                step(&job, Event::Held(NOW, phase)).reply,
                Reply::Cancel,
                "{state} {phase:?}"
            );
        }
        assert_eq!(
            step(&job, Event::Held(NOW, HeldPhase::Finished)).reply,
            Reply::Resend
        );
        assert_eq!(step(&job, Event::Lost), quiet(Change::CancelNow));
        let end = step(&job, Event::Finished(NOW, Ending::Succeeded));
        assert_eq!(
            end,
            answer(Change::End(Ending::Succeeded), Reply::Forget),
            "work that was done stays done"
        );
    }
}

#[test]
fn a_lost_journal_is_met_as_the_job_asked() {
    use Interruption::{Fail, RequeueIfNotStarted, Resume};
    let again = Change::Requeue(Requeue::Now);
    let failed = Change::Fail(FailureReason::JournalLost);
    for (interruption, begun, expected) in [
        (Resume, Begun::No, again),
        (Resume, Begun::Yes, again),
        (RequeueIfNotStarted, Begun::No, again),
        (RequeueIfNotStarted, Begun::Yes, failed),
        (Fail, Begun::No, failed),
        (Fail, Begun::Yes, failed),
    ] {
        for state in [Accepted, Running, Unknown] {
            let job = Job {
                interruption,
                begun,
                ..job(state)
            };
            assert_eq!(
                step(&job, Event::Lost),
                quiet(expected),
                "{state} {interruption:?} {begun:?}"
            );
        }
    }
}

#[test]
fn names_are_read_back() {
    for state in JobState::ALL {
        assert_eq!(state.as_str().parse::<JobState>().ok(), Some(state));
    }
    assert!("done".parse::<JobState>().is_err());
}

fn every_event() -> Vec<Event> {
    let mut events = vec![
        Event::CancelRequested,
        Event::LeaseExpired,
        Event::Lost,
        Event::AgentRevoked,
    ];
    for fence in [OLD, NOW, NEXT] {
        events.extend([
            Event::Claim(fence),
            Event::Accepted(fence),
            Event::Started(fence),
            Event::Progress(fence),
        ]);
        events.extend(
            [Ending::Succeeded, Ending::Failed, Ending::Cancelled]
                .map(|ending| Event::Finished(fence, ending)),
        );
        events.extend(
            [HeldPhase::Accepted, HeldPhase::Running, HeldPhase::Finished]
                .map(|phase| Event::Held(fence, phase)),
        );
        events.push(Event::Refused(fence, Refusal::Unreadable));
    }
    events
}
