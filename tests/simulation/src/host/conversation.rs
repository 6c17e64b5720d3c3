//! What an agent says and hears.

use towline_agent::ledger::Acceptance;
use towline_agent::machine::{self, Settled};
use towline_shared::protocol::frame::Received;
use towline_shared::protocol::v1::{
    self, Attempt, Capabilities, Finished, FromAgent, FromServer, Held, Hello, Log, Offer, Refusal,
    Refused, Welcome,
};
use towline_shared::protocol::{ClientHandshake, encode_handshake, read_server};

use super::{Agent, Broken, Hands, Noted, Phase, Sends, key};
use crate::dice::Dice;
use crate::link::{Link, LinkId, Parcel};

impl Agent {
    /// Dials: the handshake goes out on a new connection.
    pub fn dial(&mut self, link: &mut Link, now: i64) {
        let ours = encode_handshake(&ClientHandshake::ours("simulation")).expect("a handshake");
        link.up.send(Parcel::Frame(ours));
        self.phase = Phase::Shaking(link.id);
        self.heard = now;
    }

    /// The connection, if there is one.
    pub const fn link(&self) -> Option<LinkId> {
        match self.phase {
            Phase::Down => None,
            Phase::Shaking(link) | Phase::Greeted(link) | Phase::Welcomed(link) => Some(link),
        }
    }

    /// The connection is given up.
    pub fn hang_up(&mut self, now: i64, dice: &mut Dice) {
        self.phase = Phase::Down;
        self.dials_at = now + dice.within(0..4_000);
        for job in self.jobs.values_mut() {
            job.sends = Sends::Nothing;
        }
    }

    /// Something has come on the connection; `Err` in the inner result ends it.
    pub fn hear(
        &mut self,
        parcel: Parcel,
        now: i64,
        hands: &mut Hands<'_>,
    ) -> Result<Result<(), String>, Broken> {
        self.heard = now;
        let Parcel::Frame(frame) = parcel else {
            return Ok(Err("closed".into()));
        };
        match self.phase {
            Phase::Down => Ok(Ok(())),
            Phase::Shaking(link) => Ok(match read_server(&frame) {
                Ok(_) => {
                    self.phase = Phase::Greeted(link);
                    self.greet(hands);
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            }),
            Phase::Greeted(_) | Phase::Welcomed(_) => match FromServer::decode(&frame) {
                Ok(Received::Message(FromServer::Goodbye(goodbye))) => {
                    Ok(Err(format!("{:?}", goodbye.reason)))
                }
                Ok(Received::Message(message)) => self.take(message, hands).map(Ok),
                Ok(Received::Unknown(_)) => Ok(Ok(())),
                Err(error) => Ok(Err(error.to_string())),
            },
        }
    }

    fn greet(&mut self, hands: &mut Hands<'_>) {
        let held = self.machine.held().into_iter().filter_map(|job| {
            let kept = self.jobs.get(&key(job.attempt))?.spool.kept();
            Some(Held {
                attempt: job.attempt,
                phase: job.phase,
                secrets: job.secrets,
                log_from: kept,
            })
        });
        let hello = Hello {
            version: "simulation".into(),
            at_ms: 0,
            capabilities: Capabilities {
                engine: v1::Engine::Docker {
                    version: "28.0.0".into(),
                    api: "1.48".into(),
                },
                compose: v1::Plugin::Version("2.26.1".into()),
                ..Capabilities::default()
            },
            fences: self.machine.fences(),
            held: held.collect(),
        };
        self.say(&FromAgent::Hello(hello), hands);
    }

    fn take(&mut self, message: FromServer, hands: &mut Hands<'_>) -> Result<(), Broken> {
        hands
            .noted
            .push(Noted::Else(format!("hears {}", message.name())));
        match message {
            FromServer::Welcome(welcome) => self.welcome(welcome, hands),
            FromServer::Offer(_) if matches!(self.phase, Phase::Greeted(_)) => {
                Err("an offer comes before the welcome".into())
            }
            FromServer::Offer(offer) => self.offer(offer, hands),
            FromServer::Go(attempt) => self.feed(machine::Event::Go(attempt), hands),
            FromServer::Cancel(attempt) => self.feed(machine::Event::Cancel(attempt), hands),
            FromServer::Forget(attempt) => self.feed(machine::Event::Forget(attempt), hands),
            FromServer::LogAck(ack) => {
                if let Some(job) = self.jobs.get_mut(&key(ack.attempt)) {
                    job.spool.acknowledge(ack.next_line);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn welcome(&mut self, welcome: Welcome, hands: &mut Hands<'_>) -> Result<(), Broken> {
        let Phase::Greeted(link) = self.phase else {
            return Ok(());
        };
        self.phase = Phase::Welcomed(link);
        for (attempt, verdict) in welcome.verdicts {
            let settled = Settled::of(attempt, verdict);
            if let (Some(job), Some(log)) = (self.jobs.get_mut(&key(attempt)), settled.log) {
                if !settled.secrets.is_empty() {
                    job.secrets = settled.secrets;
                }
                job.spool.acknowledge(log.next_line);
                job.spool.anchor(log).map_err(|error| error.to_string())?;
                job.sends = Sends::On(link);
            }
            if let Some(event) = settled.event {
                self.feed(event, hands)?;
            }
        }
        Ok(())
    }

    fn offer(&mut self, offer: Offer, hands: &mut Hands<'_>) -> Result<(), Broken> {
        let attempt = offer.attempt;
        let Ok(spec) = offer.spec.open() else {
            let refused = Refused {
                attempt,
                reason: Refusal::Unreadable,
                message: "damaged".into(),
            };
            self.say(&FromAgent::Refused(refused), hands);
            return Ok(());
        };
        let acceptance = Acceptance::of(&offer, &spec);
        let known = self.jobs.contains_key(&key(attempt));
        if !known {
            self.offered.entry(key(attempt)).or_insert(offer);
        }
        self.feed(machine::Event::Offered(acceptance), hands)
    }

    /// Sends the next piece of a job's log, or its result after the last.
    pub fn send(&mut self, attempt: Attempt, hands: &mut Hands<'_>) -> Result<(), Broken> {
        let (Phase::Welcomed(up), Some(job)) = (self.phase, self.jobs.get_mut(&key(attempt)))
        else {
            return Ok(());
        };
        let Some(link) = &mut hands.link else {
            return Ok(());
        };
        if let Some(chunk) = job.spool.read().map_err(|error| error.to_string())? {
            send(link, &FromAgent::Log(Log { attempt, chunk }));
            return Ok(());
        }
        if let (Some(log), Some(outcome)) = (job.end, job.report.clone()) {
            job.sends = Sends::Done(up);
            let log = if log == job.spool.end() {
                log
            } else {
                job.spool.end()
            };
            let finished = Finished {
                attempt,
                outcome,
                log,
            };
            send(link, &FromAgent::Finished(finished));
            hands.noted.push(Noted::Else("says Finished".into()));
        }
        Ok(())
    }
}

pub(super) fn send(link: &mut Link, message: &FromAgent) {
    link.up.send(Parcel::Frame(
        message.encode().expect("a message within its limits"),
    ));
}
