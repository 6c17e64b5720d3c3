//! One process of the control plane: sessions around the real conversation, each a sequence of small steps between
//! which anything else may happen, the process's death included.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use towline_server::agents::Admission;
use towline_server::agents::conversation::{Action, Conversation, Event, Limits, Report};
use towline_server::store::{Appended, Before, Reaction, Standing};
use towline_shared::ids::{AgentId, TeamId};
use towline_shared::protocol::encode_handshake;
use towline_shared::protocol::v1::{Attempt, FromServer, Goodbye, GoodbyeReason, Hello, MAX_HELD};
use uuid::Uuid;

use crate::link::{Lane, LinkId, Parcel};
use crate::plane::{Entry, JobView, Plane};

/// How long an agent may be silent, in milliseconds.
pub const SILENCE: i64 = 25_000;
/// How often leases are renewed, in milliseconds.
const LEASES: i64 = 10_000;
/// From a refusal to the next look, in milliseconds.
const AGAIN: i64 = 5_000;
/// From the connection to the hello, in milliseconds.
const INTRODUCTION: i64 = 10_000;

/// The sessions of one process.
#[derive(Debug, Default)]
pub struct Replica {
    /// By their connections.
    pub sessions: BTreeMap<LinkId, Session>,
}

/// The session of one connection.
#[derive(Debug)]
pub struct Session {
    /// Whose it is.
    pub host: usize,
    id: Uuid,
    ticket: i64,
    conversation: Conversation,
    todo: VecDeque<Todo>,
    introduction: Introduction,
    /// When something last came, by the true time.
    pub heard: i64,
    began: i64,
    leases: Option<i64>,
    claim: Option<i64>,
    bell: Bell,
    told: Option<GoodbyeReason>,
}

/// What a session does next.
#[derive(Debug)]
enum Todo {
    Act(Action),
    /// The second half of receiving an agent.
    Judge(Hello),
}

#[derive(Debug, PartialEq, Eq)]
enum Introduction {
    Awaited,
    /// The store knows the session.
    Made,
}

/// Whether the store has woken a session.
#[derive(Debug, PartialEq, Eq)]
enum Bell {
    Quiet,
    Rung,
}

/// What a step of a session led to.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// The session goes on.
    On,
    /// It has ended, and these were its reasons.
    Over(String),
}

/// What a session did, for the account of what was promised.
#[derive(Debug)]
pub enum Did {
    /// It recorded a report; how the store reacted, and the job before and after.
    Reported(Report, Reaction, [Option<JobView>; 2]),
    /// The store gave it an attempt to offer.
    Claimed(Attempt),
    /// Something else.
    Else(String),
}

impl Replica {
    /// Takes a connection.
    pub fn accept(&mut self, link: LinkId, host: usize, id: Uuid, entry: Entry, now: i64) {
        let (admission, ticket) = match entry {
            Entry::Open(ticket) => (
                Admission::Admitted {
                    agent: AgentId::from(Uuid::from_u128(host as u128 + 1)),
                    team: TeamId::from(Uuid::nil()),
                    before: Before::default(),
                },
                ticket,
            ),
            Entry::Revoked => (Admission::Revoked, 0),
        };
        let limits = Limits {
            samples: Duration::ZERO,
            renewals: Duration::ZERO,
            descriptions: Duration::ZERO,
        };
        let session = Session {
            host,
            id,
            ticket,
            conversation: Conversation::begin(admission, limits),
            todo: VecDeque::new(),
            introduction: Introduction::Awaited,
            heard: now,
            began: now,
            leases: None,
            claim: None,
            bell: Bell::Quiet,
            told: None,
        };
        self.sessions.insert(link, session);
    }

    /// Wakes the sessions of a host's agent.
    pub fn ring(&mut self, host: usize) {
        for session in self.sessions.values_mut() {
            if session.host == host && session.introduction == Introduction::Made {
                session.bell = Bell::Rung;
            }
        }
    }

    /// The sessions that have something to do, or whose time has come.
    pub fn busy(&self, now: i64) -> Vec<LinkId> {
        let sessions = self.sessions.iter();
        sessions
            .filter(|(_, session)| session.is_busy(now))
            .map(|(link, _)| *link)
            .collect()
    }

    /// One step of a session that is busy.
    pub fn step(
        &mut self,
        link: LinkId,
        down: &mut Lane,
        plane: &mut dyn Plane,
        now: i64,
    ) -> (After, Vec<Did>) {
        let mut did = Vec::new();
        let Some(session) = self.sessions.get_mut(&link) else {
            return (After::On, did);
        };
        let receives = matches!(session.todo.front(), Some(Todo::Act(Action::Receive(_))));
        let (host, result) = (session.host, session.step(down, plane, now, &mut did));
        if receives && session.introduction == Introduction::Made {
            self.supersede(host, link);
        }
        match result {
            Ok(()) => (After::On, did),
            Err(end) => {
                self.end(link, end.goodbye, down, plane);
                (After::Over(end.why), did)
            }
        }
    }

