//! Random events, lost replies, failing disks and restarts: the rules hold in every order.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use proptest::prelude::*;
use towline_shared::Fence;
use towline_shared::ids::{JobId, TargetId};
use towline_shared::log::LogPosition;
use towline_shared::outcome::Outcome;
use towline_shared::protocol::v1::Attempt;
use towline_shared::spec::Interruption;

use super::*;
use crate::ledger::SecretCount;

/// What the world does next. Numbers choose among what there is.
#[derive(Clone, Debug)]
enum Move {
    Offer {
        target: usize,
        lower: u64,
        interruption: Interruption,
        secrets: SecretCount,
    },
    OfferAgain(prop::sample::Index),
    Go(prop::sample::Index),
    Continue(prop::sample::Index),
    Cancel(prop::sample::Index),
    Forget(prop::sample::Index),
    /// The oldest record is written, or is not.
    Disk(bool),
    Step(prop::sample::Index),
    End(prop::sample::Index),
    Crash,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let index = any::<prop::sample::Index>;
    let interruption = prop_oneof![Just(Interruption::Resume), Just(Interruption::Fail)];
    let secrets = prop_oneof![Just(SecretCount::None), Just(SecretCount::Some)];
    let offer = (
        0..2_usize,
        prop_oneof![4 => Just(0), 1 => 1..3_u64],
        interruption,
        secrets,
    )
        .prop_map(|(target, lower, interruption, secrets)| Move::Offer {
            target,
            lower,
            interruption,
            secrets,
        });
    let one = prop_oneof![
        3 => offer,
        1 => index().prop_map(Move::OfferAgain),
        4 => index().prop_map(Move::Go),
        3 => index().prop_map(Move::Continue),
        1 => index().prop_map(Move::Cancel),
        2 => index().prop_map(Move::Forget),
        9 => prop_oneof![6 => Just(true), 1 => Just(false)].prop_map(Move::Disk),
        2 => index().prop_map(Move::Step),
        3 => index().prop_map(Move::End),
        1 => Just(Move::Crash),
    ];
    prop::collection::vec(one, 0..120)
}

/// The machine in a world that keeps its own account of what must be true.
struct World {
    machine: Machine,
    ledger: LedgerState,
    disk: VecDeque<Record>,
    targets: [TargetId; 2],
    epochs: BTreeMap<TargetId, u64>,
    offers: Vec<Acceptance>,
    /// Executors: whether effects are permitted, and whether they were told to stop.
    live: HashMap<Attempt, (GateState, bool)>,
    permitted: HashSet<Attempt>,
    folders: HashSet<Attempt>,
    reported: HashSet<Attempt>,
    forgotten: HashSet<Attempt>,
    concluding: VecDeque<(Attempt, Outcome)>,
}

impl World {
    fn new() -> Self {
        Self {
            machine: Machine::restore(&LedgerState::default()),
            ledger: LedgerState::default(),
            disk: VecDeque::new(),
            targets: [TargetId::new(), TargetId::new()],
            epochs: BTreeMap::new(),
            offers: Vec::new(),
            live: HashMap::new(),
            permitted: HashSet::new(),
            folders: HashSet::new(),
            reported: HashSet::new(),
            forgotten: HashSet::new(),
            concluding: VecDeque::new(),
        }
    }

