//! What webhooks are told of.

use super::named::named;
use super::webhook_signature::SigningKey;

/// The most webhooks of one project.
pub const MAX_WEBHOOKS: usize = 20;

/// Something a webhook can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WebhookEvent {
    /// A deployment was asked for.
    DeploymentCreated,
    /// A deployment has succeeded.
    DeploymentSucceeded,
    /// A deployment has failed.
    DeploymentFailed,
    /// A deployment was cancelled.
    DeploymentCancelled,
}

named!(WebhookEvent {
    DeploymentCreated: "deployment.created",
    DeploymentSucceeded: "deployment.succeeded",
    DeploymentFailed: "deployment.failed",
    DeploymentCancelled: "deployment.cancelled",
});

/// The headers of a signed message.
pub fn signed_headers(
    key: &SigningKey,
    id: &str,
    timestamp: i64,
    body: &[u8],
) -> Vec<(&'static str, String)> {
    vec![
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", key.sign(id, timestamp, body)),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn events_have_the_names_they_are_read_by() {
        for event in WebhookEvent::ALL {
            assert_eq!(event.as_str().parse(), Ok(event));
        }
        let unknown = "deployment.exploded".parse::<WebhookEvent>().unwrap_err();
        let told = unknown.to_string();
        assert!(told.contains("exploded") && told.contains("deployment.failed"));
    }
}