    /// A frame has come.
    pub fn hear(
        &mut self,
        link: LinkId,
        parcel: Parcel,
        down: &mut Lane,
        plane: &mut dyn Plane,
        now: i64,
    ) -> After {
        let Some(session) = self.sessions.get_mut(&link) else {
            return After::On;
        };
        session.heard = now;
        let Parcel::Frame(frame) = parcel else {
            self.end(link, None, down, plane);
            return After::Over("the agent has closed".into());
        };
        match session.conversation.step(Event::Frame(&frame), instant()) {
            Ok(actions) => {
                session.todo.extend(actions.into_iter().map(Todo::Act));
                After::On
            }
            Err(violation) => {
                self.end(link, Some(GoodbyeReason::Protocol), down, plane);
                After::Over(format!("violation: {violation}"))
            }
        }
    }

    /// Whether a session takes another frame: it does one thing after another.
    pub fn listens(&self, link: LinkId) -> bool {
        self.sessions
            .get(&link)
            .is_none_or(|session| session.todo.is_empty())
    }

    /// An older session of the same agent in this process is told to end.
    fn supersede(&mut self, host: usize, by: LinkId) {
        for (link, session) in &mut self.sessions {
            let older =
                *link != by && session.host == host && session.introduction == Introduction::Made;
            if older {
                session.told.get_or_insert(GoodbyeReason::Superseded);
            }
        }
    }

    fn end(
        &mut self,
        link: LinkId,
        goodbye: Option<GoodbyeReason>,
        down: &mut Lane,
        plane: &mut dyn Plane,
    ) {
        let Some(session) = self.sessions.remove(&link) else {
            return;
        };
        if session.introduction == Introduction::Made && goodbye != Some(GoodbyeReason::Superseded)
        {
            plane.disconnect(session.host, session.id);
        }
        if let Some(reason) = goodbye {
            say(down, &FromServer::Goodbye(Goodbye { reason }));
        }
        down.send(Parcel::End);
    }
}

/// Why a session ends.
struct End {
    goodbye: Option<GoodbyeReason>,
    why: String,
}

fn end(goodbye: Option<GoodbyeReason>, why: &str) -> End {
    End {
        goodbye,
        why: why.to_owned(),
    }
}

impl Session {
    fn is_busy(&self, now: i64) -> bool {
        !self.todo.is_empty()
            || self.told.is_some()
            || self.bell == Bell::Rung
            || now - self.heard >= SILENCE
            || self.leases.is_some_and(|at| at <= now)
            || self.claim.is_some_and(|at| at <= now)
            || (self.introduction == Introduction::Awaited && now - self.began >= INTRODUCTION)
    }

    fn step(
        &mut self,
        down: &mut Lane,
        plane: &mut dyn Plane,
        now: i64,
        did: &mut Vec<Did>,
    ) -> Result<(), End> {
        if let Some(todo) = self.todo.pop_front() {
            self.perform(todo, down, plane, now, did)?;
        } else if let Some(reason) = self.told {
            return Err(end(Some(reason), "told to end"));
        } else if self.bell == Bell::Rung {
            self.bell = Bell::Quiet;
            self.look_again(plane)?;
        } else {
            self.keep_time(plane, now)?;
        }
        self.leases = match (self.conversation.live(), self.leases) {
            (0, _) => None,
            (_, None) => Some(now + LEASES),
            (_, set) => set,
        };
        Ok(())
    }

    fn look_again(&mut self, plane: &mut dyn Plane) -> Result<(), End> {
        match plane.standing(self.host, self.id) {
            Standing::Current => {
                self.todo.push_back(Todo::Act(Action::Look));
                Ok(())
            }
            Standing::Superseded => Err(end(Some(GoodbyeReason::Superseded), "superseded")),
            Standing::Revoked => Err(end(Some(GoodbyeReason::Revoked), "revoked")),
        }
    }

    fn keep_time(&mut self, plane: &mut dyn Plane, now: i64) -> Result<(), End> {
        if now - self.heard >= SILENCE {
            return Err(end(None, "silent"));
        }
        if self.introduction == Introduction::Awaited && now - self.began >= INTRODUCTION {
            return Err(end(None, "not introduced"));
        }
        if self.leases.is_some_and(|at| at <= now) {
            self.leases = Some(now + LEASES);
            plane.renew_leases(self.host, self.id);
        }
        if self.claim.take_if(|at| *at <= now).is_some() {
            self.todo.push_back(Todo::Act(Action::Look));
        }
        Ok(())
    }