    fn act(&mut self, what: Move) {
        match what {
            Move::Offer {
                target,
                lower,
                interruption,
                secrets,
            } => self.offer(target, lower, interruption, secrets),
            Move::OfferAgain(index) => {
                if let Some(offer) = pick(&self.offers, index) {
                    self.feed(Event::Offered(offer));
                }
            }
            Move::Go(index) => self.permit(index, Event::Go),
            Move::Continue(index) => self.permit(index, Event::Continue),
            Move::Cancel(index) => {
                if let Some(offer) = pick(&self.offers, index) {
                    self.feed(Event::Cancel(offer.attempt));
                }
            }
            Move::Forget(index) => {
                if let Some(offer) = pick(&self.offers, index) {
                    if self.is_held(offer.attempt) {
                        self.forgotten.insert(offer.attempt);
                    }
                    self.feed(Event::Forget(offer.attempt));
                }
            }
            Move::Disk(works) => self.write(works),
            Move::Step(index) => {
                if let Some(attempt) = self.pick_live(index) {
                    self.feed(Event::StepBegun(attempt, Step::Applying));
                }
            }
            Move::End(index) => self.end(index),
            Move::Crash => self.crash(),
        }
        self.check();
    }

    fn offer(
        &mut self,
        target: usize,
        lower: u64,
        interruption: Interruption,
        secrets: SecretCount,
    ) {
        let target = self.targets[target];
        let epoch = self.epochs.entry(target).or_default();
        *epoch += 1;
        let offer = Acceptance {
            attempt: Attempt {
                job: JobId::new(),
                fence: Fence::new(1, epoch.saturating_sub(lower)),
            },
            target,
            interruption,
            secrets,
            log: LogPosition::default(),
        };
        self.offers.push(offer.clone());
        self.feed(Event::Offered(offer));
    }

    /// The control plane permits only what it knows to be accepted: what the journal holds.
    fn permit(&mut self, index: prop::sample::Index, event: impl Fn(Attempt) -> Event) {
        let held: Vec<_> = self
            .ledger
            .jobs
            .iter()
            .map(|job| job.accepted.attempt)
            .collect();
        if let Some(attempt) =
            pick(&held, index).filter(|attempt| !self.forgotten.contains(attempt))
        {
            self.permitted.insert(attempt);
            self.feed(event(attempt));
        }
    }

    fn write(&mut self, works: bool) {
        let Some(record) = self.disk.pop_front() else {
            return;
        };
        if works {
            if let Record::Accepted(accepted) = &record {
                self.folders.insert(accepted.attempt);
            }
            self.ledger.apply(&record);
            self.feed(Event::Journalled(record));
        } else {
            self.feed(Event::NotJournalled(record, "disk full".into()));
        }
    }

    fn end(&mut self, index: prop::sample::Index) {
        if let Some(attempt) = self.pick_live(index) {
            self.end_work(attempt);
        }
    }

    fn end_work(&mut self, attempt: Attempt) {
        let (gate, stopped) = self.live[&attempt];
        let outcome = match (gate, stopped) {
            (_, true) => Outcome::Cancelled {
                left: String::new(),
            },
            // Only a preparation that fails ends before its gate opens.
            (GateState::Shut, false) => Outcome::Failed {
                reason: towline_shared::outcome::FailureReason::PolicyRefused,
                message: String::new(),
            },
            (GateState::Open, false) => Outcome::Succeeded { images: Vec::new() },
        };
        self.live.remove(&attempt);
        self.feed(Event::Ended(attempt, outcome, LogPosition::default()));
    }

    fn crash(&mut self) {
        self.live.clear();
        self.disk.clear();
        self.concluding.clear();
        self.reported.clear();
        self.ledger
            .jobs
            .retain(|job| self.folders.contains(&job.accepted.attempt));
        self.machine = Machine::restore(&self.ledger);
        self.feed(Event::Restored);
    }

