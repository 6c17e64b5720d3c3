//! What a session does on the rules' behalf: the calls to the store, and what it says.

use tokio::time::Instant;
use towline_pki::{CertificateDer, PeerIdentity};
use towline_shared::protocol::encode_handshake;
use towline_shared::protocol::frame::FrameError;
use towline_shared::protocol::v1::{
    Attempt, Certificate, FromServer, Hello, Log, MAX_HELD, Refusal, Refused, RenewRefused,
};

use super::conversation::{Action, Event, Report, Violation, beat};
use super::session::{Ending, Session};
use crate::ops::{self, OpsError};
use crate::store::{Appended, Reaction, Standing, StoreError};
use crate::wake::Topic;

type Events = Result<Vec<Event<'static>>, Ending>;

impl Session {
    /// Does one thing, and says what came of it.
    pub(super) async fn perform(&mut self, action: Action) -> Events {
        match action {
            Action::Shake(answer) => {
                let bytes = encode_handshake(&answer).map_err(Violation::from)?;
                self.socket.queue(bytes, None);
            }
            Action::Say(message) => return self.say_or_refuse(message).await,
            Action::AnswerBeat => {
                if self.pulse.answers_beat(Instant::now()) {
                    self.say(&beat())?;
                }
            }
            Action::Receive(hello) => return self.receive(hello).await,
            Action::Look => return self.look().await,
            Action::LookLater => self.pulse.claim_again(Instant::now()),
            Action::Report(report) => return self.report(report).await,
            Action::Append(log) => return self.append(log).await,
            Action::Mark(at) => self.house.store.step_line(self.agent(), &at).await?,
            Action::Measure(sample) => {
                if let Some(team) = self.team {
                    self.house.store.record_sample(self.agent(), team, sample);
                }
            }
            Action::DropSample => self.counters().samples_dropped.one(),
            Action::Describe(capabilities) => {
                self.house
                    .store
                    .agent_capabilities(self.agent(), &capabilities)
                    .await?;
            }
            Action::Renew(csr) => self.renew(&csr).await?,
            Action::Answer(reply) => self.questions.answer(reply),
            Action::Piece(data) => self.streams.data(data).map_err(Violation::from)?,
            Action::StreamOver(end) => self.streams.end(end),
            Action::RefuseTunnel(refused) => {
                self.house.registry.tunnel_refused(self.agent(), refused);
            }
            Action::Skip(kind) => {
                self.counters().frames_unknown.one();
                tracing::debug!(agent = %self.agent(), kind, "skipped a frame of an unknown kind");
            }
            Action::Refuse(why) => return Err(Ending::Refused(why)),
        }
        Ok(vec![])
    }

    /// Says something that is known to be sendable.
    pub(super) fn say(&mut self, message: &FromServer) -> Result<(), Ending> {
        match message.encode() {
            Ok(bytes) => {
                self.socket.queue(bytes, Some(message.name()));
                self.pulse.spoke(Instant::now());
                self.counters().frames_out.one();
                Ok(())
            }
            Err(error) => {
                tracing::error!(agent = %self.agent(), message = message.name(), %error, "a message of ours cannot be sent");
                Err(Ending::Stopping)
            }
        }
    }

    /// Says something. An offer over the limits fails its job instead of the session, which would
    /// meet it again and again.
    async fn say_or_refuse(&mut self, message: FromServer) -> Events {
        let FromServer::Offer(offer) = &message else {
            return self.say(&message).map(|()| vec![]);
        };
        let Err(error @ FrameError::Unsendable { .. }) = message.encode().map(drop) else {
            return self.say(&message).map(|()| vec![]);
        };
        let refused = Refused {
            attempt: offer.attempt,
            reason: Refusal::Unreadable,
            message: error.to_string(),
        };
        self.house.store.refused(self.agent(), &refused).await?;
        Ok(vec![Event::Withdrawn(refused.attempt)])
    }

    async fn receive(&mut self, hello: Hello) -> Events {
        let (agent, id) = (self.agent(), self.id());
        if !self.house.registry.may_enter(agent) {
            return Err(Ending::Refused("it connects too often"));
        }
        let store = &self.house.store;
        match store
            .agent_connected(agent, id, self.before, &hello)
            .await?
        {
            Standing::Current => {}
            Standing::Superseded => return Err(Ending::Superseded),
            Standing::Revoked => return Err(Ending::Revoked),
        }
        self.house.registry.enter(&self.presence.handle).await;
        // After our own connection has woken the topic, and before the first look.
        self.waiter = Some(store.wake().subscribe(Topic::Agent(agent)));
        let verdicts = store
            .hello(agent, &hello)
            .await
            .map_err(|error| match error {
                StoreError::Invalid { message, .. } => Violation::Hello(message).into(),
                other => Ending::Store(other),
            })?;
        self.pulse.introduced();
        self.counters().sessions.one();
        tracing::info!(%agent, session = %id, version = hello.version, held = hello.held.len(), "agent connected");
        Ok(vec![Event::Received(verdicts)])
    }

