//! The conversation with the control plane.

use chrono::Utc;
use towline_shared::protocol::v1::{
    Attempt, Capabilities, FromAgent, FromServer, GoodbyeReason, Held, Hello, Verdict, Welcome,
};

use super::status::LinkState;
use super::watchers::Connected;
use super::{Agent, LinkPhase};
use crate::enroll::clock_warning;
use crate::identity::Identity;
use crate::link::{End, Failure, Link, LinkEvent};
use crate::machine::{self, HeldJob, Settled};

impl Agent {
    pub(super) fn on_link(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(link, identity) => self.on_up(link, *identity),
            LinkEvent::Message(message) => self.on_message(message),
            LinkEvent::Down(end) => self.on_down(&end),
            LinkEvent::Failed(error, failure) => self.on_failed(&error, failure),
        }
    }

    fn on_up(&mut self, link: Link, identity: Identity) {
        self.renewal.now_by(identity);
        self.link = LinkPhase::Silent(link);
        self.greet();
    }

    pub(super) fn on_capabilities(&mut self, capabilities: Capabilities) {
        if self.capabilities.as_ref() == Some(&capabilities) {
            return;
        }
        self.say(&FromAgent::Capabilities(capabilities.clone()));
        self.capabilities = Some(capabilities);
        self.greet();
    }

    fn greet(&mut self) {
        let LinkPhase::Silent(link) = &self.link else {
            return;
        };
        let Some(capabilities) = self.capabilities.clone() else {
            return;
        };
        let link = link.clone();
        link.say(&FromAgent::Hello(Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at_ms: Utc::now().timestamp_millis(),
            capabilities,
            fences: self.machine.fences(),
            held: self
                .machine
                .held()
                .into_iter()
                .filter_map(|job| self.held(job))
                .collect(),
        }));
        self.link = LinkPhase::Greeted(link);
    }

    fn held(&self, job: HeldJob) -> Option<Held> {
        let log = &self.jobs.get(&job.attempt)?.log;
        Some(Held {
            attempt: job.attempt,
            phase: job.phase,
            secrets: job.secrets,
            log_from: log.kept(),
        })
    }

    fn on_message(&mut self, message: FromServer) {
        match message {
            FromServer::Welcome(welcome) => self.on_welcome(welcome),
            FromServer::Offer(offer) => self.on_offer(offer),
            FromServer::Go(attempt) => self.feed(machine::Event::Go(attempt)),
            FromServer::Cancel(attempt) => self.feed(machine::Event::Cancel(attempt)),
            FromServer::Forget(attempt) => self.feed(machine::Event::Forget(attempt)),
            FromServer::LogAck(ack) => {
                if let Some(job) = self.jobs.get(&ack.attempt) {
                    job.log.acknowledge(ack.next_line);
                }
            }
            FromServer::Certificate(certificate) => self.on_certificate(certificate),
            FromServer::RenewRefused(refused) => self.renewal.refused(&refused.message),
            FromServer::Ask(ask) => self.on_ask(ask),
            FromServer::AskUpgrade(ask) => self.on_ask_upgrade(ask),
            FromServer::OpenStream(open) => self.on_open_stream(open),
            FromServer::Credit(credit) => self.streams.credit(credit),
            FromServer::CloseStream(close) => self.streams.close(close.stream),
            FromServer::OpenTunnel(open) => self.on_open_tunnel(open),
            // Both were taken by the link.
            FromServer::Heartbeat(_) | FromServer::Goodbye(_) => {}
        }
    }

    fn on_welcome(&mut self, welcome: Welcome) {
        let LinkPhase::Greeted(link) = &self.link else {
            return;
        };
        let link = link.clone();
        let ahead_ms = welcome.at_ms.saturating_sub(Utc::now().timestamp_millis());
        if let Some(warning) = clock_warning(ahead_ms / 1000) {
            tracing::warn!("{warning}");
        }
        tracing::info!(verdicts = welcome.verdicts.len(), "connected");
        self.link = LinkPhase::Welcomed(link.clone());
        self.connected.send_replace(Connected::Yes);
        self.last.connected(ahead_ms);
        self.last.save(&self.options.dir);
        self.is_welcomed();
        for (attempt, verdict) in welcome.verdicts {
            self.on_verdict(attempt, verdict, &link);
        }
    }

    fn on_verdict(&mut self, attempt: Attempt, verdict: Verdict, link: &Link) {
        let settled = Settled::of(attempt, verdict);
        if let (Some(job), Some(log)) = (self.jobs.get_mut(&attempt), settled.log) {
            if !settled.secrets.is_empty() {
                job.secrets = settled.secrets;
            }
            job.log.send_from(log, link.bulk().clone());
        }
        if let Some(event) = settled.event {
            self.feed(event);
        }
    }

    fn on_down(&mut self, end: &End) {
        let why = end.to_string();
        match end {
            End::Goodbye(GoodbyeReason::Revoked) => tracing::error!("{why}"),
            End::Asked => tracing::info!("{why}"),
            _ => tracing::warn!("{why}; dialling again"),
        }
        self.link_is_down(&why);
        if *end == End::Goodbye(GoodbyeReason::Revoked) {
            self.last.failed(&why, LinkState::Revoked);
            self.last.save(&self.options.dir);
        }
    }

    pub(super) fn link_is_down(&mut self, why: &str) {
        if matches!(self.link, LinkPhase::Welcomed(_)) {
            self.last.disconnected(why);
            self.last.save(&self.options.dir);
        }
        self.link = LinkPhase::Down;
        self.connected.send_replace(Connected::No);
        self.streams.abort_all();
        self.tunnels.abort_all();
        self.renewal.link_lost();
        for job in self.jobs.values() {
            job.log.link_lost();
        }
    }

    fn on_failed(&mut self, error: &str, failure: Failure) {
        let state = match failure {
            Failure::Passing => LinkState::Down,
            Failure::Revoked => LinkState::Revoked,
        };
        // The same failure is said once, however often it comes.
        if self.last.failed(error, state) {
            tracing::warn!("no connection: {error}; trying again");
            self.last.save(&self.options.dir);
        }
    }
}