    fn feed(&mut self, event: Event) {
        for action in self.machine.step(event) {
            self.obey(action);
        }
        while let Some((attempt, outcome)) = self.concluding.pop_front() {
            self.feed(Event::Ended(attempt, outcome, LogPosition::default()));
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Journal(record) => self.disk.push_back(record),
            Action::Start(attempt, start, gate) => {
                assert!(
                    !self.live.contains_key(&attempt),
                    "an executor was started twice"
                );
                if start == Start::Fresh && gate == GateState::Open {
                    self.effect(attempt);
                }
                self.live.insert(attempt, (gate, false));
            }
            Action::OpenGate(attempt) => {
                self.effect(attempt);
                self.live.get_mut(&attempt).unwrap().0 = GateState::Open;
            }
            Action::StopWork(attempt) => self.live.get_mut(&attempt).unwrap().1 = true,
            Action::Conclude(attempt, outcome) => self.concluding.push_back((attempt, outcome)),
            Action::Report(attempt, _) => {
                self.reported.insert(attempt);
            }
            Action::Discard(attempt) => {
                assert!(
                    !self.live.contains_key(&attempt),
                    "a running job was discarded"
                );
                self.folders.remove(&attempt);
            }
            Action::Send(_) | Action::AnswerStep(..) => {}
        }
    }

    /// First effects need the control plane's word, the journal's, and the highest fence.
    fn effect(&mut self, attempt: Attempt) {
        assert!(self.permitted.contains(&attempt), "an effect without Go");
        let entry = self
            .ledger
            .jobs
            .iter()
            .find(|job| job.accepted.attempt == attempt)
            .unwrap();
        assert!(
            matches!(entry.progress, crate::ledger::EntryProgress::Begun(_)),
            "an effect that is not journalled"
        );
        let highest = self.ledger.fences[&entry.accepted.target];
        assert_eq!(attempt.fence, highest, "an effect under a stale fence");
    }

    fn check(&self) {
        for target in self.targets {
            let live = self
                .machine
                .jobs()
                .iter()
                .filter(|job| job.is_live() && job.accepted.target == target);
            assert!(live.count() <= 1, "two live jobs on one target");
        }
        for job in self.machine.jobs() {
            let attempt = job.accepted.attempt;
            if matches!(job.phase, Phase::Finished(..)) {
                assert!(
                    self.reported.contains(&attempt),
                    "a result that is not reported"
                );
            }
            assert_ne!(job.phase, Phase::Gone);
        }
        for attempt in self.live.keys() {
            assert!(self.is_held(*attempt), "an executor that nobody holds");
        }
    }

    fn is_held(&self, attempt: Attempt) -> bool {
        self.machine
            .jobs()
            .iter()
            .any(|job| job.accepted.attempt == attempt)
    }

    fn pick_live(&self, index: prop::sample::Index) -> Option<Attempt> {
        let mut live: Vec<_> = self.live.keys().copied().collect();
        live.sort_by_key(|attempt| (attempt.job, attempt.fence));
        pick(&live, index)
    }

    /// When faults stop, everything ends, is acknowledged, and leaves nothing.
    fn settle(&mut self) {
        for _ in 0..4 {
            while !self.disk.is_empty() {
                self.write(true);
            }
            for job in self.machine.held() {
                self.permitted.insert(job.attempt);
                self.feed(Event::Continue(job.attempt));
            }
            while !self.disk.is_empty() {
                self.write(true);
            }
            while let Some(attempt) = self.live.keys().next().copied() {
                self.end_work(attempt);
                while !self.disk.is_empty() {
                    self.write(true);
                }
            }
            for job in self.machine.held() {
                assert!(
                    self.reported.contains(&job.attempt),
                    "{:?} hangs",
                    self.machine.jobs()
                );
                self.feed(Event::Forget(job.attempt));
            }
        }
        assert_eq!(self.machine.jobs(), []);
        assert!(self.folders.is_empty(), "folders are left");
        // What could not be journalled as forgotten has no folder, which says the same.
        self.crash();
        assert_eq!(self.machine.jobs(), []);
    }
}

fn pick<T: Clone>(from: &[T], index: prop::sample::Index) -> Option<T> {
    (!from.is_empty()).then(|| from[index.index(from.len())].clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]
    #[test]
    fn the_rules_hold_in_every_order(moves in moves()) {
        let mut world = World::new();
        for what in moves {
            world.act(what);
        }
        world.settle();
    }
}
