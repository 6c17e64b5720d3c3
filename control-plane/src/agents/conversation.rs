//! The rules of what is said on one connection, without the connection: `step(event) → actions`.
//!
//! The session carries the actions out in order and brings what came of them back as events.
//! A message that the rules do not allow is a [`Violation`], which ends the session.

use std::time::Duration;

use chrono::Utc;
use tokio::time::Instant;
use towline_shared::failpoint::is_planted;
use towline_shared::metrics::{MAX_CONTAINERS, Sample};
use towline_shared::protocol::frame::{FrameError, Received};
use towline_shared::protocol::v1::{
    Attempt, Capabilities, Finished, FromAgent, FromServer, Goodbye, GoodbyeReason, Heartbeat,
    Hello, Log, MAX_HELD, Offer, Progress, QueryReply, Refused, RenewRefused, StepLine, StreamData,
    StreamEnd, Verdict, Welcome,
};
use towline_shared::protocol::{HandshakeError, ServerHandshake, choose, read_client};
use towline_shared::tunnel::TunnelRefused;

use super::admission::Admission;
use super::streams::StreamViolation;
use crate::store::Reaction;

/// The longest word an agent may use for itself, its host or its versions, in bytes.
const MAX_WORD: usize = 256;

/// Where a conversation is.
#[derive(Debug)]
enum Phase {
    /// The handshake is awaited, from a peer that was judged by its certificate.
    Handshake(Admission),
    /// The agent's introduction is awaited.
    Hello,
    /// The store looks at what the agent holds.
    Reception,
    /// Everything may be said.
    Open,
    /// Nothing more is heard.
    Over,
}

/// The state of a conversation.
#[derive(Debug)]
pub struct Conversation {
    phase: Phase,
    limits: Limits,
    /// The attempts that the agent has, as far as this session knows.
    live: Vec<Attempt>,
    sampled: Option<Instant>,
    renewed: Option<Instant>,
    described: Option<Instant>,
}