    fn perform(
        &mut self,
        todo: Todo,
        down: &mut Lane,
        plane: &mut dyn Plane,
        now: i64,
        did: &mut Vec<Did>,
    ) -> Result<(), End> {
        let action = match todo {
            Todo::Judge(hello) => {
                let verdicts = plane.judge(self.host, &hello);
                did.push(Did::Else(format!("verdicts {verdicts:?}")));
                return self.follow(Event::Received(verdicts));
            }
            Todo::Act(action) => action,
        };
        match action {
            Action::Shake(answer) => {
                let frame = encode_handshake(&answer).expect("a handshake");
                down.send(Parcel::Frame(frame));
            }
            Action::Say(message) => {
                did.push(Did::Else(format!("say {}", message.name())));
                say(down, &message);
            }
            Action::Receive(hello) => self.receive(hello, plane)?,
            Action::Look => self.look(plane, did)?,
            Action::LookLater => self.claim = Some(now + AGAIN),
            Action::Report(report) => self.report(report, plane, did)?,
            Action::Append(log) => match plane.append(self.host, log.attempt, &log.chunk) {
                Ok(Appended::Forget) => {
                    self.follow(Event::Reacted(log.attempt, Reaction::Forget))?;
                }
                Ok(Appended::Ack(ack)) => say(down, &FromServer::LogAck(ack)),
                Err(why) => return Err(end(Some(GoodbyeReason::Protocol), &why)),
            },
            Action::Refuse(why) => return Err(end(None, why)),
            Action::AnswerBeat
            | Action::Measure(_)
            | Action::DropSample
            | Action::Describe(_)
            | Action::Mark(_)
            | Action::Renew(_)
            | Action::Answer(_)
            | Action::Piece(_)
            | Action::StreamOver(_)
            | Action::RefuseTunnel(_)
            | Action::Skip(_) => {}
        }
        Ok(())
    }

    fn receive(&mut self, hello: Hello, plane: &mut dyn Plane) -> Result<(), End> {
        match plane.connect(self.host, self.id, self.ticket, &hello) {
            Standing::Current => {
                self.introduction = Introduction::Made;
                self.todo.push_front(Todo::Judge(hello));
                Ok(())
            }
            Standing::Superseded => Err(end(
                Some(GoodbyeReason::Superseded),
                "a later one came first",
            )),
            Standing::Revoked => Err(end(Some(GoodbyeReason::Revoked), "revoked")),
        }
    }

    fn look(&mut self, plane: &mut dyn Plane, did: &mut Vec<Did>) -> Result<(), End> {
        if self.conversation.live() > 0 {
            self.follow(Event::Cancels(plane.cancels(self.host)))?;
        }
        if self.conversation.live() < MAX_HELD {
            let offers = plane.claim(self.host);
            for offer in &offers {
                did.push(Did::Claimed(offer.attempt));
            }
            self.follow(Event::Claimed(offers))?;
        }
        Ok(())
    }

    fn report(
        &mut self,
        report: Report,
        plane: &mut dyn Plane,
        did: &mut Vec<Did>,
    ) -> Result<(), End> {
        let attempt = match &report {
            Report::Accepted(attempt) | Report::Started(attempt) => *attempt,
            Report::Refused(refused) => refused.attempt,
            Report::Progress(progress) => progress.attempt,
            Report::Finished(finished) => finished.attempt,
        };
        let before = plane.view(attempt.job);
        let reaction = plane.report(self.host, &report);
        let seen = [before, plane.view(attempt.job)];
        let incomplete = matches!(
            (&report, reaction),
            (Report::Finished(_), Reaction::Nothing)
        );
        did.push(Did::Reported(report, reaction, seen));
        if incomplete {
            return Err(end(
                Some(GoodbyeReason::Protocol),
                "its log is not complete",
            ));
        }
        self.follow(Event::Reacted(attempt, reaction))
    }

    fn follow(&mut self, event: Event<'_>) -> Result<(), End> {
        let actions = self.conversation.step(event, instant());
        let actions = actions
            .map_err(|violation| end(Some(GoodbyeReason::Protocol), &violation.to_string()))?;
        self.todo.extend(actions.into_iter().map(Todo::Act));
        Ok(())
    }
}

fn say(down: &mut Lane, message: &FromServer) {
    down.send(Parcel::Frame(
        message.encode().expect("a message within its limits"),
    ));
}

/// The conversation asks for the time only to space out samples and renewals, which are not played.
fn instant() -> Instant {
    Instant::now()
}
