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

/// What queued, offered, accepted, running and unknown do, and what all terminal states do.
fn rows(open: [Step; 5], terminal: Step) -> [Step; 8] {
    let [queued, offered, accepted, running, unknown] = open;
    [
        queued, offered, accepted, running, unknown, terminal, terminal, terminal,
    ]
}

fn to(state: JobState) -> Step {
    quiet(Change::Go(state))
}

#[test]
fn every_state_meets_an_agents_reports() {
    let go = answer(Change::None, Reply::Go);
    let accept = answer(Change::Go(Accepted), Reply::Go);
    check(
        Event::Accepted(NOW),
        rows([FORGET, accept, go, go, go], FORGET),
    );
    for (refusal, change) in [
        (Refusal::Busy, Change::Requeue(Requeue::Later)),
        (Refusal::Stopping, Change::Requeue(Requeue::Later)),
        (Refusal::Journal, Change::Requeue(Requeue::Later)),
        (Refusal::StaleFence, Change::Requeue(Requeue::RaisedFence)),
        (Refusal::Unreadable, Change::Fail(FailureReason::Internal)),
    ] {
        let open = [NOTHING, quiet(change), NOTHING, NOTHING, NOTHING];
        check(Event::Refused(NOW, refusal), rows(open, NOTHING));
    }
    let started = [FORGET, FORGET, to(Running), NOTHING, to(Running)];
    check(Event::Started(NOW), rows(started, FORGET));
    let note = quiet(Change::Note);
    let progress = [FORGET, FORGET, note, note, to(Running)];
    check(Event::Progress(NOW), rows(progress, FORGET));
    for ending in [Ending::Succeeded, Ending::Failed, Ending::Cancelled] {
        let end = answer(Change::End(ending), Reply::Forget);
        let finished = [FORGET, FORGET, end, end, end];
        check(Event::Finished(NOW, ending), rows(finished, FORGET));
    }
}

#[test]
fn every_state_meets_an_agent_that_is_back() {
    let held = |state| answer(Change::Go(state), Reply::Continue);
    let run = held(Running);
    let accepted = [FORGET, held(Accepted), held(Accepted), run, run];
    check(
        Event::Held(NOW, HeldPhase::Accepted),
        rows(accepted, FORGET),
    );
    let running = [FORGET, run, run, run, run];
    check(Event::Held(NOW, HeldPhase::Running), rows(running, FORGET));
    let resend = answer(Change::None, Reply::Resend);
    let offered = answer(Change::Go(Accepted), Reply::Resend);
    let finished = [FORGET, offered, resend, resend, resend];
    check(
        Event::Held(NOW, HeldPhase::Finished),
        rows(finished, FORGET),
    );
    let again = quiet(Change::Requeue(Requeue::Now));
    check(
        Event::Lost,
        rows([NOTHING, again, again, again, again], NOTHING),
    );
}

#[test]
fn every_state_meets_a_session_that_lives() {
    let renewed = [NOTHING, NOTHING, NOTHING, NOTHING, to(Running)];
    check(Event::LeaseRenewed, rows(renewed, NOTHING));
    let not_begun = Job {
        begun: Begun::No,
        ..job(Unknown)
    };
    assert_eq!(step(&not_begun, Event::LeaseRenewed), to(Accepted));
}

#[test]
fn every_state_meets_what_we_do_ourselves() {
    let mut claim = [NOTHING; 8];
    claim[0] = quiet(Change::Offer(NEXT));
    check(Event::Claim(NEXT), claim);
    let now = answer(Change::CancelNow, Reply::Forget);
    let later = answer(Change::RequestCancel, Reply::Cancel);
    let cancel = [now, now, later, later, later];
    check(Event::CancelRequested, rows(cancel, NOTHING));
    let again = quiet(Change::Requeue(Requeue::Now));
    let expired = [NOTHING, again, to(Unknown), to(Unknown), NOTHING];
    check(Event::LeaseExpired, rows(expired, NOTHING));
    let fail = answer(Change::Fail(FailureReason::AgentRevoked), Reply::Forget);
    check(Event::AgentRevoked, rows([fail; 5], NOTHING));
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
                begun,
                interruption,
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