/// How often an agent may do what costs us something.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Between two samples.
    pub samples: Duration,
    /// Between two certificate requests.
    pub renewals: Duration,
    /// Between two descriptions of the host.
    pub descriptions: Duration,
}

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A frame came.
    Frame(&'a [u8]),
    /// The store has judged what the agent holds.
    Received(Vec<(Attempt, Verdict)>),
    /// The store has jobs for the agent.
    Claimed(Vec<Offer>),
    /// The store has jobs whose stop was asked for.
    Cancels(Vec<Attempt>),
    /// The store has answered a report.
    Reacted(Attempt, Reaction),
    /// An offer was not made after all.
    Withdrawn(Attempt),
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// Answer the handshake.
    Shake(ServerHandshake),
    /// Say something.
    Say(FromServer),
    /// Answer a heartbeat, if ours is due soon.
    AnswerBeat,
    /// Tell the store who is here and what it holds; brings [`Event::Received`].
    Receive(Hello),
    /// Look for jobs and cancels; brings [`Event::Claimed`] and [`Event::Cancels`].
    Look,
    /// Look for jobs again in a while.
    LookLater,
    /// Tell the store what became of a job; brings [`Event::Reacted`].
    Report(Report),
    /// Store a piece of log, then acknowledge it.
    Append(Log),
    /// Keep where in a log a step begins.
    Mark(StepLine),
    /// Keep a sample.
    Measure(Sample),
    /// A sample came that is not kept.
    DropSample,
    /// Keep new capabilities.
    Describe(Capabilities),
    /// Issue a new certificate.
    Renew(Vec<u8>),
    /// Hand an answer over.
    Answer(QueryReply),
    /// Hand a piece of a stream over.
    Piece(StreamData),
    /// Hand the end of a stream over.
    StreamOver(StreamEnd),
    /// Tell who waits that a tunnel is not opened.
    RefuseTunnel(TunnelRefused),
    /// A kind that this version does not know was skipped.
    Skip(u8),
    /// The conversation ends because the agent may not be here; the words were said before.
    Refuse(&'static str),
}

/// What an agent says about a job.
#[derive(Debug, PartialEq)]
pub enum Report {
    /// It has journalled an offer.
    Accepted(Attempt),
    /// It will not do an offered job.
    Refused(Refused),
    /// It has begun.
    Started(Attempt),
    /// It has come to another step.
    Progress(Progress),
    /// It has ended.
    Finished(Finished),
}

/// What an agent said that it may not say.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// Its first message is no handshake.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// What came is no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It speaks before it has said who it is.
    #[error("{0} before Hello")]
    Unintroduced(&'static str),
    /// It says twice who it is.
    #[error("a second Hello")]
    Repeated,
    /// It says to hold more than it may.
    #[error("it says to hold {0} jobs, at most {MAX_HELD} are allowed")]
    Holds(usize),
    /// A word of its own is too long.
    #[error("its {field} has {bytes} bytes, at most {MAX_WORD} are allowed")]
    Word {
        /// Which word.
        field: &'static str,
        /// Its size.
        bytes: usize,
    },
    /// Nobody of ours says hello so.
    #[error("its Hello is refused: {0}")]
    Hello(String),
    /// It broke the rules of streams.
    #[error(transparent)]
    Stream(#[from] StreamViolation),
    /// The store refuses a report.
    #[error("its report about job {job} is refused: {why}")]
    Report {
        /// The job.
        job: towline_shared::ids::JobId,
        /// Why.
        why: String,
    },
    /// It broke the rules of the socket.
    #[error("{0}")]
    Socket(String),
}

type Actions = Result<Vec<Action>, Violation>;

impl Conversation {
    /// A connection was made by a peer that was judged so.
    pub const fn begin(admission: Admission, limits: Limits) -> Self {
        Self {
            phase: Phase::Handshake(admission),
            limits,
            live: Vec::new(),
            sampled: None,
            renewed: None,
            described: None,
        }
    }

    /// How many attempts the agent has.
    pub const fn live(&self) -> usize {
        self.live.len()
    }

    /// Whether jobs may be offered.
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the agent has not said yet who it is.
    pub(super) const fn awaits_hello(&self) -> bool {
        matches!(self.phase, Phase::Handshake(_) | Phase::Hello)
    }

    /// What follows from an event.
    pub fn step(&mut self, event: Event<'_>, now: Instant) -> Actions {
        match event {
            Event::Frame(frame) => self.frame(frame, now),
            Event::Received(verdicts) => Ok(self.welcome(verdicts)),
            Event::Claimed(offers) => Ok(self.offer(offers)),
            Event::Cancels(attempts) => Ok(attempts
                .into_iter()
                .map(|attempt| Action::Say(FromServer::Cancel(attempt)))
                .collect()),
            Event::Reacted(attempt, reaction) => Ok(self.react(attempt, reaction)),
            Event::Withdrawn(attempt) => {
                self.forget(attempt);
                Ok(vec![])
            }
        }
    }

    fn frame(&mut self, frame: &[u8], now: Instant) -> Actions {
        match &self.phase {
            Phase::Handshake(_) => self.handshake(frame),
            Phase::Over => Ok(vec![]),
            Phase::Hello | Phase::Reception | Phase::Open => match FromAgent::decode(frame)? {
                Received::Unknown(kind) => Ok(vec![Action::Skip(kind)]),
                Received::Message(message) => self.message(message, now),
            },
        }
    }

    fn handshake(&mut self, frame: &[u8]) -> Actions {
        let answer = choose(&read_client(frame)?);
        let Phase::Handshake(admission) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Ok(vec![]);
        };
        Ok(match (admission, answer) {
            (_, answer @ ServerHandshake::Refuse(_)) => vec![
                Action::Shake(answer),
                Action::Refuse("no version in common"),
            ],
            (Admission::Unknown, _) => {
                let words =
                    "this control plane does not know this agent; enrol the host again".to_owned();
                vec![
                    Action::Shake(ServerHandshake::Refuse(words)),
                    Action::Refuse("it is not known here"),
                ]
            }
            (Admission::Revoked, speak) => {
                let goodbye = FromServer::Goodbye(Goodbye {
                    reason: GoodbyeReason::Revoked,
                });
                vec![
                    Action::Shake(speak),
                    Action::Say(goodbye),
                    Action::Refuse("it was revoked"),
                ]
            }
            (Admission::Admitted { .. }, speak) => {
                self.phase = Phase::Hello;
                vec![Action::Shake(speak)]
            }
        })
    }

    fn message(&mut self, message: FromAgent, now: Instant) -> Actions {
        match (&self.phase, message) {
            (Phase::Hello, FromAgent::Hello(hello)) => self.hello(hello),
            (_, FromAgent::Hello(_)) => Err(Violation::Repeated),
            (Phase::Hello, other) => Err(Violation::Unintroduced(other.name())),
            (_, other) => self.introduced(other, now),
        }
    }

    fn hello(&mut self, hello: Hello) -> Actions {
        if hello.held.len() > MAX_HELD {
            return Err(Violation::Holds(hello.held.len()));
        }
        word("version", &hello.version)?;
        words(&hello.capabilities)?;
        self.phase = Phase::Reception;
        if is_planted("plane: offer before the welcome") {
            return Ok(vec![Action::Look, Action::Receive(hello)]);
        }
        Ok(vec![Action::Receive(hello)])
    }

    fn introduced(&mut self, message: FromAgent, now: Instant) -> Actions {
        Ok(vec![match message {
            FromAgent::Refused(refused) => return Ok(self.refused(refused)),
            FromAgent::Heartbeat(_) | FromAgent::Hello(_) => Action::AnswerBeat,
            FromAgent::Accepted(attempt) => Action::Report(Report::Accepted(attempt)),
            FromAgent::Started(attempt) => Action::Report(Report::Started(attempt)),
            FromAgent::Progress(progress) => Action::Report(Report::Progress(progress)),
            FromAgent::Finished(finished) => Action::Report(Report::Finished(finished)),
            FromAgent::Log(log) => Action::Append(log),
            FromAgent::StepLine(at) => Action::Mark(at),
            FromAgent::Metrics(sample) => self.sample(sample, now),
            FromAgent::Capabilities(capabilities) => {
                words(&capabilities)?;
                if !due(&mut self.described, now, self.limits.descriptions) {
                    return Ok(vec![]);
                }
                Action::Describe(capabilities)
            }
            FromAgent::Renew(renew) => self.renew(renew.csr, now),
            FromAgent::Reply(reply) => Action::Answer(reply),
            FromAgent::StreamData(data) => Action::Piece(data),
            FromAgent::StreamEnd(end) => Action::StreamOver(end),
            FromAgent::TunnelRefused(refused) => Action::RefuseTunnel(refused),
        }])
    }

    /// A refused offer is not the agent's. Whatever the reason, the next look waits a while, so
    /// that an agent that refuses everything costs little.
    fn refused(&mut self, refused: Refused) -> Vec<Action> {
        self.forget(refused.attempt);
        vec![Action::Report(Report::Refused(refused)), Action::LookLater]
    }

    fn sample(&mut self, mut sample: Sample, now: Instant) -> Action {
        if !due(&mut self.sampled, now, self.limits.samples) || !is_finite(&sample) {
            return Action::DropSample;
        }
        sample.containers.truncate(MAX_CONTAINERS);
        Action::Measure(sample)
    }

    fn renew(&mut self, csr: Vec<u8>, now: Instant) -> Action {
        if due(&mut self.renewed, now, self.limits.renewals) {
            return Action::Renew(csr);
        }
        let message = format!(
            "a certificate was asked for less than {} s ago; ask again later",
            self.limits.renewals.as_secs()
        );
        Action::Say(FromServer::RenewRefused(RenewRefused { message }))
    }

    fn welcome(&mut self, verdicts: Vec<(Attempt, Verdict)>) -> Vec<Action> {
        self.phase = Phase::Open;
        let kept = verdicts
            .iter()
            .filter(|(_, verdict)| !matches!(verdict, Verdict::Forget));
        self.live = kept.map(|(attempt, _)| *attempt).collect();
        let welcome = Welcome {
            at_ms: now_ms(),
            verdicts,
        };
        vec![Action::Say(FromServer::Welcome(welcome)), Action::Look]
    }

    fn offer(&mut self, offers: Vec<Offer>) -> Vec<Action> {
        self.live.extend(offers.iter().map(|offer| offer.attempt));
        offers
            .into_iter()
            .map(|offer| Action::Say(FromServer::Offer(offer)))
            .collect()
    }

    fn react(&mut self, attempt: Attempt, reaction: Reaction) -> Vec<Action> {
        let say = match reaction {
            Reaction::Go => FromServer::Go(attempt),
            Reaction::Cancel => FromServer::Cancel(attempt),
            // The target may be free now: whoever forgets a job looks for the next one.
            Reaction::Forget => {
                self.forget(attempt);
                return vec![Action::Say(FromServer::Forget(attempt)), Action::Look];
            }
            Reaction::Nothing => return vec![],
        };
        vec![Action::Say(say)]
    }

    fn forget(&mut self, attempt: Attempt) {
        self.live.retain(|live| *live != attempt);
    }
}

/// Our heartbeat.
pub(super) fn beat() -> FromServer {
    FromServer::Heartbeat(Heartbeat { at_ms: now_ms() })
}

fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

fn due(last: &mut Option<Instant>, now: Instant, apart: Duration) -> bool {
    let due = last.is_none_or(|last| now.duration_since(last) >= apart);
    if due {
        *last = Some(now);
    }
    due
}

fn is_finite(sample: &Sample) -> bool {
    let host = sample.host.load.iter().chain([&sample.host.cpu_percent]);
    host.chain(
        sample
            .containers
            .iter()
            .map(|container| &container.cpu_percent),
    )
    .all(|value| value.is_finite())
}

fn words(capabilities: &Capabilities) -> Result<(), Violation> {
    word("host name", &capabilities.hostname)?;
    word("operating system", &capabilities.os)?;
    word("architecture", &capabilities.arch)
}

fn word(field: &'static str, text: &str) -> Result<(), Violation> {
    if text.len() <= MAX_WORD {
        Ok(())
    } else {
        Err(Violation::Word {
            field,
            bytes: text.len(),
        })
    }
}

#[cfg(test)]
mod tests;