    async fn look(&mut self) -> Events {
        let store = &self.house.store;
        let mut events = Vec::new();
        if self.conversation.live() > 0 {
            events.push(Event::Cancels(store.pending_cancels(self.agent()).await?));
        }
        if self.conversation.live() < MAX_HELD {
            events.push(Event::Claimed(store.claim(self.agent()).await?));
        }
        Ok(events)
    }

    async fn report(&mut self, report: Report) -> Events {
        let (store, agent) = (&self.house.store, self.agent());
        let (attempt, reaction) = match &report {
            Report::Accepted(attempt) => (*attempt, store.accepted(agent, *attempt).await),
            Report::Started(attempt) => (*attempt, store.started(agent, *attempt).await),
            Report::Refused(refused) => (refused.attempt, store.refused(agent, refused).await),
            Report::Progress(progress) => (progress.attempt, store.progress(agent, progress).await),
            Report::Finished(finished) => (finished.attempt, store.finished(agent, finished).await),
        };
        let reaction = or_refuse(attempt, reaction)?;
        // A new conversation settles from where the log is sent again.
        if matches!(
            (&report, reaction),
            (Report::Finished(_), Reaction::Nothing)
        ) {
            return Err(refusal(attempt, "its log is not complete".to_owned()));
        }
        Ok(vec![Event::Reacted(attempt, reaction)])
    }

    async fn append(&mut self, log: Log) -> Events {
        let Log { attempt, chunk } = log;
        let appended = self
            .house
            .store
            .append_log(self.agent(), attempt, &chunk)
            .await;
        match or_refuse(attempt, appended)? {
            Appended::Forget => Ok(vec![Event::Reacted(attempt, Reaction::Forget)]),
            Appended::Ack(ack) => {
                self.counters().log_lines.add(u64::from(chunk.lines));
                match self
                    .acks
                    .iter_mut()
                    .find(|waiting| waiting.attempt == attempt)
                {
                    Some(waiting) => waiting.next_line = waiting.next_line.max(ack.next_line),
                    None => self.acks.push(ack),
                }
                Ok(vec![])
            }
        }
    }

    async fn renew(&mut self, csr: &[u8]) -> Result<(), Ending> {
        match ops::renew_live(&self.house.store, &self.identity, csr).await {
            Ok(certificate) => {
                // The agent has proven the new key's possession in the request, so that the session
                // lives as long as the new certificate.
                match read_identity(&certificate) {
                    Some(identity) if identity.agent == self.identity.agent => {
                        *self.identity = identity;
                    }
                    _ => {
                        tracing::warn!(agent = %self.agent(), "a certificate just issued cannot be read");
                    }
                }
                self.say(&FromServer::Certificate(certificate))
            }
            Err(error) => {
                tracing::warn!(agent = %self.agent(), %error, "a certificate was not renewed");
                let message = if matches!(error, OpsError::Store(_) | OpsError::Pki(_)) {
                    "no certificate can be issued now; ask again later".to_owned()
                } else {
                    error.to_string()
                };
                self.say(&FromServer::RenewRefused(RenewRefused { message }))
            }
        }
    }
}

fn read_identity(certificate: &Certificate) -> Option<PeerIdentity> {
    use rustls::pki_types::pem::PemObject as _;
    let leaf = CertificateDer::from_pem_slice(certificate.certificate.as_bytes()).ok()?;
    PeerIdentity::from_leaf(&leaf).ok()
}

/// Tells what the agent did wrong from what the store cannot do now.
fn or_refuse<T>(attempt: Attempt, result: Result<T, StoreError>) -> Result<T, Ending> {
    result.map_err(|error| match error {
        StoreError::Chunk(_) | StoreError::Invalid { .. } | StoreError::NotFound(_) => {
            refusal(attempt, error.to_string())
        }
        other => Ending::Store(other),
    })
}

fn refusal(attempt: Attempt, why: String) -> Ending {
    Violation::Report {
        job: attempt.job,
        why,
    }
    .into()
}
