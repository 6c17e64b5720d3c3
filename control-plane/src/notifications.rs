//! The ways by which people are told: mail, and channels of services.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use std::time::Instant;
use towline_shared::ids::NotificationChannelId;

use crate::domain::notification_channel::{ChannelSettings, judge};
use crate::domain::notification_format::{call, mail};
use crate::domain::retry::{Pace, Verdict};
use crate::egress::Egress;
use crate::mail::{Mail, Mailer};
use crate::outbox::{Outbox, post};
use crate::store::{Attempted, DueNotice, NotificationDelivery, Person, Store, StoreError};

/// Messages to people. Clones are the same.
#[derive(Clone, Debug)]
pub struct Notifications {
    /// Where the messages are.
    pub store: Store,
    /// The way out.
    pub egress: Egress,
    /// Sends mail, where the installation does.
    pub mailer: Option<Mailer>,
    /// The installation's address, as mails have it.
    pub url: String,
}

impl Outbox for Notifications {
    type Due = DueNotice;

    fn store(&self) -> &Store {
        &self.store
    }

    async fn next(&self) -> Result<Option<DateTime<Utc>>, StoreError> {
        self.store.next_notice().await
    }

    async fn claim(&self, busy: &[String]) -> Result<Option<DueNotice>, StoreError> {
        self.store.claim_notice(busy).await
    }

    fn host(due: &DueNotice) -> &str {
        &due.host
    }

    async fn attempt(&self, due: DueNotice) {
        match self.send(&due).await {
            Ok(true) => {}
            Ok(false) => tracing::info!(delivery = %due.id, "another sender has this message now"),
            Err(error) => {
                tracing::warn!(delivery = %due.id, %error, "the end of an attempt was not stored; it is sent again");
            }
        }
    }
}

impl Notifications {
    /// Sends a message now that says nothing but that it works, and gives what came of it.
    pub async fn test(
        &self,
        person: &Person,
        channel: NotificationChannelId,
    ) -> Result<NotificationDelivery, StoreError> {
        let due = self.store.begin_test(person, channel).await?;
        self.send(&due).await?;
        self.store.notification_delivery(person, due.id).await
    }

    async fn send(&self, due: &DueNotice) -> Result<bool, StoreError> {
        let attempted = match self.store.channel_settings(due).await {
            Ok(Some(settings)) => self.call(due, &settings).await,
            Ok(None) => self.mail(due).await,
            Err(error) => {
                tracing::warn!(delivery = %due.id, %error, "a channel's settings could not be read");
                let why = "the control plane could not read the channel's settings";
                Attempted::unanswered(Verdict::Again, why.to_owned())
            }
        };
        self.store.notice_attempted(due, &attempted).await
    }

    async fn call(&self, due: &DueNotice, settings: &ChannelSettings) -> Attempted {
        let (id, now) = (due.event_id, Utc::now());
        let call = match call(settings, &due.notice, id, due.happened_at, now) {
            Ok(call) => call,
            Err(error) => return Attempted::unanswered(Verdict::Refused, error.to_string()),
        };
        let judge = |status| judge(due.kind, status);
        let body = Bytes::from(call.body);
        let attempted = post(&self.egress, &call.url, &call.headers, body, judge).await;
        without_secrets(attempted, settings)
    }

    async fn mail(&self, due: &DueNotice) -> Attempted {
        let Some(mailer) = &self.mailer else {
            let why = "this installation sends no mail; its operator sets [smtp]";
            return Attempted::unanswered(Verdict::Refused, why.to_owned());
        };
        let letter = mail(&due.notice, Some(&self.url));
        let began = Instant::now();
        let sent = mailer
            .send(Mail {
                to: due.email.clone(),
                subject: letter.subject,
                text: letter.text,
            })
            .await;
        let (verdict, error) = match sent {
            Ok(()) => (Verdict::Delivered, None),
            Err(error) if error.is_permanent() => (Verdict::Refused, Some(error.to_string())),
            Err(error) => (Verdict::Again, Some(error.to_string())),
        };
        Attempted {
            verdict,
            answer: None,
            error,
            took: TimeDelta::from_std(began.elapsed()).unwrap_or_default(),
            pace: Pace::after(None),
        }
    }
}

fn without_secrets(mut attempted: Attempted, settings: &ChannelSettings) -> Attempted {
    attempted.error = attempted
        .error
        .map(|error| settings.without_secrets(&error));
    if let Some((_, body)) = &mut attempted.answer {
        let text = String::from_utf8_lossy(body);
        *body = settings.without_secrets(&text).into_bytes();
    }
    attempted
}
